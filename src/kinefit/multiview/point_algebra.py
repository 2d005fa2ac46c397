"""3x3 normal equations of many points at once, each matrix as six arrays: xx, xy, xz, yy, yz, zz.

Arrays are laid out (C, N) per coordinate, cameras first (see `RigOptics`). The adjugate takes a
quarter of the time of numpy's `solve`, and gives NaN where a matrix is singular.
"""

from __future__ import annotations

import numpy as np

from kinefit.types import FloatArray

SIX = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_COUNT = np.array([1.0 if i == j else 2.0 for i, j in SIX])  # how often an entry is in a matrix


def information(w: FloatArray, *slopes: FloatArray) -> FloatArray:
    """(6, N) the sum over cameras and slopes of w s s^T; w: (C, N), slopes: (C, 3, N) each."""
    return np.stack([(w * sum(s[:, i] * s[:, j] for s in slopes)).sum(axis=0) for i, j in SIX])


def leverage(w: FloatArray, covariance: FloatArray, *slopes: FloatArray) -> FloatArray:
    """(C, N) the sum over slopes of w s^T C s: each view's part in its own fit, of 2.

    covariance: (6, N), the inverse of `information`.
    """
    parts = (
        n * c * sum(s[:, i] * s[:, j] for s in slopes)
        for n, c, (i, j) in zip(_COUNT, covariance, SIX, strict=True)
    )
    return np.asarray(w * sum(parts))


def inverse(H: FloatArray) -> FloatArray:
    """(6, ...) inverses of symmetric 3x3 matrices (6, ...); NaN where singular."""
    xx, xy, xz, yy, yz, zz = H
    adjugate = np.stack(
        [
            yy * zz - yz * yz,
            xz * yz - xy * zz,
            xy * yz - xz * yy,
            xx * zz - xz * xz,
            xy * xz - xx * yz,
            xx * yy - xy * xy,
        ]
    )
    det = xx * adjugate[0] + xy * adjugate[1] + xz * adjugate[2]
    singular = ~(det > 1e-14 * ((xx + yy + zz) / 3) ** 3)
    return np.asarray(adjugate / np.where(singular, np.nan, det))


def solve(H: FloatArray, g: FloatArray) -> FloatArray:
    """(3, ...) x with H x = g for symmetric H (6, ...) and g (3, ...); NaN where singular."""
    xx, xy, xz, yy, yz, zz = inverse(H)
    x, y, z = g
    return np.stack([xx * x + xy * y + xz * z, xy * x + yy * y + yz * z, xz * x + yz * y + zz * z])


def full(six: FloatArray) -> FloatArray:
    """(N, 3, 3) the matrices of (6, N) entries."""
    out = np.empty((six.shape[1], 3, 3))
    for (i, j), value in zip(SIX, six, strict=True):
        out[:, i, j] = out[:, j, i] = value
    return out
