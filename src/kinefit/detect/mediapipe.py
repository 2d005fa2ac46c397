"""MediaPipe Pose: the detector that comes with everything it needs.

Two ways to the same network (BlazePose GHUM). The wheel 0.10.21 carries the "full" weights and
the older interface; newer wheels have no weights and only the Tasks interface, for which the
user gives a `.task` file.

Measured on the four views of Pose2Sim's single-person demo (60 Hz, walking and turning):

- The older interface's own smoothing is off. It is causal, trails the unsmoothed points by
  0.2-0.3 frames and takes every video for 30 Hz (it feeds itself stamps 33 ms apart); accuracy
  is the same with and without (19.7 degrees of limb direction either way), and a zero-phase
  filter comes later. The Tasks interface smooths in video mode, by true time stamps, and offers
  no way not to.
- Pixels are `x * width`, without half a pixel off: images turned by 180 degrees give
  x + x' = width - 1 to 0.2 pixels, which is the convention of centres at integers. Mirrored
  ones leave 1.6 pixels to the right, half a pixel of the network's own 256-pixel input: a bias
  of the network, left alone.
- Frames are not padded to a square: `docs/measurements/square_padding.md`.
- Inference keeps one core busy (19 ms of CPU in 20 ms); no leak of note in 0.10.21 (under 4 MB
  in 1,000 frames), though users report some in others.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from kinefit.detect.inference import Inference, Landmarks, Network
from kinefit.detect.protocol import FrameSink, Progress
from kinefit.io.video import Clip, Picture
from kinefit.skeletons import skeleton
from kinefit.types import InputError, PoseTrack

_BUNDLED = "full"  # the one network that the wheel carries
_MODEL_PAGE = "https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker"

# What MediaPipe says on every start, to standard error and whatever the log level.
_CHATTER = re.compile(
    rb"XNNPACK delegate|absl::InitializeLog|inference_feedback_manager|NORM_RECT without"
    rb"|GL version|EGL|OpenGL"
)


@dataclass(frozen=True)
class MediaPipeDetector:
    """One person's 33 landmarks, with the body in metres, from MediaPipe.

    model: a `.task` file; None for the weights in the wheel.
    masks: whether frames come with the person's mask.

    Raises InputError when the model is not there.
    """

    model: Path | None = None
    masks: bool = False

    def __post_init__(self) -> None:
        if self.model is None:
            _check_bundled()
        elif not self.model.is_file():
            raise InputError(self.model, "there is no such model file", f"see {_MODEL_PAGE}")

    @property
    def names(self) -> tuple[str, ...]:
        return skeleton("blazepose33").points

    @property
    def source(self) -> str:
        weights = self.model.name if self.model else _BUNDLED
        return f"MediaPipe {version('mediapipe')} Pose, {weights}"

    def track(
        self,
        clip: Clip,
        *,
        on_frame: FrameSink | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
    ) -> PoseTrack:
        """As `Detector.track`; `body` is what MediaPipe calls world landmarks."""
        settings = self.source
        if self.model is not None:
            settings += f" {hashlib.sha256(self.model.read_bytes()).hexdigest()}"
        settings += f" masks={self.masks}"
        inference = Inference(self._start, self.names, settings, self.masks)
        image, body, damaged = inference.over(clip, on_frame, progress, checkpoint)
        return PoseTrack(image, body, damaged, self.source)

    def _start(self) -> Network:
        with _quiet():
            if self.model is None:
                return _Bundled(self.masks)
            return _Task(self.model, self.masks)


def picture_network() -> Network:
    """The weights in the wheel on single pictures: each is looked at afresh, whatever came before.

    Raises InputError when the installed MediaPipe does not carry them.
    """
    _check_bundled()
    with _quiet():
        return _Bundled(masks=False, single=True)


class _Bundled:
    """The older interface with the weights in the wheel."""

    def __init__(self, masks: bool, single: bool = False) -> None:
        from mediapipe.python.solutions.pose import Pose

        self._pose = Pose(
            static_image_mode=single,
            model_complexity=1,
            smooth_landmarks=False,
            enable_segmentation=masks,
        )
        self._warm = False

    def __call__(self, rgb: Picture, time: float) -> Landmarks | None:
        with nullcontext() if self._warm else _quiet():
            result = self._pose.process(rgb)
        self._warm = True
        if result.pose_landmarks is None or result.pose_world_landmarks is None:
            return None
        points, world = result.pose_landmarks.landmark, result.pose_world_landmarks.landmark
        return _landmarks(points, world, getattr(result, "segmentation_mask", None), rgb)

    def close(self) -> None:
        self._pose.close()


class _Task:
    """The Tasks interface with the user's model."""

    def __init__(self, model: Path, masks: bool) -> None:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        self._image = partial(mediapipe.Image, image_format=mediapipe.ImageFormat.SRGB)
        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=model.read_bytes()),
            running_mode=vision.RunningMode.VIDEO,
            output_segmentation_masks=masks,
        )
        try:
            self._pose = vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            reason = f"MediaPipe cannot use it as a pose model ({reason})"
            raise InputError(model, reason, f"see {_MODEL_PAGE}") from error
        self._first: float | None = None
        self._last_ms = -1

    def __call__(self, rgb: Picture, time: float) -> Landmarks | None:
        """The interface wants whole milliseconds that increase; above 1 kHz they run ahead."""
        with _quiet() if self._first is None else nullcontext():
            self._first = time if self._first is None else self._first
            self._last_ms = max(round((time - self._first) * 1000), self._last_ms + 1)
            result = self._pose.detect_for_video(self._image(data=rgb), self._last_ms)
        if not result.pose_landmarks:
            return None
        masks = result.segmentation_masks
        mask = masks[0].numpy_view().copy() if masks else None
        return _landmarks(result.pose_landmarks[0], result.pose_world_landmarks[0], mask, rgb)

    def close(self) -> None:
        self._pose.close()


def _landmarks(points: Any, world: Any, mask: Any, rgb: Picture) -> Landmarks:
    """MediaPipe's normalised and world landmarks in kinefit's units.

    World landmarks have x right, y down and z away from the camera, in metres from the mid-hip:
    the camera axes of kinefit.
    """
    height, width = rgb.shape[:2]
    return Landmarks(
        xy=np.array([(p.x * width, p.y * height) for p in points]),
        score=np.clip([p.visibility for p in points], 0, 1),
        body=np.array([(p.x, p.y, p.z) for p in world]),
        mask=mask,
    )


def _check_bundled() -> None:
    """Raises InputError when the installed MediaPipe does not carry these weights.

    Looks at its files only: importing it takes seconds.
    """
    spec = find_spec("mediapipe")
    folders = [Path(f) for f in (spec.submodule_search_locations or ())] if spec else []
    weights = f"modules/pose_landmark/pose_landmark_{_BUNDLED}.tflite"
    if any((f / weights).is_file() and (f / "python/solutions").is_dir() for f in folders):
        return
    reason = f"it does not carry the {_BUNDLED!r} pose network"
    hint = f"give a .task file from {_MODEL_PAGE}, or install mediapipe==0.10.21"
    raise InputError(f"MediaPipe {version('mediapipe')}", reason, hint)


_STDERR = Lock()  # one descriptor for all threads: several videos start at the same time


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep MediaPipe's known chatter off standard error; whatever else is said there comes after.

    Its C++ logging knows no level before it is set up, which Python cannot do (GLOG_minloglevel
    and TF_CPP_MIN_LOG_LEVEL change nothing), so the descriptor itself is turned aside.
    """
    with _STDERR, tempfile.TemporaryFile() as said:
        try:
            sys.stderr.flush()
            kept = os.dup(2)
        except (OSError, AttributeError):  # no standard error to protect
            yield
            return
        os.dup2(said.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            said.seek(0)
            os.write(2, b"".join(line for line in said if not _CHATTER.search(line)))
