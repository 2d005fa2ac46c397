"""Stage `report`: what the result is worth, from the files that were written, as a page."""

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
from kinefit.pipeline.context import INTERNAL, Context
from kinefit.pipeline.provenance import versions
from kinefit.pipeline.results import words_about
from kinefit.pipeline.store import Folder
from kinefit.quality.assessment import Quality, assess, upside_down
from kinefit.quality.verdict import verdict, warnings
from kinefit.report.page import ReportContent, write_report
from kinefit.types import BoolArray, JointAngles, Markers, PoseTrack

OPTIONS = ("height", "mass", "max_gap", "cutoff_hz", "compute_all_joint_angles")
ASSESSMENT = f"{INTERNAL}/assessment.json"
_WORTH_SAYING = 0.05  # of all values


def report(context: Context) -> None:
    """`report.html`, and the verdict for run.json."""
    written = _Written.read(context)
    quality = written.assess()
    said = [
        *_camera_doubts(written),
        *warnings(quality),
        *_limits(context, written),
    ]
    said += _body_warnings(written.body)
    write_json(
        context.internal("assessment.json"),
        {
            "verdict": verdict(quality, said),
            "warnings": said,
            "world": written.world,
            "quality": quality.to_json(),
        },
    )
    overlay = f"{context.job.stem}_overlay.mp4"
    content = ReportContent(
        title=context.job.stem,
        video=", ".join(path.name for path in context.job.inputs.values()),
        video_sha256="",
        subject=context.config.subject if context.config.height else None,
        parameters=context.job.config.model_dump(mode="json", include=set(OPTIONS)),
        versions=versions(),
        track=written.track,
        initial=written.initial,
        final=written.final,
        angles=written.angles,
        quality=quality,
        warnings=said,
        notes=written.world["notes"],
        cameras=written.world.get("cameras", []),
        overlay=context.read(overlay) if overlay in context.readable else None,
        files=words_about(dict.fromkeys(context.readable, False)),
    )
    write_report(content, context.staging / "report.html")


def read_assessment(folder: Folder, stem: str) -> dict[str, Any]:
    """Verdict, warnings and quality of the report in the folder; empty where that is stale."""
    record = folder.records.get(f"{stem}.report")
    if record is None or folder.is_stale(record.stage):
        return {}
    value: dict[str, Any] = json.loads((folder.path / ASSESSMENT).read_text("utf-8"))
    return value


@dataclass(frozen=True, eq=False)
class _Written:
    """What the other stages wrote, read back. final: the body's keypoints without final markers."""

    track: PoseTrack | None
    initial: Markers | None
    final: Markers
    angles: JointAngles | None
    motion_rows: int | None
    body: dict[str, Any]
    world: dict[str, Any]

    @classmethod
    def read(cls, context: Context) -> _Written:
        stem = context.job.stem
        angles = f"joint_angles/{stem}_angles_all.csv"
        motion = f"joint_angles/{stem}.mot"
        track = f"track_{stem}.npz"
        kept = {
            name: _as_written(load_markers(context.read_internal(f"{stored}.npz")),
                              context.read_user(file))
            for name, stored, file in (
                ("initial", "initial", "_initial.trc"),
                ("final", "final", "_final.trc"),
                ("body", "keypoints", "_body.trc"),
            )
            if context.has_internal(f"{stored}.npz")
        }  # fmt: skip
        return cls(
            load_track(context.read_internal(track)) if context.has_internal(track) else None,
            kept.get("initial"),
            kept.get("final", kept["body"]),
            read_angles_csv(context.read(angles)) if angles in context.readable else None,
            len(read_mot(context.read(motion)).timeline) if motion in context.readable else None,
            json.loads(context.read_user("_body.json").read_text("utf-8")),
            json.loads(context.read_internal("world.json").read_text("utf-8")),
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


def _camera_doubts(written: _Written) -> list[str]:
    """Why everything that depends on the vertical may be wrong."""
    said = []
    if upside_down(written.final):
        said.append("The head is below the feet: the video seems to be upside down; turn it.")
    return said + list(written.world["doubts"])


def _limits(context: Context, written: _Written) -> list[str]:
    """What was not filtered, computed or written, or is outside what the augmenter has learnt."""
    config, initial = context.config, written.initial
    if initial is None:
        return []
    said = [] if within_training(config.subject) else [OUTSIDE_TRAINING]
    filled = fill_gaps(initial, config.max_gap)
    raw = unfiltered(filled.timeline, filled.xyz, config.cutoff_hz)
    share = raw.sum() / max(np.isfinite(filled.xyz).sum(), 1)
    if share > _WORTH_SAYING:
        said.append(
            f"Stretches shorter than one period of the {config.cutoff_hz:g} Hz cut-off were "
            f"not filtered: {100 * share:.0f} % of all values."
        )
    if written.angles is not None:
        absent = [g for g in GROUPS if f"{g}_flex" not in written.angles.names]
        said += [f"Not computed, for lack of markers: {', '.join(absent)}."] if absent else []
    elif config.compute_all_joint_angles:
        said.append("No joint angles: hips, legs or shoulders are not seen well enough.")
    rows, frames = written.motion_rows, len(filled.timeline)
    if rows is not None and rows < frames:
        said.append(
            f"The .mot file holds {rows} of {frames} frames: OpenSim reads no missing values. "
            "The tables hold all frames."
        )
    return said


def _body_warnings(body: dict[str, Any]) -> list[str]:
    said = []
    for key, words in _WARNED.items():
        if body[key]:
            frames = ", ".join(f"{a}-{b}" if b > a else str(a) for a, b in body[key][:6])
            said.append(f"{words}: frames {frames}.")
    return said


_WARNED = {
    "frames_without_pose": "No pose, too few keypoints",
    "frames_far_off": "The body is far from the keypoints",
}


def _as_written(stored: Markers, trc: Path) -> Markers:
    """The positions of the TRC file, with the flags and deviations that it cannot hold."""
    return replace(read_trc(trc), estimated=stored.estimated, sd=stored.sd)
