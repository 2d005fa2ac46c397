"""Left and right exchanged in some views: on the real demo, and on made-up walkers."""

from dataclasses import replace

import numpy as np
import pytest

from kinefit.geometry.projection import RigOptics, project_rig
from kinefit.multiview.candidates import Rays, camera_pairs, hypotheses
from kinefit.multiview.triangulation_options import TriangulationOptions
from kinefit.multiview.view_swaps import (
    UNITS,
    ViewSwaps,
    _exchanged,
    _Search,
    find_view_swaps,
    undo_view_swaps,
)
from kinefit.skeletons import Skeleton, skeleton
from kinefit.types import Timeline

OPTIONS = TriangulationOptions()
LEGS = ("Hip", "Knee", "Ankle", "Heel", "BigToe")


def frames(*runs):
    return [f for a, b in runs for f in range(a, b + 1)]


def test_the_demos_camera_2_is_found_and_no_other(demo):
    swaps = find_view_swaps(*demo, OPTIONS)
    for name in ("cam01", "cam03", "cam04"):
        assert swaps.of_camera(name) == {}
    found = {group: np.flatnonzero(v).tolist() for group, v in swaps.of_camera("cam02").items()}
    # The truth of docs/measurements/side_swaps.md, found there with smoothed points; on these, the
    # legs of frame 74 lie across each other in the picture and are as near to either label.
    assert found["arms"] == frames((41, 63), (65, 65), (67, 73), (81, 81))
    assert set(frames((41, 59), (61, 63), (65, 65), (67, 73))) <= set(found["legs"])
    assert set(found["legs"]) <= set(frames((41, 74), (81, 81)))


def test_undoing_a_repaired_view_finds_nothing_more(demo):
    swaps = find_view_swaps(*demo, OPTIONS)
    xy, score = undo_view_swaps(demo.names, demo.xy, demo.score, swaps)
    again = find_view_swaps(demo.rig, demo.timeline, demo.names, xy, score, OPTIONS)
    assert again.swapped.mean() < 0.001
    back = undo_view_swaps(demo.names, xy, score, swaps)
    np.testing.assert_array_equal(back[0], demo.xy)
    np.testing.assert_array_equal(back[1], demo.score)


class Walk:
    """A walker in `count` views with 3 px of noise; `swap` exchanges labels as a detector does."""

    def __init__(self, ring, walker, count, length=90, seed=0):
        names = skeleton("blazepose33").points
        xyz = walker(names, length)
        there = np.isfinite(xyz[0]).all(axis=-1)
        self.names = tuple(n for n, t in zip(names, there, strict=True) if t)
        self.rig, self.timeline = ring(count), Timeline.regular(length, 60.0)
        pixels = project_rig(self.rig, xyz[:, there])
        self.xy = pixels + np.random.default_rng(seed).normal(0, 3, pixels.shape)
        self.truth = np.zeros(self.xy.shape[:3], bool)

    def swap(self, camera, run, joints):
        columns = [i for i, n in enumerate(self.names) if n[1:] in joints and n[0] in "LR"]
        self.truth[camera, run[0] : run[1] + 1, columns] = True

    def find(self):
        twin = Skeleton("", self.names).mirror()
        source = np.where(self.truth, twin, np.arange(len(self.names)))
        xy = np.take_along_axis(self.xy, source[..., None], axis=2)
        swaps = find_view_swaps(
            self.rig, self.timeline, self.names, xy, np.ones(xy.shape[:3]), OPTIONS
        )
        return swaps.of_points(self.names)

    def errors(self):
        """(wrongly kept, wrongly exchanged) pairs that lie more than 20 px apart in the picture."""
        found = self.find()
        twin = Skeleton("", self.names).mirror()
        apart = np.linalg.norm(self.xy - self.xy[:, :, twin], axis=-1) > 20
        return int((self.truth & ~found & apart).sum()), int((found & ~self.truth & apart).sum())


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8])
def test_correct_labels_are_left_alone(ring, walker, count):
    assert Walk(ring, walker, count).errors() == (0, 0)


@pytest.mark.parametrize("count", [3, 4, 8])
def test_whole_bodies_exchanged_in_one_view_are_found(ring, walker, count):
    walk = Walk(ring, walker, count)
    everything = ("Shoulder", "Elbow", "Wrist", "Ear", *LEGS)
    walk.swap(1, (20, 50), everything)
    walk.swap(2, (70, 75), everything)
    assert walk.errors() == (0, 0)


@pytest.mark.parametrize("count", [4, 8])
def test_legs_exchanged_alone_are_found(ring, walker, count):
    walk = Walk(ring, walker, count)
    walk.swap(0, (10, 30), LEGS)
    walk.swap(2, (25, 60), LEGS)
    assert walk.errors() == (0, 0)


def test_one_pair_of_joints_exchanged_alone_is_found(ring, walker):
    walk = Walk(ring, walker, 4)
    walk.swap(2, (30, 60), ("Wrist",))
    missed, invented = walk.errors()
    assert invented == 0
    assert missed <= 6  # of 62: where the wrists pass each other in the picture


def test_two_views_tell_by_their_jumps_which_of_them_is_wrong(ring, walker):
    walk = Walk(ring, walker, 2)
    walk.swap(1, (30, 60), ("Shoulder", "Elbow", "Wrist", *LEGS))
    missed, invented = walk.errors()
    assert invented == 0
    assert missed <= 40  # of 496; pairs that cross while exchanged


def test_half_of_the_views_exchanged_at_once_are_found(ring, walker):
    walk = Walk(ring, walker, 4)
    for camera in (0, 3):
        walk.swap(camera, (40, 55), ("Shoulder", "Elbow", "Wrist", "Ear", *LEGS))
    assert walk.errors() == (0, 0)


def test_units_cover_every_sided_point_of_every_skeleton():
    from kinefit.skeletons import skeleton_names

    for name in skeleton_names():
        if name in ("augmented43",):  # markers, not a detector's points
            continue
        points = skeleton(name).points
        mirror = skeleton(name).mirror()
        every = np.ones((1, 1, len(UNITS)), bool)
        flags = ViewSwaps(Timeline.regular(1, 1.0), ("c",), every).of_points(points)[0, 0]
        sided = mirror != np.arange(len(points))
        np.testing.assert_array_equal(flags, sided, err_msg=name)


def test_points_without_sides_are_never_exchanged():
    swaps = ViewSwaps(Timeline.regular(2, 1.0), ("c",), np.ones((1, 2, len(UNITS)), bool))
    names = ("Nose", "LKnee", "RKnee", "Neck")
    xy = np.arange(16.0).reshape(1, 2, 4, 2)
    out, _ = undo_view_swaps(names, xy, np.ones((1, 2, 4)), swaps)
    np.testing.assert_array_equal(out[:, :, [0, 3]], xy[:, :, [0, 3]])
    np.testing.assert_array_equal(out[:, :, 1], xy[:, :, 2])


def test_labelings_cost_what_each_by_itself_costs(ring) -> None:
    """Meetings are shared among labelings; here every labeling is exchanged and met by itself."""
    rig, random = ring(4), np.random.default_rng(0)
    truth = random.uniform([-0.5, 0.2, -0.5], [0.5, 1.8, 0.5], (20, 6, 3))
    xy = project_rig(rig, truth) + random.normal(0, 20, (4, 20, 6, 2))
    xy[random.random((4, 20, 6)) < 0.2] = np.nan
    twins, score = xy.reshape(4, 20, 3, 2, 2), random.uniform(0.4, 1, (4, 20, 3, 2))
    bits = np.arange(8)[:, None] >> np.arange(4) & 1
    search = _Search(rig, Timeline.regular(20, 50.0), OPTIONS)
    found = search._labeling_costs(twins, score, bits)
    own = replace(OPTIONS, reseed_from_inliers=False).for_images(rig)
    pairs = camera_pairs(np.stack([camera.centre for camera in rig]), own.max_pairs)
    for row, cost in zip(bits, found, strict=True):
        mine = _exchanged(twins, score, np.repeat(row[:, None] == 1, 20, axis=1))
        flat = mine[0].reshape(4, -1, 2), mine[1].reshape(4, -1)
        seen = Rays.of(RigOptics.of(rig), *flat)
        known = (seen.valid.sum(axis=0) >= 2).reshape(20, -1)
        best = np.minimum(hypotheses(seen, pairs, own)[2].min(axis=0), 1).reshape(20, -1)
        expected = np.where(known, best, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        np.testing.assert_allclose(cost, expected, atol=1e-5)  # both in single precision
    assert np.ptp(found, axis=0).max() > 0.1  # labelings differ
