"""What the pose priors are worth: poses from one picture, where depth is the prior's business.

    python -m benchmarks.pose_priors motion.npz [--poses 300]

Held-out poses (see `kinefit.train.poses`) of Anny are seen by one camera: 13 keypoints with 5 px
of noise. The camera, the root's place and orientation, and the shape are known; the joints start
at zero and are fitted with each prior at several weights. The table gives the mean error of
the joints, mm, and of limbs' lengthwise directions, degrees: what the prior added to the picture.
Second, how well each prior's cost tells held-out poses from the same ones made wrong (area under
the ROC curve): arms or legs of another pose, every joint turned by about 15 degrees at random,
one joint turned by 60.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from kinefit.body.anny import load_anny
from kinefit.fit.priors import (
    AngleMagnitude,
    Limits,
    Mixture,
    PoseAutoencoder,
    PoseMixture,
    Variational,
)
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import Objective, PoseTerm, Reprojection
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import intrinsics, project_rig
from kinefit.train.poses import Poses, read_poses
from kinefit.types import Camera, CameraRig, FloatArray

SEEN = ("Nose", *(s + j for s in "LR" for j in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee",
                                                 "Ankle")))  # fmt: skip
SIZE = (1280, 960)
NOISE_PX = 5.0


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("motion", type=Path)
    parser.add_argument("--poses", type=int, default=300)
    chosen = parser.parse_args()
    poses = read_poses(chosen.motion)
    rng = np.random.default_rng(0)
    held = np.flatnonzero(poses.held_out)
    p = poses.weight[held] / poses.weight[held].sum()
    x = poses.x[rng.choice(held, chosen.poses, p=p)]
    body = load_anny()
    chain = Chain.of(body, list(body.anatomy.values()), {n: {n: 1.0} for n in SEEN})
    recover(chain, poses, x, rng)
    discriminate(chain, poses, x, rng)


def _priors(chain: Chain, weight: float) -> dict[str, PoseTerm]:
    return {
        "magnitude": AngleMagnitude.of(chain, 1 / weight),
        "mixture": Mixture.of(chain, weight, PoseMixture.load()),
        "variational": Variational.of(chain, weight, PoseAutoencoder.load()),
    }


def _state(chain: Chain, poses: Poses, x: FloatArray) -> State:
    state = State.rest(chain, len(x))
    state.rotations[:, poses.joints.column] = poses.joints.rotations(x)
    return state


def recover(chain: Chain, poses: Poses, x: FloatArray, rng: np.random.Generator) -> None:
    truth = _state(chain, poses, x)
    turn = _about(rng, len(x))
    truth.rotations[:, 0] = turn
    truth = State(truth.rotations, np.zeros((len(x), 3)), truth.shape, truth.offset)
    points = truth.posed(chain).points
    camera = Camera("front", SIZE, intrinsics(900, SIZE), np.diag([1.0, -1, -1]),
                    np.array([0, 0, 3.5]))  # fmt: skip
    rig = CameraRig((camera,))
    xy = np.moveaxis(project_rig(rig, points), 0, 1) + rng.normal(0, NOISE_PX, (len(x), 1, 13, 2))
    data = Reprojection(rig, xy, np.full(xy.shape[:3], NOISE_PX), np.arange(13))
    joints = np.ones(len(chain.joint_names), dtype=bool)
    joints[0] = False
    variables = Variables(chain, joints, translation=False)
    start = _state(chain, poses, np.zeros_like(x))
    start = State(_zero(poses, start.rotations), truth.translation, truth.shape, truth.offset)
    start.rotations[:, 0] = turn
    print(f"{'prior':12} {'weight':>6} {'joints mm':>10} {'median':>7} {'ms/pose':>8}")
    for weight in (0.3, 0.6, 1.0, 1.4, 2.0):
        for name, prior in _priors(chain, weight).items():
            began = time.perf_counter()
            objective = Objective(points=(data,), poses=(prior, Limits.of(chain)))
            done = minimise(objective, variables, start, Options(most_steps=60))
            error = so3.norm(done.state.posed(chain).points - points).mean(axis=1) * 1000
            spent = (time.perf_counter() - began) / len(x) * 1000
            print(
                f"{name:12} {weight:6.1f} {error.mean():10.1f} {np.median(error):7.1f} {spent:8.1f}"
            )


def _about(rng: np.random.Generator, count: int) -> FloatArray:
    """Turns about the vertical axis."""
    vector = np.zeros((count, 3))
    vector[:, 1] = rng.uniform(-np.pi, np.pi, count)
    return so3.exp(vector)


def _zero(poses: Poses, rotations: FloatArray) -> FloatArray:
    out = rotations.copy()
    standing = np.tile(np.eye(3), (len(poses.joints.names), 1, 1))
    out[:, poses.joints.column] = poses.joints.anatomy.local(standing)
    return out


def discriminate(chain: Chain, poses: Poses, x: FloatArray, rng: np.random.Generator) -> None:
    names, other = poses.joints.names, x[rng.permutation(len(x))]
    arm = np.array([n[1:] in ("Clavicle", "Shoulder", "Elbow", "Wrist") for n in names])
    one = np.zeros_like(x)
    one[np.arange(len(x)), rng.integers(len(names), size=len(x))] = np.radians(60) * so3.unit(
        rng.normal(size=(len(x), 3))
    )
    wrong: dict[str, Callable[[], FloatArray]] = {
        "other arms": lambda: np.where(arm[:, None], other, x),
        "all turned": lambda: so3.log(so3.exp(x) @ so3.exp(rng.normal(0, 0.15, x.shape))),
        "one turned": lambda: so3.log(so3.exp(x) @ so3.exp(one)),
    }
    print(f"{'AUC':12} " + " ".join(f"{name:>12}" for name in wrong))
    for name, prior in _priors(chain, 1.0).items():
        good = _cost(prior, _state(chain, poses, x))
        areas = []
        for make in wrong.values():
            bad = _cost(prior, _state(chain, poses, make()))
            areas.append((bad[:, None] > good).mean())
        print(f"{name:12} " + " ".join(f"{a:12.3f}" for a in areas))


def _cost(prior: PoseTerm, state: State) -> FloatArray:
    return np.asarray((prior.residual(state.rotations, slice(None)) ** 2).sum(axis=(1, 2)))


if __name__ == "__main__":
    main()
