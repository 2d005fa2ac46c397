"""Cases on points: from detections with known errors to a body in space, and how far off it is."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kinefit.bench.ladders import Detections, Errors, Rung, detected
from kinefit.bench.measure import COUNTED, ROUNDING, Measurement, mean_lines, seconds
from kinefit.bench.peers import Peers
from kinefit.bench.subjects import NAMES, Performer, Role, perform, ring
from kinefit.fit.recipes.clip import ClipFit, fit_clip
from kinefit.metrics import (
    bone_lengths,
    mean_of,
    point_errors,
    region_coverage,
    summary,
    variation_pct,
)
from kinefit.multiview.trajectory import Trajectory, body_trajectory
from kinefit.multiview.triangulate import Triangulation, triangulate
from kinefit.multiview.triangulation_options import TriangulationOptions
from kinefit.multiview.view_swaps import ViewSwaps, find_view_swaps, undo_view_swaps
from kinefit.skeletons.limbs import LIMBS
from kinefit.synth.subjects import stature
from kinefit.types import CameraRig, FloatArray, Observations

_LEVEL = 0.95
_EVERY = 20  # vertices between two that are compared: the mesh is far denser than its errors
# Arms and legs: bones that do not bend. Trunks do.
_BONES = [
    (NAMES.index(limb.start), NAMES.index(limb.end))
    for limb in LIMBS
    if limb.name.split()[-1] in ("arm", "forearm", "thigh", "shank")
]


@dataclass(frozen=True)
class PointSetting:
    """roles: each is played; numbers are averaged. length_s: of each. cameras: in the ring."""

    roles: tuple[Role, ...]
    length_s: float
    cameras: int = 4

    def played(self) -> Iterator[tuple[Performer, CameraRig]]:
        for role in self.roles:
            performer = perform(role, self.length_s)
            yield performer, ring(performer, self.cameras)


@dataclass(frozen=True, eq=False)
class Solved:
    """What kinefit made of detections, with the seconds of its stages."""

    swaps: ViewSwaps
    xy: FloatArray
    score: FloatArray
    points: Triangulation
    trajectory: Trajectory
    sides_s: float
    points_s: float
    trajectory_s: float


def solve(performer: Performer, given: Detections) -> Solved:
    """As a run with several cameras does: sides, triangulation, trajectory."""
    timeline, options = performer.timeline, TriangulationOptions()
    clock = [time.perf_counter()]
    swaps = find_view_swaps(given.rig, timeline, NAMES, given.xy, given.score, options)
    xy, score = undo_view_swaps(NAMES, given.xy, given.score, swaps)
    clock.append(time.perf_counter())
    points = triangulate(given.rig, timeline, NAMES, xy, score, options)
    clock.append(time.perf_counter())
    trajectory = body_trajectory(given.rig, points, xy, score)
    clock.append(time.perf_counter())
    return Solved(swaps, xy, score, points, trajectory, *np.diff(clock).tolist())


@dataclass(frozen=True)
class PointScores:
    """Of points in space: mean and 95th percentile of their errors, mm; share of them that is
    missing, and coefficient of variation of the bones of arms and legs, percent."""

    mean: float
    p95: float
    missing: float
    bones: float

    @classmethod
    def of(cls, xyz: FloatArray | None, truth: FloatArray) -> PointScores:
        """Of (T, 22, 3) metres against the truth; all NaN without any."""
        if xyz is None:
            return cls(*[float("nan")] * 4)
        errors = 1000 * point_errors(xyz, truth)
        found = summary(errors)
        bones = variation_pct(bone_lengths(xyz, _BONES))
        return cls(found.mean, found.p95, 100 * found.missing / errors.size, float(mean_of(bones)))


def views_case(setting: PointSetting, peers: Peers) -> tuple[Measurement, ...]:
    """The usual errors, and everything that is known of the result."""
    return mean_lines(_views_lines(p, rig, peers) for p, rig in setting.played())


def _views_lines(performer: Performer, rig: CameraRig, peers: Peers) -> tuple[Measurement, ...]:
    given = detected(performer, rig, Errors())
    found = solve(performer, given)
    xyz, their_s = peers.triangulated(given, performer.timeline)
    own, theirs, smooth = (
        PointScores.of(points, performer.truth)
        for points in (found.points.refined, xyz, found.trajectory.keypoints.xyz)
    )
    inside, peer = _coverage_pct(found.trajectory, performer), peers.triangulation
    return (
        Measurement("triangulated, mean error", own.mean, "mm", "lower", ROUNDING,
                    {peer: theirs.mean}),
        Measurement("triangulated, 95th percentile", own.p95, "mm", "lower", ROUNDING,
                    {peer: theirs.p95}),
        Measurement("triangulated, missing", own.missing, "%", "lower", COUNTED,
                    {peer: theirs.missing}),
        Measurement("bones, coefficient of variation", own.bones, "%", "lower", ROUNDING,
                    {peer: theirs.bones}),
        Measurement("trajectory, mean error", smooth.mean, "mm", "lower"),
        Measurement("trajectory, 95th percentile", smooth.p95, "mm", "lower"),
        Measurement("trajectory, missing", smooth.missing, "%", "lower", COUNTED),
        Measurement("trajectory, bones", smooth.bones, "%", "lower"),
        Measurement("truth within 95 % regions", inside, "%", "none"),
        Measurement("regions, off 95 %", abs(inside - 100 * _LEVEL), "%", "lower", COUNTED),
        seconds("sides", found.sides_s),
        seconds("triangulation", found.points_s, **{peer: their_s}),
        seconds("trajectory", found.trajectory_s),
    )  # fmt: skip


def ladder_case(
    setting: PointSetting, rungs: Sequence[Rung], peers: Peers
) -> tuple[Measurement, ...]:
    """One kind of error, rung by rung."""
    played = list(setting.played())
    return tuple(
        line
        for rung in rungs
        for line in mean_lines(_rung_lines(p, rig, rung, peers) for p, rig in played)
    )


def _rung_lines(
    performer: Performer, rig: CameraRig, rung: Rung, peers: Peers
) -> tuple[Measurement, ...]:
    given = detected(performer, rig, rung.errors)
    found = solve(performer, given)
    xyz, _ = peers.triangulated(given, performer.timeline)
    own, theirs, smooth = (
        PointScores.of(points, performer.truth)
        for points in (found.points.refined, xyz, found.trajectory.keypoints.xyz)
    )
    inside, peer = _coverage_pct(found.trajectory, performer), peers.triangulation
    lines = (
        Measurement(f"{rung.label}: triangulated", own.mean, "mm", "lower", ROUNDING,
                    {peer: theirs.mean}),
        Measurement(f"{rung.label}: triangulated, missing", own.missing, "%", "lower", COUNTED,
                    {peer: theirs.missing}),
        Measurement(f"{rung.label}: trajectory", smooth.mean, "mm", "lower"),
        Measurement(f"{rung.label}: trajectory, missing", smooth.missing, "%", "lower", COUNTED),
        Measurement(f"{rung.label}: within 95 % regions", inside, "%", "none"),
    )  # fmt: skip
    return lines + (_swap_lines(rung, given, found.swaps) if rung.errors.swapped else ())


def _coverage_pct(found: Trajectory, performer: Performer) -> float:
    """Percent of the true points within the 95 % regions of the trajectory's."""
    errors = found.keypoints.xyz - performer.truth
    return 100 * region_coverage(errors, found.covariance, _LEVEL).share


def _swap_lines(rung: Rung, given: Detections, swaps: ViewSwaps) -> tuple[Measurement, ...]:
    """Camera-frames: of those with exchanged legs and arms how many were found, and of the others
    how many were taken for exchanged."""
    called = swaps.swapped.mean(axis=-1) > 0.5
    found = float(mean_of(called[given.swapped]))
    wrong = float(mean_of(called[~given.swapped]))
    return (
        Measurement(f"{rung.label}: swaps found", 100 * found, "%", "higher", COUNTED),
        Measurement(f"{rung.label}: called swapped wrongly", 100 * wrong, "%", "lower", COUNTED),
    )


def fit_case(setting: PointSetting) -> tuple[Measurement, ...]:
    """One body through the same views: joints, mesh, stature."""
    return mean_lines(_fit_lines(p, rig) for p, rig in setting.played())


def _fit_lines(performer: Performer, rig: CameraRig) -> tuple[Measurement, ...]:
    found = solve(performer, detected(performer, rig, Errors()))
    start = time.perf_counter()
    fit = fit_clip(performer.body, _clip_data(performer, rig, found))
    took = time.perf_counter() - start
    truth = performer.truth[:, [NAMES.index(n) for n in fit.names]]
    joints = 1000 * point_errors(fit.points, truth)
    skin = 1000 * point_errors(_vertices(performer, fit), _true_vertices(performer))
    tall = 1000 * abs(stature(performer.body, fit.motion.shape) - performer.stature_m)
    return (
        Measurement("keypoints, mean error", summary(joints).mean, "mm", "lower"),
        Measurement("keypoints, 95th percentile", summary(joints).p95, "mm", "lower"),
        Measurement("vertices, mean error", float(mean_of(skin)), "mm", "lower"),
        Measurement("stature, error", tall, "mm", "lower"),
        seconds("fit", took),
    )


def _clip_data(performer: Performer, rig: CameraRig, found: Solved) -> Observations:
    xy, score = found.xy.swapaxes(0, 1), found.score.swapaxes(0, 1)
    sigma = np.broadcast_to(found.points.sd_px, score.shape)
    xyz = found.trajectory.keypoints.xyz
    return Observations(performer.timeline, rig, NAMES, xy, np.where(score > 0, sigma, np.nan), xyz)


def _vertices(performer: Performer, fit: ClipFit) -> FloatArray:
    m, index = fit.motion, np.arange(0, len(performer.body.vertices), _EVERY)
    return performer.body.posed_vertices(m.rotations, m.translation, m.shape, index)


def _true_vertices(performer: Performer) -> FloatArray:
    index = np.arange(0, len(performer.body.vertices), _EVERY)
    moved = performer.moving.at(performer.timeline.time)
    return performer.body.posed_vertices(*moved, performer.shape, index)
