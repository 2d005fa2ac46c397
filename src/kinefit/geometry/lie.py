"""Derivatives on the group of rotations, for increments in the rotation's own axes: R exp(d)."""

from __future__ import annotations

import numpy as np

from kinefit.geometry.rotations import norm
from kinefit.geometry.rotations import skew as skew
from kinefit.types import FloatArray


def log_jacobian(rotvec: FloatArray) -> FloatArray:
    """(..., 3, 3) derivative of log(R exp(d)) by d at zero, with R = exp(`rotvec` (..., 3)).

    The inverse of the right Jacobian of SO(3): I + K/2 + c K K, with c = (1/t - (1 + cos t) /
    (2 sin t)) / t and t the angle (Chirikjian 2011, Stochastic Models, Information Theory, and
    Lie Groups 2, section 10.8.2). The derivative of log(exp(d) R) is its transpose.
    """
    t = norm(rotvec)
    half = t / 2
    # 1/t^2 - cot(t/2) / (2t), by its series near zero: the next term there is t^4 / 30240.
    small = t < 1e-2
    safe = np.where(small, 1.0, half)
    exact = (1 - safe / np.tan(safe)) / (4 * safe**2)
    c = np.where(small, 1 / 12 + t**2 / 720, exact)[..., None, None]
    K = skew(rotvec)
    return np.asarray(np.eye(3) + K / 2 + c * (K @ K))
