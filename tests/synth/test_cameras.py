"""Cameras see what they are placed for, sway as they say, and are wrong by what was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project
from kinefit.synth.cameras import looking, miscalibrated, moved, sample_camera, sample_sway

SIZE = (540, 720)


def around(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.uniform([-0.5, 0.0, -0.5], [0.5, 1.8, 0.5], (200, 3))


@pytest.mark.parametrize("seed", range(5))
def test_all_of_the_person_is_in_the_picture_and_fills_it(seed: int) -> None:
    rng, points = np.random.default_rng(seed), around(seed)
    focal = rng.uniform(24, 85)
    camera = sample_camera(rng, "cam01", SIZE, points, rng.uniform(0, 6), focal, distance=1.0)
    uv = project(camera, points)
    assert (uv >= 0).all()
    assert (uv <= np.array(SIZE) - 1).all()
    # At the nearest distance the person touches the margin of 6 % somewhere.
    nearest = np.minimum(uv, np.array(SIZE) - 1 - uv).min(axis=0) / SIZE
    assert nearest.min() == pytest.approx(0.06, abs=0.005)
    assert camera.K[0, 0] == pytest.approx(focal * 20)  # 720 px on 36 mm


def test_a_camera_looks_where_it_is_told() -> None:
    R = looking(np.array([0.0, 0.0, -2.0]))
    np.testing.assert_allclose(R @ [0, 0, -1], [0, 0, 1], atol=1e-15)
    np.testing.assert_allclose(R @ [0, 1, 0], [0, -1, 0], atol=1e-15)  # up is up
    np.testing.assert_allclose(R @ [1, 0, 0], [1, 0, 0], atol=1e-15)
    assert np.linalg.det(R) == pytest.approx(1)


def test_sway_has_the_size_it_says() -> None:
    sway = sample_sway(np.random.default_rng(2))
    turn, shift = sway.at(np.linspace(0, 400, 40_000))
    # Over many periods of sines; their frequencies are no multiples of each other.
    np.testing.assert_allclose(turn.std(axis=0), sway.turn_rad, rtol=0.05)
    np.testing.assert_allclose(shift.std(axis=0), sway.shift_m, rtol=0.05)


def test_a_swaying_camera_turns_and_moves_by_that() -> None:
    rng = np.random.default_rng(3)
    camera, sway = sample_camera(rng, "cam01", SIZE, around(0), 1.0, 35.0), sample_sway(rng)
    times = np.array([0.0, 0.5])
    turn, shift = sway.at(times)
    for k, held in enumerate(moved(camera, sway, times)):
        assert so3.norm(so3.log(held.R @ camera.R.T)) == pytest.approx(np.linalg.norm(turn[k]))
        step = np.linalg.norm(held.centre - camera.centre)
        assert step == pytest.approx(np.linalg.norm(shift[k]))
    assert moved(camera, None, times) == [camera, camera]


def test_errors_of_calibration_have_the_size_asked_for() -> None:
    rng = np.random.default_rng(4)
    camera = sample_camera(rng, "cam01", SIZE, around(0), 1.0, 35.0)
    wrong = [miscalibrated(camera, rng, 0.5, 0.02, 0.01) for _ in range(800)]
    turn = np.degrees([so3.log(w.R @ camera.R.T) for w in wrong])
    shift = np.array([w.centre - camera.centre for w in wrong])
    focal = np.array([w.K[0, 0] / camera.K[0, 0] - 1 for w in wrong])
    # 800 draws give a standard deviation to 2.5 %; 10 % is four times that.
    np.testing.assert_allclose(turn.std(axis=0), 0.5, rtol=0.1)
    np.testing.assert_allclose(shift.std(axis=0), 0.02, rtol=0.1)
    assert focal.std() == pytest.approx(0.01, rel=0.1)
    exact = miscalibrated(camera, rng, 0, 0, 0)
    np.testing.assert_allclose(exact.t, camera.t, atol=1e-12)
