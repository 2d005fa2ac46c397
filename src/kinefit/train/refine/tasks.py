"""What refiners learn: the error of joint angles, and how much of it is left."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from kinefit.biomech.angles import GROUPS
from kinefit.biomech.refine.joint import JointRefiner, fused_inputs
from kinefit.biomech.refine.table import (
    CHANNELS,
    MIRROR_SIGNS,
    TWIN,
    make_inputs,
)
from kinefit.lift.windows import WINDOW
from kinefit.pipeline.provenance import sha256_json
from kinefit.train.refine.batches import NONE, Disturbance, Windows, draw, target_of, with_mirrored
from kinefit.train.refine.clips import AngleClips
from kinefit.train.refine.networks import JointNetwork, MainNetwork, Refined
from kinefit.types import FloatArray

# Of the parts of the loss: likelihood, absolute error over 10 degrees, what a window and its
# mirror image disagree by, and how large corrections are.
WEIGHTS = {"likelihood": 1.0, "reconstruction": 1.0, "symmetry": 0.1, "size": 0.02}
_DEGREES = 10.0
_TOGETHER = 64
INSIDE = 1.96
_FAR_WEIGHT = 0.2  # in what is judged: of windows in which angles are far off


@dataclass(frozen=True, eq=False)
class Refining:
    """Corrections of one run's angles; both runs of a clip are examples."""

    data: AngleClips
    held_out: AngleClips
    disturbance: Disturbance = field(default_factory=Disturbance)
    judged_by = "judged"

    def network(self) -> nn.Module:
        return JointNetwork()

    def about(self) -> Mapping[str, Any]:
        return {"disturbance": asdict(self.disturbance), "weights": WEIGHTS}

    def batch(self, rng: np.random.Generator, count: int) -> dict[str, Any]:
        """Half of the windows, then the same in a mirror."""
        clips = rng.choice(len(self.data), count // 2, p=self._shares)
        window = draw(self.data, rng, clips, self.disturbance)
        some = (rng.random(len(clips)) < 0.3)[:, None, None, None]
        window.given = np.where(some, window.lifted, window.given)
        window.given_sd = np.where(some, window.lifted_sd, window.given_sd)
        return self._inputs(with_mirrored(window))

    def losses(self, network: nn.Module, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        said, known = network(batch["inputs"]), batch["known"]
        off = (said.correction - batch["target"]).abs()
        scale = torch.exp(said.log_sd) / 2**0.5  # of a Laplace density
        count = known.sum().clamp_min(1)
        here, there = said.correction.chunk(2)
        image = there[..., TWIN, :] * torch.as_tensor(MIRROR_SIGNS).to(there)
        parts = {
            "likelihood": ((off / scale + torch.log(2 * scale)) * known).sum() / count,
            "reconstruction": (off * known).sum() / count / _DEGREES,
            "symmetry": (here - image).abs().mean() / _DEGREES,
            "size": said.correction.abs().mean() / _DEGREES,
        }
        total = torch.stack([WEIGHTS[name] * value for name, value in parts.items()]).sum()
        return {**parts, "total": total}

    def judge(self, network: nn.Module) -> dict[str, float]:
        found = [scores(answers_of(network, one["inputs"]), one["target"], one["known"])
                 for one in (self._fixed, self._far)]  # fmt: skip
        far = {f"far_{name}": found[1][name] for name in ("before", "after")}
        return {**found[0], **far, "judged": found[0]["after"] + _FAR_WEIGHT * far["far_after"]}

    def _inputs(self, window: Windows) -> dict[str, Any]:
        return {
            "inputs": make_inputs(window.given, window.given_sd, window.seen).astype(np.float32),
            **_known(target_of(window, window.given)),
        }

    @cached_property
    def _shares(self) -> FloatArray:
        return np.asarray(self.data.length / self.data.length.sum())

    @cached_property
    def _fixed(self) -> dict[str, Any]:
        return self._drawn(NONE)

    @cached_property
    def _far(self) -> dict[str, Any]:
        return self._drawn(replace(NONE, far=1.0))

    def _drawn(self, how: Disturbance) -> dict[str, Any]:
        rng, clips = np.random.default_rng(0), np.arange(len(self.held_out))
        return self._inputs(draw(self.held_out, rng, clips, how))


@dataclass(frozen=True, eq=False)
class Fusing(Refining):
    """How much of the two runs and of their refinements the angles are made of.

    joint: whose refinements they are.
    """

    joint: JointRefiner = field(kw_only=True)

    def network(self) -> nn.Module:
        return MainNetwork()

    def about(self) -> Mapping[str, Any]:
        probe, _ = self.joint.answers(np.ones((1, WINDOW, len(GROUPS), CHANNELS)))
        return {**super().about(), "joint": sha256_json(np.round(probe, 3).tolist())}

    def batch(self, rng: np.random.Generator, count: int) -> dict[str, Any]:
        clips = rng.choice(len(self.data), count // 2, p=self._shares)
        return self._inputs(with_mirrored(draw(self.data, rng, clips, self.disturbance)))

    def _inputs(self, window: Windows) -> dict[str, Any]:
        none = np.full_like(window.given_sd, np.nan)
        tables = window.given, window.lifted, window.body
        spreads = window.given_sd, window.lifted_sd, none
        inputs = fused_inputs(self.joint, tables, spreads, window.seen)
        return {
            "inputs": inputs.astype(np.float32),
            **_known(target_of(window, window.given)),
        }


def _known(target: FloatArray) -> dict[str, Any]:
    known = np.isfinite(target)
    return {"target": np.where(known, target, 0).astype(np.float32),
            "known": known.astype(np.float32)}  # fmt: skip


def answers_of(network: nn.Module, inputs: FloatArray) -> Refined:
    """The network's answers."""
    with torch.inference_mode():
        parts = [network(torch.as_tensor(inputs[a : a + _TOGETHER]))
                 for a in range(0, len(inputs), _TOGETHER)]  # fmt: skip
    return Refined(*(torch.cat(values) for values in zip(*parts, strict=True)))


def scores(said: Refined, target: FloatArray, known: FloatArray) -> dict[str, float]:
    """Degrees: `before` and `after` mean absolute error, `moved` mean correction; `inside` share of
    errors within 1.96 stated deviations."""
    some = known > 0
    correction, sd = said.correction.numpy()[some], np.exp(said.log_sd.numpy()[some])
    off = target[some] - correction
    return {
        "before": float(np.abs(target[some]).mean()),
        "after": float(np.abs(off).mean()),
        "moved": float(np.abs(correction).mean()),
        "inside": float((np.abs(off) < INSIDE * sd).mean()),
    }
