"""Points that are known exactly are where the mesh and the joints are."""

from __future__ import annotations

import tracemalloc

import numpy as np

from kinefit.body.anny import load_anny
from kinefit.fit.mesh_markers import laboratory_markers
from kinefit.geometry import rotations as so3
from kinefit.skeletons import skeleton
from kinefit.synth.body_points import body_points
from kinefit.types import FloatArray


def poses(seed: int, count: int, joints: int) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(seed)
    return so3.exp(rng.normal(0, 0.3, (count, joints, 3))), rng.normal(size=(count, 3))


def test_keypoints_are_those_of_the_posed_mesh() -> None:
    body = load_anny()
    points = body_points(body)
    shape = body.shape.neutral + 0.1
    rotations, translation = poses(0, 3, len(body.joint_names))
    xyz, _ = points.at(rotations, translation, shape)
    mesh = body.posed_vertices(rotations, translation, shape)
    _, joints = body.pose(rotations, translation, body.rest_joints(shape))
    own = [name for name in points.keypoints if name in body.regressors]
    expected = body.regress(mesh, joints, own)
    # Sums of the same numbers in another order.
    np.testing.assert_allclose(
        xyz[:, [points.keypoints.index(n) for n in own]], expected, atol=1e-12
    )
    column = {name: xyz[:, i] for i, name in enumerate(points.keypoints)}
    middle = (column["LHip"] + column["RHip"]) / 2
    np.testing.assert_allclose(column["Hip"], middle, atol=1e-12)


def test_memory_does_not_grow_with_the_skin_of_the_clip() -> None:
    body = load_anny()
    points = body_points(body)

    def peak(frames: int) -> int:
        pose = poses(1, frames, len(body.joint_names))
        tracemalloc.start()
        points.keypoints_at(*pose, body.shape.neutral)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    more = peak(300) - peak(100)
    # The keypoints themselves are 1 KB a frame; the skin that they need is 200.
    assert more < 200 * 10_000


def test_markers_are_those_of_the_laboratory() -> None:
    body = load_anny()
    points = body_points(body)
    assert set(points.markers) == set(skeleton("augmented43").points)
    rotations, translation = poses(1, 2, len(body.joint_names))
    _, markers = points.at(rotations, translation, body.shape.neutral)
    expected = laboratory_markers(body).posed_vertices(rotations, translation, body.shape.neutral)
    np.testing.assert_array_equal(markers, expected)


def test_points_inside_know_how_deep() -> None:
    body = load_anny()
    points = body_points(body)
    depth = dict(zip(points.keypoints, points.depth_below_skin(body.shape.neutral), strict=True))
    assert depth["LHip"] > 0.05
    assert depth["Nose"] < 0.01
    np.testing.assert_allclose(depth["LHip"], depth["RHip"], atol=1e-3)  # a symmetric mesh
