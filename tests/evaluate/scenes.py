"""A scene without pictures: a body that walks on the spot and waves, filmed by exact cameras."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.biomech.angles import joint_angles
from kinefit.body.anny import load_anny
from kinefit.body.contact import FEET
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import intrinsics, project
from kinefit.io.calibration import write_calibration
from kinefit.io.video import VideoWriter
from kinefit.pipeline.provenance import sha256_file
from kinefit.synth.body_points import body_points
from kinefit.synth.cameras import looking
from kinefit.synth.placing import contacts, standing_heights
from kinefit.synth.subjects import mass, stature
from kinefit.synth.truth import (
    LabelRuns,
    PersonTruth,
    SceneTruth,
    ViewTruth,
    Visibility,
    encode,
    person_label,
    write_truth,
)
from kinefit.types import (
    BodyMotion,
    Camera,
    FloatArray,
    Keypoints2D,
    Keypoints3D,
    Markers,
    PoseTrack,
    Timeline,
)

RATE, FRAMES, SIZE = 30.0, 24, (270, 360)
# Joint of Anny, axis at rest, radians, phase: arms and legs swing, the trunk turns.
_SWINGS = (
    ("upperleg01.L", 0, 0.5, 0.0),
    ("upperleg01.R", 0, 0.5, np.pi),
    ("lowerleg01.L", 0, 0.5, 1.0),
    ("lowerleg01.R", 0, 0.5, 1.0 + np.pi),
    ("upperarm01.L", 2, 0.6, 0.3),
    ("upperarm01.R", 0, 0.5, 0.0),
    ("lowerarm01.L", 0, 0.5, 0.7),
    ("spine03", 1, 0.2, 0.0),
)


def body_motion(time: FloatArray, shape: FloatArray, x: float = 0.0) -> BodyMotion:
    """Smooth at any `time` (T,): sines of 1 Hz, walking 0.4 m/s along Z from (x, 0)."""
    body = load_anny()
    vectors = np.zeros((len(time), len(body.joint_names), 3))
    for joint, axis, size, phase in _SWINGS:
        at = body.joint_names.index(joint)
        vectors[:, at, axis] = size * np.sin(2 * np.pi * time + phase)
    low = body.rest_vertices(shape)[:, 1].min()
    translation = np.stack([np.full_like(time, x), np.full_like(time, -low), 0.4 * time], axis=1)
    return BodyMotion(
        body.name,
        Timeline(np.arange(len(time)), time),
        body.joint_names,
        so3.exp(vectors),
        translation,
        shape,
        body.shape.names,
    )


def person(time: FloatArray, x: float = 0.0, taller: float = 0.0) -> PersonTruth:
    body = load_anny()
    shape = np.array(body.shape.neutral)
    shape[list(body.shape.names).index("height")] += taller
    motion = body_motion(time, shape, x)
    points = body_points(body)
    keypoints, marks = points.at(motion.rotations, motion.translation, shape)
    markers = Markers(
        motion.timeline,
        (*points.keypoints, *points.markers),
        np.concatenate([keypoints, marks], axis=1),
    )
    feet = keypoints[:, [points.keypoints.index(name) for name in FEET]]
    return PersonTruth(
        points=Keypoints3D(motion.timeline, points.keypoints, keypoints, "world"),
        markers=markers,
        angles=joint_angles(markers),
        motion=motion,
        contact=contacts(time, feet, standing_heights(body, shape)),
        stature_m=stature(body, shape),
        mass_kg=mass(body, shape),
    )


def camera(name: str, azimuth: float) -> Camera:
    """4 m away, a little above the hips, looking at them."""
    eye = np.array([4 * np.sin(azimuth), 1.2, 4 * np.cos(azimuth)])
    R = looking(np.array([0.0, 0.9, 0.0]) - eye)
    return Camera(name, SIZE, intrinsics(400.0, SIZE), R, -R @ eye)


def view(
    at: Camera, xyz: FloatArray, time: FloatArray, offset_s: float, masks: LabelRuns
) -> ViewTruth:
    """xyz: (P, T, K, 3) at the moments of the frames. All points are seen."""
    T = len(time)
    xy = project(at, xyz)
    return ViewTruth(
        camera=at,
        R=np.tile(at.R, (T, 1, 1)),
        t=np.tile(at.t, (T, 1)),
        timeline=Timeline.regular(T, RATE),
        time=Timeline.regular(T, RATE).time + offset_s,
        xy=xy,
        visibility=np.full(xy.shape[:-1], Visibility.VISIBLE, np.uint8),
        masks=masks,
    )


def empty_masks(count: int) -> LabelRuns:
    nothing = encode(np.zeros(SIZE[::-1], np.uint8))
    return LabelRuns.of(SIZE, [nothing] * count)


@cache
def scene(
    views: int = 2, people: int = 1, offset_s: float = 0.0, frames: int = FRAMES
) -> SceneTruth:
    """offset_s: of every camera but the first."""
    time = Timeline.regular(frames, RATE).time
    cast = tuple(person(time, x=0.9 * p, taller=0.1 * p) for p in range(people))
    out = []
    for c in range(views):
        late = offset_s if c else 0.0
        moved = np.stack([person(time + late, 0.9 * p, 0.1 * p).points.xyz for p in range(people)])
        at = camera(f"cam{c + 1:02d}", 0.5 + c * 1.2)
        out.append(view(at, moved, time, late, empty_masks(frames)))
    return SceneTruth(cast, tuple(out))


def with_silhouettes(truth: SceneTruth, frames: int) -> SceneTruth:
    """The first view's masks as the body's silhouettes; those after `frames` show nobody."""
    from kinefit.evaluate.body_scores import silhouette

    body, first, someone = load_anny(), truth.views[0], truth.people[0].motion
    pictures = []
    for k in range(len(first.timeline)):
        labels = np.zeros(SIZE[::-1], np.uint8)
        if k < frames:
            mesh = body.posed_vertices(someone.rotations[k], someone.translation[k], someone.shape)
            labels[silhouette(body, first.camera, mesh)] = person_label(0)
        pictures.append(encode(labels))
    seen = replace(first, masks=LabelRuns.of(SIZE, pictures))
    return replace(truth, views=(seen, *truth.views[1:]))


def track(truth: SceneTruth, name: str, skeleton: str = "blazepose33") -> PoseTrack:
    """What a faultless detector would say: true pixels, and points from the mid-hip."""
    image = truth.image_points(name, skeleton)
    at = truth.view(name)
    points = truth.people[0].keypoints(skeleton)
    xyz = points.xyz @ at.camera.R.T
    hips = [points.names.index(n) for n in ("LHip", "RHip")]
    xyz = xyz - xyz[:, hips].mean(axis=1, keepdims=True)
    body = Keypoints3D(image.timeline, image.names, xyz, "camera")
    return PoseTrack(image, body, (), "truth")


def changed(image: Keypoints2D, xy: FloatArray) -> Keypoints2D:
    return replace(image, xy=xy)


def write_scene(folder: Path, truth: SceneTruth, grey: int = 0) -> dict[str, str]:
    """A folder as `kinefit synth` leaves it, of grey pictures; SHA-256 of each file."""
    folder.mkdir(parents=True)
    names = [f"{name}.mp4" for name in truth.rig.names]
    for c, name in enumerate(names):
        picture = np.full((*SIZE[::-1], 3), grey + c, np.uint8)
        with VideoWriter(folder / name, SIZE, rate_hz=RATE) as writer:
            for k in range(FRAMES):
                writer.add(picture, k / RATE)
    write_truth(folder / "truth.npz", truth)
    write_calibration(folder / "calibration.toml", truth.rig, "aniposelib")
    listed = {n: sha256_file(folder / n) for n in (*names, "calibration.toml", "truth.npz")}
    (folder / "scene.json").write_text(json.dumps({"sha256": listed}))
    return listed


@dataclass(frozen=True)
class Moved:
    """A similarity that tests move results by."""

    R: FloatArray
    t: FloatArray
    scale: float = 1.0

    def __call__(self, xyz: FloatArray) -> FloatArray:
        return np.asarray(self.scale * xyz @ self.R.T + self.t)


def numbers(scores: Any) -> list[float]:
    """All numbers in nested scores."""
    if isinstance(scores, dict):
        return [n for value in scores.values() for n in numbers(value)]
    return [float(scores)] if isinstance(scores, float | int) else []
