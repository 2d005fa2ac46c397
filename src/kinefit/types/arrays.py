"""Read-only arrays with a checked shape: the building block of every frozen type."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from kinefit.types.errors import InvalidData

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]
IntArray = NDArray[np.int64]

FARTHEST_M = 10_000.0  # from the origin: ski runs are recorded in local coordinates of kilometres


def frozen_array(
    owner: str, name: str, value: Any, shape: tuple[int | None, ...], dtype: DTypeLike = np.float64
) -> NDArray[Any]:
    """A read-only copy of `value` with the given `shape` (None: any length) and `dtype`.

    Raises InvalidData when the shape differs or a float value is infinite. NaN is allowed:
    it means "missing" everywhere in kinefit; infinity means nothing.
    """
    array = np.array(value, dtype=dtype, order="C")
    if array.ndim != len(shape) or any(
        want is not None and got != want for got, want in zip(array.shape, shape, strict=True)
    ):
        wanted = "(" + ", ".join("*" if n is None else str(n) for n in shape) + ")"
        raise InvalidData(f"{owner}.{name} has shape {array.shape}, expected {wanted}.")
    if array.dtype.kind == "f" and np.isinf(array).any():
        raise InvalidData(f"{owner}.{name} contains an infinite value; mark missing data with NaN.")
    array.setflags(write=False)
    return array


def all_finite(points: FloatArray) -> BoolArray:
    """(...,) True where every coordinate of `points` (..., D) is finite."""
    return np.asarray(np.isfinite(points).all(axis=-1))


def extent(points: FloatArray) -> FloatArray:
    """(..., D) sides of the box around the finite points of `points` (..., N, D); 0 without any."""
    known = np.isfinite(points)
    low = np.where(known, points, np.inf).min(axis=-2, initial=np.inf)
    high = np.where(known, points, -np.inf).max(axis=-2, initial=-np.inf)
    return np.asarray(np.maximum(high - low, 0.0))


def true_runs(flags: BoolArray) -> list[tuple[int, int]]:
    """First index and one past the last of each run of True in `flags` (T,)."""
    edges = np.flatnonzero(np.diff(flags.astype(bool), prepend=False, append=False))
    return [(int(first), int(stop)) for first, stop in edges.reshape(-1, 2)]


def freeze(instance: object, **values: object) -> None:
    """Set fields of a frozen dataclass from its `__post_init__`."""
    for name, value in values.items():
        object.__setattr__(instance, name, value)


def freeze_arrays(
    instance: object, dtype: DTypeLike = np.float64, /, **shapes: tuple[int | None, ...]
) -> None:
    """Put a `frozen_array` of its shape in the place of each field; from a `__post_init__`.

    None stays where it is the field's default: a value that is not known.
    """
    for name, shape in shapes.items():
        value = getattr(instance, name)
        if value is not None or getattr(type(instance), name, 0) is not None:
            array = frozen_array(type(instance).__name__, name, value, shape, dtype)
            object.__setattr__(instance, name, array)


def check_names(owner: str, names: tuple[str, ...]) -> tuple[str, ...]:
    """`names` as a tuple of distinct non-empty strings, or InvalidData."""
    names = tuple(names)
    if any(not isinstance(n, str) or not n for n in names):
        raise InvalidData(f"{owner}.names must be non-empty strings, got {names!r}.")
    if len(set(names)) != len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        raise InvalidData(f"{owner}: the names have duplicates: {', '.join(twice)}.")
    return names
