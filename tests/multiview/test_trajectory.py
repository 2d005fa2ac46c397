"""The body's trajectory: constant bones, less error, intervals that hold, honest gaps."""

from dataclasses import replace

import numpy as np
import pytest

from kinefit.geometry.projection import project_rig
from kinefit.multiview import trajectory as module
from kinefit.multiview.trajectory import body_trajectory
from kinefit.multiview.triangulate import triangulate
from kinefit.multiview.triangulation_options import TriangulationOptions
from kinefit.multiview.view_swaps import find_view_swaps, undo_view_swaps
from kinefit.skeletons import skeleton
from kinefit.skeletons.limbs import LONG_BONES
from kinefit.types import Timeline


class Scene:
    """A rigid walker before four cameras: truth, views, triangulation."""

    def __init__(self, ring, walker, *, length=120, rate=60.0, noise=6.0, cameras=4, hide=None):
        every = skeleton("blazepose33").points
        truth = walker(every, length, rate)
        there = np.isfinite(truth[0]).all(axis=-1)
        self.names = tuple(n for n, t in zip(every, there, strict=True) if t)
        self.truth, self.rig = truth[:, there], ring(cameras)
        pixels = project_rig(self.rig, self.truth)
        self.xy = pixels + np.random.default_rng(4).normal(0, noise, pixels.shape)
        self.score = np.ones(self.xy.shape[:3])
        if hide:
            name, frames = hide
            self.xy[:, frames, self.names.index(name)] = np.nan
            self.score[:, frames, self.names.index(name)] = 0
        self.timeline = Timeline.regular(length, rate)
        self.points = triangulate(self.rig, self.timeline, self.names, self.xy, self.score)

    def run(self, **options):
        return body_trajectory(self.rig, self.points, self.xy, self.score, **options)

    def column(self, name):
        return self.names.index(name)

    def error(self, xyz):
        return np.linalg.norm(xyz - self.truth, axis=-1)


def variation(xyz, names):
    """Coefficient of variation of each of the 8 arm and leg bones."""
    at = {name: xyz[:, i] for i, name in enumerate(names)}
    lengths = [np.linalg.norm(at[b.start] - at[b.end], axis=-1) for b in LONG_BONES]
    return np.array([np.nanstd(length) / np.nanmean(length) for length in lengths])


@pytest.fixture(scope="module")
def scene(ring, walker):
    return Scene(ring, walker)


@pytest.fixture(scope="module")
def found(scene):
    return scene.run()


def test_bones_are_constant_and_of_the_right_length(scene, found):
    assert variation(scene.points.refined, scene.names).mean() > 0.03  # there is something to do
    assert variation(found.keypoints.xyz, scene.names).max() < 0.005
    lengths = dict(zip(found.bones, found.lengths, strict=True))
    for bone, true in (("forearm", 0.25), ("upper arm", 0.28), ("thigh", 0.42), ("shank", 0.40)):
        for side in ("left", "right"):
            # Medians of 120 lengths with 8 mm of noise at each end: 1 mm, and its bias as much.
            assert lengths[f"{side} {bone}"] == pytest.approx(true, abs=0.004)


def test_the_error_is_less_than_half(scene, found):
    raw, smooth = scene.error(scene.points.refined).mean(), scene.error(found.keypoints.xyz).mean()
    assert smooth < 0.5 * raw


def test_intervals_hold_what_they_promise(scene, found):
    sd = np.sqrt(np.einsum("tjii->tji", found.covariance))
    share = (np.abs(found.keypoints.xyz - scene.truth) <= 1.96 * sd).mean()
    # Smooth errors: 2 s hold perhaps ten independent ones per point. And the walker is rigid and
    # smoother than the prior allows for, so that intervals are rather too wide.
    assert 0.92 <= share <= 0.999
    assert found.independent == pytest.approx(1.0, abs=0.3)  # white noise


def test_lasting_errors_widen_the_intervals(scene):
    # The same noise held for 10 frames: a detector's bias, which no smoothing takes away.
    random = np.random.default_rng(9)
    held = np.repeat(random.normal(0, 6, (4, 12, len(scene.names), 2)), 10, axis=1)
    xy = project_rig(scene.rig, scene.truth) + held
    points = triangulate(scene.rig, scene.timeline, scene.names, xy, scene.score)
    found = body_trajectory(scene.rig, points, xy, scene.score)
    assert 6 < found.independent < 14
    sd = np.sqrt(np.einsum("tjii->tji", found.covariance))
    assert (np.abs(found.keypoints.xyz - scene.truth) <= 1.96 * sd).mean() > 0.9


def test_a_limb_that_nobody_saw_stays_missing(ring, walker):
    scene = Scene(ring, walker, hide=("LWrist", slice(40, 80)))
    wrist = scene.column("LWrist")
    found = scene.run()
    # A tenth of a second on either side is bridged, the half second between is not.
    assert np.isnan(found.keypoints.xyz[47:73, wrist]).all()
    assert np.isnan(found.covariance[47:73, wrist]).all()
    assert np.isfinite(found.keypoints.xyz[:40, wrist]).all()
    others = [i for i in range(len(scene.names)) if i != wrist]
    assert np.isfinite(found.keypoints.xyz[:, others]).all()


def test_or_gets_a_wide_interval_when_asked(ring, walker):
    scene = Scene(ring, walker, hide=("LWrist", slice(40, 80)))
    wrist = scene.column("LWrist")
    found = scene.run(max_unseen_s=np.inf, max_sd_m=np.inf)
    sd = np.sqrt(np.einsum("tii->t", found.covariance[:, wrist]))
    assert np.isfinite(found.keypoints.xyz).all()
    assert sd[60] > 5 * sd[20]
    assert (found.seen[40:80, wrist] == 0).all()
    # The elbow holds it: the wrist is a forearm away, in a direction that nobody knows.
    assert (scene.error(found.keypoints.xyz)[40:80, wrist] < 3 * sd[40:80] + 0.01).all()


def test_a_point_seen_by_one_camera_is_helped_by_its_bone(ring, walker):
    scene = Scene(ring, walker)
    wrist, frames = scene.column("RWrist"), slice(50, 60)
    scene.xy[1:, frames, wrist], scene.score[1:, frames, wrist] = np.nan, 0
    scene.points = triangulate(scene.rig, scene.timeline, scene.names, scene.xy, scene.score)
    assert np.isnan(scene.points.refined[frames, wrist]).all()
    found = scene.run()
    assert scene.error(found.keypoints.xyz)[frames, wrist].max() < 0.03


def test_a_point_that_one_camera_sees_for_long_is_missing(ring, walker):
    scene = Scene(ring, walker)
    wrist, frames = scene.column("RWrist"), slice(20, 90)
    scene.xy[1:, frames, wrist], scene.score[1:, frames, wrist] = np.nan, 0
    scene.points = triangulate(scene.rig, scene.timeline, scene.names, scene.xy, scene.score)
    assert np.isnan(scene.run().keypoints.xyz[28:82, wrist]).all()


def test_a_point_never_seen_is_missing_throughout(ring, walker):
    scene = Scene(ring, walker, hide=("Nose", slice(None)))
    found = scene.run(max_unseen_s=np.inf, max_sd_m=np.inf)
    assert np.isnan(found.keypoints.xyz[:, scene.column("Nose")]).all()
    others = [i for i, n in enumerate(scene.names) if n != "Nose"]
    assert np.isfinite(found.keypoints.xyz[:, others]).all()


def test_half_the_frame_rate_gives_the_same_motion(scene, found):
    keep = slice(None, None, 2)
    timeline = Timeline(scene.timeline.frame[keep], scene.timeline.time[keep])
    xy, score = scene.xy[:, keep], scene.score[:, keep]
    points = triangulate(scene.rig, timeline, scene.names, xy, score)
    half = body_trajectory(scene.rig, points, xy, score)
    # Half of the data: 1.4 times the noise, which is 4 mm; not the sluggishness of another rate.
    away = np.linalg.norm(half.keypoints.xyz - found.keypoints.xyz[keep], axis=-1)
    assert np.median(away) < 0.006


def test_windows_of_a_long_clip_join(scene, found, monkeypatch):
    monkeypatch.setattr(module, "_WINDOW", 40)
    monkeypatch.setattr(module, "_OVERLAP", 30)
    parts = scene.run()
    # What lies half a second away no longer matters: micrometres, and where the solver stops.
    np.testing.assert_allclose(parts.keypoints.xyz, found.keypoints.xyz, atol=5e-4)
    np.testing.assert_allclose(parts.covariance, found.covariance, rtol=0.05, atol=1e-9)


def test_gross_errors_of_single_views_do_not_pull(scene, found):
    xy = scene.xy.copy()
    xy[2, 30:40, scene.column("RKnee")] += 150.0
    points = triangulate(scene.rig, scene.timeline, scene.names, xy, scene.score)
    bad = body_trajectory(scene.rig, points, xy, scene.score)
    away = np.linalg.norm(bad.keypoints.xyz - found.keypoints.xyz, axis=-1)
    assert away.max() < 0.015


def test_another_world_gives_the_same_motion_there(scene, found):
    from scipy.spatial.transform import Rotation

    Q = Rotation.from_euler("xyz", [20, 70, -40], degrees=True).as_matrix()
    rig = scene.rig.moved(Q, np.array([1.0, 2, 3]))
    points = triangulate(rig, scene.timeline, scene.names, scene.xy, scene.score)
    there = body_trajectory(rig, points, scene.xy, scene.score)
    np.testing.assert_allclose(
        there.keypoints.xyz, found.keypoints.xyz @ Q.T + [1.0, 2, 3], atol=5e-4
    )


def test_the_demo_moves_as_a_body_does(demo):
    options = TriangulationOptions()
    swaps = find_view_swaps(*demo, options)
    xy, score = undo_view_swaps(demo.names, demo.xy, demo.score, swaps)
    points = triangulate(demo.rig, demo.timeline, demo.names, xy, score, options)
    found = body_trajectory(demo.rig, points, xy, score)
    assert variation(found.keypoints.xyz, demo.names).max() < 0.015  # the target
    joints = [i for i, n in enumerate(demo.names) if n[1:] in ("Knee", "Ankle", "Elbow", "Wrist")]
    acceleration = np.diff(found.keypoints.xyz[:, joints], 2, axis=0) * 60**2
    assert np.abs(acceleration).max() < 60  # m/s^2; raw points reach thousands
    moved = np.linalg.norm(found.keypoints.xyz - points.refined, axis=-1)
    assert np.nanmedian(moved) < 0.02
    assert np.isfinite(found.keypoints.xyz).mean() > 0.98


def test_points_without_bones_are_only_smoothed(scene):
    columns = [scene.column("Nose")]
    points = triangulate(
        scene.rig, scene.timeline, ("Nose",), scene.xy[:, :, columns], scene.score[:, :, columns]
    )
    found = body_trajectory(scene.rig, points, scene.xy[:, :, columns], scene.score[:, :, columns])
    error = np.linalg.norm(found.keypoints.xyz - scene.truth[:, columns], axis=-1)
    assert (
        error.mean()
        < 0.6 * np.linalg.norm(points.refined - scene.truth[:, columns], axis=-1).mean()
    )
    assert found.bones == ()


@pytest.mark.parametrize("length", [1, 2, 3, 5])
def test_short_clips_work(ring, walker, length):
    scene = Scene(ring, walker, length=length)
    found = scene.run()
    assert np.isfinite(found.keypoints.xyz).all() == (length > 1)


def test_missing_scores_are_no_evidence(scene, found):
    score = scene.score.copy()
    score[1, 30:35] = np.nan
    again = body_trajectory(scene.rig, scene.points, scene.xy, score)
    assert np.isfinite(again.keypoints.xyz).all()
    assert np.abs(again.keypoints.xyz - found.keypoints.xyz).max() < 0.03


def test_lost_frames_are_bridged_by_their_time(scene):
    keep = np.r_[0:50, 56:120]
    timeline = Timeline(scene.timeline.frame[keep], scene.timeline.time[keep])
    xy, score = scene.xy[:, keep], scene.score[:, keep]
    points = triangulate(scene.rig, timeline, scene.names, xy, score)
    found = body_trajectory(scene.rig, points, xy, score)
    error = np.linalg.norm(found.keypoints.xyz - scene.truth[keep], axis=-1)
    assert error[45:56].mean() < 1.5 * error.mean()


def test_zero_scores_are_no_evidence(scene):
    found = body_trajectory(scene.rig, replace(scene.points), scene.xy, np.zeros_like(scene.score))
    assert np.isnan(found.keypoints.xyz).all()


def test_two_points_of_a_detector_that_are_one_have_no_bone(scene):
    # Halpe's small toe, filled with the big one by a user: a bone of no length is no constraint.
    toe = scene.column("LBigToe")
    names = (*scene.names, "LSmallToe")
    xy = np.concatenate([scene.xy, scene.xy[:, :, [toe]]], axis=2)
    score = np.ones(xy.shape[:3])
    points = triangulate(scene.rig, scene.timeline, names, xy, score)
    found = body_trajectory(scene.rig, points, xy, score)
    assert "left small toe" not in found.bones
    assert np.isfinite(found.keypoints.xyz).all()


def test_the_error_that_views_share_widens_the_regions(scene, found):
    shared = np.full(len(scene.names), 0.02)
    wider = scene.run(shared_sd_m=shared)
    np.testing.assert_array_equal(wider.keypoints.xyz, found.keypoints.xyz)
    added = wider.covariance - found.covariance
    np.testing.assert_allclose(
        added, np.broadcast_to(0.008**2 * np.eye(3), added.shape), atol=1e-12
    )


def test_points_that_coincide_are_no_bone(ring, walker):
    """As halpe-26 files without small toes are made: those are the big ones again."""
    scene = Scene(ring, walker)
    names = (*scene.names, "LSmallToe", "RSmallToe")
    twin = [scene.names.index(name) for name in ("LBigToe", "RBigToe")]
    xy = np.concatenate([scene.xy, scene.xy[:, :, twin]], axis=2)
    score = np.ones(xy.shape[:3])
    timeline = Timeline.regular(xy.shape[1], 60.0)
    points = triangulate(scene.rig, timeline, names, xy, score, TriangulationOptions())
    found = body_trajectory(scene.rig, points, xy, score)
    assert not any("small toe" in name for name in found.bones)
    at = {name: found.keypoints.xyz[:, i] for i, name in enumerate(names)}
    for side in "LR":
        apart = np.linalg.norm(at[f"{side}SmallToe"] - at[f"{side}BigToe"], axis=-1)
        assert np.nanmax(apart) < 0.05  # each is smoothed by itself
