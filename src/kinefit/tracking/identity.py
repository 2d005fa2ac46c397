"""Who is who among several people, across cameras and over time.

A detector lists people in any order, drops some, and invents others; and who is largest in one
picture may only stand near that camera. So nobody is chosen in a picture: persons are tracked
in space (`kinefit.tracking.tracks`), where one who walks behind another is a metre away, and
the subject is chosen among these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinefit.skeletons.limbs import ends, limbs, limbs_among
from kinefit.tracking.person_detections import PersonDetections
from kinefit.tracking.track import Entry, Track
from kinefit.tracking.tracks import track_people
from kinefit.types import (
    CameraRig,
    FloatArray,
    InputError,
    IntArray,
    InvalidData,
    all_finite,
    true_runs,
)
from kinefit.types.arrays import freeze_arrays

# A track that was lost goes on as the one that begins nearest to where it was expected: within this
# many metres, and as many more for each second unseen (a brisk walk)...
_NEAR = 0.6
_NEAR_PER_S = 1.8
# ...if its bones are as long. Medians over a piece are within 3 % of the truth in the demo; two
# adults differ by 5 % in stature one time in two, and more in proportions.
_SAME_BONES = 0.10
_BRIEF_S = 0.5  # over shorter gaps, nearness alone decides
_TOGETHER = 0.8  # metres between two persons who can hide each other
# By how much bones must speak for an exchange (sum of two persons' differences): each length from
# some seconds with people in the way is 5 to 10 % off, the sum over all of them less.
_SURE, _CLEARLY = 0.04, 0.6
_BONES_OVER_S, _BONE_FRAMES = 4.0, 5
_ONE_PERSON = 0.2  # metres between two tracks, of different cameras, that are one person
# For so long two cameras must see a person (half of a clip that is shorter); less is chance, or the
# meeting of two in one pose.
_FEWEST, _FEWEST_S = 3, 0.3
_BONES = limbs("long", "girdle", "trunk")


@dataclass(frozen=True, eq=False)
class TrackedPerson:
    """One person in all cameras.

    place: (C, T) where the person stands in the list of each camera and frame; -1: not seen.
    centre: (T, 3) metres, world: the mean of the points; NaN where no camera sees the person.
    weight: how much this is the subject, as a share of all persons' (0..1).
    """

    place: IntArray
    centre: FloatArray
    weight: float

    def __post_init__(self) -> None:
        freeze_arrays(self, np.int64, place=(None, None))
        freeze_arrays(self, centre=(self.place.shape[1], 3))

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
    rig: CameraRig, names: Sequence[str], views: Sequence[Sequence[FloatArray]], time: FloatArray
) -> tuple[TrackedPerson, ...]:
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
    seen = PersonDetections.of(rig, names, views)
    tracks = _joined([*track_people(seen, np.asarray(time, np.float64))], seen.names)
    step = float(np.median(np.diff(time))) if len(time) > 1 else np.inf
    fewest = min(max(_FEWEST, round(_FEWEST_S / step)), max(len(time) // 2, 1))
    tracks = [t for t in tracks if sum(e.is_sure for e in t.entries) >= fewest]
    weights = np.array([_weight(track, seen) for track in tracks])
    share = weights / weights.sum() if weights.sum() else weights
    order = np.argsort(-share, kind="stable")
    return tuple(_person(tracks[i], seen, len(rig), len(time), float(share[i])) for i in order)


def check_anybody(people: Sequence[object]) -> None:
    """Raise InputError where `find_people` found nobody."""
    if not people:
        hint = "check that calibration, synchronisation and videos belong together"
        raise InputError("people", "no two cameras see the same person at the same time", hint)


def _check(
    rig: CameraRig, names: Sequence[str], views: Sequence[Sequence[FloatArray]], time: FloatArray
) -> None:
    if len(rig) < 2:
        raise InvalidData("find_people: one camera cannot tell who is who; give two or more.")
    if len(views) != len(rig) or any(len(view) != len(time) for view in views):
        raise InvalidData(f"find_people: expected {len(rig)} views of {len(time)} frames each.")
    for camera, view in zip(rig, views, strict=True):
        for t, pose in enumerate(view):
            if np.ndim(pose) != 3 or np.shape(pose)[1:] != (len(names), 3):
                where = f"find_people: camera {camera.name}, frame {t}"
                wanted = f"expected (N, {len(names)}, 3)"
                raise InvalidData(f"{where}: shape {np.shape(pose)}, {wanted}.")


def _weight(track: Track, seen: PersonDetections) -> float:
    """How much a track is the subject; see `find_people`."""
    return sum(
        float(seen.weight[rows].mean(axis=1).sum() / np.mean(1 / np.maximum(seen.size[rows], 1e-6)))
        for rows in (entry.rows for entry in track.entries if entry.is_sure)
    )


def _person(
    track: Track, seen: PersonDetections, cameras: int, frames: int, weight: float
) -> TrackedPerson:
    place = np.full((cameras, frames), -1, np.int64)
    rows = np.concatenate([entry.rows for entry in track.entries])
    place[seen.camera[rows], seen.frame[rows]] = seen.place[rows]
    centre = np.full((frames, 3), np.nan)
    centre[track.frames] = [_centre(entry) for entry in track.entries]
    return TrackedPerson(place, centre, weight)


def _centre(entry: Entry) -> FloatArray:
    """(3,) metres: the mean of the points."""
    return np.asarray(entry.points[all_finite(entry.points)].mean(axis=0))


def _joined(tracks: list[Track], names: tuple[str, ...]) -> list[Track]:
    """Pieces of one person put together: side by side first, then one after the other."""
    kept: list[Track] = []
    for track in sorted(tracks, key=lambda track: track.first.frame):
        for other in kept:
            if _is_same_person(other, track):
                _merge(other, track)
                break
        else:
            kept.append(track)
    kept = _in_series(kept, names)
    _undo_exchanges(kept, names)
    return kept


def _common(a: Track, b: Track) -> list[tuple[Entry, Entry]]:
    """The entries of two tracks in the frames that both have."""
    there = {entry.frame: entry for entry in b.entries}
    return [(entry, there[entry.frame]) for entry in a.entries if entry.frame in there]


def _is_same_person(a: Track, b: Track) -> bool:
    """Whether different cameras see these two in the same place at the same time."""
    away = [np.linalg.norm(one.points - other.points, axis=-1) for one, other in _common(a, b)]
    known = np.concatenate([np.zeros(0), *away])
    known = known[np.isfinite(known)]
    return bool(len(known) and known.mean() < _ONE_PERSON)


def _merge(a: Track, b: Track) -> None:
    """Add to `a` what `b` has; where both have a frame, `a` stays and gets the other views."""
    entries = {entry.frame: entry for entry in b.entries}
    for entry in a.entries:
        other = entries.get(entry.frame)
        rows = entry.rows if other is None else np.concatenate([entry.rows, other.rows])
        entries[entry.frame] = entry._replace(rows=rows)
    a.entries = [entries[frame] for frame in sorted(entries)]


def _undo_exchanges(tracks: list[Track], names: tuple[str, ...]) -> None:
    """Exchange what follows a close encounter of two tracks where their bones say so.

    Who hides behind whom can come out as the other. The one thing that stays with a person is the
    length of their bones, over a few seconds before and after.
    """
    meetings = [
        (frame, i, j)
        for i, a in enumerate(tracks)
        for j, b in enumerate(tracks[:i])
        for frame in _encounters(a, b)
    ]
    for frame, i, j in sorted(meetings):
        a, b = tracks[i], tracks[j]
        here = [_bone_lengths(x, names, before=frame) for x in (a, b)]
        there = [_bone_lengths(x, names, after=frame) for x in (a, b)]
        kept = _unlike(here[0], there[0]) + _unlike(here[1], there[1])
        exchanged = _unlike(here[0], there[1]) + _unlike(here[1], there[0])
        if exchanged < _CLEARLY * kept and kept - exchanged > _SURE:
            m, n = (int(np.searchsorted(x.frames, frame)) for x in (a, b))
            a.entries[m:], b.entries[n:] = b.entries[n:], a.entries[m:]


def _encounters(a: Track, b: Track) -> list[int]:
    """One frame for each time that two persons were together: the one that shows least of them."""
    both = _common(a, b)
    away = np.array([np.linalg.norm(_centre(x) - _centre(y)) for x, y in both])
    views = np.array([len(x.rows) + len(y.rows) for x, y in both]) + away / _TOGETHER
    return [
        both[start + int(views[start:stop].argmin())][0].frame
        for start, stop in true_runs(away < _TOGETHER)
    ]


def _unlike(one: FloatArray, other: FloatArray) -> float:
    """Mean difference of bone lengths, as a share; NaN where none is known of both."""
    ratio = np.abs(np.log(one / other))
    known = np.isfinite(ratio)
    return float(ratio[known].mean()) if known.any() else float("nan")


def _in_series(tracks: list[Track], names: tuple[str, ...]) -> list[Track]:
    """Tracks that go on, after a gap, as another one, made one; the nearest first.

    What a single camera shows of the first during the second is given up: its depth is a guess.
    """
    bones = [_bone_lengths(track, names) for track in tracks]
    costs = [
        (_gap_cost(a, b, bones[i], bones[j]), i, j)
        for i, a in enumerate(tracks)
        for j, b in enumerate(tracks)
    ]
    following: dict[int, int] = {}
    for _, i, j in sorted(cost for cost in costs if np.isfinite(cost[0])):
        if i not in following and j not in following.values():
            following[i] = j
    heads = [i for i in range(len(tracks)) if i not in following.values()]
    for i in heads:
        whole = tracks[i]
        while i in following:
            i = following[i]
            del whole.entries[int(np.searchsorted(whole.frames, tracks[i].first.frame)) :]
            _merge(whole, tracks[i])
    return [tracks[i] for i in heads]


def _gap_cost(a: Track, b: Track, bones_a: FloatArray, bones_b: FloatArray) -> float:
    """How unlike it is that `b` is `a` again; infinite where it cannot be."""
    end = next(entry for entry in reversed(a.entries) if entry.is_sure)
    if b.first.frame <= end.frame:
        return np.inf
    gap = b.first.time - end.time
    away = float(np.linalg.norm(_centre(b.first) - _centre(end)))
    alike = gap <= _BRIEF_S or _unlike(bones_a, bones_b) <= _SAME_BONES
    return away + gap if away <= _NEAR + _NEAR_PER_S * gap and alike else np.inf


def _bone_lengths(
    track: Track, names: tuple[str, ...], before: float = np.inf, after: float = -np.inf
) -> FloatArray:
    """(B,) metres: medians over the frames that two cameras see.

    before, after: only frames on this side of one, and within `_BONES_OVER_S` of it. NaN for bones
    that fewer than `_BONE_FRAMES` frames show.
    """
    sure = [entry for entry in track.entries if entry.is_sure and after < entry.frame < before]
    if sure and np.isfinite(before):
        sure = [entry for entry in sure if entry.time > sure[-1].time - _BONES_OVER_S]
    if sure and np.isfinite(after):
        sure = [entry for entry in sure if entry.time < sure[0].time + _BONES_OVER_S]
    pairs = ends(names, limbs_among(names, _BONES))
    out = np.full(max(len(pairs), 1), np.nan)
    if sure and len(pairs):
        a, b = np.stack([entry.points for entry in sure])[:, pairs.T].swapaxes(0, 1)
        length = np.linalg.norm(a - b, axis=-1)
        known = np.isfinite(length).sum(axis=0) >= _BONE_FRAMES
        out[known] = np.nanmedian(length[:, known], axis=0)
    return out
