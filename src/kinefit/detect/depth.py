"""Depth for points that a detector found in the image only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kinefit.skeletons import Skeleton, map_points, skeleton
from kinefit.types import (
    BoolArray,
    FloatArray,
    InputError,
    IntArray,
    Keypoints3D,
    PoseTrack,
    extent,
)

# Two detectors of one person agree to within a tenth of the trunk's length (COCO's own annotators
# to about as much). Exchanged sides can pass: each track must have been put right before.
_SAME_PERSON = 0.5
_SHARED = 4  # points that both must see for the comparison to mean anything
_TRUNK = ("LShoulder", "RShoulder", "LHip", "RHip")


def with_depth(track: PoseTrack, other: PoseTrack) -> PoseTrack:
    """`track` completed by `other`, where both see the same person.

    track: image points only, from any detector. other: the same video seen by a detector that
    gives 3D too. Every point gets the body's place of its name (or of its derivation: mid-hip,
    neck); points that only `other` knows, such as the feet that COCO lacks, follow with pixels
    and all. Frames in which the two differ by more than half a trunk's length in the median
    point show another person: nothing is taken over there.

    Raises InputError when `other` has no 3D, or the two never show the same person.
    """
    if other.body is None:
        raise InputError(other.source, "it gives image points only", "use --detector blazepose")
    image, theirs = track.image, other.image
    rows = np.searchsorted(theirs.timeline.frame, image.timeline.frame)
    rows = np.clip(rows, 0, len(theirs.timeline) - 1)
    extra = tuple(name for name in theirs.names if name not in image.names)
    target = Skeleton("both", (*image.names, *extra), derived=skeleton("markers22").derived)
    seen = map_points(theirs.xy[rows], theirs.names, target)
    same = _same_person(track, seen[:, : len(image.names)])
    same &= theirs.timeline.frame[rows] == image.timeline.frame
    if not same.any():
        reason = f"in no frame does it show the person that {other.source} sees"
        raise InputError(track.source, reason, "check that the keypoints belong to this video")
    xyz = map_points(other.body.xyz[rows], other.body.names, target)
    seen[~same], xyz[~same] = np.nan, np.nan
    lent = [theirs.names.index(name) for name in extra]
    points = replace(
        image,
        names=target.points,
        xy=np.concatenate([image.xy, seen[:, len(image.names) :]], axis=1),
        score=np.concatenate([image.score, theirs.score[rows][:, lent]], axis=1),
    )
    body = Keypoints3D(image.timeline, target.points, xyz, "camera")
    source = f"{track.source}, completed by {other.source}"
    return replace(track, image=points, body=body, source=source)


def nearest_people(
    track: PoseTrack, names: Sequence[str], points: Sequence[FloatArray]
) -> IntArray:
    """(T,) who among the persons (N, J, 3) of each frame is nearest to `track`; -1: nobody."""
    shared = [name for name in names if name in track.image.names]
    mine = track.image.xy[:, [track.image.names.index(name) for name in shared]]
    theirs = [names.index(name) for name in shared]
    chosen = np.full(len(points), -1)
    for row, poses in enumerate(points):
        away = np.linalg.norm(poses[:, theirs, :2] - mine[row], axis=-1)
        enough = np.isfinite(away).sum(axis=1) >= _SHARED
        if enough.any():
            # The lower median: with few points, of two that are as far, neither is between.
            median = np.nanquantile(away[enough], 0.5, axis=1, method="lower")
            chosen[row] = np.flatnonzero(enough)[median.argmin()]
    return chosen


def _same_person(track: PoseTrack, theirs: FloatArray) -> BoolArray:
    """(T,) True where the points of `track` and `theirs` (T, J, 2) lie together."""
    distance = np.linalg.norm(track.image.xy - theirs, axis=-1)
    enough = np.isfinite(distance).sum(axis=1) >= _SHARED
    distance[~enough] = np.inf
    median = np.nanquantile(distance, 0.5, axis=1, method="lower")
    return np.asarray(median < _SAME_PERSON * _trunk_length(track))


def _trunk_length(track: PoseTrack) -> FloatArray:
    """(T,) pixels from mid-shoulder to mid-hip, at least a fifth of the points' extent.

    The floor is for a person seen from above, whose trunk is short in the image.
    """
    trunk = map_points(track.image.xy, track.image.names, Skeleton("", _TRUNK))
    length = np.linalg.norm(trunk[:, :2].mean(axis=1) - trunk[:, 2:].mean(axis=1), axis=-1)
    return np.asarray(np.fmax(length, extent(track.image.xy).max(axis=1) / 5))
