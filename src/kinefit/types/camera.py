"""Cameras in the world, one or a rig of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from kinefit.types.arrays import FloatArray, check_names, freeze, freeze_arrays
from kinefit.types.errors import InvalidData

BROWN_CONRADY = (0, 4, 5, 8)  # numbers of coefficients: k1 k2 p1 p2 [k3 [k4 k5 k6]]
FISHEYE = (0, 4)  # k1 k2 k3 k4


@dataclass(frozen=True, eq=False)
class Camera:
    """Intrinsics, lens and pose, OpenCV convention: x_cam = R @ x_world + t.

    name: identity of the camera (never its place in a list).
    size: (width, height) pixels.
    K: (3, 3) pixels, with skew where there is one; pixel centres at integer coordinates.
    R: (3, 3) rotation, world to camera (x right, y down, z forward).
    t: (3,) metres.
    distortion: coefficients in OpenCV's order. Brown-Conrady: none, k1 k2 p1 p2, then k3, then
        k4 k5 k6 of the rational model; fisheye: none or k1 k2 k3 k4.
    fisheye: whether the lens is OpenCV's equidistant (Kannala-Brandt) one.
    """

    name: str
    size: tuple[int, int]
    K: FloatArray
    R: FloatArray
    t: FloatArray
    distortion: FloatArray = None  # type: ignore[assignment]
    fisheye: bool = False

    def __post_init__(self) -> None:
        freeze(self, distortion=np.zeros(0) if self.distortion is None else self.distortion)
        freeze_arrays(self, K=(3, 3), R=(3, 3), t=(3,), distortion=(None,))
        for field in ("K", "R", "t", "distortion"):
            if not np.isfinite(getattr(self, field)).all():
                raise InvalidData(f"Camera {self.name}: {field} has a value that is not a number.")
        if not (self.K[0, 0] > 0 and self.K[1, 1] > 0):
            raise InvalidData(f"Camera {self.name}: focal lengths must be positive.")
        if not np.array_equal(self.K[[1, 2, 2, 2], [0, 0, 1, 2]], [0, 0, 0, 1]):
            raise InvalidData(f"Camera {self.name}: K is not [[fx s cx] [0 fy cy] [0 0 1]].")
        # 1e-6 is far above the rounding of a rotation stored with seven decimals.
        if not np.allclose(self.R @ self.R.T, np.eye(3), atol=1e-6) or np.linalg.det(self.R) < 0:
            raise InvalidData(f"Camera {self.name}: R is not a rotation.")
        counts = FISHEYE if self.fisheye else BROWN_CONRADY
        if len(self.distortion) not in counts:
            raise InvalidData(
                f"Camera {self.name}: {len(self.distortion)} distortion coefficients; "
                f"{'a fisheye' if self.fisheye else 'this'} lens has one of {counts}."
            )

    @property
    def bends(self) -> bool:
        """Whether the lens makes straight lines crooked; a fisheye does without coefficients."""
        return self.fisheye or bool(self.distortion.any())

    @property
    def centre(self) -> FloatArray:
        """(3,) metres, world: where the camera stands."""
        return np.asarray(-self.R.T @ self.t)


@dataclass(frozen=True, eq=False)
class CameraRig:
    """Cameras that film one world. They are told apart by name, never by order.

    cameras: C cameras with different names.
    """

    cameras: tuple[Camera, ...]

    def __post_init__(self) -> None:
        cameras = tuple(self.cameras)
        check_names("CameraRig", tuple(c.name for c in cameras))
        freeze(self, cameras=cameras)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(camera.name for camera in self.cameras)

    def __len__(self) -> int:
        return len(self.cameras)

    def __iter__(self) -> Iterator[Camera]:
        return iter(self.cameras)

    def __getitem__(self, name: str) -> Camera:
        """The camera of that name; raises InvalidData for an unknown one."""
        if name not in self.names:
            raise InvalidData(f"No camera {name!r}; there are: {', '.join(self.names)}.")
        return self.cameras[self.names.index(name)]

    def select(self, names: Sequence[str]) -> CameraRig:
        """The cameras of these names in this order; raises InvalidData for an unknown one."""
        return CameraRig(tuple(self[name] for name in names))

    def moved(
        self, Q: FloatArray, shift: FloatArray | None = None, scale: float = 1.0
    ) -> CameraRig:
        """The same rig in another world: x_new = scale * Q @ x_old + shift.

        Q: (3, 3) rotation. shift: (3,) metres of the new world. scale: new units per old one.
        Pixels of a point that moves along stay what they are.
        """
        move = np.zeros(3) if shift is None else np.asarray(shift)
        turned = (replace(c, R=c.R @ Q.T, t=scale * c.t - c.R @ Q.T @ move) for c in self.cameras)
        return CameraRig(tuple(turned))
