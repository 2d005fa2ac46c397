"""MOT and STO: OpenSim's tables over time (coordinates, forces)."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from kinefit.io.atomic import write_text
from kinefit.io.markers import numbered
from kinefit.io.text import (
    Line,
    build_timeline,
    check_writable,
    format_rows,
    parse_rows,
    read_lines,
    refused_as_input,
    with_decimal_points,
)
from kinefit.types import (
    BoolArray,
    FloatArray,
    InputError,
    InvalidData,
    Timeline,
    TooFewPoints,
    all_finite,
    true_runs,
)
from kinefit.types.arrays import check_names, freeze, freeze_arrays

_STATE = re.compile(r"(/.*)?/[^/]+/value")  # of a coordinate, in a table of states
_IN_DEGREES = {"yes": True, "true": True, "no": False, "false": False}
_HEADER_ENTRY = re.compile(r"\s*(\w+)\s*=\s*(.*?)\s*$")


@dataclass(frozen=True, eq=False)
class MotTable:
    """Named columns over time.

    timeline: T samples; a file has times only, so frames read from one count its rows from 0.
    names: C column names without "time".
    values: (T, C) in the units that OpenSim expects: metres, newtons, and rotations as
        `in_degrees` says; NaN where missing.
    in_degrees: rotations are in degrees (True) or radians (False); None when the file does
        not say (forces), which OpenSim takes for radians.
    notes: what the reader of a file changed or assumed, in sentences.
    """

    timeline: Timeline
    names: tuple[str, ...]
    values: FloatArray
    in_degrees: bool | None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        freeze(self, names=check_names("MotTable", self.names))
        freeze_arrays(self, values=(len(self.timeline), len(self.names)))

    def column(self, name: str) -> FloatArray:
        """(T,) one column; raises InvalidData for an unknown name."""
        if name not in self.names:
            raise InvalidData(f"No column {name!r}; there are: {', '.join(self.names)}.")
        return self.values[:, self.names.index(name)]

    def coordinates(self) -> MotTable:
        """Under bare names what OpenSim 4 calls /jointset/knee_r/knee_angle_r/value, without its
        other columns (speeds, activations, lengths); a table without such names as it is."""
        found = {n.split("/")[-2]: i for i, n in enumerate(self.names) if _STATE.fullmatch(n)}
        values = self.values[:, list(found.values())]
        return replace(self, names=tuple(found), values=values) if found else self

    @property
    def complete(self) -> BoolArray:
        """(T,) True where every column has a value."""
        return all_finite(self.values)

    def largest_complete(self) -> MotTable:
        """What a file can hold: the consecutive rows and the columns with the most values.

        A column goes when it costs more values than it has: an arm that is seen in two frames
        doesn't take the legs of all others with it. Raises TooFewPoints when there is no value.
        """
        share = np.isfinite(self.values).mean(axis=0)
        choices = []
        for least in np.unique(share[share > 0]):
            kept = np.flatnonzero(share >= least)
            if runs := true_runs(all_finite(self.values[:, kept])):
                start, stop = max(runs, key=lambda run: run[1] - run[0])
                choices.append(((stop - start) * len(kept), start, stop, kept))
        if not choices:
            raise TooFewPoints("Rows without a missing value", found=0, needed=1)
        _, start, stop, kept = max(choices, key=lambda choice: choice[0])
        timeline = Timeline(self.timeline.frame[start:stop], self.timeline.time[start:stop])
        names, values = tuple(self.names[i] for i in kept), self.values[start:stop][:, kept]
        return replace(self, timeline=timeline, names=names, values=values)


def read_mot(path: str | Path) -> MotTable:
    """The table of a .mot or .sto file; any line end, tabs or blanks between the cells.

    Both headers are read: `version=1 / nRows= / nColumns= / inDegrees= / endheader` with free
    text in it, and SIMM's `datacolumns / datarows / range / endheader`, whose rotations are in
    degrees in a .mot file (as OpenSim 4.6 assumes too). Counts in the header are not believed
    (many files state others, and OpenSim reads them); the second column of one name is NAME_2.

    Raises InputError, with the line, when the header is missing, a row is cut off, a cell is not
    a number, or time does not increase.
    """
    path = Path(path)
    lines = read_lines(path)
    ends = [i for i, line in enumerate(lines) if line.text.strip().lower() == "endheader"]
    body = [line for line in lines[ends[0] + 1 :] if line.text.strip()] if ends else []
    labels = body[0].text.split() if body else []
    if not labels or labels[0].lower() != "time":
        reason = "is not a MOT or STO file (no endheader, then a row of labels from time on)"
        raise InputError(path, reason, "check that this is the right file")
    rows, commas = with_decimal_points([line.tabbed() for line in body[1:]])
    table = parse_rows(path, rows, len(labels))
    timeline = build_timeline(rows, np.arange(float(len(rows))), table[:, 0])
    header = _entries(lines[: ends[0]])
    names, notes = numbered(labels[1:], kind="column")
    said = (*commas, *_counts_off(header, table), *notes)
    with refused_as_input(path):
        return MotTable(timeline, names, table[:, 1:], _in_degrees(path, header), said)


def write_mot(path: str | Path, table: MotTable, name: str) -> None:
    """Write a table as OpenSim's own tools do, eight decimals; `name` is its title line.

    Raises InputError for a missing value, naming column and frame, since OpenSim cannot read
    one (interpolate, or write `table.largest_complete()`); for a table without rows or
    columns; and for names with white space.
    """
    path = Path(path)
    check_writable(path, table.timeline, table.names, "\t")
    if broken := [n for n in table.names if n.split() != [n]]:
        raise InputError(path, f"the column name {broken[0]!r} has white space", "rename it")
    if not table.complete.all():
        row, column = np.argwhere(np.isnan(table.values))[0]
        where = f"{table.names[column]} has no value in frame {table.timeline.frame[row]}"
        reason = f"{where}, and OpenSim cannot read missing values"
        raise InputError(path, reason, "fill the gaps, or cut to the frames that are complete")
    rows, columns = table.values.shape
    degrees = {True: "inDegrees=yes\n", False: "inDegrees=no\n", None: ""}[table.in_degrees]
    labels = "\t".join(("time", *table.names))
    header = (
        f"{' '.join(name.split())}\nversion=1\nnRows={rows}\nnColumns={columns + 1}\n"
        f"{degrees}endheader\n{labels}\n"
    )
    values = np.column_stack((table.timeline.time, table.values))
    write_text(path, header + format_rows("%.8f" + "\t%.8f" * columns + "\n", values))


def _entries(lines: list[Line]) -> dict[str, str]:
    """What the header states: entry in lower case -> text."""
    entries = (_HEADER_ENTRY.match(line.text) for line in lines)
    return {entry[1].lower(): entry[2] for entry in entries if entry}


def _counts_off(header: dict[str, str], table: FloatArray) -> list[str]:
    """A note for each count of the header that differs from the table (with its time)."""
    counts = (("nrows", "rows", len(table)), ("ncolumns", "columns", table.shape[1]))
    return [
        f"The header states {header[key]} {what}, the table has {count}: these were read."
        for key, what, count in counts
        if key in header and header[key] != str(count)
    ]


def _in_degrees(path: Path, header: dict[str, str]) -> bool | None:
    """What the header says about rotations; a SIMM motion (no version) is in degrees."""
    stated = header.get("indegrees")
    if stated is None:
        return True if "version" not in header and path.suffix.lower() == ".mot" else None
    if stated.lower() not in _IN_DEGREES:
        raise InputError(path, f"inDegrees={stated} is neither yes nor no", "repair the header")
    return _IN_DEGREES[stated.lower()]
