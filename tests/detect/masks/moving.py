"""A person made of a disc and limbs, whose masks and keypoints are known."""

from __future__ import annotations

import cv2
import numpy as np

from kinefit.detect.blazepose import region
from kinefit.detect.masks.frame_mask import SIDE, FrameMask, picture_in
from kinefit.types import FloatArray, Keypoints2D, Timeline

SIZE = (320, 240)  # width, height
NAMES = ("Nose", "LShoulder", "RShoulder", "LHip", "RHip", "LKnee", "RKnee", "LAnkle", "RAnkle",
         "LElbow", "RElbow", "LWrist", "RWrist")  # fmt: skip
_LIMBS = ((1, 2), (3, 4), (1, 3), (2, 4), (3, 5), (5, 7), (4, 6), (6, 8), (1, 9), (9, 11), (2, 10),
          (10, 12))  # fmt: skip
_STANDING = np.array([
    (0, -88), (16, -60), (-16, -60), (10, 0), (-10, 0), (14, 40), (-12, 40), (16, 80), (-14, 80),
    (28, -35), (-28, -35), (34, -10), (-34, -10),
], float)  # fmt: skip


def points_of(frames: int, step: float = 3.0) -> FloatArray:
    """(T, 13, 2) pixels: the person moves to the right."""
    at = np.array([110.0, 125.0]) + np.arange(frames)[:, None] * np.array([step, 0.0])
    return at[:, None] + _STANDING


def keypoints(xy: FloatArray, score: float = 0.9) -> Keypoints2D:
    row = np.arange(len(xy))
    return Keypoints2D(Timeline(row, row / 30), NAMES, xy, np.full(xy.shape[:2], score), SIZE)


def places(xy: FloatArray) -> FloatArray:
    """(T, 4): from the middle of the hips to a point above the head."""
    return np.concatenate([xy[:, 3:5].mean(1), xy[:, 0] + np.array([0.0, -12.0])], axis=1)


def mask_of(xy: FloatArray) -> np.ndarray:
    """(240, 320) bool: limbs 18 pixels thick, a filled trunk and a head."""
    mask = np.zeros(SIZE[::-1], np.uint8)
    for a, b in _LIMBS:
        cv2.line(mask, *(tuple(int(v) for v in xy[k].round()) for k in (a, b)), 1, 18)
    cv2.fillConvexPoly(mask, xy[[1, 2, 4, 3]].round().astype(np.int32), 1)
    cv2.circle(mask, tuple(int(v) for v in xy[0].round()), 13, 1, -1)
    return mask > 0


def picture_of(mask: np.ndarray) -> np.ndarray:
    """(240, 320, 3): the person, with a pattern that moves with them, before a still wall."""
    rng = np.random.default_rng(5)
    wall = cv2.GaussianBlur(rng.integers(0, 255, SIZE[::-1]).astype(np.uint8), (0, 0), 3)
    rgb = np.repeat(wall[..., None], 3, axis=-1)
    rgb[mask] = 230
    return rgb


def frame_mask(frame: int, mask: np.ndarray, place: FloatArray) -> FrameMask:
    """The mask as a perfect network would give it."""
    into = region(place)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    grey = cv2.warpAffine(mask.astype(np.uint8) * 255, into, (SIDE, SIDE), flags=flags)
    return FrameMask(frame, frame / 30, grey, into, picture_in(picture_of(mask), into))


def clip_masks(frames: int) -> list[FrameMask]:
    xy = points_of(frames)
    return [frame_mask(k, mask_of(xy[k]), places(xy)[k]) for k in range(frames)]
