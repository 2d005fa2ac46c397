"""How uncertain joint angles are: their spread over what the markers may have been."""

from __future__ import annotations

import numpy as np

from kinefit.biomech.angles.groups import joint_angles
from kinefit.geometry.rotations import difference_deg
from kinefit.types import FloatArray, JointAngles, Markers, MissingMarkers, Timeline


class AngleSpread:
    """Standard deviation of every joint angle over possible marker sets, each added whole.

    Whatever makes markers err together (a lifted limb, a leaning trunk) is in it, as it is in the
    sets. Angles are compared on the circle, so that one that reads 179 degrees in one set and -179
    in the next has a small spread.
    """

    def __init__(self, timeline: Timeline, names: tuple[str, ...]) -> None:
        self._timeline, self._names = timeline, names
        self._first: JointAngles | None = None
        self._count = 0

    def add(self, xyz: FloatArray) -> None:
        """One set: (T, M, 3) metres. A set without any joint's markers says nothing."""
        try:
            angles = joint_angles(Markers(self._timeline, self._names, xyz))
        except MissingMarkers:
            return
        if self._first is None:
            self._first = angles
            self._total = np.zeros_like(angles.degrees)
            self._squares = np.zeros_like(angles.degrees)
        off = difference_deg(angles.degrees, self._first.degrees)
        self._total += off
        self._squares += off**2
        self._count += 1

    @property
    def sd(self) -> dict[str, FloatArray]:
        """Angle -> (T,) degrees; empty with fewer than two sets."""
        if self._first is None or self._count < 2:
            return {}
        variance = (self._squares - self._total**2 / self._count) / (self._count - 1)
        sd = np.sqrt(np.maximum(variance, 0))
        return dict(zip(self._first.names, sd.T, strict=True))
