"""Least squares on the pixels of each point by itself, all points at once (Levenberg-Marquardt).

Arrays are laid out (C, N) per coordinate, cameras first (see `RigOptics`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.multiview.point_normal import NormalEquations
from kinefit.multiview.symmetric import solve_symmetric
from kinefit.multiview.triangulation_options import TriangulationOptions
from kinefit.types import BoolArray, FloatArray

_MOST_DAMPING = 1e8
# How much of the loss's straightness beyond delta the Hessian knows. All of it (Newton) oversteps
# at the bend: one point in seven is tried again and again; none of it (reweighting) creeps: one in
# fifteen is not there after 12 steps. With 0.7 it is one in 200 (2,600 points of the demo).
_STRAIGHT = 0.7


def refine(
    normal: NormalEquations,
    pixels: FloatArray,
    weight: FloatArray,
    start: FloatArray,
    options: TriangulationOptions,
) -> FloatArray:
    """(3, N) points that minimise the robust reprojection error of their views.

    pixels: (C, N, 2), finite wherever `weight` (C, N) is above 0; weight: relative information.
    start: (3, N). Minimises sum_c weight_c rho(|projection_c - pixel_c|) with Huber's rho, or the
    square without `robust_lm`, by Levenberg-Marquardt; a step is taken only where that sum falls.
    The derivatives are exact, through the lens.
    """
    delta = options.robust_lm_delta if options.robust_lm else np.inf
    points = start.copy()
    left = np.flatnonzero(np.isfinite(start[0]) & ((weight > 0).sum(axis=0) >= 2))
    views = np.stack([*(np.where(weight > 0, pixels[..., k], 0.0) for k in (0, 1)), weight])
    here, views = points[:, left], views[..., left]
    damping = np.full(len(left), options.lm_lambda)
    state = _State.at(normal, here, views, delta)
    for _ in range(options.lm_iters):
        if not len(left):
            break
        step = state.step(damping)
        new = _State.at(normal, here + step, views, delta)
        better = new.cost <= state.cost  # NaN (behind a camera, off the lens) is never better
        here = np.where(better, here + step, here)
        damping = damping * np.where(better, 0.1, 10.0)
        small = np.abs(step).max(axis=0) < options.lm_eps
        going = ~(small | (damping > _MOST_DAMPING) | ~np.isfinite(step[0]))
        state = new.or_other(state, better, going)
        points[:, left[~going]] = here[:, ~going]
        left, here, damping, views = left[going], here[:, going], damping[going], views[..., going]
    points[:, left] = here
    return points


@dataclass(frozen=True, eq=False)
class _State:
    """Points at one place: cost (n,), Hessian of the robust loss (6, n) and gradient (3, n)."""

    cost: FloatArray
    hessian: FloatArray
    gradient: FloatArray

    @classmethod
    def at(
        cls,
        normal: NormalEquations,
        points: FloatArray,
        views: FloatArray,
        delta: float,
    ) -> _State:
        """points: (3, n). views: (3, C, n), u and v in px and the weight.

        The Hessian in the residuals is w (I - s r r^T / |r|^2) beyond delta, where the loss is
        straight along the residual; s: see `_STRAIGHT`.
        """
        pu, pv, seen = normal.optics.look(points)
        u, v, weight = views
        ru, rv = pu - u, pv - v
        square = ru * ru + rv * rv
        size = np.sqrt(square)
        used = weight > 0
        # What no used view sees is NaN or infinite here, and must not reach the sums.
        cost = _huber(size, delta)
        cost = np.where(used, weight * cost, 0.0).sum(axis=0)
        if not used.all():
            seen = seen.only(used)
            ru, rv = np.where(used, ru, 0.0), np.where(used, rv, 0.0)
        far = used & (size > delta)
        if not far.any():
            weights: tuple[FloatArray, FloatArray | None, FloatArray] = (weight, None, weight)
            return cls(cost, *normal.system(seen, weights, weight * ru, weight * rv))
        w = np.where(far, weight * delta / np.where(far, size, 1.0), weight)
        wu, wv = w * ru, w * rv
        share = np.where(far, _STRAIGHT / np.where(far, square, 1.0), 0.0)
        along_u, along_v = share * wu, share * wv
        weights = (w - along_u * ru, -along_u * rv, w - along_v * rv)
        return cls(cost, *normal.system(seen, weights, wu, wv))

    def step(self, damping: FloatArray) -> FloatArray:
        """(3, n) the damped step (Marquardt's scaling of the diagonal)."""
        xx, xy, xz, yy, yz, zz = self.hessian
        more = 1 + damping
        H = [xx * more, xy, xz, yy * more, yz, zz * more]
        return np.stack(solve_symmetric(H, list(-self.gradient)))

    def or_other(self, other: _State, mine: BoolArray, keep: BoolArray) -> _State:
        """Of two states the better one of each point, for the points to `keep`."""
        pairs = ((getattr(self, f), getattr(other, f)) for f in ("cost", "hessian", "gradient"))
        if mine.all():
            return _State(*(a[..., keep] for a, _ in pairs))
        return _State(*(np.where(mine, a, b)[..., keep] for a, b in pairs))


def _huber(size: FloatArray, delta: float) -> FloatArray:
    near = np.minimum(size, delta)
    return np.asarray(near * (size - 0.5 * near))
