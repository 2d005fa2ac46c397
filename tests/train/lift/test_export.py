"""An exported network answers what it answered before, from a file of half the size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxscript")

import onnxruntime as ort  # noqa: E402

from kinefit.train.lift.batches import NONE, draw, some_frames  # noqa: E402
from kinefit.train.lift.export import export  # noqa: E402
from kinefit.train.lift.loop import answers_of  # noqa: E402
from kinefit.train.lift.networks import NAMES, Sequence  # noqa: E402

from .swaying import clips  # noqa: E402


def test_answers_stay_and_matrices_are_stored_in_half_precision(tmp_path: Path) -> None:
    torch.manual_seed(0)
    network = Sequence(24, 1, 2).eval()
    batch = draw(clips(3, 100), np.random.default_rng(0), np.arange(3), NONE)
    export(network, tmp_path / "net.onnx", {"model": "small"})
    session = ort.InferenceSession(str(tmp_path / "net.onnx"))
    found = session.run(None, {"points": batch.points, "person": batch.person})
    before = answers_of(network, batch)
    assert [one.name for one in session.get_outputs()] == list(NAMES)
    for name, values in zip(NAMES, found, strict=True):
        # Half precision has 11 bits; concentrations are exponentials and reach hundreds.
        np.testing.assert_allclose(values, before[name], atol=5e-3, rtol=1e-2, err_msg=name)
    stored = sum(one.ByteSize() for one in onnx.load(tmp_path / "net.onnx").graph.initializer)
    whole = sum(4 * p.numel() for p in network.parameters())
    assert stored < 0.6 * whole


def test_some_frames_are_consecutive_and_the_same_of_everything() -> None:
    batch = draw(clips(3, 100), np.random.default_rng(0), np.arange(3), NONE)
    few = some_frames(batch, np.random.default_rng(1), 3)
    first = next(i for i in range(79) if np.array_equal(batch.points[:, i : i + 3], few.points))
    for values, some in zip(batch, few, strict=True):
        np.testing.assert_array_equal(values[:, first : first + 3], some)
