"""Few numbers for many errors: worked out by hand, and never from what is missing."""

import json

import numpy as np
import pytest

from kinefit.metrics.statistics import mean_of, roc_auc, summary
from kinefit.types import InvalidData

NAN = float("nan")


def test_numbers_of_a_known_set():
    # 0, 1, ... 100: the p-th percentile is p, whichever of the usual definitions is taken.
    found = summary(np.random.default_rng(0).permutation(np.arange(101.0)).reshape(101, 1))
    assert (found.mean, found.median, found.p90, found.p95, found.max) == (50, 50, 90, 95, 100)
    assert (found.count, found.missing) == (101, 0)


def test_missing_errors_are_counted_and_change_nothing_else():
    errors = np.array([[1.0, NAN, 3.0], [NAN, NAN, 8.0]])
    found, bare = summary(errors), summary(np.array([1.0, 3.0, 8.0]))
    assert (found.mean, found.median, found.max) == (4, 3, 8)
    assert (found.p90, found.p95) == (bare.p90, bare.p95)
    assert (found.count, found.missing) == (3, 3)


@pytest.mark.parametrize("errors", [np.zeros(0), np.full((2, 3), NAN)])
def test_nothing_known_is_nan_not_zero(errors):
    found = summary(errors)
    assert np.isnan([found.mean, found.median, found.p90, found.p95, found.max]).all()
    assert (found.count, found.missing) == (0, errors.size)
    as_json = found.to_json()
    assert as_json["mean"] is None
    assert json.loads(json.dumps(as_json, allow_nan=False))["missing"] == errors.size


def test_an_infinite_error_is_refused():
    with pytest.raises(InvalidData, match="infinite"):
        summary(np.array([1.0, np.inf]))


def test_means_along_an_axis():
    errors = np.array([[1.0, NAN, 3.0], [5.0, NAN, 4.0]])
    np.testing.assert_array_equal(mean_of(errors, 0), [3, NAN, 3.5])
    np.testing.assert_array_equal(mean_of(errors, 1), [2, 4.5])
    assert mean_of(errors) == 13 / 4
    assert np.isnan(mean_of(np.zeros(0)))
    assert mean_of(np.array([True, False, False, True])) == 0.5


def test_area_under_the_roc_curve():
    # Of the 2 x 3 pairs, 0.7 is above all three, and 0.4 above one and level with one: 4.5 of 6.
    scores = np.array([0.7, 0.4, 0.1, 0.4, 0.5, NAN])
    positive = np.array([True, True, False, False, False, True])
    assert roc_auc(scores, positive) == pytest.approx(4.5 / 6)
    assert roc_auc(-scores, positive) == pytest.approx(1.5 / 6)
    assert np.isnan(roc_auc(scores, np.ones(6, bool)))
    with pytest.raises(InvalidData, match="labels"):
        roc_auc(scores, positive[:3])
