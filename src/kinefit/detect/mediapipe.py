"""MediaPipe Pose, for those who have it: the networks of kinefit's own detector, one person only.

Two ways to the same network (BlazePose GHUM). The wheel 0.10.21 carries the "full" weights and
the older interface; newer wheels have no weights and only the Tasks interface, for which the
user gives a `.task` file.

The older interface's own smoothing is off. It is causal, trails the unsmoothed points by 0.2-0.3
frames and takes every video for 30 Hz (it feeds itself stamps 33 ms apart); accuracy is the same
with and without (19.7 degrees of limb direction either way), and a zero-phase filter comes later.
The Tasks interface smooths in video mode, by true time stamps, and offers no way not to.
Frames are not padded to a square: `docs/measurements/square_padding.md`.
"""

from __future__ import annotations

from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.detect.overlap import ahead
from kinefit.detect.protocol import Progress
from kinefit.detect.quiet import quiet
from kinefit.io.people import People
from kinefit.io.video import Clip, Picture
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray, InputError, MissingDependency

_BUNDLED = "full"  # the one network that the wheel carries
_MODEL_PAGE = "https://ai.google.dev/edge/mediapipe/solutions/vision/pose_landmarker"


@dataclass(frozen=True)
class MediaPipeDetector:
    """One person's 33 landmarks, with the body in metres, from MediaPipe.

    model: a `.task` file; None for the weights in the wheel.

    Raises InputError when the model is not there.
    """

    model: Path | None = None

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

    def people(
        self, clip: Clip, *, progress: Progress | None = None, checkpoint: Path | None = None
    ) -> People:
        """As `Detector.people`, of one person at most; `checkpoint` is ignored. `body` is what
        MediaPipe calls world landmarks."""
        n_frames = clip.probe().n_frames
        rows: list[FloatArray] = []
        frame: list[int] = []
        damaged = []
        with closing(self._start()) as network, ahead(clip.frames()) as decoded:
            for one in decoded:
                found = None if one.rgb is None else network(one.rgb, one.time)
                rows.append(np.empty((0, len(self.names), 6)) if found is None else found[None])
                frame.append(one.index)
                damaged += [one.index] if one.rgb is None else []
                if progress:
                    progress(len(rows), n_frames)
        points, body = tuple(r[..., :3] for r in rows), tuple(r[..., 3:] for r in rows)
        lost = tuple(damaged)
        return People(self.names, np.array(frame), points, body, damaged=lost, source=self.source)

    def _start(self) -> _Bundled | _Task:
        with quiet():
            if self.model is None:
                return _Bundled()
            return _Task(self.model)


class _Bundled:
    """The older interface with the weights in the wheel."""

    def __init__(self) -> None:
        from mediapipe.python.solutions.pose import Pose

        self._pose = Pose(static_image_mode=False, model_complexity=1, smooth_landmarks=False)
        # Its threads load the networks, and say so, until the first picture is through.
        self._pose.process(np.zeros((64, 64, 3), np.uint8))
        self._warm = False

    def __call__(self, rgb: Picture, time: float) -> FloatArray | None:
        with nullcontext() if self._warm else quiet():
            result = self._pose.process(rgb)
        self._warm = True
        if result.pose_landmarks is None or result.pose_world_landmarks is None:
            return None
        points, world = result.pose_landmarks.landmark, result.pose_world_landmarks.landmark
        return _landmarks(points, world, rgb)

    def close(self) -> None:
        self._pose.close()


class _Task:
    """The Tasks interface with the user's model."""

    def __init__(self, model: Path) -> None:
        import mediapipe
        from mediapipe.tasks.python import BaseOptions, vision

        self._image = partial(mediapipe.Image, image_format=mediapipe.ImageFormat.SRGB)
        options = vision.PoseLandmarkerOptions(
            base_options=BaseOptions(model_asset_buffer=model.read_bytes()),
            running_mode=vision.RunningMode.VIDEO,
        )
        try:
            self._pose = vision.PoseLandmarker.create_from_options(options)
        except (RuntimeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            reason = f"MediaPipe cannot use it as a pose model ({reason})"
            raise InputError(model, reason, f"see {_MODEL_PAGE}") from error
        self._first: float | None = None
        self._last_ms = -1

    def __call__(self, rgb: Picture, time: float) -> FloatArray | None:
        """The interface wants whole milliseconds that increase; above 1 kHz they run ahead."""
        with quiet() if self._first is None else nullcontext():
            self._first = time if self._first is None else self._first
            self._last_ms = max(round((time - self._first) * 1000), self._last_ms + 1)
            result = self._pose.detect_for_video(self._image(data=rgb), self._last_ms)
        if not result.pose_landmarks:
            return None
        return _landmarks(result.pose_landmarks[0], result.pose_world_landmarks[0], rgb)

    def close(self) -> None:
        self._pose.close()


def _landmarks(points: Any, world: Any, rgb: Picture) -> FloatArray:
    """(33, 6) MediaPipe's normalised and world landmarks in kinefit's units: x, y in pixels, score,
    and x, y, z in metres.

    World landmarks have x right, y down and z away from the camera, in metres from the mid-hip:
    the camera axes of kinefit.
    """
    height, width = rgb.shape[:2]
    return np.array(
        [
            (p.x * width, p.y * height, min(max(p.visibility, 0), 1), w.x, w.y, w.z)
            for p, w in zip(points, world, strict=True)
        ]
    )


def _check_bundled() -> None:
    """Raises InputError when the installed MediaPipe lacks these weights, MissingDependency when
    there is none.

    Looks at its files only: importing it takes seconds.
    """
    spec = find_spec("mediapipe")
    if spec is None:
        raise MissingDependency(
            "mediapipe", "The detector mediapipe", "pip install --no-deps mediapipe==0.10.21"
        )
    folders = [Path(f) for f in (spec.submodule_search_locations or ())]
    weights = f"modules/pose_landmark/pose_landmark_{_BUNDLED}.tflite"
    if any((f / weights).is_file() and (f / "python/solutions").is_dir() for f in folders):
        return
    reason = f"it does not carry the {_BUNDLED!r} pose network"
    hint = f"give a .task file from {_MODEL_PAGE}, or install mediapipe==0.10.21"
    raise InputError(f"MediaPipe {version('mediapipe')}", reason, hint)
