"""What the text formats share: lines in, a table of numbers, typed errors with line numbers."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from kinefit.io import limits
from kinefit.types import FloatArray, InputError, InvalidData, Timeline
from kinefit.types.timeline import LAST_TIME_S

_MISSING = frozenset({"", "na", "n/a", "null", "none"})  # besides what float() takes for NaN
# How C prints what is no number, under Windows and elsewhere.
_NO_NUMBER = re.compile(r"[-+]?(1\.#(qnan|snan|ind|inf)\d*|s?nan\(\w*\))")
TIME_DECIMALS = 6  # microseconds: 1/10 of the usual video clock's tick (1/90000 s)


class Line(NamedTuple):
    """A line of a file and its number, counted from 1."""

    path: Path
    number: int
    text: str

    def wrong(self, reason: str, hint: str = "export it again") -> InputError:
        """The error that says what is wrong in this line."""
        return InputError(self.path, f"line {self.number}: {reason}", hint)

    def tabbed(self) -> Line:
        """With one tab wherever there is white space between words."""
        return self._replace(text="\t".join(self.text.split()))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Turn what the system says about a file that cannot be read into an InputError."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(path, f"cannot be read ({reason})", "check the path") from error


def check_file(path: Path, limit: int = limits.TEXT_BYTES) -> None:
    """Raises InputError unless `path` is a file of 1 to `limit` bytes.

    Not a folder, and no device or pipe either: those state no size and may never end.
    """
    with readable(path):
        size = path.stat().st_size
    if path.is_dir():
        raise InputError(path, "is a folder, not a file", "name the file inside it")
    if not path.is_file():
        raise InputError(path, "is a device or a pipe, not a file", "save it as a file first")
    if size > limit:
        reason = f"is {size / 2**20:.0f} MiB, over {limit / 2**20:.0f} MiB"
        raise InputError(path, reason, "split it")
    if not size:
        raise InputError(path, "the file is empty", "export it again")


def read_bytes(path: Path, limit: int = limits.TEXT_BYTES) -> bytes:
    """The file's content; InputError as `check_file`, and where it is unreadable."""
    check_file(path, limit)
    with readable(path):
        return path.read_bytes()


def read_json(path: Path) -> Any:
    """The value in a JSON file that kinefit wrote; InputError as `read_bytes`, or for no JSON."""
    try:
        return json_value(decode(read_bytes(path, limits.JSON_BYTES)))
    except (ValueError, RecursionError) as error:
        raise InputError(path, f"is not JSON ({error})", "run the command again") from error


def json_value(text: str) -> Any:
    """The value; ValueError (or RecursionError) for no JSON, and for halves of characters, which no
    file and no terminal takes."""
    value = json.loads(text)
    if "\\ud" in text or "\\uD" in text:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    return value


def read_lines(path: Path) -> list[Line]:
    """The file's lines without line ends (Unix, Windows or old Mac), but for empty ones behind
    the last; raises InputError."""
    content = read_bytes(path)
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):  # what Excel calls Unicode text
        text = content.decode("utf-16", errors="replace")
    elif set(content[1:200:2]) == {0} and 0 not in content[:200:2]:  # the same without its mark
        text = content.decode("utf-16-le", errors="replace")
    elif b"\0" in content:
        raise InputError(path, "is a binary file, not text", "check that this is the right file")
    else:
        text = decode(content)
    text = text.replace("\r\n", "\n").replace("\r", "\n").rstrip("\n")
    if text.count("\n") > limits.TEXT_LINES:
        raise InputError(path, f"has over {limits.TEXT_LINES} lines", "split it by time")
    return [Line(path, i, line) for i, line in enumerate(text.split("\n"), start=1)]


def decode(content: bytes) -> str:
    """Text in UTF-8, else in Latin-1, which every byte string is (names typed under Windows)."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("latin-1")


_DECIMAL_COMMA = re.compile(r"(^|\t) *-?\d+,\d+(?=[\te ]|$)", re.IGNORECASE)
# With a zero before its comma a number has no thousands, 0,123.
_THOUSANDS = re.compile(r"(?<![\d,])[1-9]\d{0,2},\d{3}(?![\d,e])", re.IGNORECASE)


def with_decimal_points(rows: list[Line]) -> tuple[list[Line], list[str]]:
    """Rows of numbers between tabs with points for the decimal commas of half of Europe, where the
    first row has such and no point; and a note.

    Raises InputError, with the line, where every comma of all rows may as well separate thousands.
    """
    first = next((row.text for row in rows if row.text.strip()), "")
    if not _DECIMAL_COMMA.search(first) or "." in first:
        return rows, []
    if all(row.text.count(",") == len(_THOUSANDS.findall(row.text)) for row in rows):
        line = next(row for row in rows if "," in row.text)
        number = _THOUSANDS.findall(line.text)[0]
        reason = f"{number} may be {number.replace(',', '.')} or {number.replace(',', '')}"
        raise line.wrong(reason, "write decimals with a point, and no mark between thousands")
    plain = [row._replace(text=row.text.replace(",", ".")) for row in rows]
    return plain, ["Decimal commas were read as points."]


def parse_rows(path: Path, rows: Sequence[Line], columns: int, separator: str = "\t") -> FloatArray:
    """(T, columns) numbers; an empty cell or any spelling of nan is NaN.

    Empty cells beyond the last column are dropped. Raises InputError, naming the line, for no rows
    at all, for more cells than can be read, and a row that is too short, too long, or holds
    something that is not a number.
    """
    if not rows:
        raise InputError(path, "the file has a header but no rows", "export it again")
    check_cells(path, len(rows), columns)
    table = np.empty((len(rows), columns))
    for i, line in enumerate(rows):
        cells = line.text.split(separator)
        if len(cells) != columns:
            if len(cells) < columns or any(cells[columns:]):
                reason = f"has {len(cells)} cells, expected {columns}"
                hint = "the file is cut off or was edited: export it again"
                raise InputError(path, f"line {line.number} {reason}", hint)
            del cells[columns:]
        try:
            table[i] = numbers(cells)
        except ValueError as error:
            hint = "use a point as decimal mark and leave missing cells empty"
            raise line.wrong(f"{str(error)!r} is not a number", hint) from error
    return table


def check_cells(path: Path, rows: int, columns: int) -> None:
    """Raises InputError for a table with more cells than are read at once: a header alone can
    claim any number of columns."""
    if rows * columns > limits.TABLE_CELLS:
        reason = f"has {rows} rows of {columns} columns, too many to read at once"
        raise InputError(path, reason, "split it by time")


def numbers(cells: Sequence[str]) -> list[float]:
    """NaN for an empty cell and any spelling of "missing"; ValueError of a cell that is none."""
    try:
        if "_" in "".join(cells):  # Python takes 1_000 for a number, no file means one
            raise ValueError("_")
        return [float(cell or "nan") for cell in cells]
    except ValueError:  # blanks, other spellings, or a cell that is not a number
        return [_number(cell.strip()) for cell in cells]


def finite_numbers(words: Sequence[str], count: int) -> FloatArray | None:
    """(count,) what the words say; None where they are no finite numbers, or not so many."""
    try:
        values = np.array([float(word) for word in words])
    except ValueError:
        return None
    return values if len(values) == count and np.isfinite(values).all() else None


def _number(cell: str) -> float:
    plain = cell.lower()
    with suppress(ValueError):
        if "_" not in cell:
            return float("nan" if plain in _MISSING or _NO_NUMBER.fullmatch(plain) else cell)
    raise ValueError(cell)


def build_timeline(rows: Sequence[Line], frame: FloatArray, time: FloatArray) -> Timeline:
    """The Timeline of (T,) frame numbers and seconds as read.

    Raises InputError, naming the line, where a frame is not a whole number, a time is missing,
    or either does not increase.
    """
    whole = np.isfinite(frame) & (np.abs(frame) < 2**53)
    whole[whole] = frame[whole] % 1 == 0
    rising_frame, rising_time = (np.append(True, v[1:] > v[:-1]) for v in (frame, time))
    for good, reason in (
        (whole, "the frame number is not a whole number"),
        (np.abs(time) < LAST_TIME_S, "the time is not a number of seconds"),
        (rising_frame, "the frame number does not increase"),
        (rising_time, "the time does not increase"),
    ):
        if not good.all():
            raise rows[int(np.argmin(good))].wrong(reason, "sort or repair the rows")
    return Timeline(frame.astype(np.int64), time)


@contextmanager
def refused_as_input(
    path: Path, hint: str = "repair the file", kinds: tuple[type[Exception], ...] = (InvalidData,)
) -> Iterator[None]:
    """Turn a type's InvalidData, or errors of `kinds`, into an InputError that names the file."""
    try:
        yield
    except kinds as error:
        raise InputError(path, str(error).rstrip("."), hint) from error


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
            reason = f"the name {name!r} cannot be written in this format"
            raise InputError(path, reason, "rename it")
