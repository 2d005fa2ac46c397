"""Cameras, and closed meshes whose pictures are known in closed form."""

from __future__ import annotations

import numpy as np

from kinefit.geometry.projection import intrinsics
from kinefit.types import Camera, FloatArray, IntArray

SIZE = (160, 120)


def camera(
    *, size: tuple[int, int] = SIZE, focal_px: float = 150.0, name: str = "cam", **more: object
) -> Camera:
    """At the origin of a world with Y up, looking along -Z: what is at z = -3 is 3 m before it."""
    R = np.diag([1.0, -1.0, -1.0])
    return Camera(name, size, intrinsics(focal_px, size), R, np.zeros(3), **more)  # type: ignore[arg-type]


def ball(
    centre: tuple[float, float, float] = (0, 0, -3), radius: float = 0.5, rings: int = 24
) -> tuple[FloatArray, IntArray]:
    """A sphere of `rings` bands of 2 * `rings` squares, each of two triangles."""
    lat, lon = np.meshgrid(
        np.linspace(0, np.pi, rings + 1), np.linspace(0, 2 * np.pi, 2 * rings + 1)[:-1],
        indexing="ij",
    )  # fmt: skip
    unit = np.stack([np.sin(lat) * np.sin(lon), np.cos(lat), np.sin(lat) * np.cos(lon)], axis=-1)
    i, j = np.mgrid[:rings, : 2 * rings]
    wide = 2 * rings
    a, b = i * wide + j, (i + 1) * wide + j
    c, d = (i + 1) * wide + (j + 1) % wide, i * wide + (j + 1) % wide
    faces = np.concatenate([np.stack(t, -1).reshape(-1, 3) for t in ((a, b, c), (a, c, d))])
    return np.array(centre) + radius * unit.reshape(-1, 3), faces


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> FloatArray:
    """(8, 3) corners of a box, for `BOX_FACES`."""
    return np.array([[x, y, z] for x in (low[0], high[0]) for y in (low[1], high[1])
                     for z in (low[2], high[2])])  # fmt: skip


BOX_FACES = np.array(
    [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
     [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
)  # fmt: skip
