"""OpenCV's FileStorage (YAML, XML or JSON) as plain Python values, and other YAML and JSON.

OpenCV's own parsers are not used: they recurse in C++ (100,000 opening brackets end the process
with a segmentation fault) and allocate matrices by the size that the file claims.
"""

from __future__ import annotations

import json
import re
from math import prod
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import numpy as np
import yaml

from kinefit.io.text import decode, read_bytes
from kinefit.io.xml import parse_xml
from kinefit.types import InputError

MAX_BYTES = 2**22  # a hundred cameras with everything that calibration programs add take 0.2 MiB
_MAX_DEPTH = 24
_MAX_EVENTS = 500_000  # of YAML: a number each
_MAX_NUMBERS = 4096  # of one matrix: those that matter have nine, a board's corners are skipped
_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
_SPECIAL = {".inf": np.inf, "-.inf": -np.inf, ".nan": np.nan, "+.inf": np.inf}
_HINT = "save it with cv2.FileStorage"


def read_storage(path: Path) -> dict[str, Any]:
    """Names and values of the file: numbers (float), text, lists, dicts, arrays.

    A list at the top is one of cameras. Raises InputError for damage, more than 24 levels,
    references within the file (with which a small one can become gigabytes), and anything else
    without names at the top.
    """
    content = read_bytes(path, MAX_BYTES)
    text = decode(content).lstrip()
    try:
        if text.startswith("<"):
            value = _of_xml(parse_xml(path, content, most_depth=_MAX_DEPTH, most=100_000))
        elif text.startswith("{"):
            value = json.loads(text, parse_int=_whole_number)
        else:
            value = _of_yaml(path, text)
        value = _with_matrices(path, {"cameras": value} if isinstance(value, list) else value, 0)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = f"cannot be read ({_first_line(error)})"
        raise InputError(path, reason, _HINT) from error
    if not isinstance(value, dict) or not value:
        raise InputError(path, "has no names at its top level", "name a calibration file")
    return value


def _first_line(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or str(error).split("\n")[0]
    return f"line {mark.line + 1}: {said}"[:150] if mark else str(said)[:150]


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Plain scalars are numbers or text, nothing else: no dates, octals, yes and no."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012 - replaces PyYAML's own


def _scalar(loader: Any, node: Any) -> float | str | None:
    text = str(loader.construct_scalar(node))
    return text if node.style else _number_or_text(text)


_Loader.add_constructor("tag:yaml.org,2002:str", _scalar)
for _tag in ("opencv-matrix", "opencv-nd-matrix"):
    _Loader.add_constructor(
        f"tag:yaml.org,2002:{_tag}", lambda loader, node: loader.construct_mapping(node, deep=True)
    )


def _of_yaml(path: Path, text: str) -> Any:
    """Depth, size and references are checked before anything is built."""
    # OpenCV's first line is no YAML: a directive with a colon.
    text = re.sub(r"\A%YAML:1\.0[ \t]*\r?\n", "", text)
    depth = 0
    for count, event in enumerate(yaml.parse(text, _Loader)):
        if isinstance(event, yaml.AliasEvent):
            raise InputError(path, f"refers to another place of itself (*{event.anchor})", _HINT)
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        if depth > _MAX_DEPTH or count > _MAX_EVENTS:
            raise InputError(path, "is nested too deep or too large", "name a calibration file")
    return yaml.load(text, _Loader)  # noqa: S506 - a SafeLoader with fewer types


def _of_xml(element: Element) -> Any:
    """Children by name, or in a list where they are called `_`; a leaf is numbers or text."""
    children = list(element)
    if not children:
        text = (element.text or "").strip()
        if text.startswith('"') or not text:
            return text.strip('"')
        values = [_number_or_text(word) for word in text.split()]
        return values if len(values) > 1 else values[0]
    if all(child.tag == "_" for child in children):
        return [_of_xml(child) for child in children]
    return {child.tag: _of_xml(child) for child in children}


def _number_or_text(text: str) -> float | str | None:
    if _NUMBER.fullmatch(text):
        return float(text)
    if text in ("", "~", "null"):
        return None
    return _SPECIAL.get(text.lower(), text)


def _whole_number(digits: str) -> float | str:
    """A float, as in the other formats; a number of a thousand digits is none."""
    return float(digits) if len(digits) < 20 else digits[:40]


def _with_matrices(path: Path, value: Any, depth: int) -> Any:
    """Maps that describe a matrix as arrays; long lists cut."""
    if depth > _MAX_DEPTH:
        raise ValueError("nested too deep")
    if isinstance(value, list):
        return [_with_matrices(path, item, depth + 1) for item in value[:_MAX_NUMBERS]]
    if not isinstance(value, dict):
        return value
    if {"dt", "data"} <= set(value) and ("sizes" in value or {"rows", "cols"} <= set(value)):
        return _matrix(path, value)
    return {str(key): _with_matrices(path, item, depth + 1) for key, item in value.items()}


def _matrix(path: Path, value: dict[str, Any]) -> Any:
    """An array; None for one too large to matter; InputError where numbers lack."""
    sizes = value["sizes"] if "sizes" in value else [value["rows"], value["cols"]]
    sizes = sizes if isinstance(sizes, list) else [sizes]
    shape = [int(n) if isinstance(n, float) and 0 <= n < 1e9 else -1 for n in sizes[:8]]
    if channels := re.match(r"[2-9]", str(value["dt"])):
        shape.append(int(channels[0]))
    data = value["data"] if isinstance(value["data"], list) else [value["data"]]
    data = [] if data in ([None], [""]) else data
    if len(data) > _MAX_NUMBERS:
        return None
    whole = all(isinstance(number, float) for number in data)
    if min(shape, default=0) < 0 or prod(shape) != len(data) or not whole:
        reason = f"a matrix of {' x '.join(map(str, shape))} has {len(data)} numbers"
        raise InputError(path, reason, "save it again")
    return np.array(data, np.float64).reshape(shape)
