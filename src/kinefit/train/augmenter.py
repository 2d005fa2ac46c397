"""The marker augmenter's networks with each layer as one ONNX LSTM, in place of a loop of steps.

    python -m kinefit.train.augmenter MODEL.onnx OUT.onnx

The converted Keras networks (see `kinefit/weights/augmenter.md`) run every step of every layer as
seventeen operations of a Loop. ONNX's LSTM does the same sums in a fifth of the time for one pass
and two thirds for twenty at once, so that the time of a pass hardly depends on how many share a
call.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from kinefit.types import FloatArray

_OPSET, _IR = 13, 7  # of the networks as they came
_LOOP_INPUTS = 9  # counter, condition, step, h, c, length, and then the three arrays of a layer


def fused(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same function from "inputs" (N, T, F) to "output_0" (N, T, M), from a zero state.

    Raises ValueError for a model that is not layers of LSTM loops and one dense layer.
    """
    known = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    loops = [n for n in model.graph.node if n.op_type == "Loop" and len(n.input) == _LOOP_INPUTS]
    dense = [known[n.input[1]] for n in model.graph.node if n.op_type == "MatMul"]
    bias = [v for name, v in known.items() if name.endswith("BiasAdd/ReadVariableOp:0")]
    if not loops or len(dense) != 1 or len(bias) != 1:
        raise ValueError("the model is not layers of LSTM loops with one dense layer")
    nodes = [helper.make_node("Transpose", ["inputs"], ["x0"], perm=[1, 0, 2])]
    arrays = {"direction": np.array([1]), "dense": dense[0], "bias": bias[0]}
    for i, loop in enumerate(loops):
        layer = _layer(*(known[name] for name in loop.input[-3:]))
        arrays |= {f"{name}{i}": array for name, array in zip("WRB", layer, strict=True)}
        given = [f"x{i}", *(f"{name}{i}" for name in "WRB")]
        nodes.append(helper.make_node("LSTM", given, [f"y{i}"], hidden_size=layer[1].shape[2]))
        nodes.append(helper.make_node("Squeeze", [f"y{i}", "direction"], [f"x{i + 1}"]))
    nodes += [
        helper.make_node("MatMul", [f"x{len(loops)}", "dense"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["sum"]),
        helper.make_node("Transpose", ["sum"], ["output_0"], perm=[1, 0, 2]),
    ]
    features, outputs = arrays["W0"].shape[2], len(bias[0])
    graph = helper.make_graph(
        nodes,
        "augmenter",
        [helper.make_tensor_value_info("inputs", TensorProto.FLOAT, ["N", "T", features])],
        [helper.make_tensor_value_info("output_0", TensorProto.FLOAT, ["N", "T", outputs])],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", _OPSET)], ir_version=_IR)
    onnx.checker.check_model(made, full_check=True)
    return made


def _layer(
    kernel: FloatArray, recurrent: FloatArray, bias: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """W, R, B as ONNX has them, of Keras' (F, 4H), (H, 4H), (4H,): gates in the order input,
    output, forget, cell in place of input, forget, cell, output; one bias for both products."""
    gates = np.arange(len(bias)).reshape(4, -1)[[0, 3, 1, 2]].ravel()
    both = np.concatenate([bias[gates], np.zeros_like(bias)])
    W, R = (np.ascontiguousarray(each.T[gates][None]) for each in (kernel, recurrent))
    return W, R, both[None]


if __name__ == "__main__":
    source, target = sys.argv[1:]
    Path(target).write_bytes(fused(onnx.load(source)).SerializeToString())
