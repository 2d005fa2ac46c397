"""Who is who among several people, across cameras and over time.

A detector lists people in any order, drops some, and invents others; and who is largest in one
picture may only stand near that camera. So nobody is chosen in a picture: persons are followed
through space (`kinefit.tracking.tracks`), where one who walks behind another is a metre away, and
the subject is chosen among these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinefit.io.people import People
from kinefit.tracking.person_detections import Sightings
from kinefit.tracking.tracks import Body, follow_bodies
from kinefit.types import CameraRig, FloatArray, InputError, IntArray, InvalidData
from kinefit.types.arrays import freeze, frozen_array

# A body that was lost goes on as the one that begins nearest to where it was expected: within this
# many metres, and as many more for each second unseen (a brisk walk)...
_NEAR = 0.6
_NEAR_PER_S = 1.8
# ...if its bones are as long. Medians over a piece are within 3 % of the truth in the demo; two
# adults differ by 5 % in stature one time in two, and more in proportions.
_SAME_BONES = 0.10
_BRIEF_S = 0.5  # over shorter gaps, nearness alone decides
_TOGETHER = 0.8  # metres between two bodies that can hide each other
# By how much bones must speak for an exchange (sum of two persons' differences): each length from
# some seconds with people in the way is 5 to 10 % off, the sum over all of them less.
_SURE, _CLEARLY = 0.04, 0.6
_BONES_OVER_S, _BONE_FRAMES = 4.0, 5
_ONE_BODY = 0.2  # metres between two bodies, seen by different cameras, that are one person
# For so long two cameras must see a person; less is chance, or the meeting of two in one pose.
_FEWEST, _FEWEST_S = 3, 0.3
_BONES = (
    ("LShoulder", "RShoulder"), ("LHip", "RHip"), ("LShoulder", "LHip"), ("RShoulder", "RHip"),
    ("LShoulder", "LElbow"), ("RShoulder", "RElbow"), ("LElbow", "LWrist"), ("RElbow", "RWrist"),
    ("LHip", "LKnee"), ("RHip", "RKnee"), ("LKnee", "LAnkle"), ("RKnee", "RAnkle"),
)  # fmt: skip


@dataclass(frozen=True, eq=False)
class PersonPath:
    """One person in all cameras.

    place: (C, T) where the person stands in the list of each camera and frame; -1: not seen.
    centre: (T, 3) metres, world: the mean of the points; NaN where no camera sees the person.
    weight: how much this is the subject, as a share of all persons' (0..1).
    """

    place: IntArray
    centre: FloatArray
    weight: float

    def __post_init__(self) -> None:
        place = frozen_array("PersonPath", "place", self.place, (None, None), np.int64)
        shape = (place.shape[1], 3)
        freeze(self, place=place, centre=frozen_array("PersonPath", "centre", self.centre, shape))

    @property
    def seen(self) -> FloatArray:
        """(C,) the share of the frames in which each camera sees the person."""
        return np.asarray((self.place >= 0).mean(axis=1))

    def points(self, views: Sequence[Sequence[FloatArray]]) -> FloatArray:
        """(C, T, J, 3) this person's x, y, score out of `views`; NaN where not seen."""
        count = next(p.shape[1] for view in views for p in view)
        found = np.full((*self.place.shape, count, 3), np.nan)
        for c, t in zip(*np.nonzero(self.place >= 0), strict=True):
            found[c, t] = views[c][t][self.place[c, t]]
        return found


def find_people(
    rig: CameraRig,
    names: Sequence[str],
    views: Sequence[Sequence[FloatArray]],
    time: FloatArray,
) -> tuple[PersonPath, ...]:
    """Everybody whom two cameras or more see at the same time, the subject first.

    names: J points as in `kinefit.skeletons`; only those with sides known by their names can be
        put right where a detector exchanges left and right in some views.
    views: for each of C cameras, in the rig's order, and each of T frames (N, J, 3): x, y in
        pixels of the camera's own image, and score; NaN where not found. N differs from frame to
        frame; the order within a frame says nothing and changes nothing.
    time: (T,) seconds, the same for all cameras.

    The subject is who is seen by many cameras, for long, large and surely: the sum over frames of
    the number of cameras x mean score x harmonic mean of the sizes in the pictures. (The harmonic
    mean, because who stands right before one camera is large there and small in all others.)

    Raises InvalidData when the shapes do not fit or the rig has fewer than two cameras.
    """
    _check(rig, names, views, time)
    seen = Sightings.of(rig, names, views)
    bodies = _joined(follow_bodies(seen, np.asarray(time, np.float64)), seen)
    step = float(np.median(np.diff(time))) if len(time) > 1 else np.inf
    fewest = min(max(_FEWEST, round(_FEWEST_S / step)), len(time))
    bodies = [b for b in bodies if sum(n >= 2 for n in b.views) >= fewest]
    weights = np.array([_weight(body, seen) for body in bodies])
    share = weights / weights.sum() if weights.sum() else weights
    order = np.argsort(-share, kind="stable")
    return tuple(_path(bodies[i], seen, len(rig), len(time), float(share[i])) for i in order)


def choose_person(paths: Sequence[PersonPath], person: int | None = None) -> PersonPath:
    """The subject (None), or the person of that number, counted from 1 in the order of `paths`.

    Raises InputError when there is nobody, or nobody of that number.
    """
    if not paths:
        raise InputError(
            "people",
            "no two cameras see the same person at the same time",
            "check that calibration, synchronisation and videos belong together",
        )
    if person is not None and not 1 <= person <= len(paths):
        raise InputError(
            "--person",
            f"there is no person {person}; {len(paths)} found",
            f"give a number from 1 to {len(paths)}, or leave it out",
        )
    return paths[(person or 1) - 1]


def common_frames(people: Sequence[People]) -> tuple[IntArray, list[list[FloatArray]]]:
    """Frames that any camera has, and everybody in them: the `views` of `find_people`.

    people: of C cameras with synchronous frame numbers and the same points.
    Returns (T,) frame numbers and (C, T) arrays (N, J, 3).
    Raises InvalidData when the cameras have different points.
    """
    names = {p.names for p in people}
    if len(names) > 1:
        raise InvalidData("The cameras' points differ; detect all videos with one model.")
    frame = np.unique(np.concatenate([p.frame for p in people]))
    empty = np.empty((0, len(people[0].names), 3))
    rows = [dict(zip(p.frame.tolist(), p.points, strict=True)) for p in people]
    return frame, [[row.get(f, empty) for f in frame.tolist()] for row in rows]


def _check(
    rig: CameraRig,
    names: Sequence[str],
    views: Sequence[Sequence[FloatArray]],
    time: FloatArray,
) -> None:
    if len(rig) < 2:
        raise InvalidData("find_people: one camera cannot tell who is who; give two or more.")
    if len(views) != len(rig) or any(len(view) != len(time) for view in views):
        raise InvalidData(f"find_people: expected {len(rig)} views of {len(time)} frames each.")
    for camera, view in zip(rig, views, strict=True):
        for t, pose in enumerate(view):
            if np.ndim(pose) != 3 or np.shape(pose)[1:] != (len(names), 3):
                raise InvalidData(
                    f"find_people: camera {camera.name}, frame {t}: shape {np.shape(pose)}, "
                    f"expected (N, {len(names)}, 3)."
                )


def _weight(body: Body, seen: Sightings) -> float:
    """How much a body is the subject; see `find_people`."""
    total = 0.0
    for rows in body.sightings:
        if len(rows) >= 2:
            score = seen.weight[rows].mean(axis=1).sum()
            total += float(score / np.mean(1 / np.maximum(seen.size[rows], 1e-6)))
    return total


def _path(body: Body, seen: Sightings, cameras: int, frames: int, weight: float) -> PersonPath:
    place = np.full((cameras, frames), -1, np.int64)
    rows = np.concatenate(body.sightings)
    place[seen.camera[rows], seen.frame[rows]] = seen.place[rows]
    centre = np.full((frames, 3), np.nan)
    centre[body.frames] = _centres(body)
    return PersonPath(place, centre, weight)


def _centres(body: Body) -> FloatArray:
    """(F, 3) metres: the mean of the points."""
    return np.asarray(np.nanmean(np.stack(body.points), axis=1))


def _joined(bodies: list[Body], seen: Sightings) -> list[Body]:
    """Pieces of one person put together: side by side first, then one after the other."""
    bodies = _side_by_side(sorted(bodies, key=lambda body: body.frames[0]))
    bodies = _in_series(bodies, seen.names)
    _untangle(bodies, seen.names)
    return bodies


def _side_by_side(bodies: list[Body]) -> list[Body]:
    """Bodies that different cameras see in the same place at the same time, made one."""
    kept: list[Body] = []
    for body in bodies:
        for other in kept:
            if other.frames[-1] >= body.frames[0] and _is_one(other, body):
                _merge(other, body)
                break
        else:
            kept.append(body)
    return kept


def _is_one(a: Body, b: Body) -> bool:
    common, in_a, in_b = np.intersect1d(a.frames, b.frames, return_indices=True)
    if not len(common):
        return False
    away = np.stack([a.points[i] for i in in_a]) - np.stack([b.points[i] for i in in_b])
    distance = np.linalg.norm(away, axis=-1)
    return bool(np.isfinite(distance).any() and np.nanmean(distance) < _ONE_BODY)


def _merge(a: Body, b: Body) -> None:
    """Add to `a` what `b` has; where both have a frame, `a` stays and gets the other views."""
    rows = {row[0]: list(row) for row in zip(*b.columns, strict=True)}
    for row in zip(*a.columns, strict=True):
        frame, time, sightings, points, views, doubt = row
        if frame in rows:
            sightings = np.concatenate([sightings, rows[frame][2]])
            views += rows[frame][4]
        rows[frame] = [frame, time, sightings, points, views, doubt]
    for column, merged in zip(
        a.columns, zip(*(rows[f] for f in sorted(rows)), strict=True), strict=True
    ):
        column[:] = merged


def _untangle(bodies: list[Body], names: tuple[str, ...]) -> None:
    """Exchange what follows a close encounter of two bodies where their bones say so.

    Who hides behind whom can come out as the other. The one thing that stays with a person is the
    length of their bones, over a few seconds before and after.
    """
    meetings = [
        (frame, i, j)
        for i, a in enumerate(bodies)
        for j, b in enumerate(bodies[:i])
        for frame in _encounters(a, b)
    ]
    for frame, i, j in sorted(meetings):
        a, b = bodies[i], bodies[j]
        here = [_bone_lengths(x, names, before=frame) for x in (a, b)]
        there = [_bone_lengths(x, names, after=frame) for x in (a, b)]
        kept = _unlike(here[0], there[0]) + _unlike(here[1], there[1])
        exchanged = _unlike(here[0], there[1]) + _unlike(here[1], there[0])
        if exchanged < _CLEARLY * kept and kept - exchanged > _SURE:
            _exchange(a, b, frame)


def _encounters(a: Body, b: Body) -> list[int]:
    """Frames, one for each time that two bodies were together: the one that shows least of them."""
    common, in_a, in_b = np.intersect1d(a.frames, b.frames, return_indices=True)
    if not len(common):
        return []
    away = np.linalg.norm(_centres(a)[in_a] - _centres(b)[in_b], axis=1)
    close = away < _TOGETHER
    views = np.array(a.views)[in_a] + np.array(b.views)[in_b] + away / _TOGETHER
    edges = np.flatnonzero(np.diff(np.concatenate([[False], close, [False]]).astype(int)))
    spans = edges.reshape(-1, 2)
    return [int(common[start + views[start:end].argmin()]) for start, end in spans]


def _exchange(a: Body, b: Body, frame: int) -> None:
    """Give each of two bodies what the other has from `frame` on."""
    i, j = (int(np.searchsorted(x.frames, frame)) for x in (a, b))
    for in_a, in_b in zip(a.columns, b.columns, strict=True):
        in_a[i:], in_b[j:] = in_b[j:], in_a[i:]


def _unlike(one: FloatArray, other: FloatArray) -> float:
    """Mean difference of bone lengths, as a share; NaN where none is known of both."""
    ratio = np.abs(np.log(one / other))
    known = np.isfinite(ratio)
    return float(ratio[known].mean()) if known.any() else float("nan")


def _in_series(bodies: list[Body], names: tuple[str, ...]) -> list[Body]:
    """Bodies that go on, after a gap, as another one, made one; the nearest first.

    What a single camera shows of the first during the second is given up: its depth is a guess.
    """
    bones = [_bone_lengths(body, names) for body in bodies]
    links = []
    for i, a in enumerate(bodies):
        for j, b in enumerate(bodies):
            if b.frames[0] > a.last_sure:
                cost = _gap_cost(a, b, bones[i], bones[j])
                if cost is not None:
                    links.append((cost, i, j))
    following: dict[int, int] = {}
    for _, i, j in sorted(links):
        if i not in following and j not in following.values():
            following[i] = j
    heads = [i for i in range(len(bodies)) if i not in following.values()]
    return [_chain(bodies, following, i) for i in heads]


def _chain(bodies: list[Body], following: dict[int, int], i: int) -> Body:
    whole = bodies[i]
    while i in following:
        i = following[i]
        whole.cut(int(np.searchsorted(whole.frames, bodies[i].frames[0])))
        _merge(whole, bodies[i])
    return whole


def _gap_cost(a: Body, b: Body, bones_a: FloatArray, bones_b: FloatArray) -> float | None:
    """How unlike it is that `b` is `a` again; None where it cannot be."""
    end = a.frames.index(a.last_sure)
    gap = b.times[0] - a.times[end]
    here, there = np.nanmean(a.points[end], axis=0), np.nanmean(b.points[0], axis=0)
    away = float(np.linalg.norm(there - here))
    if away > _NEAR + _NEAR_PER_S * gap:
        return None
    if gap > _BRIEF_S and not _unlike(bones_a, bones_b) <= _SAME_BONES:
        return None
    return away + gap


def _bone_lengths(
    body: Body, names: tuple[str, ...], before: float = np.inf, after: float = -np.inf
) -> FloatArray:
    """(B,) metres: medians over the frames that two cameras see.

    before, after: only frames on this side of one, and within `_BONES_OVER_S` of it. NaN for bones
    that fewer than `_BONE_FRAMES` frames show.
    """
    frames, times = np.array(body.frames), np.array(body.times)
    pick = (np.array(body.views) >= 2) & (frames < before) & (frames > after)
    if np.isfinite(before) and pick.any():
        pick &= times > times[pick][-1] - _BONES_OVER_S
    if np.isfinite(after) and pick.any():
        pick &= times < times[pick][0] + _BONES_OVER_S
    pairs = [(names.index(a), names.index(b)) for a, b in _BONES if {a, b} <= set(names)]
    if not pick.any() or not pairs:
        return np.full(max(len(pairs), 1), np.nan)
    points = np.stack([body.points[i] for i in np.flatnonzero(pick)])
    a, b = np.array(pairs).T
    length = np.linalg.norm(points[:, a] - points[:, b], axis=-1)
    return np.array([_median(column) for column in length.T])


def _median(values: FloatArray) -> float:
    """NaN for fewer than `_BONE_FRAMES` values."""
    values = values[np.isfinite(values)]
    return float(np.median(values)) if len(values) >= _BONE_FRAMES else float("nan")
