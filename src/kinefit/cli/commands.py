"""The commands. Each parses, calls the library, and prints what it did.

`kinefit.api` is imported inside the commands: it brings the numerical libraries, and --help
should not wait for them.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from kinefit.cli.batch import batch
from kinefit.cli.cameras import calibration, triangulate
from kinefit.cli.console import (
    OutFolder,
    Overwrite,
    Units,
    Up,
    err,
    out,
    show_files,
    show_notes,
    show_result,
    show_warnings,
    stage_progress,
    with_options,
)
from kinefit.cli.evaluate import evaluate
from kinefit.cli.fit import fit
from kinefit.cli.front_page import new_app
from kinefit.cli.help import App
from kinefit.cli.option_groups import MASKS, RUN
from kinefit.cli.synth import synth
from kinefit.cli.train import train
from kinefit.cli.web import web
from kinefit.pipeline.config import OPTIONS, RunConfig, read_config, run_config
from kinefit.pipeline.results import default_folder
from kinefit.types import InputError, Subject

app = new_app()
export = App(no_args_is_help=True, help="Fitted motion and bodies for other programs.")
app.add_typer(evaluate, name="eval")
app.add_typer(fit, name="fit")
app.add_typer(export, name="export")
app.add_typer(synth, name="synth")
app.add_typer(train, name="train")

_WORST = 5  # markers that `ik` shows


@app.command()
@with_options(RunConfig, RUN)
def run(
    videos: Annotated[
        list[Path] | None,
        typer.Argument(help="The video, or the videos of several cameras (with --calibration)."),
    ] = None,
    out_folder: OutFolder = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="TOML file with any of these options; flags win over it.",
            rich_help_panel="Output",
        ),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            help="Stop after this stage: detect, observe, fit, markers, ...",
            rich_help_panel="Output",
        ),
    ] = None,
    overwrite: Overwrite = False,
    **options: Any,
) -> None:
    """Video, or videos of calibrated cameras, to a body, markers, joint angles and a report.

    Several videos are matched to the cameras of --calibration by their names. Results go to
    kinefit_output/VIDEO (FOLDER_VIDEO for FOLDER/VIDEO.mp4; multiview instead of VIDEO for several)
    unless --out says otherwise. A second run with the same input and options reuses what is there;
    a stopped run goes on where it was.
    """
    values = (read_config(config) if config else {}) | options
    files = values.pop("video", [])
    chosen = videos or (files if isinstance(files, list) else [files])
    folder = out_folder or values.pop("out", None)
    values.pop("out", None)
    if not chosen:
        raise typer.BadParameter("name a video, or give --config with a `video` entry")
    settings = run_config(values, source=str(config or OPTIONS))
    folder = folder or default_folder([Path(one) for one in chosen])
    _process(chosen, folder, settings, overwrite, until)


app.command()(batch)


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
    from kinefit.api import DEMO_OPTIONS, demo_video, demo_views

    if multiview:
        videos, rig = demo_views()
        settings = run_config({**DEMO_OPTIONS, "calibration": rig})
        _process(videos, out_folder or Path("kinefit_demo_multiview"), settings, overwrite)
    else:
        settings = run_config(DEMO_OPTIONS)
        _process([demo_video()], out_folder or Path("kinefit_demo"), settings, overwrite)


def _process(
    videos: Sequence[Path], folder: Path, settings: Any, overwrite: bool, until: str | None = None
) -> None:
    from kinefit.api import everybody, process

    how: dict[str, Any] = {"until": until, "overwrite": overwrite}
    with stage_progress() as progress:
        if settings.people == "all":
            results = everybody(videos, folder, settings, progress=progress, **how)
        else:
            results = [process(videos, folder, settings, progress=progress, **how)]
    for result in results:
        show_result(result)


@app.command()
@with_options(RunConfig, MASKS)
def masks(
    videos: Annotated[
        list[Path], typer.Argument(help="The video, or those of several cameras (--calibration).")
    ],
    out_folder: OutFolder = None,
    overwrite: Overwrite = False,
    **options: Any,
) -> None:
    """Masks of one person in every frame of a video, and how far each can be trusted.

    The plan of `kinefit run` up to the masks, in the same folder, without a body: no --height is
    needed, and what either found in the video is used by the other. Masks come from the detector's
    own network, from --segmenter FILE, or from --masks FILE|FOLDER.
    """
    from kinefit.api import person_masks

    folder = out_folder or default_folder(videos)
    with stage_progress() as progress:
        result = person_masks(videos, folder, run_config(options), overwrite=overwrite,
                              progress=progress)  # fmt: skip
    table = Table("camera", "frames", "usable", "mean confidence", "doubtful")
    for camera, found in result.cameras.items():
        numbers = found["frames"], found["usable"], found["mean_confidence"]
        table.add_row(camera, *map(str, numbers), str(len(found["doubtful"])))
    out.print(table)
    for camera in result.cameras:
        show_warnings(f"{camera}: {text}" for text in result.doubts(camera))
    show_files(result.files)


@app.command()
def angles(
    file: Annotated[Path, typer.Argument(help="TRC or C3D file with markers on bones.")],
    out_folder: OutFolder = None,
    up: Up = None,
    units: Units = None,
    plot_all_joint_angles: Annotated[
        bool, typer.Option("--plot-all-joint-angles", help="Write a PNG per joint group.")
    ] = False,
) -> None:
    """ISB joint angles of a TRC or C3D file: a CSV per group, one of all, and a .mot."""
    from kinefit.api import angles_of_file

    folder = out_folder or file.with_name(f"{file.stem}_angles")
    files, said = angles_of_file(file, folder, plots=plot_all_joint_angles, up=up, units=units)
    show_warnings(said)
    show_files(files)


@app.command()
def refine(
    source: Annotated[
        Path, typer.Argument(help="A table of `kinefit angles`, or a run's folder (one camera).")
    ],
    out_folder: OutFolder = None,
    model: Annotated[
        Path | None, typer.Option(help="Your own network, an .onnx of `kinefit train refine`.")
    ] = None,
    compare: Annotated[
        bool, typer.Option("--compare", help="Also a page that shows before and after.")
    ] = False,
    markers: Annotated[
        Path | None, typer.Option(help="TRC file of a table, for the skeletons on the page.")
    ] = None,
    video: Annotated[Path | None, typer.Option(help="Of the run, for the page's pictures.")] = None,
    truth: Annotated[
        Path | None, typer.Option(help="A table of the true angles, to compare with.")
    ] = None,
) -> None:
    """Joint angles corrected by a network that has seen how those of one camera err."""
    from kinefit.api import refine_file

    whole = Path(os.path.abspath(source))  # `resolve` follows a link to itself for ever
    name = whole.name if whole.is_dir() else whole.stem
    folder = out_folder or whole.with_name(f"{name}_refined")
    files, said = refine_file(
        source, folder, model=model, compare=compare, markers=markers, video=video, truth=truth
    )
    show_warnings(said)
    show_files(files)


@app.command()
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


app.command()(web)


@app.command()
def augment(
    file: Annotated[Path, typer.Argument(help="TRC or C3D file with keypoints.")],
    height: Annotated[
        float, typer.Option(metavar="METRES", help="Height of the person in metres.")
    ],
    mass: Annotated[float, typer.Option(metavar="KILOGRAMS", help="Mass of the person.")],
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
    up: Up = None,
    units: Units = None,
) -> None:
    """Add the 43 LSTM markers to a TRC or C3D file, of this or another program."""
    from kinefit.api import augment_file

    target = out_file or file.with_name(f"{file.stem}_augmented.trc")
    subject = Subject(height, mass)
    files, said = augment_file(
        file,
        target,
        subject,
        cycles=augmentation_cycles,
        seed=seed,
        complete=complete,
        up=up,
        units=units,
    )
    show_warnings(said)
    show_files(files)


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


@app.command()
def ik(
    file: Annotated[Path, typer.Argument(help="TRC or C3D file of one person's markers.")],
    height: Annotated[
        float | None, typer.Option(metavar="METRES", help="Height, needed to scale.")
    ] = None,
    mass: Annotated[
        float | None, typer.Option(metavar="KILOGRAMS", help="Mass, needed to scale.")
    ] = None,
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
    up: Up = None,
    units: Units = None,
) -> None:
    """OpenSim scaling and inverse kinematics: a scaled .osim, a .mot, and marker errors.

    Takes kinefit's and Pose2Sim's markers, keypoints (Halpe, BlazePose, COCO, OpenPose), OpenCap's
    laboratory markers, or those of a model of your own. Refuses files whose markers leave a joint
    open that the motion would contain.
    """
    from kinefit.api import inverse_kinematics_of_file

    if (height is None) != (mass is None):
        given, other = ("--mass", "--height") if height is None else ("--height", "--mass")
        raise InputError(given, "scaling needs height and mass", f"give {other}, too")
    subject = Subject(height, mass) if height is not None and mass is not None else None
    result = inverse_kinematics_of_file(
        file, out_folder or file.with_name(f"{file.stem}_ik"), subject=subject, model=model,
        static=static, scaled=scaled, setup=setup, allow_missing=allow_missing,
        up=up, units=units,
    )  # fmt: skip
    show_warnings(result.warnings)
    summary = result.summary
    table = Table("marker error, mm", "mean", "median", "max")
    for key, label in (("rms_mm", "RMS of a frame"), ("max_mm", "largest of a frame")):
        spread = summary[key]
        table.add_row(label, *(f"{spread[k]:.1f}" for k in ("mean", "median", "max")))
    markers = sorted(summary["markers"].items(), key=lambda item: -item[1]["mean_mm"])
    for name, error in markers[:_WORST]:
        table.add_row(name, f"{error['mean_mm']:.1f}", "", f"{error['max_mm']:.1f}")
    out.print(table)
    out.print(summary["verdict"])
    show_files(result.files)


app.command()(calibration)
app.command()(triangulate)
