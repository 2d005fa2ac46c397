"""Cases on points: the error of 3D points and of a fitted body from detections of known error."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.suite.known_subjects import NAMES, KnownSubject, SubjectSpec, known_subject, ring
from benchmarks.suite.measure import COUNTED, ROUNDING, Measurement, mean_lines, seconds
from benchmarks.suite.noise_levels import Detections, Errors, NoiseLevel, detected
from benchmarks.suite.peers import Peers
from kinefit.fit.recipes.clip import ClipFit, fit_clip
from kinefit.metrics.points import bone_lengths, point_errors, variation_pct
from kinefit.metrics.statistics import mean_of, region_coverage, summary
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
    """specs: of the subjects, whose numbers are averaged. length_s: of each. cameras: on a ring."""

    specs: tuple[SubjectSpec, ...]
    length_s: float
    cameras: int = 4

    def subjects(self) -> Iterator[tuple[KnownSubject, CameraRig]]:
        for spec in self.specs:
            known = known_subject(spec, self.length_s)
            yield known, ring(known, self.cameras)


@dataclass(frozen=True, eq=False)
class Solved:
    """kinefit's result on detections, with the seconds of its stages."""

    swaps: ViewSwaps
    xy: FloatArray
    score: FloatArray
    points: Triangulation
    trajectory: Trajectory
    sides_s: float
    points_s: float
    trajectory_s: float


def solve(known: KnownSubject, given: Detections) -> Solved:
    """As a run with several cameras does: sides, triangulation, trajectory."""
    timeline, options = known.timeline, TriangulationOptions()
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
    """The usual errors, and every measure of the result."""
    return mean_lines(_views_lines(p, rig, peers) for p, rig in setting.subjects())


def _views_lines(known: KnownSubject, rig: CameraRig, peers: Peers) -> tuple[Measurement, ...]:
    given = detected(known, rig, Errors())
    found = solve(known, given)
    xyz, their_s = peers.triangulated(given, known.timeline)
    own, theirs, smooth = (
        PointScores.of(points, known.truth)
        for points in (found.points.refined, xyz, found.trajectory.keypoints.xyz)
    )
    inside, peer = _coverage_pct(found.trajectory, known), peers.triangulation
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


def levels_case(
    setting: PointSetting, levels: Sequence[NoiseLevel], peers: Peers
) -> tuple[Measurement, ...]:
    """One kind of error, level by level."""
    subjects = list(setting.subjects())
    return tuple(
        line
        for level in levels
        for line in mean_lines(_level_lines(p, rig, level, peers) for p, rig in subjects)
    )


def _level_lines(
    known: KnownSubject, rig: CameraRig, level: NoiseLevel, peers: Peers
) -> tuple[Measurement, ...]:
    given = detected(known, rig, level.errors)
    found = solve(known, given)
    xyz, _ = peers.triangulated(given, known.timeline)
    own, theirs, smooth = (
        PointScores.of(points, known.truth)
        for points in (found.points.refined, xyz, found.trajectory.keypoints.xyz)
    )
    inside, peer = _coverage_pct(found.trajectory, known), peers.triangulation
    lines = (
        Measurement(f"{level.label}: triangulated", own.mean, "mm", "lower", ROUNDING,
                    {peer: theirs.mean}),
        Measurement(f"{level.label}: triangulated, missing", own.missing, "%", "lower", COUNTED,
                    {peer: theirs.missing}),
        Measurement(f"{level.label}: trajectory", smooth.mean, "mm", "lower"),
        Measurement(f"{level.label}: trajectory, missing", smooth.missing, "%", "lower", COUNTED),
        Measurement(f"{level.label}: within 95 % regions", inside, "%", "none"),
    )  # fmt: skip
    return lines + (_swap_lines(level, given, found.swaps) if level.errors.swapped else ())


def _coverage_pct(found: Trajectory, known: KnownSubject) -> float:
    """Percent of the true points within the 95 % regions of the trajectory's."""
    errors = found.keypoints.xyz - known.truth
    return 100 * region_coverage(errors, found.covariance, _LEVEL).share


def _swap_lines(level: NoiseLevel, given: Detections, swaps: ViewSwaps) -> tuple[Measurement, ...]:
    """Of camera-frames with swapped sides the share that was found; of the others the share that
    was called swapped."""
    called = swaps.swapped.mean(axis=-1) > 0.5
    found = float(mean_of(called[given.swapped]))
    wrong = float(mean_of(called[~given.swapped]))
    return (
        Measurement(f"{level.label}: swaps found", 100 * found, "%", "higher", COUNTED),
        Measurement(f"{level.label}: called swapped wrongly", 100 * wrong, "%", "lower", COUNTED),
    )


def fit_case(setting: PointSetting) -> tuple[Measurement, ...]:
    """One body through the same views: joints, mesh, stature."""
    return mean_lines(_fit_lines(p, rig) for p, rig in setting.subjects())


def _fit_lines(known: KnownSubject, rig: CameraRig) -> tuple[Measurement, ...]:
    found = solve(known, detected(known, rig, Errors()))
    start = time.perf_counter()
    fit = fit_clip(known.body, _observations(known, rig, found))
    took = time.perf_counter() - start
    truth = known.truth[:, [NAMES.index(n) for n in fit.names]]
    joints = 1000 * point_errors(fit.points, truth)
    skin = 1000 * point_errors(_vertices(known, fit), _true_vertices(known))
    tall = 1000 * abs(stature(known.body, fit.motion.shape) - known.stature_m)
    return (
        Measurement("keypoints, mean error", summary(joints).mean, "mm", "lower"),
        Measurement("keypoints, 95th percentile", summary(joints).p95, "mm", "lower"),
        Measurement("vertices, mean error", float(mean_of(skin)), "mm", "lower"),
        Measurement("stature, error", tall, "mm", "lower"),
        seconds("fit", took),
    )


def _observations(known: KnownSubject, rig: CameraRig, found: Solved) -> Observations:
    xy, score = found.xy.swapaxes(0, 1), found.score.swapaxes(0, 1)
    sigma = np.broadcast_to(found.points.sd_px, score.shape)
    xyz = found.trajectory.keypoints.xyz
    return Observations(known.timeline, rig, NAMES, xy, np.where(score > 0, sigma, np.nan), xyz)


def _vertices(known: KnownSubject, fit: ClipFit) -> FloatArray:
    m, index = fit.motion, np.arange(0, len(known.body.vertices), _EVERY)
    return known.body.posed_vertices(m.rotations, m.translation, m.shape, index)


def _true_vertices(known: KnownSubject) -> FloatArray:
    index = np.arange(0, len(known.body.vertices), _EVERY)
    moved = known.moving.at(known.timeline.time)
    return known.body.posed_vertices(*moved, known.shape, index)
