"""Files of markers, whatever their format."""

from __future__ import annotations

from pathlib import Path

from kinefit.io.c3d import read_c3d
from kinefit.io.trc import read_trc
from kinefit.types import InputError, Markers

READERS = {".trc": read_trc, ".c3d": read_c3d}


def read_markers(path: Path, *, up: str | None = None, units: str | None = None) -> Markers:
    """The markers of a TRC or C3D file; InputError for any other, and as their readers raise.

    up, units: the vertical axis and the unit of its numbers, whatever the file says.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise InputError(path, "is neither TRC nor C3D", "name a file of markers")
    return reader(path, up=up, units=units)
