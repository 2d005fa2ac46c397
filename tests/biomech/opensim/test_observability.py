"""What the markers of a file determine, for the marker sets that people have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from kinefit.biomech.opensim.frame import NOISE_M, Task
from kinefit.biomech.opensim.model import BodyModel
from kinefit.biomech.opensim.observability import Undetermined, undetermined
from kinefit.biomech.opensim.sets import KEYPOINTS, keypoint_bodies, shipped_sets
from kinefit.biomech.opensim.solve import solve
from kinefit.skeletons import skeleton

HALPE = skeleton("markers22").points
BLAZE = skeleton("blazepose33").points
AUGMENTED = skeleton("augmented43").points
UPPER = (
    "C7_study", "r_shoulder_study", "L_shoulder_study", "r.ASIS_study",
    "r_lelbow_study", "r_melbow_study", "r_lwrist_study", "r_mwrist_study",
    "L_lelbow_study", "L_melbow_study", "L_lwrist_study", "L_mwrist_study",
)  # fmt: skip


def left_open(names: Sequence[str]) -> tuple[str, list[Undetermined]]:
    """The set that is tried first for markers `names`, and the joints that these leave open."""
    chosen = next(shipped_sets(names, "simple"))
    model = BodyModel(chosen.model, chosen.markers)
    present = np.array([n in names and chosen.weights.get(n, 0) > 0 for n in model.markers])
    known = keypoint_bodies() if chosen.name in KEYPOINTS else {}
    return chosen.name, undetermined(model, present, known)


def refused(joints: list[Undetermined]) -> dict[str, tuple[str, ...]]:
    return {joint.joint: joint.markers for joint in joints if not joint.optional}


@pytest.mark.parametrize(
    ("names", "expected"),
    [(AUGMENTED, "augmented"), ((*HALPE, *AUGMENTED), "augmented"), (HALPE, "halpe26"),
     (BLAZE, "blazepose"), (skeleton("body25").points, "body25")],
)  # fmt: skip
def test_complete_sets_determine_every_joint_that_matters(
    names: Sequence[str], expected: str
) -> None:
    name, joints = left_open(names)
    assert name == expected
    assert refused(joints) == {}


def test_toes_hands_and_head_of_the_augmented_set_are_named() -> None:
    _, joints = left_open(AUGMENTED)
    coordinates = {name for joint in joints for name in joint.coordinates}
    assert {"mtp_angle_r", "mtp_angle_l", "wrist_flex_r", "neck_flexion"} <= coordinates
    assert not any(name.startswith(("knee", "hip", "ankle", "arm")) for name in coordinates)


def test_a_missing_knee_is_refused_with_its_marker() -> None:
    """The case of the peer: BlazePose names, with the left knee under another name."""
    _, joints = left_open([n for n in BLAZE if n != "LKnee"])
    assert refused(joints) == {"hip_l": ("LKnee",), "walker_knee_l": ("LKnee",)}


def test_feet_without_small_toes_still_move() -> None:
    """MediaPipe has no small toes; only the toes' own joint is lost."""
    _, joints = left_open([n for n in HALPE if "SmallToe" not in n])
    assert refused(joints) == {}
    assert {joint.joint for joint in joints} >= {"mtp_r", "mtp_l"}


def test_feet_without_toes_are_refused() -> None:
    _, joints = left_open([n for n in HALPE if "Toe" not in n])
    assert set(refused(joints)) == {"subtalar_r", "subtalar_l"}
    assert refused(joints)["subtalar_l"] == ("LBigToe", "LSmallToe")


def test_coco_has_no_feet() -> None:
    name, joints = left_open(skeleton("coco17").points)
    assert name == "coco17"
    assert set(refused(joints)) == {"ankle_r", "ankle_l", "subtalar_r", "subtalar_l"}
    assert "RHeel" in refused(joints)["ankle_r"]


def test_half_an_augmented_set_is_refused() -> None:
    """The case of the peer: the augmenter's upper body only, both legs frozen and called ok."""
    name, joints = left_open(UPPER)
    assert name == "augmented"
    legs = {"hip_r", "hip_l", "walker_knee_r", "walker_knee_l", "ankle_r", "ankle_l"}
    assert legs <= set(refused(joints))
    assert "r_knee_study" in refused(joints)["hip_r"]


@pytest.mark.parametrize(
    ("dropped", "joints"),
    [("LElbow", {"acromial_l", "elbow_l"}), ("LKnee", {"hip_l", "walker_knee_l"}),
     ("LWrist", {"acromial_l", "elbow_l"})],
)  # fmt: skip
def test_one_missing_keypoint_names_its_joints(dropped: str, joints: set[str]) -> None:
    _, found = left_open([n for n in HALPE if n != dropped])
    assert set(refused(found)) == joints
    assert all(markers == (dropped,) for markers in refused(found).values())


@pytest.mark.parametrize(
    "dropped",
    [("RAnkle",), ("LHeel",), ("RAnkle", "LAnkle"), ("LHip",), ("LShoulder",)],
)
def test_a_body_without_markers_of_its_own_is_found_from_its_neighbours(
    keypoints: Any, dropped: tuple[str, ...]
) -> None:
    """Only its computed deviation decides: where it says that a keypoint is not needed, known
    poses are found without it."""
    model, rng = keypoints.model, np.random.default_rng(0)
    xyz = keypoints.markers.xyz + rng.normal(0, NOISE_M, keypoints.markers.xyz.shape)
    errors = []
    for absent in ((), dropped):
        present = ~np.isin(model.markers, absent)
        joints = undetermined(model, present, keypoint_bodies())
        assert refused(joints) == {}
        held = [name for joint in joints for name in joint.coordinates]
        free = model.free & ~np.isin(model.names, held)
        solution = solve(model, Task(1.0 * present, free, np.zeros(len(free))), xyz)
        errors.append(np.sqrt(np.mean((solution.q - keypoints.q) ** 2, axis=0)))
    # One hip of two says half as much of the pelvis; the others change a tenth.
    assert (errors[1] < 2.5 * errors[0] + 0.01).all()


@pytest.mark.parametrize(
    "dropped",
    [("r_ankle_study", "r_mankle_study"), ("r_knee_study", "r_mknee_study"),
     ("r_sh1_study", "r_sh2_study", "r_sh3_study")],
)  # fmt: skip
def test_markers_of_a_laboratory_hold_what_lies_between_them(dropped: tuple[str, ...]) -> None:
    _, joints = left_open([n for n in AUGMENTED if n not in dropped])
    assert refused(joints) == {}


def test_a_virtual_joint_centre_is_not_needed() -> None:
    """Gait laboratories' models have a computed ankle centre, alone on the talus."""
    chosen = next(shipped_sets(AUGMENTED, "simple"))
    model = BodyModel(chosen.model, chosen.markers)
    present = np.array([n in AUGMENTED for n in model.markers])
    assert refused(undetermined(model, present, {"RAJC": "talus_r"})) == {}
    no_foot = present & ~np.isin(model.markers, ["r_calc_study", "r_toe_study", "r_5meta_study"])
    assert "ankle_r" in refused(undetermined(model, no_foot, {"RAJC": "talus_r"}))
