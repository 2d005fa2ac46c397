"""Symmetric block-tridiagonal matrices, as sequences coupled to their neighbours lead to."""

from __future__ import annotations

import numpy as np

from kinefit.types import FloatArray


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
