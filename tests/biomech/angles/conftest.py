"""A body built from rotations, independently of the code under test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.types import FloatArray, Markers, Timeline

Local = dict[str, dict[str, FloatArray]]
Builder = Callable[..., Markers]

NAMES = {
    "asis": "ASIS", "psis": "PSIS", "knee_lat": "knee", "knee_med": "mknee",
    "ankle_lat": "ankle", "ankle_med": "mankle", "heel": "calc", "toe": "toe", "meta5": "5meta",
    "acromion": "shoulder", "elbow_lat": "lelbow", "elbow_med": "melbow",
    "wrist_lat": "lwrist", "wrist_med": "mwrist",
}  # fmt: skip
MIRROR = np.diag([1.0, 1.0, -1.0])

# Landmarks in segments whose axes are those of the frames that the landmarks span.
ALIGNED: dict[str, dict[str, list[float]]] = {
    "pelvis": {
        "asis_r": [0, 0, 0.12], "asis_l": [0, 0, -0.12],
        "psis_r": [-0.17, 0, 0.05], "psis_l": [-0.17, 0, -0.05],
    },
    "thigh": {"hip_r": [0, 0, 0], "knee_lat_r": [0, -0.4, 0.05], "knee_med_r": [0, -0.4, -0.05]},
    "shank": {
        "knee_lat_r": [0, 0, 0.05], "knee_med_r": [0, 0, -0.05],
        "ankle_lat_r": [0, -0.39, 0.04], "ankle_med_r": [0, -0.39, -0.04],
    },
    "foot": {"heel_r": [-0.05, 0, 0], "toe_r": [0.16, 0, -0.04], "meta5_r": [0.13, 0, 0.04]},
    "trunk": {
        "lumbar": [0, 0, 0], "acromion_r": [0, 0.4, 0.17], "acromion_l": [0, 0.4, -0.17],
    },
    "humerus": {
        "shoulder_r": [0, 0, 0], "elbow_lat_r": [0, -0.3, 0.04], "elbow_med_r": [0, -0.3, -0.04],
    },
    "forearm": {
        "elbow_lat_r": [0, 0.25, 0.03], "elbow_med_r": [0, 0.25, -0.03],
        "wrist_lat_r": [0, 0, 0.05], "wrist_med_r": [0, 0, 0],
    },
}  # fmt: skip


def marker_name(landmark: str) -> str:
    """OpenCap's name of a landmark: ankle_lat_r -> r_ankle_study."""
    stem, side = landmark[:-2], landmark[-1]
    if stem == "hip":
        return f"{side.upper()}HJC_study"
    dot = "." if stem in ("asis", "psis") else "_"
    return f"{'r' if side == 'r' else 'L'}{dot}{NAMES[stem]}_study"


def _middle(points: dict[str, FloatArray], stem: str) -> FloatArray:
    return (points[f"{stem}_lat_r"] + points[f"{stem}_med_r"]) / 2


def _half_body(
    local: Local, pelvis: FloatArray, turns: dict[str, FloatArray]
) -> dict[str, FloatArray]:
    """World positions (T, 3) of the pelvis, the trunk and the right limbs.

    pelvis: (T, 3, 3); turns: joint -> rotation (T, 3, 3) of its distal body in its proximal one.
    """
    hip = pelvis @ turns["hip"]
    shank = hip @ turns["knee"]
    foot = shank @ turns["ankle"]
    trunk = pelvis @ turns["trunk"]
    humerus = trunk @ turns["shoulder"]
    forearm = humerus @ turns["elbow"]
    at = {name: pelvis @ point for name, point in local["pelvis"].items()}
    at["hip_r"] = pelvis @ np.array([-0.06, -0.08, 0.08])
    for name in ("knee_lat_r", "knee_med_r"):
        at[name] = at["hip_r"] + hip @ (local["thigh"][name] - local["thigh"]["hip_r"])
    for name in ("ankle_lat_r", "ankle_med_r"):
        at[name] = _middle(at, "knee") + shank @ (
            local["shank"][name] - _middle(local["shank"], "knee")
        )
    for name, point in local["foot"].items():
        at[name] = _middle(at, "ankle") + foot @ point
    front, back = (
        (local["pelvis"][f"{s}_r"] + local["pelvis"][f"{s}_l"]) / 2 for s in ("asis", "psis")
    )
    width = local["pelvis"]["asis_r"] - local["pelvis"]["asis_l"]
    up = np.cross(width, front - back)
    up *= np.linalg.norm(width) / np.linalg.norm(up)
    lumbar = pelvis @ (front - 0.735 * (front - back) + 0.237 * up)
    for name in ("acromion_r", "acromion_l"):
        at[name] = lumbar + trunk @ (local["trunk"][name] - local["trunk"]["lumbar"])
    across = np.linalg.norm(local["trunk"]["acromion_r"] - local["trunk"]["acromion_l"])
    rise = (at["acromion_r"] + at["acromion_l"]) / 2 - lumbar
    rise /= np.linalg.norm(rise, axis=-1, keepdims=True)
    shoulder = at["acromion_r"] - 0.17 * across * rise
    for name in ("elbow_lat_r", "elbow_med_r"):
        at[name] = shoulder + humerus @ (local["humerus"][name] - local["humerus"]["shoulder_r"])
    for name in ("wrist_lat_r", "wrist_med_r"):
        at[name] = _middle(at, "elbow") + forearm @ (
            local["forearm"][name] - _middle(local["forearm"], "elbow")
        )
    return at


@pytest.fixture(scope="session")
def build() -> Builder:
    """Markers of a body from rotations.

    pelvis: Rotation of T samples in the world; turns: "hip_r", "knee_l", "trunk", ... ->
    Rotation, those of the left as of the mirrored body; missing ones are aligned.
    """

    def make(
        pelvis: Rotation, turns: dict[str, Rotation],
        local: dict[str, dict[str, list[float]]] = ALIGNED,
    ) -> Markers:  # fmt: skip
        R = np.atleast_3d(pelvis.as_matrix()).reshape(-1, 3, 3)
        bodies = {
            s: {k: np.array(v, float) for k, v in marks.items()} for s, marks in local.items()
        }
        joints = ("hip", "knee", "ankle", "shoulder", "elbow")
        at: dict[str, FloatArray] = {}
        for side in "rl":
            still = np.tile(np.eye(3), (len(R), 1, 1))
            given = {j: turns.get(f"{j}_{side}") for j in joints} | {"trunk": turns.get("trunk")}
            own = {
                j: still if r is None else r.as_matrix().reshape(-1, 3, 3) for j, r in given.items()
            }
            if side == "r":
                at |= _half_body(bodies, R, own)
                continue
            own["trunk"] = MIRROR @ own["trunk"] @ MIRROR
            half = _half_body(bodies, MIRROR @ R @ MIRROR, own)
            at |= {
                name[:-1] + "l": xyz @ MIRROR
                for name, xyz in half.items()
                if name.endswith("_r") and not name.startswith(("asis", "psis", "acromion"))
            }
        xyz = np.stack(list(at.values()), axis=1) + np.array([0.3, 0.9, -0.2])
        return Markers(Timeline.regular(len(R), 100.0), tuple(marker_name(n) for n in at), xyz)

    return make


@pytest.fixture(scope="session")
def opencap() -> Path:
    """Folder of the OpenCap recordings, beside the repository."""
    folder = Path(__file__).parents[3].parent / "shared" / "data" / "opencap" / "Subject4"
    if not folder.is_dir():
        pytest.skip("the OpenCap recordings are not here (../shared/data/opencap)")
    return folder
