"""Agreement of two curves: textbook values, and what each number can and cannot see."""

import json

import numpy as np
import pytest

from kinefit.metrics.statistics import agreement, icc_2_1, same_turn
from kinefit.types import InvalidData

NAN = float("nan")
GAIT = 30 + 20 * np.sin(np.linspace(0, 4 * np.pi, 201))


def test_numbers_by_hand():
    # Differences 1, 3, -1, 1.
    found = agreement(np.array([11.0, 23, 29, 41]), np.array([10.0, 20, 30, 40]))
    assert (found.count, found.missing) == (4, 0)
    assert found.bias == 1
    assert found.mae == 1.5
    assert found.rmse == pytest.approx(np.sqrt(3))
    assert found.sd == pytest.approx(np.sqrt(2))
    assert found.mae_centred == 1
    # Bland and Altman divide by n - 1: sqrt(8 / 3).
    assert found.loa_low == pytest.approx(1 - 1.96 * np.sqrt(8 / 3))
    assert found.loa_high == pytest.approx(1 + 1.96 * np.sqrt(8 / 3))
    assert found.rom_error == 0
    # Sxy = 480, Sxx = 500, Syy = 468.
    assert found.slope == pytest.approx(0.96)
    assert found.intercept == pytest.approx(26 - 0.96 * 25)
    assert found.r == pytest.approx(480 / np.sqrt(500 * 468))
    assert found.r2 == pytest.approx(480**2 / (500 * 468))


def test_the_parts_of_an_error_add_up():
    noise = np.random.default_rng(1).normal(3, 2, len(GAIT))
    found = agreement(GAIT + noise, GAIT)
    assert found.rmse**2 == pytest.approx(found.bias**2 + found.sd**2)
    assert found.mae <= found.rmse
    # The limits hold about 95 % of normal differences; 3 standard errors of 201 are 4.6 %.
    inside = (noise >= found.loa_low) & (noise <= found.loa_high)
    assert inside.mean() == pytest.approx(0.95, abs=0.046)


def test_a_curve_agrees_with_itself():
    found = agreement(GAIT, GAIT)
    assert (found.rmse, found.bias, found.rom_error, found.loa_low) == (0, 0, 0, 0)
    assert (found.slope, found.r, found.r2, found.icc) == pytest.approx((1, 1, 1, 1))
    assert found.intercept == pytest.approx(0, abs=1e-9)


def test_an_offset_is_seen_by_some_and_not_by_others():
    found = agreement(GAIT + 5, GAIT)
    assert (found.bias, found.mae) == pytest.approx((5, 5))
    assert (found.sd, found.mae_centred, found.rom_error) == pytest.approx((0, 0, 0), abs=1e-12)
    assert (found.r, found.slope, found.intercept) == pytest.approx((1, 1, 5))
    # Two methods, variance v = SSx / 199 between targets' means each, offset 5: by hand
    # 2v / (2v + 5^2 - 0) with the sampling term of the offset, 2 / n * MSE, zero.
    v = GAIT.var(ddof=1)
    assert found.icc == pytest.approx(2 * v / (2 * v + 25))


def test_a_size_shows_in_slope_and_range():
    found = agreement(1.5 * GAIT, GAIT)
    assert found.slope == pytest.approx(1.5)
    assert found.rom_error == pytest.approx(0.5 * np.ptp(GAIT))
    assert found.r == pytest.approx(1)
    assert found.icc < 0.9
    assert agreement(60 - GAIT, GAIT).r == pytest.approx(-1)


def test_units_scale_the_errors_and_not_the_shares():
    other = GAIT + np.random.default_rng(2).normal(size=len(GAIT))
    degrees, radians = agreement(other, GAIT), agreement(np.radians(other), np.radians(GAIT))
    for name in ("mae", "rmse", "bias", "sd", "loa_low", "loa_high", "rom_error", "intercept"):
        assert getattr(radians, name) == pytest.approx(np.radians(getattr(degrees, name)))
    for name in ("icc", "r", "slope", "r2"):
        assert getattr(radians, name) == pytest.approx(getattr(degrees, name))


def test_missing_samples_are_left_out_on_both_sides():
    values, reference = GAIT + 1, GAIT.copy()
    values[:20], reference[10:50] = NAN, NAN
    found = agreement(values, reference)
    assert (found.count, found.missing) == (151, 50)
    assert found.to_json() | {"missing": 0} == agreement(GAIT[50:] + 1, GAIT[50:]).to_json()


def test_nothing_to_say_is_not_zero():
    nothing = agreement(np.full(5, NAN), np.arange(5.0)).to_json()
    assert (nothing.pop("count"), nothing.pop("missing")) == (0, 5)
    assert set(nothing.values()) == {None}
    one = agreement(np.array([3.0]), np.array([1.0]))
    assert (one.bias, one.rmse) == (2, 2)
    assert np.isnan([one.loa_low, one.loa_high, one.r, one.icc, one.slope]).all()
    json.dumps(one.to_json(), allow_nan=False)


def test_a_constant_curve_has_errors_but_no_correlation():
    flat = 5 + 1e-8 * np.random.default_rng(0).normal(size=len(GAIT))  # rounding of a file
    for found in (agreement(flat, GAIT), agreement(GAIT, flat)):
        assert np.isfinite(found.rmse)
        assert np.isnan([found.r, found.slope, found.icc]).all()


def test_icc_of_shrout_and_fleiss():
    # Shrout & Fleiss 1979, table 2: six targets, four judges. Table 4 gives ICC(2,1) = .29.
    ratings = np.array(
        [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], float
    )
    assert icc_2_1(ratings) == pytest.approx(0.29, abs=0.005)
    # From the mean squares of their table 3: 11.24, 32.49, 1.02.
    by_hand = (11.24 - 1.02) / (11.24 + 3 * 1.02 + 4 * (32.49 - 1.02) / 6)
    assert icc_2_1(ratings) == pytest.approx(by_hand, abs=0.001)
    assert icc_2_1(ratings[::-1, ::-1] * 3 + 7) == pytest.approx(icc_2_1(ratings))
    holed = np.vstack([ratings, [1, NAN, 3, 4]])
    assert icc_2_1(holed) == icc_2_1(ratings)


def test_icc_needs_targets_methods_and_variance():
    assert np.isnan(icc_2_1(np.ones((5, 2))))
    assert np.isnan(icc_2_1(np.arange(5.0)[:, None]))
    assert np.isnan(icc_2_1(np.array([[1.0, 2.0]])))
    # Without any agreement it is near 0: 3 / sqrt(2000).
    noise = np.random.default_rng(3).normal(size=(2000, 2))
    assert abs(icc_2_1(noise)) < 0.07


def test_whole_turns():
    np.testing.assert_allclose(same_turn(np.array([1.0, 361, -359, 721])), [1, 1, 1, 1])
    # About 180, where a wrap to (-180, 180] would tear neighbours apart.
    np.testing.assert_allclose(same_turn(np.array([179.0, -179.0, NAN])) % 360, [179, 181, NAN])
    assert np.ptp(same_turn(np.array([179.0, -179.0, 540.0]))) == pytest.approx(2)
    assert np.isnan(same_turn(np.full(3, NAN))).all()


def test_what_does_not_compare():
    with pytest.raises(InvalidData, match="compare"):
        agreement(GAIT, GAIT[1:])
    with pytest.raises(InvalidData, match="infinite"):
        agreement(GAIT * np.inf, GAIT)
    with pytest.raises(InvalidData, match="targets"):
        icc_2_1(GAIT)
