"""A made-up clip: a body of tubes that walks on the spot in front of a ring of cameras."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.body import BodyModel
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project_rig
from kinefit.types import BodyMotion, Camera, CameraRig, FloatArray, Observations, Timeline

from ..body.synthetic import tube_body

NAMES = (
    *("Nose", "LEar", "REar"),
    *(s + j for s in "LR" for j in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")),
    *(s + j for s in "LR" for j in ("Heel", "BigToe", "SmallToe")),
)


@dataclass(frozen=True, eq=False)
class MadeUp:
    body: BodyModel
    motion: BodyMotion
    points: FloatArray  # (T, J, 3) metres: NAMES
    data: Observations


def ring(count: int, size: tuple[int, int] = (1280, 960)) -> CameraRig:
    """Cameras in a circle of 3.5 m around the origin, all looking at its middle."""
    cameras = []
    for i in range(count):
        angle = 2 * np.pi * (i + 0.3) / count
        place = np.array([3.5 * np.sin(angle), 1.4, 3.5 * np.cos(angle)])
        forward = so3.unit(np.array([0, 0.9, 0]) - place)
        right = so3.unit(np.cross(forward, [0, 1.0, 0]))
        R = np.stack([right, np.cross(forward, right), forward])
        K = np.array([[1100, 0, size[0] / 2], [0, 1100, size[1] / 2], [0, 0, 1.0]])
        cameras.append(Camera(f"cam{i}", size, K, R, -R @ place))
    return CameraRig(tuple(cameras))


def clip(
    frames: int = 60,
    rate_hz: float = 30.0,
    cameras: int = 4,
    noise_px: float = 0.0,
    seed: int = 0,
) -> MadeUp:
    """Truth and data. The motion depends on time alone, so that rates can be compared."""
    rng = np.random.default_rng(seed)
    body = tube_body(1)
    timeline = Timeline.regular(frames, rate_hz)
    shape = np.array([0.8, -0.6, 0.5, 0.4])
    rotvec = np.zeros((frames, len(body.joint_names), 3))
    phase = np.sin(2 * np.pi * 0.6 * timeline.time)
    for side, sign in (("left", 1), ("right", -1)):
        at = {
            j: body.joint_names.index(f"{side}_{j}") for j in ("hip", "knee", "shoulder", "elbow")
        }
        rotvec[:, at["hip"], 0] = -0.4 * np.maximum(sign * phase, 0)
        rotvec[:, at["knee"], 0] = 0.8 * np.maximum(sign * phase, 0)
        rotvec[:, at["shoulder"], 2] = -sign * (1.0 + 0.2 * phase)
        rotvec[:, at["elbow"], 1] = -sign * (0.5 + 0.3 * phase)
    # The trunk turns, not the pelvis: a foot that stands does not slide.
    spine = body.joint_names.index("spine1")
    rotvec[:, spine, 1] = 0.3 * np.sin(2 * np.pi * 0.2 * timeline.time)
    rotations = so3.exp(rotvec)
    motion = BodyMotion(
        body.name, timeline, body.joint_names, rotations, np.zeros((frames, 3)), shape,
        body.shape.names,
    )  # fmt: skip
    _, joints = body.pose(rotations, motion.translation, body.rest_joints(shape))
    points = body.regress(body.motion_vertices(motion), joints, NAMES)
    rig = ring(cameras)
    xy = np.moveaxis(project_rig(rig, points), 0, 1) + noise_px * rng.standard_normal(
        (frames, cameras, len(NAMES), 2)
    )
    sigma = np.full(xy.shape[:3], max(noise_px, 1.0))
    start = points + 0.02 * rng.standard_normal(points.shape)
    return MadeUp(body, motion, points, Observations(timeline, rig, NAMES, xy, sigma, start))
