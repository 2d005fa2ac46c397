"""The files of a synthetic scene's folder, with a check that they are unchanged."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from kinefit.pipeline.provenance import sha256_file
from kinefit.types import InputError

TRUTH, CALIBRATION, MANIFEST = "truth.npz", "calibration.toml", "scene.json"
CLAIM = ".kinefit-synth"  # marks a folder that is being filled: its files may be replaced


def read_manifest(folder: Path) -> dict[str, Any]:
    """`scene.json` of a folder whose files are all unchanged.

    Raises InputError for a folder without one, and for a file that is missing or was changed.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
        listed = {str(name): str(digest) for name, digest in manifest["sha256"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise InputError(
            folder, "is no folder of a synthetic scene", "make one: kinefit synth --out FOLDER"
        ) from error
    if not {TRUTH, CALIBRATION} <= listed.keys():
        raise InputError(path, f"it lists no checksum of {TRUTH}", "make the scene again")
    for name, digest in listed.items():
        file = folder / Path(name).name
        if not file.is_file() or sha256_file(file) != digest:
            what = "was changed" if file.is_file() else "is missing"
            raise InputError(file, f"it {what} since the scene was made", "make the scene again")
    return dict(manifest)
