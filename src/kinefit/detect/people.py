"""Which of several people is the subject, over a whole video."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from kinefit.types import FloatArray, IntArray, all_finite

# How far somebody may be from where they are expected, in sizes of the person (diagonal of the
# box around the points): this much at once, and this much more for each second unseen. A person
# of 1.8 m who sprints at 10 m/s moves 5 sizes in a second, but is expected to.
_REACH = 0.25
_REACH_PER_S = 2.0
_SPEED_OVER_S = 0.2  # speed is measured over this time: over one frame it would be noise
_LOST_S = 0.5  # unseen for longer, a person is not followed any more, only taken up again
_SAME_SIZE = 1.5  # the largest ratio of sizes at which it can be the same person again
_ENOUGH = 3  # points that make a person, or tell one from another
_FAR = 1e6  # sizes; further than any true distance


def choose_person(points: Sequence[FloatArray], time: FloatArray) -> IntArray:
    """Which person of each frame is the subject: who is large and sure, for long.

    points: per frame (N, J, 3) x, y (pixels) and score; NaN where not found.
    time: (F,) seconds.
    Returns (F,) places in the frame, -1 where the subject is not there.

    People are followed from frame to frame by the distance of their points from where their
    speed would have them, all at once with the least sum (Hungarian method). The path with the
    largest sum of size x mean score is the subject's. Other paths that never overlap it in
    time, and begin near where it ended and as large, are the subject again. So the order in the
    file says nothing, and who walks through while the subject is seen is never taken for it.
    """
    chosen = np.full(len(points), -1, np.int64)
    subject: list[_Path] = []  # kept in the order of time
    for path in sorted(_follow(points, time), key=lambda path: -path.weight):
        if not subject or _is_again(path, subject):
            insort(subject, path, key=lambda path: path.frames[0])
            chosen[path.frames] = path.places
    return chosen


@dataclass(eq=False)
class _Path:
    """One person, seen in `frames` at `times` in `places` of the frame as `poses` (J, 3)."""

    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    poses: list[FloatArray] = field(default_factory=list)
    weight: float = 0.0

    def add(self, frame: int, time: float, place: int, pose: FloatArray) -> None:
        self.frames.append(frame)
        self.times.append(time)
        self.places.append(place)
        self.poses.append(pose)
        self.weight += _size(pose) * float(np.nan_to_num(pose[:, 2]).mean())

    def distances(self, time: float, poses: FloatArray) -> FloatArray:
        """(N,) how far `poses` (N, J, 3) are from where this person is expected at `time`.

        Medians over the points that both have, in sizes of the person; _FAR beyond reach, and
        where these points are spread too differently for one person.
        """
        gap = time - self.times[-1]
        reach = _REACH + _REACH_PER_S * gap
        expected = self.poses[-1][:, :2] + gap * self._velocity()
        distances = np.full(len(poses), _FAR)
        for place, pose in enumerate(poses):
            both = all_finite(expected) & all_finite(pose)
            if both.sum() >= _ENOUGH and _same_size(_size(expected[both]), _size(pose[both])):
                away = np.linalg.norm(pose[both, :2] - expected[both], axis=1)
                distances[place] = np.median(away) / _size(self.poses[-1])
        return np.where(distances <= reach, distances, _FAR)

    def _velocity(self) -> FloatArray:
        """(2,) pixels per second, the median over the points; 0 while it cannot be known."""
        first = max(bisect_right(self.times, self.times[-1] - _SPEED_OVER_S) - 1, 0)
        step = self.poses[-1][:, :2] - self.poses[first][:, :2]
        step = step[all_finite(step)]
        duration = self.times[-1] - self.times[first]
        return np.median(step, axis=0) / duration if len(step) and duration else np.zeros(2)


def _follow(points: Sequence[FloatArray], time: FloatArray) -> list[_Path]:
    """Everybody's path; each person of each frame belongs to one."""
    from scipy.optimize import linear_sum_assignment  # half a second that only files need

    paths: list[_Path] = []
    seen: list[_Path] = []
    for frame, poses in enumerate(points):
        now = float(time[frame])
        seen = [path for path in seen if now - path.times[-1] <= _LOST_S]
        away = np.array([path.distances(now, poses) for path in seen]).reshape(
            len(seen), len(poses)
        )
        pairs = zip(*linear_sum_assignment(away), strict=True)
        known = {int(place): seen[i] for i, place in pairs if away[i, place] < _FAR}
        for place, pose in enumerate(poses):
            if all_finite(pose).sum() < _ENOUGH:
                continue
            if place not in known:
                known[place] = _Path()
                paths.append(known[place])
                seen.append(known[place])
            known[place].add(frame, now, place, pose)
    return paths


def _is_again(path: _Path, subject: Sequence[_Path]) -> bool:
    """Whether `path` can be the subject, whose other paths are `subject`: never two at a time,
    and in reach of the one before and the one after."""
    before = [p for p in subject if p.frames[-1] < path.frames[0]]
    after = [p for p in subject if p.frames[0] > path.frames[-1]]
    if len(before) + len(after) < len(subject):
        return False
    pairs = [(p, path) for p in before[-1:]] + [(path, p) for p in after[:1]]
    return all(_continues(a, b) for a, b in pairs)


def _continues(path: _Path, later: _Path) -> bool:
    """Whether the beginning of `later` can be the person who was last seen at the end of `path`."""
    old, new = path.poses[-1], later.poses[0]
    sizes = _size(old), _size(new)
    gap = later.times[0] - path.times[-1]
    away = float(np.linalg.norm(_centre(old) - _centre(new))) / max(sizes)
    return away <= _REACH + _REACH_PER_S * gap and _same_size(*sizes)


def _same_size(one: float, other: float) -> bool:
    return max(one, other) <= _SAME_SIZE * min(one, other)


def _size(pose: FloatArray) -> float:
    """Pixels: the diagonal of the box around the points of `pose` (J, 2 or more); at least 1."""
    xy = pose[all_finite(pose), :2]
    return max(float(np.linalg.norm(np.ptp(xy, axis=0))), 1.0)


def _centre(pose: FloatArray) -> FloatArray:
    """(2,) pixels: the median of the points."""
    return np.asarray(np.nanmedian(pose[:, :2], axis=0))
