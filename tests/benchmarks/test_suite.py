"""The small tier whole, against the committed baseline; and what the command says of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.suite.__main__ import app
from benchmarks.suite.baseline import committed, read_baseline
from benchmarks.suite.cases import Bench, Case, suite
from benchmarks.suite.measure import Measurement
from benchmarks.suite.peers import Peers
from benchmarks.suite.rendered_scenes import RenderedScenes
from benchmarks.suite.run import (
    NUMBERS,
    TABLE,
    SuiteOptions,
    chosen_cases,
    run_case,
    run_suite,
)
from benchmarks.suite.table import problems
from benchmarks.suite.worst_frames import Pictures
from kinefit.types import InputError

CASE = "clock"  # the quickest to run alone


@pytest.fixture
def doctored(tmp_path: Path) -> Path:
    """The committed baseline with one number that kinefit cannot reach."""
    stored = json.loads(committed("small").read_text("utf-8"))
    (case,) = (name for name in stored["cases"] if CASE in name)
    stored["cases"][case]["10 ms: trajectory"]["value"] = 0.001
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(stored), "utf-8")
    return path


def test_small_tier_is_as_good_as_its_baseline(tmp_path: Path) -> None:
    result = run_suite(SuiteOptions("small", peers=False), tmp_path)
    assert problems(result.sheet, result.compared, result.gone) == []
    assert result.passed
    # Not passed for want of anything to judge.
    judged = [c for c in result.compared if c.line is not None and c.line.direction != "none"]
    assert len(judged) > 80
    assert (tmp_path / TABLE).read_text("utf-8") == result.table
    assert json.loads((tmp_path / NUMBERS).read_text("utf-8"))["passed"] is True


def test_regression_is_status_1_and_names_the_line(tmp_path: Path, doctored: Path) -> None:
    flags = ["--only", CASE, "--no-peers", "--out", str(tmp_path / "out")]
    regressed = CliRunner().invoke(app, [*flags, "--baseline", str(doctored)])
    assert regressed.exit_code == 1
    assert "10 ms: trajectory" in regressed.stderr
    assert "is worse than 0.001" in regressed.stderr.replace("\n", " ")
    assert "**worse**" in (tmp_path / "out" / TABLE).read_text("utf-8")
    assert CliRunner().invoke(app, flags).exit_code == 0


def test_missing_baseline_is_an_error_unless_it_is_to_be_written(tmp_path: Path) -> None:
    path = tmp_path / "new.json"
    flags = ["--only", CASE, "--no-peers", "--out", str(tmp_path), "--baseline", str(path)]
    refused = CliRunner().invoke(app, flags)
    assert refused.exit_code == 2
    assert "no such baseline" in refused.stderr
    assert CliRunner().invoke(app, [*flags, "--write-baseline"]).exit_code == 0
    assert list(read_baseline(path).cases) == ["4 cameras, clock of one camera"]


def test_same_seed_same_numbers() -> None:
    (case,) = chosen_cases(SuiteOptions(only=CASE))
    first, again = (run_case(case, nothing_else()).lines for _ in range(2))
    assert [line.value for line in first] == [line.value for line in again]


def nothing_else() -> Bench:
    nowhere = Path("nowhere")
    return Bench(Peers(wanted=False), RenderedScenes(nowhere, None), Pictures(nowhere))


def test_a_case_that_raises_or_is_empty_is_a_failure() -> None:
    def broken(bench: Bench) -> tuple[Measurement, ...]:
        raise ZeroDivisionError("divided by nothing")

    def empty(bench: Bench) -> tuple[Measurement, ...]:
        return ()

    result = run_case(Case("broken", broken), nothing_else())
    assert result.failure == "ZeroDivisionError: divided by nothing"
    assert result.lines == ()
    assert run_case(Case("empty", empty), nothing_else()).failure == "it measured nothing"


def test_unknown_case_is_refused_with_the_names() -> None:
    with pytest.raises(InputError, match="points, 2 cameras"):
        chosen_cases(SuiteOptions(only="telepathy"))


def test_tiers_name_each_case_once_and_full_holds_small() -> None:
    small, full = ([case.name for case in suite(tier)] for tier in ("small", "full"))
    assert len(set(full)) == len(full)
    assert set(small) < set(full)


def test_every_tolerance_of_the_baseline_has_a_reason() -> None:
    known = read_baseline(committed("small"))  # refuses one without
    assert set(known.cases) == {case.name for case in suite("small")}
