"""What files of markers share, whoever wrote them: names, and points that are not there."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kinefit.types import FloatArray

PER_METRE = {"m": 1.0, "cm": 100.0, "mm": 1000.0}
# As people and programs spell them (Vicon's "mete" is cut off after four letters).
_SPELLED = {
    "m": ("m", "mete", "meter", "meters", "metre", "metres"),
    "cm": ("cm", "centimeter", "centimeters", "centimetre", "centimetres"),
    "mm": ("mm", "millimeter", "millimeters", "millimetre", "millimetres"),
}


def unit_of(text: str) -> str | None:
    """m, cm or mm, in any spelling; None for anything else."""
    plain = text.strip().lower()
    return next((unit for unit, words in _SPELLED.items() if plain in words), None)


def distinct_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names that tell markers apart: without the subject that Vicon and Motive write before a
    colon, where names stay distinct without it; the second of one name is NAME_2, one without a
    name marker_N, its place counted from 1."""
    names = [name.strip() or f"marker_{i}" for i, name in enumerate(names, start=1)]
    bare = [name.rpartition(":")[2] or name for name in names]
    if len(set(bare)) == len(set(names)):
        names = bare
    out: list[str] = []
    for name in names:
        count, own = 2, name
        while own in out:
            own, count = f"{name}_{count}", count + 1
        out.append(own)
    return tuple(out)


def without_zeros(xyz: FloatArray) -> FloatArray:
    """`xyz` (T, M, 3) with points at exactly (0, 0, 0) as NaN: what programs write for a marker
    that was not seen. None measured was ever there to the last digit."""
    return np.where((xyz == 0).all(axis=-1, keepdims=True), np.nan, xyz)
