"""How noisy each camera's view of each point is, from the residuals of the clip itself; and the
error that no residual shows, because all views share it: a detector's own idea of a joint."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinefit.types import BoolArray, FloatArray

# Residual degrees of freedom that a pooled value counts for beside a cell's own: a cell with few
# residuals keeps to its camera's noise, a camera with few to that of the rig.
_PRIOR_DOF = 40.0
_MEDIAN_CHI2 = 2 * np.log(2)  # median of a chi-square variable with two degrees of freedom
_LEAST_PX = 0.05  # no detector is better; keeps noise-free data from infinite weights
# Standard deviation per axis of the shared error in percent of stature, by words in names; then all
# others (face). What is missing from 95 % regions of MediaPipe's points in 11 rendered scenes, with
# four and with two cameras alike. Its distribution has tails: regions of 50 % hold 65 %.
_SHARED_PCT = {
    **dict.fromkeys(("Shoulder", "Elbow", "Wrist", "Ankle"), 0.7),
    "Hip": 1.1,
    "Knee": 1.3,
    "Heel": 0.9,
    "Toe": 1.6,
    **dict.fromkeys(("Index", "Pinky", "Thumb"), 1.2),
}
_SHARED_OTHER_PCT = 1.05


def pixel_sd(square: FloatArray, freedom: FloatArray) -> FloatArray:
    """(C, J) px, standard deviation per pixel axis of each camera's view of each point.

    square: (C, T, J) px^2, squared residual length, 0 where the view is not used.
    freedom: (C, T, J) its expectation in units of the variance (2 minus leverage), 0 where not
        used. The sums' ratio is then unbiased (the residual variance of linear regression,
        Searle, Linear Models, section 3.7).
    """
    cell, dof = square.sum(axis=1), freedom.sum(axis=1)
    total = max(float(cell.sum()), 0.0) / max(float(dof.sum()), 1e-12)
    camera = _shrunk(cell.sum(axis=1), dof.sum(axis=1), np.full(len(cell), total))
    variance = _shrunk(cell, dof, np.repeat(camera[:, None], cell.shape[1], axis=1))
    return np.asarray(np.maximum(np.sqrt(variance), _LEAST_PX))


def robust_sd(square: FloatArray, freedom: FloatArray, used: BoolArray) -> FloatArray:
    """(C,) px, per camera, from the median: wrong views among the used ones hardly count."""
    out = np.full(len(square), np.nan)
    for c in range(len(square)):
        well = used[c] & (freedom[c] > 0.2)
        if well.any():
            ratio = square[c][well] / (freedom[c][well] / 2)
            out[c] = np.sqrt(np.median(ratio) / _MEDIAN_CHI2)
    known = out[np.isfinite(out)]
    fill = np.median(known) if len(known) else np.inf
    return np.maximum(np.where(np.isfinite(out), out, fill), _LEAST_PX)


def _shrunk(square: FloatArray, dof: FloatArray, towards: FloatArray) -> FloatArray:
    return np.asarray((square + _PRIOR_DOF * towards) / (dof + _PRIOR_DOF))


def shared_sd(names: Sequence[str], stature_m: float) -> FloatArray:
    """(J,) metres per axis: the error of a detector's points that does not shrink with cameras.

    names: points as in `kinefit.skeletons`. For points that no detector made it is 0.
    """
    percent = [
        next((sd for word, sd in _SHARED_PCT.items() if word in name), _SHARED_OTHER_PCT)
        for name in names
    ]
    return np.array(percent) / 100 * stature_m


def add_shared(covariance: FloatArray, sd: FloatArray) -> FloatArray:
    """(T, J, 3, 3) covariances with variances `sd` (J,) squared added on all axes."""
    return np.asarray(covariance + (sd**2)[:, None, None] * np.eye(3))
