"""`kinefit triangulate`: the triangulation stage by itself."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer
from rich.markup import escape
from rich.table import Table

from kinefit.cli.console import err, errors_exit, out
from kinefit.cli.options import with_options
from kinefit.pipeline.config import ViewOptions

if TYPE_CHECKING:
    from kinefit.pipeline.triangulation import TriangulatedFile


@with_options(ViewOptions)
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
    **options: Any,
) -> None:
    """2D points of calibrated cameras to points in space, each with its evidence.

    Writes one .npz: points before and after refinement, views used, reprojections and errors,
    covariance, and the reason where a point is missing.
    """
    with errors_exit():
        from kinefit.pipeline.config import checked
        from kinefit.pipeline.triangulation import triangulate_file

        if normalized and pixel:
            raise typer.BadParameter("give --normalized or --pixel, not both")
        values = {name: value for name, value in options.items() if value is not None}
        target = out_file or points.with_name(f"{points.stem}_triangulated.npz")
        result = triangulate_file(
            points,
            target,
            checked(ViewOptions, values),
            subset=subset.split(",") if subset and "," in subset else subset,
            normalized=True if normalized else (False if pixel else None),
            rate_hz=rate,
        )
        _print(result, target)


def _print(result: TriangulatedFile, target: Path) -> None:
    for note in result.notes:
        err.print(f"assumed: {note}", markup=False)
    found = result.points
    for camera in found.cameras:
        for group, flags in result.swaps.of_camera(camera).items():
            err.print("[yellow]warning:[/]", end=" ")
            err.print(f"{camera}: {group} exchanged in {int(flags.sum())} frames", markup=False)
    table = Table("camera", "views", "used %", "error px", "noise px")
    for c, camera in enumerate(found.cameras):
        views, used = np.isfinite(found.error_px[..., c]), found.inlier_mask[..., c]
        error = found.error_px[..., c][used]
        table.add_row(
            escape(camera),
            str(int(views.sum())),
            f"{100 * used.sum() / max(views.sum(), 1):.1f}",
            f"{error.mean():.2f}" if error.size else "-",
            f"{found.sd_px[c].mean():.2f}",
        )
    out.print(table)
    finite = np.isfinite(found.refined).all(axis=-1)
    sd = np.sqrt(np.einsum("tjii->tj", found.covariance))[finite]
    spread = f", median deviation {1000 * np.median(sd):.1f} mm" if sd.size else ""
    out.print(f"{finite.sum()} of {finite.size} points triangulated{spread}", markup=False)
    for words, count in result.reasons.items():
        out.print(f"  {count} missing: {words}", markup=False)
    out.print(str(target), markup=False)
