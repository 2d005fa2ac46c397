"""Spikes, gaps and noise of poses, repaired on the rotations themselves; what is missing never
spreads.

Rotations are compared, averaged and interpolated as turns from one to another, never as
parameters: Euler angles and rotation vectors jump where a motion does not. A value that is not
finite has no weight in anything, is no anchor for anything, and stays what it is unless a gap is
bridged, which is a decision of its own (`bridge`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.geometry import rotations as so3
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData

# Values of one chunk of frames times their windows: 200,000 rotations are 14 MB.
_CHUNK = 200_000
_ROUNDS = 12  # of re-weighting: the weights of a spike have fallen to nothing by then
_FEWEST = 4  # values beside a frame's own, for a curve with three coefficients and a doubt
# Median length of a normal 3-vector over the deviation of one component.
_MEDIAN_LENGTH = 1.538


@dataclass(frozen=True)
class SpikeRule:
    """When a value is no part of the motion around it.

    half: frames on each side that it is compared with. reach_s: only those nearer in time.
    sd: deviations of these about their own curve beyond which it is a spike.
    least: and at least this far off: radians or metres.
    """

    half: int = 4
    reach_s: float = 0.3
    sd: float = 6.0
    least: float = 0.35


def slerp(start: FloatArray, end: FloatArray, share: FloatArray | float) -> FloatArray:
    """(..., 3, 3) the rotation at `share` (0..1) of the shortest turn from `start` to `end`.

    share: any shape that broadcasts with the leading axes; beyond 0..1 it goes on turning.
    """
    turn = so3.log(np.swapaxes(start, -1, -2) @ end)
    return np.asarray(start @ so3.exp(np.asarray(share)[..., None] * turn))


def repair_rotations(
    time: FloatArray, rotations: FloatArray, rule: SpikeRule | None = None
) -> tuple[FloatArray, BoolArray]:
    """Rotations (T, J, 3, 3) without single wild ones, and which (T, J) were replaced.

    time: (T,) seconds, increasing. Around each frame a parabola is fitted to the turns from the
    neighbours' medoid to each neighbour, by least absolute lengths, without the frame itself; a
    rotation off that curve as `rule` says takes its place on it. Frames without two neighbours
    on either side are not judged.
    """
    rotations = _as_rotations(time, rotations)
    return _repaired(time, rotations, rule or SpikeRule(), _Turns())


def repair_vectors(
    time: FloatArray, vectors: FloatArray, rule: SpikeRule | None = None
) -> tuple[FloatArray, BoolArray]:
    """The same of vectors (T, J, 3); `rule.least` in their unit (None: 0.1)."""
    vectors = _as_vectors(time, vectors)
    return _repaired(time, vectors, rule or SpikeRule(least=0.1), _Places())


def smooth_rotations(time: FloatArray, rotations: FloatArray, spread_s: float) -> FloatArray:
    """Rotations (T, J, 3, 3) on parabolas through their neighbours in time.

    spread_s: seconds, one deviation of the neighbours' Gaussian weights; 0 changes nothing.
    A rotation that is not finite stays so, and one with fewer than four finite neighbours within
    three deviations stays as it is.
    """
    return _smoothed(time, _as_rotations(time, rotations), spread_s, _Turns())


def smooth_vectors(time: FloatArray, vectors: FloatArray, spread_s: float) -> FloatArray:
    """The same of vectors (T, J, 3)."""
    return _smoothed(time, _as_vectors(time, vectors), spread_s, _Places())


@dataclass(frozen=True, eq=False)
class Bridge:
    """Frames between two good ones, and where between them.

    frame, before, after: (N,) places in the clip. share: (N,) 0..1 of the way in time.
    """

    frame: IntArray
    before: IntArray
    after: IntArray
    share: FloatArray


def bridge(time: FloatArray, good: BoolArray, max_gap_s: float) -> Bridge:
    """The frames that are not `good` (T,) in gaps of at most `max_gap_s` from good to good."""
    at = np.flatnonzero(good)
    lost = np.flatnonzero(~good)
    place = np.searchsorted(at, lost)
    inside = (place > 0) & (place < len(at))
    lost, before, after = lost[inside], at[place[inside] - 1], at[place[inside]]
    gap = time[after] - time[before]
    short = gap <= max_gap_s
    lost, before, after, gap = lost[short], before[short], after[short], gap[short]
    return Bridge(lost, before, after, (time[lost] - time[before]) / gap)


class _Turns:
    """Rotations as vectors about a reference."""

    axes = 2

    def away(self, reference: FloatArray, values: FloatArray) -> FloatArray:
        return so3.log(np.swapaxes(reference, -1, -2) @ values)

    def at(self, reference: FloatArray, away: FloatArray) -> FloatArray:
        return np.asarray(reference @ so3.exp(away))

    def apart(self, values: FloatArray) -> FloatArray:
        """(n, J, W, W) radians between the W values (n, W, J, 3, 3) of a window."""
        q = np.moveaxis(so3.to_quaternion(values), 1, 2)
        cosine = np.abs(q @ np.swapaxes(q, -1, -2))
        return 2 * np.arccos(np.minimum(cosine, 1))


class _Places:
    """Vectors about a reference."""

    axes = 1

    def away(self, reference: FloatArray, values: FloatArray) -> FloatArray:
        return np.asarray(values - reference)

    def at(self, reference: FloatArray, away: FloatArray) -> FloatArray:
        return np.asarray(reference + away)

    def apart(self, values: FloatArray) -> FloatArray:
        x = np.moveaxis(values, 1, 2)
        return so3.norm(x[..., :, None, :] - x[..., None, :, :])


_Space = _Turns | _Places


def _repaired(
    time: FloatArray, values: FloatArray, rule: SpikeRule, space: _Space
) -> tuple[FloatArray, BoolArray]:
    finite, out = _finite(values, space), values.copy()
    spike = np.zeros(finite.shape, dtype=bool)
    for rows in _chunks(values, 2 * rule.half + 1, space):
        _, off, width = _predicted(time, values, finite, rows, rule, space)
        with np.errstate(invalid="ignore"):
            spike[rows] = finite[rows] & (off > np.maximum(rule.sd * width, rule.least))
    # A spike beside another has had its part in the curve: what replaces it is made without both.
    frames = np.flatnonzero(spike.any(axis=1))
    if len(frames):
        curve, _, _ = _predicted(time, values, finite & ~spike, frames, rule, space)
        usable = spike[frames] & _finite(curve, space)
        spike[frames] = usable
        out[frames] = np.where(_spread(usable, space), curve, out[frames])
    return out, spike


def _predicted(
    time: FloatArray, values: FloatArray, finite: BoolArray, rows: IntArray, rule: SpikeRule,
    space: _Space,
) -> tuple[FloatArray, FloatArray, FloatArray]:  # fmt: skip
    """What the neighbours of `rows` say: the value there, how far off the frame's own is (n, J),
    and one deviation of the neighbours about their curve (n, J); NaN where they are too few."""
    index, inside = _window(len(time), rows, rule.half)
    u = time[index] - time[rows, None]
    inside &= (np.abs(u) <= rule.reach_s) & (index != rows[:, None])
    known = finite[index] & inside[..., None]  # (n, W, J)
    enough = ((known & (u < 0)[..., None]).sum(1) >= 2) & ((known & (u > 0)[..., None]).sum(1) >= 2)
    window = values[index]
    window = np.where(_spread(known, space), window, _nothing(space))
    reference = _medoid(window, known, space)
    x = np.moveaxis(space.away(reference[:, None], window), 1, 2)  # (n, J, W, 3)
    weight = np.moveaxis(known, 1, 2).astype(np.float64)
    scale = np.maximum(np.abs(u).max(axis=1, keepdims=True), 1e-9)
    fit, off = _least_lengths(u / scale, x, weight)
    width = _median(so3.norm(off), weight > 0) / _MEDIAN_LENGTH
    there = space.at(reference, fit)
    mine = np.where(_spread(finite[rows], space), values[rows], _nothing(space))
    own = so3.norm(space.away(there, mine))
    nan = np.where(enough, 0.0, np.nan)
    return there + _spread(nan, space), own + nan, width + nan


def _least_lengths(
    u: FloatArray, x: FloatArray, weight: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Parabolas in `u` (n, W) through x (n, J, W, 3) with the least sum of weighted lengths.

    Value at u = 0 (n, J, 3) and residuals (n, J, W, 3). By re-weighted least squares: a weight
    over the length of the residual makes its square that length.
    """
    factor = weight
    for _ in range(_ROUNDS):
        value, off = _parabola(u, x, factor)
        length = so3.norm(off)
        typical = _median(length, weight > 0)[..., None]
        factor = weight / np.maximum(length, 1e-3 * typical + 1e-12)
    return value, off


def _parabola(u: FloatArray, x: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Weighted least squares; with fewer values than coefficients the flattest that fits."""
    A = np.stack([np.ones_like(u), u, u * u], axis=-1)[:, None]  # (n, 1, W, 3)
    total = np.maximum(weight.sum(axis=-1), 1e-300)[..., None]
    B = (weight / total)[..., None] * A
    # 1e-9 of the weights: no curve where values do not ask for one, no matrix without inverse.
    H = np.swapaxes(B, -1, -2) @ A + np.diag([0.0, 1e-9, 1e-9])
    H[..., 0, 0] += 1e-12
    coefficients = np.linalg.solve(H, np.swapaxes(B, -1, -2) @ x)
    return coefficients[..., 0, :], x - A @ coefficients


def _smoothed(time: FloatArray, values: FloatArray, spread_s: float, space: _Space) -> FloatArray:
    if not (np.isfinite(spread_s) and spread_s >= 0):
        raise InvalidData(f"A spread of {spread_s} s smooths nothing. Next: give seconds, 0.03.")
    if spread_s == 0 or len(time) < 2:
        return values.copy()
    finite, out = _finite(values, space), values.copy()
    reach = int(np.ceil(3 * spread_s / np.median(np.diff(time))))
    half = min(max(reach, 1), len(time) - 1)
    for rows in _chunks(values, 2 * half + 1, space):
        index, inside = _window(len(time), rows, half)
        u = (time[index] - time[rows, None]) / spread_s
        weight = np.where(inside & (np.abs(u) <= 3), np.exp(-u * u / 2), 0.0)
        known = finite[index] & (weight > 0)[..., None]
        here = np.where(_spread(finite[rows], space), values[rows], _nothing(space))
        window = np.where(_spread(known, space), values[index], _nothing(space))
        x = np.moveaxis(space.away(here[:, None], window), 1, 2)
        share = np.moveaxis(np.where(known, weight[..., None], 0.0), 1, 2)
        value, _ = _parabola(u, x, share)
        change = finite[rows] & (known.sum(axis=1) > _FEWEST)
        out[rows] = np.where(_spread(change, space), space.at(here, value), out[rows])
    return out


def _medoid(window: FloatArray, known: BoolArray, space: _Space) -> FloatArray:
    """(n, J, ...) of each window (n, W, J, ...) the known value nearest to all others."""
    mask = np.moveaxis(known, 1, 2)
    sums = (space.apart(window) * mask[..., None, :]).sum(axis=-1)
    best = np.where(mask, sums, np.inf).argmin(axis=-1)  # (n, J)
    picked = np.take_along_axis(window, _spread(best[:, None].astype(np.int64), space), axis=1)
    return np.asarray(picked[:, 0])


def _median(values: FloatArray, known: BoolArray) -> FloatArray:
    """Median over the last axis of the known values; zero where there are none."""
    ordered = np.sort(np.where(known, values, np.inf), axis=-1)
    middle = np.maximum(known.sum(axis=-1) - 1, 0) // 2
    found = np.take_along_axis(ordered, middle[..., None], axis=-1)[..., 0]
    return np.where(np.isfinite(found), found, 0.0)


def _window(T: int, rows: IntArray, half: int) -> tuple[IntArray, BoolArray]:
    """(n, W) frames around each of `rows`, and which of them are in the clip."""
    index = rows[:, None] + np.arange(-half, half + 1)
    return np.clip(index, 0, T - 1), (index >= 0) & (index < T)


def _chunks(values: FloatArray, width: int, space: _Space) -> Iterator[IntArray]:
    each = max(1, values[0].size // 3**space.axes * width) if len(values) else 1
    step = max(1, _CHUNK // each)
    return (np.arange(i, min(i + step, len(values))) for i in range(0, len(values), step))


def _finite(values: FloatArray, space: _Space) -> BoolArray:
    return np.asarray(np.isfinite(values).all(axis=tuple(range(-space.axes, 0))))


def _spread(mask: NDArray[Any], space: _Space) -> NDArray[Any]:
    """`mask` (...) with axes for the components of a value."""
    return mask[(..., *([None] * space.axes))]


def _nothing(space: _Space) -> FloatArray:
    """What stands for a value that is not there: anything finite, for it has no weight."""
    return np.eye(3, dtype=np.float64) if space.axes == 2 else np.zeros(3)


def _as_rotations(time: FloatArray, rotations: FloatArray) -> FloatArray:
    if rotations.ndim != 4 or rotations.shape != (len(time), rotations.shape[1], 3, 3):
        raise InvalidData(f"Rotations have shape {rotations.shape}, expected (T, J, 3, 3).")
    return rotations


def _as_vectors(time: FloatArray, vectors: FloatArray) -> FloatArray:
    if vectors.ndim != 3 or vectors.shape != (len(time), vectors.shape[1], 3):
        raise InvalidData(f"Vectors have shape {vectors.shape}, expected (T, J, 3).")
    return vectors
