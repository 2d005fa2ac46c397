"""`kinefit eval` as a user calls it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.biomech.angles import to_opensim
from kinefit.cli.commands import app
from kinefit.io.mot import write_mot
from kinefit.io.trc import write_trc
from kinefit.synth.pairs import FIELDS

from .run_folders import one_camera, several_cameras
from .scenes import FRAMES, scene, write_scene
from .test_limb_scores import pair_rows


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("commands")
    write_scene(root / "scene", scene())
    one_camera(root / "scene", scene(), root / "one")
    several_cameras(root / "scene", scene(), root / "several")
    someone = scene().people[0]
    write_trc(root / "markers.trc", someone.markers)
    write_mot(root / "angles.mot", to_opensim(someone.angles, someone.markers), "truth")
    rows = pair_rows()
    whole = {k: rows.get(k, np.zeros((FRAMES, *shape))) for k, (shape, _) in FIELDS.items()}
    (root / "pairs").mkdir()
    np.savez(root / "pairs" / "pairs_00000.npz", **whole, key=np.array("made up"))
    return root


def run(*arguments: str | Path) -> str:
    result = CliRunner().invoke(app, ["eval", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_synth_tells_all_in_tables_json_and_markdown(folders: Path, tmp_path: Path) -> None:
    call = ("synth", folders / "several", "--reference", folders / "scene")
    shown = run(*call)
    assert "3D points, MPJPE, mm" in shown
    assert "Not scored: mask_iou" in shown
    files = [tmp_path / "a.json", tmp_path / "a.md"]
    printed = json.loads(run(*call, "--json", "--out", files[0]))
    assert json.loads(files[0].read_text()) == printed
    assert printed["cameras"]["cam01"]["detected"]["swapped"] == {"arms": 0.0, "legs": 0.0}
    run(*call, "--out", files[1])
    assert files[1].read_text().startswith("# several against scene, person 0\n")


def test_angles_against_a_motion_a_scene_and_a_truth(folders: Path) -> None:
    call = ("angles", folders / "angles.mot", "--json", "--reference")
    found = [
        json.loads(run(*call, reference))["dofs"]
        for reference in (folders / "angles.mot", folders / "scene", folders / "scene/truth.npz")
    ]
    assert found[0].keys() == found[1].keys()
    assert found[1] == found[2]
    for dofs in found:
        assert dofs["knee_angle_r"]["rmse"] < 1e-6  # a .mot file has eight decimals


def test_poses(folders: Path) -> None:
    call = ("poses", folders / "markers.trc", "--reference", folders / "scene")
    assert "By point, mm, aligned by none" in run(*call)
    found = json.loads(run(*call, "--align", "rigid", "--json"))
    assert found["aligned"]["by"] == "rigid"
    assert found["aligned"]["error_mm"]["max"] < 0.01  # micrometres in the file


def test_pof_of_pairs_and_of_a_run(folders: Path, tmp_path: Path) -> None:
    shown = run("pof", folders / "pairs", "--plots", tmp_path)
    assert "Directions of 14 limbs" in shown
    assert f"pairs: {FRAMES} images, a person detected in 100.0 %" in shown
    assert {path.name for path in tmp_path.iterdir()} == {"points.png", "limbs.png"}
    call = ("pof", folders / "one", "--reference", folders / "scene", "--json")
    found = json.loads(run(*call))
    assert list(found) == ["cam01"]
    assert found["cam01"]["all"]["angle"]["mean"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(
    "call",
    [
        ("synth", "one", "--reference", "one"),
        ("synth", "scene", "--reference", "scene"),
        ("synth", "nowhere", "--reference", "scene"),
        ("synth", "one", "--reference", "scene", "--person", "3"),
        ("synth", "one", "--reference", "scene", "--out", "a.txt"),
        ("angles", "angles.mot", "--reference", "one"),
        ("angles", "markers.trc", "--reference", "pairs/pairs_00000.npz"),
        ("poses", "markers.trc", "--reference", "angles.mot"),
        ("poses", "nowhere.trc", "--reference", "scene"),
        ("pof", "one"),
        ("pof", "pairs", "--reference", "scene"),
    ],
)
def test_wrong_input_is_refused_with_what_to_do(folders: Path, call: tuple[str, ...]) -> None:
    named = [
        str(folders / word) if not word.startswith("-") and i else word
        for i, word in enumerate(call)
    ]
    if "--person" in call:
        named[-1] = call[-1]
    result = CliRunner().invoke(app, ["eval", *named])
    assert result.exit_code == 2, result.output
    assert "Next:" in result.stderr
