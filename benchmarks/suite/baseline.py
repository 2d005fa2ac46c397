"""The numbers that a run is held against: committed, read, compared, and written on purpose."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, get_args

from benchmarks.suite.measure import Direction, Measurement, Sheet, Tolerance
from kinefit.io.atomic import write_json
from kinefit.types import InputError

FORMAT = "kinefit bench baseline 1"
_DIGITS = 6  # significant ones that are kept: far below every tolerance
_WRITE = "measure it anew: python -m benchmarks.suite --write-baseline"
_REMOVE = "delete it, then: python -m benchmarks.suite --write-baseline"


class Verdict(StrEnum):
    """How a line stands against its baseline."""

    SAME = "same"
    BETTER = "better"
    WORSE = "worse"
    NO_VALUE = "no value"
    NEW = "not in the baseline"
    GONE = "not measured"
    REPORTED = ""

    @property
    def passes(self) -> bool:
        return self in (Verdict.SAME, Verdict.BETTER, Verdict.REPORTED)


@dataclass(frozen=True)
class Entry:
    """One number of a baseline."""

    value: float
    unit: str
    direction: Direction
    tolerance: Tolerance


@dataclass(frozen=True)
class Baseline:
    """cases: case -> line -> entry. tier, motion: of the run that it is of, see `Sheet`."""

    tier: str
    motion: str | None
    cases: Mapping[str, Mapping[str, Entry]]

    def entry(self, case: str, name: str) -> Entry | None:
        return self.cases.get(case, {}).get(name)


@dataclass(frozen=True)
class Compared:
    """A line beside its baseline; either may be missing."""

    case: str
    name: str
    line: Measurement | None
    entry: Entry | None
    verdict: Verdict


def committed(tier: str) -> Path:
    """The file of the committed baseline."""
    return Path(__file__).with_name(f"baseline_{tier}.json")


def compare(sheet: Sheet, baseline: Baseline | None) -> list[Compared]:
    """Every line of the sheet, and every entry of its cases that was not measured.

    A baseline of another tier or motion says nothing about this sheet: all lines are then new.
    """
    if baseline is None or (baseline.tier, baseline.motion) != (sheet.tier, sheet.motion):
        baseline = Baseline(sheet.tier, sheet.motion, {})
    out = []
    for result in sheet.results:
        for line in result.lines:
            entry = baseline.entry(result.case, line.name)
            out.append(Compared(result.case, line.name, line, entry, judge(line, entry)))
        measured = {line.name for line in result.lines}
        out += [
            Compared(result.case, name, None, entry, Verdict.GONE)
            for name, entry in baseline.cases.get(result.case, {}).items()
            if name not in measured
        ]
    return out


def cases_gone(sheet: Sheet, baseline: Baseline | None) -> list[str]:
    """Cases of the baseline that the sheet does not have at all, in the baseline's order."""
    if baseline is None or (baseline.tier, baseline.motion) != (sheet.tier, sheet.motion):
        return []
    ran = {result.case for result in sheet.results}
    return [case for case in baseline.cases if case not in ran]


def judge(line: Measurement, entry: Entry | None) -> Verdict:
    """The verdict on one line. What has no value never passes, whatever the baseline says.

    A line whose unit or direction changed is another line: new.
    """
    if line.value is None:
        return Verdict.NO_VALUE
    if entry is None or (entry.unit, entry.direction) != (line.unit, line.direction):
        return Verdict.NEW
    if line.direction == "none":
        return Verdict.REPORTED
    gain = entry.value - line.value if line.direction == "lower" else line.value - entry.value
    if abs(gain) <= entry.tolerance.allowed(entry.value):
        return Verdict.SAME
    return Verdict.BETTER if gain > 0 else Verdict.WORSE


def read_baseline(path: Path) -> Baseline:
    """Read what `write_baseline` wrote; raises InputError for anything else."""
    try:
        stored = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise InputError(path, "there is no such baseline", _WRITE) from error
    except (OSError, ValueError) as error:
        raise InputError(path, "is no JSON file", _REMOVE) from error
    try:
        if stored["format"] != FORMAT:
            raise ValueError("another format")
        tolerances = {
            str(name): _tolerance(str(name), values)
            for name, values in stored["tolerances"].items()
        }
        cases = {
            str(case): {str(name): _entry(values, tolerances) for name, values in lines.items()}
            for case, lines in stored["cases"].items()
        }
        motion = None if stored["motion_sha256"] is None else str(stored["motion_sha256"])
        return Baseline(str(stored["tier"]), motion, cases)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(path, f"is no baseline of the suite ({error})", _REMOVE) from error


def _tolerance(name: str, values: Mapping[str, Any]) -> Tolerance:
    found = Tolerance(
        name, float(values["relative"]), float(values["absolute"]), str(values["reason"])
    )
    if not (found.relative >= 0 and found.absolute >= 0 and found.reason):
        raise ValueError(f"tolerance {name!r} has no reason, or is below zero")
    return found


def _entry(values: Mapping[str, Any], tolerances: Mapping[str, Tolerance]) -> Entry:
    direction = values["direction"]
    if direction not in get_args(Direction):
        raise ValueError(f"no direction {direction!r}")
    value = float(values["value"])
    if not math.isfinite(value):
        raise ValueError("a value that is no number")
    return Entry(value, str(values["unit"]), direction, tolerances[values["tolerance"]])


def write_baseline(path: Path, sheet: Sheet, before: Baseline | None) -> None:
    """Make the sheet's numbers the baseline, atomically.

    before: what was there: its cases that the sheet does not have stay, and so does a tolerance
        that was chosen by hand, i.e. of another name than the line's own.
    Raises InputError when a case failed or a line has no value: that is no baseline.
    """
    if before is not None and (before.tier, before.motion) != (sheet.tier, sheet.motion):
        before = None
    doubtful = [result.case for result in sheet.failures]
    doubtful += [
        f"{result.case}: {line.name}"
        for result in sheet.results
        for line in result.lines
        if line.value is None
    ]
    if doubtful:
        raise InputError(path, f"not written: no value for {doubtful[0]}", "mend that first")
    cases = {case: dict(lines) for case, lines in before.cases.items()} if before else {}
    for result in sheet.results:
        cases[result.case] = {
            line.name: _new_entry(line, before.entry(result.case, line.name) if before else None)
            for line in result.lines
        }
    write_json(path, _as_json(Baseline(sheet.tier, sheet.motion, cases)))


def _new_entry(line: Measurement, before: Entry | None) -> Entry:
    assert line.value is not None
    value = float(f"{line.value:.{_DIGITS}g}")
    kept = before is not None and (before.unit, before.direction) == (line.unit, line.direction)
    same = before is None or before.tolerance.name == line.tolerance.name
    tolerance = before.tolerance if before and kept and not same else line.tolerance
    return Entry(value, line.unit, line.direction, tolerance)


def _as_json(baseline: Baseline) -> dict[str, Any]:
    entries = [entry for lines in baseline.cases.values() for entry in lines.values()]
    used = {entry.tolerance.name: entry.tolerance for entry in entries}
    return {
        "format": FORMAT,
        "tier": baseline.tier,
        "motion_sha256": baseline.motion,
        "tolerances": {
            name: {k: v for k, v in asdict(one).items() if k != "name"}
            for name, one in sorted(used.items())
        },
        "cases": {
            case: {
                name: {**asdict(entry), "tolerance": entry.tolerance.name}
                for name, entry in lines.items()
            }
            for case, lines in baseline.cases.items()
        },
    }
