"""`kinefit fit frames`: poses of a rig, frame by frame."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from kinefit.cli.console import err, errors_exit, out, stage_progress
from kinefit.cli.options import with_options
from kinefit.pipeline.config import FrameOptions

if TYPE_CHECKING:
    from kinefit.pipeline.rig_fit import FramesResult

_SHOWN = 20  # frames that are told one by one; all of them are in the report


@with_options(FrameOptions)
def fit_frames(
    bundle: Annotated[
        Path, typer.Argument(help="Triangulated points: the .npz of `kinefit triangulate`.")
    ],
    views: Annotated[
        Path | None,
        typer.Option(help="Folder with the outputs of SAM 3D Body per camera; else from points."),
    ] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder; by default BUNDLE_frames.")
    ] = None,
    **options: Any,
) -> None:
    """Rig poses frame by frame: each camera's own pose, made to fit the triangulated points.

    Writes one file per frame in the layout of SAM 3D Body, with diagnostics (opt_...), the motion
    of the clip, and a report. What is there already is reused; a run that was stopped goes on.
    """
    with errors_exit():
        from kinefit.api import fit_frames as job
        from kinefit.pipeline.config import checked

        given = {name: value for name, value in options.items() if value is not None}
        chosen = checked(FrameOptions, given)
        folder = out_folder or bundle.with_name(f"{bundle.stem}_frames")
        with stage_progress() as progress:
            result = job(bundle, folder, chosen, views, progress=progress)
        _print(result, folder)


def _print(result: FramesResult, folder: Path) -> None:
    report = result.report
    table = Table("", "frames")
    for status, count in report["status"].items():
        table.add_row(status, str(count))
    for camera, count in report["cameras"].items():
        table.add_row(f"started by {camera}", str(count))
    out.print(table)
    told = [frame for frame in report["per_frame"] if frame["status"] != "good"]
    for frame in told[:_SHOWN]:
        words = f"frame {frame['frame']}: {frame['status']}"
        out.print(f"{words}, {frame['reason']}" if frame["reason"] else words, markup=False)
    if len(told) > _SHOWN:
        out.print(f"and {len(told) - _SHOWN} more; see the report", markup=False)
    for warning in result.warnings:
        err.print("[yellow]warning:[/]", end=" ")
        err.print(warning, markup=False)
    for path in result.files:
        if path.parent == folder:
            out.print(str(path), markup=False)
    out.print(f"{len(report['per_frame'])} files in {folder / 'frames'}", markup=False)
