"""The floor under a fitted body's feet, and which way is up."""

from __future__ import annotations

import numpy as np

from kinefit.fit.recipes.ground import find_ground
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray

_CAMERA = np.array([0.0, 1.5, 5.0])
_ABOVE = np.array([0.03, 0.02])


def _steps(count: int = 6) -> tuple[FloatArray, FloatArray]:
    """Feet (T, 2, 3) that take turns to stand half a metre further on, and their probability."""
    T = 10 * count
    feet, probability = np.zeros((T, 2, 3)), np.zeros((T, 2))
    for i in range(count):
        rows, p = slice(10 * i, 10 * i + 10), i % 2
        feet[rows, p] = 0.2 * p - 0.1, _ABOVE[p], 2.5 - 0.5 * i
        feet[rows, 1 - p] = 0.1 - 0.2 * p, 0.15, 2.5 - 0.5 * i
        probability[rows, p] = 0.9
    return feet, probability


def test_a_walk_says_which_way_is_up_along_it() -> None:
    feet, probability = _steps()
    lean = so3.exp(np.array([np.radians(6.0), 0, 0]))
    found = find_ground(feet @ lean.T, probability, _ABOVE, lean @ _CAMERA, np.radians(8.0))
    # 0.6 degrees: the prior, 8 degrees from where it is level, against 2.5 m of a floor that
    # six stances know to 2 cm and their depth's share.
    assert np.degrees(np.arccos(found.up @ lean[:, 1])) < 1.5
    assert found.up_sd < np.radians(6)
    standing = np.isfinite(found.anchors[..., 0])
    assert (standing == (probability > 0.5)).all()
    height = found.anchors @ found.up - _ABOVE - found.floor
    assert np.abs(height[standing]).max() < 0.03


def test_a_person_who_stays_says_nothing_about_tilt() -> None:
    feet, _ = _steps(1)
    found = find_ground(feet, np.tile([0.9, 0.0], (10, 1)), _ABOVE, _CAMERA, np.radians(8.0))
    assert found.up[1] > np.cos(np.radians(0.5))
    assert abs(found.up_sd - np.radians(8)) < np.radians(0.5)


def test_up_that_is_known_stays() -> None:
    feet, probability = _steps()
    lean = so3.exp(np.array([np.radians(6.0), 0, 0]))
    found = find_ground(feet @ lean.T, probability, _ABOVE, _CAMERA, 0.0)
    assert found.up[1] > 1 - 1e-9
    assert found.up_sd < 1e-5


def test_a_foot_that_rests_in_the_air_is_on_no_floor() -> None:
    feet, probability = _steps()
    feet[20:30, 0, 1] += 0.4
    found = find_ground(feet, probability, _ABOVE, _CAMERA, np.radians(5.0))
    assert abs(found.floor) < 0.02
    assert found.up[1] > np.cos(np.radians(1.5))


def test_nothing_stands_without_contacts() -> None:
    feet, probability = _steps()
    found = find_ground(feet, 0 * probability, _ABOVE, _CAMERA, 0.1)
    assert np.isnan(found.floor)
    assert np.isnan(found.anchors).all()
    assert found.up.tolist() == [0, 1, 0]
    assert found.up_sd == 0.1
