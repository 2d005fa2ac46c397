"""How noisy each camera's view of each point is, from the residuals of the clip itself."""

from __future__ import annotations

import numpy as np

from kinefit.types import BoolArray, FloatArray

# Residual degrees of freedom that a pooled value counts for beside a cell's own: a cell with few
# residuals keeps to its camera's noise, a camera with few to that of the rig.
_PRIOR_DOF = 40.0
_MEDIAN_CHI2 = 2 * np.log(2)  # median of a chi-square variable with two degrees of freedom
_LEAST_PX = 0.05  # no detector is better; keeps noise-free data from infinite weights


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
