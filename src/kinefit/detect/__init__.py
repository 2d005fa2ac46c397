"""From video to everybody's points: kinefit's own detector, others, or files of other programs."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, assert_never

from kinefit.detect.embedded import BlazePoseDetector
from kinefit.detect.files import FileDetector
from kinefit.detect.mediapipe import MediaPipeDetector
from kinefit.detect.protocol import Detector as Detector
from kinefit.detect.protocol import Progress as Progress
from kinefit.detect.rtm import RtmDetector
from kinefit.types import InputError

Kind = Literal["blazepose", "mediapipe", "rtmlib", "openpose", "mmpose", "alphapose", "coco"]


def make_detector(
    kind: Kind,
    *,
    model: Path | None = None,
    keypoints: Path | None = None,
    keypoint_set: str | None = None,
    heavy: bool = False,
    thorough: bool = False,
    threads: int | None = None,
) -> Detector:
    """The detector of that name, checked as far as possible without running it.

    model: the network's file; None for what comes with the detector.
    keypoints: the file or folder to read, for the four kinds that read files; keypoint_set: whose
        points these are, by the name of a set (`kinefit.skeletons.keypoint_sets`), None: told.
    heavy, thorough, threads: of `BlazePoseDetector`.

    Raises InputError when a file is missing or not usable, MissingDependency without the package
    of a detector that does not come with kinefit.
    """
    match kind:
        case "blazepose":
            return BlazePoseDetector(model, heavy, thorough, threads)
        case "mediapipe":
            return MediaPipeDetector(model)
        case "rtmlib":
            return RtmDetector(model)
        case "openpose" | "mmpose" | "alphapose" | "coco":
            if keypoints is None:
                raise InputError(kind, "it needs a file to read", "give --keypoints FILE or FOLDER")
            return FileDetector(kind, keypoints, keypoint_set)
        case _:
            assert_never(kind)
