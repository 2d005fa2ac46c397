"""A scene's files are a function of its options, and the truth is what the videos show."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinefit.body.anny import load_anny
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import intrinsics, project, to_camera
from kinefit.io.atomic import PARTIAL
from kinefit.io.calibration import read_calibration
from kinefit.io.video import frames
from kinefit.render.mesh import rasterise
from kinefit.synth import make
from kinefit.synth.body_points import body_points
from kinefit.synth.cameras import looking
from kinefit.synth.make import make_scene, make_scenes, scene_key
from kinefit.synth.motion_clip import MovingBody
from kinefit.synth.motion_library import motion_library
from kinefit.synth.painter import Prop
from kinefit.synth.scene import Scene, sample_scene
from kinefit.synth.scene_options import SynthOptions
from kinefit.synth.scene_renderer import RenderedFrame, SceneRenderer
from kinefit.synth.truth import CLAIM, SceneTruth, Visibility, read_manifest, read_truth
from kinefit.types import Camera, InputError

SIZE = (96, 128)
OPTIONS = SynthOptions(
    views=2, seconds=0.24, rate=25, width=96, height=128, handheld=True, lens=True,
    clock_offset=0.1, calibration_turn=0.3, shutter=0.5, seed=3, mix=False, clip="walk",
    children=0,
)  # fmt: skip
FILES = {"cam01.mp4", "cam02.mp4", "calibration.toml", "truth.npz", "scene.json"}


@pytest.fixture(scope="module")
def scene() -> Scene:
    return sample_scene(OPTIONS, 0, load_anny(), motion_library(None))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made by one process; frames in two lots, so that two processes have one each."""
    out = tmp_path_factory.mktemp("synth") / "scene"
    told: list[tuple[int, int]] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(make, "_CHUNK", 3)
        made = make_scenes(out, OPTIONS, processes=1, progress=lambda _, k, n: told.append((k, n)))
    assert made == [out]
    assert told == [(k, 6) for k in range(1, 7)]
    return out


@pytest.fixture(scope="module")
def truth(folder: Path) -> SceneTruth:
    return read_truth(folder)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_again_and_with_two_processes_gives_the_same_bytes(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "_CHUNK", 3)
    make_scenes(tmp_path / "two", OPTIONS, processes=2)
    first, two = contents(folder), contents(tmp_path / "two")
    assert set(first) == FILES
    assert [name for name in FILES if first[name] != two[name]] == []


@pytest.mark.parametrize("own_picture", [False, True])
def test_a_frame_does_not_depend_on_what_was_drawn_before(
    scene: Scene, tmp_path: Path, own_picture: bool
) -> None:
    """Which process draws which frames is chance; cameras sway, so each frame is another."""
    image = np.random.default_rng(0).integers(0, 256, (128, 96, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "own.png"), image)
    if own_picture:
        room = replace(scene.room, kind="picture", picture=str(tmp_path / "own.png"))
        scene = replace(scene, room=room)
    alone = SceneRenderer(scene, load_anny()).render(2, 1)[0]
    after = SceneRenderer(scene, load_anny()).render(0, 3)[2]
    for one, two in zip(alone, after, strict=True):
        np.testing.assert_array_equal(one.picture, two.picture)
        np.testing.assert_array_equal(one.visibility, two.visibility)


def test_other_seeds_give_other_bytes(folder: Path, scene: Scene, tmp_path: Path) -> None:
    other = replace(scene, number=1)  # the same scene: only the noise is another
    make_scene(other, tmp_path / "other", processes=1)
    first, second = contents(folder), contents(tmp_path / "other")
    assert first["cam01.mp4"] != second["cam01.mp4"]
    assert first["truth.npz"] == second["truth.npz"]
    assert first["calibration.toml"] == second["calibration.toml"]


def test_what_is_there_stays_and_nothing_is_drawn_again(folder: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    make_scenes(folder, OPTIONS, processes=1)
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_several_scenes_have_a_folder_each_and_only_lacking_ones_are_made(tmp_path: Path) -> None:
    options = OPTIONS.model_copy(update={"views": 1, "seconds": 0.04})
    told: list[tuple[int, int]] = []

    def made() -> list[Path]:
        told.clear()
        return make_scenes(
            tmp_path,
            options,
            2,
            processes=1,
            progress=lambda _, done, total: told.append((done, total)),
        )

    folders = made()
    assert [folder.name for folder in folders] == ["scene_00000", "scene_00001"]
    assert told == [(1, 2), (2, 2)]
    assert [read_manifest(folder)["scene"] for folder in folders] == [0, 1]
    first = contents(folders[0])
    assert first["truth.npz"] != contents(folders[1])["truth.npz"]
    (folders[0] / "scene.json").rename(folders[0] / CLAIM)
    kept = (folders[1] / "cam01.mp4").stat().st_mtime_ns
    made()
    assert told == [(2, 2)]
    assert contents(folders[0]) == first
    assert (folders[1] / "cam01.mp4").stat().st_mtime_ns == kept


@pytest.fixture
def copy(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "copy"))


def test_a_run_that_was_killed_is_made_again(
    folder: Path, copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(make, "_CHUNK", 3)
    (copy / "scene.json").rename(copy / CLAIM)
    (copy / "cam02.mp4").unlink()
    (copy / f"{PARTIAL}x1y2.mp4").write_bytes(b"half a video")
    make_scenes(copy, OPTIONS, processes=1)
    assert contents(copy) == contents(folder)


def test_a_user_s_recording_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "cam01.mp4").write_bytes(b"my own video")
    with pytest.raises(InputError, match=r"cam01\.mp4"):
        make_scenes(tmp_path, OPTIONS, processes=1)
    assert contents(tmp_path) == {"cam01.mp4": b"my own video"}


def test_other_options_are_not_taken_for_the_same(folder: Path) -> None:
    keys = {
        scene_key(OPTIONS, 0),
        scene_key(OPTIONS, 1),
        scene_key(OPTIONS.model_copy(update={"noise": 0.5}), 0),
    }
    assert len(keys) == 3
    assert read_manifest(folder)["key"] == scene_key(OPTIONS, 0)


def test_the_key_knows_what_is_in_the_backgrounds_and_not_where_they_are(tmp_path: Path) -> None:
    keys = []
    for name, color in (("a", 0), ("b", 0), ("c", 255)):
        folder = tmp_path / name / "pictures"
        folder.mkdir(parents=True)
        cv2.imwrite(str(folder / "own.png"), np.full((8, 8, 3), color, np.uint8))
        keys.append(scene_key(OPTIONS.model_copy(update={"backgrounds": folder}), 0))
    assert keys[0] == keys[1] != keys[2]


@pytest.mark.parametrize("name", sorted(FILES - {"scene.json"}))
def test_a_changed_or_missing_file_is_told(copy: Path, name: str) -> None:
    assert set(read_manifest(copy)["sha256"]) == FILES - {"scene.json"}
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    with pytest.raises(InputError, match="was changed"):
        read_manifest(copy)
    (copy / name).unlink()
    with pytest.raises(InputError, match="is missing"):
        read_manifest(copy)


@pytest.mark.parametrize("content", ["{", "[]", "{}", '{"sha256": 3}'])
def test_a_folder_of_something_else_is_told(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match="no folder of a synthetic scene"):
        read_manifest(tmp_path)
    (tmp_path / "scene.json").write_text(content)
    with pytest.raises(InputError, match="no folder of a synthetic scene"):
        read_manifest(tmp_path)


def test_a_folder_that_holds_something_else_is_left_alone(scene: Scene, tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(InputError, match=r"thesis\.txt"):
        make_scene(scene, tmp_path, processes=1)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_the_manifest_says_how_it_was_made_and_names_no_place(folder: Path) -> None:
    manifest = json.loads((folder / "scene.json").read_text())
    assert manifest["options"]["clip"] == "walk"
    assert manifest["options"]["seed"] == 3
    assert str(folder.parent) not in (folder / "scene.json").read_text()


def test_videos_have_their_frames_and_time_stamps(folder: Path, truth: SceneTruth) -> None:
    for view in truth.views:
        seen = list(frames(folder / f"{view.camera.name}.mp4"))
        assert [frame.index for frame in seen] == list(range(6))
        assert all(frame.rgb is not None and frame.rgb.shape == (128, 96, 3) for frame in seen)
        stamps = [frame.time for frame in seen]
        np.testing.assert_allclose(stamps, view.timeline.time, atol=1e-4)  # ticks of the file
        np.testing.assert_allclose(stamps, np.arange(6) / 25, atol=1e-4)


def test_the_calibration_is_as_given_not_as_true(
    folder: Path, scene: Scene, truth: SceneTruth
) -> None:
    read = read_calibration(folder / "calibration.toml")
    assert read.rig.names == ("cam01", "cam02")
    for spec in scene.cameras:
        camera, given = read.rig[spec.camera.name], spec.given
        assert camera.size == SIZE
        np.testing.assert_allclose(camera.K, given.K, atol=1e-6)
        np.testing.assert_allclose(camera.R, given.R, atol=1e-7)
        np.testing.assert_allclose(camera.t, given.t, atol=1e-6)
        np.testing.assert_allclose(camera.distortion[:4], given.distortion, atol=1e-9)
        true = truth.view(camera.name).camera
        assert np.abs(camera.R - true.R).max() > 1e-4  # 0.3 degrees of error, and the hand's sway


def test_points_are_those_of_the_body_in_its_pose(truth: SceneTruth) -> None:
    person, points = truth.people[0], body_points(load_anny())
    motion = person.motion
    xyz, markers = points.at(motion.rotations, motion.translation, motion.shape)
    np.testing.assert_allclose(person.points.xyz, xyz, atol=1e-4)  # 0.1 mm
    both = np.concatenate([xyz, markers], axis=1)
    np.testing.assert_allclose(person.markers.xyz, both, atol=1e-4)
    assert person.contact.any()  # a walker always has a foot on the floor
    assert person.points.xyz[:, :, 1].min() > -0.03  # nobody is in the floor


def test_pixels_are_projections_at_each_camera_s_own_time(scene: Scene, truth: SceneTruth) -> None:
    person, points = truth.people[0], body_points(load_anny())
    shape = np.array(scene.people[0].shape)
    for view, spec in zip(truth.views, scene.cameras, strict=True):
        np.testing.assert_allclose(view.time, np.arange(6) / 25 + spec.offset_s, atol=1e-12)
        xyz = points.at(*scene.moving[0].at(view.time), shape)[0]
        for frame in range(6):
            want = project(view.at(frame), xyz[frame])
            np.testing.assert_allclose(view.xy[0, frame], want, atol=0.1)
    first, second = truth.views
    want = np.stack([project(first.at(k), person.points.xyz[k]) for k in range(6)])
    np.testing.assert_allclose(first.xy[0], want, atol=0.1)
    # The negative control: at the first camera's times the second one's pixels are others.
    wrong = np.stack([project(second.at(k), person.points.xyz[k]) for k in range(6)])
    assert scene.cameras[1].offset_s != 0
    assert np.abs(second.xy[0] - wrong).max() > 1.0


def test_a_hand_s_camera_moves_from_frame_to_frame(scene: Scene, truth: SceneTruth) -> None:
    for view, spec in zip(truth.views, scene.cameras, strict=True):
        turns = np.diff(view.R, axis=0)
        assert (np.abs(turns).max(axis=(1, 2)) > 0).all()
        apart = view.R @ spec.camera.R.T
        angle = np.arccos((np.trace(apart, axis1=1, axis2=2) - 1) / 2)
        # sqrt(2 / 4) of each of 4 sines, on 3 axes: at most 5 SD.
        assert angle.max() < 5 * spec.sway.turn_rad  # type: ignore[union-attr]


def bare(scene: Scene, truth: SceneTruth, camera: int, frame: int) -> tuple[Any, Any]:
    """Independent of the painter: what of the body without clothes is seen, and its mesh."""
    body, view = load_anny(), truth.views[camera]
    pose = scene.moving[0].at(view.time[frame : frame + 1])
    at = np.asarray(body.posed_vertices(*pose, np.array(scene.people[0].shape)))[0]
    here = view.at(frame)
    return rasterise(project(here, at), to_camera(here, at)[:, 2], body.faces, SIZE), at


@pytest.mark.parametrize(("camera", "frame"), [(0, 0), (0, 5), (1, 2)])
def test_masks_cover_the_projected_body(
    scene: Scene, truth: SceneTruth, camera: int, frame: int
) -> None:
    seen, _ = bare(scene, truth, camera, frame)
    mesh = np.zeros(SIZE[::-1], bool)
    mesh[seen.y, seen.x] = True
    mask = truth.views[camera].masks.person(frame, 0)
    assert mesh.sum() > 500
    # Clothes and hair add a rim of up to 2.5 cm, here about a pixel.
    assert (mesh & mask).sum() / (mesh | mask).sum() > 0.8
    assert (mesh & mask).sum() / mesh.sum() > 0.97


@pytest.mark.parametrize("camera", [0, 1])
def test_the_head_s_mask_is_the_head(scene: Scene, truth: SceneTruth, camera: int) -> None:
    body = load_anny()
    seen, _ = bare(scene, truth, camera, 3)
    owner = body.skin_joints[np.arange(len(body.vertices)), body.skin_weights.argmax(axis=1)]
    name = np.array(body.joint_names)[owner[body.faces[seen.face, 0]]]
    mine = np.array([n == "head" or n.startswith("eye.") for n in name])
    head = truth.views[camera].masks.head(3, 0)
    assert mine.sum() > 20
    assert head[seen.y[mine], seen.x[mine]].mean() > 0.9
    # No other part of the body; hair may hang over the neck.
    far = np.array([n.startswith(("lower", "upper", "spine", "pelvis", "foot")) for n in name])
    assert head[seen.y[far], seen.x[far]].mean() < 0.02
    assert not (head & ~truth.views[camera].masks.person(3, 0)).any()


def test_the_person_differs_from_what_is_behind(folder: Path, truth: SceneTruth) -> None:
    """The mask is where the video shows the person: pixels that move with it change."""
    view = truth.views[0]
    shown = [
        frame.rgb.astype(int) for frame in frames(folder / "cam01.mp4") if frame.rgb is not None
    ]
    mask = view.masks.person(0, 0)
    rim = cv2.dilate(mask.astype(np.uint8), np.ones((9, 9))).astype(bool) & ~mask
    inside, outside = shown[0][mask].mean(axis=0), shown[0][rim].mean(axis=0)
    assert np.abs(inside - outside).max() > 10


# ---- what is seen of points ----


def standing(turns: Mapping[str, tuple[float, float, float]]) -> tuple[MovingBody, np.ndarray]:
    """Anny at rest on the floor at the world's middle, towards +Z, with joints turned."""
    body = load_anny()
    shape = body.shape.neutral
    rotvec = np.zeros((4, len(body.joint_names), 3))
    for name, turn in turns.items():
        rotvec[:, body.joint_names.index(name)] = turn
    floor = np.asarray(body.rest_vertices(shape))[:, 1].min()
    shift = np.tile([0.0, -floor, 0.0], (4, 1))
    times = np.linspace(-0.2, 0.4, 4)
    return MovingBody.of(body, shape, times, so3.exp(rotvec), shift, "standing"), shape


# The left arm on the back: the wrist comes to be 24 cm behind the middle of the trunk.
ON_THE_BACK = {"upperarm01.L": (1.5, 0.0, -1.5), "lowerarm01.L": (-1.2, 0.0, 0.0)}


def visibility(
    scene: Scene,
    turns: Mapping[str, tuple[float, float, float]],
    props: tuple[Prop, ...] = (),
    away: float = 4.0,
    side: float = 1.0,
) -> tuple[dict[str, Visibility], RenderedFrame]:
    """Of one frame by a camera `away` metres in front of (side 1) or behind (-1) the person."""
    moving, shape = standing(turns)
    R = looking(np.array([0.0, 0.0, -side]))
    camera = Camera(
        "cam01", SIZE, intrinsics(150.0, SIZE), R, -R @ np.array([0.0, 1.0, away * side])
    )
    spec = replace(scene.cameras[0], camera=camera, given=camera, sway=None, shutter_s=0.0)
    person = replace(scene.people[0], shape=tuple(shape.tolist()), seat=None)
    posed = replace(scene, people=(person,), moving=(moving,), props=props, cameras=(spec,))
    renderer = SceneRenderer(posed, load_anny())
    frame = renderer.render(0, 1)[0][0]
    return dict(
        zip(renderer.points.keypoints, map(Visibility, frame.visibility[0]), strict=True)
    ), frame


def test_a_hand_behind_the_back_is_hidden_by_the_body_from_the_front_only(scene: Scene) -> None:
    front, _ = visibility(scene, ON_THE_BACK)
    back, _ = visibility(scene, ON_THE_BACK, side=-1.0)
    assert front["LWrist"] == Visibility.SELF_OCCLUDED
    assert back["LWrist"] == Visibility.VISIBLE
    for name in ("Nose", "LKnee", "RElbow", "LShoulder"):
        assert front[name] == Visibility.VISIBLE
    assert back["Nose"] == Visibility.SELF_OCCLUDED
    assert back["LHeel"] == Visibility.VISIBLE


def test_a_thing_between_hides_and_one_behind_does_not(scene: Scene) -> None:
    def wall(z: float) -> Prop:
        return Prop("box", (2.0, 0.7, 0.1), (0.0, z), 0.0, (0.5, 0.5, 0.5))

    front, frame = visibility(scene, {}, (wall(1.0),))
    behind, clear = visibility(scene, {}, (wall(-1.0),))
    for name in ("LKnee", "RKnee", "LAnkle", "RBigToe"):
        assert front[name] == Visibility.OCCLUDED
        assert behind[name] == Visibility.VISIBLE
    for name in ("Nose", "LShoulder", "RElbow"):
        assert front[name] == behind[name] == Visibility.VISIBLE
    np.testing.assert_array_equal(frame.xy, clear.xy)  # the truth does not care
    labels = np.repeat(*frame.runs).reshape(SIZE[::-1])
    assert (labels == 255).sum() > 1000


def test_outside_the_picture_is_outside_and_has_its_pixels(scene: Scene) -> None:
    near, frame = visibility(scene, {}, away=1.0)
    assert near["LAnkle"] == near["RBigToe"] == Visibility.OUTSIDE
    assert near["LHip"] == Visibility.VISIBLE
    assert np.isfinite(frame.xy).all()
    assert (frame.xy[0, list(near).index("LAnkle")] > SIZE).any()
