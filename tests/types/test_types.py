"""Construction is the gate: what passes it is usable, what does not says why."""

import pickle

import numpy as np
import pytest

from kinefit.types import (
    InputError,
    InvalidData,
    JointAngles,
    Keypoints2D,
    Markers,
    MissingDependency,
    MissingMarkers,
    Subject,
    Timeline,
    TooFewPoints,
)


def test_arrays_are_read_only_copies():
    source = np.zeros((2, 1, 3))
    markers = Markers(Timeline.regular(2, 60.0), ("Hip",), source)
    source[:] = 1
    assert markers.xyz.max() == 0
    with pytest.raises(ValueError, match="read-only"):
        markers.xyz[0] = 1


@pytest.mark.parametrize(
    ("time", "frame"), [([0, 0], [0, 1]), ([0, 1], [1, 1]), ([0, np.nan], [0, 1]), ([0, 1], [0])]
)
def test_timeline_refuses_disorder(time, frame):
    with pytest.raises(InvalidData):
        Timeline(frame, time)


def test_timeline_tells_a_dropped_frame_from_rounding():
    milliseconds = np.round(np.arange(100) / 60, 3)
    assert not Timeline(np.arange(100), milliseconds).is_uniform  # 16 or 17 ms: 6 % apart
    clock = np.round(np.arange(100) / 60 * 15360) / 15360
    assert Timeline(np.arange(100), clock).is_uniform
    kept = np.delete(np.arange(100), 50)
    assert not Timeline(kept, kept / 60).is_uniform


def test_a_marker_is_whole_or_missing():
    xyz = np.zeros((1, 2, 3))
    xyz[0, 0, 1] = np.nan
    markers = Markers(Timeline.regular(1, 60.0), ("A", "B"), xyz)
    assert np.isnan(markers.xyz[0, 0]).all()
    assert markers.present.tolist() == [[False, True]]


def test_infinity_and_wrong_shapes_are_refused():
    with pytest.raises(InvalidData, match="infinite"):
        Markers(Timeline.regular(1, 60.0), ("A",), np.full((1, 1, 3), np.inf))
    with pytest.raises(InvalidData, match=r"\(2, 1, 3\)"):
        Markers(Timeline.regular(2, 60.0), ("A",), np.zeros((1, 1, 3)))
    with pytest.raises(InvalidData, match="duplicates: A"):
        JointAngles(Timeline.regular(1, 60.0), ("A", "A"), np.zeros((1, 2)))


def test_missing_keypoints_have_no_score():
    xy = np.array([[[1.0, 2.0], [np.nan, 2.0]]])
    points = Keypoints2D(Timeline.regular(1, 30.0), ("A", "B"), xy, np.ones((1, 2)), (64, 48))
    assert points.score.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize(("height", "mass"), [(178, 75), (1.78, 0.075), (float("nan"), 75)])
def test_subject_refuses_wrong_units(height, mass):
    with pytest.raises(InvalidData):
        Subject(height, mass)


@pytest.mark.parametrize(
    "error",
    [
        InputError("a.mp4", "the file is empty", "copy it again"),
        TooFewPoints("hips", found=1, needed=2, frame=7),
        MissingMarkers("augmentation", ["RHip"], "name them"),
        MissingDependency("rtmlib", "The detector", "pip install rtmlib"),
    ],
)
def test_errors_survive_the_way_from_a_worker_process(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert vars(again) == vars(error)
