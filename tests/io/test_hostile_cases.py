"""Files that once took minutes or all memory are refused at once."""

from __future__ import annotations

import gzip
import os
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest

from kinefit.io.body_npz import read_motion
from kinefit.io.c3d import read_c3d
from kinefit.io.calibration import read_calibration
from kinefit.io.mot import read_mot
from kinefit.io.points2d import read_points
from kinefit.io.text import read_json
from kinefit.io.toml import read_toml
from kinefit.io.trc import read_trc
from kinefit.types import InputError

from .c3d_files import C3dFile, walking

CASES = Path(__file__).parents[2].parent / "shared" / "data" / "cases" / "hostile"
CPU_S, PEAK_MB = 5.0, 700  # of files of a megabyte; the worst here takes 0.5 s and 100 MB


def sparse_points(path: Path) -> Any:
    return read_points(path, read_calibration(path.parent / "calibration.toml").rig)


def refused(read: Callable[[Path], Any], path: Path) -> None:
    tracemalloc.start()
    began = process_time()
    with pytest.raises(InputError) as error:
        read(path)
    took, (_, peak) = process_time() - began, tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert path.name in str(error.value)
    assert took < CPU_S
    assert peak < PEAK_MB * 2**20


@pytest.mark.parametrize(
    ("file", "read"),
    [
        ("c3d_overlap/x.c3d", read_c3d),
        ("c3d_overlap/text.c3d", read_c3d),
        ("csv_sparse/p.csv", sparse_points),
        ("toml_deep/deep.toml", read_toml),
        ("toml_deep/dotted.toml", read_toml),
        ("toml_deep/dotted.toml", read_calibration),
    ],
)
def test_files_that_were_found(file: str, read: Callable[[Path], Any]) -> None:
    if not (CASES / file).exists():
        pytest.skip("shared recordings are not beside the repository")
    refused(read, CASES / file)


def test_a_model_of_a_hundred_thousand_levels(tmp_path: Path) -> None:
    from kinefit.biomech.opensim.osim import read_model

    packed = CASES / "osim_deep" / "m.osim.gz"
    if not packed.exists():
        pytest.skip("shared recordings are not beside the repository")
    (tmp_path / "m.osim").write_bytes(gzip.decompress(packed.read_bytes()))
    refused(read_model, tmp_path / "m.osim")


def test_an_archive_that_unpacks_to_gigabytes(tmp_path: Path) -> None:
    with (
        ZipFile(tmp_path / "m.npz", "w", ZIP_DEFLATED) as archive,
        archive.open("rotvec_rad.npy", "w", force_zip64=True) as stream,
    ):
        for _ in range(1100):
            stream.write(bytes(2**20))
    refused(read_motion, tmp_path / "m.npz")


def test_a_file_of_line_ends(tmp_path: Path) -> None:
    (tmp_path / "a.trc").write_bytes(b"\n" * 60_000_000)
    refused(read_trc, tmp_path / "a.trc")


def test_a_header_of_many_markers_over_short_rows(tmp_path: Path) -> None:
    """Rows whose last markers are missing may end early: here they would become 20 GB."""
    labels = "\t\t\t".join(f"M{i}" for i in range(20_000))
    head = "PathFileType\t4\nDataRate\tNumMarkers\tUnits\n60\t20000\tm\n"
    rows = "".join(f"{i}\t{i / 60:.5f}\n" for i in range(20_000))
    (tmp_path / "a.trc").write_text(f"{head}Frame#\tTime\t{labels}\n\n\n{rows}")
    refused(read_trc, tmp_path / "a.trc")


def test_a_table_of_many_labels_over_short_rows(tmp_path: Path) -> None:
    labels = "\t".join(f"c{i}" for i in range(100_000))
    rows = "".join(f"{i}\t0\n" for i in range(20_000))
    (tmp_path / "a.mot").write_text(f"nRows=1\nendheader\ntime\t{labels}\n{rows}")
    refused(read_mot, tmp_path / "a.mot")


def test_a_c3d_file_of_many_labels_of_one_name(tmp_path: Path) -> None:
    labels = ("A",) * 255
    file = C3dFile(*walking(4, 255), labels=labels, point={"LABELS2": list(labels)})
    (tmp_path / "a.c3d").write_bytes(file.content())
    began = process_time()
    assert read_c3d(tmp_path / "a.c3d").names[-1] == "A_255"
    assert process_time() - began < CPU_S


def npy(descr: str, shape: str) -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize(
    "header",
    [
        b"\x93NUMPY\x01\x00\xff\xff" + b"(" * 65_535,
        b"\x93NUMPY\x02\x00\xff\xff\xff\x7f" + b"{'descr': '<f8'",
        npy("<f8", "(99999999999,)"),
        npy("<f8", "(-1, -1)"),
        npy("<f8", "(" + "9" * 4000 + ",)"),
        npy("|O", "(2,)"),
        b"\x93NUMPY\x09\x00" + bytes(100),
        b"not an array",
    ],
)
def test_headers_of_arrays_that_are_none(tmp_path: Path, header: bytes) -> None:
    with ZipFile(tmp_path / "m.npz", "w", ZIP_DEFLATED) as archive:
        archive.writestr("format.npy", header)
    refused(read_motion, tmp_path / "m.npz")


def test_a_number_of_too_many_digits(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_text(f"height = {'9' * 5000}\n")
    refused(read_toml, tmp_path / "a.toml")


@pytest.mark.parametrize("read", [read_trc, read_c3d, read_mot, read_toml, read_motion, read_json])
@pytest.mark.parametrize("kind", ["device", "pipe", "folder", "nothing"])
def test_what_is_no_file(tmp_path: Path, read: Callable[[Path], Any], kind: str) -> None:
    path = tmp_path / "a"
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    refused(read, path)
