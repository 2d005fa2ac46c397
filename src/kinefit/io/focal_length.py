"""The focal length that a camera notes in its file.

Photos: EXIF FocalLengthIn35mmFilm, or FocalLength with FocalPlaneXResolution (EXIF 3.0, 4.6.5).
Videos: com.apple.quicktime.camera.focal_length.35mm_equivalent, which iPhones write among the
metadata of the track (FFmpeg tells those of the whole file only) and some apps for the whole file.

A focal length "equivalent to 35 mm film" is that of a picture with the diagonal of 36 x 24 mm
(CIPA DCG-001) which shows as much as the sensor does.
"""

from __future__ import annotations

import math
import re
import struct
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from kinefit.io.boxes import Box, Fields, boxes, content, find
from kinefit.io.photos import exif_of, photo_of
from kinefit.io.video import tags_of

_FILM_DIAGONAL_MM = math.hypot(36.0, 24.0)
# Whole pictures of 35 mm film's diagonal: fields of view of 120 to 8 degrees. What is written
# outside is no lens with which people are filmed (0: not known; 65535: infinity).
_SHORTEST_MM, _LONGEST_MM = 10.0, 250.0
# Rounded to a millimetre (26: 2 %), and some makers mean 36 mm across, not the diagonal (4 %).
_PHOTO_SD = 0.04
# A video shows less than the sensor does, as stabilisation needs a margin: 28 mm of an iPhone X are
# 64 degrees across and its videos show 59.9 (7 %), of an iPhone 6 62 and 55 (15 %); without
# stabilisation nothing is cut off.
_VIDEO_CROP, _VIDEO_SD = 1.06, 0.06
_LENGTH, _LENGTH_35MM, _ZOOM = 0x920A, 0xA405, 0xA404
_RESOLUTION, _RESOLUTION_UNIT = 0xA20E, 0xA210
_WIDTH, _HEIGHT = 0xA002, 0xA003
# Whole numbers: type -> bytes, signed (QuickTime File Format, Well-known types).
_WHOLE = {65: (1, True), 66: (2, True), 67: (4, True), 74: (8, True),
          75: (1, False), 76: (2, False), 77: (4, False), 78: (8, False)}  # fmt: skip
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_SAME_SHAPE = 0.02  # relative: rows and columns that a coder adds or drops
# Longer by shorter side of what cameras take whole: 4:3, 3:2, 16:9, telephones' 18:9 to 20:9.
_SHAPES = ((4 / 3, 4 / 3), (3 / 2, 3 / 2), (16 / 9, 16 / 9), (18 / 9, 20 / 9))
# Sensors' longer side, millimetres, from and to, and their largest pixels, micrometres: telephones
# and compact cameras, 1 inch, 4/3, APS-C, 35 mm film, medium formats. A smaller copy of a picture
# of a large sensor would be of a small one with large pixels, which there is none.
_SENSORS = ((4.0, 10.0, 2.3), (12.7, 13.6, 3.5), (17.0, 17.6, 6.0), (22.0, 24.0, 9.0),
            (35.0, 36.5, 10.0), (43.5, 54.0, 10.0))  # fmt: skip
_KEY = "com.apple.quicktime.camera.focal_length.35mm_equivalent"


@dataclass(frozen=True)
class NotedFocal:
    """focal_px: of the upright picture, pixels. sd: relative. tag: what the file says, in words."""

    focal_px: float
    sd: float
    tag: str


def focal_of_file(path: Path, size: tuple[int, int]) -> tuple[NotedFocal | None, tuple[str, ...]]:
    """What a photo or video notes, for a picture of `size` (width, height); and, in sentences, what
    it notes and cannot be.

    None where it notes nothing that can be used. Raises InputError for a file that cannot be read.
    """
    if photo_of(path) is not None:
        return _of_photo(exif_of(path), size)
    tag, value = f"QuickTime {_KEY.removeprefix('com.apple.quicktime.')}", _of_video(path)
    if value is None:
        return None, ()
    if not _plausible(value):
        return None, (_ignored(tag, value),)
    pixels = _VIDEO_CROP * value / _FILM_DIAGONAL_MM * _sensor_diagonal(size)
    found = NotedFocal(pixels, _VIDEO_SD, f"{tag}: {value:g} mm")
    if _known_shape(size):
        return found, ()
    return None, (_cropped("video", size, found.tag),)


def _known_shape(size: tuple[int, int]) -> bool:
    shape, off = max(size) / min(size), _SAME_SHAPE
    return any(least * (1 - off) < shape < most * (1 + off) for least, most in _SHAPES)


def _cropped(what: str, size: tuple[int, int], tag: str) -> str:
    return (
        f"The {what} was cropped or put together ({size[0]} x {size[1]} pixels are of a shape that "
        f"no camera takes whole): {tag} is of the whole and was ignored."
    )


def _plausible(equivalent_mm: float) -> bool:
    return _SHORTEST_MM <= equivalent_mm <= _LONGEST_MM


def _ignored(tag: str, value: float) -> str:
    return (
        f"The file notes a focal length of {value:g} mm ({tag}), which cannot be: it was ignored."
    )


def _sensor_diagonal(size: tuple[int, int]) -> float:
    """Pixels of the diagonal of the sensor of which the picture is a part.

    Sensors are 4:3 or 3:2. Wider pictures (16:9) keep the width of 4:3.
    """
    longer, shorter = max(size), min(size)
    return 1.25 * longer if longer > 1.6 * shorter else math.hypot(longer, shorter)


def _of_photo(
    exif: Mapping[int, Any], size: tuple[int, int]
) -> tuple[NotedFocal | None, tuple[str, ...]]:
    equivalent = _number(exif.get(_LENGTH_35MM))
    if _LENGTH_35MM not in exif or equivalent == 0:  # 0: not known, says the standard
        found = _by_focal_plane(exif, size)
        if found is None or isinstance(found, str):
            return None, () if found is None else (found,)
    elif not _plausible(equivalent):
        return None, (_ignored("EXIF FocalLengthIn35mmFilm", equivalent),)
    else:
        pixels = equivalent / _FILM_DIAGONAL_MM * _sensor_diagonal(size)
        found = NotedFocal(pixels, _PHOTO_SD, f"EXIF FocalLengthIn35mmFilm: {equivalent:g} mm")
    said = _of_another_picture(exif, size, found.tag)
    return (found, ()) if said is None else (None, (said,))


def _of_another_picture(exif: Mapping[int, Any], size: tuple[int, int], tag: str) -> str | None:
    """Why what the `tag` says is not the focal length of this picture; None where it is."""
    if (zoom := _number(exif.get(_ZOOM))) > 1:
        return (
            f"The photo was zoomed in digitally ({zoom:g} times): whether {tag} includes that "
            "depends on the maker, so it was ignored."
        )
    if not _whole(exif, size):
        return f"The photo was cropped: {tag} is of the whole of it and was ignored."
    return None if _known_shape(size) else _cropped("photo", size, tag)


def _whole(exif: Mapping[int, Any], size: tuple[int, int]) -> bool:
    """Whether the picture has the shape that the camera noted; True where it noted none.

    A part of the same shape cannot be told from a smaller copy of the whole.
    """
    noted = sorted((_number(exif.get(_WIDTH)), _number(exif.get(_HEIGHT))))
    if not noted[0] > 0:
        return True
    now = sorted(size)
    return abs(now[1] / now[0] * noted[0] / noted[1] - 1) < _SAME_SHAPE


def _by_focal_plane(exif: Mapping[int, Any], size: tuple[int, int]) -> NotedFocal | str | None:
    """From millimetres and the sensor's pixels per unit of length; None where one is missing, a
    sentence where no camera has such a sensor.

    Programs that make a picture smaller put its new width in place of the sensor's and leave the
    rest: half of 36 mm is no sensor.
    """
    length, resolution = _number(exif.get(_LENGTH)), _number(exif.get(_RESOLUTION))
    unit = _UNIT_MM.get(int(_number(exif.get(_RESOLUTION_UNIT, 2))), 0.0)
    width = max(_number(exif.get(_WIDTH)), _number(exif.get(_HEIGHT)))
    if not (length > 0 and resolution > 0 and unit and width > 0):
        return None
    pixel = unit / resolution
    sensor = width * pixel
    pixels = length / sensor * max(size)
    known = any(least <= sensor <= most and 1000 * pixel <= coarsest
                for least, most, coarsest in _SENSORS)  # fmt: skip
    if not known or not _plausible(pixels * _FILM_DIAGONAL_MM / _sensor_diagonal(size)):
        return (
            f"The file notes a focal length of {length:g} mm (EXIF FocalLength) and a sensor of "
            f"{sensor:.3g} mm (FocalPlaneXResolution), which cannot be: it was ignored."
        )
    return NotedFocal(pixels, _PHOTO_SD, f"EXIF FocalLength: {length:g} mm, by the sensor's pixels")


def _number(value: Any) -> float:
    """A finite number, 0 for anything else."""
    with suppress(TypeError, ValueError, ZeroDivisionError, OverflowError):
        if math.isfinite(number := float(value)):
            return number
    return 0.0


def _of_video(path: Path) -> float | None:
    """The key's value, of the track or of the file; 0 where it is no length, None without it."""
    with path.open("rb") as stream:
        found = next(_values(stream, path.stat().st_size), None)
    if found is None:
        found = next((v for tag, v in tags_of(path).items() if tag.lower() == _KEY), None)
    if found is None or isinstance(found, float):
        return found
    written = re.fullmatch(r"\s*(\d{1,9}(?:\.\d{1,9})?)\s*(?:mm)?\s*", found)
    return float(written[1]) if written else 0.0


def _values(stream: BinaryIO, size: int) -> Iterator[float | str]:
    """What the key says anywhere in a film's header, tracks first."""
    film = find(stream, Box(b"", 0, size), b"moov")
    if film is None:
        return
    tracks = [box for box in boxes(stream, film.start, film.end) if box.kind == b"trak"]
    for owner in (*tracks, film):
        for way in ((b"meta",), (b"udta", b"meta")):
            meta = find(stream, owner, *way)
            if meta is not None:
                with suppress(ValueError, struct.error):
                    yield from _noted(stream, meta)


def _noted(stream: BinaryIO, meta: Box) -> Iterator[float | str]:
    """The key's value in metadata of keys and values (QuickTime File Format, Metadata)."""
    for skipped in (0, 4):  # QuickTime's box; MP4's, which begins with version and flags
        within = meta._replace(start=meta.start + skipped)
        keys, values = find(stream, within, b"keys"), find(stream, within, b"ilst")
        if keys is None or values is None:
            continue
        fields = Fields(content(stream, keys))
        fields.take(4)
        names = []
        for _ in range(min(fields.number(4), 1000)):
            length = fields.number(4)
            fields.take(4)  # "mdta"
            names.append(fields.take(max(length - 8, 0)).decode("latin-1").lower())
        for entry in boxes(stream, values.start, values.end):
            index = int.from_bytes(entry.kind, "big")
            data = find(stream, entry, b"data")
            if data is not None and 0 < index <= len(names) and names[index - 1] == _KEY:
                yield _value(content(stream, data))


def _value(data: bytes) -> float | str:
    """By its type: text, whole numbers, floating point; "" for another one."""
    fields = Fields(data)
    kind = fields.number(4) & 0xFFFFFF
    fields.take(4)  # language
    rest = data[8:]
    if kind == 1:
        return rest[:32].decode("latin-1")
    if kind in (21, 22) and len(rest) in (1, 2, 4, 8):
        return float(int.from_bytes(rest, "big", signed=kind == 21))
    if kind in _WHOLE and len(rest) == _WHOLE[kind][0]:
        return float(int.from_bytes(rest, "big", signed=_WHOLE[kind][1]))
    if kind in (23, 24) and len(rest) in (4, 8):
        value = float(struct.unpack(">f" if len(rest) == 4 else ">d", rest)[0])
        return value if math.isfinite(value) else 0.0
    return ""
