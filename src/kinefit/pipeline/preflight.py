"""What can be refused before anything is written and hours of detection are lost."""

from __future__ import annotations

import math

from kinefit.biomech.cutoff import filters
from kinefit.body.load import load_body
from kinefit.detect.masks.network import SelfieSegmenter
from kinefit.io.video import VideoInfo
from kinefit.pipeline.config import OF_BUNDLES, RunConfig, ViewOptions, presets
from kinefit.pipeline.context import Job, clip_of
from kinefit.pipeline.stages.detect import detector_of
from kinefit.pipeline.stages.masks import files_of_camera
from kinefit.pipeline.stages.observe import rig_of
from kinefit.pipeline.store import check_stem
from kinefit.types import InputError


def check_job(job: Job, *, body: bool = True) -> None:
    """Raise what a stage would; InputError and its kin.

    body: whether one is fitted, for which the person's height must be known.
    """
    for name in (job.stem, *job.inputs):
        check_stem(name)
    if job.config.body != "anny":
        load_body(job.config.body, job.config.gender, child=job.config.child)
    if job.kind == "bundle":
        chosen = job.config.model_fields_set - set(presets().get(str(job.config.preset), ()))
        if videos_only := chosen - OF_BUNDLES:
            flag = f"--{sorted(videos_only)[0].replace('_', '-')}"
            raise InputError(flag, "it is for videos, not for a bundle of points", "leave it out")
        return
    if "clothing" in job.config.model_fields_set and not job.config.silhouettes:
        raise InputError("--clothing", "girths come from masks", "give --silhouettes too")
    if unknown := set(job.config.rotate_deg) - {"", *job.inputs}:
        hint = f"there are {', '.join(job.inputs)}"
        raise InputError("--rotate", f"no camera {sorted(unknown)[0]!r}", hint)
    infos = [clip_of(video, job.config).probe() for video in job.inputs.values()]
    for info in infos:
        if info.n_frames < 2:
            hint = "give a video of a second or more, and with --start, --end and --every as much"
            raise InputError(info.path, "one frame is not a motion", hint)
    if "cutoff_hz" in job.config.model_fields_set:  # the default fits itself to any video
        _check_cutoff(job.config.cutoff_hz, max(info.rate_hz for info in infos))
    if body:
        _ = job.config.subject
    if job.kind == "rig":
        _check_rig(job)
    else:
        _check_one(job.config, infos[0])
    if (pointer := job.config.pointer) is not None:
        pointer.camera_of(list(job.inputs))
    for camera in job.inputs:
        detector_of(camera, job.config, several=job.kind == "rig")
        if job.config.masks is not None:
            files_of_camera(job.config.masks, camera)
    if job.config.segmenter is not None:
        SelfieSegmenter(job.config.segmenter)


def _check_cutoff(cutoff_hz: float, rate_hz: float) -> None:
    if cutoff_hz and not filters(cutoff_hz, rate_hz):
        reason = f"{cutoff_hz:g} Hz is not below half the frame rate ({rate_hz:.4g} Hz)"
        hint = f"give less than {rate_hz / 2:.4g}, or 0 for no filter"
        raise InputError("--cutoff-hz", reason, hint)


def check_views(options: ViewOptions, cameras: int) -> None:
    """InputError when more views must agree than there are cameras."""
    if options.min_views > cameras:
        reason = f"{options.min_views} views cannot agree where {cameras} cameras film"
        raise InputError("--min-views", reason, f"give {cameras} or less")


def _check_one(config: RunConfig, info: VideoInfo) -> None:
    if config.calibration is not None:
        hint = "give two or more videos, or leave it out"
        raise InputError("--calibration", "it is for several cameras", hint)
    longer = max(info.size)
    if config.focal_px is not None and not 0.05 < config.focal_px / longer < 12:
        reason = f"{config.focal_px:g} px is no focal length for a picture of {longer} px"
        hint = "give it in pixels, mostly 0.6 to 1.5 times the longer side, or give --fov"
        if 10 < config.focal_px < 200:  # the millimetres of a lens, as on a full frame (36 mm)
            fov = math.degrees(2 * math.atan(18 / config.focal_px))
            hint = f"give --fov {fov:.0f} if you mean {config.focal_px:g} mm on a full frame"
        raise InputError("--focal-px", reason, hint)


def _check_rig(job: Job) -> None:
    config = job.config
    if config.calibration is None:
        reason = "is missing: several videos need the calibration of their cameras"
        raise InputError("--calibration", reason, "give --calibration FILE, or one video")
    check_views(config, len(job.inputs))
    unknown = set(config.offset_s) - set(job.inputs)
    if unknown:
        hint = f"there are {', '.join(job.inputs)}"
        raise InputError("--offsets", f"no camera {sorted(unknown)[0]!r}", hint)
    rig_of(job.inputs, config)
