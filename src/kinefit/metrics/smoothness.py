"""How points move: smoothness against a truth or without one, sliding feet, bones that stretch.

Derivatives come from the time stamps, never from a count of frames: a number per frame means
another thing at another rate. `motion.quality` judges a person's own markers, by name and over
their lowest level; here are arrays, a floor of known height, and a truth.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import factorial
from typing import Any

import numpy as np

from kinefit.metrics.positions import point_errors
from kinefit.metrics.summary import mean_of, plain
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData

STILL_M_S = 0.3  # a foot of the truth slower than this stands (1 cm a frame at 30 Hz)
NEAR_FLOOR_M, SLOW_M_S = 0.05, 0.5  # contact without a truth: lower and slower than these
SKATE_M_S = 0.2  # a foot in contact that is faster skates
BELOW_M = 0.001  # under the floor by less: rounding, and what a soft sole does
FEWEST = 10  # frames below which a spread says nothing


def derivative(xyz: FloatArray, time: FloatArray, order: int) -> FloatArray:
    """(T - order, ...) derivative of `xyz` (T, ...) by `time` (T,) s, from neighbouring samples.

    Newton's divided difference times `order`!: the derivative of the polynomial through order + 1
    samples. At a constant rate it is the plain difference times rate ** order. NaN where one of
    them is missing; nothing is left of fewer than order + 1 samples.

    Raises InvalidData unless times increase and there is one for each sample.
    """
    _check_time(xyz, time)
    divided = np.asarray(xyz, np.float64)
    for n in range(1, order + 1):
        if len(divided) < 2:
            return np.empty((0, *xyz.shape[1:]))
        span = (time[n:] - time[:-n]).reshape(-1, *[1] * (xyz.ndim - 1))
        divided = np.diff(divided, axis=0) / span
    return np.asarray(factorial(order) * divided)


def speeds(xyz: FloatArray, time: FloatArray) -> FloatArray:
    """(T - 1, P) m/s of points (T, P, 3) from each sample to the next."""
    return np.asarray(np.linalg.norm(derivative(xyz, time, 1), axis=-1))


def acceleration_errors(points: FloatArray, truth: FloatArray, time: FloatArray) -> FloatArray:
    """(T - 2, J) m/s^2 between the accelerations of `points` and of `truth` (T, J, 3) metres.

    Older papers print mm/frame^2, which means another thing at another rate.
    Kanazawa et al. 2019, CVPR (HMMR), scaled by the rate as in WHAM.
    """
    return point_errors(derivative(points, time, 2), derivative(truth, time, 2))


def jitter(points: FloatArray, time: FloatArray) -> FloatArray:
    """(T - 3, J) m/s^3: size of the third derivative of points (T, J, 3) metres, without a truth.

    Papers print its mean in 10 m/s^3, so a tenth of this. Real motion has some: compare with the
    truth's own. Yi, Zhou & Xu 2021, ACM TOG 40(4):86 (TransPose).
    """
    return np.asarray(np.linalg.norm(derivative(points, time, 3), axis=-1))


def slides(
    feet: FloatArray, truth: FloatArray, time: FloatArray, still_m_s: float = STILL_M_S
) -> FloatArray:
    """(T - 1, P) metres that each point of a foot moves in a step in which the true one stands.

    feet, truth: (T, P, 3) metres. The true one stands when slower than `still_m_s`. NaN where it
    does not, or a place is missing. Per step, as published, so it depends on the rate: divided by
    `np.diff(time)` it does not.
    """
    stands = speeds(truth, time) < still_m_s  # False where NaN
    return np.where(stands, point_errors(feet[1:], feet[:-1]), np.nan)


@dataclass(frozen=True)
class FootSliding:
    """Feet against those of the truth; NaN when the truth never stands.

    contact: share of steps in which the true point stands. slide_mm: mean displacement in such a
    step. slide_m_s: mean speed there, the same at any rate.
    """

    contact: float
    slide_mm: float
    slide_m_s: float

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN as null."""
        return plain(asdict(self))


def foot_sliding(
    feet: FloatArray, truth: FloatArray, time: FloatArray, still_m_s: float = STILL_M_S
) -> FootSliding:
    """How far feet (T, P, 3) metres move while the true ones stand; see `slides`.

    Shen et al. 2024, SIGGRAPH Asia (GVHMR), with a threshold per second instead of per frame.
    """
    slid = slides(feet, truth, time, still_m_s)
    true_speed = speeds(truth, time)
    stands = np.where(np.isnan(true_speed), np.nan, true_speed < still_m_s)
    return FootSliding(
        contact=float(mean_of(stands)),
        slide_mm=float(1000 * mean_of(slid)),
        slide_m_s=float(mean_of(slid / np.diff(time)[:, None])),
    )


@dataclass(frozen=True)
class FloorContact:
    """Feet on a floor of known height, without a truth; NaN where there is nothing to say.

    contact: share of samples lower than 5 cm and slower than 0.5 m/s. skate: share of those that
    move along the floor faster than 0.2 m/s; skate_m_s: mean speed along the floor in contact.
    below: share of samples more than 1 mm under the floor; depth_mm: mean depth of those.
    """

    contact: float
    skate: float
    skate_m_s: float
    below: float
    depth_mm: float

    def to_json(self) -> dict[str, Any]:
        """Plain values, NaN as null."""
        return plain(asdict(self))


def touching(
    feet: FloatArray, time: FloatArray, floor: float = 0.0
) -> tuple[BoolArray, FloatArray]:
    """(T, P) whether points of feet (T, P, 3) touch the floor, and their speeds along it, m/s.

    World axes, Y up; floor: its height in metres. Velocities are central differences; a sample
    beside a missing one has no speed (NaN) and does not touch.
    """
    _check_time(feet, time)
    if len(time) < 2:
        return np.zeros(feet.shape[:-1], bool), np.full(feet.shape[:-1], np.nan)
    velocity = np.gradient(feet, time, axis=0)
    slow = np.linalg.norm(velocity, axis=-1) < SLOW_M_S
    near = feet[..., 1] - floor < NEAR_FLOOR_M
    return slow & near, np.asarray(np.hypot(velocity[..., 0], velocity[..., 2]))


def floor_contact(feet: FloatArray, time: FloatArray, floor: float = 0.0) -> FloorContact:
    """How points of feet (T, P, 3) metres meet a floor of height `floor`; see `touching`.

    A sample whose speed is unknown is no sample. The points must lie on the sole.
    """
    contact, speed = touching(feet, time, floor)
    known = np.isfinite(speed)
    height = feet[..., 1] - floor
    sliding = speed[contact]
    return FloorContact(
        contact=float(mean_of(contact[known])),
        skate=float(mean_of(sliding > SKATE_M_S)),
        skate_m_s=float(mean_of(sliding)),
        below=float(mean_of(np.where(np.isnan(height), np.nan, height < -BELOW_M))),
        depth_mm=float(-1000 * mean_of(height[height < -BELOW_M])),
    )


def bone_lengths(xyz: FloatArray, ends: IntArray | Sequence[tuple[int, int]]) -> FloatArray:
    """(..., B) lengths between the points of `xyz` (..., J, D) with the indices `ends` (B, 2)."""
    first, second = np.asarray(ends, np.int64).reshape(-1, 2).T
    return np.asarray(np.linalg.norm(xyz[..., first, :] - xyz[..., second, :], axis=-1))


def variation_pct(lengths: FloatArray, fewest: int = FEWEST) -> FloatArray:
    """(B,) coefficient of variation of lengths (T, B): 100 x standard deviation / mean.

    0 for a rigid body. The deviation is that of the samples (divided by their number). NaN with
    fewer than `fewest` known samples, or no length.
    """
    mean = mean_of(lengths, 0)
    sd = np.sqrt(mean_of((lengths - mean) ** 2, 0))
    enough = (np.isfinite(lengths).sum(axis=0) >= fewest) & (mean > 0)
    return np.where(enough, 100 * sd / np.where(mean > 0, mean, np.nan), np.nan)


def _check_time(xyz: FloatArray, time: FloatArray) -> None:
    if time.shape != (len(xyz),) or not (np.diff(time) > 0).all():
        raise InvalidData(f"{len(xyz)} samples need as many increasing times, not {time.shape}.")
