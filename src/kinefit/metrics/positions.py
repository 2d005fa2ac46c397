"""Distances of points from the truth, after the alignments that the field uses.

Every metric is a mean (`mean_of`, `summary`) of distances from one function, `point_errors`.
Points may be joints, markers or vertices (then MPJPE is called PVE). Lengths are in the unit of
the points: metres in kinefit, millimetres in papers. The protocols are those of WHAM (Shin et al.
2024, CVPR) and GVHMR (Shen et al. 2024, SIGGRAPH Asia).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinefit.geometry.align import align
from kinefit.metrics.summary import mean_of
from kinefit.types import FloatArray, InvalidData, all_finite

Root = Sequence[int]

CHUNK_FRAMES = 100  # of W-MPJPE and WA-MPJPE
FIRST_FRAMES = 2  # of a chunk, which W-MPJPE is aligned on


def point_errors(points: FloatArray, truth: FloatArray) -> FloatArray:
    """(..., J) distances between `points` and `truth` (..., J, D), without alignment.

    NaN where either is missing. Raises InvalidData when the shapes differ.
    """
    _check(points, truth)
    return np.asarray(np.linalg.norm(points - truth, axis=-1))


def centred(points: FloatArray, root: Root) -> FloatArray:
    """`points` (..., J, D) from their root, the mean of the points with indices `root`.

    All NaN in a frame that lacks one of these: another root would be another metric.
    """
    if not len(root):
        raise InvalidData("A root is the mean of at least one point.")
    return np.asarray(points - points[..., list(root), :].mean(axis=-2, keepdims=True))


def mpjpe(points: FloatArray, truth: FloatArray, root: Root | None) -> float:
    """Mean per joint position error of (T, J, 3) points; NaN when no point is known.

    root: indices of the points whose mean is moved to the origin in every frame, usually both
        hips; None: absolute positions. The mean is over all known points of all frames.

    Ionescu et al. 2014, IEEE PAMI 36(7):1325 (Human3.6M).
    """
    _check(points, truth)
    if root is not None:
        points, truth = centred(points, root), centred(truth, root)
    return float(mean_of(point_errors(points, truth)))


def aligned_frames(points: FloatArray, truth: FloatArray, *, with_scale: bool = True) -> FloatArray:
    """`points` (..., J, 3) moved in every frame by its own best similarity (or rigid) motion.

    Never mirrored. NaN in frames whose common points determine no rotation.
    """
    return align(points, truth, with_scale=with_scale).apply(points)


def pa_mpjpe(points: FloatArray, truth: FloatArray) -> float:
    """MPJPE after the best similarity (scale, rotation, translation) of every frame.

    Zhou et al. 2019, IEEE PAMI 41(4):901, "reconstruction error"; Procrustes' alignment with the
    determinant fixed to +1.
    """
    return mpjpe(aligned_frames(points, truth), truth, root=None)


def one_rigid(
    points: FloatArray,
    truth: FloatArray,
    *,
    with_scale: bool = False,
    first: int | None = None,
) -> FloatArray:
    """`points` (T, J, 3) moved by one rigid (or similarity) motion for the whole clip.

    first: the motion is found on so many frames at the start; None: on all.
    All NaN when these determine no rotation.
    """
    _check(points, truth)
    source, target = (p[:first].reshape(-1, 3) for p in (points, truth))
    motion = align(source, target, with_scale=with_scale)
    return motion.apply(points.reshape(-1, 3)).reshape(points.shape)


def world_errors(
    points: FloatArray,
    truth: FloatArray,
    *,
    chunk: int = CHUNK_FRAMES,
    first: int | None = None,
    with_scale: bool = True,
) -> FloatArray:
    """(T, J) distances where every `chunk` frames are aligned by one motion of their own.

    points, truth: (T, J, 3). first: see `one_rigid`. with_scale: the published protocol allows a
    scale; without it, errors of size count too. The mean of all is WA-MPJPE; with `FIRST_FRAMES`
    as `first` it is W-MPJPE, in which drift within a chunk counts. Publications use 30 frames/s;
    state the rate with the number. Ye et al. 2023, CVPR (SLAHMR).
    """
    _check(points, truth)
    if chunk < 1 or (first is not None and first < 1):
        raise InvalidData(f"A chunk of {chunk} frames cannot be aligned on {first} of them.")
    errors = np.full(points.shape[:-1], np.nan)
    for start in range(0, len(points), chunk):
        part = slice(start, start + chunk)
        moved = one_rigid(points[part], truth[part], with_scale=with_scale, first=first)
        errors[part] = point_errors(moved, truth[part])
    return errors


def root_translation_errors(path: FloatArray, truth: FloatArray) -> FloatArray:
    """(T,) percent: error of the root's path (T, 3) after one rigid alignment, over its length.

    The length is that of `truth` (T, 3), from each known place to the next. NaN where a place is
    missing, and everywhere when the truth does not move. Their mean is RTE. A straight
    path leaves the rotation about it open; every choice gives the same errors.
    """
    _check(path, truth)
    errors = point_errors(align(path, truth, strict=False).apply(path), truth)
    known = truth[all_finite(truth)]
    length = float(np.linalg.norm(np.diff(known, axis=0), axis=1).sum())
    return np.asarray(100 * errors / (length if length > 0 else np.nan))


def correct_points(
    points: FloatArray,
    truth: FloatArray,
    size: FloatArray | float,
    share: float,
    *,
    lost_is_wrong: bool = False,
) -> FloatArray:
    """(T, J) 1 where a point is within `share` of `size` of the truth, 0 where it is not.

    points, truth: (T, J, D), pixels or metres. size: (T,) or one number, in their unit: the longer
    side of the person's box, the torso, the head. NaN where something is missing;
    lost_is_wrong: a point that the truth has and `points` lacks is 0 instead.

    The mean is PCK; to compare detectors, count lost points as wrong.
    Yang & Ramanan 2013, IEEE PAMI 35(12):2878.
    """
    errors = point_errors(points, truth)
    limit = np.broadcast_to(share * np.asarray(size, np.float64)[..., None], errors.shape)
    unknown = np.isnan(errors) | np.isnan(limit)
    if lost_is_wrong:
        unknown &= ~(all_finite(truth) & np.isfinite(limit))
    return np.where(unknown, np.nan, errors <= limit)


def _check(points: FloatArray, truth: FloatArray) -> None:
    if points.shape != truth.shape or points.ndim < 2:
        raise InvalidData(f"Points of shape {points.shape} have no error against {truth.shape}.")
