"""The rows that `kinefit.synth.pairs` makes: what each array is, and reading a folder of them.

The arrays have the names that training samples of Part Orientation Fields go by.
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

# Name -> meaning; N rows, 17 points of coco17, 33 of blazepose33. Camera axes; "unit torso": from
# the middle of the hips, in lengths of the torso (mid-hip to mid-shoulder).
FIELDS: Mapping[str, str] = {
    "pose_2d": "(N, 17, 2) pixels, detected; NaN where nobody was",
    "projected_2d": "(N, 17, 2) pixels, true",
    "ground_truth": "(N, 17, 3) true, camera axes, unit torso",
    "corrupted": "(N, 17, 3) the detector's own 3D, camera axes, of its own unit torso",
    "visibility": "(N, 17) 0..1, the detector's; 0 where nobody was detected",
    "camera_R": "(N, 3, 3) rotation, world (Y up) to camera",
    "gt_scale": "(N,) metres, true length of the torso",
    "detected_33": "(N, 33, 2) pixels",
    "score_33": "(N, 33) 0..1",
    "world_33": "(N, 33, 3) metres, camera axes, from the mid-hip: the detector's own 3D",
    "true_33": "(N, 33, 2) pixels; NaN for points that the body has no place for",
    "xyz_33": "(N, 33, 3) metres, camera axes, from the camera",
    "sight_33": "(N, 33) what is seen of each point: kinefit.synth.truth.Sight",
    "K": "(N, 3, 3) intrinsics, pixels",
    "size": "(N, 2) width, height of the picture",
    "stature_m": "(N,) metres, standing",
    "scene": "(N,) number of the scene: rows of one scene share body, clothes and room",
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

    Raises InputError when there are none, or one is damaged.
    """
    files = sorted(folder.glob("pairs_*.npz"))
    if not files:
        raise InputError(folder, "holds no pairs", "make them: kinefit synth pairs --out FOLDER")
    parts = []
    for file in files:
        stored = read_npz(file)
        lacking = [name for name in FIELDS if name not in stored]
        if lacking or len({len(stored[name]) for name in FIELDS}) != 1:
            reason = f"lacks {lacking[0]}" if lacking else "has arrays of different lengths"
            raise InputError(file, f"is no shard of pairs: it {reason}", "delete it, make it again")
        parts.append(stored)
    return {name: np.concatenate([part[name] for part in parts]) for name in FIELDS}
