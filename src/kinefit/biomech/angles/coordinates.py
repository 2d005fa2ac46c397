"""Joint angles as coordinates of OpenSim's full-body models (Rajagopal 2016, LaiUhlrich 2022).

    coordinate (rotations in degrees)            right-hand turn about      from the group
    pelvis_tilt, pelvis_list, pelvis_rotation    Z, X, Y in the ground      pelvis
    pelvis_tx, pelvis_ty, pelvis_tz (metres)     -                          markers of the pelvis
    hip_flexion, hip_adduction, hip_rotation     Z, X, Y in the pelvis      hip
    knee_angle                                   -Z in the femur            knee
    ankle_angle, subtalar_angle                  the model's oblique axes   ankle
    lumbar_extension, _bending, _rotation        Z, X, Y in the pelvis      trunk
    arm_flex, arm_add, arm_rot                   Z, X, Y in the torso       shoulder
    elbow_flex, pro_sup                          the model's oblique axes   elbow

Left coordinates (..._l) are those of the mirrored person, as the models define them, so that
both sides read the same. The model's bodies are not the frames that landmarks span (its pelvis is
tilted by 8.5 degrees against the four spines): the difference is taken from `opensim.toml`, and
removed. What a subject differs from it stays as a constant offset. The older models (gait2392,
gait10dof18) count knee_angle negative in flexion.
"""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files

import numpy as np

from kinefit.biomech.angles.groups import GROUPS, group_names, joint_of, joint_rotation
from kinefit.biomech.angles.landmarks import Landmarks
from kinefit.biomech.angles.segments import SEGMENTS
from kinefit.geometry.rotations import (
    continuous,
    decompose,
    frame,
    two_axis_angles,
    unit,
    unwrap,
)
from kinefit.io.mot import MotTable
from kinefit.types import FloatArray, JointAngles, Markers, MissingMarkers

# Group -> its coordinates, and the axes of a joint that has two (else Z, X, Y).
_COORDINATES: dict[str, tuple[str, ...]] = {
    "pelvis": ("pelvis_tilt", "pelvis_list", "pelvis_rotation"),
    "hip": ("hip_flexion", "hip_adduction", "hip_rotation"),
    "knee": ("knee_angle",),
    "ankle": ("ankle_angle", "subtalar_angle"),
    "trunk": ("lumbar_extension", "lumbar_bending", "lumbar_rotation"),
    "shoulder": ("arm_flex", "arm_add", "arm_rot"),
    "elbow": ("elbow_flex", "pro_sup"),
}
_OBLIQUE = {"ankle": ("ankle", "subtalar"), "elbow": ("elbow", "radioulnar")}
# Frames of one body: those of its joint above and of its joint below.
_BODY_OF = {"femur": "thigh", "elbow": "humerus"}
_ASIS = ("asis_r", "asis_l")


def to_opensim(angles: JointAngles, markers: Markers | None = None) -> MotTable:
    """Coordinates in degrees (translations in metres) of every group that `angles` has.

    angles: as `joint_angles` makes them, also read back from a file.
    markers: of the same timeline; with the anterior spines among them the table gets the place of
        the pelvis, its origin put where the model has it relative to them, in proportion to
        their distance.

    Raises MissingMarkers when no whole group is there.
    """
    names: list[str] = []
    columns: list[FloatArray] = []
    for group in GROUPS:
        if not all(name in angles.names for name in group_names(group)[:3]):
            continue
        joint, _, side = group.partition("_")
        values = _coordinates(joint, _body_rotation(angles, group))
        names += [f"{name}_{side}" if side else name for name in _COORDINATES[joint]]
        columns += list(np.degrees(values).T)
        if group == "pelvis" and markers is not None:
            marks = Landmarks(markers)
            if not marks.missing(_ASIS):
                names += ["pelvis_tx", "pelvis_ty", "pelvis_tz"]
                columns += list(_pelvis_origin(marks, _body_rotation(angles, group)).T)
    if not names:
        raise MissingMarkers("OpenSim coordinates", GROUPS, "give a table with a whole joint group")
    return MotTable(angles.timeline, tuple(names), np.column_stack(columns), True)


def _body_rotation(angles: JointAngles, group: str) -> FloatArray:
    """(T, 3, 3) of the distal body in the proximal one, right or mirrored left side."""
    joint, _ = joint_of(group)
    rotation = joint_rotation(angles, group)
    if joint.proximal is not None:
        rotation = _segment_in_body(joint.proximal) @ rotation
    return np.asarray(rotation @ _segment_in_body(joint.distal).T)


def _coordinates(joint: str, rotation: FloatArray) -> FloatArray:
    """(T, C) radians of a joint's coordinates."""
    if joint in _OBLIQUE:
        first, second = (unit(np.array(_model()["axes"][name])) for name in _OBLIQUE[joint])
        return unwrap(two_axis_angles(rotation, first, second))
    turns = continuous(decompose(rotation, "ZXY"), "ZXY")
    return -turns[:, :1] if joint == "knee" else turns


def _pelvis_origin(marks: Landmarks, rotation: FloatArray) -> FloatArray:
    """(T, 3) metres, world."""
    model = {name: np.array(at) for name, at in _model()["landmarks"]["pelvis"].items()}
    right, left = (marks.position(name) for name in _ASIS)
    width = np.linalg.norm(right - left, axis=-1)
    scale = width / np.linalg.norm(model["asis_r"] - model["asis_l"])
    offset = (model["asis_r"] + model["asis_l"]) / 2
    return np.asarray((right + left) / 2 - scale[:, None] * (rotation @ offset))


@cache
def _model() -> dict[str, dict[str, dict[str, list[float]]]]:
    return tomllib.loads((files("kinefit.biomech.angles") / "opensim.toml").read_text("utf-8"))


@cache
def _segment_in_body(name: str) -> FloatArray:
    """(3, 3) the segment's frame in the body of the model."""
    at = {k: np.array(v) for k, v in _model()["landmarks"][_BODY_OF.get(name, name)].items()}
    segment = SEGMENTS[name]
    directions = (
        np.asarray(sum(weight * at[mark] for mark, weight in weights.items()))
        for weights in (segment.primary, segment.secondary)
    )
    return frame(segment.axes, *directions)
