"""The persons that all cameras detect, as rays, and how far rays and bodies are from one another.

Distances are metres in the world: a ray that passes a joint by 3 cm is that near whichever camera
it comes from, while pixels mean something else in every camera and at every depth. A detector may
exchange left and right in one view, of the whole body or of one limb; so each pair of twins is
compared under both labellings, and the nearer one counts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kinefit.geometry.projection import meeting, undistort
from kinefit.skeletons import Skeleton
from kinefit.tracking.track import ENOUGH, FAR
from kinefit.types import BoolArray, CameraRig, FloatArray, IntArray, extent

# Points that tell persons apart. Fingers and the details of a face lie so close together that they
# add work and nothing else; a source without three of these is taken with all that it has.
_CORE = (
    "Nose", "Ear", "Neck", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Heel", "BigToe",
)  # fmt: skip
_PARALLEL = 1e-6  # squared sine between two rays (0.06 degrees) below which they meet nowhere


@dataclass(frozen=True, eq=False)
class PersonDetections:
    """D persons in pictures, in the order of frame and camera, and K points of each.

    frame, camera, place: (D,) where each is found: `views[camera][frame][place]`.
    rays: (D, K, 3) unit directions in the world, NaN where the point is missing.
    origin: (D, 3) metres, the camera's centre.
    weight: (D, K) the points' scores, 0 where missing.
    size: (D,) diagonal of the box around all points, as a share of the picture's diagonal.
    starts: (T + 1,) the first detection of each frame.
    names: K points. twin: (K,) the same point on the other side.
    """

    frame: IntArray
    camera: IntArray
    place: IntArray
    rays: FloatArray
    origin: FloatArray
    weight: FloatArray
    size: FloatArray
    starts: IntArray
    names: tuple[str, ...]
    twin: IntArray

    @classmethod
    def of(
        cls, rig: CameraRig, names: Sequence[str], views: Sequence[Sequence[FloatArray]]
    ) -> PersonDetections:
        """views: (C, T) arrays (N, J, 3) of x, y px and score; see `find_people`.

        Persons with fewer than `ENOUGH` points are left out.
        """
        keep = _core(names)
        cells = [(t, c, p) for c, view in enumerate(views) for t, poses in enumerate(view)
                 for p in range(len(poses))]  # fmt: skip
        frame, camera, place = np.array(cells, np.int64).reshape(-1, 3).T
        poses = [pose for view in views for pose in view if len(pose)]
        points = np.concatenate(poses) if poses else np.empty((0, len(names), 3))
        seen = np.isfinite(points).all(axis=-1) & (points[..., 2] > 0)
        core, valid = points[:, keep], seen[:, keep]
        # Within a camera by where they are in the picture, not by their order in the file.
        key = np.where(valid, core[..., 0], 0.0).sum(axis=1)
        order = np.lexsort((key, camera, frame))
        order = order[valid[order].sum(axis=1) >= ENOUGH]
        core, valid, camera, frame = core[order], valid[order], camera[order], frame[order]
        rays, centres = _rays(rig, core, valid, camera)
        box = extent(np.where(seen[order, :, None], points[order, :, :2], np.nan))
        diagonal = np.array([np.hypot(*c.size) for c in rig])[camera]
        kept = tuple(names[k] for k in keep)
        return cls(
            frame,
            camera,
            place[order],
            rays,
            centres[camera],
            np.where(valid, core[..., 2], 0.0),
            np.linalg.norm(box, axis=-1) / diagonal,
            np.searchsorted(frame, np.arange(len(views[0]) + 1)),
            kept,
            Skeleton("", kept).mirror(),
        )


def _core(names: Sequence[str]) -> list[int]:
    """Columns of the points that are compared."""
    bare = [n[1:] if n[:1] in "LR" and n[1:2].isupper() else n for n in names]
    found = [k for k, name in enumerate(bare) if name in _CORE]
    return found if len(found) >= ENOUGH else list(range(len(names)))


def _rays(
    rig: CameraRig, points: FloatArray, valid: BoolArray, camera: IntArray
) -> tuple[FloatArray, FloatArray]:
    """(D, K, 3) directions of pixels (D, K, 2 or more), and (C, 3) centres."""
    rays = np.full((*valid.shape, 3), np.nan)
    for c, one in enumerate(rig):
        rows = camera == c
        xy = np.where(valid[rows, :, None], points[rows, :, :2], np.nan)
        plane = undistort(one, xy)
        local = np.concatenate([plane, np.ones_like(plane[..., :1])], axis=-1)
        rays[rows] = local / np.linalg.norm(local, axis=-1, keepdims=True) @ one.R
    return rays, np.stack([one.centre for one in rig])


def zero_missing(values: FloatArray) -> FloatArray:
    """`values` with 0 for NaN; a third of the time of numpy's own, which looks for infinity too."""
    return np.where(np.isnan(values), 0.0, values)


def ray_distances(
    points: FloatArray, rays: FloatArray, origin: FloatArray, twin: IntArray
) -> tuple[FloatArray, BoolArray]:
    """How far the rays of n persons pass the points of M bodies.

    points: (M, K, 3) metres; rays: (n, K, 3); origin: (n, 3).
    Returns (M, n, K) metres, NaN where either is missing or the point is behind the camera, and
    (M, n, K) True where the ray is nearer with left and right exchanged.
    """
    same = _passing(points, rays, origin)
    crossed = _passing(points, rays[:, twin], origin)
    return _nearer_label(same, crossed, twin)


def _passing(points: FloatArray, rays: FloatArray, origin: FloatArray) -> FloatArray:
    """(M, n, K) metres between points and rays."""
    away = points[:, None] - origin[:, None]
    along = (away * rays).sum(axis=-1)
    square = (away * away).sum(axis=-1) - along * along
    return np.where(along > 0, np.sqrt(np.maximum(square, 0.0)), np.nan)


def _nearer_label(
    same: FloatArray, crossed: FloatArray, twin: IntArray
) -> tuple[FloatArray, BoolArray]:
    """Distances (..., K) under the better labelling of each pair of twins, and where crossed."""
    one, other = zero_missing(same), zero_missing(crossed)
    counts = np.isfinite(same), np.isfinite(crossed)
    as_many = (counts[0] + counts[0][..., twin]) <= (counts[1] + counts[1][..., twin])
    better = (other + other[..., twin]) < (one + one[..., twin])
    swap = as_many & better & (twin != np.arange(len(twin)))
    return np.where(swap, crossed, same), swap


def mean_distance(distance: FloatArray, weight: FloatArray, cap: FloatArray | float) -> FloatArray:
    """(...) metres: the weighted mean of `distance` (..., K), none counted above `cap`.

    FAR where fewer than `ENOUGH` points can be compared. A mean, not a median: of two who embrace
    half of the points may lie together.
    """
    w = np.where(np.isfinite(distance), weight, 0.0)
    total = w.sum(axis=-1)
    capped = np.minimum(zero_missing(distance), cap)
    enough = (w > 0).sum(axis=-1) >= ENOUGH
    return np.where(enough, (w * capped).sum(axis=-1) / np.where(total > 0, total, 1.0), FAR)


def meet(
    rays: FloatArray, origin: FloatArray, twin: IntArray, pairs: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Where the rays of pairs of persons come nearest, half-way between them.

    rays: (n, K, 3); origin: (n, 3); pairs: (P, 2).
    Returns (P, K, 3) metres, labelled as the first of the pair, and (P, K) half the gap; NaN where
    a ray is missing, they are parallel, or they meet behind a camera.
    """
    a, b = pairs.T
    same = _crossing(rays[a], origin[a], rays[b], origin[b])
    other = _crossing(rays[a], origin[a], rays[b][:, twin], origin[b])
    gap, swap = _nearer_label(same[1], other[1], twin)
    return np.where(swap[..., None], other[0], same[0]), gap


def _crossing(
    da: FloatArray, ca: FloatArray, db: FloatArray, cb: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """(P, K, 3) points half-way between two rays where they are nearest, (P, K) half the gap."""
    on_a, on_b = meeting(
        ca.T[..., None], da.transpose(2, 0, 1), cb.T[..., None], db.transpose(2, 0, 1), _PARALLEL
    )
    gap = np.linalg.norm(on_a - on_b, axis=0) / 2
    return ((on_a + on_b) / 2).transpose(1, 2, 0), gap


def place_bodies(
    expected: FloatArray, trust: float, rays: FloatArray, origin: FloatArray, weight: FloatArray
) -> FloatArray:
    """(M, K, 3) metres: the points nearest to weighted rays, drawn to where they are expected.

    expected: (M, K, 3), NaN where nothing is; trust: the weight of that, beside rays of weight 1.
    rays: (M, n, K, 3), 0 where missing; origin: (n, 3); weight: (M, n, K).
    Least squares of the distances to the rays: sum w (I - d d') p = sum w (I - d d') c. NaN where
    neither two rays nor one ray and an expectation make a point; without rays, the expectation.
    """
    known = np.isfinite(expected).all(axis=-1)
    prior = np.where(known, trust, 0.0)
    total = weight.sum(axis=1) + prior
    H = total[..., None, None] * np.eye(3)
    H -= np.einsum("mnk,mnki,mnkj->mkij", weight, rays, rays)
    along = np.einsum("mnki,ni->mnk", rays, origin)
    g = np.einsum("mnk,ni->mki", weight, origin)
    g -= np.einsum("mnk,mnk,mnki->mki", weight, along, rays)
    g += prior[..., None] * zero_missing(expected)
    good = known | ((weight > 0).sum(axis=1) >= 2)
    H = np.where(good[..., None, None], H, np.eye(3)) + 1e-9 * np.eye(3)
    solved = np.linalg.solve(H, g[..., None])[..., 0]
    return np.where(good[..., None], solved, np.nan)
