"""A moving tube body, cameras that each see its pose a little wrong, and the points in space."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from kinefit.fit.recipes.frames.frame_options import RigFitOptions, SequenceOptions
from kinefit.fit.recipes.frames.rig_targets import RigTargets
from kinefit.fit.recipes.frames.rigfit import RigFit
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.types import FloatArray, Timeline

from .tubes import motion, tube_chain

Options = TypeVar("Options", RigFitOptions, SequenceOptions)


def changed(options: Options, **values: Any) -> Options:
    """The same options but for these, checked."""
    return type(options)(**options.model_dump() | values)


CAMERAS = ("cam0", "cam1", "cam2", "cam3")
# What is triangulated in practice: no faces.
POINTS = tuple(
    side + part
    for side in "LR"
    for part in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Heel", "BigToe")
)


@dataclass(frozen=True)
class Scene:
    """truth: T poses. xyz: (T, M, 3) metres, true. views: camera -> initial poses."""

    timeline: Timeline
    truth: State
    xyz: FloatArray
    views: dict[str, State]

    def targets(
        self, xyz: FloatArray | None = None, weight: FloatArray | None = None
    ) -> RigTargets:
        xyz = self.xyz if xyz is None else xyz
        weight = np.ones(xyz.shape[:2]) if weight is None else weight
        return RigTargets.of(self.timeline, POINTS, CAMERAS, xyz, weight)

    def work(
        self, targets: RigTargets | None = None, options: RigFitOptions | None = None
    ) -> RigFit:
        return RigFit.of(tube_chain(), targets or self.targets(), options)


def scene(count: int, *, seed: int = 0, rate: float = 30.0, wrong: float = 0.2) -> Scene:
    """`count` frames; each camera's pose is off by `wrong` radians per joint (one deviation),
    turned and moved as a whole into a frame of the camera's own."""
    chain, rng = tube_chain(), np.random.default_rng(seed)
    timeline = Timeline.regular(count, rate)
    truth = motion(chain, timeline.time, seed=seed)
    columns = [chain.column(name) for name in POINTS]
    xyz = truth.posed(chain).points[:, columns]
    views = {camera: seen(truth, rng, wrong) for camera in CAMERAS}
    return Scene(timeline, truth, xyz, views)


def seen(truth: State, rng: np.random.Generator, wrong: float) -> State:
    """One camera's poses: errors of joints that last half a second, and its own axes."""
    T, F = truth.rotations.shape[:2]
    knots = rng.normal(0, wrong, (T // 15 + 2, F, 3))
    at = np.arange(T) / 15
    low = at.astype(int)
    share = (at - low)[:, None, None]
    error = (1 - share) * knots[low] + share * knots[low + 1]
    rotations = truth.rotations @ so3.exp(error)
    rotations[:, 0] = so3.exp(rng.normal(0, 1.0, 3)) @ rotations[:, 0]
    return replace(truth, rotations=rotations, translation=rng.normal(0, 2.0, (T, 3)))


def off(scene_: Scene, points: FloatArray) -> FloatArray:
    """(T, M) metres from the true points."""
    return so3.norm(points - scene_.xyz)
