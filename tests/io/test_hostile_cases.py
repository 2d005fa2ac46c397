"""Files that once took minutes or all memory are refused at once."""

from __future__ import annotations

import gzip
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
from kinefit.io.points2d import read_points
from kinefit.io.toml import read_toml
from kinefit.io.trc import read_trc
from kinefit.types import InputError

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
    from kinefit.biomech.opensim.model import read_model

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
