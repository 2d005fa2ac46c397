"""Boxes of the ISO base media file format (ISO/IEC 14496-12): MP4, QuickTime, HEIC.

What FFmpeg does not tell of these files is read here, from their headers only.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO, NamedTuple

MOST_BOXES = 10_000  # in one box: films have dozens, a photo in tiles as many as it has tiles
MOST_BYTES = 2**24  # of a header that is read: a photo's has 10 kB


class Box(NamedTuple):
    """kind: four bytes. start, end: where its content is in the file."""

    kind: bytes
    start: int
    end: int


def boxes(stream: BinaryIO, start: int, end: int) -> Iterator[Box]:
    """The boxes side by side from `start` to `end`; what is no box ends them."""
    return islice(_boxes(stream, start, end), MOST_BOXES)


def _boxes(stream: BinaryIO, start: int, end: int) -> Iterator[Box]:
    while start + 8 <= end:
        stream.seek(start)
        head = stream.read(16)
        if len(head) < 8:
            return
        size, content = int.from_bytes(head[:4], "big"), start + 8
        if size == 1:  # the size follows, as 64 bits
            size, content = int.from_bytes(head[8:16], "big"), start + 16
        stop = end if size == 0 else start + size
        if not content <= stop <= end:
            return
        yield Box(head[4:8], content, stop)
        start = stop


def find(stream: BinaryIO, within: Box, *path: bytes) -> Box | None:
    """The first box that lies in `within` by the kinds of `path`; None where there is none."""
    for kind in path:
        found = next((b for b in boxes(stream, within.start, within.end) if b.kind == kind), None)
        if found is None:
            return None
        within = found
    return within


def content(stream: BinaryIO, box: Box) -> bytes:
    """The first 16 MiB of a box, at most."""
    stream.seek(box.start)
    return stream.read(min(box.end - box.start, MOST_BYTES))


class Fields:
    """Big-endian numbers of a box, one after the other; past its end they raise ValueError."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        part = self._data[self._at : self._at + size]
        if len(part) < size:
            raise ValueError("a box ends early")
        self._at += size
        return part

    def number(self, size: int) -> int:
        """The next `size` bytes as one number; 0 for none."""
        return int.from_bytes(self.take(size), "big")

    def rest(self) -> bytes:
        """All that is left."""
        return self.take(len(self._data) - self._at)
