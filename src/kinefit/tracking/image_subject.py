"""Which of several people is the subject, over a whole video of one camera."""

from __future__ import annotations

from bisect import insort
from collections.abc import Sequence

import numpy as np

from kinefit.tracking.track import ENOUGH, FAR, Entry, Track, assign
from kinefit.types import FloatArray, IntArray, all_finite, extent

# How far somebody may be from where they are expected, in sizes of the person (diagonal of the
# box around the points): this much at once, and this much more for each second unseen. A person
# of 1.8 m who sprints at 10 m/s moves 5 sizes in a second, but is expected to.
_REACH = 0.25
_REACH_PER_S = 2.0
_LOST_S = 0.5  # unseen for longer, a person is not followed any more, only taken up again
_SAME_SIZE = 1.5  # the largest ratio of sizes at which it can be the same person again


def subject_in_view(points: Sequence[FloatArray], time: FloatArray) -> IntArray:
    """Which person of each frame is the subject: who is large and sure, for long.

    points: per frame (N, J, 3) x, y (pixels) and score; NaN where not found.
    time: (F,) seconds.
    Returns (F,) places in the frame, -1 where the subject is not there.

    People are tracked from frame to frame by the distance of their points from where their
    speed would have them, all at once with the least sum. The track with the largest sum of
    size x mean score is the subject's. Other tracks that never overlap it in time, and begin near
    where it ended and as large, are the subject again. So the order in the file says nothing, and
    who walks through while the subject is seen is never taken for it.
    """
    chosen = np.full(len(points), -1, np.int64)
    subject: list[Track] = []  # kept in the order of time
    for track in sorted(_tracks(points, time), key=lambda track: -_weight(track, points)):
        if not subject or _is_again(track, subject):
            insort(subject, track, key=lambda track: track.first.frame)
            for entry in track.entries:
                chosen[entry.frame] = entry.rows[0]
    return chosen


def _tracks(points: Sequence[FloatArray], time: FloatArray) -> list[Track]:
    """Everybody's tracks; each person of each frame belongs to one."""
    tracks: list[Track] = []
    active: list[Track] = []
    for frame, poses in enumerate(points):
        now = float(time[frame])
        active = [track for track in active if now - track.last.time <= _LOST_S]
        cost = np.array([_distances(track, now, poses) for track in active])
        mine = assign(cost.reshape(len(active), len(poses)))
        for place, pose in enumerate(poses):
            if all_finite(pose).sum() < ENOUGH:
                continue
            taken = np.flatnonzero(mine[:, place])
            track = active[taken[0]] if len(taken) else Track()
            if not len(taken):
                tracks.append(track)
            track.entries.append(Entry(frame, now, np.array([place]), pose[:, :2]))
        active += [track for track in tracks if track not in active and track.last.frame == frame]
    return tracks


def _distances(track: Track, time: float, poses: FloatArray) -> FloatArray:
    """(N,) how far `poses` (N, J, 3) are from where this person is expected at `time`.

    Medians over the points that both have, in sizes of the person; FAR beyond reach, and
    where these points are spread too differently for one person.
    """
    expected = track.expected(time)
    distances = np.full(len(poses), FAR)
    for place, pose in enumerate(poses):
        both = all_finite(expected) & all_finite(pose)
        if both.sum() >= ENOUGH and _same_size(_size(expected[both]), _size(pose[both])):
            away = np.linalg.norm(pose[both, :2] - expected[both], axis=1)
            distances[place] = np.median(away) / _size(track.last.points)
    reach = _REACH + _REACH_PER_S * (time - track.last.time)
    return np.where(distances <= reach, distances, FAR)


def _weight(track: Track, points: Sequence[FloatArray]) -> float:
    """How much a track is the subject's: the sum of size x mean score."""
    return sum(
        _size(e.points) * float(np.nan_to_num(points[e.frame][e.rows[0], :, 2]).mean())
        for e in track.entries
    )


def _is_again(track: Track, subject: Sequence[Track]) -> bool:
    """Whether `track` can be the subject, whose other tracks are `subject`: never two at a time,
    and in reach of the one before and the one after."""
    before = [t for t in subject if t.last.frame < track.first.frame]
    after = [t for t in subject if t.first.frame > track.last.frame]
    if len(before) + len(after) < len(subject):
        return False
    pairs = [(t, track) for t in before[-1:]] + [(track, t) for t in after[:1]]
    return all(_continues(a, b) for a, b in pairs)


def _continues(track: Track, later: Track) -> bool:
    """Whether the start of `later` can be the person last seen at the end of `track`."""
    old, new = track.last.points, later.first.points
    sizes = _size(old), _size(new)
    gap = later.first.time - track.last.time
    away = np.linalg.norm(np.nanmedian(old, axis=0) - np.nanmedian(new, axis=0)) / max(sizes)
    return bool(away <= _REACH + _REACH_PER_S * gap) and _same_size(*sizes)


def _same_size(one: float, other: float) -> bool:
    return max(one, other) <= _SAME_SIZE * min(one, other)


def _size(pose: FloatArray) -> float:
    """Pixels: the diagonal of the box around the points of `pose` (J, 2 or more); at least 1."""
    xy = pose[all_finite(pose), :2]
    return max(float(np.linalg.norm(extent(xy))), 1.0)
