"""Points of several cameras at the same moments: nothing invented, nothing touched needlessly."""

import numpy as np
import pytest

from kinefit.multiview.clock import on_common_clock
from kinefit.types import InputError, Keypoints2D, Timeline

NAMES = ("Nose", "LHip", "RHip")
SPEED = np.array([[30.0, -20.0], [5.0, 400.0], [-60.0, 0.0]])  # px/s


def track(time, *, seed=0, names=NAMES, frame=None, straight=False):
    """Random points, or points that move straight from the origin of time."""
    rng = np.random.default_rng(seed)
    time = np.asarray(time, dtype=float)
    xy = rng.uniform(0, 1000, (len(time), len(names), 2))
    if straight:
        xy = 500 + time[:, None, None] * SPEED
    frame = np.arange(len(time)) if frame is None else frame
    score = rng.uniform(0.1, 1, xy.shape[:2])
    return Keypoints2D(Timeline(frame, time), names, xy, score, (1000, 1000))


def changed(t, xy):
    return Keypoints2D(t.timeline, t.names, xy, t.score, t.image_size)


def same(common, tracks):
    for c, t in enumerate(tracks):
        assert np.array_equal(common.xy[:, c], t.xy, equal_nan=True)
        assert np.array_equal(common.score[:, c], t.score)


def test_one_clock_without_offsets_leaves_every_bit():
    tracks = [track(np.arange(50) / 60, seed=s) for s in range(3)]
    common = on_common_clock(tracks, [0.0, 0.0, 0.0])
    assert common.timeline == tracks[0].timeline
    assert common.names == NAMES
    assert common.xy.shape == (50, 3, 3, 2)
    same(common, tracks)


@pytest.mark.parametrize("digits", [3, 6, 12])
def test_rounded_stamps_leave_every_bit(digits):
    time = np.arange(600) / 60
    tracks = [track(time, seed=1), track(np.round(time, digits), seed=2)]
    same(on_common_clock(tracks, [0.0, 0.0]), tracks)


def test_a_track_that_begins_after_frame_0_keeps_its_place():
    whole = track(np.arange(60) / 60)
    tail = Keypoints2D(
        Timeline(np.arange(10, 60), np.arange(10, 60) / 60),
        NAMES,
        whole.xy[10:],
        whole.score[10:],
        (1000, 1000),
    )
    common = on_common_clock([whole, tail], [0.0, 0.0])
    assert common.timeline.frame.tolist() == list(range(10, 60))
    assert np.array_equal(common.xy[:, 0], common.xy[:, 1])


@pytest.mark.parametrize("rate", [25.0, 59.94, 60.0])
@pytest.mark.parametrize("offset", [-0.31, -0.004, 0.0071, 0.2])
def test_straight_motion_is_met_exactly_at_any_offset_and_rate(rate, offset):
    fast, slow = np.arange(120) / 60.2, np.arange(int(2 * rate)) / rate
    a = track(fast, straight=True)
    b = track(slow, straight=True)
    b = changed(b, 500 + (slow + offset)[:, None, None] * SPEED)
    common = on_common_clock([a, b], [0.0, offset])
    there = np.isfinite(common.xy[:, 1]).all(axis=(1, 2))
    assert there.sum() > 90
    wanted = 500 + common.timeline.time[:, None, None] * SPEED
    # 1.1 ms at 400 px/s where a sample is taken as it is; else rounding.
    assert np.abs(common.xy[there, 1] - wanted[there]).max() <= 1.1e-3 * 400 + 1e-9


def test_the_frames_are_those_of_the_fastest_camera_on_the_common_clock():
    a, b = track(np.arange(60) / 30), track(np.arange(120) / 60)
    common = on_common_clock([a, b], [0.0, 0.25])
    assert np.array_equal(common.xy[:, 1], b.xy[: len(common.timeline)])
    assert common.timeline.time[0] == pytest.approx(0.25)
    assert common.timeline.time[-1] == pytest.approx(59 / 30, abs=1 / 60)


def test_no_value_is_made_across_a_lost_frame_and_the_lower_score_counts():
    time = np.delete(np.arange(20) / 30, 10)
    a, b = track(np.arange(20) / 30), track(time, frame=np.delete(np.arange(20), 10), seed=3)
    common = on_common_clock([a, b], [0.0, 0.01])
    missing = np.isnan(common.xy[:, 1]).all(axis=(1, 2))
    # At 10/30 and 11/30 the samples of frames 9 and 11 lie on both sides.
    assert common.timeline.frame.tolist() == list(range(1, 20))  # at 0 the second has not begun
    assert common.timeline.frame[missing].tolist() == [10, 11]
    assert (common.score[:, 1][missing] == 0).all()
    assert np.array_equal(common.score[5, 1], np.minimum(b.score[5], b.score[6]))


def test_a_missing_point_touches_itself_and_its_neighbours_in_time_only():
    a, b = track(np.arange(20) / 30), track(np.arange(20) / 30, seed=3)
    xy = b.xy.copy()
    xy[8, 1, 0] = np.nan
    common = on_common_clock([a, changed(b, xy)], [0.0, 0.01])
    frame, point = np.nonzero(np.isnan(common.xy[:, 1]).any(axis=-1))
    assert common.timeline.frame[frame].tolist() == [8, 9]
    assert point.tolist() == [1, 1]
    assert (common.score[:, 1] > 0).sum() == 19 * 3 - 2


def test_points_are_matched_by_name():
    a = track(np.arange(10) / 30)
    b = track(np.arange(10) / 30, names=("RHip", "Neck", "Nose"))
    common = on_common_clock([a, b], [0.0, 0.0])
    assert common.names == ("Nose", "RHip")
    assert np.array_equal(common.xy[:, 1], b.xy[:, [2, 0]])


def test_moments_that_one_camera_alone_recorded_are_left_out():
    tracks = [track(np.arange(60) / 60), track(np.arange(20) / 60), track(np.arange(20) / 60)]
    common = on_common_clock(tracks, [0.0, 0.5, 0.6])
    # The second runs from 0.5 to 0.817 s, the third from 0.6 to 0.917.
    assert common.timeline.frame.tolist() == list(range(30, 56))
    assert np.isnan(common.xy[:6, 2]).all()


@pytest.mark.parametrize(
    ("tracks", "offsets", "words"),
    [
        (1, [0.0], "at least 2"),
        (2, [0.0], "1 given for 2 cameras"),
        (2, [0.0, np.nan], "offset of camera 2: it is not known"),
        (2, [0.0, 9.0], "do not overlap"),
    ],
)
def test_what_cannot_be_used_is_an_error(tracks, offsets, words):
    with pytest.raises(InputError, match=words):
        on_common_clock([track(np.arange(20) / 30)] * tracks, offsets)


def test_tracks_without_a_common_point_or_without_frames_are_errors():
    a, b = track(np.arange(9) / 30), track(np.arange(9) / 30, names=("x", "y", "z"))
    with pytest.raises(InputError, match="no point in common"):
        on_common_clock([a, b], [0.0, 0.0])
    with pytest.raises(InputError, match="camera 2: its track has 1 frames"):
        on_common_clock([a, track([0.0])], [0.0, 0.0])
