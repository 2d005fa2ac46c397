"""Clips between their knots: exact where they must be, smooth, and near what was left out."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from kinefit.geometry import rotations as so3
from kinefit.io.mocap_files import read_cmu
from kinefit.synth.motion_clip import Clip, from_origin, moved, part, turn_between
from kinefit.types import FloatArray, InvalidData

CMU = Path(__file__).parents[3] / "shared" / "data" / "cmu" / "cmu_30fps.npz"
NAMES = ("root", "spine", "arm.L", "arm.R")


def clip_of(times: FloatArray, seed: int = 0) -> Clip:
    """Each joint turns along a smooth curve, up to 2 rad/s; the last one stays."""
    rng = np.random.default_rng(seed)
    size, rate, phase = (rng.uniform(a, b, (4, 3)) for a, b in ((0.2, 0.9), (0.5, 2), (0, 6)))
    size[3] = 0.0
    t = times[:, None, None]
    return Clip(
        name="made up",
        source="test",
        joint_names=NAMES,
        times=times,
        rotations=so3.exp(size * np.sin(rate * t + phase)),
        root_path=np.stack([np.sin(times), 1 + 0.1 * np.cos(2 * times), times], axis=-1),
        hip_height_m=0.9,
    )


def apart(a: FloatArray, b: FloatArray) -> FloatArray:
    """Degrees between rotations."""
    return np.degrees(so3.norm(so3.log(np.swapaxes(a, -1, -2) @ b)))


def test_knots_are_met() -> None:
    clip = clip_of(np.sort(np.random.default_rng(3).uniform(0, 4, 40)))  # steps of any length
    rotations, root = clip.at(clip.times)
    # Rounding of one product of rotations.
    np.testing.assert_allclose(rotations, clip.rotations, atol=1e-14)
    np.testing.assert_allclose(root, clip.root_path, atol=1e-14)


def test_speed_is_continuous_at_knots() -> None:
    clip = clip_of(np.linspace(0, 2, 21))
    h = 1e-5
    for knot in clip.times[1:-1]:
        R, root = clip.at(np.array([knot - h, knot, knot + h]))
        before, after = (so3.log(np.swapaxes(R[i], -1, -2) @ R[i + 1]) / h for i in (0, 1))
        # Difference quotients miss by h / 2 times the acceleration, at most 40 rad/s^2 here.
        np.testing.assert_allclose(before, after, atol=1e-3)
        np.testing.assert_allclose((root[1] - root[0]) / h, (root[2] - root[1]) / h, atol=1e-3)


def test_error_falls_with_the_third_power_of_the_step() -> None:
    exact_at = np.linspace(0.5, 3.5, 200)
    exact = clip_of(exact_at)
    worst = []
    for n in (61, 121):  # 15 and 30 Hz
        clip = clip_of(np.linspace(0, 4, n))
        rotations, _ = clip.at(exact_at)
        worst.append(apart(rotations, exact.rotations).max())
    # Catmull-Rom is of third order: half the step, an eighth of the error (linear: a quarter).
    assert worst[1] < worst[0] / 6
    assert worst[1] < 0.01  # degrees


def test_a_turn_at_constant_speed_is_followed_exactly() -> None:
    times, axis = np.linspace(0, 1, 6), np.array([0.3, 1.2, -0.5])
    base = clip_of(times)
    turning = so3.exp(times[:, None, None] * np.array([axis, 2 * axis, -axis, 0 * axis]))
    clip = replace(base, rotations=turning, root_path=times[:, None] * axis)
    at = np.linspace(0, 1, 37)
    rotations, root = clip.at(at)
    wanted = so3.exp(at[:, None, None] * np.array([axis, 2 * axis, -axis, 0 * axis]))
    np.testing.assert_allclose(rotations, wanted, atol=1e-12)
    np.testing.assert_allclose(root, at[:, None] * axis, atol=1e-12)


@pytest.mark.skipif(not CMU.is_file(), reason="needs shared/data/cmu")
def test_every_second_frame_of_recordings_gives_the_others() -> None:
    """From 15 to 30 frames a second: the recordings are not faster."""
    cubic, linear = [], []
    for trial in read_cmu(CMU)[::12]:
        known = np.isfinite(trial.rotations).all(axis=(1, 2, 3))
        turned = trial.rotations[known & np.isfinite(trial.positions[:, 0, 0])]
        turned = turned[: 2 * (len(turned) // 2) - 1]
        names = trial.names
        clip = Clip(
            trial.name, "CMU", names, np.arange(len(turned[::2])) / 15.0, turned[::2],
            np.zeros((len(turned[::2]), 3)), 0.9,
        )  # fmt: skip
        between = np.arange(1, len(turned), 2)
        found, _ = clip.at(between / 30.0)
        half = so3.exp(so3.log(np.swapaxes(turned[:-2:2], -1, -2) @ turned[2::2]) / 2)
        cubic.append(apart(found, turned[between]).ravel())
        linear.append(apart(turned[:-2:2] @ half, turned[between]).ravel())
    cubic_deg, linear_deg = np.concatenate(cubic), np.concatenate(linear)
    # Measured: 0.37 and 3.2 degrees, of segments as captured, whose noise no curve foretells;
    # along the shortest arc 0.47 and 3.8. From 30 to 60 frames a second it can only be less.
    assert np.percentile(cubic_deg, 50) < 0.45
    assert np.percentile(cubic_deg, 95) < 3.6
    for q in (50, 95, 99):
        assert np.percentile(cubic_deg, q) < 0.95 * np.percentile(linear_deg, q)


@pytest.mark.parametrize("time", [-0.01, 2.01, np.nan])
def test_times_outside_are_refused(time: float) -> None:
    with pytest.raises(InvalidData, match=r"lasts from 0\.000 to 2\.000 s"):
        clip_of(np.linspace(0, 2, 21)).at(np.array([1.0, time]))


def test_part_is_the_same_motion() -> None:
    clip = clip_of(np.linspace(0, 3, 61))
    cut = part(clip, 0.73, 2.11)
    np.testing.assert_allclose([cut.times[0], cut.times[-1]], [0.73, 2.11])
    at = cut.times[2:-2]  # at the ends there is no neighbour to take the speed from
    np.testing.assert_allclose(cut.at(at)[0], clip.at(at)[0], atol=1e-12)


def test_from_origin_faces_forward() -> None:
    clip = moved(clip_of(np.linspace(0, 1, 11)), 2.3, np.array([4.0, 0.5, -2.0]))
    home = from_origin(clip)
    assert turn_between(np.eye(3), home.rotations[0, 0]) == pytest.approx(0, abs=1e-12)
    np.testing.assert_allclose(home.root_path[0, [0, 2]], 0, atol=1e-12)
    np.testing.assert_allclose(home.root_path[:, 1], clip.root_path[:, 1])
    # The way over the floor is as long as before.
    steps = [so3.norm(np.diff(c.root_path, axis=0)) for c in (clip, home)]
    np.testing.assert_allclose(*steps)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"times": np.zeros(5)}, "increase"),
        ({"root_path": np.full((5, 3), np.nan)}, "not a number"),
        ({"rotations": np.ones((5, 4, 3, 3))}, "not a rotation"),
        ({"hip_height_m": 0.0}, "hip_height_m"),
        ({"root_path": np.zeros((4, 3))}, "root_path"),
    ],
)
def test_a_clip_is_checked(change: dict[str, object], reason: str) -> None:
    with pytest.raises(InvalidData, match=reason):
        replace(clip_of(np.linspace(0, 1, 5)), **change)
