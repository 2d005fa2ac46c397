"""Options of the fit frame by frame: names, defaults, ranges and help of every flag, once.

Names are those of the pipeline that this recipe replaces.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]

PRIORS = ("pose_reg", "temporal", "temporal_velocity", "temporal_accel")
LOSSES = ("data", *PRIORS)


class RigFitOptions(BaseModel):
    """How poses are fitted to points. Losses are in square metres: see `rigfit`."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    with_scale: bool = Field(
        default=False, description="The body may be scaled as a whole, frame by frame."
    )
    huber_m: Positive = Field(
        default=0.03, description="From here a point's pull no longer grows, metres."
    )
    # 1e-4: half a radian in all joints costs as much as 7 mm in all points.
    w_pose_reg: NotNegative = Field(
        default=1e-4, description="Weight of the prior on the initial pose, m^2 per rad^2."
    )
    w_temporal: NotNegative = Field(
        default=0.0, description="Weight of the prior on the previous pose, m^2 per rad^2."
    )
    w_temporal_velocity: NotNegative = Field(
        default=1e-4, description="Weight of the prior on the pose to which the last two lead."
    )
    w_temporal_accel: NotNegative = Field(
        default=0.0, description="Weight of the prior on a constant velocity."
    )
    temporal_init_blend: Share = Field(
        default=0.3,
        description="How far the initial pose is rotated to where the last ones lead, 0..1.",
    )
    temporal_extrapolation: NotNegative = Field(
        default=1.0, description="Gain of the velocity; 0 is the previous pose itself."
    )
    temporal_gap_s: NotNegative = Field(
        default=0.2, description="Poses further back in time are not used, seconds."
    )
    iters: Annotated[int, Field(ge=1)] = Field(
        default=60, description="Most solver steps of a try."
    )
    patience: Annotated[int, Field(ge=1)] = Field(
        default=2, description="Rounds of ten steps without gain, after which a try ends."
    )
    least_gain: NotNegative = Field(
        default=1e-3, description="Share of the loss that a round must gain to count."
    )
    min_points: Annotated[int, Field(ge=3)] = Field(
        default=6, description="Finite points with weight that a frame needs."
    )
    tie_m: NotNegative = Field(
        default=1e-3, description="Cameras whose scores differ by less are equally good, metres."
    )
    bad_loss_threshold: Positive = Field(
        default=5e-3, description="A pose with a larger loss is not used, square metres."
    )
    # 4e-3: with a `huber_m` of 3 cm, all points 15 cm off, or an eighth of them a metre.
    bad_data_loss_threshold: Positive = Field(
        default=4e-3, description="The same for the part of the loss that the points leave."
    )
    bad_near_share: Share = Field(
        default=0.6,
        description="Least share of the points within twice --huber-m of the body, 0..1.",
    )
    bad_loss_growth_ratio: Annotated[float, Field(ge=1)] = Field(
        default=2.0,
        description="A pose whose loss is so many times the least one found is not used.",
    )

    def weight(self, prior: str) -> float:
        """The weight of one of `PRIORS`."""
        return float(getattr(self, f"w_{prior}"))

    @property
    def looks_back(self) -> bool:
        """Whether a frame depends on those before it."""
        return self.temporal_init_blend > 0 or any(self.weight(prior) > 0 for prior in PRIORS[1:])


class SequenceOptions(BaseModel):
    """What happens to a clip's poses beyond the fit of each."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, defer_build=True)

    one_shape: bool = Field(
        default=True, description="One shape for the clip, the median of the initial poses' shapes."
    )
    max_gap: NotNegative = Field(
        default=0.3, description="Longest gap that is interpolated, seconds; 0: none."
    )
    # Beyond, either way round may be right.
    most_turn: Annotated[float, Field(gt=0, lt=3.14)] = Field(
        default=2.0,
        description="A gap across which a joint turns further is not interpolated, radians.",
    )
    repair: bool = Field(default=True, description="Replace rotations that jump for a frame.")
    smooth: NotNegative = Field(
        default=0.03,
        description="Smoothing in time, one deviation of the weights, seconds; 0: none.",
    )
