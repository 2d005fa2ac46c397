"""Where rays meet: two of them, or many with weights."""

from __future__ import annotations

import numpy as np

from kinefit.types import FloatArray


def meeting(
    from_a: FloatArray,
    along_a: FloatArray,
    from_b: FloatArray,
    along_b: FloatArray,
    parallel: float,
) -> tuple[FloatArray, FloatArray]:
    """Where pairs of rays come nearest: the points (3, ...) on each.

    from_a, from_b: (3, ...) origins. along_a, along_b: (3, ...) unit directions. All broadcast.
    NaN where the squared sine between the two is not above `parallel`, and where they meet behind
    an origin.
    """
    base = from_b - from_a
    cosine = (along_a * along_b).sum(axis=0)
    on_a, on_b = (base * along_a).sum(axis=0), (base * along_b).sum(axis=0)
    square = 1 - cosine * cosine
    square = np.where(square > parallel, square, np.nan)
    reach_a, reach_b = (on_a - cosine * on_b) / square, (cosine * on_a - on_b) / square
    ahead = (reach_a > 0) & (reach_b > 0)
    reach_a, reach_b = np.where(ahead, reach_a, np.nan), np.where(ahead, reach_b, np.nan)
    return np.asarray(from_a + reach_a * along_a), np.asarray(from_b + reach_b * along_b)
