"""The summary of a batch: a table of trials, a tidy table of joint angles, and a page."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib.util import find_spec
from io import StringIO
from pathlib import Path

from kinefit.batch.order import STATUSES, Record, Result
from kinefit.batch.trials import Trial
from kinefit.io.atomic import atomic_path, write_text
from kinefit.report.batch_page import BatchRow, write_batch_page

Cell = str | float | int | None
TRIALS = (
    *("trial", "person", "status", "reason", "cautions", "frames", "speed_m_s", "height_m"),
    *("mass_kg", "cameras", "seconds", "cpu_s", "memory_mb", "tries", "folder"),
)
MEASURES = ("trial", "person", "status", "angle", "joint", "side", "motion", "min_deg", "max_deg",
            "range_deg", "present_pct", "gimbal_pct")  # fmt: skip
_SIDES = {"r": "right", "l": "left"}
_FORMULA = ("=", "+", "-", "@", "\t")  # how one begins
_NOT_YET = "not done yet"


def write_summary(
    out: Path, trials: Sequence[Trial], records: Mapping[str, Record | None]
) -> tuple[tuple[Path, ...], tuple[str, ...]]:
    """Write the tables and the page over all trials, each atomically: the files, and notes.

    trials.csv: a line for each trial and person. measures.csv: a line for each of their joint
    angles. The same as .parquet where pyarrow is installed. batch.html: who failed first.
    """
    tables = {
        "trials": (TRIALS, [row for t in trials for row in _trial_rows(t, records[t.name])]),
        "measures": (MEASURES, [row for t in trials for row in _angle_rows(t, records[t.name])]),
    }
    files, notes = [], []
    parquet = find_spec("pyarrow") is not None
    for name, (columns, rows) in tables.items():
        files.append(out / f"{name}.csv")
        write_text(files[-1], _csv(columns, rows))
        if parquet:
            files.append(out / f"{name}.parquet")
            _write_parquet(files[-1], columns, rows)
    if not parquet:
        notes.append("No Parquet files: pip install kinefit[parquet] for them.")
    files.append(out / "batch.html")
    _write_page(files[-1], trials, records)
    return tuple(files), tuple(notes)


def _results(record: Record | None) -> Sequence[Result]:
    return record.results if record is not None else ()


def _trial_rows(trial: Trial, record: Record | None) -> Iterator[tuple[Cell, ...]]:
    config = trial.config
    known = (config.height, config.mass, len(trial.videos))
    if record is None:
        yield (trial.name, None, "failed", _NOT_YET, *[None] * 3, *known, *[None] * 4, None)
        return
    spent = (record.seconds, record.cpu_s, record.memory_mb, record.tries)
    for person, one in _people(record):
        yield (
            trial.name, person, one["verdict"] or record.status, one.get("reason", ""),
            " ".join(one["cautions"]), one["frames"], one["speed_m_s"],
            *known, *spent, _folder(trial, one),
        )  # fmt: skip
    if not record.results:
        yield (trial.name, None, "failed", record.reason, *[None] * 3, *known, *spent, None)


def _people(record: Record | None) -> list[tuple[int | None, Result]]:
    """(number, result); the number is None where there is one."""
    found = _results(record)
    return [(i if len(found) > 1 else None, one) for i, one in enumerate(found, start=1)]


def _folder(trial: Trial, one: Result) -> str:
    """The results folder below the batch's."""
    inside = str(one["folder"])
    return trial.name if inside == "." else f"{trial.name}/{inside}"


def _angle_rows(trial: Trial, record: Record | None) -> Iterator[tuple[Cell, ...]]:
    for person, one in _people(record):
        for angle in one["angles"]:
            group, _, motion = angle["name"].rpartition("_")
            joint, _, side = group.rpartition("_")
            if side not in _SIDES:
                joint, side = group, ""
            low, high = angle["low"], angle["high"]
            span = None if low is None or high is None else round(high - low, 4)
            yield (
                trial.name, person, one["verdict"], angle["name"], joint, _SIDES.get(side), motion,
                low, high, span, angle["present_pct"], angle["gimbal_pct"],
            )  # fmt: skip


def _csv(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_plain(cell) for cell in row] for row in rows)
    return text.getvalue()


def _plain(cell: Cell) -> Cell:
    """A text that a spreadsheet would take for a formula, behind an apostrophe."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(_FORMULA) else cell


def _write_parquet(path: Path, columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> None:
    import pyarrow
    from pyarrow import parquet

    texts = {"trial", "status", "reason", "cautions", "folder", "angle", "joint", "side", "motion"}
    whole = {"person", "frames", "cameras", "tries"}
    kinds = {
        name: pyarrow.string() if name in texts
        else pyarrow.int64() if name in whole else pyarrow.float64()
        for name in columns
    }  # fmt: skip
    values = {
        name: pyarrow.array([row[i] for row in rows], kinds[name]) for i, name in enumerate(columns)
    }
    with atomic_path(path) as temporary:
        parquet.write_table(pyarrow.table(values), temporary)


def _write_page(path: Path, trials: Sequence[Trial], records: Mapping[str, Record | None]) -> None:
    shown = [row for trial in trials for row in _page_rows(trial, records[trial.name])]
    shown.sort(key=lambda row: [row.status != status for status in STATUSES])
    done = [record for record in records.values() if record is not None]
    counts = Counter(["failed" if r is None else r.status for r in records.values()])
    frames = sum(one["frames"] for record in done for one in record.results)
    facts = [
        ("Trials", ", ".join(f"{counts[s]} {s}" for s in reversed(STATUSES) if counts[s])),
        ("Frames", str(frames)),
        ("Processor time", f"{sum(record.cpu_s for record in done) / 3600:.2f} h"),
        ("Most memory of a trial", f"{max((r.memory_mb for r in done), default=0):.0f} MB"),
    ]
    write_batch_page(path, path.parent.resolve().name, facts, shown)


def _page_rows(trial: Trial, record: Record | None) -> Iterator[BatchRow]:
    for person, one in _people(record):
        assert record is not None
        name = trial.name if person is None else f"{trial.name}, person {person}"
        folder = _folder(trial, one)
        links = [(file.removesuffix(".html"), f"{folder}/{file}") for file in one["files"]]
        words = one.get("reason") or " ".join(one["cautions"])
        status = one["verdict"] if one["verdict"] in STATUSES else record.status
        yield BatchRow(name, status, words, one["frames"], record.seconds, links)
    if not _results(record):
        reason, seconds = (_NOT_YET, None) if record is None else (record.reason, record.seconds)
        yield BatchRow(trial.name, "failed", reason, None, seconds, [])
