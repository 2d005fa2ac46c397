"""`kinefit triangulate`: points of several sources in, one bundle out."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.cli.commands import app
from kinefit.geometry.projection import intrinsics, project_rig
from kinefit.io.calibration import write_calibration
from kinefit.multiview.bundle import load_triangulation, read_bundle
from kinefit.skeletons import skeleton
from kinefit.types import Camera, CameraRig

SIZE = (1280, 720)
NAMES = skeleton("mhr70").points


@pytest.fixture
def rig() -> CameraRig:
    cameras = []
    for i, angle in enumerate((0.2, 1.5, 2.9, 4.4)):
        centre = np.array([3 * np.cos(angle), 1.5 + 0.1 * i, 3 * np.sin(angle)])
        ahead = (np.array([0, 1.0, 0]) - centre) / np.linalg.norm(np.array([0, 1.0, 0]) - centre)
        right = np.cross(ahead, [0, 1.0, 0])
        right /= np.linalg.norm(right)
        R = np.stack([right, np.cross(ahead, right), ahead])
        lens = (-0.05, 0.01, 0.001, 0, 0)
        cameras.append(Camera(f"cam{i}", SIZE, intrinsics(900, SIZE), R, -R @ centre, lens))
    return CameraRig(tuple(cameras))


@pytest.fixture
def truth() -> np.ndarray:
    """(70, 3) metres: a cloud of a person's size; what counts here is that it comes back."""
    return np.random.default_rng(0).uniform([-0.4, 0.2, -0.4], [0.4, 1.8, 0.4], (70, 3))


@pytest.fixture
def calibration(rig, tmp_path):
    path = tmp_path / "cameras.toml"
    write_calibration(path, rig, layout="caliscope")
    return path


def run(*arguments):
    return CliRunner().invoke(app, ["triangulate", *map(str, arguments)])


@pytest.mark.parametrize("form", ["plain", "several", "normalised", "dict"])
def test_hands_and_arms_of_sam3d_outputs(rig, truth, calibration, tmp_path, form):
    folder = tmp_path / "points"
    folder.mkdir()
    for camera, pixels in zip(rig, project_rig(rig, truth), strict=True):
        if form == "plain":
            np.save(folder / f"{camera.name}.npy", pixels)
        elif form == "several":
            np.save(folder / f"{camera.name}.npy", pixels[None])
        elif form == "normalised":
            np.save(folder / f"{camera.name}.npy", pixels / SIZE)
        else:
            np.savez(folder / f"{camera.name}.npz", pred_keypoints_2d=pixels)
    out = tmp_path / "out.npz"
    result = run(folder, "--calibration", calibration, "--subset", "mhr46", "--out", out)
    assert result.exit_code == 0, result.output
    bundle = read_bundle(out)
    assert bundle.names == skeleton("mhr46").points
    assert bundle.finite.tolist() == [46]
    expected = truth[[NAMES.index(name) for name in bundle.names]]
    # Normalised values pass through a division: 1e-13 of a picture.
    np.testing.assert_allclose(bundle.points[0], expected, atol=1e-6)
    assert "46 of 46 points" in result.output


def test_a_table_with_a_gap(rig, truth, calibration, tmp_path):
    pixels = project_rig(rig, truth[:3] + np.linspace(0, 0.1, 5)[:, None, None])  # (C, 5, 3, 2)
    rows = ["frame,camera,point,x,y"]
    for c, camera in enumerate(rig):
        for t in range(5):
            for j, name in enumerate("abc"):
                if not (t == 2 and name == "b" and c > 0):
                    x, y = pixels[c, t, j]
                    rows.append(f"{t},{camera.name},{name},{x!r},{y!r}".replace("np.float64", ""))
    table = tmp_path / "points.csv"
    table.write_text("\n".join(rows).replace("(", "").replace(")", ""))
    result = run(table, "--calibration", calibration, "--rate", 60)
    assert result.exit_code == 0, result.output
    found = load_triangulation(tmp_path / "points_triangulated.npz")
    assert np.isnan(found.refined[2, 1]).all()
    assert np.isfinite(found.refined).all(axis=-1).sum() == 14
    assert "1 missing: seen by fewer than two cameras" in result.output


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "--calibration"),
        (["--calibration", "nowhere.toml"], "nowhere.toml"),
        (["--inlier-thresh", "-3"], "inlier-thresh"),
        (["--normalized", "--pixel"], "not both"),
        (["--subset", "mhr99"], "mhr99"),
    ],
)
def test_what_cannot_be_used_is_refused(rig, truth, calibration, tmp_path, arguments, said):
    folder = tmp_path / "points"
    folder.mkdir()
    for camera, pixels in zip(rig, project_rig(rig, truth), strict=True):
        np.save(folder / f"{camera.name}.npy", pixels)
    given = arguments if not arguments or "--calibration" in arguments else [
        *arguments, "--calibration", calibration,
    ]  # fmt: skip
    result = run(folder, *given, "--out", tmp_path / "out.npz")
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert not (tmp_path / "out.npz").exists()


def test_another_cameras_file_is_not_taken_for_this_one(rig, truth, calibration, tmp_path):
    folder = tmp_path / "points"
    folder.mkdir()
    pixels = project_rig(rig, truth)
    for name, view in zip(("cam0", "cam1", "cam2", "xcam3_old"), pixels, strict=True):
        np.save(folder / f"{name}.npy", view)
    result = run(folder, "--calibration", calibration, "--out", tmp_path / "out.npz")
    assert result.exit_code == 2
    assert "xcam3_old" in result.output
    assert json.dumps("cam3")[1:-1] in result.output
