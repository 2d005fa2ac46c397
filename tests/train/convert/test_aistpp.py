"""AIST++ to rows: OpenCV's numbers come back, what cannot be used is left out or refused."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from kinefit.cli.commands import app
from kinefit.detect.embedded import BlazePoseDetector
from kinefit.io.atomic import PARTIAL
from kinefit.io.video import Clip
from kinefit.skeletons import skeleton
from kinefit.train.convert.aistpp import VIEWS, convert_aistpp
from kinefit.train.convert.rows import FIELDS, read_shard, shard_paths
from kinefit.types import InputError

from .ring_scene import (
    COCO,
    NO_LENS,
    SIZE,
    RingCamera,
    person_frames,
    ring_camera,
    unit_torso_of,
)

PLAIN, IGNORED = "gHO_sBM_cAll_d19_mHO0_ch01", "gBR_sFM_cAll_d05_mBR5_ch14"
UNSYNCHRONISED, SMALL = "gBR_sBM_cAll_d04_mBR0_ch01", "gJB_sBM_cAll_d07_mJB3_ch05"
FRAMES = 5
CAMERAS = {view: ring_camera(0.7 * i) for i, view in enumerate(VIEWS)}
LENS = np.array([-0.05, 0.02, 0.0005, -0.0004, 0.01])


def write_cameras(path: Path, cameras: dict[str, RingCamera], lens: np.ndarray = LENS) -> None:
    """As aniposelib writes them."""
    content = [
        {
            "name": view,
            "size": list(SIZE),
            "matrix": camera.K.tolist(),
            "rotation": cv2.Rodrigues(camera.R)[0].ravel().tolist(),
            "translation": (100 * camera.t).tolist(),
            "distortions": lens.tolist(),
        }
        for view, camera in cameras.items()
    ]
    path.write_text(json.dumps(content))


def write_sequence(folder: Path, name: str, xyz: np.ndarray, protocol: int, seed: int = 3) -> None:
    """keypoints3d and keypoints2d of one sequence. xyz: (N, 17, 3) metres."""
    content = {"keypoints3d": 100 * xyz + 7, "keypoints3d_optim": 100 * xyz}
    (folder / "keypoints3d" / f"{name}.pkl").write_bytes(pickle.dumps(content, protocol))
    rng = np.random.default_rng(seed)
    true = np.stack([camera.pixels(xyz, LENS) for camera in CAMERAS.values()])
    found = true + rng.normal(0, 3, true.shape)
    score = rng.uniform(0.1, 1, (*true.shape[:3], 1))
    detected = {
        "keypoints2d": np.concatenate([found, score], axis=-1).astype(np.float32),
        "det_scores": np.ones(true.shape[:2], np.float32),
        "timestamps": (np.arange(len(xyz)) * 1e6 / 60).astype(np.int64),
    }
    (folder / "keypoints2d" / f"{name}.pkl").write_bytes(pickle.dumps(detected, protocol))


@pytest.fixture(scope="module")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("aist")
    for name in ("keypoints3d", "keypoints2d", "cameras"):
        (folder / name).mkdir()
    sequences = (PLAIN, IGNORED, UNSYNCHRONISED, SMALL)
    for i, name in enumerate(sequences):
        protocol = (2, pickle.HIGHEST_PROTOCOL)[i % 2]
        write_sequence(folder, name, person_frames(FRAMES, seed=i), protocol)
    write_cameras(folder / "cameras" / "setting1.json", CAMERAS)
    listed = "".join(f"{name} setting1\n" for name in (*sequences, "gXX_not_downloaded"))
    (folder / "cameras" / "mapping.txt").write_text(listed)
    (folder / "ignore_list.txt").write_text(IGNORED + "\n")
    return folder


@pytest.fixture
def aist(made_once: Path, tmp_path: Path) -> Path:
    """A copy of the annotations, to be changed."""
    return Path(shutil.copytree(made_once, tmp_path / "aist"))


@pytest.fixture(scope="module")
def converted(made_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("rows")
    convert_aistpp(made_once, out, processes=1)
    return out


def of(folder: Path, sequence: str, view: str) -> dict[str, np.ndarray]:
    return read_shard(folder / f"{sequence}.{view}.npz")


def only(aist: Path, *sequences: str) -> Path:
    """The same annotations with these sequences alone."""
    for file in aist.glob("keypoints?d/*.pkl"):
        if file.stem not in sequences:
            file.unlink()
    return aist


@pytest.mark.parametrize(("sequence", "seed"), [(PLAIN, 0), (SMALL, 3)])  # protocol 2, the latest
@pytest.mark.parametrize("view", ["c01", "c04"])
def test_rows_are_opencv_s_numbers(converted: Path, sequence: str, seed: int, view: str) -> None:
    rows, camera = of(converted, sequence, view), CAMERAS[view]
    true = person_frames(FRAMES, seed)
    np.testing.assert_allclose(rows["xyz"], camera.axes(true), atol=1e-9)
    np.testing.assert_allclose(rows["projected_2d"], camera.pixels(true, LENS), atol=1e-6)
    for row, points in enumerate(camera.axes(true)):
        unit, length = unit_torso_of(points)
        np.testing.assert_allclose(rows["ground_truth"][row], unit, atol=1e-9)
        assert rows["gt_scale"][row] == pytest.approx(length)
    np.testing.assert_allclose(rows["camera_R"], np.tile(camera.R, (FRAMES, 1, 1)), atol=1e-9)
    np.testing.assert_allclose(rows["K"], np.tile(camera.K, (FRAMES, 1, 1)))
    np.testing.assert_allclose(rows["distortion"][:, :5], np.tile(LENS, (FRAMES, 1)))
    assert rows["size"].tolist() == [list(SIZE)] * FRAMES
    assert set(rows["sequence"]) == {sequence}
    assert set(rows["view"]) == {view}
    assert rows["frame"].tolist() == list(range(FRAMES))
    np.testing.assert_allclose(rows["time_s"], np.arange(FRAMES) / 60)
    assert str(rows["data_set"]) == "AIST++"


def test_the_lens_counts(converted: Path) -> None:
    # The control of the test above: without the lens, pixels would be elsewhere.
    true = person_frames(FRAMES)
    plain = CAMERAS["c01"].pixels(true, NO_LENS)
    away = np.linalg.norm(of(converted, PLAIN, "c01")["projected_2d"] - plain, axis=-1)
    assert away.max() > 0.5


def test_detections_are_those_of_the_view(converted: Path, made_once: Path) -> None:
    rows = of(converted, PLAIN, "c03")
    stored = pickle.loads((made_once / "keypoints2d" / f"{PLAIN}.pkl").read_bytes())
    np.testing.assert_array_equal(rows["pose_2d"], stored["keypoints2d"][2, ..., :2])
    np.testing.assert_array_equal(rows["visibility"], stored["keypoints2d"][2, ..., 2])
    assert np.isnan(rows["corrupted"]).all()
    assert np.isnan(rows["true_visibility"]).all()  # all inside; hidden or not, nobody says


def test_every_field_is_there_in_its_shape(converted: Path) -> None:
    rows = of(converted, PLAIN, "c01")
    assert set(rows) == {*FIELDS, "data_set"}
    for name, (shape, kind, _) in FIELDS.items():
        assert rows[name].shape == (FRAMES, *shape), name
        assert rows[name].dtype.kind == kind, name


def test_what_the_data_set_s_own_code_leaves_out(converted: Path, made_once: Path) -> None:
    names = {path.name for path in shard_paths(converted)}
    assert not any(IGNORED in name for name in names)
    assert f"{UNSYNCHRONISED}.c05.npz" not in names
    assert f"{UNSYNCHRONISED}.c06.npz" in names
    assert f"{PLAIN}.c05.npz" in names
    assert len(names) == 3 * 9 - 1
    notes = " ".join(convert_aistpp(made_once, converted, processes=1).notes)
    assert "1 sequences of ignore_list.txt" in notes
    assert "c05" in notes
    assert "CC BY 4.0" in notes


def test_the_small_view_has_its_own_size_and_pixels(converted: Path) -> None:
    rows = of(converted, SMALL, "c07")
    assert rows["size"].tolist() == [[640, 480]] * FRAMES
    whole = CAMERAS["c07"].pixels(person_frames(FRAMES, seed=3), LENS)
    # The centre of the first pixel is at 0: edges, at -0.5, go to edges.
    small = (whole + 0.5) * [640 / 1920, 480 / 1080] - 0.5
    np.testing.assert_allclose(rows["projected_2d"], small, atol=1e-6)
    assert of(converted, SMALL, "c06")["size"][0].tolist() == list(SIZE)
    assert of(converted, PLAIN, "c07")["size"][0].tolist() == list(SIZE)


def test_missing_points_and_people(aist: Path, tmp_path: Path) -> None:
    path = only(aist, PLAIN) / "keypoints3d" / f"{PLAIN}.pkl"
    content = pickle.loads(path.read_bytes())
    points = content["keypoints3d_optim"]
    points[1, COCO.index("LWrist")] = np.nan  # a point
    points[2, COCO.index("RHip")] = np.nan  # a hip
    points[3, COCO.index("LShoulder"), 1] = np.inf  # a shoulder
    path.write_bytes(pickle.dumps(content))
    detected = aist / "keypoints2d" / f"{PLAIN}.pkl"
    found = pickle.loads(detected.read_bytes())
    found["keypoints2d"][0, 0] = np.nan  # nobody
    found["keypoints2d"][0, 1, 5] = [0, 0, 0]
    found["keypoints2d"][0, 4, 6, 2] = 1.7
    detected.write_bytes(pickle.dumps(found))
    made = convert_aistpp(aist, tmp_path / "rows", views=["c01"], processes=1)
    assert (made.rows, made.dropped) == (FRAMES - 2, 2)
    rows = of(tmp_path / "rows", PLAIN, "c01")
    assert rows["frame"].tolist() == [0, 1, 4]
    wrist = COCO.index("LWrist")
    for name in ("ground_truth", "xyz", "projected_2d", "true_visibility"):
        assert np.isnan(rows[name][1, wrist]).all(), name
        assert np.isfinite(rows[name][[0, 2], wrist]).all() or name == "true_visibility", name
    assert np.isnan(rows["pose_2d"][0]).all()
    assert (rows["visibility"][0] == 0).all()
    assert np.isnan(rows["pose_2d"][1, 5]).all()
    assert rows["visibility"][1, 5] == 0
    assert rows["visibility"][2, 6] == 1


def test_the_triangulated_points_where_there_are_no_optimised_ones(
    aist: Path, tmp_path: Path
) -> None:
    path = only(aist, PLAIN) / "keypoints3d" / f"{PLAIN}.pkl"
    content = pickle.loads(path.read_bytes())
    del content["keypoints3d_optim"]
    path.write_bytes(pickle.dumps(content))
    convert_aistpp(aist, tmp_path / "rows", views=["c02"], processes=1)
    true = CAMERAS["c02"].axes(person_frames(FRAMES) + 0.07)
    np.testing.assert_allclose(of(tmp_path / "rows", PLAIN, "c02")["xyz"], true, atol=1e-9)


def test_without_keypoints2d_nothing_is_detected(aist: Path, tmp_path: Path) -> None:
    shutil.rmtree(only(aist, PLAIN) / "keypoints2d")
    made = convert_aistpp(aist, tmp_path / "rows", views=["c01"], processes=1)
    rows = of(tmp_path / "rows", PLAIN, "c01")
    assert np.isnan(rows["pose_2d"]).all()
    assert (rows["visibility"] == 0).all()
    assert any("keypoints2d" in note for note in made.notes)


def test_points_out_of_the_picture_are_known_to_be_unseen(aist: Path, tmp_path: Path) -> None:
    xyz = person_frames(FRAMES)
    xyz[:, COCO.index("LAnkle")] += [9, 0, 0]
    write_sequence(only(aist, PLAIN), PLAIN, xyz, 4)
    convert_aistpp(aist, tmp_path / "rows", views=["c01"], processes=1)
    seen = of(tmp_path / "rows", PLAIN, "c01")["true_visibility"]
    assert (seen[:, COCO.index("LAnkle")] == 0).all()
    assert np.isnan(np.delete(seen, COCO.index("LAnkle"), axis=1)).all()


# Resuming


def stamps(folder: Path) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in shard_paths(folder)}


def test_what_is_there_is_kept_and_what_changed_is_made_again(aist: Path, tmp_path: Path) -> None:
    out, views = tmp_path / "rows", ["c01", "c02"]
    only(aist, PLAIN, UNSYNCHRONISED)
    first = convert_aistpp(aist, out, views=views, processes=1)
    assert (len(first.shards), first.kept) == (4, 0)
    before = stamps(out)
    again = convert_aistpp(aist, out, views=views, processes=1)
    assert (again.kept, again.rows) == (4, first.rows)
    assert stamps(out) == before
    # Another view is made beside them; other points of one sequence concern its shards alone.
    assert convert_aistpp(aist, out, views=[*views, "c03"], processes=1).kept == 4
    write_sequence(aist, PLAIN, person_frames(FRAMES, seed=9), 4)
    assert convert_aistpp(aist, out, views=views, processes=1).kept == 2
    changed = {name for name, stamp in stamps(out).items() if before.get(name) not in (None, stamp)}
    assert changed == {f"{PLAIN}.c01.npz", f"{PLAIN}.c02.npz"}
    # Another camera, too.
    cameras = {**CAMERAS, "c01": ring_camera(0.1)}
    write_cameras(aist / "cameras" / "setting1.json", cameras)
    assert convert_aistpp(aist, out, views=views, processes=1).kept == 2


def test_a_shard_that_is_damaged_or_gone_is_made_again(aist: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows"
    only(aist, PLAIN)
    convert_aistpp(aist, out, views=["c01", "c02", "c03"], processes=1)
    whole = {path.name: path.read_bytes() for path in shard_paths(out)}
    damaged, gone, _ = shard_paths(out)
    damaged.write_bytes(damaged.read_bytes()[:500])
    gone.unlink()
    assert convert_aistpp(aist, out, views=["c01", "c02", "c03"], processes=1).kept == 1
    assert {path.name: path.read_bytes() for path in shard_paths(out)} == whole


def test_a_run_that_was_killed_goes_on(aist: Path, tmp_path: Path) -> None:
    out = tmp_path / "rows"
    only(aist, PLAIN)
    # Killed while the third shard is half written.
    script = f"""
import os, signal
from pathlib import Path
import numpy as np
from kinefit.train.convert.aistpp import convert_aistpp
write, count = np.savez_compressed, 0
def killed(stream, **arrays):
    global count
    count += 1
    if count == 3:
        stream.write(b"PK half a shard")
        stream.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    write(stream, **arrays)
np.savez_compressed = killed
convert_aistpp(Path({str(aist)!r}), Path({str(out)!r}), processes=1)
"""
    done = subprocess.run([sys.executable, "-c", script], check=False)
    assert done.returncode == -signal.SIGKILL
    before = stamps(out)
    assert len(before) == 2
    assert list(out.glob(f"{PARTIAL}*"))  # is no shard
    made = convert_aistpp(aist, out, processes=1)
    assert (len(made.shards), made.kept) == (9, 2)
    after = stamps(out)
    assert len(after) == 9
    assert before.items() <= after.items()


def test_two_processes_write_the_same_bytes(made_once: Path, tmp_path: Path) -> None:
    for out, processes in (("one", 1), ("two", 2)):
        convert_aistpp(made_once, tmp_path / out, views=["c01", "c07"], processes=processes)
    one, two = ({p.name: p.read_bytes() for p in shard_paths(tmp_path / n)} for n in ("one", "two"))
    assert len(one) == 6
    assert one == two


# Refusals


class Attack:
    def __reduce__(self) -> tuple[object, ...]:
        return os.system, ("touch attacked",)  # in the current folder


@pytest.mark.parametrize(
    ("folder", "protocol", "processes"),
    [
        ("keypoints3d", 2, 1),
        ("keypoints3d", pickle.HIGHEST_PROTOCOL, 2),  # the error comes from another process
        ("keypoints2d", 2, 1),
        ("keypoints2d", pickle.HIGHEST_PROTOCOL, 1),
    ],
)
def test_a_hostile_pickle_is_refused_and_not_run(
    aist: Path,
    tmp_path: Path,
    folder: str,
    protocol: int,
    processes: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = only(aist, PLAIN) / folder / f"{PLAIN}.pkl"
    path.write_bytes(pickle.dumps({"keypoints3d": Attack(), "keypoints2d": 1}, protocol))
    with pytest.raises(InputError) as caught:
        convert_aistpp(aist, tmp_path / "rows", views=["c01", "c02"], processes=processes)
    assert str(path) in str(caught.value)
    assert "system" in str(caught.value)
    assert "Next:" in str(caught.value)
    assert not (tmp_path / "attacked").exists()
    pickle.loads(path.read_bytes())  # the control: who runs it is attacked
    assert (tmp_path / "attacked").exists()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"no pickle", "pickle"),
        (pickle.dumps([1]), "not a dict"),
        (pickle.dumps({"other": 1}), "neither"),
        (pickle.dumps({"keypoints3d": np.zeros((5, 25, 3))}), "17"),
        (pickle.dumps({"keypoints3d": "text"}), "something else"),
        (pickle.dumps({"keypoints3d": [[1], [1, 2]]}), "something else"),
    ],
)
def test_another_file_is_refused(aist: Path, tmp_path: Path, content: bytes, reason: str) -> None:
    path = only(aist, PLAIN) / "keypoints3d" / f"{PLAIN}.pkl"
    path.write_bytes(content)
    with pytest.raises(InputError, match=reason) as caught:
        convert_aistpp(aist, tmp_path / "rows", processes=1)
    assert str(path) in str(caught.value)


def test_whole_body_detections_and_other_lengths_are_refused(aist: Path, tmp_path: Path) -> None:
    path = only(aist, PLAIN) / "keypoints2d" / f"{PLAIN}.pkl"
    good = pickle.loads(path.read_bytes())
    nested = [[[np.zeros((133, 3))] for _ in range(FRAMES)] for _ in VIEWS]
    path.write_bytes(pickle.dumps({"keypoints2d": nested, "bboxes": [], "timestamps": []}))
    with pytest.raises(InputError, match="133"):
        convert_aistpp(aist, tmp_path / "rows", processes=1)
    path.write_bytes(pickle.dumps({**good, "keypoints2d": good["keypoints2d"][:, 1:]}))
    with pytest.raises(InputError, match="9 x 5 x 17 x 3 numbers are expected"):
        convert_aistpp(aist, tmp_path / "rows", processes=1)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda f: shutil.rmtree(f / "keypoints3d"), "no folder keypoints3d"),
        (lambda f: (f / "cameras" / "mapping.txt").unlink(), "mapping.txt"),
        (lambda f: (f / "cameras" / "mapping.txt").write_text(f"{PLAIN} ../../x\n"), "plain name"),
        (lambda f: (f / "cameras" / "mapping.txt").write_text(f"{PLAIN} a b\n"), "line 1"),
        (lambda f: (f / "cameras" / "mapping.txt").write_text("other setting1\n"), PLAIN),
        (lambda f: (f / "cameras" / "setting1.json").unlink(), "setting1.json"),
        (lambda f: (f / "cameras" / "setting1.json").write_text("[1]"), "list of objects"),
        (lambda f: (f / "cameras" / "setting1.json").write_text('[{"name": "c01"}]'), "c01"),
        (lambda f: (f / "ignore_list.txt").write_text(PLAIN), "no sequence to convert"),
    ],
)
def test_a_folder_that_lacks_something_is_refused(
    aist: Path, tmp_path: Path, change: object, reason: str
) -> None:
    only(aist, PLAIN)
    change(aist)  # type: ignore[operator]
    with pytest.raises(InputError, match=reason):
        convert_aistpp(aist, tmp_path / "rows", processes=1)


# The command


def run(*arguments: object) -> object:
    return CliRunner().invoke(app, ["train", "convert", "aistpp", *map(str, arguments)])


def test_the_command(aist: Path, tmp_path: Path) -> None:
    only(aist, PLAIN)
    arguments = (aist, "--out", tmp_path / "rows", "--views", "c01, c03", "--processes", 1)
    done = run(*arguments)
    assert done.exit_code == 0, done.output
    assert "2 files (0 kept), 10 rows" in done.output
    assert "CC BY 4.0" in done.output
    assert "2 files (2 kept), 10 rows" in run(*arguments).output
    assert [p.name for p in shard_paths(tmp_path / "rows")] == [
        f"{PLAIN}.c01.npz", f"{PLAIN}.c03.npz",
    ]  # fmt: skip
    wrong = run(aist, "--out", tmp_path / "rows", "--views", "c10")
    assert wrong.exit_code == 2
    assert "no camera 'c10'" in wrong.output
    assert "Next:" in wrong.output
    nowhere = run(tmp_path / "nothing", "--out", tmp_path / "rows")
    assert nowhere.exit_code == 2
    assert "keypoints3d" in nowhere.output


# With videos


BLAZE = skeleton("blazepose33").points


@pytest.fixture(scope="module")
def filmed(demo_clip: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the detector says of the clip's person: (F, 17, 2) pixels, (F, 17), (F, 17, 3)."""
    people = BlazePoseDetector(threads=1).people(Clip(demo_clip))
    at = [BLAZE.index(name) for name in COCO]
    assert {len(p) for p in people.points} == {1}
    points = np.stack([p[0, at] for p in people.points])
    return points[..., :2], points[..., 2], np.stack([b[0, at] for b in people.body])


def test_the_detector_s_points_and_3d_of_a_video(
    aist: Path, demo_clip: Path, filmed: tuple[np.ndarray, ...], tmp_path: Path
) -> None:
    xy, score, body = filmed
    videos = tmp_path / "videos"
    videos.mkdir()
    shutil.copy(demo_clip, videos / f"{PLAIN.replace('cAll', 'c02')}.mp4")
    width, height = (int(n) for n in Clip(demo_clip).probe().size)
    # A camera of twice the picture's size, and points where the person is, 4 m before it.
    camera = RingCamera(np.eye(3), np.zeros(3), CAMERAS["c02"].K)
    content = json.loads((aist / "cameras" / "setting1.json").read_text())
    for one in content:
        if one["name"] == "c02":
            one |= {"size": [2 * width, 2 * height], "rotation": [0, 0, 0], "distortions": []}
            one["translation"] = [0, 0, 0]
    (aist / "cameras" / "setting1.json").write_text(json.dumps(content))
    large = 2 * (xy + 0.5) - 0.5
    depth = 400 * np.ones((*xy.shape[:2], 1))
    rays = np.concatenate([large, np.ones_like(depth)], axis=-1) @ np.linalg.inv(camera.K).T
    points = (rays * depth)[: len(xy) - 3]  # the video goes on for some frames
    points[5] += [900, 0, 0]  # somebody else's place
    path = only(aist, PLAIN) / "keypoints3d" / f"{PLAIN}.pkl"
    path.write_bytes(pickle.dumps({"keypoints3d": points}))
    (aist / "keypoints2d" / f"{PLAIN}.pkl").unlink()
    made = convert_aistpp(aist, tmp_path / "rows", videos=videos, views=["c01", "c02"], processes=1)
    assert any("1 of 2 views have no video" in note for note in made.notes)
    rows = of(tmp_path / "rows", PLAIN, "c02")
    used = np.arange(len(points)) != 5
    np.testing.assert_allclose(rows["pose_2d"][used], large[: len(points)][used], atol=1e-6)
    np.testing.assert_allclose(rows["visibility"][used], score[: len(points)][used])
    for row in np.flatnonzero(used):
        unit, _ = unit_torso_of(body[row])
        np.testing.assert_allclose(rows["corrupted"][row], unit, atol=1e-9)
    assert np.isnan(rows["pose_2d"][5]).all()
    assert np.isnan(rows["corrupted"][5]).all()
    assert (rows["visibility"][5] == 0).all()
    without = of(tmp_path / "rows", PLAIN, "c01")
    assert np.isnan(without["corrupted"]).all()
    # Another video of that name: made again.
    again = convert_aistpp(aist, tmp_path / "rows", videos=videos, views=["c02"], processes=1)
    assert again.kept == 1
    (videos / f"{PLAIN.replace('cAll', 'c02')}.mp4").unlink()
    with pytest.raises(InputError, match="holds no videos"):
        convert_aistpp(aist, tmp_path / "rows", videos=videos, processes=1)
    shutil.copy(demo_clip, videos / "holiday.mp4")
    with pytest.raises(InputError, match="gHO_sBM_c01_d19_mHO0_ch01"):
        convert_aistpp(aist, tmp_path / "rows", videos=videos, processes=1)


def test_a_video_of_another_shape_is_refused(aist: Path, demo_clip: Path, tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    video = shutil.copy(demo_clip, videos / f"{PLAIN.replace('cAll', 'c01')}.mp4")
    content = json.loads((aist / "cameras" / "setting1.json").read_text())
    for one in content:
        one["size"] = [1440, 1080]
    (aist / "cameras" / "setting1.json").write_text(json.dumps(content))
    with pytest.raises(InputError, match="1440 x 1080") as caught:
        convert_aistpp(
            only(aist, PLAIN), tmp_path / "rows", videos=videos, views=["c01"], processes=1
        )
    assert str(video) in str(caught.value)
