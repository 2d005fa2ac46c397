"""The training of a lifter: hours on two cores, in as many sittings as it takes.

A folder holds all of it: `config.json`, `metrics.jsonl`, `checkpoint.pt`. A run that was cut off
goes on from the last checkpoint, and its weights are then the same to the bit, because what is
random in step n depends on the seed and n alone.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinefit.io.atomic import atomic_path, write_json
from kinefit.lift.inputs import WINDOW
from kinefit.train.lift.batches import NONE, Batch, Disturbance, draw, some_frames
from kinefit.train.lift.losses import judged, losses, total
from kinefit.train.lift.networks import NAMES, Answers
from kinefit.train.lift.registry import make_network
from kinefit.train.lift.sequences import Sequences
from kinefit.types import FloatArray, InputError, InvalidData


@dataclass(frozen=True)
class Training:
    """model: a name of `kinefit.train.lift.registry.NETWORKS`. steps of batch windows. rate: the
    highest of Adam's, after `warm_up` steps; then it falls along a cosine. average: of the weights
    over this many steps, which is what is judged and kept. patience: checks without a better
    result on held-out clips after which it stops. clip: of the gradient's length."""

    model: str = "sequence"
    steps: int = 12_000
    batch: int = 32
    rate: float = 2.5e-3
    warm_up: int = 300
    decay: float = 0.02
    average: int = 500
    patience: int = 20
    check: int = 500
    clip: float = 1.0
    seed: int = 0


def train(
    folder: Path, data: Sequences, held_out: Sequences, how: Training,
    disturbance: Disturbance | None = None, shares: FloatArray | None = None, made_of: str = "",
    progress: Callable[[int, Mapping[str, float]], None] = lambda step, scores: None,
    until: Callable[[], bool] = lambda: False,
) -> dict[str, float]:  # fmt: skip
    """Train, or go on; the scores on the held-out clips of the averaged weights that were best.

    made_of: what identifies the data. shares: (S,) how often each clip is drawn, sum 1; None: all
    alike.
    until: asked at every check whether to stop there, to go on another time.
    Raises InvalidData where the folder was begun with another configuration.
    """
    disturbance = disturbance or Disturbance()
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(how.seed)
    network = make_network(how.model)
    count = sum(p.numel() for p in network.parameters())
    config = {**asdict(how), "disturbance": asdict(disturbance), "data": made_of}
    _same_config(folder / "config.json", {**config, "parameters": count})
    work = _Work(network, how)
    if (folder / "checkpoint.pt").is_file():
        work.load(folder / "checkpoint.pt")
    fixed = draw(held_out, np.random.default_rng(0), np.arange(len(held_out)), NONE)
    began, parts = time.monotonic(), dict[str, float]()
    frames: int = getattr(network, "learned_frames", WINDOW)
    for batch in _batches(data, how, disturbance, shares, work.step, frames):
        if work.since_best >= how.patience:
            break
        parts = work.learn(batch)
        if work.step % how.check == 0 or work.step == how.steps:
            scores = {**work.judge(fixed), "seconds": time.monotonic() - began}
            with (folder / "metrics.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": work.step, **scores, "loss": parts}) + "\n")
            work.save(folder / "checkpoint.pt")
            progress(work.step, scores)
            if until():
                break
    if not (folder / "checkpoint.pt").is_file():
        work.save(folder / "checkpoint.pt")
    return judged(answers_of(work.kept(), fixed), fixed)


def _batches(
    data: Sequences, how: Training, disturbance: Disturbance, shares: FloatArray | None, first: int,
    frames: int,
) -> Iterator[Batch]:  # fmt: skip
    """Those of the steps from `first` on; a few are made ahead, while the network learns."""

    def make(step: int) -> Batch:
        rng = np.random.default_rng((how.seed, step))
        whole = draw(data, rng, rng.choice(len(data), how.batch, p=shares), disturbance)
        return some_frames(whole, rng, frames)

    workers = max(1, (os.cpu_count() or 1) - 1)
    steps = iter(range(first, how.steps))
    with ThreadPoolExecutor(workers, "kinefit-batch") as pool:
        coming = deque(pool.submit(make, step) for step in islice(steps, workers + 1))
        try:
            while coming:
                batch = coming.popleft().result()
                coming.extend(pool.submit(make, step) for step in islice(steps, 1))
                yield batch
        finally:
            for one in coming:
                one.cancel()


def _same_config(path: Path, config: dict[str, Any]) -> None:
    if not path.is_file():
        write_json(path, config)
    elif json.loads(path.read_text("utf-8")) != json.loads(json.dumps(config)):
        raise InvalidData(f"{path.parent} was begun with other settings: name another folder.")


class _Work:
    """A network while it learns, and the running average of its weights."""

    def __init__(self, network: nn.Module, how: Training) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.network, self.how, self.step = network.to(self.device), how, 0
        plain = [p for p in network.parameters() if p.ndim < 2]
        heavy = [p for p in network.parameters() if p.ndim >= 2]
        groups = [{"params": heavy, "weight_decay": how.decay}, {"params": plain}]
        self.adam = torch.optim.AdamW(groups, lr=how.rate, weight_decay=0.0)
        self.average = {n: v.detach().clone() for n, v in network.state_dict().items()}
        self.best, self.since_best, self.best_average = math.inf, 0, self.average

    def learn(self, batch: Batch) -> dict[str, float]:
        how, step = self.how, self.step
        share = min(1.0, step / how.steps)
        rate = how.rate * min(1.0, (step + 1) / how.warm_up) * (0.01 + 0.99 * _cosine(share))
        for group in self.adam.param_groups:
            group["lr"] = rate
        tensors = {n: torch.as_tensor(v).to(self.device) for n, v in batch._asdict().items()}
        self.network.train()
        on_card = self.device.type == "cuda"  # bfloat16 there; on CPUs of today it is slower
        with torch.autocast(self.device.type, torch.bfloat16, enabled=on_card):
            answers = self.network(tensors["points"], tensors["person"])
        parts = losses(Answers(*(values.float() for values in answers)), tensors)
        loss = total(parts, getattr(self.network, "loss_weights", {}))
        self.adam.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), how.clip)
        self.adam.step()
        self.step += 1
        keep = 1 - 1 / min(how.average, 1 + self.step / 10)
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        return {name: float(value.detach()) for name, value in parts.items()}

    def judge(self, batch: Batch) -> dict[str, float]:
        answers = answers_of(self.averaged(), batch)
        scores = judged(answers, batch)
        self.since_best += 1
        if scores["clean"] < self.best:
            self.best, self.since_best = scores["clean"], 0
            self.best_average = {name: value.clone() for name, value in self.average.items()}
        return scores

    def averaged(self) -> nn.Module:
        """The running average of the weights."""
        return self._with(self.average)

    def kept(self) -> nn.Module:
        """The average that was best on the held-out clips."""
        return self._with(self.best_average)

    def _with(self, weights: Mapping[str, Tensor]) -> nn.Module:
        network = make_network(self.how.model)
        network.load_state_dict(weights)
        return network.eval()

    def save(self, path: Path) -> None:
        state: dict[str, Any] = {
            "network": self.network.state_dict(), "adam": self.adam.state_dict(),
            "average": self.average, "best_average": self.best_average,
            "step": self.step, "best": self.best, "since_best": self.since_best,
        }  # fmt: skip
        with atomic_path(path) as partial:
            torch.save(state, partial)

    def load(self, path: Path) -> None:
        try:
            state = torch.load(path, map_location=self.device, weights_only=True)
        except (RuntimeError, OSError, pickle.UnpicklingError) as error:
            raise InputError(path, f"cannot be read ({error})", "name another folder") from error
        self.network.load_state_dict(state["network"])
        self.adam.load_state_dict(state["adam"])
        self.average, self.best_average = state["average"], state["best_average"]
        self.step, self.best = int(state["step"]), float(state["best"])
        self.since_best = int(state["since_best"])


def trained(folder: Path, how: Training) -> nn.Module:
    """The network of a folder's last checkpoint, with the weights that were best."""
    work = _Work(make_network(how.model), how)
    work.load(folder / "checkpoint.pt")
    return work.kept()


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


def _cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share))
