"""The kinematic chain that a fit moves: free joints, and keypoints carried by them.

A keypoint that is a fixed mean of skinned vertices is linear in the transforms of the joints:
with w_kb the share of joint b in keypoint k, and m_kb its first moment about the joint at rest,

    k = sum_b  w_kb c_b + G_b m_kb        (G, c: see kinefit.body.model)

so that no vertex is skinned during a fit. A joint j turned by the world rotation omega moves it by
omega x (k_j - w_j c_j), where k_j and w_j are the sums over the joints below j. Joints that do not
move are merged into the nearest one above that does. SMPL's pose-dependent vertex offsets are left
out here: joints do not have them, and they move keypoints on the skin by millimetres.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy import sparse

from kinefit.body.model import BodyModel, ShapeSpace, forward_kinematics, levels
from kinefit.geometry import rotations as so3
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData

# A joint's share in a keypoint below which it is left out: 1e-6 of half a metre is 0.5 um.
_LEAST_SHARE = 1e-6

# A point of a chain: the sum of keypoints with these factors. {"LHip": 0.5, "RHip": 0.5} is a
# mean; {"LKnee": 1, "LHip": -1} a limb's direction.
PointSum = Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Chain:
    """Free joints of a body and the keypoints that they carry.

    body: the model. joint_names: F free joints of it, parents before children; the root first.
    joint_index: (F,) their places in the body. parents: (F,) within the chain.
    point_names: K points.
    pair_point, pair_joint: (P,) which point hangs on which joint; sorted by point.
    pair_weight: (P,) its share. pair_moment, pair_dirs: (P, 3), (C, P, 3) metres: its moment about
    the joint at rest, and how that changes with each shape coefficient.
    """

    body: BodyModel
    joint_names: tuple[str, ...]
    joint_index: IntArray
    parents: IntArray
    point_names: tuple[str, ...]
    pair_point: IntArray
    pair_joint: IntArray
    pair_weight: FloatArray
    pair_moment: FloatArray
    pair_dirs: FloatArray

    @classmethod
    def of(cls, body: BodyModel, joints: Sequence[str], points: Mapping[str, PointSum]) -> Chain:
        """The chain of `body` in which `joints` move and that carries `points`.

        Raises InvalidData for a joint or keypoint that the body does not have, or when the root
        is not among the joints.
        """
        unknown = [name for name in joints if name not in body.joint_names]
        if unknown or body.joint_names[0] not in joints:
            what = f"has no joint {', '.join(unknown)}" if unknown else "needs its root among them"
            raise InvalidData(f"Body {body.name} {what}.")
        index = np.array([b for b, name in enumerate(body.joint_names) if name in set(joints)])
        keeper = nearest_kept(body.parents, index)
        parents = np.array([-1, *(keeper[body.parents[b]] for b in index[1:])], dtype=np.int64)
        rows = [_moments(body, spec, keeper, index) for spec in points.values()]
        count = [len(row[0]) for row in rows]
        return cls(
            body=body,
            joint_names=tuple(body.joint_names[b] for b in index),
            joint_index=index,
            parents=parents,
            point_names=tuple(points),
            pair_point=np.repeat(np.arange(len(rows)), count),
            pair_joint=np.concatenate([row[0] for row in rows]),
            pair_weight=np.concatenate([row[1] for row in rows]),
            pair_moment=np.concatenate([row[2] for row in rows]),
            pair_dirs=np.concatenate([row[3] for row in rows], axis=1),
        )

    @property
    def shape(self) -> ShapeSpace:
        return self.body.shape

    @cached_property
    def heads(self) -> FloatArray:
        """(F, 3) metres: the joints at rest of the template."""
        return self.body.joints[self.joint_index]

    @cached_property
    def head_dirs(self) -> FloatArray:
        """(C, F, 3) metres per shape coefficient."""
        return self.body.joint_dirs[:, self.joint_index]

    @cached_property
    def below(self) -> BoolArray:
        """(F, F) True at [j, b] where joint b is j or below it."""
        out = np.eye(len(self.parents), dtype=bool)
        for b in range(1, len(self.parents)):
            out[:, b] |= out[:, self.parents[b]]
        return out

    @cached_property
    def levels(self) -> list[IntArray]:
        return levels(self.parents)

    @cached_property
    def lever(self) -> _Lever:
        """Which joint moves which point, and how its lever is summed."""
        return _Lever.of(self)

    @cached_property
    def sums(self) -> sparse.csr_array:
        """(K, P): from pairs to points."""
        P = len(self.pair_point)
        return sparse.csr_array(
            (np.ones(P), (self.pair_point, np.arange(P))), (len(self.point_names), P)
        )

    def column(self, name: str) -> int:
        """Place of a point; raises InvalidData for an unknown one."""
        if name not in self.point_names:
            raise InvalidData(f"The chain carries no point {name!r}.")
        return self.point_names.index(name)


@dataclass(frozen=True, eq=False)
class _Lever:
    """(point, joint) items where the joint moves the point.

    point, joint: (L,). pick: (L, P) from pairs to items. share: (L,) weights of those pairs.
    """

    point: IntArray
    joint: IntArray
    pick: sparse.csr_array
    share: FloatArray

    @classmethod
    def of(cls, chain: Chain) -> _Lever:
        F, P = len(chain.parents), len(chain.pair_point)
        moved = chain.below[:, chain.pair_joint]  # (F, P)
        j, p = np.nonzero(moved)
        key = chain.pair_point[p] * F + j
        items, row = np.unique(key, return_inverse=True)
        pick = sparse.csr_array((np.ones(len(p)), (row, p)), (len(items), P))
        return cls(items // F, items % F, pick, pick @ chain.pair_weight)


def nearest_kept(parents: IntArray, kept: IntArray) -> IntArray:
    """(B,) place in `kept` of each joint or of its nearest ancestor there."""
    place = {int(b): i for i, b in enumerate(kept)}
    out = np.zeros(len(parents), dtype=np.int64)
    for b in range(len(parents)):
        out[b] = place.get(b, out[parents[b]] if b else 0)
    return out


def _moments(
    body: BodyModel, spec: PointSum, keeper: IntArray, index: IntArray
) -> tuple[IntArray, FloatArray, FloatArray, FloatArray]:
    """Joints (n,), shares (n,), moments (n, 3) and their directions (C, n, 3) of one point."""
    F, C = len(index), len(body.joint_dirs)
    weight, moment, dirs = np.zeros(F), np.zeros((F, 3)), np.zeros((C, F, 3))
    largest = np.zeros(F)
    for name, factor in spec.items():
        share, first, change = _attached(body, name, keeper, F)
        weight += factor * share
        moment += factor * first
        dirs += factor * change
        largest = np.maximum(largest, np.abs(factor) * np.abs(share))
    used = np.flatnonzero(largest > _LEAST_SHARE)
    moment = moment - weight[:, None] * body.joints[index]
    dirs = dirs - weight[:, None] * body.joint_dirs[:, index]
    return used, weight[used], moment[used], dirs[:, used]


def _attached(
    body: BodyModel, name: str, keeper: IntArray, F: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Per kept joint: share (F,), moment about the origin (F, 3) and its directions (C, F, 3)."""
    C, source = len(body.joint_dirs), body.regressor(name)
    if isinstance(source, str):
        b = body.joint_names.index(source)
        share = (np.arange(F) == keeper[b]).astype(np.float64)
        at, change = np.outer(share, body.joints[b]), body.joint_dirs[:, b, None]
        return share, at, change * share[:, None]
    vertex, factor = source
    joints, skin = keeper[body.skin_joints[vertex]], body.skin_weights[vertex] * factor[:, None]
    n, W = joints.shape
    A = sparse.csr_array((skin.ravel(), (joints.ravel(), np.repeat(np.arange(n), W))), (F, n))
    flat = body.vertex_dirs[:, vertex].transpose(1, 0, 2).reshape(n, C * 3)
    dirs = np.asarray(A @ flat.astype(np.float64)).reshape(F, C, 3).transpose(1, 0, 2)
    share = np.asarray(A @ np.ones(n))
    return share, np.asarray(A @ body.vertices[vertex].astype(np.float64)), dirs


@dataclass(frozen=True, eq=False)
class Posed:
    """A chain in T poses: points, and their derivatives, computed when asked for.

    rotations: (T, F, 3, 3) local. translation: (T, 3) metres. shape: (S,), or (T, S) one per pose.
    offset: (K, 3) metres: added to each point in the axes of the joints that carry it at rest.
    """

    chain: Chain
    rotations: FloatArray
    translation: FloatArray
    shape: FloatArray
    offset: FloatArray

    @cached_property
    def _rest(self) -> tuple[FloatArray, FloatArray]:
        """Joints (.., F, 3) and moments (.., P, 3) at rest."""
        chain = self.chain
        k = chain.shape.coefficients(self.shape)
        heads = chain.heads + np.tensordot(k, chain.head_dirs, axes=1)
        moments = chain.pair_moment + np.tensordot(k, chain.pair_dirs, axes=1)
        return heads, moments + chain.pair_weight[:, None] * self.offset[chain.pair_point]

    @cached_property
    def frames(self) -> tuple[FloatArray, FloatArray]:
        """World rotations (T, F, 3, 3) and joints (T, F, 3)."""
        return forward_kinematics(
            self.chain.parents, self.rotations, self.translation, self._rest[0]
        )

    @cached_property
    def _carried(self) -> FloatArray:
        """(P, T, 3) what each joint contributes to its points."""
        chain, (G, c) = self.chain, self.frames
        moved = (
            np.einsum("tpij,...pj->pti", G[:, chain.pair_joint], self._rest[1])
            if (self._rest[1].ndim == 2)
            else np.einsum("tpij,tpj->pti", G[:, chain.pair_joint], self._rest[1])
        )
        lever = chain.pair_weight[:, None, None] * c.transpose(1, 0, 2)[chain.pair_joint]
        return np.asarray(moved + lever)

    @cached_property
    def points(self) -> FloatArray:
        """(T, K, 3) metres, world."""
        P, T, _ = self._carried.shape
        summed = self.chain.sums @ self._carried.reshape(P, T * 3)
        return np.asarray(summed.reshape(len(self.chain.point_names), T, 3).transpose(1, 0, 2))

    @cached_property
    def jacobian(self) -> FloatArray:
        """(T, K, 3, 3 + 3F) metres per metre and radian: by translation and by rotation.

        A joint's increment d is in its own axes: R <- R exp(d).
        """
        chain, lever = self.chain, self.chain.lever
        P, T, _ = self._carried.shape
        K, F = len(chain.point_names), len(chain.parents)
        G, c = self.frames
        arm = (lever.pick @ self._carried.reshape(P, T * 3)).reshape(-1, T, 3)
        arm -= lever.share[:, None, None] * c.transpose(1, 0, 2)[lever.joint]
        axes = G.transpose(1, 0, 3, 2)[lever.joint]  # (L, T, axis, 3)
        turned = so3.cross(axes, np.broadcast_to(arm[:, :, None], axes.shape))
        J = np.zeros((T, K, 3, 1 + F, 3))
        J[:, :, :, 0] = (chain.sums @ chain.pair_weight)[:, None, None] * np.eye(3)
        J[:, lever.point, :, 1 + lever.joint, :] = turned.transpose(0, 1, 3, 2)
        return J.reshape(T, K, 3, 3 + 3 * F)

    @cached_property
    def shape_jacobian(self) -> FloatArray:
        """(T, K, 3, S) metres per shape parameter."""
        chain, (G, _) = self.chain, self.frames
        by = np.swapaxes(chain.shape.jacobian(self.shape), -1, -2)  # (.., S, C)
        heads = np.moveaxis(np.tensordot(by, chain.head_dirs, axes=1), -3, -1)  # (.., F, 3, S)
        moments = np.moveaxis(np.tensordot(by, chain.pair_dirs, axes=1), -3, -1)
        T, S = len(G), by.shape[-2]
        heads = np.broadcast_to(heads, (T, *heads.shape[-3:]))
        c = np.empty((T, len(chain.parents), 3, S))
        c[:, 0] = heads[:, 0]
        for level in chain.levels[1:]:
            p = chain.parents[level]
            c[:, level] = c[:, p] + G[:, p] @ (heads[:, level] - heads[:, p])
        b = chain.pair_joint
        moved = G[:, b] @ moments + chain.pair_weight[:, None, None] * c[:, b]
        return self._summed(moved)

    @cached_property
    def offset_jacobian(self) -> FloatArray:
        """(T, K, 3, 3) metres per metre of the point's own offset."""
        chain, (G, _) = self.chain, self.frames
        return self._summed(chain.pair_weight[:, None, None] * G[:, chain.pair_joint])

    def _summed(self, pairs: FloatArray) -> FloatArray:
        """(T, K, 3, n) from (T, P, 3, n)."""
        T, P, _, n = pairs.shape
        flat = pairs.transpose(1, 0, 2, 3).reshape(P, T * 3 * n)
        summed = (self.chain.sums @ flat).reshape(-1, T, 3, n)
        return np.asarray(summed.transpose(1, 0, 2, 3))
