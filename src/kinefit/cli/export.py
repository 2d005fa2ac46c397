"""`kinefit export ...`: fitted motion and bodies for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kinefit.cli.console import err, errors_exit, out

export = typer.Typer(no_args_is_help=True, help="Fitted motion and bodies for other programs.")


@export.command("motion")
def export_motion(
    motion: Annotated[Path, typer.Argument(help="The _body.npz of a fit.")],
    to: Annotated[
        str, typer.Option(help="glb, bvh, obj (one file a frame), amass; with commas.")
    ] = "glb,bvh",
    body: Annotated[
        str, typer.Option(help="The body that was fitted: anny, or your own file.")
    ] = "anny",
    influences: Annotated[
        int, typer.Option(help="Joints per vertex in the .glb: 4 (every viewer), 8, or 0: all.")
    ] = 4,
) -> None:
    """A motion as glTF, BVH, OBJ or AMASS, beside the file; what a format cannot say is told."""
    with errors_exit():
        from kinefit.api import export_motion as job

        files, notes = job(motion, [kind.strip() for kind in to.split(",")], body, influences)
    for note in notes:
        err.print(f"note: {note}", markup=False)
    for file in files:
        out.print(str(file), markup=False)


@export.command("body")
def export_body(
    target: Annotated[Path, typer.Argument(help="The .npz or .pkl to write.")],
    shapes: Annotated[int, typer.Option(help="Shape directions to write.")] = 10,
) -> None:
    """Anny as a file in SMPL's format: 24 joints, for programs that read SMPL bodies.

    Shape directions are the principal ones of Anny's adults; joints and skin are Anny's own, with
    the bones between the 24 joints merged. Free of SMPL's licence, and no SMPL: its betas mean
    other things.
    """
    with errors_exit():
        from kinefit.api import export_smpl_body

        note = export_smpl_body(target, shapes)
    err.print(f"note: {note}", markup=False)
    out.print(str(target), markup=False)
