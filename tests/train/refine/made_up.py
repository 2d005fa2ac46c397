"""Made-up clips of joint angles: smooth, wrong by what stays and by a little that does not."""

from __future__ import annotations

import numpy as np

from kinefit.biomech.refine.table import OFFSETS
from kinefit.train.refine.clips import AngleClips


def clips(count: int = 4, frames: int = 96, *, seed: int = 0, bias: float = 6.0) -> AngleClips:
    """Every angle is `bias` degrees too large as given, half of that with the network."""
    rng = np.random.default_rng(seed)
    each = [_clip(rng, frames, bias) for _ in range(count)]
    return AngleClips.joined(each)


def _clip(rng: np.random.Generator, frames: int, bias: float) -> AngleClips:
    time = np.arange(frames)[:, None, None] / 30
    true = 25 * np.sin(2 * np.pi * rng.uniform(0.3, 1, (12, 3)) * time + rng.uniform(0, 6, (12, 3)))
    noise = rng.normal(0, 0.5, (3, frames, 12, 3))
    return AngleClips(
        given=true + OFFSETS + bias + noise[0], given_sd=np.full_like(true, 8.0),
        lifted=true + OFFSETS + bias / 2 + noise[1], lifted_sd=np.full_like(true, 6.0),
        body=true + bias + noise[2], true=true, seen=np.ones((frames, 12)),
        swapped=np.zeros(frames), length=np.array([frames]), kind=np.array([0]),
    )  # fmt: skip
