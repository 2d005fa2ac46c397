"""What lifters are trained for: densities that are densities, and gradients where something is
known."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from kinefit.train.lift.batches import NONE, Batch, Disturbance, draw  # noqa: E402
from kinefit.train.lift.losses import WEIGHTS, judged, losses, total, von_mises_fisher  # noqa: E402
from kinefit.train.lift.networks import NAMES, Answers  # noqa: E402

from .swaying import clips  # noqa: E402


@pytest.fixture(scope="module")
def batch() -> dict[str, torch.Tensor]:
    drawn = draw(clips(5, 90), np.random.default_rng(0), np.arange(5), Disturbance())
    return {name: torch.as_tensor(values) for name, values in drawn._asdict().items()}


def _truth(batch: dict[str, torch.Tensor]) -> Answers:
    """Answers that are right, and sure of it."""
    sure = torch.full(batch["directions"].shape[:-1], 1000.0)
    return Answers(
        directions=batch["directions"], concentration=sure,
        away=torch.where(batch["directions"][..., 2] > 0, 40.0, -40.0),
        contact=80 * batch["contact"].nan_to_num() - 40, up=batch["up"],
        up_concentration=sure[..., 0], shift=batch["shift"].nan_to_num(),
        log_sigma=torch.full(batch["shift"].shape[:-1], -4.0), swapped=80 * batch["swapped"] - 40,
    )  # fmt: skip


def _leaves(answers: Answers) -> Answers:
    return Answers(*(values.clone().requires_grad_() for values in answers))


@pytest.mark.parametrize("k", [1.0, 3.0, 50.0, 5000.0])
def test_von_mises_fisher_is_a_density(k: float) -> None:
    """Over the sphere it comes to one: equal areas are equal steps of the cosine."""
    edges = 1 - 2 * np.linspace(0, 1, 200_001) ** 4  # steps are small where it is steep
    cosine = torch.as_tensor((edges[1:] + edges[:-1]) / 2)
    answer = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    true = torch.stack([(1 - cosine**2).clamp_min(0).sqrt(), 0 * cosine, cosine], -1)
    density = torch.exp(-von_mises_fisher(answer, true, torch.tensor(k, dtype=torch.float64)))
    area = 2 * np.pi * -np.diff(edges)
    assert float(density.numpy() @ area) / (2 * np.pi) == pytest.approx(1, abs=1e-5)


def test_the_truth_costs_nothing(batch: dict[str, torch.Tensor]) -> None:
    parts = losses(_truth(batch), batch)
    assert set(parts) == set(WEIGHTS)
    for name, value in parts.items():
        # 1e-4: the root of what keeps the roots' slopes finite.
        assert "spread" in name or float(value) < 2e-4, name


def test_gradients_are_finite_at_the_truth_and_away_from_it(batch: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(0)
    wrong = Answers(*(torch.randn_like(values).abs() + 0.1 for values in _truth(batch)))
    for answers in (_leaves(_truth(batch)), _leaves(wrong)):
        total(losses(answers, batch)).backward()
        for name in NAMES:
            gradient = getattr(answers, name).grad
            assert gradient is not None, name
            assert gradient.isfinite().all(), name
    assert all(getattr(answers, name).grad.any() for name in NAMES)  # of the wrong ones


def test_what_is_unknown_pulls_at_nothing(batch: dict[str, torch.Tensor]) -> None:
    unknown = dict(batch)
    directions, contact, shift = (batch[n].clone() for n in ("directions", "contact", "shift"))
    directions[:, :, 3] = 0
    directions[:, 20:30, 5] = 0
    contact[:, :, 1] = torch.nan
    shift[:, :, 4] = torch.nan
    there = batch["there"].clone()
    there[:, 70:] = 0
    unknown.update(directions=directions, contact=contact, shift=shift, there=there)
    torch.manual_seed(0)
    answers = _leaves(Answers(*(torch.randn_like(values).abs() + 0.1 for values in _truth(batch))))
    total(losses(answers, unknown)).backward()
    for name in ("directions", "concentration", "away"):
        gradient = getattr(answers, name).grad
        assert not gradient[:, :, 3].any(), name
        assert not gradient[:, 20:30, 5].any(), name
        assert gradient[:, :20, 5].any(), name
    assert not answers.contact.grad[..., 1].any()
    assert not answers.shift.grad[:, :, 4].any()
    assert not answers.log_sigma.grad[:, :, 4].any()
    for name in NAMES:
        assert not getattr(answers, name).grad[:, 70:].any(), name


def test_spreads_do_not_pull_at_what_is_answered(batch: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(0)
    answers = _leaves(Answers(*(torch.rand_like(values) + 0.1 for values in _truth(batch))))
    parts = losses(answers, batch)
    for name in ("spread", "up_spread", "shift_spread"):
        parts[name].backward(retain_graph=True)
    for name in ("directions", "up", "shift"):
        assert getattr(answers, name).grad is None


def test_other_weights_replace_those_they_name(batch: dict[str, torch.Tensor]) -> None:
    parts = losses(_truth(batch), batch)
    more = float(total(parts, {"away": WEIGHTS["away"] + 100}) - total(parts))
    assert more == pytest.approx(100 * float(parts["away"]), abs=1e-5)
    assert set(WEIGHTS) == set(parts)


def test_the_judge_finds_the_truth_right_and_a_known_error_as_large_as_it_is() -> None:
    batch = draw(clips(5, 90), np.random.default_rng(0), np.arange(5), NONE)
    tensors = {name: torch.as_tensor(values) for name, values in batch._asdict().items()}
    answers = {n: np.asarray(v, np.float64) for n, v in _truth(tensors)._asdict().items()}
    scores = judged(answers, batch)
    assert scores["angle"] < 0.1  # degrees: single precision near a cosine of 1
    assert scores["z_sign"] == scores["contact_recall"] == 1
    assert scores["shift"] == pytest.approx(0, abs=1e-6)
    answers["directions"] = _off_by(answers["directions"], np.radians(10))
    scores = judged(answers, Batch(*batch))
    assert scores["clean"] == pytest.approx(10, abs=0.01)
    assert scores["median"] == pytest.approx(10, abs=0.01)


def _off_by(directions: np.ndarray, angle: float) -> np.ndarray:
    across = np.cross(directions, [0.3, 0.5, 0.8])
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    return np.cos(angle) * directions + np.sin(angle) * across
