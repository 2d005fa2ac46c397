"""Folders of numbered pictures, joined to one video and read back."""

import os
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kinefit.cli.commands import app
from kinefit.io.image_sequence import join_pictures, ordered
from kinefit.io.video import Clip, frames, probe
from kinefit.types import InputError


def noise(seed: int, size: tuple[int, int] = (48, 64)) -> np.ndarray:
    """(h, w, 3) that no lossy codec keeps."""
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def write(folder: Path, names: list[str], **options: object) -> list[np.ndarray]:
    folder.mkdir(exist_ok=True)
    pictures = [noise(i) for i in range(len(names))]
    for name, picture in zip(names, pictures, strict=True):
        Image.fromarray(picture).save(folder / name, **options)
    return pictures


NUMBERED = [f"img_{i}.png" for i in range(8, 14)]  # 9 before 10


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_every_pixel_comes_back_in_the_order_of_the_numbers(suffix: str, tmp_path: Path) -> None:
    names = [name.replace("png", suffix) for name in NUMBERED]
    options = {"lossless": True} if suffix == "webp" else {}
    pictures = write(tmp_path / "a", names, **options)
    joined = join_pictures(tmp_path / "a", 29.97)
    assert joined.info.path == tmp_path / "a.mov"
    assert joined.notes == ()
    found = list(frames(tmp_path / "a.mov"))
    assert [frame.time for frame in found] == pytest.approx(np.arange(6) / 29.97, abs=1e-9)
    for frame, picture in zip(found, pictures, strict=True):
        assert np.array_equal(frame.rgb, picture)


@pytest.mark.parametrize("rate", [0.5, 7, 25, 30000 / 1001, 59.94, 163.5, 1000])
def test_the_rate_is_the_one_that_was_given(rate: float, tmp_path: Path) -> None:
    write(tmp_path / "a", NUMBERED)
    info = join_pictures(tmp_path / "a", rate).info
    assert (info.n_frames, info.size) == (6, (64, 48))
    assert info.rate_hz == pytest.approx(rate, rel=1e-6)  # it is kept as a fraction
    assert info.duration_s == pytest.approx(6 / rate, rel=1e-6)


def test_a_clip_of_it_begins_where_it_is_told(tmp_path: Path) -> None:
    pictures = write(tmp_path / "a", [f"{i:04d}.png" for i in range(60)])
    join_pictures(tmp_path / "a", 20)
    found = list(Clip(tmp_path / "a.mov", 2.0, 2.2).frames())
    assert [frame.index for frame in found] == [40, 41, 42, 43]
    assert found[0].time == pytest.approx(2.0)
    assert np.array_equal(found[0].rgb, pictures[40])


def test_jpeg_files_are_copied_byte_for_byte(tmp_path: Path) -> None:
    names = [name.replace("png", "jpg") for name in NUMBERED]
    exif = Image.Exif()
    exif[0x0112] = 6
    write(tmp_path / "a", names, quality=80, exif=exif)
    info = join_pictures(tmp_path / "a", 25).info
    assert info.size == (48, 64)  # upright
    with av.open(str(tmp_path / "a.mov")) as file:
        packets = [bytes(packet) for packet in file.demux(video=0) if packet.size]
    assert packets == [(tmp_path / "a" / name).read_bytes() for name in names]
    # Pillow and FFmpeg decode JPEG to within a few values, at the edges of colours more.
    (frame, *_), (photo,) = frames(tmp_path / "a.mov"), frames(tmp_path / "a" / names[0])
    assert np.abs(frame.rgb.astype(int) - photo.rgb).mean() < 25
    assert np.corrcoef(frame.rgb.ravel(), photo.rgb.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("suffix", ["jpg", "png"])
def test_unequal_dots_per_inch_stretch_nothing(suffix: str, tmp_path: Path) -> None:
    """As players would do, who take them for the shape of the pixels."""
    names = [f"a_{i}.{suffix}" for i in range(3)]
    write(tmp_path / "a", names, dpi=(300, 150))
    assert join_pictures(tmp_path / "a", 30.0).info.size == (64, 48)
    shown = [frame.rgb for frame in frames(tmp_path / "a.mov")]
    for rgb, name in zip(shown, names, strict=True):
        (alone,) = frames(tmp_path / "a" / name)
        np.testing.assert_array_equal(rgb, alone.rgb)


def test_mirrored_pictures_are_joined_as_they_are_seen(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 2
    write(tmp_path / "a", [name.replace("png", "jpg") for name in NUMBERED], exif=exif)
    join_pictures(tmp_path / "a", 25)
    (frame, *_), (photo,) = frames(tmp_path / "a.mov"), frames(tmp_path / "a" / "img_8.jpg")
    assert np.array_equal(frame.rgb, photo.rgb)


def test_missing_numbers_stay_as_time(tmp_path: Path) -> None:
    names = [f"cam2_{i}.png" for i in (5, 6, 7, 10, 11, 13)]
    write(tmp_path / "a", names)
    joined = join_pictures(tmp_path / "a", 10)
    one, other = joined.notes
    assert "2 pictures are missing between cam2_7.png and cam2_10.png: a gap of 0.3 s" in one
    assert "1 picture is missing between cam2_11.png and cam2_13.png" in other
    times = [frame.time for frame in frames(tmp_path / "a.mov")]
    assert times == pytest.approx([0, 0.1, 0.2, 0.5, 0.6, 0.8])
    assert joined.info.rate_hz == pytest.approx(10)


@pytest.mark.parametrize(
    ("names", "ticks", "said"),
    [
        (["a_0.png", "a_5.png", "a_10.png", "a_20.png"], [0, 1, 2, 4], "go up by 5"),
        (["140363657976.png", "140363658009.png", "140363658043.png"], [0, 1, 2], "do not count"),
        (["12-01_990.png", "12-02_020.png", "12-02_050.png"], [0, 1, 2], "do not count"),
        (["t12_0998.png", "t12_0999.png", "t13_1000.png"], [0, 1, 2], ""),
    ],
)  # fmt: skip
def test_what_numbers_count(names: list[str], ticks: list[int], said: str) -> None:
    paths, found, notes = ordered([Path(name) for name in reversed(names)], 30.0)
    assert [path.name for path in paths] == names
    assert found.tolist() == ticks
    assert said in " ".join(notes)


@pytest.mark.parametrize(
    ("names", "blamed", "reason"),
    [
        (["a_1.png", "a_2.png", "thumbnail.png"], "thumbnail.png", "not numbered as a_1.png"),
        (["l_1.png", "l_2.png", "r_1.png", "r_2.png"], "r_1.png", "not numbered as"),
        (["c1_1.png", "c1_2.png", "c2_1.png", "c2_2.png"], "c2_1.png", "start anew after c1_2"),
        (["a_1.png", "a_01.png", "a_2.png"], "a_", "same number"),
        (["a_1.png", "a_2.png", "a_400000.png"], "a_2.png", "are missing"),
        (["a_1.png", "a_2.png", f"a_{10**22}.png"], "a_1000", "too long"),
        ([f"c{c}_{i}.png" for c in (1, 2) for i in (0, 2, 4, 6)], "c2_0", "start anew after c1_6"),
        ([f"c{c}_{i:03}.png" for c in (1, 2) for i in (0, 33, 67, 100)], "c2_000", "start anew"),
        (
            [f"c{c}_17000000{i:05}.png" for c in (1, 2) for i in (0, 33, 67, 100)],
            "c2_1700",
            "start anew",
        ),
        (
            [f"2024-01-0{d}_{i}.png" for d in (1, 2) for i in (0, 2, 4, 6)],
            "2024-01-02_0",
            "start anew",
        ),
    ],
)
def test_names_that_say_no_order(names: list[str], blamed: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason) as error:
        ordered([Path(name) for name in names], 30.0)
    assert error.value.source.startswith(blamed)


class TestRefusals:
    """By name, with the reason; and nothing is left."""

    def refused(self, folder: Path, match: str, blamed: str = "", **how: object) -> None:
        before = sorted(os.listdir(folder.parent))
        with pytest.raises(InputError, match=match) as error:
            join_pictures(folder, 30.0, **how)
        assert Path(error.value.source).name == (blamed or folder.name)
        assert sorted(os.listdir(folder.parent)) == before

    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        write(tmp_path / "a", NUMBERED)
        return tmp_path / "a"

    def test_another_size(self, folder: Path) -> None:
        Image.fromarray(noise(0, (48, 80))).save(folder / "img_12.png")
        self.refused(folder, "80 x 48 pixels, img_8.png has 64 x 48", "img_12.png")

    def test_damaged(self, folder: Path) -> None:
        data = (folder / "img_11.png").read_bytes()
        (folder / "img_11.png").write_bytes(data[: len(data) // 2])
        self.refused(folder, "the picture is damaged", "img_11.png")

    def test_no_picture(self, folder: Path) -> None:
        (folder / "img_11.png").write_bytes(b"no picture")
        self.refused(folder, "cannot be read as a picture", "img_11.png")

    def test_another_kind_inside(self, folder: Path) -> None:
        Image.fromarray(noise(0)).save(folder / "img_11.png", "JPEG")
        self.refused(folder, "is JPEG inside, img_8.png is PNG", "img_11.png")

    def test_two_kinds(self, folder: Path) -> None:
        Image.fromarray(noise(0)).save(folder / "img_14.jpg")
        self.refused(folder, r"several kinds: \.jpg, \.png")

    def test_too_few_and_none(self, tmp_path: Path) -> None:
        (tmp_path / "b").mkdir()
        self.refused(tmp_path / "b", "holds 0 pictures")
        self.refused(tmp_path / "c", "no such folder")

    def test_a_rate_that_is_none(self, folder: Path) -> None:
        for rate in (0.0, -5.0, float("nan"), float("inf")):
            with pytest.raises(InputError, match="is no rate"):
                join_pictures(folder, rate)

    def test_a_video_that_is_there(self, folder: Path) -> None:
        target = folder.parent / "a.mov"
        target.write_bytes(b"mine")
        self.refused(folder, "is there already", "a.mov")
        assert target.read_bytes() == b"mine"
        assert join_pictures(folder, 30.0, overwrite=True).info.n_frames == 6

    def test_a_folder_without_a_name(self) -> None:
        with pytest.raises(InputError, match="--out"):
            join_pictures(Path("/"), 30.0)

    def test_another_container(self, folder: Path) -> None:
        self.refused(folder, r"name the file \.mov", "b.mp4", out=folder.parent / "b.mp4")


def test_the_command_is_the_one_that_run_names(tmp_path: Path) -> None:
    write(tmp_path / "my pictures", NUMBERED)
    (tmp_path / "my pictures" / "._img_8.png").write_bytes(b"of a Mac")
    refused = CliRunner().invoke(app, ["run", str(tmp_path / "my pictures"), "--height", "1.7"])
    assert f"kinefit join '{tmp_path / 'my pictures'}' --rate " in refused.output
    done = CliRunner().invoke(app, ["join", str(tmp_path / "my pictures"), "--rate", "50"])
    assert done.exit_code == 0, done.output
    assert f"kinefit run '{tmp_path / 'my pictures.mov'}' --height METRES" in done.output
    assert probe(tmp_path / "my pictures.mov").n_frames == 6
