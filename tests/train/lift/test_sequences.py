"""Clips on disk: from rows of pairs to memory maps and back, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from kinefit.lift.inputs import POINTS
from kinefit.skeletons import skeleton
from kinefit.synth.pairs import FIELDS
from kinefit.train.lift.batches import NONE, draw
from kinefit.train.lift.sequences import (
    Sequences,
    converted_clip,
    holds_detections,
    pack,
    parts,
    sides_put_right,
    swapped,
)
from kinefit.types import InputError

from .swaying import SIZE, clips

_BLAZE = skeleton("blazepose33").points
_COLUMNS = [_BLAZE.index(name) for name in POINTS]
_ARRAYS = ("detected", "xy", "xyz", "up", "contact", "swapped", "start", "K", "rate")
_EXCHANGED = [POINTS.index({"L": "R", "R": "L"}.get(n[0], n[0]) + n[1:]) for n in POINTS]


@pytest.fixture(scope="module")
def data() -> Sequences:
    return clips(3, 40)


def _rows(data: Sequences, clip: int) -> dict[str, NDArray[Any]]:
    """As `kinefit synth pairs --consecutive` writes a clip; what lifters do not read is zero."""
    a, b = data.start[clip : clip + 2]
    rows: dict[str, NDArray[Any]] = {
        name: np.zeros((b - a, *shape)) for name, (shape, _) in FIELDS.items()
    }
    rows["detected_33"][:, _COLUMNS] = data.detected[a:b, :, :2]
    rows["score_33"][:, _COLUMNS] = data.detected[a:b, :, 2]
    rows["world_33"][:, _COLUMNS] = data.detected[a:b, :, 3:]
    rows["true_33"][:, _COLUMNS] = data.xy[a:b]
    rows["xyz_33"][:, _COLUMNS] = data.xyz[a:b]
    rows["camera_R"][:, :, 1] = data.up[a:b]
    rows["contact"][:] = data.contact[a:b]
    rows["K"][:] = data.K[clip]
    rows["size"][:] = SIZE
    rows["scene"][:], rows["view"][:] = clip // 2, clip % 2
    rows["time_s"][:] = 3.0 + np.arange(b - a) / data.rate[clip]
    return {**rows, "size": rows["size"].astype(int), "key": np.array("made up")}


def _shards(folder: Path, data: Sequences) -> Path:
    folder.mkdir()
    for clip in range(len(data)):
        np.savez(folder / f"pairs_{clip:05d}.npz", **_rows(data, clip))
    return folder


def test_rows_become_clips_and_come_back(data: Sequences, tmp_path: Path) -> None:
    packed = pack([_shards(tmp_path / "pairs", data)])
    packed.write(tmp_path / "packed")
    found = Sequences.read(tmp_path / "packed")
    assert isinstance(found.detected, np.memmap)
    assert len(found) == 3
    np.testing.assert_array_equal(found.lengths, [40, 40, 40])
    for name in _ARRAYS:
        expected = getattr(data, name)
        # Single precision: 1e-7 of pixels in the thousands.
        np.testing.assert_allclose(getattr(found, name), expected, rtol=2e-7, atol=1e-7)
    joined = Sequences.joined([found, packed])
    np.testing.assert_array_equal(joined.start, 40 * np.arange(7))
    np.testing.assert_array_equal(joined.xyz[:120], found.xyz)


def test_rows_that_are_no_clip_are_refused(data: Sequences, tmp_path: Path) -> None:
    rows = _rows(data, 0)
    rng = np.random.default_rng(0)
    for name, time in (
        ("gap", np.where(np.arange(40) < 20, rows["time_s"], rows["time_s"] + 0.1)),
        ("drawn", np.sort(rng.uniform(0, 9, 40))),
        ("back", rows["time_s"][::-1]),
    ):
        folder = tmp_path / name
        folder.mkdir()
        np.savez(folder / "pairs_00000.npz", **{**rows, "time_s": time})
        with pytest.raises(InputError, match="--consecutive"):
            pack([folder])
    one = {k: v if k == "key" else v[:1] for k, v in rows.items()}
    (tmp_path / "one").mkdir()
    np.savez(tmp_path / "one" / "pairs_00000.npz", **one)
    with pytest.raises(InputError, match="--consecutive"):
        pack([tmp_path / "one"])


@pytest.mark.parametrize("name", _ARRAYS)
def test_damaged_files_are_refused(data: Sequences, tmp_path: Path, name: str) -> None:
    data.write(tmp_path)
    file = tmp_path / f"{name}.npy"
    whole = file.read_bytes()
    evil = np.array([{"a": 1}], object)
    np.save(tmp_path / "evil.npy", evil, allow_pickle=True)
    for content in (b"", b"no array", whole[:20], whole[:-4], (tmp_path / "evil.npy").read_bytes()):
        file.write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            Sequences.read(tmp_path)
    file.unlink()
    with pytest.raises(InputError, match="data pof"):
        Sequences.read(tmp_path)


def test_a_folder_that_was_cut_off_is_not_whole(
    data: Sequences, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    save, room = np.save, iter(range(len(_ARRAYS) - 1))

    def until_full(stream: Any, values: Any) -> None:
        if next(room, None) is None:
            raise OSError("no space left on device")
        save(stream, values)

    monkeypatch.setattr(np, "save", until_full)
    with pytest.raises(OSError, match="no space"):
        data.write(tmp_path)
    assert {file.stem for file in tmp_path.glob("*.npy")} == set(_ARRAYS) - {"start"}
    with pytest.raises(InputError, match=r"start\.npy"):
        Sequences.read(tmp_path)


def test_sides_exchanged_throughout_are_said_and_for_a_moment_are_put_right() -> None:
    data = clips(1, 90, noise_px=1.0)
    found = np.array(data.detected)
    assert not swapped(found[..., :2], data.xy).any()
    crossed = found[:, _EXCHANGED]
    wide = np.abs(
        data.xy[:, POINTS.index("LShoulder"), 0] - data.xy[:, POINTS.index("RShoulder"), 0]
    )
    plain = wide > 60  # pixels: neither side hides the other
    assert plain.sum() > 20
    assert swapped(crossed[..., :2], data.xy)[plain].all()
    middle = np.flatnonzero(plain)[plain.sum() // 2]
    moment = found.copy()
    moment[middle : middle + 2] = crossed[middle : middle + 2]
    size = np.array(SIZE)
    np.testing.assert_allclose(sides_put_right(np.arange(90) / 30.0, moment, size), found)


def _converted_rows(detected: bool) -> dict[str, NDArray[Any]]:
    """Two people of `kinefit train convert` in six frames; the second leaves for a while. The lens
    bends pixels outwards by OpenCV's first coefficient."""
    frame = np.array([0, 2, 4, 6, 8, 10, 0, 2, 4, 8, 10])
    person = np.array([0] * 6 + [1] * 5)
    xyz = np.random.default_rng(0).normal(0, 0.4, (11, 17, 3)) + np.array([0, 0, 4])
    K = np.array([[1000.0, 0, 500], [0, 1000, 400], [0, 0, 1]])
    flat = xyz[..., :2] / xyz[..., 2:]
    bent = flat * (1 + 0.1 * (flat**2).sum(axis=-1, keepdims=True))
    pixels = 1000 * bent + [500, 400]
    nothing = np.full((11, 17, 3), np.nan)
    return {
        "sequence": np.array(["s"] * 11), "view": np.array(["v"] * 11),
        "gt_scale": np.ones(11), "ground_truth": xyz,
        "frame": frame, "person": person, "time_s": frame / 60, "xyz": xyz, "projected_2d": pixels,
        "pose_2d": pixels + 3 if detected else nothing[..., :2], "corrupted": nothing,
        "visibility": np.full((11, 17), 0.8 if detected else 0.0),
        "true_visibility": np.full((11, 17), np.nan), "K": np.tile(K, (11, 1, 1)),
        "distortion": np.tile([0.1, 0, 0, 0, 0, 0, 0, 0], (11, 1)),
        "size": np.tile([1000, 800], (11, 1)),
        "camera_R": np.tile(np.diag([1.0, -1, -1]), (11, 1, 1)),
    }  # fmt: skip


@pytest.mark.parametrize("detected", [True, False])
def test_rows_of_other_data_sets_become_clips(detected: bool) -> None:
    """Of each person, cut where frames are missing; pixels without the lens, at the true rate."""
    rows = _converted_rows(detected)
    found = Sequences.joined([converted_clip(part, holds_detections(rows)) for part in parts(rows)])
    assert found.lengths.tolist() == [6, 3, 2]
    assert np.allclose(found.rate, 30)
    names = skeleton("coco17").points
    at = [POINTS.index(name) for name in names]
    straight = 1000 * rows["xyz"][..., :2] / rows["xyz"][..., 2:] + [500, 400]
    assert np.allclose(found.xy[:, at], straight, atol=0.01)
    off = np.linalg.norm(found.detected[:, at, :2] - found.xy[:, at], axis=-1)
    assert np.median(off) == pytest.approx(3 * np.sqrt(2) if detected else 0, abs=0.5)
    assert np.allclose(found.detected[:, at, 2], 0.8 if detected else 1.0)
    assert np.isnan(found.xy[:, POINTS.index("LHeel")]).all()
    assert np.isnan(found.contact).all()
    assert np.allclose(found.up, [0, -1, 0])
    batch = draw(found, np.random.default_rng(0), np.arange(3), NONE)
    assert np.isfinite(batch.points).all()
    assert batch.there.sum(axis=1).tolist() == [6, 3, 2]


def test_a_higher_rate_is_taken_in_larger_steps(data: Sequences) -> None:
    """Windows are at 30 Hz whatever the clips are."""
    rng = np.random.default_rng(0)
    doubled = replace(data, rate=np.full(len(data), 60.0))
    batch = draw(doubled, rng, np.arange(3), NONE)
    assert batch.there.sum(axis=1).tolist() == [20, 20, 20]
    usual = draw(replace(data, rate=np.full(len(data), 30.0)), rng, np.arange(3), NONE)
    assert np.allclose(batch.directions[:, :20], usual.directions[:, :40:2], atol=0.02)
