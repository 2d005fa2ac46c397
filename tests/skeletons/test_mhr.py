"""The 70 keypoints of SAM 3D Body against four of its real outputs."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from kinefit.skeletons import map_points, mirror_name, skeleton

DATA = Path(__file__).parents[3] / "shared" / "data" / "sam3d"
SAMPLES = sorted(DATA.glob("img_subj*.npz"))
FINGERS = ("Thumb", "Index", "Middle", "Ring", "Pinky")


@pytest.fixture(scope="module")
def outputs() -> list[dict[str, np.ndarray]]:
    if not SAMPLES:
        pytest.skip("the four real outputs (../shared/data/sam3d) are not here")
    keys = ("pred_keypoints_3d", "pred_keypoints_2d", "pred_joint_coords", "rhand_bbox",
            "lhand_bbox")  # fmt: skip
    files = [np.load(path, allow_pickle=False) for path in SAMPLES]
    return [{key: file[key] for key in keys} for file in files]


def lengths(points: np.ndarray, pairs: list[tuple[str, str]]) -> np.ndarray:
    """(E,) distances between named points of mhr70."""
    column = skeleton("mhr70").points.index
    ends = np.array([[column(a), column(b)] for a, b in pairs])
    return np.linalg.norm(points[ends[:, 0]] - points[ends[:, 1]], axis=-1)


def test_wrists_follow_their_hands() -> None:
    # The trap of this set: they do not follow the elbows.
    points = skeleton("mhr70").points
    assert points[41] == "RWrist"
    assert points[62] == "LWrist"
    assert [points[i] for i in (21, 25, 40, 42, 61, 69)] == [
        "RThumb4", "RIndex4", "RPinky1", "LThumb4", "LPinky1", "Neck"
    ]  # fmt: skip


def test_every_point_but_two_has_a_twin() -> None:
    points = skeleton("mhr70").points
    assert [p for p in points if mirror_name(p) == p] == ["Nose", "Neck"]


def test_mhr46_is_a_part_of_mhr70() -> None:
    whole, part = skeleton("mhr70"), skeleton("mhr46")
    assert set(part.points) < set(whole.points)
    assert part.points[:20] == whole.points[21:41]
    assert part.points[20:40] == whole.points[42:62]
    numbers = np.arange(70.0)[:, None]
    assert map_points(numbers, whole.points, part)[40:, 0].tolist() == [5, 6, 7, 8, 62, 41]


@pytest.mark.parametrize("name", ["mhr70", "mhr46"])
def test_a_bone_has_the_length_of_its_twin(name: str, outputs) -> None:
    edges = [e for e in skeleton(name).edges if mirror_name(e[0]) != e[0]]
    for output in outputs:
        one = lengths(output["pred_keypoints_3d"], list(edges))
        twin = [(mirror_name(a), mirror_name(b)) for a, b in edges]
        other = lengths(output["pred_keypoints_3d"], twin)
        # 10 %: one of the four has hands that differ by as much. A wrong name is off by more:
        # neighbours along a finger differ by 30 %.
        assert np.abs(np.log(one / other)).max() < 0.11


@pytest.mark.parametrize("side", ["L", "R"])
def test_fingers_are_chains_from_the_wrist_to_the_tip(side: str, outputs) -> None:
    for output in outputs:
        points, reach = output["pred_keypoints_3d"], []
        for finger in FINGERS:
            chain = [f"{side}Wrist", *(f"{side}{finger}{n}" for n in (1, 2, 3, 4))]
            bones = lengths(points, list(pairwise(chain)))
            assert (bones[1:] > 0.015).all()  # metres, an adult's
            assert (bones[1:] < 0.050).all()
            if finger != "Thumb":
                assert bones[0] > 0.06  # the palm
                assert bones[1] > bones[3]  # the phalanx at the palm is longer than the last
            reach.append(bones.sum())
        assert FINGERS[np.argmax(reach)] == "Middle"
        assert FINGERS[np.argmin(reach)] == "Thumb"


def test_names_are_at_the_joints_of_the_rig(outputs) -> None:
    # Rig joints by number: of the 127 joints that the TorchScript model lists.
    rig = {
        "LShoulder": 75, "RShoulder": 39, "LHip": 2, "RHip": 18, "LKnee": 3, "RKnee": 19,
        "RWrist": 42, "LWrist": 78, "RPinky1": 44, "RPinky4": 47, "RThumb4": 64, "LPinky4": 83,
    }  # fmt: skip
    column = skeleton("mhr70").points.index
    for output in outputs:
        for name, joint in rig.items():
            away = output["pred_keypoints_3d"][column(name)] - output["pred_joint_coords"][joint]
            # float32 metres; the next joint is 18 mm away.
            assert np.linalg.norm(away) < 1e-5, name


@pytest.mark.parametrize(("side", "box"), [("R", "rhand_bbox"), ("L", "lhand_bbox")])
def test_hands_are_in_the_boxes_of_their_side(side: str, box: str, outputs) -> None:
    column = skeleton("mhr70").points.index
    for output in outputs:
        low, high = output[box][:2], output[box][2:]
        xy = output["pred_keypoints_2d"][[column(f"{side}{f}2") for f in FINGERS]]
        assert ((xy > low) & (xy < high)).all()
