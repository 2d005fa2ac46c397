"""BVH files against the body's forward kinematics, read by two readers that are not ours."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation, Slerp

from kinefit.body import BodyModel
from kinefit.export.motion_files import at_constant_rate, export_bvh, turned, without_gaps
from kinefit.io.bvh import write_bvh
from kinefit.types import BodyMotion, InputError, InvalidData, Timeline

from ..body.moving import swinging
from ..body.synthetic import tube_body

CLOCK = Timeline.regular(40, 50.0, start_frame=100)
# Text has 1e-6 of a centimetre and of a degree: 2e-8 radians of each of ten joints over a metre.
TEXT = 1e-6


@dataclass
class Bvh:
    """Joints in the order of the file: names, parents, offsets (B, 3), and rows (T, channels)."""

    names: list[str]
    parents: list[int]
    offsets: np.ndarray
    ends: dict[str, np.ndarray]
    rows: np.ndarray
    frame_time: float

    def joints(self) -> dict[str, np.ndarray]:
        """Name -> (T, 3) place: products of the channels' rotations down from the root."""
        turns, places = [], []
        columns = self.rows[:, 3:].reshape(len(self.rows), len(self.names), 3)
        for b, parent in enumerate(self.parents):
            own = Rotation.from_euler("ZXY", columns[:, b], degrees=True)
            turns.append(own if parent < 0 else turns[parent] * own)
            places.append(
                self.offsets[0] + self.rows[:, :3] if parent < 0
                else places[parent] + turns[parent].apply(self.offsets[b])
            )  # fmt: skip
        return dict(zip(self.names, places, strict=True))


def parse(path: Path) -> Bvh:
    head, motion = path.read_text().split("MOTION\n")
    names, parents, offsets, ends, stack = [], [], [], {}, []
    words = iter(re.findall(r"\S+", head.removeprefix("HIERARCHY\n")))
    current = -1
    for word in words:
        if word in ("ROOT", "JOINT"):
            parents.append(stack[-1] if stack else -1)
            names.append(next(words))
            current = len(names) - 1
        elif word == "End":
            assert next(words) == "Site"
            current = -1 - current  # the site of that joint
        elif word == "{":
            stack.append(current)
        elif word == "}":
            stack.pop()
        elif word == "OFFSET":
            offset = np.array([float(next(words)) for _ in range(3)])
            if stack[-1] < 0:
                ends[names[-1 - stack[-1]]] = offset
            else:
                offsets.append(offset)
        elif word == "CHANNELS":
            got = [next(words) for _ in range(int(next(words)))]
            turns = ["Zrotation", "Xrotation", "Yrotation"]
            assert got == (turns if parents[-1] >= 0 else
                           ["Xposition", "Yposition", "Zposition", *turns])  # fmt: skip
        else:
            raise AssertionError(word)
    assert not stack
    first, second, *rows = motion.splitlines()
    table = np.array([[float(v) for v in row.split()] for row in rows])
    assert first == f"Frames: {len(table)}"
    assert table.shape[1] == 3 + 3 * len(names)
    return Bvh(names, parents, np.array(offsets), ends, table, float(second.split(": ")[1]))


def joints_of(body: BodyModel, motion: BodyMotion) -> dict[str, np.ndarray]:
    rest = body.rest_joints(motion.shape)
    _, places = body.pose(motion.rotations, motion.translation, rest)
    return {name: places[:, b] for b, name in enumerate(body.joint_names)}


@pytest.mark.parametrize("per_metre", [100.0, 1.0])
def test_joints_are_where_the_body_has_them(tmp_path: Path, per_metre: float) -> None:
    body = tube_body(extras=True)
    motion = swinging(body, CLOCK)
    assert export_bvh(tmp_path / "a.bvh", body, motion, per_metre=per_metre) == ()
    read = parse(tmp_path / "a.bvh")
    assert set(read.names) == set(body.joint_names)
    assert read.frame_time == pytest.approx(1 / 50, abs=1e-10)
    expected, tolerance = joints_of(body, motion), TEXT if per_metre == 100 else 2e-5
    for name, places in read.joints().items():
        # In metres the text has a micrometre per bone.
        np.testing.assert_allclose(places / per_metre, expected[name], atol=tolerance)


def test_bvhio_reads_the_same_joints(tmp_path: Path) -> None:
    bvhio = pytest.importorskip("bvhio")
    body = tube_body()
    motion = swinging(body, CLOCK)
    export_bvh(tmp_path / "a.bvh", body, motion)
    root = bvhio.readAsHierarchy(str(tmp_path / "a.bvh"))
    expected = joints_of(body, motion)
    for frame in (0, 17, 39):
        root.loadPose(frame)
        read = {joint.Name: np.array(joint.PositionWorld) for joint, _, _ in root.layout()}
        for name, places in expected.items():
            # It computes in single precision: 6e-8 of 300 cm, over ten joints.
            np.testing.assert_allclose(read[name] / 100, places[frame], atol=1e-5)


def test_angles_have_no_jumps_through_whole_turns_and_the_singularity(tmp_path: Path) -> None:
    body = tube_body()
    motion = swinging(body, Timeline.regular(400, 100.0), turns=4.0, swing=1.5)
    rotations = np.array(motion.rotations)
    pitch = np.linspace(0, np.pi, 400)[:, None] * [1, 0, 0]  # X through 90 degrees
    rotations[:, 4] = Rotation.from_rotvec(pitch).as_matrix()
    motion = replace(motion, rotations=rotations)
    export_bvh(tmp_path / "a.bvh", body, motion)
    read = parse(tmp_path / "a.bvh")
    # The root turns 3.6 degrees per frame, other joints 5 at most; jumps would be 180 or 360.
    knee = 3 + 3 * read.names.index(body.joint_names[4])
    for columns in (slice(3, 6), slice(knee, knee + 3)):
        assert np.abs(np.diff(read.rows[:, columns], axis=0)).max() < 10
    assert np.abs(np.diff(read.rows[:, 3:], axis=0)).max() < 200
    for name, places in read.joints().items():
        np.testing.assert_allclose(places / 100, joints_of(body, motion)[name], atol=TEXT)


def test_bones_without_a_joint_at_their_end_end_beyond_their_skin(tmp_path: Path) -> None:
    body = tube_body()
    export_bvh(tmp_path / "a.bvh", body, swinging(body, CLOCK))
    read = parse(tmp_path / "a.bvh")
    assert set(read.ends) == {"head", *(f"{s}_{j}" for s in ("left", "right")
                                        for j in ("foot", "hand"))}  # fmt: skip
    assert read.ends["head"][1] > 10  # cm: up
    assert read.ends["left_hand"][0] > 2 > -2 > read.ends["right_hand"][0]
    assert read.ends["left_foot"][2] > 2  # forwards


def test_a_joint_without_skin_continues_its_bone(tmp_path: Path) -> None:
    body = tube_body()
    hand = body.joint_names.index("left_hand")
    body = replace(body, skin_joints=np.where(body.skin_joints == hand, 0, body.skin_joints))
    motion = swinging(body, CLOCK)
    export_bvh(tmp_path / "a.bvh", body, motion)
    rest = body.rest_joints(motion.shape)
    bone = rest[hand] - rest[body.joint_names.index("left_wrist")]
    np.testing.assert_allclose(parse(tmp_path / "a.bvh").ends["left_hand"], 50 * bone, atol=1e-5)


def test_gaps_are_bridged_and_named(tmp_path: Path) -> None:
    body = tube_body()
    whole = swinging(body, CLOCK)
    gone = [0, 1, 5, 10, 11, 12, 39]
    motion = swinging(body, CLOCK, without=gone)
    cut, bridged = export_bvh(tmp_path / "a.bvh", body, motion)
    assert cut.startswith("The file has frames 102-138 of 100-139")
    assert bridged.endswith("around them: 105, 110-112.")
    read, expected = parse(tmp_path / "a.bvh"), joints_of(body, whole)
    kept = np.setdiff1d(np.arange(2, 39), gone)
    for name, places in read.joints().items():
        np.testing.assert_allclose(places[kept - 2] / 100, expected[name][kept], atol=TEXT)
    # Frame 11 is halfway between 9 and 13: on the arc that scipy finds.
    between, _ = without_gaps(motion)
    for b in range(len(body.joint_names)):
        ends = Rotation.from_matrix(whole.rotations[[9, 13], b])
        middle = Slerp([0, 1], ends)(0.5).as_matrix()
        np.testing.assert_allclose(between.rotations[9, b], middle, atol=1e-12)
    np.testing.assert_allclose(
        between.translation[9], whole.translation[[9, 13]].mean(axis=0), atol=1e-15
    )
    np.testing.assert_array_equal(between.rotations[kept - 2], motion.rotations[kept])


def test_an_even_clock_from_an_uneven_one() -> None:
    body = tube_body()
    time = np.cumsum(np.where(np.arange(60) % 7 == 3, 0.04, 0.02)) + 3
    steady = swinging(body, Timeline(np.arange(60), time))
    even = at_constant_rate(steady, 50.0)
    assert even.timeline.is_uniform
    assert even.timeline.time[0] == time[0]
    assert even.timeline.time[-1] == pytest.approx(time[-1])
    at = np.searchsorted(even.timeline.time, time - 1e-4)  # every sample is on the 50 Hz grid
    np.testing.assert_array_equal(even.rotations[at], steady.rotations)
    made = np.setdiff1d(np.arange(len(even.timeline)), at)
    assert len(made) == 9  # one within each of the longer steps
    for i in made:
        before, after = steady.translation[np.searchsorted(time, even.timeline.time[i]) - [1, 0]]
        np.testing.assert_allclose(even.translation[i], (before + after) / 2, atol=1e-12)


def test_an_even_clock_does_not_bridge_long_gaps() -> None:
    body = tube_body()
    motion = swinging(body, CLOCK, without=range(10, 30))  # 20 frames: 0.42 s apart
    even = at_constant_rate(motion)
    assert np.isnan(even.translation[10:30]).all()
    assert np.isfinite(np.delete(even.translation, np.s_[10:30], 0)).all()
    assert np.isfinite(at_constant_rate(motion, max_gap_s=0.5).translation).all()
    with pytest.raises(InvalidData, match="no constant rate"):
        at_constant_rate(motion, 0.0)
    with pytest.raises(InvalidData, match="no frame with a pose"):
        at_constant_rate(swinging(body, CLOCK, without=range(40)))


@pytest.mark.parametrize("pause_s", [2000.0, 1e9])
def test_a_file_that_would_be_nearly_all_pause_is_refused(pause_s: float) -> None:
    body = tube_body()
    time = np.arange(40) / 48 + np.where(np.arange(40) < 20, 0, pause_s)
    motion = swinging(body, Timeline(np.arange(40), time))
    with pytest.raises(InputError, match=r"of which 40 were recorded.*glb"):
        at_constant_rate(motion)


def test_the_world_turned_is_every_joint_turned() -> None:
    body = tube_body()
    motion = swinging(body, CLOCK, without=[7])
    R = Rotation.from_rotvec([0.3, -1.0, 2.0]).as_matrix()
    there = joints_of(body, turned(body, motion, R))
    for name, places in joints_of(body, motion).items():
        np.testing.assert_allclose(there[name], places @ R.T, atol=1e-13)  # rounding


def test_what_bvh_cannot_say_is_refused(tmp_path: Path) -> None:
    body, path = tube_body(), tmp_path / "a.bvh"
    time = np.array([0, 0.02, 0.04, 0.08])
    with pytest.raises(InputError, match=r"not evenly spaced.*constant rate"):
        export_bvh(path, body, swinging(body, Timeline(np.arange(4), time)))
    with pytest.raises(InputError, match="one frame has no frame time"):
        export_bvh(path, body, swinging(body, Timeline.regular(1, 50.0)))
    with pytest.raises(InputError, match="no frame of the motion has a pose"):
        export_bvh(path, body, swinging(body, CLOCK, without=range(40)))
    names = ("left hip", *body.joint_names[1:])
    spaced = replace(body, joint_names=names)
    with pytest.raises(InputError, match="'left hip' cannot be written"):
        export_bvh(path, spaced, swinging(spaced, CLOCK))
    motion, rest = swinging(body, CLOCK, without=[3]), body.joints
    with pytest.raises(InputError, match="frame 103 has no pose"):
        write_bvh(path, motion, body.parents, rest, rest)
    with pytest.raises(InvalidData, match="needs parents"):
        write_bvh(path, motion, body.parents[:3], rest, rest)
    assert not list(tmp_path.iterdir())
