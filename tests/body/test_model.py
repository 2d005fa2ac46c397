"""A skinned body: forward kinematics and skinning written out one by one, regressors, refusals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.body import BodyModel, ShapeSpace, model
from kinefit.body.model import forward_kinematics, levels
from kinefit.geometry import rotations as so3
from kinefit.types import BodyMotion, FloatArray, InvalidData, Timeline

from .synthetic import tube_body

EXACT = 1e-14  # sums of a few products near one metre


def random_pose(body: BodyModel, seed: int = 0) -> tuple[FloatArray, FloatArray, FloatArray]:
    """One pose: rotations (B, 3, 3), translation (3,), shape (S,)."""
    rng = np.random.default_rng(seed)
    rotvec = rng.normal(0, 0.6, (len(body.joint_names), 3))
    return so3.exp(rotvec), rng.normal(size=3), rng.normal(size=len(body.shape.names))


def one_by_one(
    body: BodyModel, rotations: FloatArray, translation: FloatArray, shape: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Vertices (V, 3) and joints (B, 3) by 4 x 4 matrices, a joint and a vertex at a time."""
    heads = body.joints + np.einsum("c,cbi->bi", shape, body.joint_dirs)
    rest = body.vertices + np.einsum("c,cvi->vi", shape, body.vertex_dirs)
    if body.pose_dirs is not None:
        bend = (rotations[1:] - np.eye(3)).ravel()
        rest = rest + np.einsum("p,pvi->vi", bend, body.pose_dirs)
    world: list[FloatArray] = []
    for b, parent in enumerate(body.parents):
        local = np.eye(4)
        local[:3, :3] = rotations[b]
        local[:3, 3] = heads[b] + translation if parent < 0 else heads[b] - heads[parent]
        world.append(local if parent < 0 else world[parent] @ local)
    vertices = np.zeros_like(rest)
    for v, (joints, weights) in enumerate(zip(body.skin_joints, body.skin_weights, strict=True)):
        for b, w in zip(joints, weights, strict=True):
            vertices[v] += w * (world[b] @ [*(rest[v] - heads[b]), 1])[:3]
    return vertices, np.stack([T[:3, 3] for T in world])


@pytest.mark.parametrize("pose_dirs", [False, True])
def test_joints_and_mesh_are_those_of_the_equations(pose_dirs: bool) -> None:
    body = tube_body(pose_dirs=pose_dirs)
    R, t, shape = random_pose(body)
    vertices, joints = one_by_one(body, R, t, shape)
    np.testing.assert_allclose(body.posed_vertices(R, t, shape), vertices, atol=EXACT)
    _, c = body.pose(R, t, body.rest_joints(shape))
    np.testing.assert_allclose(c, joints, atol=EXACT)


@pytest.mark.parametrize("each", [False, True])
def test_any_batch_is_its_parts(each: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "_TOGETHER", 4)  # of six poses
    body = tube_body(pose_dirs=True)
    parts = [random_pose(body, seed) for seed in range(6)]
    R, t, shape = (np.stack(p).reshape(2, 3, *p[0].shape) for p in zip(*parts, strict=True))
    shape = shape if each else shape[0, 0]
    together = body.posed_vertices(R, t, shape)
    for i in np.ndindex(2, 3):
        alone = body.posed_vertices(R[i], t[i], shape[i] if each else shape)
        np.testing.assert_allclose(together[i], alone, atol=EXACT)


def test_some_vertices_are_rows_of_all() -> None:
    body = tube_body(pose_dirs=True)
    R, t, shape = random_pose(body)
    index = np.array([200, 3, 3, 71])
    whole = body.posed_vertices(R, t, shape)
    np.testing.assert_allclose(body.posed_vertices(R, t, shape, index), whole[index], atol=EXACT)
    np.testing.assert_array_equal(body.rest_vertices(shape, index),
                                  body.rest_vertices(shape)[index])  # fmt: skip


def test_the_rest_pose_is_the_template() -> None:
    body = tube_body(pose_dirs=True)
    still = np.broadcast_to(np.eye(3), (len(body.joint_names), 3, 3))
    neutral = body.shape.neutral
    np.testing.assert_allclose(body.posed_vertices(still, np.zeros(3), neutral), body.vertices,
                               atol=EXACT)  # fmt: skip
    _, c = body.pose(still, np.zeros(3), body.rest_joints(neutral))
    np.testing.assert_allclose(c, body.joints, atol=EXACT)


def test_turning_the_root_turns_the_body_about_it() -> None:
    body = tube_body()
    R, t, shape = random_pose(body)
    turn = so3.exp(np.array([0.4, 2.0, -1.0]))
    turned = R.copy()
    turned[0] = turn @ R[0]
    pivot = body.rest_joints(shape)[0] + t
    expected = (body.posed_vertices(R, t, shape) - pivot) @ turn.T + pivot
    np.testing.assert_allclose(body.posed_vertices(turned, t, shape), expected, atol=EXACT)


def test_keypoints_are_joints_or_means_of_vertices() -> None:
    body = tube_body()
    R, t, shape = random_pose(body)
    vertices = body.posed_vertices(R, t, shape)
    _, c = body.pose(R, t, body.rest_joints(shape))
    knee, nose = body.regress(vertices, c, ("LKnee", "Nose"))
    np.testing.assert_array_equal(knee, c[body.joint_names.index("left_knee")])
    index, weight = body.regressors["Nose"]
    np.testing.assert_allclose(nose, weight @ vertices[index], atol=EXACT)
    with pytest.raises(InvalidData, match="no keypoint 'Tail'; there are: Hip"):
        body.regressor("Tail")


def test_levels_are_distances_from_the_root() -> None:
    parents = np.array([-1, 0, 0, 1, 3, 2])
    assert [list(level) for level in levels(parents)] == [[0], [1, 2], [3, 5], [4]]


def test_a_bone_keeps_its_length_in_any_pose() -> None:
    body = tube_body()
    R, t, shape = random_pose(body, 3)
    heads = body.rest_joints(shape)
    G, c = forward_kinematics(body.parents, R, t, heads)
    p = body.parents[1:]
    np.testing.assert_allclose(so3.norm(c[1:] - c[p]), so3.norm(heads[1:] - heads[p]), atol=EXACT)
    np.testing.assert_allclose(np.linalg.det(G), 1, atol=EXACT * 10)  # along eight joints


def test_a_motion_is_skinned_and_missing_frames_stay_missing() -> None:
    body = tube_body()
    poses = [random_pose(body, seed) for seed in range(3)]
    R, t = np.stack([p[0] for p in poses]), np.stack([p[1] for p in poses])
    R[1], t[1] = np.nan, np.nan
    motion = BodyMotion(body.name, Timeline.regular(3, 30.0), body.joint_names, R, t,
                        poses[0][2], body.shape.names)  # fmt: skip
    vertices = body.motion_vertices(motion)
    assert np.isnan(vertices[1]).all()
    expected = body.posed_vertices(R[2], t[2], poses[0][2])
    np.testing.assert_allclose(vertices[2], expected, atol=EXACT)


def test_linear_shapes_are_their_own_coefficients() -> None:
    space = ShapeSpace.unbounded(("a", "b", "c"))
    shape = np.random.default_rng(0).normal(size=(5, 3))
    np.testing.assert_array_equal(space.coefficients(shape), shape)
    np.testing.assert_array_equal(space.jacobian(shape), np.tile(np.eye(3), (5, 1, 1)))
    assert np.isinf(space.lower).all()
    assert np.isinf(space.upper).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda b: {"joints": b.joints[:-1]}, "joints has shape"),
        (lambda b: {"vertex_dirs": b.vertex_dirs[:, :-1]}, "vertex_dirs has shape"),
        (lambda b: {"skin_joints": b.skin_joints[:, :1]}, "skin_joints has shape"),
        (lambda b: {"parents": b.parents[::-1].copy()}, "root"),
        (lambda b: {"skin_weights": 0.9 * b.skin_weights}, "sum to one"),
        (lambda b: {"skin_weights": b.skin_weights * np.nan}, "sum to one"),
    ],
)
def test_a_body_that_is_none_is_refused(change, message) -> None:
    body = tube_body()
    with pytest.raises(InvalidData, match=message):
        replace(body, **change(body))
