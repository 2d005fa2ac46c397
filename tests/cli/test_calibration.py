"""`kinefit calibration` on files as users have them."""

import json

import pytest
from typer.testing import CliRunner

from kinefit.cli.commands import app
from kinefit.io.calibration import read_calibration

FILE = """
[cam_a]
size = [1280, 720]
matrix = [[900.0, 0.0, 640.0], [0.0, 900.0, 360.0], [0.0, 0.0, 1.0]]
distortions = [0.1, 0.0, 0.0, 0.0, 0.0]
rotation = [3.14159, 0.0, 0.0]
translation = [0.0, 1.0, 3000.0]
[cam_b]
size = [1280, 720]
matrix = [[900.0, 0.0, 640.0], [0.0, 900.0, 360.0], [0.0, 0.0, 1.0]]
distortions = [0.1, 0.0, 0.0, 0.0, 0.0]
rotation = [2.2, 0.0, 2.2]
translation = [0.0, 1.0, 3000.0]
"""


def _run(*arguments):
    return CliRunner().invoke(app, ["calibration", *map(str, arguments)])


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "calibration.toml"
    path.write_text(FILE)
    return path


def test_units_are_asked_for_then_said(file):
    asked = _run(file)
    assert asked.exit_code == 2
    assert "--units" in asked.stderr.replace("\n", " ")
    said = _run(file, "--units", "mm")
    assert said.exit_code == 0, said.output
    assert "aniposelib: 2 cameras" in said.stdout
    assert "positions in millimetres, as asked for" in said.stdout
    assert "nothing says which one is up" in said.stdout
    assert "tilt" not in said.stdout  # no vertical, no tilt


def test_the_vertical_brings_heights_and_json(file):
    result = _run(file, "--units", "mm", "--up", "y", "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert (report["format"], report["up"]) == ("aniposelib", "y")
    assert [c["name"] for c in report["cameras"]] == ["cam_a", "cam_b"]
    assert "tilt" in _run(file, "--units", "mm", "--up", "y").stdout


@pytest.mark.parametrize("layout", ["caliscope", "pose2sim", "aniposelib"])
def test_a_calibration_is_converted(file, tmp_path, layout):
    target = tmp_path / "out.toml"
    options = ["--units", "mm", "--up", "z", "--layout", layout, "--to", target]
    result = _run(file, *options)
    assert result.exit_code == 0, result.output
    assert result.stdout.strip().endswith("out.toml")
    assert read_calibration(target).format == layout


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--units", "feet"], "'feet' is unknown"),
        (["--up", "north"], "'north' is not an axis"),
        (["--format", "optitrack"], "'optitrack' is unknown"),
        (["--units", "mm", "--layout", "pose2sim", "--to", "OUT"], "Z up, and nothing says"),
        (["--units", "mm", "--to", "SELF"], "is the file to be read"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_written(file, tmp_path, options, said):
    places = {"OUT": tmp_path / "out.toml", "SELF": file}
    result = _run(file, *(places.get(o, o) for o in options))
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")
    assert [p.name for p in tmp_path.iterdir()] == ["calibration.toml"]
    assert file.read_text() == FILE


def test_videos_are_matched_by_name_and_their_sizes_said(demo_videos, tmp_path):
    target = tmp_path / "out.toml"
    result = _run(
        demo_videos / "Calib.qca.txt", "--video", demo_videos / "cam01.mp4", "--to", target
    )
    assert result.exit_code == 0, result.output
    assert "world Z up, as Qualisys writes it" in result.stdout
    assert "calibrated for 1088 x 1920 pixels" in result.stderr.replace("\n", " ")
    written = read_calibration(target).rig
    assert [c.size for c in written] == [(1080, 1920)] + [(1088, 1920)] * 3
