"""The inverse's diagonal blocks against a dense inverse."""

import numpy as np

from kinefit.geometry.banded import inverse_diagonal_blocks


def test_blocks_are_those_of_the_dense_inverse():
    random = np.random.default_rng(0)
    K, n = 7, 5
    upper = random.normal(size=(K - 1, n, n))
    diagonal = np.stack([12.0 * np.eye(n) + a @ a.T for a in random.normal(size=(K, n, n))])
    dense = np.zeros((K * n, K * n))
    for k in range(K):
        dense[k * n : (k + 1) * n, k * n : (k + 1) * n] = diagonal[k]
        if k < K - 1:
            dense[k * n : (k + 1) * n, (k + 1) * n : (k + 2) * n] = upper[k]
            dense[(k + 1) * n : (k + 2) * n, k * n : (k + 1) * n] = upper[k].T
    assert np.linalg.eigvalsh(dense).min() > 0  # else the comparison means nothing
    inverse = np.linalg.inv(dense).reshape(K, n, K, n)
    expected = np.stack([inverse[k, :, k] for k in range(K)])
    np.testing.assert_allclose(inverse_diagonal_blocks(diagonal, upper), expected, atol=1e-12)


def test_one_block_is_its_inverse():
    np.testing.assert_allclose(
        inverse_diagonal_blocks(2 * np.eye(3)[None], np.empty((0, 3, 3))), np.eye(3)[None] / 2
    )
