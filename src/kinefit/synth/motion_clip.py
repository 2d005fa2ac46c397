"""Motion without body shape: poses over time, and the path of the hips.

A clip is a motion of Anny (104 joints): rotations do not depend on limb lengths, and the path of
the hips comes with the hip height of the body that made it, so that
`kinefit.synth.placing.placed` can put the clip on a body of any size. World axes are Y up;
kinefit's own clips begin at the origin, facing +Z.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from scipy.ndimage import gaussian_filter1d

from kinefit.body.model import BodyModel
from kinefit.geometry import rotations as so3
from kinefit.geometry.lie import log_jacobian
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData
from kinefit.types.arrays import check_names, freeze, frozen_array

# Tolerance at the ends: times of frames are sums and products of steps, with rounding.
_ROUNDING_S = 1e-6


@dataclass(frozen=True, eq=False)
class Clip:
    """A motion for a body of any shape.

    name: of the clip. source: its origin, in words.
    joint_names: B joints of the body model, parents before children.
    times: (T,) seconds, increasing; at least two.
    rotations: (T, B, 3, 3) local rotations, as in `kinefit.types.BodyMotion`.
    root_path: (T, 3) metres, world: the root joint of a body of hip height `hip_height_m`.
    """

    name: str
    source: str
    joint_names: tuple[str, ...]
    times: FloatArray
    rotations: FloatArray
    root_path: FloatArray
    hip_height_m: float

    def __post_init__(self) -> None:
        what, joints = f"Clip {self.name}", check_names("Clip", self.joint_names)
        times = frozen_array(what, "times", self.times, (None,))
        T = len(times)
        rotations = frozen_array(what, "rotations", self.rotations, (T, len(joints), 3, 3))
        root_path = frozen_array(what, "root_path", self.root_path, (T, 3))
        if T < 2 or not (np.diff(times) > 0).all():
            raise InvalidData(f"{what}: times must be two or more, and increase.")
        if not (np.isfinite(rotations).all() and np.isfinite(root_path).all()):
            raise InvalidData(f"{what} has a value that is not a number.")
        # 1e-6: far above the rounding of a product of rotations, far below a wrong one.
        if not np.allclose(rotations @ np.swapaxes(rotations, -1, -2), np.eye(3), atol=1e-6):
            raise InvalidData(f"{what}: rotations holds a matrix that is not a rotation.")
        if not (np.isfinite(self.hip_height_m) and self.hip_height_m > 0):
            raise InvalidData(f"{what}: hip_height_m must be a positive length.")
        freeze(self, joint_names=joints, times=times, rotations=rotations, root_path=root_path)

    def __len__(self) -> int:
        return len(self.times)

    @property
    def duration_s(self) -> float:
        return float(self.times[-1] - self.times[0])

    def at(self, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Rotations (t, B, 3, 3) and root (t, 3) metres at any `times` (t,) s of the clip's span.

        Cubic between two knots, with the same speed on either side of a knot. In an interval that
        begins with the rotation R, the curve is R exp(p(t)) with p the cubic (Hermite) vector that
        leaves with the angular velocity w of its first knot and arrives with that of its second,

            p' = w_first,    p' = log_jacobian(p) w_second,

        and w at a knot is that of the parabola through it and its neighbours (Catmull-Rom, on the
        group: both neighbours' rotation vectors are taken in the knot's own axes).
        Raises InvalidData for times outside the span.
        """
        t = np.asarray(times, dtype=np.float64)
        first, last = self.times[0], self.times[-1]
        if not ((t >= first - _ROUNDING_S) & (t <= last + _ROUNDING_S)).all():
            raise InvalidData(
                f"Clip {self.name} lasts from {first:.3f} to {last:.3f} s, not from"
                f" {np.min(t):.3f} to {np.max(t):.3f} s."
            )
        k = np.clip(np.searchsorted(self.times, t, side="right") - 1, 0, len(self) - 2)
        step = self._steps[k]
        u = np.clip((t - self.times[k]) / step, 0, 1)
        start, v, h = self.root_path[k], self._velocities, step[:, None]
        end = self.root_path[k + 1] - start
        return self._turned(k, u, step), start + _hermite(u[:, None], end, h * v[k], h * v[k + 1])

    @cached_property
    def _steps(self) -> FloatArray:
        return np.diff(self.times)

    @cached_property
    def _moving(self) -> IntArray:
        """Joints that rotate: of Anny's 104, those of hands and toes mostly do not."""
        turns: BoolArray = (self.rotations != self.rotations[:1]).any(axis=(0, 2, 3))
        return np.flatnonzero(turns)

    @cached_property
    def _between(self) -> FloatArray:
        """(T - 1, M, 3) rotation vectors from each knot to the next, of the moving joints."""
        R = self.rotations[:, self._moving]
        return so3.log(np.swapaxes(R[:-1], -1, -2) @ R[1:])

    @cached_property
    def _spins(self) -> FloatArray:
        """(T, M, 3) angular velocity at each knot in the joint's own axes, radians per second."""
        return _knot_slopes(self._between / self._steps[:, None, None], self._steps)

    @cached_property
    def _velocities(self) -> FloatArray:
        """(T, 3) m/s of the root."""
        return _knot_slopes(np.diff(self.root_path, axis=0) / self._steps[:, None], self._steps)

    def _turned(self, k: IntArray, u: FloatArray, step: FloatArray) -> FloatArray:
        out = self.rotations[k]
        end, h = self._between[k], step[:, None, None]
        arriving = (log_jacobian(end) @ self._spins[k + 1][..., None])[..., 0]
        vector = _hermite(u[:, None, None], end, h * self._spins[k], h * arriving)
        out[:, self._moving] = out[:, self._moving] @ so3.exp(vector)
        return out


def _knot_slopes(slopes: FloatArray, steps: FloatArray) -> FloatArray:
    """(T, ...) slopes at knots from those of the intervals (T - 1, ...) and their lengths."""
    before, after = steps[:-1], steps[1:]
    share = (before / (before + after)).reshape(-1, *([1] * (slopes.ndim - 1)))
    inside = slopes[:-1] * (1 - share) + slopes[1:] * share
    return np.concatenate([slopes[:1], inside, slopes[-1:]])


def _hermite(
    u: FloatArray, end: FloatArray, leaving: FloatArray, arriving: FloatArray
) -> FloatArray:
    """The cubic on 0..1 from zero to `end` with these slopes, at `u`."""
    u2, u3 = u * u, u * u * u
    return np.asarray((3 * u2 - 2 * u3) * end + (u - 2 * u2 + u3) * leaving + (u3 - u2) * arriving)


def hip_height(body: BodyModel, shape: FloatArray) -> float:
    """Metres from the soles to the root joint of the body at rest: the scale of paths."""
    return float(body.rest_joints(shape)[0, 1] - body.rest_vertices(shape)[:, 1].min())


def moved(clip: Clip, turn_rad: float, place: FloatArray) -> Clip:
    """The clip rotated about the vertical through the origin, then shifted by `place` (3,) m.

    A positive angle is to the left: +Z goes to +X.
    """
    Q = so3.exp(np.array([0.0, turn_rad, 0.0]))
    rotations = clip.rotations.copy()
    rotations[:, 0] = Q @ rotations[:, 0]
    return replace(clip, rotations=rotations, root_path=clip.root_path @ Q.T + place)


def turn_between(first: FloatArray, second: FloatArray) -> float:
    """Radians about the vertical that bring root rotation `second` (3, 3) nearest to `first`.

    The twist about Y of first second^T: also defined for lying bodies, which have no heading.
    """
    Q = first @ second.T
    return float(np.arctan2(Q[0, 2] - Q[2, 0], Q[0, 0] + Q[2, 2]))


def from_origin(clip: Clip) -> Clip:
    """The clip moved to begin above the origin, facing +Z, at time zero."""
    turn = turn_between(np.eye(3), clip.rotations[0, 0])
    turned = moved(clip, turn, np.zeros(3))
    shift = turned.root_path[0] * np.array([-1.0, 0.0, -1.0])
    return replace(turned, times=turned.times - turned.times[0], root_path=turned.root_path + shift)


def part(clip: Clip, start_s: float, end_s: float) -> Clip:
    """The clip between two times, with knots at both; raises InvalidData outside its span."""
    inside = clip.times[(clip.times > start_s + _ROUNDING_S) & (clip.times < end_s - _ROUNDING_S)]
    times = np.concatenate([[start_s], inside, [end_s]])
    rotations, root = clip.at(times)
    return replace(clip, times=times, rotations=rotations, root_path=root)


# SD of the Gaussian whose mean is the path over the floor: a stride. Left is the sway of steps.
_TREADMILL_S = 0.5


@dataclass(frozen=True, eq=False)
class MovingBody:
    """One body in one motion.

    clip: on this body, in the scene's world; its times are the scene's clock, its root path is
    where this body's root joint is. head: (3,) metres, the root joint at rest.
    """

    clip: Clip
    head: FloatArray

    @classmethod
    def of(
        cls,
        body: BodyModel,
        shape: FloatArray,
        times: FloatArray,
        rotations: FloatArray,
        translation: FloatArray,
        name: str,
    ) -> MovingBody:
        """From poses (T, B, 3, 3), (T, 3) at `times` (T,) seconds of a body of that shape."""
        head = body.rest_joints(shape)[0]
        clip = Clip(
            name, name, body.joint_names, times, rotations, translation + head, max(head[1], 0.1)
        )
        return cls(clip, head)

    def at(self, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Rotations (N, B, 3, 3) and translations (N, 3) metres at `times` (N,).

        Raises InvalidData outside the motion.
        """
        rotations, root = self.clip.at(times)
        return rotations, root - self.head

    def placed_at(self, place: tuple[float, float, float]) -> MovingBody:
        """The middle of the path moved to `place`: x, z metres and heading about Y, radians."""
        x, z, heading = place
        path = self.clip.root_path
        middle = (path.min(axis=0) + path.max(axis=0)) / 2 * [1, 0, 1]
        centred = replace(self.clip, root_path=path - middle)
        return replace(self, clip=moved(centred, heading, np.array([x, 0.0, z])))

    def in_place(self) -> MovingBody:
        """The same motion as on a treadmill: without the path over the floor."""
        path, times = self.clip.root_path.copy(), self.clip.times
        step = float(np.median(np.diff(times)))
        path[:, ::2] -= gaussian_filter1d(path[:, ::2], _TREADMILL_S / step, 0, mode="nearest")
        return replace(self, clip=replace(self.clip, root_path=path))
