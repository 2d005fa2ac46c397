"""The same regions and landmarks as MediaPipe 0.10.21 has, from the same networks.

MediaPipe is the oracle here, and nothing else of kinefit's tests needs it. Its graph is run without
its tracking, so that each picture stands by itself; what it says of the region is handed to ours.
Differences are what is left of OpenCV against MediaPipe's own drawing of the region.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinefit.detect.blazepose import LandmarkNetwork, PersonNetwork, region, size_of
from kinefit.detect.quiet import quiet
from kinefit.io.video import Picture, frames
from kinefit.synth.make import make_scenes
from kinefit.synth.scene_options import SynthOptions
from kinefit.types import FloatArray

ORACLE = "0.10.21"
_GRAPH = "mediapipe/modules/pose_landmark/pose_landmark_cpu.binarypb"


def _installed() -> str:
    try:
        return version("mediapipe")
    except PackageNotFoundError:
        return "none"


pytestmark = pytest.mark.skipif(
    _installed() != ORACLE, reason=f"the oracle is MediaPipe {ORACLE}; there is {_installed()}"
)


@dataclass(frozen=True, eq=False)
class Told:
    """What MediaPipe says of one picture.

    place: (4,) as ours, of the region that it looked at. centre, side, radians: of that region.
    pixels: (33, 2). score: (33,). metres: (33, 3).
    """

    picture: Picture
    centre: FloatArray
    side: float
    radians: float
    pixels: FloatArray
    score: FloatArray
    metres: FloatArray

    @property
    def place(self) -> FloatArray:
        up = np.array([np.sin(self.radians), -np.cos(self.radians)])
        return np.concatenate([self.centre, self.centre + self.side / 2.5 * up])


@pytest.fixture(scope="module")
def graph() -> Any:
    with quiet():
        from mediapipe.python.solution_base import SolutionBase

        made = SolutionBase(
            binary_graph_path=_GRAPH,
            side_inputs={
                "model_complexity": 1, "smooth_landmarks": False, "enable_segmentation": False,
                "smooth_segmentation": False, "use_prev_landmarks": False,
            },
            outputs=["pose_landmarks", "pose_world_landmarks", "pose_rect_from_detection"],
        )  # fmt: skip
        made.process({"image": np.zeros((64, 64, 3), np.uint8)})  # its threads load the networks
    yield made
    made.close()


def told_of(graph: Any, picture: Picture) -> Told | None:
    with quiet():
        said = graph.process({"image": picture})
    if said.pose_landmarks is None:
        return None
    height, width = picture.shape[:2]
    rect, points = said.pose_rect_from_detection, said.pose_landmarks.landmark
    return Told(
        picture,
        np.array([rect.x_center * width, rect.y_center * height]),
        rect.width * width,
        rect.rotation,
        np.array([(p.x * width, p.y * height) for p in points]),
        np.array([p.visibility for p in points]),
        np.array([(p.x, p.y, p.z) for p in said.pose_world_landmarks.landmark]),
    )


def every(path: Path, step: int) -> Iterator[Picture]:
    for frame in frames(path):
        if frame.index % step == 0 and frame.rgb is not None:
            yield frame.rgb


@pytest.fixture(scope="module")
def demo(graph: Any, demo_videos: Path) -> list[Told]:
    """Five pictures of each of the demo's four cameras, 1080 x 1920."""
    pictures = [p for video in sorted(demo_videos.glob("*.mp4")) for p in every(video, 20)]
    found = [told_of(graph, picture) for picture in pictures]
    assert len(found) == 20
    return [one for one in found if one is not None]


@pytest.fixture(scope="module")
def rendered(graph: Any, tmp_path_factory: pytest.TempPathFactory) -> list[Told]:
    """A rendered person before three cameras, two moments each, 540 x 720."""
    out = tmp_path_factory.mktemp("parity") / "scene"
    options = SynthOptions(views=3, seconds=0.2, rate=10, seed=4, children=0, distance=1.2)
    make_scenes(out, options, processes=1)
    pictures = [p for video in sorted(out.glob("cam*.mp4")) for p in every(video, 1)]
    assert len(pictures) == 6
    return [one for one in (told_of(graph, picture) for picture in pictures) if one is not None]


def test_there_is_something_to_compare(demo: list[Told], rendered: list[Told]) -> None:
    assert len(demo) >= 18
    assert len(rendered) >= 5


@pytest.fixture(params=["demo", "rendered"])
def told(request: pytest.FixtureRequest) -> list[Told]:
    return request.getfixturevalue(request.param)


def off(told: list[Told]) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Pixels (N, 33), scores (N, 33) and metres (N, 33) between ours and theirs of one region."""
    network = LandmarkNetwork()
    mine = np.stack([network(one.picture, one.place).values for one in told])
    return (
        np.linalg.norm(mine[..., :2] - [one.pixels for one in told], axis=-1),
        np.abs(mine[..., 2] - [one.score for one in told]),
        np.linalg.norm(mine[..., 3:] - [one.metres for one in told], axis=-1),
    )


def test_the_region_of_a_place_is_the_one_that_they_mean(told: list[Told]) -> None:
    """Our own matrix of their region: its corners lie where theirs do."""
    for one in told:
        into = region(one.place)
        np.testing.assert_allclose(into @ [128, 128, 1], one.centre, atol=1e-6)
        turn = np.array([[np.cos(one.radians), -np.sin(one.radians)],
                         [np.sin(one.radians), np.cos(one.radians)]])  # fmt: skip
        np.testing.assert_allclose(into[:, :2] * 256, turn * one.side, atol=1e-6)


def test_the_same_person_is_found(told: list[Told]) -> None:
    """Their search and ours: centre within 1 px, size within 1 %, lean within 1 degree."""
    people = PersonNetwork()
    for one in told:
        place = people(one.picture)[1][0]
        # Our pixel centres are at integers, theirs at halves.
        assert np.linalg.norm(place[:2] - one.centre) < 1
        assert size_of(place) * 2.5 == pytest.approx(one.side, rel=0.01)
        up = place[2:] - place[:2]
        assert np.arctan2(up[0], -up[1]) == pytest.approx(one.radians, abs=np.radians(1))


def test_the_same_landmarks_in_the_same_region(told: list[Told]) -> None:
    pixels, scores, metres = off(told)
    size = np.median([one.side / 2.5 for one in told])
    print(f"\nlandmarks: {_said(pixels)} px of {size:.0f}; metres {_said(metres)}; "
          f"visibility {_said(scores)}")  # fmt: skip
    assert np.median(pixels) < 1
    assert np.quantile(pixels, 0.95) < 0.03 * size
    assert np.median(metres) < 0.005
    assert np.median(scores) < 0.005
    assert np.quantile(scores, 0.95) < 0.1


def _said(values: FloatArray) -> str:
    return f"{np.median(values):.4f} (95 %: {np.quantile(values, 0.95):.4f})"
