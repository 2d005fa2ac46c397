"""The joint-angle table."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from kinefit.types.arrays import BoolArray, FloatArray, check_names, freeze, freeze_arrays
from kinefit.types.dataframe import data_frame
from kinefit.types.errors import InvalidData
from kinefit.types.timeline import Timeline

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True, eq=False)
class JointAngles:
    """Joint angles over time; the one place inside kinefit where angles are in degrees.

    timeline: T samples.
    names: A column names without unit, e.g. "hip_r_flex"; files append "_deg".
    degrees: (T, A); NaN where a segment could not be built.
    gimbal: (T, A) True where the decomposition is near its singularity, so that the value
        depends on noise; None at construction means nowhere.
    sd: (T, A) degrees, one standard deviation propagated from the markers; None if unknown.
    """

    timeline: Timeline
    names: tuple[str, ...]
    degrees: FloatArray
    gimbal: BoolArray = None  # type: ignore[assignment]
    sd: FloatArray | None = None

    def __post_init__(self) -> None:
        names = check_names("JointAngles", self.names)
        shape = (len(self.timeline), len(names))
        flags = np.zeros(shape, bool) if self.gimbal is None else self.gimbal
        freeze(self, names=names, gimbal=flags)
        freeze_arrays(self, np.bool_, gimbal=shape)
        freeze_arrays(self, degrees=shape, sd=shape)
        if self.sd is not None and (self.sd < 0).any():
            raise InvalidData("JointAngles.sd must not be negative.")

    def column(self, name: str) -> FloatArray:
        """(T,) degrees of one angle; raises InvalidData for an unknown name."""
        if name not in self.names:
            raise InvalidData(f"No angle {name!r}; there are: {', '.join(self.names)}.")
        return self.degrees[:, self.names.index(name)]

    def to_dataframe(self) -> DataFrame:
        """A table with a row per frame, its columns named as in the files: `time_s`, `<name>_deg`,
        where a deviation is known `<name>_sd_deg`, and `<name>_gimbal`.

        Raises MissingDependency without pandas (`pip install pandas`).

        >>> angles = JointAngles(Timeline.regular(2, 50.0), ("knee_r_flex",),
        ...                      np.array([[10.0], [12.5]]))
        >>> print(angles.to_dataframe().reset_index().to_string(index=False))
         frame  time_s  knee_r_flex_deg  knee_r_flex_gimbal
             0    0.00             10.0               False
             1    0.02             12.5               False
        """
        columns: dict[str, FloatArray | BoolArray] = {}
        for i, name in enumerate(self.names):
            columns[f"{name}_deg"] = self.degrees[:, i]
            if self.sd is not None and np.isfinite(self.sd[:, i]).any():
                columns[f"{name}_sd_deg"] = self.sd[:, i]
            columns[f"{name}_gimbal"] = self.gimbal[:, i]
        return data_frame(self.timeline, columns)
