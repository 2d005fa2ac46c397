"""Photos as cameras and telephones write them: turned, in tiles, with something behind them."""

from contextlib import suppress
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image, ImageOps

from kinefit.io import pictures
from kinefit.io.boxes import Fields
from kinefit.io.photos import exif_of, photo_of, read_photo
from kinefit.io.video import VideoWriter, frames, probe
from kinefit.types import InputError

from .heic_files import box, full, u, write_heic

x265 = pytest.mark.skipif("libx265" not in av.codecs_available, reason="nothing to write HEIC with")


def ramps(height: int, width: int) -> np.ndarray:
    """(height, width, 3): smooth, and different in every corner and channel."""
    y, x = np.mgrid[:height, :width]
    channels = [230 * x / width, 230 * y / height, 115 * (x / width + y / height)]
    return np.stack(channels, -1).astype(np.uint8)


def off(a: np.ndarray, b: np.ndarray) -> float:
    """Mean difference of two pictures; infinite for different sizes."""
    return float(np.abs(a.astype(int) - b).mean()) if a.shape == b.shape else np.inf


@pytest.mark.parametrize(
    ("suffix", "tag"), list(product(["jpg", "png", "webp", "avif", "tiff"], range(1, 9)))
)
def test_the_orientation_tag_turns_the_picture(suffix: str, tag: int, tmp_path: Path) -> None:
    path, exif = tmp_path / f"a.{suffix}", Image.Exif()
    exif[0x0112] = tag
    options = {} if suffix in ("png", "tiff") else {"quality": 95}
    Image.fromarray(ramps(48, 64)).save(path, exif=exif, **options)
    with Image.open(path) as stored:
        upright = np.asarray(ImageOps.exif_transpose(stored).convert("RGB"))
    (frame,) = frames(path)
    assert off(frame.rgb, upright) < 2  # the decoders' rounding; a turn is off by 50
    if suffix != "png":  # whose tag may come after the pixels
        assert photo_of(path).size == upright.shape[1::-1]
    assert probe(path).size == upright.shape[1::-1]


@pytest.mark.parametrize("behind", ["nothing", "HDR map", "motion"])
def test_a_photo_of_a_telephone_is_read_with_what_is_behind_it(behind: str, tmp_path: Path) -> None:
    """FFmpeg knows a JPEG file by its end, and looks at the first kilobytes only."""
    path, picture = tmp_path / "a.jpg", Image.fromarray(ramps(480, 640))
    if behind == "HDR map":
        picture.save(path, "MPO", save_all=True, append_images=[picture.resize((320, 240))])
    else:
        picture.save(path, quality=95)
    if behind == "motion":
        with path.open("ab") as stream:
            stream.write(b"MotionPhoto_Data" + bytes(range(256)) * 100)
    assert probe(path).n_frames == 1
    (frame,) = frames(path)
    assert off(frame.rgb, ramps(480, 640)) < 3  # JPEG


@x265
@pytest.mark.parametrize(
    ("turns", "upright"),
    [
        ((), lambda a: a),
        (((b"irot", 1),), lambda a: np.rot90(a)),
        (((b"irot", 3),), lambda a: np.rot90(a, 3)),
        (((b"imir", 0),), lambda a: a[::-1]),
        (((b"imir", 1),), lambda a: a[:, ::-1]),
        (((b"irot", 1), (b"imir", 1)), lambda a: np.rot90(a)[:, ::-1]),
    ],
)
@pytest.mark.parametrize("brand", [b"heic", b"mif1"])
def test_heic_is_put_together_from_its_tiles(turns, upright, brand, tmp_path: Path) -> None:
    """Compared with libheif once: no value differed by more than 1."""
    picture = ramps(100, 150)
    path = write_heic(tmp_path / "IMG_1.HEIC", picture, turns=turns, brand=brand)
    (frame,) = frames(path)
    assert off(frame.rgb, upright(picture)) < 2
    assert probe(path).size == frame.rgb.shape[1::-1]


@x265
def test_heic_that_is_damaged_says_so(tmp_path: Path) -> None:
    whole = write_heic(tmp_path / "a.heic", ramps(100, 150))
    data = whole.read_bytes()
    for size in (200, 700, len(data) - 3000):
        path = tmp_path / f"{size}.heic"
        path.write_bytes(data[:size])
        with pytest.raises(InputError, match=r"HEIC photo (that|whose).*JPEG"):
            list(frames(path))
    with pytest.raises(InputError, match="cannot be decoded"):
        list(frames(write_heic(tmp_path / "b.heic", ramps(100, 150), lost=2)))


@x265
@pytest.mark.parametrize("size", [(30_000, 30_000), (65, 100)])
def test_heic_that_claims_another_size_is_refused_before_it_is_decoded(
    size: tuple[int, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_heic(tmp_path / "a.heic", ramps(100, 150), size=size)
    monkeypatch.setattr(np, "zeros", None)  # what the picture would be put together in
    with pytest.raises(InputError, match=r"pixels, over 134 million|cannot be decoded"):
        read_photo(path)


@x265
def test_tiles_are_held_to_the_limit_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_heic(tmp_path / "a.heic", ramps(10, 10))  # shown of a tile of 64 x 64
    monkeypatch.setattr(pictures, "MOST_PIXELS", 1000)
    with pytest.raises(InputError, match="64 x 64 pixels"):
        read_photo(path)


@x265
def test_a_tile_that_has_another_size_inside_is_refused(tmp_path: Path) -> None:
    path = write_heic(tmp_path / "a.heic", ramps(100, 150), first=ramps(256, 256))
    with pytest.raises(InputError, match="cannot be decoded"):
        read_photo(path)


def heic_of(places: bytes, version: int = 1) -> bytes:
    """A HEIC photo's header: a grid of one tile, item 9, with `places` as its `iloc`."""
    grid = full(b"infe", u(2, 9, 0), b"grid\0", version=2)
    properties = box(b"ipco", full(b"ispe", u(4, 64, 64)))
    meta = full(
        b"meta",
        full(b"pitm", u(2, 9)),
        full(b"iloc", places, version=version),
        full(b"iinf", u(2, 1), grid),
        full(b"iref", box(b"dimg", u(2, 9, 1, 1))),
        box(b"iprp", properties, full(b"ipma", u(4, 1), u(2, 9), u(1, 1, 1))),
    )
    return box(b"ftyp", b"heic", u(4, 0), b"mif1") + meta


@pytest.mark.parametrize("offset", [2**62, 2**63 - 1, 2**63 + 5])
def test_a_place_far_behind_the_end_is_no_full_disk(offset: int, tmp_path: Path) -> None:
    places = u(2, 0x8800, 1) + u(2, 9, 0, 0, 1) + u(8, offset, 12)
    (tmp_path / "a.heic").write_bytes(heic_of(places))
    with pytest.raises(InputError, match=r"a\.heic.*header cannot be read"):
        photo_of(tmp_path / "a.heic")


@pytest.mark.parametrize("widths", [0x0000, 0x4400])
def test_a_header_cannot_ask_for_more_work_than_it_is_long(
    widths: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """65,535 pieces an item, of no bytes each; far more items than any photo has."""
    item = u(4, 1) + u(2, 0, 0, 65535 if not widths else 0)
    places = u(2, widths) + u(4, 12_000) + item * 12_000
    (tmp_path / "a.heic").write_bytes(heic_of(places, version=2))
    asked, number = [], Fields.number
    monkeypatch.setattr(Fields, "number", lambda self, n: asked.append(n) or number(self, n))
    with pytest.raises(InputError, match="header cannot be read"):
        photo_of(tmp_path / "a.heic")
    assert len(asked) < 100


def test_grey_of_16_bits_keeps_its_shades(tmp_path: Path) -> None:
    grey = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
    for suffix in ("png", "tiff"):
        Image.fromarray(grey).save(tmp_path / f"a.{suffix}")
        (frame,) = frames(tmp_path / f"a.{suffix}")
        assert off(frame.rgb, np.repeat((grey >> 8)[..., None], 3, -1)) == 0
    Image.fromarray(grey.astype(np.float32)).save(tmp_path / "b.tiff")
    with pytest.raises(InputError, match="32 bits"):
        list(frames(tmp_path / "b.tiff"))


@pytest.mark.parametrize("bits", [10, 12])
def test_a_sensors_10_and_12_bits_are_not_black(bits: int, tmp_path: Path) -> None:
    grey = np.linspace(0, 2**bits - 1, 64 * 48).reshape(48, 64).astype(np.uint16)
    Image.fromarray(grey).save(tmp_path / "a.png")
    (frame,) = frames(tmp_path / "a.png")
    assert off(frame.rgb, np.repeat((grey >> (bits - 8))[..., None], 3, -1)) == 0
    Image.fromarray(np.zeros((48, 64), np.uint16)).save(tmp_path / "b.png")
    assert read_photo(tmp_path / "b.png").max() == 0


def test_films_are_no_photos(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", (64, 48)) as film:
        film.add(ramps(48, 64), 0.0)
    pages = [Image.fromarray(np.full((48, 64, 3), i * 60, np.uint8)) for i in range(3)]
    pages[0].save(tmp_path / "a.png", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "a.gif", save_all=True, append_images=pages[1:])
    for name in ("a.mp4", "a.png", "a.gif"):
        assert photo_of(tmp_path / name) is None
    assert probe(tmp_path / "a.png").n_frames == 3
    jpegs = b""
    for page in pages:
        page.save(tmp_path / "one.jpg")
        jpegs += (tmp_path / "one.jpg").read_bytes()
    (tmp_path / "a.mjpeg").write_bytes(jpegs)
    assert probe(tmp_path / "a.mjpeg").n_frames == 3


def test_a_damaged_photo_is_named(tmp_path: Path) -> None:
    Image.fromarray(ramps(480, 640)).save(tmp_path / "a.jpg")
    data = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "b.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(InputError, match=r"b\.jpg: the picture is damaged.*truncated"):
        list(frames(tmp_path / "b.jpg"))


def test_a_damaged_avif_is_named(tmp_path: Path) -> None:
    """Pillow's decoder raises RuntimeError."""
    Image.fromarray(ramps(48, 64)).save(tmp_path / "a.avif")
    whole = (tmp_path / "a.avif").read_bytes()
    rng, said = np.random.default_rng(0), set()
    for _ in range(60):
        data = bytearray(whole)
        for place in rng.integers(0, len(data), 4):
            data[place] = rng.integers(256)
        (tmp_path / "b.avif").write_bytes(data)
        assert isinstance(exif_of(tmp_path / "b.avif"), dict)
        photo_of(tmp_path / "b.avif")
        with suppress(InputError):
            read_photo(tmp_path / "b.avif")
            said.add("read")
            continue
        said.add("refused")
    assert said == {"read", "refused"}


def test_a_broken_exif_turns_nothing(tmp_path: Path) -> None:
    broken = b"Exif\0\0MM\0*\0\0\0\x08\xff\xff\x01\x12\0\x02"
    for suffix in ("png", "jpg", "webp"):
        Image.fromarray(ramps(48, 64)).save(tmp_path / f"a.{suffix}", exif=broken)
        assert probe(tmp_path / f"a.{suffix}").size == (64, 48)
