"""The motion of a parametric body."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.types.arrays import FARTHEST_M, FloatArray, check_names, freeze, freeze_arrays
from kinefit.types.errors import InvalidData
from kinefit.types.timeline import Timeline

_MOST_SHAPE = 1e3  # standard deviations or shares: people are within 5


@dataclass(frozen=True, eq=False)
class BodyMotion:
    """One person's body over time, as parameters of a body model.

    body: name of the body model, e.g. "anny".
    timeline: T frames.
    joint_names: B joints of the body model, parents before children.
    rotations: (T, B, 3, 3) local rotations about the axes of the world in which the body stands
        at rest: a joint turns with its parent and then by its own; identity is the rest pose.
        NaN in frames without a pose.
    translation: (T, 3) metres, added to the whole body; at zero the root joint is where the rest
        pose has it. NaN in frames without a pose.
    shape: (S,) parameters of the body's shape, one shape for the clip.
    shape_names: S names.
    """

    body: str
    timeline: Timeline
    joint_names: tuple[str, ...]
    rotations: FloatArray
    translation: FloatArray
    shape: FloatArray
    shape_names: tuple[str, ...]

    def __post_init__(self) -> None:
        joints = check_names("BodyMotion", self.joint_names)
        shapes = check_names("BodyMotion", self.shape_names)
        T = len(self.timeline)
        freeze(self, joint_names=joints, shape_names=shapes)
        freeze_arrays(
            self, rotations=(T, len(joints), 3, 3), translation=(T, 3), shape=(len(shapes),)
        )
        pose = np.column_stack([self.rotations.reshape(T, -1), self.translation])
        whole, empty = np.isfinite(pose).all(axis=1), np.isnan(pose).all(axis=1)
        if not (whole | empty).all():
            frame = int(self.timeline.frame[np.argmin(whole | empty)])
            raise InvalidData(f"The motion has half a pose in frame {frame}.")
        # 1e-6: far above the rounding of a product of rotations, far below a wrong one.
        rotations = self.rotations[whole]
        product = rotations @ np.swapaxes(rotations, -1, -2)
        if not np.allclose(product, np.eye(3), atol=1e-6):
            raise InvalidData("The motion holds a matrix that is not a rotation.")
        if not (np.abs(self.shape) < _MOST_SHAPE).all():
            raise InvalidData("The shape of the body has a value that no body has.")
        far = (np.abs(self.translation) > FARTHEST_M).any(axis=1)
        if far.any():
            where = f"over {FARTHEST_M / 1000:.0f} km from the origin"
            frame = self.timeline.frame[np.argmax(far)]
            raise InvalidData(f"The body is {where} in frame {frame}.")
