"""Numbers that kinefit learned and brings along: safetensors files with a card beside each."""

from __future__ import annotations

from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open

from kinefit.io.text import check_file
from kinefit.types import FloatArray, InputError


def read_weights(name: str) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """Arrays, in double precision, and remarks of `kinefit/weights/NAME.safetensors`."""
    with as_file(files("kinefit") / "weights" / f"{name}.safetensors") as path:
        return read_safetensors(path)


def read_safetensors(path: Path) -> tuple[dict[str, FloatArray], dict[str, str]]:
    """Arrays, in double precision, and remarks of a file; InputError for a damaged one."""
    check_file(path)
    try:
        with safe_open(path, framework="numpy") as stored:
            names = stored.keys()
            arrays = {name: stored.get_tensor(name).astype(np.float64) for name in names}
            return arrays, stored.metadata() or {}
    except (OSError, SafetensorError) as error:
        raise InputError(path, f"cannot be read ({error})", "install kinefit again") from error
