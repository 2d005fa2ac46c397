"""Who is who in lists of persons from SAM 3D Body, and who the subject is.

The estimator lists people in any order, so the first of a list is nobody in particular. Persons
are followed through the pictures of each camera by place, size and shape, and the paths of the
cameras are compared by their poses in 3D, which need no calibration: two views of one body are
the same points, turned. With calibrated cameras `kinefit.tracking.identity` does this in metres.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.optimize import linear_sum_assignment

from kinefit.geometry.align import align
from kinefit.io.sam3d_outputs import Sam3dPerson
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
_SHOWN_POSES = 50  # frames that are compared per pair of paths


@dataclass(eq=False)
class _Seen:
    """One person in one picture: where it is in the list, box centre and size (pixels)."""

    place: int
    centre: FloatArray
    size: float
    shape: FloatArray | None
    points: FloatArray | None


@dataclass(eq=False)
class _Path:
    """One person through the frames of one camera."""

    seen: dict[int, _Seen] = field(default_factory=dict)

    def expected(self, frame: int) -> FloatArray:
        """(2,) pixels."""
        times = sorted(self.seen)[-2:]
        last = self.seen[times[-1]]
        if len(times) < 2:
            return last.centre
        step = (last.centre - self.seen[times[0]].centre) / (times[1] - times[0])
        ahead = min(frame - times[1], 5)  # later, nobody walks on unseen in a straight line
        return np.asarray(last.centre + _VELOCITY_SHARE * step * ahead)


def choose_person(views: Sequence[Sequence[Sequence[Sam3dPerson]]]) -> IntArray:
    """(C, T) place of the subject in the list of each camera and frame; -1: not seen there.

    views: C cameras, of each T frames, of each the persons in any order. One camera, or one
    picture per camera, are just short lists.

    The subject is who is large in the pictures, is there often, and has the same pose in all
    cameras at once. The order of a list has no part in it. A camera whose persons all have
    another pose than the subject's has -1 throughout.
    """
    paths = [follow_persons(frames) for frames in views]
    frames = max((len(view) for view in views), default=0)
    chosen = np.full((len(views), frames), -1, dtype=np.int64)
    best, best_score = None, -np.inf
    for camera, ours in enumerate(paths):
        for path in ours:
            together = _seen_elsewhere(path, camera, paths)
            score = _score(together, paths)
            if score > best_score:
                best, best_score = together, score
    for camera, found in enumerate(best or ()):
        for frame, seen in found.seen.items() if found else ():
            chosen[camera, frame] = seen.place
    return chosen


def follow_persons(frames: Sequence[Sequence[Sam3dPerson]]) -> list[_Path]:
    """The persons of one camera over its frames; who has neither box nor 2D points is left out."""
    paths: list[_Path] = []
    for frame, persons in enumerate(frames):
        seen = [s for i, person in enumerate(persons) if (s := _see(i, person)) is not None]
        cost = np.array([[_apart(path, frame, s) for s in seen] for path in paths])
        cost = cost.reshape(len(paths), len(seen))
        taken = set()
        # 1e3: an impossible pair, dearer than any number of possible ones.
        for a, b in zip(*linear_sum_assignment(np.minimum(cost, 1e3)), strict=True):
            if cost[a, b] < 1e3:
                paths[a].seen[frame] = seen[b]
                taken.add(b)
        paths += [_Path({frame: s}) for i, s in enumerate(seen) if i not in taken]
    return paths


def _see(place: int, person: Sam3dPerson) -> _Seen | None:
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
    return _Seen(place, (low + high) / 2, size, shape, points)


def _apart(path: _Path, frame: int, seen: _Seen) -> float:
    """What it costs that a path goes on with `seen`, in box sizes; infinite where it cannot."""
    last_frame = max(path.seen)
    last = path.seen[last_frame]
    size = (last.size + seen.size) / 2
    away = float(np.linalg.norm(seen.centre - path.expected(frame)) / size)
    unseen = frame - last_frame - 1
    if away > min(_NEAR + _NEAR_PER_FRAME * unseen, _NEAR_AT_MOST):
        return np.inf
    cost = away + _SIZE_COST * abs(float(np.log(seen.size / last.size)))
    if last.shape is not None and seen.shape is not None and last.shape.shape == seen.shape.shape:
        cost += _SHAPE_COST * float(np.sqrt(np.mean((last.shape - seen.shape) ** 2)))
    return cost


def _seen_elsewhere(
    path: _Path, camera: int, paths: Sequence[Sequence[_Path]]
) -> list[_Path | None]:
    """In each camera the path that is most likely the same person's."""
    out: list[_Path | None] = []
    for c, theirs in enumerate(paths):
        if c == camera:
            out.append(path)
            continue
        scores = [(_prominence(p, theirs) - _doubt(path, p), i) for i, p in enumerate(theirs)]
        fits = [s for s in scores if np.isfinite(s[0])]
        out.append(theirs[max(fits)[1]] if fits else None)
    return out


def _score(together: Sequence[_Path | None], paths: Sequence[Sequence[_Path]]) -> float:
    """How likely these paths are one person, and that the subject; a camera without counts -3.

    -3: as one in which it would be a twentieth of the largest.
    """
    known = [(c, path) for c, path in enumerate(together) if path is not None]
    score = sum(_prominence(path, paths[c]) for c, path in known)
    score -= 3.0 * (len(together) - len(known))
    doubts = [_doubt(a, b) for i, (_, a) in enumerate(known) for _, b in known[i + 1 :]]
    # Two that each look like the first can differ by more than the limit between themselves.
    return score - sum(min(d, (_OTHER_POSE / _SAME_POSE) ** 2) for d in doubts)


def _prominence(path: _Path, paths: Sequence[_Path]) -> float:
    """Logarithm of the person's mean area, as a share of the largest of each frame's."""
    share = [
        (seen.size / max(p.seen[frame].size for p in paths if frame in p.seen)) ** 2
        for frame, seen in path.seen.items()
    ]
    frames = len(set().union(*(p.seen for p in paths)))
    return float(np.log(sum(share) / frames))


def _doubt(a: _Path, b: _Path) -> float:
    """How unlike the poses of two paths are at the same moments; infinite: two persons.

    Zero where nothing can be compared.
    """
    common = sorted(a.seen.keys() & b.seen.keys())
    common = common[:: max(1, len(common) // _SHOWN_POSES)]
    pairs = [
        (p, q)
        for f in common
        if (p := a.seen[f].points) is not None
        and (q := b.seen[f].points) is not None
        and p.shape == q.shape
    ]
    if not pairs:
        return 0.0
    one, other = np.array([p for p, _ in pairs]), np.array([q for _, q in pairs])
    squares = ((align(one, other).apply(one) - other) ** 2).sum(axis=-1)
    seen = np.isfinite(squares)
    usable = seen.any(axis=-1)  # else no three points in common
    if not usable.any():
        return 0.0
    means = np.where(seen, squares, 0)[usable].sum(axis=-1) / seen[usable].sum(axis=-1)
    typical = float(np.median(np.sqrt(means)))
    return np.inf if typical > _OTHER_POSE else (typical / _SAME_POSE) ** 2
