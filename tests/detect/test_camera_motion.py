"""Background that moves through the picture, beside people and leaves that do."""

import cv2
import numpy as np
import pytest

from kinefit.detect.camera_motion import camera_shift

NOBODY = np.empty((0, 4))


def room(seed: int = 0, size: tuple[int, int] = (900, 1400)) -> np.ndarray:
    """A wall with things on it, blurred as lenses do."""
    random = np.random.default_rng(seed)
    picture = np.full((*size, 3), 128, np.uint8)
    for _ in range(400):
        x, y = random.integers(0, (size[1], size[0])).tolist()
        w, h = random.integers(10, 80, 2).tolist()
        cv2.rectangle(picture, (x, y), (x + w, y + h), random.integers(0, 255, 3).tolist(), -1)
    return cv2.GaussianBlur(picture, (0, 0), 1.5)


def seen(wall: np.ndarray, change: np.ndarray, noise: int = 1) -> np.ndarray:
    """1280 x 720 of the wall, moved by `change` (2, 3), with noise of a sensor."""
    shifted = change.copy()
    shifted[:, 2] -= (60, 90)
    picture = cv2.warpAffine(wall, shifted, (1280, 720), flags=cv2.INTER_LINEAR)
    spots = np.random.default_rng(noise).normal(0, 3, picture.shape)
    return np.clip(picture + spots, 0, 255).astype(np.uint8)


STILL = np.array([[1.0, 0, 0], [0, 1, 0]])
PAN = np.array([[1.0, 0, 12], [0, 1, 0]])  # nearly a hundredth of the width
TILT = np.array([[1.0, 0, 0], [0, 1, -20.0]])
ZOOM = np.array([[1.03, 0, -20.0], [0, 1.03, -10.0]])
ROLL = np.array([[0.999, 0.03, -10], [-0.03, 0.999, 20]])


@pytest.mark.parametrize("change", [PAN, TILT, ZOOM, ROLL], ids=["pan", "tilt", "zoom", "roll"])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_camera_that_moves(change: np.ndarray, seed: int) -> None:
    wall = room(seed)
    shift = camera_shift(seen(wall, STILL), seen(wall, change, 2), NOBODY)
    grid = np.stack(np.meshgrid(np.linspace(0, 1280, 9), np.linspace(0, 720, 9)), -1)
    grid = grid + np.array([60, 90])
    true = np.linalg.norm(grid @ change[:, :2].T + change[:, 2] - grid, axis=-1)
    assert shift == pytest.approx(np.median(true) / 1280, rel=0.1)


@pytest.mark.parametrize("seed", range(3))
def test_one_that_stands_still(seed: int) -> None:
    wall = room(seed)
    shift = camera_shift(seen(wall, STILL), seen(wall, STILL, 2), NOBODY)
    assert shift is not None
    assert shift < 2e-4  # a quarter of a pixel of 1280, in 3 grey levels of noise


def test_people_who_move_are_not_the_background() -> None:
    wall = room()
    before, after = seen(wall, STILL), seen(wall, STILL, 2)
    person = room(5)[:600, :500]
    before[60:660, 300:800], after[60:660, 330:830] = person, person
    shift = camera_shift(before, after, np.array([[300, 60, 800, 660], [np.nan] * 4]))
    assert shift is not None
    assert shift < 2e-4


def test_where_nothing_agrees_nothing_is_said() -> None:
    blank = np.full((720, 1280, 3), 90, np.uint8)
    assert camera_shift(blank, blank, NOBODY) is None
    assert camera_shift(seen(room(1), STILL), seen(room(2), STILL), NOBODY) is None
    wall = seen(room(), STILL)
    assert camera_shift(wall, wall, np.array([[0, 0, 1280, 720]])) is None
