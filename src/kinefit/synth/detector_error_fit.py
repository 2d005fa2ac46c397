"""Fits `kinefit.synth.detector_errors.DetectorErrors` to rows of `kinefit synth pairs`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.synth.detector_errors import (
    CHANNELS,
    KNOWN,
    SWAP_GROUPS,
    XY,
    DetectorErrors,
    Views,
    find_errors,
    logistic,
    scaled,
    swap_sides,
    twins,
)
from kinefit.synth.pairs import read_pairs
from kinefit.types import BoolArray, FloatArray, TooFewPoints

_LEAST_ROWS = 200  # for some 40 features
_ROUNDS = 4  # of bias and spread in turn: later ones change spreads by less than 1 %
_TAIL = 4.0  # degrees of freedom of Student's t, which gives outliers less weight
_FLOOR = 0.05  # of the median error: the smallest error whose logarithm is taken
# Of each coefficient but the constant, as a share of the rows. Residuals of similar people carry
# most of what features could explain, and keep fingers with the wrist; corrections that differ
# from point to point tear them apart, and make sampled errors easy to tell from real ones.
_RIDGE = 0.2
_SWAPPED_BY = 0.02  # of the size: swapping sides must reduce the error by this, per point
_LOGISTIC_RIDGE = 1.0
_MOST_RESIDUAL = 1000.0  # half precision ends at 65504


@dataclass(frozen=True, eq=False)
class Sample:
    """Detections with the truth: N people, J points.

    views: the people. detected: (N, J, 6), NaN for missed people. scene: (N,) numbers.
    """

    views: Views
    detected: FloatArray
    scene: NDArray[np.int64]

    @classmethod
    def of(cls, pairs: Mapping[str, NDArray[Any]]) -> Sample:
        """Of the arrays of `kinefit.synth.pairs.FIELDS`."""
        views = Views.of(
            pairs["true_33"].astype(np.float64), pairs["xyz_33"].astype(np.float64),
            pairs["sight_33"], pairs["K"], pairs["stature_m"],
        )  # fmt: skip
        detected = np.concatenate(
            [pairs["detected_33"], pairs["score_33"][..., None], pairs["world_33"]], axis=-1
        )[:, KNOWN]
        detected[~np.isfinite(detected).all(axis=(1, 2))] = np.nan
        return cls(views, detected, pairs["scene"].astype(np.int64))

    def rows(self, chosen: NDArray[Any]) -> Sample:
        """Some of the people."""
        return Sample(self.views.rows(chosen), self.detected[chosen], self.scene[chosen])

    @property
    def found(self) -> BoolArray:
        """(N,) whether there is a detection."""
        return np.asarray(np.isfinite(self.detected[:, 0, 0]))


def fit_file(pairs: Path, out: Path) -> int:
    """Fit to a folder's rows, write `out`, a safetensors file; the number of rows.

    Raises InputError for a folder without pairs, TooFewPoints for too few.
    """
    sample = Sample.of(read_pairs(pairs))
    rows, scenes, found = len(sample.detected), len(np.unique(sample.scene)), sample.found.sum()
    about = {"rows": str(rows), "scenes": str(scenes), "found": str(int(found))}
    fit_detector_errors(sample).write(out, about)
    return rows


def fit_detector_errors(sample: Sample) -> DetectorErrors:
    """The model of all rows of `sample`; nothing is random.

    Raises TooFewPoints where fewer than 200 people were detected.
    """
    found = sample.rows(sample.found)
    if len(found.detected) < _LEAST_ROWS:
        count, hint = len(found.detected), "make more: kinefit synth pairs --count 10000"
        raise TooFewPoints("People in the pairs", found=count, needed=_LEAST_ROWS, hint=hint)
    groups = swapped_sides(found)
    error = find_errors(found.views, swap_sides(found.detected, groups))
    x = found.views.point
    bias, spread, residual = _moments(x, error, found.views.along)
    return DetectorErrors(
        bias=bias,
        spread=spread,
        least=x.min(axis=0),
        most=x.max(axis=0),
        exchange=_fit_swaps(found.views.exchange, groups),
        nobody=fit_logistic(sample.views.exchange, ~sample.found),
        residuals=np.clip(residual, -_MOST_RESIDUAL, _MOST_RESIDUAL),
        alike=found.views.alike,
        alike_scale=found.views.alike.std(axis=0) + 1e-3,
    )


def swapped_sides(sample: Sample) -> BoolArray:
    """(N, G) where a group is nearer to the other side's truth, by 2 % of the size."""
    out = np.zeros((len(sample.detected), len(SWAP_GROUPS)), bool)
    detected, true = sample.detected[..., XY], sample.views.xy
    for group, name in enumerate(SWAP_GROUPS):
        left, right = twins(name)
        kept = _gap(detected[:, left], true[:, left]) + _gap(detected[:, right], true[:, right])
        other = _gap(detected[:, left], true[:, right]) + _gap(detected[:, right], true[:, left])
        with np.errstate(invalid="ignore"):
            out[:, group] = (kept - other) / 2 > _SWAPPED_BY * sample.views.size
    return out


def _gap(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(np.linalg.norm(a - b, axis=-1).mean(axis=-1))


def _moments(
    x: FloatArray, error: FloatArray, along: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Bias and spread (J, F, C) of errors (N, J, C) given features (N, J, F), and the residuals.

    In turn: bias by least squares with the weights of Student's t (Lange, Little & Taylor 1989),
    and the logarithm of the squared error on the same features (Harvey 1976).
    """
    N, J, F = x.shape
    bias, spread = np.zeros((J, F, CHANNELS)), np.zeros((J, F, CHANNELS))
    residual = np.zeros_like(error)
    for j in range(J):
        features, e = x[:, j], error[:, j]
        weight = np.ones((N, CHANNELS))
        for _ in range(_ROUNDS):
            bias[j] = _ridge(features, e, weight)
            rest = e - features @ bias[j]
            turned = _along_limbs(rest, along[:, j])
            floor = (_FLOOR * np.median(np.abs(turned), axis=0)) ** 2 + 1e-12
            spread[j] = _ridge(features, np.log(turned**2 + floor) / 2, np.ones_like(rest))
            scale = np.exp(features @ spread[j])
            spread[j, 0] += np.log(np.median(np.abs(turned) / scale, axis=0) / 0.6745)
            u = turned / np.exp(features @ spread[j])
            u[:, XY] = np.sqrt((u[:, XY] ** 2).mean(axis=1, keepdims=True))
            weight = (_TAIL + 1) / (_TAIL + u**2) / np.exp(2 * (features @ spread[j]))
        scale = np.exp(features @ spread[j])
        residual[:, j] = scaled(rest, 1 / scale, along[:, j])
    return bias, spread, residual


def _along_limbs(e: FloatArray, along: FloatArray) -> FloatArray:
    """Errors (N, C) with the two image channels along and across the limb."""
    out = e.copy()
    out[:, 0] = (e[:, XY] * along).sum(axis=1)
    out[:, 1] = e[:, 1] * along[:, 0] - e[:, 0] * along[:, 1]
    return out


def _ridge(x: FloatArray, y: FloatArray, weight: FloatArray) -> FloatArray:
    """(F, C) coefficients from features (N, F) to values (N, C), weighted (N, C) by columns."""
    weight = weight / weight.mean(axis=0)
    penalty = np.eye(x.shape[1]) * _RIDGE * len(x)
    penalty[0, 0] = 1e-9
    normal = (x.T * weight.T[:, None]) @ x + penalty
    right = (weight * y).T @ x
    return np.asarray(np.linalg.solve(normal, right[..., None])[..., 0].T)


def _fit_swaps(x: FloatArray, groups: BoolArray) -> FloatArray:
    """(G, E + G): each group on the features and the groups before it."""
    G = groups.shape[1]
    out = np.zeros((G, x.shape[1] + G))
    for group in range(G):
        used = np.column_stack([x, groups[:, :group].astype(np.float64)])
        out[group, : used.shape[1]] = fit_logistic(used, groups[:, group])
    return out


def fit_logistic(x: FloatArray, y: BoolArray) -> FloatArray:
    """(E,) coefficients of a logistic regression; the first column of x is 1. Newton's method."""
    penalty = np.full(x.shape[1], _LOGISTIC_RIDGE)
    penalty[0] = 1e-3  # the rate itself is hardly pulled towards a half
    beta = np.zeros(x.shape[1])
    beta[0] = np.log((y.sum() + 0.5) / ((~y).sum() + 0.5))
    for _ in range(30):
        p = logistic(x @ beta)
        slope = x.T @ (p - y) + penalty * beta
        curve = (x.T * (p * (1 - p))) @ x + np.diag(penalty)
        step = np.linalg.solve(curve, slope)
        beta = beta - step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-9))
        if np.abs(step).max() < 1e-6:
            break
    return beta
