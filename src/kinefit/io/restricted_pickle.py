"""Pickles that hold data and nothing else: numbers, text, lists, dicts, arrays, sparse matrices.

A pickle is a program. `pickle.Unpickler` runs it here with the only names it may call replaced
by recorders of their arguments ("Restricting Globals" in the documentation of `pickle`); the
arrays are made afterwards, once every size that the file claims has been compared with the bytes
it brings. Opcodes that such data does not need are refused before anything runs.

`execute` is the machine; `loads` runs it with the names that numbers need, and
`kinefit.io.torchscript` with torch's.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import prod
from pathlib import Path
from typing import Any, Literal, NoReturn, Self

import numpy as np

from kinefit.io.restricted_objects import MAKERS, State, nbytes
from kinefit.io.text import read_bytes
from kinefit.types import InputError

MAX_BYTES = 2**28  # a body model's arrays take a tenth of it
_MAX_DEPTH = 40
MAX_STEPS = 20_000_000  # a list of ten million numbers; scanned in about ten seconds
_MAX_GROWTH = 4  # arrays per byte of file; chumpy's array within an array comes to two or three

# Persistent references, the extension registry, out-of-band buffers, and calls other than REDUCE
# and NEWOBJ. The unpickler applies NEWOBJ to types alone, and the only types it is given are the
# recorders of `_OBJECTS`.
_REFUSED = frozenset((
    "PERSID", "BINPERSID", "EXT1", "EXT2", "EXT4", "NEXT_BUFFER", "READONLY_BUFFER", "INST",
    "OBJ", "NEWOBJ_EX",
))  # fmt: skip
_MEMO_INDEX = frozenset(("PUT", "BINPUT", "LONG_BINPUT"))
_NUMPY = ("array", "scalar", "buffer")
_PLAIN = (type(None), bool, int, float, str, bytes)
_BYTE_ORDERS: dict[str, Literal["<", ">", "="]] = {"<": "<", ">": ">", "=": "=", "|": "="}
_DTYPE = re.compile(r"[<>|=]?([biufcSUO])(\d{0,6})|bool")
_LookUp = Callable[[str, str], Any]
_HINT = "ask for the numbers in another format, or save them as NumPy .npz"


def read_pickle(path: str | Path, *, max_bytes: int = MAX_BYTES, max_steps: int = MAX_STEPS) -> Any:
    """The data in a pickle file of any protocol (0-5), as Python wrote it; see `loads`."""
    path = Path(path)
    return loads(read_bytes(path, max_bytes), source=path, max_steps=max_steps)


def loads(content: bytes, *, source: str | Path, max_steps: int = MAX_STEPS) -> Any:
    """What a pickle says, if it is numbers, text, lists, tuples, sets, dicts and numpy arrays.

    Arrays and numpy scalars of booleans, numbers, text and (nested) objects of these kinds come
    back as such. Matrices of scipy.sparse (csc, csr, coo) come back as sparse arrays of the same
    format, chumpy's Ch, Select, Reshape and transpose as the array they stand for. Everything
    else is refused, unused or not. Text of Python 2 is read as Latin-1 (its arrays from protocol
    1 on). max_steps: opcodes; each may take some dozen bytes of memory.

    Raises InputError, naming `source` and what was found, for any other class or function, for
    arrays whose stated size is not that of their bytes, for bytes that are used over and over to
    fill the memory, for nesting beyond 40 levels, and for a damaged file. Nothing of a refused
    file has been executed.
    """
    raw = execute(content, source, _looked_up, refused=_REFUSED, max_steps=max_steps)
    return _Builder(source, _MAX_GROWTH * len(content)).build(raw, 0)


def execute(
    content: bytes,
    source: str | Path,
    look_up: _LookUp,
    *,
    allowed: frozenset[str] | None = None,
    refused: frozenset[str] = frozenset(),
    refer: Callable[[Any], Any] | None = None,
    max_steps: int = MAX_STEPS,
) -> Any:
    """What a pickle makes when the names in it stand for what `look_up` returns.

    look_up: of module and name; a stand-in that only records, or None where there is none.
    allowed, refused: opcodes; others than the former, or the latter, are refused before anything
    runs. refer: what a persistent reference stands for.

    Raises InputError, naming `source`, for a name or opcode that is refused and for damage.
    """
    _scan(content, source, allowed, refused, max_steps)
    try:
        return _Machine(content, source, look_up, refer).load()
    except InputError:
        raise
    except (
        *(pickle.UnpicklingError, EOFError, ValueError, TypeError, LookupError, AttributeError),
        *(ArithmeticError, MemoryError, RecursionError, ImportError),
    ) as error:  # what a damaged program does to the machine that runs it
        raise InputError(source, f"is a damaged pickle ({error})", "copy it again") from error


def _refuse(source: str | Path, what: str) -> NoReturn:
    raise InputError(source, f"{what}: only plain numbers, text and arrays are read", _HINT)


def _scan(
    content: bytes,
    source: str | Path,
    allowed: frozenset[str] | None,
    refused: frozenset[str],
    max_steps: int,
) -> None:
    """Refuse what no data needs, before anything runs."""
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(content)):
            if opcode.name in refused or (allowed is not None and opcode.name not in allowed):
                _refuse(source, f"the pickle uses {opcode.name}")
            # The unpickler makes room for the highest index at once: 40 bytes could ask for 32 GB.
            if opcode.name in _MEMO_INDEX and int(argument or 0) > len(content):
                _refuse(source, f"the pickle numbers an object {argument}")
            if count > max_steps:
                _refuse(source, f"the pickle has over {max_steps} steps")
    except (ValueError, TypeError, IndexError, UnicodeError, OverflowError) as error:
        reason = f"is not a pickle or a damaged one ({error})"
        raise InputError(source, reason, "copy it again") from error


class _Machine(pickle.Unpickler):
    """The unpickler with names and references looked up where it is told, and nowhere else."""

    def __init__(self, content: bytes, source: str | Path, look_up: _LookUp, refer: Any) -> None:
        super().__init__(io.BytesIO(content), fix_imports=False, encoding="latin1")
        self._source, self._look_up, self._refer = source, look_up, refer

    def find_class(self, module: str, name: str) -> Any:
        found = self._look_up(module, name)
        if found is None:
            _refuse(self._source, f"the pickle asks for {module}.{name}")
        return found

    def persistent_load(self, pid: Any) -> Any:
        if self._refer is None:
            _refuse(self._source, f"the pickle refers to {pid!r} elsewhere")
        return self._refer(pid)


@dataclass(frozen=True)
class Call:
    """Stands for a function of an allow-list; `BUILD` cannot change it."""

    make: Callable[..., Any]
    name: str

    def __call__(self, *arguments: Any) -> Any:
        return self.make(*arguments)

    def __setstate__(self, state: Any) -> None:
        raise pickle.UnpicklingError(f"{self.name} is given a state")


class _Recorded:
    """An object that the pickle makes: its arguments, and the state it is given.

    kind: what numpy is asked to make: "dtype" (text, align, copy), with its state; "array",
    `_reconstruct`(ndarray, (0,), b'b') with its state (version, shape, dtype, ...); "scalar"
    (dtype, bytes); or "buffer", `_frombuffer`(buffer, dtype, shape, order), which is how protocol 5
    stores arrays. "set" of a list, which protocols 0-3 use; "object" for all others.
    """

    __slots__ = ("arguments", "kind", "state")
    arguments: tuple[Any, ...]
    kind: str
    state: Any

    def __new__(cls, *arguments: Any, kind: str = "object") -> Self:  # NEWOBJ calls no __init__
        made = super().__new__(cls)
        made.arguments, made.kind, made.state = arguments, kind, None
        return made

    def __setstate__(self, state: Any) -> None:
        self.state = state


def _latin1(text: str, encoding: str) -> bytes:
    """_codecs.encode, which protocols 0-2 use for bytes."""
    if not isinstance(text, str) or encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError("_codecs.encode with another encoding than latin1")
    return text.encode("latin1")


def _no_bytes(*arguments: Any) -> bytes:
    """builtins.bytes(), which protocols 0-2 use for empty bytes."""
    if arguments:
        raise pickle.UnpicklingError("bytes with an argument")
    return b""


def no_items(*arguments: Any) -> dict[Any, Any]:
    """collections.OrderedDict(); its items are set one by one."""
    if arguments:  # a copy of a dict, again and again, could fill the memory
        raise pickle.UnpicklingError("OrderedDict with an argument")
    return {}


def _never(*_: Any) -> NoReturn:
    raise pickle.UnpicklingError("numpy.ndarray or object is called")


class _Object(_Recorded):
    """An object of a class in `MAKERS`, made by NEWOBJ or by `_reconstructor`, and its state."""

    __slots__ = ()
    keys: frozenset[str]
    make: Callable[[State], Any]

    def __new__(cls, *arguments: Any) -> Self:
        if arguments:  # none of these classes takes any
            raise pickle.UnpicklingError(f"{cls.__name__} is given arguments")
        return super().__new__(cls)


_OBJECTS = {
    name: type(".".join(name), (_Object,), {"__slots__": (), "keys": keys, "make": staticmethod(f)})
    for name, (keys, f) in MAKERS.items()
}


def _reconstructor(cls: Any, base: Any, state: Any) -> Any:
    """copyreg._reconstructor, which protocols 0 and 1 use for objects without arguments."""
    if cls not in _OBJECTS.values() or base != _BASE or state is not None:
        raise pickle.UnpicklingError("_reconstructor of something else than a recorded class")
    return cls()


_BASE = Call(_never, "object")  # only named, as an argument of _reconstructor

_ALLOWED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _never,  # only named, as an argument of _reconstruct
    ("numpy", "dtype"): partial(_Recorded, kind="dtype"),
    ("collections", "OrderedDict"): no_items,
    ("_codecs", "encode"): _latin1,
}
for _core in ("numpy.core", "numpy._core"):  # before and since 2.0
    _ALLOWED[f"{_core}.multiarray", "_reconstruct"] = partial(_Recorded, kind="array")
    _ALLOWED[f"{_core}.multiarray", "scalar"] = partial(_Recorded, kind="scalar")
    _ALLOWED[f"{_core}.numeric", "_frombuffer"] = partial(_Recorded, kind="buffer")
for _builtins, _copyreg in (("builtins", "copyreg"), ("__builtin__", "copy_reg")):  # 3 and 2
    _ALLOWED[_builtins, "bytes"] = _no_bytes
    _ALLOWED[_builtins, "set"] = partial(_Recorded, kind="set")
    _ALLOWED[_copyreg, "_reconstructor"] = _reconstructor


def _looked_up(module: str, name: str) -> Any:
    if (module, name) in _OBJECTS:
        return _OBJECTS[module, name]
    if module in ("builtins", "__builtin__") and name == "object":
        return _BASE
    make = _ALLOWED.get((module, name))
    return None if make is None else Call(make, f"{module}.{name}")


class _Builder:
    """Turns what was recorded into data; an object that is named twice is built once."""

    def __init__(self, source: str | Path, max_bytes: int) -> None:
        self._source = source
        self._bytes_left = max_bytes
        self._built: dict[int, Any] = {}
        self._busy: set[int] = set()

    def build(self, raw: Any, depth: int) -> Any:
        if isinstance(raw, _PLAIN):
            return raw
        if depth > _MAX_DEPTH or id(raw) in self._busy:
            _refuse(self._source, "the pickle is nested too deep, or within itself")
        if id(raw) not in self._built:
            self._busy.add(id(raw))
            self._built[id(raw)] = self._make(raw, depth + 1)
            self._busy.discard(id(raw))
        return self._built[id(raw)]

    def _make(self, raw: Any, depth: int) -> Any:
        if isinstance(raw, dict):
            return {self._key(k, depth): self.build(v, depth) for k, v in raw.items()}
        if isinstance(raw, list):
            return [self.build(item, depth) for item in raw]
        if isinstance(raw, tuple):
            return tuple(self.build(item, depth) for item in raw)
        if isinstance(raw, (set, frozenset)):
            return {self._key(item, depth) for item in raw}
        if isinstance(raw, bytearray):
            return bytes(raw)
        what = "an array" if isinstance(raw, _Recorded) and raw.kind in _NUMPY else "an object"
        try:
            if isinstance(raw, _Object):
                return self._object(raw, depth)
            if isinstance(raw, _Recorded) and raw.kind == "set":
                (items,) = raw.arguments
                if type(items) is not list:
                    raise TypeError("set of something that is not a list")
                self._spend(len(items))  # else a list named a thousand times could fill it
                return {self._key(item, depth) for item in items}
            if isinstance(raw, _Recorded) and raw.kind in _NUMPY:
                return self._numpy(raw, depth)
        except KeyError as error:
            _refuse(self._source, f"{what} in the pickle has no {error}")
        except (TypeError, ValueError, OverflowError) as error:
            _refuse(self._source, f"{what} in the pickle is damaged ({error})")
        _refuse(self._source, "the pickle holds a function or type by itself")

    def _key(self, raw: Any, depth: int) -> Any:
        key = self.build(raw, depth)
        try:
            hash(key)
        except TypeError:
            _refuse(self._source, f"the pickle has a key of type {type(key).__name__}")
        return key

    def _numpy(self, raw: _Recorded, depth: int) -> Any:
        """An array or a scalar; ValueError or TypeError where its parts do not fit."""
        if raw.kind == "scalar":
            dtype, data = raw.arguments
            return self._array(dtype, (), data, False, depth)[()]
        if raw.kind == "buffer":
            data, dtype, shape, order = raw.arguments
            return self._array(dtype, shape, data, order == "F", depth)
        _, shape, dtype, fortran, data = raw.state
        return self._array(dtype, shape, data, bool(fortran), depth)

    def _object(self, raw: _Object, depth: int) -> Any:
        """A sparse matrix or chumpy's array; of its attributes, those needed are looked at."""
        if not isinstance(raw.state, dict):
            raise TypeError("it has no attributes")
        needed = raw.keys & {key for key in raw.state if isinstance(key, str)}
        made = raw.make({key: self.build(raw.state[key], depth) for key in sorted(needed)})
        self._spend(nbytes(made))
        return made

    def _spend(self, count: int) -> None:
        """Count the memory of arrays: a few bytes named a thousand times could fill it."""
        self._bytes_left -= count
        if self._bytes_left < 0:
            _refuse(self._source, f"its arrays take over {_MAX_GROWTH} times the size of the file")

    def _array(
        self, recorded: Any, shape: Any, data: Any, fortran: bool, depth: int
    ) -> np.ndarray[Any, Any]:
        dtype = _dtype(recorded)
        if not isinstance(shape, tuple) or len(shape) > 32:
            raise ValueError("its shape is not a tuple")
        if any(type(n) is not int or n < 0 for n in shape):
            raise ValueError(f"its shape is {shape}")
        order: Literal["C", "F"] = "F" if fortran else "C"
        if dtype.kind == "O":
            return self._objects(shape, data, order, depth)
        if isinstance(data, str):  # bytes of Python 2
            data = data.encode("latin1")
        if not isinstance(data, (bytes, bytearray)):
            raise TypeError("its content is not bytes")
        if prod(shape) * dtype.itemsize != len(data):
            raise ValueError(f"{shape} of {dtype} are not {len(data)} bytes")
        if not len(data):
            return np.empty(shape, dtype)
        self._spend(len(data))
        flat = np.frombuffer(bytes(data), dtype)
        return np.array(flat.reshape(shape, order=order), dtype.newbyteorder("="), order="C")

    def _objects(
        self, shape: tuple[int, ...], data: Any, order: Literal["C", "F"], depth: int
    ) -> np.ndarray[Any, Any]:
        if not isinstance(data, list) or len(data) != prod(shape):
            raise ValueError(f"{shape} objects are not what it holds")
        self._spend(len(data))  # an item takes at least a byte of the file
        flat = np.empty(len(data), object)
        for i, item in enumerate(data):
            flat[i] = self.build(item, depth)
        return flat.reshape(shape, order=order)


def _dtype(recorded: Any) -> np.dtype[Any]:
    """The plain dtype that was recorded; ValueError for a structured or any other one."""
    if not (isinstance(recorded, _Recorded) and recorded.kind == "dtype" and recorded.arguments):
        raise ValueError("its type is not a dtype")
    text = recorded.arguments[0]
    if isinstance(text, bytes):
        text = text.decode("latin1")
    if not isinstance(text, str) or not _DTYPE.fullmatch(text):
        raise ValueError(f"its type is {text!r}")
    dtype = np.dtype(text)
    if recorded.state is not None:
        _, order, *structure = recorded.state
        order = order.decode("latin1") if isinstance(order, bytes) else order
        if any(structure[:3]) or order not in _BYTE_ORDERS:
            raise ValueError("its type is structured")
        dtype = dtype.newbyteorder(_BYTE_ORDERS[order])
    return dtype
