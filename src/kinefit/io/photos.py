"""Photos: single still pictures as cameras and telephones write them, upright.

Pillow reads them, not FFmpeg, which knows no HEIC and takes JPEG files with something behind the
picture (HDR maps, motion photos) for no picture. Animations are films: see `kinefit.io.video`.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.Image import Transpose

from kinefit.io import pictures
from kinefit.io.heic import is_heic, read_exif, read_heic, read_layout
from kinefit.io.pictures import check_pixels, too_large
from kinefit.types import InputError

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".avif", ".heic", ".heif")
_MJPEG = (".mjpg", ".mjpeg")  # JPEG after JPEG: a film
_ORIENTATION, _CAMERA = 0x0112, 0x8769  # EXIF tags; the second is a directory of its own
_UPRIGHT = {
    2: Transpose.FLIP_LEFT_RIGHT, 3: Transpose.ROTATE_180, 4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE, 6: Transpose.ROTATE_270, 7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}  # fmt: skip
_SENSOR_BITS = (10, 12)
# What Pillow raises for files that are damaged or made to deceive.
BROKEN = (UnidentifiedImageError, OSError, ValueError, SyntaxError, EOFError, struct.error,
          IndexError, KeyError, TypeError, OverflowError, ZeroDivisionError,
          RuntimeError)  # fmt: skip


@dataclass(frozen=True)
class Photo:
    """What the header of a photo says. format: JPEG, PNG, BMP, TIFF, WEBP, AVIF or HEIC.
    size: (width, height) pixels of the upright picture. orientation: 1 to 8, as EXIF has it."""

    format: str
    size: tuple[int, int]
    orientation: int = 1


def photo_of(path: Path) -> Photo | None:
    """The photo in a file; None for films, animations and everything else.

    Raises InputError for one that would fill the memory. No pixel is read.
    """
    if is_heic(path):
        layout = read_layout(path)
        check_pixels(path, *layout.size)
        turned = sum(value for kind, value in layout.turns if kind == b"irot") % 2
        return Photo("HEIC", layout.size[::-1] if turned else layout.size)
    if path.suffix.lower() in _MJPEG:
        return None
    try:
        with Image.open(path, formats=_formats()) as picture:
            kind = "JPEG" if picture.format == "MPO" else str(picture.format)
            if kind not in ("JPEG", "TIFF") and getattr(picture, "n_frames", 1) > 1:
                return None
            # A TIFF is turned by Pillow; of a PNG without the tag it would decode the pixels.
            told = kind != "TIFF" and "exif" in picture.info
            tag = _orientation(picture) if told else 1
            size = picture.size if tag < 5 else picture.size[::-1]
    except Image.DecompressionBombError as error:  # over twice the limit
        raise too_large(path) from error
    except BROKEN:
        return None
    check_pixels(path, *size)
    return Photo(kind, size, tag)


def read_photo(path: Path) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of a file that holds a photo, upright.

    Raises InputError where it is damaged, or its values are neither of 8 nor of 16 bits.
    """
    if is_heic(path):
        return read_heic(path, read_layout(path))
    try:
        with Image.open(path, formats=_formats()) as picture:
            picture.load()
            turn = _UPRIGHT.get(_orientation(picture))
            upright = picture if turn is None else picture.transpose(turn)
            if upright.mode in ("I", "F"):
                reason = "its pixels are numbers of 32 bits, whose white is not known"
                raise InputError(path, reason, "save it as PNG or JPEG")
            if upright.mode.startswith("I;16"):
                grey = _of_8_bits(np.asarray(upright))
                return np.repeat(grey[..., None], 3, axis=2)
            return np.array(upright.convert("RGB"))
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except BROKEN as error:
        reason = f"the picture is damaged ({error})"
        raise InputError(path, reason, "copy it again from the camera") from error


def exif_of(path: Path) -> dict[int, Any]:
    """What the camera noted of a photo: tag of EXIF's own directory -> value, as written; empty
    where there is nothing that can be read."""
    try:
        if is_heic(path):
            noted = Image.Exif()
            noted.load(read_exif(path))
            return dict(noted.get_ifd(_CAMERA))
        with Image.open(path, formats=_formats()) as picture:
            told = picture.format == "TIFF" or "exif" in picture.info
            return dict(picture.getexif().get_ifd(_CAMERA)) if told else {}
    except (Image.DecompressionBombError, *BROKEN):
        return {}


def _of_8_bits(grey: NDArray[Any]) -> NDArray[np.uint8]:
    """Of values of 16 bits, or of those that a sensor of 10 or 12 bits gave: nothing in a file says
    which, but a picture of 16 bits without any would be almost black."""
    most = int(grey.max(initial=0))
    depth = next(bits for bits in (*_SENSOR_BITS, 16) if most < 2**bits)
    return np.asarray(grey >> (depth - 8), np.uint8)


def _formats() -> tuple[str, ...]:
    """Those that this Pillow knows: AVIF since 11.3, before that FFmpeg reads it."""
    Image.init()
    return tuple(one for one in (*pictures.FORMATS, "AVIF") if one in Image.OPEN)


def _orientation(picture: Any) -> int:
    try:
        tag = int(picture.getexif().get(_ORIENTATION, 1))
        return tag if tag in _UPRIGHT else 1
    except BROKEN:
        return 1
