"""Masks of a person as a compact file of kinefit's own (`.npz`).

Arrays: `frame` (N,), `into` (N, 2, 3), `width`, `height`, `confidence` (N,), `reason` (N,), as in
`kinefit.types.PersonMasks`; `side`, pixels of a mask (0, or no array: as the pictures say); `png`,
the masks as PNG pictures one behind another, and `length` (N,), the bytes of each. Single frames
are read without unpacking the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from kinefit.io.arrays import field, numbers, read_needed, save_npz
from kinefit.io.text import refused_as_input
from kinefit.types import FloatArray, InputError, IntArray, PersonMasks

# What Pillow raises for files that are no PNG, damaged or far too large.
PNG_ERRORS = (
    *(UnidentifiedImageError, Image.DecompressionBombError),
    *(OSError, EOFError, SyntaxError, ValueError),
)
_MAX_SIDE = 2048
_MAX_BYTES = 2**31  # of all masks that are asked for
_NEEDED = ("frame", "into", "width", "height", "confidence", "reason", "png", "length")


class MaskPacker:
    """Collects masks one after another, 2 to 3 KB each, and writes them."""

    def __init__(self, side: int = 0) -> None:
        """side: of the masks, which a file without any would not know; 0: of the first one."""
        self._png: list[bytes] = []
        self._side = side

    def add(self, grey: NDArray[np.uint8]) -> None:
        """The next frame's (S, S) mask."""
        self._side = self._side or len(grey)
        _, png = cv2.imencode(".png", grey)
        self._png.append(png.tobytes())

    def write(
        self, path: Path, frame: IntArray, into: FloatArray, size: tuple[int, int],
        confidence: FloatArray, reason: Sequence[str],
    ) -> None:  # fmt: skip
        """Write the masks that were added, whole or not at all; the rest as in `PersonMasks`."""
        save_npz(
            path, frame=frame, into=into, width=size[0], height=size[1],
            confidence=confidence, reason=np.array(reason, np.str_), side=self._side,
            png=np.frombuffer(b"".join(self._png), np.uint8),
            length=np.array([len(png) for png in self._png], np.int64),
        )  # fmt: skip


def write_masks(path: Path, masks: PersonMasks) -> None:
    """Write masks, whole or not at all; they are kept to the last bit."""
    packer = MaskPacker(masks.grey.shape[-1])
    for grey in masks.grey:
        packer.add(grey)
    packer.write(path, masks.frame, masks.into, masks.size, masks.confidence, masks.reason)


def read_masks(path: Path, frames: Sequence[int] | IntArray | None = None) -> PersonMasks:
    """The masks in a file that kinefit wrote; frames: of these numbers only, where they are there.

    Raises InputError for any other file, and for more than 2 GB of masks at once.
    """
    hint = "give a *_masks.npz of kinefit, and write it again if it is one"
    arrays = read_needed(path, _NEEDED, hint, optional=("side",))
    frame, length = (field(path, arrays, n, (None,), "iu").astype(np.int64)
                     for n in ("frame", "length"))  # fmt: skip
    png, reason = (
        field(path, arrays, "png", (None,), "u"),
        field(path, arrays, "reason", (None,), "U"),
    )
    into, confidence = (numbers(path, arrays, n, (len(frame), *rest))
                        for n, rest in (("into", (2, 3)), ("confidence", ())))  # fmt: skip
    width, height = (int(field(path, arrays, n, (), "iu")) for n in ("width", "height"))
    ends = np.cumsum(length)
    whole = len(length) == len(frame) == len(reason) and (length >= 0).all()
    if not whole or (ends[-1] if len(ends) else 0) != len(png) or min(width, height) < 1:
        raise InputError(path, "its masks are cut off", hint)
    rows = np.arange(len(frame)) if frames is None else np.flatnonzero(np.isin(frame, frames))
    pieces = [png[ends[k] - length[k] : ends[k]].tobytes() for k in rows.tolist()]
    side = int(field(path, arrays, "side", (), "iu")) if "side" in arrays else 0
    if not 0 <= side <= _MAX_SIDE:
        raise InputError(path, f"its masks cannot have a side of {side} pixels", hint)
    grey = _unpacked(path, pieces, side, hint)
    with refused_as_input(path, hint):
        return PersonMasks(
            frame[rows], grey, into[rows], (width, height), confidence[rows],
            tuple(reason[rows].tolist()),
        )  # fmt: skip


def _unpacked(path: Path, pieces: Sequence[bytes], side: int, hint: str) -> NDArray[np.uint8]:
    """(N, S, S); sizes are checked before anything is unpacked. side: 0 where it is not known."""
    found: list[Any] = []
    for piece in pieces:
        try:
            with Image.open(BytesIO(piece), formats=["PNG"]) as picture:
                side = side or picture.width
                fits = picture.size == (side, side) and picture.mode == "L" and side <= _MAX_SIDE
                if not fits or side * side * len(pieces) > _MAX_BYTES:
                    raise InputError(path, "its masks are no squares of one size", hint)
                found.append(np.asarray(picture))
        except PNG_ERRORS as error:
            raise InputError(path, f"a mask in it is damaged ({error})", hint) from error
    return np.array(found, np.uint8).reshape(-1, max(side, 1), max(side, 1))
