"""Masks of other programs as masks of one person, in the region around them."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from math import ceil
from pathlib import Path

import cv2
import numpy as np

from kinefit.detect.blazepose import region
from kinefit.detect.masks.frame_mask import (
    NOT_FOUND,
    SIDE,
    SURE,
    WHITE,
    FrameMask,
    Grey,
    without_mask,
)
from kinefit.io.mask_files import read_mask_files
from kinefit.io.video import Clip
from kinefit.types import FloatArray, Keypoints2D

FILE_SIDE = 2 * SIDE  # these masks are of full resolution, which half of the pixels would lose
_MOST_SAMPLES = 4  # along a side of a pixel of the mask


def masks_of_files(
    path: Path, clip: Clip, places: FloatArray, points: Keypoints2D
) -> Generator[FrameMask, None, None]:
    """For each frame of the clip, the mask in `path` that is of the person; not judged.

    path: as of `kinefit.io.mask_files.read_mask_files`. places: (T, 4) as in
    `kinefit.detect.blazepose`; in between where the person was not found. points: of the person.
    Of several masks of a frame the one is taken that most keypoints lie in; without keypoints,
    the largest. Raises InputError for files that are no masks of this video.
    """
    size, timeline = clip.probe().size, clip.timeline()
    filled = _filled(places)
    with closing(read_mask_files(path, clip, size)) as found:
        for row, one in enumerate(found):
            frame, time = int(timeline.frame[row]), float(timeline.time[row])
            if one.missing or np.isnan(filled[row]).any():
                yield without_mask(frame, time, one.missing or NOT_FOUND, FILE_SIDE)
                continue
            mask = _of_person(one.masks, points.xy[row], points.score[row])
            into = region(filled[row]) @ np.array([[0.5, 0, -0.25], [0, 0.5, -0.25], [0, 0, 1]])
            grey = _resampled(mask, into)
            yield FrameMask(frame, time, grey, into, grey)


def _filled(places: FloatArray) -> FloatArray:
    """Where the person was not found, between where they were before and after."""
    known = np.isfinite(places).all(axis=1)
    if not known.any():
        return places
    row = np.arange(len(places))
    columns = [np.interp(row, row[known], column[known]) for column in places.T]
    return np.stack(columns, axis=1)


def _of_person(masks: tuple[Grey, ...], xy: FloatArray, score: FloatArray) -> Grey:
    height, width = masks[0].shape
    sure = (np.nan_to_num(score) >= SURE) & np.isfinite(xy).all(axis=1)
    column, line = np.round(xy[sure]).T.astype(int)
    inside = (column >= 0) & (column < width) & (line >= 0) & (line < height)
    column, line = column[inside], line[inside]

    def fit(mask: Grey) -> tuple[float, int]:
        share = float((mask[line, column] >= WHITE).mean()) if len(line) else 0.0
        return share, int((mask >= WHITE).sum())

    return max(masks, key=fit) if len(masks) > 1 else masks[0]


def _resampled(mask: Grey, into: FloatArray) -> Grey:
    """(FILE_SIDE, FILE_SIDE): each pixel the mean of what it covers."""
    scale = np.sqrt(abs(np.linalg.det(into[:, :2])))
    k = min(max(ceil(scale), 1), _MOST_SAMPLES)
    fine = into @ np.array([[1 / k, 0, (1 / k - 1) / 2], [0, 1 / k, (1 / k - 1) / 2], [0, 0, 1]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    window = cv2.warpAffine(mask, fine, (k * FILE_SIDE, k * FILE_SIDE), flags=flags)
    return np.asarray(cv2.resize(window, (FILE_SIDE, FILE_SIDE), interpolation=cv2.INTER_AREA))
