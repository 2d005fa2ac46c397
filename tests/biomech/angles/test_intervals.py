"""Stated deviations: the spread with what calibration adds, and none where it did not hold."""

import numpy as np
import pytest

from kinefit.biomech.angles import intervals
from kinefit.biomech.angles.intervals import (
    Interval,
    deviations,
    kind_of,
    marker_deviations,
    setup_of,
)
from kinefit.types import Markers, Timeline


@pytest.fixture
def table(monkeypatch):
    monkeypatch.setattr(intervals, "_table", lambda: {"one knee_flex": Interval(2.0, 3.0)})


def test_the_deviation_is_the_spread_and_a_constant(table):
    spread = {"knee_r_flex": np.array([0.0, 2.0]), "hip_r_flex": np.array([1.0, 1.0])}
    sd = deviations(("knee_r_flex", "knee_l_flex", "hip_r_flex"), 2, "one", spread)
    assert sd is not None
    assert sd[:, 0].tolist() == [3.0, 5.0]  # hypot(2 x 2, 3)
    assert np.isnan(sd[:, 1:]).all()  # no spread; not in the table
    assert deviations(("knee_r_flex",), 2, "two", spread) is None


def test_markers_of_a_kind_that_did_not_hold_have_no_deviation(monkeypatch):
    monkeypatch.setattr(intervals, "_table", lambda: {"two keypoints": Interval(2.0, 0.03)})
    spread = np.full((2, 2, 3), 0.02)
    names = ("LHip", "L.ASIS_study")
    markers = Markers(Timeline.regular(2, 30.0), names, np.zeros((2, 2, 3)), sd=spread)
    sd = marker_deviations(markers, "two")
    assert sd is not None
    np.testing.assert_allclose(sd[:, 0], 0.05)  # hypot(2 x 0.02, 0.03)
    assert np.isnan(sd[:, 1]).all()
    assert marker_deviations(markers, "one") is None


def test_sides_are_of_one_kind_and_more_than_two_cameras_of_one_setup():
    assert kind_of("knee_l_flex") == kind_of("knee_r_flex") == "knee_flex"
    assert kind_of("pelvis_rot") == "pelvis_rot"
    assert [setup_of(n) for n in (1, 2, 3, 8)] == ["one", "two", "more", "more"]
    # Another network's errors are its own.
    assert [setup_of(1, name) for name in ("ensemble", "mine.onnx")] == ["lifted", "other"]


def test_the_committed_table_is_whole():
    for name, interval in intervals._table().items():
        assert name.split(" ")[0] in ("one", "lifted", "two", "more")
        assert 0 < interval.factor <= 2
        assert 0 <= interval.constant < 60
