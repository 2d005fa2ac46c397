"""CMU MTC and Panoptic to rows: OpenCV's numbers, Y up, left stays left, one row per body."""

from __future__ import annotations

import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.cli.commands import app
from kinefit.train.convert.panoptic import convert_panoptic
from kinefit.train.convert.rows import read_shard, shard_paths
from kinefit.types import InputError

from .ring_scene import COCO, LENS, NO_LENS, SIZE, RingCamera, person_frames, ring_camera

# What the data sets' documentation says, in words.
ORDER = (
    *("neck", "nose", "body centre"),
    *("left shoulder", "left elbow", "left wrist", "left hip", "left knee", "left ankle"),
    *("right shoulder", "right elbow", "right wrist", "right hip", "right knee", "right ankle"),
    *("left eye", "left ear", "right eye", "right ear"),
)
_WORDS = {"L": "left ", "R": "right "}
DOWN = np.diag([1.0, -1, -1])  # between their world, Y down, and ours
FRAMES = [3, 4, 7]


def word(name: str) -> str:
    """What a point of coco17 is called there."""
    return "nose" if name == "Nose" else _WORDS[name[0]] + name[1:].lower()


def joints19(xyz: np.ndarray) -> np.ndarray:
    """(19, 3) centimetres, Y down, of points (17, 3) of coco17 in metres, Y up."""
    points = {word(name): xyz[i] for i, name in enumerate(COCO)}
    points["neck"] = (points["left shoulder"] + points["right shoulder"]) / 2
    points["body centre"] = (points["left hip"] + points["right hip"]) / 2
    return 100 * np.stack([points[name] for name in ORDER]) @ DOWN


def pose_there(camera: RingCamera) -> tuple[np.ndarray, np.ndarray]:
    """R (3, 3), t (3, 1) centimetres: x_cam = R x + t of their world."""
    return camera.R @ DOWN, 100 * camera.t[:, None]


CAMERAS = {0: ring_camera(0.0), 1: ring_camera(1.1), 30: ring_camera(3.3)}
HIDDEN = {1: "right wrist"}  # camera -> what it does not see, though it is in the picture


# MTC


def mtc_entry(sequence: str, frame: int, xyz: np.ndarray, numpy: bool) -> dict[str, Any]:
    landmarks = joints19(xyz).ravel()
    flags = {
        camera: {
            "insideImg": [True] * 19,
            "occluded": [int(name == HIDDEN.get(camera)) for name in ORDER],
        }
        for camera in CAMERAS
    }
    hand = {"landmarks": [0.0] * 63, "2D": {0: {"insideImg": [1] * 21, "occluded": [0] * 21}}}
    return {
        "seqName": sequence,
        "frame_str": f"{frame:08d}",
        "id": 0,
        "body": {"landmarks": landmarks if numpy else landmarks.tolist(), "2D": flags},
        "left_hand": hand,
    }


def write_mtc(folder: Path, protocol: int, lens: np.ndarray = LENS) -> None:
    """Two sequences, one of them for testing; an entry has hands alone."""
    walk, test = (person_frames(len(FRAMES), seed) for seed in (1, 2))
    training = [mtc_entry("171026_pose1", f, p, False) for f, p in zip(FRAMES, walk, strict=True)]
    testing = [mtc_entry("171204_pose5", f, p, True) for f, p in zip(FRAMES, test, strict=True)]
    hands = {key: value for key, value in training[0].items() if key != "body"}
    content = {"training_data": [*training[::-1], hands], "testing_data": testing}
    (folder / "annotation.pkl").write_bytes(pickle.dumps(content, protocol))
    rig = {}
    for number, camera in CAMERAS.items():
        R, t = pose_there(camera)
        rig[number] = {"K": camera.K, "R": R, "t": t, "distCoef": lens}
    cameras = {"171026_pose1": rig, "171204_pose5": rig}
    (folder / "camera_data.pkl").write_bytes(pickle.dumps(cameras, protocol))


@pytest.fixture(params=[2, pickle.HIGHEST_PROTOCOL])
def mtc(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    folder = tmp_path / "mtc"
    folder.mkdir()
    write_mtc(folder, request.param)
    return folder


def test_mtc_rows_are_opencv_s_numbers(mtc: Path, tmp_path: Path) -> None:
    made = convert_panoptic(mtc, tmp_path / "rows", processes=1)
    assert (made.rows, made.dropped, len(made.shards)) == (2 * 3 * 3, 0, 6)
    for sequence, seed in (("171026_pose1", 1), ("171204_pose5", 2)):
        true = person_frames(len(FRAMES), seed)
        for number, camera in CAMERAS.items():
            rows = read_shard(tmp_path / "rows" / f"{sequence}.00_{number:02d}.npz")
            np.testing.assert_allclose(rows["xyz"], camera.axes(true), atol=1e-9)
            np.testing.assert_allclose(rows["projected_2d"], camera.pixels(true), atol=1e-6)
            np.testing.assert_allclose(rows["camera_R"], np.tile(camera.R, (3, 1, 1)), atol=1e-12)
            assert rows["frame"].tolist() == FRAMES  # sorted, however they were listed
            np.testing.assert_allclose(rows["time_s"], np.array(FRAMES) * 1001 / 30000)
            assert rows["size"].tolist() == [list(SIZE)] * 3
            assert str(rows["data_set"]) == "CMU MTC"
            assert np.isnan(rows["pose_2d"]).all()
            assert np.isnan(rows["corrupted"]).all()
            assert (rows["visibility"] == 0).all()
    assert any("hands only" in note for note in made.notes)
    assert any("non-commercial" in note for note in made.notes)


def test_mtc_says_what_is_hidden(mtc: Path, tmp_path: Path) -> None:
    convert_panoptic(mtc, tmp_path / "rows", processes=1)
    for number in CAMERAS:
        rows = read_shard(tmp_path / "rows" / f"171026_pose1.00_{number:02d}.npz")
        hidden = [word(name) == HIDDEN.get(number) for name in COCO]
        np.testing.assert_array_equal(rows["true_visibility"], np.tile(~np.array(hidden), (3, 1)))


def test_a_frame_without_flags_of_a_camera_is_unknown_there(tmp_path: Path) -> None:
    write_mtc(tmp_path, 4)
    content = pickle.loads((tmp_path / "annotation.pkl").read_bytes())
    del content["testing_data"][1]["body"]["2D"][1]
    (tmp_path / "annotation.pkl").write_bytes(pickle.dumps(content))
    convert_panoptic(tmp_path, tmp_path / "rows", processes=1, views=["00_01"])
    seen = read_shard(tmp_path / "rows" / "171204_pose5.00_01.npz")["true_visibility"]
    assert np.isnan(seen[1]).all()
    assert np.isfinite(seen[[0, 2]]).all()


def test_the_world_is_y_up_and_left_stays_left(mtc: Path, tmp_path: Path) -> None:
    convert_panoptic(mtc, tmp_path / "rows", processes=1)
    for path in shard_paths(tmp_path / "rows"):
        rows = read_shard(path)
        at = {name: rows["ground_truth"][:, i] for i, name in enumerate(COCO)}
        world = {name: np.einsum("nji,nj->ni", rows["camera_R"], p) for name, p in at.items()}
        assert (world["Nose"][:, 1] > world["LAnkle"][:, 1] + 2).all()  # lengths of the torso
        assert (np.linalg.det(rows["camera_R"]) > 0.999).all()
        # Left x up = ahead: a mirror image has ahead behind. The person faces their nose.
        left = world["LShoulder"] - world["RShoulder"]
        ahead = np.cross(left, [0, 1.0, 0])
        ears = (world["LEar"] + world["REar"]) / 2
        assert ((world["Nose"] - ears) * ahead).sum(axis=1).min() > 0
        # The arm that is held up is the left one, the camera at 0 has it on the picture's right.
        assert (world["LWrist"][:, 1] > world["RWrist"][:, 1] + 0.5).all()
    front = read_shard(tmp_path / "rows" / "171026_pose1.00_00.npz")["projected_2d"]
    assert (front[:, COCO.index("LWrist"), 0] > front[:, COCO.index("RWrist"), 0] + 100).all()


def test_every_point_has_its_own_name(tmp_path: Path) -> None:
    # Each point of the 19 at its number: a wrong order shows, 16 and 17 exchanged among them.
    write_mtc(tmp_path, 2)
    content = pickle.loads((tmp_path / "annotation.pkl").read_bytes())
    numbers = np.arange(19)
    told = np.stack([numbers * 10.0, numbers * 7.0 % 50, numbers * 3.0 % 20], axis=1)
    content["testing_data"][0]["body"]["landmarks"] = told.ravel().tolist()
    (tmp_path / "annotation.pkl").write_bytes(pickle.dumps(content))
    convert_panoptic(tmp_path, tmp_path / "rows", processes=1, views=["00_00"])
    rows = read_shard(tmp_path / "rows" / "171204_pose5.00_00.npz")
    world = (rows["xyz"][0] - CAMERAS[0].t) @ CAMERAS[0].R  # R' (x - t)
    for name, point in zip(COCO, world, strict=True):
        np.testing.assert_allclose(100 * DOWN @ point, told[ORDER.index(word(name))], atol=1e-9)
    assert ORDER.index("left ear") == 16
    assert ORDER.index("right eye") == 17


def test_annotations_may_lie_in_a_folder_of_their_own(mtc: Path, tmp_path: Path) -> None:
    (mtc / "annotation").mkdir()
    for name in ("annotation.pkl", "camera_data.pkl"):
        shutil.move(mtc / name, mtc / "annotation" / name)
    assert convert_panoptic(mtc, tmp_path / "rows", processes=1).rows == 18


class Attack:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch attacked",)  # in the current folder


@pytest.mark.parametrize("protocol", [2, pickle.HIGHEST_PROTOCOL])
@pytest.mark.parametrize("name", ["annotation.pkl", "camera_data.pkl"])
def test_hostile_pickles_are_refused_and_not_run(
    tmp_path: Path, name: str, protocol: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_mtc(tmp_path, protocol)
    content = pickle.loads((tmp_path / name).read_bytes())
    (tmp_path / name).write_bytes(pickle.dumps({**content, "x": Attack()}, protocol))
    with pytest.raises(InputError, match=r"system.*Next:") as caught:
        convert_panoptic(tmp_path, tmp_path / "rows", processes=1)
    assert str(tmp_path / name) in str(caught.value)
    assert not (tmp_path / "attacked").exists()
    pickle.loads((tmp_path / name).read_bytes())  # the control: who runs it is attacked
    assert (tmp_path / "attacked").exists()


def _first(content: dict[str, Any]) -> dict[str, Any]:
    return content["training_data"][0]  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c.pop("testing_data"), "testing_data is not a list"),
        (lambda c: _first(c).update(seqName="../x"), "no plain name"),
        (lambda c: _first(c).update(seqName=7), "no plain name"),
        (lambda c: _first(c).update(frame_str=12), "frame_str"),
        (lambda c: _first(c).update(id="a"), "an id"),
        (lambda c: _first(c).update(body=[]), "not a dict"),
        (lambda c: _first(c)["body"].update(landmarks=[1.0] * 54), "57 numbers"),
        (lambda c: _first(c)["body"].update(landmarks=["x"] * 57), "57 numbers"),
        (lambda c: _first(c)["body"]["2D"].update({0: 1}), "flags"),
        (lambda c: _first(c)["body"]["2D"].update({0: {"insideImg": [1]}}), "19 numbers"),
        (lambda c: _first(c)["body"]["2D"].update({"x": {}}), "not 0 to 30"),
        (lambda c: _first(c).update(seqName="unknown"), "no cameras of unknown"),
    ],
)
def test_damaged_annotations_are_refused(tmp_path: Path, change: Any, reason: str) -> None:
    write_mtc(tmp_path, 4)
    content = pickle.loads((tmp_path / "annotation.pkl").read_bytes())
    change(content)
    (tmp_path / "annotation.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=reason):
        convert_panoptic(tmp_path, tmp_path / "rows", processes=1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"R": np.diag([1.0, 1, -1])}, "00_00.*mirrors"),
        ({"K": None}, "00_00.*camera matrix"),
        ({"t": np.zeros(2)}, "00_00.*translation"),
        ({"distCoef": np.full(5, np.nan)}, "00_00.*distortion"),
    ],
)
def test_damaged_cameras_are_refused(tmp_path: Path, change: dict[str, Any], reason: str) -> None:
    write_mtc(tmp_path, 4)
    content = pickle.loads((tmp_path / "camera_data.pkl").read_bytes())
    content["171026_pose1"][0].update(change)
    (tmp_path / "camera_data.pkl").write_bytes(pickle.dumps(content))
    with pytest.raises(InputError, match=reason) as caught:
        convert_panoptic(tmp_path, tmp_path / "rows", processes=1)
    assert "camera_data.pkl" in str(caught.value)


# Panoptic

SEQUENCE = "160906_pizza1"
OTHER = np.array([0.9, 0, 0.3])  # where the second person is


def scene_json(bodies: dict[int, np.ndarray], frame: int) -> dict[str, Any]:
    """bodies: id -> (17, 3) metres, Y up."""
    listed = []
    for number, xyz in bodies.items():
        joints = np.concatenate([joints19(xyz), np.full((19, 1), 0.6)], axis=1)
        listed.append({"id": number, "joints19": joints.ravel().tolist()})
    clock = 1000 * (50 + frame * 1001 / 30000)
    return {"version": 0.7, "univTime": clock, "fpsType": "hd_29_97", "bodies": listed}


def write_panoptic(folder: Path, name: str = SEQUENCE, lens: np.ndarray = LENS) -> Path:
    sequence = folder / name
    poses = sequence / "hdPose3d_stage1_coco19"
    poses.mkdir(parents=True)
    xyz = person_frames(len(FRAMES), 4)
    for frame, points in zip(FRAMES, xyz, strict=True):
        bodies = {1: points + OTHER, 0: points}
        content = scene_json(bodies if frame != 4 else {}, frame)
        (poses / f"body3DScene_{frame:08d}.json").write_text(json.dumps(content))
    cameras = []
    for number, camera in CAMERAS.items():
        R, t = pose_there(camera)
        cameras.append({
            "name": f"00_{number:02d}", "type": "hd", "resolution": list(SIZE), "panel": 0,
            "node": number, "K": camera.K.tolist(), "distCoef": lens.tolist(), "R": R.tolist(),
            "t": t.tolist(),
        })  # fmt: skip
    vga = {**cameras[0], "name": "01_01", "type": "vga", "panel": 1, "resolution": [640, 480]}
    listed = {"calibDataSource": "x", "cameras": [vga, *cameras]}
    (sequence / f"calibration_{name}.json").write_text(json.dumps(listed))
    return sequence


@pytest.fixture
def panoptic(tmp_path: Path) -> Path:
    return write_panoptic(tmp_path / "data")


def change_scene(sequence: Path, frame: int, change: Any) -> Path:
    path = sequence / "hdPose3d_stage1_coco19" / f"body3DScene_{frame:08d}.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return path


def test_a_frame_that_changed_in_the_only_sequence(panoptic: Path, tmp_path: Path) -> None:
    assert convert_panoptic(panoptic, tmp_path / "rows", processes=1).rows == 3 * 4
    change_scene(panoptic, 3, lambda content: content["bodies"].pop())
    made = convert_panoptic(panoptic, tmp_path / "rows", processes=1)
    assert (made.kept, made.rows) == (0, 3 * 3)


@pytest.mark.parametrize("level", ["sequence", "data set"])
def test_panoptic_rows_are_opencv_s_numbers(panoptic: Path, tmp_path: Path, level: str) -> None:
    folder = panoptic if level == "sequence" else panoptic.parent
    made = convert_panoptic(folder, tmp_path / "rows", processes=1)
    names = [f"{SEQUENCE}.00_{number:02d}.npz" for number in CAMERAS]
    assert [path.name for path in shard_paths(tmp_path / "rows")] == names
    assert (made.rows, made.dropped) == (3 * 4, 0)
    first, _, last = person_frames(len(FRAMES), 4)
    true = np.stack([first + OTHER, first, last + OTHER, last])  # as the files have them
    for number, camera in CAMERAS.items():
        rows = read_shard(tmp_path / "rows" / f"{SEQUENCE}.00_{number:02d}.npz")
        assert rows["frame"].tolist() == [3, 3, 7, 7]
        assert rows["person"].tolist() == [1, 0, 1, 0]
        np.testing.assert_allclose(rows["xyz"], camera.axes(true), atol=1e-9)
        np.testing.assert_allclose(rows["projected_2d"], camera.pixels(true), atol=1e-6)
        np.testing.assert_allclose(rows["time_s"], 50 + np.array([3, 3, 7, 7]) * 1001 / 30000)
        assert str(rows["data_set"]) == "CMU Panoptic"


def test_the_lens_counts(panoptic: Path, tmp_path: Path) -> None:
    # The control of the tests above: without the lens, pixels would be elsewhere.
    convert_panoptic(panoptic, tmp_path / "rows", processes=1)
    rows = read_shard(tmp_path / "rows" / f"{SEQUENCE}.00_00.npz")
    plain = CAMERAS[0].pixels(person_frames(len(FRAMES), 4)[0], NO_LENS)
    assert np.linalg.norm(rows["projected_2d"][1] - plain, axis=-1).max() > 1


def test_points_without_confidence_are_missing(panoptic: Path, tmp_path: Path) -> None:
    def unsure(content: dict[str, Any]) -> None:
        first, second = (body["joints19"] for body in content["bodies"])
        first[4 * ORDER.index("left wrist") + 3] = 0.09
        first[4 * ORDER.index("left ear") + 3] = -1
        second[4 * ORDER.index("right hip") + 3] = -1

    change_scene(panoptic, 3, unsure)
    made = convert_panoptic(panoptic, tmp_path / "rows", processes=1)
    assert (made.rows, made.dropped) == (3 * 3, 3)
    rows = read_shard(tmp_path / "rows" / f"{SEQUENCE}.00_30.npz")
    assert rows["person"].tolist() == [1, 1, 0]
    missing = np.isnan(rows["ground_truth"]).all(axis=-1)
    assert {COCO[i] for i in np.flatnonzero(missing[0])} == {"LWrist", "LEar"}
    assert not missing[1:].any()
    np.testing.assert_array_equal(np.isnan(rows["projected_2d"]).all(axis=-1), missing)


def test_time_by_the_frame_rate_where_a_file_says_none(panoptic: Path, tmp_path: Path) -> None:
    change_scene(panoptic, 4, lambda content: content.pop("univTime"))
    convert_panoptic(panoptic, tmp_path / "rows", processes=1)
    rows = read_shard(tmp_path / "rows" / f"{SEQUENCE}.00_00.npz")
    np.testing.assert_allclose(rows["time_s"], np.array([3, 3, 7, 7]) * 1001 / 30000)


def test_a_sequence_without_anybody_gives_empty_shards(panoptic: Path, tmp_path: Path) -> None:
    for frame in FRAMES:
        change_scene(panoptic, frame, lambda content: content.update(bodies=[]))
    for kept in (0, 3):
        made = convert_panoptic(panoptic, tmp_path / "rows", processes=1)
        assert (made.rows, len(made.shards), made.kept) == (0, 3, kept)
    assert read_shard(shard_paths(tmp_path / "rows")[0])["xyz"].shape == (0, 17, 3)


def test_what_changed_is_made_again(panoptic: Path, tmp_path: Path) -> None:
    write_panoptic(panoptic.parent, "170407_haggling_a1")
    out = tmp_path / "rows"
    assert convert_panoptic(panoptic.parent, out, processes=1).kept == 0
    before = {path: path.stat().st_mtime_ns for path in shard_paths(out)}
    assert convert_panoptic(panoptic.parent, out, processes=1).kept == 6
    assert {path: path.stat().st_mtime_ns for path in shard_paths(out)} == before
    change_scene(panoptic, 3, lambda content: content["bodies"].pop())
    assert convert_panoptic(panoptic.parent, out, processes=1).kept == 3
    changed = {path.name for path, time in before.items() if path.stat().st_mtime_ns != time}
    assert all(name.startswith(SEQUENCE) for name in changed)


def test_two_processes_write_the_same_bytes(panoptic: Path, tmp_path: Path) -> None:
    write_mtc(tmp_path, 4)
    for data in (panoptic, tmp_path):
        for processes in (1, 2):
            out = tmp_path / f"rows{processes}"
            convert_panoptic(data, out, views=["00_00", "00_30"], processes=processes)
    one, two = (
        {p.name: p.read_bytes() for p in shard_paths(tmp_path / n)} for n in ("rows1", "rows2")
    )
    assert len(one) == 6
    assert one == two


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda c: c.pop("bodies"), '"bodies" is not a list'),
        (lambda c: c["bodies"][0].pop("id"), "no id"),
        (lambda c: c["bodies"][0].pop("joints19"), "76 numbers"),
        (lambda c: c["bodies"][0]["joints19"].pop(), "76 numbers"),
        (lambda c: c["bodies"][0].update(joints19=[10**400] * 76), "76 numbers"),
    ],
)
def test_damaged_scenes_are_refused(
    panoptic: Path, tmp_path: Path, change: Any, reason: str
) -> None:
    path = change_scene(panoptic, 7, change)
    with pytest.raises(InputError, match=reason) as caught:
        convert_panoptic(panoptic, tmp_path / "rows", processes=1)
    assert str(path) in str(caught.value)


def test_folders_that_lack_something(panoptic: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows"
    with pytest.raises(InputError, match="no such folder"):
        convert_panoptic(tmp_path / "nowhere", out)
    with pytest.raises(InputError, match=r"annotation\.pkl.*unpack"):
        convert_panoptic(tmp_path, out)
    with pytest.raises(InputError, match="no camera '00_05'"):
        convert_panoptic(panoptic, out, views=["00_05"])
    calibration = panoptic / f"calibration_{SEQUENCE}.json"
    content = json.loads(calibration.read_text())
    calibration.write_text(json.dumps({"cameras": content["cameras"][:1]}))
    with pytest.raises(InputError, match="no camera of type hd"):
        convert_panoptic(panoptic, out)
    calibration.unlink()
    with pytest.raises(InputError, match="download calibration_"):
        convert_panoptic(panoptic, out)
    shutil.rmtree(panoptic / "hdPose3d_stage1_coco19")
    (panoptic / "hdPose3d_stage1_coco19").mkdir()
    calibration.write_text(json.dumps(content))
    with pytest.raises(InputError, match="unpack"):
        convert_panoptic(panoptic, out, processes=1)
    write_mtc(tmp_path, 2)
    (tmp_path / "camera_data.pkl").unlink()
    with pytest.raises(InputError, match="camera_data"):
        convert_panoptic(tmp_path, out)


def test_the_command(panoptic: Path, tmp_path: Path) -> None:
    (panoptic.parent / "unpacked_not").mkdir()
    (panoptic.parent / "unpacked_not" / "calibration_unpacked_not.json").write_text("{}")

    def run(folder: Path) -> Any:
        rows = str(tmp_path / "rows")
        words = ["train", "convert", "panoptic", str(folder), "--out", rows, "--processes", "1"]
        return CliRunner().invoke(app, words)

    done = run(panoptic.parent)
    assert done.exit_code == 0, done.output
    assert "3 files (0 kept), 12 rows" in done.output
    assert "non-commercial" in done.output
    assert "unpacked_not" in done.output
    refused = run(tmp_path / "data" / "unpacked_not")
    assert refused.exit_code == 2
    assert "Next:" in refused.output
