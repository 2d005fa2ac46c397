"""Least squares on the pixels of each point by itself, all points at once (Levenberg-Marquardt).

Arrays are laid out (C, N) per coordinate, cameras first (see `RigOptics`).
"""

from __future__ import annotations

import numpy as np

from kinefit.geometry.projection import RigOptics
from kinefit.types import BoolArray, FloatArray
from kinefit.views.options import TriangulationOptions
from kinefit.views.symmetric import SIX, solve_symmetric

_MOST_DAMPING = 1e8


def normal_matrix(du: FloatArray, dv: FloatArray, w: FloatArray) -> list[FloatArray]:
    """The six entries of sum_c w_c (du du^T + dv dv^T); du, dv: (C, 3, N), w: (C, N)."""
    return [(w * (du[:, i] * du[:, j] + dv[:, i] * dv[:, j])).sum(axis=0) for i, j in SIX]


def refine(
    optics: RigOptics,
    pixels: FloatArray,
    weight: FloatArray,
    start: FloatArray,
    options: TriangulationOptions,
) -> FloatArray:
    """(3, N) points that minimise the robust reprojection error of their views.

    pixels: (C, N, 2), finite wherever `weight` (C, N) is above 0; weight: relative information.
    start: (3, N). Minimises sum_c weight_c rho(|projection_c - pixel_c|) with Huber's rho, or the
    square without `robust_lm`, by iteratively reweighted Levenberg-Marquardt; a step is taken
    only where that sum falls. The derivatives are exact, through the lens.
    """
    delta = options.robust_lm_delta if options.robust_lm else np.inf
    points = start.copy()
    left = np.flatnonzero(np.isfinite(start[0]) & ((weight > 0).sum(axis=0) >= 2))
    damping = np.full(points.shape[1], options.lm_lambda)
    u, v = (np.where(weight > 0, pixels[..., k], 0.0) for k in (0, 1))
    state = _Residuals.at(optics, points[:, left], u[:, left], v[:, left], weight[:, left], delta)
    for _ in range(options.lm_iters):
        if not len(left):
            break
        step = state.step(damping[left])
        there = points[:, left] + step
        new = _Residuals.at(optics, there, u[:, left], v[:, left], weight[:, left], delta)
        better = new.cost <= state.cost  # NaN (behind a camera, off the lens) is never better
        points[:, left[better]] = there[:, better]
        damping[left] *= np.where(better, 0.1, 10.0)
        small = np.abs(step).max(axis=0) < options.lm_eps
        going = ~(small | (damping[left] > _MOST_DAMPING) | ~np.isfinite(step[0]))
        state = new.chosen(state, better, going)
        left = left[going]
    return points


class _Residuals:
    """Reprojection residuals of points at one place: cost, and the derivative when asked for."""

    def __init__(self, cost: FloatArray, rows: tuple[FloatArray, ...]) -> None:
        self.cost, self._rows = cost, rows

    @classmethod
    def at(
        cls,
        optics: RigOptics,
        points: FloatArray,
        u: FloatArray,
        v: FloatArray,
        weight: FloatArray,
        delta: float,
    ) -> _Residuals:
        pu, pv, seen = optics.project(points)
        ru, rv = pu - u, pv - v
        unused = weight == 0
        size = np.sqrt(ru * ru + rv * rv)
        loss = np.where(size <= delta, 0.5 * size * size, delta * size - 0.5 * delta * delta)
        cost = np.where(unused, 0.0, weight * loss).sum(axis=0)
        far = size > delta
        robust = np.where(far, weight * delta / np.where(far, size, 1.0), weight)
        du, dv = optics.jacobian(seen)
        # Entries of views that are not used may be NaN; they carry weight 0.
        if np.isnan(size).any():
            du, dv = (np.where(unused[:, None], 0.0, d) for d in (du, dv))
            ru, rv = np.where(unused, 0.0, ru), np.where(unused, 0.0, rv)
            robust = np.where(unused, 0.0, robust)
        # Beyond delta the loss is straight along the residual: only across it is it curved.
        straight = np.where(far & ~unused, robust / np.where(far, size, 1.0) ** 2, 0.0)
        return cls(cost, (ru, rv, robust, straight, du, dv))

    def step(self, damping: FloatArray) -> FloatArray:
        """(3, n) the damped step (Marquardt's scaling of the diagonal).

        The matrix is the Hessian of the robust loss in the residuals, w (I - r r^T / |r|^2) beyond
        delta: with w I alone, as reweighting has it, one point in ten takes over 15 steps.
        """
        ru, rv, w, straight, du, dv = self._rows
        H = normal_matrix(du, dv, w)
        q = du * ru[:, None] + dv * rv[:, None]
        if straight.any():
            sq = straight[:, None] * q
            for n, (i, j) in enumerate(SIX):
                H[n] -= (sq[:, i] * q[:, j]).sum(axis=0)
        g = [-(w * q[:, i]).sum(axis=0) for i in range(3)]
        for k in (0, 3, 5):
            H[k] = H[k] * (1 + damping)
        return np.stack(solve_symmetric(H, g))

    def chosen(self, other: _Residuals, mine: BoolArray, keep: BoolArray) -> _Residuals:
        """Of two states the better one of each point, for the points to `keep`."""

        def pick(a: FloatArray, b: FloatArray) -> FloatArray:
            return np.where(mine, a, b)[..., keep]

        if mine.all():
            return _Residuals(self.cost[keep], tuple(a[..., keep] for a in self._rows))
        rows = zip(self._rows, other._rows, strict=True)
        return _Residuals(pick(self.cost, other.cost), tuple(pick(a, b) for a, b in rows))
