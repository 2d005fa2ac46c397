"""What the stage `observe` says of one camera: another person, a camera that moves, pauses."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.io.people import People
from kinefit.io.video import Clip, VideoWriter
from kinefit.multiview.people import find_in_view
from kinefit.pipeline.recording import pauses
from kinefit.pipeline.stages.observe import _moving, others_of, told_of
from kinefit.skeletons import KeypointSetGuess, skeleton
from kinefit.tracking.view_people import ViewPeople
from kinefit.types import Timeline

NAMES = skeleton("coco17").points


def view(*stays: tuple[int, range]) -> ViewPeople:
    """Of 90 frames at 30 Hz; each stay is of somebody at that x, in those frames."""
    shape = np.random.default_rng(0).uniform((0, 0), (60, 200), (17, 2))
    frames = [
        np.array(
            [
                np.column_stack([shape + np.array([x, 100]), np.full(17, 0.9)])
                for x, r in stays
                if f in r
            ]
        )
        for f in range(90)
    ]
    people = People(NAMES, np.arange(90), tuple(f.reshape(-1, 17, 3) for f in frames))
    return ViewPeople(people, Timeline.regular(90, 30.0), (1280, 720))


def test_a_track_that_would_go_over_to_somebody_else_is_cut_and_said() -> None:
    recorded = find_in_view("cam", view((100, range(30)), (900, range(30, 90))))
    track = recorded.tracks()["cam"]
    assert not track.image.found[:30].any()
    assert np.nanmin(track.image.xy[..., 0]) > 850  # nowhere between the two
    (finding,) = others_of(recorded)
    assert finding.level == "caution"
    assert finding.where == "Frames 0-29."
    assert "--person 2" in finding.action


@pytest.mark.parametrize(
    ("other", "where"),
    [
        (range(40, 50), "Frames 40-49."),  # takes the place for a third of a second
        (range(90), "Frames 30-59."),  # is there all the time, and alone meanwhile
    ],
)
def test_who_fills_a_gap_is_said(other: range, where: str) -> None:
    gap = [(100, range(30)), (100, range(60, 90)), (900, other)]
    chosen = find_in_view("cam", view(*gap), person=1 if len(other) < 60 else 2)
    (finding,) = others_of(chosen)
    assert finding.where == where


@pytest.mark.parametrize(("off", "level"), [(0.5, "caution"), (0.1, "")])
def test_an_unsure_set_of_points_is_a_caution(off: float, level: str) -> None:
    seen = view((100, range(90)))
    guess = KeypointSetGuess(17, {"coco17": off, "h36m17": 0.6}, 90)
    guessed = replace(seen, people=replace(seen.people, guess=guess))
    found = told_of(find_in_view("cam", guessed))
    assert [one.level for one in found] == [level] * bool(level)


def test_who_only_passes_by_is_not() -> None:
    recorded = find_in_view("cam", view((100, range(90)), (900, range(20, 60))))
    assert others_of(recorded) == []


@pytest.mark.parametrize(
    ("speed", "level"), [(None, None), (0.001, None), (0.01, "information"), (0.15, "caution")]
)
def test_a_camera_that_moves_is_said(speed: float | None, level: str | None) -> None:
    found = _moving(speed)
    assert [f.level for f in found] == ([] if level is None else [level])


def film(path: Path, times: np.ndarray) -> Clip:
    with VideoWriter(path, (64, 48), rate_hz=30) as out:
        for time in times:
            out.add(np.full((48, 64, 3), 90, np.uint8), float(time))
    return Clip(path)


def test_pauses_of_a_recording_are_said(tmp_path: Path) -> None:
    even = np.arange(24) / 30
    (finding,) = pauses({"walk": film(tmp_path / "a.mp4", even + 300.0 * (even >= 0.4))})
    assert finding.level == "caution"
    assert finding.where == "Between frames 11-12."
    assert "walk pauses, for 300 s" in finding.what
    assert not list(pauses({"walk": film(tmp_path / "b.mp4", even)}))
    assert not list(pauses({"slow": film(tmp_path / "c.mp4", 2.0 * np.arange(10))}))
