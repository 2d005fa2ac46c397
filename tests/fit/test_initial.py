"""Poses in closed form from points: exact where the points leave no doubt, and sober elsewhere."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.fit.recipes.initial import from_points
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.types import BoolArray, FloatArray, TooFewPoints

from ..body.synthetic import tube_body
from .tubes import motion, poses, rms, tube_chain

CHAIN = tube_chain(limbs=True)
K = len(CHAIN.point_names)


def points_of(state: State) -> FloatArray:
    return state.posed(CHAIN).points


def begun(xyz: FloatArray, shape: FloatArray) -> State:
    return from_points(CHAIN, shape, xyz)


@pytest.mark.parametrize("bend", [1e-4, 0.05, 0.4])
def test_a_body_of_the_right_shape_is_met_as_nearly_as_it_is_straight(bend: float) -> None:
    truth = poses(CHAIN, 20, bend=bend)
    # The root is taken from the whole body a little, and so passes on what joints bend below it.
    assert rms(points_of(begun(points_of(truth), truth.shape)), points_of(truth)) < 0.06 * bend


def test_another_shape_is_met_to_its_own_difference() -> None:
    truth = motion(CHAIN, np.arange(20) / 30)
    other = CHAIN.shape.neutral
    gap = rms(points_of(replace(truth, shape=other)), points_of(truth))
    assert gap > 0.02
    assert rms(points_of(begun(points_of(truth), other)), points_of(truth)) < gap


def test_it_goes_along_with_the_world() -> None:
    truth = poses(CHAIN, 6)
    turn, shift = so3.exp(np.array([0.5, -2.0, 0.8])), np.array([3.0, -1, 2])
    there = points_of(replace(truth, rotations=_turned(truth, turn)))
    there += ~_differences()[:, None] * shift
    plain, turned = begun(points_of(truth), truth.shape), begun(there, truth.shape)
    np.testing.assert_allclose(turned.rotations[:, 1:], plain.rotations[:, 1:], atol=1e-9)
    np.testing.assert_allclose(turned.rotations[:, 0], turn @ plain.rotations[:, 0], atol=1e-9)


def _turned(state: State, turn: FloatArray) -> FloatArray:
    rotations = state.rotations.copy()
    rotations[:, 0] = turn @ rotations[:, 0]
    return rotations


def _differences() -> BoolArray:
    """(K,) True for points that are differences of keypoints."""
    return np.array([name in ("LThigh", "RForearm") for name in CHAIN.point_names])


def test_differences_of_keypoints_are_not_taken_for_places() -> None:
    truth = poses(CHAIN, 6)
    known = points_of(truth).copy()
    known[:, _differences()] = np.nan
    np.testing.assert_array_equal(begun(points_of(truth), truth.shape).rotations,
                                  begun(known, truth.shape).rotations)  # fmt: skip


def test_rotations_are_rotations_even_of_mirrored_points() -> None:
    mirrored = points_of(poses(CHAIN, 10)) * [-1, 1, 1]
    R = begun(mirrored, CHAIN.shape.neutral).rotations
    np.testing.assert_allclose(np.linalg.det(R), 1, atol=1e-12)
    np.testing.assert_allclose(R @ np.swapaxes(R, -1, -2), np.broadcast_to(np.eye(3), R.shape),
                               atol=1e-12)  # fmt: skip


def test_a_missing_arm_hangs_as_at_rest_and_harms_nothing_else() -> None:
    truth = poses(CHAIN, 8)
    xyz = points_of(truth).copy()
    arm = [CHAIN.column(n) for n in ("RShoulder", "RElbow", "RWrist")]
    xyz[:, arm] = np.nan
    found = begun(xyz, truth.shape)
    at = [CHAIN.joint_names.index(f"right_{part}") for part in ("shoulder", "elbow")]
    np.testing.assert_allclose(found.rotations[:, at], np.broadcast_to(np.eye(3), (8, 2, 3, 3)),
                               atol=1e-6)  # fmt: skip
    leg = [CHAIN.column(n) for n in ("LHip", "LKnee", "LAnkle", "LHeel")]
    assert rms(points_of(found)[:, leg], points_of(truth)[:, leg]) < 0.03  # as with the arm


def test_offsets_are_taken_into_account() -> None:
    rng = np.random.default_rng(2)
    truth = replace(poses(CHAIN, 10), offset=rng.normal(0, 0.01, (K, 3)))
    truth.offset[-2:] = 0  # of differences
    xyz = points_of(truth)
    blind = from_points(CHAIN, truth.shape, xyz)
    aware = from_points(CHAIN, truth.shape, xyz, truth.offset)
    np.testing.assert_array_equal(aware.offset, truth.offset)
    assert rms(points_of(aware), xyz) < rms(points_of(blind), xyz)


def test_fewer_than_three_points_are_refused_by_frame() -> None:
    xyz = points_of(poses(CHAIN, 4)).copy()
    xyz[2, 2:] = np.nan
    with pytest.raises(TooFewPoints, match="2"):
        begun(xyz, CHAIN.shape.neutral)


def test_no_poses_are_no_poses() -> None:
    assert len(begun(np.empty((0, K, 3)), CHAIN.shape.neutral)) == 0


def test_all_joints_free_still_gives_rotations() -> None:
    """Hands and collars have no point of their own: they follow."""
    body = tube_body()
    chain = Chain.of(body, body.joint_names, {n: {n: 1.0} for n in body.regressors})
    truth = poses(tube_chain(), 5)
    xyz = truth.posed(tube_chain()).points
    found = from_points(chain, truth.shape, xyz)
    assert np.isfinite(found.rotations).all()
    assert rms(found.posed(chain).points, xyz) < 0.03
