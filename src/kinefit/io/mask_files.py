"""Masks of other programs, as large as the pictures of their video: a folder of PNG files, a video,
or COCO's run lengths in JSON.

COCO's format is written down in its API (pycocotools, `maskApi.c`): lengths of runs, of pixels
outside and inside in turn, down the columns; in text each is a number of 5-bit groups, lowest
first, as characters from "0" on, the sixth bit for "goes on", the fifth of the last one for the
sign, and from the fourth number on it is the difference to the one two before.
"""

from __future__ import annotations

from collections.abc import Collection, Generator, Iterator, Sequence
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

_TIMES_PIXELS = 4  # as many pixels as the video's picture a mask may have: of twice its sides
_MAX_PIXELS = 2**26  # of one mask of no video: 8K video has half of it
_MOST_PIXELS = 2**28  # of all masks of a frame, a byte each
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
_FROM_0 = FileMasks((), f"{_NONE.missing} (counted from 0; nothing has the number 0)")


def read_mask_files(
    path: Path, clip: Clip, size: tuple[int, int]
) -> Generator[FileMasks, None, None]:
    """For each frame of the clip's timeline, in order, the masks in `path`.

    path: a folder of PNG files with the frame's number last in their names (from 0; from 1 where
    none has the number 0 and one that of the video's frames); a .json of COCO, in the same way;
    or a video with as many frames as the whole video or as the clip. A PNG file
    shows one mask in black and white (or in its transparency), or several as small numbers (a
    palette). size: (width, height) of the video's pictures; masks of another size are scaled to it
    if they have its shape and at most four times its pixels.

    A frame without a mask, with a mask of another shape, with too many or with what is no mask
    comes with the reason. Raises InputError where `path` is none of the three, a video of another
    length or shape, and where no frame at all has a mask.
    """
    frames, whole = clip.timeline().frame.tolist(), len(Clip(clip.path).timeline())
    if path.is_dir():
        found: Iterator[FileMasks] = _of_folder(path, frames, whole, size)
    elif path.suffix.lower() == ".json":
        found = _of_json(path, frames, whole, size)
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
    first, none = _counted(files, whole)
    for frame in frames:
        file = files.get(frame + first)
        yield none if file is None else _of_png(file, size)


def _counted(numbers: Collection[int], whole: int) -> tuple[int, FileMasks]:
    """The first frame's number, and what to say of a frame without a mask.

    From 0, no frame has the number of all frames. Without that one, the first file may be missing
    of files from 0, or the last of files from 1.
    """
    if 0 in numbers:
        return 0, _NONE
    return (1, _NONE) if whole in numbers else (0, _FROM_0)


def _of_png(file: Path, size: tuple[int, int]) -> FileMasks:
    try:
        check_file(file, _MAX_PNG_BYTES)
        with Image.open(file, formats=["PNG"]) as picture:
            if not _has_shape(picture.size, size):
                return FileMasks((), _other_shape(picture.size, size))
            return _in_pixels(picture, size)
    except InputError as error:
        return FileMasks((), error.reason)
    except PNG_ERRORS:
        return FileMasks((), f"{file.name} is no PNG file, or damaged")


def _in_pixels(picture: Image.Image, size: tuple[int, int]) -> FileMasks:
    """The masks of a PNG: its labels, its transparency, or its grey levels."""
    if picture.mode == "P":
        return _of_palette(picture, size)
    if picture.mode in ("LA", "RGBA"):
        alpha = np.asarray(picture.getchannel("A"))
        if alpha.min() < 255:
            return _checked(alpha, size)
    if picture.mode in ("RGB", "RGBA"):
        return _in_colour(np.asarray(picture.convert("RGB")), size)
    if picture.mode not in ("1", "L", "LA"):
        return FileMasks((), f"its pixels are of the kind {picture.mode}, not black and white")
    levels = np.asarray(picture.convert("L"))
    if 0 < levels.max() <= _MOST:
        return _by_label(levels, [v for v in np.unique(levels).tolist() if v], size)
    return _checked(levels, size)


def _of_palette(picture: Image.Image, size: tuple[int, int]) -> FileMasks:
    """In black and white one mask; else one of each colour but the background's, which is what is
    transparent, or black, or (where nothing is, or all) has the number 0."""
    labels = np.asarray(picture)
    picture.apply_transparency()
    palette = np.full((256, 4), 127, np.uint8)  # numbers beyond the palette: of no certain colour
    given = np.array(picture.getpalette("RGBA"), np.uint8).reshape(-1, 4)
    palette[: len(given)] = given
    used = np.unique(labels)
    colours = palette[used]
    white = (colours[:, :3] == 255).all(axis=1)
    clear, black = colours[:, 3] == 0, (colours[:, :3] == 0).all(axis=1)
    outside = clear if clear.any() else black
    if len(used) > 1 and outside.all():
        outside = used == 0
    elif (outside | white).all():
        return FileMasks((_fitted(_white(np.isin(labels, used[~outside])), size),))
    elif not outside.any():
        outside = used == 0
    return _by_label(labels, used[~outside].tolist(), size)


def _by_label(labels: Grey, values: Sequence[int], size: tuple[int, int]) -> FileMasks:
    if len(values) > _most(size):
        return FileMasks((), f"it has more than {_most(size)} labels")
    masks = tuple(_fitted(_white(labels == v), size) for v in values)
    return FileMasks(masks or (np.zeros(size[::-1], np.uint8),))


def _most(size: tuple[int, int]) -> int:
    """Masks that a frame of the video may have."""
    return max(min(_MOST, _MOST_PIXELS // (size[0] * size[1])), 1)


def _in_colour(rgb: Grey, size: tuple[int, int]) -> FileMasks:
    spread = rgb.max(axis=-1).astype(np.int16) - rgb.min(axis=-1)
    if (spread > _COLOURED).mean() > _COLOUR_SHARE:
        return FileMasks((), "it is a colour picture, not a mask")
    return _checked(np.ascontiguousarray(rgb[..., 1]), size)


def _checked(levels: Grey, size: tuple[int, int]) -> FileMasks:
    if ((levels > 31) & (levels < 224)).mean() > _HALF_GREY:
        return FileMasks((), "it is no mask: most of it is neither black nor white")
    return FileMasks((_fitted(np.asarray(levels), size),))


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
            yield damaged if one.rgb is None else _in_colour(one.rgb, size)
            at = next(wanted, None)


def _of_json(
    path: Path, frames: Sequence[int], whole: int, size: tuple[int, int]
) -> Iterator[FileMasks]:
    by_frame: dict[int, list[Any]] = {}
    for frame, found in _segmentations(path, read_json(path)):
        by_frame.setdefault(frame, []).extend(found)
    first, none = _counted(by_frame, whole)
    for frame in frames:
        masks = by_frame.get(frame + first, [])
        if len(masks) > _most(size):
            reason = f"frame {frame}: more than {_most(size)} masks"
            raise InputError(path, reason, "keep the people")
        yield _of_runs(masks, size) if masks else none


def _segmentations(path: Path, content: Any) -> Iterator[tuple[int, list[Any]]]:
    """(number, segmentations): of results, of a data set (its images without any, too), or of a
    bare list with one per frame."""
    if isinstance(content, dict):
        listed = entries(path, content.get("annotations"), '"annotations"')
        images = entries(path, content.get("images"), '"images"')
        names = {str(i.get("id")): frame_number(path, i.get("file_name")) for i in images}
        yield from ((number, []) for number in names.values())
        for entry in listed:
            if str(entry.get("image_id")) not in names:
                raise InputError(path, "an annotation is of no image", "export it again")
            yield names[str(entry.get("image_id"))], [entry.get("segmentation")]
    elif isinstance(content, list) and all(
        e is None or (isinstance(e, dict) and "counts" in e) for e in content
    ):
        yield from ((k, [] if entry is None else [entry]) for k, entry in enumerate(content))
    else:
        for entry in entries(path, content, "the file"):
            yield frame_number(path, entry.get("image_id")), [entry.get("segmentation")]


def _of_runs(found: Sequence[Any], size: tuple[int, int]) -> FileMasks:
    masks = []
    for entry in found:
        try:
            mask = decode_runs(entry, _TIMES_PIXELS * size[0] * size[1])
        except InvalidData as error:
            return FileMasks((), str(error).rstrip("."))
        if not _has_shape(mask.shape[::-1], size):
            return FileMasks((), _other_shape(mask.shape[::-1], size))
        masks.append(_fitted(_white(mask), size))
    return FileMasks(tuple(masks))


def decode_runs(entry: Any, most: int = _MAX_PIXELS) -> NDArray[np.bool_]:
    """(height, width) of COCO's {"size": [height, width], "counts": text or list}.

    Raises InvalidData where it is none (a polygon), has more than `most` pixels, or its runs do
    not fill its size.
    """
    size = entry.get("size") if isinstance(entry, dict) else None
    counts: Any = entry.get("counts") if isinstance(entry, dict) else None
    if not (isinstance(size, list) and len(size) == 2 and all(type(n) is int for n in size)):
        raise InvalidData("a mask is not given as run lengths with a size.")
    height, width = size
    if min(size) < 1 or height * width > most:
        raise InvalidData(f"a mask of {width} x {height} pixels is none of this video.")
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
    """Whether it is that size, or that shape in another; not of far more pixels."""
    (width, height), (w, h) = size, wanted
    same = abs(width / w * h / height - 1) <= _SAME_SHAPE + 1 / min(width, height)
    return same and width * height <= _TIMES_PIXELS * w * h


def _other_shape(size: tuple[int, ...], wanted: tuple[int, int]) -> str:
    more = size[0] * size[1] > _TIMES_PIXELS * wanted[0] * wanted[1]
    far = f", and may have {_TIMES_PIXELS} times as many at most" if more else ""
    return f"its mask is {size[0]} x {size[1]}, the video {wanted[0]} x {wanted[1]} pixels{far}"


def _fitted(mask: Grey, size: tuple[int, int]) -> Grey:
    """At the video's size, each one as it is decoded: many large ones are never held at once."""
    if mask.shape == size[::-1]:
        return mask
    smaller = mask.shape[0] > size[1]
    how = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(mask, size, interpolation=how))
