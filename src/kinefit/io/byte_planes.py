"""Integers that compress well: differences between neighbours, one byte plane after another.

An array of whole numbers (N, V, 3), such as the displacements of a mesh's vertices in small steps,
is kept as differences along V, without signs (0, -1, 1, -2, ... become 0, 1, 2, 3, ...), split into
their lowest bytes, their second ones, and so on: neighbouring vertices move alike, so the higher
bytes are mostly zero. Deflated, a body's shapes take two thirds of the bytes of plain integers. A
plane ends with the last row that needs it: rows in falling order of size take fewest bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from kinefit.types import FloatArray, IntArray, InvalidData

Plane = NDArray[np.uint8]
_MOST = 4  # bytes of one number


def byte_planes(values: IntArray) -> list[Plane]:
    """The planes (n, 3, V), n at most N, of `values` (N, V, 3), lowest bytes first."""
    across = np.moveaxis(values, 1, 2).astype(np.int64)
    differences = np.diff(across, axis=-1, prepend=0)
    unsigned = (differences << 1) ^ (differences >> 63)
    if unsigned.max(initial=0) >= 2 ** (8 * _MOST):
        raise InvalidData(f"Neighbouring integers differ by more than {_MOST} bytes hold.")
    planes = [(unsigned >> (8 * i) & 255).astype(np.uint8) for i in range(_MOST)]
    used = [np.flatnonzero(plane.any(axis=(1, 2))) for plane in planes]
    count = max((i + 1 for i, rows in enumerate(used) if len(rows)), default=1)
    lengths = [len(values), *(rows[-1] + 1 if len(rows) else 0 for rows in used[1:])]
    return [plane[:n] for plane, n in zip(planes[:count], lengths, strict=False)]


def scaled_integers(planes: Sequence[Plane], step: float, out: FloatArray) -> None:
    """Fill `out` (N, V, 3) with the integers of the planes, times `step`."""
    for row, values in enumerate(_integers(planes)):
        out[row] = step * values.T


def _integers(planes: Sequence[Plane]) -> Iterator[IntArray]:
    """(3, V) row by row: all of them at once would take more memory than the body."""
    for row in range(len(planes[0])):
        unsigned = planes[0][row].astype(np.uint32)
        for i, plane in enumerate(planes[1:], 1):
            if row < len(plane):
                unsigned |= plane[row].astype(np.uint32) << np.uint32(8 * i)
        signs = -(unsigned & np.uint32(1)).view(np.int32)
        yield np.cumsum((unsigned >> np.uint32(1)).view(np.int32) ^ signs, axis=-1)
