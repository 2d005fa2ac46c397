"""Gravity in a jump says how fast time runs; nothing else is taken for a jump."""

from __future__ import annotations

import re

import numpy as np
import pytest

from kinefit.io.video import Clip
from kinefit.pipeline.recording import fall
from kinefit.quality.free_fall import jumps
from kinefit.types import FloatArray, Markers, Timeline

NAMES = ("LHip", "RHip", "LHeel", "LBigToe", "RHeel", "RBigToe")
AIR = (0.5, 0.9)  # seconds of life


def keypoints(rise: FloatArray, time: FloatArray, forward: FloatArray | None = None) -> Markers:
    """Hips and feet that all rise by `rise` (T,) metres, `forward` along X."""
    xyz = np.zeros((len(time), len(NAMES), 3))
    xyz[:, :2, 1] = 0.9
    xyz[..., 1] += rise[:, None]
    xyz[..., 0] += 1.0 * time[:, None] if forward is None else forward[:, None]
    return Markers(Timeline(np.arange(len(time)), time), NAMES, xyz)


def thrown(time: FloatArray) -> FloatArray:
    since, until = time - AIR[0], AIR[1] - time
    return np.where((since > 0) & (until > 0), 0.5 * 9.81 * since * until, 0.0)


@pytest.mark.parametrize("rate", [30, 60, 240])
@pytest.mark.parametrize("slow", [0.5, 1, 2, 8])
def test_gravity_falls_with_the_square_of_the_slowness(rate: float, slow: float) -> None:
    time = np.arange(round(1.4 * rate)) / rate
    rng = np.random.default_rng(0)
    rise = thrown(time) + rng.normal(0, 0.002, len(time))
    (jump,) = jumps(keypoints(rise, slow * time))
    assert AIR[0] <= time[jump.first] < time[jump.last] <= AIR[1]
    assert np.sqrt(9.81 / jump.gravity) == pytest.approx(slow, rel=0.06)  # 2 mm of 20 cm


def test_what_is_no_jump() -> None:
    time = np.arange(240) / 60
    inside = (time > 1) & (time < 3)
    plateau = 0.4 * np.clip(np.minimum(time - 1, 3 - time) / 0.5, 0, 1)
    swing = np.where(inside, 0.3 * np.sin(np.pi * (time - 1) / 2) ** 2, 0)
    curve = np.where(inside, 0.2 * (1 - (time - 2) ** 2), 0)
    assert len(jumps(keypoints(curve, time))) == 1  # the control: a parabola, if a slow one
    assert jumps(keypoints(plateau, time)) == []  # onto a box and down
    assert jumps(keypoints(swing, time)) == []  # drawn up and let down
    assert jumps(keypoints(curve, time, forward=0.3 * np.sin(3 * time))) == []  # on a rope
    assert jumps(keypoints(curve[100:], time[100:])) == []  # begins in the air
    assert jumps(keypoints(0.1 * curve, time)) == []  # a step
    gap = keypoints(curve, time)
    xyz = gap.xyz.copy()
    xyz[118:122] = np.nan
    assert jumps(Markers(gap.timeline, NAMES, xyz)) == []
    assert jumps(Markers(gap.timeline, NAMES[:-1], gap.xyz[:, :-1])) == []


@pytest.mark.parametrize(
    ("slow", "given", "said"),
    [
        (8, 1, "8 times slower than life. Frames 32-52. .*Give --slowmo 8 or so"),
        (
            2,
            4,
            "2 times slower than life, after the 4 times that were given.*Give --slowmo 8 or so",
        ),
        (0.5, 16, "2 times faster than life, after the 16 .*Give --slowmo 8 or so"),
        (1, 8, ""),
        (1.1, 1, ""),
    ],
)
def test_it_is_told(tmp_path, slow: float, given: float, said: str) -> None:
    time = np.arange(84) / 60
    clips = {"a": Clip(tmp_path / "a.mp4", slowmo=given)}
    found = [str(one) for one in fall(clips, keypoints(thrown(time), slow * time))]
    assert len(found) == bool(said)
    for text in found:
        assert re.search(said, text), text
    assert list(fall({}, keypoints(thrown(time), 8 * time))) == []  # of no video
