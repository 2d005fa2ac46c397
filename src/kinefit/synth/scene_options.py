"""Options of synthetic scenes and training pairs, with units and ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, model_validator

Share = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(ge=0)]


class SynthOptions(BaseModel):
    """Flags of `kinefit synth`. Two scenes of the same options, seed and version are the same."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    seed: Annotated[int, Field(ge=0)] = Field(0, description="Of everything random.")
    views: Annotated[int, Field(ge=1, le=16)] = Field(4, description="Cameras around the scene.")
    seconds: Annotated[float, Field(gt=0, le=3600)] = Field(4.0, description="Length.")
    rate: Annotated[float, Field(ge=1, le=1000)] = Field(30.0, description="Frames per second.")
    width: Annotated[int, Field(ge=64, le=8192)] = Field(540, description="Pixels.")
    height: Annotated[int, Field(ge=64, le=8192)] = Field(720, description="Pixels.")

    people: Annotated[int, Field(ge=1, le=8)] = Field(1, description="The first is the subject.")
    children: Share = Field(0.15, description="Chance that a person is a child of 5 to 14 years.")
    motion: Path | None = Field(
        None,
        description="Motion capture beside kinefit's own motions: a .bvh, .amc (with its .asf) or "
        "AMASS .npz file, or a folder of them.",
    )
    clip: str | None = Field(None, description="Only motions whose name contains this.")
    mix: bool = Field(
        True,
        description="Mirror, re-time, join motions, and combine them with other upper bodies.",
    )
    treadmill: bool = Field(False, description="People stay in place, as on a treadmill.")
    props: Annotated[int, Field(ge=0, le=20)] = Field(
        0, description="Boxes, posts and tables that may hide parts of people."
    )
    backgrounds: Path | None = Field(
        None, description="Folder of your images (.jpg, .png) as backgrounds."
    )

    focal_min: Annotated[float, Field(ge=12, le=200)] = Field(
        24.0, description="Shortest focal length, mm on a full frame (36 mm across)."
    )
    focal_max: Annotated[float, Field(ge=12, le=200)] = Field(50.0, description="Longest, mm.")
    distance: Annotated[float, Field(ge=1, le=10)] = Field(
        1.35,
        description="Farthest camera, in distances at which a person fills the image.",
    )
    lens: bool = Field(False, description="Distorting lenses, as phones have them.")
    handheld: bool = Field(False, description="Cameras sway as hands do (else they stand still).")
    shutter: Share = Field(
        0.3, description="Longest exposure as a share of the frame's time: motion blur."
    )
    noise: Annotated[float, Field(ge=0, le=10)] = Field(
        1.0, description="Sensor noise, times that of an ordinary phone indoors; 0: none."
    )
    quality: Annotated[int, Field(ge=0, le=51)] = Field(
        23, description="H.264 constant rate factor: 18 looks lossless, 35 is bad."
    )

    clock_offset: Annotated[float, Field(ge=0, le=10)] = Field(
        0.0, description="Clocks of cameras differ by up to this, seconds (the first is right)."
    )
    calibration_turn: Spread = Field(
        0.0, description="Error of the calibration given: rotation, SD in degrees."
    )
    calibration_shift: Spread = Field(0.0, description="The same: place, SD in metres.")
    calibration_focal: Annotated[float, Field(ge=0, le=0.2)] = Field(
        0.0, description="The same: focal length, SD as a share."
    )

    @model_validator(mode="after")
    def _consistent(self) -> SynthOptions:
        if self.focal_min > self.focal_max:
            raise ValueError("focal_min is above focal_max")
        if round(self.seconds * self.rate) < 1:
            raise ValueError("seconds times rate is less than one frame")
        return self

    @property
    def frames(self) -> int:
        """Of each video."""
        return round(self.seconds * self.rate)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) pixels."""
        return self.width, self.height


class PairOptions(SynthOptions):
    """Flags of `kinefit synth pairs`: scenes as of `kinefit synth`, with other defaults."""

    treadmill: bool = Field(
        True, description="People stay in place, as on a treadmill: they fill the image more."
    )
    count: Annotated[int, Field(ge=1)] = Field(10_000, description="Rows, at least.")
    drawn: bool = Field(
        False,
        description="Sample detections from the model of the detector's error, without rendering.",
    )

    views: Annotated[int, Field(ge=1, le=16)] = Field(3, description="Cameras of a scene.")
    seconds: Annotated[float, Field(gt=0, le=3600)] = Field(3.0, description="Of a scene.")
    props: Annotated[int, Field(ge=0, le=20)] = Field(
        1, description="Most objects in a scene that may hide parts of people."
    )
    focal_max: Annotated[float, Field(ge=12, le=200)] = Field(85.0, description="Longest, mm.")
    distance: Annotated[float, Field(ge=1, le=10)] = Field(
        2.5,
        description="Farthest camera, in distances at which a person fills the image.",
    )
