"""Which points of a body's outline and of its masks' edges belong together, for bodies as they
stand: the terms of a silhouette (`kinefit.fit.solver.silhouette`) until they are found again.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from kinefit.body.model import BodyModel
from kinefit.geometry import rotations as so3
from kinefit.types import BoolArray, Camera, FloatArray, IntArray
from kinefit.types.subject import Clothing

_LEFT_OUT = ("Neck", "LWrist", "RWrist", "LAnkle", "RAnkle")  # and what is beyond
_PROBE = 3.0  # pixels of a mask, outwards from an outline point: there the body itself is not
_SAME_WAY = 0.5  # cosine: an edge and an outline that face each other less do not belong together
_EDGE_SKIP = 2  # every how manieth pixel of a mask's edge is used


@dataclass(frozen=True)
class SilhouetteOptions:
    """outside_m, inside_m: as of `Silhouette`. reach_m: an edge that is farther away is another
    one (something hides the person, a limb is not where it is thought).
    each_counts: as how many independent points the outline in one picture counts: what is wrong
    with a mask or with clothes is wrong all along a limb.
    edges: the share of these that is of the mask's edge against the outline, and not the other way
    round.
    rounds: how often the outline is found again. skip: every how manieth vertex is used.
    clothing: what the person wears.
    """

    outside_m: float = 0.007
    inside_m: float = 0.015
    reach_m: float = 0.08
    each_counts: float = 4.0
    edges: float = 0.5
    outlier_sd: float = 3.0
    rounds: int = 2
    skip: int = 8
    clothing: Clothing = "usual"


@dataclass(frozen=True, eq=False)
class Rim:
    """A posed body's outline in one mask.

    on: (V,) vertices on it. uv: (V, 2) pixels of the mask. way: (V, 2) outwards, of length 1.
    """

    on: BoolArray
    uv: FloatArray
    way: FloatArray


@dataclass(frozen=True, eq=False)
class Skin:
    """The body's mesh as outlines need it.

    body: of V vertices. vertex: (K,) those that may be evidence. bare: (V,) those of trunk, arms
    and legs.
    """

    body: BodyModel
    vertex: IntArray
    bare: BoolArray

    @classmethod
    def of(cls, body: BodyModel, skip: int) -> Skin:
        """Every `skip`-th vertex of trunk, arms and legs."""
        share = (body.skin_weights * body.below(_LEFT_OUT)[body.skin_joints]).sum(axis=1)
        bare = (share < 0.5) & np.isin(np.arange(len(share)), body.faces)
        return cls(body, np.flatnonzero(bare)[::skip], bare)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"skin {v}" for v in self.vertex)

    @cached_property
    def around(self) -> csr_array:
        """(V, F) which triangles are around each vertex."""
        F = len(self.body.faces)
        rows = self.body.faces.ravel(), np.repeat(np.arange(F), 3)
        return csr_array((np.ones(3 * F), rows), (len(self.body.vertices), F))

    def rim(self, camera: Camera, mesh: FloatArray, to_mask: FloatArray, side: int) -> Rim:
        """The outline of a posed mesh (V, 3): vertices with triangles that face the camera and
        triangles that face away, where the body itself is not behind."""
        local = mesh @ camera.R.T + camera.t
        a, b, c = (local[corner] for corner in self.body.faces.T)
        normal = so3.cross(b - a, c - a)
        front = (normal * a).sum(axis=1) < 0
        count = np.asarray(self.around @ front.astype(np.float64))
        whole = np.asarray(self.around.sum(axis=1))
        depth = np.maximum(local[:, 2:], 1e-3)
        plane = local[:, :2] / depth
        uv = plane @ to_mask[:, :2].T + to_mask[:, 2]
        outward = np.asarray(self.around @ normal)
        way = (outward[:, :2] - plane * outward[:, 2:]) @ to_mask[:, :2].T
        way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-12)
        covered = self._covered(uv, side)
        rim = (count > 0) & (count < whole) & (local[:, 2] > 0)
        return Rim(rim & ~_at(covered, (uv + _PROBE * way) / 2 - 0.25, True), uv, way)

    def _covered(self, uv: FloatArray, side: int) -> BoolArray:
        """(S/2, S/2) where the body is in a mask: vertices and middles of triangles, closed (a
        triangle is about as large as one of these pixels)."""
        middle = (
            uv[self.body.faces[:, 0]] + uv[self.body.faces[:, 1]] + uv[self.body.faces[:, 2]]
        ) / 3
        at = np.floor((np.concatenate([uv, middle]) + 0.5) / 2).astype(np.int64)
        half = side // 2
        at = at[((at >= 0) & (at < half)).all(axis=1)]
        out = np.zeros((half, half), np.uint8)
        out[at[:, 1], at[:, 0]] = 1
        return np.asarray(cv2.morphologyEx(out, cv2.MORPH_CLOSE, np.ones((3, 3), np.uint8)) > 0)


@dataclass(frozen=True, eq=False)
class Matches:
    """What belongs together in one picture.

    outline, edge: how many points there are of the outline and of the edge. near: (K,) outline
    points with an edge in reach. line: (K, 3) as of `MaskEdge`, of those to which points of the
    edge belong; count: (K,) how many. missed: outline points without an edge in reach, and points
    of the edge without an outline.
    """

    outline: int
    edge: int
    near: BoolArray
    line: FloatArray
    count: FloatArray
    missed: tuple[int, int]


def matched(
    skin: Skin, rim: Rim, distance: NDArray[np.float32], ignored: BoolArray, reach: float
) -> Matches:
    """distance, ignored: (S, S) of one mask; reach: pixels of it.

    (Leaving out edges beside parts of the mask that are beyond reach of the body, a chair's,
    changed the waists of four people by 1 mm.)
    """
    side, K = len(distance), len(skin.vertex)
    on = rim.on[skin.vertex] & ~_at(ignored, rim.uv[skin.vertex], True)
    x, y = np.clip(np.round(rim.uv[skin.vertex]).astype(np.int64), 0, side - 1).T
    near = on & (np.abs(distance[y, x]) < reach)
    edge, normal = _edge(distance, ignored)
    line, count, lone = np.zeros((K, 3)), np.zeros(K), 0
    every, used = np.flatnonzero(rim.on), np.flatnonzero(on)
    if len(used) and len(edge):
        away, nearest = cKDTree(rim.uv[every]).query(edge)
        v = every[nearest]
        bare, fits = skin.bare[v], (rim.way[v] * normal).sum(axis=1) > _SAME_WAY
        fits &= away < reach
        lone = int((bare & ~fits).sum())
        v, edge, normal = v[bare & fits], edge[bare & fits], normal[bare & fits]
        # The vertex that is moved is another one, which should move by as much.
        _, mine = cKDTree(rim.uv[skin.vertex[used]]).query(rim.uv[v])
        k = used[mine]
        np.add.at(count, k, 1)
        there = edge + rim.uv[skin.vertex[k]] - rim.uv[v]
        lines = np.column_stack([normal, -(normal * there).sum(axis=1)])
        np.add.at(line, k, lines / count[k, None])
    missed = int((on & ~near).sum()), lone
    return Matches(int(on.sum()), lone + int(count.sum()), near, line, count, missed)


def _edge(distance: NDArray[np.float32], ignored: BoolArray) -> tuple[FloatArray, FloatArray]:
    """(E, 2) pixels on a mask's edge and (E, 2) outwards there."""
    dv, du = np.gradient(distance.astype(np.float64), axis=(0, 1))
    slope = np.stack([du, dv], axis=-1)
    steep = np.linalg.norm(slope, axis=-1)  # 1, and less where two edges are equally near
    y, x = np.nonzero((np.abs(distance) < 0.5) & (steep > 0.5) & ~ignored)
    y, x = y[::_EDGE_SKIP], x[::_EDGE_SKIP]
    normal = slope[y, x] / steep[y, x, None]
    return np.column_stack([x, y]) - distance[y, x, None] * normal, normal


def _at(picture: BoolArray, uv: FloatArray, beyond: bool) -> BoolArray:
    """(K,) the picture's values at pixels (K, 2)."""
    at = np.round(uv).astype(np.int64)
    inside = ((at >= 0) & (at < picture.shape[0])).all(axis=1)
    x, y = np.where(inside[:, None], at, 0).T
    return np.asarray(np.where(inside, picture[y, x], beyond))
