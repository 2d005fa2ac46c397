"""OpenSim's package, silenced, and its model files."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from kinefit.io.text import read_bytes
from kinefit.io.xml import MOST_DEPTH
from kinefit.types import FloatArray, InputError

_TAG = re.compile(
    rb"<(/?)[A-Za-z_:\x80-\xff][^<>]*?(/?)>"
)  # OpenSim's reader takes any byte >= 128
# How OpenSim and Simbody begin their messages.
_WHERE = re.compile(r"std::exception in '[^']*': |Error detected by \S* method \S*: ")
_MAX_BYTES = 64 << 20  # the largest of Pose2Sim's models has 2 MB


@cache
def load_opensim() -> ModuleType:
    """The package `opensim`, silent. Importing it takes a second.

    Its log is switched off for the whole process: it would print, and leave an opensim.log in
    the current folder (switching it on again does both). What goes wrong comes as an exception.
    """
    opensim = import_module("opensim")
    opensim.Logger.setLevelString("Off")
    opensim.Logger.removeFileSink()
    return opensim


def read_model(path: Path, marker_set: Path | None = None) -> Any:
    """An OpenSim model from a file, with the markers of another file if one is given.

    Raises InputError for files that are missing, too large or too deep, or that OpenSim refuses.
    """
    opensim = load_opensim()
    for file in (path, marker_set):
        if file is not None:
            _check_model_file(file)
    try:
        model = opensim.Model(str(path))
    except RuntimeError as error:
        raise InputError(path, f"OpenSim cannot read it ({_reason(error)})",
                         "check that this is an .osim model") from error  # fmt: skip
    try:
        if marker_set is not None:
            model.set_MarkerSet(opensim.MarkerSet(str(marker_set)))
        model.initSystem()
    except RuntimeError as error:
        raise unusable(marker_set or path, error) from error
    return model


def unusable(path: Path, error: RuntimeError) -> InputError:
    reason = f"OpenSim cannot use it ({_reason(error)})"
    return InputError(path, reason, "check that markers and model belong together")


def drop_forces(model: Any) -> None:
    """Forces take no part in kinematics, and 330 muscles make each step half as slow again.

    What works on them goes with them. They stay where anything else refers to one (metabolics of
    OpenSim Moco): OpenSim would follow it into freed memory, and the process would end.
    """
    groups = (model.updControllerSet(), model.updProbeSet(), model.updForceSet())
    inside = tuple(f"{group.getAbsolutePathString()}/" for group in groups)
    forces = f"{model.getForceSet().getName()}/"
    for part in list(model.getComponentsList()):  # its generator cannot be left early
        if not part.getAbsolutePathString().startswith(inside):
            paths = [part.getSocket(name).getConnecteePath() for name in part.getSocketNames()]
            if any(forces in path for path in paths):
                return
    for group in groups:
        group.clearAndDestroy()


def scale_model(model: Any, factors: Mapping[str, Sequence[float]], mass_kg: float | None) -> None:
    """Scale bodies by (x, y, z) factors; with a mass, to that total mass.

    Masses keep the generic model's distribution over the bodies.
    """
    opensim = load_opensim()
    scales = opensim.ScaleSet()
    for body, (x, y, z) in factors.items():
        scale = opensim.Scale()
        scale.setSegmentName(body)
        scale.setScaleFactors(opensim.Vec3(x, y, z))
        scale.setApply(True)
        scales.cloneAndAppend(scale)
    # It builds the system anew itself.
    model.scale(model.getWorkingState(), scales, True, -1.0 if mass_kg is None else mass_kg)


def _check_model_file(path: Path) -> None:
    """Raises InputError for a file that is missing, larger than any model, or has more levels than
    OpenSim's recursive reader survives.

    Its tags are counted, not parsed: OpenSim takes files that no XML parser does (Latin-1 text).
    """
    try:
        str(path).encode()  # as OpenSim takes it
    except UnicodeEncodeError:
        reason, hint = "the file's name is not Unicode text", "rename the file"
        raise InputError(ascii(str(path)), reason, hint) from None
    depth = 0
    for tag in _TAG.finditer(read_bytes(path, _MAX_BYTES)):
        depth += -1 if tag[1] else 0 if tag[2] else 1
        if depth > MOST_DEPTH:
            raise InputError(path, f"has over {MOST_DEPTH} levels of tags", "check the file")


def _reason(error: Exception) -> str:
    """The first line of OpenSim's message that says more than where in its source it happened."""
    lines = (_WHERE.sub("", line).strip() for line in str(error).splitlines())
    return next((ln for ln in lines if ln and "hrown at" not in ln), "no reason given")


def items(collection: Any) -> Iterator[Any]:
    """What is in one of OpenSim's sets or arrays."""
    return (collection.get(i) for i in range(collection.getSize()))


def placed(transform: Any) -> FloatArray:
    """(3, 4) rotation and translation of one of OpenSim's transforms."""
    rotation, out = transform.R(), np.empty((3, 4))
    out[:, :3] = [[rotation.get(r, c) for c in range(3)] for r in range(3)]
    out[:, 3] = transform.p().to_numpy()
    return out
