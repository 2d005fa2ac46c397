"""The lag between two cameras that see the same motion, or why there is none to be had.

Two cameras that see the same motion from far enough obey one linear equation: there is a direction
in each image along which all points of the body move alike (affine epipolar geometry; Hartley &
Zisserman, Multiple View Geometry in Computer Vision, 2nd ed., section 14.2). For level cameras it
is the vertical. At the right lag the velocities in the two images are therefore correlated along
one pair of directions that all joints share: the first canonical correlation of the 2x2
covariances, here for all lags at once (FFT). Nothing need be known about how the cameras stand.

Measured on CMU motion in simulated views (8 s, 3 px of white and 2 px of slow noise, swaps,
outliers, dropouts), errors of the lag: the vertical alone instead of free directions is as good
for level cameras (median 5.1 against 4.6 ms) and fails for rolled ones (57 % wrong peaks
against 3 %). The squared left-to-right vectors, which swaps do not change either, add nothing
(median 3.1 against 3.4 ms, but more wrong peaks in 3 s). Joints weighted by the inverse of
their speed: 11.8 against 10.5 ms (90 %).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft
from scipy.special import stdtrit

from kinefit.multiview.velocities import GRID_HZ, SMOOTH_S, ImageMotion
from kinefit.types import FloatArray

_LEAST_OVERLAP_S = 2.0  # of the motion in both cameras, at the lag that is reported
_RIVAL_OVERLAP_S = 1.0  # and at lags that may speak against it
_RIVAL_RANGE_S = 2.0  # rivals are looked for at least so far away: strides last 0.9 to 1.4 s
_BLOCK_S = 0.5  # stretches of time that are left out in turn for the standard deviation
_BLOCKS = 60  # or fewer, longer ones
_NEAR = 10  # grid steps around a peak in which the peaks of parts of the data may lie
LEAST_SD_S = 1e-4  # a tenth of what time stamps are good for
_STILL = 0.15  # body sizes per second; 3 px of white noise on a body of 500 px look like 0.1
# How much likelier the best lag must be than the next (natural logarithm of the ratio). Of some
# 2,000 pairs of unrelated motions (2.5 to 30 s) one reached 11.4 and none else 10, of 30 wrong
# peaks of the same motion none 4.3. Of the right peaks half exceed 17 in 8 s, 36 in 12 s, 82 in 20.
_MARGIN = 14.0


@dataclass(frozen=True)
class PairLag:
    """What two cameras say about their clocks.

    cameras: names of the two.
    lag_s: seconds to add to the second camera's clock to get the first's, at the best lag; NaN
        where there is none.
    sd_s: its standard deviation, from leaving out stretches of time and joints in turn.
    correlation: first canonical correlation of the velocities there, 0..1.
    rival_lag_s, rival: the next best lag outside the peak and its correlation; NaN and 0 if none.
    margin: natural logarithm of how much likelier the best lag is than the rival.
    overlap_s: seconds of motion seen by both at the best lag (at most, where there is none).
    reason: why the pair was not used; empty where it was.
    """

    cameras: tuple[str, str]
    lag_s: float
    sd_s: float
    correlation: float
    rival_lag_s: float
    rival: float
    margin: float
    overlap_s: float
    reason: str


class _Curve(NamedTuple):
    """Of two cameras at all lags (L,): grid steps, correlation (0 where they overlap by less than
    `_RIVAL_OVERLAP_S`), overlap in seconds."""

    step: NDArray[np.int64]
    correlation: FloatArray
    overlap: FloatArray


def pair_lag(
    names: tuple[str, str], a: ImageMotion, b: ImageMotion, max_offset_s: float
) -> PairLag:
    """The lag of two cameras, or why there is none."""
    curve = _correlate(a, b, max(max_offset_s, _RIVAL_RANGE_S))
    longest = float(curve.overlap.max(initial=0.0))
    enough = curve.overlap >= _LEAST_OVERLAP_S
    if not enough.any():
        reason = f"{longest:.1f} s of motion in common at most, {_LEAST_OVERLAP_S:g} s are needed"
        reason = f"{names[0]} and {names[1]} have {reason}"
        return PairLag(names, np.nan, np.nan, 0.0, np.nan, 0.0, 0.0, longest, reason)
    weight = curve.overlap * _samples_per_second(a, b)
    height = np.where(enough, curve.correlation, 0.0)
    evidence = _evidence(height, weight)
    k = _summit(height, int(evidence.argmax()))
    lag, sd = _refine(a, b, int(curve.step[k]))
    begin, rival, other_lag, other = a.start - b.start, _rival(curve.correlation, k), np.nan, 0.0
    if rival is not None:
        other_lag = float(curve.step[rival]) / GRID_HZ + begin
        other = float(curve.correlation[rival])
    margin = float(evidence[k]) - float(_evidence(other, weight[k]))
    found = PairLag(
        names, lag + begin, sd, float(curve.correlation[k]), other_lag, other, margin,
        float(curve.overlap[k]), "",
    )  # fmt: skip
    top = curve.correlation[max(k - 1, 0) : k + 2]
    inside = bool(len(top) == 3 and enough[k - 1 : k + 2].all() and top[1] == top.max())
    return replace(found, reason=_doubt(found, inside, min(a.speed, b.speed), max_offset_s))


def _doubt(pair: PairLag, inside: bool, speed: float, max_offset_s: float) -> str:
    """Why the lag of a pair is not to be believed; empty where it is."""
    both = f"{pair.cameras[0]} and {pair.cameras[1]}"
    if pair.margin < _MARGIN and speed < _STILL:
        return f"{both}: the person hardly moves ({speed:.2f} body sizes per second)"
    if pair.margin < _MARGIN and pair.rival > 0.7 and pair.rival > 0.8 * pair.correlation:
        return (
            f"{both}: the motion repeats, or is too short to tell: lags of {pair.lag_s:+.2f} s and "
            f"{pair.rival_lag_s:+.2f} s fit about equally well (correlations "
            f"{pair.correlation:.2f} and {pair.rival:.2f})"
        )
    if pair.margin < _MARGIN:
        return (
            f"{both}: too little in common to tell the best lag from chance (correlation "
            f"{pair.correlation:.2f} in {pair.overlap_s:.1f} s of motion, elsewhere up to "
            f"{pair.rival:.2f})"
        )
    if not inside or abs(pair.lag_s) > max_offset_s:
        return f"{both}: the best lag ({pair.lag_s:+.2f} s) lies at the end of the range searched"
    return ""


def _correlate(a: ImageMotion, b: ImageMotion, range_s: float) -> _Curve:
    """Canonical correlation of two cameras at all lags; time N log N.

    A lag of k steps sets a(t) beside b(t - k). Each camera's covariance is taken over the moments
    that both see at that lag.
    """
    n = fft.next_fast_len(len(a.seen) + len(b.seen), real=True)
    centre, reach = round((b.start - a.start) * GRID_HZ), round(range_s * GRID_HZ)
    low, high = max(1 - len(b.seen), centre - reach), min(len(a.seen) - 1, centre + reach)
    step = np.arange(low, high + 1)
    (fa, qa, sa), (fb, qb, sb) = _spectra(a, n), _spectra(b, n)

    def at_lags(spectrum: NDArray[Any]) -> FloatArray:
        return np.asarray(fft.irfft(spectrum, n, axis=0)[step])

    cross = at_lags(np.einsum("fki,fkj->fij", fa, fb.conj()))
    first = at_lags(np.einsum("fkq,fk->fq", qa, sb.conj()))
    second = at_lags(np.einsum("fk,fkq->fq", sa, qb.conj()))
    overlap = at_lags(np.einsum("fk,fk->f", sa, sb.conj())) / sa.shape[1] / GRID_HZ
    correlation = _canonical(first, cross, second)
    return _Curve(step, np.where(overlap >= _RIVAL_OVERLAP_S, correlation, 0.0), overlap)


def _spectra(motion: ImageMotion, n: int) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Fourier transforms of the velocity (F, K, 2), of its products xx, xy, yy (F, K, 3), and of
    where it is seen (F, K)."""
    x, y = motion.velocity[..., 0], motion.velocity[..., 1]
    products = np.stack([x * x, x * y, y * y], axis=-1)
    velocity, squares, seen = (
        fft.rfft(v, n, axis=0) for v in (motion.velocity, products, motion.seen)
    )
    return velocity, squares, seen


def _canonical(first: FloatArray, cross: FloatArray, second: FloatArray) -> FloatArray:
    """(...,) first canonical correlation of two images; covariances xx, xy, yy (..., 3) of each
    and (..., 2, 2) between them (Hotelling 1936)."""
    matrix = _whitener(first) @ cross @ _whitener(second)
    return np.clip(np.linalg.svd(matrix, compute_uv=False)[..., 0], 0.0, 0.999)


def _whitener(covariance: FloatArray) -> FloatArray:
    """(..., 2, 2) inverse square root of covariances xx, xy, yy (..., 3).

    A hundredth of the trace is added, so that a direction without motion is not blown up.
    """
    matrix = covariance[..., [[0, 1], [1, 2]]]
    trace = np.maximum(matrix[..., 0, 0] + matrix[..., 1, 1], 1e-9)
    values, vectors = np.linalg.eigh(matrix + 0.01 * trace[..., None, None] * np.eye(2))
    scaled = vectors / np.sqrt(np.maximum(values, 1e-12))[..., None, :]
    return np.asarray(scaled @ vectors.swapaxes(-1, -2))


def _evidence(correlation: Any, samples: Any) -> FloatArray:
    """Log-likelihood ratio of `samples` independent pairs of normal values with a correlation
    against none: -n/2 log(1 - r^2) (Anderson, An Introduction to Multivariate Statistical
    Analysis, section 9.3)."""
    return np.asarray(-0.5 * samples * np.log1p(-(np.asarray(correlation) ** 2)))


def _samples_per_second(a: ImageMotion, b: ImageMotion) -> float:
    """Independent pairs of values in a second of two cameras.

    In time: one per sum of the products of the autocorrelations (Bartlett 1935), up to 1.5 s.
    No more than the window of the velocities lets through of white noise: one in 1.88 of its
    standard deviations, the integral of its squared autocorrelation. (Without that bound, motions
    that swing at different rates have sums near 0, and chance passes for evidence.)
    Over joints: the participation ratio of their covariance, as they move together.
    """
    lags = int(1.5 * GRID_HZ)
    products, joints = np.ones(lags), 1.0
    for motion in (a, b):
        n = fft.next_fast_len(2 * max(len(motion.seen), lags), real=True)
        power = (np.abs(fft.rfft(motion.velocity, n, axis=0)) ** 2).sum(axis=(1, 2))
        pairs = (np.abs(fft.rfft(motion.seen, n, axis=0)) ** 2).sum(axis=1)
        auto = fft.irfft(power, n)[:lags] / np.maximum(fft.irfft(pairs, n)[:lags], 1.0)
        products *= np.clip(auto / max(float(auto[0]), 1e-12), -1, 1)
        covariance = np.einsum("tki,tli->kl", motion.velocity, motion.velocity)
        joints *= np.trace(covariance) ** 2 / max(float((covariance**2).sum()), 1e-12)
    seconds = (2 * products.sum() - 1) / GRID_HZ
    return float(np.sqrt(joints) / max(seconds, 1.88 * SMOOTH_S))


def _summit(correlation: FloatArray, k: int) -> int:
    """Index of the peak on whose slope k lies: evidence, which counts overlap, peaks beside it."""
    while 0 < k < len(correlation) - 1:
        step = int(correlation[k - 1 : k + 2].argmax()) - 1
        if correlation[k + step] == correlation[k]:
            break
        k += step
    return k


def _rival(correlation: FloatArray, k: int) -> int | None:
    """Index of the highest value outside the peak at k, which ends where it begins to rise."""
    rises = np.flatnonzero(np.diff(correlation[: k + 1]) <= 0)
    falls = np.flatnonzero(np.diff(correlation[k:]) >= 0)
    rest = correlation.copy()
    rest[rises[-1] + 1 if len(rises) else 0 : k + falls[0] + 1 if len(falls) else None] = -1.0
    best = int(rest.argmax())
    return best if rest[best] > 0 else None


def _refine(a: ImageMotion, b: ImageMotion, step: int) -> tuple[float, float]:
    """Lag and standard deviation in seconds at the peak near `step`.

    The standard deviation is a two-way clustered jackknife (Cameron, Gelbach & Miller 2011):
    stretches of time are left out in turn, then joints, then single cells of both, and the
    variances add up as time + joints - cells. Errors of a detector last, and a joint seen
    from two sides is not the same point: time alone gives half the deviation (in 8 s, errors of
    1.0 and 2.5 deviations at 68 and 95 % against 0.85 and 2.1 with both).
    """
    covariance = _near_covariances(a, b, step)
    whole = covariance.sum(axis=(1, 2))
    cells = covariance.reshape(len(whole), -1, 4, 4)
    time, joints, single = (
        _jackknife(whole, part) for part in (covariance.sum(axis=2), covariance.sum(axis=1), cells)
    )
    # Few stretches tell little about their own spread (Student's t): without this, 1 of 4 claims
    # from 2.5 s of motion is wrong.
    count = int((np.trace(covariance[_NEAR].sum(axis=1), axis1=1, axis2=2) > 0).sum())
    time *= float(stdtrit(max(count - 1, 1), 0.975) / 1.96) ** 2
    variance = max(time + joints - single, time, joints)
    lag = (step + float(_peak(whole[:, None])[0])) / GRID_HZ
    return lag, max(float(np.sqrt(variance)) / GRID_HZ, LEAST_SD_S)


def _near_covariances(a: ImageMotion, b: ImageMotion, step: int) -> FloatArray:
    """(lags, blocks, K, 4, 4) sums of products of both images' velocities, lags around `step`."""
    start, stop = max(0, step), min(len(a.seen), len(b.seen) + step)
    length = max(int(_BLOCK_S * GRID_HZ), -(-(stop - start) // _BLOCKS))
    blocks = -(-(stop - start) // length)

    def stretch(motion: ImageMotion, first: int) -> tuple[FloatArray, FloatArray]:
        """Velocity (blocks, K, 2, length) and seen (blocks, K, 1, length), 0 beyond the ends."""
        rows = first + np.arange(blocks * length).reshape(blocks, length)
        inside = (rows >= 0) & (rows < len(motion.seen)) & (rows - first < stop - start)
        rows = np.where(inside, rows, 0)
        velocity = np.where(inside[..., None, None], motion.velocity[rows], 0.0)
        seen = np.where(inside[..., None], motion.seen[rows], 0.0)
        return velocity.transpose(0, 2, 3, 1), seen.transpose(0, 2, 1)[:, :, None]

    mine, mine_seen = stretch(a, start)
    parts = []
    for lag in range(step - _NEAR, step + _NEAR + 1):
        other, other_seen = stretch(b, start - lag)
        both = np.concatenate([mine * other_seen, other * mine_seen], axis=2)
        parts.append(both @ both.swapaxes(-1, -2))
    return np.stack(parts)


def _jackknife(whole: FloatArray, parts: FloatArray) -> float:
    """Variance in squared steps; whole (lags, 4, 4), its parts (lags, P, 4, 4)."""
    peaks = _peak(whole[:, None] - parts)
    count = len(peaks)
    return float((count - 1) / count * ((peaks - peaks.mean()) ** 2).sum())


def _peak(covariance: FloatArray) -> FloatArray:
    """(S,) steps from the middle lag to the highest correlation, of covariances (lags, S, 4, 4)."""
    correlation = _canonical(
        covariance[..., [0, 0, 1], [0, 1, 1]],
        covariance[..., :2, 2:],
        covariance[..., [2, 2, 3], [2, 3, 3]],
    )
    top = np.clip(correlation.argmax(axis=0), 1, len(correlation) - 2)
    before, at, after = (
        np.take_along_axis(correlation, top[None] + d, axis=0)[0] for d in (-1, 0, 1)
    )
    bend = np.minimum(before - 2 * at + after, -1e-12)
    return np.asarray(top - len(correlation) // 2 + np.clip((before - after) / (2 * bend), -1, 1))
