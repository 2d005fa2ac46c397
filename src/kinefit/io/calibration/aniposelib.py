"""A TOML table per camera at the top level: aniposelib, and Pose2Sim, which borrowed the layout.

Pose2Sim's files are told by what only they have together: four distortion values for every camera
(its writer drops k3), `fisheye = false` for every camera, and `[metadata] adjusted = false,
error = 0.0`. Only they have a vertical: Pose2Sim's world is Z up.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kinefit.io.calibration.model import Content, Stated
from kinefit.io.calibration.tables import flag, metadata, number, units_of, unposed, vertical, word
from kinefit.types import InputError

# Top-level tables that are no cameras (besides them, Pose2Sim takes every table for one).
NOT_CAMERAS = frozenset({"metadata", "capture_volume", "charuco", "checkerboard", "calibration"})


def camera_tables(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The top-level tables that describe a camera."""
    return {
        key: value
        for key, value in table.items()
        if key not in NOT_CAMERAS and isinstance(value, dict) and "matrix" in value
    }


def wrote_pose2sim(table: dict[str, Any]) -> bool:
    """Whether a file of this layout is Pose2Sim's."""
    document = metadata(table)
    if "layout" in document:  # kinefit's own
        return bool(document["layout"] == "pose2sim")
    return (
        document.get("adjusted") is False
        and document.get("error") == 0
        and all(
            isinstance(c.get("distortions"), list)
            and len(c["distortions"]) == 4
            and c.get("fisheye") is False
            for c in camera_tables(table).values()
        )
    )


def read_aniposelib(path: Path, table: dict[str, Any]) -> Content:
    """Cameras of aniposelib or of Caliscope's export to it; the vertical is not known.

    A camera is called what its `name` says, else as its table. Raises InputError.
    """
    document = metadata(table)
    units, why, known = units_of(
        path, document, "m", "which the format does not say (aniposelib keeps its board's unit)"
    )
    up, up_why = vertical(path, document, None, "")
    cameras, notes = _cameras(path, table, own_name=True)
    return Content("aniposelib", cameras, units, why, known, up, up_why, notes)


def read_pose2sim(path: Path, table: dict[str, Any]) -> Content:
    """Cameras of Pose2Sim: metres, Z up, called as their tables. Raises InputError."""
    document = metadata(table)
    units, why, known = units_of(path, document, "m", "as Pose2Sim writes them")
    up, up_why = vertical(path, document, "z", "as Pose2Sim's world is")
    cameras, notes = _cameras(path, table, own_name=False)
    return Content("pose2sim", cameras, units, why, known, up, up_why, notes)


def _cameras(
    path: Path, table: dict[str, Any], *, own_name: bool
) -> tuple[tuple[Stated, ...], tuple[str, ...]]:
    """The posed cameras, and notes of those left out."""
    tables = camera_tables(table)
    if not tables:
        raise InputError(path, "has no table with a camera matrix", "name a calibration file")
    left = [key for key, camera in tables.items() if unposed(camera)]
    cameras = (_camera(path, k, c, own_name) for k, c in tables.items() if k not in left)
    return tuple(cameras), tuple(f"camera {key} left out: it has no pose" for key in left)


def _camera(path: Path, key: str, camera: dict[str, Any], own_name: bool) -> Stated:
    return Stated(
        name=word(path, camera, "name", key) if own_name else key,
        size=camera.get("size"),
        K=camera["matrix"],
        distortion=camera.get("distortions"),
        R=camera.get("rotation"),
        t=camera.get("translation"),
        fisheye=flag(path, key, camera, "fisheye"),
        residual=number(path, key, camera, "error"),
    )
