"""Frame numbers and times, kept together: a frame rate is never assumed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.types.arrays import FloatArray, IntArray, freeze_arrays
from kinefit.types.errors import InvalidData

LAST_TIME_S = 1e10  # beyond, a double loses microseconds (Unix time is 2e9)


@dataclass(frozen=True, eq=False)
class Timeline:
    """When each sample was taken.

    frame: (T,) int, the sample's frame index in its source, strictly increasing.
    time: (T,) seconds, strictly increasing; frames of a video keep their own time stamps.

    Raises InvalidData when either is not strictly increasing or a time is no number of seconds.
    """

    frame: IntArray
    time: FloatArray

    def __post_init__(self) -> None:
        freeze_arrays(self, time=(None,))
        freeze_arrays(self, np.int64, frame=(len(self.time),))
        if not (np.abs(self.time) < LAST_TIME_S).all():
            raise InvalidData("A time is no number of seconds.")
        for name in ("time", "frame"):
            values = getattr(self, name)
            if not (np.diff(values) > 0).all():
                first = int(np.argmax(np.diff(values) <= 0)) + 1
                raise InvalidData(
                    f"The {name} does not increase at sample {first}, counted from 0."
                )

    @classmethod
    def regular(cls, count: int, rate_hz: float, start_frame: int = 0) -> Timeline:
        """`count` samples at a constant rate (Hz); the first at `start_frame / rate_hz` seconds."""
        frame = start_frame + np.arange(count)
        return cls(frame, frame / rate_hz)

    def __len__(self) -> int:
        return len(self.time)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Timeline):
            return NotImplemented
        return np.array_equal(self.frame, other.frame) and np.array_equal(self.time, other.time)

    __hash__ = None  # type: ignore[assignment]

    @property
    def rate_hz(self) -> float:
        """Samples per second from the median interval (NaN with fewer than 2 samples)."""
        return float(1.0 / np.median(np.diff(self.time))) if len(self) > 1 else float("nan")

    @property
    def is_uniform(self) -> bool:
        """True when no interval differs from the median one by more than 1 %.

        1 % admits the rounding of time stamps in milliseconds at up to 10 Hz steps of a
        100 Hz file and in 1/90000 s video clocks, and refuses a dropped frame.
        """
        if len(self) < 3:
            return True
        step = np.diff(self.time)
        return bool(np.abs(step / np.median(step) - 1).max() <= 0.01)
