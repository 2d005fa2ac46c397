"""A camera from the edges of a room: boxes seen by known cameras, and edges at random."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.detect.edges import straight_edges
from kinefit.geometry.projection import intrinsics
from kinefit.geometry.rotations import exp
from kinefit.io.calibration import read_calibration
from kinefit.io.video import Clip
from kinefit.metric.room import Room, camera_of_room
from kinefit.types import FloatArray

SIZE = (720, 1280)
FOCAL = 1000.0
BALANCE_SD = np.radians(8.0)
FOCAL_SD = 0.17


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(5)


def turned(tilt: float, roll: float, heading: float) -> FloatArray:
    """(3, 3) from a world with Y up to camera axes; degrees."""
    down = np.diag([1.0, -1.0, -1.0])  # a level camera's: x right, y down, z ahead
    a, b, c = np.radians([tilt, roll, heading])
    x, y, z = np.eye(3)
    return np.asarray(exp(b * z) @ exp(a * x) @ down @ exp(c * y))


def edges_of(R: FloatArray, rng: np.random.Generator, count: int = 90) -> FloatArray:
    """(S, 4) pixels: boxes along a room's axes, 4 to 8 m away, with a pixel's noise at the ends."""
    K = intrinsics(FOCAL, SIZE)
    axis = np.eye(3)[rng.integers(0, 3, count)]
    ahead = R.T @ [0.0, 0.0, 1.0]
    start = ahead * 6 + rng.uniform(-2, 2, (count, 3))
    ends = np.stack([start, start + axis * rng.uniform(0.5, 1.5, (count, 1))], axis=1)
    seen = ends @ R.T @ K.T
    xy = seen[..., :2] / seen[..., 2:] + rng.normal(0, 0.5, (count, 2, 2))
    return np.asarray(xy.reshape(count, 4))


def clutter(rng: np.random.Generator, count: int) -> FloatArray:
    """(S, 4) pixels: edges that point anywhere."""
    middle, angle = rng.uniform(0, 1, (count, 2)) * SIZE, rng.uniform(0, np.pi, count)
    half = rng.uniform(20, 80, (count, 1)) * np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    return np.concatenate([middle - half, middle + half], axis=-1)


def asked(
    edges: FloatArray, up: FloatArray, focal: float = 1.0, focal_sd: float = FOCAL_SD
) -> Room | None:
    return camera_of_room(edges, SIZE, intrinsics(focal * FOCAL, SIZE), up, BALANCE_SD, focal_sd)


def degrees(a: FloatArray, b: FloatArray) -> float:
    return float(np.degrees(np.arccos(np.clip(a @ b, -1, 1))))


@pytest.mark.parametrize("tilt", [-5, 2, 12, 30])
@pytest.mark.parametrize("roll", [0, 15])
def test_angles_and_focal_length_are_found_among_clutter(tilt: float, roll: float) -> None:
    rng = np.random.default_rng([tilt + 10, roll])
    R = turned(tilt, roll, 25)
    edges = np.concatenate([edges_of(R, rng), clutter(rng, 60)])
    expected = exp(np.radians(np.array([7.0, 0, 0]))) @ R[:, 1]
    found = asked(edges, expected, focal=1.15)
    assert found is not None
    assert found.focal_px is not None
    # Half a pixel at the ends of edges of 100 to 250: 0.3 degrees each, a hundred of them.
    assert degrees(found.up, R[:, 1]) < 0.3
    assert found.focal_px == pytest.approx(FOCAL, rel=0.02)
    assert np.radians(1) <= found.up_sd < np.radians(1.5)
    assert 0.02 <= found.focal_sd < 0.06


@pytest.mark.parametrize("focal", [0.58, 0.7, 1.4, 1.7])
def test_lenses_far_from_what_is_assumed_are_found(focal: float) -> None:
    """Up to three deviations: fields of view of 37 to 90 degrees."""
    rng = np.random.default_rng(3)
    R = turned(15, 3, 25)
    found = asked(edges_of(R, rng), R[:, 1], focal=focal)
    assert found is not None
    assert degrees(found.up, R[:, 1]) < 0.5
    assert found.focal_px is None or found.focal_px == pytest.approx(FOCAL, rel=0.03)


def test_edges_that_know_no_more_than_the_file_tell_no_focal_length(
    rng: np.random.Generator,
) -> None:
    """Else what the file says would be told as what the room says."""
    R = turned(3, 1, 0)
    edges = edges_of(R, rng)
    along = np.abs(edges[:, 2:] - edges[:, :2])
    upright = edges[along[:, 1] > 4 * along[:, 0]]
    noted = asked(upright, R[:, 1], focal=1.05, focal_sd=0.05)
    assert noted is not None
    assert noted.focal_px is None
    better = asked(edges_of(turned(12, 0, 25), rng), turned(12, 0, 25)[:, 1], focal=1.05,
                   focal_sd=0.06)  # fmt: skip
    assert better is not None
    assert better.focal_px == pytest.approx(FOCAL, rel=0.02)


def test_a_known_focal_length_stays(rng: np.random.Generator) -> None:
    R = turned(10, 3, 40)
    found = asked(edges_of(R, rng), R[:, 1], focal_sd=0.0)
    assert found is not None
    assert found.focal_px is None
    assert degrees(found.up, R[:, 1]) < 0.3


def test_upright_edges_alone_tell_the_angles_of_a_level_camera_and_no_focal_length(
    rng: np.random.Generator,
) -> None:
    R = turned(3, 1, 0)
    edges = edges_of(R, rng)
    along = np.abs(edges[:, 2:] - edges[:, :2])
    found = asked(edges[along[:, 1] > 4 * along[:, 0]], R[:, 1], focal=1.1)
    assert found is not None
    assert found.focal_px is None
    assert degrees(found.up, R[:, 1]) < 1.5  # tilt goes with the focal length, a tenth off


@pytest.mark.parametrize("seed", range(5))
def test_edges_at_random_tell_nothing(seed: int) -> None:
    edges = clutter(np.random.default_rng(seed), 80)
    assert asked(edges, turned(5, 0, 0)[:, 1]) is None


def test_too_few_edges_tell_nothing(rng: np.random.Generator) -> None:
    R = turned(5, 0, 25)
    assert asked(np.empty((0, 4)), R[:, 1]) is None
    assert asked(edges_of(R, rng, 6), R[:, 1]) is None


def test_a_room_that_leans_further_than_anyone_is_not_believed(rng: np.random.Generator) -> None:
    R = turned(0, 0, 25)
    expected = exp(np.radians(np.array([40.0, 0, 0]))) @ R[:, 1]  # 5 deviations
    found = asked(edges_of(R, rng), expected)
    assert found is None or degrees(found.up, expected) < 30


def test_a_mirror_and_the_order_of_ends_change_nothing(rng: np.random.Generator) -> None:
    R = turned(8, 4, 25)
    edges, up = edges_of(R, rng), R[:, 1]
    plain = asked(edges, up, focal=1.1)
    other_ends = asked(edges[:, [2, 3, 0, 1]], up, focal=1.1)
    mirrored = edges * [-1, 1, -1, 1] + [SIZE[0] - 1, 0, SIZE[0] - 1, 0]
    mirror = asked(mirrored, up * [-1, 1, 1], focal=1.1)
    assert plain is not None
    assert other_ends is not None
    assert mirror is not None
    assert degrees(plain.up, other_ends.up) < 1e-3
    assert degrees(plain.up, mirror.up * [-1, 1, 1]) < 0.05  # headings are tried by degrees
    assert mirror.focal_px == pytest.approx(plain.focal_px, rel=2e-3)


@pytest.mark.parametrize("number", range(4))
def test_real_cameras_are_found_in_a_real_room(demo_videos: Path, number: int) -> None:
    """As calibrated: 0.04-0.6 degrees and 0.8 % off; where balance would be 6 degrees off."""
    camera = read_calibration(demo_videos / "Calib.qca.txt").rig.cameras[number]
    clip = Clip(demo_videos / f"cam0{number + 1}.mp4")
    pictures = [p for p in clip.pictures_at(np.linspace(0, 1.6, 5)) if p is not None]
    edges = straight_edges(pictures, np.full((5, 4), np.nan))
    up = camera.R[:, 1]
    expected = exp(np.radians(np.array([6.0, 0, 0]))) @ up
    assumed = intrinsics(0.9 * camera.K[0, 0], camera.size)
    found = camera_of_room(edges, camera.size, assumed, expected, BALANCE_SD, FOCAL_SD)
    assert found is not None
    assert degrees(found.up, up) < 1
    assert found.focal_px == pytest.approx(camera.K[0, 0], rel=0.02)
