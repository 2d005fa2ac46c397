"""The filter's gain, phase and manners at gaps, ends and odd timelines."""

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from kinefit.biomech.filter import _filtered, butterworth, low_pass, unfiltered
from kinefit.types import InputError, Markers, Timeline


def _sine(timeline: Timeline, hz: float) -> np.ndarray:
    return np.sin(2 * np.pi * hz * timeline.time)[:, None]


@pytest.mark.parametrize("rate", [30.0, 60.0, 100.0, 240.0])
@pytest.mark.parametrize("order", [2, 4, 8])
def test_gain_at_the_cut_off_is_3_db_and_phase_is_zero(rate, order):
    timeline = Timeline.regular(int(8 * rate), rate)
    phase = 2 * np.pi * 6 * timeline.time
    out = low_pass(timeline, _sine(timeline, 6.0), 6.0, order)[:, 0]
    middle = slice(len(timeline) // 4, -len(timeline) // 4)  # 12 whole periods, far from the ends
    basis = np.stack([np.sin(phase), np.cos(phase)], 1)[middle]
    (in_phase, quadrature), *_ = np.linalg.lstsq(basis, out[middle], rcond=None)
    assert in_phase == pytest.approx(np.sqrt(0.5), abs=1e-6)  # the ends' transient, faded
    assert abs(quadrature) < 1e-6


@pytest.mark.parametrize("count", [12, 37, 4000])
@pytest.mark.parametrize("order", [2, 4, 6, 8])
@pytest.mark.parametrize(("rate", "cutoff"), [(30.0, 12.0), (60.0, 6.0), (1000.0, 6.0)])
def test_filter_equals_scipys(rate, cutoff, order, count):
    signal = np.random.default_rng(2).normal(size=(count, 5)).cumsum(axis=0)
    warped = np.tan(np.pi * cutoff / rate) / (np.sqrt(2) - 1) ** (1 / order)
    sections = butter(order // 2, 2 * np.arctan(warped) / np.pi, output="sos")
    line = signal[0] + np.linspace(0, 1, count)[:, None] * (signal[-1] - signal[0])
    pad = min(count - 1, int(np.ceil(3 * rate / cutoff)))
    expected = line + sosfiltfilt(sections, signal - line, axis=0, padtype="odd", padlen=pad)
    # Rounding: poles near 1 (6 Hz of 1000) lose six of the sixteen digits in either code.
    np.testing.assert_allclose(_filtered(signal, rate, cutoff, order), expected, atol=1e-10)


@pytest.mark.parametrize(("hz", "low", "high"), [(1.0, 0.999, 1.001), (24.0, 0.0, 0.005)])
def test_pass_and_stop_band(hz, low, high):
    # Order 4: 1/sqrt(1 + (1/6)**4) = 0.9996 one way round, (6/24)**4 = 0.004 the other.
    timeline = Timeline.regular(1000, 100.0)
    out = low_pass(timeline, _sine(timeline, hz))[300:700]
    assert low <= np.abs(out).max() <= high


@pytest.mark.parametrize("count", [20, 21, 200])
def test_constant_and_linear_signals_are_kept(count):
    timeline = Timeline.regular(count, 60.0)
    signal = np.stack([np.full(count, 3.0), 2 - 5 * timeline.time], axis=1)
    assert not unfiltered(timeline, signal).any()
    np.testing.assert_allclose(low_pass(timeline, signal), signal, atol=1e-12)  # rounding


def test_nan_does_not_spread_and_runs_are_independent():
    rng = np.random.default_rng(0)
    timeline = Timeline.regular(300, 60.0)
    signal = rng.normal(size=(300, 2, 3))
    signal[100:120, 0] = np.nan
    out = low_pass(timeline, signal)
    assert np.array_equal(np.isnan(out), np.isnan(signal))
    head = Timeline.regular(100, 60.0)
    np.testing.assert_allclose(out[:100, 0], low_pass(head, signal[:100, 0]), atol=1e-14)
    alone = low_pass(timeline, signal[:, 1])
    np.testing.assert_allclose(out[:, 1], alone, atol=1e-14)


def test_short_runs_pass_through_and_are_named():
    timeline = Timeline.regular(100, 60.0)
    signal = np.random.default_rng(1).normal(size=(100, 1))
    signal[[10, 20]] = np.nan  # 0..9 and 11..19 last less than 1/6 s, 21..99 longer
    left = unfiltered(timeline, signal)
    assert np.flatnonzero(left).tolist() == [*range(10), *range(11, 20)]
    out = low_pass(timeline, signal)
    assert np.array_equal(out[left], signal[left])
    assert (out[21:99] != signal[21:99]).all()


def test_the_rate_does_not_change_the_result():
    def motion(t: np.ndarray) -> np.ndarray:
        waves = [np.sin(2 * np.pi * f * t + f) / f for f in (0.7, 2.0, 5.0, 11.0)]
        return np.sum(waves, axis=0)[:, None]

    slow, fast = Timeline.regular(480, 120.0), Timeline.regular(1917, 480.0)
    a = low_pass(slow, motion(slow.time))
    b = low_pass(fast, motion(fast.time))[::4]
    # The bilinear transform bends frequencies near Nyquist: at 11 of 60 Hz the gain is 0.165, far
    # from Nyquist 0.176; of a wave of 1/11 that is 1e-3, and the 5 Hz wave adds 2e-4.
    np.testing.assert_allclose(a[60:-60], b[60:-60], atol=1.5e-3)


def test_uneven_time_stamps_give_what_even_ones_do():
    even = Timeline.regular(400, 60.0)
    jitter = np.random.default_rng(2).uniform(-0.3, 0.3, 400) / 60
    jitter[[0, -1]] = 0
    uneven = Timeline(even.frame, even.time + jitter)
    assert not uneven.is_uniform
    a, b = (low_pass(t, _sine(t, 2.0) + 0.2 * _sine(t, 15.0)) for t in (even, uneven))
    expected = np.interp(uneven.time, even.time, a[:, 0])
    # Linear reading of a 2 Hz sine at 60 Hz is good to (2 pi 2/60)**2/8 = 0.5 %; the spline loses
    # about as much of the 15 Hz wave.
    assert np.abs(b[30:-30, 0] - expected[30:-30]).max() < 0.01
    as_if_even = low_pass(even, _sine(uneven, 2.0) + 0.2 * _sine(uneven, 15.0))
    # Negative control: reading the stamps as even is several times worse.
    assert np.abs(as_if_even[30:-30, 0] - expected[30:-30]).max() > 0.03


def test_markers_keep_their_flags():
    timeline = Timeline.regular(60, 60.0)
    xyz = np.random.default_rng(3).normal(size=(60, 1, 3))
    flags = np.zeros((60, 1), bool)
    flags[5] = True
    markers = Markers(timeline, ("A",), xyz, flags, np.ones((60, 1, 3)))
    out = butterworth(markers)
    assert np.array_equal(out.estimated, flags)
    assert np.array_equal(out.sd, markers.sd)
    assert np.array_equal(out.xyz, low_pass(timeline, xyz))


@pytest.mark.parametrize(
    ("cutoff", "order"), [(-1.0, 4), (float("nan"), 4), (float("inf"), 4), (6.0, 3), (6.0, 0)]
)
def test_impossible_settings_are_refused(cutoff, order):
    with pytest.raises(InputError):
        low_pass(Timeline.regular(100, 60.0), np.zeros((100, 1)), cutoff, order)


@pytest.mark.parametrize(("cutoff", "rate"), [(0.0, 60), (30, 60), (45, 60), (6, 12), (6, 5)])
def test_where_nothing_is_above_the_cut_off_nothing_changes(cutoff, rate):
    timeline = Timeline.regular(100, rate)
    signal = np.random.default_rng(0).normal(size=(100, 2))
    assert np.array_equal(low_pass(timeline, signal, cutoff), signal)
    assert unfiltered(timeline, signal, cutoff).all()


@pytest.mark.parametrize("pause_s", [0.5, 60, 3600])
def test_a_pause_in_the_recording_is_no_motion(pause_s):
    """What is on either side of it is filtered as if it were alone: no spline runs across."""
    even = Timeline.regular(100, 60.0)
    time = np.concatenate([even.time, even.time[-1] + pause_s + even.time])
    timeline = Timeline(np.arange(200), time)
    signal = np.concatenate([_sine(even, 2.0), 5 - _sine(even, 3.0)])
    out = low_pass(timeline, signal)
    for half in (slice(0, 100), slice(100, 200)):
        np.testing.assert_allclose(out[half], low_pass(even, signal[half]), atol=5e-4)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_clips_too_short_to_filter_come_back(count):
    timeline = Timeline.regular(count, 60.0)
    signal = np.ones((count, 2, 3))
    assert np.array_equal(low_pass(timeline, signal), signal)
