"""How somebody looks: the colours of head, trunk, arms and legs, to tell people apart."""

from __future__ import annotations

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
# sRGB (IEC 61966-2-1) and CIELAB (CIE 15, white D65). OpenCV's tables for it take 70 ms to fill.
_LINEAR = np.arange(256) / 255
_LINEAR = np.where(_LINEAR > 0.04045, ((_LINEAR + 0.055) / 1.055) ** 2.4, _LINEAR / 12.92)
_XYZ = np.array([
    [0.4124564, 0.3575761, 0.1804375],
    [0.2126729, 0.7151522, 0.0721750],
    [0.0193339, 0.1191920, 0.9503041],
]) / np.array([[0.95047], [1.0], [1.08883]])  # fmt: skip
_LAB = np.array([[0.0, 116, 0], [500, -500, 0], [0, 200, -200]])
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
    count = _OF_PART @ seen
    total = _OF_PART @ (seen[:, None] * _lab(rgb[y, x]))
    known = np.where(count > 0, count, np.nan)
    return np.asarray(total / known[:, None])


def _lab(rgb: Picture) -> FloatArray:
    """(N, 3) L*, a*, b* of pixels (N, 3)."""
    light = _LINEAR[rgb] @ _XYZ.T
    root = np.where(light > (6 / 29) ** 3, np.cbrt(light), light / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.asarray(root @ _LAB.T - (16, 0, 0))
