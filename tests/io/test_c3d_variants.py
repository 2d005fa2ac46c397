"""C3D files as many programs write them: what is read is what two independent readers agree on.

The readers run in a child process: ezc3d 1.7 ends the interpreter on some damaged files.
"""

from __future__ import annotations

import struct
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.io.c3d import read_c3d
from kinefit.types import InputError

from .c3d_files import DEC, INTEL, MIPS, C3dFile, walking

XYZ, PRESENT = walking()
NINE, NINE_PRESENT = walking(9)  # 432 bytes: the block has room for a tenth frame
LONG = np.tile(XYZ, (7001, 1, 1))[:70_001]
WIDE = tuple(f"M{i}" for i in range(300))
PLAIN = C3dFile(XYZ, PRESENT, ("C7", "LASI", "RASI"))
NINE_FRAMES = replace(PLAIN, millimetres=NINE, present=NINE_PRESENT)
LONG_FRAMES = replace(PLAIN, millimetres=LONG, present=np.ones(LONG.shape[:2], bool))
PERIOD = 70_001 - 65_536
GARBAGE = b"\x01\x01A" + struct.pack("<h", 16_129) + b"{{{{{" * 20


def trial(start: int, end: int) -> dict[str, object]:
    """The fields of the group TRIAL: two 16-bit words each, the low one first."""
    words = ([number % 65_536, number // 65_536] for number in (start, end))
    return {f"TRIAL:ACTUAL_{key}_FIELD": w for key, w in zip(("START", "END"), words, strict=True)}


VARIANTS: dict[str, C3dFile] = {
    **{
        f"processor {processor}, scale {scale}": replace(PLAIN, processor=processor, scale=scale)
        for processor in (INTEL, DEC, MIPS)
        for scale in (-1.0, -0.1, 1.0, 0.5)
    },
    "first frame 0": replace(PLAIN, header_frames=(0, 9)),
    "first frame 866": replace(PLAIN, header_frames=(866, 875)),
    "FRAMES one more": replace(PLAIN, point={"FRAMES": np.int16(11)}),
    "FRAMES one less": replace(PLAIN, point={"FRAMES": np.int16(9)}),
    "FRAMES a float": replace(PLAIN, point={"FRAMES": 10.0}),
    "no FRAMES": replace(PLAIN, point={"FRAMES": None}),
    "header one more": replace(PLAIN, header_frames=(1, 11)),
    "header one less": replace(PLAIN, header_frames=(1, 9)),
    "TRIAL one less": replace(NINE_FRAMES, more=trial(1, 8)),
    "FRAMES 40000": replace(
        PLAIN, millimetres=LONG[:40_000], present=np.ones((40_000, 3), bool)
    ),
    "70001 frames, FRAMES a float": replace(
        LONG_FRAMES, header_frames=(1, 65_535), point={"FRAMES": 70_001.0}
    ),
    "70001 frames, header wrapped": replace(
        LONG_FRAMES, header_frames=(1, PERIOD), point={"FRAMES": 70_001.0}
    ),
    "70001 frames, TRIAL": replace(
        LONG_FRAMES, header_frames=(1, 65_535), point={"FRAMES": np.int16(-1)},
        more=trial(1, 70_001),
    ),
    "units cut off": replace(PLAIN, point={"UNITS": ["mill"]}),
    "units in words": replace(PLAIN, point={"UNITS": ["Millimeters"]}),
    "units in capitals": replace(PLAIN, point={"UNITS": ["MM"]}),
    "no units": replace(PLAIN, point={"UNITS": None}),
    "labels twice": replace(PLAIN, labels=("LASI", "LASI", "C7")),
    "an empty label": replace(PLAIN, labels=("C7", "", "RASI")),
    "fewer labels than points": replace(PLAIN, labels=("C7",)),
    "more labels than points": replace(PLAIN, labels=(*PLAIN.labels, "A", "B")),
    "no labels": replace(PLAIN, point={"LABELS": None}),
    "300 labels": C3dFile(*walking(6, 300), labels=WIDE),
    "garbage behind the parameters": replace(PLAIN, tail=GARBAGE),
    "no length of the section": replace(PLAIN, blocks=0),
    "scale differs": replace(PLAIN, point={"SCALE": -0.5}),
    "no rate in the parameters": replace(PLAIN, point={"RATE": None}),
    "rate zero in the parameters": replace(PLAIN, point={"RATE": 0.0}),
}  # fmt: skip

CHILD = """
import sys, warnings
import c3d, ezc3d, numpy as np
warnings.simplefilter("ignore")
for path in sys.argv[1:]:
    try:
        file = ezc3d.c3d(path)
        points = file["data"]["points"][:3].transpose(2, 1, 0)
        residual = file["data"]["meta_points"]["residuals"][0].T
        with open(path, "rb") as stream:
            other = np.array([p for _, p, _ in c3d.Reader(stream).read_frames()])
    except BaseException:
        continue
    first = np.where(residual[..., None] < 0, np.nan, points)
    second = np.where(other[..., 3:4] < 0, np.nan, other[..., :3])
    if first.shape == second.shape and np.allclose(first, second, equal_nan=True, atol=1e-2):
        np.save(path + ".npy", first)
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every variant, and what two readers agree on beside it."""
    folder = tmp_path_factory.mktemp("c3d")
    for i, variant in enumerate(VARIANTS.values()):
        (folder / f"{i}.c3d").write_bytes(variant.content())
    files = sorted(map(str, folder.glob("*.c3d")))
    subprocess.run([sys.executable, "-c", CHILD, *files], check=True, timeout=120)
    return folder


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_is_read(folder: Path, name: str) -> None:
    path, variant = folder / f"{list(VARIANTS).index(name)}.c3d", VARIANTS[name]
    markers = read_c3d(path)
    expected = np.where(variant.present[..., None], variant.millimetres, np.nan)
    # A quarter of the scale's step, and 32-bit floats.
    atol = max(variant.scale, 0) / 2000 + 1e-6
    np.testing.assert_allclose(markers.xyz, expected / 1000, atol=atol, rtol=0)
    assert markers.timeline.rate_hz == pytest.approx(50.0)
    if (agreed := Path(f"{path}.npy")).exists():
        np.testing.assert_allclose(markers.xyz, np.load(agreed) / 1000, atol=1e-5, rtol=0)


def test_most_variants_have_two_other_readers(folder: Path) -> None:
    """The comparison is not empty: ezc3d reads neither MIPS nor frames as a float."""
    assert len(list(folder.glob("*.npy"))) > 2 * len(VARIANTS) / 3


@pytest.mark.parametrize(
    ("name", "note"),
    [
        ("FRAMES one more", "states 10 and 11 frames: 10 were read"),
        ("header one less", "states 9 and 10 frames: 10 were read"),
        ("no units", "states no unit: mm was taken"),
        ("labels twice", "LASI_2"),
        ("an empty label", "marker_2"),
        ("no labels", "marker_1, marker_2, marker_3"),
    ],
)
def test_what_was_assumed_is_said(folder: Path, name: str, note: str) -> None:
    (said,) = read_c3d(folder / f"{list(VARIANTS).index(name)}.c3d").notes
    assert note in said


def test_frames_in_the_padding_behind_the_last_are_missing(tmp_path: Path) -> None:
    path = tmp_path / "a.c3d"
    path.write_bytes(replace(NINE_FRAMES, point={"FRAMES": np.int16(10)}).content())
    markers = read_c3d(path)
    assert markers.present.any(axis=1).tolist() == [True] * 9 + [False]


def test_results_of_a_model_are_no_positions(tmp_path: Path) -> None:
    path = tmp_path / "a.c3d"
    path.write_bytes(replace(PLAIN, point={"ANGLES": ["LASI"], "FORCES": [""]}).content())
    markers = read_c3d(path)
    assert markers.names == ("C7", "RASI")
    assert markers.notes == (
        "Points that are results of a model (angles, forces, ...) were left out: 1.",
    )


def test_a_file_of_analog_channels_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.c3d"
    path.write_bytes(C3dFile(XYZ[:, :0], PRESENT[:, :0], analog=12).content())
    with pytest.raises(InputError, match="holds no markers, only 12 analog values a frame"):
        read_c3d(path)


def test_more_than_can_be_read_at_once_is_refused_before_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.c3d"
    content = bytearray(replace(PLAIN, scale=1.0).content())
    content[2:4] = struct.pack("<H", 1000)
    content[6:10] = struct.pack("<HH", 1, 20_000)
    path.write_bytes(content)
    with path.open("r+b") as stream:
        stream.truncate(200_000_000)  # sparse: the size of 20,000 frames of 1000 integers
    with pytest.raises(InputError, match="too many to read at once"):
        read_c3d(path)
