"""Lines against a baseline: what passes, what does not, and what a baseline keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.suite.baseline import (
    Baseline,
    Entry,
    Verdict,
    cases_gone,
    compare,
    judge,
    read_baseline,
    write_baseline,
)
from benchmarks.suite.measure import CaseResult, Measurement, Sheet, Tolerance, mean_lines
from kinefit.types import InputError, InvalidData

EXACT = Tolerance("exact", 0.0, 0.0, "nothing is allowed")


def entry(value: float, direction: str = "lower", tolerance: Tolerance = EXACT) -> Entry:
    return Entry(value, "mm", direction, tolerance)  # type: ignore[arg-type]


def line(value: float | None, direction: str = "lower", name: str = "error") -> Measurement:
    return Measurement(name, value, "mm", direction)  # type: ignore[arg-type]


def sheet(*results: CaseResult, motion: str | None = None) -> Sheet:
    return Sheet("small", motion, {}, results)


@pytest.mark.parametrize(
    ("direction", "value", "verdict"),
    [
        ("lower", 10.0, Verdict.SAME),
        ("lower", 10.1, Verdict.WORSE),
        ("lower", 9.9, Verdict.BETTER),
        ("higher", 10.1, Verdict.BETTER),
        ("higher", 9.9, Verdict.WORSE),
        ("none", 99.0, Verdict.REPORTED),
    ],
)
def test_direction_decides(direction: str, value: float, verdict: Verdict) -> None:
    assert judge(line(value, direction), entry(10.0, direction)) is verdict


@pytest.mark.parametrize("direction", ["lower", "higher", "none"])
@pytest.mark.parametrize("value", [None, float("nan"), float("inf")])
def test_what_is_no_number_never_passes(direction: str, value: float | None) -> None:
    found = judge(line(value, direction), entry(10.0, direction))
    assert found is Verdict.NO_VALUE
    assert not found.passes


def test_tolerance_is_the_larger_of_share_and_amount() -> None:
    loose = Tolerance("loose", 0.02, 0.5, "a reason")
    assert loose.allowed(10.0) == 0.5
    assert loose.allowed(-100.0) == 2.0
    assert judge(line(10.5), entry(10.0, tolerance=loose)) is Verdict.SAME
    assert judge(line(10.51), entry(10.0, tolerance=loose)) is Verdict.WORSE
    # Around zero a share alone would allow nothing.
    assert judge(line(0.4), entry(0.0, tolerance=loose)) is Verdict.SAME


def test_other_unit_or_direction_is_another_line() -> None:
    assert judge(Measurement("error", 10.0, "cm", "lower"), entry(10.0)) is Verdict.NEW
    assert judge(line(10.0, "higher"), entry(10.0)) is Verdict.NEW


def test_new_and_gone_lines_are_both_said() -> None:
    result = CaseResult("case", (line(1.0, name="new"), line(2.0, name="kept")))
    baseline = Baseline(
        "small", None, {"case": {"kept": entry(2.0), "old": entry(3.0)}, "never": {"a": entry(1.0)}}
    )
    found = {one.name: one.verdict for one in compare(sheet(result), baseline)}
    assert found == {"new": Verdict.NEW, "kept": Verdict.SAME, "old": Verdict.GONE}
    assert cases_gone(sheet(result), baseline) == ["never"]
    assert not Verdict.NEW.passes
    assert not Verdict.GONE.passes


@pytest.mark.parametrize("other", [Baseline("full", None, {}), Baseline("small", "ab12", {})])
def test_baseline_of_another_tier_or_motion_says_nothing(other: Baseline) -> None:
    other = Baseline(other.tier, other.motion, {"case": {"error": entry(1.0)}})
    result = CaseResult("case", (line(1.0),))
    assert [one.verdict for one in compare(sheet(result), other)] == [Verdict.NEW]
    assert cases_gone(sheet(), other) == []


def test_written_baseline_is_read_back_and_keeps_tolerances(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    first = sheet(CaseResult("a", (line(1.0),)), CaseResult("b", (line(2.0),)))
    write_baseline(path, first, None)
    stored = json.loads(path.read_text("utf-8"))
    stored["tolerances"]["wide"] = {"relative": 0.5, "absolute": 0.0, "reason": "by hand"}
    stored["cases"]["a"]["error"]["tolerance"] = "wide"
    path.write_text(json.dumps(stored), "utf-8")
    # Only case a runs again: its value changes, its tolerance and case b stay.
    write_baseline(path, sheet(CaseResult("a", (line(7.0),))), read_baseline(path))
    again = read_baseline(path)
    assert again.cases["a"]["error"].value == 7.0
    assert again.cases["a"]["error"].tolerance == Tolerance("wide", 0.5, 0.0, "by hand")
    assert again.cases["b"]["error"].value == 2.0


@pytest.mark.parametrize(
    "result", [CaseResult("a", (), "it broke"), CaseResult("a", (line(None),))]
)
def test_failures_become_no_baseline(result: CaseResult, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    with pytest.raises(InputError, match="no value for a"):
        write_baseline(path, sheet(result), None)
    assert not path.exists()


@pytest.mark.parametrize(
    "damage",
    [
        lambda s: s.update(format="another"),
        lambda s: s["cases"]["a"]["error"].update(direction="sideways"),
        lambda s: s["cases"]["a"]["error"].update(value="much"),
        lambda s: s["cases"]["a"]["error"].update(value=float("nan")),
        lambda s: s["cases"]["a"]["error"].update(tolerance="unheard of"),
        lambda s: s["tolerances"]["rounding"].update(reason=""),
        lambda s: s["tolerances"]["rounding"].update(relative=-1),
        lambda s: s["cases"].update(a=3),
        lambda s: s.pop("tier"),
    ],
)
def test_damaged_baseline_is_refused(damage: object, tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    write_baseline(path, sheet(CaseResult("a", (line(1.0),))), None)
    stored = json.loads(path.read_text("utf-8"))
    damage(stored)  # type: ignore[operator]
    path.write_text(json.dumps(stored), "utf-8")
    with pytest.raises(InputError, match="is no baseline"):
        read_baseline(path)


def test_missing_baseline_and_text_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such baseline"):
        read_baseline(tmp_path / "none.json")
    path = tmp_path / "text.json"
    path.write_text("accuracy: good", "utf-8")
    with pytest.raises(InputError, match="no JSON"):
        read_baseline(path)


def test_mean_over_subjects_counts_a_lost_subject() -> None:
    both = mean_lines([(line(1.0),), (line(3.0),)])
    assert both[0].value == 2.0
    assert mean_lines([(line(1.0),), (line(None),)])[0].value is None
    with pytest.raises(InvalidData, match="other lines"):
        mean_lines([(line(1.0),), (line(1.0, name="another"),)])


def test_a_case_names_each_line_once() -> None:
    with pytest.raises(InvalidData, match="twice"):
        CaseResult("a", (line(1.0), line(2.0)))
