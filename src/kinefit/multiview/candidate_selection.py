"""Which hypothesis of each frame: the one that its views support, and its neighbours in time.

Detectors see a joint a little elsewhere from each side. A point that changes its views from frame
to frame jumps by that difference, though nothing moved; a path that keeps to views that agree
does not, and a wrong pair of views that looks good in one frame has no neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kinefit.types import BoolArray, FloatArray, IntArray

# Costs are parts of a frame whose views are all disbelieved. A point that is 1 cm off where the
# motion of the frame takes it costs `_PER_CM2`, a jump of `_FAR_M` and more costs 1: at 4, frames
# without a right hypothesis drag their neighbours along (4 cameras, 30 % of views wrong: 27 % of
# points are lost instead of 18). Without any, 4.8 % of the demo's points are lost, not 1.
_PER_CM2 = 0.009
_FAR_M = 0.105
_BREAK_S = 0.1  # frames further apart than this tell nothing of each other
_MOST = 8  # hypotheses of a point that take part, the best by themselves
_APART_M = 0.25  # two hypotheses further apart than this are two places, not the noise of one
_AS_GOOD = 0.1  # of a frame's worst cost: what is nearer than this is as good
# Pairs this much worse than the best still say how a point moves. On the demo (whose pairs differ
# by the detector's bias) 0.1 makes bones vary by 5.0 % and 0.2 by 4.7; with one of four views wrong
# in each frame, 0.3 loses 9 points of 6,000 and puts some 20 cm off, all pairs lose 700.
_USED = 0.2
_CHUNK = 2_000_000  # numbers per array


class Selection(NamedTuple):
    """hypothesis: (T, J) index into the P hypotheses, -1 where there is none.
    ambiguous: (T, J) another place is as good, with the frames around taken into account.
    """

    hypothesis: IntArray
    ambiguous: BoolArray


def select_candidates(points: FloatArray, cost: FloatArray, time: FloatArray | None) -> Selection:
    """Temporal candidate selection: the cheapest path of each point through its hypotheses.

    points: (3, P, T, J) metres; cost: (P, T, J), infinite where there is no hypothesis.
    time: (T,) seconds; None: each frame by itself.
    """
    motion = None if time is None else _common_motion(points, cost)
    order = None
    if len(cost) > _MOST:
        order = np.argpartition(cost, _MOST, axis=0)[:_MOST]
        points = np.take_along_axis(points, order[None], axis=1)
        cost = np.take_along_axis(cost, order, axis=0)
    none = np.isinf(cost)
    cost = np.where(none, 1e9, cost)
    if time is None or motion is None or len(time) < 2:
        best, total = cost.argmin(axis=0), cost
    else:
        places, gaps = np.where(none, 0.0, points), np.diff(time)
        best = _shortest(places, cost, motion, gaps)
        total = cost + _detour(places, best, motion, gaps)
    lost = none.all(axis=0)
    at = np.take_along_axis(points, best[None, None], axis=1)
    away = np.abs(points - at).max(axis=0) > _APART_M
    close = total - np.take_along_axis(total, best[None], axis=0) < _AS_GOOD
    ambiguous = (away & close & ~none).any(axis=0) & ~lost
    if order is not None:
        best = np.take_along_axis(order, best[None], axis=0)[0]
    return Selection(np.where(lost, -1, best), ambiguous)


def _common_motion(points: FloatArray, cost: FloatArray) -> FloatArray:
    """(3, T - 1, J) metres from each frame to the next: the median over the pairs of cameras.

    What a pair sees wrongly it sees wrongly in both frames, so that its own step is near the
    truth. Only pairs that are as good as the best of both frames are asked: others may have a
    wrong view in one of them. Where there is none, it is the step from best to best.
    """
    column = np.indices(cost.shape[1:])
    best = cost.argmin(axis=0)
    good = cost < cost[best, *column] + _USED
    step = np.diff(points, axis=2)
    step = np.where(good[:, 1:] & good[:, :-1], step, np.nan)
    ordered = np.sort(step, axis=1)  # NaN last
    count = np.isfinite(ordered).sum(axis=1, keepdims=True)
    middle = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=1)[:, 0]
    straight = np.diff(points[:, best, *column], axis=1)
    return np.asarray(np.nan_to_num(np.where(np.isfinite(middle), middle, straight)))


def _shortest(
    points: FloatArray, cost: FloatArray, motion: FloatArray, gaps: FloatArray
) -> IntArray:
    """(T, J) the cheapest path (Viterbi)."""
    P, T, J = cost.shape
    came = np.empty((T, P, J), np.int64)
    total = cost[:, 0]
    chunk = max(1, _CHUNK // (P * P * J))
    for first in range(1, T, chunk):
        stop = min(first + chunk, T)
        edges = _edges(points, motion, gaps, slice(first, stop))
        for t, edge in enumerate(edges, start=first):
            ways = total + edge  # (here, before, J)
            came[t] = ways.argmin(axis=1)
            total = ways.min(axis=1) + cost[:, t]
    best = np.empty((T, J), np.int64)
    best[-1] = total.argmin(axis=0)
    column = np.arange(J)
    for t in range(T - 1, 0, -1):
        best[t - 1] = came[t, best[t], column]
    return best


def _detour(points: FloatArray, best: IntArray, motion: FloatArray, gaps: FloatArray) -> FloatArray:
    """(P, T, J) the cost of the steps from the path before to each place, and on to the path."""
    path = np.take_along_axis(points, best[None, None], axis=1)  # (3, 1, T, J)
    out = np.zeros(points.shape[1:])
    step = _step_cost(points[:, :, 1:] - path[:, :, :-1] - motion[:, None], gaps)
    out[:, 1:] += step
    out[:, :-1] += _step_cost(path[:, :, 1:] - points[:, :, :-1] - motion[:, None], gaps)
    return out


def _step_cost(off: FloatArray, gaps: FloatArray) -> FloatArray:
    """(..., T, J) cost of being `off` (3, ..., T, J) metres from where the motion leads."""
    cost = _PER_CM2 * 1e4 * np.minimum((off * off).sum(axis=0), _FAR_M**2)
    return np.where((gaps > _BREAK_S)[:, None], 0.0, cost)


def _edges(points: FloatArray, motion: FloatArray, gaps: FloatArray, frames: slice) -> FloatArray:
    """(n, P here, P before, J) cost of each step into `frames`."""
    before = slice(frames.start - 1, frames.stop - 1)
    moved = points[:, :, before] + motion[:, None, before]
    off = points[:, :, None, frames] - moved[:, None]  # (3, here, before, n, J)
    return _step_cost(off, gaps[before]).transpose(2, 0, 1, 3)
