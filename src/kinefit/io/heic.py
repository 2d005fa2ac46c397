"""HEIC photos (ISO/IEC 23008-12), with the HEVC decoder that comes with PyAV.

FFmpeg gives the tiles that such a photo is made of, each as a stream of its own: which of them
belong to the photo (others are its thumbnail, its depth), how they lie and how the whole is turned
stands in the file's header, which is read here. (Of the packages that read HEIC, pi-heif is no
longer maintained, and pillow-heif brings a GPL encoder.)
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import av
import numpy as np
from numpy.typing import NDArray

from kinefit.io.boxes import MOST_BOXES, Box, Fields, boxes, content, find
from kinefit.io.pictures import MOST_PIXELS, check_pixels
from kinefit.types import InputError

_HEVC = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")  # brands: pictures in HEVC
_ANY = (b"mif1", b"msf1")  # brands that say nothing of the coding
_MOST_DATA = 2**20  # bytes of an item that is no picture
_BROKEN = (ValueError, KeyError, IndexError, StopIteration)
_QUARTERS, _MIRROR, _SIZE = b"irot", b"imir", b"ispe"


def is_heic(path: Path) -> bool:
    """Whether the file says that it is a HEIC photo; AVIF, its sibling, is none."""
    with path.open("rb") as stream:
        head = stream.read(64)
    brands = {head[8:12], *(head[i : i + 4] for i in range(16, len(head) - 3, 4))}
    return head[4:8] == b"ftyp" and (
        head[8:12] in _HEVC or (head[8:12] in _ANY and b"avif" not in brands)
    )


@dataclass(frozen=True)
class HeicLayout:
    """How a photo is put together.

    size: (width, height) pixels before it is turned. tiles: items of the file, row by row, in
    `columns` columns. turns: what is done to the picture, in this order: ("irot", quarter turns
    counter-clockwise) and ("imir", 0: top and bottom exchanged, 1: left and right).
    """

    size: tuple[int, int]
    tiles: tuple[int, ...]
    columns: int
    turns: tuple[tuple[bytes, int], ...]


def read_layout(path: Path) -> HeicLayout:
    """From the header alone; raises InputError where it does not say what is needed."""
    with path.open("rb") as file:
        try:
            return _layout(_Header(file, path.stat().st_size))
        except _BROKEN as error:
            reason = "it is a HEIC photo whose header cannot be read"
            raise InputError(path, reason, _HINT) from error


def read_exif(path: Path) -> bytes:
    """What the camera noted, as Pillow's Exif loads it; b"" for nothing."""
    with path.open("rb") as file:
        try:
            header = _Header(file, path.stat().st_size)
            item = next(item for item, kind in header.kinds().items() if kind == b"Exif")
            fields = header.data(item)
            fields.take(fields.number(4))  # what comes before the TIFF header: "Exif\0\0"
            return b"Exif\0\0" + fields.rest()
        except _BROKEN:
            return b""


_HINT = (
    "copy it again, or save it as JPEG or PNG (on an iPhone: Settings, Camera, Formats, "
    "Most Compatible)"
)


class _Header:
    """The `meta` box: a full box, so that its content begins with version and flags."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        found = find(file, Box(b"", 0, size), b"meta")
        data = b"" if found is None else content(file, found)
        self._stream, self._file, self._size = io.BytesIO(data), file, size
        self._within = Box(b"meta", 4, len(data))

    def box(self, *kinds: bytes) -> bytes:
        """What is in it; KeyError where it is not there."""
        found = find(self._stream, self._within, *kinds)
        if found is None:
            raise KeyError(kinds)
        return content(self._stream, found)

    def full(self, *kinds: bytes) -> tuple[int, int, Fields]:
        """Version, flags and what follows."""
        fields = Fields(self.box(*kinds))
        return fields.number(1), fields.number(3), fields

    def primary(self) -> int:
        version, _, fields = self.full(b"pitm")
        return fields.number(4 if version else 2)

    def kinds(self) -> dict[int, bytes]:
        """Item -> its kind: hvc1, grid, Exif, ..."""
        data, found = self.box(b"iinf"), {}
        for entry in boxes(io.BytesIO(data), 8 if data[0] else 6, len(data)):
            fields = Fields(data[entry.start : entry.end])
            version, _ = fields.number(1), fields.number(3)
            item = fields.number(4 if version > 2 else 2)
            fields.take(2)  # protection
            found[item] = fields.take(4)
        return found

    def made_of(self, item: int) -> tuple[int, ...]:
        """The items that `item` is put together from; StopIteration where none is told."""
        data = self.box(b"iref")
        size = 4 if data[0] else 2
        references = (e for e in boxes(io.BytesIO(data), 4, len(data)) if e.kind == b"dimg")
        parts = (Fields(data[entry.start : entry.end]) for entry in references)
        fields = next(part for part in parts if part.number(size) == item)
        return tuple(fields.number(size) for _ in range(fields.number(2)))

    def properties(self, item: int) -> list[tuple[bytes, bytes]]:
        """Kind and content of the item's properties, in the order in which they apply."""
        data = self.box(b"iprp", b"ipco")
        known = [(b.kind, data[b.start : b.end])
                 for b in boxes(io.BytesIO(data), 0, len(data))]  # fmt: skip
        version, flags, fields = self.full(b"iprp", b"ipma")
        wide, highest = (2, 0x7FFF) if flags & 1 else (1, 0x7F)
        for _ in range(_count(fields, 4)):
            of = fields.number(4 if version else 2)
            told = Fields(fields.take(wide * (count := fields.number(1))))
            if of == item:
                places = [told.number(wide) & highest for _ in range(count)]
                return [known[place - 1] for place in places if 0 < place <= len(known)]
        return []

    def data(self, item: int) -> Fields:
        """The bytes of an item that is no picture, in `idat` or in the file; of an item in
        several pieces the first."""
        version, _, fields = self.full(b"iloc")
        sizes = fields.number(2)
        offset, length, base, index = (sizes >> s & 15 for s in (12, 8, 4, 0))
        index = index if version else 0
        wide = 4 if version > 1 else 2
        for _ in range(_count(fields, wide)):
            of = fields.number(wide)
            method = fields.number(2) & 15 if version else 0
            fields.take(2)  # which file: this one
            start = fields.number(base)
            pieces = Fields(fields.take(fields.number(2) * (index + offset + length)))
            if of == item:
                pieces.take(index)
                return Fields(
                    self._bytes(method, start + pieces.number(offset), pieces.number(length))
                )
        raise KeyError(item)

    def _bytes(self, method: int, start: int, size: int) -> bytes:
        if method == 1:
            return self.box(b"idat")[start : start + size]
        if start > self._size:
            raise ValueError("an item lies behind the end of the file")
        self._file.seek(start)
        return self._file.read(min(size, _MOST_DATA))


def _count(fields: Fields, size: int) -> int:
    """How many entries follow; ValueError for more than any photo has."""
    count = fields.number(size)
    if count > MOST_BOXES:
        raise ValueError("too many entries")
    return count


def _layout(header: _Header) -> HeicLayout:
    item = header.primary()
    properties = header.properties(item)
    turns = tuple((k, p[0] & 3) for k, p in properties if k in (_QUARTERS, _MIRROR) and p)
    if header.kinds()[item] != b"grid":
        fields = Fields(next(p for k, p in properties if k == _SIZE)[4:])
        return HeicLayout((fields.number(4), fields.number(4)), (item,), 1, turns)
    fields = header.data(item)
    _, flags, rows, columns = (fields.number(1) for _ in range(4))
    wide = 4 if flags & 1 else 2
    size = fields.number(wide), fields.number(wide)
    tiles = header.made_of(item)
    if len(tiles) != (rows + 1) * (columns + 1):
        raise ValueError("tiles are missing")
    return HeicLayout(size, tiles, columns + 1, turns)


def read_heic(path: Path, layout: HeicLayout) -> NDArray[np.uint8]:
    """(height, width, 3) RGB, upright; raises InputError where it cannot be decoded.

    Sizes are checked before anything is decoded.
    """
    check_pixels(path, *layout.size)
    try:
        with av.open(f"file:{path}", options={"format_whitelist": "mov,mp4,m4a"}) as file:
            picture = _stitched(path, layout, file)
    except (av.FFmpegError, KeyError, ValueError) as error:
        raise InputError(path, "it is a HEIC photo that cannot be decoded", _HINT) from error
    for kind, value in layout.turns:
        if kind == _QUARTERS:
            picture = np.rot90(picture, value)
        else:
            picture = picture[:, ::-1] if value & 1 else picture[::-1]
    return np.ascontiguousarray(picture)


def _stitched(path: Path, layout: HeicLayout, file: Any) -> NDArray[np.uint8]:
    """KeyError for a tile that is not in the file, ValueError where tiles do not fill the whole."""
    (width, height), n = layout.size, layout.columns
    streams = {stream.id: stream for stream in file.streams.video}
    wanted = [streams[tile] for tile in layout.tiles]
    w, h = wanted[0].codec_context.width, wanted[0].codec_context.height
    rows = len(wanted) // n
    # Each row and each column of tiles shows some of the picture: no more is decoded than that.
    if not ((n - 1) * w < width <= n * w and (rows - 1) * h < height <= rows * h):
        raise ValueError("tiles do not fill the picture")
    check_pixels(path, n * w, rows * h)
    whole = np.zeros((rows * h, n * w, 3), np.uint8)
    missing = set(range(len(wanted)))
    places = {stream.index: place for place, stream in enumerate(wanted)}
    for stream in wanted:
        stream.thread_count = 1  # dozens of decoders, one picture each
        # A tile's own data can say another size than the header: FFmpeg decodes none above this.
        stream.codec_context.options = {"max_pixels": str(MOST_PIXELS)}
    for packet in file.demux(wanted):
        for picture in packet.decode():
            if (picture.width, picture.height) != (w, h):
                raise ValueError("a tile has another size")
            place = places[packet.stream_index]
            row, column = divmod(place, n)
            tile = picture.to_ndarray(format="rgb24")
            whole[row * h : (row + 1) * h, column * w : (column + 1) * w] = tile
            missing.discard(place)
    if missing:
        raise ValueError("tiles cannot be decoded")
    return whole[:height, :width]
