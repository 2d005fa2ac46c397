"""From video to one person's points: MediaPipe, rtmlib, or the files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, assert_never

from kinefit.detect.files import FileDetector
from kinefit.detect.files import PeopleDetector as PeopleDetector
from kinefit.detect.files import track_from_people as track_from_people
from kinefit.detect.mediapipe import MediaPipeDetector
from kinefit.detect.protocol import Detector as Detector
from kinefit.detect.protocol import FrameResult as FrameResult
from kinefit.detect.protocol import FrameSink as FrameSink
from kinefit.detect.protocol import Progress as Progress
from kinefit.detect.rtm import RtmDetector
from kinefit.types import InputError

Kind = Literal["mediapipe", "rtmlib", "openpose", "mmpose", "alphapose", "coco"]


def make_detector(
    kind: Kind, *, model: Path | None = None, keypoints: Path | None = None, masks: bool = False
) -> Detector:
    """The detector of that name, checked as far as possible without running it.

    model: the network's file; None for what comes with the detector.
    keypoints: the file or folder to read, for the four kinds that read files.
    masks: whether frames come with a mask of the person (MediaPipe only).

    Raises InputError when a file is missing or not usable, MissingDependency without rtmlib.
    """
    match kind:
        case "mediapipe":
            return MediaPipeDetector(model, masks)
        case "rtmlib":
            return RtmDetector(model)
        case "openpose" | "mmpose" | "alphapose" | "coco":
            if keypoints is None:
                raise InputError(kind, "it needs a file to read", "give the keypoints' path")
            return FileDetector(kind, keypoints)
        case _:
            assert_never(kind)
