"""Windows for training: what is disturbed is, what is not stays, and truth turns with its input."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from kinefit.geometry import rotations as so3
from kinefit.lift.inputs import LIMBS, MIRROR, POINTS, make_inputs
from kinefit.lift.windows import WINDOW
from kinefit.skeletons import skeleton
from kinefit.skeletons.limbs import ends
from kinefit.train.lift.batches import (
    NONE,
    Batch,
    Disturbance,
    draw,
    mirrored,
    rolled,
    window,
)
from kinefit.train.lift.sequences import Sequences
from kinefit.types import FloatArray

from .swaying import SIZE, clips

_LEGS = [i for i, name in enumerate(POINTS) if name[1:] in ("Knee", "Ankle", "Heel", "BigToe")]
_OTHER_FOOT = [2, 3, 0, 1]
# Arithmetic is double, batches are single: values up to 10.
_SINGLE = {"atol": 5e-6, "rtol": 1e-5}


@pytest.fixture(scope="module")
def data() -> Sequences:
    return clips(6, 120)


def _window(data: Sequences, how: Disturbance = NONE, seed: int = 0, speed: float = 1.0) -> Batch:
    """From the first frame of each clip."""
    count = len(data)
    return window(
        data, np.random.default_rng(seed), np.arange(count), np.zeros(count),
        np.full(count, speed), how,
    )  # fmt: skip


def _assert_alike(a: Batch, b: Batch) -> None:
    for name in Batch._fields:
        np.testing.assert_allclose(getattr(a, name), getattr(b, name), err_msg=name, **_SINGLE)


def test_shapes_and_precision(data: Sequences) -> None:
    batch = draw(data, np.random.default_rng(0), np.array([0, 3, 3, 5]), Disturbance())
    J, L = len(POINTS), len(LIMBS)
    shapes = {
        "points": (J, 8), "person": (4,), "directions": (L, 3), "up": (3,), "contact": (4,),
        "swapped": (), "shift": (J, 2), "there": (),
    }  # fmt: skip
    for name, shape in shapes.items():
        values = getattr(batch, name)
        assert values.shape == (4, WINDOW, *shape)
        assert values.dtype == np.float32
        assert name == "shift" or np.isfinite(values).all()


def test_the_seed_decides(data: Sequences) -> None:
    which = np.arange(6)
    a, b, c = (draw(data, np.random.default_rng(s), which, Disturbance()) for s in (1, 1, 2))
    for name in Batch._fields:
        assert getattr(a, name).tobytes() == getattr(b, name).tobytes()
    assert a.points.tobytes() != c.points.tobytes()


def test_nothing_done_leaves_the_data(data: Sequences) -> None:
    detected = np.array(data.detected)
    missing = data.start[:-1, None] + [7, 8, 30]
    detected[missing] = np.nan
    batch = _window(replace(data, detected=detected))
    rows = data.start[:-1, None] + np.arange(WINDOW)
    some = detected[rows]
    inputs = make_inputs(some[..., :2], np.nan_to_num(some[..., 2]), some[..., 3:], data.K)
    np.testing.assert_allclose(batch.points, inputs.points, **_SINGLE)
    np.testing.assert_allclose(batch.person, inputs.person, **_SINGLE)
    np.testing.assert_array_equal(batch.contact, data.contact[rows])
    assert batch.there.all()
    assert not batch.swapped.any()
    # A missed frame takes none of its neighbours with it.
    lost = np.isin(np.arange(WINDOW), [7, 8, 30])
    np.testing.assert_array_equal(batch.person[..., 3] > 0.5, np.tile(~lost, (len(data), 1)))
    # Truth, brought back into the camera's axes.
    limb = np.diff(data.xyz[rows][..., ends(POINTS, LIMBS), :], axis=-2)[..., 0, :]
    limb /= np.linalg.norm(limb, axis=-1, keepdims=True)
    np.testing.assert_allclose(batch.directions @ inputs.rotation, limb, atol=1e-6)
    np.testing.assert_allclose(
        (batch.up[..., None, :] @ inputs.rotation)[..., 0, :], data.up[rows], atol=1e-6
    )
    px = (inputs.size * data.K[:, 0, 0])[:, None, None, None]
    moved = some[..., :2] + batch.shift * px
    seen = ~np.isnan(moved)
    np.testing.assert_allclose(moved[seen], data.xy[rows][seen], atol=1e-3)  # pixels
    np.testing.assert_array_equal(np.isfinite(batch.shift).all(axis=-1), seen.all(axis=-1))


def test_a_mirror_twice_is_no_mirror(data: Sequences) -> None:
    batch = draw(data, np.random.default_rng(0), np.arange(6), replace(Disturbance(), mirror=0))
    which = np.array([True, False, True, True, False, True])
    once = mirrored(batch, which)
    twice = mirrored(once, which)
    for name in Batch._fields:
        np.testing.assert_array_equal(getattr(twice, name), getattr(batch, name))
        np.testing.assert_array_equal(getattr(once, name)[~which], getattr(batch, name)[~which])
    assert not np.array_equal(once.points[which], batch.points[which])


def test_the_mirrored_are_as_filmed_in_a_mirror(data: Sequences) -> None:
    flip = np.array([-1.0, 1.0, 1.0])
    detected = data.detected[:, MIRROR] * [-1, 1, 1, -1, 1, 1] + [SIZE[0], 0, 0, 0, 0, 0]
    other = replace(
        data, detected=detected, xy=data.xy[:, MIRROR] * [-1, 1] + [SIZE[0], 0],
        xyz=data.xyz[:, MIRROR] * flip, up=data.up * flip, contact=data.contact[:, _OTHER_FOOT],
    )  # fmt: skip
    _assert_alike(mirrored(_window(data), np.ones(6, bool)), _window(other))


def test_the_rolled_are_as_filmed_by_a_rolled_camera(data: Sequences) -> None:
    angle = 0.4
    R = so3.exp(np.array([0.0, 0.0, angle]))
    centre = np.array(SIZE) / 2

    def turned(xy: FloatArray) -> FloatArray:
        return np.asarray((xy - centre) @ R[:2, :2].T + centre)

    detected = np.concatenate(
        [turned(data.detected[..., :2]), data.detected[..., 2:3], data.detected[..., 3:] @ R.T], -1
    )
    other = replace(
        data, detected=detected, xy=turned(data.xy), xyz=data.xyz @ R.T, up=data.up @ R.T
    )
    _assert_alike(rolled(_window(data), np.full(6, angle)), _window(other))


def test_sides_that_are_exchanged_are_exchanged() -> None:
    """A published training did nothing here: both sides of its assignment were one view."""
    data = clips(40, WINDOW)
    plain, batch = _window(data), _window(data, replace(NONE, swap=1.0))
    run = batch.swapped > 0.5
    assert run.any(axis=1).mean() > 0.8  # some begin before the window
    whole, legs = plain.points[:, :, MIRROR], plain.points.copy()
    legs[:, :, _LEGS] = whole[:, :, _LEGS]
    both = [
        np.isclose(batch.points, expected, **_SINGLE).all(axis=(-1, -2))
        for expected in (plain.points, whole, legs)
    ]
    as_it_was, is_whole, is_legs = both
    np.testing.assert_array_equal(as_it_was, ~run)
    np.testing.assert_array_equal(is_whole | is_legs, run)
    assert is_whole.any(axis=1).sum() > 10
    assert is_legs.any(axis=1).sum() > 10
    assert not (is_whole.any(axis=1) & is_legs.any(axis=1)).any()
    # The truth is of the person, not of what the detector takes for their sides.
    np.testing.assert_array_equal(batch.directions, plain.directions)
    px = np.abs(batch.shift - plain.shift)[run].max()
    assert px > 0.1  # person sizes: what would undo the exchange


@pytest.mark.parametrize("speed", [0.5, 1.18])
def test_another_pace_keeps_directions_and_their_order(data: Sequences, speed: float) -> None:
    plain, batch = _window(data), _window(data, speed=speed)
    np.testing.assert_allclose(np.linalg.norm(batch.directions, axis=-1), 1, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(plain.directions, axis=-1), 1, atol=1e-6)
    if speed == 0.5:
        half = plain.directions[:, : (WINDOW + 1) // 2]
        # The ray follows the detector's noise, which a frame between two others has less of.
        np.testing.assert_allclose(batch.directions[:, ::2], half, atol=0.01)
        between = batch.directions[:, 1::2]
        chord = np.linalg.norm(np.diff(half, axis=1), axis=-1)
        for end in (half[:, :-1], half[:, 1:]):
            assert (np.linalg.norm(between - end, axis=-1) <= chord + 0.01).all()


def test_frames_come_in_order_and_end_with_the_clip() -> None:
    """A person who only moves to the right, in a clip that is shorter than its window."""
    data = clips(1, 60, noise_px=0)
    shift = np.linspace(-1.0, 1.0, 60)[:, None, None] * [1.0, 0.0, 0.0]
    xyz = data.xyz[:1] + shift
    flat = xyz @ data.K[0].T
    xy = flat[..., :2] / flat[..., 2:]
    detected = np.concatenate([xy, data.detected[..., 2:]], axis=-1)
    batch = _window(replace(data, xyz=xyz, xy=xy, detected=detected), speed=0.9)
    count = int(batch.there.sum())
    assert count == 1 + int(59 / 0.9)
    assert batch.there[0, :count].all()
    assert (np.diff(batch.person[0, :count, 1]) > 0).all()
    assert not batch.points[0, count:].any()
    assert not batch.person[0, count:, 3].any()


def test_legs_out_of_the_picture_have_a_low_score(data: Sequences) -> None:
    plain, batch = _window(data), _window(data, replace(NONE, legs=1.0))
    score = batch.points[..., 2]
    low = score[:, :, _LEGS] <= 0.1
    assert low.any(axis=(1, 2)).all()
    np.testing.assert_array_equal(low.all(axis=-1), low.any(axis=-1))
    rest = np.setdiff1d(np.arange(len(POINTS)), _LEGS)
    np.testing.assert_array_equal(score[:, :, rest], plain.points[:, :, rest, 2])
    # Where they are said to be is wrong by half a person size; what is not seen is still known.
    off = np.linalg.norm(batch.shift - plain.shift, axis=-1)[:, :, _LEGS]
    assert np.median(off[low]) > 0.2
    assert off[~low].max() < 0.05  # the size, a median over the window, is another
    assert (batch.points[..., 6] == 1).all()


def test_what_is_missing_is_zero_and_said_to_be(data: Sequences) -> None:
    how = replace(NONE, lost=1.0)
    batch = _window(data, how, seed=3)
    lost = batch.person[..., 3] < 0.5
    assert lost.any()
    assert not batch.points[lost].any()
    assert (batch.there == 1).all()  # lost by the detector, not by the clip
    few = _window(data, replace(NONE, few=1.0))
    coco = np.isin(POINTS, skeleton("coco17").points)
    assert (few.points[:, :, coco, 6:] == 1).all()
    assert not few.points[:, :, ~coco].any()
    flat = _window(data, replace(NONE, own=1.0))
    assert not flat.points[..., [3, 4, 5, 7]].any()
    assert (flat.points[..., 6] == 1).all()
    edge = _window(data, replace(NONE, edge=1.0), seed=4)
    assert ((edge.there == 0).sum(axis=1) > 0).all()
    assert not edge.points[edge.there == 0].any()


def test_errors_times_nothing_are_the_truth_but_where_sides_are_exchanged(data: Sequences) -> None:
    told = np.zeros(len(data.detected))
    told[data.start[:-1] + 20] = 1
    data = replace(data, swapped=told)
    rows = data.start[:-1, None] + np.arange(WINDOW)
    plain, free = _window(data), _window(data, replace(NONE, strength=(0, 0), own_strength=(0, 0)))
    own_frames = told[rows] < 0.5
    assert np.abs(free.shift[own_frames]).max() < 1e-5
    np.testing.assert_allclose(free.shift[~own_frames], plain.shift[~own_frames], atol=1e-3)
    start, end = ends(POINTS, LIMBS).T
    own = free.points[..., end, 3:6] - free.points[..., start, 3:6]
    own /= np.linalg.norm(own, axis=-1, keepdims=True)
    # The detector's 3D is in the axes of the ray through the detected points; single precision.
    np.testing.assert_allclose(own[own_frames], free.directions[own_frames], atol=0.02)
    away = np.linalg.norm(own - free.directions, axis=-1)[~own_frames]
    assert np.median(away) > 0.05
    # Twice the errors lie twice as far off.
    twice = _window(data, replace(NONE, strength=(2, 2)))
    np.testing.assert_allclose(twice.shift[own_frames], 2 * plain.shift[own_frames], atol=0.01)


@pytest.mark.parametrize("name", [f.name for f in fields(Disturbance)])
def test_each_disturbance_does_something(data: Sequences, name: str) -> None:
    strong = (0.5, 0.6) if isinstance(getattr(NONE, name), tuple) else 1.0
    how = replace(NONE, **{name: strong})
    count = len(data)

    def windows(how: Disturbance) -> Batch:
        return draw(data, np.random.default_rng(5), np.arange(count), how)

    assert not np.array_equal(windows(how).points, windows(NONE).points)
