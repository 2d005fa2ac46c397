"""A scene is a function of its options and number, and every option does what it says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from kinefit.body.anny import load_anny
from kinefit.geometry.projection import project
from kinefit.synth.body_points import body_points
from kinefit.synth.motion_clip import Clip
from kinefit.synth.motion_library import motion_library
from kinefit.synth.scene import Scene, sample_scene
from kinefit.synth.scene_options import SynthOptions
from kinefit.synth.scene_renderer import SceneRenderer
from kinefit.synth.subjects import ADULT_STATURE, CHILD_STATURE, stature
from kinefit.synth.truth import LabelRuns
from kinefit.types import InputError

SMALL: Mapping[str, Any] = {"views": 2, "seconds": 0.4, "rate": 25, "width": 96, "height": 128}


@cache
def library() -> Mapping[str, Clip]:
    return motion_library(None)


def scene(number: int = 0, **changes: Any) -> Scene:
    options = SynthOptions(**{**SMALL, **changes})
    return sample_scene(options, number, load_anny(), library())


def text(of: Scene) -> str:
    return json.dumps(of.to_json(), allow_nan=False)


@pytest.fixture(scope="module")
def plain() -> Scene:
    return scene()


@pytest.fixture(scope="module")
def full() -> Scene:
    """Everything that is off in `plain`."""
    return scene(
        views=3, people=2, children=1.0, props=3, handheld=True, lens=True, clock_offset=0.1,
        calibration_turn=0.5, calibration_shift=0.01, calibration_focal=0.02, shutter=0.5,
        focal_min=60, focal_max=70, clip="sit", mix=False,
    )  # fmt: skip


def keypoints(of: Scene, person: int = 0) -> np.ndarray:
    times = np.linspace(0, of.options.seconds, 5)
    shape = np.array(of.people[person].shape)
    return body_points(load_anny()).at(*of.moving[person].at(times), shape)[0]


def test_the_same_options_and_number_are_the_same_scene(plain: Scene) -> None:
    again = scene()
    assert text(again) == text(plain)
    np.testing.assert_array_equal(keypoints(again), keypoints(plain))
    for a, b in zip(again.cameras, plain.cameras, strict=True):
        np.testing.assert_array_equal(a.camera.R, b.camera.R)


def test_another_number_or_seed_is_another_scene(plain: Scene) -> None:
    others = [scene(1), scene(seed=1)]
    people = {json.dumps(s.to_json()["people"]) for s in (plain, *others)}
    assert len(people) == 3
    assert len({s.cameras[0].camera.t.tobytes() for s in (plain, *others)}) == 3


def test_what_is_off_is_off(plain: Scene) -> None:
    assert len(plain.cameras) == 2
    assert len(plain.people) == len(plain.moving) == 1
    assert plain.props == ()
    assert plain.room.kind != "picture"
    for spec in plain.cameras:
        assert spec.sway is None
        assert spec.offset_s == 0
        assert not spec.camera.distortion.any()
        for field in ("K", "R", "t"):
            given, true = (getattr(c, field) for c in (spec.given, spec.camera))
            np.testing.assert_allclose(given, true, atol=1e-12)


def test_counts_are_as_asked_for(full: Scene) -> None:
    assert [f.camera.name for f in full.cameras] == ["cam01", "cam02", "cam03"]
    assert len(full.people) == len(full.moving) == 2
    assert len(full.props) == 3
    assert len({prop.place for prop in full.props}) == 3


def test_cameras_are_as_asked_for(full: Scene) -> None:
    focal = np.array([f.camera.K[0, 0] for f in full.cameras]) / 128 * 36
    assert ((focal >= 60) & (focal <= 70)).all()
    assert len(set(focal)) == 3
    assert all(f.camera.size == (96, 128) for f in full.cameras)
    assert all(f.camera.distortion.any() for f in full.cameras)
    assert all(f.sway is not None for f in full.cameras)
    assert all(0 <= f.shutter_s <= 0.5 / 25 for f in full.cameras)
    offsets = [f.offset_s for f in full.cameras]
    assert offsets[0] == 0
    assert all(0 < abs(offset) <= 0.1 for offset in offsets[1:])


def test_the_calibration_given_is_wrong_by_about_what_was_asked_for(full: Scene) -> None:
    for spec in full.cameras:
        given, true = spec.given, spec.camera
        turn = np.degrees(np.arccos(np.clip((np.trace(given.R @ true.R.T) - 1) / 2, -1, 1)))
        # 5 SD of the length of a vector of three: seeded, so it cannot fail by chance.
        assert 0 < turn < 5 * 0.5 * np.sqrt(3)
        assert 0 < np.linalg.norm(given.centre - true.centre) < 5 * 0.01 * np.sqrt(3)
        assert 0 < abs(given.K[0, 0] / true.K[0, 0] - 1) < 0.1
        np.testing.assert_array_equal(given.distortion, true.distortion)


def test_children_are_children_and_adults_adults(full: Scene) -> None:
    body = load_anny()
    small = [stature(body, np.array(person.shape)) for person in full.people]
    assert max(small) <= CHILD_STATURE[1]
    ages = [person.shape[body.shape.names.index("age")] for person in full.people]
    assert max(ages) <= 0.5  # Anny's age: two thirds is a young adult
    adult = scene(2, children=0.0).people[0]
    assert stature(body, np.array(adult.shape)) >= ADULT_STATURE[0]
    assert adult.shape[body.shape.names.index("age")] >= 2 / 3


def test_only_motions_of_that_name_and_nothing_done_to_them(full: Scene) -> None:
    for person in full.people:
        motion = person.motion
        assert "sit" in motion.lower
        assert (motion.upper, motion.then, motion.mirror, motion.speed, motion.start) == (
            None,
            None,
            False,
            1,
            0,
        )


def test_who_sits_down_has_a_seat_below_the_hips(full: Scene) -> None:
    seated = [(a, m) for a, m in zip(full.people, full.moving, strict=True) if a.seat is not None]
    assert seated
    for person, moving in seated:
        lowest = moving.clip.root_path[moving.clip.root_path[:, 1].argmin()]
        assert 0.2 < person.seat.size[1] < lowest[1]
        np.testing.assert_allclose(person.seat.place, lowest[[0, 2]], atol=1e-9)


def test_an_unknown_motion_is_refused_and_known_ones_are_named() -> None:
    with pytest.raises(InputError, match="'flying'") as caught:
        scene(clip="flying")
    assert "walk" in str(caught.value)


def test_motions_are_mixed_when_they_may() -> None:
    motions = [scene(n, seconds=0.1).people[0].motion for n in range(4)]
    assert len({motion.lower for motion in motions}) > 2
    assert len({motion.mirror for motion in motions}) == 2
    assert all(0.75 <= motion.speed <= 1.25 for motion in motions)


def test_a_treadmill_keeps_a_walker_in_place() -> None:
    way, still = (
        scene(clip="walk", mix=False, seconds=2.0, views=1, treadmill=t).moving[0].clip.root_path
        for t in (False, True)
    )
    length = [np.linalg.norm(np.ptp(path[:, [0, 2]], axis=0)) for path in (way, still)]
    assert length[0] > 1.0  # two seconds of walking
    assert length[1] < 0.35 * length[0]  # the filter cannot know how the way goes on at its ends


@pytest.mark.parametrize("which", ["plain", "full"])
def test_the_subject_is_in_all_pictures(which: str, request: pytest.FixtureRequest) -> None:
    of: Scene = request.getfixturevalue(which)
    for person in range(len(of.people)):
        for spec in of.cameras:
            uv = project(spec.camera, keypoints(of, person))
            assert (uv >= 0).all()
            assert (uv <= np.array([95, 127])).all()


def test_people_stand_apart(full: Scene) -> None:
    one, two = (np.array(person.place[:2]) for person in full.people)
    np.testing.assert_array_equal(one, 0)
    assert 1.0 <= np.linalg.norm(two) <= 2.2


def test_cameras_and_people_are_inside_the_room(full: Scene) -> None:
    for spec in full.cameras:
        assert (np.abs(spec.camera.centre[[0, 2]]) < full.room.half_m).all()


def test_props_are_between_a_camera_and_the_people(full: Scene) -> None:
    middle = np.concatenate([keypoints(full, p).reshape(-1, 3) for p in range(2)]).mean(axis=0)
    reach = max(np.linalg.norm((f.camera.centre - middle)[[0, 2]]) for f in full.cameras)
    for prop in full.props:
        # At most at 0.45 of the way, and 0.25 m (SD) to the side.
        assert np.linalg.norm(np.array(prop.place) - middle[[0, 2]]) < 0.45 * reach + 1.0


def test_backgrounds_are_pictures_of_the_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no"):
        scene(backgrounds=tmp_path)
    cv2.imwrite(str(tmp_path / "own.png"), np.zeros((8, 8, 3), np.uint8))
    (tmp_path / "notes.txt").write_text("no picture")
    own = scene(backgrounds=tmp_path)
    assert own.room.kind == "picture"
    assert own.room.picture == str(tmp_path / "own.png")
    assert str(tmp_path) not in text(own)
    assert own.to_json()["options"]["backgrounds"] == tmp_path.name
    assert own.to_json()["room"]["picture"] == "own.png"


def test_json_holds_plain_values_and_no_paths(full: Scene) -> None:
    values = json.loads(text(full))
    assert values["scene"] == 0
    assert values["options"]["clip"] == "sit"
    assert set(values["cameras"]) == {"cam01", "cam02", "cam03"}
    assert str(Path.cwd()) not in text(full)
    assert str(Path.home()) + "/" not in text(full)


# ---- hair and skirts ----


def test_hair_and_skirts_change_nothing_else() -> None:
    worn = scene(hair="hood", skirts=1.0, people=2)
    without = scene(people=2)
    one, two = worn.to_json(), without.to_json()
    changed = {"hairdo", "headwear", "hair_m", "hair_low", "legs", "skirt_flare_m",
               "bottom", "bottom_pattern"}  # fmt: skip
    for a, b in zip(one.pop("people"), two.pop("people"), strict=True):
        looks = a.pop("look"), b.pop("look")
        assert {k for k in looks[0] if looks[0][k] != looks[1][k]} <= changed
        assert a == b
        assert looks[0]["hairdo"]["style"] == "hood"
        assert looks[1]["skirt_flare_m"] is None
    del one["options"], two["options"]
    assert json.dumps(one) == json.dumps(two)


def test_pictures_have_hair_and_truth_is_of_the_bare_body() -> None:
    worn, without = (
        SceneRenderer(scene(clip="walk", **options), load_anny())
        for options in ({"hair": "curly", "skirts": 1.0}, {})
    )
    for one, two in zip(worn.render(1, 1)[0], without.render(1, 1)[0], strict=True):
        np.testing.assert_array_equal(one.xy, two.xy)
        assert (one.picture != two.picture).any()
        masks = [LabelRuns.of((96, 128), [frame.runs]) for frame in (one, two)]
        assert masks[0].head(0, 0).sum() > 1.2 * masks[1].head(0, 0).sum()
        assert masks[0].hair(0, 0).any()
    times = np.array([0.1, 0.3])
    for points in zip(worn.keypoints(times), without.keypoints(times), strict=True):
        np.testing.assert_array_equal(*points)
    assert worn.statures == without.statures
    # What sees no picture sees the same hair.
    passed = worn.visibility_pass(1)[0]
    np.testing.assert_array_equal(passed.visibility, worn.render(1, 1)[0][0].visibility)


def test_unknown_styles_are_refused() -> None:
    with pytest.raises(ValueError, match="hair"):
        SynthOptions(hair="mohawk")  # type: ignore[arg-type]
