"""Lenses against OpenCV, their own inverse, and where the polynomial stops meaning anything."""

import cv2
import numpy as np
import pytest

from kinefit.geometry.lens import Lens
from kinefit.geometry.projection import intrinsics, project, undistort
from kinefit.types import Camera

SIZE = (1280, 720)
LENSES = {
    "pinhole": ([], False),
    "4": ([-0.28, 0.09, 1e-3, -8e-4], False),
    "5": ([-0.28, 0.09, 1e-3, -8e-4, -0.01], False),
    "8": ([0.4, -0.2, 6e-4, 3e-4, 0.02, 0.6, -0.1, 0.01], False),
    "fisheye": ([0.05, -0.01, 3e-3, -5e-4], True),
    "fisheye without coefficients": ([], True),
}


def _camera(lens: str, focal: float = 900.0) -> Camera:
    distortion, fisheye = LENSES[lens]
    return Camera("c", SIZE, intrinsics(focal, SIZE), np.eye(3), np.zeros(3), distortion, fisheye)


def _plane(n: int = 400, reach: float = 0.75) -> np.ndarray:
    return np.random.default_rng(1).uniform(-reach, reach, (n, 2))


def _on_plane(plane: np.ndarray) -> np.ndarray:
    return np.concatenate([plane, np.ones_like(plane[:, :1])], axis=1)


@pytest.mark.parametrize("lens", LENSES)
def test_distortion_is_opencvs(lens):
    camera, points = _camera(lens), _on_plane(_plane())
    zero = np.zeros(3)
    if camera.fisheye:
        four = np.zeros(4) if not len(camera.distortion) else camera.distortion
        expected, _ = cv2.fisheye.projectPoints(points[:, None], zero, zero, camera.K, four)
    else:
        expected, _ = cv2.projectPoints(points, zero, zero, camera.K, camera.distortion)
    # 1e-9 px: the same formula in double precision on numbers of a thousand.
    np.testing.assert_allclose(project(camera, points), expected[:, 0], rtol=0, atol=1e-9)


@pytest.mark.parametrize("lens", ["4", "5", "8"])
def test_undistortion_is_opencvs_once_it_iterates_enough(lens):
    camera = _camera(lens)
    pixels = project(camera, _on_plane(_plane(reach=0.5)))
    criteria = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 500, 1e-14)
    expected = cv2.undistortPoints(pixels[:, None], camera.K, camera.distortion, criteria=criteria)
    # 1e-9 on the plane z = 1 is a millionth of a pixel: OpenCV's fixed point converges linearly.
    np.testing.assert_allclose(undistort(camera, pixels), expected[:, 0], rtol=0, atol=1e-9)


def test_fisheye_undistortion_is_opencvs():
    camera = _camera("fisheye")
    pixels = project(camera, _on_plane(_plane()))
    expected = cv2.fisheye.undistortPoints(pixels[:, None], camera.K, camera.distortion)
    # OpenCV stops when the angle moves by less than 1e-8.
    np.testing.assert_allclose(undistort(camera, pixels), expected[:, 0], rtol=0, atol=1e-7)


def test_opencvs_default_undistortion_is_not_exact():
    # What `Lens.undistort` says about OpenCV's five steps, and the reason not to use them.
    camera = Camera("c", SIZE, intrinsics(900.0, SIZE), np.eye(3), np.zeros(3), [-0.3, 0.1, 0, 0])
    corner = np.array([[0.0, 0.0]])
    five = cv2.undistortPoints(corner[:, None], camera.K, camera.distortion)[:, 0]
    exact = undistort(camera, corner)
    assert np.abs(project(camera, _on_plane(exact)) - corner).max() < 1e-8
    assert np.abs(project(camera, _on_plane(five)) - corner).max() > 0.05


@pytest.mark.parametrize("lens", LENSES)
def test_undistort_inverts_distort(lens):
    camera, plane = _camera(lens), _plane()
    again = undistort(camera, project(camera, _on_plane(plane)))
    # Newton stops at 1e-12; ten times that for the derivative it is divided by.
    np.testing.assert_allclose(again, plane, rtol=0, atol=1e-11)


@pytest.mark.parametrize("lens", LENSES)
def test_derivative_of_the_lens_by_finite_differences(lens):
    model = Lens.of([_camera(lens)])
    x, y = (n[None] for n in _plane().T)
    a, b, d = model.distort_derivative(x, y)[2:]
    # Central differences with h = 1e-5 are good to h^2 times the third derivative (about 10).
    h = 1e-5
    along_x = [(p - m) / (2 * h) for p, m in _pairs(model, (x + h, y), (x - h, y))]
    along_y = [(p - m) / (2 * h) for p, m in _pairs(model, (x, y + h), (x, y - h))]
    for got, expected in zip((a, b, b, d), (*along_x, *along_y), strict=True):
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-8)


def _pairs(model, plus, minus):
    return zip(model.distort(*plus), model.distort(*minus), strict=True)


@pytest.mark.parametrize("lens", ["fisheye", "fisheye without coefficients"])
def test_a_fisheye_is_smooth_on_its_axis(lens):
    # The formula divides by the radius; the series takes over below 1e-8 (factor) and 1e-4 (slope).
    model = Lens.of([_camera(lens)])
    r = np.array([[0.0, 1e-12, 1e-9, 9e-9, 1.1e-8, 1e-6, 9.9e-5, 1.01e-4, 1e-3]])
    x, _ = model.distort(r, np.zeros_like(r))
    a, b, d = model.distort_derivative(r, np.zeros_like(r))[2:]
    k1 = model.coefficients[0, 0, 0]
    np.testing.assert_allclose(x, r * (1 + (k1 - 1 / 3) * r**2), rtol=1e-11, atol=0)
    np.testing.assert_allclose(a, 1 + 3 * (k1 - 1 / 3) * r**2, rtol=0, atol=1e-10)
    np.testing.assert_allclose(d, 1 + (k1 - 1 / 3) * r**2, rtol=0, atol=1e-10)
    assert (b == 0).all()


def test_beyond_the_fold_there_is_no_pixel_where_the_polynomial_gives_a_ghost():
    # k1 = -0.4: r (1 - 0.4 r^2) grows until r = 1 / sqrt(1.2) = 0.913, then turns back.
    camera = Camera("c", SIZE, intrinsics(900.0, SIZE), np.eye(3), np.zeros(3), [-0.4, 0, 0, 0])
    fold = 1 / np.sqrt(1.2)
    # One step of the search for the fold is 4e-4 on the plane z = 1 there.
    assert Lens.of([camera]).radius[0, 0] == pytest.approx(fold, abs=4e-4)
    outside = np.array([[1.4, 0.2, 1.0]])
    ghost, _ = cv2.projectPoints(outside, np.zeros(3), np.zeros(3), camera.K, camera.distortion)
    assert (ghost > 0).all()
    assert (ghost < SIZE).all()  # a point 54 degrees off the axis, inside the picture
    assert np.isnan(project(camera, outside)).all()
    assert np.isfinite(project(camera, np.array([[0.9, 0.0, 1.0]]))).all()


@pytest.mark.parametrize(
    ("distortion", "outside"),
    [
        ([-0.01, 0, 0, 0], 9.9),  # folds at 5.8, 80 degrees off the axis
        ([0, 0, 0, 0, 0, -1.0, 0, 0], 2.0),  # 1 / (1 - r^2): a pole at 1, no fold at all
    ],
)
def test_far_folds_and_poles_make_no_ghosts_either(distortion, outside):
    camera = Camera("c", SIZE, intrinsics(900.0, SIZE), np.eye(3), np.zeros(3), distortion)
    point = np.array([[outside, 0.0, 1.0]])
    ghost, _ = cv2.projectPoints(point, np.zeros(3), np.zeros(3), camera.K, camera.distortion)
    assert 0 < ghost[0, 0, 0] < SIZE[0]
    assert np.isnan(project(camera, point)).all()


def test_a_pixel_that_no_ray_reaches_has_no_ray():
    # The same lens reaches r' = 2/3 of 0.913 = 0.609, 548 px from the centre; the corner is 734.
    camera = Camera("c", SIZE, intrinsics(900.0, SIZE), np.eye(3), np.zeros(3), [-0.4, 0, 0, 0])
    assert np.isnan(undistort(camera, np.array([[0.0, 0.0]]))).all()
    assert np.isfinite(undistort(camera, np.array([[100.0, 359.5]]))).all()


def test_the_fold_is_the_cameras_own_in_a_rig():
    narrow = Camera("a", SIZE, intrinsics(900.0, SIZE), np.eye(3), np.zeros(3), [-0.4, 0, 0, 0])
    straight = Camera("b", SIZE, intrinsics(900.0, SIZE), np.eye(3), np.zeros(3))
    lens = Lens.of([narrow, straight])
    x, _ = lens.distort(np.full((2, 1), 1.4), np.zeros((2, 1)))
    assert np.isnan(x[0, 0])
    assert x[1, 0] == 1.4


def test_missing_points_stay_missing_and_spread_nowhere():
    lens = Lens.of([_camera("5")])
    x, y = lens.undistort(np.array([[0.1, np.nan]]), np.array([[0.2, 0.2]]))
    assert np.isnan([x[0, 1], y[0, 1]]).all()
    alone = lens.undistort(np.array([[0.1]]), np.array([[0.2]]))
    assert (x[0, 0], y[0, 0]) == (alone[0][0, 0], alone[1][0, 0])
