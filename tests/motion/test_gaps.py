"""Short gaps are filled inside and flagged; nothing is invented outside."""

import numpy as np
import pytest

from kinefit.motion.gaps import fill_gaps, resample
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
