"""Girths from masks: the shape and the poses of a few frames, with the outline as evidence.

Keypoints say how long limbs are and little of how thick. Frames with masks are fitted once more
with the keypoints that they have and with the skin's outline at the edge of the mask. Which skin is
on the outline follows from the body as it stands, so outline and fit alternate.

Heads, hands and feet are left out: hair, caps and shoes are not the body's, and fingers are too
thin for masks. Clothes are outside of the skin: a body that sticks out of its mask is wrong, one
that is some centimetres inside may be dressed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from kinefit.body.clothes import CLOTHES
from kinefit.body.model import BodyModel
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, cost, minimise
from kinefit.fit.solver.silhouette import Silhouette
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import NEAR, Objective
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project, undistort
from kinefit.geometry.robust import Cauchy
from kinefit.types import (
    BoolArray,
    Camera,
    CameraRig,
    FloatArray,
    IntArray,
    Observations,
    PersonMasks,
)

_LEFT_OUT = ("Neck", "LWrist", "RWrist", "LAnkle", "RAnkle")  # and what is beyond
_PROBE = 3.0  # pixels of a mask, outwards from an outline point: there the body itself is not
_BORDER_PX = 2.0  # of the picture: an edge there is not the person's

# Metres: root mean square error of rendered adults on Anny, of one camera and of several
# (docs/measurements/girths.md).
GIRTH_ERROR_M = {
    False: {"chest": 0.063, "waist": 0.07, "hip": 0.076, "thigh": 0.043},
    True: {"chest": 0.023, "waist": 0.036, "hip": 0.051, "thigh": 0.039},
}
FEWEST_PICTURES = 4  # with an edge near the body, for girths to be told


@dataclass(frozen=True)
class SilhouetteOptions:
    """outside_m, inside_m: as of `Silhouette`. reach_m: an edge that is farther away is another
    one (something hides the person, a limb is not where it is thought).
    each_counts: as how many independent points the outline in one picture counts: what is wrong
    with a mask or with clothes is wrong all along a limb.
    rounds: how often the outline is found again. skip: every how manieth vertex is used.
    """

    outside_m: float = 0.007
    inside_m: float = 0.015
    reach_m: float = 0.08
    each_counts: float = 12.0
    outlier_sd: float = 3.0
    rounds: int = 2
    skip: int = 8


@dataclass(frozen=True, eq=False)
class MaskedView:
    """One camera's masks in the frames of `Outlines`.

    index: (N,) which mask is that of each frame; -1 where there is none. ignored: (M, S, S) True
    where an edge of each of the M masks says nothing of the body: heads.
    """

    masks: PersonMasks
    index: IntArray
    ignored: BoolArray | None = None


@dataclass(frozen=True, eq=False)
class Outlines:
    """Masks as what a fit needs: N frames, C cameras.

    row: (N,) which frames of the observations these are. distance, to_mask: as of `Silhouette`.
    weight: (N, C) how sure each mask is; 0 without one.
    ignored: (N, C, S, S) True where an edge says nothing of the body (heads, borders).
    """

    row: IntArray
    distance: NDArray[np.float32]
    to_mask: FloatArray
    weight: FloatArray
    ignored: BoolArray

    @classmethod
    def of(cls, row: IntArray, rig: CameraRig, views: Mapping[str, MaskedView]) -> Outlines:
        """One `MaskedView` of N frames for each camera of the rig, by name."""
        parts = [_one_camera(camera, views[camera.name]) for camera in rig]
        distance, to_mask, weight, off = (np.stack(p, axis=1) for p in zip(*parts, strict=True))
        return cls(row, distance, to_mask, weight, off)

    @property
    def usable(self) -> bool:
        return bool((self.weight > 0).any())


def _one_camera(
    camera: Camera, view: MaskedView
) -> tuple[NDArray[np.float32], FloatArray, FloatArray, BoolArray]:
    """Distances (N, S, S), `to_mask` (N, 2, 3), weights (N,) and what to ignore (N, S, S)."""
    masks, n, side = view.masks, len(view.index), view.masks.grey.shape[-1]
    weight = np.zeros(n)
    weight[view.index >= 0] = masks.confidence[view.index[view.index >= 0]]
    distance, off = np.zeros((n, side, side), np.float32), np.ones((n, side, side), bool)
    to_mask = np.zeros((n, 2, 3))
    for k in np.flatnonzero(weight > 0):
        m = view.index[k]
        into, grey = masks.into[m], masks.grey[m]
        hidden = np.zeros(grey.shape, np.uint8)
        if view.ignored is not None:
            hidden[view.ignored[m]] = 1
        to_plane = _to_plane(camera, into, side)
        pixels = _grid(side) @ into[:, :2].T + into[:, 2]
        if camera.bends:
            pixels = _through_lens(camera, to_plane, side)
            back = cv2.invertAffineTransform(into)
            u, v = np.moveaxis((pixels @ back[:, :2].T + back[:, 2]).astype(np.float32), -1, 0)
            grey = cv2.remap(grey, u, v, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
            hidden = cv2.remap(hidden, u, v, cv2.INTER_NEAREST)
        distance[k] = signed_distance(grey)
        to_mask[k] = cv2.invertAffineTransform(to_plane)
        inside = (pixels >= _BORDER_PX) & (pixels <= np.array(masks.size) - 1 - _BORDER_PX)
        off[k] = _without_basis(distance[k], (hidden > 0) | ~inside.all(axis=-1))
    return distance, to_mask, weight, off


def _without_basis(distance: NDArray[np.float32], ignored: BoolArray) -> BoolArray:
    """(S, S) what is ignored, and all from where the nearest edge is one that is."""
    edge = ignored & (np.abs(distance) < 1)
    if not edge.any():
        return ignored
    to_it = cv2.distanceTransform((~edge).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(ignored | (to_it <= np.abs(distance) + 1))


def _grid(side: int) -> FloatArray:
    """(S, S, 2) u, v of each pixel of a mask."""
    v, u = np.mgrid[:side, :side]
    return np.stack([u, v], axis=-1).astype(np.float64)


def _to_plane(camera: Camera, into: FloatArray, side: int) -> FloatArray:
    """(2, 3) from pixels of a mask without the lens's distortion to the plane z = 1: with a lens,
    the mask's middle is kept."""
    K = camera.K[:2]
    to_plane = np.linalg.inv(K[:, :2]) @ (into - np.column_stack([np.zeros((2, 2)), K[:, 2]]))
    middle = np.array([(side - 1) / 2, (side - 1) / 2, 1.0])
    if camera.bends:
        to_plane[:, 2] += undistort(camera, into @ middle) - to_plane @ middle
    return np.asarray(to_plane)


def _through_lens(camera: Camera, to_plane: FloatArray, side: int) -> FloatArray:
    """(S, S, 2) pixels of the frame where each pixel of a mask without the lens is."""
    plane = _grid(side) @ to_plane[:, :2].T + to_plane[:, 2]
    rays = np.concatenate([plane, np.ones((side, side, 1))], axis=-1)
    return project(camera, (rays - camera.t) @ camera.R)


def signed_distance(grey: NDArray[np.uint8]) -> NDArray[np.float32]:
    """(S, S) pixels to the edge of a mask (S, S), positive outside; edges between pixels count.

    The distance transform (Felzenszwalb & Huttenlocher 2012, Theory of Computing 8:415) of the
    mask at four times its size: an edge is then known to an eighth of a pixel.
    """
    side = grey.shape[0]
    fine = cv2.resize(grey, None, fx=_FINE, fy=_FINE, interpolation=cv2.INTER_LINEAR) >= 128
    away, within = (
        cv2.distanceTransform(part.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
        for part in (~fine, fine)
    )
    signed = np.where(fine, 0.5 - within, away - 0.5) / _FINE
    if not fine.any() or fine.all():
        signed = np.full(signed.shape, side if not fine.any() else -side, np.float32)
    return np.asarray(cv2.resize(signed, (side, side), interpolation=cv2.INTER_AREA), np.float32)


_FINE = 4


@dataclass(frozen=True, eq=False)
class Skin:
    """The body's mesh as outlines need it.

    body: of V vertices. vertex: (K,) those that may be evidence.
    """

    body: BodyModel
    vertex: IntArray

    @classmethod
    def of(cls, body: BodyModel, skip: int) -> Skin:
        """Every `skip`-th vertex of trunk, arms and legs."""
        share = (body.skin_weights * body.below(_LEFT_OUT)[body.skin_joints]).sum(axis=1)
        on_mesh = np.isin(np.arange(len(share)), body.faces)
        return cls(body, np.flatnonzero((share < 0.5) & on_mesh)[::skip])

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(f"skin {v}" for v in self.vertex)

    @cached_property
    def around(self) -> csr_array:
        """(V, F) which triangles are around each vertex."""
        F = len(self.body.faces)
        rows = self.body.faces.ravel(), np.repeat(np.arange(F), 3)
        return csr_array((np.ones(3 * F), rows), (len(self.body.vertices), F))

    def outline(
        self, camera: Camera, mesh: FloatArray, to_mask: FloatArray, side: int
    ) -> tuple[BoolArray, FloatArray]:
        """(K,) which vertices are on the outline of a posed mesh (V, 3), and (K, 2) where in the
        mask's pixels.

        Those with triangles that face the camera and triangles that face away, where the body
        itself is not behind.
        """
        local = mesh @ camera.R.T + camera.t
        a, b, c = (local[corner] for corner in self.body.faces.T)
        normal = so3.cross(b - a, c - a)
        front = (normal * a).sum(axis=1) < 0
        count = np.asarray(self.around @ front.astype(np.float64))
        whole = np.asarray(self.around.sum(axis=1))
        rim = ((count > 0) & (count < whole))[self.vertex] & (local[self.vertex, 2] > 0)
        depth = np.maximum(local[:, 2:], 1e-3)
        uv = local[:, :2] / depth @ to_mask[:, :2].T + to_mask[:, 2]
        outward = np.asarray(self.around @ normal)[self.vertex]
        plane = local[self.vertex, :2] / depth[self.vertex]
        way = (outward[:, :2] - plane * outward[:, 2:]) @ to_mask[:, :2].T
        way /= np.maximum(np.linalg.norm(way, axis=1, keepdims=True), 1e-12)
        probe = uv[self.vertex] + _PROBE * way
        return rim & ~_at(self._covered(uv, side), probe / 2 - 0.25, True), uv[self.vertex]

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


def outline_rows(data: Observations, most: int = 12) -> IntArray:
    """(N,) the frames of which masks are asked: those with most keypoints, spread over the clip."""
    seen = data.seen.any(axis=1).sum(axis=1)
    good = np.flatnonzero(seen >= 0.8 * np.median(seen[seen > 0])) if seen.any() else np.arange(0)
    picked = np.linspace(0, len(good) - 1, min(len(good), most))
    return np.asarray(good[np.round(picked).astype(np.int64)])


def _at(picture: BoolArray, uv: FloatArray, beyond: bool) -> BoolArray:
    """(K,) the picture's values at pixels (K, 2)."""
    at = np.round(uv).astype(np.int64)
    inside = ((at >= 0) & (at < picture.shape[0])).all(axis=1)
    x, y = np.where(inside[:, None], at, 0).T
    return np.asarray(np.where(inside, picture[y, x], beyond))


def outline_term(
    skin: Skin, rig: CameraRig, outlines: Outlines, meshes: FloatArray, columns: IntArray,
    options: SilhouetteOptions,
) -> tuple[Silhouette, float]:  # fmt: skip
    """The term for bodies as they stand: meshes (N, V, 3) metres; columns (K,) of the skin's
    vertices in the chain.

    And half the cost of the outline's points that no edge is within reach of: each costs as much
    as one at the end of the reach, so that a body which misses its masks is not the cheaper one.
    """
    N, C, side, _ = outlines.distance.shape
    weight, metre, missed = np.zeros((N, C, len(columns))), np.ones((N, C)), 0.0
    for n, c in zip(*np.nonzero(outlines.weight > 0), strict=True):
        camera, to = rig.cameras[c], outlines.to_mask[n, c]
        depth = float((camera.R @ meshes[n].mean(axis=0) + camera.t)[2])
        metre[n, c] = max(depth, NEAR) / np.sqrt(abs(np.linalg.det(to[:, :2])))
        on, uv = skin.outline(camera, meshes[n], to, side)
        on &= ~_at(outlines.ignored[n, c], uv, True)
        x, y = np.clip(np.round(uv).astype(np.int64), 0, side - 1).T
        near = np.abs(outlines.distance[n, c, y, x]) * metre[n, c] < options.reach_m
        share = outlines.weight[n, c] * min(1.0, options.each_counts / max(int(on.sum()), 1))
        weight[n, c] = share * (on & near)
        missed += share * int((on & ~near).sum())
    kernel = Cauchy(options.outlier_sd)
    worst = kernel.rho(np.array((options.reach_m / options.inside_m) ** 2))
    term = Silhouette(
        rig, columns, weight.reshape(N, -1), outlines.distance, outlines.to_mask, metre,
        options.outside_m, options.inside_m, kernel=kernel,
    )  # fmt: skip
    return term, missed * float(worst) / 2


@dataclass(frozen=True, eq=False)
class OutlineFit:
    """state: poses, shape without clothes, offsets. value: of the objective; infinite where no
    edge was near the body. used: (C,) pictures of each camera in which one was."""

    state: State
    value: float
    used: IntArray


def fit_outlines(
    skin: Skin, chain: Chain, objective: Objective, start: State, rig: CameraRig,
    outlines: Outlines, offsets: tuple[int, ...], options: SilhouetteOptions, steps: Options,
) -> OutlineFit:  # fmt: skip
    """Poses, the shape with its clothes, and offsets of the keypoints, with outlines as evidence.

    chain: of the body with clothes (`with_clothes`), with `skin.names` among its points.
    objective: everything else, for N frames. start: N poses, of a shape without clothes.
    """
    S, clothes = len(skin.body.shape.names), chain.shape.neutral[-len(CLOTHES) :]
    offset = np.zeros((len(chain.point_names), 3))
    offset[: len(start.offset)] = start.offset
    state = replace(start, shape=np.append(start.shape, clothes), offset=offset)
    columns = np.array([chain.column(name) for name in skin.names])
    variables = Variables.poses(chain, "shared", offsets)

    def outlined(state: State) -> tuple[Objective, Silhouette, float]:
        rotations = state.body_rotations(chain)
        meshes = skin.body.posed_vertices(rotations, state.translation, state.shape[:S])
        term, missed = outline_term(skin, rig, outlines, meshes, columns, options)
        return replace(objective, points=(*objective.points, term)), term, missed

    for _ in range(options.rounds):
        whole, term, _ = outlined(state)
        if term.weight.any():
            state = minimise(whole, variables, state, steps).state
    whole, term, missed = outlined(state)
    each, shared = cost(whole, chain, state)
    near = term.weight.reshape(*outlines.weight.shape, -1).any(axis=-1)
    value = float(each.sum()) + shared + missed if near.any() else np.inf
    bare = replace(state, shape=state.shape[:S], offset=state.offset[: len(start.offset)])
    return OutlineFit(bare, value, near.sum(axis=0))
