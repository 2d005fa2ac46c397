"""Persons followed through space: each frame's sightings go to the bodies that they fit.

Every body that is known is expected where its speed takes it. In each camera the sightings are
dealt out among the bodies with the least sum of distances between rays and joints (Hungarian
method); what then contradicts the other cameras is given up again. Sightings left over in two or
more cameras that meet in space begin a new body. (Following the bodies in space and matching each
camera to them, instead of matching cameras to one another anew in every frame, is the idea of Chen
et al., "Cross-View Tracking for Multi-Human 3D Pose Estimation at over 100 FPS", CVPR 2020.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from kinefit.tracking.person_detections import (
    FAR,
    Sightings,
    mean_distance,
    meet,
    place_bodies,
    ray_distances,
    zero_missing,
)
from kinefit.types import BoolArray, FloatArray, IntArray

# Metres. A sighting may be this far from where a body is expected (mean over its points), and
# farther for each second that fewer than two cameras have seen it.
_REACH = 0.25
_REACH_PER_S = 2.0
_REACH_MOST = 1.0
# The noise of a view (see `_noise`) beyond which it shows somebody else, and the mean beyond which
# a body is none. Pose2Sim's two real demos, four cameras each: 0.04 in the middle, 0.16 at most,
# for the right person; 0.25 and more, mostly, for two views of different persons.
_AGREE = 0.16
_GHOST = 0.12
_OVER_S = 0.3  # the time over which such averages forget
# A view has a rival if another sighting of its camera agrees twice as well with the body's others
# and it does not agree very well itself: so two cameras take one person for another who happens
# to be in line. A body that is contested for most of the time is none either.
_WELL = 0.05
_CONTESTED = 0.5
_CERTAIN = 0.6  # of these limits: a body that comes to exceed one is believed up to here
_CAP = 0.5  # no single point counts as further away
_DOUBT = 0.10  # a ray this far from the expected point has half the say
_TRUST = 0.03  # the say of the expectation, beside a ray's 1: it settles depth in a single view
_SPEED_OVER_S = 0.2  # speed is measured over this time: over one frame it would be noise
_LOST_S = 1.0  # unseen for longer, a body is not followed any more, only taken up again
_TALLEST = 3.0  # metres; what is larger is where rays of two persons happen to meet


@dataclass(eq=False)
class Body:
    """One person over some frames.

    frames, times: of F frames. sightings: per frame the rows of `Sightings` that show them.
    points: per frame (K, 3) metres. views: per frame how many cameras place the points.
    doubts: per frame the running means of `_noise`, and of whether a view has a rival, as a share
    of what is believed; the larger of the two.
    """

    frames: list[int] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    sightings: list[IntArray] = field(default_factory=list)
    points: list[FloatArray] = field(default_factory=list)
    views: list[int] = field(default_factory=list)
    doubts: list[float] = field(default_factory=list)
    error: float = 0.0  # running means
    contest: float = 0.0
    sure: float = -np.inf  # when two cameras last saw it

    def add(
        self,
        frame: int,
        time: float,
        rows: IntArray,
        points: FloatArray,
        error: float,
        contested: bool = False,
    ) -> None:
        if len(rows) >= 2:
            share = 1 - np.exp(-(time - self.sure) / _OVER_S) if self.frames else 1.0
            self.error += share * (error - self.error)
            self.contest += min(share, 0.5) * (contested - self.contest)
            self.sure = time
        self.frames.append(frame)
        self.times.append(time)
        self.sightings.append(rows)
        self.points.append(points)
        self.views.append(len(rows))
        self.doubts.append(max(self.error / _GHOST, self.contest / _CONTESTED))

    @property
    def is_believed(self) -> bool:
        return self.doubts[-1] <= 1

    def cut_doubted(self) -> None:
        """Take away the last frames of a body that is not believed, from where doubt began."""
        certain = np.flatnonzero(np.array(self.doubts) <= _CERTAIN)
        late = np.searchsorted(self.times, self.times[-1] - _OVER_S)
        self.cut(int(certain[-1]) + 1 if len(certain) else int(late))

    def cut(self, keep: int) -> None:
        """Forget all but the first `keep` of the frames."""
        for column in self.columns:
            del column[keep:]

    @property
    def last_sure(self) -> int:
        """The last frame in which two cameras see it."""
        return next(f for f, n in zip(self.frames[::-1], self.views[::-1], strict=True) if n >= 2)

    @property
    def columns(self) -> tuple[list[Any], ...]:
        """The lists that have an entry per frame."""
        return (
            self.frames, self.times, self.sightings, self.points, self.views, self.doubts,
        )  # fmt: skip

    def expected(self, time: float) -> FloatArray:
        """(K, 3) metres at `time`: all points carried on with the speed of the body."""
        return np.asarray(self.points[-1] + (time - self.times[-1]) * self._velocity())

    def reach(self, time: float) -> float:
        return min(_REACH + _REACH_PER_S * (time - self.sure), _REACH_MOST)

    def _velocity(self) -> FloatArray:
        """(3,) metres per second, the mean of the points; 0 while it cannot be known.

        A mean, which exchanged sides do not change, nor the direction of the axes.
        """
        first = len(self.times) - 1
        while first > 0 and self.times[-1] - self.times[first] < _SPEED_OVER_S:
            first -= 1
        step = self.points[-1] - self.points[first]
        step = step[np.isfinite(step[:, 0])]
        duration = self.times[-1] - self.times[first]
        return step.mean(axis=0) / duration if len(step) and duration else np.zeros(3)


def follow_bodies(seen: Sightings, time: FloatArray) -> list[Body]:
    """Everybody whom two cameras see at the same time, in pieces that nothing interrupts."""
    bodies: list[Body] = []
    active: list[Body] = []
    for frame in range(len(seen.starts) - 1):
        rows = np.arange(seen.starts[frame], seen.starts[frame + 1])
        if not len(rows):
            continue
        now = float(time[frame])
        active = [b for b in active if now - b.times[-1] <= _LOST_S and b.is_believed]
        taken = _go_on(seen, rows, active, frame, now)
        born = _begin(seen, rows[~taken], frame, now)
        bodies += born
        active += born
    for body in bodies:
        if not body.is_believed:
            body.cut_doubted()
    return [body for body in bodies if any(n >= 2 for n in body.views)]


def _go_on(
    seen: Sightings, rows: IntArray, active: Sequence[Body], frame: int, now: float
) -> BoolArray:
    """Give the bodies the sightings `rows` that fit them; (n,) True for those that were taken."""
    taken = np.zeros(len(rows), bool)
    if not active:
        return taken
    rays, origin, weight = seen.rays[rows], seen.origin[rows], seen.weight[rows]
    expected = np.stack([body.expected(now) for body in active])
    reach = np.array([body.reach(now) for body in active])
    distance, swap = ray_distances(expected, rays, origin, seen.twin)
    cost = mean_distance(distance, weight, np.maximum(_CAP, 1.5 * reach)[:, None, None])
    cost[cost > reach[:, None]] = FAR
    mine = _deal_out(cost, seen.camera[rows])
    rays = zero_missing(np.where(swap[..., None], rays[:, seen.twin], rays))
    say = np.where(swap, weight[:, seen.twin], weight)
    points = place_bodies(expected, _TRUST, rays, origin, _doubted(say, distance) * mine[..., None])
    error = mean_distance(
        ray_distances(points, seen.rays[rows], origin, seen.twin)[0], weight, _CAP
    )
    error = _noise(error, mine.sum(axis=1)[:, None])
    mine = _agreeing(mine, error, cost)
    points = place_bodies(expected, _TRUST, rays, origin, _doubted(say, distance) * mine[..., None])
    # A body all of whose views are near has none that agrees badly.
    doubtful = mine & (error > _WELL).any(axis=1, where=mine, keepdims=True)
    contested = _contested(seen, rows, doubtful)
    for m, body in enumerate(active):
        if mine[m].any():
            apart = float(error[m, mine[m]].mean())
            body.add(frame, now, rows[mine[m]], points[m], apart, bool(contested[m]))
    return np.asarray(mine.any(axis=0))


def _contested(seen: Sightings, rows: IntArray, mine: BoolArray) -> BoolArray:
    """(M,) True where one of a body's views has a rival."""
    camera, n = seen.camera[rows], len(rows)
    # Nobody has a rival where no camera shows two persons.
    if not mine.any() or len(np.unique(camera)) == n:
        return np.zeros(len(mine), bool)
    a, b = np.triu_indices(n, 1)
    between = camera[a] != camera[b]
    pairs = np.column_stack([a, b])[between]
    _, gap = meet(seen.rays[rows], seen.origin[rows], seen.twin, pairs)
    both = np.minimum(seen.weight[rows[pairs[:, 0]]], seen.weight[rows[pairs[:, 1]]])
    noise = np.full((n, n), np.nan)
    noise[pairs[:, 0], pairs[:, 1]] = _noise(mean_distance(gap, both, _CAP), 2)
    noise = np.fmin(noise, noise.T)
    contested = np.zeros(len(mine), bool)
    for m, own in enumerate(mine):
        views = np.flatnonzero(own)
        if len(views) < 2:
            continue
        # (n,) how well each sighting agrees with the body's views in other cameras.
        known = np.isfinite(noise[:, views])
        agree = np.where(known, noise[:, views], 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        rival = ~own & (camera[:, None] == camera[views]).any(axis=1)
        for view in views[agree[views] > _WELL]:
            others = rival & (camera == camera[view])
            contested[m] |= bool((agree[others] < agree[view] / 2).any())
    return contested


def _deal_out(cost: FloatArray, camera: IntArray) -> BoolArray:
    """(M, n) True where body m gets sighting i: in each camera each at most one, least sum."""
    from scipy.optimize import linear_sum_assignment  # half a second that only this needs

    mine = np.zeros(cost.shape, bool)
    for c in np.unique(camera):
        columns = np.flatnonzero(camera == c)
        for m, i in zip(*linear_sum_assignment(cost[:, columns]), strict=True):
            mine[m, columns[i]] = cost[m, columns[i]] < FAR
    return mine


def _doubted(weight: FloatArray, distance: FloatArray) -> FloatArray:
    """Weights (M, n, K), smaller for rays that are far from where the point is expected."""
    doubt = 1 + (zero_missing(distance) / _DOUBT) ** 2
    return np.asarray(weight / doubt)


def _noise(error: FloatArray, views: IntArray | int) -> FloatArray:
    """What `error` (metres, mean distance between views and the body they make) says of a view.

    A body is drawn to its views: of 2n numbers three are used up, so that two views leave half of
    their noise and many leave all of it.
    """
    n = np.maximum(views, 2)
    return np.asarray(error / np.sqrt((2 * n - 3) / (2 * n)))


def _agreeing(mine: BoolArray, error: FloatArray, cost: FloatArray) -> BoolArray:
    """`mine` without the views that contradict the others of their body.

    Of two views that contradict each other, the one nearer to the expectation stays.
    """
    kept = mine & (error <= _AGREE)
    alone = mine.any(axis=1) & ~kept.any(axis=1)
    best = np.where(mine, cost, np.inf).argmin(axis=1)
    kept[np.flatnonzero(alone), best[alone]] = True
    return kept


def _begin(seen: Sightings, rows: IntArray, frame: int, now: float) -> list[Body]:
    """New bodies from sightings that no body took: those that most views support first."""
    born: list[Body] = []
    camera = seen.camera[rows]
    if len(np.unique(camera)) < 2:
        return born
    rays, origin, weight = seen.rays[rows], seen.origin[rows], seen.weight[rows]
    a, b = np.triu_indices(len(rows), 1)
    pairs = np.column_stack([a, b])[camera[a] != camera[b]]
    places, gap = meet(rays, origin, seen.twin, pairs)
    both = np.minimum(weight[pairs[:, 0]], weight[pairs[:, 1]])
    near = _noise(mean_distance(gap, both, _CAP), 2) <= _AGREE
    near[near] = _extent(places[near]) <= _TALLEST
    pairs, places = pairs[near], places[near]
    if not len(pairs):
        return born
    distance, _ = ray_distances(places, rays, origin, seen.twin)
    error = mean_distance(distance, weight, _CAP)
    free = np.ones(len(rows), bool)
    while (found := _best_supported(error, camera, free, pairs)) is not None:
        pair, members = found
        points, apart = _placed(seen, rows[members], places[pair])
        body = Body()
        body.add(frame, now, rows[members], points, apart)
        born.append(body)
        free[members] = False
    return born


def _best_supported(
    error: FloatArray, camera: IntArray, free: BoolArray, pairs: IntArray
) -> tuple[int, IntArray] | None:
    """The pair whose body most free sightings agree on, and these sightings, one per camera.

    error: (P, n) metres of each sighting from the body that each pair makes. A body's support is
    the sum over cameras of how much nearer than `_AGREE` its nearest sighting is. None where no
    two cameras agree.
    """
    good = np.where(free & (error <= _AGREE), _AGREE - error, 0.0)
    good[~free[pairs].all(axis=1)] = 0.0
    columns = [np.flatnonzero(camera == c) for c in np.unique(camera)]
    support = np.stack([good[:, c].max(axis=1) for c in columns], axis=1)
    total = np.where((support > 0).sum(axis=1) >= 2, support.sum(axis=1), 0.0)
    best = int(total.argmax())
    if total[best] <= 0:
        return None
    members = [c[good[best, c].argmax()] for c in columns if good[best, c].max() > 0]
    return best, np.array(members, dtype=np.int64)


def _placed(seen: Sightings, rows: IntArray, start: FloatArray) -> tuple[FloatArray, float]:
    """(K, 3) metres: the body that these sightings make, and their mean distance from it."""
    rays, origin, weight = seen.rays[rows], seen.origin[rows], seen.weight[rows]
    distance, swap = ray_distances(start[None], rays, origin, seen.twin)
    chosen = zero_missing(np.where(swap[..., None], rays[:, seen.twin], rays))
    say = np.where(swap, weight[:, seen.twin], weight)
    nothing = np.full((1, *start.shape), np.nan)
    points = place_bodies(nothing, 0.0, chosen, origin, _doubted(say, distance))
    error = mean_distance(ray_distances(points, rays, origin, seen.twin)[0], weight, _CAP)
    return points[0], float(_noise(error, len(rows)).mean())


def _extent(points: FloatArray) -> FloatArray:
    """(P,) metres: the longest side of the box around the points (P, K, 3)."""
    known = np.isfinite(points)
    low = np.where(known, points, np.inf).min(axis=1)
    high = np.where(known, points, -np.inf).max(axis=1)
    return np.asarray(np.where(np.isfinite(low), high - low, 0.0).max(axis=1))
