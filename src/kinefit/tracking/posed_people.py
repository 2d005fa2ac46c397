"""Who is who in lists of persons from SAM 3D Body, and who the subject is.

The estimator lists people in any order, so the first of a list is nobody in particular. Persons
are tracked through the pictures of each camera by place, size and shape, and the tracks of the
cameras are compared by their poses in 3D, which need no calibration: two views of one body are
the same points, rotated. With calibrated cameras `kinefit.tracking.identity` does this in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kinefit.geometry.align import align
from kinefit.io.sam3d_outputs import Sam3dPerson
from kinefit.tracking.track import FAR, assign
from kinefit.types import FloatArray, IntArray

# Of the size of a person's box: how far from where it was expected somebody is still the same,
# and how much more for each frame unseen, up to a limit.
_NEAR, _NEAR_PER_FRAME, _NEAR_AT_MOST = 0.5, 0.1, 1.5
# What a difference costs in box sizes. Shape coefficients of four persons in one photo differ by
# 0.17 to 0.37 rms: enough to tell two apart who meet, too little to outweigh half a box.
_SIZE_COST, _SHAPE_COST = 0.5, 1.0
_VELOCITY_SHARE = 0.5  # of the last velocity: a person who turns round is not where it points
# Metres rms between the poses of one moment, best turned onto each other: of one person seen by
# two cameras, and where they are two persons' for sure (any two of four in one photo: 0.13-0.24).
_SAME_POSE, _OTHER_POSE = 0.05, 0.12
_SHOWN_POSES = 50  # frames that are compared per pair of tracks


class _Detection(NamedTuple):
    """One person in one picture: where it is in the list, box centre and size (pixels)."""

    place: int
    centre: FloatArray
    size: float
    shape: FloatArray | None
    points: FloatArray | None


_PersonTrack = dict[int, _Detection]  # one person through the frames of one camera


def choose_subject(views: Sequence[Sequence[Sequence[Sam3dPerson]]]) -> IntArray:
    """(C, T) place of the subject in the list of each camera and frame; -1: not seen there.

    views: C cameras, of each T frames, of each the persons in any order. One camera, or one
    picture per camera, are just short lists.

    The subject is who is large in the pictures, is there often, and has the same pose in all
    cameras at once. The order of a list has no part in it. A camera whose persons all have
    another pose than the subject's has -1 throughout.
    """
    tracks = [_tracked(frames) for frames in views]
    frames = max((len(view) for view in views), default=0)
    chosen = np.full((len(views), frames), -1, dtype=np.int64)
    best, best_score = None, -np.inf
    for camera, ours in enumerate(tracks):
        for track in ours:
            together = _in_every_camera(track, camera, tracks)
            score = _score(together, tracks)
            if score > best_score:
                best, best_score = together, score
    for camera, found in enumerate(best or ()):
        for frame, seen in (found or {}).items():
            chosen[camera, frame] = seen.place
    return chosen


def _tracked(frames: Sequence[Sequence[Sam3dPerson]]) -> list[_PersonTrack]:
    """The persons of one camera over its frames; who has neither box nor 2D points is left out."""
    tracks: list[_PersonTrack] = []
    for frame, persons in enumerate(frames):
        seen = [d for i, person in enumerate(persons) if (d := _detection(i, person)) is not None]
        cost = np.array([[_distance(track, frame, d) for d in seen] for track in tracks])
        mine = assign(cost.reshape(len(tracks), len(seen)))
        for k, i in zip(*np.nonzero(mine), strict=True):
            tracks[k][frame] = seen[i]
        tracks += [{frame: seen[i]} for i in np.flatnonzero(~mine.any(axis=0))]
    return tracks


def _detection(place: int, person: Sam3dPerson) -> _Detection | None:
    if person.bbox is not None and np.isfinite(person.bbox).all():
        low, high = np.asarray(person.bbox, dtype=np.float64).reshape(2, 2)
    else:
        xy = np.asarray(person.pred_keypoints_2d if person.pred_keypoints_2d is not None else ())
        xy = xy.reshape(-1, 2)[np.isfinite(xy.reshape(-1, 2)).all(axis=1)].astype(np.float64)
        if len(xy) < 2:
            return None
        low, high = xy.min(axis=0), xy.max(axis=0)
    size = float(np.sqrt(np.prod(np.maximum(high - low, 1.0))))
    shape, points = (
        None if a is None else np.asarray(a, dtype=np.float64)
        for a in (person.shape_params, person.pred_keypoints_3d)
    )
    return _Detection(place, (low + high) / 2, size, shape, points)


def _distance(track: _PersonTrack, frame: int, seen: _Detection) -> float:
    """What it costs that a track goes on with `seen`, in box sizes; FAR where it cannot."""
    *before, last_frame = sorted(track)[-2:]
    expected, last = track[last_frame].centre, track[last_frame]
    for earlier in before:
        step = (last.centre - track[earlier].centre) / (last_frame - earlier)
        ahead = min(frame - last_frame, 5)  # later, nobody walks on unseen in a straight line
        expected = expected + _VELOCITY_SHARE * step * ahead
    away = float(np.linalg.norm(seen.centre - expected) / ((last.size + seen.size) / 2))
    unseen = frame - last_frame - 1
    if away > min(_NEAR + _NEAR_PER_FRAME * unseen, _NEAR_AT_MOST):
        return FAR
    cost = away + _SIZE_COST * abs(float(np.log(seen.size / last.size)))
    if last.shape is not None and seen.shape is not None and last.shape.shape == seen.shape.shape:
        cost += _SHAPE_COST * float(np.sqrt(np.mean((last.shape - seen.shape) ** 2)))
    return cost


def _in_every_camera(
    track: _PersonTrack, camera: int, tracks: Sequence[Sequence[_PersonTrack]]
) -> list[_PersonTrack | None]:
    """In each camera the track that is most likely the same person's."""
    out: list[_PersonTrack | None] = []
    for theirs in tracks:
        scores = [_prominence(p, theirs) - _pose_distance(track, p) for p in theirs]
        out.append(theirs[int(np.argmax(scores))] if np.isfinite(scores).any() else None)
    out[camera] = track
    return out


def _score(
    together: Sequence[_PersonTrack | None], tracks: Sequence[Sequence[_PersonTrack]]
) -> float:
    """How likely these tracks are one person, and that the subject; a camera without counts -3.

    -3: as one in which it would be a twentieth of the largest.
    """
    known = [(c, track) for c, track in enumerate(together) if track is not None]
    score = sum(_prominence(track, tracks[c]) for c, track in known)
    score -= 3.0 * (len(together) - len(known))
    distances = [_pose_distance(a, b) for i, (_, a) in enumerate(known) for _, b in known[i + 1 :]]
    # Two that each look like the first can differ by more than the limit between themselves.
    return score - sum(min(d, (_OTHER_POSE / _SAME_POSE) ** 2) for d in distances)


def _prominence(track: _PersonTrack, tracks: Sequence[_PersonTrack]) -> float:
    """Logarithm of the person's mean area, as a share of the largest of each frame's."""
    share = [
        (seen.size / max(p[frame].size for p in tracks if frame in p)) ** 2
        for frame, seen in track.items()
    ]
    frames = len(set().union(*tracks))
    return float(np.log(sum(share) / frames))


def _pose_distance(a: _PersonTrack, b: _PersonTrack) -> float:
    """How unlike the poses of two tracks are at the same moments; infinite: two persons.

    Zero where nothing can be compared.
    """
    common = sorted(a.keys() & b.keys())
    common = common[:: max(1, len(common) // _SHOWN_POSES)]
    away = []
    for p, q in ((a[f].points, b[f].points) for f in common):
        if p is not None and q is not None and p.shape == q.shape:
            squares = ((align(p, q).apply(p) - q) ** 2).sum(axis=-1)
            if np.isfinite(squares).any():  # else no three points in common
                away.append(np.sqrt(np.nanmean(squares)))
    if not away:
        return 0.0
    typical = float(np.median(away))
    return np.inf if typical > _OTHER_POSE else (typical / _SAME_POSE) ** 2
