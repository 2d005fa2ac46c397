"""Identity of files, code and libraries, as hashes and versions."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib import metadata
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from kinefit import __version__

# Libraries whose numbers end up in the results; another version may give other numbers.
_LIBRARIES = (
    "av",
    "ezc3d",
    "matplotlib",
    "mediapipe",
    "numpy",
    "onnxruntime",
    "opencv-contrib-python",
    "pose2sim",
    "rtmlib",
    "scipy",
)


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_path(path: Path) -> str:
    """Hex SHA-256 of a file, or of a folder's file names and contents."""
    if path.is_file():
        return sha256_file(path)
    listing = {str(p.relative_to(path)): sha256_file(p) for p in path.rglob("*") if p.is_file()}
    return sha256_json(listing)


def sha256_json(value: Any) -> str:
    """Hex SHA-256 of a JSON value, whatever the order of its keys."""
    text = json.dumps(value, sort_keys=True, allow_nan=False, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


@cache
def versions() -> dict[str, str]:
    """Versions of kinefit and of the libraries that shape its numbers (those installed)."""
    found = {"kinefit": __version__}
    for name in _LIBRARIES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@cache
def code_version() -> str:
    """Hex SHA-256 over kinefit's own source and data files and the library versions.

    Any edit of the package counts: a stale result costs more than a repeated computation.
    """
    digest = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    for name, content in sorted(_package_files(files("kinefit"), "")):
        digest.update(name.encode() + b"\0" + hashlib.sha256(content).digest())
    return digest.hexdigest()


def _package_files(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found = []
    for entry in folder.iterdir():
        if entry.is_dir() and entry.name != "__pycache__":
            found += _package_files(entry, f"{prefix}{entry.name}/")
        elif entry.is_file():
            found.append((prefix + entry.name, entry.read_bytes()))
    return found
