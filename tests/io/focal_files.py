"""Photos and videos with the focal length that cameras note, written as they write it."""

from __future__ import annotations

import struct
from pathlib import Path

import av
import numpy as np
from PIL import Image

from kinefit.io.boxes import Box, boxes

from .heic_files import box, full, u

KEY = "com.apple.quicktime.camera.focal_length.35mm_equivalent"


def photo(path: Path, tags: dict[int, object], size: tuple[int, int] = (400, 300)) -> Path:
    """tags: of EXIF's own directory."""
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769).update(tags)
    Image.new("RGB", size, "grey").save(path, exif=exif)
    return path


def video(path: Path, tags: dict[str, str] | None = None, size: tuple[int, int] = (64, 48)) -> Path:
    with av.open(str(path), "w", options={"movflags": "use_metadata_tags"}) as file:
        file.metadata.update(tags or {})
        stream = file.add_stream("libx264", rate=30)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        for i in range(4):
            picture = np.full((size[1], size[0], 3), 50 * i, np.uint8)
            file.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        file.mux(stream.encode())
    return path


def value(kind: int, data: bytes) -> bytes:
    return box(b"data", u(4, kind, 0), data)


VALUES = {  # how 26 is written
    "integer": value(21, u(1, 26)),
    "long integer": value(22, u(4, 26)),
    "signed, 1 byte": value(65, u(1, 26)),
    "signed, 2 bytes": value(66, u(2, 26)),
    "signed, 4 bytes": value(67, u(4, 26)),
    "signed, 8 bytes": value(74, u(8, 26)),
    "unsigned, 1 byte": value(75, u(1, 26)),
    "unsigned, 2 bytes": value(76, u(2, 26)),
    "unsigned, 4 bytes": value(77, u(4, 26)),
    "unsigned, 8 bytes": value(78, u(8, 26)),
    "float": value(23, struct.pack(">f", 26.0)),
    "double": value(24, struct.pack(">d", 26.0)),
    "text": value(1, b"26"),
    "millimetres": value(1, b"26.00mm"),
}


def add_to_track(path: Path, data: bytes, *, key: str = KEY, mp4: bool = False) -> Path:
    """Put metadata into the first track, as iPhones do, which needs the film's header last."""
    key_names = ["com.apple.quicktime.camera.lens_model", key]
    keys = full(b"keys", u(4, 2), *(u(4, 8 + len(k)) + b"mdta" + k.encode() for k in key_names))
    values = box(b"ilst", box(u(4, 1), value(1, b"back camera")), box(u(4, 2), data))
    handler = full(b"hdlr", bytes(4), b"mdta", bytes(13))
    meta = (full if mp4 else box)(b"meta", handler, keys, values)
    whole = path.read_bytes()
    with path.open("rb") as stream:
        film = next(b for b in boxes(stream, 0, len(whole)) if b.kind == b"moov")
        assert film.end == len(whole)  # so that no frame is moved
        track = next(b for b in boxes(stream, film.start, film.end) if b.kind == b"trak")

    def grown(data: bytes, at: Box) -> bytes:
        size = at.end - at.start + 8 + len(meta)
        return data[: at.start - 8] + u(4, size) + data[at.start - 4 :]

    whole = whole[: track.end] + meta + whole[track.end :]
    path.write_bytes(grown(grown(whole, track), film))
    return path
