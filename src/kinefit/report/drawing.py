"""Plain shapes on a sheet: described once, written as SVG here and as PNG by `report.plots`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Literal

import numpy as np

from kinefit.render.palette import INK
from kinefit.types import FloatArray, all_finite, true_runs

Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Line:
    points: FloatArray
    color: str
    width: float
    opacity: float


@dataclass(frozen=True)
class Area:
    points: FloatArray
    color: str
    opacity: float


@dataclass(frozen=True)
class Text:
    x: float
    y: float
    text: str
    size: float
    anchor: Anchor
    color: str
    bold: bool
    upright: bool


@dataclass
class Sheet:
    """A drawing of `width` x `height` CSS pixels, x right, y down; later shapes lie on top.

    axis: what the viewer needs to draw the present moment into the chart: "axis" ("time" or
    "frame"), the "left", "right", "top" and "bottom" edges of the chart, and the values "from" and
    "to" at the first two.
    """

    width: float
    height: float
    shapes: list[Line | Area | Text] = field(default_factory=list)
    axis: dict[str, str | float] = field(default_factory=dict)

    def line(
        self, points: FloatArray, color: str = INK, width: float = 1.0, opacity: float = 1.0
    ) -> None:
        """A line through `points` (N, 2); NaN interrupts it, a point alone becomes a dot."""
        self.shapes.append(Line(np.asarray(points, float), color, width, opacity))

    def area(self, points: FloatArray, color: str, opacity: float = 1.0) -> None:
        """A filled outline through `points` (N, 2), closed by itself."""
        self.shapes.append(Area(np.asarray(points, float), color, opacity))

    def box(
        self, x: float, y: float, width: float, height: float, color: str, opacity: float = 1.0
    ) -> None:
        """A filled rectangle with its upper left corner at (x, y)."""
        right, bottom = x + width, y + height
        corners = np.array([[x, y], [right, y], [right, bottom], [x, bottom]])
        self.area(corners, color, opacity)

    def text(
        self, x: float, y: float, text: str, *, size: float = 11.0, anchor: Anchor = "start",
        color: str = INK, bold: bool = False, upright: bool = False,
    ) -> None:  # fmt: skip
        """Words on the base line through (x, y); `upright` text reads from bottom to top."""
        self.shapes.append(Text(x, y, text, size, anchor, color, bold, upright))

    def svg(self, label: str) -> str:
        """The sheet as an inline SVG element, described for a screen reader by `label`.

        Without a label it is an ornament that a screen reader skips.
        """
        body = "".join(_svg(shape) for shape in self.shapes)
        said = f'role="img" aria-label="{escape(label)}"' if label else 'aria-hidden="true"'
        data = "".join(f' data-{name}="{value}"' for name, value in self.axis.items())
        return f'<svg viewBox="0 0 {self.width:g} {self.height:g}" {said}{data}>{body}</svg>'


def strokes(points: FloatArray) -> Iterator[FloatArray]:
    """The runs of finite points; a lone point is drawn out by a tenth to become a dot."""
    for start, stop in true_runs(all_finite(points)):
        run = points[start:stop]
        yield run if len(run) > 1 else np.concatenate([run, run + 0.1])


def _svg(shape: Line | Area | Text) -> str:
    if isinstance(shape, Text):
        turn = f' transform="rotate(-90 {shape.x:.1f} {shape.y:.1f})"' if shape.upright else ""
        weight = ' font-weight="600"' if shape.bold else ""
        return (
            f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size:g}" '
            f'text-anchor="{shape.anchor}" fill="{shape.color}"{weight}{turn}>'
            f"{escape(shape.text)}</text>"
        )
    faint = f' opacity="{shape.opacity:g}"' if shape.opacity < 1 else ""
    if isinstance(shape, Area):
        return f'<path d="{_svg_path(shape.points)}z" fill="{shape.color}"{faint}/>'
    path = "".join(_svg_path(run) for run in strokes(shape.points))
    return (
        f'<path d="{path}" fill="none" stroke="{shape.color}" stroke-width="{shape.width:g}" '
        f'stroke-linejoin="round" stroke-linecap="round"{faint}/>'
    )


def _svg_path(points: FloatArray) -> str:
    return "M" + " ".join(f"{x:.2f},{y:.2f}" for x, y in points.tolist())
