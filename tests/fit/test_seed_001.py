"""Bugs and findings of an earlier rig optimiser, by their numbers there.

Bugs stand beside a naive version that has them: the check must fail there and hold here.

Findings about single files and persons (A: the first of a list, B: plain arrays, D: file names)
are tested where these are read: tests/io/test_sam3d_outputs.py, tests/io/test_sam3d_choice.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.fit.recipes.frames.frame_options import RigFitOptions, SequenceOptions
from kinefit.fit.recipes.frames.frame_sequence import fit_sequence
from kinefit.fit.recipes.frames.rig_frames import FrameStore, content_hash, fit_frames
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome, RigTargets
from kinefit.fit.recipes.frames.rigfit import RigFit
from kinefit.fit.recipes.frames.rotation_repair import smooth
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project_rig
from kinefit.multiview.bundle import read_bundle, save_bundle
from kinefit.multiview.triangulate import triangulate
from kinefit.types import FloatArray

from .rig_scene import POINTS, Scene, changed, off, scene
from .tubes import ring, tube_chain

ALONE = RigFitOptions(w_temporal_velocity=0.0, temporal_init_blend=0.0)
PLAIN = SequenceOptions(max_gap=0.0, repair=False, smooth=0.0)


@pytest.fixture(scope="module")
def clip() -> Scene:
    return scene(12)


@pytest.fixture(scope="module")
def noisy(clip: Scene) -> FloatArray:
    return clip.xyz + np.random.default_rng(1).normal(0, 0.008, clip.xyz.shape)


def test_bug_1_a_point_that_is_not_there_does_not_stop_the_frame(
    clip: Scene, noisy: FloatArray
) -> None:
    holes = noisy.copy()
    holes[4, 2], holes[5, 3, 1], holes[6, 4] = np.nan, np.inf, -np.inf
    with pytest.raises(np.linalg.LinAlgError):  # naive: every point goes in
        np.linalg.svd(np.cov(holes[4].T))
    found = fit_frames(clip.work(clip.targets(holes), ALONE), clip.views)
    assert all(fit.reason == FrameOutcome.OK for fit in found)
    assert [fit.weighted for fit in found[4:7]] == [15] * 3
    assert all(np.isfinite(fit.rotations).all() for fit in found)


def test_bug_2_no_inliers_are_no_perfect_fit(clip: Scene, noisy: FloatArray) -> None:
    weight = np.ones(noisy.shape[:2])
    weight[3], weight[7] = 0.0, np.nan
    targets = clip.targets(noisy + np.array([2.0, 0.0, 0.0]), weight)

    def naive(error: FloatArray, w: FloatArray) -> float:
        return float((w * error).sum() / max(w.sum(), 1e-9))

    assert naive(np.full(len(POINTS), 2.0), weight[3]) == 0  # metres off, and "perfect"
    sequence = fit_sequence(clip.work(targets, ALONE), clip.views, PLAIN)
    found = sequence.fits
    for t in (3, 7):
        assert found[t].reason == FrameOutcome.NO_WEIGHT
        assert np.isnan(found[t].loss)
        assert np.isnan(found[t].rotations).all()
        diagnostics = sequence.opt_arrays(t)
        assert diagnostics["opt_is_unusable"]
        assert np.isnan(diagnostics["opt_best_loss"])
        assert diagnostics["opt_inlier_points"] == 0
    assert sum(fit.reason == FrameOutcome.OK for fit in found) == 10


def own_data_loss(clip: Scene, work: RigFit, rotations: FloatArray, place: FloatArray,
                  shape: FloatArray, t: int) -> float:  # fmt: skip
    """Mean Huber loss of a pose, from its full mesh: nothing of the fit's own."""
    body, chain = work.chain.body, work.chain
    local = np.broadcast_to(np.eye(3), (len(body.joint_names), 3, 3)).copy()
    local[chain.joint_index] = rotations
    vertices = body.posed_vertices(local, place, shape)
    _, joints = body.pose(local, place, body.rest_joints(shape))
    r = so3.norm(body.regress(vertices, joints, work.targets.names) - work.targets.xyz[t])
    return float(np.where(r < 0.03, r**2 / 2, 0.03 * (r - 0.015)).mean())


def test_bug_3_the_final_loss_is_that_of_the_pose_that_is_written(
    clip: Scene, noisy: FloatArray
) -> None:
    work = clip.work(clip.targets(noisy), ALONE)
    sequence = fit_sequence(work, clip.views, PLAIN)
    found = sequence.fits
    for t, fit in enumerate(found):
        again = own_data_loss(clip, work, fit.rotations, fit.translation, fit.shape, t)
        opt = sequence.opt_arrays(t)
        np.testing.assert_allclose(opt["opt_final_data_loss"], again, rtol=1e-9)
        np.testing.assert_allclose(opt["opt_final_loss"], opt["opt_best_loss"], rtol=1e-9)
        assert not opt["opt_is_bad"]
    # Naive: the verdict on the loss of another moment, here of the first. All poses are "bad".
    stale = np.column_stack([found.history[:, 0], np.zeros((12, 4))])
    outcome = work.gate(stale, found.residual, np.arange(12), found.best_loss)
    assert (outcome == FrameOutcome.LOSS_GREW).all()


def test_bug_3_holds_after_smoothing(noisy: FloatArray) -> None:
    """A filter far too wide for the motion: it may not make good frames bad, nor hide it."""
    clip = scene(60)
    work = clip.work(options=ALONE)
    wide = fit_sequence(work, clip.views, SequenceOptions(smooth=0.5))
    assert [r.status for r in wide.reports] == ["good"] * 60
    assert not all(r.smoothed for r in wide.reports)
    state = wide.state
    for t, report in enumerate(wide.reports):
        again = own_data_loss(
            clip, work, state.rotations[t], state.translation[t], state.shape[t], t
        )
        np.testing.assert_allclose(report.losses["data"], again, rtol=1e-6, atol=1e-12)
        assert report.loss <= 2 * report.best_loss + 2e-6
    naive = smooth(clip.timeline.time, state.rotations, 0.5)
    points = replace(state, rotations=naive).posed(work.chain).points[:, work.columns]
    assert off(clip, points).max() > 0.2  # the filter alone: decimetres
    assert off(clip, wide.points).max() < 0.05


def test_bug_4_one_missing_frame_does_not_spread(clip: Scene, noisy: FloatArray) -> None:
    holes = noisy.copy()
    holes[5] = np.nan

    def naive(values: FloatArray) -> FloatArray:  # smoothing over frames that "exist"
        out = values.copy()
        for t in range(1, len(out)):
            out[t] = 0.5 * out[t] + 0.5 * out[t - 1]
        return out

    assert np.isnan(naive(holes)[5:]).all()
    options = SequenceOptions(max_gap=0.0, smooth=0.05)
    found = fit_sequence(clip.work(clip.targets(holes)), clip.views, options)
    np.testing.assert_array_equal(np.isnan(found.points).any(axis=(1, 2)), np.arange(12) == 5)
    others = np.delete(off(clip, found.points), 5, axis=0)
    assert others.max() < 0.05


def test_bug_4_a_frame_gone_wrong_is_no_anchor(clip: Scene, noisy: FloatArray) -> None:
    """Its neighbours come out the same whether it is wild or missing."""
    wild, missing = noisy.copy(), noisy.copy()
    wild[5] += np.random.default_rng(2).normal(0, 1.0, wild[5].shape)
    missing[5] = np.nan
    a, b = (
        fit_sequence(clip.work(clip.targets(xyz)), clip.views, SequenceOptions(smooth=0.05))
        for xyz in (wild, missing)
    )
    assert [r.status for r in a.reports] == ["good"] * 5 + ["recovered"] + ["good"] * 6
    np.testing.assert_array_equal(a.state.rotations, b.state.rotations)


def test_bug_5_what_triangulation_leaves_out_is_left_out_here(clip: Scene, tmp_path: Path) -> None:
    """Through the file between the two stages: views that are lost, alone, or 800 pixels off."""
    rig, rng = ring(4), np.random.default_rng(3)
    xy = project_rig(rig, clip.xyz) + rng.normal(0, 1.0, (4, *clip.xyz.shape[:2], 2))
    xy[1:, 2] = np.nan  # one view only
    xy[:, 4, :12] = np.nan  # four points left
    xy[2, 6] += 800.0
    xy[3, 7, ::2] -= 800.0
    found = triangulate(rig, clip.timeline, POINTS, xy)
    save_bundle(tmp_path / "points.npz", found, rig)
    bundle = read_bundle(tmp_path / "points.npz")
    for targets in (RigTargets.of_bundle(bundle), RigTargets.of_triangulation(found)):
        fits = fit_frames(RigFit.of(tube_chain(), targets, ALONE), clip.views)
        reasons = [fit.reason for fit in fits]
        assert reasons[2] == FrameOutcome.NO_WEIGHT
        assert reasons[4] == FrameOutcome.TOO_FEW_POINTS
        assert sum(r == FrameOutcome.OK for r in reasons) == 10
        # Contract: both stages count the same points.
        np.testing.assert_array_equal([fit.weighted for fit in fits], bundle.finite)
        work = RigFit.of(tube_chain(), targets, ALONE)
        assert np.nanmax(off(clip, fit_sequence(work, clip.views, PLAIN).points)) < 0.03


def test_issue_c_results_of_other_pictures_are_not_taken_for_these(
    clip: Scene, noisy: FloatArray, tmp_path: Path
) -> None:
    """One folder, two sessions: same frames, cameras and options, other content."""
    store = FrameStore(tmp_path)
    fit_sequence(clip.work(clip.targets(noisy), ALONE), clip.views, store=store)
    other = scene(12, seed=9)
    again = fit_sequence(other.work(options=ALONE), other.views, store=store)
    fresh = fit_sequence(other.work(options=ALONE), other.views)
    assert again.as_json() == fresh.as_json()
    np.testing.assert_array_equal(again.state.rotations, fresh.state.rotations)
    assert len(list(tmp_path.iterdir())) == 24
    assert off(other, again.points).max() < 0.02 < off(clip, again.points).min()  # naive: reused


def test_issue_c_every_part_of_the_input_counts(
    clip: Scene, noisy: FloatArray, tmp_path: Path
) -> None:
    def made(
        xyz: FloatArray = noisy,
        options: RigFitOptions = ALONE,
        version: str = "1",
        turned: float = 0.0,
        weight: float = 1.0,
    ) -> int:
        """Files that a run with these inputs adds."""
        before = len(list(tmp_path.iterdir()))
        views = dict(clip.views)
        R = views["cam2"].rotations @ so3.exp(np.array([turned, 0, 0]))
        views["cam2"] = replace(views["cam2"], rotations=R)
        targets = clip.targets(xyz, np.full(xyz.shape[:2], weight))
        store = FrameStore(tmp_path, version)
        fit_frames(RigFit.of(tube_chain(), targets, options), views, store=store)
        return len(list(tmp_path.iterdir())) - before

    moved = noisy.copy()
    moved[3, 0, 0] += 1e-9
    assert made() == 12
    assert made() == 0
    assert made(xyz=moved) == 1  # of one frame only
    assert made(options=changed(ALONE, huber_m=0.031)) == 12
    assert made(version="2") == 12
    assert made(turned=1e-9) == 12
    assert made(weight=0.5) == 12


def test_issue_c_a_changed_frame_is_redone_and_so_is_what_follows_from_it(
    clip: Scene, noisy: FloatArray, tmp_path: Path
) -> None:
    """With temporal terms a frame depends on those before: a key holds what it looked at."""
    store = FrameStore(tmp_path)
    fit_sequence(clip.work(clip.targets(noisy)), clip.views, store=store)
    moved = noisy.copy()
    moved[8] += 0.01
    again = fit_sequence(clip.work(clip.targets(moved)), clip.views, store=store)
    fresh = fit_sequence(clip.work(clip.targets(moved)), clip.views)
    np.testing.assert_array_equal(again.state.rotations, fresh.state.rotations)
    assert len(list(tmp_path.iterdir())) == 12 + 4  # frames 8 to 11


def test_issue_c_hashes_tell_type_shape_and_order_apart() -> None:
    a = np.arange(6.0)
    different = {
        content_hash(a), content_hash(a.reshape(2, 3)), content_hash(a.astype(np.float32)),
        content_hash(a[:3], a[3:]), content_hash(a[:2], a[2:]), content_hash(a.tolist()),
        content_hash("ab", "c"), content_hash("a", "bc"), content_hash(["a", "bc"]),
    }  # fmt: skip
    assert len(different) == 9
    assert content_hash({"x": 1, "y": 2}) == content_hash({"y": 2, "x": 1})
    assert content_hash(np.asfortranarray(a.reshape(2, 3))) == content_hash(a.reshape(2, 3))


def test_issue_d_a_camera_is_its_whole_name(clip: Scene, noisy: FloatArray) -> None:
    """cam1 has no poses; cam10, whose name holds it, must not lend its own."""
    targets = clip.targets(noisy)
    renamed = replace(targets, cameras=("cam1", "cam10", "cam2", "cam3"))
    found = fit_frames(clip.work(renamed, ALONE), {"cam10": clip.views["cam0"]})
    for fit in found:
        assert fit.camera == "cam10"
        np.testing.assert_array_equal(np.isnan(fit.scores), [True, False, True, True])


@pytest.mark.parametrize(
    ("count", "expected"), [(5, FrameOutcome.TOO_FEW_POINTS), (6, FrameOutcome.OK)]
)
def test_priority_0_at_least_six_finite_points(
    clip: Scene, count: int, expected: FrameOutcome
) -> None:
    """Which six does not matter here, as long as they are not in one limb."""
    some = np.random.default_rng(4).permutation(len(POINTS))[:count]
    xyz = np.full(clip.xyz.shape, np.nan)
    xyz[:, some] = clip.xyz[:, some]
    found = fit_frames(clip.work(clip.targets(xyz), ALONE), clip.views)
    assert {fit.reason for fit in found} == {expected}
    assert {fit.weighted for fit in found} == {count}


def test_priority_1_status_and_counts_come_with_every_frame(clip: Scene, noisy: FloatArray) -> None:
    weight = np.ones(noisy.shape[:2])
    weight[2, :3], noisy = 0.0, noisy.copy()
    noisy[2, 4] = np.nan
    found = fit_sequence(clip.work(clip.targets(noisy, weight)), clip.views, PLAIN)
    report = found.reports[2]
    assert (report.finite_points, report.weighted_points) == (15, 12)
    assert report.status == "good"
    assert found.as_json()["per_frame"][2]["weighted_points"] == 12
