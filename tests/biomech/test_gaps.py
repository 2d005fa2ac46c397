"""Short gaps are filled inside and flagged; nothing is invented outside."""

import numpy as np
import pytest

from kinefit.biomech.gaps import at_constant_rate, fill_gaps, resample
from kinefit.types import InputError, Markers, Timeline

RATE = 50.0
TIME = np.arange(100) / RATE


def _markers(missing: dict[str, list[int]]) -> Markers:
    """Two markers on sines of 0.5 Hz, 0.1 m; `missing` frames are NaN."""
    phase = 2 * np.pi * 0.5 * TIME[:, None] + np.array([0.0, 1.0, 2.0])
    xyz = np.stack([0.1 * np.sin(phase), 0.1 * np.cos(phase)], axis=1)
    for i, name in enumerate("AB"):
        xyz[missing.get(name, []), i] = np.nan
    return Markers(Timeline.regular(100, RATE), ("A", "B"), xyz)


def test_only_gaps_up_to_the_stated_length_are_filled():
    # 4 frames missing: 5 intervals of 0.02 s between the samples around them, 0.1 s.
    short, long = list(range(10, 14)), list(range(40, 45))
    gappy = _markers({"A": short + long})
    filled = fill_gaps(gappy, 0.1001)
    assert filled.present[short, 0].all()
    assert not filled.present[long, 0].any()
    assert set(np.flatnonzero(filled.estimated[:, 0])) == set(short)
    assert not filled.estimated[:, 1].any()
    truth = _markers({})
    # PCHIP over 0.1 s of a 0.5 Hz sine of 0.1 m: (pi * 0.1)**2 / 8 of it at most, 1.2 mm.
    assert np.abs(filled.xyz[short] - truth.xyz[short]).max() < 1.2e-3
    untouched = [f for f in range(100) if f not in short]
    assert np.array_equal(filled.xyz[untouched], gappy.xyz[untouched], equal_nan=True)


def test_ends_are_never_extrapolated():
    gappy = _markers({"A": [0, 1, 98, 99], "B": list(range(100))})
    filled = fill_gaps(gappy, 10.0)
    assert np.array_equal(filled.xyz, gappy.xyz, equal_nan=True)
    assert not filled.estimated.any()


def test_gap_length_is_time_not_frames():
    keep = np.r_[0:10, 14:100]  # the four frames are absent from the timeline itself
    full = _markers({})
    time = Timeline(keep, TIME[keep])
    xyz = full.xyz[keep].copy()
    xyz[10, 0] = np.nan  # frame 14: from frame 9 to 15 is 0.12 s
    gappy = Markers(time, full.names, xyz)
    assert not fill_gaps(gappy, 0.11).present[10, 0]
    assert fill_gaps(gappy, 0.13).present[10, 0]


@pytest.mark.parametrize("length", [-0.1, float("nan"), float("inf")])
def test_a_length_that_is_none_is_refused(length):
    with pytest.raises(InputError, match="max-gap"):
        fill_gaps(_markers({}), length)


def test_resample_holds_the_ends_and_keeps_nan_to_its_point():
    gappy = _markers({"A": [0, 1, 2], "B": list(range(100))})
    out = resample(TIME, gappy.xyz, np.array([-1.0, TIME[3], TIME[50], 9.0]))
    assert np.array_equal(out[0, 0], gappy.xyz[3, 0])
    np.testing.assert_allclose(out[:, 0], gappy.xyz[[3, 3, 50, 99], 0], atol=1e-15)  # rounding
    assert np.isnan(out[:, 1]).all()


def test_a_variable_rate_becomes_constant():
    rng = np.random.default_rng(5)
    time = np.cumsum(rng.uniform(0.02, 0.05, 200))  # a phone's clock
    xyz = np.sin(2 * np.pi * time)[:, None, None] * np.ones((1, 2, 3))
    xyz[50:60, 1] = np.nan
    even = at_constant_rate(Markers(Timeline(np.arange(200), time), ("A", "B"), xyz), 0.25)
    assert even.timeline.is_uniform
    truth = np.sin(2 * np.pi * (even.timeline.time + time[0]))
    time = time - time[0]
    # PCHIP is flat at the highest sample: up to 1 - cos(2 pi 25 ms) of the amplitude is cut off.
    assert np.nanmax(np.abs(even.xyz[..., 0] - truth[:, None])) < 0.0123
    inside = (even.timeline.time > time[49]) & (even.timeline.time < time[60])
    assert (even.present[:, 1] == ~inside).all()
    assert even.present[:, 0].all()


def test_a_constant_rate_stays_as_it_is():
    markers = Markers(
        Timeline.regular(30, 60.0), ("A",), np.random.default_rng(0).normal(size=(30, 1, 3))
    )
    np.testing.assert_allclose(at_constant_rate(markers, 0.25).xyz, markers.xyz, atol=1e-9)


def test_a_pause_stays_empty_and_samples_beside_a_gap_survive():
    frame = np.delete(np.arange(200), np.arange(100, 160))  # two seconds without a frame
    frame = np.delete(frame, 20)  # and one dropped frame
    xyz = np.random.default_rng(1).normal(size=(len(frame), 1, 3))
    xyz[50:90:2] = np.nan
    even = at_constant_rate(Markers(Timeline(frame, frame / 30), ("A",), xyz), 0.25)
    assert len(even.timeline) == 200
    there = np.isin(np.arange(200), frame[np.isfinite(xyz[:, 0, 0])])
    there[20] = True  # interpolated over two steps
    assert (even.present[:, 0] == there).all()
    assert np.flatnonzero(even.estimated[:, 0]).tolist() == [20]
