"""Training that is cut off and goes on, is refused, and stops by itself."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from kinefit.train.lift import registry  # noqa: E402
from kinefit.train.lift.batches import NONE, draw  # noqa: E402
from kinefit.train.lift.loop import Training, answers_of, train  # noqa: E402
from kinefit.train.lift.networks import NAMES, Sequence  # noqa: E402
from kinefit.train.lift.published import SemGCN, SemGCNTemporal  # noqa: E402
from kinefit.train.lift.sequences import Sequences  # noqa: E402
from kinefit.types import InvalidData  # noqa: E402

from .swaying import clips  # noqa: E402

SMALL = Training(model="small", steps=6, batch=3, warm_up=2, average=3, check=2, seed=3)


@pytest.fixture(autouse=True)
def _small_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    made = {
        "small": lambda: Sequence(24, 1, 2),
        "graph": lambda: SemGCN(16, 1),
        "temporal": lambda: SemGCNTemporal(16, 1),
    }
    monkeypatch.setattr(registry, "NETWORKS", made)


@pytest.fixture(scope="module")
def data() -> Sequences:
    return clips(5, 100)


@pytest.fixture(scope="module")
def held_out() -> Sequences:
    return clips(2, 90, seed=1)


def _checkpoint(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = torch.load(folder / "checkpoint.pt", weights_only=True)
    return found


def _metrics(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "metrics.jsonl").read_text("utf-8").splitlines()
    return [{k: v for k, v in json.loads(line).items() if k != "seconds"} for line in lines]


@pytest.mark.parametrize("model", ["small", "temporal"])
def test_a_run_that_goes_on_ends_with_the_same_bits(
    data: Sequences, held_out: Sequences, tmp_path: Path, model: str
) -> None:
    how = replace(SMALL, model=model)
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    scores = train(whole, data, held_out, how)
    steps: list[int] = []
    train(parts, data, held_out, how, until=lambda: True)
    assert _checkpoint(parts)["step"] == 2
    torch.manual_seed(99)  # what happened meanwhile does not matter
    again = train(parts, data, held_out, how, progress=lambda step, scores: steps.append(step))
    assert steps == [4, 6]
    assert scores == again
    assert _metrics(whole) == _metrics(parts)
    a, b = _checkpoint(whole), _checkpoint(parts)
    assert a["step"] == b["step"] == 6
    for kind in ("network", "average"):
        for name, value in a[kind].items():
            assert torch.equal(value, b[kind][name]), name
    for number, state in a["adam"]["state"].items():
        for name, value in state.items():
            assert torch.equal(value, b["adam"]["state"][number][name])
    # The average is one, and the weights have moved.
    assert any(not torch.equal(v, a["network"][n]) for n, v in a["average"].items())
    # A finished run is only judged.
    assert train(parts, data, held_out, how) == scores
    assert len(_metrics(parts)) == 3


def test_the_seed_decides(data: Sequences, held_out: Sequences, tmp_path: Path) -> None:
    how = replace(SMALL, steps=2)
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        train(tmp_path / name, data, held_out, replace(how, seed=seed))
    a, b, c = (_checkpoint(tmp_path / name)["network"] for name in "abc")
    assert all(torch.equal(value, b[name]) for name, value in a.items())
    assert not all(torch.equal(value, c[name]) for name, value in a.items())


def test_other_settings_are_refused(data: Sequences, held_out: Sequences, tmp_path: Path) -> None:
    how = replace(SMALL, steps=2)
    train(tmp_path, data, held_out, how)
    for other in (replace(how, rate=2e-3), replace(how, model="graph"), replace(how, steps=4)):
        with pytest.raises(InvalidData, match="other settings"):
            train(tmp_path, data, held_out, other)
    with pytest.raises(InvalidData, match="other settings"):
        train(tmp_path, data, held_out, how, NONE)


def test_a_run_that_gets_no_better_stops(
    data: Sequences, held_out: Sequences, tmp_path: Path
) -> None:
    how = replace(SMALL, model="graph", rate=0.0, steps=100, patience=2)
    train(tmp_path, data, held_out, how)
    # The first check is the best so far; two more are no better.
    assert [line["step"] for line in _metrics(tmp_path)] == [2, 4, 6]
    train(tmp_path, data, held_out, how)
    assert len(_metrics(tmp_path)) == 3


def test_what_it_is_trained_for_gets_better(
    data: Sequences, held_out: Sequences, tmp_path: Path
) -> None:
    how = replace(SMALL, model="graph", steps=60, batch=8, rate=1e-2, check=10, warm_up=5)
    train(tmp_path, data, held_out, how, NONE)
    found = [line["clean"] for line in _metrics(tmp_path)]
    assert found[-1] < 0.85 * found[0]  # degrees: 43 at the first check, 32 at the last


def test_answers_do_not_depend_on_how_many_are_asked_at_once(held_out: Sequences) -> None:
    batch = draw(held_out, np.random.default_rng(0), np.array([0, 1, 0]), NONE)
    network = registry.make_network("small").eval()
    a, b = (answers_of(network, batch, together=count) for count in (1, 64))
    assert set(a) == set(NAMES)
    for name in NAMES:
        np.testing.assert_allclose(a[name], b[name], atol=1e-5, rtol=1e-5)
