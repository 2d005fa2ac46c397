"""TOML of a stranger: Python's own reader, once it is known not to take the memory."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

from kinefit.io import limits
from kinefit.io.text import decode, read_bytes
from kinefit.types import InputError

# A key of many parts (a.a.a. ...) takes memory with the square of their number.
_DEEP_KEY = re.compile(r"^[^,=\n]*(?:\.[^,=\n.]*){32}", re.MULTILINE)


def read_toml(path: Path) -> dict[str, Any]:
    """The document; raises InputError, naming the line where there is one."""
    text = decode(read_bytes(path, limits.TOML_BYTES))
    if _DEEP_KEY.search(text):
        raise InputError(path, "is not valid TOML: a key has over 32 parts", "check the file")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError
        raise InputError(path, f"is not valid TOML: {error}", "correct that line") from error
