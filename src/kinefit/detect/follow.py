"""Everybody in a video, from networks that look at one picture: forwards, but looking ahead.

A video is recorded, so nothing has to be guessed from the past alone. Every third of a second
there is a key frame, in which people are searched and each is looked at twice (as seen, and in a
mirror). Who is in two key frames is looked at in the frames between, where the places before and
after say: first in the middle, then in the middle of the halves. Who comes or goes between two key
frames is followed from the one that shows them until the network sees them no more. So each group
of frames depends on the key frames on its two sides and on nothing else, and groups are worked on
side by side without changing a bit of the result.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import NamedTuple

import cv2
import numpy as np

from kinefit.detect.blazepose import LandmarkNetwork, PersonNetwork, Pose, size_of
from kinefit.detect.looks import look_of
from kinefit.detect.search import Found, around, find, is_near, off, quarters, same
from kinefit.io.video import Picture, VideoFrame
from kinefit.tracking.track import FAR, assign
from kinefit.types import FloatArray

KEY_S = 1 / 3  # between key frames; not more than MOST frames, which wait in memory
MOST = 12
_NEAR = 0.5  # sizes; farther from where it was looked for, a pose is somebody else's
_REACH = 0.8  # sizes that somebody may move between key frames beyond what they were expected to
_LOST_S = 3.0  # for so long somebody is searched where they were last seen
_IN_TURN = 3  # squares of the picture that are searched in a key frame with several people
_DEEP_S = 1.0  # how often everything is searched down to the smallest while nobody is followed
_THOROUGH_S = 3.0  # the same where that is asked for while somebody is


class Seen(NamedTuple):
    """Somebody in a frame: the pose, and (6, 3) how they look."""

    pose: Pose
    look: FloatArray


@dataclass(frozen=True, eq=False)
class Key:
    """Somebody in a key frame.

    half: (33, 6) what the mirror adds to the pose. speed: (4,) of the place, pixels per frame.
    """

    seen: Seen
    half: FloatArray
    speed: FloatArray


@dataclass(frozen=True, eq=False)
class Lost:
    """A place where somebody was in frame `row`."""

    place: FloatArray
    row: int


@dataclass(frozen=True, eq=False)
class State:
    """All that later frames depend on: what a checkpoint keeps.

    row: of the last key frame; -1 before the first. keys: who is in it. deep: the row from which
    the time to the next search down to the smallest counts; below 0 before the first search.
    """

    row: int = -1
    keys: tuple[Key, ...] = ()
    lost: tuple[Lost, ...] = ()
    deep: int = -(10**9)


@dataclass(frozen=True)
class Networks:
    """How to make the networks, one pair for each thread.

    landmarks: the network's file; None: the "full" one. thorough: search for the smallest people
        while somebody is followed, too.
    """

    landmarks: bytes | None = None
    thorough: bool = False


class Follower:
    """Follows everybody through consecutive frames.

    rate_hz: frames per second, true ones. threads: how many work; the result does not depend on it.
    state: where to go on from; the first frame that is then given is `state.row + 1`.
    """

    def __init__(
        self, networks: Networks, rate_hz: float, threads: int, state: State | None = None
    ) -> None:
        self._networks, self._rate = networks, rate_hz if np.isfinite(rate_hz) else 1.0
        self.step = int(np.clip(round(self._rate * KEY_S), 1, MOST))
        self.state = state or State()
        self._threads = threads
        self._free = [self._made()]  # for whichever thread

    def over(self, frames: Iterator[VideoFrame]) -> Iterator[tuple[VideoFrame, list[Seen]]]:
        """Who is in each frame, in order; `state` is then that of the last key frame given out."""
        with _one_thread_of_opencv(), ThreadPoolExecutor(self._threads, "kinefit-look") as pool:
            coming: deque[tuple[list[VideoFrame], _Group, State]] = deque()
            state, first = self.state, self.state.row + 1
            for block in _blocks(frames, self.step, first):
                group, state = self._begin(pool, block, state)
                coming.append((block, group, state))
                if len(coming) > 2:  # what waits is in memory
                    yield from self._finish(*coming.popleft())
            while coming:
                yield from self._finish(*coming.popleft())

    def _finish(
        self, block: list[VideoFrame], group: _Group, state: State
    ) -> Iterator[tuple[VideoFrame, list[Seen]]]:
        found = group.result()
        self.state = state
        yield from zip(block, found, strict=True)

    def _begin(
        self, pool: ThreadPoolExecutor, block: list[VideoFrame], state: State
    ) -> tuple[_Group, State]:
        """The key frame of a block is looked at now; what is left of the block goes to the pool."""
        start = state.row + 1
        good = [i for i, frame in enumerate(block) if frame.rgb is not None]
        group = _Group(block)
        if not good:
            hidden = [Lost(key.seen.pose.place, state.row) for key in state.keys]
            return group, State(start + len(block) - 1, (), (*state.lost, *hidden), state.deep)
        at = good[-1]
        rgb, row = block[at].rgb, start + at
        assert rgb is not None
        gap = row - state.row
        expected = [key.seen.pose.place + gap * key.speed for key in state.keys]
        found, pairs = self._going_on(pool, rgb, expected)
        missed = [i for i in range(len(expected)) if i not in pairs]
        searched = [around(expected[i]) for i in missed] + [around(o.place) for o in state.lost]
        new = self._search(pool, rgb, row, state, searched, [seen for seen, _ in found])
        back = _paired([expected[i] for i in missed], [seen.pose for seen, _ in new])
        pairs |= {missed[i]: len(found) + j for i, j in back.items()}
        found += new
        before = {j: state.keys[i] for i, j in pairs.items()}
        keys = tuple(
            Key(seen, half, (seen.pose.place - before[j].seen.pose.place) / gap
                if j in before else np.zeros(4))
            for j, (seen, half) in enumerate(found)
        )  # fmt: skip
        group.keys[at] = [key.seen for key in keys]
        self._between(pool, group, block[:at], state, keys, pairs)
        gone = [k.seen.pose.place for i, k in enumerate(state.keys) if i not in pairs]
        lost = [*state.lost, *(Lost(place, state.row) for place in gone)]
        kept = tuple(one for one in lost if self._still_lost(one, row, keys))
        deep = row if self._goes_deep(row, state) else state.deep
        last = start + len(block) - 1
        # Damaged frames may end a block: the key frame is then as if it were the last.
        return group, State(last, keys, kept, deep)

    def _still_lost(self, one: Lost, row: int, keys: Sequence[Key]) -> bool:
        near = any(is_near(one.place, key.seen.pose.place, _NEAR) for key in keys)
        return row - one.row <= _LOST_S * self._rate and not near

    def _goes_deep(self, row: int, state: State) -> bool:
        every = _DEEP_S if not state.keys else _THOROUGH_S
        wanted = self._networks.thorough or not state.keys
        return wanted and row - state.deep >= every * self._rate

    def _going_on(
        self, pool: ThreadPoolExecutor, rgb: Picture, expected: Sequence[FloatArray]
    ) -> tuple[list[tuple[Seen, FloatArray]], dict[int, int]]:
        """Who of the last key frame is where they were expected, and where in that list.

        Of two who are now at one place, the one who was expected nearer to it is there.
        """
        looked = list(pool.map(lambda place: self._both(rgb, place), expected))
        there = [(off(expected[i], one[0].pose), i, one) for i, one in enumerate(looked) if one]
        found: list[tuple[Seen, FloatArray]] = []
        pairs: dict[int, int] = {}
        for _, i, one in sorted(there, key=lambda each: each[:2]):
            if not any(same(one[0].pose, other.pose) for other, _ in found):
                pairs[i] = len(found)
                found.append(one)
        return found, pairs

    def _search(
        self,
        pool: ThreadPoolExecutor,
        rgb: Picture,
        row: int,
        state: State,
        searched: Sequence[FloatArray],
        known: Sequence[Seen],
    ) -> list[tuple[Seen, FloatArray]]:
        """Who else is in a key frame, each once, with what the mirror adds.

        searched: squares to search besides those whose turn it is.
        """
        height, width = rgb.shape[:2]
        halves, *deeper = quarters(width, height)
        if state.deep >= 0:  # not the first that is searched
            # Where several are, more come and go.
            count = min(_IN_TURN if len(state.keys) > 1 else 1, len(halves))
            turn = count * (row // self.step) + np.arange(count)
            halves = [halves[i] for i in (turn % len(halves)).tolist()]
        places = [seen.pose.place for seen in known]
        whole = float(max(width, height))

        def look(squares: Sequence[FloatArray | None]) -> list[list[Found]]:
            return list(pool.map(partial(self._people, rgb), squares))

        found = find(look, [None, *halves, *searched], whole, places)
        if self._goes_deep(row, state) and (self._networks.thorough or not (found or known)):
            for level in deeper:
                found += find(look, level, whole, [*places, *found])
        poses = [seen.pose for seen in known]
        new: list[tuple[Seen, FloatArray]] = []
        for one in pool.map(lambda place: self._both(rgb, place), found):
            if one is not None and not any(same(one[0].pose, other) for other in poses):
                poses.append(one[0].pose)
                new.append(one)
        return new

    def _people(self, rgb: Picture, square: FloatArray | None) -> list[Found]:
        with self._nets() as (people, _):
            return list(zip(*people(rgb, square), strict=True))

    def _both(self, rgb: Picture, place: FloatArray) -> tuple[Seen, FloatArray] | None:
        """Who is at a place where somebody was found or expected; None where nobody is."""
        with self._nets() as (_, landmarks):
            pose, half = landmarks.both_ways(rgb, place)
        if not pose.found or not is_near(place, pose.place, _NEAR):
            return None
        return Seen(pose, look_of(rgb, pose.values)), half

    def _between(
        self,
        pool: ThreadPoolExecutor,
        group: _Group,
        block: Sequence[VideoFrame],
        state: State,
        keys: Sequence[Key],
        pairs: dict[int, int],
    ) -> None:
        """Hand out the frames before the key frame: of who stays, who goes and who comes."""
        pictures = [frame.rgb for frame in block]
        for i, old in enumerate(state.keys):
            if i in pairs:
                group.add(pool.submit(self._fill, pictures, old, keys[pairs[i]]))
            else:
                group.add(pool.submit(self._trail, pictures, old, range(len(pictures))))
        for j, new in enumerate(keys):
            if j not in pairs.values():
                back = range(len(pictures) - 1, -1, -1)
                group.add(pool.submit(self._trail, pictures, new, back))

    def _fill(
        self, pictures: Sequence[Picture | None], old: Key, new: Key
    ) -> list[tuple[int, Seen, float]]:
        """Somebody between two key frames: (frame, who, sizes from where they were expected)."""
        last = len(pictures)
        places = {-1: old.seen.pose.place, last: new.seen.pose.place}
        found = []
        for at, low, high in _middles(-1, last):
            share = (at - low) / (high - low)
            expected = (1 - share) * places[low] + share * places[high]
            places[at] = expected
            whole = (at + 1) / (last + 1)
            half = (1 - whole) * old.half + whole * new.half
            seen = self._once(pictures[at], expected, half)
            if seen is not None:
                places[at] = seen.pose.place
                found.append((at, seen, off(expected, seen.pose)))
        return found

    def _trail(
        self, pictures: Sequence[Picture | None], key: Key, order: range
    ) -> list[tuple[int, Seen, float]]:
        """Somebody from a key frame on, until they are not seen."""
        place, found = key.seen.pose.place, []
        for at in order:
            if pictures[at] is None:
                continue
            seen = self._once(pictures[at], place, key.half)
            if seen is None:
                break
            found.append((at, seen, 1.0 + off(place, seen.pose)))
            place = seen.pose.place
        return found

    def _once(self, rgb: Picture | None, place: FloatArray, half: FloatArray) -> Seen | None:
        if rgb is None:
            return None
        with self._nets() as (_, landmarks):
            pose = landmarks(rgb, place).moved(half)
        if not pose.found or not is_near(place, pose.place, _NEAR):
            return None
        return Seen(pose, look_of(rgb, pose.values))

    def _made(self) -> tuple[PersonNetwork, LandmarkNetwork]:
        return PersonNetwork(), LandmarkNetwork(self._networks.landmarks)

    @contextmanager
    def _nets(self) -> Iterator[tuple[PersonNetwork, LandmarkNetwork]]:
        """Networks that no other thread uses, until the block ends."""
        try:
            nets = self._free.pop()
        except IndexError:
            nets = self._made()
        try:
            yield nets
        finally:
            self._free.append(nets)


@contextmanager
def _one_thread_of_opencv() -> Iterator[None]:
    """Pictures are drawn side by side already: two threads for each take twice the time."""
    before = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(before)


class _Group:
    """The frames of a block while they are worked on."""

    def __init__(self, block: Sequence[VideoFrame]) -> None:
        self._count = len(block)
        self._work: list[Future[list[tuple[int, Seen, float]]]] = []
        self.keys: dict[int, list[Seen]] = {}

    def add(self, work: Future[list[tuple[int, Seen, float]]]) -> None:
        self._work.append(work)

    def result(self) -> list[list[Seen]]:
        """Who is in each frame. Of two that are one person the one who was expected there stays."""
        found: list[list[tuple[float, Seen]]] = [[] for _ in range(self._count)]
        for at, seen, away in chain.from_iterable(work.result() for work in self._work):
            found[at].append((away, seen))
        out = []
        for at, several in enumerate(found):
            kept = list(self.keys.get(at, []))
            for _, seen in sorted(several, key=lambda one: one[0]):
                if not any(same(seen.pose, other.pose) for other in kept):
                    kept.append(seen)
            out.append(kept)
        return out


def _blocks(frames: Iterator[VideoFrame], step: int, first: int) -> Iterator[list[VideoFrame]]:
    """Frames in groups that end with a key frame; the very first is a group of its own."""
    block: list[VideoFrame] = []
    for row, frame in enumerate(frames, start=first):
        block.append(frame)
        if row % step == 0:
            yield block
            block = []
    if block:
        yield block


def _middles(low: int, high: int) -> Iterator[tuple[int, int, int]]:
    """The numbers between two, the middle first: (number, its neighbours that came before it)."""
    waiting = deque([(low, high)])
    while waiting:
        low, high = waiting.popleft()
        if high - low > 1:
            middle = (low + high) // 2
            yield middle, low, high
            waiting += [(low, middle), (middle, high)]


def _paired(expected: Sequence[FloatArray], poses: Sequence[Pose]) -> dict[int, int]:
    """Who of the last key frame is who of this one: nearest together, none too far."""
    cost = np.full((len(expected), len(poses)), FAR)
    for i, place in enumerate(expected):
        for j, pose in enumerate(poses):
            if is_near(place, pose.place, _REACH):
                cost[i, j] = off(place, pose) + abs(np.log(pose.size / size_of(place)))
    rows, columns = np.nonzero(assign(cost))
    return dict(zip(rows.tolist(), columns.tolist(), strict=True))
