"""The chain against full skinning, and its derivatives against central differences."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.state import State, Variables
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray, InvalidData

from ..body.synthetic import tube_body
from .tubes import JOINTS, LIMB, moved, poses, slopes, tube_chain

# A step of 1e-6 leaves rounding of 1e-16 / 1e-6 and curvature of 1e-12: both far below this.
SLOPE = 1e-8


def skinned(chain: Chain, state: State, names: tuple[str, ...]) -> FloatArray:
    """(T, K, 3) the same keypoints by way of the whole mesh."""
    body = chain.body
    local = np.broadcast_to(np.eye(3), (len(state), len(body.joint_names), 3, 3)).copy()
    local[:, chain.joint_index] = state.rotations
    vertices = body.posed_vertices(local, state.translation, state.shape)
    _, joints = body.pose(local, state.translation, body.rest_joints(state.shape))
    return body.regress(vertices, joints, names)


def offset_state(chain: Chain, count: int = 4) -> State:
    offset = np.random.default_rng(5).normal(0, 0.02, (len(chain.point_names), 3))
    return replace(poses(chain, count), offset=offset)


@pytest.mark.parametrize("joints", [JOINTS, tube_body().joint_names, ("pelvis",)])
def test_points_are_those_of_the_skinned_mesh(joints: tuple[str, ...]) -> None:
    chain = tube_chain(joints=joints)
    state = poses(chain, 5)
    # Sums of a few products near one metre, in another order.
    np.testing.assert_allclose(
        state.posed(chain).points, skinned(chain, state, chain.point_names), atol=1e-14
    )


def test_a_shape_per_pose_gives_each_pose_its_own() -> None:
    chain = tube_chain()
    one, other = poses(chain, 3), poses(chain, 3, seed=1).shape
    each = replace(one, shape=np.stack([one.shape, other, one.shape]))
    mixed = each.posed(chain)
    alike, changed = one.posed(chain), replace(one, shape=other).posed(chain)
    for field in ("points", "jacobian", "shape_jacobian"):
        expected = getattr(alike, field).copy()
        expected[1] = getattr(changed, field)[1]
        np.testing.assert_allclose(getattr(mixed, field), expected, atol=1e-14)


def test_sums_of_keypoints_are_sums_of_their_points() -> None:
    body = tube_body()
    spec = {"Middle": {"LHip": 0.5, "RHip": 0.5}, **LIMB}
    chain = Chain.of(body, JOINTS, {n: {n: 1.0} for n in body.regressors} | spec)
    posed = poses(chain, 4).posed(chain)
    for name, parts in spec.items():
        for field in ("points", "jacobian", "shape_jacobian"):
            whole = getattr(posed, field)
            expected = sum(f * whole[:, chain.column(n)] for n, f in parts.items())
            np.testing.assert_allclose(whole[:, chain.column(name)], expected, atol=1e-14)


def test_a_limbs_direction_does_not_move_with_the_body() -> None:
    chain = tube_chain(limbs=True)
    J = poses(chain, 3).posed(chain).jacobian
    assert np.abs(J[:, chain.column("LThigh"), :, :3]).max() < 1e-15


def test_an_offset_is_carried_by_the_joint_of_its_point() -> None:
    chain = tube_chain()
    state = offset_state(chain)
    G, _ = state.posed(chain).frames
    bare = replace(state, offset=np.zeros_like(state.offset)).posed(chain).points
    k, j = chain.column("LKnee"), chain.joint_names.index("left_knee")
    expected = bare[:, k] + G[:, j] @ state.offset[k]
    np.testing.assert_allclose(state.posed(chain).points[:, k], expected, atol=1e-14)


def test_derivative_by_translation_and_rotations() -> None:
    chain = tube_chain(limbs=True)
    state = offset_state(chain)
    J = state.posed(chain).jacobian
    numeric = slopes(lambda d: moved(chain, state, d).posed(chain).points, J.shape[-1], 1e-6)
    np.testing.assert_allclose(J, numeric, atol=SLOPE)


@pytest.mark.parametrize("each", [False, True])
def test_derivative_by_shape(each: bool) -> None:
    chain = tube_chain(limbs=True)
    state = offset_state(chain)
    if each:
        state = replace(state, shape=np.random.default_rng(6).normal(size=(len(state), 4)))

    def points(d: FloatArray) -> FloatArray:
        return replace(state, shape=state.shape + d).posed(chain).points

    J = state.posed(chain).shape_jacobian
    np.testing.assert_allclose(J, slopes(points, J.shape[-1], 1e-6), atol=SLOPE)


def test_derivative_by_offsets() -> None:
    chain = tube_chain(limbs=True)
    state = offset_state(chain)
    J = state.posed(chain).offset_jacobian

    def points(d: FloatArray) -> FloatArray:
        return replace(state, offset=state.offset + d).posed(chain).points

    # A point moves with its own offset alone, so one step moves all points at once.
    np.testing.assert_allclose(J, slopes(points, 3, 1e-6), atol=SLOPE)


def test_free_joints_stand_in_the_bodys_order_whatever_the_order_given() -> None:
    shuffled = tuple(reversed(JOINTS))
    chain = tube_chain(joints=shuffled)
    assert set(chain.joint_names) == set(JOINTS)
    assert (chain.parents[1:] < np.arange(1, len(JOINTS))).all()
    names = chain.joint_names
    assert names[chain.parents[names.index("left_shoulder")]] == "spine2"  # past the collar


def test_below_are_the_joint_and_its_descendants() -> None:
    chain = tube_chain()
    moved_by_hip = chain.below[chain.joint_names.index("left_hip")]
    found = {chain.joint_names[b] for b in np.flatnonzero(moved_by_hip)}
    assert found == {"left_hip", "left_knee", "left_ankle"}


def test_what_the_body_does_not_have_is_refused() -> None:
    body = tube_body()
    with pytest.raises(InvalidData, match="no joint tail"):
        Chain.of(body, ("pelvis", "tail"), {"Nose": {"Nose": 1.0}})
    with pytest.raises(InvalidData, match="root"):
        Chain.of(body, ("left_knee",), {"Nose": {"Nose": 1.0}})
    with pytest.raises(InvalidData, match="no keypoint 'Tail'"):
        Chain.of(body, ("pelvis",), {"Tail": {"Tail": 1.0}})
    with pytest.raises(InvalidData, match="'Tail'"):
        tube_chain().column("Tail")


def test_a_state_takes_rows_and_gives_them_back() -> None:
    chain = tube_chain()
    state, other = poses(chain, 5), poses(chain, 2, seed=3)
    joined = state.with_rows(np.array([1, 3]), other)
    np.testing.assert_array_equal(joined.rotations[[1, 3]], other.rotations)
    np.testing.assert_array_equal(joined.at(np.array([0, 2, 4])).translation,
                                  state.translation[[0, 2, 4]])  # fmt: skip
    np.testing.assert_array_equal(joined.shape, state.shape)  # shared: its own


def test_variables_leave_out_what_is_held() -> None:
    chain = tube_chain()
    free = np.zeros(len(JOINTS), dtype=bool)
    free[2] = True
    v = Variables(chain, free, translation=False, shape="shared", offsets=(4,))
    rest = State.rest(chain, 2)
    moved = v.moved(rest, np.ones((2, v.frame_size)), np.arange(v.shared_size, dtype=float))
    assert v.frame_size == 3
    assert (moved.translation == 0).all()
    turn = so3.log(moved.rotations)
    np.testing.assert_allclose(turn, np.tile(free[:, None], (2, 1, 3)), atol=1e-12)
    np.testing.assert_array_equal(moved.shape - rest.shape, [0, 1, 2, 3])
    np.testing.assert_array_equal(moved.offset[4], [4, 5, 6])
    assert (np.delete(moved.offset, 4, 0) == 0).all()
