"""Errors of points and limbs by what they may depend on (view, visibility, score, time), drawn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinefit.evaluate.detection_scores import beside_truth, in_camera, person_sizes
from kinefit.evaluate.position_scores import columns
from kinefit.evaluate.truth_at_times import markers_at
from kinefit.lift.inputs import LIMBS as FIELDS_AND_FEET
from kinefit.metrics.points import angles_between, limb_directions, point_errors
from kinefit.render.palette import QUIET, SIDE_COLOR
from kinefit.report.charts import Frame, level, nice_ticks, number
from kinefit.report.drawing import Sheet
from kinefit.report.plots import write_png
from kinefit.skeletons.limbs import LIMBS
from kinefit.synth.pair_clips import BLAZE, Rows, clips_of, places_in, places_of
from kinefit.synth.truth import SceneTruth, Visibility
from kinefit.types import BoolArray, FloatArray, IntArray, PoseTrack, TooFewPoints

_WIDTH, _PANEL, _SCALE = 680.0, 190.0, 2.0
_NAMES = 80.0  # below the last panel, for vertical names
_FEWEST = 5  # errors in a group; fewer have no percentiles that mean anything
_VISIBILITIES = {
    Visibility.VISIBLE: "visible",
    Visibility.SELF_OCCLUDED: "self-occluded",
    Visibility.OCCLUDED: "occluded by others",
}


@dataclass(frozen=True, eq=False)
class ErrorSources:
    """N errors of one kind.

    names: of what the errors are of. error: (N,) in `unit`. name: (N,) index in `names`.
    azimuth_deg: (N,) of the camera around the person: 0 sees the front, 90 their left side, 180
    the back. visibility: (N,) of `Visibility`, the worse of a limb's ends. score: (N,) the
    detector's, the lower of a limb's ends. size_px: (N,) longer side of the person's box. place:
    (N,) 0..1, of the frame in its clip; NaN in a clip of one frame.
    """

    unit: str
    names: tuple[str, ...]
    error: FloatArray
    name: IntArray
    azimuth_deg: FloatArray
    visibility: NDArray[np.uint8]
    score: FloatArray
    size_px: FloatArray
    place: FloatArray


_ARRAYS = ("error", "name", "azimuth_deg", "visibility", "score", "size_px", "place")


def joined(parts: Sequence[ErrorSources]) -> ErrorSources:
    """Errors of the same kind and names, of several cameras."""
    arrays = {f: np.concatenate([getattr(part, f) for part in parts]) for f in _ARRAYS}
    return ErrorSources(parts[0].unit, parts[0].names, **arrays)


def of_pairs(rows: Rows, directions: FloatArray | None = None) -> tuple[ErrorSources, ErrorSources]:
    """Errors of points, % of the person's size, and of limbs, degrees, in `synth.pairs` rows.

    directions: (N, 16, 3) a lifter's (`kinefit.lift.inputs.LIMBS`); None: the detector's 14.
    """
    found, true, score, sight, body, xyz = (
        rows[f"{name}_33"] for name in ("detected", "true", "score", "sight", "world", "xyz")
    )
    azimuth, place = camera_azimuths(BLAZE, xyz), places_of(clips_of(rows))
    seen = _Seen(BLAZE, azimuth, sight, score, person_sizes(true), place)
    return _points(seen, found, true), _limbs(seen, xyz, body, directions)


def of_track(
    track: PoseTrack,
    truth: SceneTruth,
    camera: str,
    person: int = 0,
    directions: FloatArray | None = None,
) -> tuple[ErrorSources, ErrorSources]:
    """The same of a detector's track of T frames; directions: (T, 16, 3).

    Raises as `kinefit.evaluate.detection_scores.score_track`.
    """
    view, someone = truth.view(camera), truth.people[person]
    both = beside_truth(track.image, truth, camera, person)
    names, kept, ours = both.names, both.kept, columns(track.image.names, both.names)
    xyz = in_camera(view, both.frame, markers_at(someone, view.time[both.frame]))
    xyz = xyz[:, columns(someone.markers.names, names)]
    body = np.full_like(xyz, np.nan) if track.body is None else track.body.xyz[kept][:, ours]
    directions = None if directions is None else directions[kept]
    seen = _Seen(
        names, camera_azimuths(names, xyz), both.visibility, track.image.score[kept][:, ours],
        both.size, places_in(len(kept))[kept],
    )  # fmt: skip
    return _points(seen, both.found, both.true), _limbs(seen, xyz, body, directions)


def camera_azimuths(names: Sequence[str], xyz: FloatArray) -> FloatArray:
    """(T,) degrees, -180..180: direction of the camera from the trunk; see `ErrorSources`.

    xyz: (T, J, 3), camera axes from the camera. NaN without shoulders and hips.
    """
    trunk = ("LShoulder", "RShoulder", "LHip", "RHip")
    if any(name not in names for name in trunk):
        return np.full(len(xyz), np.nan)
    ls, rs, lh, rh = np.moveaxis(xyz[:, columns(names, trunk)], 1, 0)
    left, up = ls - rs + lh - rh, ls + rs - lh - rh
    ahead = np.cross(left, up)
    aside = np.cross(up, ahead)
    to_camera = -(ls + rs + lh + rh)
    forward, sideways = (
        (to_camera * v).sum(-1) / np.linalg.norm(v, axis=-1) for v in (ahead, aside)
    )
    return np.asarray(np.degrees(np.arctan2(sideways, forward)))


class _Seen(NamedTuple):
    """What errors may depend on, of T frames and J names; see `ErrorSources`.

    azimuth: (T,) degrees. visibility, score: (T, J). size: (T,) pixels. place: (T,).
    """

    names: Sequence[str]
    azimuth: FloatArray
    visibility: NDArray[np.uint8]
    score: FloatArray
    size: FloatArray
    place: FloatArray


def _points(seen: _Seen, found: FloatArray, true: FloatArray) -> ErrorSources:
    """Of pixels (T, J, 2)."""
    pct = 100 * point_errors(found, true) / seen.size[:, None]
    pct = np.where(seen.visibility == Visibility.OUTSIDE, np.nan, pct)
    return _table("% of the person's size", pct, seen)


def _limbs(
    seen: _Seen, xyz: FloatArray, body: FloatArray, directions: FloatArray | None
) -> ErrorSources:
    """xyz: (T, J, 3) the truth. Of the directions, or those of the detector's `body` (T, J, 3)."""
    names, limbs = seen.names, LIMBS if directions is None else FIELDS_AND_FEET
    if directions is None:
        directions = limb_directions(body, names, limbs)
    angle = angles_between(directions, limb_directions(xyz, names, limbs))
    known = [i for i, one in enumerate(limbs) if one.start in names and one.end in names]
    ends = [columns(names, (limbs[i].start, limbs[i].end)) for i in known]
    of_limbs = seen._replace(
        names=[limbs[i].name for i in known],
        visibility=seen.visibility[:, ends].min(axis=-1),
        score=seen.score[:, ends].min(axis=-1),
    )
    return _table("degrees", angle[:, known], of_limbs)


def _table(unit: str, error: FloatArray, seen: _Seen) -> ErrorSources:
    """error: (T, J)."""
    known = np.isfinite(error)
    name = np.broadcast_to(np.arange(error.shape[1]), error.shape)
    azimuth, size, place = (
        np.broadcast_to(values[:, None], error.shape)
        for values in (seen.azimuth, seen.size, seen.place)
    )
    return ErrorSources(
        unit, tuple(seen.names), error[known], name[known], azimuth[known],
        seen.visibility[known], seen.score[known], size[known], place[known],
    )  # fmt: skip


class Group(NamedTuple):
    """Errors of one group. size: their number. spread: (4,) their 25th, 50th, 75th and 90th
    percentiles; NaN for fewer than five."""

    label: str
    size: int
    spread: FloatArray


def plot_sources(sources: ErrorSources, title: str, path: str | Path) -> None:
    """Write one PNG: panels by view angle, visibility, score, size, time (of clips) and name.

    Raises TooFewPoints without any error.
    """
    write_png(sources_sheet(sources, title), path, _SCALE)


def sources_sheet(sources: ErrorSources, title: str) -> Sheet:
    """The figure of `plot_sources`."""
    if not len(sources.error):
        raise TooFewPoints("Errors to draw from", found=0, needed=1)
    in_clips = np.isfinite(sources.place).any()
    panels = (
        ("where the camera stands, degrees from the person's front (+: their left)", by_azimuth),
        ("visibility in the image", by_visibility),
        ("the detector's score", by_score),
        ("size of the person in the image, px", by_size),
        *((("time: tenths of the clip", by_time),) if in_clips else ()),
        ("point or limb", by_name),
    )
    sheet = Sheet(_WIDTH, 56 + _PANEL * len(panels) + _NAMES)
    sheet.text(46, 22, title, size=14, bold=True)
    about = f"{sources.unit}; box: the middle half, line: median, whisker: 90th percentile"
    sheet.text(46, 41, about, size=10.5, color=QUIET)
    shown = [(label, groups(sources), groups is by_name) for label, groups in panels]
    # Above every box, and whiskers up to three times as high.
    spreads = np.array([group.spread for _, groups, _ in shown for group in groups])
    top = 1.0
    if np.isfinite(spreads).any():
        boxes, whiskers = np.nanmax(spreads[:, 2:], axis=0).tolist()
        top = 1.05 * min(whiskers, 3 * boxes) or 1.0
    for row, (label, groups, slanted) in enumerate(shown):
        _panel(sheet, 56 + _PANEL * row, label, groups, top, slanted=slanted)
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
        for visibility, label in _VISIBILITIES.items()
    ]


def by_score(sources: ErrorSources) -> list[Group]:
    """In steps of a tenth of the detector's own visibility."""
    return _by_tenths(sources, sources.score)


def by_size(sources: ErrorSources) -> list[Group]:
    """In up to eight groups between round sizes."""
    low, high = float(sources.size_px.min()), float(sources.size_px.max())
    edges = nice_ticks(low, high, 7) if high > low else np.zeros(0)
    edges = np.concatenate([[-np.inf], edges, [np.inf]])
    labels = [f"{low:g}–{high:g}" for low, high in pairwise(edges)]
    if len(edges) == 2:
        labels = ["all"]
    else:
        labels[0], labels[-1] = f"< {edges[1]:g}", f"≥ {edges[-2]:g}"
    return [
        _group(sources, label, (sources.size_px >= low) & (sources.size_px < high))
        for label, (low, high) in zip(labels, pairwise(edges), strict=True)
    ]


def by_time(sources: ErrorSources) -> list[Group]:
    """By tenths of the clip: drifts, and what is different where a clip begins or ends."""
    return _by_tenths(sources, sources.place)


def _by_tenths(sources: ErrorSources, values: FloatArray) -> list[Group]:
    """values: (N,) 0..1; what is NaN is in no group."""
    step = np.clip(np.floor(values * 10), 0, 9)
    return [_group(sources, f"{k / 10:.1f}–{(k + 1) / 10:.1f}", step == k) for k in range(10)]


def by_name(sources: ErrorSources) -> list[Group]:
    """Of each point or limb."""
    return [_group(sources, name, sources.name == i) for i, name in enumerate(sources.names)]


def _group(sources: ErrorSources, label: str, rows: BoolArray | IntArray) -> Group:
    errors = sources.error[rows]
    few = len(errors) < _FEWEST
    spread = np.full(4, np.nan) if few else np.quantile(errors, [0.25, 0.5, 0.75, 0.9])
    return Group(label, len(errors), spread)


def _panel(
    sheet: Sheet, top: float, label: str, groups: Sequence[Group], limit: float, *, slanted: bool
) -> None:
    frame = Frame(46, top + 20, _WIDTH - 56, _PANEL - 62, (-0.5, len(groups) - 0.5), (0, limit))
    sheet.text(frame.left, top + 12, label[:1].upper() + label[1:], size=11.5, bold=True)
    for value in nice_ticks(0, limit, 6).tolist():
        level(sheet, frame, value)
    half = min(0.32 * frame.width / len(groups), 22)
    color = SIDE_COLOR["right"]
    for k, group in enumerate(groups):
        x = frame.across(k)
        if not np.isnan(group.spread).any():
            low, middle, high, far = frame.down(group.spread)
            sheet.box(x - half, high, 2 * half, low - high, color, 0.25)
            sheet.line(np.array([[x - half, middle], [x + half, middle]]), color, 2.2)
            sheet.line(np.array([[x, high], [x, far]]), color, 1.2)
        _label(sheet, frame, x, group, slanted)


def _label(sheet: Sheet, frame: Frame, x: float, group: Group, slanted: bool) -> None:
    """Name and number of errors of the group."""
    if slanted:
        text = f"{group.label} ({group.size})"
        sheet.text(x + 3, frame.bottom + 6, text, size=9, anchor="end", color=QUIET, upright=True)
        return
    sheet.text(x, frame.bottom + 14, group.label, size=9.5, anchor="middle", color=QUIET)
    sheet.text(x, frame.bottom + 27, f"({group.size})", size=8.5, anchor="middle", color=QUIET)
