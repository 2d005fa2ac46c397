"""Identity of files, code and libraries, as hashes and versions."""

from __future__ import annotations

import hashlib
import json
import re
from contextlib import suppress
from functools import cache
from importlib import metadata
from importlib.resources import files
from pathlib import Path
from typing import Any

from kinefit import __version__

# Libraries whose numbers end up in the results; another version may give other numbers.
_LIBRARIES = ("ai-edge-litert", "av", "ezc3d", "matplotlib", "mediapipe", "numpy", "onnxruntime",
              "opencv-python-headless", "opensim", "rtmlib", "scipy")  # fmt: skip


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
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@cache
def code_version(module: str = "kinefit.api") -> str:
    """Hex SHA-256 over the source of `module` and of all of kinefit that it imports, and data.

    Imports are found by name in the source, those inside functions too; every file of another
    kind in the folders of these modules, their `models` and `templates` counts, and all weights.
    With the versions of the libraries, it is what a stage's result depends on besides inputs and
    options.
    """
    root = Path(str(files("kinefit")))
    reached, waiting = set[Path](), [_source_of(root, module)]
    while waiting:
        path = waiting.pop()
        if path is None or path in reached:
            continue
        reached.add(path)
        waiting += [_source_of(root, name) for name in _imported(path)]
    data = {
        file
        for folder in {path.parent for path in reached} | {root / "weights"}
        for pattern in ("*", "models/*", "templates/*")
        for file in folder.glob(pattern)
        if file.is_file() and file.suffix not in (".py", ".pyc", ".md")
    }
    digest = hashlib.sha256(json.dumps(versions(), sort_keys=True).encode())
    for path in sorted(reached | data):
        name = path.relative_to(root).as_posix()
        digest.update(name.encode() + b"\0" + _hash_of(path).encode())
    return digest.hexdigest()


_IMPORT = re.compile(
    r"^[ \t]*(?:from|import)\s+(kinefit[\w.]*)(?:\s+import\s+(\([^)]*\)|[^\n]*))?", re.MULTILINE
)


@cache
def _hash_of(path: Path) -> str:
    return sha256_file(path)


@cache
def _imported(path: Path) -> frozenset[str]:
    """Names that may be modules: `from a.b import c, d` gives a.b, a.b.c and a.b.d."""
    names = set()
    for module, imported in _IMPORT.findall(path.read_text("utf-8")):
        names.add(module)
        names |= {f"{module}.{word}" for word in re.findall(r"\w+", imported)}
    return frozenset(names)


@cache
def _source_of(root: Path, module: str) -> Path | None:
    """The file of a module or package of kinefit; None where there is none of that name."""
    base = root.parent.joinpath(*module.split("."))
    return next((p for p in (base.with_suffix(".py"), base / "__init__.py") if p.is_file()), None)
