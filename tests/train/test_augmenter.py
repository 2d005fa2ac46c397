"""The augmenter's networks against the files that they were made from, which Pose2Sim carries."""

from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

onnx = pytest.importorskip("onnx")
if find_spec("Pose2Sim") is None:
    pytest.skip("needs Pose2Sim", allow_module_level=True)

from kinefit.train.augmenter import fused  # noqa: E402  # of these


def original(name: str) -> "onnx.ModelProto":
    (root,) = find_spec("Pose2Sim").submodule_search_locations
    return onnx.load(str(Path(root) / f"MarkerAugmenter/LSTM/v0.3_{name}/model.onnx"))


@pytest.mark.parametrize("name", ["lower", "upper"])
def test_they_say_what_the_original_says(name):
    theirs = original(name)
    ours = (files("kinefit") / "weights" / f"augmenter_{name}.onnx").read_bytes()
    assert fused(theirs).SerializeToString() == ours
    features = theirs.graph.input[0].type.tensor_type.shape.dim[2].dim_value
    given = np.random.default_rng(0).normal(size=(3, 200, features)).astype(np.float32)
    (a,), (b,) = (
        ort.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"inputs": given})
        for model in (theirs.SerializeToString(), ours)
    )
    assert np.abs(a).max() > 0.1  # statures
    # Single precision: sums of 128 products in another order. A millionth of a stature is 2 um.
    np.testing.assert_allclose(b, a, atol=1e-6)


def test_another_network_is_refused():
    theirs = original("lower")
    del theirs.graph.node[10:]
    with pytest.raises(ValueError, match="LSTM"):
        fused(theirs)
