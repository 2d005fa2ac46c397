"""Stage `report`: what the result is worth, from the files that were written, as a page."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import cv2
import numpy as np

from kinefit.biomech.angles import GROUPS
from kinefit.biomech.cutoff import filters
from kinefit.biomech.filter import unfiltered
from kinefit.biomech.gaps import fill_gaps
from kinefit.biomech.markers import OUTSIDE_TRAINING, within_training
from kinefit.io.atomic import write_json
from kinefit.io.calibration import read_calibration
from kinefit.io.mot import read_mot
from kinefit.io.observations import load_observations
from kinefit.io.tables import read_angles_csv
from kinefit.io.trc import read_trc
from kinefit.io.video import Clip, Picture
from kinefit.pipeline.artifacts import load_arrays, load_markers, load_track
from kinefit.pipeline.config import OF_BUNDLES, presets
from kinefit.pipeline.context import CLIP_OPTIONS, Context
from kinefit.pipeline.provenance import versions
from kinefit.pipeline.recording import fall, frozen, part_facts, pauses, time_base, time_notes
from kinefit.pipeline.results import INTERNAL, words_about
from kinefit.pipeline.stages.export import KINDS
from kinefit.pipeline.stages.scene import SCENE
from kinefit.pipeline.store import Folder
from kinefit.quality.assessment import assess
from kinefit.quality.quantities import Quality, View
from kinefit.quality.verdict import find, frames_words, say, verdict
from kinefit.report.page import ReportData, Someone, body_table, girth_table, write_report
from kinefit.report.parts import Cell, Table
from kinefit.types import (
    BoolArray,
    CameraRig,
    Finding,
    FloatArray,
    JointAngles,
    Keypoints2D,
    Markers,
    Observations,
    all_finite,
)

OPTIONS = (*CLIP_OPTIONS, "height", "mass", "max_gap", "cutoff_hz", "compute_all_joint_angles",
           "repair_side_swaps")  # fmt: skip
ASSESSMENT = f"{INTERNAL}/assessment.json"
_WORTH_SAYING = 0.05  # of all values
_KINDS = {"video": "one camera", "bundle": "triangulated points"}


def report(context: Context) -> None:
    """`report.html`, `viewer.html`, and the verdict for run.json."""
    written = _Written.read(context)
    quality = assess(
        written.final, initial=written.initial, angles=written.angles, views=written.views,
        rig=written.rig,
    )  # fmt: skip
    declared = (context.config.slowmo or context.config.fps_real) is not None
    findings = [
        *time_base(written.clips, declared=declared),
        *pauses(written.clips),
        *frozen(written.clips, _changes(context)),
        *fall(written.clips, written.final),
        *find(quality, swaps_repaired=context.config.repair_side_swaps),
        *(Finding.from_json(one) for one in written.world["findings"]),
        *_limits(context, written),
        *_unwritten(context),
    ]
    assessment = {
        "verdict": verdict(findings),
        "findings": [one.to_json() for one in findings],
        "world": written.world,
        "quality": quality.to_json(),
    }
    write_json(context.internal("assessment.json"), assessment)
    write_report(context.staging / "report.html", _data(context, written, quality, findings))


def _changes(context: Context) -> dict[str, FloatArray]:
    """Camera -> how its pictures change, where the detector's stage has looked at them."""
    names = {camera: f"changes_{camera}.npz" for camera in context.job.inputs}
    return {
        camera: load_arrays(context.read_internal(name))["changes"]
        for camera, name in names.items()
        if context.has_internal(name)
    }


def _unwritten(context: Context) -> Iterator[Finding]:
    """Files that the motion could not be written as."""
    for kind in KINDS:
        if context.has_internal(name := f"export_{kind}.json"):
            about = json.loads(context.read_internal(name).read_text("utf-8"))
            if about.get("not_written"):
                yield Finding("information", about["not_written"])


def read_assessment(folder: Folder, stem: str) -> dict[str, Any]:
    """Verdict, findings and quality of the report in the folder; empty where that is stale."""
    record = folder.records.get(f"{stem}.report")
    if record is None or folder.is_stale(record.stage):
        return {}
    value: dict[str, Any] = json.loads((folder.path / ASSESSMENT).read_text("utf-8"))
    return value


def _data(
    context: Context, written: _Written, quality: Quality, findings: list[Finding]
) -> ReportData:
    job, overlay = context.job, f"{context.job.stem}_overlay.mp4"
    timeline = written.final.timeline
    facts = [("Recording", ", ".join(path.name for path in job.inputs.values()))]
    if context.config.height:
        subject = context.config.subject
        facts.append(("Person", f"{subject.height_m:.2f} m, {subject.mass_kg:.0f} kg"))
    facts += [
        *part_facts(written.clips),
        ("Length", f"{len(timeline)} frames, {np.ptp(timeline.time):.2f} s"),
        ("Rate", f"{timeline.rate_hz:.4g} Hz{'' if timeline.is_uniform else ' (uneven)'}"),
        ("Points from", written.world["detector"]),
    ]
    if job.kind == "video":
        network = written.world["lifter"]
        facts.append(("Depth from", f"network {network}" if network else "the detector's own 3D"))
    return ReportData(
        title=job.stem,
        kind=_KINDS.get(job.kind, f"{len(job.inputs)} cameras"),
        findings=findings,
        facts=facts,
        film=context.read(overlay) if overlay in context.readable else None,
        scene=context.read_internal(SCENE).read_bytes(),
        quality=quality,
        angles=written.angles,
        markers=written.final,
        several_cameras=job.kind != "video",
        people=_people(context, written.world),
        assumed=[*time_notes(written.clips), *written.world["notes"], *_refinement(context)],
        tables=[
            body_table(written.body["stature_m"], written.body["bones_m"]),
            *([girth_table(girths)] if (girths := written.body.get("girths")) else []),
            *_triangulation_table(written.world.get("cameras", [])),
        ],
        files=words_about(dict.fromkeys(context.readable, False)),
        parameters=job.config.model_dump(mode="json", include=set(OPTIONS)),
        versions=versions(),
    )


def _refinement(context: Context) -> list[str]:
    """What was done to the joint angles, where a network corrected them."""
    if not context.has_internal("refinement.json"):
        return []
    facts = json.loads(context.read_internal("refinement.json").read_text("utf-8"))
    return [
        f"Joint angles were corrected by a network ({facts['network']}): moved by "
        f"{facts['moved_deg']:.1f} degrees on average. The body and the markers are as they were "
        "fitted; the angles before are in the table whose name ends in _unrefined."
    ]


_MOST_PEOPLE = 8  # that the page shows
_PICTURE = 160  # pixels: height of a thumbnail
_ROOM = 0.12  # of the person's height, around the box of their points


def _people(context: Context, world: Mapping[str, Any]) -> list[Someone]:
    """Everybody in the recording with a picture of each; empty where there is one person."""
    people = world.get("people", [])
    people = [one for i, one in enumerate(people) if i < _MOST_PEOPLE or one["chosen"]]
    if len(people) < 2:
        return []
    found = []
    for one in people:
        shares = [f"{100 * share:.0f} %" for share in one["seen"].values()]
        words = f"seen in {', '.join(shares)} of the frames"
        words += (
            f", {sum(one['doubt'].values())} of them in doubt" if any(one["doubt"].values()) else ""
        )
        found.append(Someone(one["number"], words, one["chosen"], _thumbnail(context, one["best"])))
    return found


def _thumbnail(context: Context, best: Mapping[str, Any]) -> Picture | None:
    if not best:
        return None
    clip = context.clips[best["camera"]]
    # From there on, so that what comes before is not decoded; half a millisecond of rounding.
    start_s = max(best["time"] * clip.slowmo - 0.0005, 0.0)
    rgb = next(replace(clip, start_s=start_s, end_s=None, every=1).frames()).rgb
    if rgb is None:
        return None
    box = np.array(best["box"]).reshape(2, 2)
    room = round(_ROOM * float(np.ptp(box[:, 1])))  # points end at the eyes
    box = np.clip(box + np.array([[-room], [room]]), 0, rgb.shape[1::-1])
    x0, y0, x1, y1 = box.ravel().tolist()
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    width = max(round(_PICTURE * (x1 - x0) / (y1 - y0)), 1)
    return np.asarray(
        cv2.resize(rgb[y0:y1, x0:x1], (width, _PICTURE), interpolation=cv2.INTER_AREA)
    )


def _triangulation_table(cameras: Sequence[Mapping[str, Any]]) -> list[Table]:
    rows: list[list[Cell]] = [
        [one["camera"], one["used_pct"], one["error_px"], one["noise_px"]] for one in cameras
    ]
    heads = ("Camera", "Points used, %", "Error, px", "Noise, px")
    note = "Used: points that agree with the other cameras. Error: their mean distance from the "
    note += "triangulated points. Noise: standard deviation, on which all deviations rest."
    return [Table("Triangulation", heads, rows, note)] if rows else []


@dataclass(frozen=True, eq=False)
class _Written:
    """What the other stages wrote, read back, and the parts of the videos that it was made from.
    final: the body's keypoints without final markers.
    """

    initial: Markers
    final: Markers
    angles: JointAngles | None
    motion_rows: int | None
    views: list[View]
    rig: CameraRig
    body: dict[str, Any]
    world: dict[str, Any]
    clips: Mapping[str, Clip]

    @classmethod
    def read(cls, context: Context) -> _Written:
        stem = context.job.stem
        angles = f"joint_angles/{stem}_angles_all.csv"
        motion = f"joint_angles/{stem}.mot"
        kept = {}
        for name, file in (("keypoints", "_body.trc"), ("final", "_final.trc")):
            if context.has_internal(f"{name}.npz"):
                # The positions of the TRC file, with the flags and deviations that it cannot hold.
                stored = load_markers(context.read_internal(f"{name}.npz"))
                trc = read_trc(context.read_user(file))
                kept[name] = replace(trc, estimated=stored.estimated, sd=stored.sd)
        world = json.loads(context.read_internal("world.json").read_text("utf-8"))
        observations = load_observations(context.read_internal("observations.npz"))
        return cls(
            kept["keypoints"],
            kept.get("final", kept["keypoints"]),
            read_angles_csv(context.read(angles)) if angles in context.readable else None,
            len(read_mot(context.read(motion)).timeline) if motion in context.readable else None,
            _views(context, observations, world["side_swaps"]),
            read_calibration(context.read_internal("fitted_cameras.toml")).rig,
            json.loads(context.read_user("_body.json").read_text("utf-8")),
            world,
            {} if context.job.kind == "bundle" else context.clips,
        )


def _views(
    context: Context, observations: Observations, swaps: Mapping[str, list[int]]
) -> list[View]:
    """What each camera saw, sides put right where that was asked for."""
    found = []
    for c, camera in enumerate(observations.rig):
        xy, score = observations.xy[:, c].copy(), observations.seen[:, c].astype(np.float64)
        damaged: BoolArray = np.zeros(len(xy), bool)
        if context.job.kind == "video":
            # Where a point is hardly visible, only the detector's own table has it.
            track = load_track(context.read_internal(f"track_{context.job.stem}.npz"))
            for j, name in enumerate(observations.names):
                if name in track.image.names:  # others are lent by the embedded detector
                    column = track.image.names.index(name)
                    score[:, j] = track.image.score[:, column]
                    lost = ~all_finite(xy[:, j])
                    xy[lost, j] = track.image.xy[lost, column]
            damaged = np.isin(track.image.timeline.frame, track.damaged)
        image = Keypoints2D(observations.timeline, observations.names, xy, score, camera.size)
        end = f" in {camera.name}" if context.job.kind == "rig" else ""
        own = {
            name.removesuffix(end): np.isin(observations.timeline.frame, frames)
            for name, frames in swaps.items()
            if name.endswith(end)
        }
        found.append(View(camera.name, image, damaged, own))
    return found


def _without_videos(context: Context) -> list[Finding]:
    """What of a preset points alone cannot be asked."""
    if context.job.kind != "bundle" or context.config.preset is None:
        return []
    unused = sorted(set(presets()[context.config.preset]) - OF_BUNDLES)
    flags = ", ".join(f"--{name.replace('_', '-')}" for name in unused)
    return [say("preset_without_video", "information", preset=context.config.preset, flags=flags)]


def _limits(context: Context, written: _Written) -> list[Finding]:
    """What was not filtered, computed or written, or is outside what the augmenter has learnt."""
    config, body = context.config, written.body
    found = []
    if not written.views and body["frames_far_off"]:
        found.append(say("points_off", "caution", frames_words(body["frames_far_off"])))
    if body.get("masks_used") == 0:
        found.append(say("no_masks", "caution"))
    found += _without_videos(context)
    if written.final is written.initial:
        return found
    if not within_training(config.subject):
        hint = config.subject.pounds_hint
        found.append(Finding("information", OUTSIDE_TRAINING, action=hint))
    filled = fill_gaps(written.initial, config.max_gap)
    raw = unfiltered(filled.timeline, filled.xyz, config.cutoff_hz)
    share = raw.sum() / max(np.isfinite(filled.xyz).sum(), 1)
    rate = filled.timeline.rate_hz
    if not filters(config.cutoff_hz, rate):
        if config.cutoff_hz > 0:
            found.append(say("slow_video", "caution", rate=rate, cutoff=config.cutoff_hz))
    elif share > _WORTH_SAYING:
        found.append(say("unfiltered", "information", share=100 * share, cutoff=config.cutoff_hz))
    if written.angles is not None:
        absent = [g for g in GROUPS if f"{g}_flex" not in written.angles.names]
        if absent:
            found.append(say("absent_angles", "caution", names=", ".join(absent)))
    elif config.compute_all_joint_angles:
        found.append(say("no_angles", "caution"))
    rows, frames = written.motion_rows, len(filled.timeline)
    if rows is not None and rows < frames:
        found.append(say("short_motion", "information", rows=rows, frames=frames))
    return found
