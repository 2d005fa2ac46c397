"""`kinefit ik` from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.cli.commands import app
from kinefit.io.trc import write_trc
from kinefit.types import Markers, Timeline

SIZE = ["--height", "1.7", "--mass", "70", "--model", "simple"]


def standing() -> Markers:
    """Two frames of the generic model's keypoints, bent at knees and elbows."""
    from kinefit.biomech.opensim.model import BodyModel
    from kinefit.biomech.opensim.sets import setup_folder

    folder = setup_folder()
    model = BodyModel(folder / "Model_Pose2Sim_simple.osim", folder / "Markers_Halpe26.xml")
    bent = [0.6 if n.startswith(("knee", "elbow", "arm_add")) else 0.0 for n in model.names]
    xyz = model.positions(model.tie(model.default + np.array(bent)))
    return Markers(Timeline.regular(2, 30.0), model.markers, np.stack([xyz, xyz + 0.01]))


def test_the_job_prints_a_table_a_verdict_and_the_files(tmp_path: Path) -> None:
    file = tmp_path / "stand.trc"
    write_trc(file, standing())
    result = CliRunner().invoke(app, ["ik", str(file), *SIZE])
    assert result.exit_code == 0, result.output
    assert "RMS of a frame" in result.output
    assert "good: RMS marker error" in result.output
    assert (tmp_path / "stand_ik" / "stand_scaled.osim").is_file()
    assert str(tmp_path / "stand_ik" / "stand_ik.mot") in result.output


def test_missing_markers_exit_with_2_and_nothing_written(tmp_path: Path) -> None:
    file = tmp_path / "stand.trc"
    markers = standing()
    write_trc(file, markers.select([n for n in markers.names if n != "LKnee"]))
    result = CliRunner().invoke(app, ["ik", str(file), *SIZE])
    assert result.exit_code == 2
    assert "knee_angle_l (no LKnee)" in result.output
    assert [p.name for p in tmp_path.iterdir()] == ["stand.trc"]


@pytest.mark.parametrize("options", [["--height", "1.7"], ["--mass", "70"], []])
def test_height_and_mass_are_needed(tmp_path: Path, options: list[str]) -> None:
    file = tmp_path / "stand.trc"
    write_trc(file, standing())
    result = CliRunner().invoke(app, ["ik", str(file), *options])
    assert result.exit_code == 2
    assert "height and mass" in result.output
