"""One body through a clip."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np
import pytest

from kinefit.body.anatomy import violations
from kinefit.fit.fit_report import clip_report
from kinefit.fit.priors import Capsules, Interpenetration, Mixture, Variational
from kinefit.fit.recipes.clip import ClipFit, ClipOptions, fit_clip
from kinefit.fit.recipes.shots import shot_changes
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project_rig
from kinefit.geometry.robust import KernelName
from kinefit.metric import limb_directions
from kinefit.types import CameraRig, FloatArray, InvalidData, Observations, Timeline, TooFewPoints

from .clips import NAMES, MadeUp, clip

# The truth keeps to no prior: what pulls to rest and neutral is made weak where exactness counts.
_EXACT = ClipOptions(
    offset_m=0,
    pose_regularization_rad=1e3,
    axial_rad=1e3,
    acceleration_m_s2=1e4,
    acceleration_rad_s2=1e5,
    hold_feet=False,
)


def _error_mm(fit: ClipFit, points: FloatArray) -> FloatArray:
    columns = [NAMES.index(name) for name in fit.names]
    return np.asarray(1000 * np.linalg.norm(fit.points - points[:, columns], axis=-1))


def test_exact_views_give_the_body() -> None:
    made = clip(frames=20)
    fit = fit_clip(made.body, made.data, _EXACT)
    # A thousandth of a pixel of what the solver leaves is 3 um; the shape prior, one standard
    # deviation against 20 x 4 x 21 exact views, a tenth of a millimetre.
    assert _error_mm(fit, made.points).max() < 1.0
    assert np.abs(fit.motion.shape - made.motion.shape).max() < 0.1
    assert np.nanmax(fit.reprojection) < 0.5
    assert fit.converged


def test_noise_is_averaged_by_the_body() -> None:
    """3 px at 3.5 m are 9.5 mm across the ray; a point of four views is off by 10 mm."""
    made = clip(frames=60, noise_px=3.0)
    fit = fit_clip(made.body, made.data, ClipOptions(hold_feet=False))
    assert _error_mm(fit, made.points).mean() < 7.5


def test_outliers_are_not_followed() -> None:
    made = clip(frames=40, noise_px=1.0)
    rng = np.random.default_rng(4)
    wrong = rng.random(made.data.xy.shape[:3]) < 0.2
    xy = made.data.xy + wrong[..., None] * rng.uniform(-300, 300, made.data.xy.shape)
    fit = fit_clip(made.body, replace(made.data, xy=xy))
    assert _error_mm(fit, made.points).mean() < 8.0


def test_windows_agree_with_the_whole() -> None:
    """A pose remembers what is a few tenths of a second away: 40 frames of overlap are plenty."""
    made = clip(frames=100, noise_px=2.0)
    whole = fit_clip(made.body, made.data, ClipOptions(hold_feet=False, window=400))
    parts = fit_clip(made.body, made.data, ClipOptions(hold_feet=False, window=30, overlap=20))
    apart = np.linalg.norm(whole.points - parts.points, axis=-1)
    assert apart.max() < 0.002  # a fifth of what 2 px of noise are


def test_the_frame_rate_does_not_matter() -> None:
    """The same motion at 30 and 60 Hz: the same poses within what the data determine."""
    slow, fast = clip(frames=30, rate_hz=30), clip(frames=59, rate_hz=60)
    a = fit_clip(slow.body, slow.data, ClipOptions(hold_feet=False))
    b = fit_clip(fast.body, fast.data, ClipOptions(hold_feet=False))
    assert np.linalg.norm(a.points - b.points[::2], axis=-1).max() < 0.01


def test_short_gaps_are_bridged_and_long_ones_are_said() -> None:
    made = clip(frames=60)
    xy = made.data.xy.copy()
    xy[10:15], xy[30:50] = np.nan, np.nan  # a sixth of a second, and two thirds
    fit = fit_clip(made.body, replace(made.data, xy=xy), ClipOptions(max_gap_s=0.4))
    assert not any(fit.reason[:30])
    assert all(fit.reason[30:50])
    assert not any(fit.reason[50:])
    assert (np.isnan(fit.draws_m).any(axis=(0, 2, 3)) == [bool(why) for why in fit.reason]).all()
    assert (np.isnan(fit.sd_m).any(axis=1) == [bool(why) for why in fit.reason]).all()
    np.testing.assert_array_equal(fit.draws_m[1::2], -fit.draws_m[::2])
    assert np.isnan(fit.motion.rotations[30:50]).all()
    assert np.isfinite(fit.motion.rotations[10:15]).all()
    assert _error_mm(fit, made.points)[10:15].mean() < 20
    report = clip_report(made.body, fit)
    assert report["frames_without_pose"] == [[30, 49]]


def test_missing_limbs_leave_no_nan() -> None:
    made = clip(frames=20)
    xy = made.data.xy.copy()
    hidden = [NAMES.index(name) for name in ("LWrist", "LElbow", "RBigToe")]
    xy[:, :, hidden] = np.nan
    fit = fit_clip(made.body, replace(made.data, xy=xy))
    assert np.isfinite(fit.motion.rotations).all()
    assert np.isfinite(fit.points).all()


def test_standing_feet_are_held() -> None:
    made = clip(frames=60, noise_px=4.0)
    loose = fit_clip(made.body, made.data, ClipOptions(hold_feet=False))
    held = fit_clip(made.body, made.data)
    assert held.contacts.standing.any()
    assert held.contacts.slides.max() < 0.010
    assert held.contacts.slides.max() < loose.contacts.slides.max()
    # Held a little before and after they stand, they are up to a fifth further from the truth.
    assert _error_mm(held, made.points).mean() < 1.25 * _error_mm(loose, made.points).mean()


def test_points_with_covariance_are_evidence_enough() -> None:
    made = clip(frames=20)
    T, J = made.points.shape[:2]
    none = np.empty((T, 0, J))
    data = replace(
        made.data, rig=CameraRig(()), xy=np.empty((T, 0, J, 2)), sigma=none, xyz=made.points,
        covariance=np.broadcast_to(1e-6 * np.eye(3), (T, J, 3, 3)),
    )  # fmt: skip
    fit = fit_clip(made.body, data, _EXACT)
    assert _error_mm(fit, made.points).max() < 1.0


def test_a_cut_is_found_and_not_smoothed_over() -> None:
    a, b = clip(frames=20), clip(frames=40)
    move = np.array([60.0, -40.0])
    xy = np.concatenate([a.data.xy[:20] + move * 5, b.data.xy[20:40]])
    data = replace(b.data, xy=xy)
    assert np.flatnonzero(shot_changes(data)).tolist() == [19]
    assert not shot_changes(b.data).any()


def test_a_pause_is_a_cut() -> None:
    made = clip(frames=20)
    time = made.data.timeline.time + 5.0 * (np.arange(20) >= 10)
    data = replace(made.data, timeline=Timeline(np.arange(20), time))
    assert np.flatnonzero(shot_changes(data)).tolist() == [9]


def test_nothing_seen_is_refused() -> None:
    made = clip(frames=10)
    empty = replace(made.data, xy=np.full_like(made.data.xy, np.nan))
    with pytest.raises(TooFewPoints):
        fit_clip(made.body, empty)
    with pytest.raises(InvalidData, match="shape"):
        replace(made.data, sigma=made.data.sigma[:5])


def test_one_frame_is_a_clip() -> None:
    made = clip(frames=1)
    fit = fit_clip(made.body, made.data, _EXACT)
    assert _error_mm(fit, made.points).max() < 5.0


@pytest.mark.parametrize("cameras", [1, 4])
def test_a_body_without_heels_has_no_contacts(cameras: int) -> None:
    """An SMPL file of another topology has joints, and no skin to put a heel on."""
    made = clip(frames=20, cameras=cameras)
    bare = {n: r for n, r in made.body.regressors.items() if isinstance(r, str)}
    fit = fit_clip(replace(made.body, regressors=bare), made.data)
    assert fit.contacts.names == ()
    assert clip_report(made.body, fit)["feet"]["most_sliding_mm"] is None


def test_deviations_grow_with_the_noise_and_with_fewer_views() -> None:
    made, quiet = clip(frames=10, noise_px=3.0), clip(frames=10, noise_px=1.0)
    loud = fit_clip(made.body, made.data)
    assert np.median(loud.sd_m / fit_clip(quiet.body, quiet.data).sd_m) > 1.5
    xy = made.data.xy.copy()
    xy[:, 2:] = np.nan
    fewer = fit_clip(made.body, replace(made.data, xy=xy))
    assert np.median(fewer.sd_m / loud.sd_m) > 1.2


def test_deviations_are_those_of_single_frames() -> None:
    """With nothing that couples frames, errors are as large as they say, in the worst direction.

    Lengths of three-dimensional errors over the deviation of the worst axis: between a third of it
    (one axis dominates and the median is 0.67 of it, less what priors hold) and twice.
    """
    made = clip(frames=40, noise_px=3.0)
    fit = fit_clip(made.body, made.data, _EXACT)
    ratio = np.median(_error_mm(fit, made.points) / (1000 * fit.sd_m))
    assert 0.33 < ratio < 2


def test_feet_do_not_stand_in_frames_without_a_pose() -> None:
    made = clip(frames=60, noise_px=1.0)
    xy, xyz = made.data.xy.copy(), made.data.xyz.copy()
    xy[30:], xyz[30:] = np.nan, np.nan
    fit = fit_clip(made.body, replace(made.data, xy=xy, xyz=xyz))
    assert all(fit.reason[30:])
    assert fit.contacts.standing[:30].any()
    assert not fit.contacts.standing[30:].any()


def test_a_point_without_covariance_is_no_evidence() -> None:
    made = clip(frames=20)
    T, J = made.points.shape[:2]
    covariance = np.tile(1e-6 * np.eye(3), (T, J, 1, 1))
    covariance[10:] = np.nan
    data = replace(
        made.data, rig=CameraRig(()), xy=np.empty((T, 0, J, 2)), sigma=np.empty((T, 0, J)),
        xyz=made.points, covariance=covariance,
    )  # fmt: skip
    fit = fit_clip(made.body, data, _EXACT)
    assert not any(fit.reason[:10])
    assert all(fit.reason[10:])


def test_points_far_from_the_body_are_told_without_cameras() -> None:
    made = clip(frames=20)
    T, J = made.points.shape[:2]
    xyz = made.points.copy()
    xyz[8:11] += np.random.default_rng(0).normal(0, 0.3, (3, J, 3))
    data = replace(
        made.data, rig=CameraRig(()), xy=np.empty((T, 0, J, 2)), sigma=np.empty((T, 0, J)),
        xyz=xyz, covariance=np.tile(1e-4 * np.eye(3), (T, J, 1, 1)),
    )  # fmt: skip
    report = clip_report(made.body, fit_clip(made.body, data))
    assert report["frames_far_off"] == [[8, 10]]
    assert report["reprojection_px"] is None
    assert report["points_off_mm"] < 20


def test_a_person_may_be_away_for_whole_windows() -> None:
    made = clip(frames=90, noise_px=1.0)
    xy, xyz = made.data.xy.copy(), made.data.xyz.copy()
    xy[15:75], xyz[15:75] = np.nan, np.nan
    data = replace(made.data, xy=xy, xyz=xyz)
    fit = fit_clip(made.body, data, ClipOptions(window=10, overlap=5, hold_feet=False))
    assert not any(fit.reason[:15])
    assert all(fit.reason[15:75])
    assert not any(fit.reason[75:])
    assert _error_mm(fit, made.points)[75:].mean() < 10


def test_a_bridged_frame_is_not_said_to_be_known() -> None:
    """It has no evidence of its own: its deviation is that of a body anywhere in the room."""
    made = clip(frames=20, noise_px=1.0)
    xy = made.data.xy.copy()
    xy[9:11] = np.nan
    fit = fit_clip(made.body, replace(made.data, xy=xy))
    assert not any(fit.reason)
    assert fit.sd_m[9:11].min() > 1.0
    assert fit.sd_m[:8].max() < 0.1


def _in_space(made: MadeUp, points: FloatArray, sd_m: float) -> Observations:
    """Points with covariances, and no camera."""
    T, J = points.shape[:2]
    return replace(
        made.data, rig=CameraRig(()), xy=np.empty((T, 0, J, 2)), sigma=np.empty((T, 0, J)),
        xyz=points, covariance=np.tile(sd_m**2 * np.eye(3), (T, J, 1, 1)),
    )  # fmt: skip


@pytest.mark.parametrize("limits", ["anatomy", "euler"])
def test_a_knee_does_not_bend_back(limits: Literal["anatomy", "euler"]) -> None:
    """Points 10 cm unsure of a knee bent back by 40 degrees: the limits are believed."""
    made = clip(frames=5)
    body, rotations = made.body, made.motion.rotations.copy()
    rotations[:, body.joint_names.index("left_knee")] = so3.exp(np.array([-0.7, 0, 0]))
    motion = replace(made.motion, rotations=rotations)
    _, joints = body.pose(rotations, motion.translation, body.rest_joints(motion.shape))
    data = _in_space(made, body.regress(body.motion_vertices(motion), joints, NAMES), 0.1)
    names, free = violations(body, fit_clip(body, data, ClipOptions(joint_limits="none")).motion)
    _, held = violations(body, fit_clip(body, data, ClipOptions(joint_limits=limits)).motion)
    knee = names.index("LKnee")
    assert free[:, knee].min() > 15
    assert held[:, knee].max() < 10


def test_a_cut_is_not_smoothed_over() -> None:
    """The person is a metre further on in the next shot, and stands still in both."""
    made = clip(frames=40)
    points = np.repeat(made.points[:1], 40, axis=0)
    points[20:, :, 0] += 1.0
    fit = fit_clip(made.body, _in_space(made, points, 0.02), ClipOptions(hold_feet=False))
    place = fit.motion.translation[:, 0]
    assert np.ptp(place[:20]) < 1e-3
    assert np.ptp(place[20:]) < 1e-3
    assert abs(place[20] - place[19] - 1.0) < 1e-3


def _one_camera(made: MadeUp) -> Observations:
    """With directions of the thighs, which only one camera's observations have."""
    limbs = (("LHip", "LKnee"), ("RHip", "RKnee"))
    sd = np.full((len(made.data.timeline), 2), 0.25)
    directions = limb_directions(made.data.xyz, NAMES, limbs)
    return replace(made.data, limbs=limbs, directions=directions, direction_sd=sd)


@pytest.mark.parametrize(("kind", "term"), [(None, Mixture), ("variational", Variational)])
def test_one_camera_is_helped_by_the_poses_of_people(
    kind: Literal["variational"] | None, term: type[Mixture] | type[Variational]
) -> None:
    made = clip(frames=10, cameras=1, noise_px=2.0)
    data = _one_camera(made)
    alone = fit_clip(made.body, data, ClipOptions(pose_prior=0))
    helped = fit_clip(made.body, data, ClipOptions(pose_prior=2, pose_prior_kind=kind))
    prior = term.of(helped.chain)
    rows = np.arange(10)
    energy = [(prior.residual(f.state.rotations, rows) ** 2).sum() for f in (alone, helped)]
    assert energy[1] < 0.9 * energy[0]


def test_several_cameras_have_a_prior_of_poses_only_if_it_is_named() -> None:
    made = clip(frames=5, noise_px=4.0)
    usual, without, named = (
        fit_clip(made.body, made.data, options).state.rotations
        for options in (ClipOptions(), ClipOptions(pose_prior=0),
                        ClipOptions(pose_prior_kind="mixture"))
    )  # fmt: skip
    np.testing.assert_array_equal(usual, without)
    assert np.abs(named - usual).max() > 1e-3


def test_a_body_without_the_priors_joints_is_refused() -> None:
    made = clip(frames=5)
    anatomy = {name: joint for name, joint in made.body.anatomy.items() if name != "Spine3"}
    with pytest.raises(InvalidData, match="Spine3"):
        fit_clip(
            replace(made.body, anatomy=anatomy), made.data,
            ClipOptions(pose_prior_kind="variational"),
        )  # fmt: skip


def test_limbs_stay_outside_the_trunk() -> None:
    """One camera in front of crossed forearms, with points whose depth is wrong: 15 cm further
    back they are inside the belly, and the picture says nothing against it."""
    made = _arm_before_the_belly()
    free, apart = (
        fit_clip(made.body, made.data, ClipOptions(interpenetration_m=m, hold_feet=False))
        for m in (0.0, 0.01)
    )
    depth = [_depth(fit) for fit in (free, apart)]
    assert depth[0] > 0.03
    assert depth[1] < 0.4 * depth[0]  # 43 and 12 mm were seen; the slack is 10, the truth has 9
    error = [_error_mm(fit, made.points).mean() for fit in (free, apart)]
    assert error[1] < error[0]


def _arm_before_the_belly(frames: int = 12) -> MadeUp:
    made = clip(frames=frames, cameras=1, noise_px=1.0)
    body, rotations = made.body, np.broadcast_to(np.eye(3), made.motion.rotations.shape).copy()
    for side, sign in (("left", 1), ("right", -1)):
        # Upper arms hang a little aside, forearms lie level before the belly.
        at = [body.joint_names.index(f"{side}_{joint}") for joint in ("shoulder", "elbow")]
        rotations[:, at[0]] = so3.exp(np.radians([0.0, 0, -70 * sign]))
        rotations[:, at[1]] = so3.exp(np.radians([0.0, -100 * sign, 0]))
    motion = replace(made.motion, rotations=rotations)
    _, joints = body.pose(rotations, motion.translation, body.rest_joints(motion.shape))
    points = body.regress(body.motion_vertices(motion), joints, NAMES)
    rig = made.data.rig
    xy = np.moveaxis(project_rig(rig, points), 0, 1)
    xy += np.random.default_rng(0).normal(0, 1.0, xy.shape)
    ahead = rig.cameras[0].R[2]
    wrong = points.copy()
    for name in ("LElbow", "RElbow", "LWrist", "RWrist"):
        wrong[:, NAMES.index(name)] += 0.15 * ahead
    covariance = np.tile(0.1**2 * np.eye(3), (frames, len(NAMES), 1, 1))
    data = replace(made.data, xy=xy, xyz=wrong, covariance=covariance)
    return replace(made, motion=motion, points=points, data=data)


def _depth(fit: ClipFit) -> float:
    """Metres that limbs are in one another, the most of a frame, on average."""
    apart = Interpenetration(Capsules.of(fit.chain), fit.motion.shape, sigma=1.0, slack=0.0)
    rows = np.arange(len(fit.state))
    return float(apart.residual(fit.state.rotations, rows).max(axis=(1, 2)).mean())


@pytest.mark.parametrize(("loss", "most_mm"), [("cauchy", 8), ("log-huber", 8), ("huber", 25)])
def test_every_loss_lets_go_of_outliers(loss: KernelName, most_mm: float) -> None:
    """A fifth of the points up to 300 px off; Huber's slope stays, the others' falls."""
    made = clip(frames=20, noise_px=1.0)
    rng = np.random.default_rng(4)
    wrong = rng.random(made.data.xy.shape[:3]) < 0.2
    xy = made.data.xy + wrong[..., None] * rng.uniform(-300, 300, made.data.xy.shape)
    fit = fit_clip(made.body, replace(made.data, xy=xy), ClipOptions(loss=loss, hold_feet=False))
    assert _error_mm(fit, made.points).mean() < most_mm


def test_the_skin_is_smooth_where_that_is_asked_for() -> None:
    made = clip(frames=30, noise_px=6.0)

    def shake(**options: float) -> float:
        motion = fit_clip(made.body, made.data, ClipOptions(hold_feet=False, **options)).motion  # type: ignore[arg-type]
        return float(np.abs(np.diff(made.body.motion_vertices(motion), 2, axis=0)).mean())

    loose = shake(acceleration_m_s2=1e3, acceleration_rad_s2=1e4)
    # The motion's own accelerations are a third of what 6 px of noise shake the skin by.
    assert shake(vertex_acceleration_m_s2=3.0) < 0.5 * loose
    assert shake(vertex_acceleration_m_s2=1e4) > 0.9 * loose


def test_progress_counts_the_frames_and_may_end_the_fit() -> None:
    made = clip(frames=30)
    options = ClipOptions(window=10, overlap=2)
    heard: list[tuple[int, int]] = []
    fit_clip(made.body, made.data, options, progress=lambda *at: heard.append(at))
    done = [frames for frames, total in heard if total == 30]
    assert done == sorted(done)
    assert len(done) == len(heard)
    assert done[2] == 15  # after the first of two rounds of three windows

    def stop(done: int, total: int) -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        fit_clip(made.body, made.data, options, progress=stop)
