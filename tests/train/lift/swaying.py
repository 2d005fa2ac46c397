"""Made-up clips: a skeleton of rigid bones that sway, before cameras that look at it."""

from __future__ import annotations

import numpy as np

from kinefit.geometry import rotations as so3
from kinefit.lift.inputs import MIRROR, POINTS
from kinefit.lift.windows import RATE_HZ
from kinefit.train.lift.sequences import Sequences
from kinefit.types import FloatArray

# Parent and bone, metres, of a person who stands with arms down and looks at the camera: x to the
# left, y down.
_LEFT = {
    "LHip": ("", (0.1, 0.0, 0.0)), "LKnee": ("LHip", (0.02, 0.42, -0.02)),
    "LAnkle": ("LKnee", (0.0, 0.41, 0.02)), "LHeel": ("LAnkle", (0.0, 0.06, 0.05)),
    "LBigToe": ("LHeel", (0.03, 0.02, -0.2)), "LShoulder": ("", (0.18, -0.5, 0.0)),
    "LElbow": ("LShoulder", (0.05, 0.28, 0.02)), "LWrist": ("LElbow", (0.02, 0.25, -0.06)),
    "LPinky": ("LWrist", (-0.02, 0.08, 0.03)), "LIndex": ("LWrist", (0.0, 0.09, -0.03)),
    "LThumb": ("LWrist", (-0.02, 0.05, -0.04)), "LEye": ("Nose", (0.03, -0.04, 0.02)),
    "LEar": ("Nose", (0.08, -0.01, 0.1)),
}  # fmt: skip
_BONES = {"Nose": ("", (0.0, -0.7, -0.1))} | {
    side + name[1:]: (parent.replace("L", side, 1), (x * sign, y, z))
    for name, (parent, (x, y, z)) in _LEFT.items()
    for side, sign in (("L", 1), ("R", -1))
}
SIZE = (1080, 1920)


def clips(count: int = 3, frames: int = 100, *, seed: int = 0, noise_px: float = 3.0) -> Sequences:
    """As `kinefit.train.lift.sequences.pack` would make them; noise_px: of the detector."""
    rng = np.random.default_rng(seed)
    return Sequences.joined([_clip(rng, frames, noise_px) for _ in range(count)])


def _clip(rng: np.random.Generator, frames: int, noise_px: float) -> Sequences:
    time = np.arange(frames) / RATE_HZ
    body = _posed(rng, time)
    heading = so3.exp(np.stack([0 * time, _smooth(rng, time) + rng.uniform(-3, 3), 0 * time], -1))
    pitch = so3.exp(np.array([rng.uniform(-0.5, 0.2), 0.0, 0.0]))
    way = np.stack([_smooth(rng, time) for _ in range(3)], -1) * [0.5, 0.2, 0.5]
    xyz = (body @ np.swapaxes(heading, -1, -2) + way[:, None]) @ pitch.T + [
        0.0,
        0.2,
        rng.uniform(4, 7),
    ]
    K = np.array([[1500.0, 0, SIZE[0] / 2], [0, 1500.0, SIZE[1] / 2], [0, 0, 1]])
    flat = xyz @ K.T
    xy = flat[..., :2] / flat[..., 2:]
    own = xyz - xyz[:, [POINTS.index("LHip"), POINTS.index("RHip")]].mean(axis=1, keepdims=True)
    detected = np.concatenate([
        xy + noise_px * rng.normal(size=xy.shape),
        rng.uniform(0.7, 1.0, (*xy.shape[:2], 1)),
        own + 0.03 * rng.normal(size=own.shape),
    ], axis=-1)  # fmt: skip
    return Sequences(
        detected=detected, xy=xy, xyz=xyz, up=np.tile(-pitch[:, 1], (frames, 1)),
        contact=rng.integers(0, 2, (frames, 4)).astype(float), swapped=np.zeros(frames),
        start=np.array([0, frames]), K=K[None], rate=np.array([RATE_HZ]),
    )  # fmt: skip


def _posed(rng: np.random.Generator, time: FloatArray) -> FloatArray:
    """(T, J, 3) from the mid-hip: each bone of arms, legs and head turned to and fro."""
    found = {"": np.zeros((len(time), 3))}
    for name, (parent, bone) in _BONES.items():
        stiff = parent in ("", "Nose") or name[1:] in ("Pinky", "Index", "Thumb")
        sway = np.stack([_smooth(rng, time) for _ in range(3)], -1) * (0.1 if stiff else 0.7)
        found[name] = found[parent] + so3.exp(sway) @ np.array(bone)
    return np.stack([found[name] for name in POINTS], axis=1)


def _smooth(rng: np.random.Generator, time: FloatArray) -> FloatArray:
    """(T,) of size 1 or so."""
    hertz, phase = rng.uniform(0.1, 0.8, 2), rng.uniform(0, 6, 2)
    return np.asarray(np.sin(2 * np.pi * time[:, None] * hertz + phase).sum(axis=-1) / 1.4)


assert set(_BONES) == set(POINTS)
assert all(_BONES[POINTS[i]][1][1] == _BONES[POINTS[j]][1][1] for i, j in enumerate(MIRROR))
