"""A trained network as an ONNX file, which needs no PyTorch."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxscript  # noqa: F401  # of which the exporter says only at the end that it lacks it
import torch
from torch import nn

from kinefit.io.atomic import atomic_path


def export(
    network: nn.Module, path: Path, inputs: Mapping[str, tuple[int, ...]],
    outputs: Sequence[str], about: Mapping[str, str],
) -> None:  # fmt: skip
    """Write `path`: a network from `inputs`, each (B, *shape) for any number B of windows, to a
    tuple of `outputs`. about: remarks, kept in the file."""
    example = tuple(torch.zeros(2, *shape) for shape in inputs.values())
    with atomic_path(path) as partial, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter about its own future
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        torch.onnx.export(
            network.eval(), example, str(partial), input_names=list(inputs),
            output_names=list(outputs), dynamo=True, external_data=False, verbose=False,
            dynamic_shapes=tuple({0: torch.export.Dim("B", min=1)} for _ in inputs),
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
    it is read. Answers change by 0.01 degrees."""
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
