"""Windows for training: cut, re-timed, disturbed, mirrored, and brought into a lifter's form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinefit.lift.inputs import (
    LIMBS,
    MIRROR,
    POINTS,
    about_trunk,
    make_inputs,
    person_size,
    seen_along_ray,
)
from kinefit.lift.windows import RATE_HZ, WINDOW
from kinefit.skeletons import skeleton
from kinefit.skeletons.limbs import ends, twins
from kinefit.train.lift.sequences import Sequences
from kinefit.types import BoolArray, FloatArray, IntArray, all_finite

_ENDS = ends(POINTS, LIMBS)
_TWINS = twins(LIMBS)
# A limb across the body (hips) points the other way in a mirror: its ends are exchanged.
_TURNED = _ENDS[:, 0] == MIRROR[_ENDS[:, 1]]
_LEGS = np.array([i for i, n in enumerate(POINTS) if n[1:] in ("Knee", "Ankle", "Heel", "BigToe")])
_ARMS = np.array([i for i, n in enumerate(POINTS) if n[1:] in ("Elbow", "Wrist", "Pinky", "Index",
                                                               "Thumb")])  # fmt: skip
_SIZED = np.flatnonzero([n[1:] in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
                         for n in POINTS])  # fmt: skip
_COCO = np.isin(POINTS, skeleton("coco17").points)
_MUCH_ROLLED = 0.25  # of the windows
_ROUNDING = 1e-6  # of frames, where rates are quotients
_FOOT_TWINS = np.array([2, 3, 0, 1])


class Batch(NamedTuple):
    """B windows of T frames; single precision.

    points, person: see `kinefit.lift.inputs.Inputs`. directions: (B, T, L, 3) true unit vectors, in
    the ray's axes; 0 where unknown. up: (B, T, 3) the same of gravity; contact: (B, T, 4).
    swapped: (B, T). shift: (B, T, 27, 2) from the detected to the true points, in person sizes; NaN
    where unknown. there: (B, T) 1 within the clip.
    """

    points: NDArray[Any]
    person: NDArray[Any]
    directions: NDArray[Any]
    up: NDArray[Any]
    contact: NDArray[Any]
    swapped: NDArray[Any]
    shift: NDArray[Any]
    there: NDArray[Any]


@dataclass(frozen=True)
class Disturbance:
    """What is done to windows, each with its probability or spread; `NONE` for evaluation.

    focal_sd: of the logarithm of the focal length, which users do not know. speed: range of
    re-timing. mirror: probability. roll_deg: SD of a turn about the ray, of one window in four the
    first, else the second: most cameras stand upright. swap: a stretch with left and right
    exchanged, of all or of the legs. legs, arms: out of the picture for 1 to 3 s.
    lost: a stretch without a detection. edge: a window that begins or ends beyond the clip. own:
    the detector's 3D is missing altogether. few: only COCO's points. point: a point missing for a
    stretch. bias, white, drift: SD of noise of 2D points, person sizes: constant over the window,
    of each frame, slow. own_bias: the same of 3D points. peak: of a frame, a point far off.
    strength, own_strength: range of what the detector's errors are multiplied by, in 2D and in 3D,
    and bend: SD of the entries of a linear map of its 3D, one of each window. (Without, stated
    spreads are too small: squared error over spread 1.75 on held-out renders, with these 1.08.)
    """

    focal_sd: float = 0.17
    speed: tuple[float, float] = (0.6, 1.18)
    mirror: float = 0.5
    roll_deg: tuple[float, float] = (15.0, 4.0)
    swap: float = 0.1
    legs: float = 0.06
    arms: float = 0.03
    lost: float = 0.1
    edge: float = 0.15
    own: float = 0.2
    few: float = 0.05
    point: float = 0.15
    bias: float = 0.01
    white: float = 0.004
    drift: float = 0.008
    own_bias: float = 0.06
    peak: float = 0.002
    strength: tuple[float, float] = (0.5, 1.5)
    own_strength: tuple[float, float] = (0.3, 1.4)
    bend: float = 0.08


NONE = Disturbance(
    0, (1, 1), 0, (0, 0), 0, legs=0, arms=0, lost=0, edge=0, own=0, few=0, point=0, bias=0, white=0,
    drift=0, own_bias=0, peak=0, strength=(1, 1), own_strength=(1, 1), bend=0,
)  # fmt: skip


def draw(data: Sequences, rng: np.random.Generator, clips: IntArray, how: Disturbance) -> Batch:
    """One window of each of `clips` (B,), disturbed."""
    B = len(clips)
    speed = rng.uniform(*how.speed, B) * data.rate[clips] / RATE_HZ
    lengths = data.lengths[clips]
    spare = np.maximum(lengths - 1 - speed * (WINDOW - 1), 0)
    first = rng.uniform(0, 1, B) * spare
    return window(data, rng, clips, first, speed, how)


def some_frames(batch: Batch, rng: np.random.Generator, count: int) -> Batch:
    """`count` consecutive frames of each window, the same of all."""
    first = int(rng.integers(batch.there.shape[1] - count + 1))
    return Batch(*(values[:, first : first + count] for values in batch))


def window(
    data: Sequences, rng: np.random.Generator, clips: IntArray, first: FloatArray,
    speed: FloatArray, how: Disturbance,
) -> Batch:  # fmt: skip
    """Windows that begin at frames `first` (B,) of clips and take `speed` (B,) frames a step."""
    at = first[:, None] + speed[:, None] * np.arange(WINDOW)
    last = data.lengths[clips][:, None] - 1
    there = (at <= last + _ROUNDING) & ~edges(rng, len(clips), how.edge)
    at = np.clip(at, 0, last)
    low = np.floor(at).astype(np.int64)
    share = at - low
    rows = data.start[clips][:, None] + low
    nexts = np.minimum(rows + 1, data.start[clips][:, None] + last)

    def take(values: FloatArray) -> FloatArray:
        a, b = (np.asarray(values[r], np.float64) for r in (rows, nexts))
        part = share.reshape(*share.shape, *[1] * (a.ndim - 2))
        return np.where(part > 0, a + part * (b - a), a)  # or b would count where it does not

    detected, xy, xyz = take(data.detected), take(data.xy), take(data.xyz)
    nearest = np.where(share < 0.5, rows, nexts)
    contact, swapped = data.contact[nearest], np.array(data.swapped[nearest], np.float64)
    K = np.array(data.K[clips], np.float64)
    detected[~there] = np.nan
    _reweigh(rng, detected, xy, xyz, swapped, K, how)
    _disturb(rng, detected, swapped, how)
    assumed = K.copy()
    assumed[:, [0, 1], [0, 1]] *= np.exp(how.focal_sd * rng.normal(size=(len(clips), 1)))
    inputs = make_inputs(detected[..., :2], np.nan_to_num(detected[..., 2]), detected[..., 3:],
                         assumed)  # fmt: skip
    # Truth in the axes of the true ray, whatever the assumed focal length: see `make_inputs`.
    _, rotation, _, size = seen_along_ray(detected[..., :2], K)
    limb = (xyz[..., _ENDS[:, 1], :] - xyz[..., _ENDS[:, 0], :]) @ np.swapaxes(rotation, -1, -2)
    limb = np.nan_to_num(limb / np.linalg.norm(limb, axis=-1, keepdims=True))
    up = np.nan_to_num((rotation @ take(data.up)[..., None])[..., 0])
    # Pixels to person sizes: near enough a plain scaling, for small shifts.
    pixels = size[:, None, None, None] * K[:, 0, 0][:, None, None, None]
    shift = (xy - detected[..., :2]) / pixels
    batch = Batch(inputs.points, inputs.person, limb, up, contact, swapped, shift,
                  there.astype(np.float64))  # fmt: skip
    roll = np.where(rng.random(len(clips)) < _MUCH_ROLLED, *how.roll_deg)
    batch = rolled(batch, np.radians(roll) * rng.normal(size=len(clips)))
    batch = mirrored(batch, rng.random(len(clips)) < how.mirror)
    return Batch(*(np.asarray(values, np.float32) for values in batch))


def _stretch(rng: np.random.Generator, B: int, p: float, low: int, high: int) -> BoolArray:
    """(B, T) True in one run of `low` to `high` frames of each window, with probability p."""
    long = rng.integers(low, high + 1, B)
    start = rng.integers(-low, WINDOW, B)
    t = np.arange(WINDOW)
    run = (t >= start[:, None]) & (t < (start + long)[:, None])
    return np.asarray(run & (rng.random(B) < p)[:, None])


def edges(rng: np.random.Generator, B: int, p: float) -> BoolArray:
    """(B, T) True at one end of a window, up to half of it, with probability p."""
    beyond = rng.integers(1, WINDOW // 2, B)
    t = np.arange(WINDOW)
    late = rng.random(B) < 0.5
    run = np.where(late[:, None], t >= (WINDOW - beyond)[:, None], t < beyond[:, None])
    return np.asarray(run & (rng.random(B) < p)[:, None])


def _disturb(
    rng: np.random.Generator, detected: FloatArray, swapped: FloatArray, how: Disturbance
) -> None:
    """Changes detections (B, T, 27, 6) and the swaps (B, T) in place."""
    B, T = detected.shape[:2]
    px = _person_px(detected)[:, None, None, None]
    noise = how.bias * rng.normal(size=(B, 1, 27, 2)) + how.white * rng.normal(size=(B, T, 27, 2))
    slow = rng.normal(size=(B, 4, 27, 2))
    phase = 2 * np.pi * (np.arange(4)[:, None] / 2.5 * np.arange(T) / T + rng.random((B, 4, 1)))
    noise += how.drift / np.sqrt(2) * np.einsum("bkt,bkjc->btjc", np.sin(phase), slow)
    noise *= rng.gamma(1.0, 1.0, (B, 1, 1, 1))
    noise += (rng.random((B, T, 27, 1)) < how.peak) * rng.normal(0, 0.3, (B, T, 27, 2))
    detected[..., :2] += px * noise
    own = how.own_bias * rng.normal(size=(B, 1, 27, 3)) * rng.gamma(1.0, 1.0, (B, 1, 1, 1))
    detected[..., 3:] += 0.4 * own
    whole = np.asarray(rng.random(B) < 0.5)
    run = _stretch(rng, B, how.swap, 2, 40)
    for points, chosen in ((np.arange(27), whole), (_LEGS, ~whole)):
        frames = np.nonzero(run & chosen[:, None])
        index = np.ix_(np.arange(len(frames[0])), points)
        some = detected[frames]
        some[index] = detected[frames][:, MIRROR[points]]
        detected[frames] = some
    swapped[run] = 1 - swapped[run]
    for points, p in ((_LEGS, how.legs), (_ARMS, how.arms)):
        b, t = np.nonzero(_stretch(rng, B, p, 30, 90))
        at = (b[:, None], t[:, None], points)
        detected[(*at, 2)] = rng.uniform(0, 0.1, (len(b), len(points)))
        blur = rng.normal(0, 0.4, (B, 1, 27, 5)) + rng.normal(0, 0.1, (B, T, 27, 5))
        detected[(*at, slice(0, 2))] += (px * blur[..., :2])[at]
        detected[(*at, slice(3, 6))] += 0.4 * blur[at][..., 2:]
    detected[_stretch(rng, B, how.lost, 1, 20)] = np.nan
    for _ in range(2):
        b, t = np.nonzero(_stretch(rng, B, how.point, 3, WINDOW))
        detected[b, t, np.asarray(rng.integers(0, 27, B))[b]] = np.nan
    detected[rng.random(B) < how.own, ..., 3:] = np.nan
    few = np.asarray(rng.random(B) < how.few)[:, None] & ~_COCO
    detected[np.broadcast_to(few[:, None], detected.shape[:3])] = np.nan


def _reweigh(
    rng: np.random.Generator, detected: FloatArray, xy: FloatArray, xyz: FloatArray,
    swapped: FloatArray, K: FloatArray, how: Disturbance,
) -> None:  # fmt: skip
    """Changes the detector's errors in (B, T, 27, 6), but where it exchanged sides, in place."""
    B = len(detected)
    flat, deep = rng.uniform(*how.strength, B), rng.uniform(*how.own_strength, B)
    map_ = np.eye(3) + how.bend * rng.normal(size=(B, 3, 3))
    own = about_trunk(detected[..., 3:])
    true = about_trunk(xyz @ np.swapaxes(seen_along_ray(detected[..., :2], K)[1], -1, -2))
    # The truth in the detector's unit: it does not know how tall people are.
    true *= (person_size(own) / person_size(true))[:, None, None, None]
    some = np.isfinite(true) & (swapped < 0.5)[..., None, None]
    own = np.where(some, true + deep[:, None, None, None] * (own - true), own)
    detected[..., 3:] = own @ map_[:, None]
    some = np.isfinite(xy) & (swapped < 0.5)[..., None, None]
    less = xy + flat[:, None, None, None] * (detected[..., :2] - xy)
    detected[..., :2] = np.where(some, less, detected[..., :2])


def _person_px(detected: FloatArray) -> FloatArray:
    """(B,) pixels: the person's size in the middle of the known frames; 1 where nobody is."""
    some = detected[:, ::8, _SIZED, :2]
    known = all_finite(some).all(axis=-1)
    count = known.sum(axis=1)
    square = np.where(known, np.nan_to_num(some).var(axis=2).sum(axis=-1), 0.0).sum(axis=1)
    return np.asarray(np.where(count > 0, np.sqrt(square / np.maximum(count, 1)), 1.0))


def mirrored(batch: Batch, which: BoolArray) -> Batch:
    """The windows `which` (B,) as in a mirror: x is -x, left is right."""
    if not which.any():
        return batch
    new = Batch(*(np.array(values) for values in batch))
    w = np.flatnonzero(which)
    points = batch.points[w][:, :, MIRROR]
    points[..., [0, 3]] *= -1
    new.points[w] = points
    new.person[w, :, 1] *= -1
    directions = batch.directions[w][:, :, _TWINS] * [-1, 1, 1]
    directions[:, :, _TURNED] *= -1
    new.directions[w] = directions
    new.up[w, :, 0] *= -1
    new.contact[w] = batch.contact[w][..., _FOOT_TWINS]
    new.shift[w] = batch.shift[w][:, :, MIRROR] * [-1, 1]
    return new


def rolled(batch: Batch, angle: FloatArray) -> Batch:
    """Everything turned about the ray by `angle` (B,) radians, as if the camera were."""
    c, s = np.cos(angle), np.sin(angle)
    R = np.stack([np.stack([c, -s], -1), np.stack([s, c], -1)], -2)

    def turn(values: FloatArray, *places: int) -> FloatArray:
        out = np.array(values)
        view = R.reshape(len(angle), *[1] * (out.ndim - 2), 2, 2)
        for i in places:
            out[..., i : i + 2] = (view @ out[..., i : i + 2, None])[..., 0]
        return out

    return batch._replace(
        points=turn(batch.points, 0, 3), person=turn(batch.person, 1),
        directions=turn(batch.directions, 0), up=turn(batch.up, 0), shift=turn(batch.shift, 0),
    )  # fmt: skip
