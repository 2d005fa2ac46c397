"""Training the variational autoencoder of poses (PyTorch, CPU, minutes)."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from kinefit.fit.priors.variational import PoseAutoencoder
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray


@dataclass(frozen=True)
class Training:
    """hidden, latent: sizes. steps of batch poses, drawn by their weights. rate: Adam's first."""

    hidden: int = 128
    latent: int = 32
    steps: int = 20_000
    batch: int = 256
    rate: float = 1e-3
    kl_weight: float = 1.0
    seed: int = 0


class _Model(nn.Module):
    """Encoder to mean and log variance, decoder to two columns per rotation; one spread."""

    def __init__(self, joints: int, training: Training) -> None:
        super().__init__()
        h, z = training.hidden, training.latent
        self.encoder = _dense(6 * joints, h, h, 2 * z)
        self.decoder = _dense(z, h, h, 6 * joints)
        self.log_spread = nn.Parameter(torch.tensor(-1.5))

    def loss(self, six: Tensor, target: Tensor, noise: Tensor, kl_weight: float) -> Tensor:
        """Mean of -log likelihood and divergence from the unit Gaussian, nats per pose.

        Angles are measured along the chord: |Q - R|^2 / 2 = angle^2 for small ones. The spread of
        what is left is learned, so that neither part needs a weight (Rybkin et al. 2021, ICML): one
        for all joints, or those that hardly move would count for everything.
        """
        mean, log_var = self.encoder(six).chunk(2, dim=1)
        code = mean + torch.exp(log_var / 2) * noise
        chord = ((_rotations(self.decoder(code)) - target) ** 2).sum(dim=(-1, -2)) / 2
        left = chord / (2 * torch.exp(2 * self.log_spread)) + 3 * self.log_spread
        divergence = (torch.exp(log_var) + mean**2 - 1 - log_var).sum(dim=1) / 2
        loss: Tensor = (left.sum(dim=1) + kl_weight * divergence).mean()
        return loss


def _dense(*sizes: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in pairwise(sizes):
        layers += [nn.Linear(a, b), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


def _rotations(six: Tensor) -> Tensor:
    """(n, J, 3, 3) by Gram-Schmidt from two columns each."""
    pair = six.reshape(len(six), -1, 2, 3)
    x = nn.functional.normalize(pair[..., 0, :], dim=-1)
    y = pair[..., 1, :] - (x * pair[..., 1, :]).sum(dim=-1, keepdim=True) * x
    y = nn.functional.normalize(y, dim=-1)
    return torch.stack([x, y, torch.linalg.cross(x, y)], dim=-1)


def train(x: FloatArray, weight: FloatArray, training: Training) -> dict[str, FloatArray]:
    """Arrays of a `PoseAutoencoder` for poses `x` (N, J, 3) with weights (N,), single precision."""
    torch.manual_seed(training.seed)
    random = np.random.default_rng(training.seed)
    R = torch.tensor(so3.exp(x), dtype=torch.float32)
    six = R[..., :2].transpose(-1, -2).reshape(len(R), -1)
    model = _Model(x.shape[1], training)
    adam = torch.optim.Adam(model.parameters(), lr=training.rate)
    fall = torch.optim.lr_scheduler.CosineAnnealingLR(adam, training.steps)
    drawn = random.choice(len(x), (training.steps, training.batch), p=weight)
    for rows in torch.as_tensor(drawn):
        noise = torch.randn(training.batch, training.latent)
        loss = model.loss(six[rows], R[rows], noise, training.kl_weight)
        adam.zero_grad()
        loss.backward()
        adam.step()
        fall.step()
    return _arrays(model, training.latent)


def _arrays(model: _Model, latent: int) -> dict[str, FloatArray]:
    """Weights by the names that `PoseAutoencoder.of_arrays` reads; the variance's are left out."""
    out = {}
    for part in ("encoder", "decoder"):
        linear = [m for m in getattr(model, part) if isinstance(m, nn.Linear)]
        for i, layer in enumerate(linear):
            rows = slice(latent if part == "encoder" and i == len(linear) - 1 else None)
            out[f"{part}.{i}.weight"] = layer.weight.detach().numpy()[rows].copy()
            out[f"{part}.{i}.bias"] = layer.bias.detach().numpy()[rows].copy()
    spread = float(torch.exp(model.log_spread.detach()))
    out["spread"] = np.full(len(layer.bias) // 6, spread)
    return out


def reconstruction_error(model: PoseAutoencoder, x: FloatArray) -> FloatArray:
    """(N, J) radians between poses (N, J, 3) and what their mean codes are decoded to."""
    R = so3.exp(x)
    return so3.norm(so3.log(np.swapaxes(model.decode(model.encode(R)), -1, -2) @ R))
