"""Stages `detect` and `depth`: what networks see in the pictures of one video."""

from __future__ import annotations

from pathlib import Path

from kinefit.detect import Detector, make_detector
from kinefit.detect.embedded import cores
from kinefit.detect.frozen import WatchedClip
from kinefit.io.people import People
from kinefit.pipeline.artifacts import save_arrays, save_people
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.context import Context
from kinefit.types import InputError, NobodyFound

WITH_DEPTH = ("blazepose", "mediapipe")  # detectors that give bodies in metres, too


def detect(context: Context) -> None:
    """Everybody in one video. Who of them is meant comes later, and changes nothing here."""
    several = context.job.kind == "rig"
    # Each video has a process of its own, as many at a time as there are cores.
    threads = max(1, cores() // len(context.job.inputs)) if several else None
    detector = detector_of(context.camera, context.config, several=several, threads=threads)
    clip, folder = WatchedClip.of(context.clip), context.partial
    try:
        people = detector.people(clip, progress=context.progress, checkpoint=folder)
    except NobodyFound:
        if not several:  # the other cameras may show somebody
            raise
        people = People(detector.names, clip.timeline().frame[:0], (), source=detector.source)
    save_people(context.internal(f"people_{context.camera}.npz"), people)
    save_arrays(context.internal(f"changes_{context.camera}.npz"), {"changes": clip.changes()})


def lend_depth(context: Context) -> None:
    """The embedded detector's 3D, for points of another program, which has none."""
    detector = make_detector("blazepose", heavy=True)  # `quality` is of the detector blazepose
    people = detector.people(context.clip, progress=context.progress, checkpoint=context.partial)
    save_people(context.internal("depth.npz"), people)


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
        config.detector, model=config.detector_model, keypoints=keypoints,
        keypoint_set=config.keypoint_set, heavy=heavy, thorough=config.quality == "best",
        threads=threads,
    )  # fmt: skip
