"""Windows of a network over a clip of any frame rate: cut, answered, averaged, and back in time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np
from scipy import sparse

from kinefit.types import BoolArray, FloatArray, IntArray, all_finite

RATE_HZ = 30.0
WINDOW = 81  # frames: 2.7 seconds, two strides
STRIDE = 40  # frames from window to window: every frame is in two, and near the middle of one
_TOGETHER = 32  # windows per call of a network


def grid_times(time: FloatArray) -> FloatArray:
    """(G,) seconds at `RATE_HZ`, from the first of `time` (T,) to the last or a little beyond."""
    count = int(np.ceil((time[-1] - time[0]) * RATE_HZ - 1e-6)) + 1
    return np.asarray(time[0] + np.arange(count) / RATE_HZ)


def resampler(time: FloatArray, grid: FloatArray) -> sparse.csr_array:
    """(G, T) non-negative weights: a tent about each moment of the grid, as wide as its step or
    that of `time` there, whichever is longer; so higher rates are averaged, and lower ones
    interpolated, also where frames come unevenly. Over more than 0.25 s nothing is interpolated.
    """
    half = np.full(len(grid), 1 / RATE_HZ)
    if len(time) > 1:
        after = np.clip(np.searchsorted(time, grid, "right"), 1, len(time) - 1)
        half = np.clip(time[after] - time[after - 1], 1 / RATE_HZ, _LONGEST_STEP_S)
    half = half * (1 + 1e-9)
    low, high = np.searchsorted(time, grid - half), np.searchsorted(time, grid + half, "right")
    count = high - low
    row = np.repeat(np.arange(len(grid)), count)
    column = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count) + low[row]
    weight = np.maximum(1 - np.abs(time[column] - grid[row]) / half[row], 0)
    return sparse.csr_array((weight, (row, column)), (len(grid), len(time)))


_LONGEST_STEP_S = 0.25
_LEAST_WEIGHT = 0.25  # of the frames' weights: what is seen only at the edge is not seen


def resampled(weights: sparse.csr_array, values: FloatArray) -> FloatArray:
    """(G, ...) means of what is known of values (T, ..., C): all C components of a point or none;
    NaN where too little is."""
    known: BoolArray = all_finite(values)
    flat = np.where(known[..., None], values, 0.0).reshape(len(values), -1)
    total = (weights @ flat).reshape(-1, *values.shape[1:])
    share = (weights @ known.reshape(len(values), -1).astype(np.float64)).reshape(
        -1, *known.shape[1:]
    )
    whole = np.asarray(weights.sum(axis=1)).reshape(-1, *[1] * (known.ndim - 1))
    enough = share > np.maximum(_LEAST_WEIGHT * whole, _LEAST_WEIGHT**2)
    return np.asarray(total / np.where(enough, share, np.nan)[..., None])


def nearest(at: FloatArray, time: FloatArray) -> IntArray:
    """(T,) index of the one of `at` (K,), increasing, that is nearest to each of `time` (T,)."""
    after = np.clip(np.searchsorted(at, time), 1, max(len(at) - 1, 1))
    before = after - 1
    last = np.minimum(after, len(at) - 1)
    return np.where(np.abs(time - at[before]) <= np.abs(at[last] - time), before, last)


def unbroken(time: FloatArray) -> list[IntArray]:
    """Rows of `time` (T,) in runs: what lies further apart than a window is long has nothing to
    say to one another."""
    cuts = np.flatnonzero(np.diff(time) > WINDOW / RATE_HZ) + 1
    return np.split(np.arange(len(time)), cuts)


def windows(count: int, stride: int = STRIDE) -> IntArray:
    """(W, WINDOW) numbers of the frames of overlapping windows over `count`; those before the
    first and after the last are outside of 0 .. count - 1."""
    spare = max(count - WINDOW, 0)
    starts = np.unique(np.append(np.arange(0, spare, stride), spare))
    first = starts if count >= WINDOW else np.array([(count - WINDOW) // 2])
    return np.asarray(first[:, None] + np.arange(WINDOW))


def blocks(rows: IntArray) -> Iterator[IntArray]:
    """Some windows at a time: what is held does not grow with the clip."""
    for first in range(0, len(rows), _TOGETHER):
        yield rows[first : first + _TOGETHER]


class WindowMean:
    """Answers of overlapping windows, averaged for each of `count` frames: most counts the window
    in whose middle the frame is."""

    def __init__(self, count: int) -> None:
        self._weight = np.zeros(count)
        self._sums: dict[str, FloatArray] = {}

    def add(self, rows: IntArray, inside: BoolArray, said: Mapping[str, FloatArray]) -> None:
        """rows, inside: (W, WINDOW) frames, and whether they are any. said: (W, WINDOW, ...)."""
        middle = (WINDOW - 1) / 2
        weight = (1 + middle - np.abs(np.arange(WINDOW) - middle)) ** 2
        each = np.broadcast_to(weight, rows.shape)[inside]
        np.add.at(self._weight, rows[inside], each)
        for name, values in said.items():
            some = values[inside]
            total = self._sums.setdefault(name, np.zeros((len(self._weight), *some.shape[1:])))
            np.add.at(total, rows[inside], each.reshape(-1, *[1] * (some.ndim - 1)) * some)

    def values(self) -> dict[str, FloatArray]:
        """Name -> (count, ...)."""
        return {
            name: total / self._weight.reshape(-1, *[1] * (total.ndim - 1))
            for name, total in self._sums.items()
        }


def at_times(time: FloatArray, grid: FloatArray, values: FloatArray) -> FloatArray:
    """(T, ...) values (G, ...) of the grid, between its moments."""
    flat = values.reshape(len(grid), -1)
    some = [np.interp(time, grid, column) for column in flat.T]
    return np.stack(some, axis=-1).reshape(len(time), *values.shape[1:])
