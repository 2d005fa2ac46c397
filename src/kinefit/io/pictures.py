"""Picture files: how large a stranger's may be, known before any of it is unpacked; and ours."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from kinefit.io.atomic import atomic_path
from kinefit.io.text import check_file
from kinefit.types import InputError, InvalidData

# 134 million: photos of 108 megapixels, four times 8K video; 400 MB unpacked. A PNG of 2.6 MB can
# hold seven times as many in one colour.
MOST_PIXELS = 2**27
# Pillow's own limit, below which it warns, is lower. Once for the process: threads share it.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS
FORMATS = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")


def check_pixels(path: str | Path, width: int, height: int) -> None:
    """Raises InputError for a picture that would fill the memory."""
    if width * height > MOST_PIXELS:
        raise _too_large(path, f"{width} x {height} pixels, over {MOST_PIXELS / 1e6:.0f} million")


def too_large(path: str | Path) -> InputError:
    """For a picture that Pillow refuses: it has over twice the limit."""
    return _too_large(path, f"over {2 * MOST_PIXELS / 1e6:.0f} million pixels")


def _too_large(path: str | Path, pixels: str) -> InputError:
    return InputError(path, f"its pictures have {pixels}", "make them smaller")


def check_picture(path: str | Path) -> None:
    """Raises InputError unless the file is a picture in one of `FORMATS`, of a size to unpack.

    Only its header is read.
    """
    check_file(Path(path))
    try:
        with Image.open(path, formats=FORMATS) as picture:  # reads no pixels
            size = picture.size
    except Image.DecompressionBombError as error:
        raise too_large(path) from error
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise InputError(path, "cannot be read as an image", "give .jpg or .png files") from error
    check_pixels(path, *size)


def write_picture(path: Path, image: NDArray[np.uint8]) -> None:
    """Write (height, width, 3) RGB as PNG or JPEG, by the suffix.

    Raises InvalidData for any other suffix.
    """
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        raise InvalidData(f"{path}: pictures are written as .png or .jpg.")
    with atomic_path(path) as temporary:
        _, coded = cv2.imencode(path.suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))
        temporary.write_bytes(coded.tobytes())
