"""Swapped sides are found where four cameras or the truth say they are, and nowhere else."""

from pathlib import Path

import numpy as np
import pytest

from kinefit.skeletons import Skeleton, skeleton
from kinefit.tracking.sides import find_side_swaps, undo_side_swaps
from kinefit.types import InvalidData, Keypoints2D, Keypoints3D, PoseTrack, Timeline

DATA = Path(__file__).parent / "data"
DEMO = np.load(DATA / "demo_landmarks.npz")
IN_3D = np.load(DATA / "tracks_in_3d.npz")
NAMES = skeleton("blazepose33").points
MIRROR = skeleton("blazepose33").mirror()
LEGS = [i for i, n in enumerate(NAMES) if n[1:] in ("Hip", "Knee", "Ankle", "Heel", "BigToe")]
ARMS = [i for i in range(len(NAMES)) if i not in LEGS]


def find(points):
    """The swaps of a track without 3D."""
    return find_side_swaps(PoseTrack(points, None, (), "test"))


def in_3d(name, rate_hz, step=1, start=0):
    """A track with the detector's own 3D."""
    names = tuple(IN_3D["names"].tolist())
    xy, xyz = (IN_3D[f"{name}_{k}"].astype(float) for k in ("xy_tenth_px", "xyz_mm"))
    xy[xy == -32768], xyz[xyz == -32768] = np.nan, np.nan
    part = slice(start, None, step)
    timeline = Timeline.regular(len(xy[part]), rate_hz / step)
    score = IN_3D[f"{name}_score_255"][part] / 255
    image = Keypoints2D(timeline, names, xy[part] / 10, score, (2000, 2000))
    return PoseTrack(image, Keypoints3D(timeline, names, xyz[part] / 1000, "camera"), (), "test")


def demo(view, step=1, start=0):
    """What MediaPipe says about one view of the demo, and the truth per group (T, 2)."""
    frames = slice(start, None, step)
    xy = DEMO["xy_tenth_px"][view, frames] / 10
    score = DEMO["score_255"][view, frames] / 255
    size = tuple(int(n) for n in DEMO["image_size"][view])
    points = Keypoints2D(Timeline.regular(len(xy), 60 / step), NAMES, xy, score, size)
    return points, np.stack([DEMO["arms"][view, frames], DEMO["legs"][view, frames]], axis=1)


def with_xy(points, xy, score=None):
    score = points.score if score is None else score
    return Keypoints2D(points.timeline, points.names, xy, score, points.image_size)


def exchanged(points, frames, columns=tuple(range(33))):
    """`points` with the labels of `columns` exchanged in `frames`."""
    xy = points.xy.copy()
    columns = list(columns)
    xy[np.ix_(frames, columns)] = points.xy[np.ix_(frames, MIRROR[columns])]
    return with_xy(points, xy)


# Left side's distance from the middle and height, metres; the right is its mirror image.
BODY = {"Shoulder": (0.18, 1.45), "Elbow": (0.25, 1.15), "Wrist": (0.28, 0.9)}
BODY |= {"Hip": (0.09, 0.95), "Knee": (0.1, 0.5), "Ankle": (0.1, 0.08), "BigToe": (0.12, 0.03)}
SWING = {"Elbow": -0.1, "Wrist": -0.3, "Knee": 0.2, "Ankle": 0.4, "BigToe": 0.4}
WALKER = tuple(side + joint for side in "LR" for joint in BODY)


def walker(rate_hz, heading, seconds=3.0, seed=0, noise_px=1.0):
    """A walking person 250 px tall per metre; `heading` (rad) as a function of time, 0: to us."""
    time = np.arange(0, seconds, 1 / rate_hz)
    angle = heading(time)
    xy = np.empty((len(time), len(WALKER), 2))
    for j, name in enumerate(WALKER):
        side = 1 if name[0] == "L" else -1
        lateral, height = BODY[name[1:]]
        forward = side * SWING.get(name[1:], 0.0) * np.sin(2 * np.pi * time)
        xy[:, j, 0] = side * lateral * np.cos(angle) + forward * np.sin(angle)
        xy[:, j, 1] = -height
    xy = 500 + 250 * xy + np.random.default_rng(seed).normal(0, noise_px, xy.shape)
    timeline = Timeline.regular(len(time), rate_hz)
    return Keypoints2D(timeline, WALKER, xy, np.ones(xy.shape[:2]), (1000, 1000))


@pytest.mark.parametrize(("step", "start"), [(s, k) for s in (1, 2, 3, 4) for k in range(s)])
def test_the_swapped_frames_of_camera_2_are_found(step, start):
    truth = demo(1, step, start)[1][:, 0]
    assert np.array_equal(find_side_swaps(in_3d("demo_cam02", 60, step, start)), truth)


@pytest.mark.parametrize("view", ["demo_cam01", "demo_cam03", "demo_cam04", "near_side"])
@pytest.mark.parametrize("step", [1, 2, 4])
def test_nothing_is_reported_where_nothing_is_swapped(view, step):
    rate_hz = 30 if view == "near_side" else 60
    assert not find_side_swaps(in_3d(view, rate_hz, step)).any()


@pytest.mark.parametrize("view", [0, 1, 2, 3])
@pytest.mark.parametrize("step", [1, 2, 4])
def test_the_image_alone_tells_of_camera_2_and_no_other(view, step):
    points, truth = demo(view, step)
    # MediaPipe's own smoothing blurs the borders: two frames of 33 at the full rate, one below.
    assert (find(points) != truth[:, 0]).sum() <= 2


def test_place_size_and_unused_names_change_nothing():
    points, _ = demo(1)
    found = find(points)
    assert found.any()
    # Not exactly: 1 / 3 is rounded, so a tie could fall the other way; none does here.
    assert np.array_equal(find(with_xy(points, points.xy / 3 + 70)), found)
    body = [i for i, n in enumerate(NAMES) if n[1:] not in ("Pinky", "Index", "Thumb", "Ear")]
    fewer = Keypoints2D(
        points.timeline,
        tuple(NAMES[i] for i in body),
        points.xy[:, body],
        points.score[:, body],
        points.image_size,
    )
    assert np.array_equal(find(fewer), found)


def test_gaps_are_bridged_and_never_reported():
    track, truth = in_3d("demo_cam02", 60), demo(1)[1][:, 0].copy()
    xy, xyz = track.image.xy.copy(), track.body.xyz.copy()
    for values in (xy, xyz):
        values[48:52] = np.nan  # inside a swap
        values[72:76] = np.nan  # across the end of one
        values[20:90:3, track.image.names.index("LHip")] = np.nan
    body = Keypoints3D(track.image.timeline, track.image.names, xyz, "camera")
    found = find_side_swaps(PoseTrack(with_xy(track.image, xy), body, (), "test"))
    truth[48:52] = truth[72:76] = False
    assert np.array_equal(found, truth)


@pytest.mark.parametrize("rate_hz", [15, 30, 60, 120, 240])
@pytest.mark.parametrize(
    "heading",
    [
        pytest.param(lambda t: np.full_like(t, np.pi / 2), id="side view: the legs cross"),
        pytest.param(lambda t: np.full_like(t, np.pi / 2.3), id="nearly from the side"),
        pytest.param(lambda t: np.zeros_like(t), id="towards the camera"),
        pytest.param(lambda t: np.pi * t / 3, id="turns around"),
        pytest.param(lambda t: np.pi * np.clip(t - 1, 0, 0.5) / 0.5, id="turns in half a second"),
        pytest.param(lambda t: 9.0 * t, id="spins at 9 rad/s"),
    ],
)
def test_turning_and_crossing_are_not_swaps(rate_hz, heading):
    assert not find(walker(rate_hz, heading)).any()


@pytest.mark.parametrize("rate_hz", [30, 60, 240])
def test_injected_swaps_are_found_exactly(rate_hz):
    points = walker(rate_hz, lambda t: 0.5 + 0.1 * np.sin(t))
    time = points.timeline.time
    swapped = ((time > 0.5) & (time < 1.2)) | ((time > 2.0) & (time < 2.04))
    xy = points.xy.copy()
    xy[swapped] = points.xy[swapped][:, Skeleton("", WALKER).mirror()]
    assert np.array_equal(find(with_xy(points, xy)), swapped)


@pytest.mark.parametrize("view", ["demo_cam01", "demo_cam03", "demo_cam04"])
@pytest.mark.parametrize("wrong", [(20, 85), (20, 40), (0, 40), (60, 100)])
def test_everything_exchanged_for_long_is_found(view, wrong):
    track, frames = in_3d(view, 60), slice(*wrong)
    twin = Skeleton("", track.image.names).mirror()
    xy, xyz = track.image.xy.copy(), track.body.xyz.copy()
    xy[frames], xyz[frames] = xy[frames][:, twin], xyz[frames][:, twin]
    body = Keypoints3D(track.image.timeline, track.image.names, xyz, "camera")
    found = find_side_swaps(PoseTrack(with_xy(track.image, xy), body, (), "test"))
    expected = np.zeros(100, bool)
    expected[frames] = True
    assert np.array_equal(found, expected)


def test_the_labelling_that_lasts_longer_is_taken_as_true():
    points, _ = demo(0)
    found = find(exchanged(points, np.arange(70)))
    assert not found[:70].any()
    assert found[70:].all()


def test_labels_that_never_jump_are_believed():
    points, _ = demo(0)
    assert not find(exchanged(points, np.arange(100))).any()


def test_noise_is_not_reported():
    points = walker(60, lambda t: np.full_like(t, np.pi / 2), noise_px=10)  # 4 cm
    assert not find(points).any()


@pytest.mark.parametrize("count", [0, 1, 2])
def test_short_and_empty_tracks_report_nothing(count):
    points, _ = demo(1)
    short = Keypoints2D(
        Timeline.regular(count, 60), NAMES, points.xy[:count], points.score[:count], (1080, 1920)
    )
    assert find(short).shape == (count,)
    nothing = with_xy(points, np.full_like(points.xy, np.nan))
    assert not find(nothing).any()
    midline = Keypoints2D(points.timeline, ("Nose",), points.xy[:, :1], points.score[:, :1], (9, 9))
    assert not find(midline).any()


def test_undo_exchanges_image_scores_and_body_together():
    points, _ = demo(1)
    xyz = np.random.default_rng(0).normal(size=(100, 33, 3))
    track = PoseTrack(points, Keypoints3D(points.timeline, NAMES, xyz, "camera"), (7,), "test")
    swapped = find(points)
    assert swapped[59]
    assert not swapped[64]
    fixed = undo_side_swaps(track, swapped)
    for before, after in (
        (track.image.xy, fixed.image.xy),
        (track.image.score, fixed.image.score),
        (track.body.xyz, fixed.body.xyz),
    ):
        assert np.array_equal(after[59], before[59, MIRROR])
        assert np.array_equal(after[64], before[64])
    assert fixed.damaged == (7,)
    assert not find(fixed.image).any()
    twice = undo_side_swaps(fixed, swapped)  # its own inverse
    assert np.array_equal(twice.image.xy, points.xy)
    assert undo_side_swaps(PoseTrack(points, None, (), "test"), swapped).body is None


def test_undo_refuses_another_timeline():
    points, _ = demo(1)
    with pytest.raises(InvalidData, match="another timeline"):
        undo_side_swaps(PoseTrack(points, None, (), "test"), np.zeros(3, bool))
