"""Recordings as clips, from a made-up recording in the form of the CMU file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.geometry import rotations as so3
from kinefit.synth.motion_clip import Clip
from kinefit.synth.motion_library import recorded_clips
from kinefit.types import InputError

from ..fit.test_retarget import _arrays, _recording

FRAMES, LOST = 110, 40


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Squats with one frame that has no data, and a jump of the whole body later."""
    trial, _, _ = _recording(FRAMES)
    positions = trial.positions.copy()
    positions[LOST] = np.nan
    positions[85:] += [0.0, 0.0, 1.0]
    trial = replace(trial, positions=positions)
    path = tmp_path_factory.mktemp("cmu") / "cmu.npz"
    np.savez(path, **_arrays(trial))
    return path


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def clips(recording: Path, cache: Path) -> list[Clip]:
    return recorded_clips(recording, cache)


def test_runs_of_good_frames_become_clips(clips: list[Clip]) -> None:
    """The jump takes frames 83 to 86 with it: 0 to 39 are left, 41 to 82, and too few after it."""
    assert [len(clip) for clip in clips] == [LOST, 42]
    assert [clip.name for clip in clips] == ["made up from 0.0 s", "made up from 1.4 s"]


def test_clips_begin_at_the_origin_facing_forward(clips: list[Clip]) -> None:
    for clip in clips:
        assert clip.times[0] == 0.0
        np.testing.assert_allclose(clip.root_path[0, [0, 2]], 0, atol=1e-9)
        assert (clip.rotations[0, 0] @ [0, 0, 1])[2] > 0.95  # a squat leans the hips, not aside
        # The person turns by a radian in all 110 frames.
        turned = so3.log(clip.rotations[0, 0].T @ clip.rotations[-1, 0])
        expected = (len(clip) - 1) / (FRAMES - 1)
        assert turned[1] == pytest.approx(expected, abs=0.15)


def test_what_was_found_is_kept(recording: Path, cache: Path, clips: list[Clip]) -> None:
    (kept,) = cache.iterdir()
    written = kept.stat().st_mtime_ns
    again = recorded_clips(recording, cache)
    assert kept.stat().st_mtime_ns == written
    for a, b in zip(clips, again, strict=True):
        np.testing.assert_array_equal(a.rotations, b.rotations)
        np.testing.assert_array_equal(a.root_path, b.root_path)


def test_a_damaged_cache_is_made_anew(recording: Path, clips: list[Clip], tmp_path: Path) -> None:
    for content in (b"not an archive", b""):
        (tmp_path / "sub").mkdir(exist_ok=True)
        recorded_clips(recording, tmp_path / "sub")
        (kept,) = (tmp_path / "sub").iterdir()
        kept.write_bytes(content)
        again = recorded_clips(recording, tmp_path / "sub")
        np.testing.assert_array_equal(again[0].rotations, clips[0].rotations)


def test_another_file_has_another_place(recording: Path, cache: Path, clips: list[Clip]) -> None:
    trial, _, _ = _recording(35)
    other = recording.parent / "other.npz"
    np.savez(other, **_arrays(trial))
    (clip,) = recorded_clips(other, cache)
    assert len(clip) == 35
    assert len(list(cache.iterdir())) == 2


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        recorded_clips(tmp_path / "nowhere.npz", tmp_path)
