"""A face in a square of a picture: MediaPipe's short-range face detector on LiteRT.

The network (`kinefit/weights/face_detection.md`) looks at 128 x 128 pixels and finds faces that
fill a good part of them, so that it must be told where to look. Anchors, decoding and the average
of boxes that overlap are those of Bazarevsky et al. 2019, "BlazeFace" (arXiv:1907.05047).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from kinefit.detect.blazepose import (
    LiteRTNetwork,
    anchors,
    average_boxes,
    sample_window,
    sigmoid,
    weights,
)
from kinefit.io.video import Picture
from kinefit.types import FloatArray

SIDE = 128  # pixels that the network looks at
_GRIDS = ((8, 2), (16, 6))  # 16 x 16 cells of two anchors, 8 x 8 of six: 896
_BOXES, _SCORES = (896, 16), (896, 1)
_SURE = 0.5  # of a face: what the network was trained with


@dataclass(frozen=True, eq=False)
class Face:
    """A face in the pixels of the network's picture.

    centre, size: (2,) of its box, from the eyebrows to the chin. points: (6, 2) right eye, left
    eye, tip of the nose, mouth, right and left ear. score: 0.5..1.
    """

    centre: FloatArray
    size: FloatArray
    points: FloatArray
    score: float


class FaceNetwork:
    """Faces in a square of a picture."""

    def __init__(self) -> None:
        self._net = LiteRTNetwork(weights("face_detection"))

    def __call__(self, rgb: Picture, into: FloatArray) -> tuple[Face, ...]:
        """All faces, the surest first.

        into: (2, 3) from a pixel (u, v, 1) of the network's picture to one of `rgb`; what is
        outside `rgb` is black.
        """
        window = sample_window(rgb, into, SIDE, cv2.BORDER_CONSTANT)
        raw, logit = self._net.run(window / np.float32(127.5) - 1, _BOXES, _SCORES)
        score = sigmoid(logit[:, 0].astype(np.float64))
        on = score >= _SURE
        boxes = raw[on].astype(np.float64).reshape(-1, 8, 2) / SIDE  # centre, size, 6 points
        boxes[:, [0, *range(2, 8)]] += anchors(SIDE, _GRIDS)[on, None]
        scores, found = average_boxes(score[on], boxes)
        return tuple(
            Face(box[0], box[1], box[2:], float(s))
            for s, box in zip(scores, found * SIDE, strict=True)
        )
