"""Errors in a few numbers: summaries, agreement of curves, truth of stated uncertainties.

An error whose uncertainty is missing or invalid (negative, a covariance that is not positive
definite) is left out and counted as missing; an uncertainty of 0 holds an error of 0.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import chdtri, ndtri

from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData


class Numbers:
    """Base of dataclasses of numbers."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN as null."""
        return plain(vars(self))


@dataclass(frozen=True)
class Summary(Numbers):
    """A set of errors in their unit; NaN where none is known.

    p90, p95: percentiles, linear between the two nearest samples. count: errors that are known.
    missing: errors that are not (NaN); they are in no other number.
    """

    mean: float
    median: float
    p90: float
    p95: float
    max: float
    count: int
    missing: int


def summary(errors: FloatArray) -> Summary:
    """A few numbers of errors of any shape.

    Raises InvalidData for an infinite error.
    """
    errors = np.asarray(errors, np.float64).ravel()
    refuse_infinite(errors)
    known = errors[np.isfinite(errors)]
    missing = len(errors) - len(known)
    if not len(known):
        nan = float("nan")
        return Summary(nan, nan, nan, nan, nan, 0, missing)
    p50, p90, p95 = np.quantile(known, [0.5, 0.9, 0.95]).tolist()
    mean, most = float(known.mean()), float(known.max())
    return Summary(mean, p50, p90, p95, most, len(known), missing)


def mean_of(
    values: FloatArray | BoolArray, axis: int | tuple[int, ...] | None = None
) -> FloatArray:
    """Mean over `axis` (None: all) of what is not NaN; NaN, without a warning, where all is.

    The mean of a metric over frames, joints or both: `mean_of(errors, 0)` is one per joint.
    """
    values = np.asarray(values, np.float64)
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(total / np.where(count > 0, count, np.nan))


def roc_auc(scores: FloatArray, positive: BoolArray) -> float:
    """Probability that a positive has a higher score than a negative; ties count half.

    scores, positive: (N,). The area under the ROC curve; NaN without one of either kind.
    Raises InvalidData unless both have one shape. Scores that are NaN are left out.
    """
    if scores.shape != positive.shape or scores.ndim != 1:
        raise InvalidData(f"Scores {scores.shape} do not go with labels {positive.shape}.")
    known = ~np.isnan(scores)
    high, low = scores[known & positive], np.sort(scores[known & ~positive])
    if not len(high) or not len(low):
        return float("nan")
    below = np.searchsorted(low, high) + np.searchsorted(low, high, "right")
    return float(below.mean()) / (2 * len(low))


def refuse_infinite(values: FloatArray) -> None:
    """Raise InvalidData when one of `values` is infinite: it is neither a number nor missing."""
    if np.isinf(values).any():
        raise InvalidData("A value to be judged is infinite; what is missing must be NaN.")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` as JSON can hold them: NaN becomes None, at any depth of dictionaries."""
    return {k: _plain(v) for k, v in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, Numbers):
        return value.to_json()
    return None if isinstance(value, float) and np.isnan(value) else value


# A standard deviation below this is rounding (a file with eight decimals leaves 1e-8): a
# correlation with such a curve would be one of rounding errors.
CONSTANT = 1e-6

_LIMITS = 1.96  # standard deviations that hold 95 % of normal differences


@dataclass(frozen=True)
class Agreement(Numbers):
    """`values - reference` over the samples that both have; NaN where a number is not defined.

    count, missing: samples with and without a difference.
    mae, rmse, bias: mean absolute, root mean square, mean. sd: about the bias, by the number of
        samples, so that rmse^2 = bias^2 + sd^2. mae_centred: mean absolute about the bias; with
        sd, what is left without a constant offset of the frames.
    loa_low, loa_high: limits of agreement, bias -+ 1.96 SD (here by count - 1): 95 % of the
        differences, if they are normal. Bland & Altman 1986, Lancet 327(8476):307.
    rom_error: range of motion of the values minus that of the reference.
    icc: ICC(2,1); see `icc_2_1`. Of samples in time, which are not independent: no p-value.
    r: Pearson's correlation. slope, intercept, r2: values = intercept + slope * reference, the
        linear fit method; 1, 0 and 1 for the same curve. Iosa et al. 2014, BioMed Res Int 214156.
    """

    count: int
    missing: int
    mae: float
    rmse: float
    bias: float
    sd: float
    mae_centred: float
    loa_low: float
    loa_high: float
    rom_error: float
    icc: float
    r: float
    slope: float
    intercept: float
    r2: float


def agreement(values: FloatArray, reference: FloatArray) -> Agreement:
    """Compare curves (T,) of one unit, sampled at the same times.

    A curve whose standard deviation is below 1e-6 has no correlation, ICC or fit (NaN).
    Angles must not jump by whole turns: see `same_turn`. Compare several trials one by one
    and average their numbers over people: in pooled samples the longest trial weighs most.
    Raises InvalidData unless both are (T,), and for an infinite value.
    """
    if values.shape != reference.shape or values.ndim != 1:
        raise InvalidData(f"Curves of shapes {values.shape} and {reference.shape} do not compare.")
    refuse_infinite(values)
    refuse_infinite(reference)
    known = np.isfinite(values) & np.isfinite(reference)
    a, b = values[known], reference[known]
    count, missing = len(a), len(values) - len(a)
    if not count:
        return Agreement(0, missing, *[float("nan")] * 13)
    d = a - b
    bias, sd = float(d.mean()), float(d.std())
    spread = _LIMITS * (float(d.std(ddof=1)) if count > 1 else float("nan"))
    varies = min(float(a.std()), float(b.std())) >= CONSTANT
    r, slope, intercept = _line(b, a) if varies else [float("nan")] * 3
    return Agreement(
        count=count,
        missing=missing,
        mae=float(np.abs(d).mean()),
        rmse=float(np.sqrt((d**2).mean())),
        bias=bias,
        sd=sd,
        mae_centred=float(np.abs(d - bias).mean()),
        loa_low=bias - spread,
        loa_high=bias + spread,
        rom_error=float(np.ptp(a) - np.ptp(b)),
        icc=icc_2_1(np.stack([a, b], axis=1)) if varies else float("nan"),
        r=r,
        slope=slope,
        intercept=intercept,
        r2=r**2,
    )


def icc_2_1(ratings: FloatArray) -> float:
    """ICC(2,1) of `ratings` (N, K), N targets by K methods: agreement of single values.

    Two-way random effects, absolute agreement: a constant offset counts. Targets that lack a
    rating are left out; NaN with fewer than two targets or methods, or without any variance.

    Shrout & Fleiss 1979, Psychol Bull 86(2):420; McGraw & Wong 1996, ICC(A,1).
    """
    if ratings.ndim != 2:
        raise InvalidData(f"Ratings have shape {ratings.shape}, expected targets by methods.")
    x = ratings[np.isfinite(ratings).all(axis=1)]
    n, k = x.shape
    if n < 2 or k < 2:
        return float("nan")
    x = x - x.mean()
    rows, columns = x.mean(axis=1), x.mean(axis=0)
    between = k * float((rows**2).sum()) / (n - 1)
    methods = n * float((columns**2).sum()) / (k - 1)
    rest = float(((x - rows[:, None] - columns) ** 2).sum()) / ((n - 1) * (k - 1))
    total = between + (k - 1) * rest + k * (methods - rest) / n
    return (between - rest) / total if total > 0 else float("nan")


def same_turn(difference: FloatArray) -> FloatArray:
    """Differences of angles (T,) in degrees without whole turns, NaN left alone.

    Within 180 degrees of their circular mean, so that a curve that passes 180 beside one that
    does not is not off by a turn.
    """
    known = difference[np.isfinite(difference)]
    if not len(known):
        return difference
    middle = float(np.degrees(np.angle(np.exp(1j * np.radians(known)).mean())))
    rest = difference - middle
    return np.asarray(middle + rest - 360.0 * np.round(rest / 360.0))


def _line(x: FloatArray, y: FloatArray) -> tuple[float, float, float]:
    """Correlation, slope and intercept of the least-squares line y = intercept + slope * x."""
    dx, dy = x - x.mean(), y - y.mean()
    xy, xx, yy = float(dx @ dy), float(dx @ dx), float(dy @ dy)
    slope = xy / xx
    r = min(max(xy / np.sqrt(xx * yy), -1.0), 1.0)
    return float(r), slope, float(y.mean() - slope * x.mean())


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
