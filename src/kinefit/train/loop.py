"""The training of a network: hours on two cores, in as many sittings as it takes.

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
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from kinefit.io.atomic import atomic_path, write_json
from kinefit.types import InputError, InvalidData

Batch = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Training:
    """model: the network's name. steps of batch windows. rate: the highest of Adam's, after
    `warm_up` steps; then it falls along a cosine. average: of the weights over this many steps,
    which is what is judged and kept. patience: checks without a better result on held-out clips
    after which it stops. clip: of the gradient's length."""

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


class Task(Protocol):
    """What is learned. judged_by: the score that is to become small."""

    @property
    def judged_by(self) -> str: ...

    def network(self) -> nn.Module:
        """A new one, with random weights."""
        ...

    def about(self) -> Mapping[str, Any]:
        """Settings of its own, as JSON."""
        ...

    def batch(self, rng: np.random.Generator, count: int) -> Batch:
        """`count` windows to learn from."""
        ...

    def losses(self, network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Parts of what is to become small, with their weights in "total"."""
        ...

    def judge(self, network: nn.Module) -> dict[str, float]:
        """The scores on held-out clips."""
        ...


def train(
    folder: Path, task: Task, how: Training, made_of: str = "",
    progress: Callable[[int, Mapping[str, float]], None] = lambda step, scores: None,
    until: Callable[[], bool] = lambda: False,
) -> dict[str, float]:  # fmt: skip
    """Train, or go on; the scores on the held-out clips of the averaged weights that were best.

    made_of: what identifies the data. until: asked at every check whether to stop there, to go on
    another time.
    Raises InvalidData where the folder was begun with another configuration.
    """
    folder.mkdir(parents=True, exist_ok=True)
    work = _Work(task, how)
    count = sum(p.numel() for p in work.network.parameters())
    config = {**asdict(how), **task.about(), "data": made_of, "parameters": count}
    _same_config(folder / "config.json", config)
    if (folder / "checkpoint.pt").is_file():
        work.load(folder / "checkpoint.pt")
    began = time.monotonic()
    for batch in _batches(task, how, work.step):
        if work.since_best >= how.patience:
            break
        parts = work.learn(batch)
        if work.step % how.check == 0 or work.step == how.steps:
            scores = {**work.judge(), "seconds": time.monotonic() - began}
            with (folder / "metrics.jsonl").open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"step": work.step, **scores, "loss": parts}) + "\n")
            work.save(folder / "checkpoint.pt")
            progress(work.step, scores)
            if until():
                break
    if not (folder / "checkpoint.pt").is_file():
        work.save(folder / "checkpoint.pt")
    return task.judge(work.kept())


def after_minutes(minutes: float | None) -> Callable[[], bool]:
    """Whether so many have passed since now; None: never."""
    end = math.inf if minutes is None else time.monotonic() + 60 * minutes
    return lambda: time.monotonic() > end


def trained(folder: Path, task: Task, how: Training) -> nn.Module:
    """The network of a folder's last checkpoint, with the weights that were best."""
    work = _Work(task, how)
    work.load(folder / "checkpoint.pt")
    return work.kept()


def _batches(task: Task, how: Training, first: int) -> Iterator[Batch]:
    """Those of the steps from `first` on; a few are made ahead, while the network learns."""

    def make(step: int) -> Batch:
        return task.batch(np.random.default_rng((how.seed, step)), how.batch)

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

    def __init__(self, task: Task, how: Training) -> None:
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(how.seed)
        self.task, self.how, self.step = task, how, 0
        self.network = task.network().to(self.device)
        plain = [p for p in self.network.parameters() if p.ndim < 2]
        heavy = [p for p in self.network.parameters() if p.ndim >= 2]
        groups = [{"params": heavy, "weight_decay": how.decay}, {"params": plain}]
        self.adam = torch.optim.AdamW(groups, lr=how.rate, weight_decay=0.0)
        self.average = {n: v.detach().clone() for n, v in self.network.state_dict().items()}
        self.best, self.since_best, self.best_average = math.inf, 0, self.average

    def learn(self, batch: Batch) -> dict[str, float]:
        how, step = self.how, self.step
        share = min(1.0, step / how.steps)
        rate = how.rate * min(1.0, (step + 1) / how.warm_up) * (0.01 + 0.99 * _cosine(share))
        for group in self.adam.param_groups:
            group["lr"] = rate
        tensors = {n: torch.as_tensor(v).to(self.device) for n, v in batch.items()}
        self.network.train()
        parts = self.task.losses(self.network, tensors)
        self.adam.zero_grad(set_to_none=True)
        parts["total"].backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), how.clip)
        self.adam.step()
        self.step += 1
        keep = 1 - 1 / min(how.average, 1 + self.step / 10)
        with torch.no_grad():
            for name, value in self.network.state_dict().items():
                self.average[name].lerp_(value, 1 - keep)
        return {name: float(value.detach()) for name, value in parts.items()}

    def judge(self) -> dict[str, float]:
        scores = self.task.judge(self._with(self.average))
        self.since_best += 1
        if scores[self.task.judged_by] < self.best:
            self.best, self.since_best = scores[self.task.judged_by], 0
            self.best_average = {name: value.clone() for name, value in self.average.items()}
        return scores

    def kept(self) -> nn.Module:
        """The average that was best on the held-out clips."""
        return self._with(self.best_average)

    def _with(self, weights: Mapping[str, Tensor]) -> nn.Module:
        network = self.task.network()
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


def _cosine(share: float) -> float:
    return 0.5 * (1 + math.cos(math.pi * share))
