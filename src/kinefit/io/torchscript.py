"""Tensors and plain attributes of a TorchScript archive (`.pt`), read without running any of it.

An archive is a zip file: `data.pkl` says what each module holds, `data/<key>` are the numbers of
its tensors, and `code/` is a program. `torch.jit.load` runs parts of that program (a module's
`__setstate__` can write files: measured with torch 2.13), so it is no way to open a file that a
stranger made. Here the pickle is read with every name replaced by a recorder of its arguments,
nothing of `code/` is touched, and tensors are read one by one, those that are asked for, after
their sizes have been compared with the bytes that the archive has. Torch is not needed.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from kinefit.io.arrays import open_archive, unpacked
from kinefit.io.restricted_pickle import Call, execute, no_items
from kinefit.types import InputError

MAX_FILE_BYTES = 2**32  # read entry by entry
MAX_PICKLE_BYTES = 2**26  # names and sizes; those of a model with 1,000 tensors take 0.2 MB
MAX_TENSOR_BYTES = 2**30
_HINT = "download the model again from its makers"
# What torch's own pickler writes (torch/csrc/jit/serialization/pickler.cpp), and nothing else.
_OPCODES = frozenset((
    "PROTO", "STOP", "MARK", "POP", "POP_MARK", "GLOBAL", "NEWOBJ", "REDUCE", "BUILD",
    "BINPERSID", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE", "NEWFALSE",
    "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE", "SHORT_BINSTRING",
    "BINSTRING", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST", "APPEND", "APPENDS",
    "EMPTY_TUPLE", "TUPLE", "TUPLE1", "TUPLE2", "TUPLE3", "DICT", "LIST",
))  # fmt: skip
_DTYPES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "LongStorage": "<i8",
    "IntStorage": "<i4", "ShortStorage": "<i2", "CharStorage": "|i1", "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}  # fmt: skip


class ScriptModule:
    """A module of the archive: its attributes by name, submodules among them."""

    __slots__ = ("attributes",)

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}

    def __setstate__(self, state: Any) -> None:
        """Keep what the pickle says; a module with a state of its own making keeps nothing."""
        known = isinstance(state, dict) and all(isinstance(name, str) for name in state)
        self.attributes = state if known else {}


class _Opaque:
    """Anything of torch's that no model needs to be read; it only swallows its arguments."""

    def __new__(cls, *_: Any) -> _Opaque:
        return super().__new__(cls)

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, _: Any) -> None:
        pass


@dataclass(frozen=True)
class _Storage:
    key: str
    dtype: str
    count: int


@dataclass(frozen=True)
class _Tensor:
    """A view of a storage: offset, shape and strides count elements."""

    storage: _Storage
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def _tensor(storage: Any, offset: Any, shape: Any, strides: Any, *_: Any) -> _Tensor:
    if not isinstance(storage, _Storage) or type(offset) is not int:
        raise pickle.UnpicklingError("a tensor without a storage")
    for numbers in (shape, strides):
        if not isinstance(numbers, tuple) or any(type(n) is not int or n < 0 for n in numbers):
            raise pickle.UnpicklingError("a tensor without a shape")
    if len(shape) != len(strides) or offset < 0 or len(shape) > 16:
        raise pickle.UnpicklingError(f"a tensor of shape {shape}")
    return _Tensor(storage, offset, shape, strides)


def _first(value: Any, *_: Any) -> Any:
    return value


_FUNCTIONS: dict[tuple[str, str], Callable[..., Any]] = {
    ("torch._utils", "_rebuild_tensor_v2"): _tensor,
    ("collections", "OrderedDict"): no_items,
}
for _name in ("intlist", "doublelist", "boollist", "tensorlist"):
    _FUNCTIONS["torch.jit._pickle", f"build_{_name}"] = _first
_FUNCTIONS["torch.jit._pickle", "restore_type_tag"] = _first


def _looked_up(module: str, name: str) -> Any:
    if (module, name) in _FUNCTIONS:
        return Call(_FUNCTIONS[module, name], name)
    if module == "torch" and name in _DTYPES:
        return name
    if module == "__torch__" or module.startswith("__torch__."):
        return ScriptModule
    return _Opaque if module == "torch" or module.startswith("torch.") else None


def _storage(reference: Any) -> _Storage:
    match reference:
        case ("storage", str() as dtype, str() as key, _, int() as count) if count >= 0:
            return _Storage(key, dtype, count)
    raise pickle.UnpicklingError("a reference to something that is not a storage")


@dataclass(frozen=True, eq=False)
class ScriptArchive:
    """An archive whose module tree has been read, and whose tensors are read when asked for."""

    path: Path
    root: ScriptModule
    prefix: str

    def value(self, name: str) -> Any:
        """The attribute "a.b.c", None when there is none; tensors come from `array`."""
        found: Any = self.root
        for part in name.split("."):
            if not isinstance(found, ScriptModule) or part not in found.attributes:
                return None
            found = found.attributes[part]
        return found

    def names(self, name: str) -> tuple[str, ...]:
        """A list of texts; raises InputError when there is no such list."""
        value = self.value(name)
        if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
            raise InputError(self.path, f"it has no list of names {name!r}", _HINT)
        return tuple(value)

    def has_array(self, name: str) -> bool:
        return isinstance(self.value(name), _Tensor)

    def array(self, name: str) -> NDArray[Any]:
        """A tensor as an array of its own type.

        Raises InputError when there is none, or when it reaches beyond what the archive holds.
        """
        tensor = self.value(name)
        if not isinstance(tensor, _Tensor):
            raise InputError(self.path, f"it has no tensor {name!r}", _HINT)
        dtype = _DTYPES.get(tensor.storage.dtype)
        if dtype is None:
            raise InputError(self.path, f"{name} is a {tensor.storage.dtype}", _HINT)
        reach = sum((n - 1) * s for n, s in zip(tensor.shape, tensor.strides, strict=True))
        size = prod(tensor.shape)
        if size and (tensor.offset + reach >= tensor.storage.count or size > tensor.storage.count):
            raise InputError(self.path, f"{name} is larger than its storage", _HINT)
        flat = np.frombuffer(self._storage(tensor.storage, np.dtype(dtype), name), dtype)
        if not size:
            return np.empty(tensor.shape, flat.dtype)
        steps = tuple(s * flat.itemsize for s in tensor.strides)
        view = np.lib.stride_tricks.as_strided(flat[tensor.offset :], tensor.shape, steps)
        return np.array(view, dtype=flat.dtype.newbyteorder("="), order="C")

    def _storage(self, storage: _Storage, dtype: np.dtype[Any], name: str) -> bytearray:
        wanted = storage.count * dtype.itemsize
        with _opened(self.path) as archive:
            content = _record(archive, f"{self.prefix}data/{storage.key}", MAX_TENSOR_BYTES)
        if content is None or len(content) != wanted:
            found = "none" if content is None else str(len(content))
            raise InputError(self.path, f"{name} needs {wanted} bytes and has {found}", _HINT)
        return content


def read_torchscript(path: str | Path) -> ScriptArchive:
    """The modules of a TorchScript archive; nothing of it is executed, no tensor read yet.

    Raises InputError for what is no such archive, for a pickle that names anything outside torch
    and the archive's own classes or uses steps that torch does not write, and for damage.
    """
    path = Path(path)
    with _opened(path) as archive:
        entries = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(entries) != 1:
            raise InputError(path, "it is not a TorchScript archive (no data.pkl)", _HINT)
        prefix = entries[0].removesuffix("data.pkl")
        content = _record(archive, entries[0], MAX_PICKLE_BYTES)
        order = _record(archive, f"{prefix}byteorder", 16)
    if not content or order not in (None, b"little"):
        said = "not stated" if order is None else order.decode("latin-1")
        raise InputError(path, f"its numbers are in the order {said}, or too many", _HINT)
    root = execute(bytes(content), path, _looked_up, allowed=_OPCODES, refer=_storage)
    if not isinstance(root, ScriptModule):
        raise InputError(path, "it holds no module", _HINT)
    return ScriptArchive(path, root, prefix)


def _opened(path: Path) -> AbstractContextManager[ZipFile]:
    return open_archive(path, "TorchScript", _HINT, MAX_FILE_BYTES)


def _record(archive: ZipFile, name: str, limit: int) -> bytearray | None:
    """An entry's bytes; None when it is absent or says that it is over `limit`."""
    try:
        entry = archive.getinfo(name)
    except KeyError:
        return None
    return unpacked(archive, entry) if entry.file_size <= limit else None
