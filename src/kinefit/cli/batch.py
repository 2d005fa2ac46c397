"""`kinefit batch`: many trials, here or on a cluster, and a summary over them."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from kinefit.cli.console import OutFolder, err, out, show_files, show_warnings, with_options
from kinefit.cli.option_groups import RUN
from kinefit.pipeline.config import RunConfig

if TYPE_CHECKING:
    from kinefit.batch.order import Record
    from kinefit.batch.run import BatchResult

FAILED = 1


@with_options(RunConfig, RUN)
def batch(
    source: Annotated[
        Path, typer.Argument(help="A folder of videos, or a table (.csv, .toml) of trials.")
    ],
    out_folder: OutFolder = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done of each trial.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(min=1, help="Trials at a time; else one per core and 2 GB of memory."),
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="A Dask cluster's address, e.g. tcp://node01:8786.")
    ] = None,
    shard: Annotated[
        str | None, typer.Option(help="Only this part of the trials, I/N; without a summary.")
    ] = None,
    write_slurm: Annotated[
        Path | None, typer.Option(help="Only write an sbatch script that does them as an array.")
    ] = None,
    retries: Annotated[
        int, typer.Option(min=0, help="How often a trial is begun again whose process died.")
    ] = 1,
    again: Annotated[
        bool, typer.Option("--again", help="Try again what was refused before, too.")
    ] = False,
    **options: Any,
) -> None:
    """Many trials: a folder or a table of them, here or on a cluster, and a summary.

    Each trial has a folder of results of its own, named after its video's path, in
    kinefit_output/SOURCE unless --out says otherwise. A second call does only what is new or
    changed; a trial that fails stops no other. All other options are those of `kinefit run`, for
    all trials that the table says nothing else of. Exit code 1 when a trial failed.
    """
    from kinefit.batch.executors import Dask, Local
    from kinefit.batch.run import check_out, claim, plan, run_batch, words
    from kinefit.batch.slurm import write_slurm as write_script
    from kinefit.batch.table import read_trials
    from kinefit.batch.trials import shard as part_of

    trials = read_trials(source, options)
    folder = out_folder or Path("kinefit_output") / _name_of(source)
    if dry_run:
        chosen = part_of(trials, shard) if shard else trials
        for line in words(plan(chosen, folder, source=source, again=again)):
            out.print(line)
        return
    if write_slurm is not None:
        check_out(folder, source)  # before the script is written
        tasks = write_script(write_slurm, _own_command(), len(trials), folder)
        claim(folder, source)
        err.print(f"{len(trials)} trials, {tasks} tasks. Next: sbatch {write_slurm}")
        show_files([write_slurm])
        return
    where = Local(workers) if scheduler is None else Dask(scheduler)
    how: dict[str, Any] = {"part": shard, "retries": retries, "again": again, "tell": _tell}
    _show(run_batch(trials, folder, where, source=source, **how))


def _name_of(source: Path) -> str:
    """Of the folder, or of the table without its ending."""
    whole = Path(os.path.abspath(source))  # `resolve` follows a link to itself for ever
    return whole.name if source.is_dir() else whole.stem


def _own_command() -> list[str]:
    """The command as it was typed, without --write-slurm."""
    words = iter(sys.argv[1:])
    kept = []
    for word in words:
        if word == "--write-slurm":
            next(words)
        elif not word.startswith("--write-slurm="):
            kept.append(word)
    return [sys.executable, "-P", "-m", "kinefit.cli", *kept]


def _tell(done: int, of: int, trial: str, record: Record) -> None:
    said = f"  {record.reason}" if record.reason else ""
    line = f"{done}/{of}  {record.status:<8}  {trial}  {record.seconds:.0f} s{said}"
    err.print(line)


def _show(result: BatchResult) -> None:
    """Counts and notes on stderr, files on stdout; exit code 1 when a trial failed."""
    counts = ", ".join(f"{number} {status}" for status, number in sorted(result.counts.items()))
    err.print(f"{len(result.records)} trials: {counts}")
    show_warnings(result.notes)
    show_files(result.files)
    if result.failed:
        raise typer.Exit(FAILED)
