"""AMASS files written; `test_mocap` reads them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.io.amass import read_amass_motion, write_amass
from kinefit.types import BodyMotion, InputError, Timeline

from .test_body_npz import ROUNDING, motion


def even(T: int = 12) -> BodyMotion:
    return replace(motion(T, body="smplh-female"), timeline=Timeline.regular(T, 120.0))


def test_amass_files_have_the_names_that_others_read(tmp_path: Path) -> None:
    given = even()
    write_amass(tmp_path / "a.npz", given, np.arange(16.0), "female")
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert set(arrays) == {"poses", "trans", "betas", "mocap_framerate", "gender"}
        assert arrays["poses"].shape == (12, 15)
        assert float(arrays["mocap_framerate"]) == pytest.approx(120, rel=1e-12)
        assert str(arrays["gender"]) == "female"
        turns = Rotation.from_rotvec(arrays["poses"].reshape(-1, 3)).as_matrix()
    np.testing.assert_allclose(turns.reshape(12, 5, 3, 3), given.rotations, atol=ROUNDING)


@pytest.fixture
def arrays() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    poses = rng.normal(0, 0.1, (30, 66))
    walk = np.outer(np.arange(30) * 1.2 / 60, [1, 0, 0])  # 1.2 m/s
    return {"poses": poses, "trans": walk, "betas": np.arange(10.0),
            "gender": "male", "mocap_framerate": 60.0}  # fmt: skip


def test_ways_in_which_programs_write_it(tmp_path: Path, arrays: dict[str, Any]) -> None:
    poses = arrays.pop("poses")
    ways: dict[str, dict[str, Any]] = {
        "plain": {"poses": poses},
        "in parts": {"root_orient": poses[:, :3], "pose_body": poses[:, 3:]},
        "a list of one rate": {"poses": poses, "mocap_framerate": np.array([60.0])},
        "a shape for each frame": {"poses": poses, "betas": np.tile(np.arange(10.0), (30, 1))},
        "an object for a name": {"poses": poses, "gender": np.array("male", dtype=object)},
    }
    for name, way in ways.items():
        np.savez(tmp_path / f"{name}.npz", **(arrays | way))
        found = read_amass_motion(tmp_path / f"{name}.npz")
        np.testing.assert_array_equal(found.rotvec_rad.reshape(30, -1), poses)
        assert (found.rate_hz, found.gender, found.betas.tolist()) == (60, "male", [*range(10)])


@pytest.mark.parametrize(
    ("name", "factor", "said"),
    [
        ("poses", 500, "not in degrees"),
        ("poses", 60, "of joints are over half a turn"),  # all of them within 24
        ("trans", 1000, "at 1200 m/s most of the time"),
        ("trans", 100, "at 120 m/s most of the time"),
        ("trans", 1e6, "`trans` in metres"),
    ],
)
def test_other_units_are_refused(
    tmp_path: Path, arrays: dict[str, Any], name: str, factor: float, said: str
) -> None:
    np.savez(tmp_path / "a.npz", **(arrays | {name: arrays[name] * factor}))
    with pytest.raises(InputError, match=said):
        read_amass_motion(tmp_path / "a.npz")


def test_a_few_spoilt_poses_and_a_jump_are_no_other_units(
    tmp_path: Path, arrays: dict[str, Any]
) -> None:
    arrays["poses"][:3, 3:] = 3.2
    arrays["poses"][:, 0] = np.linspace(0, 20, 30)  # turns round and round
    arrays["trans"][7:] += 5
    np.savez(tmp_path / "a.npz", **arrays)
    assert read_amass_motion(tmp_path / "a.npz").notes == ()


def test_a_shape_that_changes_is_said(tmp_path: Path, arrays: dict[str, Any]) -> None:
    arrays["betas"] = np.tile(np.arange(10.0), (30, 1))
    arrays["betas"][4, 2] += 0.1
    np.savez(tmp_path / "a.npz", **arrays)
    found = read_amass_motion(tmp_path / "a.npz")
    assert found.betas.tolist() == [*range(10)]
    assert "that of the first was taken" in found.notes[0]
    np.savez(tmp_path / "b.npz", **(arrays | {"betas": np.empty((0, 10))}))
    assert read_amass_motion(tmp_path / "b.npz").betas.size == 0


def test_parts_of_other_lengths_are_told(tmp_path: Path, arrays: dict[str, Any]) -> None:
    poses = arrays.pop("poses")
    np.savez(tmp_path / "a.npz", root_orient=poses[:, :3], pose_body=poses[1:, 3:], **arrays)
    with pytest.raises(InputError, match="30 frames of root_orient, 29 of pose_body"):
        read_amass_motion(tmp_path / "a.npz")


def test_what_amass_cannot_say_is_refused(tmp_path: Path) -> None:
    path, betas = tmp_path / "a.npz", np.zeros(10)
    with pytest.raises(InputError, match="holds SMPL bodies, not anny"):
        write_amass(path, replace(even(), body="anny"), betas, "male")
    with pytest.raises(InputError, match="unknown gender 'm'"):
        write_amass(path, even(), betas, "m")
    with pytest.raises(InputError, match="frame 32 has no pose"):
        write_amass(path, motion(body="smpl", without=(2,)), betas, "male")
    with pytest.raises(InputError, match="constant rate first"):
        write_amass(path, motion(body="smpl"), betas, "male")
    assert not path.exists()
