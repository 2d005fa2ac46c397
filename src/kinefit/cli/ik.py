"""`kinefit ik`: scaling and inverse kinematics with OpenSim."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from kinefit.cli.console import err, errors_exit, out

_WORST = 5


def ik(
    file: Annotated[Path, typer.Argument(help="TRC or C3D file of one person's markers.")],
    height: Annotated[float | None, typer.Option(help="Stature in metres.")] = None,
    mass: Annotated[float | None, typer.Option(help="Body mass in kilograms.")] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder for the results [default: FILE_ik].")
    ] = None,
    model: Annotated[
        str, typer.Option(help="simple, muscles, or an .osim file with markers of its own.")
    ] = "muscles",
    static: Annotated[
        Path | None, typer.Option(help="Markers to scale from, instead of the motion itself.")
    ] = None,
    scaled: Annotated[
        bool, typer.Option("--scaled", help="The model is scaled to this person already.")
    ] = False,
    setup: Annotated[
        Path | None, typer.Option(help="OpenSim IK setup with the weights of the model's markers.")
    ] = None,
    allow_missing: Annotated[
        bool,
        typer.Option(
            "--allow-missing", help="Leave out joints that the markers leave open; don't refuse."
        ),
    ] = False,
) -> None:
    """OpenSim scaling and inverse kinematics: a scaled .osim, a .mot, and marker errors.

    Takes kinefit's and Pose2Sim's markers, keypoints (Halpe, BlazePose, COCO, OpenPose), OpenCap's
    laboratory markers, or those of a model of your own. Refuses files whose markers leave a joint
    open that the motion would contain.
    """
    with errors_exit():
        from kinefit.api import inverse_kinematics_of_file
        from kinefit.types import InputError, Subject

        if (height is None) != (mass is None):
            raise InputError("options", "height and mass go together", "give both")
        subject = Subject(height, mass) if height is not None and mass is not None else None
        result = inverse_kinematics_of_file(
            file,
            out_folder or file.with_name(f"{file.stem}_ik"),
            subject=subject,
            model=model,
            static=static,
            scaled=scaled,
            setup=setup,
            allow_missing=allow_missing,
        )
    for warning in result.warnings:
        err.print("[yellow]warning:[/]", end=" ")
        err.print(warning, markup=False)
    _show(result.summary)
    out.print(result.summary["verdict"], markup=False)
    for path in result.files:
        out.print(str(path), markup=False)


def _show(summary: dict[str, Any]) -> None:
    """Errors over all frames, then of the markers that are furthest off on average."""
    table = Table("marker error, mm", "mean", "median", "max")
    for key, label in (("rms_mm", "RMS of a frame"), ("max_mm", "largest of a frame")):
        spread = summary[key]
        table.add_row(label, *(f"{spread[k]:.1f}" for k in ("mean", "median", "max")))
    markers = sorted(summary["markers"].items(), key=lambda item: -item[1]["mean_mm"])
    for name, error in markers[:_WORST]:
        table.add_row(name, f"{error['mean_mm']:.1f}", "", f"{error['max_mm']:.1f}")
    out.print(table)
