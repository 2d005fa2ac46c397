"""A trained lifter as an ONNX file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from kinefit.lift.inputs import LIMBS, PERSON_CHANNELS, POINT_CHANNELS, POINTS
from kinefit.lift.windows import WINDOW
from kinefit.train import export as files
from kinefit.train.lift.networks import NAMES


class _Plain(nn.Module):
    """The network with a plain tuple of those outputs that it learned: a network's `answers`, of
    its first `limb_count` limbs."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.names: tuple[str, ...] = getattr(network, "answers", NAMES)
        self.limbs: int = getattr(network, "limb_count", len(LIMBS))

    def forward(self, points: Tensor, person: Tensor) -> tuple[Tensor, ...]:
        found = self.network(points, person)
        each = ((name, getattr(found, name)) for name in self.names)
        return tuple(v[:, :, : self.limbs] if name in _OF_LIMBS else v for name, v in each)


_OF_LIMBS = ("directions", "concentration", "away")


def export(network: nn.Module, path: Path, about: Mapping[str, str]) -> None:
    """Write `path`: inputs `points` (B, WINDOW, J, 8) and `person` (B, WINDOW, 4), outputs of
    `Answers`, any number B of windows. about: remarks, kept in the file."""
    plain = _Plain(network)
    inputs = {"points": (WINDOW, len(POINTS), POINT_CHANNELS), "person": (WINDOW, PERSON_CHANNELS)}
    files.export(plain, path, inputs, plain.names, about)
