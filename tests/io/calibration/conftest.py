"""A rig, and its numbers as other programs would hold them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.types import Camera, CameraRig


def looking_at(name: str, centre, target=(0.0, 1.0, 0.0), **lens) -> Camera:
    """A level camera at `centre` (Y up, metres) that looks at `target`."""
    z = np.subtract(target, centre) / np.linalg.norm(np.subtract(target, centre))
    x = np.cross(z, [0.0, 1, 0])
    R = np.stack([x / np.linalg.norm(x), np.cross(z, x / np.linalg.norm(x)), z])
    K = np.array([[903.1, 0, 640.2], [0, 905.7, 355.9], [0, 0, 1]])
    fields = {"size": (1280, 720), "K": K, "distortion": [-0.2, 0.1, 1e-3, -2e-3, 0.01]} | lens
    return Camera(name, R=R, t=-R @ np.asarray(centre), **fields)


@pytest.fixture
def rig() -> CameraRig:
    return CameraRig(
        (
            looking_at("cam_0", [3.0, 1.5, 0.2]),
            looking_at("cam_1", [-1.0, 1.2, 2.8], distortion=[-0.1, 0.02, 0, 0]),
            looking_at("cam_2", [-1.5, 2.0, -2.5]),
        )
    )


@pytest.fixture
def points() -> np.ndarray:
    return np.random.default_rng(3).uniform([-0.5, 0, -0.5], [0.5, 1.8, 0.5], (20, 3))


def vector(R) -> list[float]:
    return Rotation.from_matrix(R).as_rotvec().tolist()
