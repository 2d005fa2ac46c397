"""Learns the priors of poses that kinefit brings along, and measures them.

    python -m kinefit.train.pose_priors motion.npz --into src/kinefit/weights

Writes pose_mixture.safetensors, pose_autoencoder.safetensors and pose_priors.json (what the cards
report). The same data, version and seed give the same mixture; the network's last digits depend
on the machine's matrix library.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save

from kinefit.fit.priors.mixture import PoseMixture
from kinefit.fit.priors.variational import PoseAutoencoder
from kinefit.geometry import rotations as so3
from kinefit.io.atomic import atomic_path
from kinefit.train.mixture import fit_mixture
from kinefit.train.poses import Poses, mirror_matrix, read_poses
from kinefit.train.variational import Training, reconstruction_error, train
from kinefit.types import FloatArray

_COUNTS = (1, 2, 4, 8, 16)  # of Gaussians that are compared; SMPLify's eight are kept
_KEPT = 8
_RIDGE_DEG = 3.0  # what retargeting and the choice of frames leave uncertain


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Learn kinefit's priors of poses.")
    parser.add_argument("motion", type=Path, help="retargeted motion (.npz)")
    parser.add_argument("--into", type=Path, required=True, help="folder for the weights")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args(arguments)
    poses = read_poses(chosen.motion)
    chosen.into.mkdir(parents=True, exist_ok=True)
    about = {"joints": " ".join(poses.joints.names), "seed": str(chosen.seed)}
    mixture, mixture_facts = learn_mixture(poses, chosen.seed)
    arrays = {name: getattr(mixture, name) for name in ("weights", "means", "covariances")}
    _write(chosen.into / "pose_mixture.safetensors", arrays, about)
    training = Training(seed=chosen.seed)
    arrays, network_facts = learn_autoencoder(poses, training)
    _write(chosen.into / "pose_autoencoder.safetensors", arrays, about)
    data = {
        "poses": len(poses.x),
        "held_out": int(poses.held_out.sum()),
        "groups": int(poses.group.max()) + 1,
    }
    facts = {"data": data, "mixture": mixture_facts, "autoencoder": network_facts}
    with atomic_path(chosen.into / "pose_priors.json") as partial:
        partial.write_text(json.dumps(facts, indent=2) + "\n", "utf-8")


def learn_mixture(poses: Poses, seed: int) -> tuple[PoseMixture, dict[str, Any]]:
    """The mixture of eight, and mean log densities (nats per pose) for each number of Gaussians."""
    x, weight = poses.part(held_out=False)
    others, held_weight = poses.part(held_out=True)
    table, kept, began = {}, None, time.perf_counter()
    for count in _COUNTS:
        fitted = fit_mixture(
            x.reshape(len(x), -1),
            count,
            weight=weight,
            ridge=np.radians(_RIDGE_DEG) ** 2,
            mirror=mirror_matrix(poses.joints.names) if count > 1 else None,
            seed=seed,
        )
        density = PoseMixture(poses.joints.names, fitted.weights, fitted.means, fitted.covariances)
        table[str(count)] = {
            "training": fitted.history[-1],
            "held_out": float(held_weight @ density.log_density(others.reshape(len(others), -1))),
            "rounds": len(fitted.history),
        }  # fmt: skip
        kept = density if count == _KEPT else kept
    assert kept is not None
    facts = {
        "nats_per_pose": table,
        "weights": kept.weights.tolist(),
        "ridge_deg": _RIDGE_DEG,
        "seconds": time.perf_counter() - began,
    }
    return kept, facts


def learn_autoencoder(
    poses: Poses, training: Training
) -> tuple[dict[str, FloatArray], dict[str, Any]]:
    """Arrays of the network, and degrees between held-out poses and their reconstructions."""
    began = time.perf_counter()
    arrays = train(*poses.part(held_out=False), training)
    seconds = time.perf_counter() - began
    model = PoseAutoencoder.of_arrays(poses.joints.names, arrays)
    error = {}
    for name, held_out in (("training", False), ("held_out", True)):
        x, weight = poses.part(held_out=held_out)
        degrees = np.degrees(weight @ reconstruction_error(model, x))
        error[name] = dict(zip(model.names, degrees.round(2).tolist(), strict=True))
        error[name]["mean"] = float(degrees.mean().round(2))
    x, weight = poses.part(held_out=True)
    codes = model.encode(so3.exp(x))
    used = np.sqrt(weight @ codes**2)
    facts = {
        "training": asdict(training), "seconds": seconds, "reconstruction_deg": error,
        "codes_in_use": int((used > 0.1).sum()),
        "numbers": int(sum(a.size for a in arrays.values())),
    }  # fmt: skip
    return arrays, facts


def _write(path: Path, arrays: Mapping[str, FloatArray], about: Mapping[str, str]) -> None:
    """A safetensors file in single precision: the numbers are not known better."""
    single = {k: np.ascontiguousarray(v, dtype=np.float32) for k, v in arrays.items()}
    with atomic_path(path) as partial:
        partial.write_bytes(save(single, dict(about)))


if __name__ == "__main__":
    main()
