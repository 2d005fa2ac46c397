"""The truth about a person at the times of a result, which has a clock and a world of its own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.biomech.angles import joint_angles
from kinefit.lift.windows import nearest
from kinefit.synth.motion_clip import Clip
from kinefit.synth.truth import PersonTruth, ViewTruth, interpolated
from kinefit.types import (
    FloatArray,
    JointAngles,
    Markers,
    NoCommonTime,
    Timeline,
)

# Time stamps in files are rounded to milliseconds at worst; a person moves about 1 mm meanwhile.
SLACK_S = 1.1e-3


@dataclass(frozen=True, eq=False)
class Clock:
    """From a result's seconds to the scene's.

    own, scene: (K,) the same times on both clocks. Between them the difference is interpolated
    linearly; outside it is that of the nearest.
    """

    own: FloatArray
    scene: FloatArray

    @classmethod
    def of_view(cls, view: ViewTruth, slowmo: float = 1.0) -> Clock:
        """Of a camera's video, counted from its first frame; it was said to play `slowmo` times
        slower than life."""
        return cls((view.timeline.time - view.timeline.time[0]) / slowmo, view.time)

    @classmethod
    def shifted(cls, shift_s: float = 0.0) -> Clock:
        """A clock that shows `shift_s` seconds less than the scene's."""
        return cls(np.zeros(1), np.full(1, shift_s))

    def to_scene(self, time: FloatArray) -> FloatArray:
        """(T,) seconds of the scene for `time` (T,) of the result."""
        return np.asarray(time + np.interp(time, self.own, self.scene - self.own))


@dataclass(frozen=True, eq=False)
class WorldTransform:
    """From a result's world to the scene's: x_scene = R @ x + t.

    time: (K,) seconds of the scene, increasing; at other times the nearest counts. R: (K, 3, 3)
    rotations. t: (K, 3) metres. With a moving camera the result's world moves.
    """

    time: FloatArray
    R: FloatArray
    t: FloatArray

    @classmethod
    def fixed(cls, R: FloatArray | None = None, t: FloatArray | None = None) -> WorldTransform:
        """One for the whole clip; the identity by default."""
        R, t = np.eye(3) if R is None else R, np.zeros(3) if t is None else t
        return cls(np.zeros(1), R[None], t[None])

    def to_scene(self, xyz: FloatArray, time: FloatArray) -> FloatArray:
        """Points `xyz` (T, N, 3) of the result at scene times (T,), in the scene's world."""
        k = nearest(self.time, time)
        return np.asarray(xyz @ np.swapaxes(self.R[k], -1, -2) + self.t[k][:, None])

    def from_scene(self, xyz: FloatArray, time: FloatArray) -> FloatArray:
        """Points `xyz` (T, N, 3) of the scene at scene times (T,), in the result's world."""
        k = nearest(self.time, time)
        return np.asarray((xyz - self.t[k][:, None]) @ self.R[k])


def _within(person: PersonTruth, time: FloatArray) -> FloatArray:
    """Scene times (T,); those outside the truth by rounding are moved to its ends, others NaN.

    Raises NoCommonTime when the truth covers none.
    """
    first, last = person.points.timeline.time[[0, -1]]
    known = (time >= first - SLACK_S) & (time <= last + SLACK_S)
    if not known.any():
        raise NoCommonTime((time[0], time[-1]), (first, last))
    return np.where(known, np.clip(time, first, last), np.nan)


def markers_at(person: PersonTruth, time: FloatArray) -> FloatArray:
    """(T, N, 3) metres, world: `person.markers` at scene times (T,); NaN outside the truth.

    Raises NoCommonTime when no time is inside.
    """
    at = person.markers.timeline.time
    within = _within(person, time)
    if len(at) < 2:
        return np.where(np.isfinite(within)[:, None, None], person.markers.xyz[:1], np.nan)
    return interpolated(within, at, person.markers.xyz)


def angles_at(person: PersonTruth, time: FloatArray, transform: WorldTransform) -> JointAngles:
    """Joint angles of the true markers at scene times (T,), in the axes of the result's world.

    Angles of the pelvis depend on these axes; interpolating markers instead of angles knows no
    turn at 180 degrees.
    """
    xyz = transform.from_scene(markers_at(person, time), time)
    frames = Timeline(np.arange(len(time)), time)
    return joint_angles(Markers(frames, person.markers.names, xyz))


def poses_at(person: PersonTruth, time: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Rotations (T, B, 3, 3) and translation (T, 3) metres of the true body at scene times (T,).

    Rotations are interpolated on their group (`kinefit.synth.motion_clip.Clip`); NaN outside.
    """
    motion, within = person.motion, _within(person, time)
    inside = np.isfinite(within)
    rotations = np.full((len(time), *motion.rotations.shape[1:]), np.nan)
    translation = np.full((len(time), 3), np.nan)
    if len(motion.timeline) < 2:
        rotations[inside], translation[inside] = motion.rotations[0], motion.translation[0]
        return rotations, translation
    times, path = motion.timeline.time, motion.translation
    clip = Clip("truth", "truth", motion.joint_names, times, motion.rotations, path, 1.0)
    rotations[inside], translation[inside] = clip.at(within[inside])
    return rotations, translation
