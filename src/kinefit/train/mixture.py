"""Fitting a Gaussian mixture with full covariances by expectation-maximisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.types import FloatArray, IntArray, InvalidData

_LLOYD_ROUNDS = 20
_LEAST_GAIN = 1e-4  # of the mean log likelihood, nats: below that another round changes nothing


@dataclass(frozen=True, eq=False)
class GaussianMixture:
    """weights (K,), means (K, D), covariances (K, D, D); and the mean log likelihood by round."""

    weights: FloatArray
    means: FloatArray
    covariances: FloatArray
    history: tuple[float, ...]


def fit_mixture(
    x: FloatArray,
    count: int,
    *,
    weight: FloatArray | None = None,
    ridge: float = 0.0,
    mirror: FloatArray | None = None,
    seed: int = 0,
    rounds: int = 200,
) -> GaussianMixture:
    """The mixture of `count` Gaussians that makes samples `x` (N, D) likely (Dempster et al. 1977).

    weight: (N,) how much each sample counts; None: equally. ridge: variance added to every
    covariance, below which nothing is told apart. mirror: (D, D) orthogonal, its own inverse: the
    samples are as many mirror images of one another, and the Gaussians come in such pairs (k and
    k + count / 2), so that the mixture has no side.

    Begins with k-means++ and Lloyd's rounds; the same seed gives the same mixture. Raises
    InvalidData for samples that are not finite or fewer than `count`, and for an odd number of
    mirrored Gaussians.
    """
    if len(x) < count or not np.isfinite(x).all():
        raise InvalidData(f"A mixture of {count} needs as many finite samples, got {len(x)}.")
    if mirror is not None and count % 2:
        raise InvalidData(f"{count} Gaussians do not come in pairs.")
    w = np.full(len(x), 1 / len(x)) if weight is None else weight / weight.sum()
    share = np.eye(count)[_clusters(x, w, count, mirror, np.random.default_rng(seed))]
    history: list[float] = []
    for _ in range(rounds):
        weights, means, covariances = _maximise(x, w[:, None] * share, ridge)
        if mirror is not None:
            weights, means, covariances = _paired(weights, means, covariances, mirror)
        log_each = np.log(weights) + _log_densities(x, means, covariances)
        log_sum = np.logaddexp.reduce(log_each, axis=1)
        share = np.exp(log_each - log_sum[:, None])
        history.append(float(w @ log_sum))
        if len(history) > 1 and history[-1] - history[-2] < _LEAST_GAIN:
            break
    return GaussianMixture(weights, means, covariances, tuple(history))


def _maximise(
    x: FloatArray, share: FloatArray, ridge: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Weights, means and covariances of samples with these shares (N, K) in each Gaussian."""
    total = share.sum(axis=0) + 1e-12
    means = share.T @ x / total[:, None]
    D = x.shape[1]
    covariances = np.empty((len(total), D, D))
    for k in range(len(total)):
        off = x - means[k]
        covariances[k] = (off * share[:, k, None]).T @ off / total[k] + ridge * np.eye(D)
    return total / total.sum(), means, covariances


def _paired(
    weights: FloatArray, means: FloatArray, covariances: FloatArray, mirror: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """The second half of the Gaussians as exact images of the first: rounding would part them."""
    half = len(weights) // 2
    w, m, c = weights[:half], means[:half], covariances[:half]
    image = m @ mirror.T, mirror @ c @ mirror.T
    return (
        np.concatenate([w, w]) / (2 * w.sum()),
        np.concatenate([m, image[0]]),
        np.concatenate([c, image[1]]),
    )


def _log_densities(x: FloatArray, means: FloatArray, covariances: FloatArray) -> FloatArray:
    """(N, K) log density of each sample in each Gaussian."""
    columns = []
    for mean, covariance in zip(means, covariances, strict=True):
        L = np.linalg.cholesky(covariance)
        off = (x - mean) @ np.linalg.inv(L).T
        log_root = np.log(np.diagonal(L)).sum()
        columns.append(-(off**2).sum(axis=1) / 2 - log_root - x.shape[1] / 2 * np.log(2 * np.pi))
    return np.stack(columns, axis=1)


def _clusters(
    x: FloatArray,
    weight: FloatArray,
    count: int,
    mirror: FloatArray | None,
    random: np.random.Generator,
) -> IntArray:
    """(N,) cluster of each sample (k-means++, Arthur & Vassilvitskii 2007, then Lloyd's rounds)."""
    centres = x[random.choice(len(x), p=weight)][None]
    while len(centres) < (count if mirror is None else count // 2):
        gain = weight * _squares(x, centres).min(axis=1)
        chance = gain / gain.sum() if gain.sum() > 0 else weight
        centres = np.concatenate([centres, x[random.choice(len(x), p=chance)][None]])
    if mirror is not None:
        centres = np.concatenate([centres, centres @ mirror.T])
    for _ in range(_LLOYD_ROUNDS):
        nearest = _squares(x, centres).argmin(axis=1)
        total = np.bincount(nearest, weight, count)
        sums = np.stack([np.bincount(nearest, weight * column, count) for column in x.T], axis=1)
        centres = np.where(total[:, None] > 0, sums / np.maximum(total, 1e-300)[:, None], centres)
    return np.asarray(_squares(x, centres).argmin(axis=1))


def _squares(x: FloatArray, centres: FloatArray) -> FloatArray:
    """(N, K) squared distances."""
    square = (x**2).sum(axis=1)[:, None] + (centres**2).sum(axis=1) - 2 * x @ centres.T
    return np.asarray(np.maximum(square, 0))
