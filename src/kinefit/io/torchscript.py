"""Tensors and plain attributes of a TorchScript archive (`.pt`), read without running any of it.

An archive is a zip file: `data.pkl` says what each module holds, `data/<key>` are the numbers of
its tensors, and `code/` is a program. `torch.jit.load` runs parts of that program (a module's
`__setstate__` can write files: measured with torch 2.13), so it is no way to open a file that a
stranger made. Here the pickle is read with every name replaced by a recorder of its arguments,
nothing of `code/` is touched, and tensors are read one by one, those that are asked for, after
their sizes have been compared with the bytes that the archive has. Torch is not needed.
"""

from __future__ import annotations

import io
import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any, NoReturn
from zipfile import BadZipFile, ZipFile
from zlib import error as ZlibError  # noqa: N812 - a class

import numpy as np
from numpy.typing import NDArray

from kinefit.types import InputError

MAX_PICKLE_BYTES = 2**26  # names and sizes; those of a model with 1,000 tensors take 0.2 MB
MAX_TENSOR_BYTES = 2**30
_HINT = "download the model again from its makers"
# What torch's own pickler writes (torch/csrc/jit/serialization/pickler.cpp), and nothing else.
_OPCODES = frozenset(
    (
        *("PROTO", "STOP", "MARK", "POP", "POP_MARK", "GLOBAL", "NEWOBJ", "REDUCE", "BUILD"),
        *("BINPERSID", "BINPUT", "LONG_BINPUT", "BINGET", "LONG_BINGET", "NONE", "NEWTRUE"),
        *("NEWFALSE", "BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"),
        *("SHORT_BINSTRING", "BINSTRING", "EMPTY_DICT", "SETITEM", "SETITEMS", "EMPTY_LIST"),
        *(
            "APPEND",
            "APPENDS",
            "EMPTY_TUPLE",
            "TUPLE",
            "TUPLE1",
            "TUPLE2",
            "TUPLE3",
            "DICT",
            "LIST",
        ),
    )
)
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


class _Call:
    """Stands for a function of the allow-list; the pickle cannot change it."""

    __slots__ = ("make",)

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make

    def __call__(self, *arguments: Any) -> Any:
        return self.make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError("a function is given a state")


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
    ("torch.jit._pickle", "build_intlist"): _first,
    ("torch.jit._pickle", "build_doublelist"): _first,
    ("torch.jit._pickle", "build_boollist"): _first,
    ("torch.jit._pickle", "build_tensorlist"): _first,
    ("torch.jit._pickle", "restore_type_tag"): _first,
    ("collections", "OrderedDict"): dict,
}


class _Reader(pickle.Unpickler):
    def __init__(self, content: bytes, source: Path) -> None:
        super().__init__(io.BytesIO(content), fix_imports=False, encoding="latin1")
        self._source = source

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _FUNCTIONS:
            return _Call(_FUNCTIONS[module, name])
        if module == "torch" and name in _DTYPES:
            return name
        if module == "__torch__" or module.startswith("__torch__."):
            return ScriptModule
        if module != "torch" and not module.startswith("torch."):
            _refuse(self._source, f"its pickle asks for {module}.{name}")
        return _Opaque

    def persistent_load(self, pid: Any) -> _Storage:
        match pid:
            case ("storage", str() as dtype, str() as key, _, int() as count) if count >= 0:
                return _Storage(key, dtype, count)
        raise pickle.UnpicklingError("a reference to something that is no storage")


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

    def _storage(self, storage: _Storage, dtype: np.dtype[Any], name: str) -> bytes:
        wanted = storage.count * dtype.itemsize
        with _archive(self.path) as archive:
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
    with _archive(path) as archive:
        entries = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(entries) != 1:
            raise InputError(path, "it is no TorchScript archive (no data.pkl)", _HINT)
        prefix = entries[0].removesuffix("data.pkl")
        content = _record(archive, entries[0], MAX_PICKLE_BYTES)
        order = _record(archive, f"{prefix}byteorder", 16)
    if not content or order not in (None, b"little"):
        raise InputError(path, f"its numbers are in the order {order!r}, or too many", _HINT)
    _scan(content, path)
    root = _load(content, path)
    if not isinstance(root, ScriptModule):
        raise InputError(path, "it holds no module", _HINT)
    return ScriptArchive(path, root, prefix)


def _load(content: bytes, path: Path) -> Any:
    try:
        return _Reader(content, path).load()
    except InputError:
        raise
    except (
        *(pickle.UnpicklingError, EOFError, ValueError, TypeError, KeyError, IndexError),
        *(AttributeError, UnicodeError, OverflowError, MemoryError, RecursionError, ImportError),
    ) as error:  # what a damaged program does to the machine that runs it
        raise InputError(path, f"its pickle is damaged ({error})", _HINT) from error


def _scan(content: bytes, path: Path) -> None:
    """Refuse steps that torch does not write, before anything runs."""
    try:
        for opcode, argument, _ in pickletools.genops(content):
            if opcode.name not in _OPCODES:
                _refuse(path, f"its pickle uses {opcode.name}")
            # The unpickler makes room for the highest index at once.
            if opcode.name == "LONG_BINPUT" and int(argument or 0) > len(content):
                _refuse(path, f"its pickle numbers an object {argument}")
    except (ValueError, TypeError, IndexError, UnicodeError, OverflowError) as error:
        raise InputError(path, f"its pickle is damaged ({error})", _HINT) from error


def _archive(path: Path) -> ZipFile:
    try:
        return ZipFile(path)
    except OSError as error:
        reason = error.strerror or str(error)
        raise InputError(path, f"cannot be read ({reason})", "check the path") from error
    except (BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(path, f"is no TorchScript archive ({error})", _HINT) from error


def _record(archive: ZipFile, name: str, limit: int) -> bytes | None:
    """An entry's bytes; None when it is absent or says that it is over `limit`."""
    try:
        entry = archive.getinfo(name)
        return archive.read(entry) if entry.file_size <= limit else None
    except KeyError:
        return None
    except (BadZipFile, ZlibError, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise InputError(str(archive.filename), f"{name} is damaged ({error})", _HINT) from error


def _refuse(source: Path, what: str) -> NoReturn:
    raise InputError(source, f"{what}: only modules, tensors and plain values are read", _HINT)
