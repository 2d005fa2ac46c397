"""Stages `triangulate` and `observe` of a rig: from each view's points to one person."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.io.atomic import write_json
from kinefit.io.calibration import AXES, Calibration, read_calibration, write_calibration
from kinefit.metric.gravity import floor_height
from kinefit.metric.placement import SOLE_BELOW_LANDMARK, turn_to_face_x
from kinefit.multiview.bundle import load_triangulation, save_bundle
from kinefit.multiview.clock import CommonPoints, on_common_clock
from kinefit.multiview.rig_checks import check_rig
from kinefit.multiview.sync import find_offsets
from kinefit.multiview.trajectory import Trajectory, body_trajectory
from kinefit.multiview.triangulate import PointStatus as Reason
from kinefit.multiview.triangulate import Triangulation, triangulate
from kinefit.multiview.view_swaps import ViewSwaps, find_view_swaps, undo_view_swaps
from kinefit.pipeline.artifacts import load_arrays, save_arrays
from kinefit.pipeline.context import Context
from kinefit.pipeline.rig import RunRig, rig_of
from kinefit.pipeline.stages.observe import save
from kinefit.pipeline.view_tracks import chosen_tracks, first_tracks
from kinefit.quality.assessment import frame_pairs
from kinefit.types import (
    CameraRig,
    Finding,
    FloatArray,
    InputError,
    Keypoints3D,
    Level,
    Observations,
    PoseTrack,
    TooFewPoints,
)

_HIGH = np.array([0.0, 1000.0, 0.0])  # metres: from there, a line of sight is a vertical
_LEAST_SHARE = 0.1  # of points seen twice; the demo with poses read the wrong way has 0.002


def triangulated(context: Context) -> None:
    """One clock, sides put right, points in space with their evidence."""
    config = context.config
    found = rig_of(context.job.inputs, config)
    offsets, clock = _offsets(context, first_tracks(context))
    tracks, said = chosen_tracks(context, found.rig, offsets)
    clock["notes"] += said
    common = on_common_clock([t.image for t in tracks.values()], offsets)
    xy, score = common.xy.swapaxes(0, 1), common.score.swapaxes(0, 1)
    score = np.where(score >= config.visibility_min, score, 0.0)  # for all that follows
    options = config.triangulation
    swaps = find_view_swaps(found.rig, common.timeline, common.names, xy, score, options)
    if config.repair_side_swaps:
        xy, score = undo_view_swaps(common.names, xy, score, swaps)
    points = triangulate(found.rig, common.timeline, common.names, xy, score, options)
    _refuse_unusable(points, config.calibration)
    if not found.up_known:
        found = _upright(found, points, context)
        points = triangulate(found.rig, common.timeline, common.names, xy, score, options)
    bundle, views = context.new("_triangulated.npz"), context.internal("views.npz")
    cameras, facts = context.new("_cameras.toml"), context.internal("views.json")
    save_bundle(bundle, points, found.rig)
    save_arrays(views, {"xy": xy, "score": score})
    write_calibration(cameras, found.rig, layout="caliscope")
    write_json(facts, _views_facts(found, tracks, common, swaps, points, clock))


def _offsets(
    context: Context, tracks: Mapping[str, PoseTrack]
) -> tuple[FloatArray, dict[str, Any]]:
    """(C,) seconds to add to each camera's clock, and how they came about, in words.

    Raises InputError when they are asked for and the motion does not determine them.
    """
    given = context.config.offset_s
    offsets = np.array([given.get(name, 0.0) for name in tracks])
    if not context.config.sync:
        how = "given" if given else "taken as one: the cameras are said to be synchronised"
        return offsets, {"notes": [f"Clocks {how}."], "offset_s": offsets.tolist()}
    images = [track.image for track in tracks.values()]
    found = find_offsets(images, list(tracks))
    unknown = [
        f"{name} ({reason})"
        for name, good, reason in zip(found.names, found.determined, found.reasons, strict=True)
        if not good
    ]
    if unknown:
        raise InputError(
            "--sync",
            f"the motion does not determine the offset of {'; '.join(unknown)}",
            "film a few seconds of quick, uneven movement that all cameras see, give --offsets, "
            "or leave --sync out for cameras that are synchronised",
        )
    words = [
        f"{name} {1000 * offset:+.1f} ± {1000 * sd:.1f} ms"
        for name, offset, sd in zip(found.names, found.offset_s, found.sd_s, strict=True)
    ]
    return found.offset_s, {
        "notes": [f"Clocks from the motion: {', '.join(words)}."],
        "offset_s": found.offset_s.tolist(),
    }


def _refuse_unusable(points: Triangulation, calibration: Path | None) -> None:
    """InputError when the views meet nowhere: another rig's calibration, or another convention."""
    tried = (points.reason != Reason.FEWER_THAN_TWO_VIEWS).sum()
    if np.isfinite(points.refined[..., 0]).sum() > _LEAST_SHARE * max(tried, 1):
        return
    raise InputError(
        calibration or "calibration",
        f"the cameras' views of the person meet nowhere (mostly: {_main_reason(points)})",
        "check that calibration and videos belong together, and the clocks (--offsets); "
        "try --invert-extrinsics if the file's poses are camera to world",
    )


def _upright(found: RunRig, points: Triangulation, context: Context) -> RunRig:
    """The rig in a world with Y up, the vertical taken from the person: the file does not say it.

    The axis of the file's world nearest to the way from feet to head, on average over the clip.
    Raises InputError when the person lies between two axes.
    """
    way = _way_up(points)
    axis = AXES[int(np.argmax([*np.stack([way, -way], axis=1).ravel()]))]
    lean = math.degrees(math.acos(min(1.0, float(np.abs(way).max()))))
    if not lean < _MOST_LEAN_DEG:
        raise InputError(
            context.config.calibration or "calibration",
            f"its world has no axis along which the person stands (the nearest is {lean:.0f} "
            "degrees off), and it does not say which one is up",
            "give --world-up, or set the calibration's origin on the floor",
        )
    calibration = found.calibration.turned_up(axis)
    turn = _turn_between(found.calibration, calibration)
    note = f"Up is the file's {axis}: the person stands along it ({lean:.0f} degrees off)."
    notes = (*calibration.assumptions, note)
    return RunRig(calibration, found.rig.moved(turn), notes, found.doubts)


_MOST_LEAN_DEG = 30.0


def _way_up(points: Triangulation) -> FloatArray:
    """(3,) unit: from ankles, else hips, to shoulders, the median over the frames.

    Raises TooFewPoints when no frame shows them.
    """
    at = {name: points.refined[:, i] for i, name in enumerate(points.names)}
    missing = np.full(points.refined.shape[::2], np.nan)

    def middle(joint: str) -> FloatArray:
        return (at.get(f"L{joint}", missing) + at.get(f"R{joint}", missing)) / 2

    for low in ("Ankle", "Hip"):
        ways = middle("Shoulder") - middle(low)
        ways = ways[np.isfinite(ways).all(axis=-1)]
        if len(ways):
            way = np.median(ways, axis=0)
            return np.asarray(way / max(float(np.linalg.norm(way)), 1e-9))
    raise TooFewPoints(
        "shoulders and hips, by which the vertical is found", found=0, needed=4,
        hint="give --world-up: the calibration does not say which axis points up",
    )  # fmt: skip


def _turn_between(before: Calibration, after: Calibration) -> FloatArray:
    """(3, 3) rotation from the world of `before` to that of `after`."""
    return np.asarray(after.rig.cameras[0].R.T @ before.rig.cameras[0].R)


def rig(context: Context) -> None:
    """Constant bones, floor, heading: one person in the world, seen by all cameras."""
    points = load_triangulation(context.read_user("_triangulated.npz"))
    views = load_arrays(context.read_internal("views.npz"))
    facts = json.loads(context.read_internal("views.json").read_text("utf-8"))
    cameras = read_calibration(context.read_user("_cameras.toml")).rig.select(points.cameras)
    keypoints, notes = _body(context, cameras, points, views)
    turn, shift, said = _room(keypoints, context.config.lab_frame)
    cameras = cameras.moved(turn, shift)
    keypoints = replace(keypoints, xyz=keypoints.xyz @ turn.T + shift)
    score = views["score"].swapaxes(0, 1)
    xy = np.where((score > 0)[..., None], views["xy"].swapaxes(0, 1), np.nan)
    sigma = points.sd_px[None] / np.sqrt(np.clip(score, _LEAST_SCORE, 1))
    found = Observations(
        points.timeline, cameras, points.names, xy, sigma, keypoints.xyz,
        stature_m=context.config.height,
    )  # fmt: skip
    report = check_rig(
        cameras,
        {name: tuple(size) for name, size in zip(cameras.names, facts["sizes"], strict=True)},
        keypoints,
        context.config.stature_m,
    )
    save(context, found, np.array(facts["moments"]), {
        "detector": facts["detector"],
        "findings": [*facts["findings"], *_findings("caution", report.warnings)],
        "notes": [*facts["notes"], *notes, *said],
        "side_swaps": facts["side_swaps"],
        "cameras": facts["cameras"],
        "rig": report.as_json(),
        "lab_to_world": {"R": turn.tolist(), "t_m": shift.tolist()},
    })  # fmt: skip


_LEAST_SCORE = 0.05  # a landmark that is hardly visible counts a twentieth, never nothing


def _body(
    context: Context, rig: CameraRig, points: Triangulation, views: Mapping[str, FloatArray]
) -> tuple[Keypoints3D, list[str]]:
    """Keypoints in the calibration's world, and what they rest on, in words."""
    if not context.config.trajectory:
        return points.keypoints, []
    found = body_trajectory(
        rig, points, views["xy"], views["score"], max_unseen_s=context.config.max_unseen
    )
    return found.keypoints, [_trajectory_words(found)]


def _trajectory_words(found: Trajectory) -> str:
    """What the trajectory rests on."""
    limbs = ("upper arm", "forearm", "thigh", "shank")
    sides = dict(zip(found.bones, found.lengths, strict=True))
    words = [
        f"{limb} {100 * sides[f'left {limb}']:.1f} / {100 * sides[f'right {limb}']:.1f}"
        for limb in limbs
        if f"left {limb}" in sides and f"right {limb}" in sides
    ]
    bones = f"Bones, left / right, cm: {', '.join(words)}. " if words else ""
    return (
        f"{bones}The detector's errors last about {found.independent:.0f} frames: the deviations "
        "allow for that."
    )


def _room(points: Keypoints3D, keep: bool) -> tuple[FloatArray, FloatArray, list[str]]:
    """Turn and shift from the calibration's world into the room of the person, with words.

    The room is that of a run with one camera: soles at Y = 0, X the way the person faces on
    average, the floor below the first mid-hip at the origin.
    """
    xyz, names = points.xyz, points.names
    level = floor_height(xyz - _HIGH, names, points.timeline.time, np.array([0.0, 1.0, 0.0]))
    level += _HIGH[1] - SOLE_BELOW_LANDMARK
    said = []
    if np.isfinite(level):
        said.append(f"The soles stand at {100 * level:+.1f} cm in the calibration's world.")
    if keep:
        return np.eye(3), np.zeros(3), said
    turn = turn_to_face_x(xyz, names)
    if turn is None:
        said.append("The person faces no way more than another: X is the calibration's.")
        turn = np.eye(3)
    hips = [names.index(n) for n in ("LHip", "RHip") if n in names]
    middle = xyz[:, hips].mean(axis=1) if hips else np.full((len(xyz), 3), np.nan)
    seen = np.flatnonzero(np.isfinite(middle).all(axis=-1))
    if not len(seen):
        raise TooFewPoints("the hips", found=0, needed=2)
    origin = middle[seen[0]].copy()
    origin[1] = level if np.isfinite(level) else 0.0
    return turn, -turn @ origin, said


def _views_facts(
    found: RunRig,
    tracks: Mapping[str, PoseTrack],
    common: CommonPoints,
    swaps: ViewSwaps,
    points: Triangulation,
    clock: dict[str, Any],
) -> dict[str, Any]:
    """What the views showed, as JSON values, for the report and `run.json`."""
    frame = common.timeline.frame
    side_swaps: dict[str, list[int]] = {}
    cameras = []
    for c, (name, track) in enumerate(tracks.items()):
        swapped = swaps.of_camera(name)
        side_swaps |= {f"{g} in {name}": v.nonzero()[0].tolist() for g, v in swapped.items()}
        used = points.inlier_mask[..., c]
        error = points.error_px[..., c][used]
        has = np.isfinite(points.error_px[..., c])
        cameras.append(
            {
                "camera": name,
                "found_pct": _pct(track.image.found.mean()),
                "used_pct": _pct(used.sum() / max(has.sum(), 1)),
                "error_px": round(float(error.mean()), 2) if error.size else None,
                "noise_px": round(float(points.sd_px[c].mean()), 2),
                "swapped": {g: frame_pairs(v, frame) for g, v in swapped.items()},
            }
        )
    count = points.inlier_mask.sum(axis=-1)
    error = points.mean_error_px
    notes = [
        f"Points: {next(iter(tracks.values())).source}.",
        *(f"Calibration: {text.rstrip('.')}." for text in found.notes),
        *clock["notes"],
        f"Reprojection: {np.nanmean(error):.1f} px on average over the views that were used; "
        f"{_pct((count >= 3).mean()):g} % of points rest on three views or more, "
        f"{_pct((count == 0).mean()):g} % have none that agree.",
    ]
    return {
        "detector": next(iter(tracks.values())).source,
        "sizes": [list(track.image.image_size) for track in tracks.values()],
        "moments": [_own_moments(common, o) for o in clock["offset_s"]],
        "cameras": cameras,
        "side_swaps": side_swaps,
        "findings": [
            *_findings("information", found.doubts),
            *_findings("caution", [*_left_out(tracks, common), *_doubts(points)]),
        ],
        "notes": notes,
    }


def _own_moments(common: CommonPoints, offset: float) -> list[float]:
    """Each frame's moment on a camera's own clock, seconds since its first frame."""
    return [round(t - offset, 6) for t in common.timeline.time.tolist()]


def _left_out(tracks: Mapping[str, PoseTrack], common: CommonPoints) -> list[str]:
    """What two cameras recorded and the result does not hold."""
    lasts = sorted(float(np.ptp(t.image.timeline.time)) for t in tracks.values())
    kept = float(np.ptp(common.timeline.time))
    if kept >= _MOST_OF_IT * lasts[-2]:
        return []
    return [
        f"The result holds {kept:.1f} s, but two cameras recorded {lasts[-2]:.1f} s: leave out the "
        "shorter videos, or check the offsets."
    ]


_MOST_OF_IT = 0.8


def _doubts(points: Triangulation) -> list[str]:
    """What a reprojection error alone would not tell."""
    said = []
    missing = 1 - np.isfinite(points.refined).all(axis=-1).mean()
    if missing > _MANY_MISSING:
        said.append(
            f"{100 * missing:.0f} % of points could not be triangulated, mostly because "
            f"{_main_reason(points)}."
        )
    two = (points.inlier_mask.sum(axis=-1) == 2).mean()
    if len(points.cameras) > 2 and two > _MANY_TWO:
        said.append(
            f"{100 * two:.0f} % of points rest on two cameras only: nothing checks them there."
        )
    return said


_MANY_MISSING, _MANY_TWO = 0.1, 0.25


def _main_reason(points: Triangulation) -> str:
    counts = np.bincount(points.reason.ravel(), minlength=len(Reason))
    return Reason(int(counts[1:].argmax()) + 1).words


def _findings(level: Level, texts: Iterable[str]) -> list[dict[str, str]]:
    return [Finding(level, f"{t[:1].upper()}{t[1:].rstrip('.')}.").to_json() for t in texts]


def _pct(share: float) -> float:
    return round(100 * float(share), 1)
