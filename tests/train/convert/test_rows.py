"""Shards as files, and a video's pictures for the frames that are annotated."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from kinefit.io.arrays import save_npz
from kinefit.synth import pairs
from kinefit.synth.pairs import unit_torso
from kinefit.train.convert.rows import (
    FIELDS,
    number_array,
    plain_name,
    read_shard,
    shard_paths,
)
from kinefit.train.convert.videos import find_videos, nearest, shown
from kinefit.types import InputError

from .ring_scene import person_frames, unit_torso_of


def test_the_torso_of_many_is_that_of_each() -> None:
    people = person_frames(6)
    people[2, 11] = np.nan
    people[3, 4] = np.nan
    unit, length = unit_torso(people)
    for i, one in enumerate(people):
        expected, torso = unit_torso_of(one)
        np.testing.assert_allclose(unit[i], expected, atol=1e-15)
        np.testing.assert_allclose(length[i], torso)


def test_people_in_one_point_have_no_torso() -> None:
    unit, length = unit_torso(np.zeros((2, 17, 3)))
    assert np.isnan(unit).all()
    assert np.isnan(length).all()


def test_fields_mean_what_they_mean_in_pairs() -> None:
    published = ("corrupted", "ground_truth", "pose_2d", "projected_2d", "camera_R", "gt_scale")
    for name in (*published, "visibility", "K", "size"):
        assert FIELDS[name][0] == pairs.FIELDS[name][0], name


def test_other_files_are_no_shards(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="kinefit train convert"):
        shard_paths(tmp_path)
    path = tmp_path / "a.b.npz"
    save_npz(path, frame=np.arange(3))
    with pytest.raises(InputError, match="lacks pose_2d"):
        read_shard(path)
    shapes = {
        name: np.zeros((3, *shape), {"U": "U1"}.get(k, k)) for name, (shape, k, _) in FIELDS.items()
    }
    save_npz(path, **{**shapes, "data_set": "x"})
    assert len(read_shard(path)["frame"]) == 3
    save_npz(path, **{**shapes, "data_set": "x", "K": np.zeros((2, 3, 3))})
    with pytest.raises(InputError, match="K has another shape"):
        read_shard(path)
    save_npz(path, **{**shapes, "data_set": "x", "view": np.zeros(3)})
    with pytest.raises(InputError, match="view has another shape or type"):
        read_shard(path)


@pytest.mark.parametrize("name", ["", ".", "..", "../a", "a/b", "a\\b", "a\0b", "C:", 5, "x" * 101])
def test_names_that_would_leave_the_folder_are_refused(name: object) -> None:
    with pytest.raises(InputError, match="no plain name"):
        plain_name("mapping.txt", name, "sequence")


def test_numbers_are_checked() -> None:
    got = number_array("f", [[1, 2.5], [float("inf"), 3]], (None, 2), "points")
    np.testing.assert_array_equal(got, [[1, 2.5], [np.nan, 3]])
    for wrong in ([1, 2], [["a", "b"]], [[1], [1, 2]], None, {}, [[10**400, 1]], [[1j, 1]]):
        with pytest.raises(InputError, match=r"points: \* x 2 numbers are expected"):
            number_array("f", wrong, (None, 2), "points")


# Videos


def test_pictures_of_frames_at_the_same_rate() -> None:
    for rounding in (-1e-10, 0, 1e-10):  # of floating point
        time = np.arange(7000) / 60 + rounding
        np.testing.assert_array_equal(shown(np.arange(7000), time, 60.0), np.arange(7000))


def test_pictures_of_frames_at_another_rate() -> None:
    # ffmpeg -vf fps=60:round=down: every 1001st picture of NTSC's rate is shown twice.
    time = np.arange(3000) * 1001 / 60000
    at = shown(np.arange(3003), time, 60.0)
    assert at[:1000].tolist() == list(range(1000))
    assert at[1000] == 999
    assert at[1001] == 1000
    # Half the rate: each twice. Twice the rate: the later one of two.
    assert shown(np.arange(5), np.arange(3) / 30, 60.0).tolist() == [0, 0, 1, 1, 2]
    assert shown(np.arange(3), np.arange(6) / 120, 60.0).tolist() == [1, 3, 5]


def test_no_picture_after_the_end_of_the_video() -> None:
    assert shown(np.arange(5), np.arange(3) / 60, 60.0).tolist() == [0, 1, 2, -1, -1]


def test_the_person_who_is_near_is_taken() -> None:
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 100, (17, 2))
    other = true + np.array([60, 0])
    near = true + rng.normal(0, 3, (17, 2))
    assert nearest(np.stack([other, near]), true) == 1
    assert nearest(np.stack([near, other]), true) == 0
    assert nearest(other[None], true) is None
    assert nearest(np.zeros((0, 17, 2)), true) is None
    lost = true.copy()
    lost[:9] = np.nan
    assert nearest(np.stack([other, near]), lost) == 1
    assert nearest(near[None], np.full((17, 2), np.nan)) is None
    near[:10] = np.nan  # most of this person's points are nowhere
    assert nearest(near[None], true) is None


def test_videos_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        find_videos(tmp_path / "nowhere")
    with pytest.raises(InputError, match="no videos"):
        find_videos(tmp_path)
    for name in ("a.mp4", "b.MOV", "notes.txt", ".hidden.mp4"):
        (tmp_path / name).touch()
    assert {k: v.name for k, v in find_videos(tmp_path).items()} == {"a": "a.mp4", "b": "b.MOV"}
    shutil.copy(tmp_path / "a.mp4", tmp_path / "a.avi")
    with pytest.raises(InputError, match="one name"):
        find_videos(tmp_path)
