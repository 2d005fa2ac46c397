"""Motions of bodies in NumPy archives: round trips, other people's files, hostile ones."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.io.body_npz import read_motion, write_motion
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
        ({"shape": np.full(4, np.nan)}, "a value that no body has"),
        ({"shape": np.full(4, 1e300)}, "a value that no body has"),
        ({"translation_m": np.full((12, 3), 1e300)}, "over 10 km from the origin in frame"),
        ({"translation_m": np.full((12, 3), -2e4)}, "over 10 km from the origin in frame"),
        ({"time_s": 1e300 * np.arange(12.0)}, "no number of seconds"),
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
