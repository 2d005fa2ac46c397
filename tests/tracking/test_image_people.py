"""Who is who in one view, in made-up scenes with known answers."""

import numpy as np
import pytest

from kinefit.tracking.image_people import ImagePerson, people_in_view

RATE = 30.0
FIGURE = np.random.default_rng(0).uniform((-50, -200), (50, 200), (17, 2))
# CIELAB of head, trunk and legs: colours of clothes as far apart as in the street.
RED = np.array([[60, 10, 20], [50, 60, 40], [30, 5, -10.0]])
BLUE = np.array([[60, 10, 20], [40, 10, -50], [30, 5, -10.0]])
SUNLIT, FADED = (RED + np.array(shift) for shift in ([10, 2, 2], [25, 0, 0]))


class Scene:
    """People of the same shape, 100 x 400 pixels times their scale, in `count` frames."""

    def __init__(self, count: int, seed: int = 0, rate: float = RATE) -> None:
        self.time = np.arange(count) / rate
        self.random = np.random.default_rng(seed)
        self.people: list[list[tuple[str, np.ndarray, np.ndarray]]] = [[] for _ in range(count)]

    def add(
        self,
        name: str,
        x: np.ndarray | float,
        *,
        scale: float = 1.0,
        score: float = 0.8,
        frames: range | None = None,
        without: range = range(0),
        look: np.ndarray | None = None,
    ) -> None:
        """look: of the parts of the body; None: unknown. It varies by 3 units with the light."""
        x = np.broadcast_to(x, len(self.time))
        for frame in frames or range(len(self.time)):
            if frame in without:
                continue
            # 2 pixels: the jitter of a good detector on a person of 400.
            xy = FIGURE * scale + (x[frame], 300) + self.random.normal(0, 2, FIGURE.shape)
            pose = np.column_stack([xy, np.full(len(xy), score)])
            seen = np.full_like(RED, np.nan) if look is None else look
            seen = seen + self.random.normal(0, 3, RED.shape)
            self.people[frame].append((name, pose, seen))

    def found(self, looks: bool = True) -> tuple[ImagePerson, ...]:
        """What `people_in_view` makes of it, with everybody in random order."""
        for people in self.people:
            self.random.shuffle(people)
        poses = [np.array([p for _, p, _ in f]).reshape(-1, 17, 3) for f in self.people]
        seen = [np.array([s for _, _, s in f]).reshape(-1, 3, 3) for f in self.people]
        return people_in_view(poses, self.time, seen if looks else None)

    def names(self, person: ImagePerson) -> list[str | None]:
        """Who that is in each frame."""
        return [
            people[i][0] if i >= 0 else None
            for people, i in zip(self.people, person.place, strict=True)
        ]

    def chosen(self) -> list[str | None]:
        """Who the subject is in each frame, by the places alone."""
        return self.names(self.found(looks=False)[0])

    def truth(self, name: str) -> list[str | None]:
        return [name if name in [n for n, *_ in people] else None for people in self.people]


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
    assert people_in_view([np.empty((0, 17, 3))] * count, np.arange(count)) == ()


def test_everybody_is_numbered_by_size_and_time() -> None:
    scene = Scene(120)
    scene.add("small", 200.0, scale=0.5)
    scene.add("large", 600.0)
    scene.add("short stay", 1000.0, frames=range(30, 60), scale=1.2)
    scene.add("unsure", 1400.0, scale=0.9, score=0.4)
    found = scene.found()
    order = ["large", "small", "unsure", "short stay"]  # 1, 0.5, 0.45 and 0.3 of the first
    assert [scene.names(person) for person in found] == [scene.truth(name) for name in order]
    weights = [person.weight for person in found]
    assert sum(weights) == pytest.approx(1)
    assert weights == sorted(weights, reverse=True)
    assert [(person.place >= 0).mean() for person in found] == [1, 1, 1, 0.25]
    assert not any(person.doubt.any() for person in found)


def test_a_glimpse_is_nobody() -> None:
    """8 frames of 30 a second are less than 0.3 s; 10 are a person."""
    scene = Scene(90)
    scene.add("subject", 300.0)
    scene.add("ghost", 900.0, frames=range(40, 48))
    assert [set(scene.names(p)) for p in scene.found()] == [{"subject"}]
    scene.add("visitor", 1500.0, frames=range(40, 50))
    assert [set(scene.names(p)) for p in scene.found()] == [{"subject"}, {"visitor", None}]


def test_a_shadow_is_nobody() -> None:
    """Small and unsure for half a second: of no weight beside the subject."""
    scene = Scene(120)
    scene.add("subject", 300.0)
    scene.add("shadow", 900.0, frames=range(40, 56), scale=0.3, score=0.3)
    assert [set(scene.names(p)) for p in scene.found()] == [{"subject"}]


def test_a_clip_shorter_than_a_glimpse_has_people() -> None:
    scene = Scene(5)
    scene.add("subject", 300.0, without=range(2, 3))  # a damaged frame
    assert scene.chosen() == scene.truth("subject")
    one = Scene(1)
    one.add("subject", 300.0)
    one.add("other", 900.0, scale=0.7)
    assert [one.names(p) for p in one.found()] == [["subject"], ["other"]]


def turn_back(count: int, looks: tuple[np.ndarray | None, np.ndarray | None]) -> Scene:
    """Two walk towards each other, stand together for a second, and go back where they came from:
    by place and speed alone they would go on."""
    scene = Scene(count)
    third = count // 3
    near = np.full(count - 2 * third, 10.0)
    way = np.concatenate([np.linspace(500, 10, third), near, np.linspace(10, 500, third)])
    scene.add("left", 600 - way, look=looks[0])
    scene.add("right", 600 + way, look=looks[1], score=0.75)
    return scene


def test_looks_decide_who_is_who_after_a_meeting() -> None:
    found = (scene := turn_back(90, (RED, BLUE))).found()
    assert [scene.names(p) for p in found] == [scene.truth("left"), scene.truth("right")]
    assert not any(person.doubt.any() for person in found)


def bounce(looks: tuple[np.ndarray | None, np.ndarray | None], *, hide: bool = True) -> Scene:
    """Two run into each other and turn on the spot; nobody sees what they wear at that moment."""
    scene = Scene(90)
    way = np.abs(np.linspace(-500, 500, 90))
    apart = (range(30), range(60, 90))
    for frames in (*apart, range(30, 60)):
        hidden = hide and frames.start == 30
        scene.add("left", 600 - way, frames=frames, look=None if hidden else looks[0])
        scene.add("right", 600 + way, frames=frames, look=None if hidden else looks[1], score=0.75)
    return scene


def test_looks_that_are_seen_all_the_time_leave_no_frame_wrong() -> None:
    scene = bounce((RED, BLUE), hide=False)
    assert [scene.names(p) for p in scene.found()] == [scene.truth("left"), scene.truth("right")]


def test_who_went_on_as_the_other_is_put_right() -> None:
    """By speed each goes on in the other's place; their clothes say that they turned."""
    scene = bounce((RED, BLUE))
    by_place = [scene.names(p) for p in scene.found(looks=False)]
    assert all(who[0] != who[-1] for who in by_place)  # the control: there is something to do
    found = scene.found()
    assert not any(person.doubt.any() for person in found)
    for person in found:
        who = scene.names(person)
        # They are one place at the 45th frame; where they are exchanged there is as good as any.
        assert len({*who[:40], *who[50:]}) == 1


def test_who_went_on_as_the_other_is_in_doubt_where_looks_say_nothing() -> None:
    for looks in ((None, None), (RED, None), (RED, RED)):
        found = bounce(looks).found()
        assert len(found) == 2
        assert all(person.doubt[45] and not person.doubt[0] for person in found)


@pytest.mark.parametrize("looks", [(None, None), (RED, None), (RED, RED)])
def test_a_meeting_is_in_doubt_where_looks_say_nothing(looks) -> None:
    scene = turn_back(90, looks)
    found = scene.found()
    assert len(found) == 2
    for person in found:
        doubt = np.flatnonzero(person.doubt)
        assert len(doubt) > 20  # of the 30 frames in which they stand together
        # Only around the meeting: they are 0.35 sizes of 412 px apart at the 25th frame.
        assert doubt.min() >= 22
        assert doubt.max() <= 67


def test_nobody_is_in_doubt_who_stays_away_from_others() -> None:
    scene = Scene(60)
    scene.add("subject", np.linspace(200, 700, 60))
    scene.add("other", np.linspace(500, 1000, 60))
    assert not any(person.doubt.any() for person in scene.found(looks=False))


def test_a_track_that_goes_over_to_somebody_else_is_cut() -> None:
    """The subject leaves behind a pillar where a stranger comes out, at the same pace."""
    scene = Scene(120)
    x = np.linspace(200, 1000, 120)
    scene.add("subject", x, frames=range(70), look=RED)
    scene.add("stranger", x, frames=range(70, 120), look=BLUE)
    found = scene.found()
    assert [set(scene.names(p)) for p in found] == [{"subject", None}, {"stranger", None}]
    # Without looks it is one walk; with the same clothes, too.
    assert set(scene.names(scene.found(looks=False)[0])) == {"subject", "stranger"}
    same = Scene(120)
    same.add("subject", x, frames=range(70), look=RED)
    same.add("subject", x, frames=range(70, 120), look=RED)
    assert [set(same.names(p)) for p in same.found()] == [{"subject"}]


@pytest.mark.parametrize(
    ("look", "again"), [(RED, True), (BLUE, False), (None, True), (FADED, False)]
)
def test_who_comes_back_is_the_same_person_if_the_look_allows(look, again) -> None:
    scene = Scene(150)
    scene.add("subject", 600.0, frames=range(60), look=RED)
    scene.add("later", 640.0, frames=range(90, 150), look=look)
    found = scene.found()
    assert len(found) == (1 if again else 2)
    assert (found[0].place >= 0).mean() == (0.8 if again else 0.4)


def test_a_little_more_light_does_not_make_another_person() -> None:
    scene = Scene(150)
    scene.add("subject", 600.0, frames=range(60), look=RED)
    scene.add("subject", 640.0, frames=range(90, 150), look=SUNLIT)  # out of the shade
    assert len(scene.found()) == 1


def test_the_order_within_frames_changes_nothing() -> None:
    scene = turn_back(90, (RED, BLUE))
    scene.add("third", np.linspace(-100, 1500, 90), scale=0.8)
    results = []
    for _ in range(3):
        found = scene.found()  # shuffles
        results.append([(scene.names(p), p.doubt.tolist(), p.weight) for p in found])
    for other in results[1:]:
        for one, two in zip(results[0], other, strict=True):
            assert one[:2] == two[:2]
            assert one[2] == pytest.approx(two[2], abs=1e-12)


@pytest.mark.parametrize("rate", [10.0, 60.0, 120.0])
def test_the_frame_rate_changes_nothing(rate: float) -> None:
    """Five seconds of the same event: a crossing, somebody who leaves and comes back."""
    count = round(5 * rate)
    scene = Scene(count, rate=rate)
    second = round(rate)
    scene.add("subject", np.linspace(200, 1000, count), look=RED)
    scene.add("other", np.linspace(1000, 200, count), look=BLUE, score=0.7)
    away = range(2 * second, 3 * second)
    scene.add("guest", 1800.0, scale=0.5, without=away)
    found = scene.found()
    assert [scene.names(p) for p in found] == [
        scene.truth(name) for name in ("subject", "other", "guest")
    ]
    assert [round(p.weight, 2) for p in found] == [0.44, 0.38, 0.18]


def test_many_frames_take_no_more_time_each() -> None:
    from time import perf_counter

    def seconds(count: int) -> float:
        scene = Scene(count)
        scene.add("a", 300.0, look=RED)
        scene.add("b", 800.0, look=BLUE)
        start = perf_counter()
        scene.found()
        return perf_counter() - start

    seconds(30)  # imports
    short, long = seconds(250), seconds(1000)
    assert long < 4 * 3 * short  # linear: 4; quadratic: 16


def test_in_a_crowd_nobody_is_too_little() -> None:
    """Everybody is compared with the subject, not with the sum of all."""
    rng = np.random.default_rng(0)
    figure = rng.uniform((-5, -20), (5, 20), (17, 2))
    points = []
    for _ in range(12):
        poses = np.full((60, 17, 3), 0.8)
        poses[..., :2] = figure + np.arange(60)[:, None, None] * (60.0, 0) + rng.normal(0, 0.1, 2)
        points.append(poses)
    assert len(people_in_view(points, np.arange(12) / 30.0)) == 60
