"""Another detector's pixels with MediaPipe's depth: same person, right point, or nothing."""

import numpy as np
import pytest

from kinefit.detect.depth import nearest_people, with_depth
from kinefit.skeletons import skeleton
from kinefit.types import InputError, Keypoints2D, Keypoints3D, PoseTrack, Timeline

BLAZE, BODY25 = skeleton("blazepose33").points, skeleton("body25").points
RNG = np.random.default_rng(3)


def _other(frames=6):
    time = Timeline.regular(frames, 30.0)
    xy = RNG.uniform(0, 400, (frames, 33, 2))
    xyz = RNG.normal(size=(frames, 33, 3))
    return PoseTrack(
        Keypoints2D(time, BLAZE, xy, np.ones((frames, 33)), (400, 400)),
        Keypoints3D(time, BLAZE, xyz, "camera"),
        (),
        "A",
    )


def _track(other, shift=0.0):
    """The same person in BODY_25's names, a pixel off, optionally moved aside."""
    xy = np.full((len(other.image.timeline), 25, 2), np.nan)
    for k, name in enumerate(BODY25):
        if name in BLAZE:
            xy[:, k] = other.image.xy[:, BLAZE.index(name)] + 1 + shift
    score = np.isfinite(xy[..., 0]).astype(float)
    return PoseTrack(
        Keypoints2D(other.image.timeline, BODY25, xy, score, (400, 400)), None, (), "B"
    )


def test_points_take_the_depth_of_their_name():
    other = _other()
    track = with_depth(_track(other), other)
    assert other.body is not None
    assert track.body is not None
    knee = track.body.xyz[:, BODY25.index("RKnee")]
    assert np.array_equal(knee, other.body.xyz[:, BLAZE.index("RKnee")])
    hips = other.body.xyz[:, [BLAZE.index("LHip"), BLAZE.index("RHip")]].mean(axis=1)
    assert np.allclose(track.body.xyz[:, BODY25.index("Hip")], hips)
    assert np.isnan(track.body.xyz[:, BODY25.index("LSmallToe")]).all()
    assert np.array_equal(track.image.xy[:, :25], _track(other).image.xy, equal_nan=True)


def test_points_that_only_the_other_knows_follow():
    other = _other()
    track = with_depth(_track(other), other)
    assert set(track.image.names) == set(BODY25) | set(BLAZE)
    thumb = track.image.xy[:, track.image.names.index("LThumb")]
    assert np.array_equal(thumb, other.image.xy[:, BLAZE.index("LThumb")])


def test_another_person_lends_no_depth():
    other = _other()
    xy = _track(other).image.xy.copy()
    xy[2] += 1000
    xy[3, :22] = np.nan  # too few points to tell
    time = other.image.timeline
    points = Keypoints2D(time, BODY25, xy, np.isfinite(xy[..., 0]).astype(float), (400, 400))
    track = with_depth(PoseTrack(points, None, (), "B"), other)
    assert track.body is not None
    lent = np.isfinite(track.body.xyz).all(-1).any(-1)
    assert lent.tolist() == [True, True, False, False, True, True]


def test_nobody_in_common_is_refused():
    other = _other()
    with pytest.raises(InputError, match="no frame"):
        with_depth(_track(other, shift=1000), other)
    with pytest.raises(InputError, match="image points only"):
        with_depth(_track(other), _track(other))


def test_the_nearest_of_several_people_lends_the_depth():
    """In each frame somebody else stands first in the list; in one nobody is found."""
    other = _other()
    track = _track(other)
    lists = []
    for frame, xy in enumerate(other.image.xy):
        mine = np.column_stack([xy, np.ones(33)])
        stranger = mine + np.array([300, 0, 0])
        lists.append(np.stack([stranger, mine] if frame % 2 else [mine, stranger]))
    lists[3] = np.empty((0, 33, 3))
    lists[4] = np.full((2, 33, 3), np.nan)
    chosen = nearest_people(track, BLAZE, lists)
    assert chosen.tolist() == [0, 1, 0, -1, -1, 1]


def test_who_shares_too_few_points_is_nobody():
    other = _other(2)
    mine = np.concatenate([other.image.xy, np.ones((2, 33, 1))], axis=-1)[:, None]
    few = mine.copy()
    few[:, :, 5:] = np.nan  # a nose and eyes
    assert nearest_people(_track(other), BLAZE, list(mine)).tolist() == [0, 0]
    assert nearest_people(_track(other), BLAZE, list(few)).tolist() == [-1, -1]
