"""Pictures that stand still while time goes on: frames that a stream or a camera lost, filled by
repeating the last one.

A person who stands still does not do that: the sensor's noise differs from picture to picture.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from dataclasses import fields
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.io.video import Clip, Picture, VideoFrame
from kinefit.types import BoolArray, FloatArray, true_runs

_LEAST_S = 0.5
# One pixel of a few is looked at, so that the longer side has as many; and means over 4 x 4 of
# these. It takes 0.7 ms a picture of 1920 x 1080, a hundredth of the time of finding people.
_SIDE, _BLOCK, _TILE = 320, 4, 16
# A repeated picture is coded as "no change". The share of pixels that change by more than 2 of 255,
# in the whole picture: 0.0004 and less in the median of a repeated picture in seven codings (H.264,
# HEVC, MPEG-4, VP9, Motion JPEG), 0.0026 and more in eight real videos; in the tile of 16 x 16 in
# which it is largest 0.02 and less (small pictures, coarsely coded: 0.07), mostly 0.2 and more.
_CHANGE, _SHARE_OF_TILE, _SHARE = 2, 0.1, 0.001
# Now and then a picture is coded anew (key frames), which changes many pixels by little: means over
# blocks by up to 19 of 255, where people who move change them by 30 to 50.
_LITTLE = 0.5  # of the usual change
_CODED_ANEW_S, _MOST_CODED_ANEW = 0.15, 0.5  # at once; of all pairs
# A drawn scene without noise stands still, too, but comes to rest and starts gradually, over more
# than a few frames; a stream stops at full speed.
_ABRUPT, _BESIDE_S = 0.4, 1.0
_CODING = 3.0  # of 255: the change of a block's mean in most repeated pictures, at most


class Change(NamedTuple):
    """From one picture to the next. tile, share: of the pixels that change, in the tile of most
    change and of all. most: change of a block's mean, 0..255, where it is largest."""

    tile: float
    share: float
    most: float


class WatchedClip(Clip):
    """A clip that notes how its pictures change while somebody reads its frames."""

    noted: dict[int, Change]

    @classmethod
    def of(cls, clip: Clip) -> WatchedClip:
        """The same part of the same video."""
        return cls(**{field.name: getattr(clip, field.name) for field in fields(clip)})

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "noted", {})

    def frames(self, *, skip: int = 0) -> Generator[VideoFrame, None, None]:
        """As `Clip.frames`."""
        before: _Looked | None = None
        for frame in super().frames(skip=skip):
            now = None if frame.rgb is None else _looked_at(frame.rgb)
            if before is not None and now is not None:
                self.noted[frame.index] = _change(before, now)
            before = now
            yield frame

    def changes(self) -> FloatArray:
        """(T, 3): for each frame of the clip the `Change` from the one before; NaN for the first
        and where one of the two is damaged.

        What nobody has read, or was read before a killed run was started again, is read now.
        """
        numbers = self.timeline().frame.tolist()
        unread = [number for number in numbers[1:] if number not in self.noted]
        if unread:
            with closing(self.frames()) as frames:
                for frame in frames:
                    if frame.index >= unread[-1]:
                        break
        none = Change(np.nan, np.nan, np.nan)
        return np.array([none, *(self.noted.get(number, none) for number in numbers[1:])])


class _Looked(NamedTuple):
    pixels: Picture
    means: Picture


def _looked_at(rgb: Picture) -> _Looked:
    step = max(round(max(rgb.shape[:2]) / _SIDE), 1)
    green = np.ascontiguousarray(rgb[::step, ::step, 1])
    return _Looked(green, _means(green, _BLOCK))


_Values = TypeVar("_Values", NDArray[np.uint8], NDArray[np.float32])


def _means(values: _Values, size: int) -> _Values:
    """Over blocks of about `size` x `size`."""
    height, width = values.shape
    shape = max(width // size, 1), max(height // size, 1)
    return np.asarray(cv2.resize(values, shape, interpolation=cv2.INTER_AREA), values.dtype)


def _change(before: _Looked, now: _Looked) -> Change:
    changed = (cv2.absdiff(before.pixels, now.pixels) > _CHANGE).astype(np.float32)
    most = cv2.absdiff(before.means, now.means).max()
    return Change(float(_means(changed, _TILE).max()), float(changed.mean()), float(most))


def frozen_stretches(changes: FloatArray, time: FloatArray) -> list[tuple[int, int]]:
    """First and last frame (rows of `time`, (T,) seconds) of each stretch of half a second or more
    in which one picture is repeated, though there is motion before or after.

    changes: (T, 3), as `WatchedClip.changes`.
    """
    tile, share, most = changes[1:].T
    repeated = (tile <= _SHARE_OF_TILE) & (share <= _SHARE)
    if not repeated.any() or repeated.all():
        return []
    usual = float(np.nanmedian(most[~repeated])) if np.isfinite(most[~repeated]).any() else 0.0
    still = repeated | (most <= _LITTLE * usual)
    step = float(np.median(np.diff(time)))
    beside, found = round(_BESIDE_S / step), []
    for first, stop in true_runs(_bridged(repeated, still, _CODED_ANEW_S / step)):
        before, after = most[max(first - beside, 0) : first][::-1], most[stop : stop + beside]
        often = repeated[first:stop].mean() >= 1 - _MOST_CODED_ANEW
        if often and (_abrupt(before) or _abrupt(after)):
            first, stop = first - _coding(before), stop + _coding(after)
            if time[stop] - time[first] >= _LEAST_S:
                found.append((first, stop))
    return found


def _bridged(repeated: BoolArray, still: BoolArray, most: float) -> BoolArray:
    """`repeated`, over gaps of up to `most` pairs that change little."""
    bridged = repeated.copy()
    for first, stop in true_runs(~repeated):
        inside = first > 0 and stop < len(repeated)
        if inside and stop - first <= most and still[first:stop].all():
            bridged[first:stop] = True
    return bridged


def _abrupt(beside: FloatArray) -> bool:
    """Whether the changes beside a stretch, nearest first, are at once what they are on the whole;
    False where nothing moves there."""
    known = beside[_coding(beside) :]
    known = known[np.isfinite(known)]
    return len(known) > 0 and bool(
        np.median(known) > 2 * _CODING and known[:2].max() > _ABRUPT * np.median(known)
    )


def _coding(beside: FloatArray) -> int:
    """How many of the changes beside a stretch, nearest first, are of its first or last copies,
    which are coded a little better or worse; 0 where motion itself is as small."""
    known = beside[np.isfinite(beside)]
    if not len(known) or np.median(known) <= 4 * _CODING:
        return 0
    return int(np.argmax(~(beside <= _CODING)))
