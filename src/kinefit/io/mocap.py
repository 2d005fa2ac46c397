"""Motion capture of any program as one value: a skeleton with names, at rest, and moving.

What the formats share is here. `kinefit.io.mocap_files.read_mocap` chooses
the reader, and brings every skeleton to kinefit's joints (`kinefit.io.mocap_joints`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from kinefit.io.text import refused_as_input
from kinefit.types import BodyMotion, FloatArray, InputError, IntArray, InvalidData
from kinefit.types.arrays import check_names, freeze, freeze_arrays

Format = Literal["cmu", "asf", "bvh", "amass"]


@dataclass(frozen=True, eq=False)
class MocapClip:
    """One recording of one person's skeleton: T frames of J joints.

    name: of the recording. format: of its file. rate_hz: frames per second.
    names, parents: (J,) joints, parents before children; the first is the root, its parent -1.
    positions: (T, J, 3) metres, world, Y up; NaN where missing.
    rotations: (T, J, 3, 3) world rotation of the segment that begins at the joint: the identity in
        the rest pose, NaN where missing.
    rest: (J, 3) metres, joints in the rest pose, axes of the world; NaN for a joint that the
        skeleton lacks.
    notes: what the file does not say and was assumed.
    """

    name: str
    format: Format
    rate_hz: float
    names: tuple[str, ...]
    parents: IntArray
    positions: FloatArray
    rotations: FloatArray
    rest: FloatArray
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        what = f"MocapClip {self.name}"
        freeze(self, names=check_names(what, self.names))
        T, J = len(self.positions), len(self.names)
        freeze_arrays(self, np.int64, parents=(J,))
        above = self.parents
        if above[0] != -1 or (above[1:] < 0).any() or (above >= np.arange(J)).any():
            raise InvalidData(f"{what}: parents must come before their children, one root first.")
        freeze_arrays(self, positions=(T, J, 3), rotations=(T, J, 3, 3), rest=(J, 3))
        if not 0 < self.rate_hz < 1e5:
            raise InvalidData(f"{what}: {self.rate_hz} frames per second.")

    @classmethod
    def posed(
        cls,
        source: Path,
        kind: Format,
        rate_hz: float,
        names: Sequence[str],
        parents: Sequence[int],
        offsets: FloatArray,
        local: FloatArray,
        root: FloatArray,
        *notes: str,
        moving: FloatArray | None = None,
    ) -> MocapClip:
        """The recording in a file `source`, of a skeleton whose joints turn.

        offsets: (J, 3) metres from each parent, at rest. local: (T, J, 3, 3) rotations in the
        parents' axes. root: (T, 3) metres, where the first joint is. moving: (T, J, 3) offsets
        that are not those of the rest pose. Raises InputError for what is no such skeleton.
        """
        world, xyz = local.copy(), np.empty(local.shape[:3])
        steps = np.broadcast_to(offsets if moving is None else moving, xyz.shape)
        xyz[:, 0] = root
        for j, p in enumerate(parents[1:], start=1):
            world[:, j] = world[:, p] @ local[:, j]
            xyz[:, j] = xyz[:, p] + (world[:, p] @ steps[:, j, :, None])[..., 0]
        with refused_as_input(source):
            rest = rest_joints(parents, offsets)
            return cls(
                source.stem, kind, rate_hz, tuple(names), np.array(parents), xyz, world, rest, notes
            )

    def __len__(self) -> int:
        return len(self.positions)

    def thinned(self, rate_hz: float) -> MocapClip:
        """Every n-th frame, n such that the rate comes nearest to `rate_hz`, from above."""
        step = max(1, int(self.rate_hz / rate_hz + 1e-6))
        return replace(
            self,
            rate_hz=self.rate_hz / step,
            positions=self.positions[::step],
            rotations=self.rotations[::step],
        )

    def at_rest(self, rest: FloatArray, rotations: FloatArray) -> MocapClip:
        """Another rest pose: joints `rest` (J, 3), where the segments have `rotations` (J, 3, 3)
        as they are counted now."""
        return replace(self, rest=rest, rotations=self.rotations @ np.swapaxes(rotations, -1, -2))


def rest_joints(parents: Sequence[int], offsets: FloatArray) -> FloatArray:
    """(J, 3) places of joints from their offsets (J, 3), the first at the origin."""
    rest = np.zeros_like(offsets)
    for j, p in enumerate(parents[1:], start=1):
        rest[j] = rest[p] + offsets[j]
    return rest


def whole_and_even(path: Path, motion: BodyMotion, what: str) -> float:
    """Seconds from frame to frame of a motion for a format, `what`, that states one rate.

    Raises InputError for a frame without a pose, a single one, and a clock that is not even.
    """
    timeline = motion.timeline
    missing = np.isnan(motion.translation).any(axis=1)
    if missing.any():
        reason = f"frame {timeline.frame[np.argmax(missing)]} has no pose, which {what} cannot say"
        raise InputError(path, reason, "fill the gaps first")
    if len(timeline) < 2:
        raise InputError(
            path, f"one frame has no frame time, which {what} must state", "give two frames or more"
        )
    if not timeline.is_uniform:
        reason = f"the frames are not evenly spaced in time, which {what} cannot say"
        raise InputError(path, reason, "bring the motion to a constant rate first")
    return float((timeline.time[-1] - timeline.time[0]) / (len(timeline) - 1))
