"""Calibrations in TOML: Caliscope's `camera_array.toml`, aniposelib's and Pose2Sim's layout.

Caliscope has tables [cameras.N], whose videos are called cam_N.mp4. aniposelib has a table per
camera at the top level, and Pose2Sim borrowed that layout. Its files are told by what only they
have together: four distortion values for every camera (its writer drops k3), `fisheye = false` for
every camera, and `[metadata] adjusted = false, error = 0.0`. Only they have a vertical: Z.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

from kinefit.io.calibration.assemble import flat_numbers
from kinefit.io.calibration.model import AXES, METRES, Axis, Content, Stated, Unit
from kinefit.types import Finding, InputError

_SMALLEST_SQUARE_MM = 5.0  # of a board; in centimetres or metres it would be a wall
# Top-level tables that are no cameras (besides them, Pose2Sim takes every table for one).
NOT_CAMERAS = frozenset({"metadata", "capture_volume", "charuco", "checkerboard", "calibration"})


def is_caliscope(table: dict[str, Any]) -> bool:
    """Whether a TOML document is laid out as Caliscope's own."""
    cameras = table.get("cameras")
    return isinstance(cameras, dict) and all(isinstance(c, dict) for c in cameras.values())


def camera_tables(table: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The top-level tables that describe a camera, as in aniposelib."""
    return {
        key: value
        for key, value in table.items()
        if key not in NOT_CAMERAS and isinstance(value, dict) and "matrix" in value
    }


def wrote_pose2sim(table: dict[str, Any]) -> bool:
    """Whether a file of aniposelib's layout is Pose2Sim's."""
    document = _metadata(table)
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


def read_caliscope(path: Path, table: dict[str, Any]) -> Content:
    """The posed cameras of the file; cameras without a pose and ignored ones are left out.

    Rotations are vectors, or matrices in older files. Raises InputError for another layout.
    """
    if not is_caliscope(table):
        raise InputError(path, "has no [cameras.N] tables", "name Caliscope's camera_array.toml")
    cameras, notes = [], []
    for key, camera in table["cameras"].items():
        name = _text(path, camera, "name", key if key.startswith("cam") else f"cam_{key}")
        if _flag(path, name, camera, "ignore"):
            notes.append(f"camera {name} left out: marked as ignored")
        elif _unposed(camera):
            notes.append(_left_out(name))
        else:
            cameras.append(_camera(path, name, camera))
            turns = _number(path, name, camera, "rotation_count")
            if turns is not None and turns % 4 != 0:
                notes.append(
                    f"camera {name} as its video is stored: the {turns:g} quarter turns for "
                    "display are left aside"
                )
    return _content(path, table, "caliscope", cameras, notes, why="as Caliscope writes them")


def read_aniposelib(path: Path, table: dict[str, Any]) -> Content:
    """Cameras of aniposelib or of Caliscope's export to it; the vertical is not known.

    A camera is called what its `name` says, else as its table. Raises InputError.
    """
    why = "which the format does not say (aniposelib keeps its board's unit)"
    square = _metadata(table).get("charuco_square_size")
    if isinstance(square, (int, float)) and square >= _SMALLEST_SQUARE_MM:
        found = _content(path, table, "aniposelib", *_top_level(path, table, own_name=True), why="")
        why = f"as FreeMoCap writes them (squares of {square:g})"
        return found if found.units_known else replace(found, units="mm", units_why=why)
    return _content(path, table, "aniposelib", *_top_level(path, table, own_name=True), why=why)


def read_pose2sim(path: Path, table: dict[str, Any]) -> Content:
    """Cameras of Pose2Sim: metres, Z up, called as their tables. Raises InputError."""
    cameras, notes = _top_level(path, table, own_name=False)
    # Pose2Sim writes zeros where only the intrinsics were calibrated. One camera may be the world's
    # origin instead (others' tools write their reference so), several cannot be at one place.
    zeros = [c for c in cameras if _is_zero(c.R) and _is_zero(c.t)]
    findings = []
    if len(zeros) == 1 and len(cameras) > 1:
        findings = [_at_origin(zeros.pop().name)]
    found = [c for c in cameras if c not in zeros], [*notes, *(_left_out(c.name) for c in zeros)]
    up: tuple[Axis, str] = ("z", "as Pose2Sim's world is")
    why = "as Pose2Sim writes them"
    content = _content(path, table, "pose2sim", *found, why=why, up=up)
    return replace(content, findings=findings)


def _at_origin(name: str) -> Finding:
    return Finding(
        "caution",
        f"The pose of camera {name} is all zeros: it was taken for the camera at the world's "
        "origin.",
        meaning="If it is a camera without a pose instead (Pose2Sim writes zeros where only the "
        "intrinsics were calibrated), all points that it takes part in are wrong. If it is at the "
        "origin, the vertical is that camera's axis and not Z.",
        action="Leave its table out if it has no pose; name the vertical (--up) if it has.",
    )


def _top_level(
    path: Path, table: dict[str, Any], *, own_name: bool
) -> tuple[list[Stated], list[str]]:
    """The posed cameras, and notes of those left out."""
    tables = camera_tables(table)
    if not tables:
        raise InputError(path, "has no table with a camera matrix", "name a calibration file")
    posed = {key: camera for key, camera in tables.items() if not _unposed(camera)}
    names = {k: _text(path, c, "name", k) if own_name else k for k, c in posed.items()}
    cameras = [_camera(path, names[key], camera) for key, camera in posed.items()]
    return cameras, [_left_out(key) for key in tables if key not in posed]


def _camera(path: Path, name: str, camera: dict[str, Any]) -> Stated:
    keys = ("size", "matrix", "distortions", "rotation", "translation")
    size, K, lens, R, t = (camera.get(key) for key in keys)
    error = _number(path, name, camera, "error")
    return Stated(name, size, K, lens, R, t, _flag(path, name, camera, "fisheye"), error)


def _is_zero(value: Any) -> bool:
    numbers = flat_numbers(value)
    return numbers is not None and not numbers.any()


def _unposed(camera: dict[str, Any]) -> bool:
    """Whether a table says that its camera has no pose: none, or Caliscope's "null" for None."""
    pose = [camera.get(key) for key in ("rotation", "translation")]
    return any(part == "null" for part in pose) or pose == [None, None]


def _left_out(name: str) -> str:
    return f"camera {name} left out: it has no pose"


def _content(
    path: Path,
    table: dict[str, Any],
    layout: str,
    cameras: list[Stated],
    notes: list[str],
    *,
    why: str,
    up: tuple[Axis | None, str] = (None, ""),
) -> Content:
    """With the unit and the vertical that [metadata] names, else metres (`why`) and `up`."""
    document, stated = _metadata(table), "as its [metadata] says"
    units, axis = document.get("units"), document.get("up")
    if units not in (None, *METRES):
        raise InputError(path, f"[metadata] units is {units!r}", f"write {', '.join(METRES)}")
    if axis not in (None, *AXES):
        raise InputError(path, f"[metadata] up is {axis!r}", f"write one of {', '.join(AXES)}")
    unit: Unit = units or "m"
    said = axis or up[0], stated if axis else up[1]
    return Content(layout, cameras, notes, unit, stated if units else why, bool(units), *said)


def _metadata(table: dict[str, Any]) -> dict[str, Any]:
    """The table [metadata], empty where there is none."""
    found = table.get("metadata")
    return found if isinstance(found, dict) else {}


def _flag(path: Path, name: str, camera: dict[str, Any], key: str) -> bool:
    """A true or false, false where it is left out; raises InputError."""
    value = camera.get(key, False)
    if not isinstance(value, bool):
        raise InputError(path, f"camera {name}: {key} is {value!r}", "write true or false")
    return value


def _number(path: Path, name: str, camera: dict[str, Any], key: str) -> float | None:
    """A number, None where it is left out; raises InputError."""
    value = camera.get(key)
    if value is None or value == "null":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(path, f"camera {name}: {key} is {value!r}, no number", "correct it")
    return float(value) if math.isfinite(value) else None


def _text(path: Path, camera: dict[str, Any], key: str, default: str) -> str:
    """A text, `default` where it is left out; raises InputError."""
    value = camera.get(key, default)
    if not isinstance(value, str):
        raise InputError(path, f"camera {default}: {key} is {value!r}, no text", "quote it")
    return value
