"""An independent reader of packed scenes, after the docstring of `pack_scene`."""

from __future__ import annotations

import base64
import gzip
import json
import re
import struct
from typing import Any

import numpy as np


def read_scene(packed: bytes) -> dict[str, Any]:
    """The header with arrays in place of their entries; NaN where missing."""
    whole = gzip.decompress(packed)
    (length,) = struct.unpack("<I", whole[:4])
    body = whole[4 + length :]

    def read(value: Any) -> Any:
        if isinstance(value, list):
            return [read(one) for one in value]
        if not isinstance(value, dict):
            return value
        if "at" not in value:
            return {name: read(one) for name, one in value.items()}
        count = int(np.prod(value["shape"]))
        array = np.frombuffer(body, f"<{value['kind']}", count, value["at"]).reshape(value["shape"])
        if value["kind"] != "i2":
            return array
        return np.where(array == -32768, np.nan, array * value["step"])

    return read(json.loads(whole[4 : 4 + length]))  # type: ignore[no-any-return]


def scenes_of(page: str) -> list[dict[str, Any]]:
    """All scenes of a page."""
    found = re.findall(
        r'<script type="application/octet-stream" class="scene">(.*?)</script>', page
    )
    return [read_scene(base64.b64decode(one)) for one in found]
