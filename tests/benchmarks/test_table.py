"""The table: every verdict is visible, and programs read the same as people."""

from __future__ import annotations

import json

import pytest

from benchmarks.suite.baseline import Baseline, Entry, compare
from benchmarks.suite.measure import CaseResult, Measurement, Sheet, Tolerance
from benchmarks.suite.table import as_json, markdown, number, outcome, passed, problems

ONE_PERCENT = Tolerance("one percent", 0.01, 0.0, "a reason")


def made(value: float | None, base: float | None = 10.0) -> tuple[Sheet, Baseline]:
    peers = {"Pose2Sim": 12.5}
    line = Measurement("error", value, "mm", "lower", ONE_PERCENT, peers)
    known = {} if base is None else {"error": Entry(base, "mm", "lower", ONE_PERCENT)}
    sheet = Sheet("small", None, {"Pose2Sim": "0.10"}, (CaseResult("case", (line,)),))
    return sheet, Baseline("small", None, {"case": known})


@pytest.mark.parametrize(
    ("value", "base", "ok", "mark"),
    [
        (10.0, 10.0, True, "same"),
        (9.0, 10.0, True, "better"),
        (11.0, 10.0, False, "**worse**"),
        (None, 10.0, False, "**no value**"),
        (10.0, None, False, "*new*"),
    ],
)
def test_verdict_is_marked_and_decides(
    value: float | None, base: float | None, ok: bool, mark: str
) -> None:
    sheet, baseline = made(value, base)
    found = compare(sheet, baseline)
    text = markdown(sheet, found, (), "the command", "pictures")
    (row,) = (line for line in text.splitlines() if line.startswith("| error"))
    assert row.split(" | ")[-1] == f"{mark} |"
    assert "12.5" in row  # the peer's
    assert passed(sheet, found, ()) is ok
    assert bool(problems(sheet, found, ())) is not ok
    assert outcome(sheet, found, ()) in text


def test_regression_is_named_with_both_numbers() -> None:
    sheet, baseline = made(11.0)
    (said,) = problems(sheet, compare(sheet, baseline), ())
    assert said == "case: error: 11.0 mm is worse than 10.0 (allowed: 0.10 more or less)"


def test_failed_case_and_case_not_run_fail_the_bench() -> None:
    sheet, baseline = made(10.0)
    broken = Sheet("small", None, {}, (*sheet.results, CaseResult("other", (), "it broke")))
    found = compare(broken, baseline)
    assert problems(broken, found, ()) == ["other: failed: it broke"]
    assert "**Failed**: it broke" in markdown(broken, found, (), "the command", "pictures")
    assert not passed(broken, found, ())
    assert not passed(sheet, compare(sheet, baseline), ["gone"])
    empty = Sheet("small", None, {}, ())
    assert not passed(empty, [], ())


def test_json_holds_everything_and_is_json() -> None:
    sheet, baseline = made(None)
    stored = json.loads(json.dumps(as_json(sheet, compare(sheet, baseline), ()), allow_nan=False))
    row = stored["cases"]["case"]["lines"]["error"]
    assert row["value"] is None
    assert row["baseline"] == 10.0
    assert row["peers"] == {"Pose2Sim": 12.5}
    assert stored["passed"] is False


def test_numbers_have_three_digits_and_no_exponent() -> None:
    shown = [number(v) for v in (None, 0.0, 0.0123, 0.5, 12.345, 1234.5, -3.0)]
    assert shown == ["-", "0.00", "0.012", "0.50", "12.3", "1234", "-3.00"]


def test_pictures_are_shown_beside_the_table() -> None:
    sheet, baseline = made(10.0)
    drawn = Sheet("small", None, {}, sheet.results, {"a.png": "one camera: frame 3"})
    text = markdown(drawn, compare(drawn, baseline), (), "the command", "bench_worst")
    assert "![one camera: frame 3](bench_worst/a.png)" in text
