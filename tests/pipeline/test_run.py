"""The whole job on real video: what it leaves, that it repeats, that it survives a kill."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from kinefit.api import process
from kinefit.biomech.angles.intervals import KEYPOINTS, LABORATORY, calibrated_sd, kind_of
from kinefit.io.c3d import read_c3d
from kinefit.io.mot import read_mot
from kinefit.io.observations import load_observations
from kinefit.io.tables import read_angles_csv
from kinefit.io.trc import read_trc
from kinefit.pipeline.artifacts import load_arrays, load_markers, load_track
from kinefit.pipeline.config import run_config
from kinefit.skeletons import skeleton
from kinefit.types import InputError
from tests.report.scene_reader import read_scene

# The quick network, but for the walk: what is tested here does not hang on it.
OPTIONS = {"height": 1.68, "mass": 70.0, "plot_all_joint_angles": True, "quality": "fast"}
ARGUMENTS = ["--height", "1.68", "--mass", "70", "--plot-all-joint-angles", "--quality", "fast"]
STAGES = (
    *("detect", "observe", "fit", "markers", "angles", "figures", "export glb", "export bvh"),
    *("overlay", "scene", "report"),
)


def command(video: Path, out: Path) -> list[str]:
    return [
        *(sys.executable, "-c", "from kinefit.cli import main; main()"),
        *("run", str(video), *ARGUMENTS, "--out", str(out)),
    ]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file's bytes, but for the seconds that the records state."""
    found = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        data = path.read_bytes()
        if path.name == "run.json" or path.parent.name == "stages":
            value = json.loads(data)
            for record in [value, *value.get("stages", {}).values()]:
                record.pop("seconds", None)
            data = json.dumps(value, sort_keys=True).encode()
        found[str(path.relative_to(folder))] = data
    return found


@pytest.fixture(scope="module")
def finished(demo_clip, tmp_path_factory):
    """A finished run of the short clip."""
    out = tmp_path_factory.mktemp("run") / "out"
    process(demo_clip, out, run_config(OPTIONS))
    return out


@pytest.fixture(scope="module")
def walk(demo_videos, tmp_path_factory):
    """A finished run of the demo's whole camera 1, without video and figures."""
    out = tmp_path_factory.mktemp("walk") / "out"
    config = run_config({"height": 1.68, "mass": 70.0, "overlay": False})
    process(demo_videos / "cam01.mp4", out, config)
    return out


def test_the_folder_holds_what_was_promised(finished):
    names = {str(p.relative_to(finished)) for p in finished.rglob("*") if p.is_file()}
    groups = ["pelvis", "trunk"] + [
        f"{joint}_{side}"
        for joint in ("hip", "knee", "ankle", "shoulder", "elbow")
        for side in "rl"
    ]
    expected = {f"joint_angles/clip_angles_{g}.{end}" for g in groups for end in ("csv", "png")}
    expected |= {
        *("clip_final.trc", "clip_initial.trc", "clip_raw_landmarks.csv", "clip_final.c3d"),
        *("clip_final_uncertainty.csv", "clip_overlay.mp4", "joint_angles/clip.mot"),
        *("joint_angles/clip_angles_all.csv", "report.html", "run.json"),
        *(f"clip_body.{kind}" for kind in ("npz", "trc", "json", "glb", "bvh")),
    }
    assert expected <= names
    assert not [n for n in names if "part" in n or "staging" in n]


def test_files_agree_with_each_other(finished):
    final, c3d = read_trc(finished / "clip_final.trc"), read_c3d(finished / "clip_final.c3d")
    assert final.names == (*skeleton("markers22").points, *skeleton("augmented43").points)
    assert c3d.names == final.names
    # TRC holds micrometres, C3D 32-bit millimetres (1e-7 of a few metres).
    assert np.abs(final.xyz - c3d.xyz).max() < 2e-6
    angles = read_angles_csv(finished / "joint_angles" / "clip_angles_all.csv")
    assert len(angles.timeline) == len(final.timeline) == 40
    knee = read_angles_csv(finished / "joint_angles" / "clip_angles_knee_r.csv")
    assert np.array_equal(knee.column("knee_r_flex"), angles.column("knee_r_flex"))
    motion = read_mot(finished / "joint_angles" / "clip.mot")
    assert len(motion.timeline) == 40
    # One knee, two definitions: OpenSim's model has its own zero, the movement is the same.
    difference = motion.column("knee_angle_r") - knee.column("knee_r_flex")
    assert difference.std() < 1.0


def test_run_json_says_where_everything_came_from(finished):
    manifest = json.loads((finished / "run.json").read_text())
    assert set(manifest["stages"]) == {f"clip.{stage}" for stage in STAGES}
    assert not any(stage["stale"] for stage in manifest["stages"].values())
    assert manifest["incomplete"] == ""
    assert manifest["stages"]["clip.fit"]["options"]["hold_feet"] is True
    assert [len(source["sha256"]) for source in manifest["inputs"]] == [64]
    assert manifest["parameters"]["height"] == 1.68
    assert len(manifest["quality"]["frames"]["visibility"]) == 40
    assert all(stage["seconds"] >= 0 for stage in manifest["stages"].values())


def test_a_second_run_gives_the_same_files(finished, demo_clip, tmp_path):
    process(demo_clip, tmp_path / "again", run_config(OPTIONS))
    assert contents(tmp_path / "again") == contents(finished)


def test_a_second_run_in_the_same_folder_touches_nothing(finished, demo_clip):
    before = {p: p.stat().st_mtime_ns for p in finished.rglob("*.*") if p.name != "run.json"}
    process(demo_clip, finished, run_config(OPTIONS))
    after = {p: p.stat().st_mtime_ns for p in before}
    changed = {p.name for p in before if before[p] != after[p]}
    assert changed <= {"input.json", ".kinefit"}


def test_a_run_that_is_killed_again_and_again_comes_to_the_same_result(
    finished, demo_clip, tmp_path
):
    """Kill -9 as soon as the stage before is recorded, that is, at work on a stage. All stages go
    through the same store: the first, one in the middle with many files, the last."""
    out = tmp_path / "out"
    for stage in ("detect", "angles", "report"):
        before = f"stages/clip.{STAGES[STAGES.index(stage) - 1]}.json"
        awaited = out / ".kinefit" / ("input.json" if stage == "detect" else before)
        process = subprocess.Popen(
            command(demo_clip, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while process.poll() is None and not awaited.exists():
            time.sleep(0.002)
        if stage == "detect":
            time.sleep(1.0)  # into the first frames
        os.kill(process.pid, signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL, stage
        assert not (out / f".kinefit/stages/clip.{stage}.json").exists()
    done = subprocess.run(command(demo_clip, out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert contents(out) == contents(finished)


def test_knees_bend_the_right_way_and_both_read_the_same_sign(walk):
    angles = read_angles_csv(walk / "joint_angles" / "cam01_angles_all.csv")
    for side in "rl":
        knee = angles.column(f"knee_{side}_flex")
        # A step's swing bends the knee by 40 degrees or more; standing it is nearly straight.
        assert knee.min() > -10
        assert 40 < knee.max() < 90


def test_left_is_left(walk):
    """Seen from behind the person's own facing direction, the left hip is on the left."""
    final = read_trc(walk / "cam01_final.trc")
    at = {n: final.xyz[:, final.names.index(n)] for n in final.names}
    facing = at["RBigToe"] + at["LBigToe"] - at["RHeel"] - at["LHeel"]
    to_left = np.cross([0.0, 1.0, 0.0], facing)
    for right, left in (
        ("RHip", "LHip"),
        ("RShoulder", "LShoulder"),
        ("r_knee_study", "L_knee_study"),
    ):
        assert (((at[left] - at[right]) * to_left).sum(axis=1) > 0).mean() > 0.95


def test_walking_moves_forward_through_the_room(walk):
    """The four-camera reference: 0.73 m of displacement, 0.46 m/s forward on average."""
    final = read_trc(walk / "cam01_final.trc")
    at = {n: final.xyz[:, final.names.index(n)] for n in final.names}
    velocity = np.gradient(at["Hip"], final.timeline.time, axis=0)[:, [0, 2]]
    facing = np.cross([0.0, 1.0, 0.0], at["RHip"] - at["LHip"])[:, [0, 2]]
    facing /= np.linalg.norm(facing, axis=1, keepdims=True)
    forward = (velocity * facing).sum(axis=1)
    assert 0.3 < forward.mean() < 0.6  # a third either way: depth from one camera
    moved = np.linalg.norm((at["Hip"][-1] - at["Hip"][0])[[0, 2]])
    assert 0.55 < moved < 0.9


def test_feet_meet_the_floor(walk):
    final = read_trc(walk / "cam01_final.trc")
    heights = final.xyz[
        :, [final.names.index(n) for n in ("RHeel", "LHeel", "RBigToe", "LBigToe")], 1
    ]
    # The camera's tilt is good to 5 degrees, half a metre of walk to 4 cm; heels lift in a step.
    assert abs(np.median(heights.min(axis=1))) < 0.08


def test_other_options_take_nothing_away(finished, demo_clip, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(finished, out)
    before = {name for name in contents(out) if not name.startswith(".kinefit")}
    options = {**OPTIONS, "compute_all_joint_angles": False, "plot_all_joint_angles": False}
    process(demo_clip, out, run_config({**options, "cutoff_hz": 5}))
    assert before <= set(contents(out))
    stages = json.loads((out / "run.json").read_text())["stages"]
    stale = {name for name, stage in stages.items() if stage["stale"]}
    assert stale == {"clip.angles", "clip.figures"}  # of the markers before


def test_a_copy_under_another_name_is_another_input(finished, demo_clip, tmp_path):
    out, copy = tmp_path / "out", tmp_path / "copy.mp4"
    shutil.copytree(finished, out)
    shutil.copy(demo_clip, copy)
    with pytest.raises(InputError, match=r"clip\.mp4"):
        process(copy, out, run_config(OPTIONS))
    assert contents(out).keys() == contents(finished).keys()


def test_deviations_are_stated_where_they_were_seen_to_hold(finished):
    angles = read_angles_csv(finished / "joint_angles" / "clip_angles_all.csv")
    assert angles.sd is not None
    stated = {
        kind_of(name)
        for name, sd in zip(angles.names, angles.sd.T, strict=True)
        if np.isfinite(sd).any()
    }
    known = {kind_of(n) for n in angles.names}
    ones = np.ones(1)
    assert stated == {k for k in known if calibrated_sd("one", k, ones) is not None}
    assert 0 < len(stated) < len(known)
    sd = angles.sd[:, angles.names.index("hip_r_abd")]
    assert np.isfinite(sd).all()
    assert (sd > 1).all()


def test_the_viewer_turns_ellipsoids_as_the_draws_lie(finished):
    skeleton, *_ = read_scene((finished / ".kinefit" / "scene.bin").read_bytes())["points"]
    assert skeleton["label"] == "Skeleton"
    draws = np.load(finished / ".kinefit" / "draws.npz")["draws"]
    for k, (i, j) in enumerate([(0, 1), (0, 2), (1, 2)]):
        wanted = np.corrcoef(draws[:, 20, 5, i], draws[:, 20, 5, j])[0, 1]
        assert abs(skeleton["correlation"][20, 5, k] - wanted) < 1e-4  # 16 bits


def test_stated_deviations_of_markers_are_calibrated(finished):
    """What is written is the spread with the table's factor and constant, not the spread."""
    final = load_markers(finished / ".kinefit" / "final.npz")
    spread = load_arrays(finished / ".kinefit" / "marker_spread.npz")["spread"]
    for name, kind in (("RKnee", KEYPOINTS), ("r_knee_study", LABORATORY)):
        k = final.names.index(name)
        assert np.isfinite(spread[:, k]).all()
        np.testing.assert_array_equal(final.sd[:, k], calibrated_sd("one", kind, spread[:, k]))
        column = f"{name}_sd_x_m"
        table = (finished / "clip_final_uncertainty.csv").read_text().splitlines()
        written = float(table[1].split(",")[table[0].split(",").index(column)])
        assert written == pytest.approx(final.sd[0, k, 0], abs=1e-6)


def test_points_of_another_program_use_the_embedded_depth(demo_clip, tmp_path):
    """COCO keypoints made from the detector's own: what they say of the person is the same."""
    # Depth is lent by the larger network.
    plain = {**OPTIONS, "plot_all_joint_angles": False, "quality": "normal", "end": 0.3}
    process(demo_clip, tmp_path / "own", run_config(plain), until="observe")
    track = load_track(tmp_path / "own" / ".kinefit" / "track_clip.npz")
    pick = [track.image.names.index(n) for n in skeleton("coco17").points]
    rows = [
        {
            "image_id": int(frame),
            "category_id": 1,
            "score": 1.0,
            "keypoints": np.column_stack([xy, score]).ravel().tolist(),
        }
        for frame, xy, score in zip(
            track.image.timeline.frame,
            track.image.xy[:, pick],
            track.image.score[:, pick],
            strict=True,
        )
    ]
    (tmp_path / "points.json").write_text(json.dumps(rows))
    options = plain | {"detector": "coco", "keypoints": tmp_path / "points.json"}
    process(demo_clip, tmp_path / "out", run_config(options), until="observe")
    folders = (tmp_path / "own" / ".kinefit", tmp_path / "out" / ".kinefit")
    own, lent = (load_observations(folder / "observations.npz") for folder in folders)
    at = [lent.names.index(name) for name in own.names]  # COCO has no feet: lent too
    np.testing.assert_array_equal(lent.xy[:, :, at], own.xy)
    np.testing.assert_array_equal(lent.sigma[:, :, at], own.sigma)
    assert lent.limbs == own.limbs
    # Sums over points in another order round differently.
    np.testing.assert_allclose(lent.directions, own.directions, atol=1e-9)
    np.testing.assert_allclose(lent.contact, own.contact, atol=1e-9)
    assert json.loads((folders[1] / "world.json").read_text())["detector"].startswith("COCO")


def test_an_upside_down_video_is_not_called_good(demo_clip, tmp_path):
    import cv2

    from kinefit.io.video import VideoWriter, frames

    path = tmp_path / "upside.mp4"
    with VideoWriter(path, (540, 960), rate_hz=60.0) as writer:
        for frame in frames(demo_clip):
            writer.add(cv2.rotate(frame.rgb, cv2.ROTATE_180), frame.time)
    options = {"height": 1.68, "mass": 70.0, "quality": "fast", "overlay": False, "export": ""}
    result = process(path, tmp_path / "out", run_config(options))
    # Turned by gravity, the body stands on its head or beyond its joints' limits: no use of it.
    assert result.verdict != "good", result.findings
