"""Finished frames of a sequence, kept under the hash of everything they were made from.

A frame is found again only by that hash: other pictures, other options, another version of the
program or another frame before it make another name. There is nothing to compare, no date and no
folder to trust, so nothing stale can be taken for a result; and a run that was killed goes on
where it was. Files are written whole or not at all; what cannot be read is done again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.io.arrays import read_npz
from kinefit.io.atomic import atomic_path
from kinefit.types import InputError

_CHECK = "check"


def content_hash(*parts: Any) -> str:
    """Hex SHA-256 of arrays of numbers (type, shape and bytes), and of JSON values whatever their
    keys' order."""
    digest = hashlib.sha256()
    for part in parts:
        if isinstance(part, np.ndarray):
            head = ["array", part.dtype.str, list(part.shape)]
            body = np.ascontiguousarray(part).tobytes()
        else:
            head, body = ["json"], json.dumps(part, sort_keys=True).encode()
        # Lengths first: no two lists of parts run together into the same bytes.
        text = json.dumps([*head, len(body)]).encode()
        digest.update(len(text).to_bytes(8, "big") + text + body)
    return digest.hexdigest()


@dataclass(frozen=True)
class FrameStore:
    """A folder with one `.npz` per finished frame, named by its `content_hash`."""

    folder: Path

    def load(self, key: str) -> dict[str, NDArray[Any]] | None:
        """The arrays stored under `key`; None when there are none that can be read."""
        path = self.folder / f"{key}.npz"
        try:
            arrays = read_npz(path) if path.is_file() else {}
        except InputError:
            return None
        # Another check is that of a file which was renamed or changed.
        return arrays if str(arrays.pop(_CHECK, "")) == _check(key, arrays) else None

    def save(self, key: str, arrays: Mapping[str, NDArray[Any]]) -> None:
        """Store `arrays` of numbers and text under `key`, whole or not at all."""
        path = self.folder / f"{key}.npz"
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            check = np.array(_check(key, arrays))
            np.savez(stream, allow_pickle=False, **{_CHECK: check, **arrays})


def _check(key: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    return content_hash(key, sorted(arrays), *(np.asarray(arrays[name]) for name in sorted(arrays)))
