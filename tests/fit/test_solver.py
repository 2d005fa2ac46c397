"""The solver: it only goes down, finds the truth, survives bad data, and refuses none."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pytest

from kinefit.body import ShapeSpace
from kinefit.fit.recipes.initial import from_points
from kinefit.fit.solver.minimise import Options, Solution, cost, information, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import (
    ConstantVelocity,
    Objective,
    Position,
    Reprojection,
    RotationPrior,
    ShapePrior,
)
from kinefit.geometry import rotations as so3
from kinefit.geometry.align import align
from kinefit.geometry.projection import project_rig
from kinefit.geometry.robust import L2, Cauchy, GemanMcClure, Huber, Kernel
from kinefit.types import CameraRig, FloatArray, IntArray, InvalidData, TooFewPoints

from .tubes import by_rotations, motion, poses, ring, rms, tube_chain

Shape = Literal["fixed", "shared", "each"]
CHAIN = tube_chain()
F, K = len(CHAIN.joint_names), len(CHAIN.point_names)
ALL = np.arange(K)
WEAK = RotationPrior(np.broadcast_to(np.eye(3), (F, 3, 3)), np.full(F, 10.0))
PRIOR = ShapePrior(CHAIN.shape.neutral, CHAIN.shape.spread, 1e-3)


def points_of(state: State) -> FloatArray:
    return state.posed(CHAIN).points


def views(state: State, *, lens: bool = False) -> FloatArray:
    """(T, C, K, 2) pixels in four cameras."""
    return np.moveaxis(project_rig(ring(lens=lens), points_of(state)), 0, 1)


def seen(xy: FloatArray, kernel: Kernel | None = None, sigma: float = 2.0) -> Reprojection:
    return Reprojection(ring(), xy, np.full(xy.shape[:3], sigma), ALL, kernel or L2())


def placed(xyz: FloatArray, kernel: Kernel | None = None) -> Position:
    return Position(xyz, np.eye(3) / 0.01, ALL, kernel or L2())


def nearby(state: State, *, turn: float, shift: float, seed: int = 9) -> State:
    """The same poses turned and shifted at random; the neutral shape."""
    rng = np.random.default_rng(seed)
    return State(
        state.rotations @ so3.exp(rng.normal(0, turn, state.rotations.shape[:-1])),
        state.translation + rng.normal(0, shift, state.translation.shape),
        CHAIN.shape.neutral if not state.shape_each else 0 * state.shape,
        state.offset,
    )


def pa_mpjpe(found: FloatArray, truth: FloatArray) -> float:
    """Metres: mean joint error after the best similarity of each pose; of the worst pose."""
    moved = align(found, truth, with_scale=True).apply(found)
    return float(so3.norm(moved - truth).mean(axis=1).max())


def clip(count: int, seed: int = 0) -> State:
    return motion(CHAIN, np.arange(count) / 30, seed=seed)


# --- only downhill -------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", [L2(), Huber(2.0), GemanMcClure(20.0), Cauchy(5.0)])
@pytest.mark.parametrize("shape", ["fixed", "each", "shared"])
def test_the_objective_never_rises(
    kernel: Kernel, shape: Literal["fixed", "each", "shared"]
) -> None:
    truth = clip(6)
    xy = views(truth) + np.random.default_rng(1).normal(0, 40, (6, 4, K, 2))
    objective = Objective((seen(xy, kernel),), (WEAK,), (PRIOR,))
    state = nearby(truth, turn=0.5, shift=0.3)
    if shape == "each":
        state = replace(state, shape=np.zeros((6, len(PRIOR.neutral))))
    v = Variables.poses(CHAIN, shape)
    after = [minimise(objective, v, state, Options(n)).total for n in (1, 2, 3, 4, 6, 9, 14, 20)]
    totals = [sum(map(np.sum, cost(objective, CHAIN, state))), *after]
    assert (np.diff(totals) <= 0).all()
    assert totals[-1] < 0.7 * totals[0]


def test_the_cost_told_is_the_cost_of_the_state_told() -> None:
    truth = clip(7)
    times = (ConstantVelocity(np.arange(7) / 30, np.ones(1 + F), np.ones(6)),)
    objective = Objective((seen(views(truth)),), (WEAK,), (PRIOR,), times)
    found = minimise(objective, Variables.poses(CHAIN, "shared"), clip(7, 1), Options(4))
    each, shared = cost(objective, CHAIN, found.state)
    np.testing.assert_allclose(found.cost, each, rtol=1e-12)
    assert found.shared_cost == pytest.approx(shared, rel=1e-12)


@dataclass(frozen=True, eq=False)
class Walled(Position):
    """A term that is no number beyond a wall at x = 0.3 m, as a lens or a logarithm may be."""

    def residual(self, points: FloatArray, rows: IntArray | slice) -> FloatArray:
        r = super().residual(points, rows)
        return np.where(points[..., :1] > 0.3, np.nan, r)


@pytest.mark.parametrize("whole", [False, True])
def test_a_step_that_leads_to_no_number_is_a_refused_step(whole: bool) -> None:
    """The data lie behind the wall: the full step always leads there."""
    body = State.rest(CHAIN, 3)
    nose = np.array([CHAIN.column("Nose")])
    beyond = points_of(body)[:, nose] + [1.0, 0, 0]
    term = Walled(beyond, np.eye(3) / 0.1, nose)
    times = (ConstantVelocity(np.arange(3.0), np.ones(1 + F), np.ones(2)),) if whole else ()
    objective = Objective((term,), (WEAK,), times=times)
    found = minimise(objective, Variables.poses(CHAIN), body, Options(60))
    x = points_of(found.state)[:, nose, 0]
    assert np.isfinite(found.state.rotations).all()
    assert np.isfinite(found.cost).all()
    assert (x <= 0.3).all()
    assert (x > 0.2).all()  # it went to the wall, refused by refused


# --- poses apart ---------------------------------------------------------------------------------


def test_poses_apart_are_solved_as_if_each_were_alone() -> None:
    truth = poses(CHAIN, 150, seed=4)  # more than are computed at once
    xy = views(truth) + np.random.default_rng(2).normal(0, 3, (150, 4, K, 2))
    start = nearby(truth, turn=0.2, shift=0.1)
    v, options = Variables.poses(CHAIN), Options(25)
    objective = Objective((seen(xy, Huber(3.0)),), (WEAK,))
    together = minimise(objective, v, start, options)
    for t in (0, 127, 128, 149):
        alone = minimise(objective, v, start.at(slice(t, t + 1)), options, rows=np.array([t]))
        assert alone.steps[0] == together.steps[t]
        np.testing.assert_allclose(
            alone.state.rotations[0], together.state.rotations[t], atol=1e-10
        )
        np.testing.assert_allclose(alone.cost[0], together.cost[t], rtol=1e-10)


def test_the_order_of_poses_does_not_matter() -> None:
    truth = poses(CHAIN, 140, seed=5)
    start = nearby(truth, turn=0.3, shift=0.1)
    term = seen(views(truth), GemanMcClure(30.0))
    v, order = Variables.poses(CHAIN), np.random.default_rng(3).permutation(140)
    plain = minimise(Objective((term,), (WEAK,)), v, start, Options(20))
    mixed = minimise(Objective((term,), (WEAK,)), v, start.at(order), Options(20), rows=order)
    np.testing.assert_array_equal(mixed.steps, plain.steps[order])
    np.testing.assert_allclose(mixed.state.rotations, plain.state.rotations[order], atol=1e-10)


def test_smoothness_too_weak_to_matter_changes_nothing() -> None:
    """The solver for all poses at once and the one for poses apart meet at the same minimum."""
    truth = clip(10)
    xy = views(truth) + np.random.default_rng(2).normal(0, 2, (10, 4, K, 2))
    start, v, options = (
        nearby(truth, turn=0.1, shift=0.1),
        Variables.poses(CHAIN),
        Options(80, 1e-14),
    )
    pull = RotationPrior(np.broadcast_to(np.eye(3), (F, 3, 3)), np.full(F, 0.5))
    loose = (ConstantVelocity(np.arange(10) / 30, np.full(1 + F, 1e9), np.ones(9)),)
    apart = minimise(Objective((seen(xy),), (pull,)), v, start, options)
    whole = minimise(Objective((seen(xy),), (pull,), times=loose), v, start, options)
    assert apart.converged.all()
    assert whole.converged.all()
    # Both stop where a step brings a billionth of the objective, which a twist of a thousandth of
    # a radian about a bone may leave.
    np.testing.assert_allclose(whole.state.rotations, apart.state.rotations, atol=2e-3)
    np.testing.assert_allclose(whole.cost, apart.cost, rtol=1e-7)


# --- the truth -----------------------------------------------------------------------------------


@pytest.mark.parametrize("data", ["points", "views"])
@pytest.mark.parametrize("shape", ["shared", "each"])
def test_bodies_without_noise_are_recovered(data: str, shape: Shape) -> None:
    truth = clip(20)
    term = placed(points_of(truth)) if data == "points" else seen(views(truth))
    start = from_points(CHAIN, CHAIN.shape.neutral, points_of(truth))
    if shape == "each":
        start = replace(start, shape=np.tile(start.shape, (20, 1)))
    objective = Objective((term,), (WEAK,), (replace(PRIOR, weight=1e-4),))
    assert pa_mpjpe(points_of(start), points_of(truth)) > 0.003
    found = minimise(objective, Variables.poses(CHAIN, shape), start)
    assert pa_mpjpe(points_of(found.state), points_of(truth)) < 1e-3
    # Here the scale is known too, and the priors are weak: it is the truth that was found.
    assert rms(points_of(found.state), points_of(truth)) < 1e-3


def test_bodies_are_recovered_through_lenses_by_turned_down_priors() -> None:
    truth = clip(8)
    xy = views(truth, lens=True)
    term = Reprojection(ring(lens=True), xy, np.ones(xy.shape[:3]), ALL)
    start = nearby(truth, turn=0.2, shift=0.2)
    objective = Objective((term,), (WEAK,), (PRIOR,))
    found = minimise(objective, Variables.poses(CHAIN, "shared"), start)
    assert rms(points_of(found.state), points_of(truth)) < 1e-3


def test_offsets_of_keypoints_are_recovered() -> None:
    rng = np.random.default_rng(6)
    varied = tuple(CHAIN.column(n) for n in ("Nose", "REar", "LBigToe"))
    offset = np.zeros((K, 3))
    offset[list(varied)] = rng.normal(0, 0.03, (3, 3))
    truth = replace(clip(30), offset=offset)
    start = replace(truth, offset=np.zeros((K, 3)))
    objective = Objective((placed(points_of(truth)),), (WEAK,), offset_spread=1.0)
    found = minimise(objective, Variables.poses(CHAIN, "fixed", varied), start)
    np.testing.assert_allclose(found.state.offset, offset, atol=1e-3)
    # Held to a millimetre a priori, they cannot go three centimetres.
    stiff = replace(objective, offset_spread=1e-5)
    held = minimise(stiff, Variables.poses(CHAIN, "fixed", varied), start)
    assert np.abs(held.state.offset).max() < 2e-3


# --- outliers and wild starts --------------------------------------------------------------------


def with_outliers(truth: State, share: float) -> FloatArray:
    """Views with a pixel of noise, this share of them anywhere in the picture."""
    rng = np.random.default_rng(7)
    xy = views(truth) + rng.normal(0, 1, (len(truth), 4, K, 2))
    bad = rng.random(xy.shape[:3]) < share
    xy[bad] = rng.uniform(0, 960, (int(bad.sum()), 2))
    return xy


@pytest.mark.parametrize("kernel", [GemanMcClure(10.0), Cauchy(3.0), L2()])
@pytest.mark.parametrize(("share", "smooth"), [(0.3, False), (0.5, True)])
def test_robust_kernels_ignore_outliers(kernel: Kernel, share: float, smooth: bool) -> None:
    truth = clip(20)
    start = replace(nearby(truth, turn=0.1, shift=0.05), shape=truth.shape)
    times = (ConstantVelocity(np.arange(20) / 30, np.full(1 + F, 10.0), np.ones(19)),)
    term = seen(with_outliers(truth, share), kernel)
    objective = Objective((term,), (WEAK,), times=times if smooth else ())
    found = minimise(objective, Variables.poses(CHAIN), start).state
    error = so3.norm(points_of(found) - points_of(truth))
    if isinstance(kernel, L2):
        assert np.median(error) > 0.2  # else they were no outliers
        return
    # A pixel is 4.4 mm at 4 m; four views halve it. Apart, a point of which all but one view are
    # wrong is free along its ray: that is one in a hundred.
    assert np.median(error) < 0.0045
    assert np.quantile(error, 0.95) < 0.015
    if smooth:
        assert error.max() < 0.015


def far_starts(count: int) -> tuple[State, State, FloatArray]:
    """Truth, starts whose worst point is 700-900 px away as in a reported failure, and views."""
    truth = poses(CHAIN, count, seed=8, bend=0.3)
    rng = np.random.default_rng(8)
    start = replace(
        truth,
        rotations=np.broadcast_to(np.eye(3), truth.rotations.shape)
        @ so3.exp(np.concatenate([rng.normal(0, 0.7, (count, 1, 3)),
                                  rng.normal(0, 0.3, (count, F - 1, 3))], axis=1)),
        translation=truth.translation + 2.0 * so3.unit(rng.normal(size=(count, 3))),
    )  # fmt: skip
    return truth, start, views(truth)


@pytest.mark.parametrize("kernel", [L2(), Huber(5.0), Cauchy(50.0)])
def test_a_start_800_pixels_off_converges(kernel: Kernel) -> None:
    """A fit that began with errors of up to 791 px used to end in NaN, taken for a loss of zero."""
    truth, start, xy = far_starts(60)
    first = np.hypot(*np.moveaxis(views(start) - xy, -1, 0))
    assert (np.nanmax(first, axis=(1, 2)) > 400).mean() > 0.9
    assert np.nanmax(first) > 791
    objective = Objective((seen(xy, kernel),), (WEAK,))
    found = minimise(objective, Variables.poses(CHAIN), start, Options(100))
    assert np.isfinite(found.cost).all()
    assert (found.cost > 0).all()  # no number became a perfect fit
    off = so3.norm(points_of(found.state) - points_of(truth)).mean(axis=1)
    assert np.median(off) < 1e-4
    assert (off < 0.02).all()  # a limb on the wrong side of a view's ray is 7-11 mm of the mean


def corruptions(count: int, seed: int = 0) -> tuple[FloatArray, FloatArray, FloatArray, State]:
    """Views (T, C, K, 2), sigmas, points in space (T, K, 3) and starts, each spoilt in its way."""
    rng = np.random.default_rng(seed)
    truth = poses(CHAIN, count, seed=seed)
    xy, xyz = views(truth), points_of(truth).copy()
    sigma = rng.uniform(0.5, 20, xy.shape[:3])
    kind = rng.integers(0, 8, (count, 2))  # two of them may fall together
    for t in range(count):
        for k in kind[t]:
            _spoil(int(k), rng, xy[t], xyz[t], sigma[t])
    start = replace(
        nearby(truth, turn=1.0, shift=1.0, seed=seed),
        translation=truth.translation + rng.normal(0, 1, (count, 1)) * rng.normal(size=(count, 3)),
    )
    return xy, sigma, xyz, start


def _spoil(
    kind: int, rng: np.random.Generator, xy: FloatArray, xyz: FloatArray, sigma: FloatArray
) -> None:
    limb = rng.choice(K, 8, replace=False)
    if kind == 0:  # nothing but one view
        xy[1:], xyz[...] = np.nan, np.nan
    elif kind == 1:  # half of all anywhere
        bad = rng.random(xy.shape[:2]) < 0.5
        xy[bad] = rng.uniform(-500, 2000, (int(bad.sum()), 2))
        xyz[rng.random(K) < 0.5] += 2
    elif kind == 2:  # a limb missing everywhere
        xy[:, limb], xyz[limb] = np.nan, np.nan
    elif kind == 3:  # no data at all
        xy[...], xyz[...] = np.nan, np.nan
    elif kind == 4:  # shifted by 800 px in one view
        xy[rng.integers(4)] += 800
    elif kind == 5:  # scattered holes, also of one coordinate only
        xy[rng.random(xy.shape) < 0.3] = np.nan
        xyz[rng.random(xyz.shape) < 0.3] = np.nan
    elif kind == 6:  # one point alone, or next to nothing counts
        xy[:, 1:], xyz[1:] = np.nan, np.nan
        sigma[...] = 1e6
    else:  # all points in one
        xy[...], xyz[...] = 300.0, 0.5


@pytest.mark.parametrize("data", ["views", "points", "both"])
@pytest.mark.parametrize("pull", [True, False])
def test_a_thousand_corruptions_end_in_numbers(data: str, pull: bool) -> None:
    """Six times 200 starts with two corruptions each; no prior at all in half of them."""
    xy, sigma, xyz, start = corruptions(200)
    terms = (
        Reprojection(ring(), xy, sigma, ALL, GemanMcClure(30.0)),
        placed(xyz, Huber(3.0)),
    )
    used = {"views": terms[:1], "points": terms[1:], "both": terms}[data]
    objective = Objective(used, (WEAK,) if pull else ())
    found = minimise(objective, Variables.poses(CHAIN), start, Options(30))
    first, _ = cost(objective, CHAIN, start)
    assert_numbers(found)
    assert (found.cost <= first).all()
    empty = np.all([~term.weight.any(axis=1) for term in used], axis=0)
    assert empty.sum() > 20
    if not pull:  # what says nothing moves nothing
        np.testing.assert_array_equal(found.state.rotations[empty], start.rotations[empty])


@pytest.mark.parametrize("seed", range(5))
def test_corrupt_clips_end_in_numbers(seed: int) -> None:
    """The same in a row: coupled in time, with one shape and one offset for all."""
    xy, sigma, xyz, start = corruptions(60, seed)
    terms = (Reprojection(ring(), xy, sigma, ALL, GemanMcClure(30.0)), placed(xyz, Huber(3.0)))
    times = (ConstantVelocity(np.arange(60) / 30, np.full(1 + F, 10.0), np.ones(59)),)
    objective = Objective(terms, (WEAK,) if seed % 2 else (), (PRIOR,), times, 0.1)
    found = minimise(objective, Variables.poses(CHAIN, "shared", (3,)), start, Options(20))
    assert_numbers(found)
    each, shared = cost(objective, CHAIN, start)
    assert found.total <= each.sum() + shared


def assert_numbers(found: Solution) -> None:
    for name in ("rotations", "translation", "shape", "offset"):
        assert np.isfinite(getattr(found.state, name)).all(), name
    assert np.isfinite(found.cost).all()
    R = found.state.rotations
    np.testing.assert_allclose(np.swapaxes(R, -1, -2) @ R, np.broadcast_to(np.eye(3), R.shape),
                               atol=1e-12)  # fmt: skip


# --- refusals ------------------------------------------------------------------------------------


def test_no_data_is_refused() -> None:
    nothing = seen(np.full((3, 4, K, 2), np.nan))
    with pytest.raises(TooFewPoints):
        minimise(Objective((nothing,), (WEAK,)), Variables.poses(CHAIN), State.rest(CHAIN, 3))
    xy = views(clip(3))
    xy[1:] = np.nan
    with pytest.raises(TooFewPoints):  # none of the poses asked for
        minimise(Objective((seen(xy),)), Variables.poses(CHAIN), State.rest(CHAIN, 2),
                 rows=np.array([1, 2]))  # fmt: skip


@pytest.mark.parametrize("name", ["rotations", "translation", "shape", "offset"])
def test_a_start_that_is_no_number_is_refused(name: str) -> None:
    start = State.rest(CHAIN, 3)
    spoilt = getattr(start, name).copy()
    spoilt[-1] = np.nan
    bad = replace(start, **{name: spoilt})
    with pytest.raises(InvalidData, match=name):
        minimise(Objective((seen(views(clip(3))),)), Variables.poses(CHAIN), bad)


@pytest.mark.parametrize("weight", [-1.0, np.nan, np.inf])
def test_weights_that_are_no_weights_are_refused(weight: float) -> None:
    term = seen(views(clip(3)))
    term.weight[1, 5] = weight
    with pytest.raises(InvalidData, match="weight"):
        minimise(Objective((term,)), Variables.poses(CHAIN), State.rest(CHAIN, 3))


@pytest.mark.parametrize("whole", [False, True])
def test_an_objective_that_is_no_number_names_its_pose(whole: bool) -> None:
    nose = np.array([CHAIN.column("Nose")])
    start = State.rest(CHAIN, 4)
    there = points_of(start)[:, nose]
    start.translation[2, 0] = 1.0
    times = (ConstantVelocity(np.arange(4.0), np.ones(1 + F), np.ones(3)),) if whole else ()
    objective = Objective((Walled(there, np.eye(3), nose),), times=times)
    with pytest.raises(InvalidData, match="pose 2"):
        minimise(objective, Variables.poses(CHAIN), start)


# --- what may move -------------------------------------------------------------------------------


def test_joints_that_are_not_free_do_not_move() -> None:
    truth = clip(5)
    start = nearby(truth, turn=0.2, shift=0.1)
    free = np.zeros(F, dtype=bool)
    free[CHAIN.joint_names.index("left_knee")] = True
    v = Variables(CHAIN, free, translation=False)
    found = minimise(Objective((placed(points_of(truth)),), (WEAK,)), v, start).state
    np.testing.assert_array_equal(found.translation, start.translation)
    np.testing.assert_array_equal(found.rotations[:, ~free], start.rotations[:, ~free])
    assert np.abs(found.rotations[:, free] - start.rotations[:, free]).max() > 0.01


def test_shape_stays_within_bounds_and_the_rest_makes_the_best_of_it() -> None:
    bounded = replace(CHAIN.body, shape=replace(CHAIN.shape, upper=np.full(4, 0.5)))
    chain = replace(CHAIN, body=bounded)
    truth = replace(clip(10), shape=np.array([2.0, 0.3, -0.2, 0.1]))
    objective = Objective((placed(points_of(truth)),), (WEAK,))
    for shape in ("shared", "each"):
        start = State.rest(chain, 10, shape_each=shape == "each")
        found = minimise(objective, Variables.poses(chain, shape), start, Options(60))
        np.testing.assert_allclose(found.state.shape[..., 0], 0.5)  # the bound next to the truth
        # At the constrained minimum no free direction leads down.
        pinned = replace(
            chain, body=replace(bounded, shape=ShapeSpace.unbounded(chain.shape.names))
        )
        again = minimise(objective, Variables.poses(pinned), found.state, Options(60))
        assert found.total - again.total < 1e-3 * found.total


def test_a_body_behind_its_only_camera_comes_before_it() -> None:
    truth = poses(CHAIN, 20, seed=3, bend=0.3)
    one = CameraRig(ring().cameras[:1])
    xy = np.moveaxis(project_rig(one, points_of(truth)), 0, 1)
    term = Reprojection(one, xy, np.full(xy.shape[:3], 2.0), ALL)
    pull = RotationPrior(np.broadcast_to(np.eye(3), (F, 3, 3)), np.ones(F))
    axis = one.cameras[0].R[2]
    start = replace(truth, translation=truth.translation - 6 * axis)
    found = minimise(Objective((term,), (pull,)), Variables.poses(CHAIN), start, Options(200))
    depth = (points_of(found.state) @ one.cameras[0].R.T + one.cameras[0].t)[..., 2]
    assert (depth > 1).all()


@dataclass(frozen=True)
class Dense:
    """A term of joints as one of whole poses."""

    term: RotationPrior

    @property
    def kernel(self) -> Kernel:
        return self.term.kernel

    def residual(self, rotations: FloatArray, rows: IntArray | slice) -> FloatArray:
        return self.term.residual(rotations, rows)

    def jacobian(self, rotations: FloatArray, rows: IntArray | slice) -> FloatArray:
        return by_rotations(self.term, rotations)


def test_terms_of_single_joints_give_the_matrix_of_whole_poses() -> None:
    state = clip(5)
    term = RotationPrior(np.eye(3)[None].repeat(F, 0), np.linspace(0.1, 1, F), Huber(0.5))
    joints = np.arange(F) % 3 > 0  # some are held, the root among them
    for translation in (True, False):
        variables = Variables(CHAIN, joints, translation)
        blocks, dense = (
            information(Objective(poses=(t,)), variables, state) for t in (term, Dense(term))
        )
        assert np.abs(dense).max() > 1
        np.testing.assert_allclose(blocks, dense, atol=1e-12)
