"""The commands. Each parses, calls the library, and prints what it did.

`kinefit.api` is imported inside the commands: it brings the numerical libraries, and --help
should not wait for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from kinefit import __version__
from kinefit.cli.calibration import calibration
from kinefit.cli.console import errors_exit, out, show_result, show_warnings, stage_progress
from kinefit.cli.evaluate import evaluate
from kinefit.cli.export import export
from kinefit.cli.fit import fit
from kinefit.cli.front_page import new_app
from kinefit.cli.ik import ik
from kinefit.cli.options import with_options
from kinefit.cli.synth import synth
from kinefit.cli.triangulate import triangulate
from kinefit.pipeline.config import RunConfig

app = new_app()
app.add_typer(evaluate, name="eval")
app.add_typer(fit, name="fit")
app.add_typer(export, name="export")
app.add_typer(synth, name="synth")
app.command()(ik)
app.command()(calibration)
app.command()(triangulate)

OutFolder = Annotated[Path | None, typer.Option("--out", help="Folder for the results.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")
]


@app.command()
@with_options(RunConfig)
def run(
    videos: Annotated[
        list[Path] | None,
        typer.Argument(help="The video, or the videos of several cameras (with --calibration)."),
    ] = None,
    out_folder: OutFolder = None,
    config: Annotated[
        Path | None, typer.Option(help="TOML file with any of these options; flags win over it.")
    ] = None,
    until: Annotated[
        str | None, typer.Option(help="Stop after this stage: detect, observe, fit, markers, ...")
    ] = None,
    overwrite: Overwrite = False,
    **options: Any,
) -> None:
    """Video, or videos of calibrated cameras, to a body, markers, joint angles and a report.

    Several videos are matched to the cameras of --calibration by their names. Results go to
    kinefit_output/VIDEO (or kinefit_output/multiview) unless --out says otherwise. A second run
    with the same input and options reuses what is there; a stopped run goes on where it was.
    """
    with errors_exit():
        from kinefit.pipeline.config import read_config, run_config

        values = read_config(config) if config else {}
        values |= {name: value for name, value in options.items() if value is not None}
        files = values.pop("video", [])
        chosen = videos or (files if isinstance(files, list) else [files])
        folder = out_folder or values.pop("out", None)
        values.pop("out", None)
        if not chosen:
            raise typer.BadParameter("name a video, or give --config with a `video` entry")
        settings = run_config(values, source=str(config or "options"))
        name = "multiview" if len(chosen) > 1 else Path(chosen[0]).stem
        _process(chosen, folder or Path("kinefit_output") / name, settings, overwrite, until)


@app.command()
def demo(
    out_folder: OutFolder = None,
    multiview: Annotated[
        bool, typer.Option("--multiview", help="All four calibrated cameras instead of one.")
    ] = False,
    overwrite: Overwrite = False,
) -> None:
    """The whole job on real video: Pose2Sim's single-person demo, camera 1 or all four.

    Results go to kinefit_demo (kinefit_demo_multiview) unless --out says otherwise.
    """
    with errors_exit():
        from kinefit.api import DEMO_OPTIONS, demo_video, demo_views
        from kinefit.pipeline.config import run_config

        if multiview:
            videos, calibration = demo_views()
            settings = run_config({**DEMO_OPTIONS, "calibration": calibration})
            _process(videos, out_folder or Path("kinefit_demo_multiview"), settings, overwrite)
        else:
            settings = run_config(DEMO_OPTIONS)
            _process([demo_video()], out_folder or Path("kinefit_demo"), settings, overwrite)


def _process(
    videos: Sequence[Path], folder: Path, settings: Any, overwrite: bool, until: str | None = None
) -> None:
    from kinefit.api import process

    with stage_progress() as progress:
        result = process(
            videos, folder, settings, until=until, overwrite=overwrite, progress=progress
        )
    show_result(result)


@app.command()
def angles(
    file: Annotated[Path, typer.Argument(help="TRC file with the 64-marker set's names.")],
    out_folder: OutFolder = None,
    plot_all_joint_angles: Annotated[
        bool, typer.Option("--plot-all-joint-angles", help="Write a PNG per joint group.")
    ] = False,
) -> None:
    """ISB joint angles of a TRC file: a CSV per joint group, one combined, and a .mot."""
    with errors_exit():
        from kinefit.api import angles_of_file

        folder = out_folder or file.with_name(f"{file.stem}_angles")
        _say(*angles_of_file(file, folder, plots=plot_all_joint_angles))


@app.command()
def augment(
    file: Annotated[Path, typer.Argument(help="TRC file with the initial markers.")],
    height: Annotated[float, typer.Option(help="Stature in metres.")],
    mass: Annotated[float, typer.Option(help="Body mass in kilograms.")],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Output file [default: FILE_augmented.trc].")
    ] = None,
    augmentation_cycles: Annotated[
        int, typer.Option(min=1, max=1000, help="Perturbed passes.")
    ] = 20,
    seed: Annotated[int, typer.Option(min=0, help="Seed of the perturbations.")] = 0,
    complete: Annotated[
        bool, typer.Option("--force-complete", help="Estimate missing clusters and hip centres.")
    ] = False,
) -> None:
    """Add the 43 LSTM markers to a TRC file, of this or another program."""
    with errors_exit():
        from kinefit.api import augment_file
        from kinefit.types import Subject

        target = out_file or file.with_name(f"{file.stem}_augmented.trc")
        files, said = augment_file(
            file,
            target,
            Subject(height, mass),
            cycles=augmentation_cycles,
            seed=seed,
            complete=complete,
        )
        _say(files, said)


def _say(files: list[Path], warnings: list[str]) -> None:
    """What to know on stderr, the files that were written on stdout."""
    show_warnings(warnings)
    for path in files:
        out.print(str(path), markup=False)


@app.command()
def version() -> None:
    """Print the version."""
    typer.echo(__version__)
