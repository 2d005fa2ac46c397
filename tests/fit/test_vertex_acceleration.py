"""Accelerations of the skin: the values, the normal equations, and what they do to a fit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.body.anny import load_anny
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, _Problem, cost, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import ConstantVelocity, Objective, Position, VertexAcceleration
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray, InvalidData

from .tubes import motion, tube_chain

CHAIN = tube_chain()
SKIN = VertexAcceleration.chain_of(CHAIN)
F, K = len(CHAIN.joint_names), len(CHAIN.point_names)
TIME = np.array([0.0, 0.04, 0.05, 0.11, 0.19, 0.21])
JOINED = np.array([1.0, 1, 1, 0.5, 1])
WITH_JOINTS = (ConstantVelocity(TIME, np.full(1 + F, 5.0), JOINED),)


def _term(time: FloatArray = TIME, joined: FloatArray = JOINED) -> VertexAcceleration:
    return VertexAcceleration(SKIN, time, 2.0, joined)


def _offset() -> State:
    """With offsets of keypoints, which the skin does not have."""
    state = motion(CHAIN, TIME, swing=1.0)
    return replace(state, offset=np.full((K, 3), 0.05))


def test_a_falling_body_has_gravity_at_every_vertex() -> None:
    still = motion(CHAIN, np.zeros(6))
    fall = np.array([0, -9.81, 0])
    falling = replace(still, translation=0.5 * fall * TIME[:, None] ** 2)
    found = _term(joined=np.ones(5)).residual(falling)
    np.testing.assert_allclose(found, np.broadcast_to(fall / 2.0, found.shape), atol=1e-9)


def test_nothing_is_said_across_a_cut() -> None:
    joined = np.array([1.0, 1, 0, 1, 1])
    found = np.abs(_term(joined=joined).residual(_offset())).max(axis=(1, 2))
    assert (found[[1, 2]] == 0).all()
    assert (found[[0, 3]] > 1).all()


def _numeric(objective: Objective, variables: Variables, state: State) -> FloatArray:
    """Central differences of the cost by every variable of every pose."""
    T, N = len(state), variables.frame_size
    out, step = np.zeros((T, N)), 1e-5
    for t in range(T):
        for i in range(N):
            dx = np.zeros((T, N))
            dx[t, i] = step
            ahead, behind = (
                cost(objective, CHAIN, variables.moved(state, s * dx, np.zeros(0)))[0].sum()
                for s in (1, -1)
            )
            out[t, i] = (ahead - behind) / (2 * step)
    return out


@pytest.mark.parametrize("times", [(), WITH_JOINTS])
@pytest.mark.parametrize("held", [False, True])
def test_the_gradient_is_the_slope(times: tuple[ConstantVelocity, ...], *, held: bool) -> None:
    state, objective = _offset(), Objective(times=times, vertices=(_term(),))
    variables = Variables.poses(CHAIN)
    if held:  # some joints and the translation do not vary
        joints = np.arange(F) % 3 != 1
        variables = replace(variables, joints=joints, translation=False)
    normal = _Problem(objective, variables).normal(state, np.arange(len(state)))
    numeric = _numeric(objective, variables, state)
    # Curvature over a step of 1e-5, and 1e-16 of a cost of 1e4 over it.
    np.testing.assert_allclose(normal.gradient, numeric, atol=1e-6 * np.abs(numeric).max())


@pytest.mark.parametrize("times", [(), WITH_JOINTS])
def test_the_normal_matrix_is_that_of_all_residuals(times: tuple[ConstantVelocity, ...]) -> None:
    """J^T J with J by central differences of the residuals, all poses at once."""
    state, variables, term = _offset(), Variables.poses(CHAIN), _term()
    T, N = len(state), variables.frame_size
    step, columns = 1e-5, []

    def residual(dx: FloatArray) -> FloatArray:
        moved = variables.moved(state, dx.reshape(T, N), np.zeros(0))
        return np.concatenate([t.residual(moved).ravel() for t in (term, *times)])

    for axis in np.eye(T * N):
        columns.append((residual(step * axis) - residual(-step * axis)) / (2 * step))
    J = np.stack(columns, axis=-1)
    H = J.T @ J
    objective = Objective(times=times, vertices=(term,))
    normal = _Problem(objective, variables).normal(state, np.arange(T))
    found = np.zeros((T, N, T, N))
    for t in range(T):
        found[t, :, t] = normal.frame[t]
        for r in (1, 2):
            if t + r < T:
                found[t, :, t + r] = normal.near[r - 1][t]
                found[t + r, :, t] = normal.near[r - 1][t].T
    np.testing.assert_allclose(found.reshape(H.shape), H, atol=1e-6 * np.abs(H).max())


def test_joints_that_make_up_for_one_another_cost_less() -> None:
    """The elbow shakes and the wrist shakes back: the hand still moves, but does not turn."""
    body = load_anny()
    chain = Chain.of(body, list(body.anatomy.values()), {"LWrist": {"LWrist": 1.0}})
    time = np.arange(9) / 30
    term = VertexAcceleration(VertexAcceleration.chain_of(chain), time, 10.0, np.ones(8))
    elbow, wrist = (chain.joint_names.index(chain.body.anatomy[n]) for n in ("LElbow", "LWrist"))
    shake = so3.exp(0.1 * np.sin(3 * np.arange(9))[:, None] * np.array([0, 1.0, 0]))
    alone = State.rest(chain, 9)
    alone.rotations[:, elbow] = shake
    both = replace(alone, rotations=alone.rotations.copy())
    both.rotations[:, wrist] = np.swapaxes(shake, -1, -2)
    costs = [(term.residual(s) ** 2).sum() for s in (alone, both)]
    assert costs[1] < 0.7 * costs[0]
    apart = ConstantVelocity(time, np.full(1 + len(chain.joint_names), 40.0), np.ones(8))
    costs = [(apart.residual(s) ** 2).sum() for s in (alone, both)]
    assert costs[1] > 1.9 * costs[0]


def test_a_shaken_clip_is_smoothed_and_a_steady_one_is_not() -> None:
    time = np.arange(30) / 30
    truth = motion(CHAIN, time, swing=0.2)
    points = truth.posed(CHAIN).points
    noise = np.random.default_rng(1).normal(0, 0.02, points.shape)
    term = VertexAcceleration(SKIN, time, 3.0, np.ones(29))
    data = Position(points + noise, np.eye(3) / 0.02, np.arange(K))
    rough, smooth = (
        minimise(Objective((data,), vertices=v), Variables.poses(CHAIN), truth, Options(20)).state
        for v in ((), (term,))
    )
    error = [so3.norm(s.posed(CHAIN).points - points).mean() for s in (rough, smooth)]
    # Ten frames of noise are averaged where accelerations of 3 m/s^2 tell it from the motion.
    assert error[1] < 0.7 * error[0]


def test_shape_is_not_fitted_with_it() -> None:
    state = _offset()
    objective = Objective(vertices=(_term(),))
    with pytest.raises(InvalidData, match="fixed"):
        minimise(objective, Variables.poses(CHAIN, "shared"), state)
