"""Whether the camera moves: what stands still in the world then moves through the picture."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.types import FloatArray

_WIDTH = 640  # pixels that are looked at: corners are as good, and a fifth of the time
_CORNERS, _FEWEST = 300, 20
_AROUND = 0.15  # of a box's sides, that its person may reach beyond it
_AGREE_PX, _MOST_AGREE = 1.5, 0.6  # of the corners must go one way: leaves and passers-by do not


def camera_shift(
    before: NDArray[np.uint8], after: NDArray[np.uint8], boxes: FloatArray
) -> float | None:
    """How far the background moved between two pictures, as a share of the picture's width.

    before, after: (height, width, 3) uint8. boxes: (N, 4) left, top, right, bottom of the people
    in `before`, pixels; NaN where unknown.

    Corners beside people are followed (Lucas & Kanade's optical flow) and a similarity is laid
    through them, robustly; the result is the median over the picture of how far that moves. None
    where too few corners agree on one: no texture, or all of it moves by itself.
    """
    scale = min(1.0, _WIDTH / before.shape[1])
    first, second = _grey(before, scale), _grey(after, scale)
    mask = np.full(first.shape, 255, np.uint8)
    for left, top, right, bottom in boxes[np.isfinite(boxes).all(axis=1)] * scale:
        dx, dy = _AROUND * (right - left), _AROUND * (bottom - top)
        low, high = np.array([left - dx, top - dy]), np.array([right + dx, bottom + dy])
        x0, y0, x1, y1 = np.concatenate([low, high]).clip(0, 1e5).astype(int).tolist()
        mask[y0 : y1 + 1, x0 : x1 + 1] = 0
    corners = cv2.goodFeaturesToTrack(first, _CORNERS, 0.01, 7, mask=mask)
    if corners is None or len(corners) < _FEWEST:
        return None
    there, found, _ = cv2.calcOpticalFlowPyrLK(
        first, second, corners, np.empty_like(corners), winSize=(21, 21), maxLevel=4
    )
    good = found.ravel() == 1
    if good.sum() < max(_FEWEST, _MOST_AGREE * len(corners)):
        return None
    a, b = corners[good, 0], there[good, 0]
    cv2.setRNGSeed(0)  # the same pictures, the same answer
    change, inliers = cv2.estimateAffinePartial2D(a, b, ransacReprojThreshold=_AGREE_PX)
    if change is None or inliers.mean() < _MOST_AGREE:
        return None
    height, width = first.shape
    grid = np.stack(np.meshgrid(np.linspace(0, width, 9), np.linspace(0, height, 9)), -1)
    moved = grid @ change[:, :2].T + change[:, 2] - grid
    return float(np.median(np.linalg.norm(moved, axis=-1)) / width)


def _grey(picture: NDArray[np.uint8], scale: float) -> NDArray[np.uint8]:
    size = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    smaller = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(smaller, cv2.COLOR_RGB2GRAY), np.uint8)
