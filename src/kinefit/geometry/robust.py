"""Robust kernels: what a residual costs, and how much it counts in the next least squares.

A kernel takes s, the squared length of a residual, to rho(s), with rho(0) = 0 and rho'(0) = 1: near
zero each is plain least squares. Iteratively re-weighted least squares gives the residual the
weight rho'(s), in 0..1 (Holland & Welsch 1977, Commun Stat A6(9):813). Any shape of s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import assert_never

import numpy as np

from kinefit.geometry.kernel_name import KernelName
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


@dataclass(frozen=True)
class LogHuber:
    """sigma^2 log(1 + h / sigma^2) with Huber's h: beyond `delta` half the slope of Cauchy's."""

    sigma: float
    delta: float

    def rho(self, s: FloatArray) -> FloatArray:
        return Cauchy(self.sigma).rho(Huber(self.delta).rho(s))

    def weight(self, s: FloatArray) -> FloatArray:
        huber = Huber(self.delta)
        return np.asarray(Cauchy(self.sigma).weight(huber.rho(s)) * huber.weight(s))


Kernel = L2 | Huber | GemanMcClure | Cauchy | LogHuber


def kernel_of(name: KernelName, scale: float) -> Kernel:
    """One of the kernels of a fit's evidence, which lets go of residuals beyond `scale`."""
    match name:
        case "cauchy":
            return Cauchy(scale)
        case "huber":
            return Huber(scale)
        case "log-huber":
            return LogHuber(scale, scale)
        case _:
            assert_never(name)
