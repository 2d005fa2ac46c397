"""Motion capture of any program as one value: a skeleton with names, at rest, and moving.

What the formats share is here. `kinefit.io.mocap_files.read_mocap` chooses
the reader, and brings every skeleton to kinefit's joints (`kinefit.io.mocap_joints`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from kinefit.types import FloatArray, IntArray, InvalidData
from kinefit.types.arrays import check_names, freeze, frozen_array

Format = Literal["cmu", "asf", "bvh", "amass"]
MAX_POSES = 2**22  # frames times joints: 300 MB of rotations; 15 minutes of 40 joints at 120 Hz


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
        names = check_names(what, self.names)
        J = len(names)
        parents = frozen_array(what, "parents", self.parents, (J,), np.int64)
        if parents[0] != -1 or (parents[1:] < 0).any() or (parents >= np.arange(J)).any():
            raise InvalidData(f"{what}: parents must come before their children, one root first.")
        positions = frozen_array(what, "positions", self.positions, (None, J, 3))
        rotations = frozen_array(what, "rotations", self.rotations, (len(positions), J, 3, 3))
        rest = frozen_array(what, "rest", self.rest, (J, 3))
        if not 0 < self.rate_hz < 1e5:
            raise InvalidData(f"{what}: {self.rate_hz} frames per second.")
        freeze(self, names=names, parents=parents, rest=rest)
        freeze(self, positions=positions, rotations=rotations)

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


def posed(
    parents: Sequence[int], offsets: FloatArray, local: FloatArray, root: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Positions (T, J, 3) and world rotations (T, J, 3, 3) of a skeleton.

    offsets: (J, 3) or (T, J, 3) from each parent, in its axes. local: (T, J, 3, 3), in the
    parent's. root: (T, 3) where the first joint is.
    """
    world, xyz = local.copy(), np.empty(local.shape[:3])
    offsets = np.broadcast_to(offsets, xyz.shape)
    xyz[:, 0] = root
    for j, p in enumerate(parents):
        if j:
            world[:, j] = world[:, p] @ local[:, j]
            xyz[:, j] = xyz[:, p] + (world[:, p] @ offsets[:, j, :, None])[..., 0]
    return xyz, world


def rest_joints(parents: Sequence[int], offsets: FloatArray) -> FloatArray:
    """(J, 3) places of joints from their offsets (J, 3), the first at the origin."""
    rest = np.zeros_like(offsets)
    for j, p in enumerate(parents):
        if j:
            rest[j] = rest[p] + offsets[j]
    return rest
