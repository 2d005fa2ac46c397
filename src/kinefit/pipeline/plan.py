"""The plan: which stages there are, in which order, and what each depends on.

This table is the only place that knows the order. A stage is handed the options it declares and
the files of the stages it reads, and its cache key is made of these, its inputs and its code.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from kinefit.pipeline.config import FIT_TERMS, ViewOptions
from kinefit.pipeline.context import CLIP_OPTIONS, Context, Job
from kinefit.pipeline.stages import (
    angles,
    body,
    detect,
    export,
    markers,
    masks,
    observe,
    outlines,
    report,
    scene,
)
from kinefit.types import InputError

Work = Callable[[Context], None]


@dataclass(frozen=True)
class Stage:
    """One step.

    work: writes its files below `Context.staging`. reads: stages whose files it uses; those that
    are not in the job's plan are left out. options: of RunConfig. writes: what the user gets, in
    words. when: whether the job needs it. per_camera: done once for each video, side by side.
    of_folder: it also reads what an earlier command left of the stages that are not in this plan,
    unless that is stale.
    """

    name: str
    work: Work
    reads: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    writes: str = ""
    when: Callable[[Job], bool] = lambda job: True
    per_camera: bool = False
    of_folder: bool = False


def _filmed(job: Job) -> bool:
    return job.kind != "bundle"


_DETECTION = (*CLIP_OPTIONS, "detector", "detector_model", "keypoints", "keypoint_set", "quality")
_WHO = (*CLIP_OPTIONS, "person", "person_at", "box")
_RIG = (*ViewOptions.model_fields, "person_at", "box", *CLIP_OPTIONS, "sync", "offsets",
        "trajectory", "max_unseen", "lab_frame")  # fmt: skip
_BODY = ("body", "gender", "child")
_FIT = ("head", "hold_feet", *FIT_TERMS)
_MARKERS = ("height", "mass", "max_gap", "cutoff_hz", "augmentation_cycles", "seed",
            "estimate_missing")  # fmt: skip

PLAN: tuple[Stage, ...] = (
    Stage(
        "detect", detect.detect, (), _DETECTION, "",
        when=_filmed, per_camera=True,
    ),
    Stage(
        "depth", detect.lend_depth, (), CLIP_OPTIONS, "",
        when=lambda job: job.kind == "video" and job.config.detector not in detect.WITH_DEPTH,
    ),
    Stage(
        "observe", observe.one_camera, ("detect", "depth"),
        (*_WHO, "height", "visibility_min", "repair_side_swaps", "focal_px", "fov", "tilt", "roll",
         "camera_pof", "pof_model", "pof_signs", "main_refiner"),
        "raw landmarks",
        when=lambda job: job.kind == "video",
    ),
    Stage(
        "observe", observe.rig, ("detect",),
        (*_RIG, "height"),
        "raw landmarks, triangulated points with their evidence, cameras",
        when=lambda job: job.kind == "rig",
    ),
    Stage(
        "observe", observe.bundle, (), ("height",),
        when=lambda job: job.kind == "bundle",
    ),
    Stage(
        "person", observe.person, ("detect",), tuple(dict.fromkeys((*_WHO, *_RIG))), "",
        when=lambda job: _filmed(job) and job.config.wants_masks,
    ),
    Stage(
        "masks", masks.masks, ("person",),
        (*CLIP_OPTIONS, "detector", "detector_model", "masks", "segmenter", "smooth_mask"),
        "person masks and what each is worth",
        when=lambda job: _filmed(job) and job.config.wants_masks, per_camera=True,
    ),
    Stage(
        "heads", masks.heads, ("person", "masks"), CLIP_OPTIONS, "masks of the head",
        when=lambda job: _filmed(job) and job.config.head_mask, per_camera=True,
    ),
    Stage(
        "outlines", outlines.outlines, ("observe", "masks"),
        (*CLIP_OPTIONS, "detector", "detector_model"), "",
        when=lambda job: _filmed(job) and job.config.silhouettes, per_camera=True,
    ),
    Stage(
        "fit", body.fit, ("observe", "outlines"), (*_BODY, *_FIT),
        "the body's motion, its keypoints, how well it fits",
    ),
    Stage(
        "markers", markers.markers, ("observe", "fit"),
        (*_BODY, *_MARKERS, "markers", "force_complete", "camera_pof", "pof_model", "pof_signs",
         *FIT_TERMS),
        "initial and final markers, their uncertainty",
        when=_filmed,
    ),
    Stage(
        "lifted", angles.lifted, ("observe",), (*_BODY, *_FIT, *_MARKERS), "",
        when=lambda job: job.kind == "video" and job.config.main_refiner,
    ),
    Stage(
        "angles", angles.angles, ("fit", "markers", "lifted"),
        ("camera_pof", "pof_model", "pof_signs", "joint_refinement", "main_refiner",
         *_BODY, "cutoff_hz", *FIT_TERMS),
        "joint angles, OpenSim motion",
        when=lambda job: _filmed(job) and job.config.compute_all_joint_angles,
    ),
    Stage(
        "figures", angles.figures, ("angles",), (), "figures of the joint angles",
        when=lambda job: _filmed(job) and job.config.plot_all_joint_angles,
    ),
    *(
        Stage(
            f"export {kind}", export.exporter(kind), ("fit",), _BODY, f"the motion as {kind}",
            when=lambda job, kind=kind: kind in job.config.exports,  # type: ignore[misc]
        )
        for kind in export.KINDS
    ),
    Stage(
        "overlay", export.overlay, ("observe", "fit"), (*_BODY, *CLIP_OPTIONS),
        "the video with the body on it",
        when=lambda job: _filmed(job) and job.config.overlay,
    ),
    Stage(
        "scene", scene.scene, ("observe", "fit", "markers"), scene.OPTIONS, of_folder=True,
    ),
    Stage(
        "report", report.report,
        ("detect", "observe", "fit", "markers", "angles", "figures", "overlay", "scene",
         *(f"export {kind}" for kind in export.KINDS)),
        report.OPTIONS, "the report and the viewer", of_folder=True,
    ),
)  # fmt: skip

MARKERS_AND_ANGLES = ("markers", "angles", "figures")
WITHOUT_BODY = ("depth", "observe")  # what comes before the masks and is not needed for them


def stages_of(job: Job, *, until: str | None = None, without: Sequence[str] = ()) -> list[Stage]:
    """The stages that a job needs, in order: those before and at `until`, without some.

    Raises InputError for a stage that there is not.
    """
    chosen = [stage for stage in PLAN if stage.when(job) and stage.name not in without]
    names = [stage.name for stage in chosen]
    if until is None:
        return chosen
    if until not in names:
        raise InputError("--until", f"there is no stage {until!r}", f"choose of {', '.join(names)}")
    return chosen[: names.index(until) + 1]
