"""Priors on single joints: limits of motion, elbows and knees that do not bend back, small angles.

Angles are those of `kinefit.body.anatomy.Ranges`, so these terms mean the same in any body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from kinefit.fit.priors.joints import PriorJoints
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.terms import Rows
from kinefit.geometry.robust import L2, Kernel
from kinefit.types import FloatArray, IntArray, InvalidData

_HINGES = {"LElbow": 1.0, "RElbow": 1.0, "LKnee": -1.0, "RKnee": -1.0}  # sign of flexion about Z


@dataclass(frozen=True, eq=False)
class Limits:
    """How far angles are beyond their range, over `softness`, times the joint's weight.

    softness: radians outside that count as one standard deviation at a weight of one.
    """

    joints: PriorJoints
    softness: float = float(np.radians(5))
    kernel: Kernel = field(default_factory=L2)

    @classmethod
    def of(cls, chain: Chain, names: Sequence[str] | None = None) -> Self:
        """For `names`, or for every anatomical joint of the chain."""
        return cls(PriorJoints.of(chain, names))

    @property
    def joint(self) -> IntArray:
        return self.joints.column

    def residual(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        """(T, J, 3)."""
        outside = self.joints.ranges.outside(self.joints.angles(rotations))
        return np.asarray(outside * self._factor)

    def jacobian(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        angles = self.joints.angles(rotations)
        active = (self.joints.ranges.outside(angles) != 0) * self._factor
        return np.asarray(active[..., None] * self.joints.angle_blocks(angles))

    @property
    def _factor(self) -> FloatArray:
        return np.asarray(self.joints.ranges.weight[:, None] / self.softness)


@dataclass(frozen=True, eq=False)
class Bending:
    """Elbows and knees that bend the wrong way: weight x alpha exp(-flexion) for each of them.

    The prior of SMPLify (Bogo et al. 2016, ECCV, section 3.2), whose program squares
    alpha exp(.) with alpha 10 and the weight 0.317 times the pose prior's. There the angle is one
    component of a rotation vector, from a rest pose with straight limbs; here it is flexion,
    which is zero in a straight limb of any body.
    """

    joints: PriorJoints
    weight: float = 1.0
    alpha: float = 10.0
    kernel: Kernel = field(default_factory=L2)

    @classmethod
    def of(cls, chain: Chain, weight: float = 1.0) -> Self:
        """For the elbows and knees that the chain moves; raises InvalidData without any."""
        hinges = [name for name in PriorJoints.of(chain).names if name in _HINGES]
        if not hinges:
            raise InvalidData("The chain moves neither elbows nor knees.")
        return cls(PriorJoints.of(chain, hinges), weight)

    @property
    def joint(self) -> IntArray:
        return self.joints.column

    def residual(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        """(T, J, 1)."""
        bent_back = -self._sign * self.joints.angles(rotations)[..., 2:]
        return np.asarray(self.weight * self.alpha * np.exp(bent_back))

    def jacobian(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        blocks = self.joints.angle_blocks(self.joints.angles(rotations))[:, :, 2:]
        slope = -self._sign * self.residual(rotations, rows)
        return np.asarray(slope[..., None] * blocks)

    @property
    def _sign(self) -> FloatArray:
        return np.array([_HINGES[name] for name in self.joints.names])[:, None]


@dataclass(frozen=True, eq=False)
class AngleMagnitude:
    """Angles towards zero, the fundamental standing position, in standard deviations.

    sigma: (J, 3) radians for the angles of `Ranges`, infinite for those left alone. For a pull to
    any other pose there is `kinefit.fit.solver.terms.RotationPrior`.
    """

    joints: PriorJoints
    sigma: FloatArray
    kernel: Kernel = field(default_factory=L2)

    @classmethod
    def of(
        cls,
        chain: Chain,
        sigma: float = 1.0,
        special: Mapping[str, float] | None = None,
        axial: float = np.inf,
    ) -> Self:
        """`sigma` radians for every joint but those in `special`; `axial` at most about a limb.

        Raises InvalidData for a joint in `special` that the chain does not have.
        """
        joints, special = PriorJoints.of(chain), special or {}
        unknown = [name for name in special if name not in joints.names]
        if unknown:
            raise InvalidData(f"The chain has no anatomical joint {', '.join(unknown)}.")
        each = np.repeat([[special.get(name, sigma)] for name in joints.names], 3, axis=1)
        each[:, 1] = np.minimum(each[:, 1], axial)
        return cls(joints, each)

    @property
    def joint(self) -> IntArray:
        return self.joints.column

    def residual(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        """(T, J, 3)."""
        return np.asarray(self.joints.angles(rotations) / self.sigma)

    def jacobian(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        blocks = self.joints.angle_blocks(self.joints.angles(rotations))
        return np.asarray(blocks / self.sigma[..., None])
