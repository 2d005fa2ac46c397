"""From the views of a rig to one person in the world: one clock, one person, sides put right,
points in space with their evidence, a motion with constant bones."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from kinefit.geometry.scale import body_scale
from kinefit.io.calibration.model import AXES, turn_to_y_up
from kinefit.metric.gravity import floor_height
from kinefit.metric.placement import SOLE_BELOW_LANDMARK, turn_to_face_x
from kinefit.multiview.clock import CommonPoints, on_common_clock
from kinefit.multiview.noise import add_shared, shared_sd
from kinefit.multiview.rig_checks import RigReport, check_rig
from kinefit.multiview.sync import find_offsets
from kinefit.multiview.trajectory import Trajectory, body_trajectory
from kinefit.multiview.triangulate import PointStatus, Triangulation, triangulate
from kinefit.multiview.triangulation_options import TriangulationOptions
from kinefit.multiview.view_checks import check_assignment, check_clocks
from kinefit.multiview.view_swaps import ViewSwaps, find_view_swaps, undo_view_swaps
from kinefit.skeletons.limbs import LONG_BONES
from kinefit.types import (
    BoolArray,
    CameraRig,
    Finding,
    FloatArray,
    InputError,
    Keypoints2D,
    Observations,
    TooFewPoints,
    all_finite,
    true_runs,
)

_HIGH = np.array([0.0, 1000.0, 0.0])  # metres: from there, a line of sight is a vertical
_LEAST_SHARE = 0.1  # of points seen twice; the demo with poses read the wrong way has 0.002
_LEAST_SCORE = 0.05  # a landmark that is hardly visible counts a twentieth, never nothing
_MOST_LEAN_DEG = 30.0
_MANY_MISSING, _MANY_TWO, _MOST_OF_IT = 0.1, 0.25, 0.8
_ADULT_M = 1.7  # where nothing tells the stature: 10 % off is 10 % of the shared error


@dataclass(frozen=True)
class RigOptions:
    """What can be chosen about `observe_rig`.

    sync: find the offsets of the cameras' clocks from the motion. offset_s: camera -> seconds to
        add to its clock, where `sync` is off; 0 for cameras that it lacks.
    visibility_min: points scored below it are missing. repair_side_swaps: exchange left and right
        back where a view's detector exchanged them (they are reported in any case).
    trajectory: give the motion with constant bones, not the points of each frame by itself; a
        point that two cameras lose for longer than `max_unseen_s` is missing.
    keep_axes: leave the calibration's world as it is, but for the vertical.
    up_known: whether Y is known to point up in the calibration's world.
    keep_names: go on where pictures of cameras look exchanged, and report it.
    stature_m: height of the person, if known.
    """

    sync: bool = False
    offset_s: Mapping[str, float] = field(default_factory=dict)
    visibility_min: float = 0.3
    repair_side_swaps: bool = True
    triangulation: TriangulationOptions = field(default_factory=TriangulationOptions)
    trajectory: bool = True
    max_unseen_s: float = 0.1
    keep_axes: bool = False
    up_known: bool = True
    keep_names: bool = False
    stature_m: float | None = None


@dataclass(frozen=True, eq=False)
class RigObservations:
    """One person as a rig saw them.

    observations: in the person's world (metres, Y up, soles at Y = 0, facing +X on average, the
        floor below the first mid-hip at the origin). Its `xyz` are the trajectory's keypoints, its
        `covariance` theirs, with the error that all views share: evidence beside the views. (Joint
        angles of legs from the body that is fitted, 11 rendered scenes of four cameras: 7.9
        degrees off, 8.1 from the views alone; the body's joints 24.0 mm, 24.3 from them alone.)
    points, rig: the triangulation and the cameras in the calibration's world, Y up.
    rotation, shift: (3, 3), (3,): from that world to the person's, x_new = rotation @ x + shift.
    moments: (C, T) true seconds of each frame since the first frame of each camera's video.
    side_swaps: "legs in cam2" -> (T,) frames whose sides the detector exchanged.
    cameras: one row per camera for a report. checks: of the rig, with the person in it.
    notes: what was done, in words. findings: what was repaired, and what limits the numbers.
    """

    observations: Observations
    points: Triangulation
    rig: CameraRig
    rotation: FloatArray
    shift: FloatArray
    moments: FloatArray
    side_swaps: dict[str, BoolArray]
    cameras: list[dict[str, Any]]
    checks: RigReport
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """What a report shows, as JSON values."""
        frame = self.observations.timeline.frame
        return {
            "findings": [finding.to_json() for finding in self.findings],
            "notes": list(self.notes),
            "side_swaps": {k: frame[v].tolist() for k, v in self.side_swaps.items()},
            "cameras": self.cameras,
            "rig": self.checks.as_json(),
            "lab_to_world": {"R": self.rotation.tolist(), "t_m": self.shift.tolist()},
        }


class _Views(NamedTuple):
    """One person's points in all views on one clock: `common`, with xy (C, T, J, 2) px and score
    (C, T, J), sides put right; and what is known about them."""

    tracks: Mapping[str, Keypoints2D]
    common: CommonPoints
    offset_s: FloatArray
    xy: FloatArray
    score: FloatArray
    swaps: ViewSwaps
    notes: tuple[str, ...]
    findings: tuple[Finding, ...]


def observe_rig(
    views: Mapping[str, Keypoints2D], rig: CameraRig, options: RigOptions | None = None
) -> RigObservations:
    """One person in the world, from what detectors found in the videos of a rig.

    views: camera -> one person's points in that camera's video; of cameras of the rig, which is
        for pictures of the videos' sizes (`fit_rig_to_videos`).

    Raises InputError when the clocks are to be found and the motion does not determine them, when
    pictures of cameras are exchanged, when nobody is seen by two cameras, when the views meet
    nowhere, and when no axis of the world points up; TooFewPoints without hips.
    """
    options = options or RigOptions()
    rig = rig.select(tuple(views))
    seen = _views(views, rig, options)
    points = _triangulated(seen, rig, options)
    notes = [*seen.notes]
    if not options.up_known:
        upright, said = _turn_upright(points)
        rig = rig.moved(upright)
        points = _triangulated(seen, rig, options)
        notes.append(said)
    shared = shared_sd(points.names, options.stature_m or measured_stature(points))
    body = None
    if options.trajectory:
        lost = options.max_unseen_s
        body = body_trajectory(
            rig, points, seen.xy, seen.score, max_unseen_s=lost, shared_sd_m=shared
        )
    points = replace(points, covariance=add_shared(points.covariance, shared))
    xyz = points.refined if body is None else body.keypoints.xyz
    covariance = points.covariance if body is None else body.covariance
    rotation, shift, frame_notes = _person_frame(points, xyz, options.keep_axes)
    score = seen.score.swapaxes(0, 1)
    xy = np.where((score > 0)[..., None], seen.xy.swapaxes(0, 1), np.nan)
    observations = Observations(
        points.timeline,
        rig.moved(rotation, shift),
        points.names,
        xy,
        points.sd_px[None] / np.sqrt(np.clip(score, _LEAST_SCORE, 1)),
        xyz @ rotation.T + shift,
        rotation @ covariance @ rotation.T,
        stature_m=options.stature_m,
    )
    sizes = {name: track.image_size for name, track in seen.tracks.items()}
    keypoints = replace(points.keypoints, xyz=observations.xyz)
    checks = check_rig(observations.rig, sizes, keypoints, options.stature_m)
    return RigObservations(
        observations=observations,
        points=points,
        rig=rig,
        rotation=rotation,
        shift=shift,
        moments=np.round(seen.common.timeline.time - seen.offset_s[:, None], 6),
        side_swaps={
            f"{part} in {name}": frames
            for name in rig.names
            for part, frames in seen.swaps.of_camera(name).items()
        },
        cameras=[_camera_facts(seen, points, name) for name in rig.names],
        checks=checks,
        notes=(*notes, _reprojection_note(points), *_body_notes(body), *frame_notes),
        findings=(*_short_result(seen), *seen.findings, *_point_findings(points), *checks.findings),
    )


def _views(views: Mapping[str, Keypoints2D], rig: CameraRig, options: RigOptions) -> _Views:
    """One clock, sides put right."""
    offsets, said = clock_offsets(views, options)
    common = on_common_clock(list(views.values()), offsets)
    xy, score = common.xy.swapaxes(0, 1), common.score.swapaxes(0, 1)
    score = np.where(score >= options.visibility_min, score, 0.0)  # for all that follows
    findings = check_assignment(rig, common.names, xy, score, options.keep_names)
    if not options.sync:
        findings += check_clocks(rig, common.timeline, common.names, xy, score)
    swaps = find_view_swaps(rig, common.timeline, common.names, xy, score, options.triangulation)
    if options.repair_side_swaps:
        xy, score = undo_view_swaps(common.names, xy, score, swaps)
    return _Views(views, common, offsets, xy, score, swaps, (said,), tuple(findings))


def clock_offsets(tracks: Mapping[str, Keypoints2D], options: RigOptions) -> tuple[FloatArray, str]:
    """(C,) seconds to add to each camera's clock, and where they are from, in words."""
    if not options.sync:
        given = np.array([options.offset_s.get(name, 0.0) for name in tracks])
        words = "offsets as given" if given.any() else "taken as synchronised"
        return given, f"Camera clocks: {words}."
    found = find_offsets(list(tracks.values()), list(tracks))
    named = zip(found.names, found.reasons, strict=True)
    if unknown := [f"{name} ({reason})" for name, reason in named if reason]:
        reason = f"the motion does not determine the offset of {'; '.join(unknown)}"
        hint = (
            "film a few seconds of quick, uneven movement that all cameras see, give the offsets "
            "(--offsets), or leave --sync out for cameras that are synchronised"
        )
        raise InputError("synchronisation (--sync)", reason, hint)
    words = ", ".join(
        f"{name} {1000 * offset:+.1f} ± {1000 * sd:.1f} ms"
        for name, offset, sd in zip(found.names, found.offset_s, found.sd_s, strict=True)
    )
    return found.offset_s, f"Camera clocks: offsets found from the motion ({words})."


def _triangulated(seen: _Views, rig: CameraRig, options: RigOptions) -> Triangulation:
    """Points in space; InputError when the views meet nowhere: another rig's calibration, or
    another convention."""
    common = seen.common
    points = triangulate(
        rig, common.timeline, common.names, seen.xy, seen.score, options.triangulation
    )
    tried = (points.reason != PointStatus.FEWER_THAN_TWO_VIEWS).sum()
    if np.isfinite(points.refined[..., 0]).sum() > _LEAST_SHARE * max(tried, 1):
        return points
    reason = f"the cameras' views of the person meet nowhere (mostly: {_main_reason(points)})"
    hint = (
        "check that calibration and videos belong together, that each video has the name of its "
        "own camera, and the clocks (--offsets); "
        "try --invert-extrinsics if the file's poses are camera to world"
    )
    raise InputError("calibration", reason, hint)


def _turn_upright(points: Triangulation) -> tuple[FloatArray, str]:
    """Rotation (3, 3) to a world with Y up, for a calibration that does not say what is up.

    The axis nearest to the way from feet to head, on average over the clip. Raises InputError
    when the person lies between two axes.
    """
    way = _way_up(points)
    axis = AXES[int(np.argmax([*np.stack([way, -way], axis=1).ravel()]))]
    lean = float(np.degrees(np.arccos(min(1.0, np.abs(way).max()))))
    if not lean < _MOST_LEAN_DEG:
        reason = (
            f"its world has no axis along which the person stands (the nearest is {lean:.0f} "
            "degrees off), and it does not say which one is up"
        )
        hint = "give --world-up, or set the calibration's origin on the floor"
        raise InputError("calibration", reason, hint)
    note = f"Up is the file's {axis}: the person stands along it ({lean:.0f} degrees off)."
    return turn_to_y_up(axis), note


def _way_up(points: Triangulation) -> FloatArray:
    """(3,) unit: from ankles, else hips, to shoulders, the median over the frames."""
    middle = points.keypoints.middle
    for low in ("Ankle", "Hip"):
        ways = middle("LShoulder", "RShoulder") - middle(f"L{low}", f"R{low}")
        ways = ways[all_finite(ways)]
        if len(ways):
            way = np.median(ways, axis=0)
            return np.asarray(way / max(float(np.linalg.norm(way)), 1e-9))
    what = "shoulders and hips, by which the vertical is found"
    hint = "give --world-up: the calibration does not say which axis points up"
    raise TooFewPoints(what, found=0, needed=4, hint=hint)


def measured_stature(points: Triangulation) -> float:
    """Metres, from the lengths of shoulders to ankles; an adult's where they are not seen."""
    seen = all_finite(points.refined).astype(np.float64)
    try:
        return 1 / body_scale(points.refined, points.names, seen, 1.0).metres_per_unit
    except TooFewPoints:
        return _ADULT_M


def _person_frame(
    points: Triangulation, xyz: FloatArray, keep_axes: bool
) -> tuple[FloatArray, FloatArray, list[str]]:
    """Rotation and shift from the calibration's world to the person's, with words.

    It is that of one camera: soles at Y = 0, X the way the person faces on average, the floor
    below the first mid-hip at the origin.
    """
    names, time, notes = points.names, points.timeline.time, []
    level = floor_height(xyz - _HIGH, names, time, np.array([0.0, 1.0, 0.0]))
    level += _HIGH[1] - SOLE_BELOW_LANDMARK
    if np.isfinite(level):
        notes.append(f"The floor lies at {100 * level:+.1f} cm in the calibration's world.")
    if keep_axes:
        return np.eye(3), np.zeros(3), notes
    rotation = turn_to_face_x(xyz, names)
    if rotation is None:
        notes.append("The person faces all ways alike: the X axis is the calibration's.")
        rotation = np.eye(3)
    middle = replace(points.keypoints, xyz=xyz).middle("LHip", "RHip")
    middle = middle[all_finite(middle)]
    if not len(middle):
        raise TooFewPoints("the hips", found=0, needed=2)
    origin = np.array([middle[0, 0], level if np.isfinite(level) else 0.0, middle[0, 2]])
    return rotation, -rotation @ origin, notes


def _camera_facts(seen: _Views, points: Triangulation, name: str) -> dict[str, Any]:
    """How well one camera agrees with the others, as JSON values."""
    c, frame = points.cameras.index(name), points.timeline.frame
    used, error = points.inlier_mask[..., c], points.error_px[..., c]
    swapped = seen.swaps.of_camera(name)
    return {
        "camera": name,
        "found_pct": _pct(seen.tracks[name].found.mean()),
        "used_pct": _pct(used.sum() / max(np.isfinite(error).sum(), 1)),
        "error_px": round(float(error[used].mean()), 2) if used.any() else None,
        "noise_px": round(float(points.sd_px[c].mean()), 2),
        "swapped": {
            part: [[int(frame[a]), int(frame[b - 1])] for a, b in true_runs(flags)]
            for part, flags in swapped.items()
        },
    }


def _reprojection_note(points: Triangulation) -> str:
    count = points.inlier_mask.sum(axis=-1)
    return (
        f"Reprojection error: {np.nanmean(points.mean_error_px):.1f} px on average over the views "
        f"that were used. {_pct((count >= 3).mean()):g} % of the points rest on three views or "
        f"more, {_pct((count == 0).mean()):g} % could not be triangulated."
    )


def _body_notes(body: Trajectory | None) -> list[str]:
    """What the trajectory rests on."""
    if body is None:
        return []
    length = dict(zip(body.bones, body.lengths, strict=True))
    pairs = [(a.name, b.name) for a, b in zip(LONG_BONES[::2], LONG_BONES[1::2], strict=True)]
    words = [
        f"{left.removeprefix('left ')} {100 * length[left]:.1f} / {100 * length[right]:.1f}"
        for left, right in pairs
        if left in length and right in length
    ]
    return [
        *([f"Segment lengths, left / right, cm: {', '.join(words)}."] if words else []),
        f"Errors of the detector last about {body.independent:.0f} frames: the stated deviations "
        "allow for that.",
    ]


def _short_result(seen: _Views) -> list[Finding]:
    """Whether two cameras recorded much that the result does not hold."""
    lasts = sorted(float(np.ptp(track.timeline.time)) for track in seen.tracks.values())
    kept = float(np.ptp(seen.common.timeline.time))
    if kept >= _MOST_OF_IT * lasts[-2]:
        return []
    what = f"The result holds {kept:.1f} s, but two cameras recorded {lasts[-2]:.1f} s."
    action = "Leave out the shorter videos, or check the offsets of the clocks."
    return [Finding("caution", what, action=action)]


def _point_findings(points: Triangulation) -> list[Finding]:
    """What a reprojection error alone would not tell."""
    findings = []
    missing = 1 - all_finite(points.refined).mean()
    if missing > _MANY_MISSING:
        what = f"{100 * missing:.0f} % of the points could not be triangulated."
        where = f"Mostly because {_main_reason(points)}."
        meaning = "There the motion rests on the frames around and on constant segment lengths."
        findings.append(Finding("caution", what, where, meaning))
    two = (points.inlier_mask.sum(axis=-1) == 2).mean()
    if len(points.cameras) > 2 and two > _MANY_TWO:
        what = f"{100 * two:.0f} % of the points rest on two cameras only."
        findings.append(Finding("caution", what, meaning="Nothing checks these points."))
    return findings


def _main_reason(points: Triangulation) -> str:
    counts = np.bincount(points.reason.ravel(), minlength=len(PointStatus))
    return PointStatus(int(counts[1:].argmax()) + 1).words


def _pct(share: float) -> float:
    return round(100 * float(share), 1)
