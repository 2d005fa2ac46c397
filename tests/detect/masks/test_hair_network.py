"""A user's hair network: ONNX and TensorFlow Lite files, and what is none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.detect.blazepose import weights
from kinefit.detect.masks.hair_network import HairModel
from kinefit.io.video import Picture
from kinefit.types import InputError

onnx = pytest.importorskip("onnx")

SIDE = 16
STILL = np.array([[1.0, 0, 0], [0, 1, 0]])


def network(path: Path, first: bool, outputs: int) -> Path:
    """One that says the red of each pixel; of several classes, as that of the second."""
    from onnx import TensorProto, helper, numpy_helper

    shape = [1, 3, SIDE, SIDE] if first else [1, SIDE, SIDE, 3]
    axis = 1 if first else 3
    which = [0] if outputs == 1 else [1, 0, 2]
    nodes = [helper.make_node("Gather", ["in", "which"], ["out"], axis=axis)]
    graph = helper.make_graph(
        nodes, "red",
        [helper.make_tensor_value_info("in", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.array(which, np.int64), "which")],
    )  # fmt: skip
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), str(path))
    return path


@pytest.fixture
def red() -> Picture:
    """Red on the left."""
    picture = np.zeros((64, 64, 3), np.uint8)
    picture[:, :32, 0] = 255
    return picture


@pytest.mark.parametrize("first", [True, False])
@pytest.mark.parametrize("outputs", [1, 3])
def test_its_channel_of_hair_is_read(
    tmp_path: Path, red: Picture, first: bool, outputs: int
) -> None:
    hair = HairModel(network(tmp_path / "net.onnx", first, outputs))(red, STILL, 64)
    assert hair.shape == (64, 64)
    # The border is a pixel of the network, four of the picture, wide.
    assert hair[:, :28].min() > 0.99
    assert hair[:, 36:].max() < 0.01


def test_another_channel_is_another_class(tmp_path: Path, red: Picture) -> None:
    model = HairModel(network(tmp_path / "net.onnx", True, 3), channel=0)
    assert model(red, STILL, 64).max() < 0.01


def test_the_region_may_be_a_part_of_the_picture(tmp_path: Path, red: Picture) -> None:
    model = HairModel(network(tmp_path / "net.onnx", True, 1))
    right = np.array([[0.5, 0, 32], [0, 0.5, 16]])
    assert model(red, right, 64).max() < 0.01
    both = np.array([[0.5, 0, 16], [0, 0.5, 16]])
    hair = model(red, both, 64)
    assert hair[:, :28].min() > 0.99
    assert hair[:, 36:].max() < 0.01


def test_a_tflite_file_is_read(tmp_path: Path, red: Picture) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(weights("pose_landmark_full"))  # its heatmaps, or its mask
    hair = HairModel(path)(red, STILL, 64)
    assert hair.shape == (64, 64)
    assert 0 <= hair.min() <= hair.max() <= 1


def test_what_is_no_hair_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be read"):
        HairModel(tmp_path / "none.onnx")
    text = tmp_path / "text.onnx"
    text.write_text("hair")
    with pytest.raises(InputError, match="no hair network"):
        HairModel(text)
    people = tmp_path / "people.tflite"
    people.write_bytes(weights("pose_detection"))
    with pytest.raises(InputError, match="no output for each pixel"):
        HairModel(people)
    with pytest.raises(InputError, match="no channel 7"):
        HairModel(network(tmp_path / "net.onnx", True, 3), channel=7)
