"""A folder of numbered pictures, as machine vision cameras and data sets have them, to one video.

JPEG and PNG files become the frames as they are, byte for byte; other formats are coded as PNG. The
container is QuickTime, whose clock holds any rate exactly (Matroska's counts milliseconds).
"""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from kinefit.io.atomic import atomic_path
from kinefit.io.photos import SUFFIXES, Photo, photo_of, read_photo
from kinefit.io.text import check_file, readable
from kinefit.io.video import LONGEST_PAUSE_S, VideoInfo, probe
from kinefit.types import InputError, IntArray

_COPIED = {"JPEG": "jpeg_pipe", "PNG": "png_pipe"}  # FFmpeg's readers of these files
_MIRRORED = (2, 4, 5, 7)  # orientations that a video's frames cannot have
_SAME_KIND = {".jpeg": ".jpg", ".tif": ".tiff", ".heif": ".heic"}
_FASTEST_HZ = 100_000.0
_GAPS_SHOWN = 5
_USUAL_STEPS = 5  # pictures that may be missing where a second ends
_LARGEST = 2**62  # nanoseconds since 1970 are a third of it
_ONE_CAMERA = "put the pictures of one camera, numbered, into a folder of their own"
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class JoinedPictures:
    """info: of the video that was written. notes: what was found missing or assumed."""

    info: VideoInfo
    notes: tuple[str, ...]


def join_pictures(
    folder: str | Path,
    rate_hz: float,
    out: str | Path | None = None,
    *,
    overwrite: bool = False,
    progress: Progress = lambda stage, done, total: None,
) -> JoinedPictures:
    """Write a video (.mov) of a folder's pictures, without loss, in the order of their numbers.

    rate_hz: pictures per second of life. Numbers that are missing stay as gaps of time. out: the
    video; by default it has the folder's name and lies beside it.
    Raises InputError, before anything is written, for a video that is there already (unless
    `overwrite`), names that do not say an order, pictures of different sizes, and damaged ones.
    """
    folder = Path(folder)
    if not 0 < rate_hz <= _FASTEST_HZ:
        hint = "give the pictures per second at which they were taken"
        raise InputError("--rate", f"{rate_hz:g} is no rate of pictures", hint)
    out = _target(folder, None if out is None else Path(out), overwrite)
    paths, ticks, notes = ordered(find_pictures(folder), rate_hz)
    photos = _headers(paths)
    kind = photos[0].format
    copied = kind in _COPIED and not any(one.orientation in _MIRRORED for one in photos)
    copied = copied and not _stretched(paths[0], _COPIED[kind])
    with atomic_path(out) as temporary:
        frames = _frames(paths, copied, progress)
        _write(temporary, frames, _COPIED[kind if copied else "PNG"], ticks, rate_hz)
        info = probe(temporary)
        if info.n_frames != len(paths):
            reason = f"of {len(paths)} pictures {info.n_frames} can be read as a video"
            raise InputError(folder, reason, "save them as PNG or JPEG")
        if info.size != photos[0].size:
            size, other = (f"{w} x {h}" for w, h in (photos[0].size, info.size))
            reason = f"pictures of {size} pixels become a video of {other}"
            raise InputError(folder, reason, "save them as PNG or JPEG by another program")
    return JoinedPictures(probe(out), notes)


def _target(folder: Path, out: Path | None, overwrite: bool) -> Path:
    if not folder.is_dir():
        raise InputError(folder, "there is no such folder", "name the folder with the pictures")
    whole = folder if folder.name not in ("", "..") else folder.resolve()
    if out is None and not whole.name:
        raise InputError(folder, "it has no name for the video", "name the video with --out")
    out = out or whole.with_name(f"{whole.name}.mov")
    if out.suffix.lower() != ".mov":
        raise InputError(out, "pictures are kept without loss in a .mov", "name the file .mov")
    if out.exists() and not overwrite:
        raise InputError(out, "is there already", "give another name with --out, or --overwrite")
    return out


def find_pictures(folder: Path) -> list[Path]:
    """The pictures of a folder, in no order; InputError for less than two, or several kinds."""
    with readable(folder):
        found = [p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES and p.name[0] != "."]
    if len(found) < 2:
        reason = f"it holds {len(found)} pictures ({', '.join(s[1:] for s in SUFFIXES)})"
        raise InputError(folder, reason, "name the folder with the pictures of one recording")
    kinds = {_SAME_KIND.get(suffix, suffix) for suffix in (p.suffix.lower() for p in found)}
    if len(kinds) > 1:
        reason = f"it holds pictures of several kinds: {', '.join(sorted(kinds))}"
        raise InputError(folder, reason, _ONE_CAMERA)
    return found


def ordered(paths: Sequence[Path], rate_hz: float) -> tuple[list[Path], IntArray, tuple[str, ...]]:
    """Pictures by the numbers in their names (9 before 10), at which tick (N,) of `rate_hz` each
    was taken, and what was found of the numbers, in sentences.

    Raises InputError where names do not tell an order, or two of them have one number.
    """
    texts = {path: re.split(r"(\d+)", path.stem) for path in paths}
    first, *others = sorted(paths)
    for other in others:
        if texts[other][::2] != texts[first][::2]:
            reason = f"it is not numbered as {first.name} is: which comes first is not known"
            raise InputError(other, reason, _ONE_CAMERA)
    numbers = {path: tuple(map(int, text[1::2])) for path, text in texts.items()}
    for path, groups in numbers.items():
        if groups and groups[-1] > _LARGEST:
            raise InputError(path, "its number is too long to count pictures", _ONE_CAMERA)
    paths = sorted(paths, key=numbers.__getitem__)
    for one, other in pairwise(paths):
        if numbers[one] == numbers[other]:
            raise InputError(other, f"it has the same number as {one.name}", _ONE_CAMERA)
    ticks, notes = _ticks(paths, [numbers[path] for path in paths])
    gaps = np.flatnonzero(np.diff(ticks) > 1)
    longest = float(np.diff(ticks).max()) / rate_hz
    if longest > LONGEST_PAUSE_S:
        last = paths[int(np.diff(ticks).argmax())]
        reason = f"after it {longest:.0f} s of pictures are missing"
        raise InputError(last, reason, "put each recording into a folder of its own")
    return paths, ticks, (*notes, *_missing(paths, ticks, gaps.tolist(), rate_hz))


def _ticks(paths: Sequence[Path], numbers: Sequence[tuple[int, ...]]) -> tuple[IntArray, list[str]]:
    """When each picture was taken, counted in pictures, by the last number of its name."""
    last = [one[-1] for one in numbers]
    steps = [b - a for a, b in pairwise(last)]
    usual = Counter(steps).most_common(1)[0][0]
    if min(steps) > 0 and all(step % usual == 0 for step in steps):
        ticks = np.array([(one - last[0]) // usual for one in last], dtype=np.int64)
        said = f"Numbers go up by {usual}: taken as pictures one after the other."
        return ticks, [said] if usual > 1 else []
    restarts = [i for i, step in enumerate(steps, start=1) if step <= 0]
    if restarts and (usual == 1 or not _parts_of_seconds(paths, steps)):
        path, before = paths[restarts[0]], paths[restarts[0] - 1]
        raise InputError(path, f"numbers start anew after {before.name}", _ONE_CAMERA)
    said = "The numbers in the names do not count pictures: none is taken as missing."
    return np.arange(len(paths)), [said]


def _parts_of_seconds(paths: Sequence[Path], steps: Sequence[int]) -> bool:
    """Whether the last numbers begin anew with each second, as in 12-01_990, 12-02_020, and not
    with each camera."""
    digits = {len(re.findall(r"\d+", path.stem)[-1]) for path in paths}
    if digits not in ({3}, {6}, {9}):
        return False
    onward = [step % 10 ** min(digits) for step in steps]
    return bool(max(onward) <= _USUAL_STEPS * np.median(onward))


def _missing(
    paths: Sequence[Path], ticks: IntArray, gaps: Sequence[int], rate_hz: float
) -> Iterator[str]:
    for i in gaps[:_GAPS_SHOWN]:
        count = int(ticks[i + 1] - ticks[i]) - 1
        number = "1 picture is" if count == 1 else f"{count} pictures are"
        where = f"between {paths[i].name} and {paths[i + 1].name}"
        yield f"{number} missing {where}: a gap of {(count + 1) / rate_hz:.3g} s is kept."
    if rest := gaps[_GAPS_SHOWN:]:
        yield f"{len(rest)} more gaps are kept."


def _headers(paths: Sequence[Path]) -> list[Photo]:
    """InputError, by name, for what is no picture, or of another size or kind than the first."""
    photos: list[Photo] = []
    for path in paths:
        check_file(path)
        photo = photo_of(path)
        if photo is None:
            hint = "copy it again, or take it out of the folder: its moment stays as a gap"
            raise InputError(path, "it cannot be read as a picture", hint)
        first = photos[0] if photos else photo
        if photo.size != first.size:
            size, other = (f"{w} x {h}" for w, h in (photo.size, first.size))
            reason = f"it has {size} pixels, {paths[0].name} has {other}"
            raise InputError(path, reason, "pictures of one video have one size")
        if photo.format != first.format:
            reason = f"it is {photo.format} inside, {paths[0].name} is {first.format}"
            raise InputError(path, reason, "save all of them in one format")
        photos.append(photo)
    return photos


def _frames(paths: Sequence[Path], copied: bool, progress: Progress) -> Iterator[bytes]:
    """What becomes of each picture; each is decoded once, so that a damaged one is found now."""
    for done, path in enumerate(paths, start=1):
        rgb = read_photo(path)
        if copied:
            yield path.read_bytes()
        else:
            packed = io.BytesIO()
            Image.fromarray(rgb).save(packed, "PNG", compress_level=1)  # a fifth of the time
            yield packed.getvalue()
        progress("join", done, len(paths))


def _stretched(path: Path, reader: str) -> bool:
    """Whether a video with this picture as it is would be shown wider or narrower: its dots per
    inch differ across and down, and players take that for the shape of its pixels."""
    with av.open(f"file:{path}", format=reader) as picture:
        return (picture.streams.video[0].sample_aspect_ratio or 1) != 1


def _write(
    path: Path, frames: Iterator[bytes], reader: str, ticks: IntArray, rate_hz: float
) -> None:
    """`frames`: files that FFmpeg's `reader` takes, shown at `ticks` of the rate."""
    tick = 1 / Fraction(rate_hz).limit_denominator(10_000)
    with av.open(str(path), "w", options={"fflags": "+bitexact"}) as file:
        stream: Any = None
        for data, at in zip(frames, ticks.tolist(), strict=True):
            if stream is None:
                with av.open(io.BytesIO(data), format=reader) as picture:
                    stream = file.add_stream_from_template(picture.streams.video[0])
                stream.time_base = tick
            packet = av.Packet(data)
            packet.stream, packet.time_base, packet.is_keyframe = stream, tick, True
            packet.pts = packet.dts = at
            packet.duration = 1
            file.mux(packet)
