"""What the text formats share: lines in, a table of numbers, typed errors with line numbers."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kinefit.types import FloatArray, InputError, InvalidData, Timeline

MAX_BYTES = 2**29  # three quarters of an hour of 64 markers at 100 Hz; in memory five times that
MOST_LINES = 5_000_000  # fourteen hours at 100 Hz; each takes 150 bytes of memory besides itself
_LAST_TIME = 1e10  # seconds; beyond, a double loses microseconds (Unix time is 2e9)
_MISSING = frozenset({"", "na", "n/a", "null", "none"})  # besides what float() takes for NaN
_NO_NUMBER = re.compile(r"[-+]?1\.#(qnan|snan|ind|inf)\d*")  # how C under Windows prints them
TIME_DECIMALS = 6  # microseconds: 1/10 of the usual video clock's tick (1/90000 s)


class Line(NamedTuple):
    """A line of a file and its number, counted from 1."""

    number: int
    text: str


def check_file(path: Path, limit: int = MAX_BYTES) -> None:
    """Raises InputError unless `path` is a file of 1 to `limit` bytes.

    Not a folder, and no device or pipe either: those state no size and may never end.
    """
    try:
        status = path.stat()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(path, f"cannot be read ({reason})", "check the path") from error
    if path.is_dir():
        raise InputError(path, "is a folder, not a file", "name the file inside it")
    if not path.is_file():
        raise InputError(path, "is a device or a pipe, not a file", "save it as a file first")
    if status.st_size > limit:
        raise InputError(
            path, f"is {status.st_size / 2**20:.0f} MiB, over {limit / 2**20:.0f} MiB", "split it"
        )
    if not status.st_size:
        raise InputError(path, "the file is empty", "export it again")


def read_bytes(path: Path, limit: int = MAX_BYTES) -> bytes:
    """The file's content; InputError as `check_file`, and where it is unreadable."""
    check_file(path, limit)
    try:
        return path.read_bytes()
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(path, f"cannot be read ({reason})", "check the path") from error


def read_lines(path: Path) -> list[Line]:
    """The file's lines without line ends (Unix, Windows or old Mac), but for empty ones behind
    the last; raises InputError."""
    content = read_bytes(path)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):  # what Excel calls Unicode text
        text = content.decode("utf-16", errors="replace")
    elif b"\0" in content:
        raise InputError(path, "is a binary file, not text", "check that this is the right file")
    else:
        text = decode(content)
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    if text.count("\n") > MOST_LINES:
        raise InputError(path, f"has over {MOST_LINES} lines", "split it by time")
    return [Line(i, line) for i, line in enumerate(text.split("\n"), start=1)]


def decode(content: bytes) -> str:
    """Text in UTF-8, else in Latin-1, which every byte string is (names typed under Windows)."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


def parse_rows(path: Path, rows: Sequence[Line], columns: int, separator: str) -> FloatArray:
    """(T, columns) numbers; an empty cell or any spelling of nan is NaN.

    Empty cells beyond the last column are dropped. Raises InputError, naming the line, for a
    row that is too short, too long, or holds something that is not a number.
    """
    texts = []
    for number, text in rows:
        extra = text.count(separator) + 1 - columns
        if extra > 0 and text.endswith(separator * extra):
            text, extra = text[:-extra], 0
        if extra:
            raise InputError(
                path,
                f"line {number} has {columns + extra} cells, expected {columns}",
                "the file is cut off or was edited: export it again",
            )
        texts.append(text)
    try:
        if any("_" in text for text in texts):
            raise ValueError("_")
        table: list[Any] = [
            [float(cell or "nan") for cell in text.split(separator)] for text in texts
        ]
    except ValueError:  # blanks, other spellings of "missing", or a cell that is not a number
        cells = [
            (line, cell)
            for line, text in zip(rows, texts, strict=True)
            for cell in text.split(separator)
        ]
        table = [_number(path, line, cell) for line, cell in cells]
    return np.array(table, dtype=np.float64).reshape(len(rows), columns)


def _number(path: Path, line: Line, cell: str) -> float:
    """A cell with blanks around it, or a spelling of "missing"; InputError for anything else."""
    cell = cell.strip()
    try:
        if "_" in cell:  # Python takes 1_000 for a number, no file means one
            raise ValueError(cell)
        plain = cell.lower()
        return float("nan" if plain in _MISSING or _NO_NUMBER.fullmatch(plain) else cell)
    except ValueError as error:
        raise InputError(
            path,
            f"line {line.number}: {cell!r} is not a number",
            "use a point as decimal mark and leave missing cells empty",
        ) from error


def build_timeline(
    path: Path, rows: Sequence[Line], frame: FloatArray, time: FloatArray
) -> Timeline:
    """The Timeline of (T,) frame numbers and seconds as read.

    Raises InputError, naming the line, where a frame is not a whole number, a time is missing,
    or either does not increase.
    """
    whole = np.isfinite(frame) & (np.abs(frame) < 2**53)
    whole[whole] = frame[whole] % 1 == 0
    rising_frame, rising_time = (np.append(True, v[1:] > v[:-1]) for v in (frame, time))
    for good, reason in (
        (whole, "the frame number is not a whole number"),
        (np.abs(time) < _LAST_TIME, "the time is not a number of seconds"),
        (rising_frame, "the frame number does not increase"),
        (rising_time, "the time does not increase"),
    ):
        if not good.all():
            line = rows[int(np.argmin(good))].number
            raise InputError(path, f"line {line}: {reason}", "sort or repair the rows")
    return Timeline(frame.astype(np.int64), time)


@contextmanager
def refused_as_input(path: Path) -> Iterator[None]:
    """Turn a type's InvalidData into an InputError that names the file."""
    try:
        yield
    except InvalidData as error:
        raise InputError(path, str(error).rstrip("."), "repair the file") from error


def format_rows(template: str, table: FloatArray) -> str:
    """One line per row of `table` (T, C) through a %-template; NaN becomes an empty cell."""
    return "".join(template % tuple(row) for row in table.tolist()).replace("nan", "")


def check_writable(path: Path, timeline: Timeline, names: Sequence[str], forbidden: str) -> None:
    """Raise InputError when there is nothing to write, or a name would break the format.

    forbidden: characters that no name may hold, besides line ends.
    """
    if not len(timeline) or not names:
        raise InputError(path, "there is nothing to write", "give at least one frame and one name")
    for name in names:
        if name != name.strip() or any(c in name for c in forbidden + "\r\n"):
            raise InputError(
                path, f"the name {name!r} cannot be written in this format", "rename it"
            )
