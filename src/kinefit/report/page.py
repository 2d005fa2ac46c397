"""The report: one page that shows a result and says how far its numbers can be trusted."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from kinefit.io.atomic import write_text
from kinefit.io.video import Picture, frames, probe
from kinefit.quality.assessment import first_point
from kinefit.quality.quantities import Quality, SegmentQuality
from kinefit.quality.verdict import length_words, marker_words, verdict
from kinefit.report.charts import angle_panel, frame_chart, legend_key, legend_keys, plan_view
from kinefit.report.drawing import Sheet
from kinefit.report.joint_labels import angle_title, angle_words, angles_of_joint, joints_of
from kinefit.types import Finding, JointAngles, Markers

_MOST_VIDEO_BYTES = 20_000_000  # of embedded video; browsers get slow far above it
_STILLS = 4

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


@dataclass(frozen=True, eq=False)
class Someone:
    """A person of the recording. words: how much is seen of them. chosen: whether the report is of
    them. picture: RGB; None where none could be read."""

    number: int
    words: str
    chosen: bool
    picture: Picture | None


@dataclass(frozen=True, eq=False)
class ReportData:
    """What a report shows, read back from the files of a result. Everything but the first four may
    be left out: its section is then too.

    title: the heading. kind: what was recorded, e.g. "one camera". findings: the verdict is theirs.
    facts: (name, value) of the header: who was recorded, how, for how long.
    film: a video or picture of the body on the recording.
    quality: of `kinefit.quality.assessment.assess`. angles: joint angles. markers: whose pelvis
    shows the path over the floor. several_cameras: whether depth was measured.
    people: everybody in the recording, where there are several.
    assumed: what was assumed rather than measured, in sentences. tables: more figures.
    files: (name, what it holds) in the folder. inputs: (name, SHA-256). parameters, versions:
    name -> value, for the provenance.
    """

    title: str
    kind: str
    findings: Sequence[Finding]
    facts: Sequence[tuple[str, str]]
    film: Path | None = None
    quality: Quality | None = None
    angles: JointAngles | None = None
    markers: Markers | None = None
    several_cameras: bool = False
    people: Sequence[Someone] = ()
    assumed: Sequence[str] = ()
    tables: Sequence[Table] = ()
    files: Sequence[tuple[str, str]] = ()
    inputs: Sequence[tuple[str, str]] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def body_table(stature_m: float, bones_m: Mapping[str, float]) -> Table:
    """The fitted body: its height and bones ("left thigh" -> metres), which are the same in every
    frame.
    """
    names = dict.fromkeys(name.partition(" ")[2] for name in bones_m)
    rows: list[Sequence[Cell]] = [
        (n.capitalize(), *(bones_m.get(f"{side} {n}") for side in ("right", "left"))) for n in names
    ]
    note = f"Height {stature_m:.2f} m. One shape for the whole recording."
    return Table("The body", ("Bone", "Right, m", "Left, m"), rows, note, digits=3)


def write_report(path: str | Path, data: ReportData) -> None:
    """Write the page, atomically; equal data give equal bytes."""
    write_text(path, report_html(data))


def report_html(data: ReportData) -> str:
    """The page. Text of the user is escaped, and the page's own policy allows no script, no
    style but its own and no request."""
    templates = environment()
    assert templates.loader is not None
    style, _, _ = templates.loader.get_source(templates, "report.css")
    digest = hashlib.sha256(style.encode()).digest()
    quality, angles = data.quality, data.angles
    joints = (
        []
        if angles is None
        else [
            (joint.capitalize(), [_panel(angles, c) for c in angles_of_joint(angles.names, joint)])
            for joint in joints_of(angles.names)
        ]
    )
    return templates.get_template("report.html").render(
        data=data,
        verdict=verdict(data.findings),
        serious=[f for level in ("refusal", "caution") for f in data.findings if f.level == level],
        notes=[f for f in data.findings if f.level == "information"],
        style=Markup(style),  # noqa: S704 (the package's own file)
        style_hash=base64.b64encode(digest).decode(),
        film=None if data.film is None else _film(data.film),
        people=[
            (one, "" if one.picture is None else jpeg_address(one.picture)) for one in data.people
        ],
        frames=None if quality is None or not quality.views else _frames_figure(quality),
        joints=joints,
        legend=[] if data.angles is None else _legend(data.angles),
        glance=None if quality is None else _range_table(quality, flexion_only=True),
        ranges=None if quality is None else _range_table(quality, flexion_only=False),
        path=None if data.markers is None else _path_figure(data.markers),
        tables=[*([] if quality is None else _quality_tables(quality)), *data.tables],
    )


@cache
def environment() -> Environment:
    """The templates of this package, with its filters."""
    found = Environment(
        loader=PackageLoader("kinefit.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True,
    )  # fmt: skip
    found.filters["cell"] = _cell
    found.filters["safe_json"] = _safe_json
    return found


def _safe_json(text: str) -> Markup:
    """JSON for a script element: nothing in it can end the element."""
    return Markup(text.replace("<", "\\u003c"))  # noqa: S704


def _svg(sheet: Sheet, label: str) -> Markup:
    return Markup(sheet.svg(label))  # noqa: S704 (it escapes its own words)


def _cell(value: Cell, digits: int) -> str:
    """A table's cell: a dash for what is missing, a true minus sign."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        return "–"
    if isinstance(value, str):
        return value
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")  # + 0.0: no "−0"


@dataclass(frozen=True)
class _Film:
    """A video, or stills with what they show, as addresses that hold them; link: of the file."""

    video: str = ""
    poster: str = ""
    stills: Sequence[tuple[str, str]] = ()
    wide: bool = False
    link: str = ""


def _film(path: Path) -> _Film:
    """A picture, a video, or stills of one that would make the page too heavy."""
    if path.suffix.lower() != ".mp4":
        kind = path.suffix.lower().removeprefix(".").replace("jpg", "jpeg")
        return _Film(stills=[(_inline(f"image/{kind}", path.read_bytes()), path.name)])
    info = probe(path)
    wide = info.size[0] > info.size[1]
    whole = (frame for frame in frames(path) if frame.rgb is not None)
    if path.stat().st_size > _MOST_VIDEO_BYTES:
        wanted = {int(info.n_frames * (i + 0.5) / _STILLS) for i in range(_STILLS)}
        stills = [(jpeg_address(f.rgb), f"{f.time:.2f} s") for f in whole if f.index in wanted]
        return _Film(stills=stills, wide=wide, link=path.name)
    return _Film(_inline("video/mp4", path.read_bytes()), jpeg_address(next(whole).rgb), wide=wide)


def jpeg_address(rgb: Picture | None) -> str:
    """A picture as an address that holds it."""
    assert rgb is not None
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR))
    return _inline("image/jpeg", jpeg.tobytes())


def _inline(kind: str, data: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def _frames_figure(quality: Quality) -> dict[str, Any]:
    """How well the person was seen in each frame, and which frames the findings speak of."""
    rows = [(f"{group} swapped", flags) for group, flags in quality.swaps.items()]
    rows += list(quality.flags.items())
    sheet = Sheet(560, 150 + 22 * len(rows))
    percent = 100 * quality.visibility
    frame_chart(sheet, (0, 0, sheet.width, sheet.height), quality.timeline.frame, percent, rows)
    said = "".join(f"; {name} in {_percent(flags.mean() * 100)}" for name, flags in rows)
    return {"svg": _svg(sheet, f"Mean visibility per frame{said}"), "rows": bool(rows)}


def _panel(angles: JointAngles, columns: Sequence[str]) -> Markup:
    sheet = Sheet(360, 168)
    angle_panel(sheet, (0, 0, 360, 168), angles, columns)
    said = []
    for name in columns:
        values = angles.column(name)[np.isfinite(angles.column(name))]
        span = f"from {values.min():.0f} to {values.max():.0f} degrees" if len(values) else ""
        said.append(f"{angle_title(name)} {span or 'without values'}")
    return _svg(sheet, "; ".join(said))


def _legend(angles: JointAngles) -> list[tuple[Markup, str]]:
    items = []
    for color, opacity, text in legend_keys(angles):
        swatch = Sheet(22, 10)
        legend_key(swatch, 0, 5, color, opacity)
        items.append((_svg(swatch, ""), text))
    return items


def _range_table(quality: Quality, *, flexion_only: bool) -> Table | None:
    """Range of motion, right beside left."""
    found = {a.name: a for a in quality.angles if a.name.endswith("_flex") or not flexion_only}
    rows: list[list[Cell]] = []
    for joint in joints_of(list(found)):
        for columns in angles_of_joint(list(found), joint):
            row: list[Cell] = [f"{joint.capitalize()} {angle_words(columns[0]).name}"]
            ends = [np.round((found[name].low, found[name].high)) for name in columns]
            ranges = [float(high - low) for low, high in ends]
            for (low, high), span in zip(ends, ranges, strict=True):
                row += [f"{_cell(float(low), 0)} to {_cell(float(high), 0)}", span]
            row += ["", "", ""] if len(ranges) == 1 else [ranges[0] - ranges[1]]
            rows.append(row)
    if not rows:
        return None
    heads = ("Degrees", "Right", "Range", "Left", "Range", "Difference")
    note = "Lowest to highest value. Pelvis and trunk have no sides."
    return Table("Range of motion", heads, rows, note, digits=0)


def _path_figure(markers: Markers) -> dict[str, Any] | None:
    """The path of the pelvis over the floor, from above."""
    hips = ("Hip",), ("RHJC_study", "LHJC_study"), ("r.ASIS_study", "L.ASIS_study")
    pelvis = first_point(markers, *hips)
    if pelvis is None or not np.isfinite(pelvis).any():
        return None
    sheet = Sheet(420, 320)
    floor = pelvis[:, [2, 0]]  # the person's right to the right, forward up
    plan_view(sheet, (0, 0, 420, 320), floor, markers.timeline.time)
    span = np.nanmax(pelvis, axis=0) - np.nanmin(pelvis, axis=0)
    label = f"Path of the pelvis from above: {span[0]:.2f} m along, {span[2]:.2f} m across"
    return {"svg": _svg(sheet, label)}


def _quality_tables(quality: Quality) -> list[Table]:
    found = [_camera_table(quality), _feet_table(quality), _length_table(quality.segments)]
    sets = (("Markers of the body", quality.initial), ("All markers", quality.final))
    for title, markers in sets:
        rows: list[list[Cell]] = [
            [marker_words(m.name), _percent(m.present_pct), _percent(m.estimated_pct),
             f"{m.longest_gap_s:.2f}", m.jumps, m.sd_mm]
            for m in sorted(markers, key=lambda m: (m.present_pct, -m.estimated_pct))
        ]  # fmt: skip
        heads = ("Marker", "Present", "Of that estimated", "Longest gap, s", "Jumps", "SD, mm")
        found.append(Table(title, heads, rows, digits=0, folded=True))
    return [table for table in found if table.rows]


def _camera_table(quality: Quality) -> Table:
    rows: list[list[Cell]] = []
    for view in quality.views:
        end = f" in {view.name}" if len(quality.views) > 1 else ""
        swaps = [
            f"{name.removesuffix(end)}: {_percent(100 * flags.mean())}"
            for name, flags in quality.swaps.items()
            if name.endswith(end)
        ]
        seen, said = _percent(view.seen_pct), "; ".join(swaps) or "none"
        rows.append([view.name, seen, view.off_px, view.off_cm, said])
    heads = ("Camera", "Person seen", "Distance, px", "Distance, cm", "Left and right exchanged")
    note = (
        "Distance: how far the result, drawn into the picture, lies from what the detector saw "
        "(median frame). Left and right exchanged: by the detector, share of frames."
    )
    return Table("Cameras", heads, rows, note)


def _feet_table(quality: Quality) -> Table:
    rows: list[list[Cell]] = [
        [f"{foot.side} foot", _percent(foot.contact_pct), _percent(foot.slide_pct),
         100 * foot.slide_m_s, _percent(foot.below_pct)]
        for foot in quality.feet
    ]  # fmt: skip
    heads = ("Foot", "On the floor", "Of that sliding", "Slide, cm/s", "Below the floor")
    note = "A foot on the floor should stand still. Share of frames."
    return Table("Feet on the floor", heads, rows, note, digits=0)


def _length_table(segments: Sequence[SegmentQuality]) -> Table:
    """Length and its variation of each segment, between landmarks and augmented markers."""
    rows: list[list[Cell]] = [
        [s.name, s.source, 1000 * s.mean_m, f"{s.cv_pct:.1f}", length_words(s.cv_pct)]
        for s in segments
    ]
    heads = ("Segment", "Between", "Length, mm", "Change, %", "Judgement")
    note = (
        "Bones keep their length; where it changes, the joints at their ends are wrong by as much."
    )
    return Table("Segment lengths", heads, rows, note, digits=0, folded=True)


def _percent(value: float) -> str:
    """Never "100 %" for what is not whole, nor "0 %" for what is not nothing."""
    if np.isnan(value):
        return "–"
    if 0 < value < 0.5 or 99.5 <= value < 100:
        return f"{min(max(value, 0.1), 99.9):.1f} %"
    return f"{value:.0f} %"
