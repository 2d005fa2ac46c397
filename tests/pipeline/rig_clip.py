"""A made-up person before three cameras: triangulated points, and SAM 3D Body's outputs of each."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from kinefit.body.load import load_body
from kinefit.body.mhr import MhrModel, load_mhr
from kinefit.body.mhr_params import PARAMETERS, flip_axes
from kinefit.body.mhr_pose import pose_of_parameters
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project_rig
from kinefit.io.sam3d_outputs import Sam3dPerson, write_outputs
from kinefit.io.smpl import SmplData, write_smpl
from kinefit.multiview.bundle import save_bundle
from kinefit.multiview.triangulate import triangulate
from kinefit.skeletons import skeleton
from kinefit.types import CameraRig, FloatArray, Timeline

from ..body.synthetic import tube_body
from ..fit.tubes import ring

T, FIRST = 8, 3  # frames 3..10
NAMES = skeleton("mhr70").points
# Angles that a camera gets wrong here.
_BENDS = ("uparm_ry", "uparm_rz", "elbow_bend", "upleg_ry", "upleg_rz", "knee_bend")
_BODY = [i for i, name in enumerate(PARAMETERS) if name[2:] in _BENDS]
_HANDS = [i for i, n in enumerate(PARAMETERS[:130]) if "index" in n or "thumb" in n]


@dataclass(frozen=True)
class Clip:
    """bundle, views, body: files. names, xyz: (T, M, 3) metres, what was triangulated, true.

    persons: camera -> T outputs of the subject, as they were written.
    """

    folder: Path
    body: Path
    names: tuple[str, ...]
    xyz: FloatArray
    persons: dict[str, list[Sam3dPerson]]

    @property
    def bundle(self) -> Path:
        return self.folder / "walk.npz"

    @property
    def views(self) -> Path:
        return self.folder / "sam3d"

    def arguments(self, *more: object) -> list[str]:
        return [str(a) for a in ("fit", "frames", self.bundle, "--body", self.body, *more)]


def tube_clip(folder: Path) -> Clip:
    """A body of tubes, as an SMPL file, that swings its joints."""
    path = folder / "tubes_smpl.npz"
    _write_tubes(path)
    body, rng, time = load_body(path), np.random.default_rng(0), np.arange(T) / 30
    B = len(body.joint_names)
    swing = 0.3 * np.sin(2 * np.pi * rng.uniform(0.2, 0.6, (B, 3)) * time[:, None, None])
    rotations = so3.exp(swing + rng.normal(0, 0.2, (B, 3)))
    shape = rng.normal(0, 0.5, len(body.shape.names))
    place = np.stack([0.2 * time, 0 * time, 0.3 * time], axis=-1)
    _, joints = body.pose(rotations, place, body.rest_joints(shape))
    names = tuple(name for name in NAMES if name in body.regressors)
    xyz = body.regress(body.posed_vertices(rotations, place, shape), joints, names)
    rig, persons = ring(3), {}
    for camera in rig:
        seen = np.full((T, len(NAMES), 3), np.nan)
        noise = rng.normal(0, 0.01, (T, len(names), 3))
        seen[:, [NAMES.index(n) for n in names]] = (xyz + noise) @ camera.R.T
        persons[camera.name] = [Sam3dPerson(pred_keypoints_3d=points) for points in seen]
    return _written(folder, path, rig, names, xyz, persons)


def mhr_clip(folder: Path) -> Clip:
    """The made-up rig of MHR's joints, arms, legs and fingers bent."""
    from ..body import mhr_file

    path = folder / "mhr_model.pt"
    mhr_file.save(path)
    model, rng = load_mhr(path), np.random.default_rng(1)
    true = np.zeros((T, len(PARAMETERS)))
    true[:, _BODY] = rng.uniform(-0.4, 0.4, len(_BODY)) + 0.01 * np.arange(T)[:, None]
    true[:, _HANDS] = rng.uniform(-0.3, 0.3, len(_HANDS))
    names = tuple(name for name in skeleton("mhr46").points if name in model.body.regressors)
    xyz = _points(model, true, names)
    rig, persons = ring(3), {}
    for camera in rig:
        seen = true.copy()
        seen[:, _BODY] += rng.normal(0, 0.1, len(_BODY))
        seen[:, 3:6] = rng.normal(0, 1.0, 3)  # in the camera's own axes
        points = np.full((T, len(NAMES), 3), np.nan)
        known = tuple(name for name in NAMES if name in model.body.regressors)
        points[:, [NAMES.index(n) for n in known]] = flip_axes(_points(model, seen, known))
        persons[camera.name] = [
            Sam3dPerson(
                pred_keypoints_3d=points[t],
                mhr_model_params=seen[t].astype(np.float32),
                shape_params=np.zeros(45, dtype=np.float32),
            )
            for t in range(T)
        ]
    return _written(folder, path, rig, names, xyz, persons)


def real_clip(folder: Path, person: Sam3dPerson) -> Clip:
    """Anny, who is to take the pose of a real output that three cameras saw alike."""
    rng, rig = np.random.default_rng(2), ring(3)
    points = person.pred_keypoints_3d.astype(np.float64)
    drift = np.linspace(0, 0.02, T)[:, None, None]
    xyz = flip_axes(points) + drift
    persons = {
        camera.name: [
            Sam3dPerson(pred_keypoints_3d=points + rng.normal(0, 0.01, points.shape))
            for _ in range(T)
        ]
        for camera in rig
    }
    return _written(folder, Path("anny"), rig, NAMES, xyz, persons)


def _points(model: MhrModel, parameters: FloatArray, names: tuple[str, ...]) -> FloatArray:
    pose = pose_of_parameters(model, parameters, np.zeros(45))
    body = model.body
    mesh = body.posed_vertices(pose.rotations, pose.translation, pose.shape)
    _, joints = body.pose(pose.rotations, pose.translation, body.rest_joints(pose.shape))
    return body.regress(mesh, joints, names)


def _written(
    folder: Path, body: Path, rig: CameraRig, names: tuple[str, ...], xyz: FloatArray,
    persons: dict[str, list[Sam3dPerson]],
) -> Clip:  # fmt: skip
    clip = Clip(folder, body, names, xyz, persons)
    pixels = project_rig(rig, xyz)  # (C, T, M, 2)
    timeline = Timeline.regular(T, 30.0, FIRST)
    save_bundle(clip.bundle, triangulate(rig, timeline, names, pixels), rig)
    for camera, view in zip(rig, pixels, strict=True):
        low, high = view.min(axis=1), view.max(axis=1)
        for t, person in enumerate(persons[camera.name]):
            box = np.concatenate([low[t], high[t]])
            subject = Sam3dPerson(**person.arrays() | {"bbox": box})
            path = clip.views / camera.name / f"img_{FIRST + t:06d}.npy"
            write_outputs(path, [_bystander(subject, t), subject])
    return clip


def _bystander(subject: Sam3dPerson, t: int) -> Sam3dPerson:
    """Somebody smaller beside the subject, in another pose, and first in the list."""
    rng = np.random.default_rng(7)
    arrays = subject.arrays()
    low, high = arrays["bbox"][:2], arrays["bbox"][2:]
    size = (high - low) / 3
    arrays["bbox"] = np.concatenate([high + size, high + 2 * size])
    arrays["pred_keypoints_3d"] = rng.normal(0, 0.4, (len(NAMES), 3)) + 0.01 * t
    return Sam3dPerson(**arrays)


def _write_tubes(path: Path) -> None:
    """The tubes as an SMPL file: each joint is the mean of the ring of vertices around it."""
    body = tube_body(shape_count=10)  # as many as are read
    V, B = len(body.vertices), len(body.joint_names)
    regressor = np.zeros((B, V))
    for b in range(B):
        regressor[b, 12 * b : 12 * b + 6] = 1 / 6
    weights = np.zeros((V, B))
    np.add.at(weights, (np.arange(V)[:, None], body.skin_joints), body.skin_weights)
    data = SmplData(
        v_template=body.vertices,
        shapedirs=body.vertex_dirs.transpose(1, 2, 0),
        posedirs=np.zeros((V, 3, 9 * (B - 1))),
        J_regressor=sparse.csr_array(regressor),
        weights=weights,
        f=body.faces,
        parents=body.parents,
    )
    write_smpl(path, data)
