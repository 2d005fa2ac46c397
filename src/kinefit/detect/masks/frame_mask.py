"""One frame's mask of a person in the square region around them."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.io.video import Picture
from kinefit.types import FloatArray

Grey = NDArray[np.uint8]
SIDE = 256  # pixels of a mask: what the networks give
WHITE = 128  # a pixel from which on it is of the person
DAMAGED = "the frame is damaged"


class FrameMask(NamedTuple):
    """One frame's mask as `PersonMasks` has it, and what smoothing looks at.

    time: true seconds of the frame. grey: (S, S). into: (2, 3). picture: (S, S) grey levels of the
    frame in the same region. missing: why there is no mask (`grey` is black); "" where there is.
    """

    frame: int
    time: float
    grey: Grey
    into: FloatArray
    picture: Grey
    missing: str = ""


def without_mask(frame: int, time: float, reason: str, side: int = SIDE) -> FrameMask:
    """A black mask; `into` is of a region of one pixel."""
    black = np.zeros((side, side), np.uint8)
    return FrameMask(frame, time, black, np.eye(2, 3) / side, black, reason)


def picture_in(rgb: Picture, into: FloatArray, side: int = SIDE) -> Grey:
    """(side, side) grey levels of the region, the border repeated outside of the picture."""
    window = cv2.warpAffine(
        rgb, into, (side, side), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    return np.asarray(cv2.cvtColor(window, cv2.COLOR_RGB2GRAY))


def inside_picture(into: FloatArray, size: tuple[int, int], side: int) -> NDArray[np.bool_]:
    """(side, side) whether each pixel of a region lies in a picture of `size` (width, height)."""
    u = np.arange(side)
    x = into[0, 0] * u + into[0, 1] * u[:, None] + into[0, 2]
    y = into[1, 0] * u + into[1, 1] * u[:, None] + into[1, 2]
    return np.asarray((x > -0.5) & (x < size[0] - 0.5) & (y > -0.5) & (y < size[1] - 0.5))


def in_picture(one: FrameMask, size: tuple[int, int]) -> Grey:
    """(height, width) 0..255: the mask where it is in the picture of `size` (width, height)."""
    return np.asarray(cv2.warpAffine(one.grey, one.into, size, flags=cv2.INTER_LINEAR))
