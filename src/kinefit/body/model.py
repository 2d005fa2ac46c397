"""A skinned body whose mesh and joints are linear in shape coefficients: SMPL's kind, and Anny's.

A joint b turns with its parent and then by its own rotation about its place at rest: with h the
joint at rest, R the local rotation and p the parent,

    G_b = G_p R_b,    c_b = c_p + G_p (h_b - h_p),    c_root = h_root + translation,

and whatever is attached to it at rest, x, is at c_b + G_b (x - h_b). A vertex is the mean of that
over its joints with its skinning weights (linear blend skinning; SMPL, Loper et al. 2015, ACM TOG
34(6), equations 2-4). World axes are Y up; the body at rest faces +Z with its left at +X.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from scipy.sparse import csr_array

from kinefit.types import BodyMotion, BoolArray, FloatArray, IntArray, InvalidData

_TOGETHER = 64  # poses whose blend shapes are one product: as fast as all, and memory is bounded


@dataclass(frozen=True, eq=False)
class ShapeSpace:
    """From shape parameters, which have names and bounds, to coefficients of shape directions.

    names: S parameter names. neutral: (S,) where fits start and priors are centred.
    spread: (S,) one standard deviation of the parameter among people. lower, upper: (S,) bounds,
    infinite where there are none. Here the parameters are the coefficients, as SMPL's betas.
    """

    names: tuple[str, ...]
    neutral: FloatArray
    spread: FloatArray
    lower: FloatArray
    upper: FloatArray

    @classmethod
    def unbounded(cls, names: tuple[str, ...]) -> ShapeSpace:
        """Of unit variance about zero."""
        S = len(names)
        return cls(names, np.zeros(S), np.ones(S), np.full(S, -np.inf), np.full(S, np.inf))

    def coefficients(self, shape: FloatArray) -> FloatArray:
        """(..., C) coefficients of `shape` (..., S)."""
        return shape

    def jacobian(self, shape: FloatArray) -> FloatArray:
        """(..., C, S) derivative of `coefficients`."""
        S = shape.shape[-1]
        return np.broadcast_to(np.eye(S), (*shape.shape[:-1], S, S))

    def alternatives(self) -> tuple[ShapeSpace, ...]:
        """Narrower spaces, between whose centres fits come to rest; one of them is the person's."""
        return (self,)


@dataclass(frozen=True, eq=False)
class BodyModel:
    """A parametric body.

    name: of the model, with its gender where it has one.
    joint_names: B names, parents before children. parents: (B,) index of the parent, root -1.
    joints, joint_dirs: (B, 3) and (C, B, 3) metres: joints at rest, and how they move with each
        shape coefficient.
    vertices, vertex_dirs: (V, 3) and (C, V, 3) metres: the same of the mesh.
    faces: (F, 3) vertex indices, counter-clockwise from outside.
    skin_joints, skin_weights: (V, W) joints that each vertex follows, and their shares (sum 1).
    shape: what the coefficients are made from.
    regressors: keypoint name -> (vertex indices, weights that sum to 1), or (joint name) of the
        joint itself.
    anatomy: anatomical joint ("LElbow", "Spine", ...) -> the joint that bends there.
    pose_dirs: (9 (B - 1), V, 3) or None: vertex offsets per entry of each non-root local rotation
        less identity, row by row (SMPL's pose blend shapes, equation 9).
    """

    name: str
    joint_names: tuple[str, ...]
    parents: IntArray
    joints: FloatArray
    joint_dirs: FloatArray
    vertices: FloatArray
    vertex_dirs: FloatArray
    faces: IntArray
    skin_joints: IntArray
    skin_weights: FloatArray
    shape: ShapeSpace
    regressors: Mapping[str, tuple[IntArray, FloatArray] | str]
    anatomy: Mapping[str, str] = field(default_factory=dict)
    pose_dirs: FloatArray | None = None

    def __post_init__(self) -> None:
        B, V, C = len(self.joint_names), len(self.vertices), len(self.joint_dirs)
        wanted = {
            "parents": (B,), "joints": (B, 3), "joint_dirs": (C, B, 3), "vertices": (V, 3),
            "vertex_dirs": (C, V, 3), "skin_joints": self.skin_weights.shape,
        }  # fmt: skip
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                got = getattr(self, name).shape
                raise InvalidData(f"Body {self.name}: {name} has shape {got}, expected {shape}.")
        if self.parents[0] != -1 or not (self.parents[1:] < np.arange(1, B)).all():
            raise InvalidData(f"Body {self.name}: joint 0 must be the root, parents come first.")
        if not np.allclose(self.skin_weights.sum(axis=1), 1, atol=1e-4):
            raise InvalidData(f"Body {self.name}: skinning weights must sum to one.")

    def below(self, names: Sequence[str]) -> BoolArray:
        """(B,) True for the joints of the anatomy `names`, those that the body has, and for all
        below them."""
        roots = {self.joint_names.index(self.anatomy[n]) for n in names if n in self.anatomy}
        out = np.zeros(len(self.parents), dtype=bool)
        for b, parent in enumerate(self.parents):
            out[b] = b in roots or (b > 0 and out[parent])
        return out

    @property
    def owner(self) -> IntArray:
        """(V,) the joint that moves each vertex most."""
        return np.asarray(
            self.skin_joints[np.arange(len(self.vertices)), self.skin_weights.argmax(axis=1)]
        )

    def rest_joints(self, shape: FloatArray) -> FloatArray:
        """(..., B, 3) metres: joints in the rest pose of `shape` (..., S)."""
        moved = np.tensordot(self.shape.coefficients(shape), self.joint_dirs, axes=1)
        return np.asarray(self.joints + moved)

    def rest_vertices(self, shape: FloatArray, index: IntArray | None = None) -> FloatArray:
        """(..., V, 3) metres: the mesh in the rest pose, or only its vertices `index`."""
        rows = slice(None) if index is None else index
        moved = np.tensordot(self.shape.coefficients(shape), self.vertex_dirs[:, rows], axes=1)
        return np.asarray(self.vertices[rows] + moved)

    def pose(
        self, rotations: FloatArray, translation: FloatArray, rest_joints: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """World rotations G (..., B, 3, 3) and joints c (..., B, 3) metres: forward kinematics.

        rotations: (..., B, 3, 3) local. translation: (..., 3) metres. rest_joints: (..., B, 3).
        """
        return forward_kinematics(self.parents, rotations, translation, rest_joints)

    def posed_vertices(
        self,
        rotations: FloatArray,
        translation: FloatArray,
        shape: FloatArray,
        index: IntArray | None = None,
    ) -> FloatArray:
        """(..., V, 3) metres: the posed mesh, or only its vertices `index`.

        rotations: (..., B, 3, 3) local. translation: (..., 3) metres. shape: (..., S).
        """
        heads = self.rest_joints(shape)
        G, c = self.pose(rotations, translation, heads)
        rows = slice(None) if index is None else index
        shift = c - (G @ heads[..., None])[..., 0]
        lead, B = G.shape[:-3], len(self.joint_names)
        moves = np.concatenate([G, shift[..., None]], axis=-1).reshape(-1, B, 12)
        joints, weights = self.skin_joints[rows], self.skin_weights[rows]
        V, W = weights.shape
        skin = csr_array((weights.ravel(), (np.repeat(np.arange(V), W), joints.ravel())), (V, B))
        skin.eliminate_zeros()  # of Anny's nine joints per vertex two or three count
        # A view: nothing but `out` is as large as the clip.
        rest = np.broadcast_to(self.rest_vertices(shape, index), (*lead, V, 3))
        bend = (rotations[..., 1:, :, :] - np.eye(3)).reshape(len(moves), 9 * (B - 1))
        dirs = None if self.pose_dirs is None else self.pose_dirs[:, rows]
        out, bent = np.empty((len(moves), V, 3)), np.zeros((_TOGETHER, 1, 1))
        # Each vertex has one transform, the mean of its joints': a third of the time of moving it
        # with each of them. Pose by pose, so that the transforms stay in the cache.
        for pose, (at, move) in enumerate(zip(np.ndindex(*lead), moves, strict=True)):
            if dirs is not None and pose % _TOGETHER == 0:
                bent = np.tensordot(bend[pose : pose + _TOGETHER], dirs, axes=1)
            each = (skin @ move).reshape(V, 3, 4)
            still = rest[at] + bent[pose % _TOGETHER]
            np.einsum("vij,vj->vi", each[..., :3], still, out=out[pose])
            out[pose] += each[..., 3]
        return out.reshape(*lead, V, 3)

    def regress(self, posed: FloatArray, joints: FloatArray, names: Sequence[str]) -> FloatArray:
        """(..., K, 3) keypoints of a posed mesh (..., V, 3) and its joints (..., B, 3)."""
        columns = []
        for name in names:
            source = self.regressor(name)
            if isinstance(source, str):
                columns.append(joints[..., self.joint_names.index(source), :])
            else:
                columns.append(np.einsum("v,...vi->...i", source[1], posed[..., source[0], :]))
        return np.stack(columns, axis=-2)

    def regressor(self, name: str) -> tuple[IntArray, FloatArray] | str:
        """How a keypoint is made; raises InvalidData for one that the body does not have."""
        if name not in self.regressors:
            known = ", ".join(self.regressors)
            raise InvalidData(f"Body {self.name} has no keypoint {name!r}; there are: {known}.")
        return self.regressors[name]

    def fixed(self, shape: FloatArray) -> BodyModel:
        """The body of one shape (S,), which has no parameters left: quicker to pose again and
        again."""
        none = np.zeros((0, len(self.vertices), 3))
        return replace(
            self,
            joints=self.rest_joints(shape),
            joint_dirs=np.zeros((0, len(self.joints), 3)),
            vertices=self.rest_vertices(shape),
            vertex_dirs=none,
            shape=ShapeSpace.unbounded(()),
        )

    def motion_vertices(self, motion: BodyMotion, index: IntArray | None = None) -> FloatArray:
        """(T, V, 3) metres: the mesh of a motion; NaN in frames without a pose."""
        return self.posed_vertices(motion.rotations, motion.translation, motion.shape, index)


def forward_kinematics(
    parents: IntArray, rotations: FloatArray, translation: FloatArray, rest_joints: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """World rotations (..., B, 3, 3) and joint positions (..., B, 3) of a tree; see the module.

    parents: (B,), root -1 and first. rotations: (..., B, 3, 3). translation: (..., 3) metres.
    rest_joints: (..., B, 3) metres.
    """
    heads = np.broadcast_to(rest_joints, (*rotations.shape[:-3], *rest_joints.shape[-2:]))
    G, c = np.empty(rotations.shape), np.empty(heads.shape)
    G[..., 0, :, :], c[..., 0, :] = rotations[..., 0, :, :], heads[..., 0, :] + translation
    for level in levels(parents)[1:]:
        p = parents[level]
        G[..., level, :, :] = G[..., p, :, :] @ rotations[..., level, :, :]
        bone = heads[..., level, :] - heads[..., p, :]
        c[..., level, :] = c[..., p, :] + (G[..., p, :, :] @ bone[..., None])[..., 0]
    return G, c


def levels(parents: IntArray) -> list[IntArray]:
    """Joints of a tree by their distance from the root: one array of indices per level."""
    depth = np.zeros(len(parents), dtype=np.int64)
    for b in range(1, len(parents)):
        depth[b] = depth[parents[b]] + 1
    return [np.flatnonzero(depth == d) for d in range(depth.max() + 1)]
