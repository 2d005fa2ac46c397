"""The two terms of rig pose optimisation: points of scaled bodies, and pulls to rotations.

Both differ from row to row: each row is a try at one frame, with its own target and weights.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from kinefit.fit.solver.terms import Rows, block_diagonal
from kinefit.geometry import rotations as so3
from kinefit.geometry.lie import log_jacobian
from kinefit.geometry.robust import L2, Kernel
from kinefit.types import FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class ScaledPoints:
    """Points of scaled bodies from their targets, metres; a `PointTerm`.

    xyz: (R, M, 3). metric: (R, M, 3, 3). weight: (R, M), of sum one. scale: (R,).
    """

    xyz: FloatArray
    metric: FloatArray
    weight: FloatArray
    scale: FloatArray
    point: IntArray
    kernel: Kernel

    def residual(self, points: FloatArray, rows: Rows) -> FloatArray:
        off = self.scale[rows][:, None, None] * points - self.xyz[rows]
        return np.asarray((self.metric[rows] @ off[..., None])[..., 0])

    def jacobian(self, points: FloatArray, rows: Rows) -> FloatArray:
        return np.asarray(self.scale[rows][:, None, None, None] * self.metric[rows])


@dataclass(frozen=True, eq=False)
class Pull:
    """Turns from target rotations (R, F, 3, 3) times `factor` (R, F); a `PoseTerm`."""

    target: FloatArray
    factor: FloatArray
    kernel: Kernel = field(default_factory=L2)

    def residual(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        return np.asarray(self._turn(rotations, rows) * self.factor[rows][..., None])

    def jacobian(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        J = log_jacobian(self._turn(rotations, rows)) * self.factor[rows][..., None, None]
        return block_diagonal(J)

    def _turn(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        return so3.log(np.swapaxes(self.target[rows], -1, -2) @ rotations)
