"""How somebody looks: the colours of head, trunk, arms and legs, to tell people apart."""

from __future__ import annotations

import cv2
import numpy as np

from kinefit.detect.blazepose import NAMES
from kinefit.io.video import Picture
from kinefit.types import FloatArray

# Where colours are taken: shares of landmarks whose sum is a spot on the body.
_ALONG = (0.2, 0.35, 0.5, 0.65, 0.8)
_SEEN = 0.5  # score from which a landmark is where the picture shows it


def _between(a: str, b: str) -> list[dict[str, float]]:
    return [{a: 1 - s, b: s} for s in _ALONG]


def _trunk(across: tuple[float, ...], down: tuple[float, ...]) -> list[dict[str, float]]:
    return [
        {
            "LShoulder": (1 - u) * (1 - v),
            "RShoulder": u * (1 - v),
            "LHip": (1 - u) * v,
            "RHip": u * v,
        }
        for u in across
        for v in down
    ]


_PARTS: tuple[list[dict[str, float]], ...] = (
    [{"Nose": 0.5, "LEar": 0.5}, {"Nose": 0.5, "REar": 0.5}, {"LEar": 0.5, "REar": 0.5}],
    _trunk((0.25, 0.4, 0.5, 0.6, 0.75), (0.15, 0.25, 0.35)),
    _trunk((0.25, 0.4, 0.5, 0.6, 0.75), (0.55, 0.65, 0.75)),
    [*_between("LShoulder", "LElbow"), *_between("RShoulder", "RElbow")],
    [*_between("LHip", "LKnee"), *_between("RHip", "RKnee")],
    [*_between("LKnee", "LAnkle"), *_between("RKnee", "RAnkle")],
)
PARTS = len(_PARTS)
_LAB_OF_8_BITS, _LAB_ZERO = np.array([100 / 255, 1, 1]), np.array([0, 128, 128])
_SPOTS = [spot for part in _PARTS for spot in part]
_SHARES = np.array([[spot.get(name, 0.0) for name in NAMES] for spot in _SPOTS])
_USED = _SHARES > 0
_OF_PART = np.repeat(np.eye(PARTS), [len(part) for part in _PARTS], axis=1)  # (parts, spots)


def look_of(rgb: Picture, values: FloatArray) -> FloatArray:
    """(6, 3) CIELAB, the mean colour of each part of the body; NaN for one that is not seen.

    values: (33, 3 or more) x, y in pixels and score.
    """
    spots = np.round(_SHARES @ values[:, :2]).astype(np.int64)
    seen = np.asarray(~(_USED & (values[:, 2] < _SEEN)).any(axis=1))
    seen &= ((spots >= 0) & (spots < rgb.shape[1::-1])).all(axis=1)
    x, y = np.where(seen[:, None], spots, 0).T
    lab = cv2.cvtColor(rgb[y, x][None], cv2.COLOR_RGB2LAB)[0]
    count = _OF_PART @ seen
    total = _OF_PART @ (seen[:, None] * (lab * _LAB_OF_8_BITS - _LAB_ZERO))
    known = np.where(count > 0, count, np.nan)
    return np.asarray(total / known[:, None])
