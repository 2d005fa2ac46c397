"""Uncertainties that are true, too small and too large, and rankings worked out by hand."""

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from kinefit.metrics.statistics import (
    gaussian_nll,
    interval_coverage,
    region_coverage,
    sparsification,
)
from kinefit.types import InvalidData

NAN = float("nan")
LEVELS = (0.68, 0.95)
COUNT = 20_000


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(8)


def spread(level: float) -> float:
    """Four standard errors of a share of `COUNT`."""
    return float(4 * np.sqrt(level * (1 - level) / COUNT))


@pytest.fixture
def errors3(rng):
    """Errors (N, 3), each drawn with its own covariance (N, 3, 3)."""
    root = rng.normal(size=(COUNT, 3, 3)) + 2 * np.eye(3)
    return (root @ rng.normal(size=(COUNT, 3, 1)))[..., 0], root @ np.swapaxes(root, 1, 2)


def test_intervals_by_hand():
    errors = np.array([0.99, -1.0, 1.95, -1.97, 0.0])
    assert interval_coverage(errors, np.ones(5), 0.68).share == 2 / 5  # z = 0.994
    assert interval_coverage(errors, np.ones(5), 0.95).share == 4 / 5  # z = 1.960
    assert interval_coverage(10 * errors, 10.0, 0.95).share == 4 / 5  # one for all


@pytest.mark.parametrize("level", LEVELS)
def test_true_deviations_cover_what_they_say(rng, level):
    sd = rng.uniform(0.1, 5, COUNT)
    errors = sd * rng.normal(size=COUNT)
    assert interval_coverage(errors, sd, level).share == pytest.approx(level, abs=spread(level))
    # Negative controls: half and twice the truth.
    assert interval_coverage(errors, sd / 2, level).share < level - 0.2
    assert interval_coverage(errors, 2 * sd, level).share > level + 0.04


@pytest.mark.parametrize("level", LEVELS)
def test_true_covariances_cover_what_they_say(errors3, rng, level):
    errors, covariance = errors3
    found = region_coverage(errors, covariance, level)
    assert found.share == pytest.approx(level, abs=spread(level))
    assert region_coverage(errors, covariance / 4, level).share < level - 0.2
    # The region of another dimension is another: two of three coordinates with their own.
    flat = region_coverage(errors[:, :2], covariance[:, :2, :2], level)
    assert flat.share == pytest.approx(level, abs=spread(level))


def test_one_dimension_is_the_interval(rng):
    errors, sd = rng.normal(size=500), rng.uniform(0.5, 2, 500)
    for level in LEVELS:
        region = region_coverage(errors[:, None], sd[:, None, None] ** 2, level)
        assert region.share == interval_coverage(errors, sd, level).share


def test_regions_turn_with_the_axes(errors3, rng):
    errors, covariance = (v[:200] for v in errors3)
    A = rng.normal(size=(3, 3))  # any change of axes and units
    found = region_coverage(errors @ A.T, A @ covariance @ A.T, 0.68)
    assert found == region_coverage(errors, covariance, 0.68)


def test_what_has_no_uncertainty_is_counted_and_left_out():
    errors = np.array([0.1, NAN, 0.1, 0.1, 9.0, 0.0])
    found = interval_coverage(errors, np.array([1, 1, NAN, -1, 1, 0.0]), 0.95)
    assert (found.share, found.count, found.missing) == (2 / 3, 3, 3)
    nothing = interval_coverage(errors, NAN, 0.95)
    assert nothing.to_json() == {"level": 0.95, "share": None, "count": 0, "missing": 6}


def test_covariances_without_an_inverse_are_no_uncertainty():
    line = np.array([1.0, 2.0, 3.0])
    covariance = np.stack([np.eye(3), np.outer(line, line), -np.eye(3), np.full((3, 3), NAN)])
    found = region_coverage(np.zeros((4, 3)), covariance, 0.95)
    assert (found.share, found.count, found.missing) == (1, 1, 3)
    assert np.isfinite(gaussian_nll(np.zeros((4, 3)), covariance)).tolist() == [True] + 3 * [False]
    # Very unequal axes, as along a ray and across it, are not singular: 10 m against 10 um.
    unequal = region_coverage(np.zeros((1, 3)), np.diag([100.0, 1e-10, 1e-10])[None], 0.95)
    assert unequal.missing == 0


def test_nll_is_that_of_the_density(errors3):
    errors, covariance = (v[:20] for v in errors3)
    expected = [
        -multivariate_normal(cov=C).logpdf(e) for e, C in zip(errors, covariance, strict=True)
    ]
    np.testing.assert_allclose(gaussian_nll(errors, covariance), expected, rtol=1e-9)
    # One dimension, by hand: log(2 pi 9) / 2 + (6 / 3)^2 / 2.
    one = gaussian_nll(np.array([6.0]), np.array([[9.0]]))
    assert one == pytest.approx(np.log(2 * np.pi * 9) / 2 + 2)


def test_nll_is_least_for_the_truth(errors3):
    errors, covariance = errors3
    least = gaussian_nll(errors, covariance).mean()
    for factor in (0.5, 0.8, 1.25, 2):
        assert gaussian_nll(errors, factor * covariance).mean() > least + 0.01


def test_sparsification_by_hand():
    # Removing the most uncertain first takes 1, 4, 2, 3 away in this order.
    found = sparsification(np.array([1.0, -2, 3, -4]), np.array([9.0, 5, 1, 7]), steps=4)
    np.testing.assert_array_equal(found.removed, [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(found.kept, np.array([10 / 4, 9 / 3, 5 / 2, 3]) / 2.5)
    np.testing.assert_allclose(found.oracle, np.array([10 / 4, 6 / 3, 3 / 2, 1]) / 2.5)
    assert found.ause == pytest.approx((0 + 1 + 1 + 2) / 2.5 / 4)


def test_only_the_order_of_uncertainties_counts(rng):
    errors = rng.normal(size=300)
    perfect = sparsification(errors, np.abs(errors) ** 3)
    assert perfect.ause == pytest.approx(0, abs=1e-12)
    worst = sparsification(errors, -np.abs(errors) + 10)
    sd = np.abs(errors) + rng.uniform(0, 1, 300)
    useful = sparsification(errors, sd)
    assert 0 < useful.ause < sparsification(errors, np.ones(300)).ause < worst.ause
    assert sparsification(7 * errors, sd**2).ause == pytest.approx(useful.ause)
    assert (useful.kept >= useful.oracle - 1e-12).all()


def test_equal_uncertainties_have_no_order(rng):
    errors = np.sort(rng.normal(size=100))
    for order in (errors, errors[::-1]):
        found = sparsification(order, np.full(100, 3.0))
        np.testing.assert_allclose(found.kept, 1)


def test_every_step_removes_its_share():
    # 100 errors, 100 steps: one more each time, though 0.29 * 100 is 28.999999999999996.
    found = sparsification(np.arange(100.0), np.arange(100.0))
    np.testing.assert_allclose(found.kept, np.arange(99, -1, -1) / 99, atol=1e-12)


def test_sparsification_of_little():
    found = sparsification(np.array([1.0, NAN, 2.0, 3.0]), np.array([1.0, 1.0, NAN, 2.0]))
    assert (found.count, found.missing) == (2, 2)
    for errors in (np.zeros(5), np.full(5, NAN)):
        assert np.isnan(sparsification(errors, np.ones(5)).ause)


def test_what_is_refused():
    with pytest.raises(InvalidData, match="level"):
        interval_coverage(np.zeros(3), 1.0, 95)
    with pytest.raises(InvalidData, match="covariances"):
        region_coverage(np.zeros((4, 3)), np.zeros((4, 2, 2)), 0.95)
    for score in (lambda e: interval_coverage(e, 1.0, 0.95), lambda e: sparsification(e, e)):
        with pytest.raises(InvalidData, match="infinite"):
            score(np.array([1.0, np.inf]))
