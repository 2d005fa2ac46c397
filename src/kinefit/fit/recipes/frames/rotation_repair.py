"""Spikes, gaps and noise of poses, repaired on the rotations themselves; what is missing never
spreads.

Rotations are compared, averaged and interpolated as rotations from one to another, never as
parameters: Euler angles and rotation vectors jump where a motion does not. A value that is not
finite has no weight in anything, is no anchor for anything, and stays what it is unless a gap is
interpolated, which is a decision of its own (`bridge`).

Values are rotations (T, J, 3, 3) or vectors (T, J, 3).
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


def repair(
    time: FloatArray, values: FloatArray, rule: SpikeRule | None = None
) -> tuple[FloatArray, BoolArray]:
    """Values without single wild ones, and which (T, J) were replaced.

    time: (T,) seconds, increasing. Around each frame a parabola is fitted to the way from the
    neighbours' medoid to each neighbour, by least absolute lengths, without the frame itself; a
    value off that curve as `rule` says takes its place on it. Frames without two neighbours on
    either side are left alone.
    """
    rule, finite, out = rule or SpikeRule(), _finite(time, values), values.copy()
    spike = np.zeros(finite.shape, dtype=bool)
    for rows in _chunks(values, 2 * rule.half + 1):
        _, off, width = _predicted(time, values, finite, rows, rule)
        with np.errstate(invalid="ignore"):
            spike[rows] = finite[rows] & (off > np.maximum(rule.sd * width, rule.least))
    # A spike beside another has had its part in the curve: what replaces it is made without both.
    frames = np.flatnonzero(spike.any(axis=1))
    if len(frames):
        curve, _, _ = _predicted(time, values, finite & ~spike, frames, rule)
        spike[frames] &= _finite(time[frames], curve)
        out[frames] = np.where(_like(spike[frames], values), curve, out[frames])
    return out, spike


def smooth(time: FloatArray, values: FloatArray, spread_s: float) -> FloatArray:
    """Values on parabolas through their neighbours in time.

    spread_s: seconds, one deviation of the neighbours' Gaussian weights; 0 changes nothing.
    A value that is not finite stays so, and one with fewer than four finite neighbours within
    three deviations stays as it is.
    """
    if not (np.isfinite(spread_s) and spread_s >= 0):
        raise InvalidData(f"A spread of {spread_s} s smooths nothing. Next: give seconds, 0.03.")
    finite, out = _finite(time, values), values.copy()
    if spread_s == 0 or len(time) < 2:
        return out
    reach = int(np.ceil(3 * spread_s / np.median(np.diff(time))))
    half = min(max(reach, 1), len(time) - 1)
    for rows in _chunks(values, 2 * half + 1):
        index, inside = _window(len(time), rows, half)
        u = (time[index] - time[rows, None]) / spread_s
        weight = np.where(inside & (np.abs(u) <= 3), np.exp(-u * u / 2), 0.0)
        known = finite[index] & (weight > 0)[..., None]
        here, window = _filled(values[rows], finite[rows]), _filled(values[index], known)
        x = np.moveaxis(_away(here[:, None], window, values.ndim - 2), 1, 2)
        share = np.moveaxis(np.where(known, weight[..., None], 0.0), 1, 2)
        value, _ = _parabola(u, x, share)
        change = finite[rows] & (known.sum(axis=1) > _FEWEST)
        out[rows] = np.where(_like(change, values), _at(here, value), out[rows])
    return out


def bridge(
    time: FloatArray, good: BoolArray, max_gap_s: float
) -> tuple[IntArray, IntArray, IntArray, FloatArray]:
    """The frames that are not `good` (T,) in gaps of at most `max_gap_s` from good to good.

    Places in the clip (N,) of these, of the good ones before and after, and the share (N,) 0..1
    of the way in time between the two.
    """
    at, lost = np.flatnonzero(good), np.flatnonzero(~good)
    place = np.searchsorted(at, lost)
    inside = (place > 0) & (place < len(at))
    lost, before, after = lost[inside], at[place[inside] - 1], at[place[inside]]
    gap = time[after] - time[before]
    short = gap <= max_gap_s
    share = (time[lost] - time[before])[short] / gap[short]
    return lost[short], before[short], after[short], share


def _predicted(
    time: FloatArray, values: FloatArray, finite: BoolArray, rows: IntArray, rule: SpikeRule
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What the neighbours of `rows` say: the value there, how far off the frame's own is (n, J),
    and one deviation of the neighbours about their curve (n, J); NaN where they are too few."""
    index, inside = _window(len(time), rows, rule.half)
    u = time[index] - time[rows, None]
    inside &= (np.abs(u) <= rule.reach_s) & (index != rows[:, None])
    known = finite[index] & inside[..., None]  # (n, W, J)
    enough = ((known & (u < 0)[..., None]).sum(1) >= 2) & ((known & (u > 0)[..., None]).sum(1) >= 2)
    window = _filled(values[index], known)
    reference = _medoid(window, known)
    x = np.moveaxis(_away(reference[:, None], window, values.ndim - 2), 1, 2)  # (n, J, W, 3)
    weight = np.moveaxis(known, 1, 2).astype(np.float64)
    scale = np.maximum(np.abs(u).max(axis=1, keepdims=True), 1e-9)
    fit, off = _least_lengths(u / scale, x, weight)
    width = _median(so3.norm(off), weight > 0) / _MEDIAN_LENGTH
    there = _at(reference, fit)
    mine = _filled(values[rows], finite[rows])
    own = so3.norm(_away(there, mine, values.ndim - 2))
    nan = np.where(enough, 0.0, np.nan)
    return there + _like(nan, values), own + nan, width + nan


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


def _medoid(window: FloatArray, known: BoolArray) -> FloatArray:
    """(n, J, ...) of each window (n, W, J, ...) the known value nearest to all others."""
    if window.ndim == 5:
        q = np.moveaxis(so3.to_quaternion(window), 1, 2)
        apart = np.arccos(np.minimum(np.abs(q @ np.swapaxes(q, -1, -2)), 1))
    else:
        p = np.moveaxis(window, 1, 2)
        apart = so3.norm(p[..., :, None, :] - p[..., None, :, :])
    mask = np.moveaxis(known, 1, 2)
    sums = (apart * mask[..., None, :]).sum(axis=-1)
    best = np.where(mask, sums, np.inf).argmin(axis=-1)  # (n, J)
    pick = _like(best[:, None], window)
    return np.asarray(np.take_along_axis(window, pick, axis=1)[:, 0])


def _away(reference: FloatArray, values: FloatArray, axes: int) -> FloatArray:
    """(..., 3) from references to values, as vectors; axes: of one value, 2 of a rotation."""
    if axes == 2:
        return so3.log(np.swapaxes(reference, -1, -2) @ values)
    return np.asarray(values - reference)


def _at(reference: FloatArray, away: FloatArray) -> FloatArray:
    """The inverse of `_away`."""
    if reference.ndim == away.ndim:
        return np.asarray(reference + away)
    return np.asarray(reference @ so3.exp(away))


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


def _chunks(values: FloatArray, width: int) -> Iterator[IntArray]:
    step = max(1, _CHUNK // max(1, values.shape[1] * width))
    return (np.arange(i, min(i + step, len(values))) for i in range(0, len(values), step))


def _finite(time: FloatArray, values: FloatArray) -> BoolArray:
    """(T, J) which values are; raises InvalidData for shapes that are neither of the two."""
    kind = values.shape[2:]
    if len(values) != len(time) or kind not in ((3, 3), (3,)):
        raise InvalidData(f"Values {values.shape} are not (T, J, 3, 3) or (T, J, 3).")
    return np.asarray(np.isfinite(values).all(axis=tuple(range(2, values.ndim))))


def _like(mask: NDArray[Any], values: FloatArray) -> NDArray[Any]:
    """`mask` with axes for the components of a value."""
    return mask.reshape(*mask.shape, *[1] * (values.ndim - mask.ndim))


def _filled(values: FloatArray, known: BoolArray) -> FloatArray:
    """Values with something finite where they are not `known`: it has no weight."""
    nothing = np.eye(3) if values.ndim - known.ndim == 2 else np.zeros(3)
    return np.where(_like(known, values), values, nothing)
