"""`kinefit bench`: the whole system over a fixed suite, against a committed baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from kinefit.cli.console import err, errors_exit, out, stage_progress

_REGRESSED = 1


def bench(
    tier: Annotated[
        Literal["small", "full"],
        typer.Option(help="small: made-up points, half a minute; full: videos, too, half an hour."),
    ] = "small",
    out_folder: Annotated[
        Path, typer.Option("--out", help="Folder for bench.md, bench.json and pictures.")
    ] = Path("kinefit_bench"),
    motion: Annotated[
        Path | None,
        typer.Option(help="CMU motion capture (cmu_30fps.npz) for the videos of the full tier."),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Only cases whose name contains this.")] = None,
    baseline: Annotated[
        Path | None, typer.Option(help="Compare with this file (else kinefit's own).")
    ] = None,
    write_baseline: Annotated[
        bool, typer.Option("--write-baseline", help="Make the numbers the baseline.")
    ] = False,
    peers: Annotated[
        bool, typer.Option("--peers/--no-peers", help="Ask Pose2Sim the same, if installed.")
    ] = True,
    work: Annotated[
        Path | None,
        typer.Option(help="Folder for videos and runs, used again (else a temporary one)."),
    ] = None,
) -> None:
    """Accuracy and speed against known truth, in one table beside a baseline and Pose2Sim.

    Exit status 1 when a line is worse than the baseline allows, is not in it, has no value, or
    was not measured. Speeds are reported and never judged.
    """
    with errors_exit():
        from kinefit.bench.run import TABLE, BenchOptions, run_bench
        from kinefit.bench.table import complaints, verdict_words

        options = BenchOptions(tier, only, motion, baseline, write_baseline, peers, work)
        with stage_progress() as progress:
            result = run_bench(options, out_folder, progress)
    for words in complaints(result.sheet, result.compared, result.gone):
        err.print("[red]failed:[/]", end=" ")
        err.print(words, markup=False)
    err.print(verdict_words(result.sheet, result.compared, result.gone), markup=False)
    out.print(str(out_folder / TABLE), markup=False)
    if not result.passed:
        raise typer.Exit(_REGRESSED)
