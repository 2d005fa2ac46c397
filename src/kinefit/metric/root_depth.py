"""How far the person is from the camera: fitted in every frame, then smoothed over time."""

from __future__ import annotations

import numpy as np
from scipy.linalg import solveh_banded

from kinefit.geometry.banded import acceleration_bands
from kinefit.types import FloatArray, all_finite

MIN_POINTS = 6  # well-seen points that a frame needs: twice the three unknowns of a position
_NEAREST = 0.2  # body units; a fit nearer than this has its body around the lens
_SMALLEST = 1e-3  # radians, root mean square size of the view: below two pixels nothing is seen
_ROBUST_PASSES = 6

# The fit's formal error assumes that every landmark errs on its own; MediaPipe's err together: the
# real error of the depth was 1.8 to 4.2 times as large (four views of the Pose2Sim demo).
_SHARED_ERROR = 3.0
_FORMAL_FLOOR = 1e-4  # relative; a perfect fit still is not known better than this
# That error lasts: 0.1 s later its correlation on the demo is still 0.6-0.8 in three views.
_ERROR_TIME = 0.1  # seconds
# Spectral density of a pelvis's acceleration along the line of sight, m^2/s^3: about 2 m/s^2
# root mean square over 4 Hz, as in walking. On the demo 0.1 to 2 give the same error within 3 cm.
_ACCELERATION = 0.5


def fit_depth(
    body: FloatArray, rays: FloatArray, weights: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Depth of the body's origin (T,) and its standard deviation (T,), in units of the body.

    body: (T, J, 3) camera axes, any origin, NaN where missing. rays: (T, J, 3) viewing rays with
    z = 1. weights: (T, J); 0 keeps a point out.

    With the position t of the origin, a point P seen along (u, v, 1) obeys
    t_x - u t_z = u P_z - P_x, and the like in y: linear in t. t_x and t_y leave by centring, and
    t_z is a regression slope in closed form. Rows are divided by the point's depth, so that the
    sum is one of squared image errors, and reweighted by a Cauchy kernel at twice the frame's
    median error. NaN where fewer than MIN_POINTS points are seen or the fit lies behind the camera.
    """
    w = np.where(all_finite(body) & all_finite(rays), weights, 0.0)
    u = np.where(w[..., None] > 0, rays[..., :2], 0.0)
    P = np.where(w[..., None] > 0, body, 0.0)
    enough = (w > 0).sum(axis=1) >= MIN_POINTS
    b = u * P[..., 2:] - P[..., :2]
    kernel = _first_kernel(u, P, b, w)
    depth = np.ones(len(w))
    for _ in range(_ROBUST_PASSES):
        distance = np.maximum(P[..., 2] + depth[:, None], _NEAREST)
        q = w * kernel / distance**2
        total = np.where(enough, q.sum(axis=1), 1.0)[:, None, None]
        u_c = u - (q[..., None] * u).sum(axis=1, keepdims=True) / total
        b_c = b - (q[..., None] * b).sum(axis=1, keepdims=True) / total
        spread = (q[..., None] * u_c**2).sum(axis=(1, 2))
        enough &= spread > _SMALLEST**2 * q.sum(axis=1)
        slope = -(q[..., None] * u_c * b_c).sum(axis=(1, 2))
        depth = np.maximum(slope / np.where(enough, spread, 1.0), 0.0)
        error = np.linalg.norm(b_c + u_c * depth[:, None, None], axis=-1) / distance
        kernel = _cauchy(error, w)
    depth = np.where(enough & (depth > _NEAREST), depth, np.nan)
    freedom = np.maximum(2 * (w * kernel).sum(axis=1) - 3, 1.0)
    variance = (w * kernel * error**2).sum(axis=1) / freedom / np.where(spread > 0, spread, np.nan)
    sd = np.hypot(_SHARED_ERROR * np.sqrt(variance), _FORMAL_FLOOR * depth)
    return depth, sd


def _first_kernel(u: FloatArray, P: FloatArray, b: FloatArray, w: FloatArray) -> FloatArray:
    """(T, J) weights to start from: medians, because one far point has the leverage to pull a
    least-squares start onto itself (it did, in half of the frames of the test).
    """
    seen = (w > 0)[..., None]

    def median(values: FloatArray) -> FloatArray:
        filled = np.where(seen.any(axis=1, keepdims=True), np.where(seen, values, np.nan), 0.0)
        return np.asarray(np.nanmedian(filled, axis=1, keepdims=True))

    def size(xy: FloatArray) -> FloatArray:
        return median(np.linalg.norm(xy - median(xy), axis=-1, keepdims=True))

    size_in_view = size(u)
    depth = size(P[..., :2]) / np.where(size_in_view > 0, size_in_view, 1.0)
    shift = b + u * depth  # the same for every point that fits: the lateral position
    distance = np.maximum(P[..., 2:] + depth, _NEAREST)
    return _cauchy(np.linalg.norm((shift - median(shift)) / distance, axis=-1), w)


def _cauchy(error: FloatArray, weights: FloatArray) -> FloatArray:
    """(T, J) Cauchy weights at a width of twice the median error of each frame's seen points."""
    seen = np.sort(np.where(weights > 0, error, np.inf), axis=1)
    middle = np.maximum((weights > 0).sum(axis=1) - 1, 0) // 2
    median = seen[np.arange(len(seen)), middle]
    width = np.where(np.isfinite(median), np.maximum(2 * median, 1e-9), 1.0)
    return np.asarray(1 / (1 + (error / width[:, None]) ** 2))


def smooth_depth(time: FloatArray, depth: FloatArray, sd: FloatArray) -> FloatArray:
    """`depth` (T,) metres without the part of it that no pelvis could do; NaN stays NaN.

    time: (T,) seconds, increasing. sd: (T,) metres, positive where depth is known.

    The posterior mean of a random walk in velocity (white acceleration) seen with errors of `sd`
    that last _ERROR_TIME, robustly reweighted for single wild frames: zero phase, one pentadiagonal
    solve, linear in frames. Because the noise is stated per second and not per frame, the frame
    rate does not matter. A well-measured depth is hardly touched; across a gap both sides inform
    each other only as much as the time between them allows.
    """
    known = np.isfinite(depth) & np.isfinite(sd)
    if known.sum() < 3:
        return np.where(known, depth, np.nan)
    t, z, s = time[known], depth[known], sd[known]
    share = np.minimum(1.0, np.gradient(t) / _ERROR_TIME)
    penalty = acceleration_bands(t) / _ACCELERATION
    kernel, smooth = np.ones_like(z), z
    for _ in range(_ROBUST_PASSES):
        weight = kernel * share / s**2
        banded = penalty.copy()
        banded[0] += weight
        smooth = solveh_banded(banded, weight * z, lower=True)
        kernel = 1 / (1 + ((z - smooth) / (3 * s)) ** 2)
    result = np.full_like(depth, np.nan)
    result[known] = smooth
    return result
