"""A body's motion as a function of time: every camera takes it at times of its own."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import gaussian_filter1d

from kinefit.body.model import BodyModel
from kinefit.geometry import rotations as so3
from kinefit.synth.motion_clip import Clip
from kinefit.types import FloatArray

# SD of the Gaussian whose mean is the path over the floor: a stride. Left is the sway of steps.
_TREADMILL_S = 0.5


@dataclass(frozen=True, eq=False)
class MovingBody:
    """One body in one motion.

    clip: on this body, in the scene's world; its times are the scene's clock, its root path is
    where this body's root joint is. head: (3,) metres, the root joint at rest.
    """

    clip: Clip
    head: FloatArray

    @classmethod
    def of(
        cls,
        body: BodyModel,
        shape: FloatArray,
        times: FloatArray,
        rotations: FloatArray,
        translation: FloatArray,
        name: str,
    ) -> MovingBody:
        """From poses (T, B, 3, 3), (T, 3) at `times` (T,) seconds of a body of that shape."""
        head = body.rest_joints(shape)[0]
        clip = Clip(
            name, name, body.joint_names, times, rotations, translation + head, max(head[1], 0.1)
        )
        return cls(clip, head)

    def at(self, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Rotations (N, B, 3, 3) and translations (N, 3) metres at `times` (N,).

        Raises InvalidData outside the motion.
        """
        rotations, root = self.clip.at(times)
        return rotations, root - self.head

    def placed_at(self, place: tuple[float, float, float]) -> MovingBody:
        """The same motion with the middle of its path at `place`: x, z metres and heading about Y,
        radians."""
        x, z, heading = place
        Q = so3.exp(np.array([0.0, heading, 0.0]))
        rotations = self.clip.rotations.copy()
        rotations[:, 0] = Q @ rotations[:, 0]
        path = self.clip.root_path
        middle = (path.min(axis=0) + path.max(axis=0)) / 2 * [1, 0, 1]
        moved = (path - middle) @ Q.T + [x, 0.0, z]
        return replace(self, clip=replace(self.clip, rotations=rotations, root_path=moved))

    def in_place(self) -> MovingBody:
        """The same motion as on a treadmill: without the path over the floor."""
        path, times = self.clip.root_path.copy(), self.clip.times
        step = float(np.median(np.diff(times)))
        slow = gaussian_filter1d(path[:, [0, 2]], _TREADMILL_S / step, axis=0, mode="nearest")
        path[:, [0, 2]] -= slow
        return replace(self, clip=replace(self.clip, root_path=path))
