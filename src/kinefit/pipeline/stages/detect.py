"""Stage `detect`: one video to one person's landmarks (or everybody's) in every frame."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from kinefit.detect import Detector, PeopleDetector, make_detector
from kinefit.io.tables import write_landmarks_csv
from kinefit.io.video import probe
from kinefit.pipeline.artifacts import save_people, save_track
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.context import Context
from kinefit.render.mask import MaskWriter
from kinefit.types import InputError


def detect(context: Context) -> None:
    """Landmarks of one video; of everybody where who it is will be asked of all views together."""
    detector = detector_of(context.camera, context.config, several=context.job.kind == "rig")
    name = context.camera
    if context.job.kind == "rig" and isinstance(detector, PeopleDetector):
        people = detector.people(context.video, progress=context.progress)
        save_people(context.internal(f"people_{name}.npz"), people)
        return
    with ExitStack() as opened:
        sink = None
        if context.config.save_mask:
            path, info = context.new("_mask.mp4", name), probe(context.video)
            sink = opened.enter_context(MaskWriter(path, info, detector.names))
        track = detector.track(
            context.video, on_frame=sink, progress=context.progress, checkpoint=context.partial
        )
    save_track(context.internal(f"track_{name}.npz"), track)
    write_landmarks_csv(context.new("_raw_landmarks.csv", name), track)


def lend_depth(context: Context) -> None:
    """The embedded detector's 3D, for points of another program, which has none."""
    video = next(iter(context.job.inputs.values()))
    depth = make_detector("mediapipe").track(
        video, progress=context.progress, checkpoint=context.partial
    )
    save_track(context.internal("depth.npz"), depth)


def detector_of(camera: str, config: RunConfig, *, several: bool) -> Detector:
    """The detector of one video; the keypoint files of several are looked up by camera."""
    keypoints = config.keypoints
    if keypoints is not None and several:
        keypoints = _keypoints_of(camera, keypoints)
    return make_detector(
        config.detector,
        model=config.detector_model,
        keypoints=keypoints,
        masks=config.save_mask,
    )


def _keypoints_of(camera: str, folder: Path) -> Path:
    """`folder`/<camera>, <camera>_json (Pose2Sim's layout) or <camera>.json, and nothing else."""
    choices = [folder / camera, folder / f"{camera}_json", folder / f"{camera}.json"]
    found = [path for path in choices if path.exists()]
    if len(found) != 1:
        raise InputError(
            folder,
            f"it has {'no' if not found else 'several'} keypoints of camera {camera!r}",
            f"name them {', '.join(path.name for path in choices[:2])} or {choices[2].name}",
        )
    return found[0]
