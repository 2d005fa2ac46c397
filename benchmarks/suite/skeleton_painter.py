"""A skeleton of points drawn on a picture."""

from __future__ import annotations

import cv2
import numpy as np

from kinefit.io.video import Picture
from kinefit.render.palette import SIDE_COLOR, rgb, side_of
from kinefit.skeletons import skeleton, skeleton_names
from kinefit.types import BoolArray, FloatArray, all_finite

_SURE = 0.5  # points scored below it are drawn pale
_PALE = 0.4  # opacity of those
_SUBPIXEL = 4  # binary digits after the point in OpenCV's fixed-point coordinates
_RIM = (255, 255, 255)  # around the bones, so that no background hides their colours

Color = tuple[int, int, int]


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
