"""Where a point can be: intersections of pairs of rays, and which of them most views support.

Arrays are laid out (C, N) per coordinate, cameras first (see `RigOptics`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from kinefit.geometry.projection import RigOptics, meeting
from kinefit.geometry.robust import Huber
from kinefit.multiview.point_algebra import SIX, solve
from kinefit.multiview.triangulation_options import ScoreType, TriangulationOptions
from kinefit.types import BoolArray, FloatArray, IntArray

_PARALLEL = 1e-12  # squared sine between two rays below which they meet nowhere


@dataclass(frozen=True, eq=False)
class Rays:
    """N points in C views.

    x, y: (C, N) on the plane z = 1, the lens undone; 0 where not valid.
    valid: (C, N) True where the view sees the point. weight: (C, N) relative information, 0..1.
    focal: (C, 1) pixels per unit of the plane z = 1.
    rays: (C, 3, N) world directions, unit length. centres: (C, 3) metres. R: (C, 3, 3), t: (C, 3)
    as in Camera.
    """

    x: FloatArray
    y: FloatArray
    valid: BoolArray
    weight: FloatArray
    focal: FloatArray
    rays: FloatArray
    centres: FloatArray
    R: FloatArray
    t: FloatArray

    @classmethod
    def of(cls, optics: RigOptics, pixels: FloatArray, weight: FloatArray) -> Rays:
        """pixels: (C, N, 2), NaN where missing; weight: (C, N), 0 where not to be used."""
        x, y = optics.undistort(pixels)
        valid = np.isfinite(x) & (weight > 0)
        x, y = np.where(valid, x, 0.0), np.where(valid, y, 0.0)
        local = np.stack([x, y, np.ones_like(x)], axis=1)
        local /= np.sqrt(x * x + y * y + 1)[:, None]
        rays = np.matmul(optics.R.transpose(0, 2, 1), local)
        centres = -np.matmul(optics.R.transpose(0, 2, 1), optics.t[..., None])[..., 0]
        focal = np.sqrt(optics.K[:, 0, 0] * optics.K[:, 1, 1])[:, None]
        weight = np.where(valid, weight, 0.0)
        return cls(x, y, valid, weight, focal, rays, centres, optics.R, optics.t)

    def at(self, points: slice) -> Rays:
        """Some of the points."""
        names = ("x", "y", "valid", "weight", "rays")
        return replace(self, **{name: getattr(self, name)[..., points] for name in names})

    def with_exchanged(self, source: IntArray) -> Rays:
        """2C views: these, and the same with the points `source` (N,) in place of their own."""
        views, whole = ("x", "y", "valid", "weight", "rays"), ("focal", "centres", "R", "t")
        both = {name: (getattr(self, name), getattr(self, name)[..., source]) for name in views}
        both |= {name: (getattr(self, name),) * 2 for name in whole}
        return replace(self, **{name: np.concatenate(pair) for name, pair in both.items()})

    def single(self) -> Rays:
        """In single precision: good to a tenth of a millimetre, and twice as fast."""
        names = ("x", "y", "weight", "focal", "rays", "centres", "R", "t")
        return replace(self, **{name: getattr(self, name).astype(np.float32) for name in names})

    def errors(self, points: FloatArray) -> FloatArray:
        """(C, ..., N) px between the views and `points` (3, ..., N); infinite where not valid.

        Measured before the lens, which is near enough for choosing and costs half.
        """
        shape = points.shape[1:]
        local = np.matmul(self.R, points.reshape(3, -1)) + self.t[:, :, None]
        local = local.reshape(len(self.x), 3, *shape)
        depth = local[:, 2]
        views = (slice(None), *(None,) * (len(shape) - 1))
        with np.errstate(divide="ignore", invalid="ignore"):
            dx = local[:, 0] / depth - self.x[views]
            dy = local[:, 1] / depth - self.y[views]
            error = self.focal[views] * np.sqrt(dx * dx + dy * dy)
        return np.where(self.valid[views] & (depth > 0), error, np.inf)


def camera_pairs(centres: FloatArray, most: int) -> IntArray:
    """(P, 2) pairs of cameras that give candidates.

    All of them, or `most`: those that see the middle of the rig at angles nearest to 90 degrees,
    taken so that every camera is in as many pairs as any other. 30 pairs of 16 cameras with
    30 % wrong views leave no right pair once in 10^9 points.
    """
    pairs = np.array(list(combinations(range(len(centres)), 2)), dtype=np.int64).reshape(-1, 2)
    if len(pairs) <= most:
        return pairs
    ways = centres - centres.mean(axis=0)
    ways = ways / np.maximum(np.linalg.norm(ways, axis=1, keepdims=True), 1e-9)
    closeness = np.abs((ways[pairs[:, 0]] * ways[pairs[:, 1]]).sum(axis=1))
    used, chosen = np.zeros(len(centres)), []
    left = np.ones(len(pairs), dtype=bool)
    for _ in range(most):
        cost = np.where(left, used[pairs].sum(axis=1) + closeness, np.inf)
        best = int(cost.argmin())
        chosen.append(best)
        left[best] = False
        used[pairs[best]] += 1
    return pairs[sorted(chosen)]


def intersect(seen: Rays, pairs: IntArray) -> FloatArray:
    """(3, P, N) points half-way between the two rays of each pair where they are nearest.

    NaN where a view is missing, the rays are parallel, or they meet behind a camera.
    """
    a, b = pairs.T
    along, origin = seen.rays.swapaxes(0, 1), seen.centres.T[..., None]
    on_a, on_b = meeting(origin[:, a], along[:, a], origin[:, b], along[:, b], _PARALLEL)
    return np.where(seen.valid[a] & seen.valid[b], (on_a + on_b) / 2, np.nan)


def robust_score(
    errors: FloatArray, weight: FloatArray, kind: ScoreType, delta: float, cut: float
) -> FloatArray:
    """(P, N) one number per candidate from its errors (C, P, N): 0 exact, 1 no view near.

    In parts of what views beyond `cut` cost, so that it does not depend on the pictures' size.
    weight: (C, N), 0 where a view does not see the point and does not count. What each kind
    means is said in `TriangulationOptions`; only "huber" makes a difference between weights.
    """
    if kind == "huber":
        rho = Huber(delta).rho
        loss = (rho(np.minimum(errors, cut) ** 2) * weight[:, None]).sum(axis=0)
        worst = float(rho(np.array(cut**2)))
        return np.asarray(loss / (worst * np.maximum(weight.sum(axis=0), 1e-12)))
    count = np.maximum((weight > 0).sum(axis=0), 1)
    # Views that are not valid are infinite: they come last.
    ordered = np.minimum(np.sort(errors, axis=0) / cut, 1.0)
    place = np.arange(len(ordered))[:, None, None]
    kept = place == np.minimum(count // 2, count - 1)
    if kind == "trimmed":
        kept = place < np.ceil(0.75 * count)
    return np.asarray(np.where(kept, ordered, 0.0).sum(axis=0) / kept.sum(axis=0))


def hypotheses(
    seen: Rays, pairs: IntArray, options: TriangulationOptions
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """What each of P pairs of cameras proposes for each point, and how well all views support it.

    Returns (3, P, N) where the two rays meet, NaN where they don't; (3, P, N) the place nearest to
    the rays of all views that agree with it, the same without a reseed; and (P, N) the robust
    score (0 to 1) of that place, infinite where there is none.
    """
    seen = seen.single()
    start = points = intersect(seen, pairs)
    errors = seen.errors(start)
    if options.reseed_from_inliers:
        points = linear_points(seen, errors <= options.inlier_thresh, start)
        points = np.where(np.isfinite(points), points, start)
        errors = seen.errors(points)
    cost = robust_score(
        errors, seen.weight, options.score_type, options.huber_delta, options.inlier_thresh
    )
    return start, points, np.where(np.isfinite(points[0]), cost, np.inf)


def linear_points(seen: Rays, share: FloatArray | BoolArray, near: FloatArray) -> FloatArray:
    """(3, ..., N) points nearest to the rays of the views, weighed by precision and `share`.

    share: (C, ..., N) factors of the views' weights, 0 or False where one is not used.
    near: (3, ..., N) a first guess, from which the distance to each camera is taken, so that a
    ray's distance in metres becomes one in pixels. NaN where the rays do not fix a point.
    Minimises sum_c w_c |(I - d_c d_c^T)(X - o_c)|^2, the distances to lines.
    """
    lead = (slice(None), *(None,) * (near.ndim - 2))
    o = seen.centres.T.reshape(3, -1, *(1,) * (near.ndim - 1))
    d = [seen.rays[:, k][lead] for k in range(3)]
    distance2 = sum((near[k] - o[k]) ** 2 for k in range(3))
    weight = (seen.weight * seen.focal**2)[lead]
    w = share * weight / np.maximum(distance2, 1e-6)
    wd = [w * n for n in d]
    along = sum(d[k] * o[k] for k in range(3))
    total = w.sum(axis=0)
    H = np.stack([total * (i == j) - (wd[i] * d[j]).sum(axis=0) for i, j in SIX])
    g = np.stack([(w * o[i] - wd[i] * along).sum(axis=0) for i in range(3)])
    found = solve(H, g)
    return np.where((w > 0).sum(axis=0) >= 2, found, np.nan)
