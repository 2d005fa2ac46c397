"""What several benchmarks begin with: landmarks of the demo, cameras that look at a point."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from kinefit.api import demo_views
from kinefit.geometry.projection import intrinsics
from kinefit.io.calibration import read_calibration
from kinefit.multiview.rig_checks import fit_rig_to_videos
from kinefit.synth.cameras import looking
from kinefit.types import Camera, CameraRig, FloatArray

_LANDMARKS = Path(__file__).parents[1] / "tests/multiview/data/demo_views.npz"
FULL_HD = (1920, 1080)


class DemoLandmarks(NamedTuple):
    """MediaPipe's landmarks of the multi-view demo, committed with the tests.

    xy: (C, T, 33, 2) px. score: (C, T, 33) visibility. time: (T,) seconds.
    """

    rig: CameraRig
    xy: FloatArray
    score: FloatArray
    time: FloatArray


def demo_landmarks() -> DemoLandmarks:
    """The landmarks, with the demo's calibration at the size of the videos."""
    stored = np.load(_LANDMARKS, allow_pickle=False)
    cameras = stored["camera"].tolist()
    sizes = dict(zip(cameras, map(tuple, stored["image_size"].tolist()), strict=True))
    rig, _ = fit_rig_to_videos(read_calibration(demo_views()[1]).rig.select(cameras), sizes)
    xy, score = (stored[name].astype(float) for name in ("xy", "visibility"))
    return DemoLandmarks(rig, xy, score, stored["time"][0])


def camera_at(
    name: str,
    centre: FloatArray,
    target: FloatArray,
    focal_px: float,
    lens: tuple[float, ...] = (),
) -> Camera:
    """A full-HD camera at `centre` (3,) that looks at `target` (3,), metres, upright."""
    R = looking(target - centre)
    return Camera(name, FULL_HD, intrinsics(focal_px, FULL_HD), R, -R @ centre, np.array(lens))
