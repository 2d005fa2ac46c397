"""A made-up motion of any body: every joint swings about a random axis while it walks a circle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial.transform import Rotation

from kinefit.body import BodyModel
from kinefit.types import BodyMotion, Timeline


def swinging(
    body: BodyModel,
    timeline: Timeline,
    *,
    seed: int = 0,
    swing: float = 0.8,
    turns: float = 1.5,
    without: Sequence[int] = (),
) -> BodyMotion:
    """swing: radians of each joint. turns: of the root about the vertical, so through 180 degrees.

    without: indices of frames that have no pose.
    """
    rng = np.random.default_rng(seed)
    T, B = len(timeline), len(body.joint_names)
    phase = np.linspace(0, 1, T)[:, None, None]
    axes = rng.normal(size=(B, 3))
    axes /= np.linalg.norm(axes, axis=1, keepdims=True)
    speed, start = rng.uniform(0.5, 2, (B, 1)), rng.uniform(0, 2 * np.pi, (B, 1))
    vectors = swing * np.sin(2 * np.pi * speed * phase + start) * axes
    vectors[:, 0] = 2 * np.pi * turns * phase[:, 0] * [0.02, 1, -0.03]
    rotations = Rotation.from_rotvec(vectors.reshape(-1, 3)).as_matrix().reshape(T, B, 3, 3)
    angle = 2 * np.pi * phase[:, 0, 0]
    translation = np.stack([np.cos(angle), 0.05 * np.sin(5 * angle), np.sin(angle)], axis=1)
    rotations[list(without)] = np.nan
    translation[list(without)] = np.nan
    shape = 0.5 * rng.standard_normal(len(body.shape.names))
    return BodyMotion(
        body.name, timeline, body.joint_names, rotations, translation, shape, body.shape.names
    )


def widely_skinned(body: BodyModel, count: int, seed: int = 1) -> BodyModel:
    """The body with up to `count` joints per vertex: some twice, some without share, unsorted."""
    rng = np.random.default_rng(seed)
    V, B = len(body.vertices), len(body.joint_names)
    joints = rng.integers(0, B, (V, count + 2))
    joints[:, -2] = joints[:, 0]
    weights = rng.uniform(0, 1, (V, count + 2)) ** 2
    weights[:, 1] = 0
    weights[: V // 2, 3:] = 0
    return replace(body, skin_joints=joints, skin_weights=weights / weights.sum(1, keepdims=True))
