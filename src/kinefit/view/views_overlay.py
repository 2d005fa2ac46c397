"""All videos of a run side by side, with the points in space drawn on each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import cv2
import numpy as np

from kinefit.detect.overlap import ahead
from kinefit.geometry.projection import project_rig
from kinefit.io.video import Picture, VideoFrame, VideoWriter, frames
from kinefit.pipeline.multiview import Scene
from kinefit.types import CameraRig, FloatArray, all_finite
from kinefit.view.overlay import SkeletonPainter

_LONG_SIDE = 1280  # pixels of the whole sheet
_QUALITY = 26  # as the single video's


def write_views_overlay(path: Path, scene: Scene, progress: Callable[[int, int], None]) -> None:
    """Write one video that shows every camera with the reprojected points.

    What is drawn is the result, not what a detector saw: where the skeleton lies beside the
    person, the points in space are wrong. A video that is over shows its last picture.
    """
    rig, moments = scene.rig, scene.moments
    pixels = project_rig(rig, scene.xyz)  # (C, T, J, 2)
    columns, tile = _layout(rig)
    rows = -(-len(rig) // columns)
    painter = SkeletonPainter(scene.names, max(tile))
    size = (columns * tile[0], rows * tile[1])
    rate = 1 / float(np.median(np.diff(moments[0])))
    with ExitStack() as stack:
        streams = [stack.enter_context(ahead(frames(video, size=tile))) for video in scene.videos]
        steps = [_at_moments(s, m) for s, m in zip(streams, moments, strict=True)]
        writer = stack.enter_context(VideoWriter(path, size, rate_hz=rate, quality=_QUALITY))
        for t, pictures in enumerate(zip(*steps, strict=True)):
            sheet = np.zeros((size[1], size[0], 3), np.uint8)
            for c, picture in enumerate(pictures):
                y, x = divmod(c, columns)
                part = sheet[y * tile[1] : (y + 1) * tile[1], x * tile[0] : (x + 1) * tile[0]]
                if picture is not None:
                    part[:] = picture
                ratio = np.array(tile) / rig.cameras[c].size
                xy = (pixels[c, t] + 0.5) * ratio - 0.5
                painter.draw(part, xy, all_finite(xy).astype(float))
                _label(part, rig.cameras[c].name)
            writer.add(sheet, float(moments[0][t] - moments[0][0]))
            progress(t + 1, len(moments[0]))


def _layout(rig: CameraRig) -> tuple[int, tuple[int, int]]:
    """Columns of the sheet, and (width, height) of each camera's part: even numbers."""
    width, height = (int(np.median([c.size[k] for c in rig])) for k in (0, 1))
    best = min(
        range(1, len(rig) + 1),
        key=lambda n: abs(np.log(n * width / (-(-len(rig) // n) * height * 16 / 9))),
    )
    scale = _LONG_SIDE / max(best * width, -(-len(rig) // best) * height)
    return best, (2 * max(1, round(width * scale / 2)), 2 * max(1, round(height * scale / 2)))


def _at_moments(stream: Iterator[VideoFrame], moments: FloatArray) -> Iterator[Picture | None]:
    """The picture nearest to each moment (increasing), decoding each frame once."""
    last: VideoFrame | None = next(stream, None)
    start = last.time if last else 0.0
    following = next(stream, None)
    for moment in moments:
        while following is not None and last is not None:
            middle = (last.time + following.time) / 2 - start
            if moment < middle:
                break
            last, following = following, next(stream, None)
        yield last.rgb if last else None


def _label(picture: Picture, text: str) -> None:
    at, font = (8, 20), cv2.FONT_HERSHEY_SIMPLEX
    cv2.putText(picture, text, at, font, 0.5, (0, 0, 0), 3, cv2.LINE_AA)
    cv2.putText(picture, text, at, font, 0.5, (255, 255, 255), 1, cv2.LINE_AA)
