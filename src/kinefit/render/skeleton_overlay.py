"""The video with what the detector saw drawn on it."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import Any, Self

import cv2
import numpy as np

from kinefit.detect.protocol import FrameResult
from kinefit.io.video import Picture, VideoInfo, VideoWriter
from kinefit.render.palette import SIDE_COLOR, rgb, side_of
from kinefit.render.tiles import label
from kinefit.skeletons import skeleton, skeleton_names
from kinefit.types import BoolArray, FloatArray, all_finite

_LONG_SIDE = 720  # pixels: a minute stays near 10 MB, and joints can still be told apart
_SURE = 0.5  # points scored below it are drawn pale
_PALE = 0.4  # opacity of those
_SUBPIXEL = 4  # binary digits after the point in OpenCV's fixed-point coordinates
_RIM = (255, 255, 255)  # around the bones, so that no background hides their colours
_QUALITY = 26  # x264 rate factor: half the size of its default, no visible loss at this size

Color = tuple[int, int, int]


class OverlayWriter:
    """Draws the skeleton on every frame and writes a small H.264 video: a `FrameSink`.

    Right and left have their colours of the plots; points that the detector is unsure of are pale.
    Frames in which nobody was found are written as they are; a damaged frame is left out, and the
    one before stays on screen. Use as a context manager, see `kinefit.io.video.VideoWriter`.

    path: the file to write. info: the video that is drawn on. names: J points, as the detector's.
    """

    def __init__(self, path: str | Path, info: VideoInfo, names: tuple[str, ...]) -> None:
        width, height = info.size
        scale = min(1.0, _LONG_SIDE / max(width, height))
        self._size = (_even(width * scale), _even(height * scale))
        self._ratio = np.array(self._size) / (width, height)
        self._painter = SkeletonPainter(names, max(self._size))
        rate = info.rate_hz if np.isfinite(info.rate_hz) else 30.0
        self._video = VideoWriter(path, self._size, rate_hz=rate, quality=_QUALITY)

    def __call__(self, frame: FrameResult) -> None:
        """Draw and write one frame; called in order."""
        if frame.rgb is None:
            return
        picture = _shrink(frame.rgb, self._size)
        self._painter.draw(picture, (frame.xy + 0.5) * self._ratio - 0.5, frame.score)
        label(picture, f"frame {frame.index}   {frame.time:.2f} s", line=-1)
        self._video.add(picture, frame.time)

    def __enter__(self) -> Self:
        self._video.__enter__()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._video.__exit__(kind, error, trace)


class SkeletonPainter:
    """Draws bones and points in the colours of the sides.

    names: J points. long_side: of the pictures, pixels; lines are thicker on larger ones.
    """

    def __init__(self, names: tuple[str, ...], long_side: int) -> None:
        self._colors = [rgb(SIDE_COLOR[side_of(name)]) for name in names]
        self._bones = _bones(names)
        self._thickness = max(2, round(long_side / 240))

    def draw(self, picture: Picture, xy: FloatArray, score: FloatArray) -> None:
        """Draw points at `xy` (J, 2) px of the picture, in place; pale where scored below 0.5."""
        seen = all_finite(xy)
        sure = seen & (score >= _SURE)
        if not sure[seen].all():
            below = picture.copy()
            self._draw_points(picture, xy, seen)
            cv2.addWeighted(picture, _PALE, below, 1 - _PALE, 0, dst=picture)
        self._draw_points(picture, xy, sure)

    def _draw_points(self, picture: Picture, xy: FloatArray, shown: BoolArray) -> None:
        """Bones and points of which all ends are `shown` (J,), on a light rim."""
        fixed = np.round(np.where(shown[:, None], xy, 0) * 2**_SUBPIXEL).astype(int).tolist()
        bones = [bone for bone in self._bones if shown[bone[0]] and shown[bone[1]]]
        for a, b, _ in bones:
            cv2.line(picture, fixed[a], fixed[b], _RIM, self._thickness + 2, cv2.LINE_AA, _SUBPIXEL)
        for a, b, color in bones:
            cv2.line(picture, fixed[a], fixed[b], color, self._thickness, cv2.LINE_AA, _SUBPIXEL)
        radius = self._thickness * 2**_SUBPIXEL
        for j in np.flatnonzero(shown).tolist():
            cv2.circle(picture, fixed[j], radius, self._colors[j], -1, cv2.LINE_AA, _SUBPIXEL)


def _even(length: float) -> int:
    """The nearest even number of pixels, at least 2: H.264 wants even sides."""
    return max(2, 2 * round(length / 2))


def _bones(names: tuple[str, ...]) -> list[tuple[int, int, Color]]:
    """Pairs of points to join and their colour: a side's where both ends are on it."""
    column = {name: i for i, name in enumerate(names)}
    tables = [skeleton(name) for name in skeleton_names()]
    # The table that these points come from; of a subset of points, the one that shares most.
    best = max(tables, key=lambda table: (table.points == names, len(column.keys() & table.points)))
    found = []
    for a, b in best.edges:
        if a in column and b in column:
            side = side_of(a) if side_of(a) == side_of(b) else "middle"
            found.append((column[a], column[b], rgb(SIDE_COLOR[side])))
    return found


def _shrink(rgb_picture: Picture, size: tuple[int, int]) -> Picture:
    """`rgb_picture` at `size` (width, height).

    Halved as often as it goes, then the rest: 1 ms for a full-HD frame where area averaging in
    one step takes 7, and no aliasing that one could see.
    """
    picture: Any = rgb_picture
    while picture.shape[1] >= 2 * size[0] and picture.shape[0] >= 2 * size[1]:
        half = (picture.shape[1] // 2, picture.shape[0] // 2)
        picture = cv2.resize(picture, half, interpolation=cv2.INTER_AREA)
    small = np.empty((size[1], size[0], 3), np.uint8)  # never the caller's own picture
    cv2.resize(picture, size, dst=small)
    return small
