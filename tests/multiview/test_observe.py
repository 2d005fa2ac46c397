"""From views to one person in the world: a pure function, checked against exact truth."""

import json
from dataclasses import replace

import numpy as np
import pytest

from kinefit.geometry.projection import project_rig
from kinefit.metrics.statistics import region_coverage
from kinefit.multiview.observe import RigOptions, observe_rig
from kinefit.skeletons import Skeleton, skeleton
from kinefit.types import CameraRig, InputError, Keypoints2D, Timeline, TooFewPoints

RATE, LENGTH = 60.0, 90
SIZE = (1920, 1080)


@pytest.fixture(scope="module")
def scene(ring, walker):
    """rig, names, truth (T, J, 3), camera -> Keypoints2D with 3 px of noise."""
    every = skeleton("blazepose33").points
    truth = walker(every, LENGTH, RATE)
    there = np.isfinite(truth[0]).all(axis=-1)
    names = tuple(n for n, t in zip(every, there, strict=True) if t)
    return ring(4), names, truth[:, there], views_of(ring(4), names, truth[:, there])


def views_of(rig, names, truth, noise=3.0):
    pixels = project_rig(rig, truth)
    pixels = pixels + np.random.default_rng(3).normal(0, noise, pixels.shape)
    timeline = Timeline.regular(LENGTH, RATE)
    return {
        name: Keypoints2D(timeline, names, xy, np.ones(xy.shape[:2]), SIZE)
        for name, xy in zip(rig.names, pixels, strict=True)
    }


@pytest.fixture(scope="module")
def found(scene):
    rig, _, _, views = scene
    return observe_rig(views, rig, RigOptions(stature_m=1.75))


def test_the_person_is_where_the_truth_is(scene, found):
    _, names, truth, _ = scene
    there = truth @ found.rotation.T + found.shift
    error = np.linalg.norm(found.observations.xyz - there, axis=-1)
    assert found.observations.names == names
    covariance = found.observations.covariance
    assert error.mean() < 0.006  # 3 px are 8 mm in one view
    assert region_coverage(found.observations.xyz - there, covariance, 0.95).share > 0.95


def test_the_world_is_the_persons(found):
    at = {n: found.observations.xyz[:, i] for i, n in enumerate(found.observations.names)}
    hips = (at["LHip"] + at["RHip"]) / 2
    np.testing.assert_allclose(hips[0, [0, 2]], 0, atol=1e-9)
    feet = np.stack([at[s + p][:, 1] for s in "LR" for p in ("Heel", "BigToe")])
    assert abs(feet.min()) < 0.06  # no foot of this walker ever stands: they swing about the floor
    right = (at["RHip"] - at["LHip"]).mean(axis=0)
    assert right[2] > 0.1  # facing +X, the right is at +Z
    assert abs(right[0]) < 0.02
    assert (at["Nose"] - at["LAnkle"])[:, 1].min() > 1


def test_the_cameras_see_the_observations_where_they_say(found):
    pixels = project_rig(found.observations.rig, found.observations.xyz).swapaxes(0, 1)
    error = np.linalg.norm(pixels - found.observations.xy, axis=-1)
    assert np.nanmean(error) < 5  # 3 px per axis are 3.8 px
    sigma = found.observations.sigma
    np.testing.assert_allclose(np.nanmean(sigma), 3.0, rtol=0.1)
    np.testing.assert_allclose(found.moments, np.tile(np.arange(LENGTH) / RATE, (4, 1)), atol=1e-6)


def test_what_a_report_shows_is_plain_values(found):
    facts = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert [c["camera"] for c in facts["cameras"]] == ["c0", "c1", "c2", "c3"]
    assert all(c["used_pct"] > 95 for c in facts["cameras"])
    assert facts["side_swaps"] == {}
    assert facts["findings"] == []
    assert any("Segment lengths" in note for note in facts["notes"])


def test_the_calibrations_axes_can_be_kept(scene):
    rig, _, truth, views = scene
    found = observe_rig(views, rig, RigOptions(keep_axes=True, trajectory=False))
    np.testing.assert_array_equal(found.rotation, np.eye(3))
    assert np.linalg.norm(found.observations.xyz - truth, axis=-1).mean() < 0.01
    np.testing.assert_array_equal(found.observations.xyz, found.points.refined)


def test_an_unknown_vertical_is_taken_from_the_person(scene, found):
    rig, _, _, views = scene
    z_up = np.array([[0.0, 0, 1], [1, 0, 0], [0, 1, 0]])
    turned = observe_rig(views, rig.moved(z_up), RigOptions(up_known=False, stature_m=1.75))
    assert any("Up is the file's z" in note for note in turned.notes)
    # Damping scales the world's axes: a small part of the noise.
    np.testing.assert_allclose(turned.observations.xyz, found.observations.xyz, atol=1e-3)
    lying = np.array([[1, 0, 0], [0, np.sqrt(0.5), -np.sqrt(0.5)], [0, np.sqrt(0.5), np.sqrt(0.5)]])
    with pytest.raises(InputError, match="no axis along which the person stands"):
        observe_rig(views, rig.moved(lying), RigOptions(up_known=False))


def test_exchanged_sides_are_put_right_and_reported(scene, found):
    rig, names, _, views = scene
    mirror = Skeleton("", names).mirror()
    xy = views["c1"].xy.copy()
    xy[30:50] = xy[30:50][:, mirror]
    swapped = {**views, "c1": replace(views["c1"], xy=xy)}
    again = observe_rig(swapped, rig, RigOptions(stature_m=1.75))
    assert np.flatnonzero(again.side_swaps["legs in c1"]).tolist() == list(range(30, 50))
    np.testing.assert_allclose(again.observations.xyz, found.observations.xyz, atol=1e-6)
    kept = observe_rig(swapped, rig, RigOptions(repair_side_swaps=False))
    assert "legs in c1" in kept.side_swaps
    assert kept.points.inlier_mask[35, :, 1].mean() < 0.5


def test_clocks_are_given_or_found_or_refused(scene, found):
    rig, names, _, views = scene
    late = {**views}
    late["c2"] = Keypoints2D(
        Timeline(np.arange(LENGTH - 6), np.arange(LENGTH - 6) / RATE), names,
        views["c2"].xy[6:], views["c2"].score[6:], SIZE,
    )  # fmt: skip
    given = observe_rig(late, rig, RigOptions(offset_s={"c2": 0.1}, stature_m=1.75))
    np.testing.assert_allclose(given.moments[2], given.moments[0] - 0.1, atol=1e-6)
    inside = slice(6, None)
    np.testing.assert_allclose(
        given.observations.xyz[inside][5:], found.observations.xyz[inside][5:], atol=0.004
    )
    with pytest.raises(InputError, match="does not determine the offset of"):
        observe_rig(views, rig, RigOptions(sync=True))  # 1.5 s of a regular motion


def test_views_that_meet_nowhere_and_people_without_hips_are_refused(scene):
    rig, names, _, views = scene
    inverted = [replace(c, R=c.R.T, t=-c.R.T @ c.t) for c in rig]  # camera to world taken as is
    with pytest.raises(InputError, match="meet nowhere"):
        observe_rig(views, CameraRig(tuple(inverted)), RigOptions())
    few = [i for i, n in enumerate(names) if "Hip" not in n]
    headless = {
        n: Keypoints2D(
            v.timeline, tuple(names[i] for i in few), v.xy[:, few], v.score[:, few], SIZE
        )
        for n, v in views.items()
    }
    with pytest.raises(TooFewPoints, match="hips"):
        observe_rig(headless, rig, RigOptions())
