"""A file is there whole or not at all, and every writer of the package keeps to it."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from kinefit.io.atomic import atomic_path, write_json
from kinefit.io.c3d import write_c3d
from kinefit.io.mot import MotTable, write_mot
from kinefit.io.tables import write_angles_csv, write_landmarks_csv
from kinefit.io.trc import write_trc
from kinefit.types import JointAngles, Keypoints2D, Markers, PoseTrack, Timeline

CLOCK = Timeline.regular(4, 60.0)
MARKERS = Markers(CLOCK, ("A",), np.ones((4, 1, 3)))
ANGLES = JointAngles(CLOCK, ("a",), np.ones((4, 1)))
IMAGE = Keypoints2D(CLOCK, ("A",), np.ones((4, 1, 2)), np.ones((4, 1)), (8, 8))
WRITERS: dict[str, Callable[[Path], None]] = {
    "trc": lambda path: write_trc(path, MARKERS),
    "c3d": lambda path: write_c3d(path, MARKERS),
    "mot": lambda path: write_mot(path, MotTable(CLOCK, ("a",), np.ones((4, 1)), True), "a"),
    "angles.csv": lambda path: write_angles_csv(path, ANGLES),
    "landmarks.csv": lambda path: write_landmarks_csv(path, PoseTrack(IMAGE, None, (), "test")),
    "json": lambda path: write_json(path, {"a": 1}),
}
each_writer = pytest.mark.parametrize("suffix", WRITERS)


@each_writer
def test_the_folder_is_made_and_nothing_else_is_left(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / "new" / f"a.{suffix}"
    WRITERS[suffix](path)
    assert path.stat().st_size > 0
    assert list(path.parent.iterdir()) == [path]


@each_writer
def test_a_crash_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch, suffix) -> None:
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")

    def full_disk(_: int) -> None:
        assert len(list(tmp_path.iterdir())) == 2  # the temporary is written by now
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        WRITERS[suffix](path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_crash_in_the_middle_of_writing(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")

    def interrupted() -> None:
        with atomic_path(path) as temporary:
            temporary.write_text("half of the new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


@each_writer
def test_two_writes_are_identical(tmp_path: Path, suffix: str) -> None:
    for folder in ("a", "b"):
        WRITERS[suffix](tmp_path / folder / f"same.{suffix}")
    a, b = (tmp_path / folder / f"same.{suffix}" for folder in "ab")
    assert a.read_bytes() == b.read_bytes()
