"""Joint angles as networks that refine them see them: 12 joints, three angles each.

Angles are those of `kinefit.biomech.angles` but for the pelvis, whose tilt and list are turns about
axes of the world there: here heading comes first, so that tilt and list are the person's own
whichever way they face. Heading is counted from the run's own axes, which with one camera are the
camera's: it says from which side the person is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from kinefit.biomech.angles.groups import GROUPS, ISB_SHOULDER, SWING, group_names, joint_of
from kinefit.geometry.rotations import (
    compose,
    continuous,
    decompose,
    difference_deg,
    from_swing_twist,
)
from kinefit.types import BoolArray, FloatArray, JointAngles, Markers

ANGLES = tuple(name for group in GROUPS for name in group_names(group)[:3])
"""The 36 that are refined; the other three of a shoulder follow from them."""
PARENT = {
    "hip_r": "pelvis", "hip_l": "pelvis", "knee_r": "hip_r", "knee_l": "hip_l", "ankle_r": "knee_r",
    "ankle_l": "knee_l", "trunk": "pelvis", "shoulder_r": "trunk", "shoulder_l": "trunk",
    "elbow_r": "shoulder_r", "elbow_l": "shoulder_l",
}  # fmt: skip
CHANNELS = 11  # of a joint in a frame: sines, cosines, deviations, seen, known
SOURCES = ("given", "lifted", "body", "given refined", "lifted refined")
"""Of the angles that are fused; "body": of the laboratory's markers on the fitted body."""
_TABLES = 3  # of runs and bodies; the rest are refinements of the first two
FUSED_CHANNELS = _TABLES * CHANNELS + 6 + 3 * (len(SOURCES) - 1)
GIMBAL_DEG = 170.0  # beyond it an angle may as well be read with the opposite sign
_POINTS = {
    "pelvis": ("LHip", "RHip"), "hip": ("?Hip", "?Knee"), "knee": ("?Hip", "?Knee", "?Ankle"),
    "ankle": ("?Ankle", "?Heel", "?BigToe"), "trunk": ("LHip", "RHip", "LShoulder", "RShoulder"),
    "shoulder": ("?Shoulder", "?Elbow"), "elbow": ("?Shoulder", "?Elbow", "?Wrist"),
}  # fmt: skip
_SIDES = {"_r": "_l", "_l": "_r"}
TWIN = [GROUPS.index(g[:-2] + _SIDES.get(g[-2:], g[-2:])) for g in GROUPS]
"""Of each joint, the one of the other side."""
_J = len(GROUPS)
_PELVIS, _TRUNK = GROUPS.index("pelvis"), GROUPS.index("trunk")
MIRROR_SIGNS = np.array(
    [{"pelvis": (1, -1, -1), "trunk": (1, -1, -1)}.get(group, (1, 1, 1)) for group in GROUPS]
)
"""(12, 3) of corrections, by which the twin's are multiplied in a mirror."""
# What the augmenter's markers say more than the laboratory's on kinefit's bodies, degrees: the
# median over all frames of 42 rendered clips (climbing, walking, squats, ...) of true keypoints,
# both sides alike. It is a convention (where on the skin a marker sits) and no error: the
# augmenter's is that of the laboratory whose data it learned from.
_OFFSETS = {
    "pelvis": (-5.1, 0.0, 0.0), "hip": (-2.3, 4.5, -1.8), "knee": (2.4, 0.3, -4.3),
    "ankle": (-7.8, 3.0, 2.9), "trunk": (12.2, 0.0, 0.0), "shoulder": (4.2, 1.8, 5.8),
    "elbow": (7.2, -4.1, -34.9),
}  # fmt: skip
OFFSETS = np.array([_OFFSETS[group.partition("_")[0]] for group in GROUPS])
"""(12, 3) degrees from angles of markers on a body to those of the augmenter's."""
# Not the forearm's turn and the carrying angle: in the motion capture that refiners learn from, the
# forearm's turn is unknown, and the augmenter's is 28 to 38 degrees from it.
REFINED = np.array([[True, not g.startswith("elbow"), not g.startswith("elbow")] for g in GROUPS])
"""(12, 3) which angles are refined."""
# On clips that nothing was trained or stopped by, 90 to 97.5 % of the errors of each kind of angle
# lie within 1.96 of the deviations that the networks state, but for bending and side bending of the
# trunk (99.6 and 86 %), and abduction of the knee (98).
_UNSTATED = {"knee_r_abd", "knee_l_abd", "trunk_flex", "trunk_abd"}
STATED = np.array([name not in _UNSTATED for name in ANGLES]).reshape(-1, 3)
"""(12, 3) of which a deviation is stated."""
HEADING = (_PELVIS, 2)
"""Where it stands among (12, 3)."""
_SD_SCALE = 10.0  # degrees: about the usual deviation


def steps_apart() -> FloatArray:
    """(12, 12) how many joints lie between two along the body: 0 for itself, 1 for its parent."""
    up = [[g] for g in GROUPS]
    for line in up:
        while line[-1] in PARENT:
            line.append(PARENT[line[-1]])
    return np.array([[len(set(a) ^ set(b)) for b in up] for a in up], np.float64)


def values_of(angles: JointAngles) -> tuple[FloatArray, FloatArray]:
    """(T, 12, 3) degrees and their deviations, both NaN where unknown; see the module."""
    T = len(angles.timeline)
    values, sd = np.full((2, T, len(ANGLES)), np.nan)
    for i, name in enumerate(ANGLES):
        if name in angles.names:
            values[:, i] = angles.column(name)
            if angles.sd is not None:
                sd[:, i] = angles.sd[:, angles.names.index(name)]
    return heading_first(values.reshape(T, _J, 3)), sd.reshape(T, _J, 3)


def seen_of(keypoints: Markers) -> FloatArray:
    """(T, 12) share of each joint's keypoints that are there and not estimated."""
    columns = []
    for group in GROUPS:
        joint, _, side = group.partition("_")
        names = [name.replace("?", side.upper()) for name in _POINTS[joint]]
        at = [keypoints.names.index(name) for name in names if name in keypoints.names]
        here = keypoints.present[:, at] & ~keypoints.estimated[:, at]
        columns.append(here.sum(axis=1) / len(names))
    return np.column_stack(columns)


def with_values(
    angles: JointAngles, values: FloatArray, sd: FloatArray, changed: BoolArray
) -> JointAngles:
    """`angles` with degrees and deviations (T, 12, 3) of `values_of` in place of those of the
    joints `changed` (T, 12); what follows from these is read anew, without deviation. An angle goes
    on in the turn in which it was; all else stays to the bit.
    """
    table = dict(zip(ANGLES, heading_last(values).reshape(len(values), -1).T, strict=True))
    spread = dict(zip(ANGLES, sd.reshape(len(sd), -1).T, strict=True))
    degrees = angles.degrees.copy()
    spreads = np.full(degrees.shape, np.nan) if angles.sd is None else angles.sd.copy()
    unknown = np.full(len(values), np.nan)
    for j, group in enumerate(GROUPS):
        names = group_names(group)
        if len(names) > 3:
            table |= dict(zip(names[3:], _isb_shoulder(group, table).T, strict=True))
        for name in set(names) & set(angles.names):
            i, rows = angles.names.index(name), changed[:, j]
            by = difference_deg(table[name], degrees[:, i])
            degrees[rows, i] += by[rows]
            spreads[rows, i] = spread.get(name, unknown)[rows]
    return replace(angles, degrees=degrees, sd=spreads)


def _isb_shoulder(group: str, table: dict[str, FloatArray]) -> FloatArray:
    """(T, 3) degrees of plane, elevation and axial turn from swing and twist."""
    (_, signs), (_, isb_signs) = joint_of(group)[0].readings
    read = np.column_stack([table[name] for name in group_names(group)[:3]])
    rotation = from_swing_twist((np.radians(read) * signs)[:, [1, 2, 0]])
    return np.degrees(ISB_SHOULDER.follow(ISB_SHOULDER.split(rotation)) * isb_signs)


def heading_first(values: FloatArray) -> FloatArray:
    """(..., 12, 3) with the pelvis' own tilt, list and heading for its turns about the world's Z,
    X and Y."""
    raw = np.radians(values[..., _PELVIS, :]) * [-1, 1, 1]
    turns = decompose(compose(raw, "ZXY"), "YZX")
    out = np.array(values)
    out[..., _PELVIS, :] = np.degrees(turns[..., [1, 2, 0]]) * [-1, 1, 1]
    return out


def heading_last(values: FloatArray) -> FloatArray:
    """The inverse of `heading_first`, of frames (T, 12, 3) that follow one another."""
    turns = np.radians(values[:, _PELVIS] * [-1, 1, 1])[:, [2, 0, 1]]
    read = continuous(decompose(compose(turns, "YZX"), "ZXY"), "ZXY")
    out = np.array(values)
    out[:, _PELVIS] = np.degrees(read) * [-1, 1, 1]
    return out


def mirrored(values: FloatArray) -> FloatArray:
    """(..., 12, 3) degrees of the person as in a mirror that hangs along the camera's axis."""
    out = twins(values)
    out[..., _PELVIS, 1] *= -1
    out[..., _PELVIS, 2] = 180 - out[..., _PELVIS, 2]
    out[..., _TRUNK, 1:] *= -1
    return out


def twins(values: FloatArray, per_joint: bool = False) -> FloatArray:
    """(..., 12, C) with left and right joints exchanged; per_joint: of (..., 12)."""
    return np.array(values[..., TWIN] if per_joint else values[..., TWIN, :])


def make_inputs(values: FloatArray, sd: FloatArray, seen: FloatArray) -> FloatArray:
    """(..., 12, CHANNELS) of `values_of` and the share 0..1 of each joint's keypoints (..., 12)
    that were seen; 0 where unknown."""
    known = np.asarray(np.isfinite(values).all(axis=-1))
    turns = np.radians(np.where(known[..., None], values, 0.0))
    spread = np.where(np.isfinite(sd), sd, 0.0) / _SD_SCALE
    parts = [np.sin(turns), np.cos(turns), spread, seen[..., None], np.ones_like(turns[..., :1])]
    return np.asarray(np.concatenate(parts, axis=-1) * known[..., None])


def make_fused_inputs(
    tables: Sequence[FloatArray], spreads: Sequence[FloatArray], seen: FloatArray
) -> FloatArray:
    """(..., 12, FUSED_CHANNELS) of the tables of `SOURCES` (..., 12, 3), each with its
    deviations; where one is unknown the first stands for it."""
    first = tables[0]
    known = [np.isfinite(table).all(axis=-1, keepdims=True) for table in tables]
    off = [np.where(k, difference_deg(t, first), 0.0) for t, k in zip(tables, known, strict=True)]
    inputs = [make_inputs(tables[i], spreads[i], seen) for i in range(_TABLES)]
    refined = [np.nan_to_num(spread) for spread in spreads[_TABLES:]]
    scaled = [np.nan_to_num(part) / _SD_SCALE for part in (*refined, *off[1:])]
    return np.asarray(np.concatenate([*inputs, *scaled], axis=-1))


def near_turning(values: FloatArray) -> BoolArray:
    """(..., 12, 3) angles other than a heading beyond `GIMBAL_DEG`."""
    out: BoolArray = np.array(np.abs(values) > GIMBAL_DEG)
    out[..., _PELVIS, 2] = False
    return out


assert {joint_of(g)[0].readings[0][0] for g in GROUPS if g.startswith("shoulder")} == {SWING}
