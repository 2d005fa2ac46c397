"""A model in motion as OpenCap's viewers read it (app.opencap.ai, opencap-visualizer)."""

from __future__ import annotations

import json
from pathlib import Path

from kinefit.biomech.opensim.model import BodyModel
from kinefit.geometry.rotations import decompose
from kinefit.io.atomic import write_text
from kinefit.types import FloatArray

_DIGITS = 5  # of metres and radians: 0.01 mm, 0.0006 degrees


def write_opencap_json(path: Path, model: BodyModel, time: FloatArray, q: FloatArray) -> None:
    """Write {"time", "bodies": {name: {"attachedGeometries", "scaleFactors", "rotation",
    "translation"}}}, atomically.

    The viewers draw OpenSim's meshes by their names. rotation: radians about the body's own X, Y
    and Z in that order, in ground; translation: metres. time: (T,) seconds. q: (T, C) coordinates.
    """
    axes, places, _ = model.body_frames(q)
    turns = decompose(axes, "XYZ").round(_DIGITS)
    places = places.round(_DIGITS)
    meshes = model.meshes()
    bodies = {
        name: {
            "attachedGeometries": meshes[name][0],
            "scaleFactors": meshes[name][1],
            "rotation": turns[:, i].tolist(),
            "translation": places[:, i].tolist(),
        }
        for i, name in enumerate(model.bodies)
    }
    content = {"time": time.round(_DIGITS).tolist(), "bodies": bodies}
    write_text(path, json.dumps(content, separators=(",", ":"), allow_nan=False))
