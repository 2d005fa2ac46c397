"""Lens distortion on the plane z = 1: Brown-Conrady and the equidistant fisheye, with inverses.

Both are OpenCV's models and coefficient orders (documentation of `calib3d`, "Detailed
Description", and of its namespace `fisheye`). Functions take coordinates as separate arrays and
coefficients that broadcast against them, so that one camera or all of a rig go in one call.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from kinefit.types import BoolArray, Camera, FloatArray

_NEWTON_STEPS = 30
_CONVERGED = 1e-12  # on the plane z = 1: a billionth of a pixel
_WIDEST = np.radians(89.95)  # off the axis, up to which a fold is looked for (radius 1,146)
_NO_RADIUS = 1e-8  # below it (radians) a fisheye's factor is its limit, to the last bit


@dataclass(frozen=True, eq=False)
class Lens:
    """Coefficients of C lenses of one model, ready to broadcast against (C, N) points.

    coefficients: (8, C, 1), Brown-Conrady k1 k2 p1 p2 k3 k4 k5 k6; (4, C, 1) for fisheyes.
    radius: (C, 1) on the plane z = 1, within which the lens does not fold the picture back.
    """

    coefficients: FloatArray
    fisheye: bool
    radius: FloatArray

    @cached_property
    def is_none(self) -> bool:
        """Whether these lenses change nothing."""
        return not self.fisheye and not self.coefficients.any()

    @classmethod
    def of(cls, cameras: list[Camera]) -> Lens:
        """The lenses of cameras that share one model."""
        count = 4 if cameras[0].fisheye else 8
        table = np.zeros((count, len(cameras), 1))
        for i, camera in enumerate(cameras):
            table[: len(camera.distortion), i, 0] = camera.distortion
        kind = cameras[0].fisheye
        radius = [_fold_radius(kind, tuple(one)) for one in table[..., 0].T.tolist()]
        return cls(table, kind, np.array(radius)[:, None])

    def distort(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Where the lens puts (x, y) on the plane z = 1; NaN outside `radius`."""
        if self.is_none:
            return x, y
        x, y = self._inside(x, y)
        if self.fisheye:
            factor = self._equidistant(np.hypot(x, y))[0]
            return x * factor, y * factor
        xx, yy = x * x, y * y
        return self._brown(x, y, xx, yy, self._radial(xx + yy)[0])

    def distort_derivative(
        self, x: FloatArray, y: FloatArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
        """`distort`, and d x'/dx, d x'/dy (= d y'/dx in both models) and d y'/dy of it."""
        if self.is_none:
            one = np.ones_like(x)
            return x, y, one, np.zeros_like(x), one
        x, y = self._inside(x, y)
        if self.fisheye:
            factor, growth = self._equidistant(np.hypot(x, y))
            gx = growth * x
            return x * factor, y * factor, factor + gx * x, gx * y, factor + growth * y * y
        _, _, p1, p2, *_ = self.coefficients
        xx, yy = x * x, y * y
        radial, growth = self._radial(xx + yy)
        twice = 2 * growth
        p1x, p1y, p2x, p2y = 2 * p1 * x, 2 * p1 * y, 2 * p2 * x, 2 * p2 * y
        return (
            *self._brown(x, y, xx, yy, radial),
            radial + twice * xx + p1y + 3 * p2x,
            twice * x * y + p1x + p2y,
            radial + twice * yy + 3 * p1y + p2x,
        )

    def _brown(
        self, x: FloatArray, y: FloatArray, xx: FloatArray, yy: FloatArray, radial: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """Radial and tangential parts together."""
        _, _, p1, p2, *_ = self.coefficients
        xy = 2 * x * y
        return (
            x * radial + p1 * xy + p2 * (3 * xx + yy),
            y * radial + p1 * (xx + 3 * yy) + p2 * xy,
        )

    def undistort(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The inverse of `distort`, by Newton's method; NaN where nothing maps there.

        Exact to 1e-12 on the plane z = 1. (OpenCV's five fixed-point steps leave 0.1 px at the
        corner of a lens with k1 = -0.3.)
        """
        if self.is_none:
            return x, y
        u, v = x, y
        error = np.full(np.shape(x), np.inf)
        for _ in range(_NEWTON_STEPS):
            gx, gy, a, b, d = self.distort_derivative(u, v)
            gx, gy = x - gx, y - gy
            error = np.maximum(np.abs(gx), np.abs(gy))
            if not (error > _CONVERGED).any():  # NaN counts as finished
                break
            det = a * d - b * b
            det = np.where(det > 0, det, np.nan)
            u, v = u + (d * gx - b * gy) / det, v + (a * gy - b * gx) / det
        good = error <= 10 * _CONVERGED
        return np.where(good, u, np.nan), np.where(good, v, np.nan)

    def _inside(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        if np.isinf(self.radius).all():
            return x, y
        out: BoolArray = x * x + y * y >= self.radius**2
        if not out.any():
            return x, y
        return np.where(out, np.nan, x), np.where(out, np.nan, y)

    def _radial(self, rr: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Brown-Conrady's radial factor and its derivative by the squared radius."""
        k1, k2, _, _, k3, k4, k5, k6 = self.coefficients
        above = 1 + rr * (k1 + rr * (k2 + rr * k3))
        slope = k1 + rr * (2 * k2 + rr * 3 * k3)
        if not self.coefficients[5:].any():
            return above, slope
        below = 1 + rr * (k4 + rr * (k5 + rr * k6))
        fall = k4 + rr * (2 * k5 + rr * 3 * k6)
        return above / below, (slope - above / below * fall) / below

    def _equidistant(self, r: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Kannala-Brandt's factor f(r) = theta_d / r, and f'(r) / r."""
        k1, k2, k3, k4 = self.coefficients
        theta = np.arctan(r)
        tt = theta * theta
        bent = theta * (1 + tt * (k1 + tt * (k2 + tt * (k3 + tt * k4))))
        slope = 1 + tt * (3 * k1 + tt * (5 * k2 + tt * (7 * k3 + tt * 9 * k4)))
        small = r < _NO_RADIUS
        safe = np.where(small, 1.0, r)
        factor = np.where(small, 1.0, bent / safe)
        growth = (slope / (1 + r * r) - factor) / (safe * safe)
        # Series at the axis: theta = r - r^3/3, so f = 1 + (k1 - 1/3) r^2.
        return factor, np.where(r < 1e-4, 2 * (k1 - 1 / 3) + 0 * r, growth)


@lru_cache(maxsize=256)  # half a millisecond, and cameras are asked for again with every frame
def _fold_radius(fisheye: bool, coefficients: tuple[float, ...]) -> float:
    """Where a lens's distorted radius first stops growing; infinite within `_WIDEST` if never.

    Beyond it a polynomial lens maps points far outside the picture back into it. Steps are even
    in the angle, because a weak lens folds far out: k1 = -0.01 puts a point 84 degrees off the
    axis at the picture's centre. A rational lens can also pass a pole without ever falling.
    """
    lens = Lens(np.array(coefficients)[:, None, None], fisheye, np.array([[np.inf]]))
    if lens.is_none:
        return np.inf
    r = np.tan(np.linspace(0, _WIDEST, 8001))[None]
    if fisheye:
        folded = lens.distort_derivative(r, np.zeros_like(r))[2] <= 0
    else:
        with np.errstate(divide="ignore", invalid="ignore"):  # a step can fall on a pole
            radial, growth = lens._radial(r * r)
        folded = (radial + 2 * growth * r * r <= 0) | (radial <= 0)
    return float(r[0, folded[0].argmax()]) if folded.any() else np.inf
