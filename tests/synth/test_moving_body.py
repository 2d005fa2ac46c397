"""A motion in the world: where it is, when, and what a treadmill takes from it."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.body.anny import load_anny
from kinefit.geometry import rotations as so3
from kinefit.synth.motion_clip import MovingBody
from kinefit.types import InvalidData

TIMES = np.linspace(-0.2, 4.0, 127)  # 30 Hz


def walking(speed: float = 1.2, sway: float = 0.03) -> MovingBody:
    """At `speed` m/s towards +X, with a sway of the hips of a step (1.8 Hz)."""
    body = load_anny()
    rotations = so3.exp(np.zeros((len(TIMES), len(body.joint_names), 3)))
    rotations[:, 0] = so3.exp(np.stack([0 * TIMES, 0.2 * np.sin(TIMES), 0 * TIMES], axis=-1))
    swaying = sway * np.sin(2 * np.pi * 1.8 * TIMES)
    path = np.stack([speed * TIMES, 0.9 + 0.5 * swaying, swaying], axis=-1)
    return MovingBody.of(body, body.shape.neutral, TIMES, rotations, path, "walking")


def root_joint(moving: MovingBody, times: np.ndarray) -> np.ndarray:
    body = load_anny()
    rotations, translation = moving.at(times)
    return body.pose(rotations, translation, body.rest_joints(body.shape.neutral))[1][:, 0]


def test_it_is_the_poses_that_it_was_made_of_and_smooth_between() -> None:
    moving = walking()
    _, translation = moving.at(TIMES)
    path = np.stack([1.2 * TIMES, 0.9 + 0.015 * np.sin(2 * np.pi * 1.8 * TIMES)], axis=-1)
    np.testing.assert_allclose(translation[:, :2], path, atol=1e-9)
    between = (TIMES[1:] + TIMES[:-1]) / 2
    rotations, translation = moving.at(between)
    np.testing.assert_allclose(translation[:, 0], 1.2 * between, atol=1e-4)  # 0.1 mm
    # Halfway between samples 0.03 s apart: the curvature that straight lines miss is below 1e-4.
    np.testing.assert_allclose(so3.log(rotations[:, 0])[:, 1], 0.2 * np.sin(between), atol=1e-4)


@pytest.mark.parametrize("time", [-0.3, 4.1])
def test_outside_of_the_motion_there_is_nothing(time: float) -> None:
    with pytest.raises(InvalidData):
        walking().at(np.array([time]))


def test_a_place_is_the_middle_of_the_way_and_the_heading_turns_it() -> None:
    moving = walking(sway=0.0)
    turned = moving.placed_at((2.0, -1.0, np.pi / 2))  # about Y: +X becomes -Z
    before, after = root_joint(moving, TIMES), root_joint(turned, TIMES)
    middle = (after.min(axis=0) + after.max(axis=0)) / 2
    np.testing.assert_allclose(middle[[0, 2]], [2.0, -1.0], atol=1e-9)
    np.testing.assert_allclose(np.diff(after[:, 2]), -np.diff(before[:, 0]), atol=1e-9)
    np.testing.assert_allclose(after[:, 1], before[:, 1], atol=1e-12)


def test_turning_moves_the_whole_body_rigidly() -> None:
    body = load_anny()
    moving = walking()
    turned = moving.placed_at((0.5, 0.3, 1.0))
    times, shape = np.array([0.1, 1.7]), body.shape.neutral
    before, after = (
        np.asarray(body.posed_vertices(*m.at(times), shape))[:, ::500] for m in (moving, turned)
    )
    Q = so3.exp(np.array([0.0, 1.0, 0.0]))
    shift = after - before @ Q.T
    assert np.abs(shift - shift[0, 0]).max() < 1e-9
    assert shift[0, 0, 1] == pytest.approx(0, abs=1e-9)


def test_a_treadmill_takes_the_way_and_leaves_the_sway() -> None:
    moving = walking()
    still = moving.in_place()
    inner = TIMES[(TIMES > 1) & (TIMES < 3)]  # two of the filter's SDs and more from the ends
    before, after = root_joint(moving, inner), root_joint(still, inner)
    assert np.ptp(before[:, 0]) > 2
    assert np.ptp(after[:, 0]) < 0.02
    # A Gaussian of 0.5 s leaves nothing of 1.8 Hz in the mean: the sway stays whole.
    sway = [at[:, 1:] - at[:, 1:].mean(axis=0) for at in (before, after)]
    np.testing.assert_allclose(sway[1], sway[0], atol=1e-3)
    assert np.abs(after[:, [0, 2]].mean(axis=0)).max() < 0.01  # about the world's middle
    np.testing.assert_array_equal(moving.at(inner)[0], still.at(inner)[0])
