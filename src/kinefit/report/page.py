"""The report: one page that shows a result and says how far its numbers can be trusted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.io.atomic import write_text
from kinefit.io.video import Picture
from kinefit.quality.assessment import first_point
from kinefit.quality.quantities import Quality, SegmentQuality
from kinefit.quality.verdict import VERDICT_WORDS, length_words, marker_words, verdict
from kinefit.report.charts import plan_view
from kinefit.report.drawing import Sheet
from kinefit.report.joint_labels import angle_words, angles_of_joint, joints_of
from kinefit.report.parts import (
    Cell,
    Table,
    angle_legend,
    angle_panels,
    cell,
    environment,
    film,
    frames_figure,
    jpeg_address,
    percent,
    svg,
)
from kinefit.report.viewer import (
    Recording,
    player_scripts,
    policy,
    stage,
    style_sheet,
    write_viewer,
)
from kinefit.types import Finding, JointAngles, Markers


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
    film: a video or picture of the body on the recording. scene: what the viewer shows beside it,
    packed by `kinefit.report.scene.pack_scene`.
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
    scene: bytes | None = None
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


def girth_table(girths: Mapping[str, Mapping[str, float | None]]) -> Table:
    """Girths from masks: "waist" -> its "m" and "rms_error_m", metres; the latter where known."""
    rows = [
        (name.capitalize(), *(v and 100 * v for v in (one["m"], one["rms_error_m"])))
        for name, one in girths.items()
    ]
    note = "From masks of the person, without the clothes. Error: RMS on rendered people."
    return Table("Girths", ("Around", "cm", "Error, cm"), rows, note, digits=1)


def write_report(path: str | Path, data: ReportData) -> None:
    """Write the page, and of data with a scene the viewer beside it (`viewer_of`), each atomically;
    equal data give equal bytes.

    path: ends in "report.html".
    """
    path = Path(path)
    viewer, recording = viewer_of(path), recording_of(data)
    write_text(path, report_html(data, viewer.name))
    if recording is not None:
        write_viewer(viewer, [recording], title=data.title, report=path.name)


def viewer_of(report: Path) -> Path:
    """The viewer that belongs to a report: "walk_viewer.html" to "walk_report.html"."""
    return report.with_name(f"{report.name.removesuffix('report.html')}viewer.html")


def report_html(data: ReportData, viewer: str = "viewer.html") -> str:
    """The page; viewer: the name of the other one. Text of the user is escaped, and the page's own
    policy allows no request, no style but its own and no script but the viewer's.
    """
    quality, angles = data.quality, data.angles
    recording = recording_of(data)
    inside = recording if len(data.scene or b"") <= _MOST_SCENE_BYTES else None
    scripts = [] if inside is None else player_scripts()
    return environment().get_template("report.html").render(
        data=data,
        verdict=verdict(data.findings),
        words=VERDICT_WORDS[verdict(data.findings)],
        serious=[f for level in ("refusal", "caution") for f in data.findings if f.level == level],
        notes=[f for f in data.findings if f.level == "information"],
        style=style_sheet(),
        policy=policy(scripts),
        scripts=scripts,
        viewer=viewer,
        stages=[] if inside is None else [stage(inside)],
        beside=recording is not None and inside is None,
        film=None if data.film is None else film(data.film),
        people=[
            (one, "" if one.picture is None else jpeg_address(one.picture)) for one in data.people
        ],
        frames=None if quality is None or not quality.views else frames_figure(quality),
        joints=[] if angles is None else angle_panels(angles),
        legend=[] if angles is None else angle_legend(angles),
        glance=None if quality is None else _range_table(quality, flexion_only=True),
        ranges=None if quality is None else _range_table(quality, flexion_only=False),
        path=None if data.markers is None else _path_figure(data.markers),
        tables=[*([] if quality is None else _quality_tables(quality)), *data.tables],
    )  # fmt: skip


_MOST_SCENE_BYTES = 10_000_000  # in a report; a larger one has its own page only


def recording_of(data: ReportData) -> Recording | None:
    """What the viewer shows of the same result; None without a scene."""
    if data.scene is None:
        return None
    return Recording(data.title, [data.scene], data.film, data.angles, data.quality, data.findings)


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
                row += [f"{cell(float(low), 0)} to {cell(float(high), 0)}", span]
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
    return {"svg": svg(sheet, label)}


def _quality_tables(quality: Quality) -> list[Table]:
    found = [_camera_table(quality), _feet_table(quality), _length_table(quality.segments)]
    sets = (("Markers of the body", quality.initial), ("All markers", quality.final))
    for title, markers in sets:
        rows: list[list[Cell]] = [
            [marker_words(m.name), percent(m.present_pct), percent(m.estimated_pct),
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
            f"{name.removesuffix(end)}: {percent(100 * flags.mean())}"
            for name, flags in quality.swaps.items()
            if name.endswith(end)
        ]
        seen, said = percent(view.seen_pct), "; ".join(swaps) or "none"
        rows.append([view.name, seen, view.off_px, view.off_cm, said])
    heads = ("Camera", "Person seen", "Distance, px", "Distance, cm", "Left and right exchanged")
    note = (
        "Distance: how far the result, drawn into the picture, lies from what the detector saw "
        "(median frame). Left and right exchanged: by the detector, share of frames."
    )
    return Table("Cameras", heads, rows, note)


def _feet_table(quality: Quality) -> Table:
    rows: list[list[Cell]] = [
        [f"{foot.side} foot", percent(foot.contact_pct), percent(foot.slide_pct),
         100 * foot.slide_m_s, percent(foot.below_pct)]
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
