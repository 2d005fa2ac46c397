"""A calibration as read: the rig in kinefit's world, and everything that had to be assumed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from kinefit.types import CameraRig, Finding, FloatArray
from kinefit.types.arrays import freeze

Axis = Literal["x", "-x", "y", "-y", "z", "-z"]
Unit = Literal["m", "cm", "mm"]
AXES: tuple[Axis, ...] = get_args(Axis)
METRES: dict[Unit, float] = {"m": 1.0, "cm": 0.01, "mm": 0.001}

# Rows are the file's axes that become x, y, z. Z up turns (x, y, z) -> (y, z, x), as Pose2Sim's
# TRC files do; the other five keep as many axes in place as a rotation allows.
_TURNS: dict[Axis, tuple[str, str, str]] = {
    "y": ("x", "y", "z"),
    "-y": ("x", "-y", "-z"),
    "z": ("y", "z", "x"),
    "-z": ("-y", "-z", "x"),
    "x": ("z", "x", "y"),
    "-x": ("-z", "-x", "y"),
}


def turn_to_y_up(up: Axis) -> FloatArray:
    """(3, 3) rotation from a world whose `up` axis points up to kinefit's, Y up."""
    rows = np.zeros((3, 3))
    for row, axis in zip(rows, _TURNS[up], strict=True):
        row["xyz".index(axis[-1])] = -1.0 if axis.startswith("-") else 1.0
    return rows


@dataclass(frozen=True, eq=False)
class Calibration:
    """Cameras as a file describes them.

    rig: metres, right-handed, Y up where `up` is known, else the file's own axes.
    format: which of `kinefit.io.calibration.FORMATS` the file was read as.
    assumptions: in plain words, which units and frame were taken for granted, and what was
        converted or left out.
    up: the axis of the file that was taken as up; None where nothing says which one is.
    findings: what of the file could not be taken over and is missed in the numbers.
    residuals: what the file states about its own error, per camera, in `residual_unit`; such a
        number cannot prove a calibration (`kinefit.multiview.rig_checks`).
    """

    rig: CameraRig
    format: str
    assumptions: tuple[str, ...]
    up: Axis | None
    residuals: Mapping[str, float] = field(default_factory=dict)
    residual_unit: str = "px"
    findings: tuple[Finding, ...] = ()

    def __post_init__(self) -> None:
        freeze(self, assumptions=tuple(self.assumptions))


_WORLD = "world "  # how the sentence about the vertical begins, in every format


def up_sentence(up: Axis | None, why: str) -> str:
    """What was taken as up, and the change of axes that follows."""
    if up is None:
        return f"{_WORLD}axes kept as they are: nothing says which one is up (--up)"
    turned = ", ".join(_TURNS[up])
    change = "" if up == "y" else f": turned to Y up, (x, y, z) -> ({turned})"
    return f"{_WORLD}{up[:-1]}{up[-1].upper()} up, {why}{change}"


@dataclass(frozen=True, eq=False)
class Stated:
    """One camera as a file states it, unchecked.

    size: (width, height), None where the file has none. R: (3, 3) or a rotation vector. Pose:
    world to camera, in the file's units and axes.
    """

    name: str
    size: Any
    K: Any
    distortion: Any
    R: Any
    t: Any
    fisheye: bool = False
    residual: float | None = None


@dataclass(frozen=True, eq=False)
class Content:
    """What the reader of one format found.

    notes: assumptions besides the others. units: of positions; `units_why`: who says so.
    units_known: whether the format or file says it. up, up_why: the same for the vertical. poses:
    how they were read. findings: as those of `Calibration`.
    """

    format: str
    cameras: Sequence[Stated]
    notes: Sequence[str]
    units: Unit
    units_why: str
    units_known: bool = False
    up: Axis | None = None
    up_why: str = ""
    poses: str = "world to camera, OpenCV's axes (x right, y down, z forward)"
    residual_unit: str = "px"
    findings: Sequence[Finding] = ()
