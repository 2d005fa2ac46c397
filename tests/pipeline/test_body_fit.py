"""A body through real video, and through a bundle of points: what is left, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from kinefit.api import export_motion, export_smpl_body, fit, fit_marker_file, process
from kinefit.body.anny import load_anny
from kinefit.cli.commands import app
from kinefit.io.body_npz import read_motion
from kinefit.io.smpl import read_smpl
from kinefit.io.trc import read_trc, write_trc
from kinefit.io.video import frames
from kinefit.pipeline.config import FitOptions, MarkerFileOptions, checked, run_config
from kinefit.types import InputError, Markers, Timeline

HEIGHT = 1.68
QUICK = {"height": HEIGHT, "quality": "fast"}


@pytest.fixture(scope="module")
def fitted(demo_clip, tmp_path_factory):
    """A body through 40 frames of the demo's camera 1."""
    out = tmp_path_factory.mktemp("fit") / "out"
    result = fit(demo_clip, out, run_config({**QUICK, "gender": "male"}))
    return out, result


def report_of(out):
    return json.loads((out / "clip_body.json").read_text("utf-8"))


def test_all_files_are_there(fitted):
    out, result = fitted
    names = {name for name, _ in result.files}
    assert names == {f"clip_body.{kind}" for kind in ("npz", "trc", "json", "glb", "bvh")} | {
        *("clip_overlay.mp4", "clip_raw_landmarks.csv", "report.html", "viewer.html", "run.json")
    }
    assert all((out / name).stat().st_size > 0 for name in names)
    assert len(list(frames(out / "clip_overlay.mp4"))) == 20  # of 60 a second, 30 are shown


def test_the_body_is_the_person(fitted):
    report = report_of(fitted[0])
    assert report["frames_without_pose"] == []
    # The height was given; a centimetre is its standard deviation.
    assert abs(report["stature_m"] - HEIGHT) < 0.03
    # The picture is half size: 4 px full size are 2 here, and the noise of the landmarks 4.
    assert report["reprojection_px"]["mean"] < 6
    bones = report["bones_m"]
    for bone in ("upper arm", "forearm", "thigh", "shank"):
        assert abs(bones[f"left {bone}"] - bones[f"right {bone}"]) < 0.01
    assert 0.33 < bones["left thigh"] < 0.50  # four cameras say 0.39
    assert max(report["beyond_joint_limits_deg"].values(), default=0) < 5


def test_the_motion_is_what_the_markers_show(fitted):
    """The keypoints of the TRC are those of the posed mesh, but for the detector's offsets."""
    out, _ = fitted
    motion, markers = read_motion(out / "clip_body.npz"), read_trc(out / "clip_body.trc")
    body = load_anny()
    _, joints = body.pose(motion.rotations, motion.translation, body.rest_joints(motion.shape))
    points = body.regress(body.motion_vertices(motion), joints, markers.names)
    off = np.linalg.norm(points - markers.xyz, axis=-1)
    # An offset is the same in every frame, up to how skin between two joints turns.
    assert (off.max(axis=0) - off.min(axis=0)).max() < 0.02
    assert off.max() < 0.15


def test_run_after_fit_uses_the_fit_and_fit_after_run_takes_nothing_away(
    fitted, demo_clip, tmp_path
):
    out = tmp_path / "out"
    shutil.copytree(fitted[0], out)
    stamps = {p: p.stat().st_mtime_ns for p in out.glob("clip_*")}
    config = run_config({**QUICK, "gender": "male"})
    process(demo_clip, out, config)
    assert {path: path.stat().st_mtime_ns for path in stamps} == stamps
    before = {p: p.read_bytes() for p in out.rglob("*") if p.is_file() and p.name != "run.json"}
    fit(demo_clip, out, config)
    after = {p: p.read_bytes() for p in before}
    assert {p.name for p in before if before[p] != after[p]} == set()


def test_another_option_is_another_result(fitted, demo_clip, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(fitted[0], out)
    fit(demo_clip, out, run_config({**QUICK, "gender": "female", "export": ""}))
    assert report_of(out)["shape"]["gender"] > 0.5 > report_of(fitted[0])["shape"]["gender"]
    stages = json.loads((out / "run.json").read_text("utf-8"))["stages"]
    assert {name for name, stage in stages.items() if stage["stale"]} == {
        "clip.export bvh", "clip.export glb"
    }  # fmt: skip


def test_motion_is_exported(fitted, tmp_path):
    out, _ = fitted
    copy = tmp_path / "walk.npz"
    copy.write_bytes((out / "clip_body.npz").read_bytes())
    files, notes = export_motion(copy, ["glb", "bvh"])
    assert [path.name for path in files] == ["walk.glb", "walk.bvh"]
    assert notes  # four joints per vertex
    for path in files:
        path.unlink()
    with pytest.raises(InputError, match="no such kind"):
        export_motion(copy, ["glb", "fbx"])
    with pytest.raises(InputError, match="AMASS"):
        export_motion(copy, ["glb", "amass"])
    assert list(tmp_path.iterdir()) == [copy]  # nothing before everything can be written


def test_anny_as_an_smpl_file(tmp_path):
    words = export_smpl_body(tmp_path / "anny.npz", 10)
    assert "mm" in words
    data = read_smpl(tmp_path / "anny.npz")
    assert len(data.parents) == 24
    assert data.shapedirs.shape[-1] == 10


def test_a_bundle_that_is_none_is_refused(tmp_path):
    path = tmp_path / "points.npz"
    np.savez(path, a=np.zeros(3))
    with pytest.raises(InputError, match=r"points\.npz"):
        fit(path, tmp_path / "out", run_config({}))
    assert not (tmp_path / "out").exists()


def test_options_are_checked():
    with pytest.raises(InputError, match="no such kind"):
        checked(FitOptions, {"export": "fbx"})
    with pytest.raises(InputError, match="gender"):
        checked(FitOptions, {"gender": "unknown"})


def test_a_body_that_is_not_there_is_refused(fitted, demo_clip):
    body = str(Path("nowhere") / "smpl.pkl")
    with pytest.raises(InputError, match="no such body"):
        fit(demo_clip, fitted[0], run_config({**QUICK, "body": body}))


def test_a_marker_file_gets_a_body(fitted, tmp_path):
    """The keypoints that a fit wrote, taken as markers."""
    out, _ = fitted
    markers = out / "clip_body.trc"
    options = MarkerFileOptions(gender="male", height=HEIGHT)
    result = fit_marker_file(markers, tmp_path / "markers", options)
    assert {path.suffix for path in result.files} == {".npz", ".json", ".glb", ".bvh", ".html"}
    page = (tmp_path / "markers" / "clip_body_body_report.html").read_text("utf-8")
    assert "Good: nothing suspicious was found" in page
    assert '<th scope="row">LHeel</th>' in page
    assert (tmp_path / "markers" / "run.json").exists()
    # They come from a body, with the detector's offsets, which markers may have too.
    assert result.report["rms_mm"] < 10
    assert abs(result.report["stature_m"] - HEIGHT) < 0.03


def test_markers_that_are_no_body_are_refused(tmp_path):
    file = tmp_path / "ball.trc"
    timeline = Timeline.regular(20, 60.0)
    write_trc(file, Markers(timeline, ("ball",), np.zeros((20, 1, 3))))
    with pytest.raises(InputError, match=r"ball\.trc"):
        fit_marker_file(file, tmp_path / "out", MarkerFileOptions())
    assert not (tmp_path / "out").exists()


def test_a_file_is_no_folder_and_a_giant_no_person(tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("mine")
    with pytest.raises(InputError, match="not a folder"):
        fit_marker_file(tmp_path / "any.trc", taken, MarkerFileOptions())
    with pytest.raises(InputError, match="height"):
        checked(MarkerFileOptions, {"height": 178.0})


def test_options_of_videos_are_refused_for_a_bundle(tmp_path):
    result = CliRunner().invoke(app, ["fit", "multiview", "points.npz", "--mass", "70"])
    assert result.exit_code == 2
    assert "--mass" in result.output


@pytest.mark.parametrize("body", ["anny", "smpl"])
def test_a_preset_reaches_the_fit_of_any_body(demo_clip, tmp_path, body):
    """A body of SMPL's 24 joints and file is as good as Anny; run.json tells the options."""
    arguments = ["--preset", "refine-smpl", "--loss", "huber", "--height", HEIGHT, "--quality",
                 "fast", "--no-overlay", "--export", "", "--out", tmp_path / "out"]  # fmt: skip
    if body == "smpl":
        export_smpl_body(tmp_path / "smpl.npz", 10)
        arguments += ["--body", tmp_path / "smpl.npz"]
    result = CliRunner().invoke(app, ["fit", "video", *map(str, [demo_clip, *arguments])])
    assert result.exit_code == 0, result.output
    manifest = json.loads((tmp_path / "out" / "run.json").read_text("utf-8"))
    assert manifest["parameters"]["preset"] == "refine-smpl"
    options = manifest["stages"]["clip.fit"]["options"]
    told = {"loss": "huber", "joint_limits": "euler", "vertex_acceleration": 20.0}
    assert {name: options[name] for name in told} == told
    assert manifest["stages"]["clip.observe"]["options"]["visibility_min"] == 0.2
    report = report_of(tmp_path / "out")
    assert report["frames_without_pose"] == []
    assert report["reprojection_px"]["mean"] < 8


def test_a_preset_is_for_points_too_as_far_as_it_is_of_the_body(tmp_path):
    points = tmp_path / "points.npz"
    np.savez(points, a=np.zeros(3))
    with pytest.raises(InputError, match=r"points\.npz"):  # and not of an option
        fit(points, tmp_path / "out", run_config({"preset": "refine-smpl"}))


def test_masks_give_girths_and_the_report_shows_them(fitted, demo_clip, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(fitted[0], out)
    fit(demo_clip, out, run_config({**QUICK, "gender": "male", "silhouettes": True}))
    found = report_of(out)
    assert found["masks_used"] == 12
    # Of the 1st to 99th percentile of men (ANSUR II), with the deviation of one camera.
    low = {"chest": 0.87, "waist": 0.73, "hip": 0.86, "thigh": 0.50}
    high = {"chest": 1.27, "waist": 1.25, "hip": 1.22, "thigh": 0.78}
    for name, one in found["girths"].items():
        assert low[name] - one["rms_error_m"] < one["m"] < high[name] + one["rms_error_m"], name
    assert "Girths" in (out / "report.html").read_text("utf-8")
    assert "Girths" not in (fitted[0] / "report.html").read_text("utf-8")
    assert "girths" not in report_of(fitted[0])


def test_no_usable_mask_is_told_and_the_body_stays(fitted, demo_clip, tmp_path):
    out, masks = tmp_path / "out", tmp_path / "masks"
    shutil.copytree(fitted[0], out)
    masks.mkdir()
    size = next(iter(frames(demo_clip))).rgb.shape[1::-1]
    for k in range(60):
        Image.new("L", size).save(masks / f"{k:04d}.png")
    values = {**QUICK, "gender": "male", "silhouettes": True, "masks": masks}
    fit(demo_clip, out, run_config(values))
    assert report_of(out)["masks_used"] == 0
    assert report_of(out)["shape"] == report_of(fitted[0])["shape"]
    assert "No mask of the person could be used" in (out / "report.html").read_text("utf-8")
