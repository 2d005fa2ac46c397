"""Stages `detect`, `depth` and `masks`: what networks see in the pictures of one video."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.detect import Detector, make_detector
from kinefit.detect.blazepose import region
from kinefit.detect.embedded import cores, mask_network
from kinefit.detect.overlap import ahead
from kinefit.io.people import People
from kinefit.io.video import VideoWriter
from kinefit.pipeline.artifacts import load_arrays, save_people
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.context import Context
from kinefit.types import FloatArray, InputError, NobodyFound

WITH_DEPTH = ("blazepose", "mediapipe")  # detectors that give bodies in metres, too
_MASK_QUALITY = 10  # x264 rate factor: the grey levels stay within a few steps of the mask's


def detect(context: Context) -> None:
    """Everybody in one video. Who of them is meant comes later, and changes nothing here."""
    several = context.job.kind == "rig"
    # Each video has a process of its own, as many at a time as there are cores.
    threads = max(1, cores() // len(context.job.inputs)) if several else None
    detector = detector_of(context.camera, context.config, several=several, threads=threads)
    clip, folder = context.clip, context.partial
    try:
        people = detector.people(clip, progress=context.progress, checkpoint=folder)
    except NobodyFound:
        if not several:  # the other cameras may show somebody
            raise
        people = People(detector.names, clip.timeline().frame[:0], (), source=detector.source)
    save_people(context.internal(f"people_{context.camera}.npz"), people)


def lend_depth(context: Context) -> None:
    """The embedded detector's 3D, for points of another program, which has none."""
    detector = make_detector("blazepose", heavy=True)  # `quality` is of the detector blazepose
    people = detector.people(context.clip, progress=context.progress, checkpoint=context.partial)
    save_people(context.internal("depth.npz"), people)


def masks(context: Context) -> None:
    """`<camera>_mask.mp4`: the mask of the chosen person in every frame at full size.

    White is person, black is not, grey in between as sure as the network is; a frame in which the
    person was not found (or that is damaged) is black.
    """
    network, info = mask_network(context.config.detector_model), context.clip.probe()
    places = load_arrays(context.read_internal(f"place_{context.camera}.npz"))["place"]
    place_of = dict(zip(context.clip.timeline().frame.tolist(), places, strict=True))
    black = np.zeros(info.size[::-1], np.uint8)
    path = context.new("_mask.mp4", context.camera)
    rate = info.rate_hz if np.isfinite(info.rate_hz) else 30.0
    with (
        ahead(context.clip.frames()) as frames,
        VideoWriter(path, info.size, rate_hz=rate, quality=_MASK_QUALITY) as video,
    ):
        for row, frame in enumerate(frames):
            grey = black
            place = place_of.get(frame.index)
            if frame.rgb is not None and place is not None and np.isfinite(place).all():
                mask = network(frame.rgb, place).mask
                assert mask is not None  # it was asked for
                grey = _in_picture(mask, place, info.size)
            video.add(np.repeat(grey[..., None], 3, axis=-1), frame.time)
            context.progress(row + 1, info.n_frames)


def _in_picture(
    mask: NDArray[np.float32], place: FloatArray, size: tuple[int, int]
) -> NDArray[np.uint8]:
    """(height, width) 0..255: the mask of a region where it is in the picture."""
    grey = np.round(255 * np.clip(mask, 0, 1)).astype(np.uint8)
    return np.asarray(cv2.warpAffine(grey, region(place), size, flags=cv2.INTER_LINEAR))


def detector_of(
    camera: str, config: RunConfig, *, several: bool, threads: int | None = None
) -> Detector:
    """The detector of one video; the keypoint files of several are looked up by camera."""
    keypoints: Path | None = config.keypoints
    if keypoints is not None and several:
        # Named as the camera, with Pose2Sim's ending, or as a file; and nothing else.
        choices = [keypoints / f"{camera}{end}" for end in ("", "_json", ".json")]
        found = [path for path in choices if path.exists()]
        if len(found) != 1:
            reason = f"it has {'several' if found else 'no'} keypoints of camera {camera!r}"
            hint = f"name them {', '.join(p.name for p in choices[:2])} or {choices[2].name}"
            raise InputError(keypoints, reason, hint)
        keypoints = found[0]
    # With several cameras the heavy network costs as many times more, and buys less.
    heavy = config.quality == "best" or (config.quality == "normal" and not several)
    return make_detector(
        config.detector, model=config.detector_model, keypoints=keypoints, heavy=heavy,
        thorough=config.quality == "best", threads=threads,
    )  # fmt: skip
