"""Which of several people: by number, or by pointing at one in a picture."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np

from kinefit.types import FloatArray, InputError, IntArray, Timeline, all_finite

T = TypeVar("T")

_PLACE = re.compile(r"(?:(?P<camera>[^:]+):)?(?P<numbers>[-+\d.eE, ]+)")
_LEAST_OVERLAP = 0.2  # intersection over union of a drawn box and a person's


@dataclass(frozen=True)
class Pointer:
    """A place in a picture where somebody is: a click, or a box drawn around them.

    low, high: (x, y) pixels of the upright picture, the same for a click. frame: the video's frame
    number; None: the first that shows somebody there. camera: None for the only one.
    """

    low: tuple[float, float]
    high: tuple[float, float]
    frame: int | None = None
    camera: str | None = None
    flag: str = field(default="--person-at", compare=False)

    @classmethod
    def parse(cls, flag: str, text: str, corners: int) -> Pointer:
        """From "[CAMERA:]X,Y[,FRAME]", or with two corners; InputError naming the flag."""
        form = "[CAMERA:]" + ("X,Y" if corners == 1 else "X0,Y0,X1,Y1") + "[,FRAME]"
        wrong = InputError(flag, f"{text!r} is not {form}", "give pixels of the picture")
        match = _PLACE.fullmatch(text.strip())
        try:
            numbers = [float(n) for n in match["numbers"].split(",")] if match else []
        except ValueError:
            raise wrong from None
        if match is None or len(numbers) not in (2 * corners, 2 * corners + 1):
            raise wrong
        if not np.isfinite(numbers).all():
            raise wrong
        frame = numbers.pop() if len(numbers) % 2 else None
        if frame is not None and (frame < 0 or frame % 1):
            raise wrong
        xy = np.array(numbers).reshape(-1, 2)
        (x0, y0), (x1, y1) = xy.min(axis=0).tolist(), xy.max(axis=0).tolist()
        return cls((x0, y0), (x1, y1), None if frame is None else int(frame), match["camera"], flag)

    def camera_of(self, names: Sequence[str]) -> str:
        """Whose picture it is in, of these cameras; InputError where that is not known."""
        if self.camera in names or (self.camera is None and len(names) == 1):
            return self.camera or names[0]
        hint = f"begin it with one of {', '.join(f'{name}:' for name in names)}"
        raise InputError(self.flag, "which camera's picture it is in is not known", hint)

    def person_in(self, poses: FloatArray) -> int | None:
        """Which of the persons (N, J, 3) of a frame is there; None for nobody."""
        boxes = {i: box_of(pose) for i, pose in enumerate(poses) if all_finite(pose).any()}
        if self.low != self.high:
            overlap = {
                i: _overlap(box, np.array([self.low, self.high])) for i, box in boxes.items()
            }
            best = max(overlap, key=lambda i: overlap[i], default=None)
            return best if best is not None and overlap[best] >= _LEAST_OVERLAP else None
        inside = {
            i: float(np.linalg.norm(box.mean(axis=0) - self.low))
            for i, box in boxes.items()
            if (box[0] <= self.low).all() and (self.low <= box[1]).all()
        }
        return min(inside, key=lambda i: inside[i], default=None)


def by_number(people: Sequence[T], number: int | None) -> int:
    """The place of a person counted from 1 (None: the first); InputError when there is none."""
    if number is not None and not 1 <= number <= len(people):
        hint = f"give a number from 1 to {len(people)}, or leave it out"
        raise InputError("--person", f"there is no person {number}; {len(people)} found", hint)
    return (number or 1) - 1


def by_pointer(
    pointer: Pointer, points: Sequence[FloatArray], timeline: Timeline, places: Sequence[IntArray]
) -> int:
    """The place among people of who is pointed at in one view.

    points: (N, J, 3) of each of the view's T frames. places: of each person (T,), where in these
    lists they stand, -1 where they do not. Raises InputError when nobody is there.
    """
    rows = list(range(len(points)))
    if pointer.frame is not None:
        rows = np.flatnonzero(timeline.frame == pointer.frame).tolist()
        if not rows:
            first, last = timeline.frame[0], timeline.frame[-1]
            hint = f"frames {first} to {last} are looked at"
            raise InputError(pointer.flag, f"there is no frame {pointer.frame}", hint)
    for row in rows:
        place = pointer.person_in(points[row])
        mine = [
            i for i, of_person in enumerate(places) if place is not None and of_person[row] == place
        ]
        if mine:
            return mine[0]
    when = "any frame" if pointer.frame is None else f"frame {pointer.frame}"
    x, y = np.mean([pointer.low, pointer.high], axis=0)
    reason = f"nobody who can be followed was found at ({x:g}, {y:g}) in {when}"
    raise InputError(pointer.flag, reason, "point at a trunk, or choose by --person")


def box_of(pose: FloatArray) -> FloatArray:
    """(2, 2) left upper and right lower corner of the points, pixels."""
    xy = pose[all_finite(pose), :2]
    return np.stack([xy.min(axis=0), xy.max(axis=0)])


def _overlap(one: FloatArray, other: FloatArray) -> float:
    shared = np.minimum(one[1], other[1]) - np.maximum(one[0], other[0])
    both = float(np.prod(np.maximum(shared, 0)))
    areas = float(np.prod(one[1] - one[0]) + np.prod(other[1] - other[0]))
    return both / max(areas - both, 1e-9)
