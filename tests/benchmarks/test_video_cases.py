"""Numbers out of nested scores, and where a run is furthest off; nothing is rendered."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks.suite.known_subjects import NAMES, KnownSubject, SubjectSpec, known_subject, ring
from benchmarks.suite.rendered_scenes import RenderedScene, SceneSetting
from benchmarks.suite.video_cases import Line, measured
from benchmarks.suite.worst_frames import Pictures, worst_frame
from kinefit.evaluate.run_folder import RunData
from kinefit.evaluate.truth_at_times import Clock, WorldTransform
from kinefit.geometry.projection import project_rig
from kinefit.synth.body_points import body_points
from kinefit.synth.truth import LabelRuns, PersonTruth, SceneTruth, ViewTruth, Visibility
from kinefit.types import (
    BodyMotion,
    CameraRig,
    FloatArray,
    InvalidData,
    Keypoints3D,
    Markers,
)


def value(scores: object, path: str, scale: float = 1.0) -> float | None:
    (line,) = measured(scores, [Line("x", path, "mm", "lower", scale)])  # type: ignore[arg-type]
    return line.value


def test_numbers_by_path() -> None:
    scores = {
        "final": {"mean": 3.0, "count": 30, "missing": 10},
        "cameras": {"cam01": {"error": {"mean": 1.0}}, "cam02": {"error": {"mean": 2.0}}},
        "half": {"cam01": {"mean": 1.0}, "cam02": {}},
        "none": {"mean": None},
        "empty": {},
    }
    assert value(scores, "final/mean") == 3.0
    assert value(scores, "final/mean", scale=100) == 300.0
    assert value(scores, "final/share missing") == 25.0
    assert value(scores, "cameras/*/error/mean") == 1.5
    # A camera without a number must not make the mean better.
    assert value(scores, "half/*/mean") is None
    for path in ("none/mean", "nowhere/mean", "empty/*/mean", "final", "final/mean/deeper"):
        assert value(scores, path) is None, path


def test_a_signed_error_counts_by_its_size() -> None:
    line = Line("stature", "off", "mm", "lower", signed=True)
    assert [m.value for off in (-3.0, 3.0) for m in measured({"off": off}, [line])] == [3.0, 3.0]


def test_cameras_are_chosen_around_the_scene() -> None:
    scene = RenderedScene(Path("scene"), Path("runs"))
    scene.__dict__["cameras"] = tuple(f"cam{i:02d}" for i in range(1, 9))
    assert scene.spread(1) == ["cam01"]
    assert scene.spread(2) == ["cam01", "cam03"]
    assert scene.spread(4) == ["cam01", "cam03", "cam05", "cam07"]
    assert scene.spread(8) == list(scene.cameras)


def test_film_options_are_those_of_synth() -> None:
    options = SceneSetting(3, 8, 4.0, 540, 720).options(None)
    assert (options.frames, options.size, options.views) == (120, (540, 720), 8)


@pytest.fixture(scope="module")
def known() -> KnownSubject:
    return known_subject(SubjectSpec("walk", 1), 0.5)


@pytest.fixture(scope="module")
def rig(known: KnownSubject) -> CameraRig:
    return ring(known, 2)


@pytest.fixture(scope="module")
def scene(known: KnownSubject, rig: CameraRig) -> SceneTruth:
    """What `kinefit synth` would write of it, without pictures."""
    body, timeline, shape = known.body, known.timeline, known.shape
    rotations, translation = known.moving.at(timeline.time)
    points = body_points(body)
    xyz, marks = points.at(rotations, translation, shape)
    markers = Markers(
        timeline, (*points.keypoints, *points.markers), np.concatenate([xyz, marks], axis=1)
    )
    person = PersonTruth(
        Keypoints3D(timeline, points.keypoints, xyz, "world"),
        markers,
        known.angles(),
        BodyMotion(
            body.name, timeline, body.joint_names, rotations, translation, shape, body.shape.names
        ),
        np.zeros((len(timeline), 4), bool),
        known.stature_m,
        known.mass_kg,
    )
    T = len(timeline)
    blank = LabelRuns(
        rig.cameras[0].size, np.arange(T + 1), np.zeros(T, np.uint8),
        np.full(T, np.prod(rig.cameras[0].size), np.uint32),
    )  # fmt: skip
    views = tuple(
        ViewTruth(
            camera, np.tile(camera.R, (T, 1, 1)), np.tile(camera.t, (T, 1)), timeline,
            timeline.time, pixels[None],
            np.full((1, *pixels.shape[:2]), Visibility.VISIBLE, np.uint8), blank,
        )
        for camera, pixels in zip(rig, project_rig(rig, xyz), strict=True)
    )  # fmt: skip
    return SceneTruth((person,), views)


def run_with(known: KnownSubject, rig: CameraRig, xyz: FloatArray) -> RunData:
    markers = Markers(known.timeline, NAMES, xyz)
    cameras = {camera.name: camera for camera in rig}
    return RunData(Clock.shifted(), WorldTransform.fixed(), cameras, {}, markers={"final": markers})


def test_worst_frame_is_the_one_that_was_spoiled(
    known: KnownSubject, rig: CameraRig, scene: SceneTruth
) -> None:
    # Along the first camera's line of visibility: the second shows it.
    towards = rig.cameras[0].R[2]
    xyz = known.truth.copy()
    xyz[9] += 0.3 * towards
    worst = worst_frame(run_with(known, rig, xyz), scene)
    assert (worst.frame, worst.camera) == (9, "cam02")
    assert worst.error_mm == pytest.approx(300, abs=0.1)  # the truth is a spline through samples
    pixels = project_rig(rig, known.truth)[1, 9]
    np.testing.assert_allclose(worst.true, pixels, atol=1e-6)
    assert np.linalg.norm(worst.found - worst.true, axis=-1).min() > 10


def test_one_camera_is_judged_by_the_pose_alone(
    known: KnownSubject, rig: CameraRig, scene: SceneTruth
) -> None:
    xyz = 1.1 * known.truth + [0.0, 0.2, 0.5]  # a similarity is no error
    xyz[4, NAMES.index("LWrist")] += 0.5
    alone = CameraRig(rig.cameras[:1])
    worst = worst_frame(run_with(known, alone, xyz), scene)
    assert worst.frame == 4


def test_a_run_without_points_has_no_worst_frame(
    known: KnownSubject, rig: CameraRig, scene: SceneTruth
) -> None:
    with pytest.raises(InvalidData, match="no worst frame"):
        worst_frame(run_with(known, rig, np.full_like(known.truth, np.nan)), scene)
    empty = RunData(Clock.shifted(), WorldTransform.fixed(), {}, {})
    with pytest.raises(InvalidData, match="no worst frame"):
        worst_frame(empty, scene)


def test_the_table_shows_the_worst_run_of_each_label(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path)
    pictures._drawn["one camera"] = [(50.0, "a.png", "a"), (70.0, "b.png", "b")]
    pictures._drawn["4 cameras"] = [(20.0, "c.png", "c")]
    assert pictures.worst == {"b.png": "b", "c.png": "c"}
