"""Stage `detect`: one video to one person's landmarks (or everybody's) in every frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

from kinefit.detect import Detector, PeopleDetector, make_detector
from kinefit.detect.protocol import FrameResult, FrameSink
from kinefit.io.tables import write_landmarks_csv
from kinefit.io.video import VideoInfo, VideoWriter
from kinefit.pipeline.artifacts import save_people, save_track
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.context import Context
from kinefit.types import InputError

_MASK_QUALITY = 10  # x264 rate factor: the grey levels stay within a few steps of the mask's


def detect(context: Context) -> None:
    """Landmarks of one video; of everybody where who it is will be asked of all views together."""
    detector = detector_of(context.camera, context.config, several=context.job.kind == "rig")
    name = context.camera
    if context.job.kind == "rig" and isinstance(detector, PeopleDetector):
        people = detector.people(context.clip, progress=context.progress)
        save_people(context.internal(f"people_{name}.npz"), people)
        return
    with ExitStack() as opened:
        sink = None
        if context.config.save_mask:
            path, info = context.new("_mask.mp4", name), context.clip.probe()
            sink = opened.enter_context(_mask_video(path, info))
        track = detector.track(
            context.clip, on_frame=sink, progress=context.progress, checkpoint=context.partial
        )
    save_track(context.internal(f"track_{name}.npz"), track)
    write_landmarks_csv(context.new("_raw_landmarks.csv", name), track)


@contextmanager
def _mask_video(path: Path, info: VideoInfo) -> Iterator[FrameSink]:
    """A sink that writes the person mask of every frame at full size.

    White is person, black is not, grey in between as sure as the detector is; a frame without a
    mask (nobody found, or damaged) is black.
    """
    black = np.zeros(info.size[::-1], np.float32)
    rate = info.rate_hz if np.isfinite(info.rate_hz) else 30.0
    with VideoWriter(path, info.size, rate_hz=rate, quality=_MASK_QUALITY) as video:

        def write(frame: FrameResult) -> None:
            mask = black if frame.mask is None else frame.mask
            grey = np.round(255 * np.clip(mask, 0, 1)).astype(np.uint8)
            video.add(np.repeat(grey[..., None], 3, axis=-1), frame.time)

        yield write


def lend_depth(context: Context) -> None:
    """The embedded detector's 3D, for points of another program, which has none."""
    depth = make_detector("mediapipe").track(
        context.clip, progress=context.progress, checkpoint=context.partial
    )
    save_track(context.internal("depth.npz"), depth)


def detector_of(camera: str, config: RunConfig, *, several: bool) -> Detector:
    """The detector of one video; the keypoint files of several are looked up by camera."""
    keypoints = config.keypoints
    if keypoints is not None and several:
        # Named as the camera, with Pose2Sim's ending, or as a file; and nothing else.
        choices = [keypoints / f"{camera}{end}" for end in ("", "_json", ".json")]
        found = [path for path in choices if path.exists()]
        if len(found) != 1:
            reason = f"it has {'several' if found else 'no'} keypoints of camera {camera!r}"
            hint = f"name them {', '.join(p.name for p in choices[:2])} or {choices[2].name}"
            raise InputError(keypoints, reason, hint)
        keypoints = found[0]
    model, masks = config.detector_model, config.save_mask
    return make_detector(config.detector, model=model, keypoints=keypoints, masks=masks)
