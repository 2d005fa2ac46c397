"""What networks that lift answer, and kinefit's own network.

Inputs are (B, T, 27, 8) points and (B, T, 4) persons (`kinefit.lift.inputs.Inputs`); the outputs
are those of `Answers`. `Sequence` looks at everything, and at 81 frames from both sides in time.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from kinefit.lift.inputs import LIMBS, PERSON_CHANNELS, POINT_CHANNELS, POINTS
from kinefit.lift.windows import WINDOW
from kinefit.skeletons import skeleton
from kinefit.skeletons.limbs import LIMBS as FIELDS
from kinefit.skeletons.limbs import ends

_L, _J = len(LIMBS), len(POINTS)
_COCO = [POINTS.index(name) for name in skeleton("coco17").points]
_COCO_ENDS = ends(skeleton("coco17").points, FIELDS)
_ENDS = ends(POINTS, LIMBS)
_LEAST_CONCENTRATION, _MOST_CONCENTRATION = 1.0, 5000.0  # spreads of 57 and 0.8 degrees


class Answers(NamedTuple):
    """What a network says of each frame, in the ray's axes.

    directions: (B, T, L, 3) unit vectors of `LIMBS`. concentration: (B, T, L) of von Mises-Fisher.
    away: (B, T, L) logit that a limb points away from the camera. contact: (B, T, 4) logit that
    `kinefit.body.contact.FEET` stand. up: (B, T, 3) unit vector. up_concentration: (B, T).
    shift: (B, T, 27, 2) person sizes to be added to the 2D points. log_sigma: (B, T, 27) of what is
    left of their errors. swapped: (B, T) logit that left and right are exchanged.
    """

    directions: Tensor
    concentration: Tensor
    away: Tensor
    contact: Tensor
    up: Tensor
    up_concentration: Tensor
    shift: Tensor
    log_sigma: Tensor
    swapped: Tensor


NAMES = Answers._fields


def unit(v: Tensor) -> Tensor:
    # Not "+ 1e-8": the ONNX exporter drops it as nothing, and a missing limb is then 0 / 0.
    return v / v.pow(2).sum(-1, keepdim=True).clamp_min(1e-8).sqrt()


def concentration(raw: Tensor) -> Tensor:
    low, high = math.log(_LEAST_CONCENTRATION), math.log(_MOST_CONCENTRATION)
    return torch.exp(low + (high - low) * torch.sigmoid(raw))


class Sequence(nn.Module):
    """Tokens of three frames in a transformer over the window.

    The points of three frames, with a learned value for what is missing, and their limbs' vectors
    in the image and in the detector's own 3D, become one vector of `width`; attention sees tokens
    by how far apart they are. Directions are the sum of three: what is learned, the detector's own,
    and the limb as seen in the image, each of these times what is learned of how far to trust it.
    And what is answered of a frame is read off its points again, beside what attention made of all.
    So a posture like none before is still followed. After 1,000 steps, held-out renders: 12.1
    degrees with the detector's own alone, 11.2 with both, 10.8 with the frame's points again (and
    10.8 with the lengths of limbs, their longest in the window, and corrected points as well).
    """

    def __init__(self, width: int = 192, layers: int = 4, heads: int = 6, frames: int = 3) -> None:
        super().__init__()
        self.frames = frames  # of a token: a third of the time of one each
        self.missing = nn.Parameter(torch.zeros(_J, 6))
        self.register_buffer("first", torch.as_tensor(_ENDS[:, 0]), persistent=False)
        self.register_buffer("second", torch.as_tensor(_ENDS[:, 1]), persistent=False)
        given = _J * POINT_CHANNELS + PERSON_CHANNELS + _L * 6
        self.embed = mlp(frames * given, 2 * width, width)
        self.blocks = nn.ModuleList(_Block(width, heads, WINDOW // frames) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.context = nn.Linear(width, frames * width)
        self.sizes = [3 * _L, 2 * _L, _L, _L, 2 * _J, _J]
        self.head = mlp(width + given, 2 * width, sum(self.sizes))
        self.rest_sizes = [4, 3, 1, 1]
        self.rest = mlp(width, width, sum(self.rest_sizes))
        for last in (self.head[2], self.rest[2]):
            nn.init.normal_(last.weight, std=0.01)

    def forward(self, points: Tensor, person: Tensor) -> Answers:
        known = torch.cat(
            [points[..., 6:7].expand(*points.shape[:-1], 3),
             points[..., 7:8].expand(*points.shape[:-1], 3)], -1
        )  # fmt: skip
        values = torch.where(known > 0.5, points[..., :6], self.missing)
        limb = values[..., self.second, :] - values[..., self.first, :]
        own = unit(limb[..., 3:])
        both = points[..., self.second, 7:] * points[..., self.first, 7:]
        seen = points[..., self.second, 6:7] * points[..., self.first, 6:7]
        flat = functional.pad(limb[..., :2] * seen, (0, 1))
        given = torch.cat(
            [values.flatten(-2), points[..., 6:].flatten(-2), person,
             limb[..., :3].flatten(-2), own.flatten(-2)], -1
        )  # fmt: skip
        B, T = given.shape[:2]
        x = self.embed(given.reshape(B, T // self.frames, -1))
        for block in self.blocks:
            x = block(x)
        context = self.context(self.norm(x)).reshape(B, T, -1)
        found = self.head(torch.cat([context, given], -1))
        d, trust, k, away, shift, sigma = found.split(self.sizes, -1)
        contact, up, up_k, swapped = self.rest(context).split(self.rest_sizes, -1)
        d = d.unflatten(-1, (_L, 3))
        trust = 1 + trust.unflatten(-1, (_L, 2))
        directions = unit(trust[..., :1] * own * both + trust[..., 1:] * flat + d)
        return Answers(
            directions, concentration(k), away, contact, unit(up),
            concentration(up_k)[..., 0], shift.unflatten(-1, (_J, 2)), sigma, swapped[..., 0],
        )  # fmt: skip


def mlp(given: int, width: int, answers: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(given, width), nn.GELU(), nn.Linear(width, answers))


class _Block(nn.Module):
    """Attention over time with a bias learned for each distance in tokens, then two layers."""

    def __init__(self, width: int, heads: int, tokens: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_a, self.norm_b = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.bias = nn.Parameter(torch.zeros(heads, 2 * tokens - 1))
        step = torch.arange(tokens)
        self.register_buffer("step", step[:, None] - step + tokens - 1, persistent=False)
        self.dense = nn.Sequential(
            nn.Linear(width, 3 * width), nn.GELU(), nn.Linear(3 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        B, T, D = x.shape
        q, k, v = self.qkv(self.norm_a(x)).view(B, T, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        weight = q @ k.transpose(-1, -2) / math.sqrt(D // self.heads) + self.bias[:, self.step]
        seen = (weight.softmax(-1) @ v).transpose(1, 2).reshape(B, T, D)
        x = x + self.out(seen)
        out: Tensor = x + self.dense(self.norm_b(x))
        return out
