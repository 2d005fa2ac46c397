"""`kinefit train`: networks that lift or refine, and what they are trained on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from kinefit.cli.console import err, out, stage_progress
from kinefit.cli.help import App
from kinefit.types import InputError

if TYPE_CHECKING:
    from kinefit.train.convert.rows import Conversion

train = App(
    no_args_is_help=True,
    help="Train networks that lift or refine; training data from data sets of your own.",
)
convert = App(
    no_args_is_help=True,
    short_help="Data sets to training rows.",
    help="Data sets to training rows, a file per sequence and camera. A run that was cut off goes "
    "on; files of the same inputs, options and version are kept.",
)
train.add_typer(convert, name="convert")
data = App(no_args_is_help=True, help="Clips to train networks with.")
train.add_typer(data, name="data")

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


Parts = Annotated[int, typer.Option(min=0, help="Drawn beside these, without pictures.")]
Motion = Annotated[
    Path | None, typer.Option(help="Motion capture for these, as of `synth --motion`.")
]
Seed = Annotated[int, typer.Option(min=0, help="Of everything random.")]


@data.command("pof")
def pof_data(
    out_folder: OutFolder,
    pairs: Pairs = None,
    parts: Parts = 0,
    motion: Motion = None,
    seed: Seed = 0,
    processes: Processes = None,
) -> None:
    """For lifters: the clips of PAIRS, and any number (a part is 200 clips of 96 frames) drawn with
    the errors of these; without PAIRS, with errors that kinefit brings along."""
    from kinefit.train.lift.data import make_data

    _make(make_data, out_folder, pairs, parts, motion, seed, processes)


@data.command("angles")
def angle_data(
    out_folder: OutFolder,
    pairs: Pairs = None,
    parts: Parts = 0,
    motion: Motion = None,
    seed: Seed = 0,
    processes: Processes = None,
) -> None:
    """For refiners: joint angles as a run gives them, and the true ones, of the clips of PAIRS and
    of drawn ones (a part is a motion seen by two cameras)."""
    from kinefit.train.refine.data import make_angle_data

    _make(make_angle_data, out_folder, pairs, parts, motion, seed, processes)


def _make(
    make: Callable[..., None], folder: Path, pairs: list[Path] | None, parts: int,
    motion: Path | None, seed: int, processes: int | None,
) -> None:  # fmt: skip
    from kinefit.train.lift.data import Drawing

    with stage_progress() as progress:
        drawing = Drawing(parts, seed, motion)
        make(folder, pairs or [], drawing, processes=processes, progress=progress)
    out.print(f"{folder}: ready")


HeldOut = Annotated[
    Path, typer.Option(help="The same of other subjects: judged, never learned from.")
]
Steps = Annotated[int, typer.Option(min=1, help="Of the optimiser.")]
Minutes = Annotated[
    float | None, typer.Option(min=0, help="Stop after these; the same command goes on.")
]


@train.command()
def pof(
    data_folder: Annotated[Path, typer.Option("--data", help="Folder of `train data pof`.")],
    held_out: HeldOut,
    out_folder: OutFolder,
    model: Annotated[
        str, typer.Option(help="sequence, transformer, gcn, semgcn or semgcn-temporal.")
    ] = "sequence",
    steps: Steps = 12_000,
    batch: Annotated[int, typer.Option(min=1, help="Windows of 81 frames a step.")] = 32,
    seed: Seed = 0,
    minutes: Minutes = None,
) -> None:
    """Train a network that lifts: checkpoints, metrics.jsonl, and an ONNX file at every stop."""
    try:
        from kinefit.train.lift.train_pof import train_pof
    except ModuleNotFoundError as error:
        raise _no_torch("train pof", error) from error

    def show(step: int, scores: Mapping[str, float]) -> None:
        told = ("clean", "feet", "z_sign", "up")
        line = "  ".join(f"{name} {scores[name]:.3f}" for name in told)
        out.print(f"step {step}  {line}")

    file = train_pof(
        data_folder, held_out, out_folder, model=model, steps=steps, batch=batch, seed=seed,
        minutes=minutes, progress=show,
    )  # fmt: skip
    out.print(str(file))


@train.command()
def refine(
    data_folder: Annotated[Path, typer.Option("--data", help="Folder of `train data angles`.")],
    held_out: HeldOut,
    out_folder: OutFolder,
    model: Annotated[str, typer.Option(help="joint or main.")] = "joint",
    joint: Annotated[
        Path | None, typer.Option(help="For main: the refiner whose answers it weighs.")
    ] = None,
    steps: Steps = 4_000,
    batch: Annotated[int, typer.Option(min=2, help="Windows of 81 frames a step.")] = 48,
    rate: Annotated[float, typer.Option(min=0, help="Highest, of the optimiser.")] = 1e-3,
    seed: Seed = 0,
    minutes: Minutes = None,
) -> None:
    """Train a network that refines joint angles: one run's (joint), or two runs' with and without a
    network for depth (main)."""
    try:
        from kinefit.train.refine.train_refine import train_refine
    except ModuleNotFoundError as error:
        raise _no_torch("train refine", error) from error

    def show(step: int, scores: Mapping[str, float]) -> None:
        line = "  ".join(f"{name} {value:.3f}" for name, value in scores.items())
        out.print(f"step {step}  {line}")

    file = train_refine(
        data_folder, held_out, out_folder, model=model, joint=joint, steps=steps, batch=batch,
        rate=rate, seed=seed, minutes=minutes, progress=show,
    )  # fmt: skip
    out.print(str(file))


def _no_torch(command: str, error: ModuleNotFoundError) -> InputError:
    hint = "pip install torch onnx onnxscript"
    return InputError(command, f"{error.name} is not installed", hint)


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [name.strip() for name in text.split(",")]


def _show(made: Conversion) -> None:
    for note in made.notes:
        err.print(f"note: {note}")
    said = f"{made.folder}: {len(made.shards)} files ({made.kept} kept), {made.rows} rows"
    lost = f"; {made.dropped} without a hip or shoulder left out" if made.dropped else ""
    out.print(said + lost)
