"""The joints of a chain as anatomy sees them: where priors read poses, in any body model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinefit.body.anatomy import JOINTS, Anatomy, Ranges
from kinefit.fit.solver.chain import Chain
from kinefit.geometry import rotations as so3
from kinefit.geometry.lie import log_jacobian
from kinefit.types import FloatArray, IntArray, InvalidData


@dataclass(frozen=True, eq=False)
class PriorJoints:
    """J anatomical joints among the F free ones of a chain.

    anatomy, ranges: of these joints. column: (J,) their places in the chain. count: F.
    """

    anatomy: Anatomy
    ranges: Ranges
    column: IntArray
    count: int

    @classmethod
    def of(cls, chain: Chain, names: Sequence[str] | None = None) -> PriorJoints:
        """Of `names`, or of every anatomical joint that the chain moves.

        Raises InvalidData for a joint that the body lacks or the chain does not move, and when
        there is none at all.
        """
        joint_of, moved = chain.body.anatomy, chain.joint_names
        if names is None:
            names = [name for name in JOINTS if joint_of.get(name) in moved]
        anatomy = Anatomy.of(chain.body, names)
        if still := [name for name in names if joint_of[name] not in moved]:
            raise InvalidData(f"The chain does not move the joint {', '.join(still)}.")
        if not names:
            raise InvalidData(f"The chain of body {chain.body.name} moves no anatomical joint.")
        column = np.array([moved.index(joint_of[name]) for name in names], dtype=np.int64)
        return cls(anatomy, Ranges.of(names), column, len(moved))

    @property
    def names(self) -> tuple[str, ...]:
        return self.anatomy.names

    def angles(self, rotations: FloatArray) -> FloatArray:
        """(T, J, 3) radians, see `Ranges`, of the chain's local rotations (T, F, 3, 3)."""
        return self.ranges.angles(self.anatomy.rotations(rotations[:, self.column]))

    def within(self, rotations: FloatArray) -> FloatArray:
        """(T, F, 3, 3) the chain's local rotations with every joint in its range.

        For where a fit begins: from beyond half a turn, what limits a joint would push it on.
        """
        angles = np.nan_to_num(self.angles(rotations))
        inside = np.clip(angles, self.ranges.lower, self.ranges.upper)
        anatomical = self.ranges.middle @ so3.from_swing_twist(inside - self.ranges.centre)
        moved = (inside != angles).any(axis=-1)[..., None, None]
        out = rotations.copy()
        local = np.where(moved, self.anatomy.local(anatomical), rotations[:, self.column])
        out[:, self.column] = local
        return out

    def angle_blocks(self, angles: FloatArray) -> FloatArray:
        """(T, J, 3, 3) derivatives of `angles` by the joints' increments in their own axes."""
        return np.asarray(self.ranges.jacobian(angles) @ self.anatomy.increments)

    def centred(self, rotations: FloatArray) -> FloatArray:
        """(T, J, 3, 3) anatomical rotations from the middle of each joint's range."""
        return self.ranges.centred(self.anatomy.rotations(rotations[:, self.column]))

    def rotvecs(self, rotations: FloatArray) -> FloatArray:
        """(T, J, 3) rotation vectors of `centred`: coordinates of a pose without its root.

        From the middle of the range nothing a body does comes near to half a turn, where rotation
        vectors end: arms may hang or be overhead.
        """
        return so3.log(self.centred(rotations))

    def rotvec_blocks(self, rotvecs: FloatArray) -> FloatArray:
        """(T, J, 3, 3) derivatives of `rotvecs` by the joints' increments in their own axes."""
        return np.asarray(log_jacobian(rotvecs) @ self.anatomy.increments)

    def rotations(self, rotvecs: FloatArray) -> FloatArray:
        """(T, J, 3, 3) local rotations of `rotvecs` (T, J, 3): their inverse."""
        return self.anatomy.local(self.ranges.middle @ so3.exp(rotvecs))

    def gathered(self, blocks: FloatArray) -> FloatArray:
        """(T, n, 3F) from derivatives (T, J, n, 3) of n residuals by each joint."""
        T, _, n, _ = blocks.shape
        out = np.zeros((T, n, self.count, 3))
        out[:, :, self.column] = blocks.transpose(0, 2, 1, 3)
        return out.reshape(T, n, 3 * self.count)
