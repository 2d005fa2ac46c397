"""The 22 initial markers, from detected points or from another program's file."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kinefit.skeletons import map_points, skeleton
from kinefit.types import BoolArray, FloatArray, InvalidData, Keypoints3D, Markers, all_finite

# Names that other programs give to points of the set, in lower case: midHip of OpenPose and
# OpenCap, CHip of Pose2Sim's older skeletons. Laboratory names (R_Shoulder, r_ankle) are left out
# on purpose: such markers sit on the skin, not at the joint.
_ALIASES = {"midhip": "Hip", "chip": "Hip"}

# The tip of the small toe in parts of the length from heel to big toe: along the foot 0.83 (fifth
# against first toe), sideways 0.70 of the foot's breadth (from the middle of one toe to that of
# the other), which is 0.376 of its length in ANSUR II (6,068 adults, SD 0.017).
# Laboratory markers of opencap static1 (heel, toe, fifth metatarsal) lie 0.88 and 0.83 along and
# 0.267 and 0.266 sideways on the two feet. The estimate is 11 and 1 mm off along, 1 mm off
# sideways, and 31 and 27 mm too high, for their toe marker sits on top of the toe; detectors put
# both toes at one level, so no drop is modelled.
_ALONG, _ASIDE = 0.83, 0.26
# sin of the angle at the heel between ankle and toe (0.48 in static1) below which the side of the
# foot is more noise than geometry: 0.1 is an ankle 1 cm above the sole.
_MIN_SIN = 0.1


def initial_markers(
    world: Keypoints3D, score: FloatArray, *, visibility_min: float = 0.3
) -> Markers:
    """The markers of the skeleton "markers22" from any detector's points.

    world: T frames of J named points, axes "world".
    score: (T, J) the detector's visibility or confidence. Points below `visibility_min`, or
        without a score, count as missing.

    What is derived and estimated is said in `standard_markers`. COCO's 17 points have no feet:
    heels and toes are then missing throughout.

    Raises InvalidData for points that are not in world axes and for a score of another shape.
    """
    if world.axes != "world":
        raise InvalidData(f"initial_markers needs points in world axes, got {world.axes!r}.")
    if score.shape != world.xyz.shape[:2]:
        raise InvalidData(f"score has shape {score.shape}, expected {world.xyz.shape[:2]}.")
    seen = np.where((score >= visibility_min)[..., None], world.xyz, np.nan)
    return standard_markers(Markers(world.timeline, world.names, seen))


def standard_markers(markers: Markers) -> Markers:
    """The same 22 markers from any set that names them, e.g. a TRC of Pose2Sim or OpenCap.

    Letter case does not matter, and midHip or CHip is Hip. Markers outside the set are left out;
    those that the set lacks are NaN. Where Hip, Neck or Head is missing the mean of its two
    sides stands for it, with the mean of their sd (as if their errors were the same: an upper
    bound). Small toes that are missing are estimated from the rest of the foot and flagged.
    """
    target = skeleton("markers22")
    names = _standard_names(markers.names)
    layers = [markers.xyz, markers.estimated[..., None]]
    if markers.sd is not None:
        layers.append(markers.sd)
    values = np.concatenate(layers, axis=-1)
    mapped = map_points(values, names, target)
    lost = ~all_finite(mapped[..., :3])
    sides = ["" if name in target.derived else name for name in names]
    mapped[lost] = map_points(values, sides, target)[lost]
    standard = Markers(
        markers.timeline,
        target.points,
        mapped[..., :3],
        mapped[..., 3] > 0,
        None if markers.sd is None else mapped[..., 4:],
    )
    return _with_small_toes(standard)


def small_toe(heel: FloatArray, big_toe: FloatArray, ankle: FloatArray, side: str) -> FloatArray:
    """(..., 3) metres, the tip of the small toe; heel, big_toe, ankle: (..., 3) joint positions.

    side: "R" or "L". The lateral direction is square to the plane through heel, big toe and
    ankle, so it turns with the foot. NaN where the three are nearly on one line.
    """
    foot, shank = big_toe - heel, ankle - heel
    lateral = np.cross(foot, shank) if side == "R" else np.cross(shank, foot)
    length = np.linalg.norm(foot, axis=-1, keepdims=True)
    area = np.linalg.norm(lateral, axis=-1, keepdims=True)
    flat = area <= _MIN_SIN * length * np.linalg.norm(shank, axis=-1, keepdims=True)
    breadth = lateral / np.where(flat, np.nan, area) * length
    return np.asarray(heel + _ALONG * foot + _ASIDE * breadth)


def _with_small_toes(markers: Markers) -> Markers:
    xyz, estimated = markers.xyz.copy(), markers.estimated.copy()
    for side in "RL":
        foot = [side + point for point in ("Heel", "BigToe", "Ankle", "SmallToe")]
        heel, big_toe, ankle, toe = markers.index(foot, needed_for="small toes")
        fill(xyz, estimated, toe, small_toe(xyz[:, heel], xyz[:, big_toe], xyz[:, ankle], side))
    return replace(markers, xyz=xyz, estimated=estimated)


def fill(xyz: FloatArray, estimated: BoolArray, column: int, guess: FloatArray) -> None:
    """Put `guess` (T, 3) where `column` is missing, and flag it."""
    lost = ~all_finite(xyz[:, column]) & all_finite(guess)
    xyz[lost, column] = guess[lost]
    estimated[lost, column] = True


def _standard_names(names: tuple[str, ...]) -> list[str]:
    """`names` with those of the set in its own spelling; the first of two that mean one point."""
    known = _ALIASES | {n.lower(): n for n in skeleton("markers22").points}
    out: list[str] = []
    for name in names:
        new = known.get(name.lower(), name)
        out.append(name if new in out or (new != name and new in names) else new)
    return out
