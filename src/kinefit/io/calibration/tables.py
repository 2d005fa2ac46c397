"""What the TOML layouts share: the document, its [metadata], and single values."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from kinefit.io.calibration.model import AXES, METRES, Axis, Unit
from kinefit.types import InputError

METADATA = "metadata"


def metadata(table: dict[str, Any]) -> dict[str, Any]:
    """The table [metadata], empty where there is none."""
    found = table.get(METADATA)
    return found if isinstance(found, dict) else {}


def vertical(
    path: Path, document: dict[str, Any], default: Axis | None, why: str
) -> tuple[Axis | None, str]:
    """The axis that [metadata] calls up, else `default`; and who says so."""
    up = document.get("up")
    if up is None:
        return default, why
    if up not in AXES:
        raise InputError(path, f"[metadata] up is {up!r}", f"write one of {', '.join(AXES)}")
    return up, "as its [metadata] says"


def units_of(
    path: Path, document: dict[str, Any], default: Unit, why: str
) -> tuple[Unit, str, bool]:
    """The unit that [metadata] names, else `default`; who says so; whether the file does."""
    unit = document.get("units")
    if unit is None:
        return default, why, False
    if unit not in METRES:
        raise InputError(path, f"[metadata] units is {unit!r}", f"write {', '.join(METRES)}")
    return unit, "as its [metadata] says", True


def flag(path: Path, name: str, camera: dict[str, Any], key: str) -> bool:
    """A true or false, false where it is left out; raises InputError."""
    value = camera.get(key, False)
    if not isinstance(value, bool):
        raise InputError(path, f"camera {name}: {key} is {value!r}", "write true or false")
    return value


def number(path: Path, name: str, camera: dict[str, Any], key: str) -> float | None:
    """A number, None where it is left out; raises InputError."""
    value = camera.get(key)
    if value is None or value == "null":
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InputError(path, f"camera {name}: {key} is {value!r}, no number", "correct it")
    return float(value) if math.isfinite(value) else None


def word(path: Path, camera: dict[str, Any], key: str, default: str) -> str:
    """A text, `default` where it is left out; raises InputError."""
    value = camera.get(key, default)
    if not isinstance(value, str):
        raise InputError(path, f"camera {default}: {key} is {value!r}, no text", "quote it")
    return value


def unposed(camera: dict[str, Any]) -> bool:
    """Whether a camera's table says that it has no pose: none, or Caliscope's "null" for None."""
    pose = [camera.get(key) for key in ("rotation", "translation")]
    return any(part == "null" for part in pose) or pose == [None, None]
