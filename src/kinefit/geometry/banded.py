"""Symmetric block-banded matrices, as sequences coupled to their neighbours in time lead to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded

from kinefit.types import FloatArray


def acceleration_bands(time: FloatArray) -> FloatArray:
    """(3, T) diagonals A[t, t + k], k = 0..2, of the precision of white acceleration, s^-3.

    time: (T,) seconds, increasing. x' A x = sum of a^2 h over the second divided differences a of
    x, each weighed by the time h it stands for, so that the prior does not know the frame rate.
    Divide by the spectral density of the acceleration (m^2/s^3).
    """
    before, after = np.diff(time)[:-1], np.diff(time)[1:]
    rows = (1 / before, -(1 / before + 1 / after), 1 / after)
    bands = np.zeros((3, len(time)))
    for i, left in enumerate(rows):
        for j, right in enumerate(rows[i:]):
            bands[j, i : i + len(before)] += 2 / (before + after) * left * right
    return bands


@dataclass(frozen=True, eq=False)
class BlockPentadiagonal:
    """A positive definite matrix of T blocks of n, coupled to two neighbours by diagonals.

    blocks: (T, n, n) symmetric: what a frame has by itself. bands: (3, T, n): bands[k, t, i] is
    added at row (t, i) and column (t + k, i), and at its mirror image.
    """

    blocks: FloatArray
    bands: FloatArray

    def solve(self, right: FloatArray, damping: float = 0.0) -> FloatArray:
        """(T, n) x with A x = right (T, n), the diagonal of A scaled by 1 + `damping`.

        One banded Cholesky factorisation (LAPACK): ten times as fast as block elimination.
        Raises numpy.linalg.LinAlgError where A is not positive definite.
        """
        T, n = right.shape
        band = np.zeros((2 * n + 1, T * n))
        i, j = np.triu_indices(n)
        band.reshape(2 * n + 1, T, n)[2 * n + i - j, :, j] = self.blocks[:, i, j].T
        for k in range(min(3, T)):
            band[(2 - k) * n, k * n :] += self.bands[k, : T - k].ravel()
        band[2 * n] *= 1 + damping
        return np.asarray(solveh_banded(band, right.ravel(), overwrite_ab=True).reshape(T, n))

    def times(self, x: FloatArray) -> FloatArray:
        """(T, n) the bands alone times x (T, n)."""
        out = self.bands[0] * x
        for k in (1, 2):
            out[:-k] += self.bands[k, :-k] * x[k:]
            out[k:] += self.bands[k, :-k] * x[:-k]
        return np.asarray(out)

    def inverse_blocks(self) -> FloatArray:
        """(T, n, n) diagonal blocks of the inverse: the covariances of an information matrix."""
        T, n = self.blocks.shape[:2]
        K, i = (T + 1) // 2, np.arange(n)  # two frames to a block: then it is tridiagonal
        near = np.zeros((3, 2 * K, n))
        near[:, :T] = self.bands
        near[1, T - 1 :] = near[2, max(T - 2, 0) :] = 0.0  # beyond the end
        own = np.zeros((2 * K, n, n))
        own[:T] = self.blocks
        own[:, i, i] += near[0]
        own[T:, i, i] += 1.0  # a frame that is not there
        diagonal, upper = np.zeros((K, 2 * n, 2 * n)), np.zeros((K - 1, 2 * n, 2 * n))
        diagonal[:, :n, :n], diagonal[:, n:, n:] = own[::2], own[1::2]
        diagonal[:, i, n + i] = diagonal[:, n + i, i] = near[1, ::2]
        upper[:, i, i], upper[:, n + i, n + i] = near[2, :-2:2], near[2, 1:-2:2]
        upper[:, n + i, i] = near[1, 1:-2:2]
        pairs = inverse_diagonal_blocks(diagonal, upper)
        return np.stack([pairs[:, :n, :n], pairs[:, n:, n:]], axis=1).reshape(-1, n, n)[:T]


def inverse_diagonal_blocks(diagonal: FloatArray, upper: FloatArray) -> FloatArray:
    """(K, n, n) diagonal blocks of the inverse: the covariances, of an information matrix A.

    diagonal: (K, n, n) symmetric blocks A[k, k]. upper: (K - 1, n, n) blocks A[k, k+1]; A[k+1, k]
    is their transpose. A must be positive definite. Cost and memory are linear in K.

    Forwards, S_k is A[k, k] with the blocks before eliminated and G_k = S_k^-1 A[k, k+1];
    backwards, C_k = S_k^-1 + G_k C_{k+1} G_k^T: the recursion of the Rauch-Tung-Striebel smoother
    (1965, AIAA Journal 3(8):1445) in information form.
    """
    K = len(diagonal)
    inverse, gain = np.empty_like(diagonal), np.empty_like(upper)
    S = diagonal[0]
    for k in range(K):
        inverse[k] = np.linalg.inv(S)
        if k < K - 1:
            gain[k] = inverse[k] @ upper[k]
            S = diagonal[k + 1] - upper[k].T @ gain[k]
    for k in range(K - 2, -1, -1):
        inverse[k] += gain[k] @ inverse[k + 1] @ gain[k].T
    return inverse
