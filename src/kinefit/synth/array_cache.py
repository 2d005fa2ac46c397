"""Arrays that take long to compute, cached under a hash of what they were made from."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from kinefit.body.anny import cache_folder
from kinefit.io.arrays import read_npz
from kinefit.io.atomic import atomic_path
from kinefit.types import InputError, InvalidData

Result = TypeVar("Result")


def cached(
    name: str,
    key: str,
    make: Callable[[], dict[str, Any]],
    read: Callable[[dict[str, Any]], Result],
    folder: Path | None = None,
) -> Result:
    """`read` of the arrays of `make`, which runs only if they are not cached.

    name, key: of the file, NAME-KEY.npz; `key` identifies what the arrays depend on. folder: None
    is `kinefit.body.anny.cache_folder()`. A file that is absent or damaged is written anew.
    """
    path = (folder or cache_folder()) / f"{name}-{key}.npz"
    try:
        return read(read_npz(path))
    except (InputError, InvalidData, KeyError, ValueError, IndexError):
        arrays = make()
        with atomic_path(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)
        return read(arrays)


def key_of(sources: Iterable[str], *more: bytes) -> str:
    """20 hexadecimal digits: of kinefit's files `sources` ("synth/scene.py") and of other bytes."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(hashlib.sha256((files("kinefit") / source).read_bytes()).digest())
    for content in more:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:20]
