"""Who is who over a whole video of one camera.

People are followed from frame to frame by place and speed, all at once with the least sum. Where
two of them come so close that either could be the other, how they look before and after decides
(colours of clothes, where the detector tells them), and where that says nothing the frames are in
doubt. Pieces of one person are put together again by place, size and look.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kinefit.tracking.track import ENOUGH, FAR, Entry, Track, assign
from kinefit.types import (
    BoolArray,
    FloatArray,
    IntArray,
    all_finite,
    extent,
    true_runs,
)
from kinefit.types.arrays import freeze_arrays

# How far somebody may be from where they are expected, in sizes of the person (diagonal of the
# box around the points): this much at once, and this much more for each second unseen. A person
# of 1.8 m who sprints at 10 m/s moves 5 sizes in a second, but is expected to.
_REACH = 0.25
_REACH_PER_S = 2.0
_LOST_S = 0.5  # unseen for longer, a person is not followed any more, only taken up again
_SAME_SIZE = 1.5  # the largest ratio of sizes at which it can be the same person again
# Difference of looks (CIELAB, lightness half): medians of one person's key frames, of two halves of
# a video, are 2 apart (95 %: 6.4), of two persons 26 (5 %: 12): rendered scenes of 2 to 4 people.
_ALIKE = 10.0
_CLEAR = 5.0  # by so much must two ways to go on differ for the look to decide
_LIGHTNESS = 0.5
_OTHER = 12.0  # a change of look by more, from one moment to the next, is another person
_RECENT_S = 0.35  # that a moment lasts for looks
_LOOK_COST = 0.01  # sizes for each unit of difference
_MET = 0.35  # sizes between the middles of two people below which either could be the other
_LOOKS_OVER_S = 3.0  # before and after a meeting
_FEWEST_S = 0.3  # who is seen for less, and in less than half of the frames, is nobody
_LEAST_WEIGHT = 0.02  # of the subject's: smaller, a track is a detector's error or does not matter


@dataclass(frozen=True, eq=False)
class ImagePerson:
    """One person in the frames of a view.

    place: (F,) where the person stands in the list of each frame; -1: not seen.
    doubt: (F,) True where it may be somebody else.
    weight: how much this is the subject, as a share of everybody's (0..1).
    """

    place: IntArray
    doubt: BoolArray
    weight: float

    def __post_init__(self) -> None:
        freeze_arrays(self, np.int64, place=(None,))
        freeze_arrays(self, np.bool_, doubt=(len(self.place),))


def people_in_view(
    points: Sequence[FloatArray], time: FloatArray, looks: Sequence[FloatArray] | None = None
) -> tuple[ImagePerson, ...]:
    """Everybody, the subject first: who is large and sure, for long.

    points: per frame (N, J, 3) x, y (pixels) and score; NaN where not found.
    time: (F,) seconds.
    looks: per frame (N, P, 3) CIELAB of P parts of the body, NaN where unknown; None: unknown.

    The order within a frame says nothing and changes nothing. Somebody who is unseen for a while is
    the same person again if nobody else can be; who walks through while the subject is seen is
    never taken for it.
    """
    tracks = _cut(_tracks(points, time, looks))
    _exchange(tracks)
    persons: list[list[_ViewTrack]] = []  # each kept in the order of time
    for track in sorted(tracks, key=lambda track: -_weight(track, points)):
        again = [person for person in persons if _is_again(track, person)]
        if again:
            insort(again[0], track, key=lambda track: track.first.frame)
        else:
            persons.append([track])
    weights = np.array([sum(_weight(t, points) for t in person) for person in persons])
    shares = weights / weights.sum() if weights.sum() else weights
    fewest = _fewest(time)
    kept = [
        i for i in np.argsort(-shares, kind="stable").tolist()
        if weights[i] >= _LEAST_WEIGHT * weights.max()
        and sum(len(t.entries) for t in persons[i]) >= fewest
    ]  # fmt: skip
    return tuple(_person(persons[i], len(points), float(shares[i])) for i in kept)


@dataclass(eq=False)
class _ViewTrack(Track):
    """With the looks of its entries (P, 3), None where unknown, and the frames in doubt."""

    looks: list[FloatArray | None] = field(default_factory=list)
    doubts: set[int] = field(default_factory=set)

    def look(self, before: float = np.inf, after: float = -np.inf) -> FloatArray | None:
        """The median over entries between two times (seconds), at most some seconds from either."""
        low = max(after, before - _LOOKS_OVER_S) if np.isfinite(before) else after
        high = min(before, after + _LOOKS_OVER_S) if np.isfinite(after) else before
        start = bisect_left(self.entries, low, key=_time_of)
        return _median_of(self.looks[start : bisect_right(self.entries, high, key=_time_of)])


def _time_of(entry: Entry) -> float:
    return entry.time


def _median_of(looks: Sequence[FloatArray | None]) -> FloatArray | None:
    """(P, 3) the median of those that are known; None where none is."""
    known = [look for look in looks if look is not None]
    if not known:
        return None
    # numpy's nanmedian takes five times as long: unknown values come last when sorted.
    ordered = np.sort(np.stack(known), axis=0)
    count = np.isfinite(ordered).sum(axis=0)
    low, high = np.maximum(count - 1, 0) // 2, count // 2
    ends = [np.take_along_axis(ordered, at[None], axis=0)[0] for at in (low, high)]
    return np.where(count > 0, (ends[0] + ends[1]) / 2, np.nan)


def _unlike(one: FloatArray | None, other: FloatArray | None) -> float:
    """The mean difference of colours of parts that both show; NaN where there are none."""
    if one is None or other is None:
        return float("nan")
    away = np.linalg.norm((one - other) * (_LIGHTNESS, 1, 1), axis=-1)
    known = np.isfinite(away)
    return float(away[known].mean()) if known.any() else float("nan")


def _tracks(
    points: Sequence[FloatArray], time: FloatArray, looks: Sequence[FloatArray] | None
) -> list[_ViewTrack]:
    """Everybody's tracks; each person of each frame belongs to one."""
    tracks: list[_ViewTrack] = []
    active: list[_ViewTrack] = []
    for frame, poses in enumerate(points):
        now = float(time[frame])
        active = [track for track in active if now - track.last.time <= _LOST_S]
        seen = None if looks is None else looks[frame]
        cost = np.array([_distances(track, now, poses, seen) for track in active])
        mine = assign(cost.reshape(len(active), len(poses)))
        for place, pose in enumerate(poses):
            if all_finite(pose).sum() < ENOUGH:
                continue
            taken = np.flatnonzero(mine[:, place])
            track = active[taken[0]] if len(taken) else _ViewTrack()
            if not len(taken):
                tracks.append(track)
            track.entries.append(Entry(frame, now, np.array([place]), pose[:, :2]))
            track.looks.append(None if seen is None else seen[place])
        active += [track for track in tracks if track not in active and track.last.frame == frame]
    return tracks


def _distances(
    track: _ViewTrack, time: float, poses: FloatArray, looks: FloatArray | None
) -> FloatArray:
    """(N,) how far `poses` (N, J, 3) are from where this person is expected at `time`.

    Medians over the points that both have, in sizes of the person; FAR beyond reach, and
    where these points are spread too differently for one person. Another look makes it more.
    """
    expected = track.expected(time)
    distances = np.full(len(poses), FAR)
    for place, pose in enumerate(poses):
        both = all_finite(expected) & all_finite(pose)
        if both.sum() >= ENOUGH and _same_size(_size(expected[both]), _size(pose[both])):
            away = np.linalg.norm(pose[both, :2] - expected[both], axis=1)
            distances[place] = np.median(away) / _size(track.last.points)
    reach = _REACH + _REACH_PER_S * (time - track.last.time)
    distances[distances > reach] = FAR
    own = track.look(after=time - _RECENT_S) if len(poses) > 1 else None
    if own is not None and looks is not None:
        unlike = np.array([_unlike(own, look) for look in looks])
        distances += _LOOK_COST * np.where(np.isfinite(unlike), unlike, 0.0)
    return distances


def _cut(tracks: Sequence[_ViewTrack]) -> list[_ViewTrack]:
    """The same tracks, cut where they go over to somebody of another look."""
    whole, done = list(tracks), []
    while whole:
        track = whole.pop()
        at = _change(track)
        if at is None:
            done.append(track)
            continue
        for part in (slice(None, at), slice(at, None)):
            whole.append(_ViewTrack(track.entries[part], track.looks[part]))
    return done


def _change(track: _ViewTrack) -> int | None:
    """Where a track changes its look most, if it is by more than one person does."""
    time = np.array([e.time for e in track.entries])
    best, most = None, _OTHER
    step = max(1, int(np.searchsorted(time, time[0] + _RECENT_S)) // 4)
    for i in range(1, len(time), step):
        if time[i] - time[0] < _RECENT_S or time[-1] - time[i] < _RECENT_S:
            continue
        start, stop = np.searchsorted(time, [time[i] - _RECENT_S, time[i] + _RECENT_S])
        early, late = _median_of(track.looks[start:i]), _median_of(track.looks[i:stop])
        if (unlike := _unlike(early, late)) > most:
            best, most = (start, stop, early, late), unlike
    if best is None:
        return None
    start, stop, early, late = best
    # Medians stay what they are until half of the looks are another's: this says which of them.
    after = np.array([_unlike(k, early) - _unlike(k, late) for k in track.looks[start:stop]])
    worth = np.cumsum(np.nan_to_num(after))
    return int(start + 1 + np.argmin(worth[:-1]))


def _exchange(tracks: list[_ViewTrack]) -> None:
    """Give tracks that met the ends that look like their beginnings; mark what stays open."""
    for i, one in enumerate(tracks):
        for other in tracks[i + 1 :]:
            for frames in _meetings(one, other):
                _decide(one, other, frames)


def _meetings(one: _ViewTrack, other: _ViewTrack) -> list[IntArray]:
    """The frames of each meeting of two tracks, where either could be the other."""
    if one.last.frame < other.first.frame or other.last.frame < one.first.frame:
        return []
    mine = {e.frame: e for e in one.entries}
    both = [(mine[e.frame], e) for e in other.entries if e.frame in mine]
    if not both:
        return []
    away = [np.linalg.norm(_middle(a) - _middle(b)) / min(_size(a.points), _size(b.points))
            for a, b in both]  # fmt: skip
    frames = np.array([a.frame for a, _ in both])
    return [frames[start:stop] for start, stop in true_runs(np.array(away) < _MET)]


def _decide(one: _ViewTrack, other: _ViewTrack, frames: IntArray) -> None:
    first, last = int(frames[0]), int(frames[-1])
    begin = next(e.time for e in one.entries if e.frame == first)
    end = next(e.time for e in one.entries if e.frame == last)
    early = [track.look(before=begin) for track in (one, other)]
    late = [track.look(after=end) for track in (one, other)]
    # One that begins or ends with the meeting is known on one side only: it may still differ.
    stay = np.nansum([_unlike(early[0], late[0]), _unlike(early[1], late[1])])
    cross = np.nansum([_unlike(early[0], late[1]), _unlike(early[1], late[0])])
    known = all(np.isfinite(_unlike(a, b)) for a in early for b in late)
    if known and stay - cross > _CLEAR:
        middle = int(frames[len(frames) // 2])
        _swap_from(one, other, middle)
    elif not known or cross - stay < _CLEAR:
        for track in (one, other):
            track.doubts.update(frames.tolist())


def _swap_from(one: _ViewTrack, other: _ViewTrack, frame: int) -> None:
    """Exchange what two tracks are from `frame` on."""
    at = [int(np.searchsorted(track.frames, frame)) for track in (one, other)]
    for name in ("entries", "looks"):
        a, b = getattr(one, name), getattr(other, name)
        a[at[0] :], b[at[1] :] = b[at[1] :], a[at[0] :]
    early = [{f for f in t.doubts if f < frame} for t in (one, other)]
    rest = [t.doubts - e for t, e in zip((one, other), early, strict=True)]
    one.doubts, other.doubts = early[0] | rest[1], early[1] | rest[0]


def _weight(track: Track, points: Sequence[FloatArray]) -> float:
    """How much a track is the subject's: the sum of size x mean score."""
    return sum(
        _size(e.points) * float(np.nan_to_num(points[e.frame][e.rows[0], :, 2]).mean())
        for e in track.entries
    )


def _is_again(track: _ViewTrack, person: Sequence[_ViewTrack]) -> bool:
    """Whether `track` can be the person of these other tracks: never two at a time, in reach of the
    one before and the one after, and not of another look."""
    before = [t for t in person if t.last.frame < track.first.frame]
    after = [t for t in person if t.first.frame > track.last.frame]
    if len(before) + len(after) < len(person):
        return False
    pairs = [(t, track) for t in before[-1:]] + [(track, t) for t in after[:1]]
    return all(_continues(a, b) for a, b in pairs)


def _continues(track: _ViewTrack, later: _ViewTrack) -> bool:
    """Whether the start of `later` can be the person last seen at the end of `track`."""
    if _unlike(track.look(), later.look()) > _ALIKE:
        return False
    old, new = track.last.points, later.first.points
    sizes = _size(old), _size(new)
    gap = later.first.time - track.last.time
    away = np.linalg.norm(np.nanmedian(old, axis=0) - np.nanmedian(new, axis=0)) / max(sizes)
    return bool(away <= _REACH + _REACH_PER_S * gap) and _same_size(*sizes)


def _fewest(time: FloatArray) -> int:
    """Frames that make a person."""
    step = float(np.median(np.diff(time))) if len(time) > 1 else np.inf
    return max(1, min(round(_FEWEST_S / step), len(time) // 2))


def _person(tracks: Sequence[_ViewTrack], count: int, weight: float) -> ImagePerson:
    place, doubt = np.full(count, -1), np.zeros(count, bool)
    for track in tracks:
        for entry in track.entries:
            place[entry.frame] = entry.rows[0]
        doubt[sorted(track.doubts)] = True
    return ImagePerson(place, doubt & (place >= 0), weight)


def _middle(entry: Entry) -> FloatArray:
    return np.asarray(np.nanmedian(entry.points, axis=0))


def _same_size(one: float, other: float) -> bool:
    return max(one, other) <= _SAME_SIZE * min(one, other)


def _size(pose: FloatArray) -> float:
    """Pixels: the diagonal of the box around the points of `pose` (J, 2 or more); at least 1."""
    xy = pose[all_finite(pose), :2]
    return max(float(np.linalg.norm(extent(xy))), 1.0)
