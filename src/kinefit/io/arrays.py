"""NumPy files that strangers wrote: sizes are checked before memory is taken, pickles never run.

What `numpy.load` does for plain arrays, with two differences: an array that claims more than the
file holds is refused before it is allocated, and object arrays go through
`kinefit.io.restricted_pickle`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import prod
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, ZipFile, ZipInfo
from zlib import error as ZlibError  # noqa: N812 - a class

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from kinefit.io import limits
from kinefit.io.atomic import atomic_path
from kinefit.io.restricted_pickle import loads
from kinefit.io.text import check_file, read_bytes
from kinefit.types import FloatArray, InputError

_LONGEST_HEADER = 2**17  # numpy itself refuses 10,000 characters
_PLAIN = "biufUS"
_HINT = "check that this is the right file, and copy it again"


def read_npy(path: Path) -> NDArray[Any]:
    """The array in a `.npy` file; an object array holds what `restricted_pickle.loads` lets pass.

    Raises InputError for anything that is not one whole array of numbers, text or plain objects.
    """
    return _parse(bytearray(read_bytes(path, limits.ARRAY_BYTES)), path)


def read_npz(
    path: Path, only: Collection[str] | None = None, most_bytes: int | None = None
) -> dict[str, NDArray[Any]]:
    """The arrays in a `.npz` file; `only`: those of these names, where they are there.

    Raises InputError as `read_npy`, and for arrays that unpack to more than `most_bytes` (None:
    `limits.ARRAY_BYTES`).
    """
    most = limits.ARRAY_BYTES if most_bytes is None else most_bytes
    with open_archive(path, "arrays", _HINT, max(most, limits.ARRAY_BYTES)) as archive:
        entries = {
            name: entry for name, entry in _entries(archive).items() if only is None or name in only
        }
        if sum(entry.file_size for entry in entries.values()) > most:
            reason = f"it unpacks to more than {most / 2**20:.0f} MiB"
            raise InputError(path, reason, "split it")
        return {name: _parse(unpacked(archive, e), path) for name, e in entries.items()}


def read_needed(
    path: Path, needed: Sequence[str], hint: str, optional: Sequence[str] = ()
) -> dict[str, NDArray[Any]]:
    """The arrays `needed`, and those of `optional` that are there; InputError where one lacks."""
    arrays = read_npz(path, only=(*needed, *optional))
    if lacking := [name for name in needed if name not in arrays]:
        raise InputError(path, f"it has no array {lacking[0]!r}", hint)
    return arrays


def is_of_key(path: Path, key: str) -> bool:
    """Whether a `.npz` file is there whose array "key" says so: of the same inputs and code."""
    try:
        return str(read_npz(path, only=("key",))["key"]) == key
    except (InputError, KeyError):
        return False


def npz_names(path: Path) -> frozenset[str]:
    """Names of the arrays in a `.npz` file; raises InputError."""
    with open_archive(path, "arrays", _HINT, limits.ARRAY_BYTES) as archive:
        return frozenset(_entries(archive))


@contextmanager
def open_archive(path: Path, what: str, hint: str, limit: int) -> Iterator[ZipFile]:
    """The archive; what is wrong with it, then or while it is read, becomes an InputError.

    what: of which it should be, as "arrays". limit: bytes of the file.
    """
    check_file(path, limit)
    try:
        with ZipFile(path) as archive:
            yield archive
    except (
        *(BadZipFile, ZlibError, EOFError, NotImplementedError, RuntimeError),
        *(ValueError, OSError),  # a damaged directory: seeks before the file, names in no encoding
    ) as error:
        raise InputError(path, f"is not an archive of {what} ({error})", hint) from error
    except MemoryError as error:
        raise InputError(path, "takes more memory than there is", "split it") from error


def unpacked(archive: ZipFile, entry: ZipInfo) -> bytearray:
    """The entry's bytes, in memory once; raises EOFError where the archive is cut off."""
    content = bytearray(entry.file_size)
    with archive.open(entry) as stream:
        view, filled = memoryview(content), 0
        while count := stream.readinto(view[filled:]):  # type: ignore[attr-defined]
            filled += count
    if filled != entry.file_size:
        raise EOFError(f"{entry.filename} is cut off")
    return content


def _entries(archive: ZipFile) -> dict[str, ZipInfo]:
    return {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}


def save_npz(path: Path, **arrays: Any) -> None:
    """Write a compressed archive, whole or not at all."""
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


Arrays = Mapping[str, NDArray[Any]]


def numbers(path: Path, arrays: Arrays, key: str, shape: Sequence[int | None]) -> FloatArray:
    """`field` of any kind of number."""
    return field(path, arrays, key, shape, "fiu").astype(np.float64)


def field(
    path: Path, arrays: Arrays, key: str, shape: Sequence[int | None], kinds: str
) -> NDArray[Any]:
    """The array of that name, of one of the dtype `kinds` and that shape (None: any length)."""
    if key not in arrays:
        raise InputError(path, f"it has no array {key!r}", "check that this is the right file")
    array = arrays[key]
    fits = array.ndim == len(shape) and all(
        want in (None, got) for got, want in zip(array.shape, shape, strict=True)
    )
    if array.dtype.kind not in kinds or not fits:
        wanted = "(" + ", ".join("*" if n is None else str(n) for n in shape) + ")"
        reason = f"its {key!r} is {array.shape} of type {array.dtype}, expected {wanted}"
        raise InputError(path, reason, "check that this is the right file")
    return array


def _parse(content: bytearray, path: Path) -> NDArray[Any]:
    stream = BytesIO(memoryview(content)[:_LONGEST_HEADER])
    try:
        version = npy.read_magic(stream)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"format version {version}")
        read = npy.read_array_header_1_0 if version == (1, 0) else npy.read_array_header_2_0
        shape, fortran, dtype = read(stream)
    except (ValueError, OSError, TypeError, SyntaxError, RecursionError) as error:
        reason = (str(error).splitlines() or ["damaged"])[0]
        raise InputError(path, f"is not a NumPy array ({reason})", _HINT) from error
    start = stream.tell()
    if dtype.hasobject:
        value = loads(bytes(content[start:]), source=path)
        return value if isinstance(value, np.ndarray) else np.array(value, dtype=object)
    if dtype.kind not in _PLAIN or dtype.names is not None:
        raise InputError(path, f"its numbers are of type {dtype}", _HINT)
    held = len(content) - start
    if prod(shape) * dtype.itemsize != held:
        raise InputError(path, f"it says {shape} {dtype} and holds {held} bytes", "copy it again")
    if not held:
        return np.empty(shape, dtype)
    flat = np.frombuffer(content, dtype, offset=start)  # no copy, and it can be written to
    return flat.reshape(shape, order="F" if fortran else "C")
