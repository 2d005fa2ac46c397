"""CSV tables: landmarks, marker uncertainty and joint angles, plain enough for any spreadsheet.

Comma-separated, a point as decimal mark, one header line, empty cells where a value is missing,
fixed decimals: the same values give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.io.atomic import write_text
from kinefit.io.text import (
    TIME_DECIMALS,
    build_timeline,
    check_writable,
    format_rows,
    parse_rows,
    read_lines,
    refused_as_input,
)
from kinefit.types import FloatArray, InputError, JointAngles, Markers, PoseTrack, Timeline

_MOST_DEG = 1e6  # thousands of turns
_CLOCK = ("frame", "time_s")
_Column = tuple[str, NDArray[Any], int]  # name, values (T,) or (T, J), decimals


def write_landmarks_csv(path: str | Path, track: PoseTrack) -> None:
    """Write `frame, time_s, damaged` and, per landmark, its columns.

    `<name>_x_px`, `_y_px` (upright image), `_visibility` (0..1); when `track.body` exists also
    `<name>_x_m`, `_y_m`, `_z_m` (camera axes x right, y down, z forward, origin mid-hip).
    `damaged` is 1 for a frame that could not be decoded. Raises InputError without frames.
    """
    path = Path(path)
    image, body = track.image, track.body
    x, y = np.moveaxis(image.xy, -1, 0)
    blocks: list[_Column] = [("x_px", x, 4), ("y_px", y, 4), ("visibility", image.score, 6)]
    if body is not None:
        blocks += [(f"{axis}_m", body.xyz[..., i], 6) for i, axis in enumerate("xyz")]
    damaged = np.isin(image.timeline.frame, track.damaged)
    columns = [("damaged", damaged, 0), *_by_name(image.names, blocks)]
    _write(path, image.timeline, image.names, columns)


def write_angles_csv(
    path: str | Path, angles: JointAngles, names: Sequence[str] | None = None
) -> None:
    """Write `frame, time_s`, then `<name>_deg` of every angle, then what is known of each.

    `<name>_sd_deg` (one standard deviation) follow for the angles that have any, and
    `<name>_gimbal` always: 1 where the value depends on noise. `names` picks and orders the
    angles (None: all). Four decimals. Raises InputError without frames or angles, and
    InvalidData for an unknown name.
    """
    path = Path(path)
    names = angles.names if names is None else tuple(names)
    columns: list[_Column] = [(f"{name}_deg", angles.column(name), 4) for name in names]
    pick = [angles.names.index(name) for name in names]
    if (sd := angles.sd) is not None:
        known = [i for i in pick if np.isfinite(sd[:, i]).any()]
        columns += [(f"{angles.names[i]}_sd_deg", sd[:, i], 4) for i in known]
    columns += [(f"{angles.names[i]}_gimbal", angles.gimbal[:, i], 0) for i in pick]
    _write(path, angles.timeline, names, columns)


def read_angles_csv(path: str | Path) -> JointAngles:
    """The inverse of `write_angles_csv`; sd and gimbal columns may be absent.

    Other columns are left alone. Raises InputError, with the line, for a table without
    `<name>_deg` columns or a cell that is not a number.
    """
    path = Path(path)
    timeline, columns = _read(path)
    found = [name.removesuffix("_deg") for name in columns if name.endswith("_deg")]
    # "x_sd_deg" is the deviation of "x" where there is an "x_deg", and else an angle.
    names = [n for n in found if not (n.endswith("_sd") and n[:-3] in found)]
    if not names:
        raise InputError(path, "has no column that ends in _deg", "check the file")
    none = np.full(len(timeline), np.nan)
    degrees, sd, gimbal = (
        np.column_stack([columns.get(f"{name}_{what}", none) for name in names])
        for what in ("deg", "sd_deg", "gimbal")
    )
    if (wild := np.abs(np.nan_to_num(degrees)) > _MOST_DEG).any():
        t, i = np.argwhere(wild)[0]
        where = f"{names[i]} is {degrees[t, i]:g} degrees in frame {timeline.frame[t]}"
        raise InputError(path, where, "repair that cell")
    known = any(f"{name}_sd_deg" in columns for name in names)
    with refused_as_input(path):
        return JointAngles(timeline, tuple(names), degrees, gimbal == 1, sd if known else None)


def write_uncertainty_csv(path: str | Path, markers: Markers) -> None:
    """Write what TRC and C3D cannot hold of `markers`: `frame, time_s` and, per marker, columns.

    `<name>_estimated`: 1 where the position was not measured (mirrored, regressed, filled in);
    when `markers.sd` exists also `<name>_sd_x_m`, `_sd_y_m`, `_sd_z_m`, one standard deviation
    per axis. Raises InputError without frames or markers.
    """
    path = Path(path)
    blocks: list[_Column] = [("estimated", markers.estimated, 0)]
    if markers.sd is not None:
        blocks += [(f"sd_{axis}_m", markers.sd[..., i], 6) for i, axis in enumerate("xyz")]
    _write(path, markers.timeline, markers.names, _by_name(markers.names, blocks))


def _by_name(names: Sequence[str], blocks: Sequence[_Column]) -> list[_Column]:
    """`<name>_<suffix>` of blocks (suffix, (T, len(names)), decimals): all of a name together."""
    return [
        (f"{name}_{suffix}", block[:, i], decimals)
        for i, name in enumerate(names)
        for suffix, block, decimals in blocks
    ]


def _write(
    path: Path, timeline: Timeline, names: Sequence[str], columns: Sequence[_Column]
) -> None:
    check_writable(path, timeline, names, ',"')
    labels, values, decimals = zip(*columns, strict=True)
    if len(set(labels)) < len(labels):
        raise InputError(path, "two columns would have one name", "rename the points or angles")
    header = ",".join((*_CLOCK, *labels)) + "\n"
    template = ",".join(["%d", f"%.{TIME_DECIMALS}f", *(f"%.{n}f" for n in decimals)]) + "\n"
    table = np.column_stack((timeline.frame, timeline.time, *values))
    write_text(path, header + format_rows(template, table))


def _read(path: Path) -> tuple[Timeline, dict[str, FloatArray]]:
    """The clock, and (T,) numbers by the names of the other columns."""
    lines = read_lines(path)
    columns = [cell.strip().strip('"') for cell in lines[0].text.split(",")]
    rows = [line for line in lines[1:] if line.text.strip()]
    if tuple(columns[:2]) != _CLOCK or len(set(columns)) != len(columns) or not rows:
        reason = "is not a table of kinefit (columns frame, time_s, ..., and rows below)"
        raise InputError(path, reason, "check the file; save it with commas and decimal points")
    frame, time, *values = parse_rows(path, rows, len(columns), ",").T
    return build_timeline(rows, frame, time), dict(zip(columns[2:], values, strict=True))
