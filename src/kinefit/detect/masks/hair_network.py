"""A hair segmentation network of the user's, from an ONNX or a TensorFlow Lite file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.detect.blazepose import LiteRTNetwork, sample_window, sigmoid
from kinefit.io.text import read_bytes
from kinefit.io.video import Picture
from kinefit.types import FloatArray, InputError

_HINT = "give a network from one RGB picture, 0..1, to classes of its pixels, hair among them"


class HairModel:
    """Hair in a region of a picture, as `kinefit.detect.masks.head.HairNetwork`.

    path: .onnx (1, 3, H, H) or (1, H, H, 3), or .tflite (1, H, H, 3), float RGB in 0..1; the first
    output with as many rows and columns as each other and one channel, or one for each class.
    channel: that of hair (1 in MediaPipe's multiclass selfie segmenter); one channel is taken as it
    is. Values outside 0..1 are taken for logits.

    Raises InputError for a file that is no such network.
    """

    def __init__(self, path: Path, channel: int = 1) -> None:
        self._channel, content = channel, read_bytes(path)
        try:
            make = _onnx if path.suffix.lower() == ".onnx" else _tflite
            self._run, self._side = make(content)
            self._hair(np.zeros((self._side, self._side, 3), np.float32))
        except Exception as error:  # onnxruntime's errors share no base
            first = (str(error).splitlines() or [""])[0]
            raise InputError(path, f"it is no hair network ({first})", _HINT) from error

    def __call__(self, rgb: Picture, into: FloatArray, side: int) -> NDArray[np.float32]:
        """(side, side) 0..1 that it is hair; into: (2, 3) from its pixels to those of `rgb`."""
        scale = side / self._side
        # Centres of pixels are integers, so that edges are at halves.
        shift = into[:, :2].sum(axis=1) * (scale - 1) / 2 + into[:, 2]
        own = np.column_stack([into[:, :2] * scale, shift])
        window = sample_window(rgb, own, self._side, cv2.BORDER_REPLICATE)
        hair = self._hair(window / np.float32(255))
        return np.asarray(cv2.resize(hair, (side, side)), np.float32)

    def _hair(self, picture: NDArray[np.float32]) -> NDArray[np.float32]:
        said = next((s for s in map(_classes, self._run(picture)) if s is not None), None)
        if said is None:
            raise ValueError("it has no output for each pixel")
        if said.shape[-1] > 1 and not 0 <= self._channel < said.shape[-1]:
            raise ValueError(f"it has no channel {self._channel}")
        logits = said.min() < 0 or said.max() > 1
        if said.shape[-1] == 1:
            return np.asarray(sigmoid(said) if logits else said)[..., 0]
        if logits:
            said = np.exp(said - said.max(axis=-1, keepdims=True))
            said /= said.sum(axis=-1, keepdims=True)
        return np.ascontiguousarray(said[..., self._channel])


_Run = Callable[[NDArray[np.float32]], list[NDArray[np.float32]]]


def _onnx(content: bytes) -> tuple[_Run, int]:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    first = given.shape[1] == 3

    def run(picture: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        tensor = picture.transpose(2, 0, 1) if first else picture
        return [np.asarray(o) for o in session.run(None, {given.name: tensor[None]})]

    return run, int(given.shape[2])


def _tflite(content: bytes) -> tuple[_Run, int]:
    network = LiteRTNetwork(content)
    return lambda picture: network.run(picture, *network.outputs), network.side


def _classes(said: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """(H, H, C) of an output of a picture's classes, whichever axis they are on; else None."""
    while said.ndim > 2 and said.shape[0] == 1:
        said = said[0]
    if said.ndim == 2:
        said = said[..., None]
    if said.ndim == 3 and said.shape[1] == said.shape[2] != said.shape[0]:
        said = said.transpose(1, 2, 0)
    square = said.ndim == 3 and said.shape[0] == said.shape[1] > 1
    return said.astype(np.float32) if square else None
