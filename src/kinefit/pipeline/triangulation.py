"""2D points of any source to points in space: the triangulation stage by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from kinefit.io.points2d import People2D, read_points
from kinefit.multiview.bundle import save_bundle
from kinefit.multiview.triangulate import PointStatus as Reason
from kinefit.multiview.triangulate import Triangulation, triangulate
from kinefit.multiview.view_checks import check_assignment, check_clocks
from kinefit.multiview.view_swaps import ViewSwaps, find_view_swaps, undo_view_swaps
from kinefit.pipeline.config import ViewOptions
from kinefit.pipeline.preflight import check_views
from kinefit.pipeline.stages.observe import calibration_of
from kinefit.tracking.choose import by_number
from kinefit.tracking.identity import check_anybody, find_people
from kinefit.types import Finding, InputError


@dataclass(frozen=True, eq=False)
class TriangulatedFile:
    """What came out of a file of 2D points.

    points: with their evidence. swaps: views whose left and right were exchanged.
    notes: what was assumed, in plain words. findings: views that do not fit the others.
    """

    points: Triangulation
    swaps: ViewSwaps
    notes: tuple[str, ...]
    findings: tuple[Finding, ...] = ()

    @property
    def reasons(self) -> dict[str, int]:
        """Why points are missing, in words -> how many; none that do not occur."""
        counts = np.bincount(self.points.reason.ravel(), minlength=len(Reason))
        return {r.words: int(counts[r]) for r in Reason if r is not Reason.OK and counts[r]}


def triangulate_file(
    source: Path,
    out: Path,
    options: ViewOptions,
    *,
    subset: str | Sequence[str] | None = None,
    normalized: bool | None = None,
    rate_hz: float | None = None,
    keypoint_set: str | None = None,
) -> TriangulatedFile:
    """Read 2D points, triangulate them with the calibration of `options`, write the bundle `out`.

    source and what says how to read it: as in `kinefit.io.points2d.read_points`. The bundle is in
    the calibration's world, metres, Y up where the file or `world_up` says which axis that is.
    Raises InputError for points or a calibration that cannot be used, and for exchanged cameras.
    """
    calibration = calibration_of(options)
    rig = calibration.rig
    if len(rig) < 2:
        reason = "it has one camera, which sees no depth"
        raise InputError(str(options.calibration), reason, "give two or more")
    check_views(options, len(rig))
    found = read_points(
        source, rig, subset=subset, normalized=normalized, rate_hz=rate_hz,
        keypoint_set=keypoint_set,
    )  # fmt: skip
    notes = [*calibration.assumptions, *found.assumed]
    if isinstance(found, People2D):
        paths = find_people(rig, found.names, found.views, found.timeline.time)
        check_anybody(paths)
        one = paths[by_number(paths, options.person)].points(found.views)
        xy, score = one[..., :2], np.nan_to_num(one[..., 2])
        notes.append(f"{len(paths)} persons in the scene; this is number {options.person or 1}")
    else:
        xy, score = found.xy, found.score
    chosen = options.triangulation
    findings = [
        *calibration.findings,
        *found.findings,
        *check_assignment(rig, found.names, xy, score, options.keep_names),
        *check_clocks(rig, found.timeline, found.names, xy, score),
    ]
    swaps = find_view_swaps(rig, found.timeline, found.names, xy, score, chosen)
    if options.repair_side_swaps:
        xy, score = undo_view_swaps(found.names, xy, score, swaps)
    points = triangulate(rig, found.timeline, found.names, xy, score, chosen)
    save_bundle(out, points, rig)
    return TriangulatedFile(points, swaps, tuple(notes), tuple(findings))
