"""Masks smoothed over time: each with its neighbours, carried to it by optical flow.

Measured on six clips of renders (180 frames, 15 and 30 Hz): overlap with the truth .9428 ->
.9454, in each clip higher, for 5 ms a frame. Without the weights by how well pictures agree, it
falls in three of the six (.9224 for .9542 in the worst).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import chain
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.detect.masks.frame_mask import FrameMask

# A neighbour counts as much as the frame itself where its picture, carried over, is the same, and
# e times less at this difference (grey levels): half or twice the weight, or 15, are no better.
_SAME_LEVELS = 8.0


def smoothed(masks: Iterable[FrameMask]) -> Iterator[FrameMask]:
    """Each mask as the weighted mean of its own, the one before and the one after.

    What lies around frames without a mask stays as it is; they are handed on untouched.
    """
    before: FrameMask | None = None
    now: FrameMask | None = None
    for after in chain(masks, [None]):
        if now is not None:
            beside = [one for one in (before, after) if one is not None and not one.missing]
            yield now if now.missing or not beside else _mean(now, beside)
        before, now = now, after


def _mean(now: FrameMask, beside: list[FrameMask]) -> FrameMask:
    total, weight = now.grey.astype(np.float32), np.ones(now.grey.shape, np.float32)
    for one in beside:
        x, y = cv2.split(_pixels(len(now.grey)) + _flow().calc(now.picture, one.picture, None))
        picture = cv2.remap(one.picture, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        off = cv2.absdiff(picture, now.picture).astype(np.float32) / np.float32(_SAME_LEVELS)
        share = np.exp(-off * off)
        total += share * cv2.remap(one.grey, x, y, cv2.INTER_LINEAR)
        weight += share
    return now._replace(grey=np.round(total / weight).astype(np.uint8))


@cache
def _pixels(side: int) -> NDArray[np.float32]:
    """(side, side, 2) x, y of each pixel."""
    line = np.arange(side, dtype=np.float32)
    return np.stack(np.meshgrid(line, line), axis=-1)


@cache
def _flow() -> Any:
    """Dense inverse search (Kroeger et al. 2016, ECCV, "Fast optical flow using dense inverse
    search"); the next coarser setting costs a sixth less and gains a tenth less."""
    return cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
