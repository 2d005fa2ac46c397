"""Points in space from the pixels of calibrated cameras, each with how far it can be trusted.

Nothing here knows a body, and nothing is smoothed: time only helps to choose among what the views
of one frame say.

1. Pairs of rays give candidates, moved to where all rays that agree come nearest (`candidates`);
   the one that the views and the frames around support best is taken (`candidate_selection`).
2. Views further away than `inlier_thresh` are not believed; the rest gives a robust
   least-squares point (`refine`).
3. The residuals of the whole clip give each camera's noise per point (`noise`): views beyond four
   deviations of it are dropped, the others weighed by it, and it makes the covariance.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from enum import IntEnum
from functools import partial

import numpy as np

from kinefit.geometry.projection import RigOptics, Seen
from kinefit.multiview.candidate_selection import select_candidates
from kinefit.multiview.candidates import Rays, camera_pairs, hypotheses, linear_points
from kinefit.multiview.noise import pixel_sd, robust_sd
from kinefit.multiview.point_algebra import (
    full,
    in_view,
    information,
    inverse,
    leverage,
    turned,
)
from kinefit.multiview.refine import refine
from kinefit.multiview.triangulation_options import TriangulationOptions
from kinefit.types import (
    BoolArray,
    CameraRig,
    FloatArray,
    IntArray,
    InvalidData,
    Keypoints3D,
    Timeline,
)
from kinefit.types.arrays import check_names, freeze, freeze_arrays

# Numbers (cameras x pairs x points) that one block works on: 16 MB an array, near the cache's size
# and small beside the data of a long clip.
_BLOCK = 400_000
_THREADS = 2
_GATE_SD = 4.0  # a right view is further off once in 3,000
_GATE_LEAST_PX = 2.0
_TAPER = 2.0
# A calibration that is off moves all views of a rig. Beyond this many times its typical noise a
# view is wrong, and the threshold rises that far, to three times at most. Made-up people, four
# cameras: with a calibration off by 0.5 degrees per axis 22 % of points are missing without it,
# 0.05 % with it (73 instead of 82 mm off); with noise of 4 % of height 2 instead of 35 % (90
# instead of 104 mm). The real demo's threshold stays what it was (its noise is 10.7 px).
_RIG_LEVELS, _RAISED_MOST, _RAISES = 2.5, 3.0, 3
# How far a limb can be from where it was in the frame before: detector noise, and a fast hand.
_REACH_M, _REACH_M_S, _NEIGHBOUR_S = 0.05, 6.0, 0.1


class PointStatus(IntEnum):
    """Why a point is NaN; OK where it is not."""

    OK = 0
    FEWER_THAN_TWO_VIEWS = 1
    DEGENERATE_RAYS = 2
    VIEWS_DISAGREE = 3
    AMBIGUOUS = 4
    NOT_CONVERGED = 5

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = (
    "triangulated",
    "seen by fewer than two cameras",
    "the rays are nearly parallel or meet behind a camera",
    "too few views agree within the inlier threshold",
    "two places have as many views for them",
    "the refinement left the cameras' field of view",
)


@dataclass(frozen=True, eq=False)
class Triangulation:
    """Points in space with their evidence.

    timeline: T frames. names: J points. cameras: C names.
    initial: (T, J, 3) metres, world: the best candidate, NaN where there is none.
    refined: (T, J, 3) metres, world: the estimate; NaN where `reason` says why.
    covariance: (T, J, 3, 3) square metres of `refined`, from what the views disagree about; NaN
        where it is. What they share is not in it (`kinefit.multiview.noise.shared_sd`).
    best_pair: (T, J, 2) the two cameras of the candidate, -1 where there is none.
    inlier_mask: (T, J, C) views that were used; False everywhere where `refined` is NaN.
    reprojection: (T, J, C, 2) px, `refined` in each camera's image; NaN behind it.
    error_px: (T, J, C) px between reprojection and view; NaN where the camera has no view.
    reason: (T, J) int, see `PointStatus`.
    sd_px: (C, J) px, the noise per pixel axis that the covariance rests on.
    """

    timeline: Timeline
    names: tuple[str, ...]
    cameras: tuple[str, ...]
    initial: FloatArray
    refined: FloatArray
    covariance: FloatArray
    best_pair: IntArray
    inlier_mask: BoolArray
    reprojection: FloatArray
    error_px: FloatArray
    reason: IntArray
    sd_px: FloatArray

    def __post_init__(self) -> None:
        names, cameras = (check_names("Triangulation", n) for n in (self.names, self.cameras))
        T, J, C = len(self.timeline), len(names), len(cameras)
        freeze(self, names=names, cameras=cameras)
        freeze_arrays(self, initial=(T, J, 3), refined=(T, J, 3), covariance=(T, J, 3, 3),
                      reprojection=(T, J, C, 2), error_px=(T, J, C), sd_px=(C, J))  # fmt: skip
        freeze_arrays(self, np.int64, best_pair=(T, J, 2), reason=(T, J))
        freeze_arrays(self, np.bool_, inlier_mask=(T, J, C))

    @property
    def keypoints(self) -> Keypoints3D:
        """`refined` as Keypoints3D in world axes."""
        return Keypoints3D(self.timeline, self.names, self.refined, "world")

    @property
    def mean_error_px(self) -> FloatArray:
        """(T, J) mean error over the views that were used; NaN without."""
        total = np.where(self.inlier_mask, self.error_px, 0.0).sum(axis=-1)
        count = self.inlier_mask.sum(axis=-1)
        return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def triangulate(
    rig: CameraRig,
    timeline: Timeline,
    names: Sequence[str],
    xy: FloatArray,
    score: FloatArray | None = None,
    options: TriangulationOptions | None = None,
) -> Triangulation:
    """Every point of every frame from the views of C cameras.

    xy: (C, T, J, 2) px in the cameras' own (distorted) images, in the rig's order; NaN where a
        camera has no view. score: (C, T, J) in 0..1, the detector's confidence (None: all 1);
        a view scored s is taken to have 1/s of the variance of one scored 1.

    Raises InvalidData for shapes that do not fit and for a rig of fewer than two cameras.
    """
    options = (options or TriangulationOptions()).for_images(rig)
    shape = (len(rig), len(timeline), len(names))
    if np.shape(xy) != (*shape, 2) or (score is not None and np.shape(score) != shape):
        raise InvalidData(f"triangulate: xy has shape {np.shape(xy)}, expected {(*shape, 2)}.")
    if len(rig) < 2:
        raise InvalidData("triangulate: one camera sees no depth; give two or more.")
    weight = np.ones(shape) if score is None else np.nan_to_num(score)
    weight = np.where(np.isfinite(xy).all(axis=-1) & (weight >= options.score_min), weight, 0.0)
    work = _Work(rig, np.asarray(xy, np.float64).reshape(len(rig), -1, 2), weight, options)
    return work.run(timeline, tuple(names))


class _Work:
    """The arrays of one call: N = T x J points, filled block by block."""

    def __init__(
        self, rig: CameraRig, xy: FloatArray, weight: FloatArray, options: TriangulationOptions
    ) -> None:
        C, N = xy.shape[:2]
        self.rig, self.optics, self.options = rig, RigOptics.of(rig), options
        self.turn = turned(self.optics.R)
        self.most_thresh = _RAISED_MOST * options.inlier_thresh
        self.shape = weight.shape
        self.xy, self.weight = xy, weight.reshape(C, N)
        self.seen = Rays.of(self.optics, self.xy, self.weight)
        centres = np.stack([camera.centre for camera in rig])
        self.pairs = camera_pairs(centres, options.max_pairs)
        self.inliers = np.zeros((C, N), bool)
        self.reason = np.zeros(N, np.int64)
        self.square, self.freedom = np.zeros((C, N)), np.zeros((C, N))
        self.views = np.empty((2, C, N))  # what the cameras see of the points, px

    def run(self, timeline: Timeline, names: tuple[str, ...]) -> Triangulation:
        """All blocks, pass by pass; the noise of the whole clip is estimated in between."""
        time = timeline.time if self.options.continuity else None
        self._hypotheses(time)
        for _ in range(_RAISES if self.options.adaptive else 0):
            raised = self._raised_threshold()
            if raised <= self.options.inlier_thresh:
                break
            self.options = replace(self.options, inlier_thresh=raised)
            self._hypotheses(time)
        self._blocks(self._first_pass, 8)
        limit = np.full(len(self.rig), self.options.inlier_thresh)
        if self.options.adaptive:
            noise = robust_sd(self.square, self.freedom, self.inliers)
            limit = np.clip(_GATE_SD * noise, _GATE_LEAST_PX, limit)
        # Twice: noise found with equal weights is shared out among the cameras too evenly.
        for solve in (self._linear, self._robust):
            sd = self._noise()
            self._blocks(partial(self._refine, limit=limit[:, None], sd=sd, solve=solve), 8)
        self._reject_doubtful(time)
        return self._result(timeline, names, self._noise())

    def _blocks(self, work: Callable[[slice], None], depth: int) -> None:
        """`work` on slices of the points, `depth` numbers per point and camera at a time."""
        N = self.inliers.shape[1]
        size = max(256, _BLOCK // (len(self.rig) * depth))
        blocks = [slice(start, min(start + size, N)) for start in range(0, N, size)]
        if len(blocks) < 2 * _THREADS:
            for block in blocks:
                work(block)
            return
        with ThreadPoolExecutor(_THREADS) as pool:
            list(pool.map(work, blocks))

    def _hypotheses(self, time: FloatArray | None) -> None:
        """One hypothesis per point: of what all pairs of cameras propose, the one that its views
        and its neighbours in time support."""
        P, (T, J) = len(self.pairs), self.shape[1:]
        # Single precision: the most memory of all, and good to a micrometre. Refined in double.
        starts, places = np.empty((2, 3, P, T * J), np.float32)
        cost = np.empty((P, T * J), np.float32)

        def propose(block: slice) -> None:
            found = hypotheses(self.seen.at(block), self.pairs, self.options)
            starts[:, :, block], places[:, :, block], cost[:, block] = found

        self._blocks(propose, 2 * P)
        chosen = select_candidates(places.reshape(3, P, T, J), cost.reshape(P, T, J), time)
        self.pair, self.ambiguous = chosen.hypothesis.ravel(), chosen.ambiguous.ravel()
        row, column = np.maximum(self.pair, 0), np.arange(T * J)
        self.initial, self.refined = (
            np.where(self.pair >= 0, candidates[:, row, column], np.nan)
            for candidates in (starts, places)
        )

    def _raised_threshold(self) -> float:
        """px: the inlier threshold, or more where the rig's views generally disagree by more.

        The noise of all views, right and wrong, against the hypotheses: the median of Rayleigh's
        distribution is 1.177 deviations, and n views make a point from 2n - 3 of 2n numbers.
        """
        error, views = self.seen.errors(self.refined), self.seen.valid.sum(axis=0)
        scaled = error / np.sqrt(1 - 1.5 / np.maximum(views, 2))
        known = scaled[np.isfinite(scaled)]
        level = float(np.median(known)) / 1.177 if len(known) else 0.0
        return min(_RIG_LEVELS * level, self.most_thresh)

    def _first_pass(self, block: slice) -> None:
        """Which views of a block agree, and what they leave as residuals."""
        seen, start = self.seen.at(block), self.refined[:, block]
        inliers = seen.errors(start) <= self.options.inlier_thresh
        self.reason[block] = self._status(seen, self.ambiguous[block], inliers)
        used = np.where(inliers & (self.reason[block] == PointStatus.OK), seen.weight, 0.0)
        self.inliers[:, block] = used > 0
        self._residuals(block, used, *self.optics.look(start))

    def _status(self, seen: Rays, ambiguous: BoolArray, inliers: BoolArray) -> IntArray:
        """(n,) the reason of each point after the choice of its views."""
        least = self.options.min_views
        count = seen.valid.sum(axis=0)
        angle = _widest_angle(seen, inliers)
        reason = np.zeros(len(count), np.int64)
        reason[ambiguous] = PointStatus.AMBIGUOUS
        reason[inliers.sum(axis=0) < least] = PointStatus.VIEWS_DISAGREE
        reason[angle < np.radians(self.options.min_angle_deg)] = PointStatus.DEGENERATE_RAYS
        met = _widest_angle(seen, seen.valid) >= np.radians(self.options.min_angle_deg)
        reason[(inliers.sum(axis=0) < least) & met] = PointStatus.VIEWS_DISAGREE
        reason[count < 2] = PointStatus.FEWER_THAN_TWO_VIEWS
        return reason

    def _linear(self, block: slice, weight: FloatArray, start: FloatArray) -> FloatArray:
        """Linear least squares: all that is needed while the weights are not final."""
        seen = replace(self.seen.at(block), weight=weight)
        found = linear_points(seen, np.ones_like(weight), start)
        return np.where(np.isfinite(found), found, start)

    def _robust(self, block: slice, weight: FloatArray, start: FloatArray) -> FloatArray:
        return refine(self.optics, self.xy[:, block], weight, start, self.options)

    def _refine(
        self,
        block: slice,
        limit: FloatArray,
        sd: FloatArray,
        solve: Callable[[slice, FloatArray, FloatArray], FloatArray],
    ) -> None:
        """Views beyond the clip's own noise go, the others are weighed by theirs.

        Between the limit and `_TAPER` times the limit a view still pulls, less and less: a point
        would jump when a view crosses a sharp limit. (On the demo the lengths of 8 arm and leg
        bones vary by 4.8 % with the soft limit, by 5.4 % with a sharp one.)
        """
        xy, points, weight = self.xy[:, block], self.refined[:, block], self.weight[:, block]
        good = self.reason[block] == PointStatus.OK
        relative = weight * good * (sd.min() / sd[:, self._columns(block)]) ** 2
        with np.errstate(divide="ignore"):
            reach = np.minimum(limit / np.sqrt(weight), self.options.inlier_thresh)
        away = np.hypot(*(self.views[:, :, block] - xy.transpose(2, 0, 1)))
        share = np.clip((_TAPER - away / reach) / (_TAPER - 1), 0, 1)
        enough = ((share == 1) & (relative > 0)).sum(axis=0) >= self.options.min_views
        # A point that would lose its second view keeps those it was found with.
        share = np.where(enough, np.nan_to_num(share), self.inliers[:, block])
        points = solve(block, relative * share, points)
        view = self.optics.look(points)
        error = np.hypot(view[0] - xy[..., 0], view[1] - xy[..., 1])
        near = np.where(enough, error <= reach, self.inliers[:, block]) & (relative > 0)
        lonely = good & (near.sum(axis=0) < self.options.min_views)
        reason = np.where(lonely, PointStatus.VIEWS_DISAGREE, self.reason[block])
        self.reason[block] = np.where(good & np.isnan(points[0]), PointStatus.NOT_CONVERGED, reason)
        kept = self.reason[block] == PointStatus.OK
        self.refined[:, block] = np.where(kept, points, np.nan)
        self.inliers[:, block] = near & kept
        self._residuals(block, np.where(near & kept, relative, 0.0), *view)

    def _reject_doubtful(self, time: FloatArray | None) -> None:
        """Two views that agree against two or more need a neighbour in time.

        Two rays nearly meet by chance once in ten times; a third rarely comes near. Without
        this, 30 % of wrong views leave 2 % (4 cameras) of points metres away.
        """
        T, J = self.shape[1:]
        count, seen = self.inliers.sum(axis=0), (self.weight > 0).sum(axis=0)
        doubtful = ((count == 2) & (seen >= 4)).reshape(T, J)
        if time is not None and T > 1:
            sure = np.where(doubtful, np.nan, self.refined.reshape(3, T, J))
            doubtful &= ~_near_neighbour(self.refined.reshape(3, T, J), sure, np.diff(time))
        gone = doubtful.ravel()
        self.reason[gone & (self.reason == PointStatus.OK)] = PointStatus.VIEWS_DISAGREE
        self.refined[:, gone], self.inliers[:, gone] = np.nan, False
        self.square[:, gone] = self.freedom[:, gone] = 0.0

    def _residuals(
        self, block: slice, used: FloatArray, u: FloatArray, v: FloatArray, seen: Seen
    ) -> None:
        """Squared residuals of the used views, scaled to a score of 1, and their freedom.

        u, v, seen: what the rig sees at the block's points.
        """
        on = (used > 0) & np.isfinite(u)
        views = self._information(np.where(on, used, 0.0), seen.only(on))
        covariance = np.nan_to_num(inverse(information(self.turn, views)))
        freedom = 2 - leverage(self.turn, views, covariance)
        self.views[:, :, block] = u, v
        xy = self.xy[:, block]
        square = (u - xy[..., 0]) ** 2 + (v - xy[..., 1]) ** 2
        self.square[:, block] = np.where(on, self.weight[:, block] * square, 0.0)
        self.freedom[:, block] = np.where(on, np.maximum(freedom, 0.0), 0.0)

    def _information(self, weight: FloatArray, seen: Seen) -> FloatArray:
        """(C, 6, n) of each view, in its camera's axes; weight: (C, n)."""
        ux, uy, vx, vy = self.optics.slopes(seen)
        xx, xy, yy = ux * ux + vx * vx, ux * uy + vx * vy, uy * uy + vy * vy
        return in_view(weight * xx, weight * xy, weight * yy, seen.x, seen.y)

    def _noise(self) -> FloatArray:
        return pixel_sd(self.square.reshape(self.shape), self.freedom.reshape(self.shape))

    def _columns(self, block: slice) -> IntArray:
        """Which of the J points each point of a block is."""
        return np.asarray(np.arange(block.start, block.stop) % self.shape[2])

    def _result(self, timeline: Timeline, names: tuple[str, ...], sd: FloatArray) -> Triangulation:
        """With covariances from the noise, and reprojections through the lens."""
        C, T, J = self.shape
        covariance, pixels = np.full((T * J, 3, 3), np.nan), np.full((C, T * J, 2), np.nan)

        def fill(block: slice) -> None:
            u, v, seen = self.optics.look(self.refined[:, block])
            pixels[:, block, 0], pixels[:, block, 1] = u, v
            on = self.inliers[:, block]
            w = np.where(on, self.weight[:, block] / sd[:, self._columns(block)] ** 2, 0.0)
            views = self._information(w, seen.only(on))
            covariance[block] = full(inverse(information(self.turn, views)))

        self._blocks(fill, 8)
        error = np.hypot(*(pixels - self.xy).transpose(2, 0, 1))
        error[np.isnan(self.xy).any(axis=-1)] = np.nan
        best = np.where(self.pair[:, None] < 0, -1, self.pairs[self.pair])
        return Triangulation(
            timeline, names, self.rig.names,
            self.initial.T.reshape(T, J, 3), self.refined.T.reshape(T, J, 3),
            covariance.reshape(T, J, 3, 3), best.reshape(T, J, 2),
            self.inliers.T.reshape(T, J, C), pixels.transpose(1, 0, 2).reshape(T, J, C, 2),
            error.T.reshape(T, J, C), self.reason.reshape(T, J), sd,
        )  # fmt: skip


def _near_neighbour(points: FloatArray, sure: FloatArray, gaps: FloatArray) -> BoolArray:
    """(T, J) whether a `sure` point (3, T, J) of a neighbouring frame is in reach of a limb."""
    reach = np.where(gaps < _NEIGHBOUR_S, _REACH_M + _REACH_M_S * gaps, -1.0)[:, None]
    near = np.zeros(points.shape[1:], bool)
    for here, there in ((slice(1, None), slice(None, -1)), (slice(None, -1), slice(1, None))):
        away = np.sqrt(((points[:, here] - sure[:, there]) ** 2).sum(axis=0))
        near[here] |= away <= reach
    return near


def _widest_angle(seen: Rays, used: BoolArray) -> FloatArray:
    """(n,) radians between the two most different rays of the used views; 0 with fewer."""
    least = np.ones(used.shape[1])  # cosine
    for a in range(1, len(used)):
        cosine = (seen.rays[a] * seen.rays[:a]).sum(axis=1)
        least = np.minimum(least, np.where(used[a] & used[:a], cosine, 1.0).min(axis=0))
    return np.arccos(np.clip(least, -1, 1))
