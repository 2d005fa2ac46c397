"""Skeletons of several programs under kinefit's names: the same squat, told in each one's way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.geometry import rotations as so3
from kinefit.io.mocap import MocapClip, rest_joints
from kinefit.io.mocap_files import mocap_files, read_mocap
from kinefit.io.mocap_joints import JOINTS, with_kinefit_joints
from kinefit.types import FloatArray, InputError

T = 12
_X, _Y, _Z = np.eye(3)
# kinefit's name -> (parent, metres from it in a T-pose, left side); the others mirrored.
SKELETON: dict[str, tuple[str, tuple[float, float, float]]] = {
    "pelvis": ("", (0, 0, 0)),
    "hip": ("pelvis", (0.09, -0.09, 0)),
    "knee": ("hip", (0.02, -0.40, 0)),
    "ankle": ("knee", (0, -0.42, -0.02)),
    "toe": ("ankle", (0.01, -0.06, 0.14)),
    "lowerback": ("pelvis", (0, 0.06, -0.01)),
    "spine": ("lowerback", (0, 0.10, 0)),
    "thorax": ("spine", (0, 0.12, 0)),
    "neck1": ("thorax", (0, 0.20, 0)),
    "head": ("neck1", (0, 0.10, 0.01)),
    "headtop": ("head", (0, 0.15, 0)),
    "collar": ("thorax", (0.03, 0.12, 0.02)),
    "shoulder": ("collar", (0.14, 0.02, -0.02)),
    "elbow": ("shoulder", (0.27, 0, 0)),
    "wrist": ("elbow", (0.25, 0, 0)),
}
_SIDED = ("hip", "knee", "ankle", "toe", "collar", "shoulder", "elbow", "wrist")
MIXAMO = {
    "pelvis": "mixamorig:Hips", "lowerback": "mixamorig:Spine", "spine": "mixamorig:Spine1",
    "thorax": "mixamorig:Spine2", "neck1": "mixamorig:Neck", "head": "mixamorig:Head",
    "headtop": "mixamorig:HeadTop_End", "hip": "mixamorig:{}UpLeg", "knee": "mixamorig:{}Leg",
    "ankle": "mixamorig:{}Foot", "toe": "mixamorig:{}ToeBase", "collar": "mixamorig:{}Shoulder",
    "shoulder": "mixamorig:{}Arm", "elbow": "mixamorig:{}ForeArm", "wrist": "mixamorig:{}Hand",
}  # fmt: skip
BIPED = {
    "pelvis": "Bip01 Pelvis", "lowerback": "Bip01 Spine", "spine": "Bip01 Spine1",
    "thorax": "Bip01 Spine2", "neck1": "Bip01 Neck", "head": "Bip01 Head",
    "headtop": "Bip01 HeadNub", "hip": "Bip01 {0[0]} Thigh", "knee": "Bip01 {0[0]} Calf",
    "ankle": "Bip01 {0[0]} Foot", "toe": "Bip01 {0[0]} Toe0", "collar": "Bip01 {0[0]} Clavicle",
    "shoulder": "Bip01 {0[0]} UpperArm", "elbow": "Bip01 {0[0]} Forearm",
    "wrist": "Bip01 {0[0]} Hand",
}  # fmt: skip
XSENS = {
    "pelvis": "Hips", "lowerback": "Chest", "spine": "Chest2", "thorax": "Chest4",
    "neck1": "Neck", "head": "Head", "headtop": "HeadEnd", "hip": "{}Hip", "knee": "{}Knee",
    "ankle": "{}Ankle", "toe": "{}Toe", "collar": "{}Collar", "shoulder": "{}Shoulder",
    "elbow": "{}Elbow", "wrist": "{}Wrist",
}  # fmt: skip


def tree() -> tuple[list[str], list[int], FloatArray]:
    """Names with sides, parents, offsets (J, 3)."""
    names: list[str] = []
    parents, offsets = [], []
    for name, (parent, offset) in SKELETON.items():
        for side, sign in (("l", 1), ("r", -1)) if name in _SIDED else (("", 1),):
            above = side + parent if parent in _SIDED else parent
            parents.append(names.index(above) if above else -1)
            names.append(side + name)
            offsets.append(np.array(offset) * [sign, 1, 1])
    return names, parents, np.array(offsets)


def squat(called: dict[str, str], twist: float = 0.0) -> MocapClip:
    """Someone who squats, bends the elbows, turns the hands by `twist` and turns round."""
    names, parents, offsets = tree()
    wave = (1 - np.cos(np.linspace(0, 2 * np.pi, T))) / 2
    vectors = np.zeros((T, len(names), 3))
    for side, sign in (("l", 1), ("r", -1)):
        vectors[:, names.index(side + "hip")] = np.outer(-wave, _X)
        vectors[:, names.index(side + "knee")] = np.outer(1.5 * wave, _X)
        vectors[:, names.index(side + "elbow")] = np.outer(-sign * wave, _Y)
        vectors[:, names.index(side + "wrist")] = np.outer(twist * wave, _X)
    vectors[:, 0] = np.outer(np.linspace(0, 1, T), _Y)
    root = np.column_stack([np.linspace(0, 0.3, T), 0.9 - 0.2 * wave, np.full(T, 0.1)])
    sides = {"l": "Left", "r": "Right"}
    own = [
        called[n].format("") if n in called else called[n[1:]].format(sides[n[0]]) for n in names
    ]
    return MocapClip.posed(
        Path("squat.bvh"), "bvh", 60.0, own, parents, offsets, so3.exp(vectors), root
    )


def same(a: MocapClip, b: MocapClip, atol: float = 1e-12) -> None:
    np.testing.assert_allclose(a.positions, b.positions, atol=atol)
    np.testing.assert_allclose(a.rotations, b.rotations, atol=atol)
    np.testing.assert_allclose(a.rest, b.rest, atol=atol)


@pytest.mark.parametrize("called", [MIXAMO, BIPED, XSENS])
def test_joints_of_several_programs(called: dict[str, str]) -> None:
    clip = with_kinefit_joints(Path("a.bvh"), squat(called))
    assert clip.names == JOINTS
    names, _, _ = tree()
    original = squat(called)
    for name in names:
        if name == "lowerback":  # at no place that kinefit has a point for
            continue
        here, there = clip.names.index(name), names.index(name)
        np.testing.assert_array_equal(clip.positions[:, here], original.positions[:, there])
        if not name.endswith(("wrist", "hand")):
            np.testing.assert_allclose(
                clip.rotations[:, here], original.rotations[:, there], atol=1e-15
            )
    assert np.isnan(clip.positions[:, clip.names.index("neck")]).all()
    assert np.isnan(clip.positions[:, clip.names.index("lhand")]).all()


def test_the_wrists_segment_is_the_forearm_twisted_as_the_hand() -> None:
    clip = with_kinefit_joints(Path("a.bvh"), squat(MIXAMO, twist=0.7))
    for side in "lr":
        elbow, wrist, hand = (
            clip.rotations[:, JOINTS.index(side + n)] for n in ("elbow", "wrist", "hand")
        )
        # The hand only twists here, about the arm's own axis: all of it is the forearm's.
        np.testing.assert_allclose(wrist, hand, atol=1e-12)
        turned = so3.log(np.swapaxes(elbow, -1, -2) @ wrist)
        assert np.abs(turned[:, 0]).max() == pytest.approx(0.7, abs=0.02)  # frames beside the peak
        assert np.abs(turned[:, 1:]).max() < 1e-12


def z_up(clip: MocapClip) -> MocapClip:
    turn = so3.exp(np.pi / 2 * _X)
    return replace(
        clip,
        positions=clip.positions @ turn.T,
        rotations=turn @ clip.rotations @ turn.T,
        rest=clip.rest @ turn.T,
    )


def facing_x(clip: MocapClip) -> MocapClip:
    """Only the rest pose turned: files in which the person stands facing +X there."""
    turn = so3.exp(np.pi / 2 * _Y)
    return clip.at_rest(clip.rest @ turn.T, np.broadcast_to(turn, (len(clip.names), 3, 3)))


@pytest.mark.parametrize("change", [z_up, facing_x, lambda clip: facing_x(z_up(clip))])
def test_worlds_and_rest_poses_are_turned_alike(
    change: Callable[[MocapClip], MocapClip],
) -> None:
    plain, changed = squat(MIXAMO), change(squat(MIXAMO))
    here = with_kinefit_joints(Path("a.bvh"), plain)
    same(with_kinefit_joints(Path("a.bvh"), changed), here)


def test_a_rest_pose_with_all_bones_along_one_axis(tmp_path: Path) -> None:
    """As LaFAN1's files: the frame in which the person stands straight becomes the rest pose."""
    plain = squat(MIXAMO)
    rng = np.random.default_rng(1)
    own = so3.exp(rng.uniform(-1.5, 1.5, (len(plain.names), 3)))
    bones = plain.rest - plain.rest[np.maximum(plain.parents, 0)]
    offsets = np.array([[np.linalg.norm(bone), 0, 0] for bone in bones])
    # Where segments have the rotations `own`, in which bones are along X: not where anybody stands.
    odd = plain.at_rest(rest_joints(plain.parents.tolist(), offsets), own)
    clip = with_kinefit_joints(Path("a.bvh"), odd)
    assert clip.notes == (
        "the rest pose is that of frame 0, in which the person stands straightest",
    )
    same(clip, with_kinefit_joints(Path("a.bvh"), plain))


def test_names_that_say_nothing_are_refused() -> None:
    clip = squat({name: f"joint_{i}_{{}}" for i, name in enumerate(SKELETON)})
    with pytest.raises(InputError, match="do not say which are lhip, rhip, lknee"):
        with_kinefit_joints(Path("a.bvh"), clip)


def test_nobody_stands(tmp_path: Path) -> None:
    """A file of somebody who lies, from a rest pose that lies too."""
    clip = squat(MIXAMO)
    down = clip.at_rest(clip.rest, np.broadcast_to(np.eye(3), (len(clip.names), 3, 3)))
    lying = MocapClip(
        "x", "bvh", 60.0, clip.names, clip.parents, down.positions @ so3.exp(1.2 * _Z).T,
        so3.exp(1.2 * _Z) @ down.rotations, clip.rest * [1, 0.1, 1] + clip.rest[:, [1, 1, 1]],
    )  # fmt: skip
    with pytest.raises(InputError, match="shows the person standing"):
        with_kinefit_joints(Path("a.bvh"), lying)


def amass(path: Path, **changes: object) -> Path:
    """The squat as poses of SMPL-H, Z up."""
    wave = (1 - np.cos(np.linspace(0, 2 * np.pi, T))) / 2
    poses = np.zeros((T, 52, 3))
    poses[:, 0] = np.pi / 2 * _X  # the template has Y up, the world Z
    for hip, knee, elbow, sign in ((1, 4, 18, 1), (2, 5, 19, -1)):
        poses[:, hip] = np.outer(-wave, _X)
        poses[:, knee] = np.outer(1.5 * wave, _X)
        poses[:, elbow] = np.outer(-sign * wave, _Y)
    arrays: dict[str, object] = {
        "poses": poses.reshape(T, -1), "trans": np.tile([0.5, 2.0, 1.1], (T, 1)),
        "betas": np.zeros(16), "mocap_framerate": 120.0, "gender": "male",
        "dmpls": np.zeros((T, 8)),
    }  # fmt: skip
    np.savez(path, **{k: v for k, v in (arrays | changes).items() if v is not None})
    return path


def test_amass(tmp_path: Path) -> None:
    (clip,) = read_mocap(amass(tmp_path / "a.npz"))
    assert (clip.names, clip.rate_hz, clip.format) == (JOINTS, 120.0, "amass")
    # x, y, z of the file are x, -z, y of the world; where the pelvis is above `trans`, Z in SMPL.
    np.testing.assert_allclose(clip.positions[0, 0], [0.5, 1.13, -1.78], atol=1e-12)
    head, ankle = (clip.positions[0, JOINTS.index(n)] for n in ("head", "lankle"))
    assert 1.4 < (head - ankle)[1] < 1.5  # standing, in a T-pose facing +Z
    assert clip.positions[0, JOINTS.index("lwrist"), 0] - 0.5 == pytest.approx(0.68)
    # Where the squat is lowest, hips have turned by -1 about X and knees by +1.5 against them.
    low = int(np.argmin(clip.positions[:, JOINTS.index("lknee"), 1]))
    knee = so3.log(clip.rotations[low, JOINTS.index("lknee")])
    wave = (1 - np.cos(2 * np.pi * low / (T - 1))) / 2
    np.testing.assert_allclose(knee, [0.5 * wave, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"poses": np.zeros((T, 66 + 3))}, "its poses have 23 joints"),
        ({"poses": np.zeros((T, 67))}, "its poses have 22.3333 joints"),
        ({"poses": None}, "it has no array 'poses'"),
        ({"poses": np.full((T, 156), np.nan)}, "not finite"),
        ({"poses": np.full((T, 156), 1e9)}, "is turned by 1e+09 radians"),
        ({"trans": np.zeros((T - 1, 3))}, "its 'trans' is (11, 3)"),
        ({"mocap_framerate": 0.0}, "its frame rate is 0.0 Hz"),
        ({"gender": "robot"}, "its gender is 'robot'"),
        ({"poses": np.array([[print]], dtype=object)}, "a.npz"),
    ],
)
def test_damaged_amass_files(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    with pytest.raises(InputError) as error:
        read_mocap(amass(tmp_path / "a.npz", **changes))
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("gender", "rate"),
    [(b"female", "mocap_framerate"), ("b'male'", "mocap_frame_rate"), (None, "mocap_framerate")],
)
def test_amass_files_as_they_are_found(tmp_path: Path, gender: object, rate: str) -> None:
    changes: dict[str, object] = {"gender": gender, "mocap_framerate": None, rate: 100.0}
    (clip,) = read_mocap(amass(tmp_path / "a.npz", **changes))
    assert clip.rate_hz == 100.0


def test_thinned_keeps_every_nth_frame() -> None:
    clip = squat(MIXAMO).thinned(30.0)
    assert (len(clip), clip.rate_hz) == (T // 2, 30.0)
    np.testing.assert_array_equal(clip.positions, squat(MIXAMO).positions[::2])
    assert squat(MIXAMO).thinned(50.0).rate_hz == 60.0


def test_folders_are_searched(tmp_path: Path) -> None:
    for name in ("b/walk.npz", "a.npz", "b/shape.npz"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        amass(tmp_path / name)
    assert mocap_files(tmp_path) == [tmp_path / "a.npz", tmp_path / "b" / "walk.npz"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="has no motion capture"):
        mocap_files(tmp_path / "empty")
    with pytest.raises(InputError, match="is not motion capture"):
        mocap_files(tmp_path / "a.fbx")
