"""What a rig is fitted to: points in space with the views that they rest on, checked once.

This is the contract between triangulation and the fit. A triangulation says honestly that a
point is not there (NaN), or that no view supports it; here such points lose all weight, and how
many are left is counted before anything is solved.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from functools import cached_property

import numpy as np

from kinefit.multiview.bundle import Bundle
from kinefit.multiview.triangulate import Triangulation
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData, Timeline, all_finite
from kinefit.types.arrays import check_names, freeze, frozen_array

_FAR_M = 1e4  # no camera films a person at ten kilometres: such a number is no measurement
# How much more certain than the typical point one may count as: a covariance knows the noise of
# pixels, not what a detector means by a shoulder.
_MOST_CERTAIN = 3.0


class FrameOutcome(IntEnum):
    """Why a frame has no pose that can be used; OK where it has one."""

    OK = 0
    NO_WEIGHT = 1
    TOO_FEW_POINTS = 2
    NO_INITIAL_POSE = 3
    NOT_ALIGNED = 4
    BAD_LOSS = 5
    BAD_DATA_LOSS = 6
    LOSS_GREW = 7
    FEW_NEAR = 8

    @property
    def words(self) -> str:
        return _WORDS[self]


_WORDS = (
    "",
    "no triangulated point in this frame",
    "too few triangulated points in this frame",
    "no camera has an initial pose",
    "the points do not determine the direction of the body",
    "the loss is above its threshold",
    "the body is too far from the points",
    "the written pose fits worse than the best one found",
    "too few points are near the body",
)


@dataclass(frozen=True, eq=False)
class RigTargets:
    """Points that a body is to be brought to, over T frames.

    names: M points, as the body calls them. cameras: V names.
    xyz: (T, M, 3) metres, world; NaN where unknown.
    weight: (T, M) not negative, zero where unknown; only their ratios within a frame matter.
    metric: (T, M, 3, 3) symmetric: takes a residual in metres to one that counts less along
        uncertain directions; identity where the covariance is unknown.
    error_px: (T, V) mean reprojection error of each camera, NaN where unknown.

    What is not a number, or further than ten kilometres away, becomes NaN and weightless.
    Raises InvalidData for shapes that disagree, and for a weight that is negative or infinite.
    """

    timeline: Timeline
    names: tuple[str, ...]
    cameras: tuple[str, ...]
    xyz: FloatArray
    weight: FloatArray
    metric: FloatArray
    error_px: FloatArray

    def __post_init__(self) -> None:
        names, cameras = (check_names("RigTargets", tuple(n)) for n in (self.names, self.cameras))
        T, M, V = len(self.timeline), len(names), len(cameras)
        with np.errstate(invalid="ignore"):
            known = np.asarray((np.abs(self.xyz) < _FAR_M).all(axis=-1))
        xyz = np.where(known[..., None], self.xyz, np.nan)
        weight = np.nan_to_num(self.weight, posinf=-1)
        if (weight < 0).any():
            raise InvalidData("RigTargets.weight is negative or infinite. Next: give 0 or more.")
        xyz = frozen_array("RigTargets", "xyz", xyz, (T, M, 3))
        weight = frozen_array("RigTargets", "weight", weight, (T, M))
        whole = np.isfinite(self.metric).all(axis=(-1, -2), keepdims=True)
        metric = np.where(whole, self.metric, np.eye(3))
        freeze(
            self,
            names=names,
            cameras=cameras,
            xyz=xyz,
            weight=np.where(known, weight, 0.0),
            metric=frozen_array("RigTargets", "metric", metric, (T, M, 3, 3)),
            error_px=frozen_array("RigTargets", "error_px", self.error_px, (T, V)),
        )

    @classmethod
    def of(
        cls,
        timeline: Timeline,
        names: tuple[str, ...],
        cameras: tuple[str, ...],
        xyz: FloatArray,
        weight: FloatArray,
        *,
        covariance: FloatArray | None = None,
        error_px: FloatArray | None = None,
    ) -> RigTargets:
        """Targets with the metric of `covariance` (T, M, 3, 3) square metres, if there is one."""
        metric = np.broadcast_to(np.eye(3), (*np.shape(weight), 3, 3))
        if covariance is not None:
            metric = _metric(covariance)
        if error_px is None:
            error_px = np.full((len(timeline), len(cameras)), np.nan)
        return cls(timeline, names, cameras, xyz, weight, metric, error_px)

    @classmethod
    def of_bundle(cls, bundle: Bundle, names: tuple[str, ...] | None = None) -> RigTargets:
        """Targets from a bundle: a point counts by the share of the views that agree on it.

        names: of its points, for the files of earlier programs, which have none.
        """
        share = bundle.inlier_mask.mean(axis=-1)
        return cls.of(bundle.timeline, names or bundle.names, bundle.cameras, bundle.points, share)

    @classmethod
    def of_triangulation(cls, found: Triangulation) -> RigTargets:
        """The same from all that a triangulation knows: covariance and reprojection errors too,
        of each camera over the points that it was used for."""
        used = found.inlier_mask & np.isfinite(found.error_px)
        total, count = np.where(used, found.error_px, 0.0).sum(axis=1), used.sum(axis=1)
        return cls.of(
            found.timeline,
            found.names,
            found.cameras,
            found.refined,
            found.inlier_mask.mean(axis=-1),
            covariance=found.covariance,
            error_px=total / np.where(count > 0, count, np.nan),
        )

    def __len__(self) -> int:
        return len(self.timeline)

    @cached_property
    def known(self) -> BoolArray:
        """(T, M) finite points."""
        return all_finite(self.xyz)

    @cached_property
    def usable(self) -> BoolArray:
        """(T, M) finite points with a positive weight."""
        return np.asarray(self.weight > 0)

    def only(self, names: tuple[str, ...]) -> RigTargets:
        """The targets of these of the points."""
        at = [self.names.index(name) for name in names]
        parts = {name: getattr(self, name)[:, at] for name in ("xyz", "weight", "metric")}
        return replace(self, names=names, **parts)

    def reasons(self, min_points: int) -> IntArray:
        """(T,) `FrameOutcome` of each frame as far as the points alone tell."""
        count = self.usable.sum(axis=1)
        few = np.where(count < min_points, FrameOutcome.TOO_FEW_POINTS, FrameOutcome.OK)
        return np.where(count == 0, FrameOutcome.NO_WEIGHT, few).astype(np.int64)


def _metric(covariance: FloatArray) -> FloatArray:
    """(T, M, 3, 3) s C^(-1/2), with s the median deviation of the clip: metres stay metres.

    Identity where the covariance is not finite and positive.
    """
    good = np.asarray(np.isfinite(covariance).all(axis=(-1, -2)))
    variance, axes = np.linalg.eigh(np.where(good[..., None, None], covariance, 0.0))
    good &= variance[..., 0] > 0
    out = np.broadcast_to(np.eye(3), covariance.shape).copy()
    if good.any():
        sd, axes = np.sqrt(variance[good]), axes[good]
        typical = float(np.median(sd))
        ratio = typical / np.maximum(sd, typical / _MOST_CERTAIN)
        out[good] = (axes * ratio[:, None, :]) @ np.swapaxes(axes, -1, -2)
    return out
