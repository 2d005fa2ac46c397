"""Charts on a `Sheet`: joint angles over time, and the way of the pelvis over the floor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinefit.render.palette import ALERT, GRID, PAPER, QUIET, SHADE, SIDE_COLOR, Side, side_of
from kinefit.report.drawing import Sheet
from kinefit.report.joint_labels import angle_words, groups_of
from kinefit.types import BoolArray, FloatArray, IntArray, JointAngles, all_finite, true_runs

BAND_LABEL = "95 % interval"
Z95 = 1.96  # two-sided 95 % of a normal distribution, in standard deviations

Box = tuple[float, float, float, float]  # left, top, width, height on a sheet

_MOST_POINTS = 900  # per line; more cannot be told apart on paper
_LEAST_SPAN_DEG = 20.0  # a still joint must not look like a moving one
_MARGIN = 0.06  # of the span, above and below the curves
_BAND_REACH = 0.5  # of the span: how far a band may widen the axis; beyond, it is cut off


@dataclass(frozen=True)
class Frame:
    """The rectangle of a chart on its sheet and the values at its edges."""

    left: float
    top: float
    width: float
    height: float
    x: tuple[float, float]
    y: tuple[float, float]

    @property
    def bottom(self) -> float:
        """Sheet y of the lower edge."""
        return self.top + self.height

    @property
    def right(self) -> float:
        """Sheet x of the right edge."""
        return self.left + self.width

    def across(self, x: Any) -> Any:
        """Sheet x of a value, or of an array of them."""
        return self.left + (x - self.x[0]) / (self.x[1] - self.x[0]) * self.width

    def down(self, y: Any) -> Any:
        """Sheet y; values beyond the upper and lower edge lie on it."""
        low, high = self.y
        return self.bottom - (np.clip(y, low, high) - low) / (high - low) * self.height

    def axis(self, unit: str, bottom: float | None = None) -> dict[str, str | float]:
        """Of `Sheet`: values across are of this unit; bottom: of the chart, if not of the frame."""
        down = self.bottom if bottom is None else bottom
        edges = {"left": self.left, "right": self.right, "top": self.top, "bottom": down}
        values = {"from": self.x[0], "to": self.x[1]}
        return {"axis": unit} | {name: round(value, 6) for name, value in (edges | values).items()}

    def points(self, x: FloatArray, y: FloatArray) -> FloatArray:
        """(N, 2) sheet coordinates."""
        return np.stack([self.across(x), self.down(y)], axis=-1)


@dataclass(frozen=True)
class Curve:
    """One angle over time as it is drawn: (N,) arrays, NaN where missing."""

    side: Side
    degrees: FloatArray
    reach: FloatArray | None  # half width of the 95 % interval, degrees
    gimbal: BoolArray


def nice_ticks(low: float, high: float, most: int) -> FloatArray:
    """At most `most` + 1 round values (1, 2, 5 x 10^n apart) within low..high."""
    rough = (high - low) / max(most, 1)
    power = 10.0 ** np.floor(np.log10(rough))
    step = power * next(m for m in (1.0, 2.0, 5.0, 10.0) if m * power >= rough * (1 - 1e-9))
    return _multiples(step, low, high)


def curves(angles: JointAngles, columns: Sequence[str]) -> list[Curve]:
    """The named columns of a table, ready to draw."""
    found = []
    for i in map(angles.names.index, columns):
        reach = None if angles.sd is None else Z95 * angles.sd[:, i]
        side = side_of(angles.names[i].rpartition("_")[0])
        found.append(Curve(side, angles.degrees[:, i], reach, angles.gimbal[:, i]))
    return found


def angle_range(angles: JointAngles, columns: Sequence[str]) -> tuple[float, float]:
    """Limits of an axis, in degrees, that shows the named columns whole.

    A band widens it by at most half the span of the values: near gimbal lock a band can reach
    hundreds of degrees, and would squeeze the curve into a line. Without any value: +-10.
    """
    lines = curves(angles, columns)
    values = np.concatenate([line.degrees for line in lines])
    if not np.isfinite(values).any():
        return -_LEAST_SPAN_DEG / 2, _LEAST_SPAN_DEG / 2
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    reserve = _BAND_REACH * max(high - low, _LEAST_SPAN_DEG)
    for line in lines:
        if line.reach is not None:
            reach = np.minimum(np.nan_to_num(line.reach), reserve)
            low = min(low, float(np.nanmin(np.append(line.degrees - reach, low))))
            high = max(high, float(np.nanmax(np.append(line.degrees + reach, high))))
    span = max(high - low, _LEAST_SPAN_DEG)
    middle, half = (low + high) / 2, span * (0.5 + _MARGIN)
    return middle - half, middle + half


def angle_panel(
    sheet: Sheet, box: Box, angles: JointAngles, columns: Sequence[str], *,
    limits: tuple[float, float] | None = None, title: str | None = None, time_label: bool = True,
) -> None:  # fmt: skip
    """Draw one angle, right and left together, into `box` (left, top, width, height).

    The box includes the labels. A line stops where values are missing; the band is the 95 %
    interval (1.96 standard deviations); grey stretches are near gimbal lock.
    """
    words = angle_words(columns[0])
    left, top, width, height = box
    times = angles.timeline.time
    inner_height = height - 18 - (32 if time_label else 18)
    span = (times[0], times[-1] if len(times) > 1 else times[0] + 1.0) if len(times) else (0.0, 1.0)
    across, along = (float(span[0]), float(span[1])), limits or angle_range(angles, columns)
    frame = Frame(left + 46, top + 18, width - 54, inner_height, across, along)
    sheet.axis = frame.axis("time")
    sheet.text(frame.left, top + 11, title or words.name.capitalize(), size=11.5, bold=True)
    sheet.text(frame.right, top + 11, words.directions, size=9.5, anchor="end", color=QUIET)
    lines = curves(angles, columns)
    _shade(sheet, frame, times, np.asarray(np.stack([line.gimbal for line in lines]).any(axis=0)))
    _grid(sheet, frame, time_label)
    middle = frame.top + frame.height / 2
    sheet.text(left + 12, middle, "degrees", size=10, anchor="middle", color=QUIET, upright=True)
    for line in lines:
        _band(sheet, frame, times, line)
    for line in lines:
        x, y = _thin(times, line.degrees)
        sheet.line(frame.points(x, y), SIDE_COLOR[line.side], 1.6)
    if not any(np.isfinite(line.degrees).any() for line in lines):
        sheet.text(frame.left + frame.width / 2, middle, "no values", anchor="middle", color=QUIET)


def legend_keys(angles: JointAngles) -> list[tuple[str, float, str]]:
    """Colour, opacity (1: a line, else an area) and meaning of what panels of these angles show."""
    sides = {side_of(group) for group in groups_of(angles.names)}
    named: dict[Side, str] = {"right": "right", "left": "left", "middle": "midline"}
    keys = [(SIDE_COLOR[side], 1.0, word) for side, word in named.items() if side in sides]
    if angles.sd is not None and np.isfinite(angles.sd).any():
        keys.append((keys[0][0], 0.22, BAND_LABEL))
    if angles.gimbal.any():
        keys.append((SHADE, 0.6, "near gimbal lock: do not interpret"))
    return keys


def legend_key(sheet: Sheet, x: float, y: float, color: str, opacity: float) -> None:
    """Draw one of the keys, 20 wide, its middle at height y."""
    height = 4.0 if opacity == 1 else 10.0
    sheet.box(x, y - height / 2, 20, height, color, opacity)


def legend(sheet: Sheet, x: float, y: float, angles: JointAngles) -> None:
    """One line that explains the colours, the band and the shading, from (x, y) rightwards."""
    for color, opacity, text in legend_keys(angles):
        legend_key(sheet, x, y - 4, color, opacity)
        sheet.text(x + 26, y, text, size=10.5, color=QUIET)
        x += 44 + 6.2 * len(text)


def plan_view(sheet: Sheet, box: Box, track: FloatArray, time: FloatArray) -> None:
    """Draw the way of a point over the floor, seen from above, at equal scales.

    track: (T, 2) metres: across (to the right on the sheet) and along (up on the sheet).
    A dot marks each half second, a ring the start.
    """
    left, top, width, height = box
    seen = all_finite(track)
    if not seen.any():
        sheet.text(left + width / 2, top + height / 2, "no values", anchor="middle", color=QUIET)
        return
    inner_width, inner_height = width - 60, height - 54
    low, high = track[seen].min(axis=0), track[seen].max(axis=0)
    per_px = max((high - low)[0] / inner_width, (high - low)[1] / inner_height, 0.5 / inner_height)
    per_px *= 1.15
    x, y = (low + high).tolist()
    across, along = inner_width * per_px, inner_height * per_px
    ends = ((x - across) / 2, (x + across) / 2), ((y - along) / 2, (y + along) / 2)
    frame = Frame(left + 50, top + 8, inner_width, inner_height, *ends)
    step = nice_ticks(0, min(across, along), 4)[1]
    for value in _multiples(step, *frame.x):
        at = frame.across(value)
        sheet.line(np.array([[at, frame.top], [at, frame.bottom]]), GRID)
        sheet.text(at, frame.bottom + 14, number(value), size=10, anchor="middle", color=QUIET)
    for value in _multiples(step, *frame.y):
        level(sheet, frame, value)
    sheet.text(frame.right, frame.bottom + 28, "metres", size=10, anchor="end", color=QUIET)
    points = frame.points(track[:, 0], track[:, 1])
    sheet.line(points, SIDE_COLOR["middle"], 1.8)
    beat = np.searchsorted(time, np.arange(time[0], time[-1], 0.5))
    for i in beat[seen[beat]]:
        sheet.line(points[i : i + 1], SIDE_COLOR["middle"], 6)
    first = points[np.argmax(seen)]
    sheet.line(first[None], SIDE_COLOR["middle"], 11)
    sheet.line(first[None], "#ffffff", 7)


def frame_chart(
    sheet: Sheet, box: Box, frame_number: IntArray, percent: FloatArray,
    rows: Sequence[tuple[str, BoolArray]],
) -> None:  # fmt: skip
    """Draw a share in 0..100 (T,) along the frame numbers (T,), and rows of flagged frames (T,)."""
    left, top, width, height = box
    x = frame_number.astype(float)
    ends = (float(x[0]) - 0.5, float(x[-1]) + 0.5) if len(x) else (-0.5, 0.5)
    label = 150.0
    chart = height - 34 - 22 * len(rows)
    frame = Frame(left + label, top + 6, width - label - 6, chart - 20, ends, (0.0, 100.0))
    sheet.text(frame.left - 34, top + 14, "visibility, %", size=11, anchor="end")
    for value in (0.0, 50.0, 100.0):
        level(sheet, frame, value)
    sheet.line(frame.points(*_thin(x, percent)), SIDE_COLOR["middle"], 1.6)
    for i, (name, flags) in enumerate(rows):
        y = top + chart + 22 * i
        sheet.text(frame.left - 5, y + 11, name, size=11, anchor="end")
        sheet.box(frame.left, y + 2, frame.width, 12, PAPER)
        for first, stop in true_runs(flags):
            begin, end = frame.across(x[first] - 0.5), frame.across(x[stop - 1] + 0.5)
            sheet.box(begin, y + 2, max(end - begin, 1.0), 12, ALERT)
    bottom = top + chart + 22 * len(rows)
    sheet.axis = frame.axis("frame", bottom)
    for value in nice_ticks(*ends, most=6):
        x_px = frame.across(value)
        sheet.text(x_px, bottom + 12, number(value), size=10, anchor="middle", color=QUIET)
    sheet.text(frame.right, bottom + 26, "frame", size=10, anchor="end", color=QUIET)


def number(value: float) -> str:
    """A tick's number: no trailing zeros, a true minus sign."""
    return f"{value + 0.0:g}".replace("-", "−")  # + 0.0 turns -0.0 into 0


def level(sheet: Sheet, frame: Frame, value: float, color: str = GRID, width: float = 1.0) -> None:
    """Draw a horizontal line at a value, with its number."""
    y = frame.down(value)
    sheet.line(np.array([[frame.left, y], [frame.right, y]]), color, width)
    sheet.text(frame.left - 5, y + 3.5, number(value), size=10, anchor="end", color=QUIET)


def _multiples(step: float, low: float, high: float) -> FloatArray:
    """Whole multiples of `step` within low..high, without the dust of 0.1 + 0.2."""
    counts = np.arange(np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9) + 1)
    return np.round(counts * step, 9)


def _shade(sheet: Sheet, frame: Frame, times: FloatArray, flags: BoolArray) -> None:
    """Grey, half a frame to both sides of each flagged stretch."""
    if not flags.any():
        return
    middle = (times[1:] + times[:-1]) / 2
    begin = np.concatenate([times[:1], middle])
    end = np.concatenate([middle, times[-1:]])
    for first, stop in true_runs(flags):
        left, right = frame.across(begin[first]), frame.across(end[stop - 1])
        sheet.box(left, frame.top, max(right - left, 1.0), frame.height, SHADE, 0.6)


def _grid(sheet: Sheet, frame: Frame, time_label: bool) -> None:
    for value in nice_ticks(*frame.y, most=max(2, int(frame.height / 28))):
        level(sheet, frame, value, *((QUIET, 0.8) if value == 0 else ()))
    for value in nice_ticks(*frame.x, most=max(2, int(frame.width / 55))):
        x = frame.across(value)
        sheet.line(np.array([[x, frame.bottom], [x, frame.bottom + 4]]), QUIET)
        sheet.text(x, frame.bottom + 14, number(value), size=10, anchor="middle", color=QUIET)
    corner = [[frame.left, frame.top], [frame.left, frame.bottom], [frame.right, frame.bottom]]
    sheet.line(np.array(corner), QUIET)
    if time_label:
        sheet.text(frame.right, frame.bottom + 27, "time (s)", size=10, anchor="end", color=QUIET)


def _band(sheet: Sheet, frame: Frame, times: FloatArray, line: Curve) -> None:
    if line.reach is None:
        return
    low, high = line.degrees - line.reach, line.degrees + line.reach
    shown = np.isfinite(low) & ~line.gimbal  # near gimbal lock it fills the panel, and says nothing
    for first, stop in true_runs(shown):
        run = slice(first, stop)
        x, below = _bins(times[run], low[run], np.fmin)
        _, above = _bins(times[run], high[run], np.fmax)
        outline = np.concatenate([frame.points(x, above), frame.points(x, below)[::-1]])
        sheet.area(outline, SIDE_COLOR[line.side], 0.22)


def _bins(x: FloatArray, y: FloatArray, keep: np.ufunc) -> tuple[FloatArray, FloatArray]:
    """At most `_MOST_POINTS` points, each the extreme of its bin as `keep` has it."""
    if len(x) <= _MOST_POINTS:
        return x, y
    starts = np.arange(0, len(x), -(-len(x) // _MOST_POINTS))
    return x[starts], keep.reduceat(y, starts)


def _thin(x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
    """A line with far more points than pixels, as lowest and highest value per bin in turn.

    No extreme is lost; a bin with a missing value inside keeps the gap.
    """
    if len(x) <= 2 * _MOST_POINTS:
        return x, y
    starts = np.arange(0, len(x), -(-len(x) // _MOST_POINTS))
    low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)  # NaN spreads
    return np.repeat(x[starts], 2), np.stack([low, high], axis=1).ravel()
