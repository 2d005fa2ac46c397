"""Persons tracked in space: each frame's detections go to the tracks that they fit.

Every person that is known is expected where their speed takes them. In each camera the detections
are assigned to the tracks with the least sum of distances between rays and joints (Hungarian
method); what then contradicts the other cameras is given up again. Detections left over in two or
more cameras that meet in space start a new track. (Tracking people in space and matching each
camera to the tracks, instead of matching cameras to one another anew in every frame, is the idea of
Chen et al., "Cross-View Tracking for Multi-Human 3D Pose Estimation at over 100 FPS", CVPR 2020.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinefit.tracking.person_detections import (
    PersonDetections,
    mean_distance,
    meet,
    place_bodies,
    ray_distances,
    zero_missing,
)
from kinefit.tracking.track import FAR, Entry, Track, assign
from kinefit.types import BoolArray, FloatArray, IntArray, extent

# Metres. A detection may be this far from where a person is expected (mean over its points), and
# farther for each second that fewer than two cameras have seen them.
_REACH = 0.25
_REACH_PER_S = 2.0
_REACH_MOST = 1.0
# The noise of a view (see `_noise`) beyond which it shows somebody else, and the mean beyond which
# a track is no person. Pose2Sim's two real demos, four cameras each: 0.04 in the middle, 0.16 at
# most, for the right person; 0.25 and more, mostly, for two views of different persons.
_AGREE = 0.16
_GHOST = 0.12
_OVER_S = 0.3  # the time over which such averages forget
# A view has a rival if another detection of its camera agrees twice as well with the track's others
# and it does not agree very well itself: so two cameras take one person for another who happens
# to be in line. A track that is contested for most of the time is no person either.
_WELL = 0.05
_CONTESTED = 0.5
_CERTAIN = 0.6  # of these limits: a track that comes to exceed one is believed up to here
_CAP = 0.5  # no single point counts as further away
_DOUBT = 0.10  # a ray this far from the expected point has half the say
_TRUST = 0.03  # the say of the expectation, beside a ray's 1: it settles depth in a single view
_LOST_S = 1.0  # unseen for longer, a person is not tracked any more, only taken up again
_TALLEST = 3.0  # metres; what is larger is where rays of two persons happen to meet


@dataclass(eq=False)
class SpaceTrack(Track):
    """A track whose points are metres in the world, with its running doubts.

    error, contest: running means of `_noise`, and of whether a view has a rival; the larger, as a
    share of what is believed, is an entry's doubt. sure: when two cameras last saw the person.
    """

    error: float = 0.0
    contest: float = 0.0
    sure: float = -np.inf

    def add(self, entry: Entry, error: float, contested: bool = False) -> None:
        if entry.is_sure:
            share = 1 - np.exp(-(entry.time - self.sure) / _OVER_S) if self.entries else 1.0
            self.error += share * (error - self.error)
            self.contest += min(share, 0.5) * (contested - self.contest)
            self.sure = entry.time
        doubt = max(self.error / _GHOST, self.contest / _CONTESTED)
        self.entries.append(entry._replace(doubt=doubt))

    @property
    def is_believed(self) -> bool:
        return self.last.doubt <= 1

    def cut_doubted(self) -> None:
        """Take away the last entries of a track that is not believed, from where doubt began."""
        certain = [i + 1 for i, entry in enumerate(self.entries) if entry.doubt <= _CERTAIN]
        since = self.last.time - _OVER_S
        late = sum(entry.time < since for entry in self.entries)
        del self.entries[certain[-1] if certain else late :]

    def reach(self, time: float) -> float:
        return min(_REACH + _REACH_PER_S * (time - self.sure), _REACH_MOST)


def track_people(seen: PersonDetections, time: FloatArray) -> list[SpaceTrack]:
    """Everybody whom two cameras see at the same time, in pieces that nothing interrupts."""
    tracks: list[SpaceTrack] = []
    active: list[SpaceTrack] = []
    for frame in range(len(seen.starts) - 1):
        rows = np.arange(seen.starts[frame], seen.starts[frame + 1])
        if not len(rows):
            continue
        now = float(time[frame])
        active = [t for t in active if now - t.last.time <= _LOST_S and t.is_believed]
        taken = _extend(seen, rows, active, frame, now)
        started = _start(seen, rows[~taken], frame, now)
        tracks += started
        active += started
    for track in tracks:
        if not track.is_believed:
            track.cut_doubted()
    return [track for track in tracks if any(entry.is_sure for entry in track.entries)]


def _extend(
    seen: PersonDetections, rows: IntArray, active: Sequence[SpaceTrack], frame: int, now: float
) -> BoolArray:
    """Give the tracks the detections `rows` that fit them; (n,) True for those that were taken."""
    if not active:
        return np.zeros(len(rows), bool)
    origin, weight, camera = seen.origin[rows], seen.weight[rows], seen.camera[rows]
    expected = np.stack([track.expected(now) for track in active])
    reach = np.array([track.reach(now) for track in active])
    distance, swap = ray_distances(expected, seen.rays[rows], origin, seen.twin)
    cost = mean_distance(distance, weight, np.maximum(_CAP, 1.5 * reach)[:, None, None])
    cost[cost > reach[:, None]] = FAR
    mine = np.zeros(cost.shape, bool)
    for c in np.unique(camera):
        mine[:, camera == c] = assign(cost[:, camera == c])
    rays, say = _relabelled(seen, rows, swap, distance)
    points = place_bodies(expected, _TRUST, rays, origin, say * mine[..., None])
    error = _noise(_away(seen, rows, points), mine.sum(axis=1)[:, None])
    mine = _agreeing(mine, error, cost)
    points = place_bodies(expected, _TRUST, rays, origin, say * mine[..., None])
    # A track all of whose views are near has none that agrees badly.
    doubtful = mine & (error > _WELL).any(axis=1, where=mine, keepdims=True)
    contested = _contested(seen, rows, doubtful)
    for m, track in enumerate(active):
        if mine[m].any():
            apart = float(error[m, mine[m]].mean())
            track.add(Entry(frame, now, rows[mine[m]], points[m]), apart, bool(contested[m]))
    return np.asarray(mine.any(axis=0))


def _relabelled(
    seen: PersonDetections, rows: IntArray, swap: BoolArray, distance: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Rays (M, n, K, 3), 0 where missing, and weights (M, n, K) of detections for M tracks.

    Sides are exchanged where `swap` (M, n, K); rays that are far from where a point is expected
    (`distance`) have less weight.
    """
    rays, weight = seen.rays[rows], seen.weight[rows]
    rays = zero_missing(np.where(swap[..., None], rays[:, seen.twin], rays))
    weight = np.where(swap, weight[:, seen.twin], weight)
    return rays, np.asarray(weight / (1 + (zero_missing(distance) / _DOUBT) ** 2))


def _away(seen: PersonDetections, rows: IntArray, points: FloatArray) -> FloatArray:
    """(M, n) metres, mean distance between the detections' rays and bodies (M, K, 3)."""
    distance, _ = ray_distances(points, seen.rays[rows], seen.origin[rows], seen.twin)
    return mean_distance(distance, seen.weight[rows], _CAP)


def _pairs(seen: PersonDetections, rows: IntArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Of detections in different cameras: (P, 2) which two, (P, K, 3) where their rays meet, and
    (P,) metres of noise between them."""
    a, b = np.triu_indices(len(rows), 1)
    pairs = np.column_stack([a, b])[seen.camera[rows[a]] != seen.camera[rows[b]]]
    places, gap = meet(seen.rays[rows], seen.origin[rows], seen.twin, pairs)
    both = np.minimum(seen.weight[rows[pairs[:, 0]]], seen.weight[rows[pairs[:, 1]]])
    return pairs, places, _noise(mean_distance(gap, both, _CAP), 2)


def _contested(seen: PersonDetections, rows: IntArray, mine: BoolArray) -> BoolArray:
    """(M,) True where one of a track's views has a rival."""
    camera, n = seen.camera[rows], len(rows)
    contested = np.zeros(len(mine), bool)
    # Nobody has a rival where no camera shows two persons.
    if not mine.any() or len(np.unique(camera)) == n:
        return contested
    noise = np.full((n, n), np.nan)
    pairs, _, noise[tuple(pairs.T)] = _pairs(seen, rows)
    noise = np.fmin(noise, noise.T)
    for m, own in enumerate(mine):
        views = np.flatnonzero(own)
        if len(views) < 2:
            continue
        # (n,) how well each detection agrees with the track's views in other cameras.
        known = np.isfinite(noise[:, views])
        agree = np.where(known, noise[:, views], 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1)
        rival = ~own & (camera[:, None] == camera[views]).any(axis=1)
        for view in views[agree[views] > _WELL]:
            others = rival & (camera == camera[view])
            contested[m] |= bool((agree[others] < agree[view] / 2).any())
    return contested


def _noise(error: FloatArray, views: IntArray | int) -> FloatArray:
    """What `error` (metres, mean distance between views and the body they make) says of a view.

    A body is drawn to its views: of 2n numbers three are used up, so that two views leave half of
    their noise and many leave all of it.
    """
    n = np.maximum(views, 2)
    return np.asarray(error / np.sqrt((2 * n - 3) / (2 * n)))


def _agreeing(mine: BoolArray, error: FloatArray, cost: FloatArray) -> BoolArray:
    """`mine` without the views that contradict the others of their track.

    Of two views that contradict each other, the one nearer to the expectation stays.
    """
    kept = mine & (error <= _AGREE)
    alone = mine.any(axis=1) & ~kept.any(axis=1)
    best = np.where(mine, cost, np.inf).argmin(axis=1)
    kept[np.flatnonzero(alone), best[alone]] = True
    return kept


def _start(seen: PersonDetections, rows: IntArray, frame: int, now: float) -> list[SpaceTrack]:
    """New tracks from detections that no track took: those that most views support first."""
    started: list[SpaceTrack] = []
    if len(np.unique(seen.camera[rows])) < 2:
        return started
    pairs, places, noise = _pairs(seen, rows)
    near = (noise <= _AGREE) & (extent(places).max(axis=1) <= _TALLEST)
    pairs, places = pairs[near], places[near]
    if not len(pairs):
        return started
    error = _away(seen, rows, places)
    free = np.ones(len(rows), bool)
    while (found := _best_supported(error, seen.camera[rows], free, pairs)) is not None:
        pair, members = found
        points, apart = _placed(seen, rows[members], places[pair])
        started.append(SpaceTrack())
        started[-1].add(Entry(frame, now, rows[members], points), apart)
        free[members] = False
    return started


def _best_supported(
    error: FloatArray, camera: IntArray, free: BoolArray, pairs: IntArray
) -> tuple[int, IntArray] | None:
    """The pair whose body most free detections agree on, and these detections, one per camera.

    error: (P, n) metres of each detection from the body that each pair makes. A body's support is
    the sum over cameras of how much nearer than `_AGREE` its nearest detection is. None where no
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


def _placed(seen: PersonDetections, rows: IntArray, start: FloatArray) -> tuple[FloatArray, float]:
    """(K, 3) metres: the body that these detections make, and their mean distance from it."""
    distance, swap = ray_distances(start[None], seen.rays[rows], seen.origin[rows], seen.twin)
    rays, say = _relabelled(seen, rows, swap, distance)
    nothing = np.full((1, *start.shape), np.nan)
    points = place_bodies(nothing, 0.0, rays, seen.origin[rows], say)
    return points[0], float(_noise(_away(seen, rows, points), len(rows)).mean())
