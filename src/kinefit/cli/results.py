"""`kinefit view` and `export`: results in the browser, and for other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from kinefit.cli.console import Overwrite, err, show_files, show_notes
from kinefit.cli.help import App

export = App(no_args_is_help=True, help="Fitted motion and bodies for other programs.")


def view(
    folders: Annotated[
        list[Path], typer.Argument(help="The --out folders of one run, or of several.")
    ],
    out_file: Annotated[
        Path | None,
        typer.Option("--out", help="The page of several, or a copy; viewer.html otherwise."),
    ] = None,
    together: Annotated[
        bool, typer.Option("--together", help="Several runs in one space, not side by side.")
    ] = False,
    fitted_shape: Annotated[
        bool,
        typer.Option("--fitted-shape", help="The fitted body's own shape instead of a mannequin."),
    ] = False,
    no_open: Annotated[bool, typer.Option("--no-open", help="Only name the page.")] = False,
    overwrite: Overwrite = False,
) -> None:
    """Open results in the browser: video, space and curves under one clock.

    Several folders are shown side by side and play together, from their first frames on.
    """
    import webbrowser

    from kinefit.api import view as view_folders

    page = view_folders(
        folders, out_file, together=together, fitted_shape=fitted_shape, overwrite=overwrite
    )
    show_files([page])
    if not no_open and not webbrowser.open(page.resolve().as_uri()):
        err.print("No browser was found. Next: open the page by hand.")


@export.command("motion")
def export_motion(
    motion: Annotated[
        Path, typer.Argument(help="The _body.npz of a fit, or motion capture: BVH, AMC, AMASS.")
    ],
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
    """A motion as glTF, BVH, OBJ or AMASS, beside the file; what a format cannot say is told.

    Motion capture of other programs is brought to the body first. An AMASS file with --body and
    your own SMPL file of its kind is taken exactly; without, it is fitted to Anny.
    """
    from kinefit.api import export_motion as job

    files, notes = job(motion, [kind.strip() for kind in to.split(",")], body, influences)
    show_notes(notes)
    show_files(files)


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
    from kinefit.api import export_smpl_body

    note = export_smpl_body(target, shapes)
    err.print(f"note: {note}")
    show_files([target])
