"""What a lifter looks at does not depend on where a person stands, how near, or the frame rate."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import intrinsics
from kinefit.lift.inputs import LIMBS, MIRROR, POINTS, Inputs, make_inputs
from kinefit.lift.windows import (
    RATE_HZ,
    WINDOW,
    grid_times,
    resampled,
    resampler,
    unbroken,
    windows,
)
from kinefit.types import FloatArray

K = intrinsics(1400.0, (1080, 1920))


@pytest.fixture
def person() -> FloatArray:
    """(WINDOW, J, 3) metres, camera axes, 4 m ahead."""
    rng = np.random.default_rng(3)
    shape = rng.normal(0, 0.35, (len(POINTS), 3))
    return shape + rng.normal(0, 0.01, (WINDOW, len(POINTS), 3)) + [0.2, -0.1, 4.0]


def seen(xyz: FloatArray, K: FloatArray = K) -> FloatArray:
    flat = xyz @ K.T
    return np.asarray(flat[..., :2] / flat[..., 2:])


def inputs_of(xyz: FloatArray, K: FloatArray = K) -> Inputs:
    score = np.full(xyz.shape[:-1], 0.9)
    return make_inputs(seen(xyz, K), score, xyz - xyz[:, :1], K)


def test_fourteen_fields_and_two_feet() -> None:
    assert [limb.name for limb in LIMBS[14:]] == ["left foot", "right foot"]
    assert len(LIMBS) == 16
    assert [POINTS[i] for i in MIRROR[[POINTS.index("LKnee"), 0]]] == ["RKnee", "Nose"]


def test_turning_the_camera_about_itself_only_moves_the_ray(person: FloatArray) -> None:
    """The same rays in other axes: points along the ray are the same to rounding."""
    before = inputs_of(person)
    R = so3.exp(np.array([0.15, 0.0, 0.0]))  # without a turn about the ray itself
    middle = [POINTS.index(s + n) for n in ("Shoulder", "Hip") for s in "LR"]
    straight = person - [person[:, middle, 0].mean(), 0, 0]  # the trunk straight above or below
    before, after = inputs_of(straight), inputs_of(straight @ R.T)
    assert np.allclose(before.points[..., :3], after.points[..., :3], atol=2e-3)
    assert not np.allclose(before.person[..., 2], after.person[..., 2], atol=0.05)


def test_a_lens_of_twice_the_length_changes_nothing_but_pixels(person: FloatArray) -> None:
    longer = intrinsics(2800.0, (1080, 1920))
    before, after = inputs_of(person), inputs_of(person, longer)
    for name, one, two in zip(Inputs._fields, before, after, strict=True):
        assert np.allclose(one, two), name


def test_size_and_unit_of_the_own_3d_do_not_matter(person: FloatArray) -> None:
    score, own = np.full(person.shape[:-1], 0.9), person - person[:, :1]
    one = make_inputs(seen(person), score, own, K)
    two = make_inputs(seen(person), score, 1000 * own + 5, K)
    assert np.allclose(one.points, two.points)


def test_twice_as_far_is_half_the_size(person: FloatArray) -> None:
    near = inputs_of(person)
    far = inputs_of(person + np.array([0.2, -0.1, 4.0]))
    assert far.size == pytest.approx(near.size / 2, rel=0.05)
    assert np.abs(far.points[..., :2] - near.points[..., :2]).mean() < 0.1  # perspective is left


def test_what_is_missing_is_zero_and_said_so(person: FloatArray) -> None:
    xy, score, own = seen(person), np.full(person.shape[:-1], 0.9), person - person[:, :1]
    xy[3:9], own[:, 4] = np.nan, np.nan
    found = make_inputs(xy, score, own, K)
    assert np.isfinite(found.points).all()
    assert np.isfinite(found.person).all()
    assert not found.points[3:9, :, [0, 1, 2, 6]].any()
    assert not found.points[:, 4, [3, 4, 5, 7]].any()
    assert found.person[:, 3].tolist() == [0.0 if 3 <= t < 9 else 1.0 for t in range(WINDOW)]
    # The ray goes on between where it was seen.
    assert np.allclose(found.person[3:9, 1:3], found.person[[2, 9], 1:3].mean(axis=0), atol=0.02)


def test_nobody_at_all_is_finite() -> None:
    nothing = np.full((WINDOW, len(POINTS), 3), np.nan)
    found = make_inputs(nothing[..., :2], np.zeros(nothing.shape[:-1]), nothing, K)
    assert np.isfinite(found.points).all()
    assert not found.points.any()
    assert found.size == 1


@pytest.mark.parametrize("rate", [15.0, 24.0, 25.0, 30.0, 59.94, 60.0, 120.0, 240.0])
def test_a_straight_motion_is_resampled_exactly(rate: float) -> None:
    time = 7.0 + np.arange(int(3 * rate)) / rate
    grid = grid_times(time)
    line = np.stack([2 * time, 1 - time], axis=-1)[:, None]
    got = resampled(resampler(time, grid), line)[:, 0]
    inside = grid <= time[-1] - 1 / RATE_HZ
    inside[0] = False  # a tent about an end is cut off: its mean is not at its middle
    want = np.stack([2 * grid, 1 - grid], axis=-1)
    tolerance = 1e-9 if rate <= RATE_HZ or (rate / RATE_HZ).is_integer() else 2e-3
    assert np.abs(got - want)[inside].max() < tolerance


def test_noise_of_many_frames_is_averaged() -> None:
    time = np.arange(2400) / 240
    noise = np.random.default_rng(0).normal(size=(2400, 1, 2))
    got = resampled(resampler(time, grid_times(time)), noise)
    assert got.std() < 0.4  # sixteen frames of a tent count as eleven: 0.3


def test_gaps_stay_gaps() -> None:
    time = np.arange(90) / 30
    values = np.ones((90, 1, 2))
    values[30:45] = np.nan
    got = resampled(resampler(time, grid_times(time)), values)[:, 0, 0]
    assert np.isnan(got[30:45]).all()
    assert np.isfinite(np.delete(got, range(30, 45))).all()


@pytest.mark.parametrize("count", [1, 2, 80, 81, 82, 161, 500])
def test_every_frame_is_in_a_window(count: int) -> None:
    rows = windows(count, 40)
    assert (np.diff(rows, axis=1) == 1).all()
    assert rows.shape[1] == WINDOW
    assert set(range(count)) <= set(rows.ravel().tolist())
    if count >= WINDOW:
        assert rows.min() == 0
        assert rows.max() == count - 1


def test_what_lies_further_apart_than_a_window_is_asked_for_apart() -> None:
    long = WINDOW / RATE_HZ
    time = np.array([0.0, 0.1, 0.1 + long, 0.2 + 3 * long, 0.3 + 3 * long])
    assert [rows.tolist() for rows in unbroken(time)] == [[0, 1, 2], [3, 4]]
    assert [rows.tolist() for rows in unbroken(time[:1])] == [[0]]
