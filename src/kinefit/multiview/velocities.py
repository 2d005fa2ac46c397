"""How a body moves in one image: velocities that do not depend on distance, lens or swapped sides.

Joints enter as the midpoints of their left and right, which swapped sides do not change, and in
body sizes per second.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.ndimage import convolve1d, median_filter

from kinefit.tracking.sides import centroid_size
from kinefit.types import FloatArray, InputError, Keypoints2D, all_finite

_JOINTS = ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")  # midpoints; and the nose
_MIN_JOINTS = 3
_MIN_SCORE = 0.1  # the demo's most hidden joint has more in 90 % of the frames
GRID_HZ = 100.0
_LONGEST_S = 600.0  # of each recording; more motion than that adds nothing
# Standard deviation of the window that a velocity is taken from: -3 dB at 2.2 Hz. With 0.035 s the
# errors of lags are larger by half (8 s: 22.6 against 14.5 ms at 95 %); 0.05 to 0.07 are alike.
SMOOTH_S = 0.06
_TREND_S = 1.0  # of the window of the mean that is taken off; 0.3 to 2 are alike


class ImageMotion(NamedTuple):
    """One camera. velocity: (N, K, 2) body sizes per second from the first frame on, at `GRID_HZ`,
    without its slow part, 0 where unseen; seen: (N, K) 1.0 or 0.0; start: seconds on its clock;
    interval: seconds per frame."""

    velocity: FloatArray
    seen: FloatArray
    start: float
    interval: float

    @property
    def speed(self) -> float:
        """Root mean square body sizes per second of the joint that moves most."""
        square = (self.velocity**2).sum(axis=(0, 2)) / np.maximum(self.seen.sum(axis=0), 1)
        return float(np.sqrt(square.max()))


def shared_joints(tracks: Sequence[Keypoints2D]) -> list[tuple[str, ...]]:
    """Groups of names whose mean is followed; all are in every track."""
    common = set(tracks[0].names).intersection(*(t.names for t in tracks))
    groups = [("L" + j, "R" + j) for j in _JOINTS if {"L" + j, "R" + j} <= common]
    if len(groups) < _MIN_JOINTS:
        reason = f"{len(groups)} pairs of joints in common, {_MIN_JOINTS} are needed"
        raise InputError("cameras", f"their tracks have {reason}", "use one detector for all")
    return [*groups, ("Nose",)] if "Nose" in common else [*groups]


def image_motion(track: Keypoints2D, joints: list[tuple[str, ...]]) -> ImageMotion:
    time = track.timeline.time
    shape = (len(joints), 2)
    size = centroid_size(track.xy[:, [track.names.index(n) for group in joints for n in group]])
    known = np.isfinite(size)
    if known.sum() < 2:
        start = float(time[0]) if len(time) else 0.0
        return ImageMotion(np.zeros((1, *shape)), np.zeros((1, len(joints))), start, np.nan)
    start, time = float(time[0]), time - time[0]
    interval = float(np.median(np.diff(time)))
    count = int(min(time[-1], _LONGEST_S) * GRID_HZ + 1e-6) + 1
    grid = np.arange(count) / GRID_HZ
    second = int(1 / interval) | 1 if interval < 1 else 1  # an odd number of samples
    size = np.interp(grid, time[known], median_filter(size[known], second, mode="nearest"))
    seen_xy = np.where((track.score >= _MIN_SCORE)[..., None], track.xy, np.nan)
    groups = [[track.names.index(name) for name in group] for group in joints]
    points = np.stack([seen_xy[:, group].mean(axis=1) for group in groups], axis=1)
    xy = [_on_grid(time, points[:, k], grid, float(np.median(size))) for k in range(len(joints))]
    velocity, seen = _slope(np.stack(xy, axis=1))
    velocity = velocity / size[:, None, None]
    window = _window(_TREND_S)[1]
    mean = _running(velocity, window) / np.maximum(_running(seen, window), 1e-9)[..., None]
    velocity = np.where(seen[..., None] > 0, velocity - mean, 0.0)
    return ImageMotion(velocity, seen, start, interval)


def _on_grid(time: FloatArray, xy: FloatArray, grid: FloatArray, size: float) -> FloatArray:
    """One point (T, 2) at the moments `grid` (N,): (N, 2), without jumps, NaN in gaps.

    A jump is further from the median of the 0.12 s around it than 4 times the typical distance,
    and than 6 % of the body size. A gap is longer than 0.1 s and than 2.5 frames.
    """
    out = np.full((len(grid), 2), np.nan)
    interval = float(np.median(np.diff(time)))
    known = all_finite(xy)
    time, xy = time[known], xy[known]
    if len(time) < 5:
        return out
    width = max(3, int(min(0.12 / interval, len(time))) | 1)
    jump = np.linalg.norm(xy - median_filter(xy, (width, 1), mode="nearest"), axis=1)
    good = jump <= max(4 * float(np.median(jump)), 0.06 * size)
    time, xy = time[good], xy[good]
    after = np.clip(np.searchsorted(time, grid), 1, len(time) - 1)
    inside = (grid >= time[0]) & (grid <= time[-1])
    inside &= time[after] - time[after - 1] <= max(2.5 * interval, 0.1)
    for d in range(2):
        out[inside, d] = np.interp(grid[inside], time, xy[:, d])
    return out


def _window(sigma_s: float) -> tuple[FloatArray, FloatArray]:
    """Offsets in seconds and weights of a normal curve, on the grid."""
    reach = int(np.ceil(3.5 * sigma_s * GRID_HZ))
    offset = np.arange(-reach, reach + 1) / GRID_HZ
    return offset, np.exp(-(offset**2) / (2 * sigma_s**2))


def _running(values: FloatArray, window: FloatArray) -> FloatArray:
    """Weighted sum over the window around each moment; same shape."""
    return np.asarray(convolve1d(values, window, axis=0, mode="constant"))


def _slope(xy: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Velocity (N, K, 2) of points (N, K, 2) per second, and where it is known (N, K).

    The slope of a straight line fitted to what is seen in a window around each moment: missing
    samples and the ends need nothing special. Unknown where the point itself is, or where the
    samples spread less than a fifth of the full window's.
    """
    seen = all_finite(xy).astype(np.float64)
    xy = np.where(seen[..., None] > 0, xy, 0.0)
    offset, weight = _window(SMOOTH_S)

    def moment(values: FloatArray, power: int) -> FloatArray:
        return _running(values, (weight * offset**power)[::-1])

    count, first, second = (moment(seen, p) for p in range(3))
    spread = count * second - first**2
    whole = weight.sum() * (weight * offset**2).sum()
    slope = count[..., None] * moment(xy, 1) - first[..., None] * moment(xy, 0)
    good = (spread > 0.2 * whole) & (seen > 0)
    spread = np.where(good, spread, whole)[..., None]
    return np.where(good[..., None], slope / spread, 0.0), good.astype(np.float64)
