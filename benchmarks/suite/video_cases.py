"""Cases on synthetic videos: the whole system, from pixels to bodies, against what was filmed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

from benchmarks.suite.measure import DETECTED, Direction, Measurement, Tolerance, mean_lines
from benchmarks.suite.rendered_scenes import (
    RenderedScene,
    RenderedScenes,
    SceneSetting,
    fit_pictures,
)
from benchmarks.suite.worst_frames import Pictures
from kinefit.body.anny import load_anny
from kinefit.evaluate.body_scores import body_keypoints, score_vertices
from kinefit.evaluate.position_scores import columns, common_names
from kinefit.evaluate.run_scores import score_run
from kinefit.evaluate.truth_at_times import Clock, markers_at
from kinefit.io.body_npz import read_motion
from kinefit.io.video import frames
from kinefit.metrics.points import aligned_frames, point_errors
from kinefit.metrics.statistics import mean_of
from kinefit.synth.truth import read_truth
from kinefit.types import InvalidData

_PICTURES = 4  # of each scene, as single pictures
_MISSING = "share missing"  # instead of a key: percent, from a summary's count and missing


class Line(NamedTuple):
    """Where in the scores a number is ("*": the mean over all of that level), and what it is.

    scale: factor to the unit. signed: its size counts, or errors of two runs would cancel.
    """

    name: str
    path: str
    unit: str
    direction: Direction
    scale: float = 1.0
    tolerance: Tolerance = DETECTED
    signed: bool = False

    def value(self, scores: Mapping[str, Any]) -> float | None:
        score = _at(scores, self.path.split("/"))
        if score is None:
            return None
        return self.scale * (abs(score) if self.signed else score)


_DETECTION = (
    Line("detected points, mean error", "cameras/*/detected/error_pct/mean", "% of size", "lower"),
    Line(
        "points in sight", "cameras/*/detected/by_visibility/visible/pct/mean", "% of size", "lower"
    ),
    Line("frames without a person", "cameras/*/detected/dropped/frames", "%", "lower", 100),
    Line("legs swapped", "cameras/*/detected/swapped/legs", "%", "lower", 100),
    Line("limb directions", "cameras/*/pof/all/angle/mean", "°", "lower"),
    Line("limb directions, median", "cameras/*/pof/all/angle/median", "°", "lower"),
    Line("z-sign of those in depth", "cameras/*/pof/all/sign_deep", "%", "higher", 100),
)
_POINTS = (
    Line("final markers, from the hips", "final/mpjpe_mm/root/mean", "mm", "lower"),
    Line("final markers, PA", "final/mpjpe_mm/pa/mean", "mm", "lower"),
    Line("acceleration error", "final/acceleration_m_s2/mean", "m/s²", "lower"),
    Line("foot sliding", "final/foot_sliding/result/slide_m_s", "mm/s", "lower", 1000),
    Line("joint angles, MAE", "angles/overall/mae", "°", "lower"),
    Line("joint angles, SD", "angles/overall/sd", "°", "lower"),
)
_ONE_CAMERA = (
    *_DETECTION,
    Line("initial markers, PA", "initial/mpjpe_mm/pa/mean", "mm", "lower"),
    *_POINTS,
    Line("final markers, one rigid motion", "final/mpjpe_mm/rigid/mean", "mm", "lower"),
)
_VIEWS = (
    Line("triangulated", "triangulated/mpjpe_mm/absolute/mean", "mm", "lower"),
    Line("triangulated, missing", f"triangulated/mpjpe_mm/absolute/{_MISSING}", "%", "lower"),
    Line("triangulated, within 95 % regions", "triangulated/coverage/absolute/95%/share", "%",
         "none", 100),
    Line("initial markers", "initial/mpjpe_mm/absolute/mean", "mm", "lower"),
    Line("bones, coefficient of variation", "initial/bones/variation_pct/result", "%", "lower"),
    Line("final markers", "final/mpjpe_mm/absolute/mean", "mm", "lower"),
    *_POINTS,
)  # fmt: skip
_BODY = (
    Line("joints, from the hips", "body/joints/mpjpe_mm/root/mean", "mm", "lower"),
    Line("joints, PA", "body/joints/mpjpe_mm/pa/mean", "mm", "lower"),
    Line("vertices, from the hips", "body/vertices_mm/pelvis/mean", "mm", "lower"),
    Line("stature, error", "body/stature_error_mm", "mm", "lower", signed=True),
    Line("reprojection", "body/views/*/reprojection/px/mean", "px", "lower"),
    Line("mask, intersection over union", "body/views/*/mask_iou/mean", "%", "higher", 100),
)


def one_camera_case(
    scenes: RenderedScenes, setting: SceneSetting, pictures: Pictures
) -> tuple[Measurement, ...]:
    """`kinefit run` on each video alone: of the first and the third camera."""
    runs = [
        (scene, scene.run([camera]))
        for scene in scenes.made(setting)
        for camera in dict.fromkeys([scene.cameras[0], scene.cameras[min(2, setting.views - 1)]])
    ]
    return _scored(runs, _ONE_CAMERA, pictures, "one camera")


def views_case(
    scenes: RenderedScenes, setting: SceneSetting, count: int, pictures: Pictures
) -> tuple[Measurement, ...]:
    """`kinefit run` on `count` of the cameras."""
    runs = [(scene, scene.run(scene.spread(count))) for scene in scenes.made(setting)]
    return _scored(runs, _VIEWS, pictures, f"{count} cameras")


def body_case(
    scenes: RenderedScenes, setting: SceneSetting, count: int, pictures: Pictures
) -> tuple[Measurement, ...]:
    """`kinefit fit video` (count 1) or `multiview`: a body."""
    runs = [(scene, scene.fit(scene.spread(count))) for scene in scenes.made(setting)]
    return _scored(runs, _BODY, pictures, f"body, {count} camera{'s' if count > 1 else ''}")


def _scored(
    runs: Sequence[tuple[RenderedScene, Path]],
    lines: Iterable[Line],
    pictures: Pictures,
    label: str,
) -> tuple[Measurement, ...]:
    """Lines averaged over runs; the worst frame of each run as a picture."""
    parts = []
    for scene, run in runs:
        parts.append(measured(score_run(run, scene.folder), lines))
        pictures.add(run, scene.folder, label)
    return mean_lines(parts)


def measured(scores: Mapping[str, Any], lines: Iterable[Line]) -> tuple[Measurement, ...]:
    """The lines out of nested scores; what is not there has no value."""
    return tuple(
        Measurement(line.name, line.value(scores), line.unit, line.direction, line.tolerance)
        for line in lines
    )


def _at(scores: Any, path: Sequence[str]) -> float | None:
    """The number at a path; under "*" the mean over all keys, None as soon as one lacks it."""
    if not path:
        return float(scores) if isinstance(scores, int | float) else None
    if not isinstance(scores, Mapping):
        return None
    if path[0] == _MISSING:
        total = scores["count"] + scores["missing"]
        return 100 * scores["missing"] / total if total else None
    if path[0] != "*":
        return _at(scores.get(path[0]), path[1:])
    values = [_at(one, path[1:]) for one in scores.values()]
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known and len(known) == len(values) else None


def pictures_case(scenes: RenderedScenes, setting: SceneSetting) -> tuple[Measurement, ...]:
    """`kinefit fit image` on single frames, whose focal length is known."""
    return mean_lines(_picture_lines(scene) for scene in scenes.made(setting))


def _picture_lines(scene: RenderedScene) -> tuple[Measurement, ...]:
    camera = scene.cameras[0]
    folder = scene.runs / "pictures"
    times = _stills(scene.video(camera), folder)
    view = read_truth(scene.folder).view(camera)
    results = fit_pictures(sorted(times), folder / "fitted", float(view.camera.K[0, 0]))
    errors = [
        (np.nan, np.nan)
        if result.reason
        else _body_errors(scene, result.files, times[result.picture])
        for result in results
    ]
    joints, skin = np.array(errors).T
    lost = float(np.mean([bool(result.reason) for result in results]))
    return (
        Measurement("joints, PA", float(mean_of(joints)), "mm", "lower", DETECTED),
        Measurement("vertices, PA", float(mean_of(skin)), "mm", "lower", DETECTED),
        Measurement("pictures without a body", 100 * lost, "%", "lower", DETECTED),
    )


def _stills(video: Path, folder: Path) -> dict[Path, float]:
    """A few frames of a video as pictures -> their time stamps."""
    folder.mkdir(parents=True, exist_ok=True)
    shown = [frame for frame in frames(video) if frame.rgb is not None]
    out = {}
    for k in np.linspace(0, len(shown) - 1, _PICTURES + 2).astype(int)[1:-1]:
        path, rgb = folder / f"frame_{shown[k].index:04d}.png", shown[k].rgb
        if rgb is None or not cv2.imwrite(str(path), rgb[..., ::-1]):
            raise InvalidData(f"{path} could not be written.")
        out[path] = shown[k].time
    return out


def _body_errors(scene: RenderedScene, files: Sequence[Path], stamp: float) -> tuple[float, float]:
    """Millimetres of joints and vertices after the best similarity."""
    body, person = load_anny(), scene.person
    motion = read_motion(next(path for path in files if path.suffix == ".npz"))
    view = read_truth(scene.folder).view(scene.cameras[0])
    time = Clock.of_view(view).to_scene(np.array([stamp]))
    names, xyz = body_keypoints(body, motion)
    both = common_names(names, person.markers.names)
    true = markers_at(person, time)[:, columns(person.markers.names, both)]
    skin = score_vertices(body, motion, person, time, None)
    assert skin is not None  # Anny on both sides
    errors = point_errors(aligned_frames(xyz[:, columns(names, both)], true), true)
    return 1000 * float(mean_of(errors)), float(skin["pa"]["mean"])
