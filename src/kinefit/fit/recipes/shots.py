"""Where a film was cut: frames on both sides of it do not hang together."""

from __future__ import annotations

import warnings

import numpy as np

from kinefit.types import BoolArray, FloatArray, Observations

_CUT = 1 / 3  # of the person's size
_PAUSE_S = 1.0


def shot_changes(data: Observations) -> BoolArray:
    """(T - 1,) True where the next frame is of another shot, or too late to hang together.

    Between two frames a person moves by a tenth of their size (running, 30 frames per second: by
    0.16); where the median keypoint of some camera, or in space, jumps by a third, the film was
    cut.
    """
    step = np.diff(data.timeline.time)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # frames without keypoints: NaN, no cut
        size = np.nanmax(_extent(data.xy, 2), axis=-1)  # (T, C) of the keypoints in view
        size = np.nanmedian(size, axis=0)
        moved = np.nanmedian(np.linalg.norm(np.diff(data.xy, axis=0), axis=-1), axis=2) / size
        tall = np.nanmedian(np.nanmax(_extent(data.xyz, 1), axis=-1))
        leap = np.nanmedian(np.linalg.norm(np.diff(data.xyz, axis=0), axis=-1), axis=1) / tall
    allowed = np.maximum(_CUT, _CUT * 30 * step)
    return np.asarray((moved > allowed[:, None]).any(axis=1) | (leap > allowed) | (step > _PAUSE_S))


def _extent(points: FloatArray, axis: int) -> FloatArray:
    return np.asarray(np.nanmax(points, axis=axis) - np.nanmin(points, axis=axis))
