"""A person of known size who walks before a known camera, as an ideal detector would see them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest

from kinefit.geometry.align import rotation_between
from kinefit.geometry.projection import intrinsics, project, rays, to_camera
from kinefit.geometry.scale import CHAINS
from kinefit.metric.placement import SOLE_BELOW_LANDMARK
from kinefit.skeletons import skeleton
from kinefit.types import Camera, Keypoints2D, Keypoints3D, PoseTrack, Timeline

NAMES = skeleton("blazepose33").points
SIZE = (1920, 1080)
HEIGHT = 1.75
STEP = 0.5  # seconds


@dataclass(frozen=True)
class Scene:
    """xyz: (T, 33, 3) metres, Y up, soles on Y = 0."""

    timeline: Timeline
    xyz: np.ndarray
    camera: Camera

    @property
    def hip(self) -> np.ndarray:
        return self.xyz[:, [NAMES.index("LHip"), NAMES.index("RHip")]].mean(axis=1)


def make_camera(tilt: float, roll: float, focal: float = 1400.0, distance: float = 5.0) -> Camera:
    """At 1.4 m height and `distance` from the origin along Z, aimed by its angles (degrees)."""
    # Camera axes in the world, turned about the world's X by the tilt, then about its own axis.
    tilt, roll = np.radians([tilt, roll])
    right, down, forward = np.eye(3) * [1, -1, -1]
    forward, down = (
        np.cos(tilt) * forward + np.sin(tilt) * down,
        np.cos(tilt) * down - np.sin(tilt) * forward,
    )
    right, down = (
        np.cos(roll) * right + np.sin(roll) * down,
        np.cos(roll) * down - np.sin(roll) * right,
    )
    R = np.array([right, down, forward])
    return Camera("c", SIZE, intrinsics(focal, SIZE), R, -R @ [0.0, 1.4, distance])


def walker(time: np.ndarray, heading_deg: float, speed: float = 1.0) -> np.ndarray:
    """(T, 33, 3): a trunk that glides, legs that step; bone lengths exactly those of CHAINS."""
    whole, legs, trunk = (chain.ratio * HEIGHT for chain in CHAINS)
    assert whole == pytest.approx(legs + trunk)
    heading = np.radians(heading_deg)
    ahead = np.array([np.sin(heading), 0, np.cos(heading)])  # 0: towards the camera, +Z
    left = np.cross([0.0, 1, 0], ahead)
    up = np.array([0.0, 1, 0])
    ankle_height = 0.0405 * HEIGHT
    hip = speed * (time - time.mean())[:, None] * ahead + (ankle_height + 0.97 * legs) * up
    point = {name: hip.copy() for name in NAMES}
    shoulder = hip + trunk * up
    for name, rise, front in (("Ear", 0.19, 0.0), ("Eye", 0.21, 0.08), ("Mouth", 0.13, 0.09)):
        for side, sign in (("L", 1), ("R", -1)):
            for full in (n for n in NAMES if n.startswith(side + name)):
                point[full] = shoulder + rise * up + front * ahead + sign * 0.06 * left
    point["Nose"] = shoulder + 0.17 * up + 0.11 * ahead
    for side, sign in (("L", 1), ("R", -1)):
        point[side + "Shoulder"] = shoulder + sign * 0.17 * left
        point[side + "Elbow"] = point[side + "Shoulder"] - 0.28 * up
        point[side + "Wrist"] = point[side + "Elbow"] - 0.25 * up
        for n in ("Pinky", "Index", "Thumb"):
            point[side + n] = point[side + "Wrist"] - 0.08 * up
        point[side + "Hip"] = hip + sign * 0.09 * left
        phase = time / STEP + (0 if side == "L" else 1)  # stance on [0, 1), swing on [1, 2)
        stride, within = np.divmod(phase, 2)
        swing = np.clip(within - 1, 0, 1)
        travelled = 2 * stride + 0.5 + 2 * (3 * swing**2 - 2 * swing**3)  # in steps
        lead = speed * (STEP * (travelled - (0 if side == "L" else 1)) - time)
        ankle = hip * [1, 0, 1] + lead[:, None] * ahead + sign * 0.09 * left
        ankle = ankle + (ankle_height + 0.1 * np.sin(np.pi * swing)[:, None]) * up
        point[side + "Ankle"] = ankle
        sole = ankle + (SOLE_BELOW_LANDMARK - ankle_height) * up
        point[side + "Heel"] = sole - 0.05 * ahead
        point[side + "BigToe"] = sole + 0.16 * ahead
        # Thigh and shank of equal length: the knee lies in front of their middle.
        along = ankle - point[side + "Hip"]
        length = np.linalg.norm(along, axis=1, keepdims=True)
        bend = np.sqrt(np.maximum((legs / 2) ** 2 - (length / 2) ** 2, 0))
        front = ahead - (along @ ahead)[:, None] * along / length**2
        front /= np.linalg.norm(front, axis=1, keepdims=True)
        point[side + "Knee"] = point[side + "Hip"] + along / 2 + bend * front
    return np.stack([point[n] for n in NAMES], axis=1)


def make_scene(
    seconds: float = 4.0,
    rate_hz: float = 30.0,
    *,
    heading_deg: float = 90.0,
    speed: float = 1.0,
    tilt: float = 10.0,
    roll: float = -5.0,
    distance: float = 5.0,
) -> Scene:
    timeline = Timeline.regular(round(seconds * rate_hz), rate_hz)
    xyz = walker(timeline.time, heading_deg, speed)
    return Scene(timeline, xyz, make_camera(tilt, roll, distance=distance))


def film(
    scene: Scene,
    *,
    unit: float = 1.0,
    pixel_noise: float = 0.0,
    body_noise: float = 0.0,
    seed: int = 0,
) -> PoseTrack:
    """What an ideal detector reports, with white noise (px, metres) if wanted.

    unit: metres per unit of the reported body. As MediaPipe does, the body's forward is the
    direction in which the person is seen.
    """
    rng = np.random.default_rng(seed)
    xy = project(scene.camera, scene.xyz)
    seen = to_camera(scene.camera, scene.xyz)
    centred = seen - to_camera(scene.camera, scene.hip)[:, None]
    centre = rays(scene.camera.K, xy).mean(axis=1)
    R = rotation_between(np.broadcast_to([0.0, 0, 1], centre.shape), centre)
    body = (centred @ R + rng.normal(scale=body_noise, size=centred.shape)) / unit
    image = Keypoints2D(
        scene.timeline,
        NAMES,
        xy + rng.normal(scale=pixel_noise, size=xy.shape),
        np.ones(xy.shape[:2]),
        SIZE,
    )
    return PoseTrack(image, Keypoints3D(scene.timeline, NAMES, body, "camera"), (), "ideal")


class Studio:
    """The builders above, for tests to call."""

    names = NAMES
    height = HEIGHT
    scene = staticmethod(make_scene)
    film = staticmethod(film)

    @staticmethod
    def edit(track: PoseTrack, *, xy=None, score=None, body=None) -> PoseTrack:
        """`track` with some arrays replaced."""
        image = replace(
            track.image,
            xy=track.image.xy if xy is None else xy,
            score=track.image.score if score is None else score,
        )
        assert track.body is not None
        xyz = track.body.xyz if body is None else body
        return replace(track, image=image, body=replace(track.body, xyz=xyz))


@pytest.fixture
def studio() -> type[Studio]:
    return Studio
