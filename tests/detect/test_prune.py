"""Networks without an output: all others stay the same to the last bit."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

from kinefit.detect.blazepose import LandmarkNetwork, weights
from kinefit.detect.prune import without_output
from kinefit.detect.quiet import quiet

MASK = (1, 256, 256, 1)


def outputs(content: bytes, picture: np.ndarray) -> dict[tuple[int, ...], bytes]:
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        net = Interpreter(model_content=content, num_threads=1)
        net.allocate_tensors()
    net.set_tensor(net.get_input_details()[0]["index"], picture)
    net.invoke()
    told: Any = net.get_output_details()
    return {tuple(o["shape"].tolist()): net.get_tensor(o["index"]).tobytes() for o in told}


@pytest.mark.parametrize("name", ["pose_landmark_full", "pose_landmark_heavy"])
def test_the_other_outputs_are_the_same(name: str) -> None:
    picture = np.random.default_rng(0).random((1, 256, 256, 3)).astype(np.float32)
    whole = outputs(weights(name), picture)
    pruned = outputs(without_output(weights(name), MASK), picture)
    assert whole.pop(MASK)
    assert pruned == whole


def test_poses_are_the_same_with_and_without_masks() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (300, 200, 3), dtype=np.uint8)
    place = np.array([100.0, 180, 100, 60])
    one, other = (LandmarkNetwork(masks=masks)(picture, place) for masks in (False, True))
    assert one.values.tobytes() == other.values.tobytes()
    assert (one.mask is None, other.mask is None) == (True, False)


def test_what_has_no_such_output_stays_as_it_is() -> None:
    content = weights("pose_detection")
    assert without_output(content, MASK) is content


def test_without_the_table_of_the_format_the_network_stays_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    without_output.cache_clear()
    monkeypatch.setitem(sys.modules, "ai_edge_litert.schema_py_generated", None)
    content = weights("pose_landmark_full")
    assert without_output(content, MASK) is content
    without_output.cache_clear()
