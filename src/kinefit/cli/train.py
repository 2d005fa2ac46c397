"""`kinefit train`: what models are trained on."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinefit.cli.console import err, out, stage_progress

if TYPE_CHECKING:
    from kinefit.train.convert.rows import Conversion

train = typer.Typer(no_args_is_help=True, help="Training data from data sets of your own.")
convert = typer.Typer(
    no_args_is_help=True,
    short_help="Data sets to training rows.",
    help="Data sets to training rows, a file per sequence and camera. A run that was cut off goes "
    "on; files of the same inputs, options and version are kept.",
)
train.add_typer(convert, name="convert")

OutFolder = Annotated[Path, typer.Option("--out", help="Folder for the files of rows.")]
Processes = Annotated[
    int | None, typer.Option(min=1, help="Processes that convert (else one per core).")
]


@convert.command()
def aistpp(
    folder: Annotated[
        Path, typer.Argument(help="The annotations: with keypoints3d/ and cameras/ in it.")
    ],
    out_folder: OutFolder,
    videos: Annotated[
        Path | None, typer.Option(help="Folder of the videos, on which the detector then runs.")
    ] = None,
    views: Annotated[
        str | None, typer.Option(help="Of c01 to c09, with commas (else all).")
    ] = None,
    processes: Processes = None,
) -> None:
    """AIST++: dancers before nine cameras. With --videos, with the detector's own points and 3D."""
    from kinefit.api import convert_aistpp

    with stage_progress() as progress:
        made = convert_aistpp(
            folder, out_folder, videos=videos, views=_names(views), processes=processes,
            progress=progress,
        )  # fmt: skip
    _show(made)


@convert.command()
def panoptic(
    folder: Annotated[
        Path,
        typer.Argument(help="MTC's (annotation.pkl), a sequence of Panoptic, or a folder of them."),
    ],
    out_folder: OutFolder,
    views: Annotated[
        str | None, typer.Option(help="Of 00_00 to 00_30, with commas (else all).")
    ] = None,
    processes: Processes = None,
) -> None:
    """CMU MTC or CMU Panoptic: people in a dome of cameras. For non-commercial research only."""
    from kinefit.api import convert_panoptic

    with stage_progress() as progress:
        made = convert_panoptic(
            folder, out_folder, views=_names(views), processes=processes, progress=progress
        )
    _show(made)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]


def _show(made: Conversion) -> None:
    for note in made.notes:
        err.print(f"note: {note}", markup=False)
    said = f"{made.folder}: {len(made.shards)} files ({made.kept} kept), {made.rows} rows"
    lost = f"; {made.dropped} without a hip or shoulder left out" if made.dropped else ""
    out.print(said + lost, markup=False)
