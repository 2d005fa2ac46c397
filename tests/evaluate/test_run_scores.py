"""Whole runs against their scenes: faultless detections through the real later stages."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinefit.body.anny import load_anny
from kinefit.evaluate.run_folder import read_run, read_scene
from kinefit.evaluate.run_scores import score_markers, score_result, score_run
from kinefit.evaluate.score_tables import markdown, skipped_notes, synth_tables
from kinefit.io.body_npz import write_motion
from kinefit.io.video import VideoWriter
from kinefit.types import InputError

from .run_folders import one_camera, several_cameras
from .scenes import FRAMES, RATE, SIZE, scene, with_silhouettes, write_scene


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene of three cameras, its runs `one` and `several`, and another scene's `other`."""
    root = tmp_path_factory.mktemp("evaluate")
    truth = with_silhouettes(scene(views=3), FRAMES)
    write_scene(root / "scene", truth)
    write_scene(root / "other_scene", scene(views=3), grey=90)
    one_camera(root / "scene", truth, root / "one")
    several_cameras(root / "scene", truth, root / "several")
    several_cameras(root / "scene", truth, root / "fit", whole=False)
    one_camera(root / "other_scene", scene(views=3), root / "other")
    return root


def mean(scores: dict[str, Any], part: str, kind: str) -> float:
    value = scores[part]["mpjpe_mm"][kind]["mean"]
    assert isinstance(value, float)
    return value


def test_several_cameras_that_see_exactly(folders: Path) -> None:
    found = score_run(folders / "several", folders / "scene")
    assert found["views"] == 3
    for one in found["cameras"].values():
        # Tracks are kept in double precision; mp4 stamps are exact to a microsecond.
        assert one["detected"]["error_px"]["max"] == pytest.approx(0, abs=1e-6)
        assert one["pof"]["all"]["angle"]["max"] == pytest.approx(0, abs=1e-6)
    # Rays of exact pixels meet where the points are. The calibration's file holds 1e-8 or so.
    assert mean(found, "triangulated", "absolute") < 0.05
    assert found["triangulated"]["coverage"]["absolute"]["95%"]["share"] == 1
    # The result's world is turned and shifted; absolute errors are those in the scene's. What is
    # left is the small toes, which the detector lacks (9 mm), and a smoothing of the trajectory.
    assert mean(found, "initial", "absolute") < 2
    assert found["initial"]["by_point_mm"]["LKnee"]["absolute"] < 1
    assert found["final"]["points"] == 65
    assert found["final"]["by_set_mm"].keys() == {"keypoints", "laboratory"}
    assert found["final"]["by_set_mm"]["keypoints"]["absolute"] < 2
    assert "knee_r_flex" in found["angles"]["dofs"]
    assert set(found["skipped"]) == {"mask_iou"}
    json.dumps(found, allow_nan=False)


def test_clocks_that_differ_are_brought_to_the_scenes(tmp_path: Path) -> None:
    truth = scene(offset_s=0.1)
    write_scene(tmp_path / "scene", truth)
    told = several_cameras(tmp_path / "scene", truth, tmp_path / "told", offsets="cam02=0.1")
    found = score_run(told, tmp_path / "scene")
    assert mean(found, "triangulated", "absolute") < 0.05
    for one in found["cameras"].values():
        assert one["detected"]["error_px"]["max"] == pytest.approx(0, abs=1e-6)
    untold = several_cameras(tmp_path / "scene", truth, tmp_path / "untold")
    # A tenth of a second at 0.4 m/s, and limbs that swing faster.
    assert mean(score_run(untold, tmp_path / "scene"), "triangulated", "absolute") > 5


PARTS = [
    {"start": 0.2, "end": 0.7},
    {"start": 0.1, "every": 2, "cutoff_hz": 5},
    {"start": 0.2, "slowmo": 4},
]


@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_scored_where_it_is(folders: Path, tmp_path: Path, part: dict[str, Any]) -> None:
    """Seen exactly, at the scene's own times, whatever clock was given to the run."""
    truth = scene(views=3)
    run = several_cameras(folders / "scene", truth, tmp_path / "run", **part)
    found = score_run(run, folders / "scene")
    for one in found["cameras"].values():
        assert one["detected"]["error_px"]["max"] == pytest.approx(0, abs=1e-6)
    assert mean(found, "triangulated", "absolute") < 0.05
    assert mean(found, "initial", "absolute") < 2
    result = read_run(run, read_scene(folders / "scene"))
    markers = result.markers["final"].timeline
    np.testing.assert_allclose(
        result.clock.to_scene(markers.time), markers.frame / RATE, atol=4e-6
    )  # moments are kept to 1e-6
    alone = one_camera(folders / "scene", truth, tmp_path / "alone", **part)
    found = score_run(alone, folders / "scene")
    assert found["cameras"]["cam01"]["detected"]["error_px"]["max"] == pytest.approx(0, abs=1e-6)
    whole = score_run(folders / "one", folders / "scene")
    assert mean(found, "initial", "root") < 1.5 * mean(whole, "initial", "root")


def test_parts_of_clocks_that_differ_are_of_each_cameras_own(tmp_path: Path) -> None:
    """Seconds 0.1 to 0.6 of both videos; of the scene 0.1 to 0.6 and 0.2 to 0.7."""
    truth = scene(offset_s=0.1)
    write_scene(tmp_path / "scene", truth)
    part = {"start": 0.1, "end": 0.6}
    run = several_cameras(tmp_path / "scene", truth, tmp_path / "run", offsets="cam02=0.1", **part)
    found = score_run(run, tmp_path / "scene")
    assert mean(found, "triangulated", "absolute") < 0.05
    points = read_run(run, read_scene(tmp_path / "scene")).points
    assert points is not None
    assert points.timeline.time[[0, -1]] == pytest.approx([0.2, 17 / RATE])


def test_one_camera_knows_shape_better_than_place(folders: Path) -> None:
    found = score_run(folders / "one", folders / "scene")
    assert list(found["cameras"]) == ["cam01"]
    # The focal length is not known: the distance is off, the pose is not.
    assert mean(found, "initial", "absolute") > 10 * mean(found, "initial", "root")
    assert mean(found, "initial", "pa") < mean(found, "initial", "rigid") < 60
    assert found["skipped"]["triangulated"] == "there is one camera"


def test_deviations_of_one_camera_are_judged_without_its_place(folders: Path) -> None:
    several = read_run(folders / "several", read_scene(folders / "scene"))
    markers = several.markers["final"]
    known = replace(markers, sd=np.full(markers.xyz.shape, 0.01))
    truth = read_scene(folders / "scene").truth
    assert score_markers(several, known, truth)["coverage"].keys() == {"absolute", "rigid"}
    one = replace(several, cameras=dict(list(several.cameras.items())[:1]))
    assert score_markers(one, known, truth)["coverage"].keys() == {"rigid"}


def test_a_fit_has_a_body_and_neither_markers_nor_angles(folders: Path) -> None:
    found = score_run(folders / "fit", folders / "scene")
    assert found["views"] == 3
    assert found["body"]["joints"]["mpjpe_mm"]["absolute"]["mean"] < 30
    assert set(found["skipped"]) == {"initial", "final", "angles", "mask_iou"}


def test_a_body_and_a_mask_are_scored_where_they_are(folders: Path, tmp_path: Path) -> None:
    run, known = tmp_path / "run", read_scene(folders / "scene")
    shutil.copytree(folders / "several", run)
    view, someone = known.truth.views[0], known.truth.people[0]
    with VideoWriter(run / "cam01_mask.mp4", SIZE, rate_hz=RATE, quality=0) as writer:
        for k in range(FRAMES):
            white = 255 * view.masks.person(k, 0).astype(np.uint8)
            writer.add(np.repeat(white[..., None], 3, axis=-1), k / RATE)
    result = read_run(run, known)
    # The true body, in the run's transform: the root joint turns about its own place at rest.
    turn, shift = result.transform.R[0].T, -result.transform.R[0].T @ result.transform.t[0]
    rotations = someone.motion.rotations.copy()
    rotations[:, 0] = turn @ rotations[:, 0]
    head = load_anny().rest_joints(someone.motion.shape)[0]
    translation = (someone.motion.translation + head) @ turn.T + shift - head
    write_motion(
        run / "multiview_body.npz",
        replace(someone.motion, rotations=rotations, translation=translation),
    )
    found = score_result(read_run(run, known), known.truth)
    assert mean(found["body"], "joints", "absolute") == pytest.approx(0, abs=0.01)
    assert found["body"]["vertices_mm"]["pelvis"]["max"] == pytest.approx(0, abs=0.01)
    assert found["body"]["stature_error_mm"] == pytest.approx(0, abs=1e-9)
    for one in found["body"]["views"].values():
        assert one["reprojection"]["px"]["max"] < 0.01  # the transform's poses are kept in JSON
    assert found["body"]["views"]["cam01"]["mask_iou"]["mean"] > 0.999
    # Video in 4:2:0 without loss: grey levels are those that were written.
    assert found["cameras"]["cam01"]["mask_iou"]["mean"] > 0.999
    tables = synth_tables(found)
    titles = [table.title for table in tables]
    assert "Fitted body" in titles
    assert "The detector's masks, IoU" in titles
    page = markdown("a run", tables, skipped_notes(found))
    assert page.startswith("# a run\n")
    assert page.count("\n## ") == len(tables)


def test_another_scene_is_refused(folders: Path) -> None:
    with pytest.raises(InputError, match="is no run of the videos in"):
        score_run(folders / "other", folders / "scene")
    with pytest.raises(InputError, match="is no run of the videos in"):
        score_run(folders / "fit", folders / "other_scene")


def test_a_changed_scene_is_refused(folders: Path, tmp_path: Path) -> None:
    changed = tmp_path / "scene"
    shutil.copytree(folders / "scene", changed)
    with (changed / "truth.npz").open("ab") as stream:
        stream.write(b" ")
    with pytest.raises(InputError, match="was changed"):
        score_run(folders / "one", changed)


def test_folders_of_other_kinds_are_refused(folders: Path, tmp_path: Path) -> None:
    for run, reference in ((tmp_path, folders / "scene"), (folders / "one", tmp_path)):
        with pytest.raises(InputError) as caught:
            score_run(run, reference)
        assert caught.value.hint
    with pytest.raises(InputError, match="counted from 0"):
        score_run(folders / "one", folders / "scene", person=1)


@pytest.mark.parametrize(
    ("source", "file", "content"),
    [
        ("several", ".kinefit/world.json", b"{}"),
        ("several", ".kinefit/world.json", b'{"lab_to_world": {"R": "turned"}}'),
        ("several", ".kinefit/world.json", b"\xff"),
        ("several", ".kinefit/moments.npz", b"PK"),
        ("one", ".kinefit/fitted_cameras.toml", b"["),
        ("one", ".kinefit/track_cam01.npz", b"PK"),
        ("one", ".kinefit/final.npz", b""),
        ("one", "run.json", b"[]"),
        ("one", "run.json", b'{"inputs": 3}'),
        ("one", "run.json", b'{"inputs": [3]}'),
        ("one", "run.json", b'{"inputs": [{"sha256": "0", "name": "a", "part": {"slowmo": 0}}]}'),
    ],
)
def test_damaged_runs_are_refused(
    folders: Path, tmp_path: Path, source: str, file: str, content: bytes
) -> None:
    run = tmp_path / "run"
    shutil.copytree(folders / source, run)
    assert (run / file).is_file()
    (run / file).write_bytes(content)
    with pytest.raises(InputError) as caught:
        score_run(run, folders / "scene")
    assert caught.value.hint
