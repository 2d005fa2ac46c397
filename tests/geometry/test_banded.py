"""The inverse's diagonal blocks against a dense inverse."""

import numpy as np
import pytest

from kinefit.geometry.banded import (
    BlockPentadiagonal,
    acceleration_bands,
    inverse_diagonal_blocks,
)


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


@pytest.mark.parametrize("T", [1, 2, 3, 6, 7])
def test_pentadiagonal_blocks_solve_and_invert_as_the_dense_matrix(T):
    random, n = np.random.default_rng(T), 3
    square = random.normal(size=(T, n, n))
    blocks = 8 * np.eye(n) + square @ np.swapaxes(square, 1, 2)
    bands = random.uniform(0.5, 1, (3, T, n))
    matrix = BlockPentadiagonal(blocks, bands)
    dense = np.zeros((T, n, T, n))
    for t in range(T):
        dense[t, :, t] += blocks[t]
        for k in range(min(3, T - t)):
            for i in range(n):
                dense[t, i, t + k, i] += bands[k, t, i]
                dense[t + k, i, t, i] += bands[k, t, i] * (k > 0)
    dense = dense.reshape(T * n, T * n)
    right = random.normal(size=(T, n))
    np.testing.assert_allclose(
        matrix.solve(right).ravel(), np.linalg.solve(dense, right.ravel()), atol=1e-12
    )
    inverse = np.linalg.inv(dense).reshape(T, n, T, n)
    expected = np.stack([inverse[t, :, t] for t in range(T)])
    np.testing.assert_allclose(matrix.inverse_blocks(), expected, atol=1e-12)
    only = BlockPentadiagonal(np.zeros_like(blocks), bands)
    by_hand = (dense - np.einsum("tij,ts->tisj", blocks, np.eye(T)).reshape(T * n, T * n)) @ (
        right.ravel()
    )
    np.testing.assert_allclose(only.times(right).ravel(), by_hand, atol=1e-12)


def test_white_acceleration_does_not_know_the_frame_rate():
    # x = t^2: acceleration 2 m/s^2 over 1 s, at any sampling but for the half frame at each end.
    uneven = (np.arange(400) + np.random.default_rng(0).uniform(0, 0.6, 400)) / 400
    for time in (np.linspace(0, 1, 201), uneven):
        bands = acceleration_bands(time)
        x = time**2
        cost = (bands[0] * x * x).sum() + 2 * sum(
            (bands[k, :-k] * x[:-k] * x[k:]).sum() for k in (1, 2)
        )
        assert cost == pytest.approx(4.0 * np.ptp(time), rel=0.02)
    straight = acceleration_bands(np.array([0.0, 0.1, 0.3, 0.35]))
    only = BlockPentadiagonal(np.zeros((4, 1, 1)), straight[..., None])
    np.testing.assert_allclose(only.times(np.array([[0.0], [1], [3], [3.5]])), 0, atol=1e-10)
