"""Normal equations of many points seen by a rig, built in the cameras' axes.

There, a view's derivative by the point has two numbers per pixel axis instead of three, and what it
adds to the 3x3 matrix follows from six products; one matrix product then turns the sums of all
cameras into the world's axes. On the demo (4 cameras, 2,200 points) a third of the time that the
products of world derivatives take.
"""

from __future__ import annotations

import numpy as np

from kinefit.geometry.projection import RigOptics, Seen
from kinefit.multiview.symmetric import SIX
from kinefit.types import FloatArray

_OFF = np.array([1.0 if i == j else 2.0 for i, j in SIX])  # how often an entry is in a matrix


class NormalEquations:
    """Turns what C cameras see into symmetric matrices (6, N) and vectors (3, N) in world axes."""

    def __init__(self, optics: RigOptics) -> None:
        self.optics, R = optics, optics.R
        # World (i, j) of R^T M R: M's entry (k, m), and its mirror image where k != m.
        self._turn = np.empty((len(R), 6, 6))
        for row, (i, j) in enumerate(SIX):
            for column, (k, m) in enumerate(SIX):
                entry = R[:, k, i] * R[:, m, j]
                self._turn[:, row, column] = entry if k == m else entry + R[:, m, i] * R[:, k, j]
        self._sum = self._turn.transpose(1, 0, 2).reshape(6, -1)

    def matrix(self, seen: Seen, w: FloatArray) -> FloatArray:
        """(6, N) the sum over the cameras of w J^T J; w: (C, N), 0 where a view is not used."""
        slopes = self.optics.slopes(seen)
        blocks = _blocks(seen, slopes, *(w * s for s in slopes))
        return np.asarray(self._sum @ blocks.reshape(6 * len(blocks), blocks.shape[-1]))

    def system(
        self,
        seen: Seen,
        weights: tuple[FloatArray, FloatArray | None, FloatArray],
        u: FloatArray,
        v: FloatArray,
    ) -> tuple[FloatArray, FloatArray]:
        """(6, N) the sum of J^T W J, and (3, N) the sum of J^T (u, v).

        weights: W of the pixel axes, uu, uv, vv, (C, N) each; uv None: no cross terms. u, v: (C, N)
        weighted residuals, px.
        """
        (uu, uv, vv), slopes = weights, self.optics.slopes(seen)
        ux, uy, vx, vy = slopes
        ax, ay, bx, by = uu * ux, uu * uy, vv * vx, vv * vy
        if uv is not None:
            ax, ay, bx, by = ax + uv * vx, ay + uv * vy, bx + uv * ux, by + uv * uy
        blocks = _blocks(seen, slopes, ax, ay, bx, by)
        local = np.empty((len(ux), 3, ux.shape[1]))
        x = np.add(ux * u, vx * v, out=local[:, 0])
        y = np.add(uy * u, vy * v, out=local[:, 1])
        np.negative(seen.x * x + seen.y * y, out=local[:, 2])
        R = self.optics.R.reshape(-1, 3)  # rows of all cameras: its transpose sums over them
        return (
            np.asarray(self._sum @ blocks.reshape(6 * len(blocks), blocks.shape[-1])),
            np.asarray(R.T @ local.reshape(3 * len(local), local.shape[-1])),
        )

    def leverage(self, seen: Seen, w: FloatArray, covariance: FloatArray) -> FloatArray:
        """(C, N) trace of w J C J^T: each view's part in its own fit, of 2.

        covariance: (6, N), the inverse of `matrix`.
        """
        slopes = self.optics.slopes(seen)
        world = np.matmul(self._turn, _blocks(seen, slopes, *(w * s for s in slopes)))
        return np.asarray((world * (_OFF[:, None] * covariance)).sum(axis=1))


def _blocks(
    seen: Seen,
    slopes: tuple[FloatArray, ...],
    ax: FloatArray,
    ay: FloatArray,
    bx: FloatArray,
    by: FloatArray,
) -> FloatArray:
    """(C, 6, N) J^T W J of each camera in its own axes; a, b: W times the slopes of u and of v."""
    ux, uy, vx, vy = slopes
    out = np.empty((len(ux), 6, ux.shape[1]))
    xx, xy, xz, yy, yz, zz = out.transpose(1, 0, 2)
    np.add(ux * ax, vx * bx, out=xx)
    np.add(ux * ay, vx * by, out=xy)
    np.add(uy * ay, vy * by, out=yy)
    np.negative(seen.x * xx + seen.y * xy, out=xz)
    np.negative(seen.x * xy + seen.y * yy, out=yz)
    np.negative(seen.x * xz + seen.y * yz, out=zz)
    return out
