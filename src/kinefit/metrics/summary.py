"""Many errors in a few numbers: one function for all metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinefit.types import BoolArray, FloatArray, InvalidData


class Numbers:
    """Base of dataclasses of numbers."""

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN as null."""
        return plain(vars(self))


@dataclass(frozen=True)
class Summary(Numbers):
    """A set of errors in their unit; NaN where none is known.

    p90, p95: percentiles, linear between the two nearest samples. count: errors that are known.
    missing: errors that are not (NaN); they are in no other number.
    """

    mean: float
    median: float
    p90: float
    p95: float
    max: float
    count: int
    missing: int


def summary(errors: FloatArray) -> Summary:
    """A few numbers of errors of any shape.

    Raises InvalidData for an infinite error.
    """
    errors = np.asarray(errors, np.float64).ravel()
    refuse_infinite(errors)
    known = errors[np.isfinite(errors)]
    missing = len(errors) - len(known)
    if not len(known):
        nan = float("nan")
        return Summary(nan, nan, nan, nan, nan, 0, missing)
    p50, p90, p95 = np.quantile(known, [0.5, 0.9, 0.95]).tolist()
    return Summary(
        mean=float(known.mean()),
        median=p50,
        p90=p90,
        p95=p95,
        max=float(known.max()),
        count=len(known),
        missing=missing,
    )


def mean_of(
    values: FloatArray | BoolArray, axis: int | tuple[int, ...] | None = None
) -> FloatArray:
    """Mean over `axis` (None: all) of what is not NaN; NaN, without a warning, where all is.

    The mean of a metric over frames, joints or both: `mean_of(errors, 0)` is one per joint.
    """
    values = np.asarray(values, np.float64)
    known = ~np.isnan(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(total / np.where(count > 0, count, np.nan))


def refuse_infinite(values: FloatArray) -> None:
    """Raise InvalidData when one of `values` is infinite: it is neither a number nor missing."""
    if np.isinf(values).any():
        raise InvalidData("A value to be judged is infinite; what is missing must be NaN.")


def plain(values: Mapping[str, Any]) -> dict[str, Any]:
    """`values` as JSON can hold them: NaN becomes None, at any depth of dictionaries."""
    return {k: _plain(v) for k, v in values.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return plain(value)
    if isinstance(value, Numbers):
        return value.to_json()
    return None if isinstance(value, float) and np.isnan(value) else value
