"""When heels and toes stand on the floor, and where: the only definition of contact.

A point of a foot either stands or moves. How fast it is seen to move, over a tenth of a second,
says which, and so does its height where that is known; a hidden Markov model over time joins what
each frame says (Rabiner 1989, Proc IEEE 77(2):257, forward-backward), so that a single slow frame
of a swing is no contact and a single fast one does not end it. All constants are per second: the
frame rate does not matter.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d

from kinefit.types import BoolArray, FloatArray, all_finite, true_runs

FEET = ("LHeel", "LBigToe", "RHeel", "RBigToe")
STANDS = 0.5  # probability from which on a point is taken to stand

# Logarithm of speed in m/s: median and robust deviation of heels and toes that stand, and of those
# that move, as one camera's detector sees them (43 views of 11 synthetic scenes: 0.08 m/s, 1.25;
# 0.76 m/s, 0.95). The deviation of standing is held smaller: its lower half says nothing more.
# With these, 79 % of what stands is found and 20 % of what moves is taken to stand (walks 49 and
# 14 %: a toe or heel that turns about the other is slow too); of points with a probability of
# 0.9 and more, 94 % stand.
_STANDING, _STANDING_SD = np.log(0.10), 0.9
_MOVING, _MOVING_SD = np.log(0.78), 1.0
_STILL_M_S = 1e-3  # slower is not told apart
# Contacts begin and end so often per second (measured in the same scenes: 2.9 and 2.1).
_BEGIN_HZ, _END_HZ = 3.0, 3.0
# Errors of a detector last about as long as this: frames within it do not count as many witnesses
# (0.1: calibrated less well, 0.18 instead of 0.12 stand of those below a probability of 0.1).
_MEMORY_S = 0.2
_SMOOTH_S, _SPAN_S = 0.05, 0.1  # positions are smoothed by, and speeds taken over
# Standard deviation of a standing point's height above its level, where heights are known: what
# shoes and a fit leave (held feet of a made-up walk with 4 px of noise: 1-2 cm).
_HEIGHT_SD_M = 0.02
_SURE = 20.0  # log odds: beyond these numbers overflow, and nothing is surer
_NEAR_FLOOR_M, _SLOW_M_S = 0.04, 0.3  # what the level of the floor is taken from


@dataclass(frozen=True, eq=False)
class Contacts:
    """names: P points of the feet. xyz: (T, P, 3) metres, where they are.
    probability: (T, P) that each stands. anchors: (T, P, 3) metres, where each rests while it
    stands; NaN otherwise. floor: height of the floor, metres; NaN where nothing stands.
    """

    names: tuple[str, ...]
    xyz: FloatArray
    probability: FloatArray
    anchors: FloatArray
    floor: float

    @property
    def standing(self) -> BoolArray:
        """(T, P) True where a point is taken to stand: where it has an anchor."""
        return np.asarray(np.isfinite(self.anchors[..., 0]))

    @property
    def slides(self) -> FloatArray:
        """Metres, one per phase of standing: how far the point moves over the floor in it.

        The largest distance from the phase's mean place, in the plane of the floor.
        """
        found = []
        for p in range(len(self.names)):
            for first, last in true_runs(self.standing[:, p]):
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
    """When points of the feet that are known in space stand.

    time: (T,) s. xyz: (T, P, 3) metres, world, Y up. above: (P,) metres that each is above its
    sole when the foot is flat. known: (T,) frames to go by; None: all.
    """
    speed = point_speed(time, xyz)
    if known is not None:
        speed = np.where(known[:, None], speed, np.nan)
    sole = xyz[..., 1] - above
    probability = standing_probability(time, speed, sole - _levels(sole, speed))
    return at_rest(xyz, np.where(np.isfinite(speed), probability, 0.0), names, above)


def at_rest(
    xyz: FloatArray, probability: FloatArray, names: tuple[str, ...], above: FloatArray
) -> Contacts:
    """Where points (T, P, 3) rest that stand with a `probability` (T, P), all on one level floor.

    above: (P,) as in `find_contacts`.
    """
    standing = probability > STANDS
    sole = xyz[..., 1] - above
    floor = float(np.median(sole[standing])) if standing.any() else float("nan")
    return Contacts(names, xyz, probability, _anchors(xyz, standing, floor + above), floor)


def standing_probability(
    time: FloatArray, speed: FloatArray, height: FloatArray | None = None
) -> FloatArray:
    """(T, P) probability that points stand, 0..1.

    time: (T,) s. speed: (T, P) m/s as `point_speed` gives it, NaN where not known: such frames
    are judged by their neighbours. height: (T, P) metres above where each point is when it
    stands, NaN or None where not known.
    """
    if not len(time):
        return np.zeros(speed.shape)
    witness = _log_odds(speed, height) * _share(time)[:, None]
    forward, backward = _filtered(time, witness), _filtered(time[-1] - time[::-1], witness[::-1])
    # Both hold the prior and the frame itself once: one of each is taken out.
    prior = np.log(_BEGIN_HZ / _END_HZ)
    return np.asarray(1 / (1 + np.exp(-(forward + backward[::-1] - witness - prior))))


def point_speed(time: FloatArray, points: FloatArray) -> FloatArray:
    """(T, P) speed of points (T, P, D), in their unit per second, smoothed; NaN where unknown.

    Gaps are passed over in a straight line, and have no speed themselves.
    """
    known = all_finite(points)
    if len(time) < 2:
        return np.where(known, 0.0, np.nan)
    grid = np.linspace(time[0], time[-1], int(np.ceil((time[-1] - time[0]) * _GRID_HZ)) + 1)
    out = np.full(known.shape, np.nan)
    for p in range(known.shape[1]):
        seen = known[:, p]
        if seen.sum() < 2:
            continue
        even = np.stack([np.interp(grid, time[seen], x) for x in points[seen, p].T], axis=-1)
        even = gaussian_filter1d(even, _SMOOTH_S * _GRID_HZ, axis=0, mode="nearest")
        out[seen, p] = _difference(grid, even, time[seen])
    return out


_GRID_HZ = 100.0  # of the even clock on which positions are smoothed


def _difference(grid: FloatArray, even: FloatArray, at: FloatArray) -> FloatArray:
    """Speed at times `at` of points (N, D) on an even clock, over `_SPAN_S` around each."""
    a = np.clip(at - _SPAN_S / 2, grid[0], grid[-1])
    b = np.clip(at + _SPAN_S / 2, grid[0], grid[-1])
    moved = [np.interp(b, grid, x) - np.interp(a, grid, x) for x in even.T]
    return np.asarray(np.linalg.norm(moved, axis=0) / np.maximum(b - a, 1e-9))


def _log_odds(speed: FloatArray, height: FloatArray | None) -> FloatArray:
    """(T, P) log of how much more likely what is seen is of a standing point; 0 where unknown."""
    slow = np.log(np.maximum(speed, _STILL_M_S))
    stands = -0.5 * (np.maximum(slow - _STANDING, 0) / _STANDING_SD) ** 2 - np.log(_STANDING_SD)
    moves = -0.5 * (np.minimum(slow - _MOVING, 0) / _MOVING_SD) ** 2 - np.log(_MOVING_SD)
    odds = stands - moves
    if height is not None:
        odds = odds - 0.5 * np.nan_to_num(height / _HEIGHT_SD_M) ** 2
    return np.asarray(np.clip(np.nan_to_num(odds, nan=0.0), -_SURE, _SURE))


def _share(time: FloatArray) -> FloatArray:
    """(T,) what each frame counts as a witness: its own time over that of a detector's errors."""
    if len(time) < 2:
        return np.ones(len(time))
    return np.asarray(np.minimum(np.gradient(time) / _MEMORY_S, 1.0))


def _filtered(time: FloatArray, witness: FloatArray) -> FloatArray:
    """(T, P) log odds of standing given the frames up to each, itself included."""
    rate = _BEGIN_HZ + _END_HZ
    rest = _BEGIN_HZ / rate
    forget = np.exp(-rate * np.diff(time))
    out = np.empty(witness.shape)
    out[0] = np.log(_BEGIN_HZ / _END_HZ) + witness[0]
    for t in range(1, len(time)):
        stands = rest + (1 / (1 + np.exp(-out[t - 1])) - rest) * forget[t - 1]
        out[t] = np.log(stands / (1 - stands)) + witness[t]
    return out


def _levels(sole: FloatArray, speed: FloatArray) -> FloatArray:
    """(P,) height of each point's sole where it stands; NaN for one that is never slow.

    The lowest tenth of a point's slow frames lie on the floor, whatever the clip shows.
    """
    slow = speed < _SLOW_M_S
    low = np.array(
        [np.quantile(sole[s, p], 0.1) if s.any() else np.nan for p, s in enumerate(slow.T)]
    )
    near = slow & (sole < low + _NEAR_FLOOR_M)
    return np.array([np.median(sole[n, p]) if n.any() else np.nan for p, n in enumerate(near.T)])


def _anchors(xyz: FloatArray, standing: BoolArray, height: FloatArray) -> FloatArray:
    anchors = np.full(xyz.shape, np.nan)
    for p in range(xyz.shape[1]):
        for first, last in true_runs(standing[:, p]):
            x, _, z = np.median(xyz[first:last, p], axis=0)
            anchors[first:last, p] = x, height[p], z
    return anchors
