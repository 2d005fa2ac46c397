"""RTMPose through rtmlib: 26 points with feet (Halpe26), 2D only, for everybody in the picture."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.detect.overlap import ahead
from kinefit.detect.protocol import Progress
from kinefit.io.people import People
from kinefit.io.video import Clip, Picture
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray, InputError, MissingDependency

_MODE = "balanced"  # of the networks that rtmlib downloads
_SIZE_IN_NAME = re.compile(r"(\d{3})x(\d{3})")  # height x width, as OpenMMLab names its models

FindBoxes = Callable[[Picture], NDArray[Any]]
FindPoints = Callable[[Picture, NDArray[Any]], tuple[FloatArray, FloatArray]]


@dataclass(frozen=True)
class RtmDetector:
    """RTMPose's 26 points with feet.

    model: a folder with a `yolox*.onnx` (finds persons) and an `rtmpose*.onnx` (Halpe26); or one
        RTMPose file, with the person network from rtmlib's cache; None for both from there.
        rtmlib fills its cache from the network on first use.

    Raises MissingDependency without rtmlib, InputError when the model files are not there.
    """

    model: Path | None = None

    def __post_init__(self) -> None:
        if find_spec("rtmlib") is None:
            raise MissingDependency(
                "rtmlib", "The RTMPose detector", "pip install --no-deps rtmlib tqdm"
            )
        self._files()

    @property
    def names(self) -> tuple[str, ...]:
        return skeleton("halpe26").points

    @property
    def source(self) -> str:
        model = self.model.name if self.model else _MODE
        return f"rtmlib {version('rtmlib')} BodyWithFeet, {model}"

    def people(
        self, clip: Clip, *, progress: Progress | None = None, checkpoint: Path | None = None
    ) -> People:
        """As `Detector.people`; `checkpoint` is ignored."""
        n_frames = clip.probe().n_frames
        find_boxes, find_points = self._networks()
        frame: list[int] = []
        seen: list[FloatArray] = []
        damaged = []
        with ahead(clip.frames()) as decoded:
            for one in decoded:
                frame.append(one.index)
                seen.append(people_in(one.rgb, find_boxes, find_points))
                damaged += [one.index] if one.rgb is None else []
                if progress:
                    progress(len(seen), n_frames)
        found, lost = tuple(seen), tuple(damaged)
        return People(self.names, np.array(frame), found, damaged=lost, source=self.source)

    def _files(self) -> tuple[Path | None, Path | None]:
        """Local files of the person and the pose network; raises InputError."""
        if self.model is None or self.model.is_file():
            return None, self.model
        found = [sorted(self.model.glob(f"{name}*.onnx")) for name in ("yolox", "rtm")]
        if not all(len(files) == 1 for files in found):
            reason = "it is not a model file, nor a folder with one yolox*.onnx and one rtm*.onnx"
            hint = "give an RTMPose Halpe26 .onnx file, or a folder with both"
            raise InputError(self.model, reason, hint)
        return found[0][0], found[1][0]

    def _networks(self) -> tuple[FindBoxes, FindPoints]:
        """Loaded networks; raises InputError when they cannot be fetched or used."""
        from rtmlib import YOLOX, BodyWithFeet, RTMPose

        person, pose = self._files()
        usual = BodyWithFeet.MODE[_MODE]
        try:
            boxes = str(person or usual["det"]), _input_size(person) or usual["det_input_size"]
            points = str(pose or usual["pose"]), _input_size(pose) or usual["pose_input_size"]
            with redirect_stdout(StringIO()):  # it prints what it loads
                return YOLOX(*boxes), RTMPose(*points, backend="onnxruntime")
        except OSError as error:
            hint = (
                f"fetch {usual['det']} and {usual['pose']} elsewhere, unpack them as yolox.onnx "
                "and rtmpose.onnx, and give their folder with --detector-model"
            )
            reason = f"its networks cannot be downloaded ({error})"
            raise InputError("rtmlib", reason, hint) from error
        except Exception as error:  # onnxruntime's errors share no base
            reason = f"the networks cannot be loaded ({error})"
            raise InputError(self.model or "rtmlib", reason, "fetch them again") from error


def people_in(rgb: Picture | None, find_boxes: FindBoxes, find_points: FindPoints) -> FloatArray:
    """(N, 26, 3) x, y, score of everybody in the picture; nobody in a damaged frame.

    Raises InputError when the pose network gives other than 26 points.
    """
    points = len(skeleton("halpe26").points)
    nobody = np.empty((0, points, 3))
    if rgb is None:
        return nobody
    bgr = np.ascontiguousarray(rgb[..., ::-1])
    boxes = find_boxes(bgr)
    if len(boxes) == 0:  # rtmlib would take the whole picture for a person
        return nobody
    xy, score = find_points(bgr, boxes)
    if xy.shape[1:] != (points, 2):
        reason = f"the pose network gives {xy.shape[1]} points, not {points}"
        raise InputError("rtmlib", reason, "use one trained for Halpe26 (body with feet)")
    found = np.concatenate([xy, np.clip(score, 0, 1)[..., None]], axis=-1).astype(np.float64)
    found[~(found[..., 2] > 0)] = np.nan
    return found


def _input_size(model: Path | None) -> tuple[int, int] | None:
    """(width, height) of a network's input, from its file or else its name; None if neither."""
    if model is None:
        return None
    from onnxruntime import InferenceSession

    shape = InferenceSession(str(model), providers=["CPUExecutionProvider"]).get_inputs()[0].shape
    if all(isinstance(n, int) for n in shape[2:]):
        return shape[3], shape[2]
    size = _SIZE_IN_NAME.search(model.name)
    return (int(size[2]), int(size[1])) if size else None
