"""A fitted body against the true one: joints, skin, stature, reprojection and masks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.evaluate.position_scores import HIPS, columns, common_names, score_points
from kinefit.evaluate.truth_at_times import Clock, WorldTransform, markers_at, poses_at
from kinefit.geometry.projection import project, to_camera
from kinefit.lift.windows import nearest
from kinefit.metrics.points import aligned_frames, mask_iou, point_errors, reprojection
from kinefit.metrics.statistics import summary
from kinefit.render.mesh import rasterise
from kinefit.synth.body_points import body_points
from kinefit.synth.subjects import stature
from kinefit.synth.truth import BACKGROUND, PersonTruth, SceneTruth, ViewTruth
from kinefit.types import BodyMotion, BoolArray, Camera, FloatArray, IntArray

_MOST_MESHES, _MOST_MASKS = 60, 20  # frames whose mesh is scored: evenly over the clip


def score_body(
    body: BodyModel,
    motion: BodyMotion,
    truth: SceneTruth,
    person: int = 0,
    *,
    clock: Clock,
    transform: WorldTransform | None = None,
    cameras: Mapping[str, Camera] | None = None,
) -> dict[str, Any]:
    """A motion of `body` against a person of the scene.

    clock, transform: from the motion's time and world to the scene's; None: not known. cameras:
    those of the scene as the result has them, in its world, by name: for reprojection and masks.
    Raises TooFewPoints when the motion is at no time of the scene.
    """
    someone = truth.people[person]
    time = clock.to_scene(motion.timeline.time)
    names, own = body_keypoints(body, motion)
    moved = own if transform is None else transform.to_scene(own, time)
    real = markers_at(someone, time)
    placed = transform is not None
    out: dict[str, Any] = {
        "joints": score_points(
            motion.timeline.time, names, moved, someone.markers.names, real, placed=placed
        ),
        "stature_error_mm": 1000 * (stature(body, motion.shape) - someone.stature_m),
        "vertices_mm": score_vertices(body, motion, someone, time, transform),
        "views": {},
    }
    fitted = motion.rotations, motion.translation, motion.shape
    # People wear clothes: the true body's own mask shows which overlap is possible.
    same = someone.motion.body == body.name
    true = (*poses_at(someone, time), someone.motion.shape) if same else None
    for name, camera in (cameras or {}).items():
        view = truth.view(name)
        frame = nearest(view.time, time)
        cameras_at = [view.at(k) for k in frame]
        scores = out["views"][name] = {
            "reprojection": _reprojection(camera, cameras_at, names, own, someone, real),
            "mask_iou": _mask_scores(body, fitted, [camera] * len(frame), view, frame, person),
            "bare_mask_iou": summary(np.zeros(0)).to_json(),
        }
        if true is not None:
            scores["bare_mask_iou"] = _mask_scores(body, true, cameras_at, view, frame, person)
    return out


def body_keypoints(body: BodyModel, motion: BodyMotion) -> tuple[tuple[str, ...], FloatArray]:
    """Names and (T, K, 3) metres of the body's own keypoints."""
    points, names = body_points(body), tuple(body.regressors)
    xyz, _ = points.at(motion.rotations, motion.translation, motion.shape)
    return names, xyz[:, columns(points.keypoints, names)]


def score_vertices(
    body: BodyModel,
    motion: BodyMotion,
    truth: PersonTruth,
    time: FloatArray,
    transform: WorldTransform | None,
) -> dict[str, Any] | None:
    """Per-vertex error of up to 60 frames; None for a body of another mesh.

    absolute, and pelvis: from the middle of the hips, are left out without a `transform`;
    pa: after the best similarity of every frame.
    """
    if motion.body != truth.motion.body or body.name != motion.body:
        return None
    rotations, translation = poses_at(truth, time)
    known = np.isfinite(translation).all(axis=1) & np.isfinite(motion.translation).all(axis=1)
    rows = _evenly(np.flatnonzero(known), _MOST_MESHES)
    kinds: dict[str, list[FloatArray]] = {"absolute": [], "pelvis": [], "pa": []}
    for k in rows:
        ours = body.posed_vertices(motion.rotations[k], motion.translation[k], motion.shape)
        if transform is not None:
            ours = transform.to_scene(ours[None], time[k : k + 1])[0]
        real = body.posed_vertices(rotations[k], translation[k], truth.motion.shape)
        kinds["absolute"].append(point_errors(ours, real))
        kinds["pelvis"].append(
            point_errors(ours - _mid_hip(body, ours), real - _mid_hip(body, real))
        )
        kinds["pa"].append(point_errors(aligned_frames(ours, real), real))
    shown = ["pa"] if transform is None else list(kinds)
    return {k: summary(1000 * np.array(kinds[k], np.float64)).to_json() for k in shown}


def _mid_hip(body: BodyModel, mesh: FloatArray) -> FloatArray:
    """(3,) metres; NaN for a body whose hips are not taken from its mesh (V, 3)."""
    hips = [body.regressors.get(name, "") for name in HIPS]
    on_mesh = [source[1] @ mesh[source[0]] for source in hips if not isinstance(source, str)]
    return np.mean(on_mesh, axis=0) if len(on_mesh) == len(HIPS) else np.full(3, np.nan)


def _evenly(rows: IntArray, most: int) -> IntArray:
    """At most `most` of `rows`, evenly spread, with both ends."""
    picked = np.linspace(0, len(rows) - 1, min(len(rows), most))
    return rows[np.round(picked).astype(np.int64)]


def _reprojection(
    camera: Camera,
    true_cameras: Sequence[Camera],
    names: tuple[str, ...],
    own: FloatArray,
    someone: PersonTruth,
    real: FloatArray,
) -> dict[str, Any]:
    """The fitted keypoints in the result's camera against the true ones in the true cameras.

    The truth is projected at the time of the fit, which may lie between frames.
    """
    both = common_names(names, someone.markers.names)
    truth = real[:, columns(someone.markers.names, both)]
    xy = np.stack([project(c, xyz) for c, xyz in zip(true_cameras, truth, strict=True)])
    px, mm = reprojection(camera, own[:, columns(names, both)], xy)
    return {"px": summary(px).to_json(), "mm": summary(mm).to_json()}


def _mask_scores(
    body: BodyModel,
    motion: tuple[FloatArray, FloatArray, FloatArray],
    cameras: Sequence[Camera],
    view: ViewTruth,
    frame: IntArray,
    person: int,
) -> dict[str, Any]:
    """Intersection over union of drawn meshes with the person's true mask, up to 20 frames.

    motion: rotations, translation and shape of T poses. cameras, frame: the camera, and the view's
    frame, of each.
    """
    rotations, translation, shape = motion
    found = []
    for k in _evenly(np.flatnonzero(np.isfinite(translation).all(axis=1)), _MOST_MASKS):
        mesh = body.posed_vertices(rotations[k], translation[k], shape)
        drawn = silhouette(body, cameras[k], mesh)
        at = int(frame[k])
        labels, truth = view.masks.labels(at), view.masks.person(at, person)
        if drawn.shape == truth.shape:
            # Pixels of another person or an object are left out: they occlude the true mask, but
            # not the drawn body.
            found.append(float(mask_iou(drawn & ((labels == BACKGROUND) | truth), truth)))
        else:
            found.append(float("nan"))
    return summary(np.array(found, np.float64)).to_json()


def silhouette(body: BodyModel, camera: Camera, mesh: FloatArray) -> BoolArray:
    """(height, width) True where the camera sees the posed mesh (V, 3)."""
    width, height = camera.size
    out = np.zeros((height, width), bool)
    uv, depth = project(camera, mesh), to_camera(camera, mesh)[:, 2]
    seen = rasterise(uv, depth, body.faces, camera.size)
    out[seen.y, seen.x] = True
    return out


def score_masks(
    masks: Iterable[tuple[int, BoolArray]], view: ViewTruth, person: int = 0
) -> dict[str, Any]:
    """Intersection over union of a program's masks with the true ones.

    masks: (frame of the view, (height, width) boolean). A frame without anybody in either mask
    counts as missing.
    """
    found = [float(mask_iou(mask, view.masks.person(k, person))) for k, mask in masks]
    return summary(np.array(found, np.float64)).to_json()
