"""Segment frames from landmarks: X anterior, Y proximal, Z right (ISB), stated as data.

An axis is a direction between landmarks, a weighted sum whose weights add up to zero. The first
axis of `axes` lies exactly along `primary`; the second in the plane that `secondary` spans with
it. Left segments are right ones of the mirrored person (see `landmarks.Landmarks`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.biomech.angles.landmarks import Landmarks
from kinefit.geometry.rotations import frame
from kinefit.types import FloatArray

Direction = dict[str, float]


@dataclass(frozen=True)
class Segment:
    """A recipe for one frame."""

    axes: str
    primary: Direction
    secondary: Direction

    @property
    def landmarks(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.primary, *self.secondary)))


_THIGH_AXIS = {"hip_r": 1.0, "knee_lat_r": -0.5, "knee_med_r": -0.5}
_KNEE_AXIS = {"knee_lat_r": 1.0, "knee_med_r": -1.0}
_ARM_AXIS = {"shoulder_r": 1.0, "elbow_lat_r": -0.5, "elbow_med_r": -0.5}
_ELBOW_AXIS = {"elbow_lat_r": 1.0, "elbow_med_r": -1.0}

SEGMENTS = {
    # X from the middle of the posterior to that of the anterior spines, Z along the anterior
    # ones. With Z exactly (Wu 2002) the heading rests on two markers: hip adduction and rotation
    # then miss OpenSim's by up to 0.62 degrees SD, against 0.13 (4 OpenCap motions).
    "pelvis": Segment(
        "XZ",
        {"asis_r": 0.5, "asis_l": 0.5, "psis_r": -0.5, "psis_l": -0.5},
        {"asis_r": 1.0, "asis_l": -1.0},
    ),
    # Wu 2002: Y from the middle of the epicondyles to the hip centre. The hip's distal frame.
    "thigh": Segment("YZ", _THIGH_AXIS, _KNEE_AXIS),
    # The knee's proximal frame keeps the epicondyles as its flexion axis (Grood & Suntay's e1):
    # 0.4-0.9 degrees SD against OpenSim's knee; with the thigh's frame 0.6-1.2.
    "femur": Segment("ZY", _KNEE_AXIS, _THIGH_AXIS),
    # Y from the middle of the malleoli to that of the epicondyles, Z by the malleoli (Wu 2002).
    "shank": Segment(
        "YZ",
        {"knee_lat_r": 0.5, "knee_med_r": 0.5, "ankle_lat_r": -0.5, "ankle_med_r": -0.5},
        {"ankle_lat_r": 1.0, "ankle_med_r": -1.0},
    ),
    # X from the heel to the forefoot, Z across it.
    "foot": Segment(
        "XZ",
        {"toe_r": 0.5, "meta5_r": 0.5, "heel_r": -1.0},
        {"meta5_r": 1.0, "toe_r": -1.0},
    ),
    # Y from the lumbar joint to the middle of the acromia, Z along them. Thoracic markers alone
    # (X from C7 to the acromia, nearer to ISB) follow the shoulder girdle: in squats with the arms
    # stretched out lumbar extension misses OpenSim's by 9.6 degrees SD, with this by 1.3.
    "trunk": Segment(
        "YZ",
        {"acromion_r": 0.5, "acromion_l": 0.5, "lumbar": -1.0},
        {"acromion_r": 1.0, "acromion_l": -1.0},
    ),
    # Wu 2005, first option.
    "humerus": Segment("YZ", _ARM_AXIS, _ELBOW_AXIS),
    # The elbow's proximal frame keeps the epicondyles as its flexion axis, as the knee's does.
    "elbow": Segment("ZY", _ELBOW_AXIS, _ARM_AXIS),
    # Wu 2005: Y from the ulnar styloid to the middle of the epicondyles, Z towards the radial one.
    "forearm": Segment(
        "YZ",
        {"elbow_lat_r": 0.5, "elbow_med_r": 0.5, "wrist_med_r": -1.0},
        {"wrist_lat_r": 1.0, "wrist_med_r": -1.0},
    ),
}


def segment_frame(landmarks: Landmarks, name: str) -> FloatArray:
    """(T, 3, 3) axes of a segment in columns, world; NaN where a landmark is missing."""
    segment = SEGMENTS[name]
    directions = (
        np.asarray(sum(weight * landmarks.position(mark) for mark, weight in weights.items()))
        for weights in (segment.primary, segment.secondary)
    )
    return frame(segment.axes, *directions)
