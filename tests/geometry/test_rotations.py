"""Rotations against scipy's, derivatives against finite differences, and continuity."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.geometry.hip_centre import hip_joint_centres
from kinefit.geometry.rotations import (
    cardan_jacobian,
    compose,
    continuous,
    continuous_swing_twist,
    decompose,
    exp,
    frame,
    frame_derivative,
    from_swing_twist,
    log,
    singularity_distance,
    swing_twist,
    to_quaternion,
    two_axis_angles,
    unit,
    unwrap,
    wrap,
)
from kinefit.types import FloatArray

SEQUENCES = ["ZXY", "YXY", "XZY", "YXZ", "ZXZ", "XYZ"]
# Products of a few matrix entries, each rounded at 1e-16.
EXACT = 1e-13


@pytest.fixture
def rotations() -> FloatArray:
    return Rotation.random(500, random_state=1).as_matrix().reshape(50, 10, 3, 3)


@pytest.mark.parametrize("sequence", ["XYZ", "YZX", "ZXY", "XZY", "YXZ", "ZYX"])
def test_slopes_of_cardan_angles(rotations: FloatArray, sequence: str) -> None:
    """Central differences; within 3 degrees of the singularity their own error has no bound."""
    angles = decompose(rotations, sequence)
    slopes = cardan_jacobian(angles, sequence)
    step = 1e-6
    columns = [
        wrap(decompose(rotations @ exp(step * d), sequence)
             - decompose(rotations @ exp(-step * d), sequence)) / (2 * step)
        for d in np.eye(3)
    ]  # fmt: skip
    regular = singularity_distance(angles, sequence) > 0.05
    assert regular.mean() > 0.9
    # Rounding of 1e-16 over the step, and the third derivative's 1 / 0.05^3 times its square.
    np.testing.assert_allclose(slopes[regular], np.stack(columns, axis=-1)[regular], atol=1e-6)
    there = np.array([0.3, np.pi / 2, 0.2])
    assert np.abs(cardan_jacobian(there, sequence)).max() <= 200  # finite where they have none


@pytest.mark.parametrize("sequence", SEQUENCES)
def test_euler_angles_agree_with_scipy_and_come_back(rotations: FloatArray, sequence: str) -> None:
    angles = decompose(rotations, sequence)
    assert angles.shape == (50, 10, 3)
    there = Rotation.from_euler(sequence, angles.reshape(-1, 3)).as_matrix()
    # Near a singularity rounding is amplified, in the angles but not in the rotation.
    np.testing.assert_allclose(there.reshape(rotations.shape), rotations, atol=EXACT)
    np.testing.assert_allclose(compose(angles, sequence), rotations, atol=EXACT)


def test_distance_to_singularity() -> None:
    angles = np.radians([[10.0, 70.0, 0.0], [0.0, -100.0, 5.0]])
    np.testing.assert_allclose(np.degrees(singularity_distance(angles, "ZXY")), [20, 10])
    np.testing.assert_allclose(np.degrees(singularity_distance(angles, "YXY")), [70, 80])


@pytest.mark.parametrize("axes", ["XY", "XZ", "YX", "YZ", "ZX", "ZY"])
def test_frame_has_the_primary_axis_exactly_and_leans_on_the_secondary(axes: str) -> None:
    rng = np.random.default_rng(2)
    p, q = rng.normal(size=(2, 40, 3))
    F = frame(axes, p, q)
    np.testing.assert_allclose(
        np.swapaxes(F, -1, -2) @ F, np.tile(np.eye(3), (40, 1, 1)), atol=EXACT
    )
    np.testing.assert_allclose(np.linalg.det(F), 1)
    first, second = ("XYZ".index(a) for a in axes)
    np.testing.assert_allclose(F[..., first], unit(p), atol=EXACT)
    assert ((F[..., second] * q).sum(-1) > 0).all()
    np.testing.assert_allclose(np.einsum("ti,ti->t", F[..., 3 - first - second], q), 0, atol=EXACT)


def test_frame_of_parallel_or_zero_directions_is_missing() -> None:
    p = np.array([[1.0, 2.0, 3.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    q = np.array([[2.0, 4.0, 6.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    assert np.isnan(frame("XY", p, q)).any(axis=(-1, -2)).tolist() == [True, True, False]


def test_frame_derivative_against_central_differences() -> None:
    rng = np.random.default_rng(3)
    p, q = rng.normal(size=(2, 20, 3))
    derivative = frame_derivative(p, q)
    for which in (0, 1):
        for axis in range(3):
            h = np.zeros((2, 3))
            h[which, axis] = 1e-6
            ahead, behind = frame("YZ", p + h[0], q + h[1]), frame("YZ", p - h[0], q - h[1])
            turn = Rotation.from_matrix(ahead @ np.swapaxes(behind, -1, -2)).as_rotvec() / 2e-6
            # Rounding 1e-16 over the step 2e-6, times directions down to 0.1 long.
            np.testing.assert_allclose(derivative[which][..., axis], turn, atol=1e-7)


def test_exp_is_scipys_and_exact_at_zero() -> None:
    vectors = np.random.default_rng(4).normal(size=(7, 5, 3))
    np.testing.assert_allclose(
        exp(vectors).reshape(-1, 3, 3),
        Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix(),
        atol=EXACT,
    )
    np.testing.assert_array_equal(exp(np.zeros((2, 3))), np.tile(np.eye(3), (2, 1, 1)))


def test_quaternions_and_rotation_vectors_are_scipys(rotations: FloatArray) -> None:
    there = Rotation.from_matrix(rotations.reshape(-1, 3, 3))
    np.testing.assert_allclose(
        to_quaternion(rotations).reshape(-1, 4), there.as_quat(canonical=True), atol=EXACT
    )
    np.testing.assert_allclose(log(rotations).reshape(-1, 3), there.as_rotvec(), atol=EXACT)
    np.testing.assert_array_equal(to_quaternion(np.eye(3)), [0, 0, 0, 1])  # no batch axis


@pytest.mark.parametrize("angle", [0.0, 1e-300, 1e-12, 1e-7, 1e-3, 1.0, np.pi / 2, 2.0, 3.0])
def test_log_undoes_exp_to_relative_rounding(angle: float) -> None:
    directions = unit(np.random.default_rng(11).normal(size=(40, 3)))
    directions = np.concatenate([directions, np.eye(3), -np.eye(3)])
    # Entries near 1 round at 1e-16 and so does the whole angle, however small the rest of it:
    # below 1e-8 the off-diagonal entries are the vector, to their own last digit.
    np.testing.assert_allclose(log(exp(angle * directions)), angle * directions, rtol=1e-14,
                               atol=1e-15 * angle)  # fmt: skip


@pytest.mark.parametrize("short", [0.0, 1e-12, 1e-9, 1e-7, 1e-4])
def test_log_keeps_its_digits_near_half_turns(short: float) -> None:
    directions = unit(np.random.default_rng(12).normal(size=(40, 3)))
    directions = np.concatenate([directions, np.eye(3), unit(np.array([[1e-9, 1.0, -1e-9]]))])
    R = exp((np.pi - short) * directions)
    vector = log(R)
    assert (np.linalg.norm(vector, axis=-1) <= np.pi + 1e-15).all()  # its own rounding
    # The half turn is known to the rounding of R; arccos of the trace would lose half the digits.
    np.testing.assert_allclose(np.linalg.norm(vector, axis=-1), np.pi - short, atol=1e-15 * 4)
    np.testing.assert_allclose(np.abs((vector * directions).sum(-1)), np.pi - short, atol=1e-14)
    np.testing.assert_allclose(exp(vector), R, atol=1e-14)


def test_log_of_missing_rotations_is_missing_and_spares_the_rest(rotations: FloatArray) -> None:
    R = rotations.copy()
    R[3] = np.nan
    assert np.isnan(log(R[3])).all()
    np.testing.assert_array_equal(np.delete(log(R), 3, 0), np.delete(log(rotations), 3, 0))


def test_swing_and_twist_come_back(rotations: FloatArray) -> None:
    # A swing of nearly pi loses half the digits of its direction: 1e-16 / (pi - swing).
    np.testing.assert_allclose(from_swing_twist(swing_twist(rotations)), rotations, atol=1e-10)
    swing = np.array([[0.3, 0.5, -0.2], [0.0, -2.0, 0.0]])
    made = Rotation.from_rotvec(swing * [1, 0, 1]) * Rotation.from_euler("Y", swing[:, 1:2])
    np.testing.assert_allclose(swing_twist(made.as_matrix()), swing, atol=EXACT)
    np.testing.assert_array_equal(swing_twist(np.eye(3)), np.zeros(3))  # no batch axis, at rest


def test_two_oblique_axes_are_recovered_on_either_side() -> None:
    rng = np.random.default_rng(5)
    p, d = unit(rng.normal(size=(2, 3)))
    angles = rng.uniform(-2, 2, (30, 2))
    R = Rotation.from_rotvec(angles[:, :1] * p) * Rotation.from_rotvec(angles[:, 1:] * d)
    np.testing.assert_allclose(two_axis_angles(R.as_matrix(), p, d), angles, atol=1e-12)


def test_a_trajectory_through_the_cardan_singularity_has_no_jump() -> None:
    middle = np.radians(np.linspace(60, 110, 101))  # 90 exactly at sample 60
    path = np.stack([np.full(101, 0.4), middle, np.full(101, -0.7)], -1)
    angles = decompose(compose(path, "ZXY"), "ZXY")
    assert np.abs(wrap(np.diff(angles, axis=0))).max() > 3  # the plain angles do jump
    followed = continuous(angles, "ZXY")
    np.testing.assert_allclose(np.diff(followed, axis=0), np.diff(path, axis=0), atol=1e-9)
    np.testing.assert_allclose(compose(followed, "ZXY"), compose(path, "ZXY"), atol=1e-9)


def test_there_and_back_through_the_singularity_comes_back() -> None:
    middle = np.radians(90 - 30 * np.cos(np.linspace(0, 4 * np.pi, 300)) - 8)
    path = np.stack([np.full(300, 0.4), middle, np.full(300, -0.7)], -1)
    followed = continuous(decompose(compose(path, "ZXY"), "ZXY"), "ZXY")
    np.testing.assert_allclose(followed, path, atol=1e-9)


def test_a_trajectory_through_rest_keeps_its_plane() -> None:
    path = np.stack([np.full(81, 0.5), np.linspace(-0.8, 0.8, 81), np.full(81, 0.1)], -1)
    followed = continuous(decompose(compose(path, "YXY"), "YXY"), "YXY")
    # The other branch is as good; both keep plane and axial rotation constant.
    assert np.ptp(followed[:, 0]) < 1e-9
    assert np.ptp(followed[:, 2]) < 1e-9
    np.testing.assert_allclose(np.abs(np.diff(followed[:, 1])), 0.02, atol=1e-9)
    np.testing.assert_allclose(compose(followed, "YXY"), compose(path, "YXY"), atol=1e-9)


def test_turning_on_the_spot_counts_on_across_a_gap() -> None:
    yaw = np.linspace(0, 3 * 2 * np.pi, 200)
    path = np.stack([np.full(200, 0.1), np.full(200, -0.2), yaw], -1)
    angles = decompose(compose(path, "ZXY"), "ZXY")
    angles[60:70] = np.nan
    followed = continuous(angles, "ZXY")
    good = np.isfinite(followed[:, 2])
    np.testing.assert_array_equal(np.flatnonzero(~good), np.arange(60, 70))
    offset = followed[good, 2] - yaw[good]
    np.testing.assert_allclose(offset, offset[0], atol=1e-9)
    assert abs(np.median(followed[good, 2])) <= np.pi


def test_an_arm_over_the_top_swings_on() -> None:
    swing = np.radians(np.linspace(120, 200, 161))  # 180 exactly at sample 120
    path = np.stack([np.zeros(161), np.full(161, 0.2), swing], -1)
    followed = continuous_swing_twist(swing_twist(from_swing_twist(path)))
    assert np.isnan(followed[120]).all()  # no arc is the shortest there
    away = np.arange(161) != 120
    np.testing.assert_allclose(followed[away], path[away], atol=1e-9)


def test_unwrap_passes_over_gaps_and_columns_without_values() -> None:
    turn = np.array([3.0, np.nan, -3.0, -2.8])
    out = unwrap(np.stack([turn, np.full(4, np.nan)], -1))
    np.testing.assert_allclose(np.diff(out[[0, 2, 3], 0]), [2 * np.pi - 6, 0.2])
    assert np.isnan(out[:, 1]).all()
    assert unwrap(np.empty((0, 2))).shape == (0, 2)


def test_hip_centres_by_hand_and_mirrored() -> None:
    # A pelvis 0.24 m wide and 0.16 m deep, level, facing +X.
    right, left = hip_joint_centres(
        *(np.array(p) for p in ([0, 1, 0.12], [0, 1, -0.12], [-0.16, 1, 0.05], [-0.16, 1, -0.05]))
    )
    expected = [-0.24 * 0.16 - 0.0099, 1 - 0.30 * 0.24 - 0.0109, 0.33 * 0.24 + 0.0073]
    np.testing.assert_allclose(right, expected)
    np.testing.assert_allclose(left, np.array(expected) * [1, 1, -1])
    assert np.isnan(hip_joint_centres(*np.zeros((4, 3)))[0]).all()
