"""Many symmetric 3x3 systems at once, each matrix as six arrays: xx, xy, xz, yy, yz, zz."""

from __future__ import annotations

import numpy as np

from kinefit.types import FloatArray

SIX = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))


def solve_symmetric(H: list[FloatArray], g: list[FloatArray]) -> list[FloatArray]:
    """x with H x = g for many symmetric 3x3 H at once, by the adjugate; NaN where singular."""
    adjugate, det = _adjugate(H)
    xx, xy, xz, yy, yz, zz = adjugate
    with np.errstate(divide="ignore", invalid="ignore"):
        x = [
            (xx * g[0] + xy * g[1] + xz * g[2]) / det,
            (xy * g[0] + yy * g[1] + yz * g[2]) / det,
            (xz * g[0] + yz * g[1] + zz * g[2]) / det,
        ]
    singular = ~(det > 1e-14 * ((H[0] + H[3] + H[5]) / 3) ** 3)
    return [np.where(singular, np.nan, n) for n in x]


def inverse_symmetric(H: list[FloatArray]) -> FloatArray:
    """(N, 3, 3) inverses of symmetric 3x3 matrices; NaN where singular."""
    adjugate, det = _adjugate(H)
    singular = ~(det > 1e-14 * ((H[0] + H[3] + H[5]) / 3) ** 3)
    det = np.where(singular, np.nan, det)
    out = np.empty((len(det), 3, 3))
    for (i, j), value in zip(SIX, adjugate, strict=True):
        out[:, i, j] = out[:, j, i] = value / det
    return out


def _adjugate(H: list[FloatArray]) -> tuple[list[FloatArray], FloatArray]:
    xx, xy, xz, yy, yz, zz = H
    a = [
        yy * zz - yz * yz,
        xz * yz - xy * zz,
        xy * yz - xz * yy,
        xx * zz - xz * xz,
        xy * xz - xx * yz,
        xx * yy - xy * xy,
    ]
    return a, xx * a[0] + xy * a[1] + xz * a[2]
