"""The subject among several people, in made-up scenes with known answers."""

import numpy as np
import pytest

from kinefit.tracking.image_subject import subject_in_view

RATE = 30.0
FIGURE = np.random.default_rng(0).uniform((-50, -200), (50, 200), (17, 2))


class Scene:
    """People of the same shape, 100 x 400 pixels times their scale, in `count` frames."""

    def __init__(self, count: int, seed: int = 0) -> None:
        self.time = np.arange(count) / RATE
        self.random = np.random.default_rng(seed)
        self.people: list[list[tuple[str, np.ndarray]]] = [[] for _ in range(count)]

    def add(
        self,
        name: str,
        x: np.ndarray | float,
        *,
        scale: float = 1.0,
        score: float = 0.8,
        frames: range | None = None,
        without: range = range(0),
    ) -> None:
        x = np.broadcast_to(x, len(self.time))
        for frame in frames or range(len(self.time)):
            if frame in without:
                continue
            # 2 pixels: the jitter of a good detector on a person of 400.
            xy = FIGURE * scale + (x[frame], 300) + self.random.normal(0, 2, FIGURE.shape)
            pose = np.column_stack([xy, np.full(len(xy), score)])
            self.people[frame].append((name, pose))

    def chosen(self) -> list[str | None]:
        """The names that `subject_in_view` picks, with everybody in random order."""
        for people in self.people:
            self.random.shuffle(people)
        poses = [np.array([p for _, p in people]).reshape(-1, 17, 3) for people in self.people]
        picked = subject_in_view(poses, self.time)
        return [
            people[i][0] if i >= 0 else None for people, i in zip(self.people, picked, strict=True)
        ]


def test_a_bystander_who_crosses_does_not_capture_the_track() -> None:
    scene = Scene(120)
    scene.add("subject", np.linspace(200, 1000, 120))
    scene.add("bystander", np.linspace(1400, -200, 120), scale=0.8, score=0.9)
    assert scene.chosen() == ["subject"] * 120


def test_nor_when_the_subject_is_hidden_by_the_bystander() -> None:
    scene = Scene(120)
    hidden = range(50, 60)
    scene.add("subject", np.linspace(400, 800, 120), without=hidden)
    scene.add("bystander", np.linspace(1400, -200, 120), scale=0.8)
    assert scene.chosen() == [None if i in hidden else "subject" for i in range(120)]


def test_two_of_one_size_cross() -> None:
    # On top of each other, only their speeds tell who is who.
    scene = Scene(100)
    scene.add("subject", np.linspace(200, 1000, 100))
    scene.add("other", np.linspace(1000, 200, 100), score=0.7)
    assert scene.chosen() == ["subject"] * 100


def test_a_larger_person_who_stays_briefly_is_not_the_subject() -> None:
    scene = Scene(120)
    scene.add("passer-by", np.linspace(0, 600, 120), scale=1.6, frames=range(20))
    scene.add("subject", 900.0)
    assert scene.chosen() == ["subject"] * 120


def test_the_surer_is_the_subject() -> None:
    scene = Scene(30)
    scene.add("ghost", 300.0, score=0.3, scale=1.2)
    scene.add("subject", 900.0, score=0.8)
    assert scene.chosen() == ["subject"] * 30


def test_the_subject_comes_back_and_nobody_stands_in_meanwhile() -> None:
    scene = Scene(240)
    away = range(80, 160)
    scene.add("subject", 600.0, without=away)
    scene.add("bystander", np.linspace(0, 900, 240), scale=0.6, frames=range(85, 155))
    assert scene.chosen() == [None if i in away else "subject" for i in range(240)]


def test_a_fast_runner_is_followed() -> None:
    # 10 m/s at 1.8 m over 400 pixels: 74 pixels a frame.
    scene = Scene(25)
    scene.add("subject", np.arange(25) * 74.0)
    scene.add("spectator", 900.0, scale=0.5)
    assert scene.chosen() == ["subject"] * 25


def test_missing_points_and_empty_frames() -> None:
    scene = Scene(20)
    scene.add("subject", 300.0, without=range(5, 8))
    for people in scene.people[10:]:
        people[0][1][scene.random.permutation(17)[: scene.random.integers(1, 9)]] = np.nan
    assert scene.chosen() == [None if i in range(5, 8) else "subject" for i in range(20)]


@pytest.mark.parametrize("count", [0, 5])
def test_nobody(count: int) -> None:
    assert (
        subject_in_view([np.empty((0, 17, 3))] * count, np.arange(count)).tolist() == [-1] * count
    )
