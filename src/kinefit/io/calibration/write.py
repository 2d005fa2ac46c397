"""Rigs as TOML for Caliscope, aniposelib and Pose2Sim: every coefficient, to the last bit."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from kinefit.geometry.rotations import log
from kinefit.io.atomic import write_text
from kinefit.io.calibration.model import Axis, turn_to_y_up
from kinefit.io.calibration.toml_layouts import NOT_CAMERAS
from kinefit.types import Camera, CameraRig, InputError

Layout = Literal["caliscope", "aniposelib", "pose2sim"]
LAYOUTS: tuple[Layout, ...] = get_args(Layout)
_CONVENTION = (
    "x_cam = R x_world + t; camera axes x right, y down, z forward; rotation is a Rodrigues vector "
    "in radians; matrix and size (width, height) in pixels, pixel centres at integers; distortions "
    "in OpenCV's order"
)
_BARE = re.compile(r"[A-Za-z0-9_-]+")


def write_calibration(
    path: str | Path, rig: CameraRig, layout: Layout = "caliscope", *, up_known: bool = True
) -> None:
    """Write the rig, atomically, with units, vertical and convention in [metadata].

    layout: "caliscope": nested tables [cameras.N], N from names like cam_2, else counted from 0.
    "aniposelib": a table per camera. "pose2sim": the same in its world, Z up; its reader takes
    cameras in the order of the file and takes every lens for Brown-Conrady, so that a fisheye is
    refused. up_known: False for a rig whose Y is not known to be up (`Calibration.up` is None):
    the file then claims no vertical, which Pose2Sim's layout cannot.

    Raises InputError for an unknown layout, an empty rig, and what a layout cannot hold.
    """
    path = Path(path)
    if layout not in LAYOUTS:
        raise InputError("layout", f"{layout!r} is unknown", f"give one of {', '.join(LAYOUTS)}")
    if not len(rig):
        raise InputError(path, "there is no camera to write", "give at least one")
    if layout != "caliscope" and (taken := [n for n in rig.names if n in NOT_CAMERAS]):
        raise InputError(path, f"no camera can be called {taken[0]} here", "rename the camera")
    if layout == "pose2sim" and not up_known:
        reason = "the layout is Z up, and nothing says which axis of this rig is"
        raise InputError(path, reason, "say so when reading: up=... (--up)")
    up: Axis = "z" if layout == "pose2sim" else "y"
    if layout == "pose2sim" and (round_ := [c.name for c in rig if c.fisheye]):
        reason = f"camera {round_[0]} has a fisheye lens, which Pose2Sim would read as another"
        raise InputError(path, reason, "use the layout aniposelib")
    turned = rig.moved(turn_to_y_up(up).T)
    if layout == "caliscope":
        tables = _caliscope(turned)
    else:
        tables = [
            (c.name if _BARE.fullmatch(c.name) else _toml(c.name), {"name": c.name} | _fields(c))
            for c in turned
        ]
    about = {"adjusted": False, "error": 0.0, "layout": layout, "units": "m"}
    about |= ({"up": up} if up_known else {}) | {"convention": _CONVENTION}
    parts = (
        f"[{header}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in fields.items())
        for header, fields in [*tables, ("metadata", about)]
    )
    write_text(path, "\n".join(parts))


def _caliscope(rig: CameraRig) -> list[tuple[str, dict[str, Any]]]:
    """[cameras.N]; `name` is ours, for rigs whose names are not cam_N, and ignored by Caliscope."""
    numbered = [re.fullmatch(r"cam_(0|[1-9]\d*)", name) for name in rig.names]
    ids = [int(m[1]) if m and all(numbered) else i for i, m in enumerate(numbered)]
    last = {"rotation_count": 0, "ignore": False}
    return [
        (f"cameras.{i}", {"cam_id": i, "name": c.name} | _fields(c) | last)
        for i, c in zip(ids, rig, strict=True)
    ]


def _fields(camera: Camera) -> dict[str, Any]:
    return {
        "size": list(camera.size),
        "matrix": camera.K.tolist(),
        "distortions": camera.distortion.tolist(),
        "rotation": log(camera.R).tolist(),
        "translation": (camera.t + 0.0).tolist(),  # no -0.0
        "fisheye": camera.fisheye,
    }


def _toml(value: Any) -> str:
    """A value as TOML; repr of a float is the shortest text that reads back to the same bits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    return repr(float(value)) if isinstance(value, (float, np.floating)) else repr(int(value))
