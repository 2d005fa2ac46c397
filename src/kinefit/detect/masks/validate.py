"""How far each mask of a video can be trusted, and why not: by its area, the person's keypoints,
the picture's border, and the masks before and after.

Thresholds lie between right masks (99 of 100 keep a confidence of .9 or more, in 960 frames of
renders and in 400 of the demo) and the wrong ones of the tests; in between, confidence falls in a
straight line.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.detect.masks.frame_mask import SURE, WHITE, FrameMask, inside_picture
from kinefit.skeletons.limbs import limbs, limbs_among
from kinefit.types import BoolArray, FloatArray, Keypoints2D

_LOOK = 64  # pixels of the side at which masks are looked at: of an adult, about 4 cm each
_NEAR = 2.0  # of these pixels: how far outside of its mask a keypoint may be
_FAR = 8.0  # the same: how far from the body hair, clothes and what is held may reach
_AROUND = 15  # the area is compared with its median over so many frames before and after

# Believed in full, and not at all.
_AREA = (0.01, 0.005)  # share of the region: somebody lying along the line of sight covers 0.03
_FULL = (0.5, 0.7)  # a person cannot fill the square around the circle around them
_COVERED = (0.8, 0.4)  # share of the sure keypoints that are in the mask
_STRAY = (0.15, 0.5)  # share of the mask that is far from the body
_TIMES_AREA = (1.6, 3.0)  # by how much the area may be larger or smaller than around
_FLICKER = (0.15, 0.4)  # by how much the masks beside a frame overlap more than with its own
_CHANGE = (0.4, 0.1)  # overlap with the mask before
_CUT_OFF = 0.9  # confidence where the border cuts the person: part of the outline is not theirs
_UNCHECKED = 0.5  # where no keypoint is sure


class Verdict(NamedTuple):
    """confidence: (N,). reason: (N,). As of `PersonMasks`."""

    confidence: FloatArray
    reason: tuple[str, ...]


class _Facts(NamedTuple):
    """area: share of the region. filled: of its pixels in the picture. covered, stray: as above,
    NaN where no keypoint is sure. cut: whether the mask touches the border. beside, across:
    overlap with the mask before, and with the one before that; NaN without one."""

    missing: bool
    area: float
    filled: float
    covered: float
    stray: float
    cut: bool
    beside: float
    across: float


class Judge:
    """Looks at the masks of a video one after another, and says at the end how good each one is.

    size: (width, height) of the frames. points: of the person, looked up by frame number; None:
    there are none, and masks are not held against any. in_sequence: whether each frame follows
    the one before in the video, so that their masks must be alike.
    """

    def __init__(
        self, size: tuple[int, int], points: Keypoints2D | None = None, in_sequence: bool = True
    ) -> None:
        self.size, self._points, self._in_sequence = size, points, in_sequence
        self._facts: list[_Facts] = []
        self._missing: list[str] = []
        self._last: list[BoolArray] = []  # the mask before, and the one before it
        self._row: dict[int, int] = {}
        self._limbs: list[tuple[int, int]] = []
        if points is not None:
            self._row = {f: k for k, f in enumerate(points.timeline.frame.tolist())}
            index = points.names.index
            self._limbs = [
                (index(one.start), index(one.end)) for one in limbs_among(points.names, limbs())
            ]

    def watched(self, masks: Iterable[FrameMask]) -> Iterator[FrameMask]:
        """The masks, each looked at as it passes."""
        for one in masks:
            self.add(one)
            yield one

    def add(self, one: FrameMask) -> None:
        """The next frame's."""
        scale = len(one.grey) / _LOOK
        middle = (scale - 1) / 2
        into = one.into @ np.array([[scale, 0, middle], [0, scale, middle], [0, 0, 1]])
        small = cv2.resize(one.grey, (_LOOK, _LOOK), interpolation=cv2.INTER_AREA) >= WHITE
        inside = inside_picture(into, self.size, _LOOK)
        overlap = [_overlap(small, other) for other in self._last] + [np.nan, np.nan]
        self._facts.append(
            _Facts(
                bool(one.missing), float((one.grey >= WHITE).mean()),
                float((small & inside).sum() / max(inside.sum(), 1)),
                *self._against_points(one.frame, into, small),
                _touches(small, ~inside), overlap[0], overlap[1],
            )
        )  # fmt: skip
        self._missing.append(one.missing)
        # An empty mask says nothing about those beside it.
        self._last = [small, *self._last[:1]] if small.any() else []

    def verdict(self) -> Verdict:
        """Of all frames that were added."""
        facts = np.array(self._facts, float).reshape(-1, len(_Facts._fields))
        missing, area, filled, covered, stray, cut, beside, across = facts.T
        there = missing == 0
        checked = np.isfinite(covered) | (self._points is None)
        trusts = [
            (_trust(area, *_AREA), "the mask is too small to be of a person"),
            (_trust(filled, *_FULL), "the mask covers nearly everything around the person"),
            (_trust(covered, *_COVERED), "keypoints of the person lie outside of the mask"),
            (_trust(stray, *_STRAY), "much of the mask is far from the person's keypoints"),
            (np.where(checked, 1, _UNCHECKED), "no keypoint is sure enough to check the mask by"),
            (np.where(cut, _CUT_OFF, 1), "the picture's border cuts the person off"),
        ]
        if self._in_sequence:
            steady = _steady_area(area, there)
            trusts.append((steady, "the mask is much larger or smaller than around it"))
            flicker = _flicker(beside, across)
            trusts.append((flicker, "the mask differs from those before and after"))
            # Beside one that flickers, a frame is not blamed for the change.
            alone = (flicker == 1) & (np.append(1, flicker[:-1]) == 1)
            change = np.where(alone, _trust(beside, *_CHANGE), 1)
            trusts.append((change, "the mask changes at once from the frame before"))
        confidence = np.where(there, np.prod([t for t, _ in trusts], axis=0), 0.0) + 0.0  # no -0
        empty = there & (area == 0)
        reason = [
            one or ("the mask is empty" if nothing else "; ".join(w for t, w in trusts if t[k] < 1))
            for k, (one, nothing) in enumerate(zip(self._missing, empty.tolist(), strict=True))
        ]
        return Verdict(confidence, tuple(reason))

    def _against_points(
        self, frame: int, into: FloatArray, small: BoolArray
    ) -> tuple[float, float]:
        """`covered` and `stray`."""
        row = self._row.get(frame)
        if self._points is None or row is None:
            return np.nan, np.nan
        xy, score = self._points.xy[row], self._points.score[row]
        sure = (np.nan_to_num(score) >= SURE) & np.isfinite(xy).all(axis=1)
        width, height = self.size
        sure &= (xy >= 0).all(axis=1) & (xy[:, 0] < width) & (xy[:, 1] < height)
        if not sure.any():
            return np.nan, np.nan
        back = cv2.invertAffineTransform(into)
        at = np.round(np.nan_to_num(xy) @ back[:, :2].T + back[:, 2]).clip(-_LOOK, 2 * _LOOK)
        body = np.full((_LOOK, _LOOK), 255, np.uint8)
        pixels = at.astype(int).tolist()
        for k in np.flatnonzero(sure).tolist():
            cv2.circle(body, pixels[k], 0, 0, -1)
        for a, b in self._limbs:
            if sure[a] and sure[b]:
                cv2.line(body, pixels[a], pixels[b], 0)
        from_body = cv2.distanceTransform(body, cv2.DIST_L2, 3)
        column, line = at[sure].clip(0, _LOOK - 1).astype(int).T
        covered = (_distance_to(small)[line, column] <= _NEAR).mean()
        stray = (from_body[small] > _FAR).mean() if small.any() else np.nan
        return float(covered), float(stray)


def _distance_to(mask: BoolArray) -> NDArray[np.float32]:
    """Pixels from each pixel to the nearest one of the mask; far where it is empty."""
    if not mask.any():
        return np.full(mask.shape, np.inf, np.float32)
    found = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
    return np.asarray(found, np.float32)


def _overlap(a: BoolArray, b: BoolArray) -> float:
    """Intersection over union, 1 of two empty masks."""
    either = int((a | b).sum())
    return float((a & b).sum() / either) if either else 1.0


def _touches(mask: BoolArray, outside: BoolArray) -> bool:
    """Whether the mask reaches the picture's border, with more than one pixel."""
    if not outside.any():
        return False
    beside = cv2.dilate(outside.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
    return int((mask & beside).sum()) > 1


def _trust(value: FloatArray, full: float, none: float) -> FloatArray:
    """1 at `full` and beyond, 0 at `none`, straight in between; 1 where there is no value."""
    return np.where(np.isnan(value), 1.0, ((value - none) / (full - none)).clip(0, 1))


def _steady_area(area: FloatArray, there: BoolArray) -> FloatArray:
    """Trust by how the area compares with its median around."""
    trust = np.ones(len(area))
    for k in np.flatnonzero(there & (area > 0)):
        near = slice(max(k - _AROUND, 0), k + _AROUND + 1)
        usual = area[near][there[near] & (area[near] > 0)]
        times = float(np.exp(abs(np.log(area[k] / np.median(usual)))))
        trust[k] = _trust(np.array(times), *_TIMES_AREA)
    return trust


def _flicker(beside: FloatArray, across: FloatArray) -> FloatArray:
    """beside: overlap with the mask before; across: with the one before that."""
    gain = np.full(len(beside), np.nan)
    gain[1:-1] = across[2:] - np.fmax(beside[1:-1], beside[2:])
    return _trust(gain, *_FLICKER)
