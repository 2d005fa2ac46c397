"""The real demo's four views, and made-up rigs and motion with exact truth."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from kinefit.api import demo_views
from kinefit.geometry.projection import intrinsics, project_rig
from kinefit.io.calibration import read_calibration
from kinefit.multiview.rig_checks import fit_rig_to_videos
from kinefit.skeletons import skeleton
from kinefit.types import Camera, CameraRig, Timeline

LENS = (-0.1, 0.03, 0.001, -0.0005, 0.0)
SIZE = (1920, 1080)


class Views(NamedTuple):
    """What `triangulate` takes: xy (C, T, J, 2) px, score (C, T, J)."""

    rig: CameraRig
    timeline: Timeline
    names: tuple[str, ...]
    xy: np.ndarray
    score: np.ndarray


@pytest.fixture(scope="session")
def demo() -> Views:
    """MediaPipe's landmarks of the demo's videos, unsmoothed, and their cameras."""
    stored = np.load(Path(__file__).parent / "data/demo_views.npz", allow_pickle=False)
    cameras = stored["camera"].tolist()
    sizes = dict(zip(cameras, map(tuple, stored["image_size"].tolist()), strict=True))
    rig, _ = fit_rig_to_videos(read_calibration(demo_views()[1]).rig.select(cameras), sizes)
    return Views(
        rig,
        Timeline(np.arange(100), stored["time"][0]),
        skeleton("blazepose33").points,
        stored["xy"].astype(float),
        stored["visibility"].astype(float),
    )


def make_ring(count: int, *, size: tuple[int, int] = SIZE, lens: tuple[float, ...] = LENS,
              fisheye: bool = False, seed: int = 0) -> CameraRig:  # fmt: skip
    """Cameras around the origin at 4 m, uneven, looking at a point 1 m above it."""
    random, cameras = np.random.default_rng(seed), []
    for i in range(count):
        angle = 2 * np.pi * (i + random.uniform(-0.2, 0.2)) / count
        centre = np.array([4 * np.cos(angle), random.uniform(1.2, 2.6), 4 * np.sin(angle)])
        ahead = np.array([0, 1.0, 0]) - centre
        ahead /= np.linalg.norm(ahead)
        right = np.cross(ahead, [0, 1.0, 0])
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(ahead, right), ahead])
        K = intrinsics(1500.0 * max(size) / 1920, size)
        cameras.append(Camera(f"c{i}", size, K, R, -R @ centre, lens, fisheye))
    return CameraRig(tuple(cameras))


def make_motion(frames: int, points: int, rate_hz: float = 60.0, seed: int = 0) -> np.ndarray:
    """(T, J, 3) metres: points of a body's size that swing at up to 3 m/s."""
    random, time = np.random.default_rng(seed), np.arange(frames) / rate_hz
    middle = random.uniform([-0.4, 0.1, -0.4], [0.4, 1.8, 0.4], (points, 3))
    phase, tempo = random.uniform(0, 2 * np.pi, (2, points, 3))
    reach = random.uniform(0.02, 0.3, (points, 3))
    swing = np.sin(2 * np.pi * (0.3 + 0.2 * tempo) * time[:, None, None] + phase)
    return middle + reach * swing


def observe(rig: CameraRig, xyz: np.ndarray, noise_px: float, wrong: float, seed: int = 1):
    """Pixels (C, T, J, 2) with Gaussian noise, a share replaced by anywhere in the picture; and
    which (C, T, J) these are."""
    random = np.random.default_rng(seed)
    pixels = project_rig(rig, xyz)
    pixels = pixels + noise_px * random.standard_normal(pixels.shape)
    bad = random.random(pixels.shape[:-1]) < wrong
    anywhere = random.uniform([0, 0], rig.cameras[0].size, pixels.shape)
    return np.where(bad[..., None], anywhere, pixels), bad


@pytest.fixture(scope="session")
def ring() -> Callable[..., CameraRig]:
    return make_ring


@pytest.fixture(scope="session")
def motion() -> Callable[..., np.ndarray]:
    return make_motion


@pytest.fixture(scope="session")
def observed() -> Callable[..., tuple[np.ndarray, np.ndarray]]:
    return observe


def body(names: tuple[str, ...], frames: int, rate_hz: float = 60.0) -> np.ndarray:
    """(T, J, 3) metres: a person on the spot who swings arms and legs as rigid bones; Y up.

    names: points of blazepose33 or coco17; those that the figure lacks are NaN.
    """
    time = np.arange(frames) / rate_hz
    turn = 0.5 * np.sin(2 * np.pi * 0.4 * time)
    left = np.stack([np.cos(turn), 0 * turn, -np.sin(turn)], axis=-1)
    ahead = np.stack([np.sin(turn), 0 * turn, np.cos(turn)], axis=-1)
    up = np.array([0.0, 1.0, 0.0])
    at = {}

    def down(angle: np.ndarray) -> np.ndarray:
        return -np.cos(angle)[:, None] * up + np.sin(angle)[:, None] * ahead

    for side, sign in (("L", 1.0), ("R", -1.0)):
        swing = sign * np.sin(2 * np.pi * 0.9 * time)
        at[side + "Shoulder"] = 1.43 * up + sign * 0.18 * left
        at[side + "Elbow"] = at[side + "Shoulder"] + 0.28 * down(-0.6 * swing)
        at[side + "Wrist"] = at[side + "Elbow"] + 0.25 * down(0.4 - 0.6 * swing)
        at[side + "Hip"] = 0.93 * up + sign * 0.10 * left
        at[side + "Knee"] = at[side + "Hip"] + 0.42 * down(0.5 * swing)
        at[side + "Ankle"] = at[side + "Knee"] + 0.40 * down(0.5 * swing - 0.3)
        at[side + "Heel"] = at[side + "Ankle"] - 0.05 * up - 0.05 * ahead
        at[side + "BigToe"] = at[side + "Heel"] + 0.2 * ahead
        at[side + "Ear"] = 1.62 * up + sign * 0.07 * left
    at["Nose"] = 1.60 * up + 0.1 * ahead
    nothing = np.full((frames, 3), np.nan)
    return np.stack([at.get(name, nothing) + 0 * left for name in names], axis=1)


@pytest.fixture(scope="session")
def walker() -> Callable[..., np.ndarray]:
    return body
