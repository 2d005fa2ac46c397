"""A person and a ring of cameras in metres with Y up, and OpenCV's own projection of them."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kinefit.skeletons import skeleton

COCO = skeleton("coco17").points
SIZE = (1920, 1080)
LENS = np.array([-0.21, 0.11, 0.0012, -0.0008, -0.03])
NO_LENS = np.zeros(5)

# Upright, facing +Z, the left at +X.
_PERSON = {
    "Nose": (0, 1.62, 0.12), "LEye": (0.03, 1.65, 0.1), "REye": (-0.03, 1.65, 0.1),
    "LEar": (0.08, 1.63, 0.02), "REar": (-0.08, 1.63, 0.02), "LShoulder": (0.18, 1.42, 0),
    "RShoulder": (-0.18, 1.42, 0), "LElbow": (0.45, 1.38, 0.05), "RElbow": (-0.25, 1.15, 0.02),
    "LWrist": (0.68, 1.45, 0.15), "RWrist": (-0.27, 0.92, 0.12), "LHip": (0.1, 0.95, 0),
    "RHip": (-0.1, 0.95, 0), "LKnee": (0.11, 0.5, 0.03), "RKnee": (-0.12, 0.52, 0.09),
    "LAnkle": (0.12, 0.08, -0.02), "RAnkle": (-0.13, 0.09, 0.04),
}  # fmt: skip


@dataclass(frozen=True)
class RingCamera:
    """x_cam = R x + t, metres."""

    R: np.ndarray
    t: np.ndarray
    K: np.ndarray

    def pixels(self, xyz: np.ndarray, lens: np.ndarray = LENS) -> np.ndarray:
        """(..., 2) of points (..., 3), by OpenCV."""
        rotation = cv2.Rodrigues(self.R)[0]
        pixels, _ = cv2.projectPoints(xyz.reshape(-1, 1, 3), rotation, self.t, self.K, lens)
        return pixels.reshape(*xyz.shape[:-1], 2)

    def axes(self, xyz: np.ndarray) -> np.ndarray:
        return xyz @ self.R.T + self.t


def ring_camera(angle: float) -> RingCamera:
    """Looks at the person from 4.5 m; at angle 0 from before them (+Z)."""
    centre = np.array([4.5 * np.sin(angle), 1.7, 4.5 * np.cos(angle)])
    ahead = np.array([0.05, 0.9, 0]) - centre
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0, 1.0, 0])
    right /= np.linalg.norm(right)
    R = np.stack([right, np.cross(ahead, right), ahead])
    K = np.array([[1500.0, 0, 958.2], [0, 1503, 541.7], [0, 0, 1]])
    return RingCamera(R, -R @ centre, K)


def person_frames(count: int, seed: int = 0) -> np.ndarray:
    """(count, 17, 3) the person, who sways and steps about."""
    still = np.array([_PERSON[name] for name in COCO])
    rng = np.random.default_rng(seed)
    step = rng.normal(0, 0.1, (count, 1, 3)) * [1, 0, 1]
    return still + rng.normal(0, 0.004, (count, 17, 3)) + step


def unit_torso_of(xyz: np.ndarray) -> tuple[np.ndarray, float]:
    """(17, 3) points from the mid-hip in torso lengths, and that length."""
    at = {name: xyz[i] for i, name in enumerate(COCO)}
    hips = (at["LHip"] + at["RHip"]) / 2
    length = float(np.linalg.norm((at["LShoulder"] + at["RShoulder"]) / 2 - hips))
    return (xyz - hips) / length, length
