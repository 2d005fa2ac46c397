"""A body's motion from all views of all frames: constant bones, and how sure each point is.

Minimises, over all points of all frames together,

    sum rho(|projection - view| / sd)         views, Cauchy's kernel, noise as the clip shows it
    + sum ((|bone| - length) / sd)^2 / 2      nearly rigid pairs (`bones.toml`)
    + integral |acceleration|^2 / 2q          white-noise acceleration (Kalman smoothing)

by Levenberg-Marquardt with the exact block-tridiagonal normal matrix, so that cost grows with the
number of frames. The inverse of that matrix gives each point's covariance: a point that no camera
saw is carried on by its bones and neighbours in time, with an interval that says so.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import solveh_banded
from threadpoolctl import threadpool_limits

from kinefit.geometry.banded import inverse_diagonal_blocks
from kinefit.geometry.projection import RigOptics
from kinefit.multiview.bones import Bones, acceleration_density, bones_among
from kinefit.multiview.triangulate import Triangulation
from kinefit.types import BoolArray, CameraRig, FloatArray, IntArray, Keypoints3D
from kinefit.types.arrays import freeze, frozen_array

_CAUCHY = 3.0  # standard deviations at which a view's pull stops growing
_STEPS = 25
_SMALL_M, _SETTLED = 2e-4, 1e-5  # a step, and a share of the cost, not worth another
_WINDOW, _OVERLAP = 400, 60  # frames; a point's memory is a fifth of a second
_BLAND_M_S = 30.0  # weak prior on velocity, for points seen once
_LAG_S = 0.5  # how long errors of a detector may last
_TWIN_SD = 0.02  # left and right bones differ by this part
_FEWEST = 3  # frames with both ends of a bone, to know its length


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A body's smooth motion.

    keypoints: T frames, J points, world; NaN where a point has no evidence and was not asked for.
    covariance: (T, J, 3, 3) square metres; NaN where the point is.
    seen: (T, J) how many views support the point (within three standard deviations).
    bones, lengths: B names and metres: the constant lengths. independent: how many frames in a row
        say the same once: the detector's errors last that long (already in the covariance).
    """

    keypoints: Keypoints3D
    covariance: FloatArray
    seen: IntArray
    bones: tuple[str, ...]
    lengths: FloatArray
    independent: float

    def __post_init__(self) -> None:
        shape = self.keypoints.xyz.shape
        freeze(
            self,
            covariance=frozen_array("Trajectory", "covariance", self.covariance, (*shape, 3)),
            seen=frozen_array("Trajectory", "seen", self.seen, shape[:2], np.int64),
            lengths=frozen_array("Trajectory", "lengths", self.lengths, (len(self.bones),)),
        )


def body_trajectory(
    rig: CameraRig,
    points: Triangulation,
    xy: FloatArray,
    score: FloatArray,
    *,
    max_unseen_s: float = 0.1,
    max_sd_m: float = 0.2,
) -> Trajectory:
    """The most probable motion of a body given its views.

    points: where to start from, and the noise of the views. xy (C, T, J, 2) px, score (C, T, J):
        the views, as in `triangulate`, sides put right.
    max_unseen_s, max_sd_m: a point that fewer than two views support for longer than this, or
        that is less sure than this, is NaN; infinity keeps everything that can be computed, with
        its interval. (With one view for long, a limb may be bent the other way: no interval says.)

    A point that is triangulated in fewer than two frames is NaN throughout.
    """
    weight = np.where(np.isfinite(xy).all(axis=-1), np.nan_to_num(score), 0.0)
    weight = weight / points.sd_px[:, None] ** 2
    known = np.isfinite(points.refined).all(axis=-1).sum(axis=0) >= 2
    T, J = points.refined.shape[:2]
    xyz, covariance = np.full((T, J, 3), np.nan), np.full((T, J, 3, 3), np.nan)
    bones, lengths = _bone_lengths(points, known)
    # OpenBLAS's threads wait for each other by spinning. On two cores, the 29 solves of the demo
    # take 0.15 s with one thread, and with two 2 to 25 s as soon as anything else runs.
    with threadpool_limits(1, "blas"):
        for columns in _components(J, bones, known):
            part = _Part(rig, points, xy[:, :, columns], weight[:, :, columns], columns)
            part.add_bones(bones, lengths)
            for keep, window in _windows(T):
                found, spread = part.solve(window)
                inside = slice(keep.start - window.start, keep.stop - window.start)
                rows = np.arange(T)[keep]
                xyz[np.ix_(rows, columns)] = found[inside]
                covariance[np.ix_(rows, columns)] = spread[inside]
    independent = _correlation_frames(points, xy)
    covariance *= independent
    seen = _supporting(rig, xyz, xy, weight)
    sd = np.sqrt(np.einsum("tjii->tji", covariance).max(axis=-1))
    lost = _unseen_seconds(points.timeline.time, seen) > max_unseen_s
    gone = lost | ~(sd <= max_sd_m) if np.isfinite(max_sd_m) else lost
    xyz[gone], covariance[gone] = np.nan, np.nan
    keypoints = Keypoints3D(points.timeline, points.names, xyz, "world")
    return Trajectory(keypoints, covariance, seen, bones.names, lengths, independent)


def _windows(T: int) -> list[tuple[slice, slice]]:
    """(frames to keep, frames to solve) that cover T frames; long clips in overlapping parts."""
    if T <= _WINDOW + 2 * _OVERLAP:
        return [(slice(0, T), slice(0, T))]
    starts = range(0, T, _WINDOW)
    return [
        (slice(s, min(s + _WINDOW, T)), slice(max(s - _OVERLAP, 0), min(s + _WINDOW + _OVERLAP, T)))
        for s in starts
    ]


def _components(J: int, bones: Bones, known: BoolArray) -> list[IntArray]:
    """Groups of known points that bones hold together; the rest, one group without bones."""
    group = np.arange(J)
    for a, b in bones.ends:
        if known[a] and known[b]:
            group[group == group[b]] = group[a]
    parts = [np.flatnonzero((group == g) & known) for g in np.unique(group[known])]
    alone = [part for part in parts if len(part) == 1]
    held = [part for part in parts if len(part) > 1]
    return held + ([np.concatenate(alone)] if alone else [])


def _bone_lengths(points: Triangulation, known: BoolArray) -> tuple[Bones, FloatArray]:
    """The bones with both ends known, and their lengths in metres.

    The median over the frames, and each side drawn towards the other as far as both are unsure:
    bones of the two sides differ by `_TWIN_SD`.
    """
    bones = bones_among(points.names)
    a, b = bones.ends.T
    d = np.linalg.norm(points.refined[:, a] - points.refined[:, b], axis=-1)
    count = np.isfinite(d).sum(axis=0)
    good = known[a] & known[b] & (count >= _FEWEST)
    ordered = np.sort(d, axis=0)  # NaN last
    lower, median, upper = (
        ordered[np.round(np.maximum(count - 1, 0) * share).astype(int), np.arange(len(count))]
        for share in (0.25, 0.5, 0.75)
    )
    spread = (upper - lower) / 1.35
    # Errors of a detector last; a tenth of the frames are independent (see `_correlation_frames`).
    error = 1.25 * spread / np.sqrt(np.maximum(count / 10, 1)) + 1e-4
    other, unsure = median[bones.twin], np.hypot(error[bones.twin], _TWIN_SD * median)
    share = error**2 / (error**2 + unsure**2)
    share = np.where((bones.twin == np.arange(len(share))) | ~good[bones.twin], 0.0, share)
    lengths = np.where(good, (1 - share) * median + share * np.nan_to_num(other), np.nan)
    index = np.cumsum(good) - 1
    kept = np.flatnonzero(good)
    twins = [index[t] if good[t] else index[i] for i, t in zip(kept, bones.twin[kept], strict=True)]
    return (
        Bones(
            tuple(bones.names[i] for i in kept),
            bones.ends[kept],
            bones.sd[kept],
            np.array(twins, np.int64),
        ),
        lengths[kept],
    )


class _Part:
    """The points that bones hold together, over a clip: a least-squares problem per window."""

    def __init__(
        self,
        rig: CameraRig,
        points: Triangulation,
        xy: FloatArray,
        weight: FloatArray,
        columns: IntArray,
    ) -> None:
        self.optics = RigOptics.of(rig)
        self.time, self.columns = points.timeline.time, columns
        self.xy, self.weight = np.where(weight[..., None] > 0, xy, 0.0), weight
        self.start = _filled(self.time, points.refined[:, columns])
        self.density = acceleration_density([points.names[j] for j in columns])
        self.ends = np.empty((0, 2), np.int64)
        self.length = self.bone_sd = np.empty(0)

    def add_bones(self, bones: Bones, lengths: FloatArray) -> None:
        """Take those bones that lie among the part's points."""
        inside = np.isin(bones.ends, self.columns).all(axis=1)
        self.ends = np.searchsorted(self.columns, bones.ends[inside])
        self.length = lengths[inside]
        self.bone_sd = bones.sd[inside] * self.length

    def solve(self, window: slice) -> tuple[FloatArray, FloatArray]:
        """xyz (n, J, 3) and covariance (n, J, 3, 3) of a window of frames; NaN without a view."""
        if not (self.weight[:, window] > 0).any():
            nothing = np.full(self.start[window].shape, np.nan)
            return nothing, np.repeat(nothing[..., None], 3, axis=-1)
        smooth = _Smoothness(self.time[window], self.density)
        xyz = self.start[window].copy()
        xy, weight = self.xy[:, window], self.weight[:, window]
        cost, H, g = self._evaluate(xyz, xy, weight, smooth)
        damping = 1e-4
        for _ in range(_STEPS):
            step = smooth.solve(H, g, damping)
            new = self._evaluate(xyz + step, xy, weight, smooth)
            if new[0] < cost:
                xyz = xyz + step
                settled = cost - new[0] < _SETTLED * cost
                cost, H, g = new
                damping = max(damping / 10, 1e-9)
                if settled or np.abs(step).max() < _SMALL_M:
                    break
            else:
                damping *= 10
                if damping > 1e6:
                    break
        return xyz, smooth.covariance(H)

    def _evaluate(
        self, xyz: FloatArray, xy: FloatArray, weight: FloatArray, smooth: _Smoothness
    ) -> tuple[float, FloatArray, FloatArray]:
        """Cost, the frames' own blocks of the normal matrix (T, 3J, 3J), and minus the gradient."""
        cost, H, g = self._view_terms(xyz, xy, weight)
        if len(self.ends):
            cost += self._bone_terms(xyz, H, g)
        pull = smooth.apply(xyz)
        return cost + 0.5 * float((xyz * pull).sum()), H, g - pull.reshape(len(xyz), -1)

    def _view_terms(
        self, xyz: FloatArray, xy: FloatArray, weight: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        T, J = xyz.shape[:2]
        C = len(xy)
        flat, w = xyz.reshape(-1, 3).T, weight.reshape(C, -1)
        u, v, seen = self.optics.look(flat)
        ru, rv = u - xy[..., 0].reshape(C, -1), v - xy[..., 1].reshape(C, -1)
        du, dv = self.optics.jacobian(seen)
        off = (w == 0) | ~np.isfinite(ru) | ~np.isfinite(du[:, 0])
        ru, rv, w = np.where(off, 0.0, ru), np.where(off, 0.0, rv), np.where(off, 0.0, w)
        du, dv = np.where(off[:, None], 0.0, du), np.where(off[:, None], 0.0, dv)
        square = w * (ru * ru + rv * rv) / _CAUCHY**2
        cost = 0.5 * _CAUCHY**2 * float(np.log1p(square).sum())
        w = w / (1 + square)
        g = -(w[:, None] * (ru[:, None] * du + rv[:, None] * dv)).sum(axis=0)
        blocks = np.einsum("cn,cin,cjn->nij", w, du, du) + np.einsum("cn,cin,cjn->nij", w, dv, dv)
        H = np.zeros((T, J, 3, J, 3))
        index = np.arange(J)
        H[:, index, :, index] = blocks.reshape(T, J, 3, 3).swapaxes(0, 1)
        return cost, H.reshape(T, 3 * J, 3 * J), g.T.reshape(T, 3 * J).copy()

    def _bone_terms(self, xyz: FloatArray, H: FloatArray, g: FloatArray) -> float:
        """Adds the bones to H and g in place; their cost."""
        T, J = xyz.shape[:2]
        a, b = self.ends.T
        d = xyz[:, b] - xyz[:, a]
        length = np.maximum(np.linalg.norm(d, axis=-1), 1e-6)
        way = d / length[..., None]
        residual = (length - self.length) / self.bone_sd
        pull = (residual / self.bone_sd)[..., None] * way
        block = way[..., :, None] * way[..., None, :] / self.bone_sd[:, None, None] ** 2
        blocks, gradient = H.reshape(T, J, 3, J, 3), g.reshape(T, J, 3)
        for n, (i, j) in enumerate(self.ends):
            blocks[:, i, :, i] += block[:, n]
            blocks[:, j, :, j] += block[:, n]
            blocks[:, i, :, j] -= block[:, n]
            blocks[:, j, :, i] -= block[:, n]
            gradient[:, i] += pull[:, n]
            gradient[:, j] -= pull[:, n]
        return 0.5 * float((residual**2).sum())


class _Smoothness:
    """The prior over time: the same pentadiagonal matrix for each coordinate, over q of its point.

    time: (T,) seconds. density: (J,) m^2/s^3. A frame's acceleration is its second divided
    difference, weighed by the time it stands for, so that the prior does not know the frame rate.
    """

    def __init__(self, time: FloatArray, density: FloatArray) -> None:
        T = len(time)
        self.near = np.zeros((3, T))  # P[t, t], P[t, t + 1], P[t, t + 2]
        h = np.diff(time)
        if T > 2:
            before, after = h[:-1], h[1:]
            c = [
                2 / (before * (before + after)),
                -2 / (before * after),
                2 / (after * (before + after)),
            ]
            stands = (before + after) / 2
            for i in range(3):
                for j in range(i, 3):
                    self.near[j - i, i : T - 2 + i] += stands * c[i] * c[j]
        self.density = np.repeat(1 / density, 3)
        self.bland = np.zeros((2, T))
        slow = 1 / (_BLAND_M_S * h) ** 2
        self.bland[0, :-1] += slow
        self.bland[0, 1:] += slow
        self.bland[1, :-1] -= slow

    def rows(self, k: int) -> FloatArray:
        """(T, 3J) entries of the k-th diagonal."""
        out = self.near[k][:, None] * self.density
        return np.asarray(out + self.bland[k][:, None] if k < 2 else out)

    def apply(self, xyz: FloatArray) -> FloatArray:
        """P x, (T, J, 3)."""
        x = xyz.reshape(len(xyz), -1)
        out = self.rows(0) * x
        for k in (1, 2):
            off = self.rows(k)
            out[:-k] += off[:-k] * x[k:]
            out[k:] += off[:-k] * x[:-k]
        return out.reshape(xyz.shape)

    def solve(self, H: FloatArray, g: FloatArray, damping: float) -> FloatArray:
        """(T, J, 3) the damped step: (H + P + damping diag) step = g.

        One banded Cholesky factorisation (LAPACK): ten times as fast as block elimination.
        """
        T, n = g.shape
        band = np.zeros((2 * n + 1, T * n))
        i, j = np.triu_indices(n)
        band.reshape(2 * n + 1, T, n)[2 * n + i - j, :, j] = H[:, i, j].T
        for k in range(min(3, T)):
            band[(2 - k) * n, k * n :] += self.rows(k)[: T - k].ravel()
        band[2 * n] *= 1 + damping
        return np.asarray(solveh_banded(band, g.ravel(), overwrite_ab=True).reshape(T, -1, 3))

    def covariance(self, H: FloatArray) -> FloatArray:
        """(T, J, 3, 3) the points' own blocks of the inverse."""
        T, n = H.shape[:2]
        blocks = inverse_diagonal_blocks(*self._paired(H))
        frames = np.stack([blocks[:, :n, :n], blocks[:, n:, n:]], axis=1).reshape(-1, n, n)[:T]
        index = np.arange(n // 3)
        return np.asarray(
            frames.reshape(T, n // 3, 3, n // 3, 3)[:, index, :, index].swapaxes(0, 1)
        )

    def _paired(self, H: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The pentadiagonal matrix as a tridiagonal one, two frames to a block."""
        T, n = H.shape[:2]
        K, i = (T + 1) // 2, np.arange(n)
        near = [np.zeros((2 * K, n)) for _ in range(3)]
        for k, rows in enumerate(near):
            rows[:T] = self.rows(k)
        own = np.zeros((2 * K, n, n))
        own[:T] = H
        own[:, i, i] += near[0]
        own[T:, i, i] += 1.0  # a frame that is not there
        diagonal, upper = np.zeros((K, 2 * n, 2 * n)), np.zeros((K - 1, 2 * n, 2 * n))
        diagonal[:, :n, :n], diagonal[:, n:, n:] = own[::2], own[1::2]
        diagonal[:, i, n + i] = diagonal[:, n + i, i] = near[1][::2]
        upper[:, i, i], upper[:, n + i, n + i] = near[2][:-2:2], near[2][1:-2:2]
        upper[:, n + i, i] = near[1][1:-2:2]
        return diagonal, upper


def _filled(time: FloatArray, xyz: FloatArray) -> FloatArray:
    """`xyz` (T, J, 3) with gaps interpolated linearly and ends held: a start without NaN."""
    out = xyz.copy()
    for j in range(xyz.shape[1]):
        good = np.isfinite(xyz[:, j, 0])
        for k in range(3):
            out[:, j, k] = np.interp(time, time[good], xyz[good, j, k])
    return out


def _correlation_frames(points: Triangulation, xy: FloatArray) -> float:
    """How many frames in a row say the same once: 1 + 2 sum of the residuals' autocorrelation.

    (Integrated autocorrelation time; Sokal 1997, Monte Carlo methods in statistical mechanics,
    section 3.) White noise gives 1; MediaPipe on the demo 8.
    """
    residual = points.reprojection.transpose(2, 0, 1, 3) - xy
    on = points.inlier_mask.transpose(2, 0, 1)
    r = np.where(on[..., None], np.nan_to_num(residual), 0.0)
    steps = max(1, int(_LAG_S * np.nan_to_num(points.timeline.rate_hz, nan=1.0)))
    power = (r * r).sum() / max(on.sum(), 1)
    if not power > 0:
        return 1.0
    total = 1.0
    for lag in range(1, min(steps, len(points.timeline) - 1) + 1):
        both = (on[:, lag:] & on[:, :-lag]).sum()
        rho = (r[:, lag:] * r[:, :-lag]).sum() / max(both, 1) / power
        if rho < 0.05:
            break
        total += 2 * float(rho)
    return total


def _supporting(rig: CameraRig, xyz: FloatArray, xy: FloatArray, weight: FloatArray) -> IntArray:
    """(T, J) views within three standard deviations of the point."""
    C, T, J = weight.shape
    u, v = RigOptics.of(rig).project(xyz.reshape(-1, 3).T)
    square = (u.reshape(C, T, J) - xy[..., 0]) ** 2 + (v.reshape(C, T, J) - xy[..., 1]) ** 2
    return np.asarray(((weight > 0) & (weight * square < _CAUCHY**2 * 2)).sum(axis=0))


def _unseen_seconds(time: FloatArray, seen: IntArray) -> FloatArray:
    """(T, J) seconds to the nearest frame in which two views support the point."""
    stamps = np.broadcast_to(time[:, None], seen.shape)
    before = np.maximum.accumulate(np.where(seen >= 2, stamps, -np.inf), axis=0)
    after = np.minimum.accumulate(np.where(seen >= 2, stamps, np.inf)[::-1], axis=0)[::-1]
    return np.asarray(np.minimum(stamps - before, after - stamps))
