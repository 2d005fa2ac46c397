"""Where a fit begins: poses in closed form from points in space."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kinefit.fit.priors.joints import PriorJoints
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.state import State
from kinefit.geometry.align import align
from kinefit.types import BoolArray, FloatArray, TooFewPoints, all_finite

# A keypoint this near to a joint at rest says where that joint is, and so turns its parent.
_AT_JOINT_M = 0.09
# How much a joint without evidence follows its parent, against one point at the length of a bone:
# enough to settle the twist about a single bone, too little to turn the bone by a degree.
_FOLLOW = 1e-3


def from_points(
    chain: Chain,
    shape: FloatArray,
    xyz: FloatArray,
    offset: FloatArray | None = None,
    *,
    within_limits: bool = False,
) -> State:
    """Poses that bring keypoints near to `xyz` (T, K, 3) metres, world; NaN where unknown.

    shape: (S,). offset: (K, 3) metres, see `Posed`. within_limits: with all joints in their range.

    Down the tree, each joint takes the rotation that least squares gives to the points it carries
    and those at its children (Kabsch 1976, Acta Cryst A32:922), about where its own joint came to
    be; a joint that points leave free follows its parent. Not a fit: errors in one bone are passed
    on. Raises TooFewPoints when a pose has fewer than three points.
    """
    offset = np.zeros((len(chain.point_names), 3)) if offset is None else offset
    rest = replace(State.rest(chain, 1), shape=shape, offset=offset).posed(chain)
    points, heads = rest.points[0], rest.frames[1][0]
    usable = all_finite(xyz) & _whole(chain)  # differences say no place
    if len(xyz) and usable.sum(axis=1).min() < 3:
        t = int(usable.sum(axis=1).argmin())
        raise TooFewPoints(
            "Points to begin a pose with", found=int(usable[t].sum()), needed=3, frame=t
        )
    w = usable.astype(np.float64)
    xyz = np.where(usable[..., None], xyz, 0.0)
    evidence = _evidence(chain, points, heads)
    T, F = len(xyz), len(chain.joint_names)
    G, c = np.empty((T, F, 3, 3)), np.empty((T, F, 3))
    G[:, 0], c[:, 0] = _root(points, heads[0], xyz, w, evidence[0])
    for j in range(1, F):
        p = chain.parents[j]
        c[:, j] = c[:, p] + G[:, p] @ (heads[j] - heads[p])
        k = np.flatnonzero(evidence[j])
        a, b = points[k] - heads[j], xyz[:, k] - c[:, j, None]
        B = np.einsum("tk,tki,kj->tij", w[:, k], b, a)
        size = (w[:, k] * (a * a).sum(axis=-1)).sum(axis=1)
        G[:, j] = _nearest_rotation(B + (_FOLLOW * size + 1e-9)[:, None, None] * G[:, p])
    rotations = G.copy()
    rotations[:, 1:] = np.swapaxes(G[:, chain.parents[1:]], -1, -2) @ G[:, 1:]
    if within_limits:
        rotations = PriorJoints.of(chain).within(rotations)
    return State(rotations, c[:, 0] - heads[0], shape, offset)


def _evidence(chain: Chain, points: FloatArray, heads: FloatArray) -> BoolArray:
    """(F, K) the points that say how a joint is turned."""
    F, K = len(chain.parents), len(chain.point_names)
    share = np.zeros((F, K))
    share[chain.pair_joint, chain.pair_point] = chain.pair_weight
    carrier = share.argmax(axis=0)
    near = np.linalg.norm(points - heads[:, None], axis=-1) < _AT_JOINT_M
    out = np.zeros((F, K), dtype=bool)
    for j in range(F):
        mine = carrier == j
        children = np.flatnonzero(chain.parents == j)
        out[j] = (mine | near[children].any(axis=0)) & ~near[j] & _whole(chain)
    return out


def _whole(chain: Chain) -> BoolArray:
    """(K,) which points are places: their keypoints' factors sum to one."""
    return np.asarray(np.isclose(chain.sums @ chain.pair_weight, 1))


def _root(
    points: FloatArray, head: FloatArray, xyz: FloatArray, w: FloatArray, own: BoolArray
) -> tuple[FloatArray, FloatArray]:
    """World rotations and places of the root: from its own points and the trunk above it.

    The limbs' roots lie in a plane; all points together break ties and stand in for missing ones.
    """
    factor = np.where(own, 1.0, 0.02) * w
    found = align(np.broadcast_to(points, xyz.shape), xyz, factor, strict=False)
    return found.R, found.R @ head + found.t


def _nearest_rotation(matrix: FloatArray) -> FloatArray:
    """(T, 3, 3) the rotation with the largest trace against `matrix` (T, 3, 3)."""
    U, _, Vt = np.linalg.svd(matrix)
    handed = np.ones((len(matrix), 3))
    handed[:, 2] = np.sign(np.linalg.det(U) * np.linalg.det(Vt))
    return np.asarray((U * handed[:, None]) @ Vt)
