"""The training of a lifter."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinefit.lift.windows import WINDOW
from kinefit.train import loop
from kinefit.train.lift.batches import NONE, Batch, Disturbance, draw, some_frames
from kinefit.train.lift.losses import judged, losses, total
from kinefit.train.lift.networks import NAMES, Answers
from kinefit.train.lift.registry import make_network
from kinefit.train.lift.sequences import Sequences
from kinefit.train.loop import Training as Training
from kinefit.types import FloatArray


@dataclass(frozen=True, eq=False)
class Lifting:
    """Directions of limbs from detected points. shares: (S,) how often each clip is drawn, sum 1;
    None: all alike."""

    model: str
    data: Sequences
    held_out: Sequences
    disturbance: Disturbance
    shares: FloatArray | None = None
    judged_by = "clean"

    def __post_init__(self) -> None:
        _ = self._frames  # not in a thread: it makes a network

    def network(self) -> nn.Module:
        return make_network(self.model)

    def about(self) -> Mapping[str, Any]:
        return {"disturbance": asdict(self.disturbance)}

    def batch(self, rng: np.random.Generator, count: int) -> dict[str, Any]:
        clips = rng.choice(len(self.data), count, p=self.shares)
        whole = draw(self.data, rng, clips, self.disturbance)
        return some_frames(whole, rng, self._frames)._asdict()

    def losses(self, network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        kind = batch["points"].device.type  # bfloat16 on cards; on CPUs of today it is slower
        with torch.autocast(kind, torch.bfloat16, enabled=kind == "cuda"):
            answers = network(batch["points"], batch["person"])
        parts = losses(Answers(*(values.float() for values in answers)), batch)
        return {**parts, "total": total(parts, getattr(network, "loss_weights", {}))}

    def judge(self, network: nn.Module) -> dict[str, float]:
        return judged(answers_of(network, self._fixed), self._fixed)

    @cached_property
    def _frames(self) -> int:
        return int(getattr(self.network(), "learned_frames", WINDOW))

    @cached_property
    def _fixed(self) -> Batch:
        clips = np.arange(len(self.held_out))
        return draw(self.held_out, np.random.default_rng(0), clips, NONE)


def train(
    folder: Path, data: Sequences, held_out: Sequences, how: Training,
    disturbance: Disturbance | None = None, shares: FloatArray | None = None, made_of: str = "",
    progress: Callable[[int, Mapping[str, float]], None] = lambda step, scores: None,
    until: Callable[[], bool] = lambda: False,
) -> dict[str, float]:  # fmt: skip
    """`kinefit.train.loop.train` of a lifter."""
    task = Lifting(how.model, data, held_out, disturbance or Disturbance(), shares)
    return loop.train(folder, task, how, made_of, progress, until)


def answers_of(network: nn.Module, batch: Batch, together: int = 64) -> dict[str, FloatArray]:
    """The network's `Answers` as arrays."""
    found: list[Answers] = []
    with torch.inference_mode():
        for a in range(0, len(batch.points), together):
            some = (torch.as_tensor(v[a : a + together]) for v in (batch.points, batch.person))
            found.append(network(*some))
    return {name: _joined([getattr(one, name) for one in found]) for name in NAMES}


def _joined(parts: list[Tensor]) -> FloatArray:
    return np.asarray(torch.cat(parts).numpy(), np.float64)
