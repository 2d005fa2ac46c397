"""Motions of bodies in NumPy archives: round trips, other people's files, hostile ones."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.io.body_npz import read_amass, read_motion, write_amass, write_motion
from kinefit.types import BodyMotion, InputError, Timeline

ROUNDING = 1e-14  # a rotation to a vector and back: a few roundings of numbers up to pi


def motion(T: int = 12, B: int = 5, *, body: str = "anny", without: tuple[int, ...] = ()) -> Any:
    rng = np.random.default_rng(3)
    rotations = Rotation.random(T * B, random_state=1).as_matrix().reshape(T, B, 3, 3)
    rotations[1, 0] = np.diag([-1.0, 1.0, -1.0])  # a half turn
    rotations[2] = np.eye(3)
    translation = rng.normal(size=(T, 3))
    rotations[list(without)], translation[list(without)] = np.nan, np.nan
    time = 2 + np.cumsum(rng.uniform(0.01, 0.03, T))
    names = tuple(f"joint {b} é" for b in range(B))
    return BodyMotion(
        body, Timeline(np.arange(30, 30 + T), time), names, rotations, translation,
        rng.normal(size=4), ("height", "weight", "age", "Größe"),
    )  # fmt: skip


def test_a_motion_comes_back(tmp_path: Path) -> None:
    given = motion(without=(0, 7))
    write_motion(tmp_path / "a.npz", given)
    read = read_motion(tmp_path / "a.npz")
    assert (read.body, read.joint_names) == (given.body, given.joint_names)
    assert (read.timeline, read.shape_names) == (given.timeline, given.shape_names)
    np.testing.assert_array_equal(read.translation, given.translation)
    np.testing.assert_array_equal(read.shape, given.shape)
    np.testing.assert_allclose(read.rotations, given.rotations, atol=ROUNDING)
    assert np.isnan(read.rotations[[0, 7]]).all()


def test_the_file_is_plain_arrays_that_numpy_and_scipy_understand(tmp_path: Path) -> None:
    given = motion()
    write_motion(tmp_path / "a.npz", given)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as arrays:
        assert arrays["format"] == "kinefit body motion 1"
        turns = Rotation.from_rotvec(arrays["rotvec_rad"].reshape(-1, 3)).as_matrix()
        assert arrays["joint_names"].tolist() == list(given.joint_names)
        assert arrays["time_s"].tolist() == given.timeline.time.tolist()
    np.testing.assert_allclose(turns.reshape(given.rotations.shape), given.rotations, atol=ROUNDING)


def test_the_same_motion_makes_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        write_motion(tmp_path / f"{name}.npz", motion())
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


class Evil:
    def __reduce__(self) -> tuple[Callable[[str], Any], tuple[str]]:
        return Path.touch, (Path("touched"),)  # type: ignore[return-value]


def _object(value: Any) -> np.ndarray:
    array = np.empty((), dtype=object)
    array[()] = value
    return array


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"format": None}, "it has no array 'format'"),
        ({"format": np.array("kinefit body motion 2")}, "is not a 'kinefit body motion 1' file"),
        ({"format": np.array(3)}, "expected"),
        ({"rotvec_rad": None}, "it has no array 'rotvec_rad'"),
        ({"rotvec_rad": np.zeros((12, 4, 3))}, r"expected \(12, 5, 3\)"),
        ({"rotvec_rad": np.full((12, 5, 3), np.inf)}, "million radians"),
        ({"rotvec_rad": np.full((12, 5, 3), 1e7)}, "million radians"),
        ({"rotvec_rad": np.zeros((12, 5, 3), complex)}, "complex"),
        ({"rotvec_rad": np.where(np.arange(3) == 1, np.nan, np.zeros((12, 5, 3)))}, "half a pose"),
        ({"translation_m": np.full((12, 3), np.inf)}, "infinite"),
        ({"translation_m": np.full((12, 3), "1.0")}, "type <U3"),
        ({"frame": np.arange(12) / 2}, "type float64"),
        ({"frame": np.zeros(12, int)}, "does not increase"),
        ({"time_s": np.arange(11.0)}, r"expected \(12\)"),
        ({"time_s": np.arange(12.0)[::-1]}, "does not increase"),
        ({"joint_names": np.array(["a"] * 5)}, "duplicates"),
        ({"shape": np.full(4, np.nan)}, "not a number"),
        ({"body": _object(Evil())}, "only plain numbers"),
        ({"body": _object("anny")}, "type object"),
    ],
)
def test_damaged_and_hostile_files_are_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    changes: dict[str, Any],
    reason: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.npz"
    write_motion(path, motion())
    with np.load(path) as file:
        arrays = dict(file) | changes
    np.savez(path, **{name: value for name, value in arrays.items() if value is not None})
    with pytest.raises(InputError, match=reason) as error:
        read_motion(path)
    assert str(path) in str(error.value)
    assert not (tmp_path / "touched").exists()


def test_the_hostile_array_would_have_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    pickle.loads(pickle.dumps(Evil()))
    assert (tmp_path / "touched").exists()


@pytest.mark.parametrize("content", [b"PK\x03\x04 and then nothing", b"", b"text"])
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npz").write_bytes(content)
    with pytest.raises(InputError):
        read_motion(tmp_path / "a.npz")


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
    read = read_amass(tmp_path / "a.npz", 5)
    np.testing.assert_allclose(read.rotations, given.rotations, atol=ROUNDING)
    np.testing.assert_array_equal(read.translation, given.translation)
    assert read.betas.tolist() == list(range(16))
    assert read.gender == "female"
    assert read.timeline.rate_hz == pytest.approx(120)


AMASS = {
    "poses": np.zeros((4, 6)),
    "trans": np.zeros((4, 3)),
    "betas": np.zeros(16),
    "mocap_framerate": np.array(60.0),
    "gender": np.array("male"),
}


@pytest.mark.parametrize("gender", ["male", b"male", "b'male'", "MALE"])
@pytest.mark.parametrize("rate", ["mocap_framerate", "mocap_frame_rate"])
def test_amass_files_as_they_are_found(tmp_path: Path, gender: Any, rate: str) -> None:
    arrays = {k: v for k, v in AMASS.items() if k != "mocap_framerate"}
    arrays |= {"gender": np.array(gender), rate: np.array(100), "dmpls": np.zeros((4, 8))}
    arrays["marker_data"] = _object(Evil())  # of no use, so never opened
    np.savez(tmp_path / "a.npz", **arrays)
    read = read_amass(tmp_path / "a.npz", 2)
    assert read.gender == "male"
    assert read.timeline == Timeline.regular(4, 100.0)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"poses": np.zeros((4, 9))}, "its poses have 3 joints, the body has 2"),
        ({"poses": np.full((4, 6), np.nan)}, "not finite"),
        ({"poses": np.zeros((0, 6)), "trans": np.zeros((0, 3))}, "no frames"),
        ({"poses": np.full((4, 6), 1e9)}, "million radians"),
        ({"trans": np.zeros((5, 3))}, r"expected \(4, 3\)"),
        ({"mocap_framerate": np.array(0.0)}, "frame rate is 0"),
        ({"mocap_framerate": np.array(np.nan)}, "frame rate is nan"),
        ({"mocap_framerate": None}, "no array 'mocap_framerate'"),
        ({"gender": np.array("robot")}, "gender is 'robot'"),
        ({"gender": None}, "no array 'gender'"),
    ],
)
def test_damaged_amass_files_are_refused(
    tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    arrays = AMASS | changes
    np.savez(tmp_path / "a.npz", **{k: v for k, v in arrays.items() if v is not None})
    with pytest.raises(InputError, match=reason):
        read_amass(tmp_path / "a.npz", 2)


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
