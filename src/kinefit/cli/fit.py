"""`kinefit fit ...`: a body through images, videos, cameras and markers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from kinefit.cli.console import err, errors_exit, out, stage_progress
from kinefit.cli.fit_frames import fit_frames
from kinefit.cli.options import with_options
from kinefit.pipeline.config import FitOptions, MarkerFileOptions, PictureOptions, RunConfig

fit = typer.Typer(no_args_is_help=True, help="Fit a body: Anny, or one from your own files.")
fit.command("frames")(fit_frames)

OutFolder = Annotated[Path | None, typer.Option("--out", help="Folder for the results.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")
]
_MASS_KG = 70.0  # of no effect on a body: only the marker augmenter asks


@fit.command("image")
@with_options(PictureOptions)
def fit_image(
    pictures: Annotated[list[Path], typer.Argument(help="Pictures of one person each.")],
    out_folder: OutFolder = None,
    focal_px: Annotated[
        float | None, typer.Option(help="Focal length in pixels; 5000 where nothing is known.")
    ] = None,
    fov: Annotated[
        float | None, typer.Option(help="Or degrees that the camera sees across the longer side.")
    ] = None,
    **options: Any,
) -> None:
    """A body in each picture, as SMPLify does it: camera, pose and shape from 2D landmarks.

    Distance and size share what one picture does not tell apart; give the focal length if you
    know it. Results go to kinefit_output/images unless --out says otherwise.
    """
    with errors_exit():
        from kinefit.api import fit_pictures
        from kinefit.pipeline.config import checked

        chosen = checked(PictureOptions, _given(options))
        folder = out_folder or Path("kinefit_output") / "images"
        with stage_progress() as progress:
            done = fit_pictures(
                pictures, folder, chosen, focal_px=focal_px, fov_deg=fov,
                progress=progress,
            )  # fmt: skip
        table = Table("picture", "off px", "orientation", "")
        for one in done:
            if one.reason:
                table.add_row(one.picture.name, "-", "-", one.reason)
                continue
            way = one.report["orientation"]
            said = f"won by {100 * way['won_by']:.0f} %" if way["tried_both"] else "clear"
            said = said if way["decided"] else "undecided, or one pose either way"
            off = f"{one.report['mean_residual_px']:.1f}"
            table.add_row(one.picture.name, off, said, str(one.files[-1]))
        out.print(table)


@fit.command("video")
@with_options(RunConfig, FitOptions)
def fit_video(
    video: Annotated[Path, typer.Argument(help="The video of one camera that stands still.")],
    out_folder: OutFolder = None,
    overwrite: Overwrite = False,
    **options: Any,
) -> None:
    """One body through a video: one shape, all frames together, feet that stand held.

    Needs --height. Results go to kinefit_output/VIDEO unless --out says otherwise; what `kinefit
    run` left there from the same video and options is reused.
    """
    with errors_exit():
        from kinefit.api import fit_video as job

        settings, chosen = _settings(options)
        folder = out_folder or Path("kinefit_output") / video.stem
        with stage_progress() as progress:
            result = job(video, folder, settings, chosen, overwrite=overwrite, progress=progress)
        _print(result)


@fit.command("multiview")
@with_options(RunConfig, FitOptions)
def fit_multiview(
    sources: Annotated[
        list[Path],
        typer.Argument(help="Videos of calibrated cameras (--calibration), or a bundle .npz."),
    ],
    out_folder: OutFolder = None,
    overwrite: Overwrite = False,
    **options: Any,
) -> None:
    """One body through the videos of several cameras, or through triangulated points.

    Videos: every camera's landmarks are evidence. A bundle of `kinefit triangulate`: its points
    with their covariances, and of the options of a run only --height. Results go to
    kinefit_output/multiview (those of a bundle to BUNDLE_body) unless --out says otherwise.
    """
    with errors_exit():
        from kinefit.api import fit_bundle, fit_views

        if len(sources) == 1 and sources[0].suffix == ".npz":
            folder = out_folder or sources[0].with_name(f"{sources[0].stem}_body")
            chosen, height = _bundle_options(_given(options) | {"overwrite": overwrite or None})
            _print(fit_bundle(sources[0], folder, chosen, height))
            return
        settings, chosen = _settings(options)
        folder = out_folder or Path("kinefit_output") / "multiview"
        with stage_progress() as progress:
            result = fit_views(
                sources, folder, settings, chosen, overwrite=overwrite, progress=progress
            )
        _print(result)


@fit.command("markers")
@with_options(MarkerFileOptions)
def fit_markers(
    file: Annotated[Path, typer.Argument(help="TRC or C3D file of one person's markers.")],
    out_folder: OutFolder = None,
    **options: Any,
) -> None:
    """One body through a marker file: keypoints, augmented markers, or a laboratory's.

    Shape and each marker's place on the body are fitted with the poses. Results go to FILE_body
    unless --out says otherwise.
    """
    with errors_exit():
        from kinefit.api import fit_marker_file
        from kinefit.pipeline.config import checked

        folder = out_folder or file.with_name(f"{file.stem}_body")
        _print(fit_marker_file(file, folder, checked(MarkerFileOptions, _given(options))))


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if value is not None}


def _bundle_options(given: dict[str, Any]) -> tuple[FitOptions, float | None]:
    """Options of a fit to points, and the stature; InputError for what only videos have."""
    from kinefit.pipeline.config import checked
    from kinefit.types import InputError

    for name, value in given.items():
        if value is not None and name != "height" and name not in FitOptions.model_fields:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(flag, "it is for videos, not for a bundle of points", "leave it out")
    checked(MarkerFileOptions, {n: v for n, v in given.items() if n == "height"})
    return _fit_options(given), given.get("height")


def _settings(options: dict[str, Any]) -> tuple[RunConfig, FitOptions]:
    from kinefit.pipeline.config import run_config

    given = _given(options)
    chosen = _fit_options(given)
    run = {name: value for name, value in given.items() if name not in FitOptions.model_fields}
    return run_config({"mass": _MASS_KG, **run}, source="options"), chosen


def _fit_options(options: dict[str, Any]) -> FitOptions:
    from kinefit.pipeline.config import checked

    names = FitOptions.model_fields
    given = {n: v for n, v in options.items() if n in names and v is not None}
    return checked(FitOptions, given)


def _print(result: Any) -> None:
    report = result.report
    table = Table("", "", show_header=False)
    table.add_row("body", str(report["body"]))
    table.add_row("stature", f"{report['stature_m']:.3f} m")
    if report.get("reprojection_px"):
        table.add_row("reprojection", f"{report['reprojection_px']['mean']:.2f} px")
    elif report.get("points_off_mm") is not None:
        table.add_row("points off", f"{report['points_off_mm']:.1f} mm (median)")
    if report.get("rms_mm") is not None:
        table.add_row("markers off", f"{report['rms_mm']:.1f} mm RMS")
    lost = sum(last - first + 1 for first, last in report["frames_without_pose"])
    table.add_row("frames without a pose", f"{lost} of {report['frames']}")
    if "feet" in report:
        slides = report["feet"]["most_sliding_mm"]
        words = "-" if slides is None else f"{slides:.1f} mm at most"
        table.add_row("standing feet slide", words)
    out.print(table)
    for warning in result.warnings:
        err.print("[yellow]warning:[/]", end=" ")
        err.print(warning, markup=False)
    for path in result.files:
        out.print(str(path), markup=False)
