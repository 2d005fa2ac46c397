"""EasyMocap's pair `intri.yml` and `extri.yml`: K_01, dist_01, and R_01 (vector), Rot_01, T_01."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kinefit.io.calibration.model import Content, Stated
from kinefit.io.calibration.storage import read_storage
from kinefit.types import InputError

FILES = ("intri.yml", "extri.yml")
_POSE, _CAMERA = "Rot_", "K_"


def read_easymocap(path: Path) -> Content:
    """Cameras of the pair, named as in `names`; `path` is its folder or either file.

    The files rarely hold the image size (W_01, H_01): it is then to come from the videos. Raises
    InputError naming the file and camera.
    """
    folder = path if path.is_dir() else path.parent
    inner, outer = (read_storage(folder / name) for name in FILES)
    names = [key.removeprefix(_CAMERA) for key in inner if key.startswith(_CAMERA)]
    if not names:
        raise InputError(folder / FILES[0], "has no camera matrix K_...", "write it again")
    posed = [n for n in names if f"T_{n}" in outer and {f"{_POSE}{n}", f"R_{n}"} & set(outer)]
    left = [name for name in names if name not in posed]
    notes = [f"camera {name} left out: {FILES[1]} has no pose of it" for name in left]
    cameras = [_camera(name, inner, outer) for name in posed]
    return Content("easymocap", cameras, notes, "m", "as EasyMocap writes them")


def _camera(name: str, inner: dict[str, Any], outer: dict[str, Any]) -> Stated:
    width, height = inner.get(f"W_{name}"), inner.get(f"H_{name}")
    return Stated(
        name=name,
        size=None if width is None or height is None else [width, height],
        K=inner[f"{_CAMERA}{name}"],
        distortion=inner.get(f"dist_{name}", inner.get(f"D_{name}")),
        R=outer.get(f"{_POSE}{name}", outer.get(f"R_{name}")),
        t=outer[f"T_{name}"],
    )
