"""All videos of a run side by side, with the points in space drawn on each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinefit.geometry.projection import project_rig
from kinefit.io.video import Picture
from kinefit.render.skeleton_overlay import SkeletonPainter
from kinefit.render.tiles import Tiles, film_frames
from kinefit.types import CameraRig, FloatArray, Timeline, all_finite


@dataclass(frozen=True, eq=False)
class Scene:
    """A result and the videos that it came from.

    videos: C files in the order of `rig`. moments: (C, T) seconds of each frame on each camera's
    own clock, from its first frame. names, xyz: J points, (T, J, 3) metres in the rig's world.
    """

    videos: tuple[Path, ...]
    rig: CameraRig
    moments: FloatArray
    names: tuple[str, ...]
    xyz: FloatArray


def write_views_overlay(path: Path, scene: Scene, progress: Callable[[int, int], None]) -> None:
    """Write one video that shows every camera with the reprojected points.

    What is drawn is the result, not what a detector saw: where the skeleton lies beside the
    person, the points in space are wrong. A video that is over shows its last picture.
    """
    moments = scene.moments
    clock = Timeline(np.arange(len(scene.xyz)), moments[0] - moments[0, :1])
    shown = film_frames(clock)
    pixels = project_rig(scene.rig, scene.xyz[shown])  # (C, T, J, 2)
    tiles = Tiles.of(scene.rig)
    painter = SkeletonPainter(scene.names, max(tiles.size))

    def paint(t: int, pictures: list[Picture]) -> None:
        for camera, picture, xy in zip(scene.rig, pictures, pixels[:, t], strict=True):
            at = (xy + 0.5) * (np.array(tiles.size) / camera.size) - 0.5
            painter.draw(picture, at, all_finite(at).astype(float))

    clock = Timeline(clock.frame[shown], clock.time[shown])
    tiles.write(path, scene.videos, moments[:, shown], clock, paint, progress)
