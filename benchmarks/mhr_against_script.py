"""How far the rig read from an MHR file is from what the program in the file computes.

    python benchmarks/mhr_against_script.py mhr_model.pt

Runs that program with torch, which kinefit itself never does: only for a file from its makers.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

from kinefit.body.mhr_params import CM, PARAMETERS, POSE_COUNT
from kinefit.body.mhr_rig import read_rig

COUNT = 100


def deviation_m(path: Path) -> float:
    """Metres: the largest distance of a joint, over random parameters (angles within 0.3 radians,
    scales within 0.2)."""
    rig = read_rig(path)
    rng = np.random.default_rng(0)
    parameters = rng.uniform(-0.3, 0.3, (COUNT, len(PARAMETERS)))
    parameters[:, POSE_COUNT:] *= 2 / 3
    script = torch.jit.load(str(path), map_location="cpu")
    zeros = np.zeros((COUNT, len(rig.identity))), np.zeros((COUNT, 72))
    inputs = [torch.from_numpy(x).float() for x in (zeros[0], parameters, zeros[1])]
    with torch.no_grad():
        _, skeleton_state = script(*inputs)
    joints = skeleton_state[..., :3].double().numpy() * CM
    ours = rig.world(inputs[1].double().numpy())[1]
    return float(np.linalg.norm(joints - ours, axis=-1).max())


if __name__ == "__main__":
    print(f"joints: {1000 * deviation_m(Path(sys.argv[1])):.3f} mm at most")
