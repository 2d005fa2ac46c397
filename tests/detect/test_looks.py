"""How somebody looks: colours of the parts of a painted body."""

import cv2
import numpy as np
import pytest

from kinefit.detect.blazepose import NAMES
from kinefit.detect.looks import PARTS, look_of
from kinefit.types import FloatArray

HEAD, CHEST, BELLY, ARMS, THIGHS, SHANKS = range(PARTS)
# An upright figure in pixels, facing the camera: their left is on the right.
_FIGURE = {
    "Nose": (100, 40), "LEar": (110, 40), "REar": (90, 40),
    "LShoulder": (125, 70), "RShoulder": (75, 70), "LElbow": (140, 110), "RElbow": (60, 110),
    "LWrist": (145, 150), "RWrist": (55, 150), "LHip": (115, 150), "RHip": (85, 150),
    "LKnee": (116, 210), "RKnee": (84, 210), "LAnkle": (117, 270), "RAnkle": (83, 270),
}  # fmt: skip


@pytest.fixture
def values() -> FloatArray:
    found = np.zeros((33, 6))
    found[:, 2] = 0.9
    for name, xy in _FIGURE.items():
        found[NAMES.index(name), :2] = xy
    return found


def lab(*rgb: int) -> FloatArray:
    return cv2.cvtColor(np.float32([[rgb]]) / 255, cv2.COLOR_RGB2LAB)[0, 0].astype(float)


def test_each_part_has_the_colour_that_is_painted_there(values: FloatArray) -> None:
    picture = np.full((300, 200, 3), 128, np.uint8)
    red, green, blue, skin = (200, 30, 30), (30, 160, 60), (40, 60, 190), (220, 170, 140)
    picture[:60] = skin
    picture[60:120, 76:124] = red  # a shirt
    picture[150:211] = blue
    picture[211:] = green
    look = look_of(picture, values)
    assert look.shape == (PARTS, 3)
    for part, rgb in ((HEAD, skin), (CHEST, red), (SHANKS, green), (THIGHS, blue)):
        # OpenCV's 8-bit CIELAB is whole steps of each channel.
        np.testing.assert_allclose(look[part], lab(*rgb), atol=3)
    assert not np.allclose(look[ARMS], look[CHEST], atol=10)


def test_it_is_the_same_wherever_the_person_stands(values: FloatArray) -> None:
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 255, (300, 200, 3)).astype(np.uint8)
    moved = np.zeros((400, 500, 3), np.uint8)
    moved[60:360, 170:370] = picture
    there = values.copy()
    there[:, :2] += 170, 60
    np.testing.assert_array_equal(look_of(picture, values), look_of(moved, there))


def test_parts_that_are_not_seen_are_unknown(values: FloatArray) -> None:
    picture = np.full((300, 200, 3), 90, np.uint8)
    values[[NAMES.index(s + "Knee") for s in "LR"], 2] = 0.4  # hidden
    look = look_of(picture, values)
    assert np.isnan(look[[THIGHS, SHANKS]]).all()
    assert np.isfinite(look[[HEAD, CHEST, BELLY, ARMS]]).all()
    one = values.copy()
    one[NAMES.index("LKnee"), 2] = 0.9  # one leg is enough
    assert np.isfinite(look_of(picture, one)).all()


def test_what_lies_outside_the_picture_is_unknown(values: FloatArray) -> None:
    picture = np.full((300, 200, 3), 90, np.uint8)
    for shift in ((1000, 0), (-1000, 0), (0, -1000), (0, 1000)):
        away = values.copy()
        away[:, :2] += shift
        assert np.isnan(look_of(picture, away)).all()
    below = values.copy()
    below[:, 1] += 90  # the shanks are below the picture
    look = look_of(picture, below)
    assert np.isnan(look[SHANKS]).all()
    assert np.isfinite(look[CHEST]).all()
