"""The joint-angle table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.types.arrays import BoolArray, FloatArray, check_names, freeze, freeze_arrays
from kinefit.types.errors import InvalidData
from kinefit.types.timeline import Timeline


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
