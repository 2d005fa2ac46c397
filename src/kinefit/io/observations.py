"""Observations as a NumPy archive of plain arrays: what a fit can start from again.

The arrays have the names of `kinefit.types.Observations`, besides

    format                "kinefit observations 1"
    frame, time_s         (T,) frame numbers and seconds
    camera_*              (C, ...) name, size, K, R, t, fisheye, and distortion: coefficients with
                          zeros up to 8, then how many there are

`covariance` and `stature_m` are there where they are known.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from kinefit.io.arrays import read_needed, save_npz
from kinefit.io.text import refused_as_input
from kinefit.types import Camera, CameraRig, InputError, InvalidData, Observations, Timeline

FORMAT = "kinefit observations 1"
_ARRAYS = ("xy", "sigma", "xyz", "directions", "direction_sd", "contact")
_CAMERA = ("camera_name", "camera_size", "camera_K", "camera_R", "camera_t",
           "camera_distortion", "camera_fisheye")  # fmt: skip
_NEEDED = ("format", "frame", "time_s", "names", *_ARRAYS, "limbs", "contact_names", "gravity_sd",
           "focal_sd", *_CAMERA)  # fmt: skip
_LENS = 8  # coefficients that a lens has at most
_HINT = "observe the person again"


def save_observations(path: str | Path, found: Observations) -> None:
    """Write `found`, atomically; every number comes back as it was."""
    cameras = tuple(found.rig)
    lenses = np.zeros((len(cameras), _LENS + 1))
    for row, camera in zip(lenses, cameras, strict=True):
        row[: len(camera.distortion)], row[-1] = camera.distortion, len(camera.distortion)
    arrays: dict[str, Any] = {name: getattr(found, name) for name in _ARRAYS}
    arrays |= {
        "format": np.array(FORMAT),
        "frame": found.timeline.frame,
        "time_s": found.timeline.time,
        "names": np.array(found.names, dtype=np.str_),
        "limbs": np.array(found.limbs, dtype=np.str_).reshape(-1, 2),
        "contact_names": np.array(found.contact_names, dtype=np.str_),
        "gravity_sd": np.array(found.gravity_sd),
        "focal_sd": np.array(found.focal_sd),
        "camera_name": np.array([c.name for c in cameras], dtype=np.str_),
        "camera_size": np.array([c.size for c in cameras], dtype=np.int64).reshape(-1, 2),
        "camera_K": np.array([c.K for c in cameras]).reshape(-1, 3, 3),
        "camera_R": np.array([c.R for c in cameras]).reshape(-1, 3, 3),
        "camera_t": np.array([c.t for c in cameras]).reshape(-1, 3),
        "camera_distortion": lenses,
        "camera_fisheye": np.array([c.fisheye for c in cameras], dtype=np.bool_),
    }
    if found.covariance is not None:
        arrays["covariance"] = found.covariance
    if found.stature_m is not None:
        arrays["stature_m"] = np.array(found.stature_m)
    save_npz(Path(path), **arrays)


def load_observations(path: str | Path) -> Observations:
    """What `save_observations` wrote.

    Raises InputError for another format or version, for arrays that are missing or of the wrong
    kind or shape, and for what `Observations` and `Camera` refuse.
    """
    path = Path(path)
    stored = read_needed(path, _NEEDED, _HINT, ("covariance", "stature_m"))
    if str(stored["format"]) != FORMAT:
        raise InputError(path, f"its format is {stored['format']!s}, not {FORMAT!r}", _HINT)
    stature = stored.get("stature_m")
    with refused_as_input(path, _HINT, (InvalidData, TypeError, ValueError, IndexError)):
        return Observations(
            timeline=Timeline(stored["frame"], stored["time_s"]),
            rig=_rig([stored[name].tolist() for name in _CAMERA]),
            names=tuple(stored["names"].tolist()),
            covariance=stored.get("covariance"),
            limbs=tuple((str(a), str(b)) for a, b in stored["limbs"].tolist()),
            contact_names=tuple(stored["contact_names"].tolist()),
            gravity_sd=float(stored["gravity_sd"]),
            focal_sd=float(stored["focal_sd"]),
            stature_m=None if stature is None else float(stature),
            **{name: stored[name] for name in _ARRAYS},
        )


def _rig(columns: list[list[Any]]) -> CameraRig:
    return CameraRig(
        tuple(
            Camera(
                str(name), (int(size[0]), int(size[1])), np.array(K), np.array(R), np.array(t),
                np.array(lens[: int(lens[-1])]), bool(fisheye),
            )
            for name, size, K, R, t, lens, fisheye in zip(*columns, strict=True)
        )
    )  # fmt: skip
