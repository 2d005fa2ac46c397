"""Which way is up, from a person who stands on the floor; and where that floor is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinefit.body.contact import point_speed, standing_probability
from kinefit.geometry.rotations import unit
from kinefit.geometry.scale import weighted_median
from kinefit.types import BoolArray, FloatArray, all_finite

# proximal, distal, share of body mass, centre of mass from the proximal end:
# Winter 2009, Biomechanics and Motor Control of Human Movement, 4th ed., table 4.1. Pairs of
# points are averaged first; the head's centre of mass is at the ears.
_SEGMENTS = (
    (("LEar", "REar"), ("LEar", "REar"), 0.081, 0.5),
    (("LShoulder", "RShoulder"), ("LHip", "RHip"), 0.497, 0.5),
    *(
        ((side + a,), (side + b,), mass, centre)
        for side in "LR"
        for a, b, mass, centre in (
            ("Shoulder", "Elbow", 0.028, 0.436),
            ("Elbow", "Wrist", 0.022, 0.682),
            ("Hip", "Knee", 0.100, 0.433),
            ("Knee", "Ankle", 0.0465, 0.433),
            ("Heel", "BigToe", 0.0145, 0.5),
        )
    ),
)
_FOOT = ("Ankle", "Heel", "BigToe")
_SOLE = ("Heel", "BigToe")

LEVEL = np.array([0.0, -1.0, 0.0])  # up in the axes of a level camera
_LEVEL_SD = np.radians(20.0)  # how far a camera is from level when nothing else is known
# Balance against the calibrated cameras of the Pose2Sim demo: 1.3-8.6 degrees off in four views;
# the axis shoulders-ankles is 10-15 and the trunk 18-22 degrees off, so neither is used.
_BALANCE_SD = np.radians(5.0)
# Speed that a person may gain over a clip without our knowing, over g: radians x seconds.
_GAIN_OF_SPEED = 0.7 / 9.81

_STANDING = 0.40  # mid-hip to supporting foot over stature: about 0.47 standing, 0.35 on a chair
_MAX_FROM_LEVEL = np.radians(60.0)  # further than this from the camera's up is lying, not a tilt
_MIN_STANDING = 0.2  # seconds
_LOW = 0.06  # metres above the other foot at which a foot counts little as a support
_PASSES = 6


@dataclass(frozen=True, eq=False)
class Up:
    """direction: (3,) unit, camera axes. sd: radians, about each horizontal axis. note: empty,
    or why it is no estimate.
    """

    direction: FloatArray
    sd: float
    note: str = ""


@dataclass(frozen=True, eq=False)
class _Feet:
    """centre: (T, 2, 3) metres, left and right. standing: (T, 2) probability, from how they are
    seen to move."""

    centre: FloatArray
    standing: FloatArray

    def support(self, up: FloatArray) -> FloatArray:
        """(T, 2) in 0..1: near 1 where a foot stands and is no higher than the other."""
        height = self.centre @ up
        lowest = np.where(np.isfinite(height), height, np.inf).min(axis=1, keepdims=True)
        above = height - np.where(np.isfinite(lowest), lowest, 0.0)
        return np.asarray(np.nan_to_num(np.exp(-0.5 * (above / _LOW) ** 2) * self.standing))


def estimate_up(xyz: FloatArray, names: Sequence[str], time: FloatArray, height_m: float) -> Up:
    """The direction of gravity, reversed, from how a standing person balances.

    xyz: (T, J, 3) metres, camera axes, origin at the camera, NaN where not well seen. time: (T,)
    seconds.

    Over a clip in which a person gains no speed, the centre of mass is on average straight above
    the supporting foot, however the trunk leans (Newton's second law for the horizontal).

    Without 0.2 s of standing (seated, lying, feet unseen) the answer is level, with its wide
    uncertainty and a note.
    """
    points = {name: xyz[:, i] for i, name in enumerate(names)}
    feet = _feet(points, time)
    lever, standing = _balance(points, feet, LEVEL, height_m)
    up, span = LEVEL, 0.0
    for _ in range(_PASSES):
        span = _duration(time, standing)
        if span < _MIN_STANDING:
            break
        up = unit(lever[standing].mean(axis=0))
        lever, standing = _balance(points, feet, up, height_m)
    if span < _MIN_STANDING:
        return Up(LEVEL, _LEVEL_SD, "no standing person with both feet in view")
    if np.arccos(np.clip(up @ LEVEL, -1, 1)) > _MAX_FROM_LEVEL:
        return Up(LEVEL, _LEVEL_SD, "the person seems to lie rather than to stand")
    return Up(up, float(np.hypot(_BALANCE_SD, _GAIN_OF_SPEED / span)))


def floor_height(xyz: FloatArray, names: Sequence[str], time: FloatArray, up: FloatArray) -> float:
    """Height along `up` of the lowest foot landmark while it carries the person; NaN without feet.

    xyz: (T, J, 3) metres. The median over frames, weighted by how much the foot is a support:
    depth errors move the feet up as often as down, so a low percentile would lie under the floor.
    """
    points = {name: xyz[:, i] for i, name in enumerate(names)}
    feet = _feet(points, time)
    soles = np.stack([_lowest(points, [s + n for n in _SOLE], up) for s in "LR"], axis=1)
    support = np.where(np.isfinite(soles), feet.support(up), 0.0)
    if not (support > 0).any():
        return float("nan")
    return weighted_median(soles.ravel(), support.ravel())


def _lowest(points: dict[str, FloatArray], names: Sequence[str], up: FloatArray) -> FloatArray:
    """(T,) the smallest height along `up` of the named points, NaN where none is seen."""
    missing = np.full_like(next(iter(points.values())), np.nan)
    return np.asarray(np.fmin.reduce([points.get(n, missing) @ up for n in names]))


def _centre(points: dict[str, FloatArray], names: Sequence[str]) -> FloatArray:
    """(T, 3) mean of the named points; NaN where one is missing."""
    missing = np.full_like(next(iter(points.values())), np.nan)
    return np.asarray(np.mean([points.get(n, missing) for n in names], axis=0))


def _feet(points: dict[str, FloatArray], time: FloatArray) -> _Feet:
    centre = np.stack([_centre(points, [s + n for n in _FOOT]) for s in "LR"], axis=1)
    speed = point_speed(time, centre[..., :2] / centre[..., 2:]) * centre[..., 2]
    return _Feet(centre, standing_probability(time, speed))


def _balance(
    points: dict[str, FloatArray], feet: _Feet, up: FloatArray, height_m: float
) -> tuple[FloatArray, BoolArray]:
    """Lever (T, 3) from the support to the centre of mass, and where (T,) the person stands."""
    weight = feet.support(up)
    # A foot that is out of view may be the one that carries: no lever without both.
    total = np.where(all_finite(feet.centre).all(axis=1), weight.sum(axis=1), 0.0)
    share = weight / np.where(total > 0, total, np.nan)[:, None]
    support = (share[..., None] * feet.centre).sum(axis=1)
    leg = np.linalg.norm(_centre(points, ("LHip", "RHip")) - support, axis=-1)
    lever = _centre_of_mass(points) - support
    standing = all_finite(lever) & (leg > _STANDING * height_m)
    return lever, standing


def _centre_of_mass(points: dict[str, FloatArray]) -> FloatArray:
    """(T, 3), of the segments in view; NaN without the trunk."""
    total = np.zeros_like(next(iter(points.values())))
    mass = np.zeros((len(total), 1))
    for proximal, distal, share, along in _SEGMENTS:
        centre = (1 - along) * _centre(points, proximal) + along * _centre(points, distal)
        seen = all_finite(centre)[:, None]
        total += np.where(seen, share * centre, 0.0)
        mass += share * seen
    trunk = all_finite(_centre(points, ("LShoulder", "RShoulder", "LHip", "RHip")))
    return np.where(trunk[:, None], total / np.maximum(mass, 1e-9), np.nan)


def _duration(time: FloatArray, keep: BoolArray) -> float:
    """Seconds covered by the kept samples, not counting gaps."""
    if len(time) < 2:
        return 0.0
    step = np.minimum(np.gradient(time), 2 * np.median(np.diff(time)))
    return float(step[keep].sum())
