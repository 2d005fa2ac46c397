"""Files appear whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

from kinefit.types import InputError

PARTIAL = ".kinefit-part-"  # a killed process can leave such a file; nothing reads it


@contextmanager
def atomic_path(path: str | Path) -> Iterator[Path]:
    """A temporary name beside `path`, renamed onto it when the block ends without an error.

    The temporary keeps the suffix, for writers that choose a format by it. On an error it is
    removed and the old file, if any, stays as it was.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(path, "is a folder, a file is to be written", "give the file's name")
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{PARTIAL}{uuid4().hex}{path.suffix}")
    try:
        yield temporary
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: str | Path, text: str) -> None:
    """Write UTF-8 text with Unix line ends, atomically."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, "utf-8", newline="\n")


def write_json(path: str | Path, value: Any) -> None:
    """Write indented JSON, atomically; NaN is refused (it is not JSON)."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def remove_partial(folder: Path) -> None:
    """Delete what a killed process left half-written anywhere below `folder`."""
    for leftover in folder.rglob(f"{PARTIAL}*"):
        leftover.unlink(missing_ok=True)
