"""A fitted body against the true one: joints, skin, stature, and how it lies over the pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.evaluate.position_scores import HIPS, columns, common_names, score_points
from kinefit.evaluate.truth_at_times import Clock, WorldTransform, markers_at, nearest, poses_at
from kinefit.geometry.projection import project, to_camera
from kinefit.metrics import aligned_frames, mask_iou, point_errors, reprojection, summary
from kinefit.render.mesh import rasterise
from kinefit.synth.masks import BACKGROUND
from kinefit.synth.subjects import stature
from kinefit.synth.truth import PersonTruth, SceneTruth, ViewTruth
from kinefit.types import BodyMotion, BoolArray, Camera, FloatArray, IntArray

_MOST_MESHES = 60  # posed for the skin's error, and drawn for the mask's: evenly over the clip
_MOST_MASKS = 20


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
    for name, camera in (cameras or {}).items():
        view = truth.view(name)
        frame = nearest(view.time, time)
        out["views"][name] = {
            "reprojection": _reprojection(camera, names, own, view, frame, someone, real),
            "mask_iou": _mesh_masks(body, motion, camera, view, frame, person),
            "bare_mask_iou": _bare_masks(body, someone, view, time, frame, person),
        }
    return out


def body_keypoints(body: BodyModel, motion: BodyMotion) -> tuple[tuple[str, ...], FloatArray]:
    """Names and (T, K, 3) metres of the body's own keypoints."""
    names = tuple(body.regressors)
    on_mesh = [index for index, _ in _on_mesh(body, names).values()]
    mesh_needed = np.unique(np.concatenate([np.zeros(0, np.int64), *on_mesh]))
    posed = body.motion_vertices(motion, mesh_needed)
    rest = body.rest_joints(motion.shape)
    _, joints = body.pose(motion.rotations, motion.translation, rest)
    at = {}
    for name in names:
        source = body.regressor(name)
        if isinstance(source, str):
            at[name] = joints[:, body.joint_names.index(source)]
        else:
            pick = np.searchsorted(mesh_needed, source[0])
            at[name] = np.einsum("v,tvi->ti", source[1], posed[:, pick])
    return names, np.stack([at[name] for name in names], axis=1)


def _on_mesh(body: BodyModel, names: Iterable[str]) -> dict[str, tuple[IntArray, FloatArray]]:
    sources = {name: body.regressor(name) for name in names}
    return {name: source for name, source in sources.items() if not isinstance(source, str)}


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
        for kind, errors in _vertex_errors(body, ours, real).items():
            kinds[kind].append(errors)
    shown = ["pa"] if transform is None else list(kinds)
    return {k: summary(1000 * np.array(kinds[k], np.float64)).to_json() for k in shown}


def _vertex_errors(body: BodyModel, ours: FloatArray, real: FloatArray) -> dict[str, FloatArray]:
    """(V,) metres by alignment."""
    return {
        "absolute": point_errors(ours, real),
        "pelvis": point_errors(ours - _mid_hip(body, ours), real - _mid_hip(body, real)),
        "pa": point_errors(aligned_frames(ours, real), real),
    }


def _mid_hip(body: BodyModel, mesh: FloatArray) -> FloatArray:
    """(3,) metres; NaN for a body whose hips are not taken from its mesh (V, 3)."""
    hips = _on_mesh(body, HIPS).values()
    both = [weights @ mesh[index] for index, weights in hips]
    return np.mean(both, axis=0) if len(both) == len(HIPS) else np.full(3, np.nan)


def _evenly(rows: IntArray, most: int) -> IntArray:
    """At most so many of `rows`, evenly spread, the ends among them."""
    if len(rows) <= most:
        return rows
    return rows[np.round(np.linspace(0, len(rows) - 1, most)).astype(np.int64)]


def _reprojection(
    camera: Camera,
    names: tuple[str, ...],
    own: FloatArray,
    view: ViewTruth,
    frame: IntArray,
    someone: PersonTruth,
    real: FloatArray,
) -> dict[str, Any]:
    """The fitted keypoints in the camera as the result has it, against the true ones in the true.

    The truth is projected at the moment of the fit, which may lie between frames.
    """
    both = common_names(names, someone.markers.names)
    ours = own[:, columns(names, both)]
    truth = real[:, columns(someone.markers.names, both)]
    xy = np.stack([project(view.at(k), xyz) for k, xyz in zip(frame, truth, strict=True)])
    errors = reprojection(camera, ours, xy)
    return {"px": summary(errors.px).to_json(), "mm": summary(errors.mm).to_json()}


def _mesh_masks(
    body: BodyModel,
    motion: BodyMotion,
    camera: Camera,
    view: ViewTruth,
    frame: IntArray,
    person: int,
) -> dict[str, Any]:
    """Intersection over union of the drawn body with the person's true mask, up to 20 frames."""
    known = np.isfinite(motion.translation).all(axis=1)
    found = []
    for k in _evenly(np.flatnonzero(known), _MOST_MASKS):
        mesh = body.posed_vertices(motion.rotations[k], motion.translation[k], motion.shape)
        found.append(_drawn_iou(silhouette(body, camera, mesh), view, int(frame[k]), person))
    return summary(np.array(found, np.float64)).to_json()


def _bare_masks(
    body: BodyModel,
    truth: PersonTruth,
    view: ViewTruth,
    time: FloatArray,
    frame: IntArray,
    person: int,
) -> dict[str, Any]:
    """The same of the true body in the true camera: people wear clothes, so it is not 1."""
    if truth.motion.body != body.name:
        return summary(np.zeros(0)).to_json()
    rotations, translation = poses_at(truth, time)
    found = []
    for k in _evenly(np.flatnonzero(np.isfinite(translation).all(axis=1)), _MOST_MASKS):
        mesh = body.posed_vertices(rotations[k], translation[k], truth.motion.shape)
        drawn = silhouette(body, view.at(int(frame[k])), mesh)
        found.append(_drawn_iou(drawn, view, int(frame[k]), person))
    return summary(np.array(found, np.float64)).to_json()


def _drawn_iou(drawn: BoolArray, view: ViewTruth, frame: int, person: int) -> float:
    """What hides the person hides the true mask, and not the drawn body: pixels that show another
    person or an object are left out. NaN for pictures of another size."""
    labels, truth = view.masks.labels(frame), view.masks.person(frame, person)
    if drawn.shape != truth.shape:
        return float("nan")
    return float(mask_iou(drawn & ((labels == BACKGROUND) | truth), truth))


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

    masks: (frame of the view, (height, width) boolean). Frames in which nobody is in either say
    nothing.
    """
    found = [float(mask_iou(mask, view.masks.person(k, person))) for k, mask in masks]
    return summary(np.array(found, np.float64)).to_json()
