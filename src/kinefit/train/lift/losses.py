"""What lifters are trained for, and how they are judged while they are."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from kinefit.train.lift.batches import Batch
from kinefit.train.lift.networks import Answers
from kinefit.types import FloatArray

# Of each part beside the directions' error (a chord: radians for small ones).
WEIGHTS = {
    "directions": 1.0, "velocity": 1.0, "spread": 0.02, "away": 0.05, "contact": 0.3, "up": 1.0,
    "up_spread": 0.01, "shift": 0.5, "shift_spread": 0.02, "swapped": 0.1,
}  # fmt: skip


def losses(answers: Answers, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each part, a mean over what is known of the frames that are there.

    Directions by the chord to the truth, whose mean is least at the direction's median; spreads by
    their likelihood given what was answered, which they do not change.
    """
    there = batch["there"]
    true = batch["directions"]
    known = (true.pow(2).sum(-1) > 0.5) * there[..., None]
    chord = (answers.directions - true).pow(2).sum(-1).add(1e-8).sqrt()
    step = (answers.directions - true).diff(dim=1)
    both = known[:, 1:] * known[:, :-1]
    out = {
        "directions": _mean(chord, known),
        "velocity": _mean(step.pow(2).sum(-1).add(1e-8).sqrt(), both),
        "spread": _mean(von_mises_fisher(answers.directions.detach(), true,
                                         answers.concentration), known),
        "away": _mean(functional.binary_cross_entropy_with_logits(
            answers.away, (true[..., 2] > 0).to(true), reduction="none"), known),
    }  # fmt: skip
    up = batch["up"]
    balanced = (up.pow(2).sum(-1) > 0.5) * there
    out["up"] = _mean((answers.up - up).pow(2).sum(-1).add(1e-8).sqrt(), balanced)
    out["up_spread"] = _mean(
        von_mises_fisher(answers.up.detach(), up, answers.up_concentration), balanced
    )
    stands = batch["contact"]
    told = stands.isfinite()
    out["contact"] = _mean(
        functional.binary_cross_entropy_with_logits(
            answers.contact, stands.nan_to_num(), reduction="none"), told * there[..., None]
    )  # fmt: skip
    shift = batch["shift"]
    seen = shift.isfinite().all(-1) * there[..., None] * (batch["points"][..., 6] > 0.5)
    left = (answers.shift - shift.nan_to_num()).clamp(-1, 1).pow(2).sum(-1).add(1e-8).sqrt()
    out["shift"] = _mean(left, seen)
    out["shift_spread"] = _mean(
        left.detach() * torch.exp(-answers.log_sigma) + 2 * answers.log_sigma, seen
    )
    out["swapped"] = _mean(
        functional.binary_cross_entropy_with_logits(
            answers.swapped, batch["swapped"], reduction="none"
        ),
        there * batch["person"][..., 3],
    )
    return out


def total(parts: Mapping[str, Tensor], other: Mapping[str, float] | None = None) -> Tensor:
    """The weighted sum. other: what a network weighs otherwise than `WEIGHTS`."""
    weights = {**WEIGHTS, **(other or {})}
    return torch.stack([weights[name] * value for name, value in parts.items()]).sum()


def von_mises_fisher(answer: Tensor, true: Tensor, concentration: Tensor) -> Tensor:
    """-log of the density at the truth, but for log 2 pi (Mardia & Jupp 2000, section 9.3.2)."""
    off = 1 - (answer * true).sum(-1)
    k = concentration
    return k * off - torch.log(k) + torch.log1p(-torch.exp(-2 * k))


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    weight = weight.to(values)
    return (values * weight).sum() / weight.sum().clamp_min(1e-6)


def judged(answers: Mapping[str, FloatArray], batch: Batch) -> dict[str, float]:
    """Degrees and shares over all windows: `angle` mean of 14 fields, `clean` without frames in
    which sides are exchanged, `feet` of the two feet, `z_sign` share right by the away head (of
    limbs deeper than 0.1), `calibrated` squared error over what the spread says, mean of the
    lowest 97.5 % (.91 where spreads are right); `up` median; `shift` left over detected error."""
    there = batch.there > 0.5
    known = (np.linalg.norm(batch.directions, axis=-1) > 0.5) & there[..., None]
    cosine = np.clip((answers["directions"] * batch.directions).sum(-1), -1, 1)
    angle = np.degrees(np.arccos(cosine))
    clean = known & (batch.swapped < 0.5)[..., None]
    fields = np.arange(angle.shape[-1]) < 14
    deep = known & (np.abs(batch.directions[..., 2]) > 0.1) & fields
    right = (answers["away"] > 0) == (batch.directions[..., 2] > 0)
    z = np.radians(angle) ** 2 * answers["concentration"] / 2
    told = there & (np.linalg.norm(batch.up, axis=-1) > 0.5)
    up = np.degrees(np.arccos(np.clip((answers["up"] * batch.up).sum(-1), -1, 1)))[told]
    seen = np.isfinite(batch.shift).all(-1) & there[..., None] & (batch.points[..., 6] > 0.5)
    before = np.linalg.norm(batch.shift, axis=-1)[seen]
    after = np.linalg.norm(answers["shift"] - batch.shift, axis=-1)[seen]
    told = np.isfinite(batch.contact) & there[..., None]
    says, stands = answers["contact"][told] > 0, batch.contact[told] > 0.5
    return {
        "angle": float(angle[known & fields].mean()),
        "clean": float(angle[clean & fields].mean()),
        "median": float(np.median(angle[clean & fields])),
        "feet": float(angle[clean & ~fields].mean()),
        "z_sign": float(right[deep].mean()),
        "calibrated": float(np.mean(np.sort(z[clean])[: int(0.975 * clean.sum())])),
        "up": float(np.median(up)),
        "shift": float(np.median(after) / np.median(before)),
        "contact_recall": float(says[stands].mean()) if stands.any() else float("nan"),
        "contact_false": float(says[~stands].mean()) if (~stands).any() else float("nan"),
    }
