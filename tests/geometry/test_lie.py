"""Derivatives on the group of rotations against central differences, near zero and half turns."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.geometry.lie import log_jacobian, skew
from kinefit.geometry.rotations import exp, log, unit
from kinefit.types import FloatArray


def numeric(vector: FloatArray, *, before: bool = False, step: float = 1e-6) -> FloatArray:
    """(..., 3, 3) differences of log(R exp(d)), or of log(exp(d) R)."""

    def moved(d: FloatArray) -> FloatArray:
        turn = exp(d)
        return log(turn @ exp(vector)) if before else log(exp(vector) @ turn)

    columns = [(moved(step * d) - moved(-step * d)) / (2 * step) for d in np.eye(3)]
    return np.stack(columns, axis=-1)


def test_skew_is_the_cross_product() -> None:
    a, b = np.random.default_rng(0).normal(size=(2, 4, 5, 3))
    np.testing.assert_allclose((skew(a) @ b[..., None])[..., 0], np.cross(a, b), atol=1e-15)


# 0.0099 and 0.0101 are on either side of where the series takes over.
@pytest.mark.parametrize("angle", [0.0, 1e-9, 1e-4, 0.0099, 0.0101, 0.5, 2.0, 3.0])
def test_derivative_of_the_logarithm(angle: float) -> None:
    vector = angle * unit(np.random.default_rng(1).normal(size=(20, 3)))
    # Rounding of 1e-16 over a step of 1e-6, and a derivative that grows as 1 / (pi - angle).
    np.testing.assert_allclose(log_jacobian(vector), numeric(vector), atol=1e-8)
    from_left = np.swapaxes(log_jacobian(vector), -1, -2)
    np.testing.assert_allclose(from_left, numeric(vector, before=True), atol=1e-8)


def test_near_a_half_turn_it_is_still_the_derivative() -> None:
    vector = (np.pi - 1e-3) * unit(np.random.default_rng(2).normal(size=(20, 3)))
    J = log_jacobian(vector)
    assert np.isfinite(J).all()
    np.testing.assert_allclose(J, numeric(vector), rtol=1e-5, atol=1e-5)


def test_series_and_closed_form_meet() -> None:
    direction = unit(np.array([0.3, -0.5, 0.8]))
    below, above = (log_jacobian(t * direction) for t in (1e-2 * (1 - 1e-12), 1e-2))
    # The closed form loses 1e-16 / t^2 where it begins, the series leaves out t^4 / 30240.
    np.testing.assert_allclose(below, above, atol=1e-12)


def test_it_undoes_the_derivative_of_the_exponential() -> None:
    """exp(v + Jl^-1 d) = exp(v) exp(d) to first order: an independent use of the same matrix."""
    v = np.random.default_rng(3).normal(0, 0.8, (50, 3))
    d = 1e-5 * np.random.default_rng(4).normal(size=(50, 3))
    ahead = exp(v + (log_jacobian(v) @ d[..., None])[..., 0])
    np.testing.assert_allclose(ahead, exp(v) @ exp(d), atol=1e-9)  # d squared
