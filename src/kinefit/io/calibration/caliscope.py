"""Caliscope's `camera_array.toml`: tables [cameras.N], videos called cam_N.mp4."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kinefit.io.calibration.model import Content, Stated
from kinefit.io.calibration.tables import flag, metadata, number, units_of, unposed, vertical, word
from kinefit.types import InputError


def is_caliscope(table: dict[str, Any]) -> bool:
    """Whether a TOML document is laid out as Caliscope's own."""
    cameras = table.get("cameras")
    return isinstance(cameras, dict) and all(isinstance(c, dict) for c in cameras.values())


def read_caliscope(path: Path, table: dict[str, Any]) -> Content:
    """The posed cameras of the file; cameras without a pose and ignored ones are left out.

    Rotations are vectors, or matrices in older files. Raises InputError for another layout.
    """
    if not is_caliscope(table):
        raise InputError(path, "has no [cameras.N] tables", "name Caliscope's camera_array.toml")
    cameras, notes = [], []
    for key, camera in table["cameras"].items():
        name = word(path, camera, "name", key if key.startswith("cam") else f"cam_{key}")
        if flag(path, name, camera, "ignore"):
            notes.append(f"camera {name} left out: marked as ignored")
        elif unposed(camera):
            notes.append(f"camera {name} left out: it has no pose")
        else:
            cameras.append(_camera(path, name, camera))
            turns = number(path, name, camera, "rotation_count")
            if turns is not None and turns % 4 != 0:
                notes.append(
                    f"camera {name} as its video is stored: the {turns:g} quarter turns for "
                    "display are left aside"
                )
    document = metadata(table)
    units, units_why, known = units_of(path, document, "m", "as Caliscope writes them")
    up, why = vertical(path, document, None, "")
    return Content(
        format="caliscope",
        cameras=tuple(cameras),
        units=units,
        units_why=units_why,
        units_known=known,
        up=up,
        up_why=why,
        notes=tuple(notes),
    )


def _camera(path: Path, name: str, camera: dict[str, Any]) -> Stated:
    return Stated(
        name=name,
        size=camera.get("size"),
        K=camera.get("matrix"),
        distortion=camera.get("distortions"),
        R=camera.get("rotation"),
        t=camera.get("translation"),
        fisheye=flag(path, name, camera, "fisheye"),
        residual=number(path, name, camera, "error"),
    )
