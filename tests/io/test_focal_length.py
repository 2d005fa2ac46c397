"""Focal lengths that cameras note, and what they are in pixels."""

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from kinefit.geometry.projection import fov_from_focal
from kinefit.io.focal_length import focal_of_file
from kinefit.io.video import frames, probe

from .focal_files import KEY, VALUES, add_to_track, photo, value, video
from .heic_files import write_heic

DIAGONAL = np.hypot(36, 24)


@pytest.mark.parametrize(
    ("size", "diagonal"),
    [
        ((400, 300), 500),  # a telephone's 4:3
        ((300, 400), 500),
        ((600, 400), np.hypot(600, 400)),  # 3:2
        ((1920, 1080), 2400),  # 16:9 of the width of 4:3
        ((1080, 2340), 2340 * 1.25),  # and a telephone's 19.5:9
    ],
)
def test_equivalents_are_of_the_sensors_diagonal(size, diagonal, tmp_path: Path) -> None:
    noted, said = focal_of_file(photo(tmp_path / "a.jpg", {0xA405: 26}, size), size)
    assert said == ()
    assert noted.focal_px == pytest.approx(26 / DIAGONAL * diagonal)
    assert noted.tag == "EXIF FocalLengthIn35mmFilm: 26 mm"
    assert 0.02 < noted.sd < 0.17  # coarser than its rounding, better than an assumption


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "avif"])
def test_every_format_of_photos_tells(suffix: str, tmp_path: Path) -> None:
    path = photo(tmp_path / f"a.{suffix}", {0xA405: 26})
    noted, _ = focal_of_file(path, (400, 300))
    assert noted.focal_px == pytest.approx(26 / DIAGONAL * 500)


@pytest.mark.skipif("libx265" not in av.codecs_available, reason="nothing to write HEIC with")
def test_heic_tells(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0xA405] = 26
    path = write_heic(tmp_path / "a.heic", np.zeros((60, 80, 3), np.uint8), exif=exif.tobytes())
    noted, _ = focal_of_file(path, (80, 60))
    assert noted.focal_px == pytest.approx(26 / DIAGONAL * 100)


def test_millimetres_with_the_sensors_pixels(tmp_path: Path) -> None:
    """A 50 mm lens on a sensor of 22.3 mm and 6000 pixels; the picture was made half as large."""
    tags = {0x920A: 50.0, 0xA20E: 6000 / 2.23, 0xA210: 3, 0xA002: 6000, 0xA003: 4000}
    noted, _ = focal_of_file(photo(tmp_path / "a.jpg", tags, (3000, 2000)), (3000, 2000))
    assert noted.focal_px == pytest.approx(50 * 6000 / 22.3 / 2, rel=1e-4)
    full = {0x920A: 50.0, 0xA20E: 6000 / 3.6, 0xA210: 3, 0xA002: 6000, 0xA003: 4000}
    noted, _ = focal_of_file(photo(tmp_path / "f.jpg", full, (3000, 2000)), (3000, 2000))
    assert noted.focal_px == pytest.approx(50 * 3000 / 36, rel=1e-4)
    del tags[0xA20E]
    assert focal_of_file(photo(tmp_path / "b.jpg", tags), (400, 300)) == (None, ())


@pytest.mark.parametrize(
    ("sensor_mm", "made"),
    [(36.0, 0.5), (22.3, 0.5), (36.0, 0.25), (17.3, 0.5), (13.2, 0.5), (53.4, 0.25)],
)
def test_a_smaller_copy_that_keeps_the_sensors_resolution(
    sensor_mm: float, made: float, tmp_path: Path
) -> None:
    """Programs write the copy's width: the sensor would be smaller by as much."""
    size = round(5500 * made), round(5500 * made * 2 / 3)
    tags = {0x920A: 50.0, 0xA20E: 5500 / sensor_mm, 0xA210: 4, 0xA002: size[0], 0xA003: size[1]}
    noted, said = focal_of_file(photo(tmp_path / "a.jpg", tags, size), size)
    assert noted is None
    assert f"sensor of {sensor_mm * made:.3g} mm" in said[0]


def test_digital_zoom_is_not_guessed(tmp_path: Path) -> None:
    for zoom, used in ((0.0, True), (1.0, True), (4.0, False)):
        path = photo(tmp_path / "a.jpg", {0xA405: 26, 0xA404: zoom})
        noted, said = focal_of_file(path, (400, 300))
        assert (noted is not None) == used
        assert used or "zoomed in digitally (4 times)" in said[0]


@pytest.mark.parametrize("size", [(1500, 1300), (1080, 1080), (1000, 250), (1778, 2000)])
def test_what_no_camera_takes_whole_is_a_part(size: tuple[int, int], tmp_path: Path) -> None:
    """Though the program that cropped it noted the new size."""
    tags = {0xA405: 26, 0xA002: size[0], 0xA003: size[1]}
    film = add_to_track(video(tmp_path / "a.mov"), VALUES["text"])
    for path in (photo(tmp_path / "a.jpg", tags, size), film):
        noted, said = focal_of_file(path, size)
        assert noted is None
        assert f"{size[0]} x {size[1]} pixels are of a shape" in said[0]


@pytest.mark.parametrize("equivalent", [1, 9999, 65535])
def test_what_is_no_focal_length_is_ignored_and_said(equivalent: int, tmp_path: Path) -> None:
    noted, said = focal_of_file(photo(tmp_path / "a.jpg", {0xA405: equivalent}), (400, 300))
    assert noted is None
    assert f"{equivalent} mm" in said[0]
    assert "ignored" in said[0]


@pytest.mark.parametrize("tags", [{}, {0xA405: 0}, {0x920A: 4.2}, {0x920A: 4.2, 0xA20E: 1e4}])
def test_a_photo_that_does_not_know_says_nothing(tags, tmp_path: Path) -> None:
    assert focal_of_file(photo(tmp_path / "a.jpg", tags), (400, 300)) == (None, ())


def test_a_part_of_a_photo_has_another_focal_length(tmp_path: Path) -> None:
    tags = {0xA405: 26, 0xA002: 4032, 0xA003: 3024}
    whole, _ = focal_of_file(photo(tmp_path / "a.jpg", tags), (400, 300))
    assert whole is not None
    turned, _ = focal_of_file(photo(tmp_path / "b.jpg", tags, (300, 400)), (300, 400))
    assert turned is not None
    part, said = focal_of_file(photo(tmp_path / "c.jpg", tags, (250, 300)), (250, 300))
    assert part is None
    assert "was cropped" in said[0]


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920)])
def test_a_video_shows_less_than_its_sensor(size: tuple[int, int], tmp_path: Path) -> None:
    """Videos of an iPhone X, whose lens is one of 28 mm, show 59.9 degrees across the longer side:
    within two thirds of a degree; 63.5 would be all that 16:9 of its sensor shows."""
    noted, said = focal_of_file(video(tmp_path / "a.mov", {KEY: "28"}), size)
    assert said == ()
    assert np.degrees(fov_from_focal(noted.focal_px, size)) == pytest.approx(59.9, abs=0.7)


@pytest.mark.parametrize("written", VALUES)
@pytest.mark.parametrize("mp4", [False, True])
def test_what_iphones_write_into_the_track(written: str, mp4: bool, tmp_path: Path) -> None:
    path = add_to_track(video(tmp_path / "a.mov"), VALUES[written], mp4=mp4)
    with av.open(str(path)) as file:  # why the header is read here
        assert KEY not in file.metadata | file.streams.video[0].metadata
    assert sum(frame.rgb is not None for frame in frames(path)) == 4
    noted, said = focal_of_file(path, (1920, 1080))
    assert said == ()
    assert noted.tag == "QuickTime camera.focal_length.35mm_equivalent: 26 mm"
    # As a photo's, but for what stabilisation cuts off: up to 12 %.
    assert 1 <= noted.focal_px / (26 / DIAGONAL * 2400) <= 1.12
    assert noted.sd > 0.05


@pytest.mark.parametrize("suffix", ["mov", "mp4", "mkv"])
def test_what_apps_write_for_the_whole_file(suffix: str, tmp_path: Path) -> None:
    path = video(tmp_path / f"a.{suffix}", {KEY: "24"})
    noted, _ = focal_of_file(path, probe(path).size)
    assert noted.tag.endswith("24 mm")


@pytest.mark.parametrize(
    "data",
    [value(21, b"\0"), value(1, b"9999"), value(1, b"wide"), value(23, b"\x7f\xc0\0\0"),
     value(0, b""),     value(24, b"\x7f\xf0\0\0\0\0\0\0"), value(21, b"\xff\xff")],
)  # fmt: skip
def test_a_track_with_nonsense_is_ignored_and_that_is_said(data: bytes, tmp_path: Path) -> None:
    noted, said = focal_of_file(add_to_track(video(tmp_path / "a.mov"), data), (64, 48))
    assert noted is None
    assert "ignored" in said[0]


def test_a_video_without_it_says_nothing(tmp_path: Path) -> None:
    path = add_to_track(video(tmp_path / "a.mov"), VALUES["text"], key=KEY + ".other")
    assert focal_of_file(path, (64, 48)) == (None, ())


def test_damaged_headers_say_nothing_or_something(tmp_path: Path) -> None:
    """Never another error: what cannot be read was refused before."""
    whole = add_to_track(video(tmp_path / "a.mov"), VALUES["text"]).read_bytes()
    at = whole.index(b"keys")
    rng = np.random.default_rng(0)
    for _ in range(300):
        data = bytearray(whole)
        for place in rng.integers(at - 60, at + 220, 3):
            data[place] = rng.integers(256)
        (tmp_path / "b.mov").write_bytes(data)
        noted, said = focal_of_file(tmp_path / "b.mov", (64, 48))
        assert noted is None or 10 < noted.focal_px < 1000
        assert len(said) <= 1
