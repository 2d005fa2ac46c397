"""Repair, smoothing and bridging of poses: on the rotations, and never from what is missing."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.fit.recipes.frames.rotation_repair import (
    SpikeRule,
    bridge,
    repair,
    smooth,
)
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray, InvalidData

TIME = np.arange(150) / 30
J = 8


def swinging(*, seed: int = 0, wide: float = 1.2) -> FloatArray:
    """(T, J, 3, 3) joints that swing at 0.5 to 1.5 Hz: up to 11 rad/s and 100 rad/s^2."""
    rng = np.random.default_rng(seed)
    tempo, phase = rng.uniform(0.5, 1.5, (J, 3)), rng.uniform(0, 6, (J, 3))
    return so3.exp(wide * np.sin(2 * np.pi * tempo * TIME[:, None, None] + phase))


def noise(shape: tuple[int, ...], sd: float, seed: int = 1) -> FloatArray:
    return so3.exp(np.random.default_rng(seed).normal(0, sd, (*shape, 3)))


def apart(a: FloatArray, b: FloatArray) -> FloatArray:
    return so3.norm(so3.log(np.swapaxes(a, -1, -2) @ b))


def test_slerp_turns_at_constant_speed() -> None:
    start, end = so3.exp(np.array([0.1, 0.2, 0.3])), so3.exp(np.array([-1.0, 0.5, 1.0]))
    whole = apart(start, end)
    for share in (0.0, 0.25, 0.5, 1.0, 1.5):
        there = so3.slerp(start, end, share)
        np.testing.assert_allclose(apart(start, there), share * whole, atol=1e-14)
        # On the way, not beside it.
        np.testing.assert_allclose(apart(there, end), abs(1 - share) * whole, atol=1e-14)


def test_slerp_takes_the_short_way_across_the_half_turn_where_rotation_vectors_jump() -> None:
    before, after = so3.exp(np.array([0, np.pi - 0.1, 0])), so3.exp(np.array([0, np.pi + 0.1, 0]))
    middle = so3.slerp(before, after, 0.5)
    np.testing.assert_allclose(middle, so3.exp(np.array([0, np.pi, 0])), atol=1e-14)
    naive = so3.exp((so3.log(before) + so3.log(after)) / 2)  # of the raw parameters
    assert apart(middle, naive) > 3  # radians: facing the other way


@pytest.mark.parametrize("sd", [0.0, 0.05])
def test_motion_is_no_spike(sd: float) -> None:
    rotations = swinging() @ noise((len(TIME), J), sd)
    repaired, spikes = repair(TIME, rotations)
    assert not spikes.any()
    np.testing.assert_array_equal(repaired, rotations)


def test_spikes_are_found_and_replaced_by_the_motion() -> None:
    rng, truth = np.random.default_rng(2), swinging()
    rotations = truth @ noise((len(TIME), J), 0.03)
    wild = np.zeros((len(TIME), J), dtype=bool)
    wild[3:-3][rng.random((len(TIME) - 6, J)) < 0.03] = True
    turn = so3.unit(rng.normal(size=(*wild.shape, 3))) * rng.uniform(1.0, 3.1, (*wild.shape, 1))
    rotations[wild] = (rotations @ so3.exp(turn))[wild]
    repaired, spikes = repair(TIME, rotations)
    assert (spikes & wild).sum() >= 0.97 * wild.sum()
    assert (spikes & ~wild).sum() <= 0.001 * wild.size
    np.testing.assert_array_equal(repaired[~spikes], rotations[~spikes])
    # The curve through eight noisy neighbours: noise of 0.03 rad, and what a parabola misses.
    assert apart(repaired, truth)[spikes & wild].max() < 0.25
    assert apart(rotations, truth)[wild].min() > 0.8


def test_a_spike_in_the_place_is_replaced() -> None:
    rng = np.random.default_rng(3)
    path = np.cumsum(rng.normal(0, 0.01, (len(TIME), 1, 3)), axis=0)
    moved = path.copy()
    moved[40] += [0.0, 1.0, 0.0]
    repaired, spikes = repair(TIME, moved)
    np.testing.assert_array_equal(np.flatnonzero(spikes), [40])
    # A random walk of 1 cm a frame, from both sides.
    assert so3.norm(repaired - path).max() < 0.03


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_what_is_missing_stays_where_it_is(value: float) -> None:
    rotations = swinging() @ noise((len(TIME), J), 0.03)
    path = np.random.default_rng(4).normal(size=(len(TIME), 2, 3))
    lost = rotations.copy()
    lost[60], lost[62, 3], path[60] = value, value, value
    hole = ~np.isfinite(lost)
    for out in (repair(TIME, lost)[0], smooth(TIME, lost, 0.05)):
        np.testing.assert_array_equal(~np.isfinite(out), hole)
    for out in (repair(TIME, path)[0], smooth(TIME, path, 0.05)):
        np.testing.assert_array_equal(np.isfinite(out), np.isfinite(path))


def test_what_is_missing_pulls_at_nothing() -> None:
    rotations = swinging() @ noise((len(TIME), J), 0.03)
    lost = rotations.copy()
    lost[60] = np.nan
    far = np.abs(np.arange(len(TIME)) - 60) > 5  # three deviations of 0.05 s are 4.5 frames
    smoothed = smooth(TIME, lost, 0.05)
    np.testing.assert_array_equal(smoothed[far], smooth(TIME, rotations, 0.05)[far])
    # Whatever stands in the file behind "not finite", it is the same to the neighbours.
    lost[60] = np.inf
    np.testing.assert_array_equal(np.delete(smooth(TIME, lost, 0.05), 60, 0),
                                  np.delete(smoothed, 60, 0))  # fmt: skip


def test_smoothing_takes_noise_and_leaves_motion() -> None:
    truth = swinging()
    noisy = truth @ noise((len(TIME), J), 0.05)
    error = apart(smooth(TIME, noisy, 0.05), truth).mean()
    assert error < 0.65 * apart(noisy, truth).mean()
    # A parabola bends with the motion: milliradians are lost of swings of a radian.
    assert apart(smooth(TIME, truth, 0.05), truth).mean() < 0.005


def test_smoothing_crosses_the_half_turn_without_noticing() -> None:
    spin = so3.exp(np.array([0, 1.0, 0]) * (4 * TIME)[:, None, None])  # constant, many turns
    smoothed = smooth(TIME, spin, 0.05)
    np.testing.assert_allclose(smoothed, spin, atol=1e-7)  # the ridge of the parabola's curvature


def test_uniform_turning_and_moving_comes_back_exactly_on_an_uneven_clock() -> None:
    time = np.cumsum(np.random.default_rng(5).uniform(0.01, 0.06, 80))
    path = (np.array([0.3, -0.1, 0.2]) * time[:, None])[:, None]
    np.testing.assert_allclose(smooth(time, path, 0.06), path, atol=1e-7)


def test_no_spread_changes_nothing() -> None:
    rotations = swinging()
    np.testing.assert_array_equal(smooth(TIME, rotations, 0.0), rotations)


@pytest.mark.parametrize("spread", [-1.0, np.nan, np.inf])
def test_a_spread_that_is_no_duration_is_refused(spread: float) -> None:
    with pytest.raises(InvalidData, match="smooths nothing"):
        smooth(TIME, swinging(), spread)


def test_shapes_that_do_not_fit_are_refused() -> None:
    with pytest.raises(InvalidData, match=r"are not \(T, J, 3, 3\)"):
        repair(TIME[:-1], swinging())
    with pytest.raises(InvalidData, match=r"or \(T, J, 3\)"):
        smooth(TIME, np.zeros((len(TIME), 3)), 0.1)


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_short_clips_pass_through(count: int) -> None:
    rotations, time = swinging()[:count], TIME[:count]
    repaired, spikes = repair(time, rotations)
    np.testing.assert_array_equal(repaired, rotations)
    assert not spikes.any()
    np.testing.assert_array_equal(smooth(time, rotations, 0.05), rotations)


def test_frames_far_apart_are_no_neighbours() -> None:
    time = TIME.copy()
    time[75:] += 100.0
    rotations = np.broadcast_to(np.eye(3), (len(TIME), 1, 3, 3)).copy()
    rotations[75:] = so3.exp(np.array([0, 3.0, 0]))  # another pose after the pause
    repaired, spikes = repair(time, rotations, SpikeRule(reach_s=0.3))
    assert not spikes.any()
    np.testing.assert_allclose(smooth(time, repaired, 0.05), rotations, atol=1e-9)


def test_gaps_are_bridged_from_good_to_good_in_time() -> None:
    time = np.array([0.0, 0.1, 0.15, 0.3, 0.4, 0.9, 1.0, 1.1])
    good = np.array([False, True, False, True, True, False, True, False])
    frame, before, after, share = bridge(time, good, 0.3)
    # The first and the last have one side only; the gap from 0.4 to 1.0 s is too long.
    np.testing.assert_array_equal(frame, [2])
    np.testing.assert_array_equal([before, after], [[1], [3]])
    np.testing.assert_allclose(share, [0.25])
    assert len(bridge(time, good, 0.7)[0]) == 2
    assert not len(bridge(time, np.zeros(8, dtype=bool), 1.0)[0])
    assert not len(bridge(time, np.ones(8, dtype=bool), 1.0)[0])
