"""NumPy files that strangers wrote: sizes are checked before memory is taken, pickles never run.

What `numpy.load` does for plain arrays, with two differences: an array that claims more than the
file holds is refused before it is allocated, and object arrays go through
`kinefit.io.restricted_pickle`.
"""

from __future__ import annotations

from collections.abc import Collection
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError  # noqa: N812 - a class

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from kinefit.io.restricted_pickle import loads
from kinefit.io.text import read_bytes
from kinefit.types import InputError

MAX_BYTES = 2**31  # 16 cameras x 10,000 frames x 70 points take a fifth of it
_PLAIN = "biufUS"
_HINT = "write it again with numpy.save or numpy.savez"


def read_npy(path: Path) -> NDArray[Any]:
    """The array in a `.npy` file; an object array holds what `restricted_pickle.loads` lets pass.

    Raises InputError for anything that is not one whole array of numbers, text or plain objects.
    """
    return _parse(read_bytes(path, MAX_BYTES), path)


def read_npz(path: Path, only: Collection[str] | None = None) -> dict[str, NDArray[Any]]:
    """The arrays in a `.npz` file; `only`: those of these names, where they are there.

    Raises InputError as `read_npy`, and for an archive that unpacks to more than 2 GiB.
    """
    content = read_bytes(path, MAX_BYTES)
    try:
        with ZipFile(BytesIO(content)) as archive:
            entries = {
                entry.filename.removesuffix(".npy"): entry
                for entry in archive.infolist()
                if only is None or entry.filename.removesuffix(".npy") in only
            }
            if sum(entry.file_size for entry in entries.values()) > MAX_BYTES:
                raise InputError(path, "it unpacks to more than 2 GiB", "split it")
            return {name: _parse(archive.read(entry), path) for name, entry in entries.items()}
    except InputError:
        raise
    except (
        *(BadZipFile, ZlibError, EOFError, NotImplementedError, RuntimeError),
        *(ValueError, OSError),  # a damaged directory: seeks before the file, names in no encoding
    ) as error:
        raise InputError(path, f"is no archive of arrays ({error})", _HINT) from error


def _parse(content: bytes, path: Path) -> NDArray[Any]:
    stream = BytesIO(content)
    try:
        version = npy.read_magic(stream)
        if version == (1, 0):
            shape, fortran, dtype = npy.read_array_header_1_0(stream)
        elif version == (2, 0):
            shape, fortran, dtype = npy.read_array_header_2_0(stream)
        else:
            raise ValueError(f"format version {version}")
    except (ValueError, OSError, TypeError, SyntaxError, RecursionError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise InputError(path, f"is no NumPy array ({reason})", _HINT) from error
    data = content[stream.tell() :]
    if dtype.hasobject:
        value = loads(data, source=path)
        return value if isinstance(value, np.ndarray) else np.array(value, dtype=object)
    if dtype.kind not in _PLAIN or dtype.names is not None:
        raise InputError(path, f"its numbers are of type {dtype}", _HINT)
    if prod(shape) * dtype.itemsize != len(data):
        raise InputError(
            path, f"it says {shape} {dtype} and holds {len(data)} bytes", "copy it again"
        )
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C").copy()
