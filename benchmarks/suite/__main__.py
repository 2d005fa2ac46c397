"""`python -m benchmarks.suite`: the suite against the committed baseline."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from benchmarks.suite.cases import Tier
from benchmarks.suite.run import TABLE, SuiteOptions, run_suite
from benchmarks.suite.table import outcome, problems
from kinefit.types import KinefitError

_REGRESSED, _REFUSED = 1, 2
app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def suite(
    tier: Annotated[
        Tier,
        typer.Option(help="small: computed points, half a minute; full: also videos, half an hour"),
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
        Path | None, typer.Option(help="Compare with this file (else the committed baseline).")
    ] = None,
    write_baseline: Annotated[
        bool, typer.Option("--write-baseline", help="Make the results the baseline.")
    ] = False,
    peers: Annotated[
        bool, typer.Option("--peers/--no-peers", help="Run Pose2Sim on the same data.")
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
    options = SuiteOptions(tier, only, motion, baseline, write_baseline, peers, work)
    try:
        result = run_suite(options, out_folder, lambda case: typer.echo(case, err=True))
    except KinefitError as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(_REFUSED) from error
    for problem in problems(result.sheet, result.compared, result.gone):
        typer.echo(f"failed: {problem}", err=True)
    typer.echo(outcome(result.sheet, result.compared, result.gone), err=True)
    typer.echo(str(out_folder / TABLE))
    if not result.passed:
        raise typer.Exit(_REGRESSED)


if __name__ == "__main__":
    app()
