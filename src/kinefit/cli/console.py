"""What the terminal shows: progress, results, and errors with exit code 2."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
)

from kinefit.types import Finding, KinefitError

if TYPE_CHECKING:
    from kinefit.api import RunResult

out = Console(highlight=False, soft_wrap=True)
err = Console(stderr=True, highlight=False, soft_wrap=True)

USAGE_ERROR = 2
INTERRUPTED = 130  # as shells say it: 128 + SIGINT


@contextmanager
def errors_exit() -> Iterator[None]:
    """Turn a KinefitError, or a failure of the disk, into its message on stderr and exit code 2."""
    try:
        yield
    except KinefitError as error:
        message = str(error)
    except KeyboardInterrupt:
        err.print("Stopped. Next: the same command goes on where it was.", markup=False)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:  # what the disk refuses while reading or writing
        place = error.filename or "the disk"
        reason = error.strerror or error
        message = f"{place}: {reason}. Next: check that the folder can be written and has room."
    else:
        return
    err.print("[bold red]error:[/]", end=" ")
    err.print(message, markup=False)
    raise typer.Exit(USAGE_ERROR)


def show_warnings(warnings: Iterable[str]) -> None:
    """A line on stderr for each."""
    for warning in warnings:
        err.print("[yellow]warning:[/]", end=" ")
        err.print(warning, markup=False)


_LEVELS = {
    "information": ("note", "dim"),
    "caution": ("caution", "yellow"),
    "refusal": ("unusable", "red"),
}


def show_findings(findings: Iterable[Finding]) -> None:
    """A line on stderr for each."""
    for finding in findings:
        word, color = _LEVELS[finding.level]
        err.print(f"[{color}]{word}:[/]", end=" ")
        err.print(str(finding), markup=False)


def show_result(result: RunResult) -> None:
    """Verdict and findings of a run on stderr, its files on stdout."""
    if result.verdict:
        err.print(f"verdict: {result.verdict}")
    show_findings(result.findings)
    out.print(f"{result.folder}", markup=False)
    for name, about in result.files:
        out.print(f"  {name:<44} {about}", markup=False)


class StageProgress:
    """A line per stage, with a bar where the number of steps is known."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that `done` of `total` (0: unknown) steps of `stage` are finished."""
        if stage not in self._tasks:
            self._tasks[stage] = self._progress.add_task(stage, total=total or None)
        task = self._tasks[stage]
        self._progress.update(task, completed=done, total=total or None)


@contextmanager
def stage_progress() -> Iterator[StageProgress]:
    """Progress on stderr while the block runs."""
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err) as progress:
        yield StageProgress(progress)
