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


def inverse_symmetric(H: FloatArray) -> FloatArray:
    """(6, N) inverses of symmetric 3x3 matrices (6, N); NaN where singular."""
    adjugate, det = _adjugate(list(H))
    singular = ~(det > 1e-14 * ((H[0] + H[3] + H[5]) / 3) ** 3)
    return np.stack(adjugate) / np.where(singular, np.nan, det)


def full(six: FloatArray) -> FloatArray:
    """(N, 3, 3) the matrices of (6, N) entries."""
    out = np.empty((six.shape[1], 3, 3))
    for (i, j), value in zip(SIX, six, strict=True):
        out[:, i, j] = out[:, j, i] = value
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
