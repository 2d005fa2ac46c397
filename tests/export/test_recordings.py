"""Motion capture of others on a body: AMASS on an SMPL body exactly, and on Anny by its joints."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.body.anny import load_anny
from kinefit.body.model import BodyModel, forward_kinematics
from kinefit.cli.commands import app
from kinefit.export.motion_files import export_amass
from kinefit.export.recordings import is_recording, motion_of_recording
from kinefit.geometry.rotations import exp, unit
from kinefit.io.body_npz import write_motion
from kinefit.io.bvh import read_bvh
from kinefit.types import BodyMotion, InputError, Timeline

from ..body.synthetic import tube_body

T, RATE = 24, 60.0


@pytest.fixture
def smpl() -> BodyModel:
    return replace(tube_body(pose_dirs=True), name="smpl-female")


def write(path: Path, joints: int = 52, **more: object) -> tuple[np.ndarray, np.ndarray]:
    """A person who walks along the file's -Y with the left knee bent by 0.7 rad, Z up."""
    vectors, trans = np.zeros((T, joints, 3)), np.zeros((T, 3))
    vectors[:, 0, 0] = np.pi / 2  # from SMPL's own Y up to Z up
    vectors[:, 4, 0] = 0.7
    trans[:, 1], trans[:, 2] = -np.arange(T) / RATE, 1.0
    arrays = {"betas": np.zeros(16), "mocap_framerate": RATE, "gender": "female", **more}
    np.savez(path, poses=vectors.reshape(T, -1), trans=trans, **arrays)
    return vectors, trans


def test_amass_on_anny(tmp_path: Path) -> None:
    write(tmp_path / "a.npz")
    anny = load_anny()
    motion, notes = motion_of_recording(tmp_path / "a.npz", anny)
    assert notes[0].startswith("The motion was brought to the body anny: joints are ")
    assert "shape unused" in notes[1]
    rest = anny.rest_joints(motion.shape)
    joints = forward_kinematics(anny.parents, motion.rotations, motion.translation, rest)[1]
    at = {name: joints[:, anny.joint_names.index(j)] for name, j in anny.anatomy.items()}
    # Upright with Y up, walking along +Z at 1 m/s (the file's -Y), only the left knee bent.
    assert (at["Neck"][:, 1] > at["LHip"][:, 1] + 0.4).all()
    np.testing.assert_allclose(np.diff(at["Neck"], axis=0) * RATE, [[0, 0, 1]] * (T - 1), atol=0.05)
    for side, angle in (("L", 0.7), ("R", 0.0)):
        thigh, shank = at[f"{side}Knee"] - at[f"{side}Hip"], at[f"{side}Ankle"] - at[f"{side}Knee"]
        cosine = (unit(thigh) * unit(shank)).sum(axis=1)
        # Two skeletons: their legs' rest directions differ by some degrees.
        np.testing.assert_allclose(np.arccos(cosine), angle, atol=0.12)


def test_it_comes_back_from_an_smpl_body(tmp_path: Path, smpl: BodyModel) -> None:
    rng = np.random.default_rng(0)
    B, S = len(smpl.joint_names), len(smpl.shape.names)
    given = BodyMotion(
        smpl.name, Timeline.regular(T, RATE), smpl.joint_names, exp(rng.normal(0, 0.3, (T, B, 3))),
        rng.normal(0, 0.02, (T, 3)).cumsum(axis=0), rng.normal(0, 1, S), tuple(smpl.shape.names),
    )  # fmt: skip
    export_amass(tmp_path / "a.npz", smpl, given)
    back, notes = motion_of_recording(tmp_path / "a.npz", smpl)
    assert notes == ()
    np.testing.assert_allclose(back.rotations, given.rotations, atol=1e-9)
    np.testing.assert_allclose(back.translation, given.translation, atol=1e-9)
    np.testing.assert_allclose(back.shape, given.shape, atol=1e-12)


def test_a_file_and_a_body_of_the_family_that_differ(tmp_path: Path, smpl: BodyModel) -> None:
    write(tmp_path / "a.npz", joints=55)
    _, notes = motion_of_recording(tmp_path / "a.npz", replace(smpl, name="smpl-male"))
    assert "another number of joints: the first 22" in notes[0]
    assert "coefficients of shape" in notes[1]
    assert "body is female, the one that was given is smpl-male" in notes[2]


def test_what_is_a_recording(tmp_path: Path) -> None:
    write(tmp_path / "a.npz")
    assert is_recording(tmp_path / "a.npz")
    assert is_recording(tmp_path / "a.bvh")
    np.savez(tmp_path / "parts.npz", root_orient=np.zeros((2, 3)), pose_body=np.zeros((2, 63)))
    assert is_recording(tmp_path / "parts.npz")
    anny = load_anny()
    B, S = len(anny.joint_names), len(anny.shape.names)
    turns = np.broadcast_to(np.eye(3), (T, B, 3, 3))
    write_motion(
        tmp_path / "b.npz",
        BodyMotion("anny", Timeline.regular(T, RATE), anny.joint_names, turns, np.zeros((T, 3)),
                   anny.shape.neutral[:S], tuple(anny.shape.names)),
    )  # fmt: skip
    assert not is_recording(tmp_path / "b.npz")
    with pytest.raises(InputError, match="cannot be brought to the body x"):
        motion_of_recording(tmp_path / "a.npz", replace(anny, name="x"))


def test_the_command(tmp_path: Path) -> None:
    write(tmp_path / "a.npz")
    done = CliRunner().invoke(app, ["export", "motion", str(tmp_path / "a.npz"), "--to", "bvh"])
    assert done.exit_code == 0, done.output
    clip = read_bvh(tmp_path / "a_body.bvh")
    assert len(clip) == T
    assert clip.rate_hz == pytest.approx(RATE, rel=1e-4)


@pytest.mark.parametrize(
    ("name", "what"),
    [("a.trc", "holds markers"), ("a.c3d", "kinefit fit markers a.c3d"), ("a.mot", "a table")],
)
def test_files_that_hold_no_motion(tmp_path: Path, name: str, what: str) -> None:
    from kinefit.api import export_motion

    with pytest.raises(InputError, match=what):
        export_motion(tmp_path / name, ["bvh"])
