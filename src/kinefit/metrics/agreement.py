"""Agreement of two curves of one quantity: a joint angle by two methods, in any unit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.metrics.summary import Numbers, refuse_infinite
from kinefit.types import FloatArray, InvalidData

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


def agreement(values: FloatArray, reference: FloatArray, constant: float = CONSTANT) -> Agreement:
    """Compare curves (T,) of one unit, sampled at the same times.

    constant: a curve whose standard deviation is below this has no correlation, ICC or fit (NaN).
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
    varies = min(float(a.std()), float(b.std())) >= constant
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
