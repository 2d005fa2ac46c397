"""The batch: what is to be done, doing it, and the summary over everything."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from kinefit.batch.attempt import PROGRAM
from kinefit.batch.executors import Executor, Local
from kinefit.batch.order import Order, Record, failure, order_for, read_record, stamp
from kinefit.batch.summary import write_summary
from kinefit.batch.trials import OWN, RESERVED, Trial, largest_first, shard
from kinefit.io.atomic import write_text
from kinefit.pipeline.context import missing_input
from kinefit.pipeline.provenance import code_version
from kinefit.pipeline.results import INTERNAL
from kinefit.pipeline.store import check_folder
from kinefit.types import InputError

State = Literal["new", "changed", "failed before", "missing", "refused", "done"]
TODO: tuple[State, ...] = ("new", "changed", "failed before")
_SOURCE = "source.json"  # in a batch's own folder: where its trials come from
Tell = Callable[[int, int, str, Record], None]
"""Called with (done, of, trial, record) for each trial that was done."""


@dataclass(frozen=True)
class Planned:
    """A trial, what is to be done of it, and the record of the last time."""

    trial: Trial
    order: Order
    state: State
    record: Record | None


@dataclass(frozen=True)
class BatchResult:
    """records: by trial, of all that were asked for; None of one that another call has to do.
    files: the summary, where one was written. notes: what to know."""

    folder: Path
    records: Mapping[str, Record | None]
    files: tuple[Path, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def failed(self) -> int:
        """How many trials have no result."""
        return sum(one is None or one.status == "failed" for one in self.records.values())

    @property
    def counts(self) -> dict[str, int]:
        """Status -> number of trials."""
        return dict(Counter(one.status for one in self.records.values() if one is not None))


def plan(
    trials: Sequence[Trial], out: Path, *, source: Path | None = None, again: bool = False
) -> list[Planned]:
    """What is to be done of each trial, by what its record in the folder `out` says.

    source: the folder or table that the trials come from. again: refused trials, too. Nothing is
    computed: sizes and times of the inputs, options and the version of the code decide. Raises
    InputError as `check_out`.
    """
    check_out(out, source)
    root, code = out.absolute(), code_version("kinefit.batch.trial")
    found = []
    for trial in trials:
        order = order_for(trial, root, code)
        record = read_record(order.record)
        state = _state(trial, order, record, again)
        order = replace(order, ours=record is not None and _is_whole(record, order))
        found.append(Planned(trial, order, state, record))
    return found


def check_out(out: Path, source: Path | None = None) -> None:
    """InputError for a folder that is no batch's, or another source's, or holds a file of the user
    where the summary goes."""
    check_folder(out)
    hint = "choose another --out for the batch"
    if (out / INTERNAL).is_dir():
        raise InputError(out, "is the results folder of one trial", hint)
    if source is not None:
        _check_source(out, source.resolve(), hint)
    for name in () if (out / OWN).is_dir() else RESERVED:
        if (out / name).exists():
            raise InputError(out / name, "is there already, and the summary goes there", hint)


def claim(out: Path, source: Path | None = None) -> None:
    """Make `out` the folder of the batch of a source. Raises InputError as `check_out`."""
    check_out(out, source)
    write_text(out / OWN / "README.txt", "Records of `kinefit batch`. It reads them again.\n")
    if source is not None:
        write_text(out / OWN / _SOURCE, json.dumps(str(source.resolve())) + "\n")


def _check_source(out: Path, source: Path, hint: str) -> None:
    if source == out.resolve():
        raise InputError(out, "is the folder of the videos", hint)
    if source in [(out / name).resolve() for name in RESERVED]:
        raise InputError(source, "would be overwritten by the summary", hint)
    with suppress(OSError, ValueError):  # nobody's yet
        earlier = json.loads((out / OWN / _SOURCE).read_text("utf-8"))
        if earlier != str(source):
            raise InputError(out, f"holds the batch of {earlier}", "give another --out")


def _state(trial: Trial, order: Order, record: Record | None, again: bool) -> State:
    if not all(video.exists() for video in trial.videos):
        return "missing"
    if record is None:
        return "new"
    if record.key != order.key:
        return "changed"
    if record.status == "failed":
        return "refused" if record.settled and not again else "failed before"
    return "done" if _is_whole(record, order) else "changed"


def _is_whole(record: Record, order: Order) -> bool:
    """Whether the run.json that lies there is the one that the trial left."""
    return bool(record.manifest) and list(record.manifest) == stamp(order.manifest)


def run_batch(
    trials: Sequence[Trial],
    out: Path,
    executor: Executor | None = None,
    *,
    source: Path | None = None,
    part: str | None = None,
    retries: int = 1,
    again: bool = False,
    program: Sequence[str] = PROGRAM,
    tell: Tell = lambda done, of, trial, record: None,
) -> BatchResult:
    """Do what is new, changed, or failed without being refused; then the summary over all trials.

    executor: where; None: processes of this computer. source: as for `plan`; the folder `out` is
    its own from now on. part: "I/N" for one of N parts, which other
    calls share out; then there is no summary. retries: as for `kinefit.batch.attempt.attempt`.
    again: try again what was refused. A trial that fails stops no other and is in its record and
    in the summary. Raises InputError as `plan` and `shard`.
    """
    chosen = shard(trials, part) if part else trials
    planned = plan(chosen, out, source=source, again=again)
    claim(out, source)
    came = {one.trial.name: _missing(one) for one in planned if one.state == "missing"}
    todo = {one.trial.name: one for one in planned if one.state in TODO}
    ordered = [todo[trial.name].order for trial in largest_first([p.trial for p in todo.values()])]
    if ordered:
        running = (executor or Local()).run(ordered, retries=retries, program=tuple(program))
        with closing(running):
            for done, (order, record) in enumerate(running, start=1):
                came[order.name] = record
                tell(done, len(ordered), order.name, record)
    records = {one.trial.name: came.get(one.trial.name, one.record) for one in planned}
    if part:
        return BatchResult(out, records)
    files, notes = write_summary(out, [one.trial for one in planned], records)
    return BatchResult(out, records, files, notes)


def _missing(one: Planned) -> Record:
    video = next(video for video in one.trial.videos if not video.exists())
    return failure(one.order, str(missing_input(video)))


def words(planned: Sequence[Planned]) -> list[str]:
    """A line for each trial: what is to be done, its name, its videos."""
    lines = []
    for one in planned:
        count = len(one.trial.videos)
        videos = one.trial.videos[0].name if count == 1 else f"{count} cameras"
        lines.append(f"{one.state:<14} {one.trial.name}  ({videos})")
    return lines
