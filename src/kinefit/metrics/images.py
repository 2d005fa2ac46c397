"""Errors in pictures: points in pixels, and at the subject's distance; masks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from kinefit.geometry.projection import project, to_camera
from kinefit.metrics.positions import point_errors
from kinefit.types import BoolArray, Camera, FloatArray, InvalidData


@dataclass(frozen=True, eq=False)
class Reprojection:
    """Points of space against where a camera saw them; NaN where one is missing.

    px: (...,) pixels, through the lens. mm: (...,) what these are at each point's own depth.
    A small error does not show a good reconstruction: along the ray anything goes.
    """

    px: FloatArray
    mm: FloatArray


def reprojection(camera: Camera, xyz: FloatArray, xy: FloatArray) -> Reprojection:
    """Compare world points `xyz` (..., 3) metres with pixels `xy` (..., 2) of one camera.

    NaN too for points behind the camera. Raises InvalidData when the shapes do not go together.
    """
    if xyz.shape != (*xy.shape[:-1], 3):
        raise InvalidData(f"Points of shape {xyz.shape} were not seen at pixels {xy.shape}.")
    px = point_errors(project(camera, xyz), xy)
    return Reprojection(px, pixels_to_mm(camera, px, to_camera(camera, xyz)[..., 2]))


def pixels_to_mm(camera: Camera, px: FloatArray, depth: FloatArray) -> FloatArray:
    """Millimetres across the viewing axis of lengths `px` (...,) at `depth` (...,) metres.

    px * depth / focal length (geometric mean of both axes): exact in the middle of a picture
    without distortion.
    """
    focal = float(np.sqrt(camera.K[0, 0] * camera.K[1, 1]))
    return np.asarray(1000 * px * depth / focal)


def mask_iou(mask: BoolArray, truth: BoolArray) -> FloatArray:
    """(...,) intersection over union, 0..1, of masks (..., H, W); NaN where both are empty.

    Raises InvalidData unless both are boolean and of one shape: of other values it is a matter of
    opinion what is inside.
    """
    _check(mask, truth)
    if mask.dtype != np.bool_ or truth.dtype != np.bool_:
        raise InvalidData(f"Masks must be boolean, not {mask.dtype} and {truth.dtype}.")
    both = (mask & truth).sum(axis=(-1, -2))
    either = (mask | truth).sum(axis=(-1, -2))
    return np.asarray(both / np.where(either > 0, either, np.nan))


def label_iou(labels: NDArray[np.integer], truth: NDArray[np.integer], count: int) -> FloatArray:
    """(count,) intersection over union of each label 0..count - 1 in pictures (..., H, W).

    Over all pictures together (Everingham et al. 2010, IJCV 88:303). Pixels whose true label is
    negative are left out. NaN for a label that is nowhere.
    Raises InvalidData for a label beyond, a negative one outside the truth, and shapes that differ.
    """
    _check(labels, truth)
    kept = truth >= 0
    a, b = labels[kept].astype(np.int64), truth[kept].astype(np.int64)
    if a.size and (a.min() < 0 or max(a.max(), b.max()) >= count):
        raise InvalidData(f"A label is not among the {count} there are.")
    both = np.bincount(a[a == b], minlength=count)
    either = np.bincount(a, minlength=count) + np.bincount(b, minlength=count) - both
    return np.asarray(both / np.where(either > 0, either, np.nan))


def _check(mask: NDArray[np.generic], truth: NDArray[np.generic]) -> None:
    if mask.shape != truth.shape or mask.ndim < 2:
        raise InvalidData(f"Masks of shapes {mask.shape} and {truth.shape} do not compare.")
