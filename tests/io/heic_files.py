"""A HEIC photo as telephones write it: tiles in HEVC, a grid that joins them, how it is turned."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np


def box(kind: bytes, *parts: bytes) -> bytes:
    data = b"".join(parts)
    return (8 + len(data)).to_bytes(4, "big") + kind + data


def full(kind: bytes, *parts: bytes, version: int = 0) -> bytes:
    return box(kind, bytes([version, 0, 0, 0]), *parts)


def u(size: int, *values: int) -> bytes:
    return b"".join(value.to_bytes(size, "big") for value in values)


def coded(tiles: Sequence[np.ndarray]) -> tuple[bytes, list[bytes]]:
    """Decoder configuration and one key frame for each tile (h, w, 3)."""
    film = io.BytesIO()
    with av.open(film, "w", format="mp4") as out:
        stream = out.add_stream("libx265", rate=30)
        stream.height, stream.width = tiles[0].shape[:2]
        stream.pix_fmt = "yuv444p"  # no chroma is lost, so that pixels can be compared
        stream.options = {"x265-params": "keyint=1:repeat-headers=1:log-level=none", "crf": "4"}
        for tile in tiles:
            out.mux(stream.encode(av.VideoFrame.from_ndarray(tile, format="rgb24")))
        out.mux(stream.encode())
    film.seek(0)
    with av.open(film) as file:
        stream = file.streams.video[0]
        packets = [bytes(packet) for packet in file.demux(stream) if packet.size]
        return bytes(stream.codec_context.extradata), packets


def write_heic(
    path: Path,
    picture: np.ndarray,
    *,
    tile: int = 64,
    turns: Sequence[tuple[bytes, int]] = (),
    size: tuple[int, int] | None = None,
    lost: int = 0,
    brand: bytes = b"heic",
    exif: bytes = b"",
    first: np.ndarray | None = None,
) -> Path:
    """picture: (h, w, 3). size: what the grid says that it has, in place of its own.
    lost: how many tiles are not in the file. exif: begins with b"Exif\\0\\0"; "" for none.
    first: what the first tile shows in place of its part, of any size."""
    height, width = picture.shape[:2]
    rows, columns = -(-height // tile), -(-width // tile)
    padding = ((0, rows * tile - height), (0, columns * tile - width), (0, 0))
    whole = np.pad(picture, padding, mode="edge")
    config, data = coded([whole[r * tile : (r + 1) * tile, c * tile : (c + 1) * tile]
                          for r in range(rows) for c in range(columns)])  # fmt: skip
    if first is not None:
        data[:1] = coded([first])[1]
    items = list(range(1, len(data) + 1))
    grid = len(items) + 1
    w, h = size or (width, height)
    properties = [
        box(b"hvcC", config),
        full(b"ispe", u(4, tile, tile)),
        full(b"ispe", u(4, w, h)),
        *(box(kind, u(1, value)) for kind, value in turns),
    ]
    of_grid = [3, *range(4, 4 + len(turns))]
    kept = items[: len(items) - lost]
    entries = [full(b"infe", u(2, i, 0), b"hvc1\0", version=2) for i in kept]
    entries.append(full(b"infe", u(2, grid, 0), b"grid\0", version=2))
    if exif:
        data.append(u(4, 6) + exif)  # after the tiles: the TIFF header comes 6 bytes later
        entries.append(full(b"infe", u(2, grid + 1, 0), b"Exif\0", version=2))

    def meta(start: int) -> bytes:
        offsets = start + np.cumsum([0, *map(len, data)])
        places = [u(2, i, 0, 0, 1) + u(4, int(offsets[i - 1]), len(data[i - 1])) for i in kept]
        places.append(u(2, grid, 1, 0, 1) + u(4, 0, 12))
        if exif:
            places.append(u(2, grid + 1, 0, 0, 1) + u(4, int(offsets[-2]), len(data[-1])))
        return full(
            b"meta",
            full(b"hdlr", bytes(4), b"pict", bytes(13)),
            full(b"pitm", u(2, grid)),
            full(b"iloc", u(2, 0x4400, len(places)), *places, version=1),
            full(b"iinf", u(2, len(entries)), *entries),
            full(b"iref", box(b"dimg", u(2, grid, len(items), *items))),
            box(
                b"iprp",
                box(b"ipco", *properties),
                full(
                    b"ipma",
                    u(4, len(kept) + 1),
                    *(u(2, i) + u(1, 2, 0x81, 2) for i in kept),
                    u(2, grid) + u(1, len(of_grid), *of_grid),
                ),
            ),
            box(b"idat", u(1, 0, 1, rows - 1, columns - 1) + u(4, w, h)),
        )

    ftyp = box(b"ftyp", brand, u(4, 0), b"mif1", brand)
    start = len(ftyp) + len(meta(0)) + 8
    path.write_bytes(ftyp + meta(start) + box(b"mdat", *data))
    return path
