"""`kinefit synth`: videos of people with known ground truth, and training data from them."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from kinefit.cli.console import err, out, show_files, stage_progress, with_options
from kinefit.cli.help import App
from kinefit.cli.option_groups import SCENE
from kinefit.pipeline.config import checked
from kinefit.synth.scene_options import PairOptions, SynthOptions

synth = App(
    invoke_without_command=True,
    short_help="Render video of people with known ground truth, and training data from it.",
    help="Render video of people with known ground truth: a video per camera, calibration.toml, "
    "truth.npz and scene.json. With --scenes, each scene has a folder of its own. The same options "
    "and seed give the same bytes; scenes of the same options that are in the folder are kept.",
)

Processes = Annotated[
    int | None, typer.Option(min=1, help="Processes that draw (else one per core).")
]


@synth.callback()
@with_options(SynthOptions, SCENE)
def scenes(
    context: typer.Context,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder to fill (else kinefit_synth).")
    ] = None,
    count: Annotated[int, typer.Option("--scenes", min=1, help="How many scenes.")] = 1,
    processes: Processes = None,
    **options: Any,
) -> None:
    if (command := context.invoked_subcommand) is not None:
        if options:
            flag = "--" + next(iter(options)).replace("_", "-")
            raise typer.BadParameter(f"{flag} stands before {command}: put it after")
        return
    from kinefit.api import make_scenes

    chosen = checked(SynthOptions, options)
    folder = out_folder or Path("kinefit_synth")
    with stage_progress() as progress:
        made = make_scenes(folder, chosen, count, processes=processes, progress=progress)
    show_files(made)
    err.print(f"Next: {next_command(made[0])}")


def next_command(scene: Path) -> str:
    """The command that makes a motion of a scene's videos, with the subject's height and mass."""
    import numpy as np

    from kinefit.body.anny import load_anny
    from kinefit.io.text import read_json
    from kinefit.synth.subjects import mass, stature

    body, about = load_anny(), read_json(scene / "scene.json")
    shape = np.array(about["people"][0]["shape"])
    videos = sorted(scene.glob("*.mp4"))
    words = ["kinefit", "run", *map(str, videos)]
    if len(videos) > 1:
        words += ["--calibration", str(scene / "calibration.toml")]
    words += ["--height", f"{stature(body, shape):.3f}", "--mass", f"{mass(body, shape):.1f}"]
    return shlex.join([*words, "--out", f"{scene}_run"])


@synth.command()
@with_options(PairOptions, SCENE)
def pairs(
    out_folder: Annotated[
        Path, typer.Option("--out", help="Folder of the shards; a run that was cut off goes on.")
    ] = Path("kinefit_pairs"),
    processes: Processes = None,
    **options: Any,
) -> None:
    """What the detector says beside what is true, picture by picture: training samples."""
    from kinefit.api import make_pairs

    chosen = checked(PairOptions, options)
    with stage_progress() as progress:
        made = make_pairs(out_folder, chosen, processes=processes, progress=progress)
    out.print(f"{out_folder}: {len(made)} shards")


@synth.command()
def errors(
    pairs_folder: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="Folder of `kinefit synth pairs`.")
    ],
    out_file: Annotated[
        Path, typer.Option("--out", help="Model to write, for kinefit.synth.detector_errors.draw.")
    ] = Path("detector_errors.safetensors"),
) -> None:
    """Fit a model of the detector's error, which draws detections without rendering."""
    from kinefit.api import fit_detector_errors

    rows = fit_detector_errors(pairs_folder, out_file)
    out.print(f"{out_file}: fitted to {rows} rows")
