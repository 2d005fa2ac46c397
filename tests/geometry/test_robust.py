"""Robust kernels: hand-worked values, the weight as the derivative, and how far each lets go."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.geometry.robust import (
    L2,
    Cauchy,
    GemanMcClure,
    Huber,
    Kernel,
    KernelName,
    LogHuber,
    kernel_of,
)

KERNELS = [L2(), Huber(1.5), GemanMcClure(3.0), Cauchy(2.0), LogHuber(2.0, 1.5)]
S = np.concatenate([[0.0], np.geomspace(1e-8, 1e8, 200)])


@pytest.mark.parametrize("kernel", KERNELS)
def test_near_zero_each_is_least_squares(kernel: Kernel) -> None:
    small = np.array([0.0, 1e-10, 1e-8])
    np.testing.assert_allclose(kernel.rho(small), small, rtol=1e-8)
    np.testing.assert_allclose(kernel.weight(small), 1, rtol=1e-7)


@pytest.mark.parametrize("kernel", KERNELS)
def test_weight_is_the_derivative(kernel: Kernel) -> None:
    s = S[(S > 1e-3) & (S < 1e3) & (np.abs(S - 1.5**2) > 0.01)]  # Huber's second one jumps there
    h = 1e-5 * s
    slope = (kernel.rho(s + h) - kernel.rho(s - h)) / (2 * h)
    # Rounding of 1e-16 rho over 1e-5 s, where rho is at most s; at s = 1000 weights are 1e-4.
    np.testing.assert_allclose(kernel.weight(s), slope, rtol=1e-5)


@pytest.mark.parametrize("kernel", KERNELS)
def test_cost_grows_and_weight_falls(kernel: Kernel) -> None:
    rho, weight = kernel.rho(S), kernel.weight(S)
    assert (np.diff(rho) >= -1e-12 * rho[1:]).all()  # Geman-McClure's is flat to rounding far out
    assert (np.diff(weight) <= 0).all()
    assert (weight >= 0).all()
    assert (weight <= 1).all()
    assert (rho <= S * (1 + 1e-15)).all()


def test_values_worked_by_hand() -> None:
    s = np.array([1.0, 4.0, 100.0])
    np.testing.assert_allclose(Huber(2.0).rho(s), [1, 4, 2 * 2 * 10 - 4])
    np.testing.assert_allclose(Huber(2.0).weight(s), [1, 1, 0.2])
    np.testing.assert_allclose(GemanMcClure(2.0).rho(s), [4 / 5, 2, 400 / 104])
    np.testing.assert_allclose(Cauchy(2.0).rho(s), 4 * np.log([1.25, 2, 26]))
    np.testing.assert_allclose(LogHuber(3.0, 2.0).rho(s), 9 * np.log([10 / 9, 13 / 9, 45 / 9]))
    np.testing.assert_allclose(L2().rho(s), s)


@pytest.mark.parametrize(
    ("name", "far"), [("cauchy", 9 * np.log(10001)), ("huber", 2 * 3 * 300 - 9),
                      ("log-huber", 9 * np.log(1 + (2 * 3 * 300 - 9) / 9))],
)  # fmt: skip
def test_kernels_by_name_let_go_at_the_scale(name: KernelName, far: float) -> None:
    assert kernel_of(name, 3.0).rho(np.array([300.0**2])) == pytest.approx(far)


def test_an_outlier_costs_at_most_the_scale_squared() -> None:
    far = np.array([1e6, 1e12, 1e300])
    assert (GemanMcClure(3.0).rho(far) <= 9).all()
    np.testing.assert_allclose(GemanMcClure(3.0).rho(far), 9, rtol=1e-5)
    assert (Cauchy(3.0).rho(far) > 9).all()  # this one never quite lets go
