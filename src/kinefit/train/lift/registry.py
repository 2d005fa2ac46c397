"""The networks that can be trained to lift, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import nn

from kinefit.train.lift.networks import Sequence
from kinefit.train.lift.published import GCN, LimbTransformer, SemGCN, SemGCNTemporal

NETWORKS: Mapping[str, Callable[[], nn.Module]] = {
    "sequence": Sequence,
    "transformer": LimbTransformer,
    "gcn": GCN,
    "semgcn": SemGCN,
    "semgcn-temporal": SemGCNTemporal,
}


def make_network(name: str) -> nn.Module:
    """A new one, with random weights."""
    return NETWORKS[name]()
