"""Whether time runs as in life, by the one clock that every recording of a jump has: gravity."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kinefit.types import BoolArray, FloatArray, Markers, all_finite, true_runs

GRAVITY_M_S2 = 9.81
_HIPS, _FEET = ("LHip", "RHip"), ("LHeel", "LBigToe", "RHeel", "RBigToe")

# In the air the hips follow a parabola over a straight line on the floor; people who climb, hang
# and stand on boxes have their feet as high, and do not. Of 123 trials of CMU motion (20 minutes,
# seven of them on climbing frames and rough ground) with errors of 0, 5, 10 and 20 mm that last,
# filtered at 6 Hz, these limits leave nothing but jumps, in which gravity is 8.0 to 10.9 m/s^2; of
# the same slowed down 2, 4 and 8 times the pace comes out within 11 %.
_OFF_FLOOR_M = 0.04  # every point of both feet, above where it is when it is lowest
_LEAST_FRAMES = 6
_LEAST_RISE_M = 0.05
_LEAST_FIT = 0.985  # of the parabola: share of the variance
_LEAST_STRAIGHT_M = 0.05  # off the straight line, root mean square


class Jump(NamedTuple):
    """first, last: rows of the flight. gravity: m/s^2, what the hips fell with."""

    first: int
    last: int
    gravity: float


def jumps(markers: Markers) -> list[Jump]:
    """Flights between two contacts with the floor that are nothing else; of keypoints, Y up."""
    if not {*_HIPS, *_FEET} <= set(markers.names):
        return []
    hips, feet = (
        markers.xyz[:, [markers.names.index(name) for name in names]] for names in (_HIPS, _FEET)
    )
    hip, height = hips.mean(axis=1), feet[..., 1]
    known = np.asarray(all_finite(hip) & np.isfinite(height).all(axis=1))
    if not known.any():
        return []
    level = np.percentile(height[known], 5, axis=0)
    up: BoolArray = known & (np.where(known[:, None], height - level, 0).min(axis=1) > _OFF_FLOOR_M)
    found = []
    for first, stop in true_runs(up):
        whole = first > 0 and stop < len(up) and known[first - 1] and known[stop]
        if whole and stop - first >= _LEAST_FRAMES:
            gravity = _gravity(markers.timeline.time[first:stop], hip[first:stop])
            found += [] if gravity is None else [Jump(first, stop - 1, gravity)]
    return found


def _gravity(time: FloatArray, hip: FloatArray) -> float | None:
    """What a free body falls with, m/s^2; None where hip (N, 3) metres does not move as one."""
    at = (time - time.mean()) / np.ptp(time)
    curve = np.polynomial.polynomial.polyfit(at, hip, 2)
    line = np.polynomial.polynomial.polyfit(at, hip[:, [0, 2]], 1)
    along = np.polynomial.polynomial.polyval(at, curve[:, 1])
    off = hip[:, 1] - along
    straight = hip[:, [0, 2]] - np.polynomial.polynomial.polyval(at, line).T
    fits = 1 - off.var() / max(float(hip[:, 1].var()), 1e-12)
    is_jump = -curve[2, 1] / 4 > _LEAST_RISE_M and fits > _LEAST_FIT
    if not is_jump or np.sqrt((straight**2).mean(axis=0)).max() > _LEAST_STRAIGHT_M:
        return None
    return float(-2 * curve[2, 1] / np.ptp(time) ** 2)
