"""Bodies do not pass through themselves: one capsule per bone, from the mesh, and a term on pairs.

SMPLify (Bogo et al. 2016, section 3.3) approximates the body by capsules from the shape and tests
spheres along them. Here capsules are tested as they are: the distance of two segments less both
radii. Ends and radius are linear in the shape coefficients, as joints and vertices are.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np

from kinefit.body.model import forward_kinematics
from kinefit.fit.solver.chain import Chain, nearest_kept
from kinefit.fit.solver.terms import Rows
from kinefit.geometry import rotations as so3
from kinefit.geometry.robust import L2, Kernel
from kinefit.types import BoolArray, FloatArray, IntArray
from kinefit.types.arrays import freeze

_LEAST_VERTICES = 12  # of a bone that gets a capsule
SOFT_M = 0.01  # metres: skin gives: a seated thigh, an arm along the side


@dataclass(frozen=True, eq=False)
class Capsules:
    """N capsules, each carried by a free joint of a chain.

    joint: (N,) places in the chain. numbers: (N, 7) metres: both ends and the radius of the
    template at rest. dirs: (C, N, 7) how these change with each shape coefficient.
    pairs: (M, 2) capsules that must not meet: not of neighbouring joints, apart at rest.
    """

    chain: Chain
    joint: IntArray
    numbers: FloatArray
    dirs: FloatArray
    pairs: IntArray

    @classmethod
    def of(cls, chain: Chain) -> Self:
        """Of the bones that the chain moves, as the skin of the neutral shape has them."""
        body, owner = chain.body, _owners(chain)
        rest = body.rest_vertices(chain.shape.neutral)
        area = _vertex_areas(rest, body.faces)
        joint, numbers, dirs = [], [], []
        for j in range(len(chain.joint_names)):
            mine = np.flatnonzero((owner == j) & (area > 0))
            if len(mine) < _LEAST_VERTICES:
                continue
            fit = _linear_fit(rest[mine], area[mine])
            joint.append(j)
            numbers.append(_apply(fit, body.vertices[mine]))
            dirs.append(_apply(fit, body.vertex_dirs[:, mine]))
        out = cls(
            chain,
            np.array(joint, dtype=np.int64),
            np.array(numbers).reshape(-1, 7),
            np.array(dirs).reshape(len(joint), -1, 7).transpose(1, 0, 2),
            np.zeros((0, 2), dtype=np.int64),
        )
        return replace(out, pairs=_pairs(out))

    @property
    def names(self) -> tuple[str, ...]:
        """N joints of the body that carry the capsules."""
        return tuple(self.chain.joint_names[j] for j in self.joint)

    def rest(self, shape: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Ends (..., N, 2, 3) and radii (..., N), metres, of the rest poses of shapes (..., S)."""
        k = self.chain.shape.coefficients(shape)
        numbers = self.numbers + np.tensordot(k, self.dirs, axes=1)
        return numbers[..., :6].reshape(*numbers.shape[:-1], 2, 3), numbers[..., 6]


def _owners(chain: Chain) -> IntArray:
    """(V,) the free joint that each vertex follows most."""
    body = chain.body
    keeper = nearest_kept(body.parents, chain.joint_index)
    share = np.zeros((len(body.vertices), len(chain.joint_names)))
    rows = np.repeat(np.arange(len(share)), body.skin_joints.shape[1])
    np.add.at(share, (rows, keeper[body.skin_joints].ravel()), body.skin_weights.ravel())
    return np.asarray(share.argmax(axis=1))


def _vertex_areas(vertices: FloatArray, faces: IntArray) -> FloatArray:
    """(V,) m^2: a third of each face around a vertex; dense meshing of faces counts no more."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    third = so3.norm(so3.cross(b - a, c - a)) / 6
    sums = np.bincount(faces.ravel(), np.repeat(third, 3), minlength=len(vertices))
    return sums.astype(np.float64)


def _linear_fit(x: FloatArray, weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """From n vertices to their capsule: factors (2, n) of the ends and (n, 3) of the radius.

    x: (n, 3) metres. Lengthwise places and directions away from the axis are taken at `x` and
    kept: the axis is then a regression of vertices on place, the radius a mean of what they have
    in these directions, and all is linear in vertices. Only the middle half of the length says
    the radius, so that it is right for tubes and, to 5 %, for balls.
    """
    place, length = _lengthwise(x, weight)
    design = np.stack([1 - place, place], axis=1)
    to_axis = np.linalg.pinv(design * np.sqrt(weight)[:, None]) * np.sqrt(weight)  # (2, n)
    first, last = to_axis @ x
    axis, off = so3.unit(last - first), x - design @ to_axis @ x
    away = so3.unit(off - (off @ axis)[:, None] * axis)
    middle = np.abs(place - 0.5) <= 0.25
    share = np.where(middle, weight, 0.0) if middle.any() else weight
    toward = np.nan_to_num(away) * (share / share.sum())[:, None]
    to_radius = toward - to_axis.T @ (design.T @ toward)
    inset = min(float((to_radius * x).sum()) / length, 0.5)
    ends = np.array([[1 - inset, inset], [inset, 1 - inset]]) @ to_axis
    return ends, to_radius


def _apply(fit: tuple[FloatArray, FloatArray], vertices: FloatArray) -> FloatArray:
    """(..., 7) ends and radius of vertices (..., n, 3)."""
    ends, radius = fit[0] @ vertices, np.tensordot(vertices, fit[1], axes=2)
    return np.concatenate([ends.reshape(*ends.shape[:-2], 6), radius[..., None]], axis=-1)


def _lengthwise(x: FloatArray, weight: FloatArray) -> tuple[FloatArray, float]:
    """(n,) places 0..1 of vertices (n, 3) along the longest axis of a part, and its length."""
    w = weight / weight.sum()
    off = x - w @ x
    along = off @ np.linalg.eigh(off.T @ (off * w[:, None]))[1][:, -1]
    length = float(along.max() - along.min())
    return (along - along.min()) / length, length


def _pairs(capsules: Capsules) -> IntArray:
    """(M, 2) pairs that are apart in the rest pose and not of neighbouring joints."""
    i, k = np.triu_indices(len(capsules.joint), 1)
    parents = capsules.chain.parents
    ji, jk = capsules.joint[i], capsules.joint[k]
    neighbours = (parents[jk] == ji) | (parents[ji] == jk)
    ends, radius = capsules.rest(capsules.chain.shape.neutral)
    p, q = _closest(ends[i], ends[k])
    apart = so3.norm(p - q) > radius[i] + radius[k]
    kept = ~neighbours & apart
    return np.stack([i[kept], k[kept]], axis=1)


def _closest(first: FloatArray, second: FloatArray) -> tuple[FloatArray, FloatArray]:
    """The points (..., 3) of two segments (..., 2, 3) that are nearest to each other.

    Ericson 2005, Real-Time Collision Detection, section 5.1.9; a segment may be a point.
    """
    a, b = first[..., 0, :], second[..., 0, :]
    d, e = first[..., 1, :] - a, second[..., 1, :] - b
    r = a - b
    dd, ee, de = (_dot(u, v) for u, v in ((d, d), (e, e), (d, e)))
    dr, er = _dot(d, r), _dot(e, r)
    tiny = 1e-12
    denominator = dd * ee - de**2
    parallel = denominator <= tiny * (dd * ee + tiny)
    s = np.where(parallel, 0.0, de * er - dr * ee) / np.where(parallel, 1.0, denominator)
    s = np.clip(s, 0, 1)
    t = np.clip((de * s + er) / np.maximum(ee, tiny), 0, 1)
    s = np.clip((de * t - dr) / np.maximum(dd, tiny), 0, 1)
    return a + s[..., None] * d, b + t[..., None] * e


def _dot(a: FloatArray, b: FloatArray) -> FloatArray:
    return np.asarray(np.einsum("...i,...i->...", a, b))


@dataclass(frozen=True, eq=False)
class _Met:
    """Pairs that meet: their pose and slot in the residual, depth, nearest points, normal."""

    pose: IntArray
    slot: IntArray
    pair: IntArray
    depth: FloatArray
    first: FloatArray
    second: FloatArray
    normal: FloatArray


@dataclass(frozen=True, eq=False)
class Interpenetration:
    """How deep capsules are in one another beyond `slack`, over sigma; zero where they are not.

    capsules: with their pairs. shape: (S,), or (T, S) one per pose: constant in a fit, so that the
    term is made anew when shapes have changed by much. slack, sigma: metres.

    Only pairs that meet have residuals, so that their number is that of the pose with the most.
    """

    capsules: Capsules
    shape: FloatArray
    sigma: float = SOFT_M
    slack: float = SOFT_M
    kernel: Kernel = field(default_factory=L2)
    _ends: FloatArray = field(init=False)
    _radius: FloatArray = field(init=False)
    _heads: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        chain = self.capsules.chain
        ends, radius = self.capsules.rest(self.shape)
        heads = chain.body.rest_joints(self.shape)[..., chain.joint_index, :]
        local = ends - heads[..., self.capsules.joint, None, :]
        freeze(self, _ends=local, _radius=radius, _heads=heads)

    def residual(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        """(T, M', 1) with M' the most pairs that meet in a pose, at least one."""
        met, _ = self._met(rotations, rows)
        out = np.zeros((len(rotations), _slots(met), 1))
        out[met.pose, met.slot, 0] = met.depth / self.sigma
        return out

    def jacobian(self, rotations: FloatArray, rows: Rows) -> FloatArray:
        met, (G, c) = self._met(rotations, rows)
        i, k = self.capsules.pairs[met.pair].T
        turn = self._lever(met, met.second, k, c) - self._lever(met, met.first, i, c)
        own = np.einsum("njab,nja->njb", G[met.pose], turn) / self.sigma
        out = np.zeros((len(rotations), _slots(met), 1, 3 * c.shape[1]))
        out[met.pose, met.slot, 0] = own.reshape(len(own), 3 * c.shape[1])
        return out

    def _lever(self, met: _Met, at: FloatArray, capsule: IntArray, c: FloatArray) -> FloatArray:
        """(n, F, 3) change of a point's place along the normal, per turn of each joint."""
        moves = self.capsules.chain.below[:, self.capsules.joint[capsule]].T  # (n, F)
        arm = at[:, None] - c[met.pose]
        turned = so3.cross(arm, np.broadcast_to(met.normal[:, None], arm.shape))
        return np.asarray(turned * moves[..., None])

    def _met(self, rotations: FloatArray, rows: Rows) -> tuple[_Met, tuple[FloatArray, FloatArray]]:
        each = self._heads.ndim == 3
        heads, ends, radius = (
            v[rows] if each else v for v in (self._heads, self._ends, self._radius)
        )
        chain, joint = self.capsules.chain, self.capsules.joint
        T = len(rotations)
        G, c = forward_kinematics(chain.parents, rotations, np.zeros((T, 3)), heads)
        placed = c[:, joint, None] + ends @ np.swapaxes(G[:, joint], -1, -2)
        i, k = self.capsules.pairs.T
        reach = np.broadcast_to(radius[..., i] + radius[..., k] - self.slack, (T, len(i)))
        near = self._may_meet(placed, i, k, reach)
        t, m = np.nonzero(near)
        p, q = _closest(placed[t, i[m]], placed[t, k[m]])
        gap = so3.norm(p - q)
        met = reach[t, m] > gap
        t, m, p, q, gap = t[met], m[met], p[met], q[met], gap[met]
        normal = (p - q) / np.maximum(gap, 1e-9)[:, None]
        start = np.searchsorted(t, t)  # of each pair's pose in the list
        depth = reach[t, m] - gap
        return _Met(t, np.arange(len(t)) - start, m, depth, p, q, normal), (G, c)

    @staticmethod
    def _may_meet(placed: FloatArray, i: IntArray, k: IntArray, reach: FloatArray) -> BoolArray:
        """(T, M) False where even the balls around the segments are apart."""
        middle = placed.mean(axis=2)
        half = so3.norm(placed[:, :, 1] - placed[:, :, 0]) / 2
        distance = so3.norm(middle[:, i] - middle[:, k])
        return np.asarray(distance < reach + half[:, i] + half[:, k])


def _slots(met: _Met) -> int:
    return int(met.slot.max(initial=0)) + 1
