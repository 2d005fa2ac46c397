"""Figures of errors by view angle, visibility, limb, the detector's score and size."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from kinefit.evaluate.error_sources import ErrorSources
from kinefit.render.palette import GRID, QUIET, SIDE_COLOR
from kinefit.report.charts import Frame, nice_ticks, number
from kinefit.report.drawing import Sheet
from kinefit.report.png import write_png
from kinefit.synth.truth import Visibility
from kinefit.types import BoolArray, FloatArray, IntArray, TooFewPoints

_WIDTH, _PANEL, _SCALE = 680.0, 190.0, 2.0
_NAMES = 80.0  # below the last panel, for vertical names
_FEWEST = 5  # errors in a group; fewer have no percentiles that mean anything
_VISIBILITIES = (Visibility.VISIBLE, Visibility.SELF_OCCLUDED, Visibility.OCCLUDED)
_VISIBILITY_LABELS = ("visible", "self-occluded", "occluded by others")


class Group(NamedTuple):
    """Errors of one group. size: their number. spread: (4,) their 25th, 50th, 75th and 90th
    percentiles; NaN for fewer than five."""

    label: str
    size: int
    spread: FloatArray


def plot_sources(sources: ErrorSources, title: str, path: str | Path) -> None:
    """Write one PNG: five panels, by view angle, visibility, score, size and name.

    Raises TooFewPoints without any error.
    """
    write_png(sources_sheet(sources, title), path, _SCALE)


def sources_sheet(sources: ErrorSources, title: str) -> Sheet:
    """The figure of `plot_sources`."""
    if not len(sources.error):
        raise TooFewPoints("Errors to be drawn", found=0, needed=1)
    panels = (
        ("where the camera stands, degrees from the person's front (+: their left)", by_azimuth),
        ("visibility in the image", by_visibility),
        ("the detector's score", by_score),
        ("size of the person in the image, px", by_size),
        ("point or limb", by_name),
    )
    sheet = Sheet(_WIDTH, 56 + _PANEL * len(panels) + _NAMES)
    sheet.text(46, 22, title, size=14, bold=True)
    about = f"{sources.unit}; box: the middle half, line: median, whisker: 90th percentile"
    sheet.text(46, 41, about, size=10.5, color=QUIET)
    top = _top([group for _, groups in panels for group in groups(sources)])
    for row, (label, groups) in enumerate(panels):
        slanted = groups is by_name
        _panel(sheet, 56 + _PANEL * row, label, groups(sources), top, slanted=slanted)
    return sheet


def by_azimuth(sources: ErrorSources) -> list[Group]:
    """In steps of 30 degrees around the person."""
    centres = np.arange(-150, 181, 30)
    step = np.round(sources.azimuth_deg / 30)
    step = np.where(step == -6, 6, step)
    return [_group(sources, number(float(c)), step * 30 == c) for c in centres]


def by_visibility(sources: ErrorSources) -> list[Group]:
    """By visibility of a point, or of the worse end of a limb."""
    return [
        _group(sources, label, sources.visibility == visibility)
        for visibility, label in zip(_VISIBILITIES, _VISIBILITY_LABELS, strict=True)
    ]


def by_score(sources: ErrorSources) -> list[Group]:
    """In steps of a tenth of the detector's own visibility."""
    step = np.clip((sources.score * 10).astype(np.int64), 0, 9)
    return [_group(sources, f"{k / 10:.1f}–{(k + 1) / 10:.1f}", step == k) for k in range(10)]


def by_size(sources: ErrorSources) -> list[Group]:
    """In up to eight groups between round sizes."""
    low, high = float(sources.size_px.min()), float(sources.size_px.max())
    edges = nice_ticks(low, high, 7) if high > low else np.zeros(0)
    edges = np.concatenate([[-np.inf], edges, [np.inf]])
    return [
        _group(sources, _range_label(a, b), (sources.size_px >= a) & (sources.size_px < b))
        for a, b in pairwise(edges)
    ]


def _range_label(low: float, high: float) -> str:
    if np.isinf(low):
        return "all" if np.isinf(high) else f"< {high:g}"
    return f"≥ {low:g}" if np.isinf(high) else f"{low:g}–{high:g}"


def by_name(sources: ErrorSources) -> list[Group]:
    """Of each point or limb."""
    return [_group(sources, name, sources.name == i) for i, name in enumerate(sources.names)]


def _group(sources: ErrorSources, label: str, rows: BoolArray | IntArray) -> Group:
    errors = sources.error[rows]
    few = len(errors) < _FEWEST
    spread = np.full(4, np.nan) if few else np.quantile(errors, [0.25, 0.5, 0.75, 0.9])
    return Group(label, len(errors), spread)


def _top(groups: Sequence[Group]) -> float:
    """Upper end of all axes: above every box, and whiskers up to three times as high."""
    spreads = np.array([group.spread for group in groups])
    if not np.isfinite(spreads).any():
        return 1.0
    boxes, whiskers = float(np.nanmax(spreads[:, 2])), float(np.nanmax(spreads[:, 3]))
    return 1.05 * min(whiskers, 3 * boxes) or 1.0


def _panel(
    sheet: Sheet, top: float, label: str, groups: Sequence[Group], limit: float, *, slanted: bool
) -> None:
    frame = Frame(46, top + 20, _WIDTH - 56, _PANEL - 62, (-0.5, len(groups) - 0.5), (0, limit))
    sheet.text(frame.left, top + 12, label[:1].upper() + label[1:], size=11.5, bold=True)
    for value in nice_ticks(0, limit, 6):
        y = frame.points(np.zeros(1), np.array([value]))[0, 1]
        sheet.line(np.array([[frame.left, y], [frame.right, y]]), GRID)
        sheet.text(
            frame.left - 5, y + 3.5, number(float(value)), size=10, anchor="end", color=QUIET
        )
    half = min(0.32 * frame.width / len(groups), 22)
    for k, group in enumerate(groups):
        x = float(frame.points(np.array([float(k)]), np.zeros(1))[0, 0])
        _box(sheet, frame, x, half, group)
        _label(sheet, frame, x, group, slanted)


def _box(sheet: Sheet, frame: Frame, x: float, half: float, group: Group) -> None:
    if np.isnan(group.spread).any():
        return
    color = SIDE_COLOR["right"]
    low, middle, high, far = (
        float(frame.points(np.zeros(1), np.array([v]))[0, 1]) for v in group.spread
    )
    sheet.box(x - half, high, 2 * half, low - high, color, 0.25)
    sheet.line(np.array([[x - half, middle], [x + half, middle]]), color, 2.2)
    sheet.line(np.array([[x, high], [x, far]]), color, 1.2)


def _label(sheet: Sheet, frame: Frame, x: float, group: Group, slanted: bool) -> None:
    """Name and number of errors of the group."""
    if slanted:
        text = f"{group.label} ({group.size})"
        sheet.text(x + 3, frame.bottom + 6, text, size=9, anchor="end", color=QUIET, upright=True)
        return
    sheet.text(x, frame.bottom + 14, group.label, size=9.5, anchor="middle", color=QUIET)
    sheet.text(x, frame.bottom + 27, f"({group.size})", size=8.5, anchor="middle", color=QUIET)
