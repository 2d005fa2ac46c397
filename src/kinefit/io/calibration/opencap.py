"""OpenCap's `cameraIntrinsicsExtrinsics.pickle`, one per camera, through the restricted reader."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kinefit.io.calibration.assemble import flat_numbers
from kinefit.io.calibration.model import Content, Stated
from kinefit.io.restricted_pickle import read_pickle
from kinefit.types import InputError

MAX_BYTES = 2**20  # a real one has under a kilobyte
_STEM = "cameraIntrinsicsExtrinsics"
_NEEDED = ("intrinsicMat", "rotation", "translation")


def opencap_files(folder: Path) -> tuple[Path, ...]:
    """The pickles of a session: in the folder, in Cam0, Cam1, ... or in Videos/Cam0, ..."""
    for pattern in ("*.pickle", f"*/{_STEM}.pickle", f"Videos/*/{_STEM}.pickle"):
        if found := sorted(folder.glob(pattern)):
            return tuple(found)
    return ()


def read_opencap(path: Path, files: tuple[Path, ...]) -> Content:
    """A camera per file, called as its folder (Cam0) or, where named otherwise, as the file.

    Raises InputError naming the file.
    """
    notes: list[str] = ["image size stored as (height, width), as OpenCap writes it"]
    cameras = [_camera(file, notes) for file in files]
    why = "of OpenCap's checkerboard, hung upright: its y axis points down"
    return Content("opencap", cameras, notes, "mm", "as OpenCap writes them", up="-y", up_why=why)


def _camera(file: Path, notes: list[str]) -> Stated:
    values = read_pickle(file, max_bytes=MAX_BYTES)
    if not isinstance(values, dict) or any(key not in values for key in _NEEDED):
        reason = f"is not OpenCap's: it needs {', '.join(_NEEDED)}"
        raise InputError(file, reason, "take the file from the session's Videos/CamN folder")
    name = file.parent.name if file.stem.startswith(_STEM) else file.stem
    return Stated(
        name=name or file.stem,
        size=_size(name, values, notes),
        K=values["intrinsicMat"],
        distortion=values.get("distortion"),
        R=values["rotation"],
        t=values["translation"],
    )


def _size(name: str, values: dict[Any, Any], notes: list[str]) -> Any:
    """(width, height); turned round where the principal point fits only the other order."""
    size, K = (flat_numbers(values.get(key)) for key in ("imageSize", "intrinsicMat"))
    if size is None or len(size) != 2 or not (size > 0).all() or K is None or len(K) != 9:
        return None
    width, height = size[::-1]
    if _central(K, width, height) or not _central(K, height, width):
        return [width, height]
    notes.append(f"image size of camera {name} is (width, height): its principal point says so")
    return [height, width]


def _central(K: np.ndarray[Any, Any], width: float, height: float) -> bool:
    """Whether the principal point is in the middle half of the image."""
    x, y = K[2] / width, K[5] / height
    return bool(0.25 < x < 0.75 and 0.25 < y < 0.75)
