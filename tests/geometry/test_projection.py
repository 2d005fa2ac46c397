"""Pinhole geometry against hand-worked numbers, OpenCV, and its own inverse."""

import cv2
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.geometry.projection import (
    back_project,
    focal_from_fov,
    intrinsics,
    project,
    rays,
    to_camera,
    to_world,
)
from kinefit.types import Camera, InvalidData


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


def test_back_projection_inverts_projection(camera, points):
    depth = to_camera(camera, points)[..., 2]
    again = back_project(camera, project(camera, points), depth)
    np.testing.assert_allclose(again, points, atol=1e-12)
    np.testing.assert_allclose(to_world(camera, to_camera(camera, points)), points, atol=1e-12)


def test_points_behind_the_camera_and_missing_points_have_no_image(camera):
    behind = to_world(camera, np.array([0.0, 0.0, -2.0]))
    missing = np.full(3, np.nan)
    assert np.isnan(project(camera, np.stack([behind, missing]))).all()
