"""Masks of other programs, as large as the pictures of their video: a folder of PNG files, a video,
or COCO's run lengths in JSON.

COCO's format is written down in its API (pycocotools, `maskApi.c`): lengths of runs, of pixels
outside and inside in turn, down the columns; in text each is a number of 5-bit groups, lowest
first, as characters from "0" on, the sixth bit for "goes on", the fifth of the last one for the
sign, and from the fourth number on it is the difference to the one two before.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from kinefit.io.masks import PNG_ERRORS
from kinefit.io.people import entries, frame_number, read_json
from kinefit.io.pose_json import numbered
from kinefit.io.text import check_file
from kinefit.io.video import Clip
from kinefit.types import InputError, InvalidData

Grey = NDArray[np.uint8]

_MAX_PIXELS = 2**26  # of one mask: 8K video has half of it
_MAX_PNG_BYTES = 2**26
_MOST = 64  # masks in one frame
_HALF_GREY = 0.3  # share of pixels that are neither black nor white, from which on it is no mask
_COLOURED, _COLOUR_SHARE = 40, 0.02  # levels between channels that compression does not make
_SAME_SHAPE = 0.01  # sides of masks that were made smaller are rounded
_HINT = "give a folder of PNG masks, a mask video, or COCO's run lengths (.json)"


class FileMasks(NamedTuple):
    """What the files say of one frame.

    masks: (height, width) uint8 each, of everybody or everything that has one. missing: why there
    is none; "" where there is.
    """

    masks: tuple[Grey, ...] = ()
    missing: str = ""


_NONE = FileMasks((), "the files have no mask of this frame")


def read_mask_files(
    path: Path, clip: Clip, size: tuple[int, int]
) -> Generator[FileMasks, None, None]:
    """For each frame of the clip's timeline, in order, the masks in `path`.

    path: a folder of PNG files with the frame's number last in their names (from 0; or from 1 to
    the number of the video's frames); a .json of COCO; or a video with as many frames as the whole
    video or as the clip. A PNG file shows one mask in black and white (or in its transparency), or
    several as small numbers (a palette). size: (width, height) of the video's pictures; masks of
    another size are scaled to it if they have its shape.

    A frame without a mask, with a mask of another shape or with what is no mask comes with the
    reason. Raises InputError where `path` is none of the three, a video of another length or shape,
    and where no frame at all has a mask.
    """
    frames, whole = clip.timeline().frame.tolist(), len(Clip(clip.path).timeline())
    if path.is_dir():
        found: Iterator[FileMasks] = _of_folder(path, frames, whole, size)
    elif path.suffix.lower() == ".json":
        found = _of_json(path, frames, size)
    else:
        found = _of_video(path, frames, whole, size)
    reasons: dict[str, int] = {}
    usable = 0
    for one in found:
        usable += bool(one.masks)
        reasons[one.missing] = reasons.get(one.missing, 0) + 1
        yield one
    if not usable:
        usual = max(reasons, key=lambda reason: reasons[reason])
        raise InputError(path, f"it has no mask for any frame ({usual})", _HINT)


def _of_folder(
    folder: Path, frames: Sequence[int], whole: int, size: tuple[int, int]
) -> Iterator[FileMasks]:
    names = sorted(p for p in folder.iterdir() if p.suffix.lower() == ".png")
    if not names:
        raise InputError(folder, "the folder has no PNG file", _HINT)
    files = numbered(folder, names)
    first = 1 if sorted(files) == list(range(1, whole + 1)) else 0
    for frame in frames:
        file = files.get(frame + first)
        yield _NONE if file is None else _of_png(file, size)


def _of_png(file: Path, size: tuple[int, int]) -> FileMasks:
    try:
        check_file(file, _MAX_PNG_BYTES)
        with Image.open(file, formats=["PNG"]) as picture:
            if not _has_shape(picture.size, size):
                return FileMasks((), _other_shape(picture.size, size))
            return _scaled(_in_pixels(picture), size)
    except InputError as error:
        return FileMasks((), error.reason)
    except PNG_ERRORS:
        return FileMasks((), f"{file.name} is no PNG file, or damaged")


def _in_pixels(picture: Image.Image) -> FileMasks:
    """The masks of a PNG: its labels, its transparency, or its grey levels."""
    if picture.mode == "P":
        return _by_label(np.asarray(picture))
    if picture.mode in ("LA", "RGBA"):
        alpha = np.asarray(picture.getchannel("A"))
        if alpha.min() < 255:
            return _checked(alpha)
    if picture.mode in ("RGB", "RGBA"):
        return _in_colour(np.asarray(picture.convert("RGB")))
    if picture.mode not in ("1", "L", "LA"):
        return FileMasks((), f"its pixels are of the kind {picture.mode}, not black and white")
    levels = np.asarray(picture.convert("L"))
    return _by_label(levels) if 0 < levels.max() <= _MOST else _checked(levels)


def _by_label(labels: Grey) -> FileMasks:
    values = [v for v in np.unique(labels).tolist() if v]
    if len(values) > _MOST:
        return FileMasks((), f"it has more than {_MOST} labels")
    return FileMasks(tuple(_white(labels == v) for v in values) or (_white(labels > 0),))


def _in_colour(rgb: Grey) -> FileMasks:
    spread = rgb.max(axis=-1).astype(np.int16) - rgb.min(axis=-1)
    if (spread > _COLOURED).mean() > _COLOUR_SHARE:
        return FileMasks((), "it is a colour picture, not a mask")
    return _checked(np.ascontiguousarray(rgb[..., 1]))


def _checked(levels: Grey) -> FileMasks:
    if ((levels > 31) & (levels < 224)).mean() > _HALF_GREY:
        return FileMasks((), "it is no mask: most of it is neither black nor white")
    return FileMasks((np.asarray(levels),))


def _of_video(
    path: Path, frames: Sequence[int], whole: int, size: tuple[int, int]
) -> Iterator[FileMasks]:
    masks = Clip(path)
    info, count = masks.probe(), len(masks.timeline())
    if not _has_shape(info.size, size):
        raise InputError(path, _other_shape(info.size, size), "give masks of this video")
    if count not in (whole, len(frames)):
        reason = f"it has {count} frames, the video {whole}"
        raise InputError(path, reason, "give a mask for every frame, black where nobody is")
    wanted = iter(range(count) if count != whole else frames)
    at = next(wanted, None)
    for one in masks.frames():
        if one.index == at:
            damaged = FileMasks((), "this frame of the mask video is damaged")
            yield damaged if one.rgb is None else _scaled(_in_colour(one.rgb), size)
            at = next(wanted, None)


def _of_json(path: Path, frames: Sequence[int], size: tuple[int, int]) -> Iterator[FileMasks]:
    by_frame: dict[int, list[Any]] = {}
    for frame, entry in _segmentations(path, read_json(path)):
        by_frame.setdefault(frame, []).append(entry)
    for frame in frames:
        found = by_frame.get(frame, [])
        if len(found) > _MOST:
            raise InputError(path, f"frame {frame}: more than {_MOST} masks", "keep the people")
        yield _of_runs(found, size) if found else _NONE


def _segmentations(path: Path, content: Any) -> Iterator[tuple[int, Any]]:
    """(frame, segmentation): of results, of a data set, or of a bare list with one per frame."""
    if isinstance(content, dict):
        listed = entries(path, content.get("annotations"), '"annotations"')
        images = entries(path, content.get("images"), '"images"')
        names = {str(i.get("id")): frame_number(path, i.get("file_name")) for i in images}
        for entry in listed:
            if str(entry.get("image_id")) not in names:
                raise InputError(path, "an annotation is of no image", "export it again")
            yield names[str(entry.get("image_id"))], entry.get("segmentation")
    elif isinstance(content, list) and all(e is None or "counts" in e for e in content):
        yield from ((frame, entry) for frame, entry in enumerate(content) if entry is not None)
    else:
        for entry in entries(path, content, "the file"):
            yield frame_number(path, entry.get("image_id")), entry.get("segmentation")


def _of_runs(found: Sequence[Any], size: tuple[int, int]) -> FileMasks:
    masks = []
    for entry in found:
        try:
            mask = decode_runs(entry)
        except InvalidData as error:
            return FileMasks((), str(error).rstrip("."))
        if not _has_shape(mask.shape[::-1], size):
            return FileMasks((), _other_shape(mask.shape[::-1], size))
        masks.append(_white(mask))
    return _scaled(FileMasks(tuple(masks)), size)


def decode_runs(entry: Any) -> NDArray[np.bool_]:
    """(height, width) of COCO's {"size": [height, width], "counts": text or list}.

    Raises InvalidData where it is none (a polygon), or its runs do not fill its size.
    """
    size = entry.get("size") if isinstance(entry, dict) else None
    counts: Any = entry.get("counts") if isinstance(entry, dict) else None
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int for n in size)):
        raise InvalidData("a mask is not given as run lengths with a size.")
    height, width = size
    if min(size) < 1 or height * width > _MAX_PIXELS:
        raise InvalidData(f"a mask of {width} x {height} pixels is none of a video.")
    found = _numbers_of(counts, height * width) if isinstance(counts, str) else counts
    whole = isinstance(found, list) and all(type(n) is int and n >= 0 for n in found)
    if not (whole and len(found) <= height * width + 1 and sum(found) == height * width):
        raise InvalidData("the run lengths of a mask do not fill its size.")
    inside = np.arange(len(found)) % 2 == 1
    return np.repeat(inside, found).reshape(width, height).T


def _numbers_of(text: str, most: int) -> list[int]:
    """The run lengths in COCO's compressed text; InvalidData for damaged text."""
    found: list[int] = []
    value = shift = 0
    for letter in text:
        code = ord(letter) - 48
        if not 0 <= code < 64 or shift > 30 or len(found) > most:
            raise InvalidData("the compressed run lengths of a mask are damaged.")
        value |= (code & 31) << shift
        shift += 5
        if not code & 32:
            value -= (code & 16) << (shift - 4)  # the sign
            found.append(value + (found[-2] if len(found) > 2 else 0))
            value = shift = 0
    if shift:
        raise InvalidData("the compressed run lengths of a mask are cut off.")
    return found


def _white(mask: NDArray[np.bool_]) -> Grey:
    return np.asarray(mask.astype(np.uint8) * np.uint8(255))


def _has_shape(size: tuple[int, ...], wanted: tuple[int, int]) -> bool:
    """Whether it is that size, or that shape in another; never more pixels than a mask may have."""
    (width, height), (w, h) = size, wanted
    same = abs(width / w * h / height - 1) <= _SAME_SHAPE + 1 / min(width, height)
    return same and width * height <= _MAX_PIXELS


def _other_shape(size: tuple[int, ...], wanted: tuple[int, int]) -> str:
    return f"its mask is {size[0]} x {size[1]}, the video {wanted[0]} x {wanted[1]} pixels"


def _scaled(found: FileMasks, size: tuple[int, int]) -> FileMasks:
    def fitted(mask: Grey) -> Grey:
        if mask.shape == size[::-1]:
            return mask
        smaller = mask.shape[0] > size[1]
        how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
        return np.asarray(cv2.resize(mask, size, interpolation=how))

    return found._replace(masks=tuple(fitted(mask) for mask in found.masks))
