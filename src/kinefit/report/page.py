"""The report: one page that shows a run and says how far its numbers can be trusted."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote

import cv2
import numpy as np

from kinefit.io.atomic import write_text
from kinefit.io.video import VideoFrame, frames, probe
from kinefit.quality.assessment import (
    LENGTH_BAD_PCT,
    LENGTH_GOOD_PCT,
    MarkerQuality,
    Quality,
    SegmentQuality,
)
from kinefit.quality.verdict import Verdict, marker_words, verdict
from kinefit.render.palette import PAPER, SHADE, SIDE_COLOR, side_of
from kinefit.report.charts import BAND_LABEL, angle_panel, frame_chart, plan_view
from kinefit.report.drawing import Sheet
from kinefit.report.joint_labels import angle_title, angles_of_joint, joints_of
from kinefit.types import FloatArray, IntArray, JointAngles, Markers, PoseTrack, Subject

_MOST_VIDEO_BYTES = 20_000_000  # of embedded video; browsers get slow far above it
_STILLS = 4
_NUMERIC = 'class="n"'
_DRAWN = "Drawn are the points in space: where they lie beside the person, they are wrong."
_ONE_LINE_OF_SIGHT = " Along a single camera's line of sight it is least certain."

_VERDICTS: dict[Verdict, tuple[str, str]] = {
    "good": (
        "Nothing suspicious was found",
        "That is not a proof of accuracy: see “How to read this page”.",
    ),
    "care": ("Use with care", "What was found, the most serious first:"),
    "unusable": ("Not usable", "There are too few values to work with."),
}


@dataclass(frozen=True, eq=False)
class ReportContent:
    """What a report shows, read back from the files of a run.

    title: the heading. video: name of the source; video_sha256: its hash ("" if there is none).
    subject: None when unknown. parameters, versions: name -> value, for the provenance.
    track: what the detector saw; None for a run that began with markers.
    initial, final: marker sets; angles: None when not computed.
    quality, warnings: of `kinefit.quality.assessment.assess` and `verdict.warnings`.
    notes: camera, scale and tilt in plain words: what was assumed, what was found.
    overlay: the video with the skeleton, beside the report; None for no such video.
    cameras: one entry per camera of a run with several: what it saw, how far it was believed.
    files: (name, what it holds) of the files in the folder.
    """

    title: str
    video: str
    video_sha256: str
    final: Markers
    quality: Quality
    warnings: Sequence[str]
    subject: Subject | None = None
    track: PoseTrack | None = None
    initial: Markers | None = None
    angles: JointAngles | None = None
    notes: Sequence[str] = ()
    overlay: Path | None = None
    cameras: Sequence[Mapping[str, Any]] = ()
    files: Sequence[tuple[str, str]] = ()
    parameters: Mapping[str, object] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)


def write_report(content: ReportContent, path: str | Path) -> None:
    """Write the page, atomically; equal content gives equal bytes."""
    write_text(path, report_html(content))


def report_html(content: ReportContent) -> str:
    """The page. Text of the user is escaped, and the page's own policy allows no script, no
    style but its own and no request."""
    style = _asset("report.css")
    sections = (
        _verdict_section(content),
        _video_section(content),
        _camera_section(content),
        _angle_section(content.angles),
        _room_section(content),
        _length_section(content.quality.segments),
        _marker_section(content),
    )
    digest = hashlib.sha256(style.encode()).digest()
    return Template(_asset("report.html")).substitute(
        style=style,
        style_hash=base64.b64encode(digest).decode(),
        title=escape(content.title),
        facts=_facts(content),
        sections="\n".join(filter(None, sections)),
        angle_table=_angle_table(content.quality),
        provenance=_provenance_section(content),
        version=escape(content.versions.get("kinefit", "")),
    )


@cache
def _asset(name: str) -> str:
    return (files("kinefit.report") / name).read_text("utf-8")


def _facts(content: ReportContent) -> str:
    """The header's facts: what was filmed, of whom, how long."""
    timeline = content.quality.timeline
    facts = [("Source", content.video)]
    if content.subject is not None:
        subject = content.subject
        facts.append(("Subject", f"{subject.height_m:g} m, {subject.mass_kg:g} kg"))
    if len(timeline):
        seconds = float(timeline.time[-1] - timeline.time[0])
        facts.append(("Length", f"{len(timeline)} frames, {seconds:.2f} s"))
    if len(timeline) > 1:
        uneven = "" if timeline.is_uniform else " (uneven)"
        facts.append(("Rate", f"{timeline.rate_hz:.4g} Hz{uneven}"))
    if content.track is not None:
        width, height = content.track.image.image_size
        facts.append(("Picture", f"{width} × {height} px"))
        facts.append(("Detector", content.track.source))
    return "".join(f"<div><dt>{escape(k)}</dt><dd>{escape(v)}</dd></div>" for k, v in facts)


def _verdict_section(content: ReportContent) -> str:
    level = verdict(content.quality, content.warnings)
    heading, text = _VERDICTS[level]
    items = "".join(f"<li>{escape(w)}</li>" for w in content.warnings)
    return (
        f'<section class="verdict {level}"><h2>{heading}</h2><p>{text}</p>'
        + (f"<ul>{items}</ul>" if items else "")
        + "</section>"
    )


def _video_section(content: ReportContent) -> str:
    """The overlay video, and beside it what was found in every frame."""
    frames = _frames_figure(content.quality) if content.track is not None else ""
    said = _DRAWN if content.cameras else "Pale: the detector is unsure."
    film = "" if content.overlay is None else _film(content.overlay, said)
    if not film and not frames:
        return ""
    wide = "" if content.track and _is_upright(content.track) else " wide"
    notes = "" if content.cameras else _notes(content, "Camera and scale")
    heading = "What came out, on all videos" if content.cameras else "What the detector saw"
    return (
        f'<section><h2>{heading}</h2><div class="film{wide}">{film}'
        f"<div>{frames}{notes}</div></div></section>"
    )


def _notes(content: ReportContent, heading: str) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in content.notes)
    return f"<h3>{heading}</h3><ul>{items}</ul>" if items else ""


def _camera_section(content: ReportContent) -> str:
    """What each of several cameras saw, and how far it was believed."""
    if not content.cameras:
        return ""
    rows = [
        (
            _row_head(camera["camera"]),
            _cell(_percent(camera["found_pct"])),
            _cell(_percent(camera["used_pct"])),
            _cell("–" if camera["error_px"] is None else _number(camera["error_px"], 1)),
            _cell(_number(camera["noise_px"], 1)),
            _cell(_swapped(camera["swapped"]), numeric=False),
        )
        for camera in content.cameras
    ]
    heads = (
        *("Camera", "Person found", "Points used", "Error, px", "Noise, px"),
        "Left and right exchanged by the detector (frames)",
    )
    caption = (
        "Points used: those that agree with the other cameras. Error: mean distance of these from "
        "the points in space. Noise: standard deviation per pixel axis, on which the deviations of "
        "the points rest."
    )
    return (
        "<section><h2>Cameras</h2>"
        + _table(heads, rows, caption)
        + _notes(content, "Calibration, clocks and body")
        + "</section>"
    )


def _swapped(groups: Mapping[str, Sequence[Sequence[int]]]) -> str:
    """{"arms": [[41, 63], [81, 81]]} -> "arms 41-63, 81"."""
    words = [
        f"{group} " + ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)
        for group, runs in groups.items()
    ]
    return "; ".join(words) or "none"


def _is_upright(track: PoseTrack) -> bool:
    width, height = track.image.image_size
    return height > width


def _film(path: Path, said: str) -> str:
    """The video inside the page; stills and a link where it would make the page too heavy."""
    caption = f"<figcaption>Blue: the person’s right. Orange: their left. {said}"
    if path.stat().st_size <= _MOST_VIDEO_BYTES:
        data = base64.b64encode(path.read_bytes()).decode()
        poster = _jpeg(next(frame for frame in frames(path) if frame.rgb is not None))
        shown = (
            '<video controls loop muted playsinline aria-label="The video with the skeleton drawn '
            f'on it" poster="{poster}" src="data:video/mp4;base64,{data}"></video>'
        )
    else:
        shown = f'<div class="stills">{"".join(_stills(path))}</div>'
        name, target = escape(path.name), quote(path.name)
        caption += f' The whole video lies beside this page: <a href="{target}">{name}</a>.'
    return f"<figure>{shown}{caption}</figcaption></figure>"


def _stills(path: Path) -> Iterator[str]:
    """Four frames over the length of a video, inside the page."""
    count = probe(path).n_frames
    wanted = {int(count * (i + 0.5) / _STILLS) for i in range(_STILLS)}
    for frame in frames(path):
        if frame.index in wanted and frame.rgb is not None:
            alt = f"{frame.time:.2f} s: the skeleton on the picture"
            yield f'<img alt="{alt}" src="{_jpeg(frame)}">'


def _jpeg(frame: VideoFrame) -> str:
    """A frame as an address that holds the picture itself."""
    assert frame.rgb is not None
    _, jpeg = cv2.imencode(".jpg", cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.tobytes()).decode()}"


def _frames_figure(quality: Quality) -> str:
    """What was found in each frame, along the frame numbers."""
    rows = [(f"{group} swapped", flags) for group, flags in quality.swaps.items()]
    rows += list(quality.findings.items())
    rows = [row for row in [("damaged", quality.damaged), *rows] if row[1].any()]
    sheet = Sheet(560, 150 + 22 * len(rows))
    frame_chart(
        sheet,
        (0, 0, sheet.width, sheet.height),
        quality.timeline.frame,
        100 * quality.visibility,
        rows,
    )
    said = ", ".join(f"{name} in {_percent(flags.mean() * 100)}" for name, flags in rows)
    found = quality.points_found[quality.points_found > 0]
    whole = f"{len(found)} of {len(quality.points_found)} frames with the person"
    return (
        f"<figure>{sheet.svg(f'Mean visibility per frame; {whole}; {said}')}"
        f"<figcaption>{whole}, {_number(_median(quality.points_found), 0)} of "
        f"{quality.points_total} points in the median frame. Line: mean visibility, the "
        "detector’s own opinion. Bars: frames that need care.</figcaption></figure>"
    )


def _angle_section(angles: JointAngles | None) -> str:
    """Every joint's angles over time, right and left together, and their table."""
    if angles is None:
        return ""
    rows = "".join(
        f'<h3>{joint.capitalize()}</h3><div class="panels">'
        + "".join(_panel(angles, columns) for columns in angles_of_joint(angles.names, joint))
        + "</div>"
        for joint in joints_of(angles.names)
    )
    return (
        "<section><h2>Joint angles</h2><p>Degrees over time; the sign of each direction stands "
        "above its panel, and is the same for both sides. A line that stops has no value there.</p>"
        f'<ul class="legend">{_legend(angles)}</ul>{rows}</section>'
    )


def _legend(angles: JointAngles) -> str:
    sides = {side_of(name.rpartition("_")[0]) for name in angles.names}
    keys: list[tuple[str, float, str]] = [
        (SIDE_COLOR[side], 1.0, "midline" if side == "middle" else side)
        for side in SIDE_COLOR
        if side in sides
    ]
    if angles.sd is not None:
        keys.append((SIDE_COLOR["right"], 0.22, BAND_LABEL))
    if angles.gimbal.any():
        keys.append((SHADE, 0.6, "near gimbal lock: do not interpret"))
    items = []
    for color, opacity, text in keys:
        swatch = Sheet(22, 10)
        swatch.box(0, 3 if opacity == 1 else 0, 22, 4 if opacity == 1 else 10, color, opacity)
        items.append(f"<li>{swatch.svg('')}{escape(text)}</li>")
    return "".join(items)


def _panel(angles: JointAngles, columns: Sequence[str]) -> str:
    sheet = Sheet(360, 168)
    angle_panel(sheet, (0, 0, 360, 168), angles, columns)
    parts = []
    for name in columns:
        values = angles.column(name)
        if np.isfinite(values).any():
            low, high = np.nanmin(values), np.nanmax(values)
            parts.append(f"{angle_title(name)} from {low:.0f} to {high:.0f} degrees")
        else:
            parts.append(f"{angle_title(name)} without values")
    return f"<figure>{sheet.svg('; '.join(parts))}</figure>"


def _angle_table(quality: Quality) -> str:
    rows = [
        (
            _row_head(angle_title(a.name)),
            _cell(f"{_number(a.low, 1)} to {_number(a.high, 1)}"),
            _cell(_number(a.sd, 1)),
            _cell(_percent(a.present_pct)),
            _cell(_percent(a.gimbal_pct)),
        )
        for a in quality.angles
    ]
    heads = ("Angle", "Range, °", "SD, °", "With a value", "Near gimbal lock")
    caption = "SD: median standard deviation, from the spread of the markers; errors that all "
    caption += "passes of the augmenter share are not in it."
    return _details("All angles in numbers", _table(heads, rows, caption)) if rows else ""


def _room_section(content: ReportContent) -> str:
    """The way through the room and the feet on the floor."""
    way = _pelvis(content.final)
    if way is None or not np.isfinite(way).any():
        return ""
    sheet = Sheet(420, 320)
    floor = way[:, [2, 0]]  # the person's right to the right, forward up
    plan_view(sheet, (0, 0, 420, 320), floor, content.final.timeline.time)
    span = np.nanmax(way, axis=0) - np.nanmin(way, axis=0)
    label = f"Way of the pelvis from above: {span[0]:.2f} m along, {span[2]:.2f} m across"
    gait = content.quality.gait
    text = "" if gait is None else f"<p>Walking at {gait.speed_m_s:.2f} m/s (median).</p>"
    return (
        f'<section><h2>In the room</h2><div class="two"><figure>{sheet.svg(label)}<figcaption>'
        "The pelvis from above, metres: up is the way the person faces on average. Ring: start, "
        "dots: every half second."
        + ("" if content.cameras else _ONE_LINE_OF_SIGHT)
        + "</figcaption></figure>"
        f"<div>{text}{_feet_table(content.quality)}</div></div></section>"
    )


def _pelvis(markers: Markers) -> FloatArray | None:
    for names in (("Hip",), ("RHJC_study", "LHJC_study"), ("r.ASIS_study", "L.ASIS_study")):
        if set(names) <= set(markers.names):
            pick = markers.index(names, needed_for="the report")
            return np.asarray(markers.xyz[:, pick].mean(axis=1))
    return None


def _feet_table(quality: Quality) -> str:
    rows = [
        (
            _row_head(f"{foot.side} foot"),
            _cell(_percent(foot.contact_pct)),
            _cell(_percent(foot.skate_pct)),
            _cell(_number(100 * foot.skate_m_s, 0)),
            _cell(_percent(foot.below_pct)),
        )
        for foot in quality.feet
    ]
    heads = ("Foot", "On floor", "Sliding", "Slip, cm/s", "Below floor")
    caption = "A foot on the floor should stand still. On the floor: within 5 cm of its lowest "
    caption += "level and slower than 0.5 m/s; sliding: faster than 0.2 m/s."
    return _table(heads, rows, caption) if rows else ""


def _length_section(segments: Sequence[SegmentQuality]) -> str:
    """Length and its variation of each segment, between landmarks and augmented markers."""
    table = {(s.name, s.source): s for s in segments}
    names = dict.fromkeys(s.name for s in segments)
    sources = dict.fromkeys(s.source for s in segments)
    if not sources:
        return ""
    rows = [
        [_row_head(name), *(c for source in sources for c in _judged(table.get((name, source))))]
        for name in names
    ]
    heads = ["Segment"]
    for source in sources:
        what = "landmarks" if source == "landmarks" else "augmented markers"
        heads += [f"Between {what}, mm", "Variation, %", "Judgement"]
    caption = (
        f"Variation: standard deviation over mean. Up to {LENGTH_GOOD_PCT:g} % is good, above "
        f"{LENGTH_BAD_PCT:g} % poor."
    )
    return (
        "<section><h2>Do bones keep their length?</h2><p>They do in a body; where they vary here, "
        "the positions at their ends are wrong by as much.</p>"
        f"{_table(heads, rows, caption)}</section>"
    )


def _judged(segment: SegmentQuality | None) -> tuple[str, str, str]:
    """Length, variation and what to think of it, as cells."""
    if segment is None:
        return _cell(""), _cell(""), _cell("", numeric=False)
    length, variation = _cell(_number(1000 * segment.mean_m, 0)), _cell(_number(segment.cv_pct, 1))
    if np.isnan(segment.cv_pct):
        return length, variation, _cell("too few frames", numeric=False)
    if segment.cv_pct <= LENGTH_GOOD_PCT:
        return length, variation, '<td class="good">good</td>'
    if segment.cv_pct <= LENGTH_BAD_PCT:
        return length, variation, '<td class="fair">fair</td>'
    return length, variation, '<td class="bad">poor</td>'


def _marker_section(content: ReportContent) -> str:
    sets = [("Landmark markers", content.quality.initial), ("Final markers", content.quality.final)]
    parts = [_marker_part(name, markers) for name, markers in sets if markers]
    return "<section><h2>Marker completeness</h2>" + "".join(parts) + "</section>" if parts else ""


def _marker_part(name: str, markers: Sequence[MarkerQuality]) -> str:
    """One set: those with missing frames are shown, all of them on demand."""
    gappy = sorted((m for m in markers if m.present_pct < 100), key=lambda m: m.present_pct)
    guessed = [m.name for m in markers if m.estimated_pct > 0]
    estimated = [marker_words(name) for name in guessed if not name.endswith("_study")]
    if len(guessed) > len(estimated):
        estimated.append(f"{len(guessed) - len(estimated)} augmented markers made from such")
    said = f"{len(markers) - len(gappy)} of {len(markers)} have a position in every frame."
    if estimated:
        said += f" Estimated in some or all frames, not measured: {', '.join(estimated)}."
    shown = _marker_table(gappy) if gappy else ""
    every = _details(f"All {len(markers)} markers", _marker_table(markers))
    return f"<h3>{name}</h3><p>{escape(said)}</p>{shown}{every}"


def _marker_table(markers: Sequence[MarkerQuality]) -> str:
    rows = [
        (
            _row_head(marker_words(m.name)),
            f'<td class="bar">{_bar(m)}</td>',
            _cell(_percent(m.present_pct)),
            _cell(_percent(m.estimated_pct)),
            _cell(_number(m.longest_gap_s, 2)),
            _cell(str(m.jumps)),
            _cell(_number(m.sd_mm, 0)),
        )
        for m in markers
    ]
    heads = ("Marker", "Share", "Present", "Of that estimated", "Longest gap, s", "Jumps", "SD, mm")
    return _table(heads, rows, "Bar: measured, then (grey) estimated, then missing.")


def _bar(marker: MarkerQuality) -> str:
    measured, estimated = marker.present_pct - marker.estimated_pct, marker.estimated_pct
    if np.isnan(measured):
        return ""
    sheet = Sheet(200, 10)
    sheet.box(0, 0, 200, 10, PAPER)
    if measured > 0:
        sheet.box(0, 0, 2 * measured, 10, SIDE_COLOR["right"])
    if estimated > 0:
        sheet.box(2 * measured, 0, 2 * estimated, 10, SHADE)
    return sheet.svg(f"{measured:.0f} % measured, {estimated:.0f} % estimated")


def _provenance_section(content: ReportContent) -> str:
    listed = [(_row_head(n), _cell(what, numeric=False)) for n, what in content.files]
    made = [
        (_row_head(k), _cell("–" if v is None else str(v), numeric=False))
        for k, v in content.parameters.items()
    ]
    used = [(_row_head(k), _cell(v, numeric=False)) for k, v in content.versions.items()]
    tables = [
        _table(heads, rows)
        for heads, rows in ((("Parameter", "Value"), made), (("Program", "Version"), used))
        if rows
    ]
    digest = content.video_sha256
    return (
        "<section><h2>Files and provenance</h2>"
        + (_table(("File in this folder", "What it holds"), listed) if listed else "")
        + (f"<p>SHA-256 of the input: <code>{escape(digest)}</code></p>" if digest else "")
        + '<h3>How it was made</h3><div class="two">'
        + "".join(f"<div>{table}</div>" for table in tables)
        + "</div></section>"
    )


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> str:
    """A table of ready cells; a column of numbers has its heading on the right, as they are."""
    columns = zip(*rows, strict=True) if rows else [()] * len(heads)
    head = "".join(
        f'<th scope="col"{" class=n" if cells and all(_NUMERIC in c for c in cells) else ""}>'
        f"{escape(text)}</th>"
        for text, cells in zip(heads, columns, strict=True)
    )
    body = "".join(f"<tr>{''.join(row)}</tr>" for row in rows)
    said = f"<caption>{escape(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table>{said}<thead><tr>{head}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def _details(summary: str, body: str) -> str:
    return f"<details><summary>{escape(summary)}</summary>{body}</details>"


def _row_head(text: str) -> str:
    return f'<th scope="row">{escape(text)}</th>'


def _cell(text: str, *, numeric: bool = True) -> str:
    return f"<td {_NUMERIC}>{escape(text)}</td>" if numeric else f"<td>{escape(text)}</td>"


def _number(value: float, decimals: int) -> str:
    return "–" if np.isnan(value) else f"{value:.{decimals}f}".replace("-", "−")


def _percent(value: float) -> str:
    """Never "100 %" for what is not whole, nor "0 %" for what is not nothing."""
    if np.isnan(value):
        return "–"
    if 0 < value < 0.5 or 99.5 <= value < 100:
        return f"{min(max(value, 0.1), 99.9):.1f} %"
    return f"{value:.0f} %"


def _median(values: IntArray) -> float:
    return float(np.median(values)) if len(values) else float("nan")
