"""OpenSim's functions of one number as piecewise polynomials, evaluated for all frames at once.

Constants, lines, polynomials, multiples and cubic splines are polynomials between their knots:
OpenSim is asked for values between these, and the polynomials through them are the functions
themselves. Where one more value is not met, the function is of another kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinefit.biomech.opensim.osim import load_opensim
from kinefit.types import FloatArray

_CUBIC = 3
_EXACT = 1e-9  # of the largest value: rounding in polynomials of degree 6 leaves 1e-12
_WIDE = 4.0  # rad: from where to where a polynomial is tried, rounding grows beyond
_KNOTTED = ("SimmSpline", "PiecewiseLinearFunction")


@dataclass(frozen=True, eq=False)
class Pieces:
    """N functions of one number each, of K + 1 pieces.

    knots: (N, K) ascending, padded with infinity. left, width: (N, K + 1) of each piece.
    powers: (N, K + 1, D) coefficients of (x - left) / width, the highest power first.
    """

    knots: FloatArray
    left: FloatArray
    width: FloatArray
    powers: FloatArray

    def __call__(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Values and slopes, both (..., N), at `x` (..., N)."""
        functions = np.arange(len(self.knots))
        piece = (x[..., None] >= self.knots).sum(-1)
        width, powers = self.width[functions, piece], self.powers[functions, piece]
        u = (x - self.left[functions, piece]) / width
        value, slope = powers[..., 0], np.zeros(x.shape)
        for k in range(1, powers.shape[-1]):
            slope = slope * u + value
            value = value * u + powers[..., k]
        return value, slope / width


def straight_line(function: Any) -> tuple[float, float] | None:
    """Slope and intercept of a function (OpenSim's object), if it is of a kind that has these."""
    function, factor = _bare(function)
    opensim = load_opensim()
    if (constant := opensim.Constant.safeDownCast(function)) is not None:
        return 0.0, factor * constant.getValue()
    if (line := opensim.LinearFunction.safeDownCast(function)) is not None:
        return factor * line.getSlope(), factor * line.getIntercept()
    return None


def pieces(functions: Sequence[Any]) -> Pieces | None:
    """The functions (OpenSim objects) as piecewise polynomials; None where one is none."""
    found = [_fitted(function) for function in functions]
    if any(one is None for one in found):
        return None
    each = [one for one in found if one is not None]
    most = max((len(knots) for knots, *_ in each), default=0)
    degree = max((powers.shape[1] for *_, powers in each), default=1)
    n = len(each)
    knots, left = np.full((n, most), np.inf), np.zeros((n, most + 1))
    width, all_powers = np.ones((n, most + 1)), np.zeros((n, most + 1, degree))
    for i, (at, start, size, powers) in enumerate(each):
        knots[i, : len(at)], left[i, : len(start)], width[i, : len(size)] = at, start, size
        all_powers[i, : len(powers), degree - powers.shape[1] :] = powers
    return Pieces(knots, left, width, all_powers)


def _fitted(
    function: Any,
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray] | None:
    """Knots (K,), and left ends, widths (K + 1,) and powers (K + 1, D) of the pieces."""
    knots, degree = _knots_and_degree(function)
    left = np.append(knots[:1] - 1.0, knots) if len(knots) else np.array([-_WIDE])
    width: FloatArray = np.append(np.diff(left), 1.0 if len(knots) else 2 * _WIDE)
    # One place more than the polynomial needs, on which it is tried.
    at = (1 - np.cos(np.pi * (np.arange(degree + 2) + 0.5) / (degree + 2))) / 2
    values = _values(function, (left[:, None] + width[:, None] * at).ravel())
    values = values.reshape(len(left), len(at))
    solved = np.linalg.solve(np.vander(at[:-1]), values[:, :-1].T)
    powers = np.asarray(solved.T, np.float64)
    size = max(1.0, float(np.abs(values).max()))
    off = powers @ at[-1] ** np.arange(degree, -1, -1) - values[:, -1]
    if not np.abs(off).max() <= _EXACT * size:
        return None
    return knots, left, width, powers


def _knots_and_degree(function: Any) -> tuple[FloatArray, int]:
    """What is between knots is at most of this degree."""
    opensim, (function, _) = load_opensim(), _bare(function)
    for kind in _KNOTTED:
        spline = getattr(opensim, kind).safeDownCast(function)
        if spline is not None:
            return np.array([spline.getX(i) for i in range(spline.getSize())]), _CUBIC
    polynomial = opensim.PolynomialFunction.safeDownCast(function)
    degree = _CUBIC if polynomial is None else max(_CUBIC, polynomial.getCoefficients().size() - 1)
    return np.zeros(0), degree


def _bare(function: Any) -> tuple[Any, float]:
    """What a MultiplierFunction multiplies (scaling wraps what it scales), and by how much."""
    factor, kind = 1.0, load_opensim().MultiplierFunction
    while (multiple := kind.safeDownCast(function)) is not None:
        function, factor = multiple.getFunction(), factor * multiple.getScale()
    return function, factor


def _values(function: Any, x: FloatArray) -> FloatArray:
    vector, values = load_opensim().Vector(1, 0.0), []
    for number in x.tolist():
        vector.set(0, number)
        values.append(function.calcValue(vector))
    return np.array(values)
