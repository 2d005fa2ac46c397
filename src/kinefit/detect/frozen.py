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
# than a few frames; a stream stops and goes on at full speed.
# The first change is a quarter to a half of the usual one where a figure starts or stops over two
# or three frames; 0.9 and more where a stream does (twice as much where it goes on, as it jumps).
_ABRUPT, _BESIDE_S = 0.5, 1.0
# The change of a block's mean in most repeated pictures, at most: of 255, and of the usual change.
_CODING, _CODING_SHARE = 3.0, 0.15
# An empty room stands still, too, until somebody walks in at full speed. So motion counts that is
# cut off inside the picture: where something moved last, it does not stay when time goes on.
_PARTS = 8  # of the picture, across and down
_NEAREST = 3  # changes beside a stretch


class WatchedClip(Clip):
    """A clip that notes how its pictures change while somebody reads its frames."""

    noted: dict[int, FloatArray]

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
        for i, frame in enumerate(super().frames(skip=skip)):
            now = None if frame.rgb is None else _looked_at(frame.rgb)
            if before is not None and now is not None:
                self.noted[frame.index] = _change(before, now)
            elif i:
                self.noted[frame.index] = _UNKNOWN
            before = now
            yield frame

    def changes(self) -> FloatArray:
        """(T, 3 + 64): for each frame of the clip the change from the one before; NaN for the first
        and where one of the two is damaged, and for all where nobody has read them.

        Shares (0 to 1) of the pixels that change, in the tile of most change and of all; the change
        of a block's mean (0 to 255) where it is largest, of all and in each of 8 x 8 parts of the
        picture, row by row.
        What was read before a killed run was started again is read once more.
        """
        numbers = self.timeline().frame.tolist()
        unread = [number for number in numbers[1:] if number not in self.noted]
        if unread and self.noted:
            with closing(self.frames()) as frames:
                for frame in frames:
                    if frame.index >= unread[-1]:
                        break
        return np.array([_UNKNOWN, *(self.noted.get(n, _UNKNOWN) for n in numbers[1:])])


_UNKNOWN = np.full(3 + _PARTS**2, np.nan)


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


def _change(before: _Looked, now: _Looked) -> FloatArray:
    """A row of `WatchedClip.changes`."""
    changed = (cv2.absdiff(before.pixels, now.pixels) > _CHANGE).astype(np.float32)
    means = cv2.absdiff(before.means, now.means)
    rows, columns = (np.linspace(0, n, _PARTS, endpoint=False, dtype=int) for n in means.shape)
    parts = np.maximum.reduceat(np.maximum.reduceat(means, rows, axis=0), columns, axis=1)
    whole = float(_means(changed, _TILE).max()), float(changed.mean()), float(means.max())
    return np.array([*whole, *parts.ravel()], float)


def frozen_stretches(changes: FloatArray, time: FloatArray) -> list[tuple[int, int]]:
    """First and last frame (rows of `time`, (T,) seconds) of each stretch of half a second or more
    in which one picture is repeated, though something inside it moves before and after.

    changes: (T, 3 + 64), as `WatchedClip.changes`.
    """
    tile, share, most = changes[1:, :3].T
    parts = changes[1:, 3:].reshape(-1, _PARTS, _PARTS)
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
        if often and _abrupt(before) and _abrupt(after):
            first, stop = first - _coding(before), stop + _coding(after)
            cut_off = (_moving(parts[:first][::-1]) & _moving(parts[stop:])).any()
            if cut_off and time[stop] - time[first] >= _LEAST_S:
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


def _moving(beside: FloatArray) -> BoolArray:
    """(8, 8): which parts of the picture the first of the changes (M, 8, 8) reach; none of those at
    the left and right, where people come in and leave."""
    most = np.nan_to_num(beside[:_NEAREST]).max(axis=0, initial=0.0)
    moving = most > max(_ABRUPT * float(most.max()), _CODING)
    moving[:, [0, -1]] = False
    return np.asarray(moving)


def _abrupt(beside: FloatArray) -> bool:
    """Whether the changes beside a stretch, nearest first, are at once what they are on the whole;
    False where nothing moves there."""
    known = beside[_coding(beside) :]
    known = known[np.isfinite(known)]
    return len(known) > 0 and bool(
        np.median(known) > 2 * _CODING and known[0] > _ABRUPT * np.median(known)
    )


def _coding(beside: FloatArray) -> int:
    """How many of the changes beside a stretch, nearest first, are of its first or last copies,
    which are coded a little better or worse; 0 where motion itself is as small."""
    known = beside[np.isfinite(beside)]
    usual = float(np.median(known)) if len(known) else 0.0
    if usual <= 4 * _CODING:
        return 0
    return int(np.argmax(~(beside <= max(_CODING, _CODING_SHARE * usual))))
