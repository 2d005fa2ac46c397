"""The joint groups and their angles.

Signs, equal on both sides; every zero is where the two segment frames coincide. "abd" is
positive in abduction, so that a column means what its name says: that is minus ISB's and
OpenSim's adduction.

    group      flex +                 abd +                  rot +             OpenSim
    pelvis     tilt to the front      list: right side down  turn to the left  -tilt, list, rotation
    hip        flexion                abduction              internal          flexion, -adduction, rotation
    knee       flexion                abduction (valgus)     internal (shank)  knee_angle
    ankle      dorsiflexion           eversion               internal (toes)   ankle, -subtalar
    trunk      bending to the front   bending to the right   turn to the left  -extension, bending, rotation
    shoulder   elevation to the front elevation sideways     internal          (arm_flex, -arm_add, arm_rot)
    elbow      flexion                valgus (carrying)      pronation         elbow_flex, pro_sup

Hip, knee, ankle, trunk (in the pelvis), elbow, and the pelvis in the world: Cardan Z-X-Y, the
order of Grood & Suntay 1983 and Wu et al. 2002. Pelvis rotation is zero when the person faces the
world's +X, as in OpenSim; tilt and list are turns about the world's Z and X, so they are the
person's own only as far as the person faces along X (facing along Z they trade places).

Constants that the landmarks carry: knee and ankle rotation are read against the malleoli and hold
the twist of the tibia (10-20 degrees); ankle abduction holds the slope from the big toe's marker
down to the fifth metatarsal's (15-30 degrees of inversion).

The shoulder (humerus in trunk) is given twice. `plane`, `elev`, `axial` are Y-X-Y of Wu et al.
2005 (plane 0 is abduction, 90 is flexion; elevation positive), which says nothing about plane
and axial rotation with the arm at the side. `flex`, `abd`, `rot` are swing and twist: the shortest
arc from the hanging arm to where it is, as components to the front and to the side, and the
turn about its own axis. Pure flexion and pure abduction read as what they are, at rest nothing is
singular, and the one singular place is the arm straight up (180 degrees). Not taken: X-Z-Y
(Phadke et al. 2011), singular at 90 degrees of flexion, a common posture.
"""  # noqa: E501 (the table is read across)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from kinefit.biomech.angles.landmarks import Landmarks
from kinefit.biomech.angles.segments import SEGMENTS, segment_frame
from kinefit.geometry.rotations import (
    compose,
    continuous,
    continuous_swing_twist,
    decompose,
    from_swing_twist,
    singularity_distance,
    swing_twist,
)
from kinefit.types import BoolArray, FloatArray, JointAngles, Markers, MissingMarkers

# Nearer than this to a singularity noise in the markers is amplified more than 1/sin(10) = 5.8
# times in the angles that are flagged.
GIMBAL_DEG = 10.0


@dataclass(frozen=True)
class Reading:
    """One way to read a rotation as three angles (radians, (T, 3) throughout).

    names: what the angles are called, in order.
    split: rotation (T, 3, 3) -> angles.
    follow: angles -> the same without jumps along time.
    distance: angles -> (T,) radians to the nearest singularity.
    blurred: which of the three a singularity takes along.
    """

    names: tuple[str, str, str]
    split: Callable[[FloatArray], FloatArray]
    follow: Callable[[FloatArray], FloatArray]
    distance: Callable[[FloatArray], FloatArray]
    blurred: tuple[bool, bool, bool]


def _swing_first(rotation: FloatArray) -> FloatArray:
    """Swing about Z and X, then twist: the order of "flex", "abd", "rot"."""
    return np.asarray(swing_twist(rotation)[..., [2, 0, 1]])


def _follow_swing(angles: FloatArray) -> FloatArray:
    return continuous_swing_twist(angles[:, [1, 2, 0]])[:, [2, 0, 1]]


def _isb_shoulder(rotation: FloatArray) -> FloatArray:
    """Y-X-Y with the elevation about -X, as Wu 2005 counts it, but positive."""
    return np.asarray(decompose(rotation, "YXY") + np.array([-np.pi, 0.0, np.pi]))


CARDAN = Reading(
    ("flex", "abd", "rot"),
    lambda rotation: decompose(rotation, "ZXY"),
    lambda angles: continuous(angles, "ZXY"),
    lambda angles: singularity_distance(angles, "ZXY"),
    (True, False, True),
)
SWING = Reading(
    ("flex", "abd", "rot"),
    _swing_first,
    _follow_swing,
    lambda angles: np.abs(np.pi - np.hypot(angles[..., 0], angles[..., 1])),
    (True, True, True),
)
ISB_SHOULDER = Reading(
    ("plane", "elev", "axial"),
    _isb_shoulder,
    lambda angles: continuous(angles, "YXY"),
    lambda angles: singularity_distance(angles, "YXY"),
    (True, False, True),
)


@dataclass(frozen=True)
class Joint:
    """Two segments and how the rotation between them is read.

    proximal: None for the world.
    readings: each with the sign that turns its angles into those of the table above.
    """

    proximal: str | None
    distal: str
    readings: tuple[tuple[Reading, tuple[int, int, int]], ...]

    @property
    def landmarks(self) -> tuple[str, ...]:
        parts = [SEGMENTS[s].landmarks for s in (self.proximal, self.distal) if s is not None]
        return tuple(dict.fromkeys(name for part in parts for name in part))


_LIMB = (1, -1, 1)  # right-hand rule about Z, X, Y: flexion, adduction, internal rotation
_AXIAL = (-1, 1, 1)  # about Z: to the back

JOINTS = {
    "pelvis": Joint(None, "pelvis", ((CARDAN, _AXIAL),)),
    "hip": Joint("pelvis", "thigh", ((CARDAN, _LIMB),)),
    "knee": Joint("femur", "shank", ((CARDAN, (-1, -1, 1)),)),
    "ankle": Joint("shank", "foot", ((CARDAN, _LIMB),)),
    "trunk": Joint("pelvis", "trunk", ((CARDAN, _AXIAL),)),
    "shoulder": Joint("trunk", "humerus", ((SWING, _LIMB), (ISB_SHOULDER, (1, 1, 1)))),
    "elbow": Joint("elbow", "forearm", ((CARDAN, _LIMB),)),
}

GROUPS = (
    "pelvis", "hip_r", "hip_l", "knee_r", "knee_l", "ankle_r", "ankle_l", "trunk",
    "shoulder_r", "shoulder_l", "elbow_r", "elbow_l",
)  # fmt: skip


def joint_of(group: str) -> tuple[Joint, str]:
    """The joint of a group and the side it is read from ("r" for the midline)."""
    name, _, side = group.partition("_")
    return JOINTS[name], side or "r"


def group_names(group: str) -> tuple[str, ...]:
    """The angle names of a group: three, and three more for a shoulder."""
    joint, _ = joint_of(group)
    return tuple(f"{group}_{name}" for reading, _ in joint.readings for name in reading.names)


def joint_rotation(angles: JointAngles, group: str) -> FloatArray:
    """(T, 3, 3) of a group's distal segment in its proximal one (the world for the pelvis), from
    the first three of its angles; of the mirrored person for the left, as `landmarks.Landmarks`."""
    reading, signs = joint_of(group)[0].readings[0]
    read = np.column_stack([angles.column(f"{group}_{name}") for name in reading.names])
    raw = np.radians(read) * signs
    return from_swing_twist(raw[:, [1, 2, 0]]) if reading is SWING else compose(raw, "ZXY")


def missing_landmarks(markers: Markers) -> dict[str, tuple[str, ...]]:
    """Groups that cannot be computed from `markers`, each with the landmarks that it lacks."""
    return _lacking(_sides(markers))


def joint_angles(markers: Markers) -> JointAngles:
    """Angles of every group whose landmarks are there (see the table of this module).

    markers: any set that has landmarks under names of `kinefit.skeletons.marker_names`. A missing
        marker makes NaN in its own groups and frames only. Groups that can never be computed have
        no columns; `missing_landmarks` says why.

    How uncertain they are is not seen from the markers' deviations, for these err together: see
    `kinefit.biomech.angles.spread`.

    Raises MissingMarkers when no group can be computed.
    """
    sides = _sides(markers)
    lacking = _lacking(sides)
    groups = [group for group in GROUPS if group not in lacking]
    if not groups:
        raise MissingMarkers(
            "Joint angles", sorted({name for names in lacking.values() for name in names}),
            "use a file with anatomical markers, e.g. the output of the marker augmenter",
        )  # fmt: skip
    tables = [_angles_of(group, sides[joint_of(group)[1]]) for group in groups]
    values, gimbal = (np.concatenate(part, axis=1) for part in zip(*tables, strict=True))
    return JointAngles(
        markers.timeline,
        tuple(name for group in groups for name in group_names(group)),
        np.degrees(values),
        gimbal,
    )


def _sides(markers: Markers) -> dict[str, Landmarks]:
    return {side: Landmarks(markers, side) for side in "rl"}


def _lacking(sides: dict[str, Landmarks]) -> dict[str, tuple[str, ...]]:
    joints = {group: joint_of(group) for group in GROUPS}
    absent = {g: sides[side].missing(j.landmarks) for g, (j, side) in joints.items()}
    return {group: names for group, names in absent.items() if names}


def _angles_of(group: str, landmarks: Landmarks) -> tuple[FloatArray, BoolArray]:
    """Angles (radians) and gimbal flags (T, A) of one group."""
    joint, _ = joint_of(group)
    rotation = segment_frame(landmarks, joint.distal)
    if joint.proximal is not None:
        proximal = segment_frame(landmarks, joint.proximal)
        rotation = np.swapaxes(proximal, -1, -2) @ rotation
    angles, flags = [], []
    for reading, signs in joint.readings:
        raw = reading.split(rotation)
        near = reading.distance(raw) < np.radians(GIMBAL_DEG)
        angles.append(reading.follow(raw) * signs)
        flags.append(near[:, None] & np.array(reading.blurred))
    return np.concatenate(angles, axis=1), np.concatenate(flags, axis=1)
