"""The end of a run: figures, the report and run.json, from the files that the stages wrote."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.biomech.angles import GROUPS
from kinefit.biomech.filter import unfiltered
from kinefit.biomech.gaps import fill_gaps
from kinefit.biomech.markers import OUTSIDE_TRAINING, within_training
from kinefit.io.atomic import write_json
from kinefit.io.mot import read_mot
from kinefit.io.tables import read_angles_csv
from kinefit.io.trc import read_trc
from kinefit.pipeline.artifacts import load_markers, load_track
from kinefit.pipeline.provenance import code_version, versions
from kinefit.pipeline.run import Run
from kinefit.quality.assessment import Quality, assess, upside_down
from kinefit.quality.verdict import verdict, warnings
from kinefit.report.page import ReportContent, write_report
from kinefit.report.plots import plot_all
from kinefit.types import BoolArray, JointAngles, Markers, PoseTrack

_WORTH_SAYING = 0.05  # of all values

# What the files of a run are, in the order in which a reader wants them: end of the name -> words.
_ABOUT = {
    "report.html": "the report: open it in a browser",
    "_final.trc": "all markers, filtered and augmented (metres, Y up)",
    "_final.c3d": "the same markers for motion-capture software",
    "_final_uncertainty.csv": "per marker: measured or estimated, and its standard deviation",
    "_initial.trc": "the 22 initial markers, unfiltered",
    "_raw_landmarks.csv": "what the detector saw: pixels, visibility, its own 3D",
    "_angles_all.csv": "all joint angles in one table (degrees)",
    ".mot": "the angles as OpenSim coordinates",
    "_overlay.mp4": "the video with the skeleton drawn on it",
    "_mask.mp4": "the person mask",
    "_triangulated.npz": "every point with its evidence: views used, errors, covariance",
    "_cameras.toml": "the cameras, in the world of the triangulated points",
    "run.json": "provenance: hashes, versions, parameters, times, quality per frame",
}


@dataclass(frozen=True)
class RunResult:
    """What a run left.

    folder: where. verdict: "good", "care" or "unusable", from the files that were written.
    warnings: what to know before using the numbers, worst first.
    files: (name in the folder, what it is).
    """

    folder: Path
    verdict: str
    warnings: tuple[str, ...]
    files: tuple[tuple[str, str], ...]


@dataclass(frozen=True, eq=False)
class _Written:
    """A run read back from its files."""

    track: PoseTrack | None
    initial: Markers
    final: Markers
    angles: JointAngles | None
    world: dict[str, Any]

    @classmethod
    def read(cls, run: Run) -> _Written:
        stored = {n: load_markers(run.folder.internal(f"{n}.npz")) for n in ("initial", "final")}
        angles = run.folder.path / "joint_angles" / f"{run.stem}_angles_all.csv"
        track = run.folder.internal("track.npz")
        computed = "angles" in run.folder.records and run.folder.records["angles"].files
        return cls(
            load_track(track) if track.exists() else None,
            _as_written(stored["initial"], run.file("_initial.trc")),
            _as_written(stored["final"], run.file("_final.trc")),
            read_angles_csv(angles) if computed else None,
            json.loads(run.folder.internal("world.json").read_text("utf-8")),
        )

    def assess(self) -> Quality:
        return assess(
            self.final,
            track=self.track,
            initial=self.initial,
            angles=self.angles,
            swaps={name: self._frames(at) for name, at in self.world["side_swaps"].items()},
        )

    def _frames(self, at: list[int]) -> BoolArray:
        flags = np.zeros(len(self.final.timeline), bool)
        flags[at] = True
        return flags


def publish(run: Run) -> RunResult:
    """Write the figures, the report and run.json of a run whose stages are done."""
    if run.config.plot_all_joint_angles and run.folder.records["angles"].files:
        run.stage("plots", lambda: _plots(run), {}, after=("angles",))
    written = _Written.read(run)
    quality = written.assess()
    said = [
        *_camera_doubts(written),
        *warnings(quality, swaps_repaired=run.config.repair_side_swaps),
        *_limits(run, written),
    ]
    before = tuple(run.folder.records)
    parameters = run.config.model_dump(mode="json")
    run.stage("report", lambda: _report(run, written, quality, said), parameters, after=before)
    run.folder.forget_stages_not_run()
    write_json(run.folder.path / "run.json", _manifest(run, written, quality, said))
    return RunResult(run.folder.path, verdict(quality, said), tuple(said), tuple(_files(run)))


def _camera_doubts(written: _Written) -> list[str]:
    """Why everything that depends on the vertical may be wrong."""
    said = []
    if upside_down(written.final):
        said.append("The head is below the feet: the video seems to be upside down; turn it.")
    return said + list(written.world["doubts"])


def _limits(run: Run, written: _Written) -> list[str]:
    """What was not filtered, computed or written, or is outside what the augmenter has learnt."""
    said = [OUTSIDE_TRAINING] if not within_training(run.config.subject) else []
    filled = fill_gaps(written.initial, run.config.max_gap)
    raw = unfiltered(filled.timeline, filled.xyz, run.config.cutoff_hz)
    share = raw.sum() / max(np.isfinite(filled.xyz).sum(), 1)
    if share > _WORTH_SAYING:
        said.append(
            f"Stretches shorter than one period of the {run.config.cutoff_hz:g} Hz cut-off were "
            f"not filtered: {100 * share:.0f} % of all values."
        )
    if written.angles is not None:
        absent = [g for g in GROUPS if f"{g}_flex" not in written.angles.names]
        said += [f"Not computed, for lack of markers: {', '.join(absent)}."] if absent else []
    elif run.config.compute_all_joint_angles:
        said.append("No joint angles: hips, legs or shoulders are not seen well enough.")
    motion = run.folder.path / "joint_angles" / f"{run.stem}.mot"
    rows, frames = len(read_mot(motion).timeline) if motion.exists() else 0, len(filled.timeline)
    if 0 < rows < frames:
        said.append(
            f"The .mot file holds {rows} of {frames} frames: OpenSim reads no missing values. "
            "The tables hold all frames."
        )
    return said


def _as_written(stored: Markers, trc: Path) -> Markers:
    """The positions of the TRC file, with the flags and deviations that it cannot hold."""
    return replace(read_trc(trc), estimated=stored.estimated, sd=stored.sd)


def _plots(run: Run) -> list[Path]:
    folder = run.folder.path / "joint_angles"
    angles = read_angles_csv(folder / f"{run.stem}_angles_all.csv")
    return plot_all(angles, folder, f"{run.stem}_angles")


def _report(run: Run, written: _Written, quality: Quality, said: list[str]) -> list[Path]:
    overlay = run.file("_overlay.mp4")
    content = ReportContent(
        title=run.stem,
        video=", ".join(name for name, _ in run.sources),
        video_sha256=run.folder.input_sha256,
        subject=run.config.subject,
        parameters=run.config.model_dump(mode="json"),
        versions=versions(),
        track=written.track,
        initial=written.initial,
        final=written.final,
        angles=written.angles,
        quality=quality,
        warnings=said,
        notes=written.world["notes"],
        cameras=written.world.get("cameras", []),
        overlay=overlay if overlay.exists() else None,
        files=_files(run),
    )
    path = run.folder.path / "report.html"
    write_report(content, path)
    return [path]


def _manifest(run: Run, written: _Written, quality: Quality, said: list[str]) -> dict[str, Any]:
    """Everything about a run. Only the seconds differ between two runs of the same input."""
    return {
        "inputs": [{"file": name, "sha256": sha256} for name, sha256 in run.sources],
        "parameters": run.config.model_dump(mode="json"),
        "versions": versions(),
        "code_sha256": code_version(),
        "detector": written.world["detector"],
        "stages": {
            name: {"seconds": record.seconds, "key": record.key, "files": record.files}
            for name, record in run.folder.records.items()
        },
        "verdict": verdict(quality, said),
        "warnings": said,
        "world": written.world,
        "quality": quality.to_json(),
    }


def _files(run: Run) -> list[tuple[str, str]]:
    """The files for the user, each with a word about it."""
    names = {n for r in run.folder.records.values() for n in r.files if not n.startswith(".")}
    names |= {"report.html", "run.json"}
    listed = [
        (name, about)
        for end, about in _ABOUT.items()
        for name in sorted(names)
        if name.endswith(end)
    ]
    if groups := sorted(n for n in names - dict(listed).keys() if n.endswith(".csv")):
        listed.append(("joint_angles/*.csv", f"the same per joint group ({len(groups)} tables)"))
    if any(n.endswith(".png") for n in names):
        listed.append(("joint_angles/*.png", "figures of the joint angles"))
    return listed
