"""The cases of the suite, and how large they are in each tier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from benchmarks.suite import marker_cases, point_cases, speed_cases, video_cases
from benchmarks.suite.known_subjects import SubjectSpec
from benchmarks.suite.measure import Measurement
from benchmarks.suite.noise_levels import NOISE_LEVELS, NoiseLevel
from benchmarks.suite.peers import Peers
from benchmarks.suite.point_cases import PointSetting
from benchmarks.suite.rendered_scenes import RenderedScenes, SceneSetting
from benchmarks.suite.worst_frames import Pictures

Tier = Literal["small", "full"]
Lines = tuple[Measurement, ...]


@dataclass(frozen=True, eq=False)
class Bench:
    """What the cases need. pictures: of the worst frames."""

    peers: Peers
    scenes: RenderedScenes
    pictures: Pictures


@dataclass(frozen=True)
class Case:
    """One part of the table. work: measures its lines, or raises."""

    name: str
    work: Callable[[Bench], Lines]


# Seeds for bodies that differ: of ordinary build, light, heavy, and a child.
_SUBJECTS: dict[Tier, tuple[SubjectSpec, ...]] = {
    "small": (SubjectSpec("walk", 1),),
    "full": (
        SubjectSpec("walk", 1),
        SubjectSpec("squat", 2),
        SubjectSpec("jumping_jack", 3),
        SubjectSpec("walk", 4, child=True),
    ),
}
_LENGTH_S: dict[Tier, float] = {"small": 2.0, "full": 4.0}
_SCENES = SceneSetting(scenes=3, views=8, seconds=4.0, width=540, height=720)
_MINUTE = SceneSetting(scenes=1, views=1, seconds=60.0, width=270, height=360)
_MOMENT = SceneSetting(scenes=1, views=1, seconds=4.0, width=270, height=360)


def suite(tier: Tier) -> tuple[Case, ...]:
    """The cases of a tier, in the order of the table."""
    computed = _computed_cases(tier)
    return computed if tier == "small" else (*computed, *_VIDEO_CASES)


def _computed_cases(tier: Tier) -> tuple[Case, ...]:
    specs, length = _SUBJECTS[tier], _LENGTH_S[tier]
    two, four, eight = (PointSetting(specs, length, n) for n in (2, 4, 8))
    return (
        Case("points, 2 cameras", lambda b: point_cases.views_case(two, b.peers)),
        Case("points, 4 cameras", lambda b: point_cases.views_case(four, b.peers)),
        Case("points, 8 cameras", lambda b: point_cases.views_case(eight, b.peers)),
        *(
            Case(f"4 cameras, {name}", partial(_levels, four, levels))
            for name, levels in NOISE_LEVELS.items()
        ),
        Case("points, body fitted", lambda b: point_cases.fit_case(four)),
        Case("marker augmentation", lambda b: marker_cases.augment_case(specs, length, b.peers)),
        Case("inverse kinematics", lambda b: marker_cases.kinematics_case(specs, length, b.peers)),
    )


def _levels(setting: PointSetting, levels: Sequence[NoiseLevel], bench: Bench) -> Lines:
    return point_cases.levels_case(setting, levels, bench.peers)


def _views(count: int, bench: Bench) -> Lines:
    return video_cases.views_case(bench.scenes, _SCENES, count, bench.pictures)


def _body(count: int, bench: Bench) -> Lines:
    return video_cases.body_case(bench.scenes, _SCENES, count, bench.pictures)


_VIDEO_CASES = (
    Case("video, one camera", lambda b: video_cases.one_camera_case(b.scenes, _SCENES, b.pictures)),
    Case("video, 2 cameras", partial(_views, 2)),
    Case("video, 4 cameras", partial(_views, 4)),
    Case("video, 8 cameras", partial(_views, 8)),
    Case("video, body, one camera", partial(_body, 1)),
    Case("video, body, 4 cameras", partial(_body, 4)),
    Case("single pictures", lambda b: video_cases.pictures_case(b.scenes, _SCENES)),
    Case("stages of a run", lambda b: speed_cases.stages_case(b.scenes, _SCENES, 4)),
    Case("rendering", lambda b: speed_cases.rendering_case(b.scenes.motion)),
    Case("long video", lambda b: speed_cases.long_case(b.scenes, _MOMENT, _MINUTE)),
)
