"""Errors of points: by hand, blind to what the alignment removes, and to nothing else."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.metrics.points import (
    FIRST_FRAMES,
    aligned_frames,
    centred,
    correct_points,
    one_rigid,
    point_errors,
    root_translation_errors,
    world_errors,
)
from kinefit.metrics.statistics import mean_of
from kinefit.types import InvalidData

NAN = float("nan")
HIPS = (0, 1)
# Rounding of sums and decompositions of numbers of order one, in metres.
EXACT = {"rel": 0, "abs": 1e-12}


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(11)


@pytest.fixture
def walk(rng):
    """(250, 6, 3) metres: points about a root that walks a curve."""
    time = np.linspace(0, 8, 250)
    root = np.stack([time, 0.05 * np.sin(9 * time), np.sin(time / 2)], axis=1)
    return root[:, None] + rng.normal(scale=0.3, size=(250, 6, 3))


def mpjpe(points, truth, root):
    if root is not None:
        points, truth = centred(points, root), centred(truth, root)
    return float(mean_of(point_errors(points, truth)))


def pa_mpjpe(points, truth):
    return mpjpe(aligned_frames(points, truth), truth, None)


def moved(points, rng, scale=1.0):
    R = Rotation.random(rng=rng).as_matrix()
    return scale * points @ R.T + rng.normal(size=3)


def test_distances_by_hand():
    truth = np.zeros((1, 3, 3))
    points = np.array([[[3.0, 4.0, 0.0], [0.0, 0.0, -2.0], [NAN, 0.0, 0.0]]])
    np.testing.assert_array_equal(point_errors(points, truth), [[5, 2, NAN]])
    assert mpjpe(points, truth, root=None) == 3.5  # of the two that are there, not of three
    assert np.isnan(mpjpe(points[:, 2:], truth[:, 2:], root=None))


def test_the_root_is_the_mean_of_the_given_points():
    truth = np.array([[[-1.0, 0, 0], [1.0, 0, 0], [0, 1.0, 0]]])
    points = truth + np.array([10.0, 0, 0])
    points[0, 1] += [4.0, 0, 0]  # one hip: the root by half of it
    assert mpjpe(points, truth, HIPS) == pytest.approx((2 + 2 + 2) / 3, **EXACT)
    assert mpjpe(points, truth, (2,)) == pytest.approx((0 + 4 + 0) / 3, **EXACT)
    assert mpjpe(points, truth, None) == pytest.approx((10 + 14 + 10) / 3, **EXACT)
    np.testing.assert_allclose(centred(points, HIPS)[0, 2], [-2, 1, 0], atol=1e-12)


def test_a_frame_without_its_root_is_left_out(walk):
    points = walk + 0.1
    points[:100, 0] = NAN  # a hip
    points[:, 3] += [0, 0, 0.6]
    assert np.isnan(centred(points, HIPS)[:100]).all()
    assert mpjpe(points, walk, HIPS) == pytest.approx(0.6 / 6, **EXACT)


def test_mpjpe_forgets_places_but_not_turns(walk, rng):
    assert mpjpe(walk + rng.normal(size=(250, 1, 3)), walk, HIPS) == pytest.approx(0, abs=1e-12)
    assert mpjpe(moved(walk, rng), walk, HIPS) > 0.1
    assert mpjpe(1.1 * walk, walk, HIPS) > 0.01


def test_pa_mpjpe_forgets_a_similarity_of_each_frame_but_no_mirror(walk, rng):
    each = np.stack([moved(f, rng, rng.uniform(0.5, 2)) for f in walk[:20]])
    assert pa_mpjpe(each, walk[:20]) == pytest.approx(0, abs=1e-12)
    assert pa_mpjpe(walk[:20] * [1, 1, -1], walk[:20]) > 0.1
    rigid = one_rigid(1.2 * walk, walk)
    assert mpjpe(rigid, walk, None) > 0.02
    assert pa_mpjpe(each, walk[:20]) <= mpjpe(each, walk[:20], HIPS)


def test_pa_mpjpe_leaves_out_frames_that_determine_no_rotation(walk):
    points = walk[:10] + 0.0
    points[:, 5] += 0.2
    alone = pa_mpjpe(points[1:], walk[1:10])
    points[0, 2:] = NAN
    assert pa_mpjpe(points, walk[:10]) == pytest.approx(alone, **EXACT)


def test_one_motion_for_the_clip(walk, rng):
    turned = moved(walk, rng)
    np.testing.assert_allclose(one_rigid(turned, walk), walk, atol=1e-12)
    sized = moved(walk, rng, 1.3)
    np.testing.assert_allclose(one_rigid(sized, walk, with_scale=True), walk, atol=1e-12)
    assert mpjpe(one_rigid(sized, walk), walk, None) > 0.05
    # A motion of each frame is more than one for the clip takes away.
    each = np.stack([moved(f, rng) for f in walk])
    assert mpjpe(one_rigid(each, walk), walk, None) > 0.1


def test_world_errors_take_one_motion_per_chunk(walk, rng):
    parts = [moved(part, rng, 1.2) for part in np.split(walk, [100, 200])]
    points = np.concatenate(parts)
    assert mean_of(world_errors(points, walk, first=FIRST_FRAMES)) == pytest.approx(0, abs=1e-12)
    assert mean_of(world_errors(points, walk)) == pytest.approx(0, abs=1e-12)
    # Cut elsewhere than at 100 and 200, there are two motions in a chunk.
    assert mean_of(world_errors(points[20:], walk[20:])) > 0.1


def test_drift_shows_in_w_mpjpe_by_its_size(walk):
    # 1 cm a frame along x, from the third frame of each chunk on; the first two are exact, so the
    # k-th frame is off by k - 1 cm for k = 2..99, whatever the pose.
    drift = np.tile(np.maximum(np.arange(100) - 1, 0) * 0.01, 2)
    points = walk[:200] + drift[:, None, None] * [1.0, 0, 0]
    assert mean_of(world_errors(points, walk[:200], first=FIRST_FRAMES)) == pytest.approx(
        0.01 * 98 * 99 / 2 / 100, abs=1e-9
    )
    assert (
        mean_of(world_errors(points, walk[:200]))
        < mean_of(world_errors(points, walk[:200], first=FIRST_FRAMES)) / 2
    )
    np.testing.assert_allclose(
        world_errors(points, walk[:200], first=2), drift[:, None] * np.ones(6), atol=1e-9
    )


def test_a_chunk_without_a_start_is_missing(walk):
    points = walk.copy()
    points[100:102] = NAN
    errors = world_errors(points, walk, first=2)
    assert np.isnan(errors[100:200]).all()
    assert np.nanmax(errors) == pytest.approx(0, abs=1e-12)
    assert np.isfinite(world_errors(points, walk)[102:200]).all()


def test_root_translation_error_is_a_share_of_the_way():
    # A straight way of 10 m; the path is 0.1 m too long at both ends: 1 % there, 0 in the middle.
    truth = np.linspace([0, 0, 0], [10.0, 0, 0], 11)
    path = truth + np.linspace(-0.1, 0.1, 11)[:, None] * [1, 0, 0]
    found = root_translation_errors(path, truth)
    np.testing.assert_allclose(found, np.abs(np.linspace(-1, 1, 11)), atol=1e-9)
    turned = Rotation.from_rotvec([0.3, 1, -2]).apply(path) + 7
    np.testing.assert_allclose(root_translation_errors(turned, truth), found, atol=1e-9)


def test_root_translation_error_of_a_sideways_wave_on_a_straight_way():
    # The rotation about the way is open, but not the distance from it.
    truth = np.linspace([0, 0, 0], [8.0, 0, 0], 9)
    wave = np.tile([1.0, -1.0], 5)[:9] - 1 / 9  # its mean is 0
    wave -= np.polyval(np.polyfit(truth[:, 0], wave, 1), truth[:, 0])  # and it does not turn
    found = root_translation_errors(truth + 0.04 * wave[:, None] * [0, 0, 1], truth)
    np.testing.assert_allclose(found, 100 * 0.04 * np.abs(wave) / 8, atol=1e-9)


def test_root_translation_error_without_a_way_or_with_holes():
    still = np.tile([1.0, 2, 3], (5, 1))
    assert np.isnan(root_translation_errors(still, still)).all()
    truth = np.linspace([0, 0, 0], [4.0, 0, 4], 9)
    path = truth.copy()
    path[3] = NAN
    found = root_translation_errors(path, truth)
    assert np.isnan(found[3])
    np.testing.assert_allclose(np.delete(found, 3), 0, atol=1e-9)


def test_pck_counts_by_the_size_of_each_frame():
    truth = np.zeros((2, 3, 2))
    points = np.array([[[4.0, 0], [5.0, 0], [5.1, 0]], [[9.0, 0], [0, 11.0], [NAN, NAN]]])
    size = np.array([100.0, 200.0])
    np.testing.assert_array_equal(
        correct_points(points, truth, size, 0.05), [[1, 1, 0], [1, 0, NAN]]
    )
    assert mean_of(correct_points(points, truth, size, 0.05)) == 3 / 5
    assert mean_of(correct_points(points, truth, 100.0, 0.05)) == 2 / 5
    assert mean_of(correct_points(points, truth, size, 0.05, lost_is_wrong=True)) == 3 / 6
    # What the truth does not know, or has no size, is nobody's mistake.
    truth[1, 2] = NAN
    assert mean_of(correct_points(points, truth, size, 0.05, lost_is_wrong=True)) == 3 / 5
    size[1] = NAN
    assert mean_of(correct_points(points, truth, size, 0.05, lost_is_wrong=True)) == 2 / 3


def test_what_has_no_error():
    with pytest.raises(InvalidData, match="no error"):
        point_errors(np.zeros((2, 3, 3)), np.zeros((2, 4, 3)))
    with pytest.raises(InvalidData, match="root"):
        mpjpe(np.zeros((2, 3, 3)), np.zeros((2, 3, 3)), ())
