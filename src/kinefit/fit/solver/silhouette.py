"""A body's outline against masks of a person: terms of the one solver, one for each direction.

Points of the skin that lie on the body's outline in a picture belong on the mask's edge there: the
residual is the mask's signed distance field at the projected point (`Silhouette`). And to each
point of the mask's edge belongs a point of the outline: the residual is how far that one is from
the edge's tangent (`MaskEdge`). Both are positive outside the mask, in metres at the person's
depth. Which points belong together is found again between solves (`kinefit.fit.recipes.outline`),
as the nearest points of ICP are (Besl & McKay 1992, PAMI 14(2):239; with tangents, Chen & Medioni
1992, Image and Vision Computing 10(3):145); within a solve the derivatives are exact.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from kinefit.fit.solver.terms import NEAR, Rows
from kinefit.geometry.robust import L2, Kernel
from kinefit.types import BoolArray, CameraRig, FloatArray, IntArray, InvalidData
from kinefit.types.arrays import freeze


@dataclass(frozen=True, eq=False)
class _InMasks(ABC):
    """Skin in C cameras and T poses.

    rig: C cameras; masks are of pictures without their lenses' distortion.
    keypoint: (K',) points of the chain. Residuals are camera by camera: M = C K'.
    weight: (T, C K') how much each counts: 0 for points that are no evidence.
    to_mask: (T, C, 2, 3) from (x, y, 1) on the plane z = 1 of the camera to pixels of the mask.
    metre: (T, C) metres at the person's depth for one of these pixels.
    outside_m, inside_m: one standard deviation of a point that is outside the mask, and inside.
    """

    rig: CameraRig
    keypoint: IntArray
    weight: FloatArray
    to_mask: FloatArray
    metre: FloatArray
    outside_m: float
    inside_m: float
    kernel: Kernel = field(default_factory=L2, kw_only=True)
    point: IntArray = field(init=False)

    def __post_init__(self) -> None:
        T, C = self.metre.shape
        agree = self.to_mask.shape == (T, C, 2, 3) and len(self.rig) == C
        if not agree or self.weight.shape != (T, C * len(self.keypoint)):
            raise InvalidData(f"{type(self).__name__}: shapes of masks, weights and rig disagree.")
        freeze(self, point=np.tile(self.keypoint, C))

    @abstractmethod
    def _field(self, uv: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """Distances (t, C, K) to the mask's edge, in its pixels, positive outside, of places uv
        (t, C, K, 2) in it; and their slopes (t, C, K, 2)."""

    def residual(self, points: FloatArray, rows: Rows) -> FloatArray:
        uv, _, _ = self._in_masks(points, rows)
        return self._scaled(self._field(uv, rows)[0], rows)[0].reshape(len(points), -1, 1)

    def jacobian(self, points: FloatArray, rows: Rows) -> FloatArray:
        uv, plane, near = self._in_masks(points, rows)
        value, slope = self._field(uv, rows)  # (t, C, K), (t, C, K, 2)
        _, scale = self._scaled(value, rows)
        by_plane = (slope[..., None, :] @ self.to_mask[rows][:, :, None, :, :2])[..., 0, :]
        R = np.stack([c.R for c in self.rig])[:, None]
        dx = R[..., 0, :] - plane[..., :1] * R[..., 2, :]
        dy = R[..., 1, :] - plane[..., 1:] * R[..., 2, :]
        out = by_plane[..., :1] * dx + by_plane[..., 1:] * dy
        out *= (near * scale)[..., None]
        return np.asarray(out.reshape(len(points), -1, 1, 3))

    def _scaled(self, value: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """Residuals of distances in mask pixels, and their derivative."""
        metre = self.metre[rows][..., None]
        away = value * metre
        sd = np.where(away > 0, self.outside_m, self.inside_m)
        return away / sd, metre / sd

    def _in_masks(
        self, points: FloatArray, rows: Rows
    ) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Pixels of the masks (t, C, K, 2), the plane z = 1 (t, C, K, 2) and 1 / depth."""
        C, K = len(self.rig), len(self.keypoint)
        xyz = points.reshape(len(points), C, K, 3)
        R, t = (np.stack([getattr(c, f) for c in self.rig]) for f in ("R", "t"))
        local = xyz @ np.swapaxes(R, -1, -2) + t[:, None]
        near = 1 / np.maximum(local[..., 2], NEAR)
        plane = local[..., :2] * near[..., None]
        to = self.to_mask[rows]
        return plane @ np.swapaxes(to[..., :2], -1, -2) + to[..., None, :, 2], plane, near


@dataclass(frozen=True, eq=False)
class Silhouette(_InMasks):
    """Outline points against the mask.

    distance: (T, C, S, S) signed distance to the mask's edge, in its own pixels, positive outside.
    """

    distance: NDArray[np.float32] = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.distance.shape[:2] != self.metre.shape:
            raise InvalidData("Silhouette: shapes of masks and distances disagree.")

    def _field(self, uv: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray]:
        """Distances (t, C, K) between pixels, bilinear, and their slopes (t, C, K, 2)."""
        distance = self.distance[rows]
        t, C, side, _ = distance.shape
        at, cell = _cells(uv, side)
        flat = distance.reshape(t * C, -1)
        first = (cell[..., 1] * side + cell[..., 0]).reshape(t * C, -1)
        corner = [
            np.take_along_axis(flat, first + step, axis=1).reshape(uv.shape[:-1])
            for step in (0, 1, side, side + 1)
        ]
        a, b, c, d = (np.asarray(values, np.float64) for values in corner)
        x, y = at[..., 0], at[..., 1]
        value = a + (b - a) * x + (c - a) * y + (a - b - c + d) * x * y
        slope = np.stack([b - a + (a - b - c + d) * y, c - a + (a - b - c + d) * x], axis=-1)
        inside: BoolArray = (uv >= 0) & (uv <= side - 1)
        return value, np.where(inside, slope, 0.0)


@dataclass(frozen=True, eq=False)
class MaskEdge(_InMasks):
    """The mask's edge against outline points: each of these stands for the points of the edge to
    which it is the nearest.

    line: (T, C, K', 3) a u + b v + c is the mean distance of (u, v), pixels of the mask, from the
    tangents at these.
    """

    line: FloatArray = field(kw_only=True)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.line.shape != (*self.metre.shape, len(self.keypoint), 3):
            raise InvalidData("MaskEdge: shapes of masks and lines disagree.")

    def _field(self, uv: FloatArray, rows: Rows) -> tuple[FloatArray, FloatArray]:
        slope = self.line[rows][..., :2]
        return (slope * uv).sum(axis=-1) + self.line[rows][..., 2], slope


def _cells(uv: FloatArray, side: int) -> tuple[FloatArray, IntArray]:
    """Places within cells, 0..1, and the cells' first corners; beyond the edge, at the edge."""
    clipped = np.clip(np.nan_to_num(uv), 0, side - 1)
    cell = np.minimum(clipped.astype(np.int64), side - 2)
    return clipped - cell, cell
