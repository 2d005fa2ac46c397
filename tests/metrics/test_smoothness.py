"""Smoothness, feet and bones, against polynomials and steps whose answers are known."""

import numpy as np
import pytest

from kinefit.metrics.points import (
    acceleration_errors,
    bone_lengths,
    derivative,
    foot_sliding,
    jitter,
    slides,
    variation_pct,
)
from kinefit.metrics.statistics import mean_of
from kinefit.types import InvalidData

NAN = float("nan")


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def curve(time, *powers):
    """(T, 1, 3): a polynomial in time along x."""
    x = sum(c * time**n for n, c in enumerate(powers))
    return np.stack([x, 0 * x, 0 * x], axis=1)[:, None]


@pytest.mark.parametrize("rate", [25.0, 30.0, 120.0])
def test_derivatives_of_polynomials_at_any_rate(rate):
    time = np.arange(20) / rate
    xyz = curve(time, 4, -2, 3, 5)
    # The divided difference of a cubic of order 3 is exact: 5 * 3!.
    np.testing.assert_allclose(derivative(xyz, time, 3)[..., 0], 30, rtol=1e-8)
    parabola = curve(time, 1, 1, 3)
    np.testing.assert_allclose(derivative(parabola, time, 2)[..., 0], 6, rtol=1e-8)


def test_at_a_constant_rate_it_is_the_plain_difference(rng):
    xyz, time = rng.normal(size=(30, 4, 3)), np.arange(30) / 50
    for order in (1, 2, 3):
        plain = np.diff(xyz, order, axis=0) * 50**order
        np.testing.assert_allclose(derivative(xyz, time, order), plain, rtol=1e-9, atol=1e-6)


def test_uneven_times_do_not_look_like_accelerations(rng):
    time = np.sort(rng.uniform(0, 1, 40))
    straight, parabola = curve(time, 1, 2), curve(time, 0, 0, 3)
    scale = 1 / np.diff(time).min() ** 2  # what rounding is multiplied by
    np.testing.assert_allclose(derivative(straight, time, 2), 0, atol=1e-14 * scale)
    np.testing.assert_allclose(derivative(parabola, time, 2)[..., 0], 6, atol=1e-14 * scale)
    # Negative control: a constant rate assumed makes 2 m/s a rough ride.
    assert np.abs(np.diff(straight, 2, axis=0) * 40**2).max() > 10


def test_acceleration_error_by_hand_and_whatever_the_rate():
    for rate in (30.0, 60.0):
        time = np.arange(int(rate)) / rate
        truth = curve(time, 0, 1, 0.5)  # 1 m/s^2
        points = curve(time, 2, -1, 2.0)  # 4 m/s^2
        # 1e-9: rounding of 1e-16 m times the squared rate.
        np.testing.assert_allclose(acceleration_errors(points, truth, time), 3, atol=1e-9)


def test_acceleration_error_has_a_direction():
    time = np.arange(10) / 10
    x = curve(time, 0, 0, 0.5)
    y = x[..., [1, 0, 2]]
    np.testing.assert_allclose(acceleration_errors(x, y, time), np.sqrt(2), atol=1e-9)


def test_a_missing_sample_leaves_out_its_three_accelerations(rng):
    points, time = rng.normal(size=(20, 2, 3)), np.arange(20) / 30
    points[9, 0] = NAN
    lost = np.isnan(acceleration_errors(points, np.zeros((20, 2, 3)), time))
    assert np.flatnonzero(lost[:, 0]).tolist() == [7, 8, 9]
    assert not lost[:, 1].any()


def test_jitter_by_hand():
    time = np.arange(40) / 40
    np.testing.assert_allclose(jitter(curve(time, 3, 2, -4, 2.0), time), 12, rtol=1e-6)
    np.testing.assert_allclose(jitter(curve(time, 3, 2, -4), time), 0, atol=1e-7)


def test_jitter_of_noise_is_as_large_as_its_variance_says(rng):
    # Third differences of white noise have variance sd^2 (1 + 9 + 9 + 1) along each axis.
    time = np.arange(20_000) / 30
    noise = rng.normal(scale=1e-3, size=(20_000, 1, 3))
    rms = float(np.sqrt(mean_of(jitter(noise, time) ** 2)))
    # 3 %: four standard errors of so many samples that overlap.
    assert rms == pytest.approx(1e-3 * np.sqrt(3 * 20) * 30**3, rel=0.03)


def test_too_short_for_a_derivative():
    short = np.zeros((2, 4, 3))
    assert jitter(short, np.array([0.0, 0.1])).shape == (0, 4)
    assert np.isnan(mean_of(jitter(short, np.array([0.0, 0.1]))))
    assert derivative(np.zeros((0, 4, 3)), np.zeros(0), 1).shape == (0, 4, 3)


def test_times_must_increase_and_fit():
    for time in (np.array([0.0, 0.1, 0.1]), np.array([0.0, 0.1]), np.array([0.0, NAN, 1.0])):
        with pytest.raises(InvalidData, match="increasing times"):
            derivative(np.zeros((3, 1, 3)), time, 1)


def step(rate: float):
    """A true foot that stands for 1 s and swings at 2 m/s for 1 s; one that slides at 0.12 m/s."""
    time = np.arange(int(2 * rate) + 1) / rate
    truth = np.zeros((len(time), 1, 3))
    truth[:, 0, 2] = 2 * np.maximum(time - 1, 0)
    return truth, truth + 0.12 * time[:, None, None] * [1.0, 0, 0], time


@pytest.mark.parametrize("rate", [20.0, 50.0])
def test_sliding_is_counted_while_the_true_foot_stands(rate):
    truth, feet, time = step(rate)
    found = foot_sliding(feet, truth, time)
    assert found.contact == pytest.approx(0.5)
    assert found.slide_mm == pytest.approx(120 / rate)  # per step: depends on the rate
    assert found.slide_m_s == pytest.approx(0.12)  # and this does not
    assert foot_sliding(truth, truth, time).slide_mm == 0
    assert np.isnan(slides(feet, truth, time)[int(rate) :]).all()


def test_sliding_without_contact_or_place_is_unknown():
    truth, feet, time = step(20.0)
    flying = foot_sliding(feet[21:], truth[21:], time[21:])
    assert flying.contact == 0
    assert np.isnan(flying.slide_mm)
    assert flying.to_json() == {"contact": 0, "slide_mm": None, "slide_m_s": None}
    feet[5] = NAN
    assert np.flatnonzero(np.isnan(slides(feet, truth, time))[:20, 0]).tolist() == [4, 5]
    assert foot_sliding(feet, truth, time).slide_m_s == pytest.approx(0.12)
    # Where the true foot is unknown, whether it stands is unknown too: 10 steps of 30.
    truth[:10] = NAN
    assert foot_sliding(feet, truth, time).contact == pytest.approx(10 / 30)


def test_the_true_foot_may_creep_below_three_tenths_of_a_metre_per_second():
    time = np.arange(10) / 25
    truth = time[:, None, None] * [[0.29, 0, 0], [0, 0.31, 0]]
    assert foot_sliding(truth, truth, time).contact == 0.5
    assert np.isfinite(slides(truth, truth, time)).all(axis=0).tolist() == [True, False]


def test_speed_in_contact_is_that_of_uneven_steps():
    time = np.array([0, 0.02, 0.06, 0.2, 0.21])
    feet = time[:, None, None] * [[0, 0, 0.4]]
    found = foot_sliding(feet, np.zeros((5, 1, 3)), time)
    assert found.slide_m_s == pytest.approx(0.4)
    assert found.slide_mm == pytest.approx(400 * 0.21 / 4)


def test_bones_by_hand():
    xyz = np.zeros((12, 3, 3))
    xyz[:, 1, 0] = 0.3
    xyz[:, 2, 1] = np.tile([0.3, 0.5], 6)
    lengths = bone_lengths(xyz, [(0, 1), (0, 2)])
    np.testing.assert_allclose(lengths[:2], [[0.3, 0.3], [0.3, 0.5]])
    # Mean 0.4, deviation 0.1.
    np.testing.assert_allclose(variation_pct(lengths), [0, 25], atol=1e-12)
    np.testing.assert_allclose(variation_pct(10 * lengths), [0, 25], atol=1e-12)


def test_variation_needs_ten_samples():
    lengths = np.tile([[0.3], [0.5]], (10, 1))
    lengths[10:] = NAN
    assert variation_pct(lengths) == pytest.approx(25)
    lengths[9] = NAN
    assert np.isnan(variation_pct(lengths)).all()
    assert np.isnan(variation_pct(np.zeros((20, 1)))).all()
