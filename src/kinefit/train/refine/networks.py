"""The networks that refine joint angles: one table of a run, or two of them and their refinements.

Inputs are (B, T, 12, C): frames of a window, joints of `kinefit.biomech.angles.GROUPS`; a token is
one joint over `PATCH` frames. Attention sees tokens by how far apart they are along the body and in
time. Answers are degrees.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from kinefit.biomech.angles import GROUPS
from kinefit.biomech.refine.table import CHANNELS, FUSED_CHANNELS, SOURCES, steps_apart
from kinefit.lift.windows import WINDOW

PATCH = 9  # frames of a token: 0.3 s
_J, _P = len(GROUPS), WINDOW // PATCH
_DEGREES = 10.0  # of a network's unit
_USUAL_SD = math.log(8.0)  # with which it begins


class Refined(NamedTuple):
    """correction: (B, T, 12, 3) degrees to be added. log_sd: of what is left of the errors."""

    correction: Tensor
    log_sd: Tensor


class Trunk(nn.Module):
    """From (B, T, 12, channels) to (B, T, 12, answers): a transformer over joints and time, then a
    layer of its own for each joint."""

    def __init__(self, channels: int, answers: int, layers: int, width: int = 128, heads: int = 4,
                 hidden: int = 52) -> None:  # fmt: skip
        super().__init__()
        self.answers = answers
        self.embed = nn.Linear(PATCH * channels, width)
        self.joint = nn.Parameter(0.02 * torch.randn(_J, width))
        self.blocks = nn.ModuleList(_Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.first = nn.Parameter(torch.randn(_J, width, hidden) / math.sqrt(width))
        self.offset = nn.Parameter(torch.zeros(_J, hidden))
        self.last = nn.Parameter(0.01 * torch.randn(_J, hidden, PATCH * answers))
        self.final = nn.Parameter(torch.zeros(_J, PATCH * answers))

    def forward(self, x: Tensor) -> Tensor:
        B, T = x.shape[:2]
        tokens = x.unflatten(1, (_P, PATCH)).transpose(2, 3).flatten(3)  # (B, P, J, PATCH * C)
        tokens = (self.embed(tokens) + self.joint).flatten(1, 2)
        for block in self.blocks:
            tokens = block(tokens)
        each = self.norm(tokens).unflatten(1, (_P, _J)).permute(2, 0, 1, 3).flatten(1, 2)
        inner = torch.nn.functional.gelu(torch.bmm(each, self.first) + self.offset[:, None])
        found = torch.bmm(inner, self.last) + self.final[:, None]
        return found.reshape(_J, B, T, self.answers).permute(1, 2, 0, 3)


class _Block(nn.Module):
    """Attention with biases learned for each distance along the body and in time, then two
    layers."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_a, self.norm_b = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        steps = torch.as_tensor(steps_apart().astype(np.int64)).repeat(_P, _P)
        when = torch.arange(_P).repeat_interleave(_J)
        self.chain = nn.Parameter(torch.zeros(heads, int(steps.max()) + 1))
        self.lag = nn.Parameter(torch.zeros(heads, 2 * _P - 1))
        self.register_buffer("steps", steps, persistent=False)
        self.register_buffer("lags", when[:, None] - when + _P - 1, persistent=False)
        self.dense = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        B, N, D = x.shape
        q, k, v = self.qkv(self.norm_a(x)).view(B, N, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        bias = self.chain[:, self.steps] + self.lag[:, self.lags]
        weight = q @ k.transpose(-1, -2) / math.sqrt(D // self.heads) + bias
        x = x + self.out((weight.softmax(-1) @ v).transpose(1, 2).reshape(B, N, D))
        out: Tensor = x + self.dense(self.norm_b(x))
        return out


class JointNetwork(nn.Module):
    """Corrections of the angles of one run."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(CHANNELS, 6, layers=4)

    def forward(self, x: Tensor) -> Refined:
        found = self.trunk(x)
        return Refined(_DEGREES * found[..., :3], _USUAL_SD + found[..., 3:])


class MainNetwork(nn.Module):
    """How much of each of `SOURCES` the angles are made of, and what is wrong with all of them; the
    last channels of the input are their differences from the first, in tens of degrees. (Mean error
    on held-out renders after 500 steps, 7.23 before: 6.46; of gates alone 6.60.)"""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = Trunk(FUSED_CHANNELS, 3 * len(SOURCES) + 6, layers=2)

    def forward(self, x: Tensor) -> Refined:
        found = self.trunk(x)
        gate = found[..., :-6].unflatten(-1, (len(SOURCES), 3)).softmax(-2)
        off = x[..., -3 * (len(SOURCES) - 1) :].unflatten(-1, (len(SOURCES) - 1, 3))
        fused = (gate[..., 1:, :] * off).sum(-2) + found[..., -6:-3]
        return Refined(_DEGREES * fused, _USUAL_SD + found[..., -3:])
