"""Pixels, their size at a distance, and masks, on pictures small enough to count."""

import numpy as np
import pytest

from kinefit.geometry.projection import project
from kinefit.metrics.points import mask_iou, reprojection
from kinefit.types import Camera, InvalidData

NAN = float("nan")
K = np.array([[1000.0, 0, 320], [0, 1000.0, 240], [0, 0, 1]])
CAMERA = Camera("a", (641, 481), K, np.eye(3), np.zeros(3))


def test_reprojection_by_hand():
    # 4 m away a pixel of 1000 px focal length is 4 mm.
    xyz = np.array([[0, 0, 4.0], [0.4, 0, 4.0], [0, 0, 4.0], [0, 0, -4.0]])
    xy = np.array([[323.0, 244.0], [420.0, 240.0], [NAN, NAN], [320.0, 240.0]])
    px, mm = reprojection(CAMERA, xyz, xy)
    np.testing.assert_allclose(px, [5, 0, NAN, NAN], atol=1e-9)  # missing; behind
    np.testing.assert_allclose(mm, [20, 0, NAN, NAN], atol=1e-9)


def test_pixels_mean_what_a_shift_in_space_made():
    rng = np.random.default_rng(0)
    R = np.array([[0, 0, -1.0], [0, 1, 0], [1, 0, 0]])
    camera = Camera("b", (641, 481), K, R, np.array([0.1, 0, 5.0]))
    xyz = rng.normal(scale=0.5, size=(50, 3))
    aside = xyz + 0.01 * (R.T @ [0.6, 0.8, 0])  # 10 mm, across the viewing axis
    px, mm = reprojection(camera, aside, project(camera, xyz))
    np.testing.assert_allclose(mm, 10, rtol=1e-9)
    assert np.ptp(px) > 0.1  # nearer points move by more pixels
    _, deeper = reprojection(camera, xyz + R.T @ [0, 0, 0.01], project(camera, xyz))
    assert np.median(deeper) < 2  # along the ray nothing is seen


def test_pixels_that_are_not_square():
    camera = Camera("c", (641, 481), np.diag([800.0, 1250.0, 1]), np.eye(3), np.zeros(3))
    px, mm = reprojection(camera, np.array([[0, 0, 3.0]]), np.array([[2.0, 0]]))
    assert (px, mm) == (pytest.approx(2), pytest.approx(6))


def test_iou_by_counting():
    a = np.zeros((3, 4, 5), bool)
    b = np.zeros((3, 4, 5), bool)
    a[0, :2], b[0, 1:3] = True, True  # 10 and 10 pixels, 5 in common
    b[1] = True
    np.testing.assert_allclose(mask_iou(a, b), [1 / 3, 0, NAN])
    np.testing.assert_array_equal(mask_iou(a, b), mask_iou(b, a))
    np.testing.assert_array_equal(mask_iou(a[0], a[0]), 1)
    np.testing.assert_allclose(mask_iou(~a[0], ~b[0]), 5 / 15)


def test_what_does_not_compare():
    with pytest.raises(InvalidData, match="boolean"):
        mask_iou(np.zeros((4, 4)), np.zeros((4, 4), bool))  # type: ignore[arg-type]
    with pytest.raises(InvalidData, match="compare"):
        mask_iou(np.zeros((4, 4), bool), np.zeros((4, 5), bool))
    with pytest.raises(InvalidData, match="pixels"):
        reprojection(CAMERA, np.zeros((4, 3)), np.zeros((5, 2)))
