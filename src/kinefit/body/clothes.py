"""Clothes as part of a body's shape: how far they stand off the skin, region by region.

A mask shows clothes, not skin, and a centimetre of cloth is six of a waist. So a fit to outlines
has five more parameters of shape: metres that cloth adds to the outline of trunk, pelvis and
thighs, forearms, shins. They move copies of some vertices along the skin's normal and nothing else:
keypoints, stature and the mesh stay those of the body. What tells cloth from girth: a heavier body
has hardly thicker wrists and ankles, and is no wider all around by the same amount.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from kinefit.body.model import BodyModel, ShapeSpace
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray, IntArray
from kinefit.types.subject import Clothing

# Metres that cloth adds to the outline everywhere, and what regions differ by: those in tight
# trousers seldom wear wide shirts.
CLOTHES = ("clothes", "clothes_trunk", "clothes_thighs", "clothes_forearms", "clothes_shins")


@dataclass(frozen=True)
class _Cloth:
    """Metres: the mean of `CLOTHES` and its standard deviation."""

    usual: tuple[float, ...]
    spread: tuple[float, ...]


# Tight: bare skin or sportswear. (For hoods and skirts, 15 mm with regions that differ by 10 was
# no better on four such people: waist 5.0 cm off instead of 3.1, hip 7.4 instead of 7.8.)
_CLOTHING: dict[Clothing, _Cloth] = {
    "tight": _Cloth((0.001, 0.0, 0.0, 0.0, 0.0), (0.001, *[0.0005] * 4)),
    "usual": _Cloth((0.006, 0.001, 0.001, -0.002, -0.002), (0.003, *[0.001] * 4)),
}
_LEAST_M, _MOST_M = (0.0, *[-0.03] * 4), (0.05, *[0.03] * 4)

_TRUNK, _THIGHS, _FOREARMS, _SHINS = range(4)
_SUMS = np.column_stack([np.ones(4), np.eye(4)])  # (regions, parameters)
_REGION_OF = {
    "Pelvis": _THIGHS, "Spine1": _TRUNK,
    **{side + name: region for side in "LR"
       for name, region in (("Hip", _THIGHS), ("Knee", _SHINS), ("Elbow", _FOREARMS))},
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class DressedShape(ShapeSpace):
    """A body's shape parameters, followed by those of `CLOTHES`. A region's coefficient is the sum
    of the first and of its own."""

    body: ShapeSpace

    def coefficients(self, shape: FloatArray) -> FloatArray:
        bare, clothes = np.split(shape, [len(self.body.names)], axis=-1)
        return np.concatenate([self.body.coefficients(bare), clothes @ _SUMS.T], axis=-1)

    def jacobian(self, shape: FloatArray) -> FloatArray:
        bare = self.body.jacobian(shape[..., : len(self.body.names)])
        (R, n), (C, S) = _SUMS.shape, bare.shape[-2:]
        out = np.zeros((*bare.shape[:-2], C + R, S + n))
        out[..., :C, :S], out[..., C:, S:] = bare, _SUMS
        return out


def with_clothes(
    body: BodyModel, vertex: IntArray, names: tuple[str, ...], clothing: Clothing = "usual"
) -> BodyModel:
    """The body with keypoints `names` (K,): its vertices `vertex` (K,) with clothes on."""
    dirs = np.zeros((len(_SUMS), len(vertex), 3))
    region = _regions(body)[vertex]
    dirs[region, np.arange(len(vertex))] = _normals(body)[vertex]
    C, V, n = len(body.joint_dirs), len(body.vertices), len(_SUMS)
    spread = np.zeros((C + n, V + len(vertex), 3))
    spread[:C, :V], spread[:C, V:], spread[C:, V:] = (
        body.vertex_dirs,
        body.vertex_dirs[:, vertex],
        dirs,
    )
    own = {name: (np.array([V + k]), np.ones(1)) for k, name in enumerate(names)}
    return replace(
        body,
        joint_dirs=np.concatenate([body.joint_dirs, np.zeros((n, *body.joints.shape))]),
        vertices=np.concatenate([body.vertices, body.vertices[vertex]]),
        vertex_dirs=spread,
        skin_joints=np.concatenate([body.skin_joints, body.skin_joints[vertex]]),
        skin_weights=np.concatenate([body.skin_weights, body.skin_weights[vertex]]),
        shape=_dressed(body.shape, _CLOTHING[clothing]),
        regressors={**body.regressors, **own},
        pose_dirs=None,
    )  # fmt: skip


def _dressed(space: ShapeSpace, cloth: _Cloth) -> DressedShape:
    return DressedShape(
        (*space.names, *CLOTHES),
        np.append(space.neutral, cloth.usual),
        np.append(space.spread, cloth.spread),
        np.append(space.lower, _LEAST_M),
        np.append(space.upper, _MOST_M),
        space,
    )


def _regions(body: BodyModel) -> IntArray:
    """(V,) region (trunk, thighs, forearms, shins) of each vertex."""
    of_joint = {body.joint_names.index(body.anatomy[a]): r for a, r in _REGION_OF.items()
                if a in body.anatomy}  # fmt: skip
    region = np.full(len(body.parents), _THIGHS)
    for b, parent in enumerate(body.parents):
        region[b] = of_joint.get(b, region[parent] if b else _THIGHS)
    return np.asarray(region[body.owner])


def _normals(body: BodyModel) -> FloatArray:
    """(V, 3) outward unit normals of the neutral body at rest."""
    rest = np.asarray(body.rest_vertices(body.shape.neutral), np.float64)
    a, b, c = (rest[corner] for corner in body.faces.T)
    total, across = np.zeros(rest.shape), so3.cross(b - a, c - a)
    for corner in body.faces.T:
        np.add.at(total, corner, across)
    return np.asarray(so3.unit(total))
