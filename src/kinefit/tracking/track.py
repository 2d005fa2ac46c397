"""One person over some frames, in a picture or in space: what following them shares."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from kinefit.types import BoolArray, FloatArray, IntArray

FAR = 1e6  # further than any true distance, in whatever unit
ENOUGH = 3  # points that make a person, or tell one from another
_SPEED_OVER_S = 0.2  # speed is measured over this time: over one frame it would be noise


class Entry(NamedTuple):
    """A track in one frame.

    rows: the detections that show the person, one per camera. points: (K, D). doubt: how far the
    track is from being one person, as a share of what is believed.
    """

    frame: int
    time: float
    rows: IntArray
    points: FloatArray
    doubt: float = 0.0

    @property
    def is_sure(self) -> bool:
        """Whether two cameras or more see the person."""
        return len(self.rows) >= 2


@dataclass(eq=False)
class Track:
    """Entries in the order of time, at least one while it is used."""

    entries: list[Entry] = field(default_factory=list)

    @property
    def first(self) -> Entry:
        return self.entries[0]

    @property
    def last(self) -> Entry:
        return self.entries[-1]

    @property
    def frames(self) -> list[int]:
        return [entry.frame for entry in self.entries]

    def expected(self, time: float) -> FloatArray:
        """(K, D) at `time`: all points carried on with the speed of the person."""
        return np.asarray(self.last.points + (time - self.last.time) * self._velocity())

    def _velocity(self) -> FloatArray:
        """(D,) per second, the mean of the points; 0 while it cannot be known.

        A mean, which exchanged sides do not change, nor the direction of the axes.
        """
        since = self.last.time - _SPEED_OVER_S
        start = next((e for e in reversed(self.entries) if e.time <= since), self.first)
        step = self.last.points - start.points
        step = step[np.isfinite(step[:, 0])]
        duration = self.last.time - start.time
        return step.mean(axis=0) / duration if len(step) and duration else np.zeros(step.shape[1])


def assign(cost: FloatArray) -> BoolArray:
    """(M, n) True where track m gets detection i: each at most one, least sum, none at `FAR`.

    cost: (M, n). The Hungarian method (Kuhn 1955).
    """
    from scipy.optimize import linear_sum_assignment  # half a second that only this needs

    mine = np.zeros(cost.shape, bool)
    mine[linear_sum_assignment(cost)] = True
    return mine & (cost < FAR)
