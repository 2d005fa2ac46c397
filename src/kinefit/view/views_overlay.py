"""All videos of a run side by side, with the points in space drawn on each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from kinefit.geometry.projection import project_rig
from kinefit.io.video import Picture
from kinefit.pipeline.multiview import Scene
from kinefit.types import all_finite
from kinefit.view.overlay import SkeletonPainter
from kinefit.view.tiles import Tiles


def write_views_overlay(path: Path, scene: Scene, progress: Callable[[int, int], None]) -> None:
    """Write one video that shows every camera with the reprojected points.

    What is drawn is the result, not what a detector saw: where the skeleton lies beside the
    person, the points in space are wrong. A video that is over shows its last picture.
    """
    pixels = project_rig(scene.rig, scene.xyz)  # (C, T, J, 2)
    tiles = Tiles.of(scene.rig)
    painter = SkeletonPainter(scene.names, max(tiles.size))

    def paint(t: int, pictures: list[Picture]) -> None:
        for camera, picture, xy in zip(scene.rig, pictures, pixels[:, t], strict=True):
            shown = (xy + 0.5) * (np.array(tiles.size) / camera.size) - 0.5
            painter.draw(picture, shown, all_finite(shown).astype(float))

    tiles.write(path, scene.videos, scene.moments, paint, progress)
