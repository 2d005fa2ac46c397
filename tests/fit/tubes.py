"""The made-up body as a chain, poses and motions of it, cameras around it, and slopes by number."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import PoseTerm
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import intrinsics
from kinefit.types import Camera, CameraRig, FloatArray

from ..body.synthetic import tube_body

SIZE = (1280, 960)
# Joints that keypoints say something about; wrists and collars go with the joint above.
JOINTS = (
    *("pelvis", "spine2", "neck"),
    *(f"{side}_{part}" for part in ("hip", "knee", "ankle", "shoulder", "elbow")
      for side in ("left", "right")),
)  # fmt: skip
LIMB = {"LThigh": {"LKnee": 1.0, "LHip": -1.0}, "RForearm": {"RWrist": 1.0, "RElbow": -1.0}}


def tube_chain(*, limbs: bool = False, joints: tuple[str, ...] = JOINTS) -> Chain:
    """13 free joints and the 26 keypoints of the body; `limbs`: and two differences of them."""
    body = tube_body()
    single = {name: {name: 1.0} for name in body.regressors}
    return Chain.of(body, joints, single | (LIMB if limbs else {}))


def poses(chain: Chain, count: int, *, seed: int = 0, bend: float = 0.4) -> State:
    """Random poses and shape, a few decimetres from the origin. bend: radians, one deviation."""
    rng = np.random.default_rng(seed)
    F, K = len(chain.joint_names), len(chain.point_names)
    return State(
        rotations=so3.exp(rng.normal(0, bend, (count, F, 3))),
        translation=rng.normal(0, 0.3, (count, 3)),
        shape=chain.shape.neutral + rng.normal(0, 0.5, len(chain.shape.names)),
        offset=np.zeros((K, 3)),
    )


def motion(chain: Chain, time: FloatArray, *, seed: int = 0, swing: float = 0.4) -> State:
    """Poses at `time` (T,) seconds: every joint swings at 0.2 to 0.6 Hz, the body drifts."""
    rng = np.random.default_rng(seed)
    F = len(chain.joint_names)
    tempo, phase = rng.uniform(0.2, 0.6, (F, 3)), rng.uniform(0, 2 * np.pi, (F, 3))
    angle = swing * np.sin(2 * np.pi * tempo * time[:, None, None] + phase)
    place = np.stack([0.3 * np.sin(time), 0 * time, 0.2 * time - 0.2], axis=-1)
    shape = chain.shape.neutral + rng.normal(0, 0.5, len(chain.shape.names))
    return State(so3.exp(angle), place, shape, np.zeros((len(chain.point_names), 3)))


def ring(count: int = 4, *, lens: bool = False) -> CameraRig:
    """Cameras 4 m around the body, not opposite one another; with `lens`: bent by both models."""
    cameras = []
    for i in range(count):
        angle = 2 * np.pi * i / count + 0.4 * np.sin(2.0 * i)
        centre = np.array([4 * np.sin(angle), 1.3 + 0.3 * (i % 2), 4 * np.cos(angle)])
        ahead = so3.unit(np.array([0, 1.0, 0]) - centre)
        right = so3.unit(np.cross(ahead, [0, 1.0, 0]))
        R = np.stack([right, np.cross(ahead, right), ahead])
        fisheye = lens and i % 2 == 1
        bent = [0.05, -0.01, 0.002, 0.0] if fisheye else [-0.25, 0.08, 0.001, -0.002, 0.01]
        cameras.append(
            Camera(f"cam{i}", SIZE, intrinsics(900, SIZE), R, -R @ centre,
                   np.array(bent) if lens else None, fisheye)
        )  # fmt: skip
    return CameraRig(tuple(cameras))


def slopes(function: Callable[[FloatArray], FloatArray], size: int, step: float) -> FloatArray:
    """(..., size) central differences of `function` at the zero vector (size,)."""
    columns = [
        (function(step * axis) - function(-step * axis)) / (2 * step) for axis in np.eye(size)
    ]
    return np.stack(columns, axis=-1)


def by_rotations(term: PoseTerm, rotations: FloatArray) -> FloatArray:
    """(T, M, d, 3F) the term's derivative, also of one that gives it joint by joint."""
    J = term.jacobian(rotations, np.arange(len(rotations)))
    joint = getattr(term, "joint", None)
    if joint is None:
        return J
    out = np.zeros((*J.shape[:3], rotations.shape[1], 3))
    each = np.arange(len(joint))
    out[:, each, :, joint] = J.transpose(1, 0, 2, 3)
    return out.reshape(*J.shape[:3], -1)


def moved(chain: Chain, state: State, increment: FloatArray) -> State:
    """`state` with all its poses moved by the same (3 + 3F,) translation and rotations."""
    v = Variables.poses(chain)
    frame = np.tile(increment, (len(state), 1))
    return v.moved(state, frame, np.zeros(0))


def rms(a: FloatArray, b: FloatArray) -> float:
    """Root mean square distance of points (..., 3)."""
    return float(np.sqrt(np.mean(so3.norm(a - b) ** 2)))
