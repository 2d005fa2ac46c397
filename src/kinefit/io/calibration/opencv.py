"""Cameras in OpenCV's FileStorage, in the layouts that people write.

There is no standard, so names are understood in any case and with or without underscores:

- camera matrix: K, M, camera_matrix, intrinsic_matrix, intrinsics, mtx; or f (fx, fy) and c (cx,
  cy), as Human3.6M's tools write them, or fx, fy, cx, cy; so are four numbers
- distortion: D, dist, dist_coeffs, distortion, distortion_coefficients; k, where it is not nine
  numbers; k (k1, k2, k3) with p (p1, p2)
- pose, world to camera: R, Rot, rotation, rotation_matrix (matrix or vector), rvec; T, tvec,
  translation, translation_vector; or both in 3 x 4 or 4 x 4 numbers: extrinsics, Rt, world2cam, w2c
- image: image_width and image_height, width and height, image_size, size, resolution
- fisheye: true or 1; distortion_model or model: fisheye or equidistant

One camera in a file (named `name` or `camera_name`, else as the file); several files of one camera
in a folder; one map per camera, also in a list of cameras that have names (CMU Panoptic); or names
with a number, K1 or K_01. A stereo pair as OpenCV's own example writes it (M1, D1, M2, D2 and one
R, T) has camera 1 at the origin. In OpenPose's files CameraMatrix is the pose (R|t).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.io.calibration.assemble import flat_numbers
from kinefit.io.calibration.model import Content, Stated
from kinefit.io.calibration.other_programs import (
    is_kalibr,
    is_mccalib,
    is_panoptic,
    read_kalibr,
    read_mccalib,
    read_panoptic,
)
from kinefit.io.calibration.storage import read_storage
from kinefit.types import FloatArray, InputError

_ALIASES = {
    "K": ("k", "m", "cameramatrix", "intrinsicmatrix", "intrinsics", "intrinsic", "mtx"),
    "distortion": (
        *("d", "dist", "distcoeffs", "distcoef", "distortion"),
        *("distortioncoefficients", "distortioncoeffs"),
    ),
    "R": ("rot", "r", "rotation", "rotationmatrix", "rvec", "rotationvector"),
    "t": ("t", "tvec", "translation", "translationvector"),
    "size": ("imagesize", "imgsize", "size", "resolution"),
    "width": ("imagewidth", "width", "w"),
    "height": ("imageheight", "height", "h"),
    "f": ("f", "focallength", "focallengths"),
    "c": ("c", "principalpoint"),
    "fx": ("fx",),
    "fy": ("fy",),
    "cx": ("cx",),
    "cy": ("cy",),
    "p": ("p", "tangential"),
    "Rt": ("extrinsics", "extrinsic", "extrinsicmatrix", "rt", "world2cam", "world2camera", "w2c"),
    "fisheye": ("fisheye",),
    "model": ("distortionmodel", "cameramodel", "model"),
    "name": ("name", "cameraname"),
}
_MEANING = {alias: meaning for meaning, aliases in _ALIASES.items() for alias in aliases}
_NUMBERED = re.compile(r"^(.*?[A-Za-z])[_-]?(\d+)$")
_RADIAL = (2, 3, 4, 5, 8, 12, 14)  # numbers of distortion coefficients; a matrix has nine
_RECTIFIED = {"p1", "p2", "q"}  # beside these, R1 and R2 rectify pictures and are no poses
_HINT = "write camera_matrix, distortion_coefficients, R, T and image_size of each camera as YAML"
Fields = dict[str, Any]


def read_opencv(path: Path, files: tuple[Path, ...]) -> Content:
    """The cameras of one file or of several of one camera each.

    Raises InputError naming the file for a camera without matrix, and where none has a pose.
    """
    cameras: list[Stated] = []
    notes: list[str] = []
    unposed: list[InputError] = []
    for file in files:
        values = read_storage(file)
        if len(files) == 1 and (reader := _other_program(values)):
            return reader(file, values)
        try:
            cameras += _cameras(file, values, notes)
        except _Unposed as error:
            unposed.append(error)
            notes.append(f"{error.reason.partition(' has ')[0]} left out: it has no pose")
    if unposed and not cameras:
        raise unposed[0]
    return Content("opencv", cameras, notes, "m", "which the format does not say")


class _Unposed(InputError):
    """A camera that has a matrix and no pose."""


def _other_program(values: Fields) -> Callable[[Path, Fields], Content] | None:
    """The reader of another program's layout, if the values are in it."""
    for is_its, read in (
        (is_kalibr, read_kalibr), (is_mccalib, read_mccalib), (is_panoptic, read_panoptic)
    ):  # fmt: skip
        if is_its(values):
            return read
    return None


def _cameras(file: Path, values: Fields, notes: list[str]) -> list[Stated]:
    single = _fields(values)
    common = {k: v for k, v in single.items() if k in ("size", "width", "height")}
    if "K" in single:
        name = single.get("name")
        named = name if isinstance(name, str) and name else file.name.split(".")[0]
        return [_stated(file, named, single)]
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


def _fields(values: Mapping[str, Any]) -> Fields:
    """The values under the names of `_ALIASES`; of two for one thing, the first listed there."""
    found: Fields = {}
    rank: dict[str, int] = {}
    for key, value in values.items():
        plain = re.sub(r"[_\- ]", "", key.lower())
        meaning = _MEANING.get(plain)
        if meaning is None or value is None or isinstance(value, dict):
            continue
        size = 0 if (flat := flat_numbers(value)) is None else flat.size
        if (meaning == "K" and size == 12) or (meaning == "Rt" and size in (12, 16)):
            pose = _three_by_four(np.asarray(flat))
            found |= {"R": pose[:, :3], "t": pose[:, 3]}
            continue
        if plain == "k" and size in _RADIAL:  # Human3.6M's tools, Blender's, COLMAP's
            meaning, place = "distortion", len(_MEANING) - 1
        elif meaning != "Rt":
            place = _ALIASES[meaning].index(plain)
        else:
            continue
        if place < rank.get(meaning, len(_MEANING)):
            found[meaning], rank[meaning] = value, place
    return _composed(found)


def _three_by_four(flat: FloatArray) -> FloatArray:
    """(3, 4) of 12 or 16 numbers; where the last column of 4 x 4 is 0 0 0 1, and the last row is
    not (as with no translation), columns were written one after the other."""
    if flat.size == 12:
        return flat.reshape(3, 4)
    whole = flat.reshape(4, 4)
    last = [0, 0, 0, 1]
    by_columns = np.array_equal(whole[:, 3], last) and not np.array_equal(whole[3], last)
    return (whole.T if by_columns else whole)[:3]


def _composed(found: Fields) -> Fields:
    """The camera matrix from focal lengths and principal point, five coefficients from k and p."""
    for pair in ("f", "c"):
        if pair not in found and {f"{pair}x", f"{pair}y"} <= set(found):
            found[pair] = [found[f"{pair}x"], found[f"{pair}y"]]
    f, c, K = (flat_numbers(found.get(key)) for key in ("f", "c", "K"))
    if "K" not in found and f is not None and c is not None and c.size == 2 and f.size in (1, 2):
        found["K"] = np.array([[f[0], 0, c[0]], [0, f[-1], c[1]], [0, 0, 1]])
    elif K is not None and K.size == 4:
        found["K"] = np.array([[K[0], 0, K[2]], [0, K[1], K[3]], [0, 0, 1]])
    k, p = flat_numbers(found.get("distortion")), flat_numbers(found.get("p"))
    if k is not None and p is not None and p.size == 2 and k.size in (2, 3):
        found["distortion"] = [*k[:2], *p, *k[2:]]
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
        raise _Unposed(file, reason, "save its pose too (R and T)")
    size = fields.get("size")
    if size is None and "width" in fields and "height" in fields:
        size = [fields["width"], fields["height"]]
    K, lens, R, t = (fields.get(key) for key in ("K", "distortion", "R", "t"))
    fisheye = fields.get("fisheye", 0) in (1, 1.0, "true", "True")
    model = str(fields.get("model", "")).lower()
    return Stated(name, size, K, lens, R, t, fisheye or model in ("fisheye", "equidistant"))
