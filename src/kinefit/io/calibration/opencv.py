"""Cameras in OpenCV's FileStorage, in the layouts that people write.

There is no standard, so names are understood in any case and with or without underscores:

- camera matrix: K, M, camera_matrix, intrinsic_matrix, intrinsics, mtx
- distortion: D, dist, dist_coeffs, distortion, distortion_coefficients
- pose, world to camera: R, Rot, rotation, rotation_matrix (matrix or vector), rvec; T, tvec,
  translation, translation_vector
- image: image_width and image_height, width and height, image_size, size, resolution
- fisheye: true or 1; distortion_model or model: fisheye or equidistant

One camera in a file (named `name` or `camera_name`, else as the file); several files of one camera
in a folder; one map per camera, also in a list of cameras that have names (CMU Panoptic); or names
with a number, K1 or K_01. A stereo pair as OpenCV's own example writes it (M1, D1, M2, D2 and one
R, T) has camera 1 at the origin. In OpenPose's files CameraMatrix is the pose (R|t).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.io.calibration.model import Content, Stated
from kinefit.io.calibration.storage import read_storage
from kinefit.types import InputError

_ALIASES = {
    "K": ("k", "m", "cameramatrix", "intrinsicmatrix", "intrinsics", "intrinsic", "mtx"),
    "distortion": (
        *("d", "dist", "distcoeffs", "distcoef", "distortion"),
        *("distortioncoefficients", "distortioncoeffs"),
    ),
    "R": ("rot", "r", "rotation", "rotationmatrix", "rvec", "rotationvector"),
    "t": ("t", "tvec", "translation", "translationvector"),
    "size": ("imagesize", "size", "resolution"),
    "width": ("imagewidth", "width", "w"),
    "height": ("imageheight", "height", "h"),
    "fisheye": ("fisheye",),
    "model": ("distortionmodel", "cameramodel", "model"),
    "name": ("name", "cameraname"),
}
_MEANING = {alias: meaning for meaning, aliases in _ALIASES.items() for alias in aliases}
_NUMBERED = re.compile(r"^(.*?[A-Za-z])[_-]?(\d+)$")
_RECTIFIED = {"p1", "p2", "q"}  # beside these, R1 and R2 rectify pictures and are no poses
# Names that only another program's files have.
_OTHERS = {"T_cn_cnm1": "Kalibr", "camera_pose_matrix": "MC-Calib"}
_HINT = "write camera_matrix, distortion_coefficients, R, T and image_size of each camera as YAML"
Fields = dict[str, Any]


def read_opencv(path: Path, files: tuple[Path, ...]) -> Content:
    """The cameras of one file or of several of one camera each.

    Raises InputError naming the file for a camera without matrix or pose.
    """
    cameras: list[Stated] = []
    notes: list[str] = []
    for file in files:
        cameras += _cameras(file, read_storage(file), notes)
    return Content("opencv", cameras, notes, "m", "which the format does not say")


def _cameras(file: Path, values: Fields, notes: list[str]) -> list[Stated]:
    single = _fields(values)
    common = {k: v for k, v in single.items() if k in ("size", "width", "height")}
    if "K" in single:
        name = single.get("name")
        named = name if isinstance(name, str) and name else file.name.split(".")[0]
        return [_stated(file, named, single)]
    for name, program in _OTHERS.items():
        if any(isinstance(v, dict) and name in v for v in values.values()):
            raise not_read(file, program)
    groups = _maps(values)
    if not groups:
        groups = _numbered(values)
        notes.append("cameras named by the numbers in the file's names")
        if _RECTIFIED & {key.lower() for key in values}:
            groups = {n: {k: v for k, v in g.items() if k != "R"} for n, g in groups.items()}
    if not groups:
        raise InputError(file, "has no camera matrix", _HINT)
    if len(groups) == 2 and "R" in single and "t" in single:
        groups = _stereo(groups, single, notes)
    posed = {n: common | g for n, g in groups.items() if "R" in g and "t" in g}
    notes += [f"camera {n} left out: it has no pose" for n in groups if n not in posed]
    return [_stated(file, name, group) for name, group in posed.items()]


def not_read(file: Path, program: str) -> InputError:
    """For a file that is known and not understood."""
    return InputError(file, f"is a calibration of {program}, which kinefit does not read", _HINT)


def _fields(values: Mapping[str, Any]) -> Fields:
    """The values under the names of `_ALIASES`; of two for one thing, the first listed there."""
    found: Fields = {}
    rank: dict[str, int] = {}
    for key, value in values.items():
        plain = re.sub(r"[_\- ]", "", key.lower())
        meaning = _MEANING.get(plain)
        if meaning is None or value is None or isinstance(value, dict):
            continue
        if plain == "cameramatrix" and isinstance(value, np.ndarray) and value.shape == (3, 4):
            found |= {"R": value[:, :3], "t": value[:, 3]}
            continue
        place = _ALIASES[meaning].index(plain)
        if place < rank.get(meaning, len(_MEANING)):
            found[meaning], rank[meaning] = value, place
    return found


def _maps(values: Mapping[str, Any]) -> dict[str, Fields]:
    """Layout of one map per camera, at the top or one level down (in `cameras`)."""
    inner = values.get("cameras")
    if isinstance(inner, list):
        inner = {str(c.get("name", i)): c for i, c in enumerate(inner) if isinstance(c, dict)}
    layers = (values, inner if isinstance(inner, dict) else {})
    maps = {k: _fields(v) for layer in layers for k, v in layer.items() if isinstance(v, dict)}
    return {name: found for name, found in maps.items() if "K" in found}


def _numbered(values: Mapping[str, Any]) -> dict[str, Fields]:
    """Layout of names with numbers: number -> fields."""
    groups: dict[str, dict[str, Any]] = {}
    for key, value in values.items():
        if match := _NUMBERED.match(key):
            groups.setdefault(match[2], {})[match[1]] = value
    found = {number: _fields(group) for number, group in groups.items()}
    return {number: fields for number, fields in found.items() if "K" in fields}


def _stereo(groups: dict[str, Fields], single: Fields, notes: list[str]) -> dict[str, Fields]:
    """Two cameras without poses of their own, and the pose of the second in the first's axes."""
    if any("R" in g and "t" in g for g in groups.values()):
        return groups
    first, second = groups
    notes.append(f"a stereo pair: camera {first} is the world, R and T lead from it to {second}")
    poses = {first: (np.eye(3), np.zeros(3)), second: (single["R"], single["t"])}
    return {name: groups[name] | {"R": R, "t": t} for name, (R, t) in poses.items()}


def _stated(file: Path, name: str, fields: Fields) -> Stated:
    missing = [what for what, key in (("rotation", "R"), ("translation", "t")) if key not in fields]
    if missing:
        reason = f"camera {name} has no {' and '.join(missing)}"
        raise InputError(file, reason, "save its pose too (R and T)")
    size = fields.get("size")
    if size is None and "width" in fields and "height" in fields:
        size = [fields["width"], fields["height"]]
    K, lens, R, t = (fields.get(key) for key in ("K", "distortion", "R", "t"))
    fisheye = fields.get("fisheye", 0) in (1, 1.0, "true", "True")
    model = str(fields.get("model", "")).lower()
    return Stated(name, size, K, lens, R, t, fisheye or model in ("fisheye", "equidistant"))
