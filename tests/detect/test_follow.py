"""Who is in which frame: made-up places, then a real person put where a test wants them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

from kinefit.detect import follow, search
from kinefit.detect.blazepose import NAMES, LandmarkNetwork, Pose, size_of
from kinefit.detect.embedded import PictureDetector
from kinefit.detect.follow import Follower, Networks, Seen, State
from kinefit.io.video import Picture
from kinefit.types import FloatArray

from .people_pictures import Cutout, film, pictures_of, plain

LOOK = np.zeros((6, 3))


def at(x: float, y: float = 300.0, size: float = 100.0) -> FloatArray:
    return np.array([x, y, x, y - size])


def pose_at(x: float, y: float = 300.0, size: float = 100.0) -> Pose:
    values = np.zeros((33, 6))
    values[:, :2] = np.random.default_rng(0).uniform(-size / 2, size / 2, (33, 2))
    values[:, :2] += x, y
    return Pose(values, at(x, y, size), 1.0)


class TestBlocks:
    @pytest.mark.parametrize(("count", "step"), [(1, 10), (10, 10), (11, 10), (25, 10), (5, 1)])
    def test_they_end_with_key_frames(self, count: int, step: int) -> None:
        blocks = list(follow._blocks(iter(film([None] * count, 30.0)), step, 0))
        rows = [[f.index for f in block] for block in blocks]
        assert [r for row in rows for r in row] == list(range(count))
        assert rows[0] == [0]  # a group of its own
        assert all(row[-1] % step == 0 for row in rows[:-1])
        assert all(len(row) <= step for row in rows)

    def test_going_on_they_are_the_same(self) -> None:
        whole = list(follow._blocks(iter(range(50)), 7, 0))
        rest = list(follow._blocks(iter(range(22, 50)), 7, 22))
        assert rest == whole[4:]

    def test_nothing(self) -> None:
        assert list(follow._blocks(iter([]), 7, 0)) == []


@pytest.mark.parametrize("count", [0, 1, 2, 3, 11, 12])
def test_middles_come_between_neighbours_that_are_known(count: int) -> None:
    known, order = {-1, count}, []
    for middle, low, high in follow._middles(-1, count):
        assert {low, high} <= known
        assert low < middle < high
        known.add(middle)
        order.append(middle)
    assert sorted(order) == list(range(count))
    assert order[:1] == ([(count - 1) // 2] if count else [])


@pytest.mark.parametrize(
    ("width", "height", "side"),
    [(1920, 1080, 960), (1080, 1920, 480), (1920, 1080, 240), (640, 480, 640), (300, 1000, 250),
     (64, 48, 32), (101, 97, 50.5), (1921, 3, 240)],
)  # fmt: skip
def test_squares_cover_the_picture_each_half_over_the_next(
    width: int, height: int, side: float
) -> None:
    squares = search.squares(width, height, side)
    assert {s[2] for s in squares} == {side}
    for axis, length in ((0, width), (1, height)):
        starts = np.unique([s[axis] for s in squares])
        assert starts[0] == 0
        assert starts[-1] + side >= length
        if length > side:
            assert starts[-1] + side == pytest.approx(length)  # nothing is spent beyond it
            assert np.diff(starts).max() <= side / 2 + 1e-9
    assert len(squares) == len({tuple(s) for s in squares})


class TestOnceEach:
    def test_the_surest_of_those_that_are_near_stays(self) -> None:
        found = [(0.6, at(100)), (0.9, at(110)), (0.7, at(300)), (0.8, at(135))]
        kept = search._each_once(found, ())
        assert [place[0] for place in kept] == [110, 300]  # 25 px are 0.25 of the size
        found[3] = (0.8, at(136))
        assert [place[0] for place in search._each_once(found, ())] == [110, 136, 300]

    def test_another_size_is_another_person(self) -> None:
        found = [(0.9, at(100)), (0.8, at(100, size=200)), (0.7, at(100, size=150))]
        assert [size_of(place) for place in search._each_once(found, ())] == [100, 200]

    def test_who_is_known_is_not_found_again(self) -> None:
        found = [(0.9, at(100)), (0.8, at(300))]
        assert [place[0] for place in search._each_once(found, [at(110)])] == [300]

    def test_nobody_stands_on_another_s_head(self) -> None:
        turned = at(100, size=-100)
        upright = at(140)
        assert len(search._each_once([(0.9, upright), (0.8, turned)], ())) == 1
        assert len(search._each_once([(0.9, at(240)), (0.8, turned)], ())) == 2

    def test_poses_are_one_where_all_points_lie_together(self) -> None:
        one, near, far = pose_at(100), pose_at(110), pose_at(120)
        assert search.same(one, near)
        assert not search.same(one, far)


class TestFind:
    def test_who_is_small_or_unsure_is_looked_at_again(self) -> None:
        """The second look is where the person network likes them, and its word counts."""
        looked: list[FloatArray | None] = []

        def look(squares: Sequence[FloatArray | None]) -> list[list[tuple[float, FloatArray]]]:
            looked.extend(squares)
            if len(looked) == 1:  # large and sure, small, large but unsure, known
                return [[(0.9, at(100, size=500)), (0.9, at(900)), (0.6, at(1500, size=500)),
                         (0.95, at(600))]]  # fmt: skip
            return [[(0.7, at(905))], []]

        found = search.find(look, [None], 1000, [at(600)])
        assert [place[0] for place in found] == [100, 905]
        sides = [None if square is None else square[2] for square in looked]
        assert sides == [None, 250, 1250]


class TestPaired:
    def test_the_least_sum(self) -> None:
        expected = [at(100), at(160)]
        assert follow._paired(expected, [pose_at(155), pose_at(90)]) == {0: 1, 1: 0}
        # The nearest for both is the same: only one has it.
        assert follow._paired(expected, [pose_at(130)]) in ({0: 0}, {1: 0})

    def test_none_too_far_and_none_of_another_size(self) -> None:
        assert follow._paired([at(100)], [pose_at(181)]) == {}
        assert follow._paired([at(100)], [pose_at(179)]) == {0: 0}
        assert follow._paired([at(100)], [pose_at(100, size=170)]) == {}

    def test_nobody(self) -> None:
        assert follow._paired([], [pose_at(100)]) == {}
        assert follow._paired([at(100)], []) == {}


class TestGroup:
    def test_of_two_that_are_one_the_expected_stays(self) -> None:
        from concurrent.futures import Future

        def done(value: list[tuple[int, Seen, float]]) -> Future:
            future: Future = Future()
            future.set_result(value)
            return future

        first, second, other = (Seen(pose_at(x), LOOK) for x in (100, 105, 400))
        group = follow._Group(film([None] * 3, 30.0))
        group.add(done([(0, first, 0.4), (1, first, 0.1)]))
        group.add(done([(0, second, 0.2), (1, second, 0.3), (1, other, 0.5)]))
        key = Seen(pose_at(102), LOOK)
        group.keys[2] = [key]
        group.add(done([(2, first, 0.0)]))  # the key frame's own is not displaced
        assert group.result() == [[second], [first, other], [key]]


def followed(
    pictures: Sequence[Picture | None], rate_hz: float = 30.0, threads: int = 1, **how: bool
) -> list[list[Seen]]:
    follower = Follower(Networks(**how), rate_hz, threads)
    return [seen for _, seen in follower.over(iter(film(pictures, rate_hz)))]


def middles(seen: Sequence[Seen]) -> FloatArray:
    return np.array([one.pose.place[:2] for one in seen]).reshape(-1, 2)


def check_once(found: Sequence[Sequence[Seen]]) -> None:
    """Nobody is twice in a frame."""
    for seen in found:
        for i, one in enumerate(seen):
            assert not any(search.same(one.pose, other.pose) for other in seen[:i])


@pytest.fixture(scope="module")
def look() -> PictureDetector:
    return PictureDetector()


class TestOnePicture:
    @pytest.mark.parametrize("where", [(1500, 700), (60, 60)])
    def test_a_person_60_pixels_high(
        self, person: Cutout, look: PictureDetector, where: tuple[int, int]
    ) -> None:
        picture = plain(1920, 1080)
        person.on(picture, *where, height=60)
        (found,) = look(picture)
        assert np.linalg.norm(found.place[:2] - where) < 6
        heads, heels = (found.values[[NAMES.index(n) for n in names], 1].mean()
                        for names in (("LEar", "REar"), ("LHeel", "RHeel")))  # fmt: skip
        assert 45 < heels - heads < 65

    @pytest.mark.parametrize("apart", [240, 160])
    def test_two_people_side_by_side(
        self, person: Cutout, look: PictureDetector, apart: int
    ) -> None:
        """Their boxes, 160 pixels wide, touch or overlap a little."""
        picture = plain(1280, 720)
        where = [person.on(picture, 500 + s * apart, 380, 400, mirrored=bool(s)) for s in (0, 1)]
        found = sorted(look(picture), key=lambda pose: pose.place[0])
        assert len(found) == 2
        for pose, middle in zip(found, where, strict=True):
            assert np.linalg.norm(pose.place[:2] - middle) < 0.1 * pose.size

    def test_people_of_all_sizes_are_found_once_each(
        self, person: Cutout, look: PictureDetector
    ) -> None:
        picture = plain(1920, 1080)
        where = [person.on(picture, x, 560, h) for x, h in ((400, 900), (900, 400), (1300, 200))]
        found = look(picture)
        check_once([[Seen(pose, LOOK) for pose in found]])
        for middle in where:
            assert sum(np.linalg.norm(p.place[:2] - middle) < 0.2 * p.size for p in found) == 1
        assert len(found) == 3

    def test_one_picture_says_nothing_of_the_next(
        self, person: Cutout, look: PictureDetector
    ) -> None:
        picture = plain(640, 480)
        person.on(picture, 300, 240, 300)
        one = look(picture)
        assert look(plain(640, 480)) == []
        two = look(picture)
        assert [p.values.tobytes() for p in one] == [p.values.tobytes() for p in two]


@pytest.fixture(scope="module")
def real(demo_clip: Path) -> list[Picture]:
    return pictures_of(demo_clip, 30)


@pytest.fixture(scope="module")
def found(real: list[Picture]) -> list[list[Seen]]:
    return followed(real, 60.0)


class TestReal:
    def test_the_subject_is_in_every_frame_and_nobody_twice(self, found: list[list[Seen]]) -> None:
        check_once(found)
        hips = [middles(seen) for seen in found]
        assert all((xy[:, 0] > 175).sum() == 1 for xy in hips)  # the bystander is left of 65
        path = np.array([xy[xy[:, 0] > 175][0] for xy in hips])
        assert np.abs(np.diff(path, axis=0)).max() < 6

    def test_it_does_not_depend_on_threads(
        self, real: list[Picture], found: list[list[Seen]]
    ) -> None:
        for threads in (2, 3):
            assert contents(followed(real, 60.0, threads)) == contents(found)

    def test_going_on_from_any_block_gives_the_same(
        self, real: list[Picture], found: list[list[Seen]]
    ) -> None:
        follower = Follower(Networks(), 60.0, 2)
        frames = film(real, 60.0)
        states: dict[int, State] = {}
        for frame, _ in follower.over(iter(frames)):
            states[frame.index] = follower.state
        for row in (0, 12, 24):
            assert states[row].row == row
            again = Follower(Networks(), 60.0, 1, states[row])
            rest = [seen for _, seen in again.over(iter(frames[row + 1 :]))]
            assert contents(rest) == contents(found[row + 1 :])

    def test_how_far_the_rate_matters(self) -> None:
        steps = {rate: Follower(Networks(), rate, 1).step for rate in (1.0, 24.0, 30.0, 240.0)}
        assert steps == {1.0: 1, 24.0: 8, 30.0: 10, 240.0: 12}
        assert Follower(Networks(), float("nan"), 1).step == 1


def contents(found: Sequence[Sequence[Seen]]) -> list[list[tuple[bytes, ...]]]:
    return [
        [(s.pose.values.tobytes(), s.pose.place.tobytes(), s.look.tobytes()) for s in seen]
        for seen in found
    ]


class TestComingAndGoing:
    def test_who_leaves_and_comes_back_is_there_only_while_they_are(self, person: Cutout) -> None:
        """Behind a wall for frames 7 to 22, so not in the second key frame of ten."""
        pictures = []
        for i in range(31):
            picture = plain(640, 480)
            if not 7 <= i < 23:
                person.on(picture, 200 + 4 * i, 240, 300)
            pictures.append(picture)
        found = followed(pictures)
        check_once(found)
        assert [len(seen) for seen in found] == [0 if 7 <= i < 23 else 1 for i in range(31)]
        for i in (0, 6, 23, 30):
            assert np.linalg.norm(middles(found[i])[0] - [200 + 4 * i, 240]) < 25

    def test_who_walks_in_between_key_frames_is_followed_back(self, person: Cutout) -> None:
        pictures = []
        for i in range(21):
            picture = plain(640, 480)
            person.on(picture, 150, 240, 300)
            if i >= 4:
                person.on(picture, 480 - 2 * i, 240, 300, mirrored=True)
            pictures.append(picture)
        found = followed(pictures)
        check_once(found)
        assert [len(seen) for seen in found] == [1] * 4 + [2] * 17

    def test_two_who_pass_each_other_stay_two(self, person: Cutout) -> None:
        pictures = []
        for i in range(31):
            picture = plain(960, 480)
            person.on(picture, 760 - 18 * i, 230, 260, mirrored=True)
            person.on(picture, 200 + 18 * i, 240, 300)  # in front
            pictures.append(picture)
        found = followed(pictures)
        check_once(found)
        apart = [i for i in range(31) if abs(560 - 36 * i) > 150]
        assert all(len(found[i]) == 2 for i in apart)
        assert all(len(seen) >= 1 for seen in found)
        assert max(map(len, found)) == 2

    def test_damaged_frames_are_empty_and_bridged(self, person: Cutout) -> None:
        """The key frame itself, some before it, the first and the last."""
        pictures: list[Picture | None] = []
        for i in range(25):
            picture = plain(640, 480)
            person.on(picture, 200 + 4 * i, 240, 300)
            pictures.append(None if i in (0, 5, 9, 10, 24) else picture)
        found = followed(pictures)
        expected = [0 if i in (0, 5, 9, 10, 24) else 1 for i in range(25)]
        assert [len(seen) for seen in found] == expected

    def test_only_damaged_frames(self) -> None:
        assert followed([None] * 12) == [[]] * 12

    def test_a_person_who_grows_small_is_still_followed(self, person: Cutout) -> None:
        """Walking away until 60 pixels high: a search of the whole picture would not find them."""
        pictures = []
        for i in range(41):
            picture = plain(1280, 720)
            person.on(picture, 640, 360, 150 * 0.4 ** (i / 40))
            pictures.append(picture)
        found = followed(pictures)
        assert [len(seen) for seen in found] == [1] * 41
        assert size_of(found[-1][0].pose.place) < 35

    def test_who_was_hidden_is_searched_where_they_were(self, person: Cutout) -> None:
        """Too small for a search of the picture, which shows somebody large all the time."""
        pictures = []
        for i in range(41):
            picture = plain(1280, 720)
            person.on(picture, 300, 360, 500)
            if not 21 <= i < 33:
                person.on(picture, 900, 360, 250 * 0.3 ** (min(i, 20) / 20))
            pictures.append(picture)
        found = followed(pictures)
        check_once(found)
        assert [len(seen) for seen in found] == [1 if 21 <= i < 33 else 2 for i in range(41)]
        # The control: who was never near is not searched so deep while somebody is followed.
        assert len(followed(pictures[33:34] * 2)[-1]) == 1

    def test_between_key_frames_the_mirror_is_not_forgotten(self, person: Cutout) -> None:
        """Nothing moves: what the mirror adds in the key frames is added between them."""
        picture = plain(640, 480)
        person.on(picture, 320, 240, 400)
        follower = Follower(Networks(), 30.0, 1)
        found, keys = {}, {}
        for frame, (seen,) in follower.over(iter(film([picture] * 11, 30.0))):
            found[frame.index] = seen
            keys[frame.index] = follower.state.keys[0]
        first, last = keys[0], keys[10]
        half = (first.half + last.half) / 2
        assert np.median(np.abs(half[:, :2])) > 0.1
        middle = (first.seen.pose.place + last.seen.pose.place) / 2
        expected = LandmarkNetwork()(picture, middle).moved(half)
        np.testing.assert_allclose(found[5].pose.values, expected.values, atol=1e-9)

    def test_nobody_is_nowhere(self) -> None:
        assert followed([plain(320, 240)] * 12) == [[]] * 12

    def test_the_colours_are_those_of_the_person(self, person: Cutout) -> None:
        """The same person dressed otherwise has another look in the parts that changed."""
        dyed = replace_colour(person)
        looks = []
        for one in (person, dyed):
            picture = plain(640, 480)
            one.on(picture, 320, 240, 400)
            (seen,) = followed([picture])[0]
            looks.append(seen.look)
        away = np.linalg.norm((looks[0] - looks[1])[1:3], axis=1)
        assert (away > 30).all()
        assert np.isfinite(looks[0]).all()


def replace_colour(person: Cutout) -> Cutout:
    """The person in blue."""
    dyed = object.__new__(Cutout)
    lab = cv2.cvtColor(person.rgb, cv2.COLOR_RGB2LAB)
    lab[..., 1:] = 140, 60
    dyed.rgb, dyed.share = cv2.cvtColor(lab, cv2.COLOR_LAB2RGB), person.share
    return dyed
