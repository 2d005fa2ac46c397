"""Errors in images: of points, in pixels and millimetres at their depth, and of masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.geometry.projection import project, to_camera
from kinefit.metrics.positions import point_errors
from kinefit.types import BoolArray, Camera, FloatArray, InvalidData


@dataclass(frozen=True, eq=False)
class ReprojectionErrors:
    """3D points projected into a camera, against detected ones; NaN where one is missing.

    px: (...,) pixels, through the lens. mm: (...,) the same at each point's own depth.
    A small error does not show a good reconstruction: it does not see errors along the ray.
    """

    px: FloatArray
    mm: FloatArray


def reprojection(camera: Camera, xyz: FloatArray, xy: FloatArray) -> ReprojectionErrors:
    """Compare world points `xyz` (..., 3) metres with pixels `xy` (..., 2) of one camera.

    NaN too for points behind the camera. Raises InvalidData when the shapes do not go together.
    """
    if xyz.shape != (*xy.shape[:-1], 3):
        raise InvalidData(f"Points of shape {xyz.shape} do not go with pixels of shape {xy.shape}.")
    px = point_errors(project(camera, xyz), xy)
    return ReprojectionErrors(px, pixels_to_mm(camera, px, to_camera(camera, xyz)[..., 2]))


def pixels_to_mm(camera: Camera, px: FloatArray, depth: FloatArray) -> FloatArray:
    """Millimetres across the viewing axis of lengths `px` (...,) at `depth` (...,) metres.

    px * depth / focal length (geometric mean of both axes): exact in the middle of an image
    without distortion.
    """
    focal = float(np.sqrt(camera.K[0, 0] * camera.K[1, 1]))
    return np.asarray(1000 * px * depth / focal)


def mask_iou(mask: BoolArray, truth: BoolArray) -> FloatArray:
    """(...,) intersection over union, 0..1, of masks (..., H, W); NaN where both are empty.

    Raises InvalidData unless both are boolean and of one shape.
    """
    _check(mask, truth)
    if mask.dtype != np.bool_ or truth.dtype != np.bool_:
        raise InvalidData(f"Masks must be boolean, not {mask.dtype} and {truth.dtype}.")
    both = (mask & truth).sum(axis=(-1, -2))
    either = (mask | truth).sum(axis=(-1, -2))
    return np.asarray(both / np.where(either > 0, either, np.nan))


def _check(mask: BoolArray, truth: BoolArray) -> None:
    if mask.shape != truth.shape or mask.ndim < 2:
        raise InvalidData(f"Masks of shapes {mask.shape} and {truth.shape} do not compare.")
