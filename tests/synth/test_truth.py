"""The truth's file gives back what was written, and anything else is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.angles import joint_angles
from kinefit.body.anny import load_anny
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project
from kinefit.synth.body_points import body_points
from kinefit.synth.cameras import sample_camera
from kinefit.synth.truth import (
    LabelRuns,
    PersonTruth,
    SceneTruth,
    ViewTruth,
    Visibility,
    encode,
    interpolated,
    read_truth,
    write_truth,
)
from kinefit.types import BodyMotion, InputError, InvalidData, Keypoints3D, Markers, Timeline

SIZE = (64, 48)


def made_truth(frames: int = 5) -> SceneTruth:
    """A person who moves at random, seen by two cameras; masks of noise."""
    body, rng = load_anny(), np.random.default_rng(0)
    timeline, shape = Timeline.regular(frames, 30.0), body.shape.neutral
    rotations = so3.exp(rng.normal(0, 0.1, (frames, len(body.joint_names), 3)))
    translation = rng.normal([0, 0.9, 0], 0.05, (frames, 3))
    points = body_points(body)
    keypoints, marks = points.at(rotations, translation, shape)
    names = (*points.keypoints, *points.markers)
    markers = Markers(timeline, names, np.concatenate([keypoints, marks], axis=1))
    person = PersonTruth(
        Keypoints3D(timeline, points.keypoints, keypoints, "world"),
        markers,
        joint_angles(markers),
        BodyMotion(
            "anny", timeline, body.joint_names, rotations, translation, shape, body.shape.names
        ),
        rng.random((frames, 4)) < 0.5,
        1.7,
        70.0,
    )
    views = []
    for c in range(2):
        camera = sample_camera(
            rng, f"cam{c + 1:02d}", SIZE, keypoints.reshape(-1, 3), 3.0 * c, 30.0
        )
        xy = project(camera, keypoints)[None]
        labels = [rng.integers(0, 3, SIZE[::-1]).astype(np.uint8) for _ in range(frames)]
        views.append(
            ViewTruth(
                camera,
                np.stack([camera.R] * frames),
                np.stack([camera.t] * frames),
                timeline,
                timeline.time + 0.01 * c,
                xy,
                rng.integers(0, 4, xy.shape[:-1]).astype(np.uint8),
                LabelRuns.of(SIZE, (encode(picture) for picture in labels)),
            )
        )
    return SceneTruth((person,), tuple(views))


@pytest.fixture(scope="module")
def truth() -> SceneTruth:
    return made_truth()


def test_what_was_written_comes_back(truth: SceneTruth, tmp_path: Path) -> None:
    write_truth(tmp_path / "truth.npz", truth)
    back = read_truth(tmp_path)  # the folder will do
    one, two = truth.people[0], back.people[0]
    np.testing.assert_array_equal(one.points.xyz, two.points.xyz)
    np.testing.assert_array_equal(one.markers.xyz, two.markers.xyz)
    np.testing.assert_array_equal(one.angles.degrees, two.angles.degrees)
    np.testing.assert_array_equal(one.contact, two.contact)
    # Rotations go through their vectors: rounding.
    np.testing.assert_allclose(one.motion.rotations, two.motion.rotations, atol=1e-14)
    np.testing.assert_array_equal(one.motion.shape, two.motion.shape)
    for a, b in zip(truth.views, back.views, strict=True):
        for field in ("R", "t", "time", "xy", "visibility"):
            np.testing.assert_array_equal(getattr(a, field), getattr(b, field))
        np.testing.assert_array_equal(a.masks.labels(3), b.masks.labels(3))
        assert a.camera.name == b.camera.name
        np.testing.assert_array_equal(a.at(2).R, b.at(2).R)


def test_files_from_before_hair_had_labels_are_read_and_say_so(
    truth: SceneTruth, tmp_path: Path
) -> None:
    path = tmp_path / "truth.npz"
    write_truth(path, truth)
    assert not read_truth(path).views[0].masks.hair(0, 0).any()
    with np.load(path) as stored:
        np.savez(path, **{**stored, "format": np.array("kinefit truth 1")})
    masks = read_truth(path).views[0].masks
    np.testing.assert_array_equal(masks.head(0, 0), truth.views[0].masks.head(0, 0))
    with pytest.raises(InvalidData, match="make the scene again"):
        masks.hair(0, 0)
    write_truth(tmp_path / "again.npz", read_truth(path))
    assert not read_truth(tmp_path / "again.npz").views[0].masks.tells_hair


def test_the_same_truth_gives_the_same_bytes(truth: SceneTruth, tmp_path: Path) -> None:
    for name in ("a.npz", "b.npz"):
        write_truth(tmp_path / name, truth)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()


def test_the_body_of_the_truth_has_its_points(truth: SceneTruth, tmp_path: Path) -> None:
    """Read back, the motion on Anny's mesh gives the keypoints to a micrometre."""
    write_truth(tmp_path / "truth.npz", truth)
    person, body = read_truth(tmp_path).people[0], load_anny()
    mesh = body.motion_vertices(person.motion)
    _, joints = body.pose(
        person.motion.rotations, person.motion.translation, body.rest_joints(person.motion.shape)
    )
    names = [name for name in person.points.names if name in body.regressors]
    columns = [person.points.names.index(name) for name in names]
    expected = body.regress(mesh, joints, names)
    np.testing.assert_allclose(person.points.xyz[:, columns], expected, atol=1e-6)


def test_skeletons_are_picked_by_name(truth: SceneTruth) -> None:
    person = truth.people[0]
    coco = person.keypoints("coco17")
    knee = person.points.xyz[:, person.points.names.index("LKnee")]
    np.testing.assert_array_equal(coco.xyz[:, coco.names.index("LKnee")], knee)
    mediapipe = person.keypoints("blazepose33")
    assert np.isnan(mediapipe.xyz[:, mediapipe.names.index("LMouth")]).all()  # Anny has none
    seen = truth.image_points("cam02", "coco17")
    view = truth.view("cam02")
    column, place = seen.names.index("RWrist"), truth.point_names.index("RWrist")
    np.testing.assert_array_equal(seen.xy[:, column], view.xy[0, :, place])
    score = {
        Visibility.VISIBLE: 1.0,
        Visibility.SELF_OCCLUDED: 0.5,
        Visibility.OCCLUDED: 0.0,
        Visibility.OUTSIDE: 0.0,
    }
    expected = [score[Visibility(s)] for s in view.visibility[0, :, place]]
    np.testing.assert_array_equal(seen.score[:, column], expected)


def test_other_files_are_refused(truth: SceneTruth, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_truth(tmp_path / "absent.npz")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    with pytest.raises(InputError, match="no truth file of a synthetic scene"):
        read_truth(tmp_path / "other.npz")
    write_truth(tmp_path / "truth.npz", truth)
    stored = dict(np.load(tmp_path / "truth.npz", allow_pickle=False))
    for damage in (
        {"cam01_xy": stored["cam01_xy"][:, :-1]},
        {"person0_rotvec": stored["person0_rotvec"][:, :-1]},
        {"cam02_mask_length": stored["cam02_mask_length"][:-1]},
        {"people": np.array(2)},
    ):
        np.savez(tmp_path / "damaged.npz", **(stored | damage))
        with pytest.raises(InputError, match="is damaged"):
            read_truth(tmp_path / "damaged.npz")


def test_an_unknown_camera_is_named(truth: SceneTruth) -> None:
    with pytest.raises(Exception, match="cam01, cam02"):
        truth.view("cam09")


def test_between_samples_truth_is_a_smooth_curve() -> None:
    """A sine of 1 Hz sampled at 30 Hz: cubic splines err by (2 pi / 30)^4 / 384 of it, 5 micron."""
    at = np.arange(60) / 30
    wave = np.sin(2 * np.pi * at)[:, None]
    time = np.linspace(0.2, 1.7, 101)
    expected = np.sin(2 * np.pi * time)[:, None]
    np.testing.assert_allclose(interpolated(time, at, wave), expected, atol=1e-5)
    assert np.isnan(interpolated(np.array([-0.1, 2.1]), at, wave)).all()


def test_a_moving_camera_is_another_in_each_frame(truth: SceneTruth) -> None:
    view = truth.views[0]
    R = so3.exp(np.array([0.0, 0.1, 0.0])) @ view.R
    np.testing.assert_array_equal(replace(view, R=R).at(1).R, R[1])
