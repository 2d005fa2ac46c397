"""Block-banded normal equations with a border against the same matrix written out in full."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.fit.solver.normal import Normal
from kinefit.types import FloatArray

SIZES = [(1, 0), (1, 2), (2, 1), (2, 2), (3, 2), (9, 1), (12, 2), (7, 0)]  # poses, reach
BORDERS = [0, 1, 6]
N, B = 11, 3  # variables of a pose; the first 3 B are coupled in time


def random_normal(T: int, reach: int, S: int, seed: int = 0) -> Normal:
    """Positive definite, as sums of squares are: made from random derivatives."""
    rng = np.random.default_rng(seed)
    J = rng.normal(size=(T, 2 * N, N + S))
    own = np.swapaxes(J, -1, -2) @ J
    frame, near = own[:, :N, :N].copy(), [np.zeros((max(T - r, 0), B, 3, 3)) for r in (1, 2)]
    for t in range(T - reach if reach else 0):
        for b in range(B):
            K = 2 * rng.normal(size=(3, 3 * (reach + 1)))
            P = (K.T @ K).reshape(reach + 1, 3, reach + 1, 3).transpose(0, 2, 1, 3)
            rows = slice(3 * b, 3 * b + 3)
            for i in range(reach + 1):
                frame[t + i, rows, rows] += P[i, i]
                for j in range(i + 1, reach + 1):
                    near[j - i - 1][t + i, b] += P[i, j]
    return Normal(
        frame=frame,
        gradient=rng.normal(size=(T, N)),
        near=tuple(near[:reach]),
        shared=own[:, N:, N:].sum(axis=0),
        shared_gradient=rng.normal(size=S),
        cross=own[:, :N, N:].copy(),
    )


def dense(normal: Normal) -> tuple[FloatArray, FloatArray]:
    """The whole matrix (T N + S, T N + S) and gradient, entry by entry."""
    T, n = normal.gradient.shape
    S = len(normal.shared)
    H = np.zeros((T * n + S, T * n + S))
    for t in range(T):
        H[t * n : (t + 1) * n, t * n : (t + 1) * n] = normal.frame[t]
        H[t * n : (t + 1) * n, T * n :] = normal.cross[t]
        H[T * n :, t * n : (t + 1) * n] = normal.cross[t].T
    for r, blocks in enumerate(normal.near, start=1):
        for t in range(T - r):
            for b in range(blocks.shape[1]):
                i, j = t * n + 3 * b, (t + r) * n + 3 * b
                H[i : i + 3, j : j + 3] = blocks[t, b]
                H[j : j + 3, i : i + 3] = blocks[t, b].T
    H[T * n :, T * n :] = normal.shared
    return H, np.concatenate([normal.gradient.ravel(), normal.shared_gradient])


def damped(normal: Normal, damping: float) -> FloatArray:
    """Marquardt's: each diagonal entry grows by its own share (none here is near zero)."""
    H, _ = dense(normal)
    return H + damping * np.diag(np.diag(H))


@pytest.mark.parametrize(("T", "reach"), SIZES)
@pytest.mark.parametrize("S", BORDERS)
@pytest.mark.parametrize("damping", [0.0, 1e-3, 10.0])
def test_solution_is_that_of_the_dense_matrix(T: int, reach: int, S: int, damping: float) -> None:
    normal = random_normal(T, reach, S)
    H, g = dense(normal)
    assert np.linalg.eigvalsh(H).min() > 1e-3  # else the comparison means nothing
    step = normal.solve(damping)
    assert step is not None
    expected = -np.linalg.solve(damped(normal, damping), g)
    # Rounding of 1e-16 times condition numbers up to 1e5.
    np.testing.assert_allclose(np.concatenate([step[0].ravel(), step[1]]), expected, atol=1e-9)


@pytest.mark.parametrize(("T", "reach"), SIZES)
@pytest.mark.parametrize("S", BORDERS)
def test_prediction_is_the_dense_quadratic(T: int, reach: int, S: int) -> None:
    normal = random_normal(T, reach, S)
    H, g = dense(normal)
    dx = np.random.default_rng(1).normal(size=len(g))
    found = normal.predicted(dx[: T * N].reshape(T, N), dx[T * N :])
    assert found == pytest.approx(-(g @ dx + dx @ H @ dx / 2), rel=1e-12)


def test_poses_on_their_own_each_have_their_damping() -> None:
    normal = random_normal(4, 0, 0)
    damping = np.array([0.0, 1e-4, 0.1, 100.0])
    step = normal.solve_each(damping)
    for t, d in enumerate(damping):
        H = normal.frame[t] + d * np.diag(np.diag(normal.frame[t]))
        np.testing.assert_allclose(step[t], -np.linalg.solve(H, normal.gradient[t]), atol=1e-12)


def test_a_matrix_that_is_not_positive_definite_gives_no_step() -> None:
    normal = random_normal(3, 1, 2)
    bent = normal.frame.copy()
    bent[1, 4, 4] = -5
    broken = Normal(bent, normal.gradient, normal.near, normal.shared, normal.shared_gradient,
                    normal.cross)  # fmt: skip
    assert broken.solve(1e-3) is None
    border = Normal(normal.frame, normal.gradient, normal.near, 0 * normal.shared,
                    normal.shared_gradient, normal.cross)  # fmt: skip
    assert border.solve(0.0) is None


def test_a_matrix_with_a_missing_number_gives_no_finite_step() -> None:
    normal = random_normal(3, 2, 0)
    bad = normal.gradient.copy()
    bad[1, 2] = np.nan
    step = Normal(normal.frame, bad, normal.near, normal.shared, normal.shared_gradient,
                  normal.cross).solve(1e-3)  # fmt: skip
    assert step is None or not np.isfinite(step[0]).all()


def test_variables_that_nothing_sees_stay_put() -> None:
    normal = random_normal(3, 0, 0)
    frame, gradient = normal.frame.copy(), normal.gradient.copy()
    frame[:, 7], frame[:, :, 7], gradient[:, 7] = 0, 0, 0
    blind = Normal(frame, gradient, (), normal.shared, normal.shared_gradient, normal.cross)
    step = blind.solve(1e-3)
    assert step is not None
    assert (step[0][:, 7] == 0).all()
    assert np.abs(step[0]).max() > 0.01  # the others move
    assert (blind.solve_each(np.full(3, 1e-3))[:, 7] == 0).all()


@pytest.mark.parametrize("damping", [0.0, 1e-2])
def test_held_variables_do_not_move_and_the_others_solve_the_rest(damping: float) -> None:
    T, S = 5, 4
    normal = random_normal(T, 2, S)
    frame, shared = np.zeros((T, N), dtype=bool), np.zeros(S, dtype=bool)
    frame[1, 9], frame[3, 10], shared[2] = True, True, True  # none coupled in time
    step = normal.without(frame, shared).solve(damping)
    assert step is not None
    found = np.concatenate([step[0].ravel(), step[1]])
    free = ~np.concatenate([frame.ravel(), shared])
    assert (found[~free] == 0).all()
    _, g = dense(normal)
    expected = -np.linalg.solve(damped(normal, damping)[np.ix_(free, free)], g[free])
    np.testing.assert_allclose(found[free], expected, atol=1e-9)
