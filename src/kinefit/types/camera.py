"""A pinhole camera in the world."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.types.arrays import FloatArray, freeze, frozen_array
from kinefit.types.errors import InvalidData


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics and pose, OpenCV convention: x_cam = R @ x_world + t.

    name: identity of the camera (never its place in a list).
    size: (width, height) pixels.
    K: (3, 3) pixels; pixel centres at integer coordinates.
    R: (3, 3) rotation, world to camera (x right, y down, z forward).
    t: (3,) metres.
    """

    name: str
    size: tuple[int, int]
    K: FloatArray
    R: FloatArray
    t: FloatArray

    def __post_init__(self) -> None:
        freeze(
            self,
            K=frozen_array("Camera", "K", self.K, (3, 3)),
            R=frozen_array("Camera", "R", self.R, (3, 3)),
            t=frozen_array("Camera", "t", self.t, (3,)),
        )
        if not (self.K[0, 0] > 0 and self.K[1, 1] > 0):
            raise InvalidData(f"Camera {self.name}: focal lengths must be positive.")
        # 1e-6 is far above the rounding of a rotation stored with seven decimals.
        if not np.allclose(self.R @ self.R.T, np.eye(3), atol=1e-6) or np.linalg.det(self.R) < 0:
            raise InvalidData(f"Camera {self.name}: R is not a rotation.")
