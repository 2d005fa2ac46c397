"""A body through the markers of a file: what is written of it, and what speaks against it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinefit.biomech.checked_markers import read_checked_markers
from kinefit.body.load import load_body
from kinefit.fit.fit_report import marker_report
from kinefit.fit.recipes.markers import fit_markers
from kinefit.io.atomic import write_json
from kinefit.io.body_npz import write_motion
from kinefit.pipeline.config import MarkerFileOptions
from kinefit.pipeline.provenance import versions
from kinefit.pipeline.results import words_about
from kinefit.pipeline.single_step import blamed_on, run_job
from kinefit.pipeline.stages.body import beyond_limits
from kinefit.pipeline.stages.export import export_as
from kinefit.pipeline.stages.scene import PURPLE, figure_of, points_of
from kinefit.pipeline.store import check_folder
from kinefit.quality.verdict import marker_fit_findings
from kinefit.report.page import ReportData, body_table, write_report
from kinefit.report.parts import Cell, Table
from kinefit.report.scene import Scene, pack_scene
from kinefit.types import Finding


@dataclass(frozen=True)
class MarkerFitResult:
    """What a fit left. report: the content of its JSON file. files: what was written. findings:
    what to know before using the numbers.
    """

    report: dict[str, Any]
    files: tuple[Path, ...]
    findings: tuple[Finding, ...]


def fit_marker_file(file: Path, out: Path, options: MarkerFileOptions) -> MarkerFitResult:
    """One body through the markers of a TRC or C3D file; files in `out`.

    Raises InputError for a file that cannot be read, or whose markers are no body's.
    """
    check_folder(out)
    markers = read_checked_markers(file, up=options.up, units=options.units)
    body = load_body(options.body, options.gender, child=options.child)
    with blamed_on(file, "name markers as kinefit, Pose2Sim or OpenCap's laboratory do"):
        fit = fit_markers(body, markers, stature_m=options.height)
    stem = f"{file.stem}_body"

    def write(folder: Path, _: Path) -> None:
        write_motion(folder / f"{stem}.npz", fit.motion)
        report = marker_report(body, fit, beyond_limits(body, fit.motion))
        notes = [*markers.notes]
        for kind in options.exports:
            notes += export_as(folder / stem, kind, body, fit.motion)[1]
        table = folder / f"{stem}.json"
        write_json(table, {"markers_file": file.name, **report, "notes": notes})
        points = points_of("Markers", markers, color=PURPLE)
        shown = Scene(file.stem, markers.timeline, [figure_of(body, fit.motion)], [points])
        _write_page(folder, stem, file, json.loads(table.read_text("utf-8")), options, shown)

    inputs = {"markers": file} | ({} if options.body == "anny" else {"body": Path(options.body)})
    chosen = options.model_dump(mode="json")
    record, _ = run_job(out, "fit markers", inputs, chosen, write, stem=file.stem)
    report = json.loads((out / f"{stem}.json").read_text("utf-8"))
    files = tuple(out / name for name in record.files)
    return MarkerFitResult(report, files, tuple(marker_fit_findings(report, options.height)))


def _write_page(
    folder: Path, stem: str, file: Path, report: Mapping[str, Any], options: MarkerFileOptions,
    shown: Scene,
) -> None:  # fmt: skip
    rows: list[list[Cell]] = [
        [name, one["rms_mm"], one["offset_mm"]] for name, one in report["markers"].items()
    ]
    note = "RMS: from its place on the body. Moved: from where such a marker usually is."
    table = Table("Markers", ("Marker", "RMS, mm", "Moved, mm"), rows, note)
    rms = "–" if report["rms_mm"] is None else f"{report['rms_mm']:.1f} mm"
    data = ReportData(
        title=file.stem,
        kind="a body through markers",
        findings=list(marker_fit_findings(report, options.height)),
        facts=[("Markers", file.name), ("Length", f"{report['frames']} frames"), ("RMS", rms)],
        scene=pack_scene(shown),
        several_cameras=True,
        assumed=report["notes"],
        tables=[body_table(report["stature_m"], report["bones_m"]), table],
        files=words_about({path.name: False for path in folder.iterdir()}),
        parameters=options.model_dump(mode="json"),
        versions=versions(),
    )
    write_report(folder / f"{stem}_report.html", data)
