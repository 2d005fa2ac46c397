"""Rows of training pairs as the clips that they are frames of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.skeletons import skeleton
from kinefit.tracking.sides import find_side_swaps, undo_side_swaps
from kinefit.types import FloatArray, IntArray, Keypoints2D, Keypoints3D, PoseTrack, Timeline

Rows = Mapping[str, NDArray[Any]]

BLAZE = skeleton("blazepose33").points
_COCO = [BLAZE.index(name) for name in skeleton("coco17").points]
_LONGEST_STEP_S = 0.1  # more between two rows, and they are no neighbours in a video


def clips_of(rows: Rows) -> list[IntArray]:
    """The rows of each clip, in the order of time; rows: of `kinefit.synth.pairs` (its FIELDS).

    A clip is what a scene's camera shows without a gap of more than 0.1 s: all frames of a view
    where rows are consecutive, and mostly a single one where they are not.
    """
    scene, view, time = (rows[name] for name in ("scene", "view", "time_s"))
    order = np.lexsort([time, view, scene])
    step = np.diff(time[order])
    goes_on = (np.diff(scene[order]) == 0) & (np.diff(view[order]) == 0)
    goes_on &= (step > 0) & (step <= _LONGEST_STEP_S)
    return np.split(order, np.flatnonzero(~goes_on) + 1)


def places_in(count: int) -> FloatArray:
    """(T,) 0..1, of T frames in their clip: the middle of each; NaN for a single one."""
    return (np.arange(count) + 0.5) / count if count > 1 else np.full(count, np.nan)


def places_of(clips: Sequence[IntArray]) -> FloatArray:
    """(N,) the place of each row in its clip."""
    out = np.full(sum(map(len, clips)), np.nan)
    for clip in clips:
        out[clip] = places_in(len(clip))
    return out


def clip_track(rows: Rows, clip: IntArray) -> PoseTrack:
    """What the detector says in the rows of one clip."""
    timeline = Timeline(np.arange(len(clip)), rows["time_s"][clip])
    width, height = rows["size"][clip[0]].tolist()
    score = np.nan_to_num(rows["score_33"][clip])
    image = Keypoints2D(timeline, BLAZE, rows["detected_33"][clip], score, (width, height))
    return PoseTrack(
        image,
        Keypoints3D(timeline, BLAZE, rows["world_33"][clip], "camera"),
        (),
        "BlazePose (pairs)",
    )


def sides_put_right(rows: Rows, clips: Sequence[IntArray]) -> dict[str, NDArray[Any]]:
    """Rows in which left and right are exchanged back where motion shows it, as a run does."""
    changed = ("detected_33", "score_33", "world_33")
    xy, score, xyz = (np.array(rows[name], np.float64) for name in changed)
    for clip in clips:
        track = clip_track(rows, clip)
        track = undo_side_swaps(track, find_side_swaps(track))
        assert track.body is not None
        xy[clip], score[clip], xyz[clip] = track.image.xy, track.image.score, track.body.xyz
    right = dict(zip(changed, (xy, score, xyz), strict=True))
    return {**rows, **right, "pose_2d": xy[:, _COCO]}
