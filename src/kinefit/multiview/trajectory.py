"""A body's motion from all views of all frames: constant bones, and how sure each point is.

Minimises, over all points of all frames together,

    sum rho(|projection - view| / sd)         views, Cauchy's kernel, noise as the clip shows it
    + sum ((|bone| - length) / sd)^2 / 2      nearly rigid pairs (`kinefit.skeletons.limbs`)
    + integral |acceleration|^2 / 2q          white-noise acceleration (Kalman smoothing)

by Levenberg-Marquardt with the exact block-pentadiagonal normal matrix, so that cost grows with the
number of frames. The inverse of that matrix gives each point's covariance: a point that no camera
saw is carried on by its bones and neighbours in time, with an interval that says so.

The loop of a dozen lines is not that of `kinefit.fit`, which lies above and whose unknowns are the
joints of a body: here they are points that no model need hold together. A step takes as long as
there (100 frames of 26 points: 18 ms, 20 with the normal equations of `kinefit.fit.solver`).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.sparse.csgraph import connected_components
from threadpoolctl import threadpool_limits

from kinefit.geometry.banded import BlockPentadiagonal, acceleration_bands
from kinefit.geometry.projection import RigOptics
from kinefit.geometry.robust import Cauchy
from kinefit.multiview.noise import add_shared
from kinefit.multiview.triangulate import Triangulation
from kinefit.skeletons.limbs import Limb, acceleration_density, ends, limbs, limbs_among, twins
from kinefit.types import CameraRig, FloatArray, IntArray, Keypoints3D
from kinefit.types.arrays import freeze_arrays

_RIGID = tuple(limb for limb in limbs() if limb.length_sd > 0)
_VIEWS = Cauchy(3.0)  # standard deviations at which a view's pull stops growing
_MOST_STEPS, _MOST_DAMPING = 25, 1e6
_SMALL_M, _SETTLED = 2e-4, 1e-5  # a step, and a share of the cost, not worth another
_WINDOW, _OVERLAP = 400, 60  # frames; a point's memory is a fifth of a second
_VELOCITY_M_S = 30.0  # weak prior, for points seen once
# Of the error that views share; most of it they also disagree about for long, which widens the
# regions already. (11 rendered scenes, four and two cameras, all points: 95 % regions hold 94 and
# 92 % without, 96 and 95 % with it; in the worst scene of four cameras 77 and 87 %.)
_UNSEEN_SHARE = 0.4
_LAG_S = 0.5  # how long errors of a detector may last
_TWIN_SD = 0.02  # left and right bones differ by this part
_FEWEST = 3  # frames with both ends of a bone, to know its length
_SHORTEST_M = 1e-3  # two points of a detector that are one have no bone between them


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
        freeze_arrays(self, covariance=(*shape, 3), lengths=(len(self.bones),))
        freeze_arrays(self, np.int64, seen=shape[:2])


def body_trajectory(
    rig: CameraRig,
    points: Triangulation,
    xy: FloatArray,
    score: FloatArray,
    *,
    max_unseen_s: float = 0.1,
    max_sd_m: float = 0.2,
    shared_sd_m: FloatArray | None = None,
) -> Trajectory:
    """The most probable motion of a body given its views.

    points: where to start from, and the noise of the views. xy (C, T, J, 2) px, score (C, T, J):
        the views, as in `triangulate`, sides put right.
    max_unseen_s, max_sd_m: a point that fewer than two views support for longer than this, or
        that is less sure than this, is NaN; infinity keeps everything that can be computed, with
        its interval. (With one view for long, a limb may be bent the other way: no interval says.)
    shared_sd_m: (J,) metres, the error that all views share (`kinefit.multiview.noise.shared_sd`);
        None: there is none, as with points that no detector made.

    A point that is triangulated in fewer than two frames is NaN throughout.
    """
    weight = np.where(np.isfinite(xy).all(axis=-1), np.nan_to_num(score), 0.0)
    weight = weight / points.sd_px[:, None] ** 2
    T, J = points.refined.shape[:2]
    xyz, covariance = np.full((T, J, 3), np.nan), np.full((T, J, 3, 3), np.nan)
    known = np.flatnonzero(np.isfinite(points.refined).all(axis=-1).sum(axis=0) >= 2)
    parts = [_Part(rig, points, xy, weight, columns) for columns in _groups(points.names, known)]
    # OpenBLAS's threads wait for each other by spinning. On two cores, the 29 solves of the demo
    # take 0.15 s with one thread, and with two 2 to 25 s as soon as anything else runs.
    with threadpool_limits(1, "blas"):
        for part, (keep, window) in product(parts, _windows(T)):
            found, spread = part.solve(window)
            inside = slice(keep.start - window.start, keep.stop - window.start)
            xyz[keep, part.columns], covariance[keep, part.columns] = found[inside], spread[inside]
    independent = _correlation_frames(points, xy)
    covariance *= independent
    if shared_sd_m is not None:
        covariance = add_shared(covariance, _UNSEEN_SHARE * shared_sd_m)
    seen = _supporting(rig, xyz, xy, weight)
    sd = np.sqrt(np.einsum("tjii->tji", covariance).max(axis=-1))
    lost = _unseen_seconds(points.timeline.time, seen) > max_unseen_s
    gone = lost | ~(sd <= max_sd_m) if np.isfinite(max_sd_m) else lost
    xyz[gone], covariance[gone] = np.nan, np.nan
    keypoints = Keypoints3D(points.timeline, points.names, xyz, "world")
    bones = tuple(limb.name for part in parts for limb in part.bones)
    lengths = np.concatenate([np.zeros(0), *(part.length for part in parts)])
    return Trajectory(keypoints, covariance, seen, bones, lengths, independent)


def _windows(T: int) -> list[tuple[slice, slice]]:
    """(frames to keep, frames to solve) that cover T frames; long clips in overlapping parts."""
    if T <= _WINDOW + 2 * _OVERLAP:
        return [(slice(0, T), slice(0, T))]
    starts = range(0, T, _WINDOW)
    return [
        (slice(s, min(s + _WINDOW, T)), slice(max(s - _OVERLAP, 0), min(s + _WINDOW + _OVERLAP, T)))
        for s in starts
    ]


def _groups(names: tuple[str, ...], known: IntArray) -> list[IntArray]:
    """The columns `known`, apart where no bone connects them; all without bones in one group.

    Half the time: face and fingers of the demo take no part in the solves of the body.
    """
    here = [names[j] for j in known]
    joined = np.zeros((len(known), len(known)), dtype=bool)
    joined[tuple(ends(here, limbs_among(here, _RIGID)).T)] = True
    _, label = connected_components(joined, directed=False) if here else (0, np.zeros(0, int))
    label = np.where(np.bincount(label)[label] > 1, label, -1)
    return [known[label == g] for g in np.unique(label)]


def _bone_lengths(names: tuple[str, ...], xyz: FloatArray) -> tuple[tuple[Limb, ...], FloatArray]:
    """The bones whose ends are known, and their lengths in metres, from xyz (T, J, 3).

    The median over the frames, and each side drawn towards the other as far as both are unsure:
    bones of the two sides differ by `_TWIN_SD`.
    """
    bones = limbs_among(names, _RIGID)
    a, b = ends(names, bones).T
    length = np.linalg.norm(xyz[:, a] - xyz[:, b], axis=-1)
    count = np.isfinite(length).sum(axis=0)
    good = count >= _FEWEST
    good[good] = np.nanmedian(length[:, good], axis=0) > _SHORTEST_M
    bones = tuple(limb for limb, g in zip(bones, good, strict=True) if g)
    if not bones:
        return (), np.zeros(0)
    lower, median, upper = np.nanpercentile(length[:, good], (25, 50, 75), axis=0)
    # Errors of a detector last; a tenth of the frames are independent (see `_correlation_frames`).
    error = 1.25 / 1.35 * (upper - lower) / np.sqrt(np.maximum(count[good] / 10, 1)) + 1e-4
    twin = twins(bones)
    unsure = np.hypot(error[twin], _TWIN_SD * median)
    share = np.where(twin == np.arange(len(twin)), 0.0, error**2 / (error**2 + unsure**2))
    return bones, (1 - share) * median + share * median[twin]


class _Part:
    """The points `columns` (J',) of a clip: a least-squares problem per window of frames."""

    def __init__(
        self,
        rig: CameraRig,
        points: Triangulation,
        xy: FloatArray,
        weight: FloatArray,
        columns: IntArray,
    ) -> None:
        self.optics, self.columns = RigOptics.of(rig), columns
        self.time, self.weight = points.timeline.time, weight[:, :, columns]
        self.xy = np.where(self.weight[..., None] > 0, xy[:, :, columns], 0.0)
        names = tuple(points.names[j] for j in columns)
        self.start = _filled(self.time, points.refined[:, columns])
        self.density = np.repeat(acceleration_density(names), 3)
        self.bones, self.length = _bone_lengths(names, points.refined[:, columns])
        self.ends = ends(names, self.bones)
        self.bone_sd = self.length * [limb.length_sd for limb in self.bones]

    def solve(self, window: slice) -> tuple[FloatArray, FloatArray]:
        """xyz (n, J', 3) and covariance (n, J', 3, 3) of a window of frames; NaN without a view."""
        xyz, xy, weight = self.start[window], self.xy[:, window], self.weight[:, window]
        if not (weight > 0).any():
            return np.full(xyz.shape, np.nan), np.full((*xyz.shape, 3), np.nan)
        prior = self._prior(self.time[window])
        cost, H, g = self._evaluate(xyz, xy, weight, prior)
        damping = 1e-4
        for _ in range(_MOST_STEPS):
            step = H.solve(g, damping).reshape(xyz.shape)
            trial = self._evaluate(xyz + step, xy, weight, prior)
            if trial[0] < cost:
                xyz, fall = xyz + step, cost - trial[0]
                cost, H, g = trial
                damping = max(damping / 10, 1e-9)
                if fall < _SETTLED * cost or np.abs(step).max() < _SMALL_M:
                    break
            else:
                damping *= 10
                if damping > _MOST_DAMPING:
                    break
        n, J = xyz.shape[:2]
        index = np.arange(J)
        blocks = H.inverse_blocks().reshape(n, J, 3, J, 3)
        return xyz, np.asarray(blocks[:, index, :, index].swapaxes(0, 1))

    def _prior(self, time: FloatArray) -> FloatArray:
        """(3, n, 3J') bands: white acceleration, and weakly that points stay where they are."""
        bands = acceleration_bands(time)[..., None] / self.density
        slow = (1 / (_VELOCITY_M_S * np.diff(time)) ** 2)[:, None]
        bands[0, :-1] += slow
        bands[0, 1:] += slow
        bands[1, :-1] -= slow
        return np.asarray(bands)

    def _evaluate(
        self, xyz: FloatArray, xy: FloatArray, weight: FloatArray, prior: FloatArray
    ) -> tuple[float, BlockPentadiagonal, FloatArray]:
        """Cost, normal matrix, and minus the gradient (n, 3J')."""
        cost, H, g = self._view_terms(xyz, xy, weight)
        cost += self._bone_terms(xyz, H, g)
        n, J = xyz.shape[:2]
        matrix = BlockPentadiagonal(H.reshape(n, 3 * J, 3 * J), prior)
        flat = xyz.reshape(n, -1)
        pull = matrix.times(flat)
        return cost + 0.5 * float((flat * pull).sum()), matrix, g.reshape(n, -1) - pull

    def _view_terms(
        self, xyz: FloatArray, xy: FloatArray, weight: FloatArray
    ) -> tuple[float, FloatArray, FloatArray]:
        """Cost, (n, J', 3, J', 3) information and (n, J', 3) minus the gradient."""
        C, n, J = weight.shape
        u, v, seen = self.optics.look(xyz.reshape(-1, 3).T)
        w, target = weight.reshape(C, -1), xy.reshape(C, -1, 2)
        on = (w > 0) & np.isfinite(u)
        r = np.where(on, np.stack([u, v]) - target.transpose(2, 0, 1), 0.0)
        d = np.where(on[:, None], np.stack(self.optics.jacobian(seen)), 0.0)
        square = np.where(on, w * (r * r).sum(axis=0), 0.0)
        w = np.where(on, w * _VIEWS.weight(square), 0.0)
        g = -np.einsum("cn,acn,acin->ni", w, r, d, optimize=True)
        blocks = np.einsum("cn,acin,acjn->nij", w, d, d, optimize=True)
        H, index = np.zeros((n, J, 3, J, 3)), np.arange(J)
        H[:, index, :, index] = blocks.reshape(n, J, 3, 3).swapaxes(0, 1)
        return 0.5 * float(_VIEWS.rho(square).sum()), H, g.reshape(n, J, 3)

    def _bone_terms(self, xyz: FloatArray, H: FloatArray, g: FloatArray) -> float:
        """Adds the bones to H (n, J', 3, J', 3) and g (n, J', 3) in place; their cost."""
        a, b = self.ends.T
        d = xyz[:, b] - xyz[:, a]
        length = np.maximum(np.linalg.norm(d, axis=-1), 1e-6)
        slope = d / (length * self.bone_sd)[..., None]
        residual = (length - self.length) / self.bone_sd
        pull, blocks = residual[..., None] * slope, slope[..., :, None] * slope[..., None, :]
        for k, (i, j) in enumerate(self.ends):
            g[:, i] += pull[:, k]
            g[:, j] -= pull[:, k]
            for first, second, sign in ((i, i, 1), (j, j, 1), (i, j, -1), (j, i, -1)):
                H[:, first, :, second] += sign * blocks[:, k]
        return 0.5 * float((residual**2).sum())


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
    section 3.) White noise gives 1; MediaPipe on the demo 31 (60 Hz).
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
    return np.asarray(((weight > 0) & (weight * square < 2 * _VIEWS.sigma**2)).sum(axis=0))


def _unseen_seconds(time: FloatArray, seen: IntArray) -> FloatArray:
    """(T, J) seconds to the nearest frame in which two views support the point."""
    stamps = np.broadcast_to(time[:, None], seen.shape)
    before = np.maximum.accumulate(np.where(seen >= 2, stamps, -np.inf), axis=0)
    after = np.minimum.accumulate(np.where(seen >= 2, stamps, np.inf)[::-1], axis=0)[::-1]
    return np.asarray(np.minimum(stamps - before, after - stamps))
