"""The rows of `kinefit.synth.pairs`: their arrays, and reading a folder of them.

The names are those of published training samples of Part Orientation Fields.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.io.arrays import read_npz
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray, InputError

# Name -> shape of a row, meaning; 17 points of coco17, 33 of blazepose33. "Unit torso": from the
# middle of the hips, in lengths of the torso (mid-hip to mid-shoulder).
FIELDS: Mapping[str, tuple[tuple[int, ...], str]] = {
    "pose_2d": ((17, 2), "pixels, detected; NaN where the person was missed"),
    "projected_2d": ((17, 2), "pixels, true"),
    "ground_truth": ((17, 3), "true, camera axes, unit torso"),
    "corrupted": ((17, 3), "the detector's own 3D, camera axes, of its own unit torso"),
    "visibility": ((17,), "0..1, the detector's; 0 where the person was missed"),
    "camera_R": ((3, 3), "rotation, world (Y up) to camera"),
    "gt_scale": ((), "metres, true length of the torso"),
    "detected_33": ((33, 2), "pixels"),
    "score_33": ((33,), "0..1"),
    "world_33": ((33, 3), "metres, camera axes, from the mid-hip: the detector's own 3D"),
    "true_33": ((33, 2), "pixels; NaN for points that the body lacks"),
    "xyz_33": ((33, 3), "metres, camera axes, from the camera"),
    "sight_33": ((33,), "codes of kinefit.synth.truth.Visibility"),
    "K": ((3, 3), "intrinsics, pixels"),
    "size": ((2,), "width, height of the picture"),
    "stature_m": ((), "metres, standing"),
    "scene": ((), "number of the scene: rows of one scene share body, clothes and room"),
}
_COCO = skeleton("coco17")


def unit_torso(xyz: FloatArray) -> tuple[FloatArray, float]:
    """(17, 3) points of coco17 from the mid-hip in torso lengths, and that length, metres."""
    hips, shoulders = (
        xyz[[_COCO.points.index(side + what) for side in "LR"]].mean(axis=0)
        for what in ("Hip", "Shoulder")
    )
    length = float(np.linalg.norm(shoulders - hips))
    return (xyz - hips) / length, length


def read_pairs(folder: Path) -> dict[str, NDArray[Any]]:
    """All rows of a folder's shards, the arrays of `FIELDS`.

    Raises InputError when there are none, when one is damaged, and for shards of different options.
    """
    files = sorted(folder.glob("pairs_*.npz"))
    if not files:
        raise InputError(folder, "holds no pairs", "make them: kinefit synth pairs --out FOLDER")
    parts = [_read_shard(file) for file in files]
    if len({str(part["key"]) for part in parts}) > 1:
        raise InputError(
            folder,
            "holds pairs of different options",
            "delete the older ones",
        )
    return {name: np.concatenate([part[name] for part in parts]) for name in FIELDS}


def _read_shard(file: Path) -> dict[str, NDArray[Any]]:
    stored, hint = read_npz(file), "delete it, make it again"
    lacking = [name for name in (*FIELDS, "key") if name not in stored]
    if lacking:
        raise InputError(file, f"is no shard of pairs: it lacks {lacking[0]}", hint)
    count = stored["pose_2d"].shape[:1]
    for name, (shape, _) in FIELDS.items():
        if stored[name].shape != (*count, *shape) or stored[name].dtype.kind not in "fiu":
            raise InputError(file, f"is no shard of pairs: its {name} has another shape", hint)
    return stored
