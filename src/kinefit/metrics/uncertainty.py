"""Whether stated uncertainties are true: intervals hold the truth, large ones mark large errors.

An error whose uncertainty is missing or invalid (negative, a covariance that is not positive
definite) is left out and counted as missing; an uncertainty of 0 holds an error of 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, ndtri

from kinefit.metrics.summary import Numbers, mean_of, refuse_infinite
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData

LEVELS = (0.68, 0.95)
# Smallest over largest eigenvalue of a covariance, below which its inverse is rounding error: a
# thousand times what rounding leaves of a singular matrix.
_SINGULAR = 1e-13


@dataclass(frozen=True)
class Coverage(Numbers):
    """Share of errors inside their regions, which should be `level`; NaN without any.

    count, missing: errors with and without an uncertainty.
    """

    level: float
    share: float
    count: int
    missing: int


def interval_coverage(errors: FloatArray, sd: FloatArray, level: float) -> Coverage:
    """Share of |errors| <= z * sd, z of a normal distribution for `level`, 0 to 1.

    errors, sd: (...,) of one shape and unit; sd must broadcast. 0.68: z = 0.994; 0.95: 1.960.
    """
    _check_level(level)
    refuse_infinite(errors)
    sd = np.broadcast_to(np.asarray(sd, np.float64), errors.shape)
    known = np.isfinite(errors) & np.isfinite(sd) & (sd >= 0)
    inside = np.abs(errors) <= float(ndtri((1 + level) / 2)) * sd
    return _coverage(level, inside, known)


def region_coverage(errors: FloatArray, covariance: FloatArray, level: float) -> Coverage:
    """Share of errors (..., D) within the ellipsoid of their covariance (..., D, D).

    The ellipsoid holds `level` of a normal distribution: squared Mahalanobis distance up to the
    quantile of chi-square with D degrees of freedom (in 3D 3.5 for 0.68, 7.8 for 0.95).
    """
    _check_level(level)
    distance, _ = _mahalanobis(errors, covariance)
    limit = float(chdtri(errors.shape[-1], 1 - level))
    return _coverage(level, distance <= limit, np.isfinite(distance))


def gaussian_nll(errors: FloatArray, covariance: FloatArray) -> FloatArray:
    """(...,) negative log-likelihood, nats, of errors (..., D) with covariance (..., D, D).

    (D log 2 pi + log det C + e' C^-1 e) / 2, a proper score: smallest on average for the true
    covariance, larger for one that is too small or too large. It depends on the
    unit. One dimension: `errors[..., None]` and `sd[..., None, None] ** 2`.
    """
    distance, log_det = _mahalanobis(errors, covariance)
    return np.asarray((errors.shape[-1] * np.log(2 * np.pi) + log_det + distance) / 2)


@dataclass(frozen=True, eq=False)
class Sparsification:
    """Mean error of what is left when the most uncertain part is removed.

    removed: (S,) share removed, 0 first. kept: (S,) mean error of the rest over that of all.
    oracle: (S,) the same when the largest errors go first: the lowest curve possible.
    ause: area between the two, 0 for uncertainties in the order of the errors; NaN without errors.
    count, missing: errors with and without an uncertainty.
    """

    removed: FloatArray
    kept: FloatArray
    oracle: FloatArray
    ause: float
    count: int
    missing: int


def sparsification(errors: FloatArray, sd: FloatArray, steps: int = 100) -> Sparsification:
    """How well uncertainties `sd` (...,) rank the sizes of errors (...,), whatever their scale.

    steps: S shares removed, from 0 to 1 - 1 / steps. Equal uncertainties have no order: errors
    that share one count with their mean, so that a constant uncertainty gives the curve 1.

    Ilg et al. 2018, ECCV, "Uncertainty estimates and multi-hypotheses networks".
    """
    if errors.shape != sd.shape or steps < 1:
        raise InvalidData(f"Errors {errors.shape} have uncertainties {sd.shape}, {steps} steps.")
    refuse_infinite(errors)
    known = np.isfinite(errors) & np.isfinite(sd) & (sd >= 0)
    size, sd = np.abs(errors[known]), sd[known]
    removed = np.arange(steps) / steps
    left = len(size) - np.arange(steps) * len(size) // steps
    missing = errors.size - len(size)
    if not len(size) or not size.any():
        nothing = np.full(steps, np.nan)
        return Sparsification(removed, nothing, nothing, float("nan"), len(size), missing)
    _, group, members = np.unique(sd, return_inverse=True, return_counts=True)
    expected = (np.bincount(group, size) / members)[group]
    kept = _means_left(expected[np.argsort(sd, kind="stable")], left)
    oracle = _means_left(np.sort(size), left)
    area = float((kept - oracle).mean())
    return Sparsification(removed, kept, oracle, area, len(size), missing)


def _means_left(ascending: FloatArray, left: IntArray) -> FloatArray:
    """(S,) means of the first `left` (S,) values over the mean of all."""
    mean = np.cumsum(ascending) / np.arange(1, len(ascending) + 1)
    return np.asarray(mean[left - 1] / mean[-1])


def _mahalanobis(errors: FloatArray, covariance: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(...,) squared distance of errors (..., D), and logarithm of the covariance's determinant."""
    D = errors.shape[-1]
    refuse_infinite(errors)
    if covariance.shape != (*errors.shape, D):
        raise InvalidData(f"Errors {errors.shape} do not go with covariances {covariance.shape}.")
    known = np.isfinite(errors).all(axis=-1) & np.isfinite(covariance).all(axis=(-1, -2))
    values, axes = np.linalg.eigh(np.where(np.expand_dims(known, (-1, -2)), covariance, np.eye(D)))
    known = known & (values[..., 0] > _SINGULAR * values[..., -1])
    values = np.where(np.expand_dims(known, -1), values, np.nan)
    along = (np.swapaxes(axes, -1, -2) @ errors[..., None])[..., 0]
    return np.asarray((along**2 / values).sum(axis=-1)), np.asarray(np.log(values).sum(axis=-1))


def _coverage(level: float, inside: BoolArray, known: BoolArray) -> Coverage:
    share = float(mean_of(inside[known]))
    return Coverage(level, share, int(known.sum()), int((~known).sum()))


def _check_level(level: float) -> None:
    if not 0 < level < 1:
        raise InvalidData(f"The level {level} is not between 0 and 1.")
