"""A few steps of training lower the error that stays, of one table and of several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from kinefit.biomech.refine import JointRefiner  # noqa: E402
from kinefit.biomech.refine.table import CHANNELS, FUSED_CHANNELS  # noqa: E402
from kinefit.lift.windows import WINDOW  # noqa: E402
from kinefit.train.loop import Training, train  # noqa: E402
from kinefit.train.refine.batches import NONE  # noqa: E402
from kinefit.train.refine.networks import JointNetwork, MainNetwork  # noqa: E402
from kinefit.train.refine.tasks import Fusing, Refining  # noqa: E402
from kinefit.train.refine.train_refine import train_refine  # noqa: E402
from kinefit.types import InputError  # noqa: E402

from .made_up import clips  # noqa: E402

QUICK = Training("joint", steps=24, batch=8, rate=3e-3, warm_up=4, average=4, check=12)


def test_the_networks_have_the_size_that_their_cards_say() -> None:
    sizes = {net: sum(p.numel() for p in net().parameters()) for net in (JointNetwork, MainNetwork)}
    assert sizes[JointNetwork] == 922_904
    assert sizes[MainNetwork] == 658_108


@pytest.mark.parametrize(("network", "channels"),
                         [(JointNetwork, CHANNELS), (MainNetwork, FUSED_CHANNELS)])  # fmt: skip
def test_windows_do_not_see_one_another(network: type, channels: int) -> None:
    torch.manual_seed(0)
    net = network().eval()
    x = torch.randn(3, WINDOW, 12, channels)
    with torch.inference_mode():
        whole, alone = net(x), net(x[1:2])
    for a, b in zip(whole, alone, strict=True):
        assert a.shape == (3, WINDOW, 12, 3)
        assert torch.allclose(a[1:2], b, atol=1e-5)


def test_attention_sees_the_chain_and_the_time() -> None:
    """A joint's answer depends on other joints and moments, and its first guess is nothing."""
    torch.manual_seed(0)
    net = JointNetwork()
    x = torch.randn(1, WINDOW, 12, CHANNELS, requires_grad=True)
    said = net(x)
    assert said.correction.abs().max() < 3  # degrees, untrained
    said.correction[0, 40, 3].sum().backward()
    reach = x.grad.abs().sum(-1)[0]
    assert (reach.sum(0) > 0).all()
    assert (reach.sum(1) > 0).all()


def test_untrained_it_is_a_mean_of_its_sources() -> None:
    torch.manual_seed(0)
    net = MainNetwork()
    x = torch.randn(2, WINDOW, 12, FUSED_CHANNELS)
    off = 10 * x[..., -12:].unflatten(-1, (4, 3))
    found = net(x).correction
    low, high = off.amin(-2).clamp(max=0), off.amax(-2).clamp(min=0)
    # What is wrong with all of them is about nothing yet: 3 degrees.
    assert ((found >= low - 3) & (found <= high + 3)).all()


def test_training_lowers_the_error_that_stays(tmp_path: Path) -> None:
    scores = train(tmp_path, Refining(clips(6), clips(2, seed=9), NONE), QUICK)
    assert scores["before"] == pytest.approx(6, abs=0.3)
    assert scores["after"] < 0.75 * scores["before"]


def test_the_main_network_prefers_the_better_table(tmp_path: Path) -> None:
    task = Fusing(clips(6), clips(2, seed=9), NONE, joint=_Nothing())
    scores = train(tmp_path, task, QUICK)
    assert scores["after"] < 0.8 * scores["before"]


class _Nothing(JointRefiner):
    """Leaves angles as they are."""

    def answers(self, inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shape = (*inputs.shape[:-1], 3)
        return np.zeros(shape), np.full(shape, 5.0)


def test_a_trained_file_does_what_the_network_did(tmp_path: Path) -> None:
    for name, count, seed in (("train", 4, 0), ("held", 2, 9)):
        (tmp_path / name).mkdir()
        np.savez(tmp_path / name / "angles_00000.npz", **clips(count, seed=seed).arrays())
    data, held, out = (tmp_path / name for name in ("train", "held", "out"))
    how = {"steps": 3, "batch": 4, "rate": 1e-3, "seed": 0, "minutes": None}
    steps: list[int] = []
    file = train_refine(data, held, out, model="joint", joint=None, **how,
                        progress=lambda step, scores: steps.append(step))  # fmt: skip
    assert steps == [3]
    assert file == out / "refine_joint.onnx"
    inputs = np.random.default_rng(0).normal(size=(2, WINDOW, 12, CHANNELS))
    correction, sd = JointRefiner(file).answers(inputs)
    network = JointNetwork()
    network.load_state_dict(torch.load(out / "checkpoint.pt", weights_only=True)["best_average"])
    with torch.inference_mode():
        said = network.eval()(torch.as_tensor(inputs, dtype=torch.float32))
    # Weights are stored in half precision: 0.01 degrees of corrections of a few.
    assert np.abs(correction - said.correction.numpy()).max() < 0.02
    assert np.allclose(np.log(sd), said.log_sd.numpy(), atol=0.02)
    with pytest.raises(InputError, match="no model"):
        train_refine(data, held, out, model="other", joint=None, **how,
                     progress=lambda step, scores: None)  # fmt: skip
