"""`kinefit fit ...`: a body through images, videos, cameras and markers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from kinefit.cli.console import (
    OutFolder,
    Overwrite,
    new_table,
    out,
    show_files,
    show_findings,
    show_notes,
    show_result,
    show_warnings,
    stage_progress,
    with_options,
)
from kinefit.cli.help import App
from kinefit.cli.option_groups import FRAMES, PERSON, RUN
from kinefit.pipeline.config import (
    FrameOptions,
    MarkerFileOptions,
    PictureOptions,
    RunConfig,
    checked,
    run_config,
)
from kinefit.pipeline.results import default_folder

fit = App(no_args_is_help=True, help="Fit a body: Anny, or one from your own files.")

_SHOWN = 20  # frames that are told one by one; all of them are in the report


@fit.command("image")
@with_options(PictureOptions, PERSON)
def fit_image(
    pictures: Annotated[
        list[Path], typer.Argument(help="Pictures. Of several people: --person, --people all.")
    ],
    out_folder: OutFolder = None,
    focal_px: Annotated[
        float | None, typer.Option(help="Focal length in pixels; else the file's, or 5000.")
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
    from kinefit.api import fit_pictures

    chosen = checked(PictureOptions, options)
    folder = out_folder or Path("kinefit_output") / "images"
    with stage_progress() as progress:
        done = fit_pictures(
            pictures, folder, chosen, focal_px=focal_px, fov_deg=fov, progress=progress
        )
    table = new_table("picture", "off px", "orientation", "")
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
@with_options(RunConfig, RUN)
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
    _fit([video], out_folder or default_folder([video]), options, overwrite)


@fit.command("multiview")
@with_options(RunConfig, RUN)
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
    folder = out_folder or default_folder(sources)
    if len(sources) == 1 and sources[0].suffix == ".npz":
        folder = out_folder or sources[0].with_name(f"{sources[0].stem}_body")
    _fit(sources, folder, options, overwrite)


def _fit(sources: list[Path], folder: Path, options: dict[str, Any], overwrite: bool) -> None:
    from kinefit.api import everybody
    from kinefit.api import fit as job

    settings = run_config(options)
    how: dict[str, Any] = {"overwrite": overwrite}
    with stage_progress() as progress:
        if settings.people == "all":
            results = everybody(sources, folder, settings, markers=False, progress=progress, **how)
        else:
            results = [job(sources, folder, settings, progress=progress, **how)]
    for result in results:
        show_result(result)


@fit.command("markers")
@with_options(MarkerFileOptions, PERSON)
def fit_markers(
    file: Annotated[Path, typer.Argument(help="TRC or C3D file of one person's markers.")],
    out_folder: OutFolder = None,
    **options: Any,
) -> None:
    """One body through a marker file: keypoints, augmented markers, or a laboratory's.

    Shape and each marker's place on the body are fitted with the poses. Results go to FILE_body
    unless --out says otherwise.
    """
    from kinefit.api import fit_marker_file
    from kinefit.quality.verdict import count_frames

    folder = out_folder or file.with_name(f"{file.stem}_body")
    result = fit_marker_file(file, folder, checked(MarkerFileOptions, options))
    report = result.report
    lost = count_frames(report["frames_without_pose"], report["frame_step"])
    table = new_table("", "", show_header=False)
    table.add_row("body", str(report["body"]))
    table.add_row("stature", f"{report['stature_m']:.3f} m")
    if report["rms_mm"] is not None:
        table.add_row("markers off", f"{report['rms_mm']:.1f} mm RMS")
    table.add_row("frames without a pose", f"{lost} of {report['frames']}")
    out.print(table)
    show_findings(result.findings)
    show_notes(report["notes"])
    show_files(result.files)


@fit.command("frames")
@with_options(FrameOptions, FRAMES)
def fit_frames(
    bundle: Annotated[
        Path, typer.Argument(help="Triangulated points: the .npz of `kinefit triangulate`.")
    ],
    views: Annotated[
        Path | None,
        typer.Option(help="Folder with the outputs of SAM 3D Body per camera; else from points."),
    ] = None,
    out_folder: Annotated[
        Path | None, typer.Option("--out", help="Folder; by default BUNDLE_frames.")
    ] = None,
    **options: Any,
) -> None:
    """Rig poses frame by frame: each camera's own pose, made to fit the triangulated points.

    Writes one file per frame in the layout of SAM 3D Body, with diagnostics (opt_...), the motion
    of the clip, and a report. What is there already is reused; a run that was stopped goes on.
    """
    from kinefit.api import fit_frames as job

    chosen = checked(FrameOptions, options)
    folder = out_folder or bundle.with_name(f"{bundle.stem}_frames")
    with stage_progress() as progress:
        result = job(bundle, folder, chosen, views, progress=progress)
    report = result.report
    table = new_table("", "frames")
    for status, count in report["status"].items():
        table.add_row(status, str(count))
    for camera, count in report["cameras"].items():
        table.add_row(f"started by {camera}", str(count))
    out.print(table)
    told = [frame for frame in report["per_frame"] if frame["status"] != "good"]
    for frame in told[:_SHOWN]:
        words = f"frame {frame['frame']}: {frame['status']}"
        out.print(f"{words}, {frame['reason']}" if frame["reason"] else words)
    if len(told) > _SHOWN:
        out.print(f"and {len(told) - _SHOWN} more; see the report")
    show_warnings(report["notes"])
    show_files(path for path in result.files if path.parent == folder)
    out.print(f"{len(report['per_frame'])} files in {folder / 'frames'}")
