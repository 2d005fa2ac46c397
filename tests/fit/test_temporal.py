"""Terms that couple poses in time: what costs nothing, and that no frame rate is assumed."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.fit.solver.minimise import Options, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import ConstantVelocity, Objective, Position
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray

from .tubes import motion, rms, tube_chain

CHAIN = tube_chain()
F, K = len(CHAIN.joint_names), len(CHAIN.point_names)
ONES = np.ones(1 + F)


def steady(time: FloatArray) -> State:
    """Every joint turns at its own constant rate about its own axis; the body drifts."""
    rng = np.random.default_rng(0)
    rate, speed = rng.normal(0, 0.8, (F, 3)), rng.normal(size=3)
    start = so3.exp(rng.normal(0, 0.4, (F, 3)))
    return State(
        start @ so3.exp(rate * time[:, None, None]),
        speed * time[:, None],
        CHAIN.shape.neutral,
        np.zeros((K, 3)),
    )


def test_steady_turning_has_no_acceleration_at_uneven_times() -> None:
    time = np.array([0.0, 0.03, 0.04, 0.2, 0.21, 0.5])
    term = ConstantVelocity(time, ONES, np.ones(5))
    # Rounding of 1e-16 in a rotation over two steps of a hundredth of a second.
    np.testing.assert_allclose(term.residual(steady(time)), 0, atol=1e-10)


def test_accelerations_are_those_of_a_parabola() -> None:
    time = np.array([0.0, 0.1, 0.3, 0.35])
    state = steady(time)
    fall = np.array([0, -9.81, 0])
    falling = State(state.rotations, 0.5 * fall * time[:, None] ** 2, state.shape, state.offset)
    r = ConstantVelocity(time, ONES, np.ones(3)).residual(falling)
    np.testing.assert_allclose(r[:, 0], np.tile(fall, (2, 1)), atol=1e-11)


def test_nothing_is_said_across_a_cut() -> None:
    time = np.arange(6) / 30
    state = motion(CHAIN, time)
    joined = np.array([1.0, 1, 0, 1, 1])
    whole, cut = (ConstantVelocity(time, ONES, j) for j in (np.ones(5), joined))
    touched = ~np.isclose(whole.residual(state), cut.residual(state)).all(axis=(1, 2))
    across = [1, 2]
    assert np.flatnonzero(touched).tolist() == across
    assert (cut.residual(state)[across] == 0).all()
    assert (cut.jacobian(state)[across] == 0).all()


@pytest.mark.parametrize("count", [1, 2])
def test_clips_shorter_than_the_reach_have_no_residuals(count: int) -> None:
    time = np.arange(count) / 30
    term = ConstantVelocity(time, ONES, np.ones(count - 1))
    assert len(term.residual(motion(CHAIN, time))) == max(count - term.reach, 0)


def test_acceleration_does_not_depend_on_the_frame_rate() -> None:
    found = []
    for rate in (60, 120):
        time = np.arange(rate + 1) / rate
        term = ConstantVelocity(time, ONES, np.ones(len(time) - 1))
        found.append(term.residual(motion(CHAIN, time)))
    # Centred at frames 1.. of each; the second difference's own error is (2 pi f dt)^2 / 12 of
    # the value, with f = 0.6 Hz: 3e-4 at 60 Hz.
    slow, fast = found[0], found[1][1::2]
    assert np.abs(slow - fast).max() < 1e-3 * np.abs(slow).max()


def test_a_fit_does_not_depend_on_the_frame_rate() -> None:
    """Twice the frames give data and smoothness twice the terms: their balance stays."""
    fitted = {}
    for rate in (30, 60):
        time = np.arange(rate + 1) / rate
        truth = motion(CHAIN, time, swing=0.2).posed(CHAIN).points
        # A jerk that a smooth motion cannot follow, the same at either rate.
        wave = 0.03 * np.sin(2 * np.pi * 3 * time)[:, None, None]
        data = Position(truth + wave, np.eye(3) / 0.01, np.arange(K))
        # At 0.7 m/s^2 the translation is held back as strongly as 26 points pull it at 3 Hz.
        sigma = np.array([0.7, *(5 * np.ones(F))])
        smooth = ConstantVelocity(time, sigma, np.ones(rate))
        objective = Objective(points=(data,), times=(smooth,))
        start = motion(CHAIN, time, swing=0.2)
        solution = minimise(objective, Variables.poses(CHAIN), start, Options(most_steps=30))
        fitted[rate] = solution.state.posed(CHAIN).points
        assert rms(fitted[rate], truth + wave) > 0.005  # smoothness has its say
    between = so3.norm(fitted[30] - fitted[60][::2])
    # A wave of 3 Hz at 30 Hz loses a twelfth of (2 pi 3 / 30)^2, 3 %, of its acceleration, and so
    # as much of the 10 mm that smoothness takes. The ends hold half a frame more of the data.
    assert between[3:-3].mean(axis=1).max() < 0.001
