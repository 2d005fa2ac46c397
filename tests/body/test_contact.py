"""When feet stand."""

from __future__ import annotations

import numpy as np

from kinefit.body.contact import find_contacts
from kinefit.types import true_runs

_NAMES = ("LHeel",)
_ABOVE = np.array([0.04])


def _step(floor: float = 0.0, rate: float = 60.0) -> tuple[np.ndarray, np.ndarray]:
    """A heel that stands for half a second, swings for half a second, and stands again."""
    time = np.arange(int(1.5 * rate)) / rate
    swing = np.clip((time - 0.5) / 0.5, 0, 1)
    xyz = np.zeros((len(time), 1, 3))
    xyz[:, 0, 0] = 0.7 * (1 - np.cos(np.pi * swing)) / 2
    xyz[:, 0, 1] = floor + 0.04 + 0.12 * np.sin(np.pi * swing)
    return time, xyz


def test_a_step_is_two_contacts_on_one_floor() -> None:
    time, xyz = _step(floor=0.3)
    found = find_contacts(time, xyz, _NAMES, _ABOVE)
    (first, second) = true_runs(found.standing[:, 0])
    # The speed is taken over a twentieth of a second and the edges are left out.
    assert first[0] == 0
    assert 0.40 < time[first[1] - 1] < 0.56
    assert 0.94 < time[second[0]] < 1.10
    assert second[1] == len(time)
    assert abs(found.floor - 0.3) < 0.002
    assert found.slides.max() < 0.01


def test_a_foot_that_slides_by_is_no_contact() -> None:
    time, xyz = _step()
    xyz[:, 0, 0] = 1.0 * time
    assert not find_contacts(time, xyz, _NAMES, _ABOVE).standing.any()


def test_a_foot_held_up_is_no_contact() -> None:
    """It rests twice on the floor, and in between 20 cm above it."""
    time, xyz = _step()
    still = np.zeros_like(xyz)
    still[:, 0, 1] = 0.04 + 0.2 * ((time > 0.6) & (time < 0.9))
    standing = find_contacts(time, still, _NAMES, _ABOVE).standing[:, 0]
    assert standing[time < 0.5].all()
    assert not standing[(time > 0.62) & (time < 0.88)].any()


def test_the_frame_rate_does_not_matter() -> None:
    for rate in (25.0, 60.0, 240.0):
        time, xyz = _step(rate=rate)
        (first, second) = true_runs(find_contacts(time, xyz, _NAMES, _ABOVE).standing[:, 0])
        assert abs(time[first[1] - 1] - 0.5) < 0.09
        assert abs(time[second[0]] - 1.0) < 0.09


def test_anchors_lie_on_the_floor_where_the_foot_is() -> None:
    time, xyz = _step()
    found = find_contacts(time, xyz, _NAMES, _ABOVE)
    standing = found.standing[:, 0]
    assert np.isnan(found.anchors[~standing]).all()
    assert np.abs(found.anchors[standing] - xyz[standing]).max() < 0.02


def test_nothing_stands_without_frames() -> None:
    found = find_contacts(np.zeros(0), np.zeros((0, 1, 3)), _NAMES, _ABOVE)
    assert found.standing.shape == (0, 1)
    assert np.isnan(found.floor)
    assert found.slides.size == 0
