"""Outputs of SAM 3D Body and plain arrays of points, by camera: `.npz` and `.npy`.

A folder holds, for each camera by its exact name, either one file (`cam1.npz`, one picture: frame
0) or a folder with one file per frame, numbered by the last number of its name
(`cam1/img_000012.npy`). A file is an array (J, 2) or (N, J, 2) of one or N persons (a third
number per point is its score), or what SAM 3D Body's estimator returns, with such an array under
`pred_keypoints_2d`: an archive, a dict, or a list of dicts, one per person. Pickled dicts are
read by `kinefit.io.restricted_pickle`, which runs nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.io.arrays import read_npy, read_npz
from kinefit.io.people import People
from kinefit.io.pose_json import numbered
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray, InputError

KEY = "pred_keypoints_2d"
SUFFIXES = (".npz", ".npy")
_BY_COUNT = {
    len(skeleton(name).points): name
    for name in ("coco17", "body25", "halpe26", "blazepose33", "mhr46", "mhr70")
}
_MOST_PERSONS = 1000
_LARGEST = 1e6  # pixels; no image is that wide


def read_sam3d(path: Path, cameras: Sequence[str]) -> dict[str, People]:
    """Everybody in the files of each of `cameras` that has any, coordinates as they are written.

    Points are named by their number (70: mhr70, 46: mhr46, 17: coco17, ...); sets that are not
    known are called point0, point1, ... Scores are 1 where the file has none.

    Raises InputError naming the file, and where names of cameras and files do not fit, with both.
    """
    found = {}
    for camera, entry in match_cameras(path, cameras, SUFFIXES).items():
        frames = frames_of(entry)
        found[camera] = _people(entry, {f: read_persons(file) for f, file in frames.items()})
    if len({people.names for people in found.values()}) > 1:
        counts = ", ".join(f"{c}: {len(p.names)}" for c, p in found.items())
        reason = f"the cameras have different numbers of points ({counts})"
        raise InputError(path, reason, "give the points of one model")
    return found


def match_cameras(
    folder: Path, cameras: Sequence[str], suffixes: Sequence[str], endings: Sequence[str] = ("",)
) -> dict[str, Path]:
    """The file or folder of each camera: its name, exactly, and one of `suffixes` or `endings`.

    Never the nearest name: `cam1` and `cam10_old.npy` are two things. Other entries are left
    alone as long as every camera has its own.

    Raises InputError, with the names on both sides, when a camera has none but some entry has
    another name, when a camera has two, and when fewer than two cameras have any.
    """
    entries = sorted(e for e in folder.iterdir() if e.is_dir() or e.suffix.lower() in suffixes)
    found: dict[str, Path] = {}
    others = []
    for entry in entries:
        name = entry.name if entry.is_dir() else entry.name[: -len(entry.suffix)]
        stems = {name.removesuffix(ending) for ending in endings if name.endswith(ending)}
        camera = next((c for c in cameras if c in stems), None)
        if camera is None:
            others.append(entry.name)
        elif camera in found:
            reason = f"{found[camera].name} and {entry.name} are both of {camera}"
            raise InputError(folder, reason, "keep one")
        else:
            found[camera] = entry
    missing = [camera for camera in cameras if camera not in found]
    if len(found) == 1 < len(cameras) and not others:
        reason = f"it has points of camera {next(iter(found))} only"
        raise InputError(folder, reason, "name the folder that holds one entry for every camera")
    if (missing and others) or len(found) < min(2, len(cameras)):
        reason = f"nothing in it is named like camera {', '.join(missing)}"
        hint = "name files or folders exactly like the cameras of the calibration"
        raise InputError(folder, f"{reason}; it has {', '.join(others) or 'nothing else'}", hint)
    return found


def read_persons(path: Path) -> FloatArray:
    """(N, J, 3) x, y, score of one file; NaN where a point is missing. Raises InputError."""
    if path.suffix.lower() == ".npz":
        several = tuple(f"person{i}/{KEY}" for i in range(_MOST_PERSONS))  # as sam3d_outputs writes
        arrays = read_npz(path, only=(KEY, *several)) or read_npz(path)
        if several[0] in arrays:
            return _of_value(path, [arrays[name] for name in several if name in arrays])
        if KEY not in arrays and len(arrays) != 1:
            names = ", ".join(sorted(arrays)[:8]) or "none"
            raise InputError(path, f"it has no array {KEY!r} (but {names})", "check the file")
        return _of_value(path, arrays.get(KEY, next(iter(arrays.values()), None)))
    return _of_value(path, read_npy(path))


def _of_value(path: Path, value: Any) -> FloatArray:
    """Persons in an array, a dict, or a sequence of either."""
    if isinstance(value, np.ndarray) and value.dtype == object:
        value = value.item() if value.ndim == 0 else value.ravel().tolist()
    if isinstance(value, dict):
        if KEY not in value:
            names = ", ".join(str(k)[:30] for k in list(value)[:8])
            raise InputError(path, f"it has no {KEY!r} (but {names})", "check the file")
        return _of_value(path, value[KEY])
    if isinstance(value, list | tuple):
        if not value:  # nobody was found
            return np.empty((0, 0, 3))
        persons = [_of_value(path, one) for one in value[: _MOST_PERSONS + 1]]
        if len({p.shape[1:] for p in persons}) > 1:
            raise InputError(path, "its persons have different points", "use one model")
        return _checked(path, np.concatenate(persons))
    return _checked(path, value)


def _checked(path: Path, value: Any) -> FloatArray:
    """(N, J, 3) from (J, 2 or 3) or (N, J, 2 or 3)."""
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "iuf":
        raise InputError(path, "its points are not an array of numbers", "check the file")
    if value.ndim not in (2, 3) or value.shape[-1] not in (2, 3) or not value.shape[-2]:
        reason = f"its points have shape {value.shape}"
        raise InputError(path, reason, "expected (J, 2) or (N, J, 2)")
    points = value.astype(np.float64).reshape(-1, *value.shape[-2:])
    if len(points) > _MOST_PERSONS:
        hint = "keep one file per frame: the first axis counts persons"
        raise InputError(path, f"it has {len(points)} persons in one picture", hint)
    if np.isinf(points).any() or (np.abs(points) > _LARGEST).any():
        raise InputError(path, "it has a coordinate beyond 1,000,000", "the file is damaged")
    if points.shape[-1] == 2:
        points = np.concatenate([points, np.ones_like(points[..., :1])], axis=-1)
    points[..., 2] = points[..., 2].clip(0, 1)
    missing = np.isnan(points).any(axis=-1) | (points[..., 2] == 0)
    points[missing] = np.nan
    return points


def frames_of(entry: Path) -> dict[int, Path]:
    """Frame number -> file."""
    if not entry.is_dir():
        return {0: entry}
    files = numbered(entry, sorted(f for f in entry.iterdir() if f.suffix.lower() in SUFFIXES))
    if not files:
        raise InputError(entry, "the folder has no .npz or .npy file", "check the folder")
    return files


def _people(entry: Path, frames: dict[int, FloatArray]) -> People:
    counts = {points.shape[1]: frame for frame, points in frames.items() if len(points)}
    if len(counts) != 1:
        said = ", ".join(f"{n} in frame {f}" for n, f in counts.items())
        reason = f"the number of points changes ({said})" if counts else "nobody is in any file"
        raise InputError(entry, reason, "give the points of one model")
    (count,) = counts
    order, known = sorted(frames), _BY_COUNT.get(count)
    names = skeleton(known).points if known else tuple(f"point{j}" for j in range(count))
    return People(names, np.array(order), tuple(frames[f].reshape(-1, count, 3) for f in order))


def described(names: Iterable[str]) -> str:
    """What a set of points was taken for, in words."""
    names = tuple(names)
    known = _BY_COUNT.get(len(names))
    if known and skeleton(known).points == names:
        return f"{len(names)} points per person were taken for {known}."
    return f"{len(names)} points per person are not a known set; they are named by their numbers."
