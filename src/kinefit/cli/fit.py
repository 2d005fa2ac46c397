"""`kinefit fit ...`: a body through images, videos, cameras and markers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer
from rich.markup import escape
from rich.table import Table

from kinefit.cli.console import errors_exit, out, show_findings, show_result, stage_progress
from kinefit.cli.fit_frames import fit_frames
from kinefit.cli.options import with_options
from kinefit.pipeline.config import MarkerFileOptions, PictureOptions, RunConfig

fit = typer.Typer(no_args_is_help=True, help="Fit a body: Anny, or one from your own files.")
fit.command("frames")(fit_frames)

OutFolder = Annotated[Path | None, typer.Option("--out", help="Folder for the results.")]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="Replace the results of an earlier run.")
]


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
                table.add_row(escape(one.picture.name), "-", "-", escape(one.reason))
                continue
            way = one.report["orientation"]
            said = f"won by {100 * way['won_by']:.0f} %" if way["tried_both"] else "clear"
            said = said if way["decided"] else "undecided, or one pose either way"
            off = f"{one.report['mean_residual_px']:.1f}"
            table.add_row(escape(one.picture.name), off, said, escape(str(one.files[-1])))
        out.print(table)


@fit.command("video")
@with_options(RunConfig)
def fit_video(
    video: Annotated[Path, typer.Argument(help="The video of one camera that stands still.")],
    out_folder: OutFolder = None,
    overwrite: Overwrite = False,
    **options: Any,
) -> None:
    """One body through a video: one shape, all frames together, standing feet kept in place.

    The plan of `kinefit run` without markers and angles, in the same folder: what either left
    there from the same video is used by the other. Needs --height. Results go to
    kinefit_output/VIDEO unless --out says otherwise.
    """
    with errors_exit():
        _fit([video], out_folder or Path("kinefit_output") / video.stem, options, overwrite)


@fit.command("multiview")
@with_options(RunConfig)
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
    with their covariances, and of the options only those of the body. Results go to
    kinefit_output/multiview (those of a bundle to BUNDLE_body) unless --out says otherwise.
    """
    with errors_exit():
        folder = out_folder or Path("kinefit_output") / "multiview"
        if len(sources) == 1 and sources[0].suffix == ".npz":
            folder = out_folder or sources[0].with_name(f"{sources[0].stem}_body")
        _fit(sources, folder, options, overwrite)


def _fit(sources: list[Path], folder: Path, options: dict[str, Any], overwrite: bool) -> None:
    from kinefit.api import fit as job
    from kinefit.pipeline.config import run_config

    settings = run_config(_given(options))
    with stage_progress() as progress:
        show_result(job(sources, folder, settings, overwrite=overwrite, progress=progress))


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
    show_findings(result.findings)
    for path in result.files:
        out.print(str(path), markup=False)
