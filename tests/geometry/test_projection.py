"""Cameras and rigs against hand-worked numbers, OpenCV, and their own inverse."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.geometry.projection import (
    RigOptics,
    focal_from_fov,
    intrinsics,
    project,
    project_rig,
    rays,
    to_camera,
    undistort,
)
from kinefit.types import Camera, CameraRig, InvalidData


def to_world(camera, xyz):
    return (xyz - camera.t) @ camera.R


@pytest.fixture
def camera() -> Camera:
    R = Rotation.from_euler("xyz", [170, 20, -10], degrees=True).as_matrix()
    return Camera("c", (1080, 1920), intrinsics(1600.0, (1080, 1920)), R, [0.1, -0.2, 4.0])


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(0).uniform(-1, 1, (5, 7, 3))


def test_focal_length_is_across_the_longer_side():
    # 90 degrees across 1920 pixels: half the side equals the focal length.
    assert focal_from_fov(np.pi / 2, (1920, 1080)) == pytest.approx(960)
    assert focal_from_fov(np.pi / 2, (1080, 1920)) == pytest.approx(960)


@pytest.mark.parametrize("fov", [0.0, np.pi, -1.0, np.nan])
def test_impossible_field_of_view_is_refused(fov):
    with pytest.raises(InvalidData, match="field of view"):
        focal_from_fov(fov, (1920, 1080))


def test_image_centre_is_between_the_middle_pixels():
    # Pixel centres at integers: two pixels in a row have their middle at 0.5.
    K = intrinsics(10.0, (2, 4))
    np.testing.assert_array_equal(K, [[10, 0, 0.5], [0, 10, 1.5], [0, 0, 1]])
    np.testing.assert_allclose(rays(K, np.array([0.5, 1.5])), [0, 0, 1], atol=1e-15)


def test_projection_agrees_with_opencv(camera, points):
    vector, _ = cv2.Rodrigues(camera.R)
    expected, _ = cv2.projectPoints(points.reshape(-1, 3), vector, camera.t, camera.K, None)
    # 1e-9 px: double precision on numbers of a few thousand.
    np.testing.assert_allclose(
        project(camera, points).reshape(-1, 2), expected[:, 0], rtol=0, atol=1e-9
    )


def test_camera_axes_and_back(camera, points):
    np.testing.assert_allclose(to_world(camera, to_camera(camera, points)), points, atol=1e-12)


def test_points_behind_the_camera_and_missing_points_have_no_image(camera):
    behind = to_world(camera, np.array([0.0, 0.0, -2.0]))
    missing = np.full(3, np.nan)
    assert np.isnan(project(camera, np.stack([behind, missing]))).all()


FISHEYE = ([0.05, -0.01, 3e-3, -5e-4], True)
LENSES = (
    ([], False),
    ([-0.2, 0.05, 1e-3, -8e-4], False),
    FISHEYE,
    ([-0.2, 0.05, 1e-3, -8e-4, -0.01], False),
    ([0.4, -0.2, 6e-4, 3e-4, 0.02, 0.6, -0.1, 0.01], False),
)


@pytest.fixture
def rig() -> CameraRig:
    """Five cameras around the points, every lens model among them, one with skew."""
    cameras = []
    for i, (distortion, fisheye) in enumerate(LENSES):
        R = Rotation.from_euler("xyz", [170 + 5 * i, 72 * i, -10], degrees=True).as_matrix()
        K = intrinsics(900.0 + 50 * i, (1080, 1920))
        K = K + np.array([[0, 7.0 * (i == 1), 0], [0, 3.0 * i, 0], [0, 0, 0]])
        cameras.append(Camera(f"c{i}", (1080, 1920), K, R, [0.1, -0.2, 4.0], distortion, fisheye))
    return CameraRig(tuple(cameras))


def _opencv(camera: Camera, xyz: np.ndarray) -> np.ndarray:
    vector, _ = cv2.Rodrigues(camera.R)
    flat = np.ascontiguousarray(xyz.reshape(-1, 1, 3))
    # OpenCV's projectPoints knows no skew: project on the plane z = 1, then apply K by hand.
    if camera.fisheye:
        lens = camera.distortion if len(camera.distortion) else np.zeros(4)
        plane, _ = cv2.fisheye.projectPoints(flat, vector, camera.t, np.eye(3), lens)
    else:
        plane, _ = cv2.projectPoints(flat, vector, camera.t, np.eye(3), camera.distortion)
    return (plane[:, 0] @ camera.K[:2, :2].T + camera.K[:2, 2]).reshape(*xyz.shape[:-1], 2)


def test_a_mixed_rig_agrees_with_opencv_camera_by_camera(rig, points):
    got = project_rig(rig, points)
    assert got.shape == (5, 5, 7, 2)
    for camera, pixels in zip(rig, got, strict=True):
        # 1e-9 px: double precision on numbers of a few thousand.
        np.testing.assert_allclose(pixels, _opencv(camera, points), rtol=0, atol=1e-9)


def test_the_order_of_a_rig_changes_nothing_but_the_order(rig, points):
    order = ("c3", "c2", "c0", "c4", "c1")
    mixed = project_rig(rig.select(order), points)
    rows = [rig.names.index(name) for name in order]
    np.testing.assert_array_equal(mixed, project_rig(rig, points)[rows])


def test_a_rig_is_its_cameras_one_by_one(rig, points):
    together = project_rig(rig, points)
    plane = RigOptics.of(rig).undistort(together.reshape(5, -1, 2))
    for i, camera in enumerate(rig):
        np.testing.assert_allclose(project(camera, points), together[i], rtol=0, atol=1e-12)
        alone = undistort(camera, together[i]).reshape(-1, 2)
        np.testing.assert_allclose(np.stack([plane[0][i], plane[1][i]], -1), alone, atol=1e-14)


def test_rig_jacobian_by_finite_differences(rig, points):
    optics = RigOptics.of(rig)
    _, _, seen = optics.look(points.reshape(-1, 3).T)
    du, dv = optics.jacobian(seen)
    # Central differences with h = 1e-5 m: h^2 x third derivative (about 1e3 px/m^3) = 1e-7.
    h = 1e-5
    for i, camera in enumerate(rig):
        steps = [
            (project(camera, points + h * axis) - project(camera, points - h * axis)) / (2 * h)
            for axis in np.eye(3)
        ]
        expected = np.stack(steps, axis=-1).reshape(-1, 2, 3)
        np.testing.assert_allclose(du[i].T, expected[:, 0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(dv[i].T, expected[:, 1], rtol=0, atol=1e-6)


def test_undistortion_inverts_projection_through_every_lens(rig, points):
    for camera in rig:
        seen = to_camera(camera, points)
        # 1e-11: see test_lens.
        plane = undistort(camera, project(camera, points))
        np.testing.assert_allclose(plane, seen[..., :2] / seen[..., 2:], rtol=0, atol=2e-11)


def test_behind_one_camera_of_a_rig_is_missing_there_only(rig):
    behind = to_world(rig["c3"], np.array([0.1, 0.2, -1.0]))
    pixels = project_rig(rig, np.stack([behind, np.zeros(3)]))
    assert np.isnan(pixels[3, 0]).all()
    assert np.isfinite(pixels[:, 1]).all()
    # The naive formula divides by the negative depth and draws the point, mirrored.
    naive, _ = cv2.projectPoints(
        behind, cv2.Rodrigues(rig["c3"].R)[0], rig["c3"].t, rig["c3"].K, None
    )
    assert np.isfinite(naive).all()


def test_a_moved_rig_sees_a_moved_world_the_same(rig, points):
    Q = Rotation.from_euler("zyx", [40, -20, 75], degrees=True).as_matrix()
    shift, scale = np.array([1.0, -2.0, 0.5]), 1.7
    moved = rig.moved(Q, shift, scale)
    again = project_rig(moved, scale * points @ Q.T + shift)
    np.testing.assert_allclose(again, project_rig(rig, points), rtol=0, atol=1e-9)
    for before, after in zip(rig, moved, strict=True):
        np.testing.assert_allclose(after.centre, scale * Q @ before.centre + shift, atol=1e-12)
    # Negative control: the world alone, without the rig, is seen elsewhere.
    assert np.abs(project_rig(rig, scale * points @ Q.T + shift) - again).max() > 100
