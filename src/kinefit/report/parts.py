"""What the pages of kinefit share: tables, films, curves, and the templates that show them."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from kinefit.io.video import Picture, frames, probe
from kinefit.quality.quantities import Quality
from kinefit.report.charts import angle_panel, frame_chart, legend_key, legend_keys
from kinefit.report.drawing import Sheet
from kinefit.report.joint_labels import angle_title, angles_of_joint, joints_of
from kinefit.types import JointAngles

_MOST_VIDEO_BYTES = 20_000_000  # of embedded video; browsers get slow far above it
_STILLS = 4
_FRAME = Markup('<button type="button" class="frame" data-frame="{}" disabled>{}</button>')
_FRAMES = re.compile(r"\b[Ff]rames? (\d+(?:-\d+)?(?:, \d+(?:-\d+)?)*)")  # as `frames_words` says

Cell = str | float | None


@dataclass(frozen=True)
class Table:
    """A table of a report.

    title: its caption. heads: of the columns. rows: cells in that order; numbers are shown with
    `digits` decimals, None and NaN as a dash. note: how to read it. folded: shown on demand.
    """

    title: str
    heads: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    digits: int = 1
    folded: bool = False


@cache
def environment() -> Environment:
    """The templates of this package, with its filters."""
    found = Environment(
        loader=PackageLoader("kinefit.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    found.filters["cell"] = cell
    found.filters["linked"] = linked
    found.filters["safe_json"] = _safe_json
    return found


def _safe_json(text: str) -> Markup:
    """JSON for a script element: nothing in it can end the element."""
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704


def linked(text: str) -> Markup:
    """A text in which each stretch of "frames 41-42, 44" is a button, which the player enables and
    goes to its first frame for."""
    found, end = Markup(""), 0
    for listed in _FRAMES.finditer(text):
        found += escape(text[end : listed.start(1)])
        for part in re.split(r"(\d+(?:-\d+)?)", listed[1]):
            first = part.partition("-")[0]
            found += _FRAME.format(first, part) if first.isdigit() else escape(part)
        end = listed.end(1)
    return found + escape(text[end:])


def svg(sheet: Sheet, label: str) -> Markup:
    return Markup(sheet.svg(label))  # noqa: S704 (it escapes its own words)


def cell(value: Cell, digits: int) -> str:
    """A table's cell: a dash for what is missing, a true minus sign."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, str):
        return value
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")  # + 0.0: no "−0"


@dataclass(frozen=True)
class Film:
    """A video, or stills with what they show, as addresses that hold them; link: of the file.
    A video may be an address beside the page instead."""

    video: str = ""
    poster: str = ""
    stills: Sequence[tuple[str, str]] = ()
    wide: bool = False
    link: str = ""


def film(path: Path, beside: Path | None = None, at: str = "") -> Film:
    """A picture, a video, or stills of one that would make the page too heavy.

    beside: the folder of the page: such a video is read from where it lies instead; or from the
    address `at`.
    """
    if path.suffix.lower() != ".mp4":
        kind = path.suffix.lower().removeprefix(".").replace("jpg", "jpeg")
        return Film(stills=[(_inline(f"image/{kind}", path.read_bytes()), path.name)])
    info = probe(path)
    wide = info.size[0] > info.size[1]
    whole = (frame for frame in frames(path) if frame.rgb is not None)
    address = ""
    if path.stat().st_size <= _MOST_VIDEO_BYTES:
        address = _inline("video/mp4", path.read_bytes())
    elif at:
        address = at
    elif beside is not None:
        address = quote(Path(os.path.relpath(path, beside)).as_posix())
    if address:
        return Film(address, jpeg_address(next(whole).rgb), wide=wide)
    wanted = {int(info.n_frames * (i + 0.5) / _STILLS) for i in range(_STILLS)}
    stills = [(jpeg_address(f.rgb), f"{f.time:.2f} s") for f in whole if f.index in wanted]
    return Film(stills=stills, wide=wide, link=path.name)


def jpeg_address(rgb: Picture | None) -> str:
    """A picture as an address that holds it."""
    assert rgb is not None
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return _inline("image/jpeg", jpeg.tobytes())


def _inline(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def frames_figure(quality: Quality) -> dict[str, Any]:
    """How well the person was seen in each frame, and which frames the findings speak of."""
    rows = [(f"{group} swapped", flags) for group, flags in quality.swaps.items()]
    rows += list(quality.flags.items())
    sheet = Sheet(560, 150 + 22 * len(rows))
    seen = 100 * quality.visibility
    frame_chart(sheet, (0, 0, sheet.width, sheet.height), quality.timeline.frame, seen, rows)
    said = "".join(f"; {name} in {percent(flags.mean() * 100)}" for name, flags in rows)
    return {"svg": svg(sheet, f"Mean visibility per frame{said}"), "rows": bool(rows)}


def angle_panels(angles: JointAngles) -> list[tuple[str, list[Markup]]]:
    """(joint, a panel for each of its angles)."""
    return [
        (joint.capitalize(), [_panel(angles, c) for c in angles_of_joint(angles.names, joint)])
        for joint in joints_of(angles.names)
    ]


def _panel(angles: JointAngles, columns: Sequence[str]) -> Markup:
    sheet = Sheet(360, 168)
    angle_panel(sheet, (0, 0, 360, 168), angles, columns)
    said = []
    for name in columns:
        values = angles.column(name)[np.isfinite(angles.column(name))]
        span = f"from {values.min():.0f} to {values.max():.0f} degrees" if len(values) else ""
        said.append(f"{angle_title(name)} {span or 'without values'}")
    return svg(sheet, "; ".join(said))


def angle_legend(angles: JointAngles) -> list[tuple[Markup, str]]:
    """(swatch, meaning) of what the panels show."""
    items = []
    for color, opacity, text in legend_keys(angles):
        swatch = Sheet(22, 10)
        legend_key(swatch, 0, 5, color, opacity)
        items.append((svg(swatch, ""), text))
    return items


def percent(value: float) -> str:
    """Never "100 %" for what is not whole, nor "0 %" for what is not nothing."""
    if np.isnan(value):
        return "–"
    if 0 < value < 0.5 or 99.5 <= value < 100:
        return f"{min(max(value, 0.1), 99.9):.1f} %"
    return f"{value:.0f} %"
