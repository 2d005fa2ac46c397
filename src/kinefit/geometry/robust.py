"""Robust kernels: what a residual costs, and how much it counts in the next least squares.

A kernel takes s, the squared length of a residual, to rho(s), with rho(0) = 0 and rho'(0) = 1: near
zero each is plain least squares. Iteratively re-weighted least squares gives the residual the
weight rho'(s), in 0..1 (Holland & Welsch 1977, Commun Stat A6(9):813). Any shape of s.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.types import FloatArray


@dataclass(frozen=True)
class L2:
    """rho = s: least squares."""

    def rho(self, s: FloatArray) -> FloatArray:
        return s

    def weight(self, s: FloatArray) -> FloatArray:
        return np.ones_like(s)


@dataclass(frozen=True)
class Huber:
    """Quadratic up to `delta` (units of the residual), linear beyond: 2 delta sqrt(s) - delta^2."""

    delta: float

    def rho(self, s: FloatArray) -> FloatArray:
        far = 2 * self.delta * np.sqrt(s) - self.delta**2
        return np.where(s <= self.delta**2, s, far)

    def weight(self, s: FloatArray) -> FloatArray:
        return np.asarray(self.delta / np.sqrt(np.maximum(s, self.delta**2)))


@dataclass(frozen=True)
class GemanMcClure:
    """sigma^2 s / (sigma^2 + s): an outlier costs at most sigma^2 (SMPLify's GMoF)."""

    sigma: float

    def rho(self, s: FloatArray) -> FloatArray:
        return np.asarray(s * (self.sigma**2 / (self.sigma**2 + s)))

    def weight(self, s: FloatArray) -> FloatArray:
        return np.asarray((self.sigma**2 / (self.sigma**2 + s)) ** 2)


@dataclass(frozen=True)
class Cauchy:
    """sigma^2 log(1 + s / sigma^2): grows without end, but ever more slowly."""

    sigma: float

    def rho(self, s: FloatArray) -> FloatArray:
        return np.asarray(self.sigma**2 * np.log1p(s / self.sigma**2))

    def weight(self, s: FloatArray) -> FloatArray:
        return np.asarray(1 / (1 + s / self.sigma**2))


Kernel = L2 | Huber | GemanMcClure | Cauchy
