"""Where to look for people in a picture, and which findings are of one person."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np

from kinefit.detect.blazepose import Pose, size_of
from kinefit.types import FloatArray

Found = tuple[float, FloatArray]
"""A score 0..1 and a place, as in `kinefit.detect.blazepose`."""

SMALLEST = 190  # pixels: sides of the smallest squares; people in them are 60 pixels high
_SAME = 0.15  # two poses of one person: mean of all points, as a share of the smaller's size
_ONE_PLACE = 0.25  # sizes between two places of one person
_TURNED = 0.75  # the same, where one stands on the other's head: a person upside down is neither
_LARGER = 1.6  # times as large, somebody is somebody else
_SEARCHED = 2.5  # sizes: side of the square in which the person network likes somebody best
_SMALL, _STRONG = 0.36, 0.8  # of a square's side, and of the score: less is looked at again

Look = Callable[[Sequence[FloatArray | None]], Sequence[list[Found]]]
"""What the person network finds in each of some squares (None: in the whole picture)."""


def find(
    look: Look,
    squares: Sequence[FloatArray | None],
    whole: float,
    known: Sequence[FloatArray] = (),
) -> list[FloatArray]:
    """Places of people in some squares, each once, the surest first, without those of `known`.

    whole: the longer side of the picture. Who is small in a square is looked at in one of their
    own: there the network is right, and here it takes two people for one, or a bush for one (of
    the frames of rendered groups, half had such).
    """
    sure: list[Found] = []
    unsure: list[Found] = []
    for square, seen in zip(squares, look(squares), strict=True):
        side = whole if square is None else float(square[2])
        for score, place in seen:
            good = size_of(place) > _SMALL * side and score > _STRONG
            (sure if good else unsure).append((score, place))
    again = [around(place) for place in _each_once(unsure, known)]
    sure += chain(*look(again))
    return _each_once(sure, known)


def quarters(width: int, height: int) -> list[list[FloatArray]]:
    """Squares of half the picture's longer side that cover it; of a quarter; down to the smallest.

    For pictures too small for that there are those of half the side.
    """
    side = max(width, height) / 2
    levels = [squares(width, height, side)]
    while side > SMALLEST:
        side = max(side / 2, SMALLEST)
        levels.append(squares(width, height, side))
    return levels


def squares(width: int, height: int, side: float) -> list[FloatArray]:
    """Squares that cover a picture, each half over the next: (3,) left, top, side, pixels."""

    def starts(length: int) -> FloatArray:
        count = max(int(np.ceil((length - side) / (side / 2))), 0) + 1
        return np.linspace(0, max(length - side, 0), count)

    return [np.array([x, y, side]) for y in starts(height) for x in starts(width)]


def around(place: FloatArray) -> FloatArray:
    """The square in which somebody is as large as the person network likes it."""
    side = _SEARCHED * size_of(place)
    return np.array([*(place[:2] - side / 2), side])


def is_near(place: FloatArray, other: FloatArray, reach: float) -> bool:
    """Whether two places are within `reach` sizes, of people of about one size."""
    sizes = size_of(place), size_of(other)
    away = np.hypot(*(other - place)[:2]) / min(sizes)
    return bool(away <= reach and max(sizes) <= _LARGER * min(sizes))


def off(expected: FloatArray, pose: Pose) -> float:
    """Sizes between where somebody was expected and is."""
    return float(np.hypot(*(pose.place - expected)[:2]) / pose.size)


def same(one: Pose, other: Pose) -> bool:
    """Whether two poses of a picture are of one person."""
    away = np.linalg.norm(one.values[:, :2] - other.values[:, :2], axis=1).mean()
    return bool(away < _SAME * min(one.size, other.size)) or _turned(one.place, other.place)


def _turned(place: FloatArray, other: FloatArray) -> bool:
    up = (place[2:] - place[:2]) @ (other[2:] - other[:2])
    return bool(up < 0) and is_near(place, other, _TURNED)


def _each_once(found: Sequence[Found], known: Sequence[FloatArray]) -> list[FloatArray]:
    """Places without those near a surer one, or near one that is known."""
    kept = list(known)
    for _, place in sorted(found, key=lambda one: -one[0]):
        if not any(is_near(place, k, _ONE_PLACE) or _turned(place, k) for k in kept):
            kept.append(place)
    return kept[len(known) :]
