"""Runs whose joint angles are refined, and the command that does it to what is there."""

from __future__ import annotations

import json
import re
import shutil
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.api import process, refine_file
from kinefit.cli.commands import app
from kinefit.geometry.rotations import difference_deg
from kinefit.io.mot import read_mot
from kinefit.io.tables import read_angles_csv, write_angles_csv
from kinefit.pipeline.config import run_config
from kinefit.types import InputError
from tests.report.scene_reader import scenes_of

OPTIONS = {"height": 1.68, "mass": 70.0, "overlay": False, "export": "", "quality": "fast"}
TABLE = "joint_angles/clip_angles_all.csv"
BEFORE = "joint_angles/clip_angles_unrefined.csv"


@pytest.fixture(scope="module")
def plain(demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("plain") / "out"
    process(demo_clip, out, run_config(OPTIONS))
    return out


@pytest.fixture(scope="module")
def fused(demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("fused") / "out"
    process(demo_clip, out, run_config({**OPTIONS, "main_refiner": True}))
    return out


def test_the_angles_before_are_those_of_a_plain_run(plain: Path, fused: Path) -> None:
    before, without = read_angles_csv(fused / BEFORE), read_angles_csv(plain / TABLE)
    assert np.array_equal(before.degrees, without.degrees, equal_nan=True)
    after = read_angles_csv(fused / TABLE)
    assert after.names == before.names
    moved = np.abs(difference_deg(after.degrees, before.degrees))
    assert 0.1 < np.nanmean(moved) < 10
    assert not (plain / BEFORE).exists()


def test_everything_that_is_made_of_the_angles_is_made_of_the_new_ones(fused: Path) -> None:
    after = read_angles_csv(fused / TABLE)
    motion = read_mot(fused / "joint_angles" / "clip.mot")
    # OpenSim's knee angle is the flexion, in another frame: what is left is a constant.
    off = motion.column("knee_angle_r") - after.column("knee_r_flex")
    assert np.ptp(off) < 1
    page = (fused / "report.html").read_text("utf-8")
    assert "main" in page
    assert re.search(r"moved by [\d.]+ degrees", page)


def test_what_is_done_and_by_how_much_is_on_record(fused: Path) -> None:
    told = json.loads((fused / ".kinefit" / "refinement.json").read_text("utf-8"))
    assert told["network"] == "main"
    assert 0.1 < told["moved_deg"] < 10


@pytest.fixture(scope="module")
def refined(plain: Path, demo_clip: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of the plain run, with a page, and the truth that its own angles are off by 2 degrees."""
    folder = tmp_path_factory.mktemp("refined")
    angles = read_angles_csv(plain / TABLE)
    truth = folder / "truth.csv"
    write_angles_csv(truth, type(angles)(angles.timeline, angles.names, angles.degrees + 2))
    out = folder / "out"
    refine_file(plain, out, compare=True, video=demo_clip, truth=truth)
    return out


def test_a_run_with_the_option_says_what_the_command_says(
    refined: Path, demo_clip: Path, tmp_path: Path
) -> None:
    process(demo_clip, tmp_path, run_config({**OPTIONS, "joint_refinement": True}))
    one, other = read_angles_csv(tmp_path / TABLE), read_angles_csv(refined / "clip_refined.csv")
    # Tables are rounded to a ten thousandth of a degree before the command reads them.
    assert np.nanmax(np.abs(difference_deg(one.degrees, other.degrees))) < 0.02
    assert one.sd is not None


def test_what_an_earlier_run_left_is_not_taken_for_this_one_s(
    plain: Path, demo_clip: Path, tmp_path: Path
) -> None:
    """The table before refinement stays where it is when a run is made again without."""
    out = Path(shutil.copytree(plain, tmp_path / "out"))
    process(demo_clip, out, run_config({**OPTIONS, "joint_refinement": True}), until="angles")
    process(demo_clip, out, run_config({**OPTIONS, "cutoff_hz": 4}), until="angles")
    assert (out / BEFORE).exists()
    refine_file(out, tmp_path / "refined")
    inputs = json.loads(
        (tmp_path / "refined" / ".kinefit" / "stages" / "clip.refine.json").read_text()
    )
    assert inputs["about"]["inputs"]["angles"] == sha256((out / TABLE).read_bytes()).hexdigest()


def test_the_page_shows_both_skeletons_on_the_video_and_the_truth(refined: Path) -> None:
    page = (refined / "clip_comparison.html").read_text("utf-8")
    (scene,) = scenes_of(page)
    sets = {one["label"]: one for one in scene["points"]}
    assert set(sets) == {"Before", "After", "Truth"}
    assert len(scene["time"]) == 40
    assert np.allclose(sets["Before"]["xyz"][:, 0], sets["After"]["xyz"][:, 0], atol=1e-3)
    assert 0 < np.nanmean(sets["After"]["heat"]) < 1
    assert len(scene["cameras"]) == 1
    assert page.count('src="data:video/mp4') == 1
    assert "Mean absolute error: 2.0 degrees before" in page


def test_the_command_of_a_table_needs_markers_for_a_page(plain: Path, tmp_path: Path) -> None:
    table, out = str(plain / TABLE), str(tmp_path / "out")
    done = CliRunner().invoke(app, ["refine", table, "--out", out])
    assert done.exit_code == 0, done.output
    assert "no accuracy" in done.output
    assert {p.name for p in (tmp_path / "out").glob("clip*")} == {
        "clip_refined.csv", "clip_refined.mot"
    }  # fmt: skip
    done = CliRunner().invoke(app, ["refine", table, "--out", out, "--compare"])
    assert done.exit_code == 2
    assert "--markers" in done.output
    trc = str(plain / "clip_final.trc")
    done = CliRunner().invoke(app, ["refine", table, "--out", out, "--compare", "--markers", trc])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "out" / "clip_comparison.html").is_file()


def test_what_is_no_run_or_table_is_refused(tmp_path: Path, plain: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="finished run of one camera"):
        refine_file(tmp_path / "empty", tmp_path / "out")
    other = tmp_path / "other.csv"
    other.write_text("frame,time_s,weight_deg\n0,0,1\n1,0.1,2\n", "utf-8")
    with pytest.raises(InputError, match="none of kinefit's joint angles"):
        refine_file(other, tmp_path / "out")
    with pytest.raises(InputError, match="--video"):
        refine_file(plain / TABLE, tmp_path / "out", video=Path("a.mp4"))


@pytest.mark.parametrize(("options", "says"), [
    ({"joint_refinement": True, "main_refiner": True}, "not both"),
    ({"main_refiner": True, "camera_pof": True}, "--camera-pof"),
    ({"joint_refinement": True, "calibration": "c.toml"}, "one camera"),
    ({"joint_refinement": True, "compute_all_joint_angles": False}, "needs --compute-all-joint-angles"),
    ({"main_refiner": True, "markers": "mesh"}, "augmenter"),
])  # fmt: skip
def test_options_that_contradict_are_refused(options: dict[str, object], says: str) -> None:
    with pytest.raises(InputError, match=says):
        run_config({"height": 1.7, **options})
