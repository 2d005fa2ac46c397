"""Expectation-maximisation: known mixtures found again, and what it refuses."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.train.mixture import fit_mixture
from kinefit.types import FloatArray, InvalidData

MEANS = np.array([[0.0, 0.0], [4.0, 1.0], [-3.0, 3.0]])
COVARIANCES = np.array([[[1.0, 0.6], [0.6, 0.8]], [[0.3, 0], [0, 0.2]], [[0.5, -0.3], [-0.3, 0.6]]])
WEIGHTS = np.array([0.5, 0.2, 0.3])


def _samples(count: int = 20_000) -> FloatArray:
    rng = np.random.default_rng(0)
    which = rng.choice(3, count, p=WEIGHTS)
    L = np.linalg.cholesky(COVARIANCES)
    return MEANS[which] + (L[which] @ rng.standard_normal((count, 2, 1)))[..., 0]


def test_a_known_mixture_is_found_again() -> None:
    found = fit_mixture(_samples(), 3, seed=1)
    order = [int(np.argmin(np.linalg.norm(found.means - m, axis=1))) for m in MEANS]
    assert sorted(order) == [0, 1, 2]
    # 4,000 samples of the smallest Gaussian know its mean to 0.01; overlap doubles that.
    np.testing.assert_allclose(found.means[order], MEANS, atol=0.05)
    np.testing.assert_allclose(found.covariances[order], COVARIANCES, atol=0.06)
    np.testing.assert_allclose(found.weights[order], WEIGHTS, atol=0.02)


def test_likelihood_never_falls_and_the_seed_decides() -> None:
    x = _samples(2000)
    a, b = (fit_mixture(x, 4, seed=3) for _ in range(2))
    # Each round may lose what rounding takes.
    assert (np.diff(a.history) > -1e-9).all()
    np.testing.assert_array_equal(a.means, b.means)
    assert not np.array_equal(a.means, fit_mixture(x, 4, seed=4).means)


def test_weights_count_as_repetitions() -> None:
    x = _samples(300)
    times = np.random.default_rng(2).integers(1, 4, len(x))
    weighted = fit_mixture(x, 1, weight=times.astype(float))
    repeated = fit_mixture(np.repeat(x, times, axis=0), 1)
    np.testing.assert_allclose(weighted.means, repeated.means, rtol=1e-9)
    np.testing.assert_allclose(weighted.covariances, repeated.covariances, rtol=1e-9)


def test_a_ridge_keeps_copies_of_one_sample_apart_from_singularity() -> None:
    found = fit_mixture(np.ones((50, 3)), 2, ridge=0.01)
    np.testing.assert_allclose(found.covariances, np.tile(0.01 * np.eye(3), (2, 1, 1)), atol=1e-12)


def test_mirrored_samples_give_gaussians_in_pairs() -> None:
    flip = np.diag([-1.0, 1.0])
    x = _samples(2000)
    found = fit_mixture(np.concatenate([x, x @ flip]), 6, mirror=flip, seed=1)
    np.testing.assert_allclose(found.means[3:], found.means[:3] @ flip, atol=1e-12)
    np.testing.assert_allclose(found.covariances[3:], flip @ found.covariances[:3] @ flip)
    np.testing.assert_allclose(found.weights[3:], found.weights[:3])
    assert (np.diff(found.history) > -1e-6).all()
    with pytest.raises(InvalidData, match="pairs"):
        fit_mixture(x, 3, mirror=flip)


@pytest.mark.parametrize("x", [np.zeros((2, 2)), np.full((9, 2), np.nan)])
def test_too_few_or_missing_samples_are_refused(x: FloatArray) -> None:
    with pytest.raises(InvalidData, match="finite"):
        fit_mixture(x, 3)
