"""`kinefit calibration`: what a calibration file was taken to say, whether it can be, and another
program's format of it; `kinefit triangulate`: the triangulation stage by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from kinefit.cli.console import (
    err,
    new_table,
    out,
    show_files,
    show_findings,
    show_warnings,
    with_options,
)
from kinefit.cli.option_groups import TRIANGULATE
from kinefit.pipeline.config import ViewOptions, checked
from kinefit.types import InputError

if TYPE_CHECKING:
    from kinefit.io.calibration import Calibration
    from kinefit.multiview.rig_checks import RigReport


def calibration(
    file: Annotated[Path, typer.Argument(help="Calibration file, or the folder of one.")],
    to: Annotated[Path | None, typer.Option(help="Write the cameras to this TOML file.")] = None,
    layout: Annotated[
        Literal["caliscope", "aniposelib", "pose2sim"], typer.Option(help="Whose layout --to has.")
    ] = "caliscope",
    video: Annotated[
        list[Path] | None,
        typer.Option(help="A camera's video, named as the camera; may be given several times."),
    ] = None,
    file_format: Annotated[
        str | None, typer.Option("--format", help="Whose format the file is, if it is not told.")
    ] = None,
    units: Annotated[
        str | None, typer.Option(help="What the file's positions are in: m, cm or mm.")
    ] = None,
    up: Annotated[
        str | None, typer.Option(help="The file's axis that points up: y, z, x, -y, -z or -x.")
    ] = None,
    invert_extrinsics: Annotated[
        bool, typer.Option("--invert-extrinsics", help="The file's poses are camera to world.")
    ] = False,
    json_output: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read a calibration of another program, say what was assumed, check it, and convert it.

    Reads Caliscope, aniposelib and Pose2Sim TOML, Qualisys .qca.txt, OpenCV YAML, XML and JSON,
    OpenCap pickles, EasyMocap's pair, Kalibr, MC-Calib, CMU Panoptic and Vicon. With
    --video, the file written by --to is for the videos' own sizes.
    """
    from kinefit.io.calibration import read_calibration, write_calibration
    from kinefit.io.video import probe
    from kinefit.multiview.rig_checks import check_rig, fit_rig_to_videos

    sizes = {path.stem: probe(path).size for path in video or []}
    found = read_calibration(
        file,
        format=file_format,  # type: ignore[arg-type]  # checked there, with a better message
        units=units,  # type: ignore[arg-type]
        up=up,  # type: ignore[arg-type]
        invert_extrinsics=invert_extrinsics,
        image_sizes=sizes,
    )
    report = check_rig(found.rig, sizes, up_known=found.up is not None)
    if to is not None:
        if to.exists() and to.samefile(file):
            raise InputError(to, "is the file to be read", "give --to another name")
        rig, _ = fit_rig_to_videos(found.rig, sizes)
        write_calibration(to, rig, layout, up_known=found.up is not None)
    findings = (*found.findings, *report.findings)
    if json_output:
        about = {
            "format": found.format,
            "up": found.up,
            "assumptions": list(found.assumptions),
            "residuals": dict(found.residuals),
            "residual_unit": found.residual_unit,
        }
        about |= report.as_json() | {"findings": [finding.to_json() for finding in findings]}
        typer.echo(json.dumps(about, indent=2, ensure_ascii=False))
    else:
        _print_calibration(found, report)
    show_findings(findings)
    if to is not None and not json_output:
        show_files([to])


def _print_calibration(found: Calibration, report: RigReport) -> None:
    """Assumptions, a line per camera and per pair."""
    out.print(f"{found.format}: {len(found.rig)} cameras")
    for assumption in found.assumptions:
        out.print(f"  {assumption}")
    # Without a known vertical, height, tilt and roll would be numbers without meaning.
    level = found.up is not None
    gravity = ("height m", "tilt °", "roll °") if level else ()
    table = new_table(
        "camera", "pixels", *gravity, "to the middle m", f"error {found.residual_unit}"
    )
    for c in report.cameras:
        angles = (c.height_m, c.tilt_deg, c.roll_deg) if level else ()
        numbers = (*angles, c.distance_m, found.residuals.get(c.name))
        cells = ("-" if n is None else f"{n:.2f}" for n in numbers)
        table.add_row(c.name, f"{c.size[0]} x {c.size[1]}", *cells)
    out.print(table)
    if report.pairs:
        pairs = new_table("cameras", "apart m", "angle °")
        for p in report.pairs:
            pairs.add_row(" ".join(p.cameras), f"{p.baseline_m:.2f}", f"{p.angle_deg:.0f}")
        out.print(pairs)


@with_options(ViewOptions, TRIANGULATE)
def triangulate(
    points: Annotated[
        Path,
        typer.Argument(
            help="CSV with frame, camera, point, x, y; kinefit's .npz; or a folder with the "
            "outputs of SAM 3D Body, arrays, or OpenPose JSON per camera."
        ),
    ],
    out_file: Annotated[
        Path | None, typer.Option("--out", help="Bundle; by default POINTS_triangulated.npz.")
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(help="Points to keep: a skeleton's name (mhr46), or names with commas."),
    ] = None,
    normalized: Annotated[
        bool, typer.Option("--normalized", help="Coordinates are shares of the picture.")
    ] = False,
    pixel: Annotated[bool, typer.Option("--pixel", help="Coordinates are pixels.")] = False,
    rate: Annotated[
        float | None, typer.Option(help="Frames per second, where the source has no times.")
    ] = None,
    keypoint_set: Annotated[
        str | None,
        typer.Option(help="Whose points OpenPose JSON holds, where they do not tell: body25b, ..."),
    ] = None,
    **options: Any,
) -> None:
    """2D points of calibrated cameras to points in space, each with its evidence.

    Writes one .npz: points before and after refinement, views used, reprojections and errors,
    covariance, and the reason where a point is missing.
    """
    import numpy as np

    from kinefit.pipeline.triangulation import triangulate_file

    if normalized and pixel:
        raise typer.BadParameter("give --normalized or --pixel, not both")
    target = out_file or points.with_name(f"{points.stem}_triangulated.npz")
    result = triangulate_file(
        points,
        target,
        checked(ViewOptions, options),
        subset=subset.split(",") if subset and "," in subset else subset,
        normalized=True if normalized else (False if pixel else None),
        rate_hz=rate,
        keypoint_set=keypoint_set,
    )
    for note in result.notes:
        err.print(f"assumed: {note}")
    show_findings(result.findings)
    found = result.points
    for camera in found.cameras:
        show_warnings(
            f"{camera}: {group} exchanged in {int(flags.sum())} frames"
            for group, flags in result.swaps.of_camera(camera).items()
        )
    table = new_table("camera", "views", "used %", "error px", "noise px")
    for c, camera in enumerate(found.cameras):
        views, used = np.isfinite(found.error_px[..., c]), found.inlier_mask[..., c]
        error = found.error_px[..., c][used]
        table.add_row(
            camera,
            str(int(views.sum())),
            f"{100 * used.sum() / max(views.sum(), 1):.1f}",
            f"{error.mean():.2f}" if error.size else "-",
            f"{found.sd_px[c].mean():.2f}",
        )
    out.print(table)
    finite = np.isfinite(found.refined).all(axis=-1)
    sd = np.sqrt(np.einsum("tjii->tj", found.covariance))[finite]
    spread = f", median deviation {1000 * np.median(sd):.1f} mm" if sd.size else ""
    out.print(f"{finite.sum()} of {finite.size} points triangulated{spread}")
    for words, count in result.reasons.items():
        out.print(f"  {count} missing: {words}")
    show_files([target])
