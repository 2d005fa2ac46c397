"""Rig pose optimisation on a made-up body: exact where it can be, robust where it must be."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.fit.recipes.frames.frame_fits import FrameFits, History
from kinefit.fit.recipes.frames.frame_options import LOSSES, RigFitOptions
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome, RigTargets
from kinefit.fit.recipes.frames.rigfit import AlignedStart, RigFit, best_cameras, rig_chain
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.pipeline.config import checked
from kinefit.types import FloatArray, InputError, InvalidData, Timeline

from ..body.synthetic import tube_body
from .rig_scene import CAMERAS, POINTS, Scene, changed, off, scene
from .tubes import tube_chain

ALONE = RigFitOptions(w_temporal_velocity=0.0, temporal_init_blend=0.0)
ROWS = np.arange(8)


@pytest.fixture(scope="module")
def clip() -> Scene:
    return scene(8)


def fitted(
    work: RigFit, view: State, past: History | None = None
) -> tuple[AlignedStart, FrameFits]:
    aligned = work.align(view, ROWS)
    return aligned, work.fit(aligned, ROWS, past)


def losses(found: FrameFits, name: str) -> FloatArray:
    return np.asarray(found.losses[:, LOSSES.index(name)])


def test_a_true_pose_is_placed_exactly_from_anywhere(clip: Scene) -> None:
    view = replace(clip.truth, rotations=clip.truth.rotations.copy())
    view.rotations[:, 0] = so3.exp(np.array([1.0, -2.0, 0.5])) @ view.rotations[:, 0]
    view = replace(view, translation=view.translation + 50.0)
    aligned = clip.work().align(view, ROWS)
    assert aligned.score.max() < 1e-12  # metres: rounding at 50 m
    np.testing.assert_allclose(aligned.state.rotations, clip.truth.rotations, atol=1e-12)
    np.testing.assert_allclose(aligned.state.translation, clip.truth.translation, atol=1e-12)


def test_the_score_is_what_the_pose_itself_is_off(clip: Scene) -> None:
    work = clip.work()
    better, worse = (scene(8, wrong=w).views["cam0"] for w in (0.1, 0.4))
    scores = [work.align(view, ROWS).score for view in (better, worse)]
    assert (scores[0] < scores[1]).all()


def test_one_wrong_point_does_not_turn_a_true_pose(clip: Scene) -> None:
    xyz = clip.xyz.copy()
    xyz[:, 5] += [1.0, 0.0, 0.0]
    aligned = clip.work(clip.targets(xyz)).align(clip.truth, ROWS)
    points = aligned.state.posed(tube_chain()).points
    columns = clip.work().columns
    # Huber's pull of one point in sixteen, 3 cm: 2 mm, and the lever of a hand. Without it: 6 cm.
    assert np.delete(off(clip, points[:, columns]), 5, axis=1).max() < 0.012


def test_what_is_no_pose_scores_nothing(clip: Scene) -> None:
    view = replace(clip.truth, rotations=clip.truth.rotations.copy(),
                   translation=clip.truth.translation.copy())  # fmt: skip
    view.rotations[0, 3] = np.nan
    view.rotations[1] *= 1.5  # no rotations
    view.rotations[2, 4] *= -1  # a reflection
    view.translation[3] = 1e300
    aligned = clip.work().align(view, ROWS)
    np.testing.assert_array_equal(np.isnan(aligned.score), ROWS < 4)
    np.testing.assert_array_equal(aligned.sound, ROWS >= 4)
    assert np.isfinite(aligned.state.rotations).all()


def test_rotations_in_single_precision_become_proper(clip: Scene) -> None:
    rough = replace(clip.truth, rotations=clip.truth.rotations.astype(np.float32).astype(float))
    R = clip.work().align(rough, ROWS).state.rotations
    np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), np.broadcast_to(np.eye(3), R.shape),
                               atol=1e-9)  # fmt: skip


def test_points_on_a_line_place_nobody(clip: Scene) -> None:
    xyz = clip.xyz.copy()
    xyz[0] = np.linspace(0, 1, len(POINTS))[:, None] * [0.3, 1.0, 0.0]
    aligned = clip.work(clip.targets(xyz)).align(clip.truth, ROWS)
    np.testing.assert_array_equal(np.isnan(aligned.score), ROWS == 0)
    assert aligned.sound.all()


def test_cameras_by_score_and_ties_by_reprojection() -> None:
    score = np.array([[0.05, 0.03, 0.0305, np.nan], [np.nan] * 4, [0.02, 0.03, 0.04, 0.05]])
    px = np.array([[1.0, 9.0, 4.0, 1.0], [1.0] * 4, [np.nan, 1.0, 1.0, 1.0]])
    np.testing.assert_array_equal(
        best_cameras(score, px, tie_m=0.001), [[2, 1, 0, -1], [-1] * 4, [0, 1, 2, 3]]
    )
    np.testing.assert_array_equal(best_cameras(score, px, tie_m=0.0)[0], [1, 2, 0, -1])
    # Everything is a tie: by pixels alone, unknown ones last.
    np.testing.assert_array_equal(best_cameras(score, px, tie_m=1.0)[2], [1, 2, 3, 0])


def test_exact_points_are_met_and_the_joints_between_them_found(clip: Scene) -> None:
    work = clip.work(options=changed(ALONE, w_pose_reg=1e-9))
    _, found = fitted(work, clip.views["cam1"])
    # What the pull of 1e-9 leaves: sqrt of it times half a radian.
    assert np.nanmax(found.residual) < 1e-4
    joints = [state.posed(work.chain).frames[1] for state in (clip.truth, work.state(found))]
    trunk = [work.chain.joint_names.index(name) for name in ("pelvis", "spine2")]
    # Joints that are no targets: known by the bones that hang on them.
    assert so3.norm(joints[1] - joints[0])[:, trunk].max() < 0.005


def test_losses_are_what_their_names_say(clip: Scene) -> None:
    """Computed here once more, by the definitions in the options, from the poses alone."""
    rng = np.random.default_rng(0)
    weight = rng.uniform(0.2, 1.0, (8, len(POINTS)))
    targets = clip.targets(clip.xyz + rng.normal(0, 0.04, clip.xyz.shape), weight)
    options = RigFitOptions(w_pose_reg=0.3, w_temporal=0.2, w_temporal_velocity=0.1,
                            w_temporal_accel=0.4, temporal_extrapolation=0.7)  # fmt: skip
    work, F = clip.work(targets, options), len(tube_chain().joint_names)
    one, two = (so3.exp(rng.normal(0, 0.3, (8, F, 3))) for _ in range(2))
    past = History(one, two, np.full(8, 2.0))
    aligned, found = fitted(work, clip.views["cam0"], past)

    points = work.state(found).posed(tube_chain()).points[:, work.columns]
    r = np.linalg.norm(points - targets.xyz, axis=-1)
    huber = np.where(r < 0.03, r**2 / 2, 0.03 * (r - 0.015))
    expected = {"data": (weight * huber).sum(1) / weight.sum(1)}

    def mean_square(target: FloatArray) -> FloatArray:
        turn = so3.log(np.swapaxes(target, -1, -2) @ found.rotations)[:, 1:]
        return (turn**2).sum(-1).mean(1)

    velocity = so3.log(np.swapaxes(two, -1, -2) @ one)
    expected["pose_reg"] = 0.3 * mean_square(aligned.state.rotations)
    expected["temporal"] = 0.2 * mean_square(one)
    expected["temporal_velocity"] = 0.1 * mean_square(one @ so3.exp(0.7 * 2.0 * velocity))
    expected["temporal_accel"] = 0.4 * mean_square(one @ so3.exp(2.0 * velocity))
    for name, value in expected.items():
        np.testing.assert_allclose(losses(found, name), value, rtol=1e-9, err_msg=name)
    np.testing.assert_allclose(found.history[:, -1], sum(expected.values()), rtol=1e-9)


@pytest.mark.parametrize("with_scale", [False, True])
def test_the_loss_never_grows(clip: Scene, with_scale: bool) -> None:
    noisy = clip.xyz + np.random.default_rng(1).normal(0, 0.05, clip.xyz.shape)
    work = clip.work(clip.targets(noisy), changed(ALONE, with_scale=with_scale))
    _, found = fitted(work, clip.views["cam2"])
    assert (np.diff(found.history, axis=1) <= 1e-15).all()
    np.testing.assert_array_equal(found.best_loss, found.history.min(axis=1))
    np.testing.assert_allclose(found.loss, found.best_loss, rtol=1e-12)


def test_only_ratios_of_weights_matter(clip: Scene) -> None:
    rng = np.random.default_rng(2)
    noisy = clip.xyz + rng.normal(0, 0.02, clip.xyz.shape)
    weight = rng.uniform(0.5, 1.0, noisy.shape[:2])
    poses = [
        fitted(clip.work(clip.targets(noisy, weight * factor), ALONE), clip.views["cam0"])[1]
        for factor in (1.0, 1e-300, 1e300)
    ]
    for other in poses[1:]:
        np.testing.assert_allclose(other.rotations, poses[0].rotations, atol=1e-9)


def test_a_point_without_weight_is_not_there(clip: Scene) -> None:
    weight, absent, lie = np.ones(clip.xyz.shape[:2]), clip.xyz.copy(), clip.xyz.copy()
    weight[:, 3], absent[:, 3], lie[:, 3] = 0.0, np.nan, 7.0
    a, b = (
        fitted(clip.work(t, ALONE), clip.views["cam0"])[1]
        for t in (clip.targets(lie, weight), clip.targets(absent))
    )
    np.testing.assert_array_equal(a.rotations, b.rotations)
    assert np.isnan(a.residual[:, 3]).all()


@pytest.mark.parametrize("size", [0.85, 1.1])
def test_with_scale_finds_the_size(clip: Scene, size: float) -> None:
    targets = clip.targets(size * clip.xyz)
    rigid = fitted(clip.work(targets, ALONE), clip.views["cam1"])[1]
    scaled = fitted(clip.work(targets, changed(ALONE, with_scale=True)), clip.views["cam1"])[1]
    assert (rigid.scale == 1).all()
    assert (scaled.loss < 0.1 * rigid.loss).all()
    # The pull to a wrong initial pose bends limbs by a degree, and those look 0.5 % shorter.
    np.testing.assert_allclose(scaled.scale, size, rtol=0.005)
    true = fitted(clip.work(targets, changed(ALONE, with_scale=True)), clip.truth)[1]
    np.testing.assert_allclose(true.scale, size, rtol=1e-9)  # closed form: exact


def test_frozen_joints_keep_the_rotations_of_the_initial_pose() -> None:
    clip, body = scene(8), tube_body()
    chain = rig_chain(body, POINTS)
    work = RigFit.of(chain, clip.targets(), ALONE)
    held = {chain.joint_names[j] for j in np.flatnonzero(~work.free)}
    assert held == {"left_hand", "right_hand"}  # what is not in its anatomy
    rng = np.random.default_rng(3)
    view = State(so3.exp(rng.normal(0, 0.3, (8, len(body.joint_names), 3))), np.zeros((8, 3)),
                 clip.truth.shape, np.zeros((len(POINTS), 3)))  # fmt: skip
    work = replace(work, free=~np.isin(chain.joint_names, ["left_hand", "neck", "right_elbow"]))
    _, found = fitted(work, view)
    np.testing.assert_array_equal(found.rotations[:, ~work.free], view.rotations[:, ~work.free])
    moved = np.abs(found.rotations - view.rotations).max(axis=(-1, -2))
    assert (moved[:, chain.joint_names.index("left_elbow")] > 1e-3).all()


def two_steps(clip: Scene) -> tuple[History, FloatArray]:
    """A past whose joints turn on by (0.2, 0, 0) per step, and where they are two steps on."""
    F = len(tube_chain().joint_names)
    turn = so3.exp(np.tile([0.2, 0.0, 0.0], (8, F, 1)))
    before = clip.truth.rotations.copy()
    previous = before @ turn
    return History(previous, before, np.full(8, 2.0)), previous @ turn @ turn


@pytest.mark.parametrize("term", ["w_temporal", "w_temporal_velocity", "w_temporal_accel"])
def test_temporal_terms_pull_to_where_they_say(clip: Scene, term: str) -> None:
    past, ahead = two_steps(clip)
    options = changed(ALONE, w_pose_reg=0.0, **{term: 1e6})
    _, found = fitted(clip.work(options=options), clip.views["cam0"], past)
    target = past.previous if term == "w_temporal" else ahead
    # A million square metres per square radian against decimetres: a microradian.
    np.testing.assert_allclose(found.rotations[:, 1:], target[:, 1:], atol=1e-5)
    # The body's own direction and place are the points' affair alone: they do not follow.
    assert np.abs(found.rotations[:, 0] - target[:, 0]).max() > 1e-2


def test_a_past_that_is_not_there_pulls_at_nothing(clip: Scene) -> None:
    past, _ = two_steps(clip)
    past.previous[:4], past.before[:4] = np.nan, np.nan
    options = RigFitOptions(w_temporal=1.0, w_temporal_accel=1.0)
    with_past = fitted(clip.work(options=options), clip.views["cam0"], past)[1]
    without = fitted(clip.work(options=options), clip.views["cam0"])[1]
    np.testing.assert_allclose(with_past.rotations[:4], without.rotations[:4], atol=1e-12)
    for name in ("temporal", "temporal_velocity", "temporal_accel"):
        assert (losses(with_past, name)[:4] == 0).all()
        assert (losses(with_past, name)[4:] > 0).all()


@pytest.mark.parametrize("blend", [0.0, 0.5, 1.0])
def test_the_initial_pose_is_turned_towards_the_past(clip: Scene, blend: float) -> None:
    past, ahead = two_steps(clip)
    start = clip.views["cam0"]
    work = clip.work(options=changed(ALONE, temporal_init_blend=blend))
    there = work.blended(start, past).rotations
    whole, part = (
        so3.norm(so3.log(np.swapaxes(start.rotations, -1, -2) @ R)) for R in (ahead, there)
    )
    np.testing.assert_allclose(part[:, 1:], blend * whole[:, 1:], atol=1e-12)
    np.testing.assert_array_equal(there[:, 0], start.rotations[:, 0])
    one = replace(past, before=np.full(past.before.shape, np.nan))
    if blend == 1.0:  # with one pose only, the previous one
        np.testing.assert_allclose(work.blended(start, one).rotations[:, 1:], past.previous[:, 1:],
                                   atol=1e-12)  # fmt: skip


def test_extrapolation_has_a_gain(clip: Scene) -> None:
    past, _ = two_steps(clip)
    turned = [so3.norm(so3.log(np.swapaxes(past.previous, -1, -2) @ past.extrapolated(g)))
              for g in (0.0, 0.5, 1.0)]  # fmt: skip
    for gain, turn in zip((0.0, 0.5, 1.0), turned, strict=True):
        np.testing.assert_allclose(turn, gain * 2.0 * 0.2, atol=1e-12)  # two steps of 0.2


def test_residuals_are_metres_of_the_scaled_body(clip: Scene) -> None:
    work, scale = clip.work(), np.linspace(0.8, 1.2, 8)
    points = clip.truth.posed(work.chain).points[:, work.columns]
    r = work.data_term(scale, ROWS).residual(points, ROWS)
    np.testing.assert_allclose(r, scale[:, None, None] * points - clip.xyz, atol=1e-12)


def test_gates_look_at_the_pose_that_they_are_given(clip: Scene) -> None:
    work = clip.work(options=ALONE)
    _, found = fitted(work, clip.views["cam0"])
    args = found.losses, found.residual, ROWS, found.best_loss
    assert (work.gate(*args) == FrameOutcome.OK).all()
    gates = {
        "bad_loss_threshold": FrameOutcome.BAD_LOSS,
        "bad_data_loss_threshold": FrameOutcome.BAD_DATA_LOSS,
    }
    for name, reason in gates.items():
        strict = replace(work, options=changed(ALONE, **{name: 1e-12}))
        assert (strict.gate(*args) == reason).all()
    grown = 5 * found.losses + 1e-5
    assert (work.gate(grown, *args[1:]) == FrameOutcome.LOSS_GREW).all()
    assert (work.gate(found.losses, found.residual + 0.1, *args[2:]) == FrameOutcome.FEW_NEAR).all()
    lost = np.full((8, len(LOSSES)), np.nan)
    assert (work.gate(lost, *args[1:]) != FrameOutcome.OK).all()


def test_uncertain_directions_count_less(clip: Scene) -> None:
    covariance = np.broadcast_to(1e-4 * np.eye(3), (8, len(POINTS), 3, 3)).copy()
    covariance[:, :, 2, 2] = 100e-4  # depth: ten times less certain
    wrong = clip.xyz + np.random.default_rng(5).normal(0, [0.0, 0.0, 0.05], clip.xyz.shape)
    plain = clip.targets(wrong)
    knowing = RigTargets.of(clip.timeline, POINTS, CAMERAS, wrong, np.ones((8, len(POINTS))),
                            covariance=covariance)  # fmt: skip
    errors = []
    for targets in (plain, knowing):
        found = fitted(clip.work(targets, ALONE), clip.views["cam0"])[1]
        points = clip.work().state(found).posed(tube_chain()).points[:, clip.work().columns]
        errors.append(off(clip, points).mean())
    assert errors[1] < 0.7 * errors[0]
    even = np.broadcast_to(4e-4 * np.eye(3), covariance.shape)
    ones = np.ones((8, len(POINTS)))
    equal = RigTargets.of(clip.timeline, POINTS, CAMERAS, wrong, ones, covariance=even)
    np.testing.assert_allclose(equal.metric, plain.metric, atol=1e-12)  # metres stay metres


@pytest.mark.parametrize(
    ("name", "value"),
    [("huber_m", 0.0), ("w_pose_reg", -1.0), ("w_temporal", np.nan), ("iters", 0), ("patience", 0),
     ("min_points", 2), ("temporal_init_blend", 1.5), ("bad_loss_growth_ratio", 0.5),
     ("bad_near_share", 2.0), ("temporal_gap_s", np.inf), ("bad_data_loss_threshold", np.nan)],
)  # fmt: skip
def test_options_that_mean_nothing_are_refused(name: str, value: float) -> None:
    with pytest.raises(InputError, match=name.replace("_", "-")):
        checked(RigFitOptions, {name: value})


def test_targets_are_checked() -> None:
    timeline, xyz = Timeline.regular(2, 30.0), np.zeros((2, 3, 3))
    names, cameras = ("a", "b", "c"), ("x",)
    xyz[0, 1], xyz[1, 0, 2] = np.inf, 1e9
    weight = np.array([[1, 1, np.nan], [1, 0.5, 0]])
    targets = RigTargets.of(timeline, names, cameras, xyz, weight)
    np.testing.assert_array_equal(targets.usable, [[True, False, False], [False, True, False]])
    np.testing.assert_array_equal(targets.known, [[True, False, True], [False, True, True]])
    with pytest.raises(InvalidData, match="negative or infinite"):
        RigTargets.of(timeline, names, cameras, xyz, -weight)
    with pytest.raises(InvalidData, match=r"xyz has shape \(2, 3, 3\)"):
        RigTargets.of(timeline, (*names, "d"), cameras, xyz, np.ones((2, 4)))


def test_a_body_without_the_points_is_refused(clip: Scene) -> None:
    targets = RigTargets.of(clip.timeline, tuple(f"p{i}" for i in range(16)), CAMERAS, clip.xyz,
                            np.ones(clip.xyz.shape[:2]))  # fmt: skip
    with pytest.raises(InvalidData, match="has 0 of the points"):
        RigFit.of(tube_chain(), targets)


def test_placed_rows_are_the_rows_asked_for(clip: Scene) -> None:
    aligned = clip.work().align(clip.views["cam0"], ROWS)
    some: AlignedStart = aligned.at(np.array([5, 2]))
    np.testing.assert_array_equal(some.score, aligned.score[[5, 2]])
    np.testing.assert_array_equal(some.state.rotations, aligned.state.rotations[[5, 2]])
