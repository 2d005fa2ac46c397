"""Any calibration file, told by its content."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

from kinefit.io.calibration.assemble import assemble
from kinefit.io.calibration.easymocap import FILES as EASYMOCAP
from kinefit.io.calibration.easymocap import read_easymocap
from kinefit.io.calibration.model import AXES, METRES, Axis, Calibration, Content, Unit
from kinefit.io.calibration.opencap import opencap_files, read_opencap
from kinefit.io.calibration.opencv import read_opencv
from kinefit.io.calibration.other_programs import read_kalibr, read_mccalib, read_panoptic
from kinefit.io.calibration.qualisys import read_qualisys
from kinefit.io.calibration.storage import read_storage
from kinefit.io.calibration.toml_layouts import (
    camera_tables,
    is_caliscope,
    read_aniposelib,
    read_caliscope,
    read_pose2sim,
    wrote_pose2sim,
)
from kinefit.io.text import read_bytes
from kinefit.io.toml import read_toml
from kinefit.types import InputError

# fmt: off
Format = Literal[
    "caliscope", "aniposelib", "pose2sim", "qualisys", "opencv", "opencap", "easymocap",
    "kalibr", "mc-calib", "panoptic", "vicon",
]
# fmt: on
FORMATS: tuple[Format, ...] = get_args(Format)
MAX_BYTES = 2**23
_STORAGE = (".yml", ".yaml", ".json")
_KNOWN = (
    "Caliscope, aniposelib or Pose2Sim TOML, Qualisys .qca.txt, OpenCV YAML or XML, "
    "OpenCap pickles, EasyMocap's intri.yml and extri.yml, Kalibr, MC-Calib, CMU Panoptic or "
    "Vicon (.xcp)"
)


def read_calibration(
    path: str | Path,
    *,
    format: Format | None = None,  # noqa: A002 - the word for it
    units: Unit | None = None,
    up: Axis | None = None,
    invert_extrinsics: bool = False,
    image_sizes: Mapping[str, tuple[int, int]] | None = None,
) -> Calibration:
    """The cameras of a calibration file or folder, in metres and, where the vertical is known,
    with Y up; every assumption is in `assumptions`.

    format: one of `FORMATS`; None to tell by content. units: what the file's positions are in
    ("m", "cm", "mm"), up: which of its axes points up ("y", "-z", ...); both win over what the
    format or file says. invert_extrinsics: the file's poses are camera to world. image_sizes:
    (width, height) by camera name, used only for cameras whose size the file does not say.

    Raises InputError, naming the file and camera, for a file of unclear format, missing or
    impossible numbers, a pose that mirrors the world, two cameras of one name or at one place.
    """
    path = Path(path)
    for option, value, known, what in (
        ("format", format, FORMATS, "unknown"), ("units", units, METRES, "unknown"),
        ("up", up, AXES, "not an axis"),
    ):  # fmt: skip
        if value is not None and value not in known:
            raise InputError(option, f"{value!r} is {what}", f"give one of {', '.join(known)}")
    content = _folder(path, format) if path.is_dir() else _file(path, format)
    return assemble(
        path,
        content,
        units=units,
        up=up,
        invert_extrinsics=invert_extrinsics,
        image_sizes=image_sizes,
    )


def _file(path: Path, wanted: Format | None) -> Content:
    content = read_bytes(path, MAX_BYTES)
    if path.name in _COLMAP:
        raise _colmap(path)
    if (b"\nK_" in content) != (b"\nT_" in content) and path.name in EASYMOCAP:  # halves
        for other in EASYMOCAP:
            if not (path.parent / other).exists():
                hint = "put EasyMocap's two files beside each other"
                raise InputError(path, f"{other} is not beside it", hint)
    found = wanted or _format_of(path, content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n"))
    match found:
        case "qualisys" | "vicon":
            return read_qualisys(path, content)
        case "kalibr":
            return read_kalibr(path, read_storage(path))
        case "mc-calib":
            return read_mccalib(path, read_storage(path))
        case "panoptic":
            return read_panoptic(path, read_storage(path))
        case "opencap":
            return read_opencap(path, (path,))
        case "easymocap":
            return read_easymocap(path)
        case "opencv":
            return read_opencv(path, (path,))
        case _:
            return _toml(path, found)


_COLMAP = ("cameras.txt", "images.txt", "cameras.bin", "images.bin")


def _colmap(path: Path) -> InputError:
    reason = "is a COLMAP model, which kinefit does not read: it has no unit and no vertical"
    hint = "write its cameras as OpenCV YAML (K, D, R, T, image_size), T in metres"
    return InputError(path, reason, hint)


def _format_of(path: Path, start: bytes) -> Format | None:
    """By the first bytes; None for TOML, which says more once it is read."""
    suffix = path.suffix.lower()
    if suffix in (".pickle", ".pkl") or start.startswith(b"\x80"):
        return "opencap"
    if start.startswith(b"<"):
        return "opencv" if b"<opencv_storage" in start else "qualisys"
    if path.name in EASYMOCAP and all((path.parent / name).exists() for name in EASYMOCAP):
        return "easymocap"
    if start.startswith(b"%YAML") or suffix in _STORAGE:
        return "opencv"
    return None


def _toml(path: Path, wanted: Format | None) -> Content:
    try:
        table = read_toml(path)
    except InputError as error:
        if wanted is not None:
            raise
        why = f" ({error.reason})" if path.suffix.lower() == ".toml" else ""
        reason = f"is not a calibration that kinefit knows{why}"
        raise InputError(path, reason, f"give {_KNOWN}") from error
    if wanted is None and is_caliscope(table):
        if camera_tables(table):
            seen = "both [cameras.N] (Caliscope) and tables per camera (aniposelib, Pose2Sim)"
            raise InputError(path, f"has {seen}", "say which it is (--format)")
        wanted = "caliscope"
    elif wanted is None and camera_tables(table):
        wanted = "pose2sim" if wrote_pose2sim(table) else "aniposelib"
    match wanted:
        case "caliscope":
            return read_caliscope(path, table)
        case "pose2sim":
            return read_pose2sim(path, table)
        case "aniposelib":
            return read_aniposelib(path, table)
    tables = ", ".join(list(table)[:10]) or "nothing"
    raise InputError(path, f"has no camera: found {tables}", f"give {_KNOWN}")


def _folder(path: Path, wanted: Format | None) -> Content:
    """The calibration in a folder, when there is exactly one."""
    storage = tuple(
        sorted(f for f in path.iterdir() if re.fullmatch(r"\.(ya?ml|xml|json)", f.suffix.lower()))
    )
    single = sorted(f for end in ("toml", "qca.txt", "xcp") for f in path.glob(f"*.{end}"))
    found: dict[Format | Path, Callable[[], Content]] = {}
    if any((path / name).exists() for name in _COLMAP) and not (storage or single):
        raise _colmap(path)
    if all((path / name).exists() for name in EASYMOCAP):
        found["easymocap"] = lambda: read_easymocap(path)
    elif len(storage) == 1:
        found["opencv"] = lambda: _file(storage[0], "opencv")
    elif storage:
        found["opencv"] = lambda: read_opencv(path, storage)
    if files := opencap_files(path):
        found["opencap"] = lambda: read_opencap(path, files)
    for file in single:
        found[file] = lambda file=file: _file(file, wanted)  # type: ignore[misc]
    if wanted in found:
        return found[wanted]()
    if len(found) == 1 and wanted is None:
        return next(iter(found.values()))()
    names = ", ".join(k.name if isinstance(k, Path) else k for k in found) or "no calibration"
    raise InputError(path, f"the folder has {names}", f"name one file: {_KNOWN}")
