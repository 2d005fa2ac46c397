"""Commands that read markers take TRC and C3D alike, and tell what was assumed and what to do."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.augment import motion
from kinefit.biomech.markers import augment
from kinefit.cli.commands import app
from kinefit.io.c3d import write_c3d
from kinefit.io.tables import read_angles_csv
from kinefit.io.trc import write_trc
from kinefit.types import Markers, Subject


def run(*arguments: object, code: int = 0) -> str:
    done = CliRunner().invoke(app, [str(a) for a in arguments])
    assert done.exit_code == code, done.output
    return " ".join(done.output.split())


@pytest.fixture(scope="module")
def markers() -> Markers:
    return replace(augment(motion(30), Subject(1.7, 70.0), cycles=1), sd=None)


def test_angles_of_both_formats_are_the_same(tmp_path: Path, markers: Markers) -> None:
    write_trc(tmp_path / "a.trc", markers)
    write_c3d(tmp_path / "a.c3d", markers)
    found = []
    for suffix in ("trc", "c3d"):
        run("angles", tmp_path / f"a.{suffix}", "--out", tmp_path / suffix)
        found.append(read_angles_csv(tmp_path / suffix / "a_angles_all.csv"))
    assert found[0].names == found[1].names
    # A micrometre over segments of a decimetre, and where a shoulder nears gimbal lock (a frame of
    # 30) a few hundred times that.
    apart = np.abs(found[0].degrees - found[1].degrees)
    assert np.quantile(apart, 0.99) < 0.01
    assert apart.max() < 0.5


def test_a_subjects_prefix_changes_nothing_and_is_told(tmp_path: Path, markers: Markers) -> None:
    write_trc(tmp_path / "a.trc", markers)
    named = replace(markers, names=tuple(f"Anna:{name}" for name in markers.names))
    write_trc(tmp_path / "b.trc", named)
    assert "subject's name" not in run("angles", tmp_path / "a.trc", "--out", tmp_path / "a")
    told = run("angles", tmp_path / "b.trc", "--out", tmp_path / "b")
    assert "The subject's name was dropped from the markers' names: Anna." in told
    a, b = (read_angles_csv(tmp_path / n / f"{n}_angles_all.csv") for n in "ab")
    np.testing.assert_array_equal(a.degrees, b.degrees)


def test_keypoints_are_to_be_augmented_first(tmp_path: Path) -> None:
    write_c3d(tmp_path / "k.c3d", motion(30))
    told = run("angles", tmp_path / "k.c3d", "--out", tmp_path / "k", code=2)
    assert "kinefit augment k.c3d --height METRES --mass KILOGRAMS" in told
    run("augment", tmp_path / "k.c3d", "--height", 1.7, "--mass", 70, "--augmentation-cycles", 1)
    run("angles", tmp_path / "k_augmented.trc", "--out", tmp_path / "k")


def test_notes_of_both_files_that_are_compared(tmp_path: Path, markers: Markers) -> None:
    xyz = markers.xyz.copy()
    xyz[3, 0] = 0
    write_trc(tmp_path / "a.trc", markers)
    write_c3d(tmp_path / "b.c3d", replace(markers, xyz=xyz))
    told = run("eval", "poses", tmp_path / "b.c3d", "--reference", tmp_path / "a.trc")
    assert "b.c3d: Points at exactly (0, 0, 0) were taken as missing:" in told
