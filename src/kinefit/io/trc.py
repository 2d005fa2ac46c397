"""TRC: marker trajectories as text, the way OpenSim reads and writes them.

Five lines of header (see `write_trc`), mostly a blank one, then rows of frame number, seconds and
coordinates, with tabs between them.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinefit.io.atomic import write_text
from kinefit.io.markers import PER_METRE, UP_TO_Y, build_markers, likely_unit, unit_of
from kinefit.io.text import (
    TIME_DECIMALS,
    Line,
    build_timeline,
    check_cells,
    check_writable,
    format_rows,
    parse_rows,
    read_lines,
    with_decimal_points,
)
from kinefit.types import FloatArray, InputError, Markers, Timeline

_HEADER_LINES = 5
_SAME_RATE = 0.05  # times of jittering clocks differ by less from the stated rate


def read_trc(path: str | Path, *, up: str | None = None, units: str | None = None) -> Markers:
    """Markers in metres, in the file's own axes; frame numbers and times as the file has them.

    up: an axis, which is turned to Y. units: of the numbers, whatever the header says.
    Taken as they come: units m, cm or mm in any spelling (from the header), the blank sixth line
    or none, labels between tabs or blanks, trailing tabs or none, any line end, empty cells, nan
    and 1.#QNAN for a missing marker, trajectories without a name behind the named ones (left
    out), and a NumFrames that differs from the rows (peers write one too many; what is there is
    read); decimal commas, columns between blanks (none left out), no DataRate or unit (the likely
    one is taken), times in milliseconds or none (by DataRate). Times that are only frame / DataRate
    in print are made exact again; others stay (see `_exact_times`). Names, and points that are not
    there: `kinefit.io.markers.build_markers`.

    Raises InputError, with the line, for a wrong header, labels that are not over their columns
    and contradict NumMarkers, a last row cut short, text in a cell, or frames or times that do not
    increase.
    """
    path = Path(path)
    lines = read_lines(path)
    lines, said, blanks = _in_plain_cells(lines)
    rate_hz, units, labels, more = _read_header(path, lines, units)
    said += more
    rows = [line for line in lines[_HEADER_LINES:] if line.text.strip()]
    columns = 2 + 3 * len(labels)
    check_cells(path, len(rows), columns)
    rows, notes = (_whole(rows, columns), []) if blanks else _squared(rows, columns)
    table = parse_rows(path, rows, columns)
    time, more = _seconds(table[:, 0], table[:, 1], rate_hz)
    timeline = _exact_times(build_timeline(rows, table[:, 0], time), rate_hz)
    xyz = table[:, 2:].reshape(len(rows), -1, 3)
    if units is None:
        units, note = likely_unit(xyz)
        more.append(note)
    xyz = xyz / PER_METRE[units]
    xyz = xyz @ np.transpose(UP_TO_Y[up]) if up else xyz
    return build_markers(path, timeline, labels, xyz, [*said, *notes, *more])


def write_trc(path: str | Path, markers: Markers) -> None:
    """Write metres with six decimals (a micrometre), missing markers as empty cells.

    Frame numbers are the timeline's own. `estimated` and `sd` have no place in the format.
    Every row ends with a tab, as in the files that OpenSim itself writes: its reader drops one
    empty cell at the end of a row, and so refuses a row whose last marker is missing (4.6).

    Raises InputError when there is no marker, a name holds a tab, or there is only one frame:
    the header must state a rate.
    """
    path = Path(path)
    timeline, names = markers.timeline, markers.names
    check_writable(path, timeline, names, "\t")
    if len(timeline) < 2:
        raise InputError(
            path, "one frame has no frame rate, which TRC must state", "give two frames or more"
        )
    rate, frames, count = f"{timeline.rate_hz:.10g}", len(timeline), len(names)
    labels = "".join(f"{name}\t\t\t" for name in names)
    axes = "".join(f"X{i}\tY{i}\tZ{i}\t" for i in range(1, count + 1))
    header = (
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}\n"
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\t"
        "Units\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames\n"
        f"{rate}\t{rate}\t{frames}\t{count}\tm\t{rate}\t{timeline.frame[0]}\t{frames}\n"
        f"Frame#\tTime\t{labels}\n"
        f"\t\t{axes}\n\n"
    )
    clock = np.column_stack((timeline.frame.astype(np.float64), timeline.time))
    table = np.hstack((clock, markers.xyz.reshape(frames, -1)))
    template = f"%d\t%.{TIME_DECIMALS}f\t" + "%.6f\t" * (3 * count) + "\n"
    write_text(path, header + format_rows(template, table))


def _read_header(
    path: Path, lines: list[Line], units: str | None
) -> tuple[float, str | None, tuple[str, ...], list[str]]:
    """Rate (0: not stated), unit, marker names and notes from the first five lines; InputError."""
    if len(lines) < _HEADER_LINES or not lines[0].text.startswith("PathFileType"):
        raise InputError(path, "is not a TRC file (no PathFileType line)", "check the file")
    # Split on any white space: OpenSim's own sample pads the values with double tabs. By tabs where
    # a value is left empty.
    keys, values = lines[1].text.split(), lines[2].text.split()
    if len(values) < len(keys):
        keys, values = ([c.strip() for c in line.text.split("\t")] for line in lines[1:3])
    if ";" in lines[1].text or "," in lines[1].text:
        raise lines[1].wrong("columns are not between tabs", "save the file with tabs")
    table = dict(zip(keys, values, strict=False))
    try:
        rate_hz, stated = float(table["DataRate"] or 0), int(float(table["NumMarkers"]))
        units = units or unit_of(table["Units"])
    except (KeyError, ValueError, OverflowError) as error:
        reason = f"has no usable DataRate, NumMarkers or Units ({error})"
        raise InputError(path, f"line 3 {reason}", "repair line 3") from error
    names, in_place = _labels(lines[3].text, stated)
    if units is None and table["Units"]:
        raise lines[2].wrong(f"unknown unit {table['Units']!r}", "use m, cm or mm")
    differ = f"line 3 states {stated} markers, line 4 names {len(names)}"
    if not names or (stated != len(names) and not in_place):
        raise InputError(path, differ, "make NumMarkers and the labels agree")
    notes = [] if stated == len(names) else [f"L{differ[1:]}: the latter were read."]
    return rate_hz, units, names, notes


def _in_plain_cells(lines: list[Line]) -> tuple[list[Line], list[str], bool]:
    """With tabs between the cells of rows and points in numbers; notes; whether the cells were
    between blanks."""
    head, rows = lines[:_HEADER_LINES], lines[_HEADER_LINES:]
    blanks = not any("\t" in row.text for row in rows)
    if blanks:
        rows = [row.tabbed() for row in rows]
    rows, notes = with_decimal_points(rows)
    if notes:
        head[2:3] = [line._replace(text=line.text.replace(",", ".")) for line in head[2:3]]
    return head + rows, notes, blanks


def _seconds(frame: FloatArray, time: FloatArray, rate_hz: float) -> tuple[FloatArray, list[str]]:
    """(T,) the times of rows, where they contradict the header in a way that has one explanation:
    none at all, or milliseconds; and notes."""
    steps = np.diff(time)
    if len(time) < 2 or not 1e-3 < rate_hz < 1e6:
        return time, []
    if np.isnan(time).all() or (steps == 0).all():
        note = f"The times are empty or all alike: frame numbers / {rate_hz:g} Hz were taken."
        return (frame - frame[0]) / rate_hz, [note]
    if np.isnan(steps).all():
        return time, []
    per_frame = float(np.nanmedian(steps / np.where(np.diff(frame) > 0, np.diff(frame), np.nan)))
    times = per_frame * rate_hz
    if abs(times / 1000 - 1) < _SAME_RATE:
        return time / 1000, ["Times were taken for milliseconds, which the DataRate agrees with."]
    if times > 0 and abs(times - 1) > _SAME_RATE:
        note = (
            f"The header states {rate_hz:g} Hz, the times {1 / per_frame:.4g} Hz: these were taken."
        )
        return time, [note]
    return time, []


def _labels(line: str, stated: int) -> tuple[tuple[str, ...], bool]:
    """Names of markers, and whether each stands over its own three columns: then the number that
    the header states is not needed. A marker without a name between others has an empty one."""
    cells = [cell.strip() for cell in line.split("\t")]
    named = [i for i, cell in enumerate(cells) if cell and i > 1]
    if len(named) != stated and len(line.split()) == stated + 2:
        return tuple(line.split()[2:]), False  # labels between blanks: OpenSim's GUI
    if named and all((i - 2) % 3 == 0 for i in named):
        return tuple(cells[2 : named[-1] + 1 : 3]), True
    return tuple(cells[i] for i in named), False


def _whole(rows: list[Line], columns: int) -> list[Line]:
    """`rows` whose cells were between blanks; raises InputError where any are missing or too many:
    blanks do not tell whose they are."""
    for row in rows:
        if (cells := row.text.count("\t") + 1) != columns:
            reason = f"has {cells} numbers between blanks, expected {columns}"
            raise row.wrong(reason, "write nan for a missing marker, or tabs between the cells")
    return rows


def _squared(rows: list[Line], columns: int) -> tuple[list[Line], list[str]]:
    """Rows of `columns` cells where whole markers are too few (cells of missing ones cut off at
    the end) or too many (without a name), and notes. A last row alone that is short is a file cut
    off."""
    extra = [_extra_cells(row.text, columns) for row in rows]
    if extra and min(extra[:-1], default=0) >= 0 > extra[-1]:
        extra[-1] = 1  # left as it is, to be refused
    out = []
    for row, more in zip(rows, extra, strict=True):
        if more and more % 3 == 0:
            cells = (row.text.split("\t") + [""] * -more)[:columns]
            row = row._replace(text="\t".join(cells))
        out.append(row)
    unnamed = max((more // 3 for more in extra if more % 3 == 0), default=0)
    notes = [f"{unnamed} trajectories without a name were left out."] if unnamed > 0 else []
    return out, notes


def _extra_cells(text: str, columns: int) -> int:
    """How many cells a row has besides its `columns`, empty ones at the end not counted."""
    more = text.count("\t") + 1 - columns
    return more if more < 0 else max(more - (len(text) - len(text.rstrip("\t"))), 0)


def _exact_times(timeline: Timeline, rate_hz: float) -> Timeline:
    """`timeline` on the exact clock `frame / rate_hz + constant` when it is that clock in print.

    Every printed time must lie within one unit of its own last digit (rounded or cut off) of
    one such clock, and within 0.4 of a step: a dropped frame, a whole step, always survives.
    """
    frame, time = timeline.frame, timeline.time
    if not 1e-3 < rate_hz < 1e6:  # some files state 0
        return timeline
    offset = time - frame / rate_hz
    slack = np.minimum(_last_digit(time), 0.4 / rate_hz)
    low, high = float((offset - slack).max()), float((offset + slack).min())
    if low > high:
        return timeline
    shift = round((low + high) / 2 * rate_hz)  # clocks usually start at a multiple of the step
    if low <= shift / rate_hz <= high:
        return Timeline(frame, (frame + shift) / rate_hz)
    return Timeline(frame, frame / rate_hz + min(max(float(offset[0]), low), high))


def _last_digit(time: FloatArray) -> FloatArray:
    """(T,) seconds: the unit of the last non-zero decimal of each time, down to 1e-9."""
    scaled = np.abs(time)[:, None] * 10.0 ** np.arange(10)
    whole = np.abs(scaled - np.rint(scaled)) <= 1e-6 + 1e-15 * scaled  # rounding of `scaled`
    return np.asarray(10.0 ** -np.where(whole.any(1), whole.argmax(1), 9))
