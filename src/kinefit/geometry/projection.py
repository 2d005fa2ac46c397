"""The pinhole camera: pixels to rays, points to pixels. Lens distortion is not modelled."""

from __future__ import annotations

import numpy as np

from kinefit.types import Camera, FloatArray, InvalidData


def focal_from_fov(fov_rad: float, image_size: tuple[int, int]) -> float:
    """Focal length in pixels of a lens that sees `fov_rad` across the longer image side.

    Raises InvalidData unless 0 < fov_rad < pi.
    """
    if not 0 < fov_rad < np.pi:
        raise InvalidData(f"A field of view of {np.degrees(fov_rad):g} degrees is not in 0-180.")
    return float(max(image_size) / 2 / np.tan(fov_rad / 2))


def intrinsics(focal_px: float, image_size: tuple[int, int]) -> FloatArray:
    """K (3, 3) of square pixels with the principal point at the image's centre.

    Pixel centres are at integers, so the centre of `image_size` (width, height) is at
    ((width - 1) / 2, (height - 1) / 2).
    """
    width, height = image_size
    return np.array(
        [[focal_px, 0, (width - 1) / 2], [0, focal_px, (height - 1) / 2], [0, 0, 1]], np.float64
    )


def rays(K: FloatArray, xy: FloatArray) -> FloatArray:
    """Viewing rays (..., 3), camera axes, scaled to z = 1, of pixels `xy` (..., 2)."""
    homogeneous = np.concatenate([xy, np.ones_like(xy[..., :1])], axis=-1)
    return np.asarray(homogeneous @ np.linalg.inv(K).T)


def to_camera(camera: Camera, xyz: FloatArray) -> FloatArray:
    """World points (..., 3) metres in the camera's axes."""
    return np.asarray(xyz @ camera.R.T + camera.t)


def to_world(camera: Camera, xyz: FloatArray) -> FloatArray:
    """Camera points (..., 3) metres in the world's axes: the inverse of `to_camera`."""
    return np.asarray((xyz - camera.t) @ camera.R)


def project(camera: Camera, xyz: FloatArray) -> FloatArray:
    """Pixels (..., 2) of world points (..., 3) metres; NaN behind the camera."""
    image = to_camera(camera, xyz) @ camera.K.T
    depth = image[..., 2:]
    return np.asarray(image[..., :2] / np.where(depth > 0, depth, np.nan))


def back_project(camera: Camera, xy: FloatArray, depth: FloatArray) -> FloatArray:
    """World points (..., 3) metres seen at pixels `xy` (..., 2) at `depth` (...) metres along z."""
    return to_world(camera, rays(camera.K, xy) * depth[..., None])
