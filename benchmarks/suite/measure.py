"""What a benchmark measures: a named number with its unit, and which way is better."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from kinefit.types import InvalidData

Direction = Literal["lower", "higher", "none"]


@dataclass(frozen=True)
class Tolerance:
    """How far a number may be from its baseline: the larger of a share of it and a fixed amount.

    name: by which a baseline refers to it. reason: why so far and no further.
    """

    name: str
    relative: float
    absolute: float
    reason: str

    def allowed(self, value: float) -> float:
        """In the unit of `value`, the baseline's."""
        return max(self.relative * abs(value), self.absolute)


# The absolute parts are what nobody cares about, in millimetres, percent or degrees: without
# them, a number near zero would have to stay the same to its last digit.
ROUNDING = Tolerance(
    "rounding",
    0.02,
    0.1,
    "the same numbers up to the order of sums, which differs between BLAS libraries",
)
COUNTED = Tolerance(
    "counted", 0.02, 0.5, "a share of a few hundred frames: rounding may turn a frame or two over"
)
DETECTED = Tolerance(
    "detected", 0.08, 0.5, "MediaPipe and the video coder round differently on other processors"
)
TIMED = Tolerance("timed", 0.5, 0.0, "seconds of a shared machine; reported, never judged")


@dataclass(frozen=True)
class Measurement:
    """One line of the table.

    name: within its case. value: kinefit's; None where there is nothing to say (as for NaN).
    unit: as printed. direction: which way is better; "none" is reported and never judged.
    peers: the same by other programs, by their names. tolerance: for a new baseline.
    """

    name: str
    value: float | None
    unit: str
    direction: Direction
    tolerance: Tolerance = ROUNDING
    peers: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "value", _known(self.value))
        object.__setattr__(self, "peers", {k: _known(v) for k, v in self.peers.items()})


def _known(value: float | None) -> float | None:
    """A plain float; None for what is no number."""
    return None if value is None or not math.isfinite(value) else float(value)


def seconds(name: str, value: float, **peers: float | None) -> Measurement:
    """A time: reported, never judged."""
    return Measurement(name, value, "s", "none", TIMED, peers)


@dataclass(frozen=True)
class CaseResult:
    """What one case gave: lines, or why there are none. seconds: that it took."""

    case: str
    lines: tuple[Measurement, ...]
    failure: str | None = None
    seconds: float = 0.0

    def __post_init__(self) -> None:
        names = [line.name for line in self.lines]
        double = {name for name in names if names.count(name) > 1}
        if double:
            raise InvalidData(f"Case {self.case}: {', '.join(sorted(double))} is there twice.")


@dataclass(frozen=True)
class Sheet:
    """All that a run measured.

    tier: of the suite. motion: SHA-256 of the motion file; None for kinefit's own motions.
    peers: program -> its version, or why it is not there. pictures: file -> what it shows.
    """

    tier: str
    motion: str | None
    peers: Mapping[str, str]
    results: tuple[CaseResult, ...]
    pictures: Mapping[str, str] = field(default_factory=dict)

    @property
    def failures(self) -> tuple[CaseResult, ...]:
        return tuple(result for result in self.results if result.failure is not None)


def mean_lines(parts: Iterable[tuple[Measurement, ...]]) -> tuple[Measurement, ...]:
    """Lines of several subjects as one: the mean of each; None as soon as one has no value.

    A subject that gives no number must not make the mean better. Raises InvalidData when the
    subjects have other lines.
    """
    sheets = list(parts)
    if len({tuple(line.name for line in lines) for lines in sheets}) != 1:
        raise InvalidData("Subjects of one case give other lines each.")
    return tuple(_mean_line(same) for same in zip(*sheets, strict=True))


def _mean_line(same: tuple[Measurement, ...]) -> Measurement:
    first = same[0]
    peers = {name: _mean([line.peers.get(name) for line in same]) for name in first.peers}
    return Measurement(
        first.name,
        _mean([line.value for line in same]),
        first.unit,
        first.direction,
        first.tolerance,
        peers,
    )


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return math.fsum(known) / len(known) if len(known) == len(values) else None
