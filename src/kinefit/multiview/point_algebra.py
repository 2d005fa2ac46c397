"""3x3 normal equations of many points at once, each matrix as six arrays: xx, xy, xz, yy, yz, zz.

Arrays are laid out (C, N) per coordinate, cameras first (see `RigOptics`). The adjugate takes a
quarter of the time of numpy's `solve`, and gives NaN where a matrix is singular.
"""

from __future__ import annotations

import numpy as np

from kinefit.types import FloatArray

SIX = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
_COUNT = np.array([1.0 if i == j else 2.0 for i, j in SIX])  # how often an entry is in a matrix


def turned(R: FloatArray) -> FloatArray:
    """(C, 6, 6) from the entries of a matrix in each camera's axes to those in the world's.

    R: (C, 3, 3), as in Camera: H_world = R^T H_camera R.
    """
    i, j = np.array(SIX).T
    straight = R[:, i[None], i[:, None]] * R[:, j[None], j[:, None]]
    crossed = R[:, j[None], i[:, None]] * R[:, i[None], j[:, None]]
    return np.asarray(straight + (i != j) * crossed)


def in_view(
    xx: FloatArray, xy: FloatArray, yy: FloatArray, x: FloatArray, y: FloatArray
) -> FloatArray:
    """(C, 6, N) information of each view in its camera's axes.

    xx, xy, yy: (C, N) information on the plane z = 1, times the squared inverse depth. x, y:
    (C, N) there. With P = (1, 0, -x; 0, 1, -y), the derivative times depth, it is P^T [..] P. In
    the world's axes the same takes three times as many products.
    """
    out = np.empty((len(x), 6, x.shape[1]))
    out[:, 0], out[:, 1], out[:, 3] = xx, xy, yy
    np.negative(xx * x + xy * y, out=out[:, 2])
    np.negative(xy * x + yy * y, out=out[:, 4])
    np.negative(out[:, 2] * x + out[:, 4] * y, out=out[:, 5])
    return out


def information(turn: FloatArray, views: FloatArray) -> FloatArray:
    """(6, N) in the world's axes, of `in_view` (C, 6, N); turn: see `turned`."""
    return np.asarray(np.matmul(turn, views).sum(axis=0))


def leverage(turn: FloatArray, views: FloatArray, covariance: FloatArray) -> FloatArray:
    """(C, N) each view's part in its own fit, of 2: the trace of its information (C, 6, N) times
    the covariance (6, N), the inverse of `information`.
    """
    weighed = np.matmul(turn.swapaxes(1, 2), _COUNT[:, None] * covariance)
    return np.asarray((views * weighed).sum(axis=1))


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
