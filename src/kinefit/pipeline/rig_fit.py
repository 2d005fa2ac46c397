"""Poses of a rig, frame by frame, from triangulated points and what each camera saw for itself.

Everything is written under the hash of what it was made from: a second run finds what is there,
and one that was killed goes on from its finished frames.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.body.load import load_body
from kinefit.body.mhr import MhrModel, load_mhr
from kinefit.body.model import BodyModel
from kinefit.fit.recipes.frames.frame_sequence import SequenceFit, fit_sequence
from kinefit.fit.recipes.frames.rig_frames import FrameStore
from kinefit.fit.recipes.frames.rig_mhr import RigClip, as_rig
from kinefit.fit.recipes.frames.rig_targets import RigTargets
from kinefit.fit.recipes.frames.rigfit import RigFit, rig_chain
from kinefit.fit.solver.state import State
from kinefit.io.arrays import read_npy, read_npz
from kinefit.io.atomic import write_json
from kinefit.io.body_npz import write_motion
from kinefit.io.sam3d_outputs import write_outputs
from kinefit.io.text import refused_as_input
from kinefit.io.trc import write_trc
from kinefit.multiview.bundle import load_triangulation, read_bundle
from kinefit.pipeline import rig_views
from kinefit.pipeline.config import FrameOptions
from kinefit.pipeline.context import Progress
from kinefit.pipeline.provenance import code_version, versions
from kinefit.pipeline.results import words_about
from kinefit.pipeline.rig_files import frame_output
from kinefit.pipeline.single_step import run_job
from kinefit.pipeline.stages.export import export_as
from kinefit.pipeline.stages.scene import figure_of, points_of
from kinefit.quality.verdict import frame_fit_findings
from kinefit.report.page import ReportData, write_report
from kinefit.report.parts import Cell, Table
from kinefit.report.scene import Scene, pack_scene
from kinefit.skeletons import skeleton
from kinefit.types import InputError, InvalidData, Markers, Timeline, TooFewPoints

STAGE = "frames"


@dataclass(frozen=True)
class FramesResult:
    """What a fit frame by frame left. report: the content of its JSON file. files: all written."""

    report: dict[str, Any]
    files: tuple[Path, ...]

    @property
    def warnings(self) -> list[str]:
        """What to know before using the numbers."""
        return list(self.report["notes"])


def fit_bundle_frames(
    bundle: Path,
    out: Path,
    options: FrameOptions,
    views: Path | None = None,
    *,
    progress: Progress = lambda stage, done, total: None,
) -> FramesResult:
    """Fit a body to each frame of a bundle; files in the folder `out`.

    views: outputs of SAM 3D Body by camera (see `rig_views.read_views`), whose poses the fit
    begins with. None: it begins with poses made from the points.

    Raises InputError for files that cannot be read or do not fit together, options out of range,
    and a folder with other results.
    """
    job = _Job.of(bundle, options, views)
    read = {"bundle": bundle, "views": views, "keypoint_mapping": options.keypoint_mapping}
    read["body"] = None if options.body == "anny" else Path(options.body)
    record, _ = run_job(
        out,
        STAGE,
        {name: path for name, path in read.items() if path is not None},
        options.model_dump(mode="json"),
        lambda staging, partial: job.run(staging, partial, progress),
        stem=bundle.stem,
        reuse=True,
    )
    report = json.loads((out / f"{job.stem}.json").read_text("utf-8"))
    return FramesResult(report, tuple(out / name for name in record.files))


@dataclass(frozen=True, eq=False)
class _Job:
    """A fit that has all it needs. model: of a body that is MHR."""

    bundle: Path
    views: Path | None
    options: FrameOptions
    body: BodyModel
    model: MhrModel | None
    targets: RigTargets
    notes: tuple[str, ...]

    @classmethod
    def of(cls, bundle: Path, options: FrameOptions, views: Path | None) -> _Job:
        """Everything that can be refused is, before anything is written."""
        _ = options.exports
        targets, notes = _targets(bundle, options)
        body, model = _body(options)
        if model is not None and model.ignored:
            names = ", ".join(model.ignored)
            notes.append(f"This rig differs from MHR: joints may be misplaced where {names} move.")
        return cls(bundle, views, options, body, model, targets, tuple(notes))

    @property
    def stem(self) -> str:
        return f"{self.bundle.stem}_frames"

    def run(self, out: Path, partial: Path, progress: Progress) -> None:
        """Fit and write below `out`; finished frames are kept in `partial` until all are."""
        work, starts = self._starts()
        progress(STAGE, 0, len(work.targets))
        found = fit_sequence(
            work,
            starts,
            self.options,
            store=FrameStore(partial, code_version()),
            progress=lambda done, total: progress(STAGE, done, total),
        )
        rig = None if self.model is None else as_rig(self.model, found)
        self._write(out, found if rig is None else rig.found, rig, progress)

    def _starts(self) -> tuple[RigFit, dict[str, State]]:
        """The fit, and each camera's initial poses."""
        points = dict.fromkeys((*self.targets.names, *skeleton("mhr70").points))
        chain, targets = rig_chain(self.body, tuple(points)), self.targets
        if self.views is None:
            targets = rig_views.from_points_alone(targets)
        with refused_as_input(self.bundle):
            work = RigFit.of(chain, targets, self.options)
        seen = None
        if self.views is not None:
            seen = rig_views.read_views(self.views, targets.cameras, targets.timeline)
            if self.model is not None:
                return work, rig_views.mhr_views(self.model, chain, seen, len(targets))
        try:
            shape = rig_views.shape_of_points(work)
        except TooFewPoints as error:
            hint = "triangulate more of the body"
            raise InputError(self.bundle, error.bare_reason, hint) from error
        if seen is None:
            return work, rig_views.point_views(chain, shape, work.targets)
        return work, rig_views.keypoint_views(chain, shape, seen, len(targets))

    def _write(
        self, out: Path, found: SequenceFit, rig: RigClip | None, progress: Progress
    ) -> None:
        numbers = found.work.targets.timeline.frame.tolist()
        for t, number in enumerate(numbers):
            person = frame_output(self.body, found, t, rig, self.options.meshes)
            write_outputs(out / "frames" / f"{number:06d}.npz", [person])
            progress("files", t + 1, len(numbers))
        notes = self._write_motion(out / self.stem, found)
        report = self._report(found, rig, [*self.notes, *notes])
        write_json(out / f"{self.stem}.json", report)
        self._write_page(out, report, self._scene(found))

    def _scene(self, found: SequenceFit) -> Scene:
        """The points on the body, and the body where the clip is one."""
        targets = found.work.targets
        points = points_of("Points", Markers(targets.timeline, targets.names, found.points))
        try:
            figures = [figure_of(self.body, found.motion)]
        except InvalidData:  # frames of several shapes, or no pose at all
            figures = []
        return Scene(self.bundle.stem, targets.timeline, figures, [points])

    def _write_page(self, out: Path, report: Mapping[str, Any], shown: Scene) -> None:
        counts: list[list[Cell]] = [[k.capitalize(), n] for k, n in report["status"].items()]
        data = ReportData(
            title=self.bundle.stem,
            kind="a body frame by frame",
            findings=frame_fit_findings(report),
            facts=[
                ("Points", self.bundle.name),
                ("Length", f"{report['frames']} frames"),
                ("Body", report["body"]),
            ],
            scene=pack_scene(shown),
            several_cameras=True,
            assumed=report["notes"],
            tables=[Table("Poses", ("Kind", "Frames"), counts, digits=0)],
            files=words_about({path.name: False for path in out.glob(f"{self.stem}*")}),
            parameters=report["options"],
            versions=versions(),
        )
        write_report(out / f"{self.stem}_report.html", data)

    def _write_motion(self, stem: Path, found: SequenceFit) -> list[str]:
        """The points on the body, and the clip as one body where it is one; what to know."""
        notes: list[str] = []
        if not np.isfinite(found.scale).any():
            return ["No frame has a pose that can be used: there is no motion."]
        if len(found.reports) > 1:  # one frame has no rate, which TRC must state
            targets = found.work.targets
            points = Markers(targets.timeline, targets.names, found.points)
            write_trc(stem.with_name(f"{stem.name}.trc"), points)
        try:
            motion = found.motion
        except InvalidData:
            return ["No motion was written: its frames have several shapes or scales."]
        write_motion(stem.with_name(f"{stem.name}.npz"), motion)
        for kind in self.options.exports:
            notes += export_as(stem, kind, self.body, motion)[1]
        return notes

    def _report(
        self, found: SequenceFit, rig: RigClip | None, notes: Sequence[str]
    ) -> dict[str, Any]:
        work = found.work
        about: dict[str, Any] = {
            "bundle": self.bundle.name,
            "views": None if self.views is None else self.views.name,
            "body": self.body.name,
            "points": list(work.targets.names),
            "moving_joints": [work.chain.joint_names[j] for j in np.flatnonzero(work.free)],
            "options": self.options.model_dump(mode="json", exclude_none=True),
            "notes": list(notes),
        }
        if rig is not None:
            about["rig_turned_deg"] = _turned(rig)
        return about | found.as_json()


def _turned(rig: RigClip) -> dict[str, float]:
    """Joints that turned by a degree or more to what the rig can do -> the most, degrees."""
    most = np.degrees(np.nan_to_num(rig.rotation_change).max(axis=0, initial=0.0)).round(2)
    turned = zip(rig.model.body.joint_names, most.tolist(), strict=True)
    return {name: degrees for name, degrees in turned if degrees >= 1}


def _body(options: FrameOptions) -> tuple[BodyModel, MhrModel | None]:
    path = Path(options.body)
    if path.suffix != ".pt":
        if options.keypoint_mapping is not None:
            raise InputError("--keypoint-mapping", "is for MHR", "leave it out")
        return load_body(options.body, options.gender), None
    if options.gender is not None:
        raise InputError("--gender", "MHR has none to choose", "leave it out")
    mapping = None
    if options.keypoint_mapping is not None:
        mapping = read_npy(options.keypoint_mapping)
        if mapping.dtype.kind not in "iuf":
            raise InputError(options.keypoint_mapping, "is no array of numbers", "check the file")
    with refused_as_input(options.keypoint_mapping or path):
        model = load_mhr(path, mapping)
    return model.body, model


def _targets(bundle: Path, options: FrameOptions) -> tuple[RigTargets, list[str]]:
    """The points of a bundle; and what was assumed."""
    if "covariance" in read_npz(bundle, only=("covariance",)):
        targets = RigTargets.of_triangulation(load_triangulation(bundle))
        if options.cameras is not None:
            raise InputError("--cameras", "the bundle has names already", "leave it out")
        return _on_clock(targets, options.rate)
    found = read_bundle(bundle)
    names, cameras = found.names, found.cameras
    if names == _numbers(len(names)):
        names = rig_views.NAMES.get(len(names), names)
        if names == found.names:
            raise InputError(
                bundle, f"its {len(names)} points have no names", "triangulate it with kinefit"
            )
    if options.cameras is not None:
        cameras = tuple(name.strip() for name in options.cameras.split(","))
        if len(cameras) != len(found.cameras) or found.cameras != _numbers(len(cameras)):
            has = ", ".join(found.cameras)
            raise InputError("--cameras", f"the bundle's are {has}", "name each, or leave it out")
    with refused_as_input(bundle):
        targets = replace(RigTargets.of_bundle(found, names), cameras=cameras)
    return _on_clock(targets, options.rate)


def _numbers(count: int) -> tuple[str, ...]:
    """What stands for names that a bundle does not have."""
    return tuple(map(str, range(count)))


def _on_clock(targets: RigTargets, rate: float | None) -> tuple[RigTargets, list[str]]:
    """With `rate` frames per second where times are frame numbers."""
    timeline = targets.timeline
    numbered = len(timeline) > 1 and np.array_equal(timeline.time, timeline.frame)
    if rate is not None:
        if len(timeline) > 1 and not numbered:
            raise InputError("--rate", "the bundle has times already", "leave it out")
        return replace(targets, timeline=Timeline(timeline.frame, timeline.frame / rate)), []
    said = "Times are frame numbers, a second apart: frames do not look at each other. Give --rate."
    return targets, [said] if numbered else []
