"""Hair, headwear and skirts as meshes of their own, which the body's joints carry.

Every piece is a closed surface of rings: from a pole at its top, ring below ring, to a pole at its
bottom. Parts of it that should not be seen run inside the body.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.types import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, eq=False)
class Piece:
    """Something worn.

    rest: (V, 3) metres, on the body at rest. faces: (F, 3), counter-clockwise from outside.
    carried: joint name -> (V,) its share of each vertex; they sum to 1. part: of `kinefit.synth.
    look`. on_head: (F,) whether it counts as hair or headwear.
    """

    rest: FloatArray
    faces: IntArray
    carried: Mapping[str, FloatArray]
    part: int
    on_head: BoolArray

    def skin(self, body: BodyModel) -> tuple[IntArray, FloatArray]:
        """(V, W) joints that carry each vertex, and their shares, as those of the body's skin."""
        shape = len(self.rest), body.skin_joints.shape[1]
        joints, weights = np.zeros(shape, np.int64), np.zeros(shape)
        for column, (name, share) in enumerate(self.carried.items()):
            joints[:, column], weights[:, column] = body.joint_names.index(name), share
        return joints, weights

    def face_joints(self, body: BodyModel) -> IntArray:
        """(F,) the joint that carries each triangle's first corner most."""
        return main_joints(*self.skin(body))[self.faces[:, 0]]


def main_joints(joints: IntArray, weights: FloatArray) -> IntArray:
    """(V,) of the joints (V, W) that carry each vertex the one with the largest weight."""
    return np.asarray(joints[np.arange(len(joints)), weights.argmax(axis=1)])


def with_pieces(body: BodyModel, pieces: Sequence[Piece]) -> BodyModel:
    """`body` of one shape (`BodyModel.fixed`) with the vertices of the pieces after its own, to be
    posed together; its faces stay."""
    if not pieces:
        return body
    skins = [piece.skin(body) for piece in pieces]
    vertices = np.concatenate([body.vertices, *(piece.rest for piece in pieces)])
    return replace(
        body,
        vertices=vertices,
        vertex_dirs=np.zeros((0, len(vertices), 3)),
        skin_joints=np.concatenate([body.skin_joints, *(joints for joints, _ in skins)]),
        skin_weights=np.concatenate([body.skin_weights, *(weights for _, weights in skins)]),
    )


def azimuths(count: int) -> FloatArray:
    """(count,) radians around a ring: 0 in front (+Z), growing to the person's left (+X)."""
    return np.linspace(-np.pi, np.pi, count, endpoint=False)


def directions(polar: FloatArray, around: int) -> FloatArray:
    """(R, N, 3) unit vectors at angles `polar` (R,) from upwards, radians, and all azimuths."""
    phi, angle = azimuths(around), polar[:, None]
    parts = np.sin(angle) * np.sin(phi), np.cos(angle), np.sin(angle) * np.cos(phi)
    return np.stack(np.broadcast_arrays(*parts), axis=-1)


def closed(
    rings: FloatArray, top: FloatArray | None = None, bottom: FloatArray | None = None
) -> tuple[FloatArray, IntArray]:
    """Vertices (2 + R N, 3) and faces of the closed surface of rings (R, N, 3), in metres.

    The rings go down or outwards, their points as `azimuths`. top, bottom: (3,) the poles (None:
    the middle of the first and last ring).
    """
    rows, around = rings.shape[:2]
    first = rings[0].mean(axis=0) if top is None else top
    last = rings[-1].mean(axis=0) if bottom is None else bottom
    at = np.concatenate([first[None], rings.reshape(-1, 3), last[None]])
    grid = 1 + np.arange(rows * around).reshape(rows, around)
    a, b = grid[:-1], grid[1:]
    c, d = np.roll(b, -1, axis=1), np.roll(a, -1, axis=1)
    sides = np.concatenate([np.stack([a, b, c], axis=-1), np.stack([a, c, d], axis=-1)])
    begin, end = grid[0], grid[-1]
    zero = np.zeros_like(begin)
    caps = (
        np.stack([zero, begin, np.roll(begin, -1)], axis=-1),
        np.stack([zero + len(at) - 1, np.roll(end, -1), end], axis=-1),
    )
    return at, np.concatenate([sides.reshape(-1, 3), *caps])


def smooth_step(x: FloatArray) -> FloatArray:
    """0 below 0, 1 above 1, smooth between."""
    x = np.clip(x, 0, 1)
    return np.asarray(x * x * (3 - 2 * x))
