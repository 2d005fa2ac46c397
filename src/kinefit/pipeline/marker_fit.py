"""A body through the markers of a file: what is written of it, and what speaks against it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kinefit.body.load import load_body
from kinefit.fit.fit_report import marker_report
from kinefit.fit.recipes.markers import fit_markers
from kinefit.io.atomic import write_json
from kinefit.io.body_npz import write_motion
from kinefit.io.c3d import read_c3d
from kinefit.io.trc import read_trc
from kinefit.pipeline.config import MarkerFileOptions
from kinefit.pipeline.execute import run_job
from kinefit.pipeline.stages.body import beyond_limits
from kinefit.pipeline.stages.export import export_as
from kinefit.pipeline.store import check_folder
from kinefit.types import InputError, MissingMarkers, TooFewPoints

_FAR_MM, _STATURE_OFF_M = 25.0, 0.05


@dataclass(frozen=True)
class MarkerFitResult:
    """What a fit left. report: the content of its JSON file. files: what was written."""

    report: dict[str, Any]
    files: tuple[Path, ...]

    @property
    def warnings(self) -> list[str]:
        """What to know before using the numbers."""
        said = list(self.report["notes"])
        for key, words in _WARNED.items():
            if self.report[key]:
                frames = ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in self.report[key][:6])
                said.append(f"{words}: frames {frames}.")
        if not self.report["solver"]["converged"]:
            said.append("The solver stopped before it had come to rest; the last steps were small.")
        return said


_WARNED = {
    "frames_without_pose": "No pose, too few markers",
    "frames_far_off": "The body is far from the markers",
}


def fit_marker_file(file: Path, out: Path, options: MarkerFileOptions) -> MarkerFitResult:
    """One body through the markers of a TRC or C3D file; files in `out`.

    Raises InputError for a file that cannot be read, or whose markers are no body's.
    """
    check_folder(out)
    markers = read_c3d(file) if file.suffix.lower() == ".c3d" else read_trc(file)
    body = load_body(options.body, options.gender, child=options.child)
    try:
        fit = fit_markers(body, markers, stature_m=options.height)
    except (MissingMarkers, TooFewPoints) as error:
        hint = "name markers as kinefit, Pose2Sim or OpenCap's laboratory do"
        raise InputError(file, error.bare_reason, hint) from error
    stem = f"{file.stem}_body"

    def write(folder: Path, _: Path) -> None:
        write_motion(folder / f"{stem}.npz", fit.motion)
        report = marker_report(body, fit, beyond_limits(body, fit.motion))
        notes = _doubts(report, options.height)
        for kind in options.exports:
            notes += export_as(folder / stem, kind, body, fit.motion)[1]
        write_json(folder / f"{stem}.json", {"markers_file": file.name, **report, "notes": notes})

    inputs = {"markers": file} | ({} if options.body == "anny" else {"body": Path(options.body)})
    chosen = options.model_dump(mode="json")
    record, _ = run_job(out, "fit markers", inputs, chosen, write, stem=file.stem)
    report = json.loads((out / f"{stem}.json").read_text("utf-8"))
    return MarkerFitResult(report, tuple(out / name for name in record.files))


def _doubts(report: dict[str, Any], height_m: float | None) -> list[str]:
    """What speaks against a fit to markers, in words."""
    said = []
    if report["markers_ignored"]:
        said.append(f"Not on the body that was fitted: {', '.join(report['markers_ignored'])}.")
    if report["rms_mm"] > _FAR_MM:
        said.append(
            f"The body is {report['rms_mm']:.0f} mm from its markers (laboratories: 4): check the "
            "file's units and names, and the height."
        )
    if height_m is not None and abs(report["stature_m"] - height_m) > _STATURE_OFF_M:
        said.append(f"The markers are those of a body {report['stature_m']:.2f} m tall.")
    return said
