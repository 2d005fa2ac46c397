"""A network without the outputs that nobody asks for: what only leads to them is not computed.

BlazePose's landmark network spends 43 % of its time on the mask (8.2 -> 4.7 ms), which is
looked at only for masks. All other outputs stay the same to the last bit. TensorFlow Lite
runs every operator of a model, so they are taken out of the lists in a copy in memory. (To read
the whole model into objects and write it again takes 0.2 s, of the "heavy" network.)
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

_OUTPUTS, _OPERATORS, _SIGNATURES = 8, 10, 18  # where tables of the format name their lists


@lru_cache(maxsize=4)
def without_output(content: bytes, shape: tuple[int, ...]) -> bytes:
    """The .tflite model without its output of that shape; as it is where it has none, or where the
    installed LiteRT has no table of the format."""
    try:
        import ai_edge_litert.schema_py_generated as schema
    except ImportError:
        return content
    copy = bytearray(content)
    model = schema.Model.GetRootAs(copy, 0)
    graph = model.Subgraphs(0)
    outputs = _listed(graph.OutputsAsNumpy())
    kept = [t for t in outputs if tuple(_listed(graph.Tensors(t).ShapeAsNumpy())) != shape]
    if len(kept) == len(outputs):
        return content
    operators = [graph.Operators(k) for k in range(graph.OperatorsLength())]
    maker = {t: k for k, one in enumerate(operators) for t in _listed(one.OutputsAsNumpy())}
    needed, waiting = set(), list(kept)
    while waiting:
        k = maker.get(waiting.pop())
        if k is not None and k not in needed:
            needed.add(k)
            waiting += _listed(operators[k].InputsAsNumpy())
    _keep(graph, _OPERATORS, sorted(needed), relative=True)
    _keep(graph, _OUTPUTS, [outputs.index(t) for t in kept], relative=False)
    if model.SignatureDefsLength():
        _keep(model, _SIGNATURES, [], relative=True)
    return bytes(copy)


def _listed(items: Any) -> list[int]:
    """As the format's tables give a list: 0 stands for none."""
    return [] if isinstance(items, int) else list(items.tolist())


def _keep(table: Any, field: int, places: Sequence[int], *, relative: bool) -> None:
    """Shorten a list of a FlatBuffers table, in place, to the items at some places.

    A list is the number of its 32-bit items, and these. relative: an item says how many bytes after
    itself that lies for which it stands.
    """
    tab = table._tab
    start, length = tab.Vector(tab.Offset(field)), tab.VectorLen(tab.Offset(field))
    items = np.frombuffer(tab.Bytes, "<u4", length, start)
    at = np.arange(length, dtype="<u4") * np.uint32(4 if relative else 0)
    items[: len(places)] = (items + at)[list(places)] - at[: len(places)]
    np.frombuffer(tab.Bytes, "<u4", 1, start - 4)[0] = len(places)
