"""Tables of 2D points: one row per point, in any order.

Columns `frame, camera, point, x, y` and, where they are known, `score` (0..1), `person` and
`time` (seconds), in any order and any case; other columns are left alone. A missing point is a row
less, or empty cells.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.io import limits
from kinefit.io.text import check_file, numbers, readable
from kinefit.types import BoolArray, FloatArray, InputError, IntArray

_CHUNK = 100_000  # rows in memory as text at a time (60 MB)
_NEEDED = ("frame", "camera", "point", "x", "y")
_OPTIONAL = ("score", "person", "time")
_LARGEST = 1e6  # pixels; no picture is that wide
_LAST_FRAME = 10**9
_MOST_NAMES = 10_000
_MOST_CELLS = 2**32  # of one frame; times `_LAST_FRAME` it is a 64-bit integer


@dataclass(frozen=True, eq=False)
class Rows:
    """A table as columns, R rows.

    cameras, points, persons: distinct names in the order of the file (persons: none without the
        column). camera, point, person: (R,) indices into them.
    frame: (R,). xy: (R, 2) as written, NaN where a cell is empty. score: (R,), 1 without a column.
    time: (R,) s, None without a column. line: (R,) in the file, counted from 1.
    """

    cameras: tuple[str, ...]
    points: tuple[str, ...]
    persons: tuple[str, ...]
    camera: IntArray
    point: IntArray
    person: IntArray
    frame: IntArray
    xy: FloatArray
    score: FloatArray
    time: FloatArray | None
    line: IntArray


def read_rows(path: Path) -> Rows:
    """The table, checked row by row; raises InputError with the line.

    Refused are cells that are no number, frames that are no whole number, scores outside 0..1,
    and a point given twice (same frame, camera, point and person).
    """
    check_file(path, limits.ROWS_BYTES)
    with readable(path), path.open(encoding="utf-8-sig", newline="") as stream:
        try:
            rows = _read(path, csv.reader(stream))
        except (UnicodeDecodeError, csv.Error) as error:
            reason = f"is not a table in UTF-8 ({error})"
            raise InputError(path, reason, "save it as CSV with commas") from error
    _refuse_twice(path, rows)
    return rows


def _read(path: Path, reader: Iterator[list[str]]) -> Rows:
    header = [cell.strip().lower() for cell in next(reader, [])]
    lacking = [name for name in _NEEDED if name not in header]
    twice = [name for name in (*_NEEDED, *_OPTIONAL) if header.count(name) > 1]
    if lacking or twice:
        reason = f"no column {', '.join(lacking)}" if lacking else f"two columns {twice[0]}"
        hint = f"name the columns {', '.join(_NEEDED)} and, if known, {', '.join(_OPTIONAL)}"
        raise InputError(path, f"its first line has {reason}", f"{hint}; separate them by commas")
    parser = _Parser(path, header)
    line = 2
    while chunk := list(islice(reader, _CHUNK)):
        parser.take(chunk, line)
        line += len(chunk)
    return parser.rows()


class _Parser:
    """Chunks of text rows in, columns of numbers out."""

    def __init__(self, path: Path, header: list[str]) -> None:
        self._path, self._width = path, len(header)
        self._column = {n: header.index(n) for n in (*_NEEDED, *_OPTIONAL) if n in header}
        self._names: dict[str, dict[str, int]] = {"camera": {}, "point": {}, "person": {}}
        self._parts: dict[str, list[NDArray[Any]]] = {n: [] for n in (*self._column, "line")}

    def take(self, chunk: list[list[str]], first: int) -> None:
        kept = [i for i, row in enumerate(chunk) if len(row) == self._width]
        if len(kept) < len(chunk):
            for i, row in enumerate(chunk):
                if len(row) != self._width and any(cell.strip() for cell in row):
                    raise self._error(first + i, f"{len(row)} cells, expected {self._width}")
        if not kept:
            return
        lines = first + np.array(kept)
        columns = list(zip(*(chunk[i] for i in kept), strict=True))
        self._parts["line"].append(lines)
        for name, place in self._column.items():
            code = self._codes if name in self._names else self._numbers
            self._parts[name].append(code(name, columns[place], lines))

    def _codes(self, name: str, cells: tuple[str, ...], lines: IntArray) -> IntArray:
        """Indices of names; new ones are added in the order of the file."""
        known = self._names[name]
        for cell in dict.fromkeys(cells):
            if cell not in known:
                bare, line = cell.strip(), int(lines[cells.index(cell)])
                if not bare:
                    raise self._error(line, f"the {name} is empty")
                # A name with blanks around it is the name without them.
                known[cell] = known.setdefault(bare, len(set(known.values())))
                if len(known) > _MOST_NAMES:
                    raise self._error(line, f"over {_MOST_NAMES} names of {name}")
        return np.array([known[cell] for cell in cells], dtype=np.int64)

    def _numbers(self, name: str, cells: tuple[str, ...], lines: IntArray) -> FloatArray:
        try:
            values = np.array(numbers(cells))
        except ValueError as error:
            cell = str(error)
            line = int(lines[[c.strip() for c in cells].index(cell)])
            reason = f"{name} is {cell[:40]!r}, which is not a number"
            raise self._error(line, reason) from None
        good, reason = _RULES[name]
        bad = ~good(values)
        if bad.any():
            i = int(bad.argmax())
            raise self._error(int(lines[i]), f"{name} is {values[i]:g}, {reason}")
        return values

    def _error(self, line: int, reason: str) -> InputError:
        return InputError(self._path, f"line {line}: {reason}", "repair the row or take it out")

    def rows(self) -> Rows:
        if not self._parts["line"]:
            raise InputError(self._path, "it has no rows", "export it again")
        whole = {n: np.concatenate(p) for n, p in self._parts.items() if p}
        count = len(whole["line"])
        names = {n: tuple(dict.fromkeys(map(str.strip, known))) for n, known in self._names.items()}
        return Rows(
            names["camera"],
            names["point"],
            names["person"],
            whole["camera"],
            whole["point"],
            whole.get("person", np.zeros(count, np.int64)),
            whole["frame"].astype(np.int64),
            np.column_stack([whole["x"], whole["y"]]),
            np.nan_to_num(whole["score"]) if "score" in whole else np.ones(count),
            whole.get("time"),
            whole["line"],
        )


_Rule = tuple[Callable[[FloatArray], BoolArray], str]
_COORDINATE: _Rule = (lambda v: np.isnan(v) | (np.abs(v) < _LARGEST), "which is in no picture")
_RULES: dict[str, _Rule] = {
    "frame": (
        lambda v: (v >= 0) & (v <= _LAST_FRAME) & (np.floor(v) == v),
        "which is not a whole number from 0",
    ),
    "x": _COORDINATE,
    "y": _COORDINATE,
    "score": (lambda v: np.isnan(v) | ((v >= 0) & (v <= 1)), "which is not in 0..1"),
    "time": (lambda v: np.abs(v) < 1e10, "which is not a number of seconds"),
}


def _refuse_twice(path: Path, rows: Rows) -> None:
    """Raises InputError, with both lines, where a point is given twice."""
    sizes = (len(rows.cameras), len(rows.points), max(len(rows.persons), 1))
    if prod(sizes) > _MOST_CELLS:
        reason = f"it has {sizes[0]} cameras, {sizes[1]} points and {sizes[2]} persons"
        raise InputError(path, reason, "check that these columns hold names")
    key = (rows.frame * sizes[0] + rows.camera) * sizes[1] + rows.point
    key = key * sizes[2] + rows.person
    order = np.argsort(key, kind="stable")
    same = key[order[1:]] == key[order[:-1]]
    if same.any():
        first, second = (int(order[int(same.argmax()) + k]) for k in (0, 1))
        reason = (
            f"lines {rows.line[first]} and {rows.line[second]} are the same point: "
            f"{rows.points[rows.point[first]]} of {rows.cameras[rows.camera[first]]} "
            f"in frame {rows.frame[first]}"
        )
        hint = "keep one of them, or tell persons apart in a column person"
        raise InputError(path, reason, hint)
