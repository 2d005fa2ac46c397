"""A run of the suite: its cases one after the other, the table, the verdict."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.suite.baseline import (
    Baseline,
    Compared,
    cases_gone,
    committed,
    compare,
    read_baseline,
    write_baseline,
)
from benchmarks.suite.cases import Bench, Case, Tier, suite
from benchmarks.suite.measure import CaseResult, Measurement, Sheet
from benchmarks.suite.peers import Peers
from benchmarks.suite.rendered_scenes import RenderedScenes
from benchmarks.suite.table import as_json, markdown, passed
from benchmarks.suite.worst_frames import Pictures
from kinefit.io.atomic import write_json, write_text
from kinefit.pipeline.provenance import sha256_file
from kinefit.types import InputError

TABLE, NUMBERS, PICTURES = "bench.md", "bench.json", "bench_worst"


@dataclass(frozen=True)
class SuiteOptions:
    """What a run can be told.

    only: part of the names of the cases to run; None: all. motion: CMU's file for the videos.
    baseline: None: the committed one. write: make the result the baseline.
    peers: whether other programs are asked. work: folder for videos and runs, which stay and are
    used again; None: a temporary one.
    """

    tier: Tier = "small"
    only: str | None = None
    motion: Path | None = None
    baseline: Path | None = None
    write: bool = False
    peers: bool = True
    work: Path | None = None


@dataclass(frozen=True)
class SuiteResult:
    """sheet: what was measured. compared: beside the baseline. gone: cases that were not run.
    table: as Markdown. passed: whether nothing is worse, missing or new."""

    sheet: Sheet
    compared: tuple[Compared, ...]
    gone: tuple[str, ...]
    table: str
    passed: bool


def run_suite(
    options: SuiteOptions,
    out: Path,
    progress: Callable[[str], None] = lambda case: None,
) -> SuiteResult:
    """Run the suite; write `bench.md`, `bench.json` and pictures of the worst frames into `out`.

    progress: is given the name of each case before it begins.

    Without a committed baseline every line is new. Raises InputError when no case has the name
    asked for, when a baseline cannot be read, and when the result cannot become the baseline.
    """
    chosen = chosen_cases(options)
    path = options.baseline or committed(options.tier)
    known = options.baseline is not None and not options.write
    before = read_baseline(path) if known or path.exists() else None
    motion = None if options.motion is None else sha256_file(options.motion)
    sheet = _measured(chosen, options, motion, out, progress)
    result = _written(judged(sheet, before, options), out)
    if options.write:  # what was measured is on the disk before this can be refused
        write_baseline(path, sheet, before)
        result = _written(judged(sheet, read_baseline(path), options), out)
    return result


def _written(result: SuiteResult, out: Path) -> SuiteResult:
    write_text(out / TABLE, result.table)
    write_json(out / NUMBERS, as_json(result.sheet, result.compared, result.gone))
    return result


def judged(sheet: Sheet, baseline: Baseline | None, options: SuiteOptions) -> SuiteResult:
    """The sheet beside a baseline. With a choice of cases, the others are not missed."""
    compared = tuple(compare(sheet, baseline))
    gone = () if options.only is not None else tuple(cases_gone(sheet, baseline))
    table = markdown(sheet, compared, gone, command(options), PICTURES)
    return SuiteResult(sheet, compared, gone, table, passed(sheet, compared, gone))


def command(options: SuiteOptions) -> str:
    """The command line that gives the same numbers, without paths."""
    parts = ["python -m benchmarks.suite", f"--tier {options.tier}"]
    parts += [f"--only '{options.only}'"] if options.only is not None else []
    parts += [f"--motion {options.motion.name}"] if options.motion is not None else []
    return " ".join(parts if options.peers else [*parts, "--no-peers"])


def chosen_cases(options: SuiteOptions) -> tuple[Case, ...]:
    """The cases asked for; raises InputError when there is none."""
    cases = suite(options.tier)
    found = tuple(case for case in cases if options.only is None or options.only in case.name)
    if not found:
        known = "; ".join(case.name for case in cases)
        raise InputError(
            "--only", f"no case of the tier {options.tier} has {options.only!r} in its name",
            f"there are: {known}",
        )  # fmt: skip
    return found


def _measured(
    cases: tuple[Case, ...],
    options: SuiteOptions,
    motion: str | None,
    out: Path,
    progress: Callable[[str], None],
) -> Sheet:
    results = []
    with tempfile.TemporaryDirectory() as folder, Peers(options.peers) as peers:
        scenes = RenderedScenes(options.work or Path(folder), options.motion)
        bench = Bench(peers, scenes, Pictures(out / PICTURES))
        for case in cases:
            progress(case.name)
            results.append(run_case(case, bench))
        return Sheet(
            options.tier, motion, dict(peers.versions), tuple(results), bench.pictures.worst
        )


def run_case(case: Case, bench: Bench) -> CaseResult:
    """The case's lines; whatever it raises becomes the reason why it has none."""
    start = time.perf_counter()
    lines: tuple[Measurement, ...] = ()
    failure: str | None = None
    try:
        lines = case.work(bench)
        failure = None if lines else "it measured nothing"
    except Exception as error:  # one case that fails must not hide the others
        failure = f"{type(error).__name__}: {error}".splitlines()[0]
    return CaseResult(case.name, lines, failure, time.perf_counter() - start)
