"""`kinefit calibration`: what a calibration file was taken to say, whether it can be, and another
program's format of it."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from kinefit.cli.console import err, errors_exit, out

if TYPE_CHECKING:
    from kinefit.io.calibration import Calibration
    from kinefit.multiview.rig_checks import RigReport


class _Layout(StrEnum):
    caliscope = "caliscope"
    aniposelib = "aniposelib"
    pose2sim = "pose2sim"


def calibration(
    file: Annotated[Path, typer.Argument(help="Calibration file, or the folder of one.")],
    to: Annotated[Path | None, typer.Option(help="Write the cameras to this TOML file.")] = None,
    layout: Annotated[_Layout, typer.Option(help="Whose layout --to has.")] = _Layout.caliscope,
    video: Annotated[
        list[Path] | None,
        typer.Option(help="A camera's video, named as the camera; may be given several times."),
    ] = None,
    file_format: Annotated[
        str | None, typer.Option("--format", help="Whose format the file is, if it is not told.")
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="What the file's positions are in: m, cm or mm.")
    ] = None,
    up: Annotated[
        str | None, typer.Option(help="The file's axis that points up: y, z, x, -y, -z or -x.")
    ] = None,
    invert_extrinsics: Annotated[
        bool, typer.Option("--invert-extrinsics", help="The file's poses are camera to world.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read a calibration of another program, say what was assumed, check it, and convert it.

    Reads Caliscope, aniposelib and Pose2Sim TOML, Qualisys .qca.txt, OpenCV YAML, XML and JSON,
    OpenCap pickles and EasyMocap's pair. With --video, the file written by --to is for the
    videos' own sizes.
    """
    with errors_exit():
        from kinefit.io.calibration import read_calibration, write_calibration
        from kinefit.io.video import probe
        from kinefit.multiview.rig_checks import check_rig, fit_rig_to_videos
        from kinefit.types import InputError

        sizes = {path.stem: probe(path).size for path in video or []}
        found = read_calibration(
            file,
            format=file_format,  # type: ignore[arg-type]  # checked there, with a better message
            units=units,  # type: ignore[arg-type]
            up=up,  # type: ignore[arg-type]
            invert_extrinsics=invert_extrinsics,
            image_sizes=sizes,
        )
        report = check_rig(found.rig, sizes, up_known=found.up is not None)
        if to is not None:
            if to.exists() and to.samefile(file):
                raise InputError(to, "is the file to be read", "give --to another name")
            rig, _ = fit_rig_to_videos(found.rig, sizes)
            write_calibration(to, rig, layout.value, up_known=found.up is not None)
        if json_output:
            typer.echo(json.dumps(_as_json(found, report), indent=2, ensure_ascii=False))
        else:
            _print(found, report)
        for finding in report.findings:
            err.print(f"[yellow]{finding.level}:[/]", end=" ")
            err.print(str(finding), markup=False)
        if to is not None and not json_output:
            out.print(str(to), markup=False)


def _as_json(found: Calibration, report: RigReport) -> dict[str, Any]:
    return {
        "format": found.format,
        "up": found.up,
        "assumptions": list(found.assumptions),
        "residuals": dict(found.residuals),
        "residual_unit": found.residual_unit,
    } | report.as_json()


def _print(found: Calibration, report: RigReport) -> None:
    """Assumptions, a line per camera and per pair."""
    out.print(f"{found.format}: {len(found.rig)} cameras", markup=False)
    for assumption in found.assumptions:
        out.print(f"  {assumption}", markup=False)
    # Without a known vertical, height, tilt and roll would be numbers without meaning.
    level = found.up is not None
    gravity = ("height m", "tilt °", "roll °") if level else ()
    table = Table("camera", "pixels", *gravity, "to the middle m", f"error {found.residual_unit}")
    for c in report.cameras:
        angles = (c.height_m, c.tilt_deg, c.roll_deg) if level else ()
        numbers = (*angles, c.distance_m, found.residuals.get(c.name))
        cells = ("-" if n is None else f"{n:.2f}" for n in numbers)
        table.add_row(escape(c.name), f"{c.size[0]} x {c.size[1]}", *cells)
    out.print(table)
    if report.pairs:
        pairs = Table("cameras", "apart m", "angle °")
        for p in report.pairs:
            pairs.add_row(escape(" ".join(p.cameras)), f"{p.baseline_m:.2f}", f"{p.angle_deg:.0f}")
        out.print(pairs)
