"""The networks that come with kinefit, and files of one's own."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from kinefit.io.text import read_bytes
from kinefit.lift.ensemble import Ensemble
from kinefit.lift.lifter import ENSEMBLE, MODELS, NETWORKS, Lifter, OnnxLifter
from kinefit.types import InputError

_MOST_BYTES = 2**27


def load_lifter(model: str | Path = "ensemble", correct_signs: bool = False) -> Lifter:
    """A network that kinefit ships, by name, three of them together, or one's own file.

    correct_signs: see `OnnxLifter`.

    Raises InputError for an unknown name, or a file that cannot be used.
    """
    if str(model) == "ensemble":
        return Ensemble([_shipped(name, correct_signs) for name in ENSEMBLE])
    if str(model) in NETWORKS:
        return _shipped(str(model), correct_signs)
    hint = f"give {', '.join(MODELS)}, or an .onnx file of `kinefit train pof`"
    if Path(model).suffix != ".onnx":
        raise InputError(model, "is no network that kinefit has", hint)
    return OnnxLifter(read_bytes(Path(model), _MOST_BYTES), model, correct_signs)


@cache
def _shipped(model: str, correct_signs: bool) -> OnnxLifter:
    file = files("kinefit") / "weights" / f"lift_{model.replace('-', '_')}.onnx"
    return OnnxLifter(file.read_bytes(), model, correct_signs)
