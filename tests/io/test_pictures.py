"""Pictures that are small on the disk and large in memory."""

import os
import struct
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kinefit.io import pictures as pictures_module
from kinefit.io.pictures import check_picture, write_picture
from kinefit.io.video import frames, probe
from kinefit.synth.backdrop import Backdrop, Room
from kinefit.types import InputError, InvalidData


def png(path: Path, width: int, height: int) -> Path:
    """Of that size in its header, with hardly any pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1 + 3 * min(width, 10_000)), 9)
    parts = chunk(b"IHDR", head) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + parts)
    return path


SIZES = [(30_016, 30_016), (12_000, 12_000), (2**27 + 1, 1), (3, 2**26), (65_535, 65_535)]


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_what_would_fill_the_memory_is_refused_by_its_header(
    width: int, height: int, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match=r"pixels, over 134 million|over 268 million pixels"):
        check_picture(png(tmp_path / "bomb.png", width, height))


def test_large_photos_are_read_without_a_warning(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_picture(png(tmp_path / "a.png", 12_000, 9_000))  # a telephone's 108 megapixels


def test_a_backdrop_is_checked_before_it_is_read(tmp_path: Path) -> None:
    bomb = png(tmp_path / "bomb.png", 30_016, 30_016)
    room = Room("picture", (3.0, 3.0), 2.5, 0, (0.5, 0.5, 0.5), str(bomb))
    with pytest.raises(InputError, match="over 268 million pixels"):
        Backdrop(room, (64, 48))


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (100, 100), (48, 64)])
def test_a_backdrop_of_any_proportions_is_cut_not_blown_up(
    shape: tuple[int, int], tmp_path: Path
) -> None:
    Image.fromarray(np.full((*shape, 3), 200, np.uint8)).save(tmp_path / "a.png")
    room = Room("picture", (3.0, 3.0), 2.5, 0, (0.5, 0.5, 0.5), str(tmp_path / "a.png"))
    assert Backdrop(room, (64, 48))._picture.shape == (48, 64, 3)


def test_the_pictures_of_a_video_are_held_to_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / "a.png")
    assert probe(tmp_path / "a.png").size == (60, 40)
    monkeypatch.setattr(pictures_module, "MOST_PIXELS", 1000)
    with pytest.raises(InputError, match="have 60 x 40 pixels"):
        probe(tmp_path / "a.png")


@pytest.mark.parametrize("content", [b"", b"text", b"GIF89a" + bytes(50), b"\x89PNG\r\n\x1a\n"])
def test_what_is_no_picture(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(InputError):
        check_picture(tmp_path / "a.png")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.png")
    with pytest.raises(InputError, match="is a device or a pipe"):
        check_picture(tmp_path / "a.png")


@pytest.mark.parametrize("brand", [b"heic", b"mif1", b"heix", b"msf1", b"hevc"])
def test_what_only_begins_as_a_photo_of_a_telephone_is_told(brand: bytes, tmp_path: Path) -> None:
    (tmp_path / "IMG_1.HEIC").write_bytes(b"\0\0\0\x18ftyp" + brand + bytes(100))
    with pytest.raises(InputError, match=r"is a HEIC photo whose header.*JPEG"):
        probe(tmp_path / "IMG_1.HEIC")


@pytest.mark.parametrize("suffix", ["png", "jpg", "bmp", "tiff", "webp", "avif", "gif"])
def test_single_pictures_are_read(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(path)
    (frame,) = frames(path)
    assert frame.time == 0
    assert frame.rgb.shape == (40, 60, 3)
    assert abs(int(np.median(frame.rgb)) - 90) <= 2  # of the encoder


def test_a_folder_of_pictures_is_told_how_to_become_a_video(tmp_path: Path) -> None:
    for i in range(3):
        Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(tmp_path / f"a_{i:03d}.png")
    with pytest.raises(InputError, match=r"folder of 3 pictures.*kinefit join \S+ --rate "):
        probe(tmp_path)


@pytest.mark.parametrize(("suffix", "error"), [(".png", 0), (".jpg", 12)])
def test_pictures_are_files_that_others_read(tmp_path, suffix, error):
    x = np.linspace(0, 255, 64).astype(np.uint8)
    image = np.stack(
        [np.tile(x, (48, 1)), np.full((48, 64), 30, np.uint8), np.tile(255 - x, (48, 1))], -1
    )
    path = tmp_path / f"still{suffix}"
    write_picture(path, image)
    read = np.asarray(Image.open(path).convert("RGB")).astype(int)
    assert np.abs(read - image).max() <= error  # JPEG halves the resolution of colours


def test_a_picture_of_another_kind_is_refused(tmp_path):
    with pytest.raises(InvalidData, match=r"\.png or \.jpg"):
        write_picture(tmp_path / "still.gif", np.zeros((4, 4, 3), np.uint8))
    assert list(tmp_path.iterdir()) == []
