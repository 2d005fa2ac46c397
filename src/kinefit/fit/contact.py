"""Feet that stand: when a heel or toe rests on the floor, and where."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.types import BoolArray, FloatArray

# A foot that stands still in a fit moves at up to 0.2 m/s by the detector's noise; one that swings
# passes the other at 3 m/s. Measured on a made-up walk with 4 px of noise: held feet slide by 5
# instead of 15-37 mm, and keypoints are as far off as before (6.4-7.7 instead of 6.4-6.5 mm): a
# foot is held for its standing still, not for its accuracy. Faster or higher feet than these are
# held while they rise (0.35 m/s, 5 cm: 6.6-8.1 mm).
_SLOW_M_S = 0.3
_NEAR_FLOOR_M = 0.04
_LEAST_S = 0.05
_EDGE_S = 0.03
_SPAN_S = 0.05  # speeds are taken over this long


@dataclass(frozen=True, eq=False)
class Contacts:
    """names: P points of the feet. xyz: (T, P, 3) metres, where they are.
    standing: (T, P). anchors: (T, P, 3) metres, where each rests while it stands; NaN otherwise.
    floor: height of the floor, metres; NaN where nothing stands.
    """

    names: tuple[str, ...]
    xyz: FloatArray
    standing: BoolArray
    anchors: FloatArray
    floor: float

    @property
    def slides(self) -> FloatArray:
        """Metres, one per phase of standing: how far the point moves over the floor in it.

        The largest distance from the phase's mean place, in the plane of the floor.
        """
        found = []
        for p in range(len(self.names)):
            for first, last in runs(self.standing[:, p]):
                place = self.xyz[first:last, p][:, [0, 2]]
                found.append(np.linalg.norm(place - place.mean(axis=0), axis=1).max())
        return np.array(found)


def find_contacts(
    time: FloatArray,
    xyz: FloatArray,
    names: tuple[str, ...],
    above: FloatArray,
    known: BoolArray | None = None,
) -> Contacts:
    """When points of the feet stand.

    time: (T,) s. xyz: (T, P, 3) metres, world, Y up. above: (P,) metres that each is above its
    sole when the foot is flat. known: (T,) frames to go by; None: all.
    """
    slow = _speed(time, xyz) < _SLOW_M_S
    if known is not None:
        slow &= known[:, None]
    sole = xyz[..., 1] - above
    standing = np.zeros(slow.shape, dtype=bool)
    for p in range(len(names)):
        # The lowest tenth of a point's slow frames lie on the floor, whatever the clip shows.
        low = np.quantile(sole[slow[:, p], p], 0.1) if slow[:, p].any() else np.inf
        for first, last in runs(slow[:, p] & (sole[:, p] < low + _NEAR_FLOOR_M)):
            # A foot is slow before it is down and after it has begun to rise.
            a = np.searchsorted(time, time[first] + _EDGE_S) if first else 0
            b = np.searchsorted(time, time[last - 1] - _EDGE_S, side="right")
            b = b if last < len(time) else last
            if b > a and time[b - 1] - time[a] >= _LEAST_S:
                standing[a:b, p] = True
    floor = float(np.median(sole[standing])) if standing.any() else float("nan")
    return Contacts(names, xyz, standing, _anchors(xyz, standing, floor + above), floor)


def _anchors(xyz: FloatArray, standing: BoolArray, height: FloatArray) -> FloatArray:
    anchors = np.full(xyz.shape, np.nan)
    for p in range(xyz.shape[1]):
        for first, last in runs(standing[:, p]):
            x, _, z = np.median(xyz[first:last, p], axis=0)
            anchors[first:last, p] = x, height[p], z
    return anchors


def _speed(time: FloatArray, xyz: FloatArray) -> FloatArray:
    """(T, P) m/s, over `_SPAN_S` around each frame."""
    index = np.arange(len(time))
    a = np.searchsorted(time, time - _SPAN_S / 2)
    b = np.minimum(np.searchsorted(time, time + _SPAN_S / 2, side="right"), len(time) - 1)
    a, b = (
        np.minimum(a, np.maximum(index - 1, 0)),
        np.maximum(b, np.minimum(index + 1, len(time) - 1)),
    )
    step = time[b] - time[a]
    moved = np.linalg.norm(xyz[b] - xyz[a], axis=-1)
    return np.asarray(moved / np.where(step > 0, step, np.inf)[:, None])


def runs(flags: BoolArray) -> list[tuple[int, int]]:
    """(first, one past last) of every run of True in `flags` (T,)."""
    edge = np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8))
    return list(zip(np.flatnonzero(edge == 1), np.flatnonzero(edge == -1), strict=True))
