"""`kinefit train`: networks that lift, and what they are trained on."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinefit.cli.console import err, out, stage_progress
from kinefit.types import InputError

if TYPE_CHECKING:
    from kinefit.train.convert.rows import Conversion

train = typer.Typer(
    no_args_is_help=True, help="Train networks that lift; training data from data sets of your own."
)
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


Pairs = Annotated[
    list[Path] | None,
    typer.Argument(
        metavar="[PAIRS]...", help="Folders of `synth pairs --consecutive` or `train convert`."
    ),
]


@train.command("pof-data")
def pof_data(
    out_folder: OutFolder,
    pairs: Pairs = None,
    parts: Annotated[
        int, typer.Option(min=0, help="Drawn beside the rendered: parts of 200 clips of 96 frames.")
    ] = 0,
    motion: Annotated[
        Path | None, typer.Option(help="Motion capture for these, as of `synth --motion`.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    processes: Processes = None,
) -> None:
    """Clips to train lifters with: those of PAIRS, and any number drawn with the errors of these;
    without PAIRS, with errors that kinefit brings along."""
    from kinefit.train.lift.data import Drawing, make_data

    with stage_progress() as progress:
        drawing = Drawing(parts, seed, motion)
        make_data(out_folder, pairs or [], drawing, processes=processes, progress=progress)
    out.print(f"{out_folder}: ready", markup=False)


@train.command()
def pof(
    data: Annotated[Path, typer.Option(help="Folder of `train pof-data`.")],
    held_out: Annotated[
        Path, typer.Option(help="The same of other subjects: judged, never learned from.")
    ],
    out_folder: OutFolder,
    model: Annotated[
        str, typer.Option(help="sequence, transformer, gcn, semgcn or semgcn-temporal.")
    ] = "sequence",
    steps: Annotated[int, typer.Option(min=1, help="Of the optimiser.")] = 12_000,
    batch: Annotated[int, typer.Option(min=1, help="Windows of 81 frames a step.")] = 32,
    seed: Annotated[int, typer.Option(min=0, help="Of everything random.")] = 0,
    minutes: Annotated[
        float | None, typer.Option(min=0, help="Stop after these; the same command goes on.")
    ] = None,
) -> None:
    """Train a network that lifts: checkpoints, metrics.jsonl, and an ONNX file at every stop."""
    try:
        from kinefit.train.lift.train_pof import train_pof
    except ModuleNotFoundError as error:
        hint = "pip install torch onnx onnxscript"
        raise InputError("train pof", f"{error.name} is not installed", hint) from error

    def show(step: int, scores: Mapping[str, float]) -> None:
        told = ("clean", "feet", "z_sign", "up")
        line = "  ".join(f"{name} {scores[name]:.3f}" for name in told)
        out.print(f"step {step}  {line}", markup=False)

    file = train_pof(
        data, held_out, out_folder, model=model, steps=steps, batch=batch, seed=seed,
        minutes=minutes, progress=show,
    )  # fmt: skip
    out.print(str(file), markup=False)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]


def _show(made: Conversion) -> None:
    for note in made.notes:
        err.print(f"note: {note}", markup=False)
    said = f"{made.folder}: {len(made.shards)} files ({made.kept} kept), {made.rows} rows"
    lost = f"; {made.dropped} without a hip or shoulder left out" if made.dropped else ""
    out.print(said + lost, markup=False)
