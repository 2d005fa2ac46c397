"""Straight edges of what stands still in a video, for `kinefit.metric.room`."""

from __future__ import annotations

from collections.abc import Iterable

import cv2
import numpy as np

from kinefit.io.video import Picture
from kinefit.types import FloatArray

_LONGER_SIDE = 1280  # pixels: more shows more edges, but no straighter ones
_MARGIN = 0.012  # of the longer side: pictures and black bars end there, and they are no walls
_BLACK = 24  # of 255


def straight_edges(pictures: Iterable[Picture], people: FloatArray) -> FloatArray:
    """(S, 4) pixels: x and y of both ends of the edges in the median of pictures of one size.

    In the median, who moves is gone. people: (N, 4) left, top, right, bottom of somebody who may
    not move, in each picture, NaN where nobody is: edges inside of half of these are left out.

    Segments are found as von Gioi et al. 2010, "LSD: a fast line segment detector with a false
    detection control", IEEE PAMI 32:722.
    """
    grey = [cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) for picture in pictures]
    if not grey:
        return np.empty((0, 4))
    scale = min(1.0, _LONGER_SIDE / max(grey[0].shape))
    small = [cv2.resize(one, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
             for one in grey]  # fmt: skip
    still = np.median(small, axis=0).astype(np.uint8)
    found = cv2.createLineSegmentDetector(cv2.LSD_REFINE_STD).detect(still)[0]
    if found is None:
        return np.empty((0, 4))
    edges = found.reshape(-1, 4).astype(np.float64)
    margin = _MARGIN * max(still.shape)
    beside = np.zeros(len(edges), bool)
    for axis in (0, 1):  # x, y
        lit = np.flatnonzero(still.max(axis=axis) > _BLACK)
        low, high = (lit[0], lit[-1]) if len(lit) else (0, 0)
        at = edges[:, axis::2]
        beside |= (at < low + margin).all(axis=1) | (at > high - margin).all(axis=1)
    edges = (edges[~beside] + 0.5) / scale - 0.5
    middle = edges.reshape(-1, 2, 2).mean(axis=1)[:, None]
    with np.errstate(invalid="ignore"):
        inside = (middle > people[:, :2]) & (middle < people[:, 2:])
    return np.asarray(edges[inside.all(axis=-1).mean(axis=1) < 0.5])
