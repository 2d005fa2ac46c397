"""Girths from masks: the shape and the poses of a few frames, with the outline as evidence.

Keypoints say how long limbs are and little of how thick. Frames with masks are fitted once more
with the keypoints that they have and with the skin's outline at the edge of the mask. Which skin is
on the outline follows from the body as it stands, so outline and fit alternate.

Heads, hands and feet are left out: hair, caps and shoes are not the body's, and fingers are too
thin for masks. Clothes are outside of the skin: a body that sticks out of its mask is wrong, one
that is some centimetres inside may be dressed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.body.clothes import CLOTHES, with_clothes
from kinefit.body.model import BodyModel
from kinefit.fit.recipes.outline import SilhouetteOptions, Skin, matched
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, cost, minimise
from kinefit.fit.solver.silhouette import MaskEdge, Silhouette
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import NEAR, Objective
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

_BORDER_PX = 2.0  # of the picture: an edge there is not the person's

# Metres: root mean square error of rendered adults on Anny, of one camera and of several
# (docs/measurements/girths.md).
GIRTH_ERROR_M = {
    False: {"chest": 0.07, "waist": 0.073, "hip": 0.079, "thigh": 0.05},
    True: {"chest": 0.025, "waist": 0.042, "hip": 0.041, "thigh": 0.031},
}
FEWEST_PICTURES = 4  # with an edge near the body, for girths to be told


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


def outline_rows(data: Observations, most: int = 12) -> IntArray:
    """(N,) the frames of which masks are asked: those with most keypoints, spread over the clip."""
    seen = data.seen.any(axis=1).sum(axis=1)
    good = np.flatnonzero(seen >= 0.8 * np.median(seen[seen > 0])) if seen.any() else np.arange(0)
    picked = np.linspace(0, len(good) - 1, min(len(good), most))
    return np.asarray(good[np.round(picked).astype(np.int64)])


def outline_terms(
    skin: Skin, rig: CameraRig, outlines: Outlines, meshes: FloatArray, columns: IntArray,
    options: SilhouetteOptions,
) -> tuple[Silhouette, MaskEdge, float]:  # fmt: skip
    """The terms for bodies as they stand: meshes (N, V, 3) metres; columns (K,) of the skin's
    vertices in the chain.

    And half the cost of what has no counterpart within reach, of the outline and of the edges: each
    costs as much as at the end of the reach, so that a body which misses its masks is not the
    cheaper one.
    """
    N, C, side, _ = outlines.distance.shape
    K, one_way = len(columns), 1 - options.edges
    weight, weight_back = np.zeros((N, C, K)), np.zeros((N, C, K))
    metre, line, missed = np.ones((N, C)), np.zeros((N, C, K, 3)), 0.0
    for n, c in zip(*np.nonzero(outlines.weight > 0), strict=True):
        camera, to = rig.cameras[c], outlines.to_mask[n, c]
        depth = float((camera.R @ meshes[n].mean(axis=0) + camera.t)[2])
        metre[n, c] = max(depth, NEAR) / np.sqrt(abs(np.linalg.det(to[:, :2])))
        reach = options.reach_m / metre[n, c]
        rim = skin.rim(camera, meshes[n], to, side)
        found = matched(skin, rim, outlines.distance[n, c], outlines.ignored[n, c], reach)
        sure = outlines.weight[n, c]
        share = one_way * sure * min(1.0, options.each_counts / max(found.outline, 1))
        weight[n, c] = share * found.near
        line[n, c] = found.line
        of_edge = options.edges * sure * min(1.0, options.each_counts / max(found.edge, 1))
        weight_back[n, c] = of_edge * found.count
        missed += share * found.missed[0] + of_edge * found.missed[1]
    kernel = Cauchy(options.outlier_sd)
    worst = kernel.rho(np.array((options.reach_m / options.inside_m) ** 2))
    sd = options.outside_m, options.inside_m
    out = Silhouette(
        rig, columns, weight.reshape(N, -1), outlines.to_mask, metre, *sd, kernel=kernel,
        distance=outlines.distance,
    )  # fmt: skip
    back = MaskEdge(
        rig, columns, weight_back.reshape(N, -1), outlines.to_mask, metre, *sd, kernel=kernel,
        line=line,
    )  # fmt: skip
    return out, back, missed * float(worst) / 2


@dataclass(frozen=True, eq=False)
class OutlineFit:
    """state: poses, shape without clothes, offsets. value: of the objective; infinite where no
    edge was near the body. used: (C,) pictures of each camera in which one was."""

    state: State
    value: float
    used: IntArray


# Of a body with clothes and of names of its points: the chain, and everything else to be weighed.
Problem = Callable[[BodyModel, tuple[str, ...]], tuple[Chain, Objective]]


def fit_outlines(
    body: BodyModel, problem: Problem, start: State, rig: CameraRig, outlines: Outlines,
    offsets: tuple[int, ...], options: SilhouetteOptions, steps: Options,
) -> OutlineFit | None:  # fmt: skip
    """Poses, shape and offsets of the keypoints with outlines as evidence; None where fewer
    pictures than `FEWEST_PICTURES` have an edge near the body.

    start: N poses, of the frames of the outlines. Of `ShapeSpace.alternatives` the best. (Eight
    dressed people, four cameras, waist: 12.4 cm off without masks, 3.8 from between the sexes, 1.8
    with the better of two, which was theirs in all.)
    """
    skin, found = Skin.of(body, options.skip), []
    for space in body.shape.alternatives():
        dressed = with_clothes(
            replace(body, shape=space), skin.vertex, skin.names, options.clothing
        )
        chain, objective = problem(dressed, skin.names)
        found.append(_fitted(skin, chain, objective, start, rig, outlines, offsets, options, steps))
    best = min(found, key=lambda one: one.value)
    return best if best.used.sum() >= min(FEWEST_PICTURES, outlines.weight.size) else None


def _fitted(
    skin: Skin, chain: Chain, objective: Objective, start: State, rig: CameraRig,
    outlines: Outlines, offsets: tuple[int, ...], options: SilhouetteOptions, steps: Options,
) -> OutlineFit:  # fmt: skip
    """Of one shape space. objective: everything else, for N frames."""
    S, clothes = len(skin.body.shape.names), chain.shape.neutral[-len(CLOTHES) :]
    offset = np.zeros((len(chain.point_names), 3))
    offset[: len(start.offset)] = start.offset
    state = replace(start, shape=np.append(start.shape, clothes), offset=offset)
    columns = np.array([chain.column(name) for name in skin.names])
    variables = Variables.poses(chain, "shared", offsets)

    def outlined(state: State) -> tuple[Objective, Silhouette, float]:
        rotations = state.body_rotations(chain)
        meshes = skin.body.posed_vertices(rotations, state.translation, state.shape[:S])
        out, back, missed = outline_terms(skin, rig, outlines, meshes, columns, options)
        return replace(objective, points=(*objective.points, out, back)), out, missed

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
