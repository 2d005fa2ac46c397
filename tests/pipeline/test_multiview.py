"""Several cameras, end to end, on the real demo; and what is refused before anything is written."""

from __future__ import annotations

import json
import re
import shutil
from itertools import combinations

import numpy as np
import pytest

from kinefit.api import DEMO_OPTIONS, demo_views, process
from kinefit.body.anny import load_anny
from kinefit.geometry.projection import project_rig
from kinefit.io.body_npz import read_motion
from kinefit.io.calibration import read_calibration
from kinefit.io.mot import read_mot
from kinefit.io.trc import read_trc
from kinefit.io.video import frames, probe
from kinefit.multiview.bundle import load_triangulation
from kinefit.multiview.triangulation_options import TriangulationOptions
from kinefit.pipeline.artifacts import load_track
from kinefit.pipeline.config import RunConfig, ViewOptions, flag, run_config
from kinefit.quality.verdict import frames_words
from kinefit.skeletons import map_points, skeleton
from kinefit.types import InputError, true_runs

CAMERAS = tuple(f"cam0{i}" for i in (1, 2, 3, 4))
STAGES = (
    *(f"detect {camera}" for camera in CAMERAS),
    *("observe", "fit", "markers", "angles", "export glb", "export bvh"),
    *("overlay", "scene", "report"),
)
LIMBS = [
    (side + a, side + b)
    for side in "LR"
    for a, b in (("Shoulder", "Elbow"), ("Elbow", "Wrist"), ("Hip", "Knee"), ("Knee", "Ankle"))
]


def config(**changes) -> RunConfig:
    options = {**DEMO_OPTIONS, "plot_all_joint_angles": False, "calibration": demo_views()[1]}
    return run_config({**options, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run of the whole job on all four videos, given in a scrambled order."""
    out = tmp_path_factory.mktemp("views") / "out"
    videos = demo_views()[0]
    result = process([videos[i] for i in (2, 0, 3, 1)], out, config())
    return out, result


@pytest.fixture(scope="module")
def manifest(finished):
    return json.loads((finished[0] / "run.json").read_text("utf-8"))


def test_all_files_are_there(finished, manifest):
    out, result = finished
    assert set(manifest["stages"]) == {f"multiview.{stage}" for stage in STAGES}
    assert len(manifest["inputs"]) == 4
    for name, _ in result.files:
        if "*" not in name:
            assert (out / name).stat().st_size > 0, name
    for camera in ("cam01", "cam02", "cam03", "cam04"):
        assert (out / f"{camera}_raw_landmarks.csv").exists()


def test_swapped_sides_of_camera_2_are_reported_and_no_others(finished, manifest):
    """The truth: where a camera's own points lie nearer to the motion with sides exchanged."""
    out, _ = finished
    points = load_triangulation(out / "multiview_triangulated.npz")
    rig = read_calibration(out / "multiview_cameras.toml").rig
    swaps = manifest["world"]["side_swaps"]
    assert set(swaps) == {"arms in cam02", "legs in cam02"}
    for camera, pixels in zip(rig, project_rig(rig, points.refined), strict=True):
        seen = load_track(out / ".kinefit" / f"track_{camera.name}.npz").image
        for limb, parts in (("arms", ("Elbow", "Wrist")), ("legs", ("Knee", "Ankle"))):
            mine = [seen.xy[:, [seen.names.index(s + p) for p in parts]] for s in "LR"]
            true = [pixels[:, [points.names.index(s + p) for p in parts]] for s in "LR"]
            off = [
                np.linalg.norm(np.subtract(mine, to), axis=-1).sum(axis=(0, 2))
                for to in (true, true[::-1])
            ]
            wrong = set(np.flatnonzero(off[1] < off[0]).tolist())
            found = set(swaps.get(f"{limb} in {camera.name}", ()))
            assert bool(wrong) == (camera.name == "cam02")
            # Arms before the trunk, and a frame between two exchanged ones that shows nobody.
            assert len(found ^ wrong) <= 4
            assert len(wrong) < 40
    said = [one for one in manifest["findings"] if "left and right arms" in one["what"]]
    assert [(one["level"], "in cam02" in one["what"]) for one in said] == [("information", True)]


def test_the_picture_size_that_differs_is_said(manifest):
    said = [one for one in manifest["findings"] if "1088 x 1920" in one["what"]]
    assert [one["what"].split()[1].rstrip(":") for one in said] == ["cam01", "cam02"]
    assert {one["level"] for one in said} == {"information"}


def test_the_clean_recording_is_good(manifest):
    assert manifest["verdict"] == "good", manifest["findings"]


def test_bones_are_constant(finished):
    """Those of the body exactly; between its keypoints, which lie on skin that moves, nearly."""
    motion, body = read_motion(finished[0] / "multiview_body.npz"), load_anny()
    _, joints = body.pose(motion.rotations, motion.translation, body.rest_joints(motion.shape))
    initial = read_trc(finished[0] / "multiview_initial.trc")
    at = {name: initial.xyz[:, i] for i, name in enumerate(initial.names)}
    for a, b in LIMBS:
        ends = [joints[:, body.joint_names.index(body.anatomy[n])] for n in (a, b)]
        length = np.linalg.norm(ends[0] - ends[1], axis=-1)
        assert np.ptp(length) < 1e-9, (a, b)
        length = np.linalg.norm(at[a] - at[b], axis=-1)
        assert length.std() / length.mean() < 0.03, (a, b)  # measured up to 0.024, upper arm
    assert np.linalg.norm(at["LHip"] - at["LKnee"], axis=-1).mean() == pytest.approx(0.39, abs=0.03)


def test_the_person_stands_upright_on_the_floor_and_faces_forward(finished):
    markers = read_trc(finished[0] / "multiview_final.trc")
    at = {name: markers.xyz[:, i] for i, name in enumerate(markers.names)}
    assert (at["Neck"][:, 1] > at["Hip"][:, 1]).all()
    soles = np.minimum(at["LHeel"][:, 1], at["RHeel"][:, 1])
    assert -0.03 < np.nanmin(soles) < 0.06
    right = (at["RHip"] - at["LHip"]).mean(axis=0)
    assert abs(right[0]) < 0.3 * right[2]  # facing X: right is Z
    assert right[2] > 0


def test_the_angles_are_those_of_a_person(finished):
    motion = read_mot(finished[0] / "joint_angles" / "multiview.mot")
    assert len(motion.timeline) == 100
    table = dict(zip(motion.names, motion.values.T, strict=True))
    for side in "rl":
        assert table[f"knee_angle_{side}"].min() > -10  # knees bend the right way
        assert 15 < table[f"knee_angle_{side}"].max() < 120


def test_the_bundle_is_in_the_world_of_the_cameras_beside_it(finished):
    out, _ = finished
    points = load_triangulation(out / "multiview_triangulated.npz")
    rig = read_calibration(out / "multiview_cameras.toml").rig
    assert rig.names == points.cameras
    pixels = project_rig(rig, points.refined).transpose(1, 2, 0, 3)
    np.testing.assert_allclose(pixels, points.reprojection, atol=1e-6)


def test_the_overlay_shows_all_cameras(finished):
    path = finished[0] / "multiview_overlay.mp4"
    info = probe(path)
    assert info.n_frames == 50  # of 60 a second, 30 are shown
    assert info.size[0] > 2 * info.size[1]  # four portrait pictures side by side
    picture = next(frames(path)).rgb
    assert picture is not None
    for part in np.array_split(picture, 4, axis=1):
        assert part.std() > 20  # none is black


def test_the_report_names_the_cameras(finished, manifest):
    page = (finished[0] / "report.html").read_text("utf-8")
    legs = np.isin(np.arange(100), manifest["world"]["side_swaps"]["legs in cam02"])
    swaps = frames_words([[a, b - 1] for a, b in true_runs(legs)]).capitalize()
    words = re.sub(r"</?button[^>]*>", "", page)  # frames are buttons
    for text in ("cam01", "cam04", "Points used", swaps, "Thigh"):
        assert text in words


def test_the_scale_agrees_with_the_given_height(manifest):
    person = manifest["world"]["rig"]["person"]
    assert person["scale"] == pytest.approx(1.0, abs=0.05)
    assert person["upright"] == person["facing"] == 1.0


def test_a_second_run_does_nothing_and_other_options_only_what_follows(finished):
    out, _ = finished
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*.trc")}
    process(demo_views()[0], out, config())
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*.trc")} == before
    seen = out / ".kinefit" / "people_cam01.npz"
    landmarks, detected = out / "cam01_raw_landmarks.csv", seen.stat().st_mtime_ns
    content = landmarks.read_bytes()
    raw = load_triangulation(out / "multiview_triangulated.npz")
    process(demo_views()[0], out, config(min_views=3, overlay=False))
    assert seen.stat().st_mtime_ns == detected
    assert landmarks.read_bytes() == content
    strict = load_triangulation(out / "multiview_triangulated.npz")
    assert strict.inlier_mask.sum() < raw.inlier_mask.sum()
    assert (out / "multiview_overlay.mp4").exists()  # it stays, of the fit before
    stages = json.loads((out / "run.json").read_text("utf-8"))["stages"]
    assert [name for name, stage in stages.items() if stage["stale"]] == ["multiview.overlay"]


def test_the_options_flags_have_the_librarys_defaults():
    assert ViewOptions().triangulation == TriangulationOptions()


def refused(tmp_path, videos=None, **changes) -> str:
    out = tmp_path / "out"
    with pytest.raises(InputError) as caught:
        process(videos or demo_views()[0], out, config(**changes))
    assert not out.exists()
    return str(caught.value)


def test_without_a_calibration(tmp_path):
    assert "--calibration" in refused(tmp_path, calibration=None)


def test_a_video_without_a_camera(tmp_path):
    video = tmp_path / "left.mp4"
    shutil.copy(demo_views()[0][0], video)
    said = refused(tmp_path, [demo_views()[0][1], video])
    assert "no camera 'left'" in said
    assert "never matched by order" in said


def test_two_videos_of_one_camera(tmp_path):
    (tmp_path / "b").mkdir()
    video = tmp_path / "b" / "cam01.mp4"
    shutil.copy(demo_views()[0][0], video)
    assert "is camera 'cam01' already" in refused(tmp_path, [demo_views()[0][0], video])


def test_offsets_of_unknown_cameras_and_words(tmp_path):
    assert "no camera 'cam9'" in refused(tmp_path, offsets="cam9=0.1")
    for wrong in ("cam01", "cam01=nan", "cam01=inf", "=0.1", "cam01=0.1,cam01=0.2"):
        assert "NAME=SECONDS" in refused(tmp_path, offsets=wrong)


def test_more_views_than_cameras(tmp_path):
    assert "--min-views" in refused(tmp_path, min_views=5)


def test_options_that_would_do_nothing():
    for name, value in (("person", 2), ("person_at", "5,5"), ("box", "5,5,9,9")):
        with pytest.raises(InputError, match=f"{flag(name)} needs a detector that finds everybody"):
            config(detector="mediapipe", **{name: value})
    with pytest.raises(InputError, match="--quality is for the detector blazepose"):
        config(detector="rtmlib", quality="best")
    with pytest.raises(InputError, match="--head-mask needs points of the mouth"):
        config(detector="rtmlib", head_mask=True)
    assert config(detector="mediapipe", head_mask=True).head_mask
    for name, value in (("sync", True), ("offsets", "a=1"), ("lab_frame", True)):
        with pytest.raises(InputError, match=f"{flag(name)} is for several cameras"):
            config(calibration=None, **{name: value})


def test_one_way_to_choose_a_person():
    ways = {"person": 2, "person_at": "cam01:5,5", "box": "cam01:5,5,9,9", "people": "all"}
    for one, other in combinations(ways, 2):
        with pytest.raises(InputError, match=r"give .* or .*, not both"):
            config(**{one: ways[one], other: ways[other]})


def test_a_place_that_is_none_is_refused_before_anything_is_looked_at(tmp_path):
    for at in ("5", "cam01:x,5", "5,5", "cam9:5,5"):
        assert "--person-at" in refused(tmp_path, person_at=at)
    assert "--box" in refused(tmp_path, box="cam01:5,5")


def test_one_cameras_options_with_a_calibration():
    with pytest.raises(InputError, match="--focal-px"):
        config(focal_px=1600.0)
    with pytest.raises(InputError, match="sync"):
        config(sync=True, offsets="cam01=0")


def test_missing_keypoints_of_a_camera(tmp_path):
    (tmp_path / "k").mkdir()
    said = refused(tmp_path, detector="openpose", keypoints=tmp_path / "k")
    assert "no keypoints of camera 'cam01'" in said


def test_the_demo_does_not_determine_its_clocks(finished, tmp_path):
    # Its 1.7 s of motion are too short. Detection is copied, so that only the clocks are tried.
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    with pytest.raises(InputError, match=r"--sync.*does not determine"):
        process(demo_views()[0], out, config(sync=True))


def test_another_rigs_calibration_is_told(finished, tmp_path):
    # Poses read the wrong way round: the views of the person meet nowhere.
    out = tmp_path / "out"
    shutil.copytree(finished[0], out)
    with pytest.raises(InputError, match=r"meet nowhere|no two cameras see the same person"):
        process(demo_views()[0], out, config(invert_extrinsics=True))


def people_of_demo(tmp_path, out):
    """OpenPose files of two persons: the demo's as a run found it, and a bystander before them."""
    root = tmp_path / "keypoints"
    tracks = {c: load_track(out / ".kinefit" / f"track_{c}.npz").image for c in CAMERAS}
    target = skeleton("body25")
    for camera, track in tracks.items():
        table = np.concatenate([track.xy, track.score[..., None]], axis=-1)
        folder = root / f"{camera}_json"
        folder.mkdir(parents=True)
        for t, person in enumerate(map_points(table, track.names, target)):
            known = np.nan_to_num(person)
            stranger = known * [0.5, 0.5, 1] + [30, 40, 0] * (known[:, 2:] > 0)
            people = [{"pose_keypoints_2d": p.ravel().tolist()} for p in (stranger, known)]
            (folder / f"{camera}_{t:012d}_keypoints.json").write_text(
                json.dumps({"people": people})
            )
    return root


def test_keypoint_files_of_several_persons(finished, tmp_path):
    root = people_of_demo(tmp_path, finished[0])
    out = tmp_path / "out"
    options = {"detector": "openpose", "keypoints": root, "end": 0.5}
    process(demo_views()[0], out, config(**options), until="observe")
    mine = load_triangulation(out / "multiview_triangulated.npz")
    theirs = load_triangulation(finished[0] / "multiview_triangulated.npz")
    assert len(mine.timeline) == 30
    knee = [p.refined[:30, p.names.index("LKnee")] for p in (mine, theirs)]
    # Scores of another rounding: the same points to a centimetre.
    assert np.nanmedian(np.linalg.norm(knee[0] - knee[1], axis=-1)) < 0.01
