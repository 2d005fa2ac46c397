"""From any detector's points, or any program's names, to the 22 markers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.markers.initial import initial_markers, small_toe, standard_markers
from kinefit.io.trc import read_trc
from kinefit.skeletons import map_points, skeleton
from kinefit.types import InvalidData, Keypoints3D, Markers, Timeline, all_finite

STATIC = Path(__file__).parents[3].parent / "shared/data/opencap/Subject4/static1.trc"
FEET = {"RHeel", "LHeel", "RBigToe", "LBigToe", "RSmallToe", "LSmallToe"}


def _detected(standing: Markers, table: str) -> Keypoints3D:
    """The standing figure as a detector with the points of `table` sees it."""
    target = skeleton(table)
    xyz = map_points(standing.xyz, standing.names, target)
    if table == "blazepose33":  # no head of its own: the ears stand for it
        head = standing.xyz[:, standing.names.index("Head")]
        for ear, z in (("REar", 0.08), ("LEar", -0.08)):
            xyz[:, target.points.index(ear)] = head + np.array([0, 0, z])
    return Keypoints3D(standing.timeline, target.points, xyz, "world")


@pytest.mark.parametrize("table", ["blazepose33", "halpe26", "body25", "coco17"])
def test_every_detector_gives_the_same_markers_where_it_has_them(standing, table):
    world = _detected(standing, table)
    out = initial_markers(world, np.ones(world.xyz.shape[:2]))
    assert out.names == skeleton("markers22").points
    missing = {n for n, p in zip(out.names, out.present.all(0), strict=True) if not p}
    wanted = {"blazepose33": set(), "halpe26": set(), "body25": {"Head"}, "coco17": FEET | {"Head"}}
    assert missing == wanted[table]
    guessed = {n for n, e in zip(out.names, out.estimated.any(0), strict=True) if e}
    assert guessed == ({"RSmallToe", "LSmallToe"} if table == "blazepose33" else set())
    rest = [i for i, n in enumerate(out.names) if n not in missing | guessed]
    np.testing.assert_allclose(out.xyz[:, rest], standing.xyz[:, rest], atol=1e-12)


def test_points_below_the_visibility_are_missing_and_touch_only_what_is_made_of_them(standing):
    world = _detected(standing, "blazepose33")
    score = np.ones(world.xyz.shape[:2])
    score[10:20, world.names.index("LHip")] = 0.29
    score[5, world.names.index("RWrist")] = np.nan
    lost = ~initial_markers(world, score).present
    names = skeleton("markers22").points
    assert {names[i] for i in np.flatnonzero(lost[10])} == {"LHip", "Hip"}
    assert {names[i] for i in np.flatnonzero(lost[5])} == {"RWrist"}
    lost[10:20] = lost[5] = False
    assert not lost.any()
    assert initial_markers(world, score, visibility_min=0.1).present[10].all()


def test_camera_axes_and_a_wrong_score_are_refused(standing):
    world = _detected(standing, "coco17")
    with pytest.raises(InvalidData, match="world"):
        initial_markers(replace(world, axes="camera"), np.ones(world.xyz.shape[:2]))
    with pytest.raises(InvalidData, match="score"):
        initial_markers(world, np.ones(17))


def test_names_of_other_programs(standing):
    renamed = {"Hip": "midHip", "LKnee": "Lknee"}
    other = replace(standing, names=tuple(renamed.get(n, n) for n in standing.names))
    assert np.array_equal(standard_markers(other).xyz, standing.xyz)
    # Skin markers with like names stay out, also where the joint itself is absent.
    skin = replace(standing, names=tuple(f"{n[0]}_{n[1:]}" for n in standing.names))
    assert not standard_markers(skin).present.any()
    both = [n for n in standing.names if n != "Neck"] + ["midHip"]
    two = Markers(standing.timeline, tuple(both), standing.xyz)
    assert np.array_equal(standard_markers(two).select(["Hip"]).xyz, two.select(["Hip"]).xyz)


def test_a_mean_replaces_a_derived_point_only_where_it_is_missing(standing):
    xyz, hip = standing.xyz.copy(), standing.names.index("Hip")
    xyz[:, hip] += [0, 0.01, 0]
    xyz[7, hip] = np.nan
    out = standard_markers(replace(standing, xyz=xyz, sd=np.full(xyz.shape, 0.004)))
    np.testing.assert_array_equal(out.xyz[6, hip], xyz[6, hip])
    np.testing.assert_allclose(out.xyz[7, hip], standing.xyz[7, hip], atol=1e-15)
    np.testing.assert_allclose(out.sd, 0.004, atol=1e-15)
    assert not out.estimated.any()


def test_small_toes_turn_and_grow_with_the_foot_and_mirror():
    rng = np.random.default_rng(0)
    foot = np.array([[-0.07, 0.03, 0.1], [0.17, 0.02, 0.11], [-0.02, 0.09, 0.1]])
    toe = small_toe(*foot, "R")
    assert toe[2] > foot[1, 2] + 0.04  # to the right of the right foot
    mirror = np.array([1, 1, -1])
    np.testing.assert_allclose(small_toe(*(foot * mirror), "L"), toe * mirror, atol=1e-15)
    q, _ = np.linalg.qr(rng.normal(size=(3, 3)))
    turn = q * np.sign(np.linalg.det(q))
    moved = 1.3 * foot @ turn.T + [1, 2, 3]
    np.testing.assert_allclose(small_toe(*moved, "R"), 1.3 * turn @ toe + [1, 2, 3], atol=1e-12)


def test_a_flat_foot_has_no_side(standing):
    xyz, names = standing.xyz.copy(), standing.names
    heel, toe, ankle, small = (
        names.index("R" + n) for n in ("Heel", "BigToe", "Ankle", "SmallToe")
    )
    xyz[:, small] = np.nan
    xyz[3, ankle] = xyz[3, heel] + 0.3 * (xyz[3, toe] - xyz[3, heel])  # on the line
    xyz[4, toe] = xyz[4, heel]  # no length
    xyz[5, heel] = np.nan
    out = standard_markers(replace(standing, xyz=xyz))
    assert np.flatnonzero(~out.present[:, small]).tolist() == [3, 4, 5]
    assert np.flatnonzero(~out.estimated[:, small]).tolist() == [3, 4, 5]
    assert out.present[:, names.index("LSmallToe")].all()


@pytest.mark.skipif(not STATIC.exists(), reason="measured data is not beside the repository")
@pytest.mark.parametrize(("side", "prefix"), [("R", "r"), ("L", "L")])
def test_small_toe_against_the_measured_fifth_metatarsal(side, prefix):
    static = read_trc(STATIC)
    names = [f"{prefix}_{n}" for n in ("calc", "toe", "ankle", "mankle", "5meta")]
    heel, toe, lateral, medial, fifth = np.moveaxis(static.select(names).xyz, 1, 0)
    guess = small_toe(heel, toe, (lateral + medial) / 2, side)
    miss = (guess - fifth)[all_finite(guess - fifth)] * 1000
    # Measured: 33 and 27 mm, of which 31 and 27 are height (that toe marker sits on the toe).
    assert np.linalg.norm(miss, axis=1).mean() < 36
    flat = np.delete(miss, 1, axis=1)
    assert np.linalg.norm(flat, axis=1).mean() < 20


def test_an_empty_clip_stays_empty():
    empty = Markers(Timeline.regular(0, 60.0), ("RHip",), np.empty((0, 1, 3)))
    assert standard_markers(empty).xyz.shape == (0, 22, 3)
