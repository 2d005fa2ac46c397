"""Two-sample comparisons of real detections and sampled ones.

A classifier that cannot tell two samples apart (area under the ROC curve 0.5) finds no difference
that it could see (Lopez-Paz & Oquab 2017, Revisiting classifier two-sample tests); the energy
distance (Szekely & Rizzo 2013) says how far apart they are, in units of what is measured.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from kinefit.synth.detector_error_fit import Sample
from kinefit.synth.detector_errors import KNOWN, WORLD, XY, DetectorErrors, Views, draw, find_errors
from kinefit.types import BoolArray, FloatArray

_HIDDEN = 64  # units of the classifier's layer
_EPOCHS, _BATCH, _RATE, _DECAY = 30, 128, 2e-3, 1e-2
FOLDS = 5
_RESAMPLED = 1000
_COMMON_XY, _COMMON_WORLD = 0.01, 0.03  # sizes, statures: about the median errors


@dataclass(frozen=True)
class Auc:
    """Area under the ROC curve, and the 95 % interval from scenes drawn anew."""

    value: float
    low: float
    high: float


# Training rows, a generator, other rows -> (n, J, 6) detections of these; NaN: missed.
Drawer = Callable[[Sample, np.random.Generator, Sample], FloatArray]


def drawn_by(model: DetectorErrors, rng: np.random.Generator, views: Views) -> FloatArray:
    """(N, J, 6) like `Sample.detected`, drawn."""
    N = len(views.xy)
    xy, xyz = np.full((N, 33, 2), np.nan), np.full((N, 33, 3), np.nan)
    visibility = np.zeros((N, 33), np.uint8)
    xy[:, KNOWN], xyz[:, KNOWN], visibility[:, KNOWN] = views.xy, views.xyz, views.visibility
    drawn = draw(model, rng, xy, xyz, visibility, views.K, views.stature)
    parts = [drawn.xy, drawn.score[..., None], drawn.body]
    detected = np.concatenate(parts, axis=-1)[:, KNOWN]
    detected[np.isnan(detected).any(axis=(1, 2))] = np.nan
    return np.asarray(detected)


def held_out(sample: Sample, drawer: Drawer, seed: int) -> Sample:
    """`sample` with what `drawer` samples for each fifth of the scenes from the others."""
    detected = np.full_like(sample.detected, np.nan)
    fold = scene_folds(sample.scene, seed)
    for k in range(FOLDS):
        rng = np.random.default_rng((seed, 1, k))
        detected[fold == k] = drawer(sample.rows(fold != k), rng, sample.rows(fold == k))
    return Sample(sample.views, detected, sample.scene)


def scene_folds(scene: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """(N,) 0..4: scenes assigned at random; rows of a scene stay together."""
    names, of = np.unique(scene, return_inverse=True)
    deal = np.random.default_rng((seed, 3)).permutation(len(names)) % FOLDS
    return np.asarray(deal[of])


def tell_apart(real: Sample, drawn: Sample, seed: int, *, picture_only: bool = False) -> Auc:
    """How well a small network tells real detections from sampled ones.

    It sees the person (`Views.person`, visibility), and of all points the errors in the picture;
    unless `picture_only`, also scores and errors of the own 3D. It is asked about scenes that it
    did not learn from.
    """
    rows = [s.rows(s.found) for s in (real, drawn)]
    channels = slice(0, 2) if picture_only else slice(None)
    x = np.concatenate([_visible(s, channels) for s in rows])
    y = np.repeat([0.0, 1.0], [len(s.scene) for s in rows])
    scene = np.concatenate([s.scene for s in rows])
    fold = scene_folds(scene, seed)
    logit = np.zeros(len(y))
    for k in range(FOLDS):
        test = fold == k
        logit[test] = _learnt(x[~test], y[~test], x[test], np.random.default_rng((seed, 4, k)))
    return _auc_with_interval(logit, y > 0, scene, seed)


def _visible(sample: Sample, channels: slice) -> FloatArray:
    """(N, D) what the classifier sees: errors in units of common ones, the tails drawn in."""
    e = find_errors(sample.views, sample.detected)
    e[..., XY] = np.arcsinh(e[..., XY] / _COMMON_XY)
    e[..., WORLD] = np.arcsinh(e[..., WORLD] / _COMMON_WORLD)
    e = e[..., channels].reshape(len(e), -1)
    visibility = sample.views.visibility.astype(np.float64)
    return np.concatenate([e, sample.views.person[:, 1:], visibility], axis=1)


def _learnt(
    x: FloatArray, y: FloatArray, asked: FloatArray, rng: np.random.Generator
) -> FloatArray:
    """Logits for `asked` of a network with one layer, trained by Adam with decaying weights."""
    mean, scale = x.mean(axis=0), x.std(axis=0) + 1e-6
    x, asked = (x - mean) / scale, (asked - mean) / scale
    D = x.shape[1]
    w = [rng.normal(size=(D, _HIDDEN)) / np.sqrt(D), np.zeros(_HIDDEN),
         rng.normal(size=_HIDDEN) / np.sqrt(_HIDDEN), np.zeros(1)]  # fmt: skip
    first, second, step = [0 * p for p in w], [0 * p for p in w], 0
    for _ in range(_EPOCHS):
        order = rng.permutation(len(x))
        for at in range(0, len(x) - _BATCH + 1, _BATCH):
            some = order[at : at + _BATCH]
            step += 1
            for i, slope in enumerate(_slopes(w, x[some], y[some])):
                first[i] = 0.9 * first[i] + 0.1 * slope
                second[i] = 0.999 * second[i] + 0.001 * slope**2
                size = np.sqrt(second[i] / (1 - 0.999**step)) + 1e-8
                w[i] = w[i] * (1 - _RATE * _DECAY) - _RATE * first[i] / (1 - 0.9**step) / size
    return np.asarray(np.maximum(asked @ w[0] + w[1], 0) @ w[2] + w[3])


def _slopes(w: list[FloatArray], x: FloatArray, y: FloatArray) -> list[FloatArray]:
    """Of the mean cross-entropy in the four arrays of weights."""
    hidden = np.maximum(x @ w[0] + w[1], 0)
    wrong = (1 / (1 + np.exp(-np.clip(hidden @ w[2] + w[3], -30, 30))) - y) / len(y)
    back = wrong[:, None] * w[2] * (hidden > 0)
    return [x.T @ back, back.sum(axis=0), hidden.T @ wrong, wrong.sum(keepdims=True)]


def auc(score: FloatArray, positive: BoolArray) -> float:
    """Probability that a positive scores higher than a negative, ties half (Mann-Whitney)."""
    n = positive.sum()
    rank = rankdata(score)[positive].sum()
    return float((rank - n * (n + 1) / 2) / (n * (len(score) - n)))


def _auc_with_interval(
    score: FloatArray, positive: BoolArray, scene: NDArray[np.int64], seed: int
) -> Auc:
    rng = np.random.default_rng((seed, 5))
    order = np.argsort(scene, kind="stable")
    groups = np.split(order, np.flatnonzero(np.diff(scene[order])) + 1)
    values = []
    for _ in range(_RESAMPLED):
        some = np.concatenate([groups[i] for i in rng.integers(len(groups), size=len(groups))])
        values.append(auc(score[some], positive[some]))
    low, high = np.quantile(values, [0.025, 0.975])
    return Auc(auc(score, positive), float(low), float(high))


def energy_distance(a: FloatArray, b: FloatArray) -> float:
    """Of samples (n, D) and (m, D), in their units: 2 E|A-B| - E|A-A'| - E|B-B'|.

    Without bias (no point is set beside itself): about 0, also below, for one distribution.
    """
    n, m = len(a), len(b)
    within = _sum(a, a) / (n * (n - 1)) + _sum(b, b) / (m * (m - 1))
    return 2 * _sum(a, b) / (n * m) - within


def _sum(a: FloatArray, b: FloatArray) -> float:
    square = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    return float(np.sqrt(np.maximum(square, 0)).sum())


def picture_errors(sample: Sample) -> FloatArray:
    """(n, J, 2) errors in the picture of those who were found, in sizes of the person."""
    found = sample.rows(sample.found)
    return find_errors(found.views, found.detected)[..., XY]
