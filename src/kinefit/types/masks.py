"""Where a person is in pictures: masks of one camera."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinefit.types.arrays import BoolArray, FloatArray, IntArray, freeze, freeze_arrays
from kinefit.types.errors import InvalidData


@dataclass(frozen=True, eq=False)
class PersonMasks:
    """One person in N frames of a video: each mask is a square picture of a part of the frame.

    frame: (N,) frame numbers of the file, increasing. grey: (N, S, S) uint8, 255 where a pixel is
        surely of the person. into: (N, 2, 3) from a pixel (u, v, 1) of the mask to pixels of the
        frame (whose pixel centres are integers); it can be inverted where a mask is to be used.
        size: (width, height) of the frames.
    confidence: (N,) 0..1 that the mask is right; 0: not to be used. reason: (N,) why it is not 1,
        in plain words; "" where it is.

    Raises InvalidData for shapes that disagree and values that are none of these.
    """

    frame: IntArray
    grey: NDArray[np.uint8]
    into: FloatArray
    size: tuple[int, int]
    confidence: FloatArray
    reason: tuple[str, ...]

    def __post_init__(self) -> None:
        n, side = len(self.frame), self.grey.shape[-1]
        freeze_arrays(self, np.int64, frame=(n,))
        freeze_arrays(self, np.uint8, grey=(n, side, side))
        freeze_arrays(self, into=(n, 2, 3), confidence=(n,))
        freeze(self, reason=tuple(self.reason), size=(int(self.size[0]), int(self.size[1])))
        if len(self.reason) != n or (np.diff(self.frame, prepend=-1) <= 0).any():
            raise InvalidData("PersonMasks: frames must increase, with a reason for each.")
        if not ((self.confidence >= 0) & (self.confidence <= 1)).all():
            raise InvalidData("PersonMasks.confidence must be in 0..1.")
        if not _invertible(self.into[self.confidence > 0]).all():
            raise InvalidData("PersonMasks.into must have an inverse where confidence is above 0.")

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def usable(self) -> BoolArray:
        """(N,)"""
        return self.confidence > 0


def _invertible(into: FloatArray) -> BoolArray:
    """(N,) of (N, 2, 3). Rounding leaves 1e-16 of the squares in the determinant of a singular one;
    a region whose sides differ a thousandfold has 1e-3 of them."""
    with np.errstate(all="ignore"):
        squares = (into[..., :2] ** 2).sum(axis=(1, 2))
        cross = into[:, 0, 0] * into[:, 1, 1] - into[:, 0, 1] * into[:, 1, 0]
        return np.asarray(np.isfinite(into).all(axis=(1, 2)) & (np.abs(cross) > 1e-9 * squares))
