"""Masks of one person from networks that look at the square region around them.

The landmark network's own mask needs nothing else (BlazePose's, in `kinefit.weights`). MediaPipe's
selfie segmenter runs from the user's file. How well they do on renders: `docs/masks.md`.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import closing
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.detect.blazepose import LiteRTNetwork, region, sample_window
from kinefit.detect.embedded import mask_network
from kinefit.detect.masks.frame_mask import (
    DAMAGED,
    NOT_FOUND,
    SIDE,
    FrameMask,
    Grey,
    inside_picture,
    picture_in,
    without_mask,
)
from kinefit.detect.masks.smooth import smoothed
from kinefit.detect.masks.validate import Judge
from kinefit.detect.overlap import ahead
from kinefit.detect.protocol import Progress
from kinefit.io.text import read_bytes
from kinefit.io.video import Clip, Picture, VideoFrame
from kinefit.types import FloatArray, InputError, IntArray, Keypoints2D, PersonMasks

_MAX_MODEL_BYTES = 2**27
# (height, width) of the picture that MediaPipe's two selfie segmenters take and of their mask.
_SELFIE_SHAPES = ((256, 256), (144, 256))


class Segmenter(Protocol):
    """(256, 256) uint8: the mask of the person at `place`, in the region of that place
    (`kinefit.detect.blazepose.region`)."""

    def __call__(self, rgb: Picture, place: FloatArray) -> Grey: ...


class LandmarkSegmenter:
    """The mask that the landmark network gives; model: another one, as of `mask_network`."""

    def __init__(self, model: Path | None = None) -> None:
        self._network = mask_network(model)

    def __call__(self, rgb: Picture, place: FloatArray) -> Grey:
        mask = self._network(rgb, place).mask
        assert mask is not None  # it was asked for
        return _as_grey(mask)


class SelfieSegmenter:
    """MediaPipe's selfie segmenter from its .tflite, general (256 x 256) or landscape (144 x 256).

    It takes a picture with values of 0..1 and gives the share of person in each pixel. It looks at
    the region of one person, so that people beside them are out of it as far as possible.

    Raises InputError for a file that is no such network.
    """

    def __init__(self, path: Path) -> None:
        hint = "give MediaPipe's selfie_segmenter.tflite or selfie_segmenter_landscape.tflite"
        content = read_bytes(path, _MAX_MODEL_BYTES)
        try:
            self._network = LiteRTNetwork(content)
            found = [s for s in _SELFIE_SHAPES if (*s, 1) in self._network.outputs]
            self._shape = found[0]
            self(np.zeros((2, 2, 3), np.uint8), np.array([1.0, 1.0, 1.0, 0.0]))
        except (ValueError, RuntimeError, LookupError) as error:
            raise InputError(path, "it is not a selfie segmenter", hint) from error

    def __call__(self, rgb: Picture, place: FloatArray) -> Grey:
        height, width = self._shape
        picture = sample_window(rgb, region(place), SIDE, cv2.BORDER_REPLICATE) / np.float32(255)
        resized = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
        (mask,) = self._network.run(np.asarray(resized, np.float32), (height, width, 1))
        return _as_grey(cv2.resize(mask[..., 0], (SIDE, SIDE), interpolation=cv2.INTER_LINEAR))


def person_masks(
    clip: Clip,
    places: FloatArray,
    frames: Sequence[int] | IntArray | None = None,
    *,
    segmenter: Segmenter | None = None,
    points: Keypoints2D | None = None,
    progress: Progress | None = None,
) -> PersonMasks:
    """Masks of one person in a clip, judged; smoothed where all frames are there.

    places: (T, 4) where the person is in each frame of the clip's timeline, as in
        `kinefit.detect.blazepose`; NaN where they are not. frames: increasing numbers of the
        frames that are wanted (others are not converted, nor looked at); None: all of the clip.
    segmenter: None: the landmark network that comes with kinefit.
    points: of the person, for the clip's frames: masks are judged by them.

    Holds 64 KB a frame. Raises InputError for a video that cannot be read and frames that the clip
    does not have.
    """
    found = segment(clip, places, segmenter or LandmarkSegmenter(), frames=frames)
    judge, rows = Judge(clip.probe().size, points, in_sequence=frames is None), []
    total = len(places) if frames is None else len(frames)
    with closing(found):
        masks = judge.watched(found)
        for one in masks if frames is not None else smoothed(masks):
            rows.append(one)
            if progress:
                progress(len(rows), total)
    verdict = judge.verdict()
    return PersonMasks(
        np.array([one.frame for one in rows], np.int64),
        np.array([one.grey for one in rows], np.uint8).reshape(-1, SIDE, SIDE),
        np.array([one.into for one in rows]).reshape(-1, 2, 3),
        judge.size, verdict.confidence, verdict.reason,
    )  # fmt: skip


def segment(
    clip: Clip,
    places: FloatArray,
    segmenter: Segmenter,
    *,
    frames: Sequence[int] | IntArray | None = None,
) -> Generator[FrameMask, None, None]:
    """The mask in each frame, in order, neither smoothed nor judged; as `person_masks`."""
    timeline = clip.timeline()
    place_of = dict(zip(timeline.frame.tolist(), places, strict=True))
    with ahead(clip.frames() if frames is None else _chosen(clip, frames)) as pictures:
        for one in pictures:
            yield _masked(one, place_of.get(one.index), segmenter)


def _chosen(clip: Clip, frames: Sequence[int] | IntArray) -> Generator[VideoFrame, None, None]:
    timeline = clip.timeline()
    wanted = np.asarray(frames, np.int64)
    if unknown := set(wanted.tolist()) - set(timeline.frame.tolist()):
        reason = f"it has no frame {min(unknown)} in the part that is looked at"
        raise InputError(clip.path, reason, "choose of its frames")
    moments = timeline.time[np.searchsorted(timeline.frame, wanted)]
    pictures = clip.pictures_at(moments)
    for frame, time, rgb in zip(wanted.tolist(), moments.tolist(), pictures, strict=True):
        yield VideoFrame(frame, time, rgb)


def _masked(one: VideoFrame, place: FloatArray | None, segmenter: Segmenter) -> FrameMask:
    if one.rgb is None or place is None or not np.isfinite(place).all():
        return without_mask(one.index, one.time, DAMAGED if one.rgb is None else NOT_FOUND)
    into, (height, width) = region(place), one.rgb.shape[:2]
    grey = segmenter(one.rgb, place)
    outside = ~inside_picture(into, (width, height), SIDE)
    if outside.any():  # there, networks see the border's pixels repeated
        grey = np.where(outside, np.uint8(0), grey)
    return FrameMask(one.index, one.time, grey, into, picture_in(one.rgb, into))


def _as_grey(mask: NDArray[np.float32]) -> Grey:
    return np.asarray(np.round(255 * np.clip(np.nan_to_num(mask), 0, 1)).astype(np.uint8))
