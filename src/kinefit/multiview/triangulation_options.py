"""What can be chosen about triangulation."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from kinefit.types import InvalidData

if TYPE_CHECKING:
    from kinefit.types import CameraRig

_LONG_SIDE = 1920

ScoreType = Literal["median", "trimmed", "huber"]


@dataclass(frozen=True)
class TriangulationOptions:
    """Options of `kinefit.multiview.triangulate`.

    Pixels are those of pictures that are 1,920 long; `for_images` turns them into a rig's own.
    The noise of detectors goes with the size of the person in the picture.

    score_min: points scored below it are not used.
    score_type: how a candidate's reprojection errors over the views become one number.
        "huber": mean Huber loss, cut at `inlier_thresh` (so that how wrong a wrong view is does
        not matter); "median": the upper median; "trimmed": mean of the best three quarters.
    huber_delta: px, where the Huber loss turns from square to straight.
    inlier_thresh: px, beyond which a view is never believed. On the real demo (MediaPipe, nose
        and 12 joints) 27 px leaves 9.2 px of mean error and three views or more for 95 % of
        points, 30 px 10.0 px and 97 %.
    adaptive: fit the threshold to the clip. Also disbelieve views beyond four standard deviations
        of the noise that it shows; and raise the threshold, to three times at most, for a rig
        whose views generally disagree by more (a calibration that is off).
    min_views: views that must agree for a point to be given.
    min_angle_deg: between the two most different rays, below which depth is not determined.
    max_pairs: camera pairs that give candidates; all pairs where there are no more than these.
    reseed_from_inliers: move each candidate to where all views that agree with it meet.
    continuity: of candidates that are as good, take those that hang together over time.
    lm_iters, lm_lambda, lm_eps: refinement (Levenberg-Marquardt): most steps (0: the linear
        solution stays), first damping, and the step in metres below which a point is done.
    robust_lm, robust_lm_delta: Huber weights in the refinement, and their delta in px.
    """

    score_min: float = 0.3
    score_type: ScoreType = "huber"
    huber_delta: float = 10.0
    inlier_thresh: float = 27.0
    adaptive: bool = True
    min_views: int = 2
    min_angle_deg: float = 3.0
    max_pairs: int = 30
    reseed_from_inliers: bool = True
    continuity: bool = True
    lm_iters: int = 10
    lm_lambda: float = 1e-3
    lm_eps: float = 1e-4
    robust_lm: bool = True
    robust_lm_delta: float = 10.0

    def __post_init__(self) -> None:
        for name, least in (("min_views", 2), ("max_pairs", 1), ("lm_iters", 0)):
            if getattr(self, name) < least:
                raise InvalidData(
                    f"{name} is {getattr(self, name)}, but at least {least} is needed."
                )
        for name in ("huber_delta", "inlier_thresh", "lm_lambda", "lm_eps", "robust_lm_delta"):
            if not getattr(self, name) > 0:
                raise InvalidData(f"{name} must be above 0, got {getattr(self, name)}.")

    def for_images(self, rig: CameraRig) -> TriangulationOptions:
        """The same options with pixels of the rig's pictures (the mean of their longer sides)."""
        ratio = sum(max(camera.size) for camera in rig) / len(rig) / _LONG_SIDE
        return replace(
            self,
            huber_delta=ratio * self.huber_delta,
            inlier_thresh=ratio * self.inlier_thresh,
            robust_lm_delta=ratio * self.robust_lm_delta,
        )
