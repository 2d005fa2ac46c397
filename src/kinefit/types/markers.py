"""Marker trajectories: what TRC and C3D files hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from kinefit.types.arrays import (
    BoolArray,
    FloatArray,
    all_finite,
    check_names,
    freeze,
    freeze_arrays,
)
from kinefit.types.dataframe import data_frame
from kinefit.types.errors import InvalidData, MissingMarkers
from kinefit.types.timeline import Timeline

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False)
class Markers:
    """Named points in the world over time.

    timeline: T samples.
    names: M marker names.
    xyz: (T, M, 3) metres, world, right-handed, Y up; NaN where missing.
    estimated: (T, M) True where the value was not measured (mirrored, regressed, gap filled);
        None at construction means nowhere.
    sd: (T, M, 3) metres, one standard deviation per axis; None when unknown.
    notes: what the reader of a file changed or assumed, in sentences.
    """

    timeline: Timeline
    names: tuple[str, ...]
    xyz: FloatArray
    estimated: BoolArray = None  # type: ignore[assignment]
    sd: FloatArray | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        names = check_names("Markers", self.names)
        shape = (len(self.timeline), len(names))
        xyz = np.array(self.xyz, dtype=np.float64)
        if xyz.shape == (*shape, 3):  # a marker is there with all its coordinates, or not at all
            xyz[np.isnan(xyz).any(-1)] = np.nan
        flags = np.zeros(shape, bool) if self.estimated is None else self.estimated
        freeze(self, names=names, xyz=xyz, estimated=flags)
        freeze_arrays(self, np.bool_, estimated=shape)
        freeze_arrays(self, xyz=(*shape, 3), sd=(*shape, 3))
        if self.sd is not None and (self.sd < 0).any():
            raise InvalidData("Markers.sd must not be negative.")

    @property
    def present(self) -> BoolArray:
        """(T, M) True where a marker has a position."""
        return all_finite(self.xyz)

    def index(self, names: Sequence[str], *, needed_for: str) -> list[int]:
        """Columns of `names`, or MissingMarkers naming those that are absent."""
        column = {name: i for i, name in enumerate(self.names)}
        missing = [n for n in names if n not in column]
        if missing:
            raise MissingMarkers(needed_for, missing, "check the marker names in the file")
        return [column[n] for n in names]

    def select(self, names: Sequence[str]) -> Markers:
        """The named markers, in that order; raises MissingMarkers."""
        pick = self.index(names, needed_for="selection")
        xyz, estimated = self.xyz[:, pick], self.estimated[:, pick]
        sd = None if self.sd is None else self.sd[:, pick]
        return replace(self, names=tuple(names), xyz=xyz, estimated=estimated, sd=sd)

    def to_dataframe(self) -> DataFrame:
        """A table with a row per frame: `time_s`, then `<name>_x_m`, `_y_m`, `_z_m`, in metres, and
        `<name>_estimated`, of each marker.

        Raises MissingDependency without pandas (`pip install pandas`).
        """
        columns: dict[str, FloatArray | BoolArray] = {}
        for j, name in enumerate(self.names):
            columns |= {f"{name}_{axis}_m": self.xyz[:, j, i] for i, axis in enumerate("xyz")}
            columns[f"{name}_estimated"] = self.estimated[:, j]
        return data_frame(self.timeline, columns)
