"""Which of several people is meant, in one view and in all views of a rig."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from kinefit.io.people import People
from kinefit.multiview.observe import RigOptions, observe_rig
from kinefit.multiview.people import find_in_rig, find_in_view
from kinefit.tracking.choose import Pointer
from kinefit.tracking.view_people import ViewPeople
from kinefit.types import CameraRig, InputError, Timeline

from .scene import NAMES, SIZE, Scene, ring, walker

RATE, COUNT = 30.0, 60


def walk(start: tuple[float, float], end: tuple[float, float], tall: float) -> np.ndarray:
    return walker(np.linspace(start, end, COUNT), np.arange(COUNT) / RATE, tall)


@pytest.fixture(scope="module")
def scene() -> Scene:
    """Two walk side by side, in opposite directions, and one stands far off, before two of four
    cameras: 1.75, 1.6 and 1.8 m tall."""
    made = Scene(ring(4), np.arange(COUNT) / RATE)
    made.add(walk((-1.2, 0.2), (1.2, 0.2), 1.75), score=0.9)
    made.add(walk((1.2, -0.8), (-1.2, -0.8), 1.6), score=0.7)
    made.add(walk((0.5, 1.6), (0.5, 1.6), 1.8), score=0.5, cameras=(1, 2))
    return made


@pytest.fixture(scope="module")
def lists(scene: Scene) -> list[list[np.ndarray]]:
    return scene.views()


def views_of(scene: Scene, lists: list[list[np.ndarray]]) -> dict[str, ViewPeople]:
    """Videos whose frames count from 100, and whose clocks count from anywhere."""
    timeline = Timeline(100 + np.arange(COUNT), 5 + np.arange(COUNT) / RATE)
    return {
        name: ViewPeople(People(NAMES, timeline.frame, tuple(view)), timeline, SIZE)
        for name, view in zip(scene.rig.names, lists, strict=True)
    }


@pytest.fixture(scope="module")
def views(scene: Scene, lists: list[list[np.ndarray]]) -> dict[str, ViewPeople]:
    return views_of(scene, lists)


def who(scene: Scene, places: np.ndarray, camera: int) -> set[int]:
    """The numbers of the people whom these places of a camera show."""
    return {scene.number(camera, t, int(p)) for t, p in enumerate(places) if p >= 0}


def numbers(scene: Scene, found) -> list[set[int]]:
    return [
        set.union(*(who(scene, p, c) for c, p in enumerate(person.places.values())))
        for person in found.people
    ]


def middle(scene: Scene, camera: int, frame: int, number: int) -> tuple[float, float]:
    """Where a person is in a picture."""
    (pose,) = [p for n, p in scene.lists[camera][frame] if n == number]
    xy = (np.nanmin(pose[:, :2], axis=0) + np.nanmax(pose[:, :2], axis=0)) / 2
    return float(xy[0]), float(xy[1])


class TestInView:
    def test_the_subject_is_the_first(self, scene: Scene, views: dict[str, ViewPeople]) -> None:
        found = find_in_view("cam1", views["cam1"])
        assert found.number == 1
        assert numbers(scene, found)[0] == {0}
        assert found.chosen is found.people[0]
        (track,) = found.tracks().values()
        t = 7
        (pose,) = [p for n, p in scene.lists[0][t] if n == 0]
        np.testing.assert_array_equal(track.image.xy[t], pose[:, :2])

    def test_the_person_of_a_number(self, scene: Scene, views: dict[str, ViewPeople]) -> None:
        found = find_in_view("cam1", views["cam1"], 2)
        assert found.number == 2
        assert who(scene, found.chosen.places["cam1"], 0) == {1}
        with pytest.raises(InputError, match="there is no person 3; 2 found"):
            find_in_view("cam1", views["cam1"], 3)

    def test_who_is_pointed_at(self, scene: Scene, views: dict[str, ViewPeople]) -> None:
        for frame in (0, COUNT - 1):
            at = middle(scene, 0, frame, 1)
            for camera in (None, "cam1"):
                pointer = Pointer(at, at, 100 + frame, camera)
                found = find_in_view("cam1", views["cam1"], at=pointer)
                assert who(scene, found.chosen.places["cam1"], 0) == {1}
        with pytest.raises(InputError, match="which camera's picture"):
            find_in_view("cam1", views["cam1"], at=Pointer(at, at, None, "cam2"))
        with pytest.raises(InputError, match="there is no frame 5"):
            find_in_view("cam1", views["cam1"], at=Pointer(at, at, 5))

    def test_nobody(self) -> None:
        nobody = People(NAMES, range(4), (np.empty((0, 17, 3)),) * 4)
        view = ViewPeople(nobody, Timeline.regular(4, 30.0), SIZE)
        for how in ({}, {"person": 1}, {"at": Pointer((1, 1), (1, 1))}):
            with pytest.raises(InputError, match=r"cam1.*nobody was found"):
                find_in_view("cam1", view, **how)


class TestInRig:
    def test_all_views_together(self, scene: Scene, views: dict[str, ViewPeople]) -> None:
        found = find_in_rig(scene.rig, views, np.zeros(4))
        assert numbers(scene, found) == [{0}, {1}, {2}]
        assert [list(p.places) for p in found.people] == [list(scene.rig.names)] * 3
        assert (found.people[2].places["cam1"] == -1).all()
        for number, person in enumerate(found.people):
            chosen = find_in_rig(scene.rig, views, np.zeros(4), number + 1)
            assert chosen.number == number + 1
            for name, track in chosen.tracks().items():
                np.testing.assert_array_equal(track.image.found, person.places[name] >= 0)
        with pytest.raises(InputError, match="there is no person 4; 3 found"):
            find_in_rig(scene.rig, views, np.zeros(4), 4)

    def test_the_points_of_the_one_who_is_asked_for(
        self, scene: Scene, views: dict[str, ViewPeople]
    ) -> None:
        for number in (1, 2):
            tracks = find_in_rig(scene.rig, views, np.zeros(4), number).tracks()
            images = {name: track.image for name, track in tracks.items()}
            seen = observe_rig(images, scene.rig, RigOptions(keep_axes=True))
            away = np.linalg.norm(seen.observations.xyz - scene.bodies[number - 1], axis=-1)
            assert np.nanmean(away) < 0.02  # 3 px of noise are 17 mm

    def test_who_is_pointed_at_in_one_picture(
        self, scene: Scene, views: dict[str, ViewPeople]
    ) -> None:
        for camera, number in ((0, 1), (2, 1), (1, 2), (2, 2), (3, 0)):
            at, name = middle(scene, camera, 3, number), scene.rig.names[camera]
            found = find_in_rig(scene.rig, views, np.zeros(4), at=Pointer(at, at, 103, name))
            assert numbers(scene, found)[found.number - 1] == {number}
        with pytest.raises(InputError, match="which camera's picture") as caught:
            find_in_rig(scene.rig, views, np.zeros(4), at=Pointer(at, at, 103))
        assert "cam1:, cam2:, cam3:, cam4:" in caught.value.hint
        with pytest.raises(InputError, match="nobody who can be followed was found at"):
            find_in_rig(scene.rig, views, np.zeros(4), at=Pointer((1, 1), (1, 1), None, "cam4"))

    def test_views_of_one_person_are_not_compared(self, lists: list[list[np.ndarray]]) -> None:
        """A bad calibration cannot hide who is alone in each picture."""
        alone = Scene(ring(3), np.arange(COUNT) / RATE)
        alone.add(walk((-1.2, 0.2), (1.2, 0.2), 1.75))
        views = views_of(alone, alone.views())
        wrong = CameraRig(tuple(replace(c, R=c.R.T, t=-c.R.T @ c.t) for c in alone.rig))
        found = find_in_rig(wrong, views, np.zeros(3))
        assert [person.seen() for person in found.people] == [{f"cam{i}": 1.0 for i in (1, 2, 3)}]

    def test_two_people_before_wrong_cameras_are_refused(
        self, scene: Scene, views: dict[str, ViewPeople]
    ) -> None:
        wrong = [replace(c, t=c.t + np.array([0, 2.0 * i, 0])) for i, c in enumerate(scene.rig)]
        with pytest.raises(InputError, match="no two cameras see the same person"):
            find_in_rig(CameraRig(tuple(wrong)), views, np.zeros(4))

    def test_nobody(self, scene: Scene) -> None:
        nobody = views_of(scene, [[np.empty((0, 17, 3))] * COUNT] * 4)
        with pytest.raises(InputError, match="cam1, cam2, cam3, cam4: nobody was found"):
            find_in_rig(scene.rig, nobody, np.zeros(4))

    def test_a_view_without_anybody_is_of_nobody(self, scene: Scene) -> None:
        alone = Scene(ring(3), np.arange(COUNT) / RATE)
        alone.add(walk((-1.2, 0.2), (1.2, 0.2), 1.75), cameras=(0, 2))
        found = find_in_rig(alone.rig, views_of(alone, alone.views()), np.zeros(3))
        assert [person.seen() for person in found.people] == [{"cam1": 1, "cam2": 0, "cam3": 1}]
        assert not found.tracks()["cam2"].image.found.any()


def test_what_is_recorded(scene: Scene, views: dict[str, ViewPeople]) -> None:
    found = find_in_rig(scene.rig, views, np.zeros(4), 2)
    told = json.loads(json.dumps(found.as_json(), allow_nan=False))
    assert [one["number"] for one in told] == [1, 2, 3]
    assert [one["chosen"] for one in told] == [False, True, False]
    assert told[2]["seen"] == {"cam1": 0, "cam2": 1, "cam3": 1, "cam4": 0}
    assert told[0]["doubt"] == dict.fromkeys(scene.rig.names, 0)
    for number, one in enumerate(told):
        best = one["best"]
        camera = scene.rig.names.index(best["camera"])
        row = best["frame"] - 100
        assert best["time"] == pytest.approx(5.0 + row / RATE)
        (pose,) = [p for n, p in scene.lists[camera][row] if n == number]
        corners = [*np.nanmin(pose[:, :2], axis=0), *np.nanmax(pose[:, :2], axis=0)]
        np.testing.assert_allclose(best["box"], corners, atol=0.5)
        # Nowhere is this person larger and surer.
        worth = max(
            float(np.linalg.norm(np.ptp(p[np.isfinite(p[:, 0]), :2], axis=0)) * np.nanmean(p[:, 2]))
            for view in scene.lists for frame in view for n, p in frame if n == number
        )  # fmt: skip
        mine = float(np.linalg.norm(np.subtract(corners[2:], corners[:2])) * np.nanmean(pose[:, 2]))
        assert mine == pytest.approx(worth)


def test_frames_in_doubt_are_recorded() -> None:
    """Two of one size stand on one another for a second, and no colours tell them apart."""
    time = np.arange(90) / RATE
    figure = np.random.default_rng(0).uniform((-50, -200), (50, 200), (17, 2))
    way = np.abs(np.linspace(-500, 500, 90))
    score = np.full((17, 1), 0.9)
    frames = tuple(
        np.stack([np.hstack([figure + np.array([600 + side * w, 300]), score]) for side in (-1, 1)])
        for w in way
    )
    view = ViewPeople(People(NAMES, range(90), frames), Timeline(np.arange(90), time), SIZE)
    told = find_in_view("cam1", view).as_json()
    assert len(told) == 2
    assert all(5 < one["doubt"]["cam1"] < 40 for one in told)
