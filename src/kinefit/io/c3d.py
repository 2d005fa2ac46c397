"""C3D: marker trajectories as every motion-capture program reads them.

Written by ezc3d. Read here, in bounds-checked numpy: of 450 damaged files (random bytes
changed, or cut off), ezc3d 1.7.2 crashed the interpreter on four, hung for over two minutes on
one, and took most of the cut ones for whole. Layout: https://www.c3d.org/docs/C3D_User_Guide.pdf
"""

from __future__ import annotations

import math
import struct
from itertools import chain, takewhile
from pathlib import Path
from typing import Any, NamedTuple

import ezc3d
import numpy as np
from numpy.typing import NDArray

from kinefit.io import limits
from kinefit.io.atomic import atomic_path
from kinefit.io.markers import PER_METRE, UP_TO_Y, build_markers, likely_unit, unit_of
from kinefit.io.text import check_writable, decode, read_bytes
from kinefit.types import FloatArray, InputError, Markers, Timeline

MAX_FRAMES = 65535  # first and last frame are 16-bit words; ezc3d 1.7.2 cuts off beyond
_MAX_LABEL = 127  # bytes; the length of a text parameter is a signed byte
_BLOCK = 512  # bytes; the unit of every address in the file
_FILE_MARK = 0x50
_KINDS = {-1: "text", 1: "i1", 2: "i2", 4: "f4"}
_NO_POSITIONS = ("ANGLES", "FORCES", "MOMENTS", "POWERS", "SCALARS")  # POINT parameters
_INTEL, _DEC, _MIPS = 84, 85, 86

_Parameters = dict[str, list[Any]]
_RATES_HZ = 0.01, 1e6  # beyond these a rate is damaged: times would be no seconds


class _Header(NamedTuple):
    """The fixed words of the first block; frames count from 1."""

    points: int
    analog_words: int
    first: int
    last: int
    scale: float
    data_block: int
    rate_hz: float


def read_c3d(path: str | Path, *, up: str | None = None, units: str | None = None) -> Markers:
    """Markers in metres; frames count from 0 at time 0 (the file's frame 1), at POINT:RATE.

    up, units: the vertical axis of its numbers, and their unit, whatever the file says of either.
    Units come from POINT:UNITS (m, cm, mm in any spelling); in a file without, by the largest
    coordinate (`kinefit.io.markers.likely_unit`). Where POINT:Y_SCREEN names the vertical lab axis
    and it is not Y, the points are turned by the smallest rotation that makes Y up. A file
    without Y_SCREEN does not say which way is up: its axes are kept as they are. Points with a
    negative residual are missing; names, and other points that are not there:
    `kinefit.io.markers.build_markers`. Points that POINT:ANGLES, FORCES, MOMENTS, POWERS or
    SCALARS list are no positions, and left out. Analog channels and force platforms are left alone.
    Fields that say one thing twice may disagree (see `_frames`); what was taken is in the notes.

    Raises InputError for a file that is not C3D, is damaged or cut off, has no markers or no rate.
    """
    path = Path(path)
    content = read_bytes(path)
    if content[1:2] != bytes([_FILE_MARK]) or len(content) < 2 * _BLOCK:
        raise InputError(path, "is not a C3D file", "check that this is the right file")
    try:
        processor, parameters = _read_parameters(content)
        header, notes = _read_header(content, processor, parameters)
        points = _read_points(content, processor, header)
    except (ValueError, TypeError, IndexError, OverflowError, struct.error) as error:
        raise InputError(path, f"is damaged or cut off ({error})", "export it again") from error
    if not points.size:
        reason = f"holds no markers, only {header.analog_words} analog values a frame"
        raise InputError(path, reason, "export the trial with its trajectories")
    if not _RATES_HZ[0] <= header.rate_hz <= _RATES_HZ[1]:
        raise InputError(path, f"its POINT:RATE is {header.rate_hz:g} Hz", "export it with a rate")
    labels = [*_listed(parameters, "LABELS"), *[""] * header.points][: header.points]
    columns, more = _positions(labels, parameters)
    points = points[:, columns]
    xyz = np.where(points[..., 3:] < 0, np.nan, points[..., :3])
    xyz, about = _in_metres_with_y_up(path, xyz, parameters, up, units)
    start = max(header.first - 1, 0)  # OptiTrack counts from 0
    timeline = Timeline.regular(len(xyz), header.rate_hz, start)
    names = [labels[i] for i in columns]
    return build_markers(path, timeline, names, xyz, [*notes, *more, *about])


def _listed(parameters: _Parameters, name: str) -> list[str]:
    """The texts of a POINT parameter and of those that go on with it (LABELS, LABELS2, ...)."""
    blocks = (parameters.get(f"POINT:{name}{n}", []) for n in ("", *range(2, 2**10)))
    return [str(text) for text in chain.from_iterable(takewhile(bool, blocks))]


def _positions(labels: list[str], parameters: _Parameters) -> tuple[list[int], list[str]]:
    """Columns of the points that are positions, and a note about the others."""
    others = {text for kind in _NO_POSITIONS for text in _listed(parameters, kind) if text}
    columns = [i for i, label in enumerate(labels) if label not in others]
    left_out = len(labels) - len(columns)
    note = f"Points that are results of a model (angles, forces, ...) were left out: {left_out}."
    return columns, [note] if left_out else []


def _in_metres_with_y_up(
    path: Path, xyz: FloatArray, parameters: _Parameters, up: str | None, units: str | None
) -> tuple[FloatArray, list[str]]:
    """Points (T, M, 3) in metres, turned so that the vertical axis is Y; notes.

    Raises InputError for a stated unit that is none of length.
    """
    said, axis = (str((parameters.get(f"POINT:{key}") or [""])[0]) for key in ("UNITS", "Y_SCREEN"))
    notes = []
    units = units or unit_of(said)
    if units is None and said.strip():
        reason = f"POINT:UNITS is {said!r}, which is no known unit of length"
        raise InputError(path, reason, "convert it, or say which of m, cm, mm it is with --units")
    if units is None:
        units, note = likely_unit(xyz)
        notes.append(note)
    plain = "".join(axis.upper().split())
    up = up or ("-" if "-" in plain else "") + (plain.strip("+-") or "Y")
    if up not in UP_TO_Y:
        notes.append(
            f"POINT:Y_SCREEN is {axis!r}, which is no axis: the axes were left as they are."
        )
    return xyz / PER_METRE[units] @ np.transpose(UP_TO_Y.get(up, UP_TO_Y["Y"])), notes


def write_c3d(path: str | Path, markers: Markers) -> None:
    """Write millimetres as 32-bit floats (POINT:SCALE -1), missing points with residual -1.

    Y is up and stated as such (POINT:X_SCREEN +X, Y_SCREEN +Y). The format has one clock: a
    rate and the number of the first frame, so the start time is kept to the nearest frame.
    More than 255 labels continue in POINT:LABELS2. The same markers give the same bytes.

    Raises InputError for times that are not uniform, start before zero, or go past frame
    65535; for a single frame (it has no rate); for no marker; and for labels over 127 bytes.
    """
    path = Path(path)
    timeline, names = markers.timeline, markers.names
    check_writable(path, timeline, names, "\0")
    rate_hz, first = _clock(path, timeline)
    if too_long := [name for name in names if len(name.encode()) > _MAX_LABEL]:
        raise InputError(path, f"the label {too_long[0]!r} is too long for C3D", "shorten it")
    points = np.ones((4, len(names), len(timeline)))
    points[:3] = 1000.0 * markers.xyz.transpose(2, 1, 0)
    file = ezc3d.c3d()
    for key, value in (("RATE", [rate_hz]), ("UNITS", ["mm"]), ("LABELS", names)):
        file["parameters"]["POINT"][key]["value"] = value
    file.add_parameter("POINT", "X_SCREEN", ["+X"])
    file.add_parameter("POINT", "Y_SCREEN", ["+Y"])
    file["data"]["points"] = points  # ezc3d gives NaN the residual -1
    file["header"]["points"]["first_frame"] = first
    with atomic_path(path) as temporary:
        file.write(str(temporary))


def _clock(path: Path, timeline: Timeline) -> tuple[float, int]:
    """Rate in Hz and first frame counted from 0, or InputError when C3D cannot hold them."""
    count = len(timeline)
    if count < 2 or not timeline.is_uniform:
        reason = "C3D needs two or more frames at a constant rate"
        raise InputError(path, reason, "resample the markers first")
    rate_hz = (count - 1) / float(timeline.time[-1] - timeline.time[0])
    first = round(float(timeline.time[0]) * rate_hz)
    if first < 0 or first + count > MAX_FRAMES:
        these = f"these are {first + 1}-{first + count}"
        reason = f"C3D counts frames from 1 to {MAX_FRAMES}, {these}"
        raise InputError(path, reason, "cut the recording")
    return rate_hz, first


def _read_parameters(content: bytes) -> tuple[int, _Parameters]:
    """Processor type, and every parameter as "GROUP:NAME" -> its values.

    A parameter that cannot be read is left out: the last of a section may be garbage.
    """
    at = ((content[0] or 2) - 1) * _BLOCK
    end = min(at + (content[at + 2] or 255) * _BLOCK, len(content))
    processor = content[at + 3]
    if processor not in (_INTEL, _DEC, _MIPS):
        raise ValueError("no parameter section")
    at += 4
    groups: dict[int, str] = {}
    found: list[tuple[int, str, list[Any]]] = []
    budget = limits.C3D_PARAMETERS
    while at + 2 <= end:
        length, group = struct.unpack_from("bb", content, at)
        if not length or not group:
            break
        after_name = at + 2 + abs(length)  # a negative length marks a locked entry
        name = decode(content[at + 2 : after_name]).upper().strip()
        (step,) = _numbers(content, after_name, 1, "i2", processor)
        if group < 0:
            groups[-group] = name
        else:
            size = _size(content, after_name + 2)
            if size is not None:
                budget -= size
                found.append((group, name, _values(content, after_name + 2, processor)))
            if budget < 0:  # overlapping ones could claim the same bytes a million times
                raise ValueError("its parameters claim more than a section holds")
        if step <= 0:
            break
        at = after_name + int(step)
    return processor, {f"{groups.get(group, '')}:{name}": values for group, name, values in found}


def _size(content: bytes, at: int) -> int | None:
    """Bytes that the parameter at byte `at` holds; None where it is none, or the file ends before
    its last."""
    kind, rank = struct.unpack_from("bB", content, at)
    size = math.prod(content[at + 2 : at + 2 + rank]) * abs(kind)
    return size if kind in _KINDS and at + 2 + rank + size <= len(content) else None


def _values(content: bytes, at: int, processor: int) -> list[Any]:
    """The values of one parameter in file order; texts for a text parameter."""
    kind, rank = struct.unpack_from("bB", content, at)
    shape = struct.unpack_from(f"{rank}B", content, at + 2)
    at, count = at + 2 + rank, math.prod(shape)
    if kind == -1:
        width = shape[0] if shape else 1
        text = content[at : at + count]
        starts = range(0, len(text), width or 1)
        return [decode(text[i : i + width]).strip("\0 ") for i in starts]
    return list(_numbers(content, at, count, _KINDS[kind], processor).tolist())


def _read_header(
    content: bytes, processor: int, parameters: _Parameters
) -> tuple[_Header, list[str]]:
    """The header, with what the parameters say better (rate, scale, frames past 65535); notes."""
    points, analog_words, first, last = _numbers(content, 2, 4, "u2", processor).tolist()
    own_scale, own_rate = (_numbers(content, at, 1, "f4", processor)[0] for at in (12, 20))
    scale = (parameters.get("POINT:SCALE") or [0])[0] or float(own_scale)
    rate = (parameters.get("POINT:RATE") or [0])[0] or own_rate
    block = int(_numbers(content, 16, 1, "u2", processor)[0])
    block = block or int((parameters.get("POINT:DATA_START") or [0])[0])
    # The shortest decimal of the 32-bit float in the file: 59.94, not 59.9399986.
    rate_hz = float(str(np.float32(rate)))
    row = (4 * points + analog_words) * (4 if scale < 0 else 2)
    start, parameters_at = ((at - 1) * _BLOCK for at in (block, content[0] or 2))
    end = parameters_at if parameters_at > start else len(content)
    most = max(end - start, 0) // max(row, 1)
    (first, last), notes = _frames((first, last), parameters, most, len(content) % _BLOCK == 0)
    return _Header(points, analog_words, first, last, scale, block, rate_hz), notes


def _frames(
    header: tuple[int, int], parameters: _Parameters, most: int, whole: bool
) -> tuple[tuple[int, int], list[str]]:
    """First and last frame, and a note where the file's statements about them differ.

    header: as its 16-bit words say. most: frames that the file has room for. whole: it ends with
    a block, so that it is not cut off somewhere. The largest number
    that has room is right: words of 16 bits end at 65535 or begin again at zero. Where ezc3d
    and the pure-Python reader take the same number, it is this one (tests/io/test_c3d_variants.py).
    """
    (stated, *_) = parameters.get("POINT:FRAMES") or [0]
    first, last = header
    starts, ends = (parameters.get(f"TRIAL:ACTUAL_{k}_FIELD", []) for k in ("START", "END"))
    # An unsigned word is read as a signed one.
    counts = {last - first + 1, int(stated) % 65536 if stated < 0 else int(stated)}
    if len(starts) == len(ends) == 2:  # two 16-bit words, low one first
        begin, stop = ((low % 65536) + 65536 * (high % 65536) for low, high in (starts, ends))
        first = int(begin)
        counts.add(int(stop) - first + 1)
    counts = {n for n in counts if n > 0}
    least = min(counts, default=0)
    short = whole and least == most + 1 > 1  # by one frame: counted wrong, not cut off
    fitting = {n for n in counts if n <= most} or {most if short else least}
    count = max(fitting)
    note = f"The file states {' and '.join(map(str, sorted(counts)))} frames: {count} were read."
    return (first, first + count - 1), [note] if counts - {count} else []


def _read_points(content: bytes, processor: int, header: _Header) -> FloatArray:
    """(T, M, 4) x, y, z in the file's units, and the residual word (negative: missing)."""
    frames, width = header.last - header.first + 1, 4 * header.points + header.analog_words
    if frames < 1 or header.first < 0 or header.data_block < 1 or not np.isfinite(header.scale):
        raise ValueError(f"frames {header.first}-{header.last}, scale {header.scale}")
    if frames * header.points * 4 > limits.C3D_VALUES:
        raise ValueError(f"{frames} frames of {header.points} markers are too many to read at once")
    # A negative scale says that the numbers are floats already in units.
    kind, scale = ("f4", 1.0) if header.scale < 0 else ("i2", header.scale)
    at = (header.data_block - 1) * _BLOCK
    words = _numbers(content, at, frames * width, kind, processor).reshape(frames, width)
    with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN: missing
        points = words[:, : 4 * header.points].astype(np.float64).reshape(frames, -1, 4)
    points[..., :3] *= scale
    return points


def _numbers(content: bytes, at: int, count: int, kind: str, processor: int) -> NDArray[Any]:
    """`count` numbers from byte `at`; ValueError when the file ends before the last."""
    if processor == _DEC and kind == "f4":
        # A VAX float is an IEEE one with its 16-bit halves swapped and the exponent off by two.
        halves = np.frombuffer(content, "<u2", 2 * count, at).reshape(-1, 2)[:, ::-1]
        return np.ascontiguousarray(halves).view("<f4").ravel() / 4
    order = ">" if processor == _MIPS else "<"
    return np.frombuffer(content, order + kind, count, at)
