"""What can be refused before anything is written and hours of detection are lost."""

from __future__ import annotations

from pathlib import Path

from kinefit.biomech.cutoff import check_cutoff
from kinefit.body.load import load_body
from kinefit.io.packages import pose2sim_folder
from kinefit.io.video import VideoInfo, probe
from kinefit.pipeline.config import RunConfig, ViewOptions
from kinefit.pipeline.context import Job
from kinefit.pipeline.stages.detect import detector_of
from kinefit.pipeline.stages.observe import rig_of
from kinefit.types import InputError


def check_job(job: Job) -> None:
    """Raise what a stage would; InputError and its kin."""
    if job.config.body != "anny":
        load_body(job.config.body, job.config.gender, child=job.config.child)
    if job.kind == "bundle":
        _check_bundle(job)
        return
    infos = [_checked(video) for video in job.inputs.values()]
    check_cutoff(job.config.cutoff_hz, max(info.rate_hz for info in infos))
    _ = job.config.subject
    pose2sim_folder("Marker augmentation")
    if job.kind == "rig":
        _check_rig(job)
    else:
        _check_one(job.config, infos[0])
    for camera in job.inputs:
        detector_of(camera, job.config, several=job.kind == "rig")


def check_views(options: ViewOptions, cameras: int) -> None:
    """InputError when more views must agree than there are cameras."""
    if options.min_views > cameras:
        raise InputError(
            "--min-views",
            f"{options.min_views} views cannot agree where {cameras} cameras film",
            f"give {cameras} or less",
        )


def _checked(video: Path) -> VideoInfo:
    info = probe(video)
    if info.n_frames < 2:
        raise InputError(video, "one frame is not a motion", "give a video of a second or more")
    return info


def _check_one(config: RunConfig, info: VideoInfo) -> None:
    if config.calibration is not None:
        raise InputError(
            "--calibration", "it is for several cameras", "give two or more videos, or leave it out"
        )
    longer = max(info.size)
    if config.focal_px is not None and not 0.05 < config.focal_px / longer < 12:
        raise InputError(
            "--focal-px",
            f"{config.focal_px:g} px is no focal length for a picture of {longer} px",
            "give it in pixels, mostly 0.6 to 1.5 times the longer side, or give --fov",
        )


def _check_rig(job: Job) -> None:
    config = job.config
    if config.calibration is None:
        raise InputError(
            "several videos", "they need to know their cameras", "give --calibration FILE"
        )
    check_views(config, len(job.inputs))
    unknown = set(config.offset_s) - set(job.inputs)
    if unknown:
        raise InputError(
            "--offsets",
            f"no camera {sorted(unknown)[0]!r}",
            f"there are {', '.join(job.inputs)}",
        )
    rig_of(job.inputs, config)


# What a fit to triangulated points can be asked for; the rest is for videos.
_OF_BUNDLES = {"height", "body", "gender", "child", "head", "hold_feet", "export"}


def _check_bundle(job: Job) -> None:
    chosen = job.config.model_fields_set - _OF_BUNDLES
    if chosen:
        flag = f"--{sorted(chosen)[0].replace('_', '-')}"
        raise InputError(flag, "it is for videos, not for a bundle of points", "leave it out")
