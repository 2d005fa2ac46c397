"""A model in motion as OpenCap's viewers read it (app.opencap.ai, opencap-visualizer)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kinefit.biomech.opensim.model import BodyModel
from kinefit.io.atomic import write_text
from kinefit.types import FloatArray

_DIGITS = 5  # of metres and radians: 0.01 mm, 0.0006 degrees


def write_opencap_json(path: Path, model: BodyModel, time: FloatArray, q: FloatArray) -> None:
    """Write {"time", "bodies": {name: {"attachedGeometries", "scaleFactors", "rotation",
    "translation"}}}, atomically.

    The viewers draw OpenSim's meshes by their names. rotation: radians about the body's own X, Y
    and Z in that order, in ground; translation: metres. time: (T,) seconds. q: (T, C) coordinates.
    """
    bodies: dict[str, dict[str, Any]] = {
        name: {
            "attachedGeometries": meshes,
            "scaleFactors": scale,
            "rotation": [],
            "translation": [],
        }
        for name, (meshes, scale) in model.meshes().items()
    }
    for pose in q:
        for name, (turn, place) in model.frames(pose).items():
            bodies[name]["rotation"].append(turn.round(_DIGITS).tolist())
            bodies[name]["translation"].append(place.round(_DIGITS).tolist())
    content = {"time": time.round(_DIGITS).tolist(), "bodies": bodies}
    write_text(path, json.dumps(content, separators=(",", ":"), allow_nan=False))
