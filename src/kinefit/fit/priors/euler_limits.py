"""Joint limits by Euler angles in SMPL's rest pose, as scripts for SMPL bodies have them.

`Limits` is better founded (sources, spreads, angles that are regular wherever a joint gets); this
is for who wants the limits of such a script, in any body.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any, Self

import numpy as np

from kinefit.body.anatomy import SIDED, Anatomy
from kinefit.fit.priors.joints import PriorJoints
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.terms import Rows
from kinefit.geometry import rotations as so3
from kinefit.geometry.robust import L2, Kernel
from kinefit.types import FloatArray, IntArray

_MIRRORED = np.array([1.0, -1, -1])  # signs of the angles about x, y, z


@dataclass(frozen=True, eq=False)
class EulerLimits:
    """How far Euler angles are beyond the table `euler_limits.toml`, over `softness`, weighted.

    t_pose: frames of the joints in SMPL's rest pose; with them a body's anatomical rotations are
    the local ones that an SMPL body has in the same pose, whatever its own rest pose is.
    sequences: (J,) of each joint. lower, upper: (J, 3) radians, in the sequence's order.
    weight: (J,). softness: radians outside that count as one standard deviation at weight one.
    """

    joints: PriorJoints
    t_pose: Anatomy
    sequences: tuple[str, ...]
    lower: FloatArray
    upper: FloatArray
    weight: FloatArray
    softness: float = float(np.radians(5))
    kernel: Kernel = field(default_factory=L2)

    @classmethod
    def of(cls, chain: Chain) -> Self:
        """For every joint of the table that the chain moves; InvalidData where there is none."""
        known = PriorJoints.of(chain).names
        joints = PriorJoints.of(chain, [name for name in known if _row(name)])
        rows = [_row(name) for name in joints.names]
        bounds = np.array([_bounds(n, row) for n, row in zip(joints.names, rows, strict=True)])
        return cls(
            joints,
            Anatomy.t_pose(joints.names),
            tuple(_sequence(row) for row in rows),
            lower=bounds.min(axis=-1),
            upper=bounds.max(axis=-1),
            weight=np.array([row["weight"] for row in rows], dtype=np.float64),
        )

    @property
    def joint(self) -> IntArray:
        return self.joints.column

    def angles(self, rotations: FloatArray) -> FloatArray:
        """(T, J, 3) radians, in the order of each joint's sequence."""
        anatomical = self.joints.anatomy.rotations(rotations[:, self.joints.column])
        local = self.t_pose.local(anatomical)
        return np.stack(
            [so3.decompose(local[:, i], sequence) for i, sequence in enumerate(self.sequences)],
            axis=1,
        )

    def residual(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        """(T, J, 3)."""
        return self._outside(self.angles(rotations)) * self._factor

    def jacobian(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        angles = self.angles(rotations)
        active = (self._outside(angles) != 0) * self._factor
        by = [so3.cardan_jacobian(angles[:, i], s) for i, s in enumerate(self.sequences)]
        # From the anatomical increment to the T-pose's: the transpose undoes `increments`.
        own = np.swapaxes(self.t_pose.increments, -1, -2) @ self.joints.anatomy.increments
        return np.asarray(active[..., None] * (np.stack(by, axis=1) @ own))

    def _outside(self, angles: FloatArray) -> FloatArray:
        return np.asarray(np.maximum(angles - self.upper, 0) + np.minimum(angles - self.lower, 0))

    @property
    def _factor(self) -> FloatArray:
        return np.asarray(self.weight[:, None] / self.softness)


@cache
def _table() -> dict[str, dict[str, Any]]:
    return tomllib.loads((files("kinefit.fit.priors") / "euler_limits.toml").read_text("utf-8"))


def _row(name: str) -> dict[str, Any]:
    """The table's row of a joint; empty without one."""
    return _table().get(name[1:] if name[1:] in SIDED else name, {})


def _sequence(row: dict[str, Any]) -> str:
    return str(row.get("sequence", "XYZ"))


def _bounds(name: str, row: dict[str, Any]) -> FloatArray:
    """(3, 2) radians in the order of the sequence; the right side's may be upper before lower."""
    signs = _MIRRORED if name.startswith("R") and name[1:] in SIDED else np.ones(3)
    bounds = np.radians([row[axis] for axis in "xyz"]) * signs[:, None]
    return np.asarray(bounds[["XYZ".index(letter) for letter in _sequence(row)]])
