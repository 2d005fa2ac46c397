"""Smoothness of motion, sliding of feet, and change of bone lengths.

Derivatives come from time stamps, not from counts of frames: a number per frame changes with the
rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import factorial

import numpy as np

from kinefit.metrics.positions import point_errors
from kinefit.metrics.summary import Numbers, mean_of
from kinefit.types import FloatArray, IntArray, InvalidData

STILL_M_S = 0.3  # a foot of the truth slower than this stands (1 cm a frame at 30 Hz)
FEWEST = 10  # frames below which a spread says nothing


def derivative(xyz: FloatArray, time: FloatArray, order: int) -> FloatArray:
    """(T - order, ...) derivative of `xyz` (T, ...) by `time` (T,) s, from neighbouring samples.

    Newton's divided difference times `order`!: the derivative of the polynomial through order + 1
    samples. At a constant rate it is the plain difference times rate ** order. NaN where one of
    them is missing; nothing is left of fewer than order + 1 samples.

    Raises InvalidData unless times increase and there is one for each sample.
    """
    if time.shape != (len(xyz),) or not (np.diff(time) > 0).all():
        raise InvalidData(f"{len(xyz)} samples need as many increasing times, not {time.shape}.")
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

    Older papers print mm/frame^2, which changes with the rate.
    Kanazawa et al. 2019, CVPR (HMMR), scaled by the rate as in WHAM.
    """
    return point_errors(derivative(points, time, 2), derivative(truth, time, 2))


def jitter(points: FloatArray, time: FloatArray) -> FloatArray:
    """(T - 3, J) m/s^3: size of the third derivative of points (T, J, 3) metres.

    Papers print its mean in 10 m/s^3, a tenth of this. Real motion has jitter: compare with that
    of the truth. Yi, Zhou & Xu 2021, ACM TOG 40(4):86 (TransPose).
    """
    return np.asarray(np.linalg.norm(derivative(points, time, 3), axis=-1))


def slides(
    feet: FloatArray, truth: FloatArray, time: FloatArray, still_m_s: float = STILL_M_S
) -> FloatArray:
    """(T - 1, P) metres that points of feet move between two samples while the true ones stand.

    feet, truth: (T, P, 3) metres. The true point stands when it is slower than
    `still_m_s`. NaN where it does not stand, or a position is missing. As published it depends on
    the rate; divided by `np.diff(time)` it does not.
    """
    stands = speeds(truth, time) < still_m_s  # False where NaN
    return np.where(stands, point_errors(feet[1:], feet[:-1]), np.nan)


@dataclass(frozen=True)
class FootSliding(Numbers):
    """Feet against those of the truth; NaN when the truth never stands.

    contact: share of steps from sample to sample in which the true point stands. slide_mm: mean
    displacement in such a step. slide_m_s: mean speed there, the same at any rate.
    """

    contact: float
    slide_mm: float
    slide_m_s: float


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
