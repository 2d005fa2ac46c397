"""The suite as data: which cases there are, and how large they are in each tier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from kinefit.bench import markers, points, rendered, speed
from kinefit.bench.films import Films, FilmSetting
from kinefit.bench.ladders import LADDERS, Rung
from kinefit.bench.measure import Measurement
from kinefit.bench.peers import Peers
from kinefit.bench.points import PointSetting
from kinefit.bench.subjects import Role
from kinefit.bench.worst import Pictures

Tier = Literal["small", "full"]
Lines = tuple[Measurement, ...]


@dataclass(frozen=True, eq=False)
class Bench:
    """What cases need. pictures: of the worst frames."""

    peers: Peers
    films: Films
    pictures: Pictures


@dataclass(frozen=True)
class Case:
    """One part of the table. work: measures it, and raises where it cannot."""

    name: str
    work: Callable[[Bench], Lines]


# Seeds for bodies that differ: of ordinary build, light, heavy, and a child.
_ROLES: dict[Tier, tuple[Role, ...]] = {
    "small": (Role("walk", 1),),
    "full": (
        Role("walk", 1),
        Role("squat", 2),
        Role("jumping_jack", 3),
        Role("walk", 4, child=True),
    ),
}
_LENGTH_S: dict[Tier, float] = {"small": 2.0, "full": 4.0}
_FILM = FilmSetting(scenes=3, views=8, seconds=4.0, width=540, height=720)
_MINUTE = FilmSetting(scenes=1, views=1, seconds=60.0, width=270, height=360)
_MOMENT = FilmSetting(scenes=1, views=1, seconds=4.0, width=270, height=360)


def suite(tier: Tier) -> tuple[Case, ...]:
    """The cases of a tier, in the order of the table."""
    roles, length = _ROLES[tier], _LENGTH_S[tier]
    two, four, eight = (PointSetting(roles, length, n) for n in (2, 4, 8))
    cases = (
        Case("points, 2 cameras", partial(_points, two)),
        Case("points, 4 cameras", partial(_points, four)),
        Case("points, 8 cameras", partial(_points, eight)),
        *(Case(f"4 cameras, {n}", partial(_ladder, four, rungs)) for n, rungs in LADDERS.items()),
        Case("points, body fitted", partial(_fitted, four)),
        Case("marker augmentation", partial(_augmented, roles, length)),
        Case("inverse kinematics", partial(_moved, roles, length)),
    )
    return cases if tier == "small" else (*cases, *_VIDEO_CASES)


def _points(setting: PointSetting, bench: Bench) -> Lines:
    return points.views_case(setting, bench.peers)


def _ladder(setting: PointSetting, rungs: Sequence[Rung], bench: Bench) -> Lines:
    return points.ladder_case(setting, rungs, bench.peers)


def _fitted(setting: PointSetting, bench: Bench) -> Lines:
    return points.fit_case(setting)


def _augmented(roles: Sequence[Role], length_s: float, bench: Bench) -> Lines:
    return markers.augment_case(roles, length_s, bench.peers)


def _moved(roles: Sequence[Role], length_s: float, bench: Bench) -> Lines:
    return markers.kinematics_case(roles, length_s, bench.peers)


def _one_camera(bench: Bench) -> Lines:
    return rendered.one_camera_case(bench.films, _FILM, bench.pictures)


def _views(count: int, bench: Bench) -> Lines:
    return rendered.views_case(bench.films, _FILM, count, bench.pictures)


def _body(count: int, bench: Bench) -> Lines:
    return rendered.body_case(bench.films, _FILM, count, bench.pictures)


def _pictures(bench: Bench) -> Lines:
    return rendered.pictures_case(bench.films, _FILM)


def _stages(bench: Bench) -> Lines:
    return speed.stages_case(bench.films, _FILM, 4)


def _rendering(bench: Bench) -> Lines:
    return speed.rendering_case(bench.films.motion)


def _long(bench: Bench) -> Lines:
    return speed.long_case(bench.films, _MOMENT, _MINUTE)


_VIDEO_CASES = (
    Case("video, one camera", _one_camera),
    Case("video, 2 cameras", partial(_views, 2)),
    Case("video, 4 cameras", partial(_views, 4)),
    Case("video, 8 cameras", partial(_views, 8)),
    Case("video, body, one camera", partial(_body, 1)),
    Case("video, body, 4 cameras", partial(_body, 4)),
    Case("single pictures", _pictures),
    Case("stages of a run", _stages),
    Case("rendering", _rendering),
    Case("long video", _long),
)
