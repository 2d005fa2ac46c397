"""A skeleton in the posture of other joint angles: bones as long as they were, turned."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from kinefit.biomech.angles.groups import JOINTS, joint_rotation
from kinefit.biomech.angles.landmarks import Landmarks
from kinefit.biomech.angles.segments import segment_frame
from kinefit.types import FloatArray, JointAngles, Markers

BONES = (
    ("Hip", "Neck"), ("Neck", "Nose"),
    *((a.replace("?", side), b.replace("?", side)) for side in "RL" for a, b in (
        ("Hip", "?Hip"), ("?Hip", "?Knee"), ("?Knee", "?Ankle"), ("?Ankle", "?Heel"),
        ("?Ankle", "?BigToe"), ("Neck", "?Shoulder"), ("?Shoulder", "?Elbow"),
        ("?Elbow", "?Wrist"),
    )),
)  # fmt: skip
POINTS = ("Hip", *(end for _, end in BONES))
# Group -> the one whose distal segment carries its proximal one.
_CARRIED_BY = {"hip": "pelvis", "knee": "hip", "ankle": "knee", "trunk": "pelvis",
               "shoulder": "trunk", "elbow": "shoulder"}  # fmt: skip
# End of a bone (without side) -> the group that turns it.
_TURNED_BY = {"Neck": "trunk", "Nose": "trunk", "Hip": "pelvis", "Knee": "hip", "Ankle": "knee",
              "Heel": "ankle", "BigToe": "ankle", "Shoulder": "trunk", "Elbow": "shoulder",
              "Wrist": "elbow"}  # fmt: skip
_MIRROR = np.diag([1.0, 1.0, -1.0])


def joint_of_point(name: str) -> str:
    """The group whose angles turn the bone that ends at a point of `POINTS`."""
    if name == "Hip":
        return "pelvis"
    joint, side = _TURNED_BY[name.lstrip("RL") if name != "Nose" else name], name[0].lower()
    return joint if joint in ("pelvis", "trunk") else f"{joint}_{side}"


def turned_skeleton(markers: Markers, before: JointAngles, after: JointAngles) -> FloatArray:
    """(T, P, 3) metres of `POINTS` in the posture of `after`.

    markers: the 65 of a run, in the posture of `before`; the mid-hip stays where it is.

    Raises InvalidData for angles that lack a group, MissingMarkers for markers that lack a landmark
    or point.
    """
    right = _turns(markers, before, after, "r", {"pelvis": _change(before, after, "pelvis")})
    middle = {joint: right[joint] for joint in ("pelvis", "trunk")}
    turns = {"r": right, "l": _turns(markers, before, after, "l", middle)}
    points = markers.select(POINTS).xyz
    at = dict(zip(POINTS, np.moveaxis(points, 1, 0), strict=True))
    out = {"Hip": at["Hip"]}
    for start, end in BONES:
        group = joint_of_point(end)
        turn = turns["l" if group.endswith("_l") else "r"][group.partition("_")[0]]
        out[end] = out[start] + (turn @ (at[end] - at[start])[..., None])[..., 0]
    return np.stack([out[name] for name in POINTS], axis=1)


def _turns(
    markers: Markers, before: JointAngles, after: JointAngles, side: str,
    known: Mapping[str, FloatArray],
) -> dict[str, FloatArray]:  # fmt: skip
    """Joint -> (T, 3, 3), world, what turns its distal segment from one posture to the other.

    known: what is not to be read from this side. A segment's frame is F_p R, R in that of the
    proximal one, F_p: it is turned by D_p F_p R' R^T F_p^T, D_p what turns the proximal one.
    """
    landmarks, found = Landmarks(markers, side), dict(known)
    flip = _MIRROR if side == "l" else np.eye(3)
    for joint, carrier in _CARRIED_BY.items():
        if joint in found:
            continue
        proximal = JOINTS[joint].proximal
        assert proximal is not None
        frame = flip @ segment_frame(landmarks, proximal)
        change = _change(before, after, joint if joint == "trunk" else f"{joint}_{side}")
        found[joint] = found[carrier] @ frame @ change @ np.swapaxes(frame, -1, -2)
    return found


def _change(before: JointAngles, after: JointAngles, group: str) -> FloatArray:
    old, new = (joint_rotation(angles, group) for angles in (before, after))
    return np.asarray(new @ np.swapaxes(old, -1, -2))
