"""Least squares on the pixels of each point by itself, all points at once (Levenberg-Marquardt).

Arrays are laid out (C, N) per coordinate, cameras first (see `RigOptics`). Not the solver of
`kinefit.fit`, which lies above and whose unknowns are a body's: here each point has three numbers
of its own and leaves when it is done. The demo's 3,300 points take 12 ms in all.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kinefit.geometry.projection import RigOptics
from kinefit.geometry.robust import L2, Huber, Kernel
from kinefit.multiview.point_algebra import in_view, information, solve, turned
from kinefit.multiview.triangulation_options import TriangulationOptions
from kinefit.types import FloatArray

_MOST_DAMPING = 1e8
# How much of the loss's straightness beyond delta the Hessian knows. All of it (Newton) oversteps
# at the bend: one point in seven is tried again and again; none of it (reweighting) creeps: one in
# fifteen is not there after 12 steps. With 0.7 it is one in 200 (2,600 points of the demo).
_STRAIGHT = 0.7


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
    square without `robust_lm`, by Levenberg-Marquardt; a step is taken only where that sum falls,
    or where it is shorter than `lm_eps`.
    The derivatives are exact, through the lens.
    """
    kernel = Huber(options.robust_lm_delta) if options.robust_lm else L2()
    points = start.copy()
    if not options.lm_iters:
        return points
    left = np.flatnonzero(np.isfinite(start[0]) & ((weight > 0).sum(axis=0) >= 2))
    here, xy, w = points[:, left], pixels[:, left], weight[:, left]
    damping = np.full(len(left), options.lm_lambda)
    state = _State.at(optics, here, xy, w, kernel)
    for _ in range(options.lm_iters):
        step = state.step(damping)
        going = (np.abs(step).max(axis=0) >= options.lm_eps) & (damping <= _MOST_DAMPING)
        if not going.all():
            # Their last step: it is too short to look whether the sum falls, a fifth of the time.
            points[:, left[~going]] = (here + np.nan_to_num(step))[:, ~going]
            left, here, step, damping = left[going], here[:, going], step[:, going], damping[going]
            state, xy, w = _State(*(n[..., going] for n in state)), xy[:, going], w[:, going]
        if not len(left):
            break
        new = _State.at(optics, here + step, xy, w, kernel)
        better = new.cost <= state.cost  # NaN (behind a camera, off the lens) is never better
        here = np.where(better, here + step, here)
        damping = damping * np.where(better, 0.1, 10.0)
        state = _State(*(np.where(better, a, b) for a, b in zip(new, state, strict=True)))
    points[:, left] = here
    return points


class _State(NamedTuple):
    """Points at one place: cost (n,), Hessian of the robust loss (6, n) and gradient (3, n)."""

    cost: FloatArray
    hessian: FloatArray
    gradient: FloatArray

    @classmethod
    def at(
        cls, optics: RigOptics, points: FloatArray, pixels: FloatArray, weight: FloatArray,
        kernel: Kernel,
    ) -> _State:  # fmt: skip
        """points: (3, n). pixels: (C, n, 2). weight: (C, n).

        Beyond delta the loss is straight along the residual r, so that the Hessian in pixels is
        w (I - s r r^T / |r|^2); s: see `_STRAIGHT`.
        """
        u, v, seen = optics.look(points)
        used = weight > 0
        seen = seen.only(used)
        # What no used view sees is NaN or infinite, and must not reach the sums; what a used one
        # does not see makes the cost NaN.
        ru = np.where(used, u - pixels[..., 0], 0.0)
        rv = np.where(used, v - pixels[..., 1], 0.0)
        ux, uy, vx, vy = optics.slopes(seen)
        square = ru * ru + rv * rv
        w = weight * kernel.weight(square)
        gx, gy = ru * ux + rv * vx, ru * uy + rv * vy
        # On the plane z = 1 over depth: less per view than in the world's axes.
        xx, xy, yy = w * (ux * ux + vx * vx), w * (ux * uy + vx * vy), w * (uy * uy + vy * vy)
        far = w < weight
        if far.any():
            straight = np.where(far, w * _STRAIGHT / np.maximum(square, 1e-12), 0)
            xx, xy, yy = xx - straight * gx * gx, xy - straight * gx * gy, yy - straight * gy * gy
        hessian = information(turned(optics.R), in_view(xx, xy, yy, seen.x, seen.y))
        gx, gy = w * gx, w * gy
        pull = np.stack([gx, gy, -(gx * seen.x + gy * seen.y)], axis=1)
        gradient = np.matmul(optics.R.swapaxes(1, 2), pull).sum(axis=0)
        cost = 0.5 * (weight * kernel.rho(square)).sum(axis=0)
        return cls(cost, hessian, gradient)

    def step(self, damping: FloatArray) -> FloatArray:
        """(3, n) the damped step (Marquardt's scaling of the diagonal)."""
        damped = self.hessian.copy()
        damped[[0, 3, 5]] *= 1 + damping
        return -solve(damped, self.gradient)
