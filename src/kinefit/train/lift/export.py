"""A trained lifter as an ONNX file, which needs no PyTorch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxscript  # noqa: F401  # of which the exporter says only at the end that it lacks it
import torch
from torch import Tensor, nn

from kinefit.io.atomic import atomic_path
from kinefit.lift.inputs import LIMBS, PERSON_CHANNELS, POINT_CHANNELS, POINTS, WINDOW
from kinefit.train.lift.networks import NAMES


class _Plain(nn.Module):
    """The network with a plain tuple of those outputs that it learned: a network's `answers`, of
    its first `limb_count` limbs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.names: tuple[str, ...] = getattr(network, "answers", NAMES)
        self.limbs: int = getattr(network, "limb_count", len(LIMBS))

    def forward(self, points: Tensor, person: Tensor) -> tuple[Tensor, ...]:
        found = self.network(points, person)
        each = ((name, getattr(found, name)) for name in self.names)
        return tuple(v[:, :, : self.limbs] if name in _OF_LIMBS else v for name, v in each)


_OF_LIMBS = ("directions", "concentration", "away")


def export(network: nn.Module, path: Path, about: Mapping[str, str]) -> None:
    """Write `path`: inputs `points` (B, WINDOW, J, 8) and `person` (B, WINDOW, 4), outputs of
    `Answers`, any number B of windows. about: remarks, kept in the file."""
    shapes = (WINDOW, len(POINTS), POINT_CHANNELS), (WINDOW, PERSON_CHANNELS)
    example = tuple(torch.zeros(2, *shape) for shape in shapes)
    with atomic_path(path) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about its own future
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        plain = _Plain(network).eval()
        torch.onnx.export(
            plain, example, str(partial), input_names=["points", "person"],
            output_names=list(plain.names), dynamo=True, external_data=False, verbose=False,
            dynamic_shapes=({0: torch.export.Dim("B", min=1)}, {0: torch.export.Dim("B", min=1)}),
        )  # fmt: skip
        model = onnx.load(str(partial))
        del model.metadata_props[:]
        for key, value in about.items():
            model.metadata_props.add(key=key, value=value)
        for node in model.graph.node:  # the exporter's remarks name files of this machine
            node.doc_string = ""
            del node.metadata_props[:]
        _halve(model.graph)
        onnx.save(model, str(partial))


_SMALL = 1024  # numbers: fewer stay as they are


def _halve(graph: onnx.GraphProto) -> None:
    """Stores matrices in half precision, which is half the file; they are single again as soon as
    it is read. Directions change by 0.01 degrees."""
    casts = []
    for weight in graph.initializer:
        values = onnx.numpy_helper.to_array(weight)
        if values.dtype != np.float32 or values.size < _SMALL:
            continue
        name, half = weight.name, f"{weight.name}.half"
        weight.CopyFrom(onnx.numpy_helper.from_array(values.astype(np.float16), half))
        casts.append(onnx.helper.make_node("Cast", [half], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
