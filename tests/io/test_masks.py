"""kinefit's own file of masks: nothing is lost, and what a file claims is checked first."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from kinefit.io.arrays import read_npz, save_npz
from kinefit.io.masks import read_masks, write_masks
from kinefit.types import InputError, PersonMasks


def masks(count: int = 3, side: int = 16) -> PersonMasks:
    rng = np.random.default_rng(0)
    return PersonMasks(
        np.arange(count) * 2 + 1,
        rng.integers(0, 256, (count, side, side)).astype(np.uint8),
        rng.normal(size=(count, 2, 3)),
        (640, 480),
        np.linspace(0, 1, count),
        tuple(f"reason {k}" for k in range(count)),
    )


@pytest.fixture
def file(tmp_path: Path) -> Path:
    write_masks(tmp_path / "m.npz", masks())
    return tmp_path / "m.npz"


def changed(file: Path, **other: Any) -> Path:
    save_npz(file, **(read_npz(file) | other))
    return file


def png(picture: Image.Image) -> np.ndarray:
    stream = BytesIO()
    picture.save(stream, "PNG")
    return np.frombuffer(stream.getvalue(), np.uint8)


def test_everything_comes_back_to_the_last_bit(file: Path) -> None:
    found, own = read_masks(file), masks()
    for name in ("frame", "grey", "into", "confidence"):
        np.testing.assert_array_equal(getattr(found, name), getattr(own, name))
    assert (found.size, found.reason) == (own.size, own.reason)


def test_single_frames_are_read_alone(file: Path) -> None:
    found = read_masks(file, [5, 99])
    assert found.frame.tolist() == [5]
    np.testing.assert_array_equal(found.grey[0], masks().grey[2])
    assert len(read_masks(file, [])) == 0


def test_the_side_is_known_without_a_mask(file: Path) -> None:
    assert read_masks(file, []).grey.shape == (0, 16, 16)
    write_masks(file, masks(0))
    assert read_masks(file).grey.shape == (0, 16, 16)


def test_files_without_a_side_are_read(file: Path) -> None:
    arrays = read_npz(file)
    del arrays["side"]
    save_npz(file, **arrays)
    np.testing.assert_array_equal(read_masks(file).grey, masks().grey)


def test_masks_take_few_bytes(tmp_path: Path) -> None:
    """Plain 256 x 256 bytes would be 65 KB a frame; a disc's edge takes a hundredth."""
    x, y = np.meshgrid(np.arange(256), np.arange(256))
    disc = (255 * (np.hypot(x - 128, y - 128) < 60)).astype(np.uint8)
    whole = PersonMasks(
        np.arange(50), np.repeat(disc[None], 50, 0), np.tile(np.eye(2, 3), (50, 1, 1)),
        (640, 480), np.ones(50), ("",) * 50,
    )  # fmt: skip
    write_masks(tmp_path / "m.npz", whole)
    assert (tmp_path / "m.npz").stat().st_size < 50 * 65536 / 50


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": np.array([1, 2])},
        {"length": np.array([-5, 10, 700])},
        {"length": np.array([2**62, 2**62, 2**62])},
        {"png": np.zeros(5, np.uint8)},
        {"frame": np.array([3, 2, 1])},
        {"confidence": np.array([0.0, 2.0, 1.0])},
        {"width": np.int64(0)},
        {"side": np.int64(15)},
        {"side": np.int64(-1)},
        {"side": np.int64(2**40)},
        {"into": np.zeros((3, 3, 3))},
    ],
)
def test_a_damaged_file_is_refused(file: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"m\.npz"):
        read_masks(changed(file, **wrong))


@pytest.mark.parametrize(
    "picture",
    [
        Image.new("L", (16, 8)),
        Image.new("RGB", (16, 16)),
        Image.new("L", (30_000, 30_000)),  # 900 MB once unpacked, 1 MB in the file
    ],
)
def test_pictures_that_are_no_masks_are_not_unpacked(file: Path, picture: Image.Image) -> None:
    piece = png(picture)
    wrong = {"png": np.tile(piece, 3), "length": np.full(3, len(piece))}
    with pytest.raises(InputError, match=r"squares of one size|damaged"):
        read_masks(changed(file, **wrong))


def test_a_mask_that_is_cut_off_is_told(file: Path) -> None:
    whole = read_npz(file)
    first = int(whole["length"][0])
    cut = np.concatenate([whole["png"][: first - 60], whole["png"][first:]])
    length = whole["length"] - np.array([60, 0, 0])
    with pytest.raises(InputError, match="damaged"):
        read_masks(changed(file, png=cut, length=length))


def test_other_files_are_none(tmp_path: Path) -> None:
    other = tmp_path / "other.npz"
    save_npz(other, points=np.zeros(3))
    with pytest.raises(InputError, match="no array"):
        read_masks(other)
    with pytest.raises(InputError):
        read_masks(tmp_path / "absent.npz")
