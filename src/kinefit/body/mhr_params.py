"""Names of the Momentum Human Rig (MHR) and of SAM 3D Body's numbers, and what they mean.

The rig takes 204 model parameters; 133 of SAM 3D Body's are `body_pose_params`. Names, indices and
their sources are in `mhr.toml`.

Units and frames. The rig stands in its own frame: Y up, facing +Z, its left at +X, centimetres;
its root translation counts in tens of centimetres. SAM 3D Body's vertices, keypoints and joints
are metres in camera axes (x right, y down, z forward) about an origin that `pred_cam_t` moves to
the camera: `flip_axes` goes from one to the other. Its `pred_global_rots` stay in the rig's
frame. Angles are radians; three of one joint make R = Rz(z) Ry(y) Rx(x).
"""

from __future__ import annotations

import tomllib
from importlib.resources import files

import numpy as np

from kinefit.types import FloatArray

_TABLE = tomllib.loads((files("kinefit.body") / "mhr.toml").read_text("utf-8"))

JOINTS: tuple[str, ...] = tuple(_TABLE["joints"])
PARAMETERS: tuple[str, ...] = tuple(_TABLE["parameters"])
POSE_COUNT = 136  # of the 204; the scales follow
BODY_SIZE = 133  # body_pose_params: the pose without its root, and a jaw that nothing uses
LENGTH_PARAMETERS: tuple[str, ...] = PARAMETERS[130:POSE_COUNT]
SCALE_PARAMETERS: tuple[str, ...] = PARAMETERS[POSE_COUNT:]
ANATOMY: dict[str, str] = dict(_TABLE["anatomy"])
KEYPOINT_JOINTS: dict[str, str] = dict(_TABLE["keypoints"])

CM = 0.01  # metres
_FLIP = np.array([1.0, -1.0, -1.0])  # half a turn about X: its own inverse


def flip_axes(points: FloatArray) -> FloatArray:
    """(..., 3) from the rig's axes to camera axes, or back."""
    return np.asarray(points * _FLIP)
