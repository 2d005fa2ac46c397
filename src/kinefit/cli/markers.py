"""`kinefit ik`, `angles`, `augment` and `refine`: from files of markers and joint angles."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from kinefit.cli.console import OutFolder, Units, Up, new_table, out, show_files, show_warnings
from kinefit.types import InputError, Subject

_WORST = 5  # markers that `ik` shows


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
    table = new_table("marker error, mm", "mean", "median", "max")
    for key, label in (("rms_mm", "RMS of a frame"), ("max_mm", "largest of a frame")):
        spread = summary[key]
        table.add_row(label, *(f"{spread[k]:.1f}" for k in ("mean", "median", "max")))
    markers = sorted(summary["markers"].items(), key=lambda item: -item[1]["mean_mm"])
    for name, error in markers[:_WORST]:
        table.add_row(name, f"{error['mean_mm']:.1f}", "", f"{error['max_mm']:.1f}")
    out.print(table)
    out.print(summary["verdict"])
    show_files(result.files)
