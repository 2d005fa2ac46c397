"""OpenCV's FileStorage (YAML, XML or JSON) as plain Python values.

Read by OpenCV itself. Its parsers recurse in C++ (100,000 opening brackets end the process with a
segmentation fault), and its matrices are allocated by the size that the file claims; so depth is
checked before, and matrices are built here from the numbers there are.
"""

from __future__ import annotations

import re
from math import prod
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from kinefit.io.calibration.xml import parse_xml
from kinefit.io.text import decode, read_bytes
from kinefit.types import InputError

MAX_BYTES = 2**22  # a hundred cameras with everything that calibration programs add take 0.2 MiB
_MAX_DEPTH = 24
_MAX_NUMBERS = 4096  # of one matrix: those that matter have nine, a board's corners are skipped
_DASHES = re.compile(r"^(?:[ \t]*-[ \t]+){6}", re.MULTILINE)
_COLONS = re.compile(r"^[^\[{\n]*?(?::[ \t][^:\[{\n]*){4}", re.MULTILINE)


def read_storage(path: Path) -> dict[str, Any]:
    """Names and values of the file: numbers, text, lists, dicts, arrays.

    Raises InputError for damage, more than 24 levels, and anything without names at the top.
    """
    content = read_bytes(path, MAX_BYTES)
    text = decode(content)
    if text.lstrip().startswith("<"):
        parse_xml(path, content)
    else:
        _check_depth(path, text)
        if not text.lstrip().startswith(("%YAML", "{")):
            text = "%YAML:1.0\n---\n" + text.removeprefix("---\n")
    storage = cv2.FileStorage()
    try:
        if not storage.open(text.lstrip(), cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY):
            raise InputError(path, "cannot be read by OpenCV", "save it with cv2.FileStorage")
        root = storage.root()
        value = _value(path, root, 0)
    except (cv2.error, UnicodeError, SystemError) as error:
        reason = f"cannot be read by OpenCV ({str(error).strip().splitlines()[-1][:120]})"
        raise InputError(path, reason, "save it with cv2.FileStorage") from error
    finally:
        storage.release()
    if not isinstance(value, dict) or not value:
        raise InputError(path, "has no names at its top level", "name a calibration file")
    return value


def _check_depth(path: Path, text: str) -> None:
    """Refuse what would send a recursive parser too deep: brackets, indents, dashes, colons."""
    depth = deepest = 0
    for bracket in re.findall(r"[\[\]{}]", text):
        depth += 1 if bracket in "[{" else -1
        deepest = max(deepest, depth)
    indent = max(
        (len(m) for m in re.findall(r"^[ \t]+(?=[^\s\d.\-])", text, re.MULTILINE)), default=0
    )
    if deepest > _MAX_DEPTH or indent > 100 or _DASHES.search(text) or _COLONS.search(text):
        raise InputError(path, "is nested too deep", "name a calibration file")


def _value(path: Path, node: Any, depth: int) -> Any:
    if depth > _MAX_DEPTH:
        raise InputError(path, "is nested too deep", "name a calibration file")
    if node.isMap():
        keys = node.keys()
        if {"dt", "data"} <= set(keys) and ("sizes" in keys or {"rows", "cols"} <= set(keys)):
            return _matrix(path, node, _stated_shape(node, keys))
        return {key: _value(path, node.getNode(key), depth + 1) for key in keys}
    if node.isSeq():
        count = node.size()
        return [_value(path, node.at(i), depth + 1) for i in range(min(count, _MAX_NUMBERS))]
    if node.isInt() or node.isReal():
        return node.real()
    return node.string() if node.isString() else None


def _stated_shape(node: Any, keys: list[str]) -> tuple[int, ...]:
    """Of a matrix (rows, cols) or of an n-dimensional one (sizes)."""
    if "sizes" not in keys:
        return tuple(_count(node.getNode(key).real()) for key in ("rows", "cols"))
    sizes = node.getNode("sizes")
    if not sizes.isSeq():
        return (_count(sizes.real()),)
    return tuple(_count(sizes.at(i).real()) for i in range(min(sizes.size(), 8)))


def _count(value: float) -> int:
    """A stated number of rows; -1 for what is none."""
    return int(value) if 0 <= value < 1e9 else -1


def _matrix(path: Path, node: Any, shape: tuple[int, ...]) -> Any:
    """An array; None for one too large to matter; InputError where numbers lack."""
    data = node.getNode("data")
    count = data.size()
    if count > _MAX_NUMBERS:
        return None
    if min(shape, default=0) < 0 or prod(shape) != count:
        reason = f"a matrix of {' x '.join(map(str, shape))} has {count} numbers"
        raise InputError(path, reason, "save it again")
    values = [data.at(i).real() for i in range(count)] if data.isSeq() else []
    return np.array(values, np.float64).reshape(shape)
