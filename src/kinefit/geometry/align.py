"""Rigid and similarity alignment of point sets, and the rotation from one direction to another."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.geometry.rotations import cross, skew, unit
from kinefit.types import FloatArray, InvalidData, all_finite


@dataclass(frozen=True, eq=False)
class Similarity:
    """x -> scale * R @ x + t, one per leading index.

    scale: (...,). R: (..., 3, 3) rotations. t: (..., 3).
    """

    scale: FloatArray
    R: FloatArray
    t: FloatArray

    def apply(self, points: FloatArray) -> FloatArray:
        """Move `points` (..., N, 3)."""
        turned = points @ np.swapaxes(self.R, -1, -2)
        return np.asarray(self.scale[..., None, None] * turned + self.t[..., None, :])


def align(
    source: FloatArray,
    target: FloatArray,
    weights: FloatArray | None = None,
    *,
    with_scale: bool = False,
    strict: bool = True,
) -> Similarity:
    """The motion that brings `source` (..., N, 3) nearest to `target` (..., N, 3).

    Least squares with `weights` (..., N), non-negative (None: equal); never a reflection.
    Points that are NaN on either side carry no weight. The result is NaN wherever the points
    left do not determine a rotation: fewer than three, or all on one line. Not `strict`: any of
    the best rotations there, and NaN only without any point. The distances after it are the same
    for each of them where one side lies on a line, as the path of someone walking straight does.

    Umeyama 1991, IEEE PAMI 13(4):376-380, equations 40-42; without scale it is Kabsch's.
    """
    if source.shape != target.shape or source.shape[-1] != 3:
        raise InvalidData(f"Cannot align shape {source.shape} with {target.shape}.")
    usable = all_finite(source) & all_finite(target)
    w = usable * (1.0 if weights is None else np.nan_to_num(weights))
    total = w.sum(axis=-1, keepdims=True)
    w = (w / np.where(total > 0, total, 1))[..., None]
    source, target = (np.where(usable[..., None], p, 0.0) for p in (source, target))
    centre_s, centre_t = ((w * p).sum(axis=-2) for p in (source, target))
    s, t = source - centre_s[..., None, :], target - centre_t[..., None, :]
    U, D, Vt = np.linalg.svd(np.swapaxes(w * t, -1, -2) @ s)
    handed = np.ones_like(D)
    handed[..., 2] = np.where(np.linalg.det(U) * np.linalg.det(Vt) < 0, -1, 1)
    R = (U * handed[..., None, :]) @ Vt
    # A covariance of rank one leaves the rotation about its line free; 1e-9 is far above the
    # rounding of the decomposition and far below any two directions that mean something.
    determined = (D[..., 1] > 1e-9 * D[..., 0]) & (((w[..., 0] > 0).sum(axis=-1)) >= 3)
    if not strict:
        determined = total[..., 0] > 0
    R = np.where(determined[..., None, None], R, np.nan)
    spread = (w * s * s).sum(axis=(-1, -2))
    ratio = (D * handed).sum(axis=-1) / np.where(spread > 0, spread, np.nan)
    scale = np.where(determined, ratio if with_scale else 1.0, np.nan)
    shift = centre_t - scale[..., None] * (R @ centre_s[..., None])[..., 0]
    return Similarity(scale, R, shift)


def rotation_between(start: FloatArray, end: FloatArray) -> FloatArray:
    """The smallest rotation (..., 3, 3) that turns direction `start` (..., 3) into `end` (..., 3).

    NaN where a direction has no length or the two are opposite, when no smallest one exists.
    """
    a, b = unit(start), unit(end)
    K, near = skew(cross(a, b)), 1 + (a * b).sum(axis=-1)[..., None, None]
    return np.asarray(np.eye(3) + K + K @ K / np.where(near > 1e-12, near, np.nan))
