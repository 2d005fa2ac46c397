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
_LENGTH, _LENGTH_35MM = 0x920A, 0xA405
_RESOLUTION, _RESOLUTION_UNIT = 0xA20E, 0xA210
_WIDTH, _HEIGHT = 0xA002, 0xA003
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}
_SAME_SHAPE = 0.02  # relative: rows and columns that a coder adds or drops
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
    return NotedFocal(pixels, _VIDEO_SD, f"{tag}: {value:g} mm"), ()


def _plausible(equivalent_mm: float) -> bool:
    return _SHORTEST_MM <= equivalent_mm <= _LONGEST_MM


def _ignored(tag: str, value: float) -> str:
    return (
        f"The file notes a focal length of {value:g} mm ({tag}), which cannot be: it was ignored."
    )


def _sensor_diagonal(size: tuple[int, int]) -> float:
    """Pixels of the diagonal of the sensor of which the picture is a part.

    Sensors are 4:3 or 3:2. Wider pictures (16:9) keep the width of 4:3, squares its height.
    """
    longer, shorter = max(size), min(size)
    if longer > 1.52 * shorter:
        return 1.25 * longer
    return math.hypot(longer, shorter) if longer > 1.3 * shorter else shorter * 5 / 3


def _of_photo(
    exif: Mapping[int, Any], size: tuple[int, int]
) -> tuple[NotedFocal | None, tuple[str, ...]]:
    equivalent = _number(exif.get(_LENGTH_35MM))
    if _LENGTH_35MM not in exif or equivalent == 0:  # 0: not known, says the standard
        found = _by_focal_plane(exif, size)
    elif not _plausible(equivalent):
        return None, (_ignored("EXIF FocalLengthIn35mmFilm", equivalent),)
    else:
        pixels = equivalent / _FILM_DIAGONAL_MM * _sensor_diagonal(size)
        found = NotedFocal(pixels, _PHOTO_SD, f"EXIF FocalLengthIn35mmFilm: {equivalent:g} mm")
    if found is None or _whole(exif, size):
        return found, ()
    return None, (f"The photo was cropped: {found.tag} is of the whole of it and was ignored.",)


def _whole(exif: Mapping[int, Any], size: tuple[int, int]) -> bool:
    """Whether the picture has the shape that the camera noted; True where it noted none.

    A part of the same shape cannot be told from a smaller copy of the whole.
    """
    noted = sorted((_number(exif.get(_WIDTH)), _number(exif.get(_HEIGHT))))
    if not noted[0] > 0:
        return True
    now = sorted(size)
    return abs(now[1] / now[0] * noted[0] / noted[1] - 1) < _SAME_SHAPE


def _by_focal_plane(exif: Mapping[int, Any], size: tuple[int, int]) -> NotedFocal | None:
    """From millimetres and the sensor's pixels per unit of length; None where one is missing, or
    the sensor would be none."""
    length, resolution = _number(exif.get(_LENGTH)), _number(exif.get(_RESOLUTION))
    unit = _UNIT_MM.get(int(_number(exif.get(_RESOLUTION_UNIT, 2))), 0.0)
    width = max(_number(exif.get(_WIDTH)), _number(exif.get(_HEIGHT)))
    if not (length > 0 and resolution > 0 and unit and width > 0):
        return None
    pixels = length * resolution / unit * max(size) / width
    if not _plausible(pixels * _FILM_DIAGONAL_MM / _sensor_diagonal(size)):
        return None
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
    if kind in (23, 24) and len(rest) in (4, 8):
        value = float(struct.unpack(">f" if len(rest) == 4 else ">d", rest)[0])
        return value if math.isfinite(value) else 0.0
    return ""
