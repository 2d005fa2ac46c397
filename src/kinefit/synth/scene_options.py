"""Options of synthetic scenes and training pairs, with units and ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from kinefit.pipeline.config import Options

Share = Annotated[float, Field(ge=0, le=1)]
Spread = Annotated[float, Field(ge=0)]

HairStyle = Literal["layer", "bald", "short", "long", "bun", "ponytail", "curly", "cap", "hood"]
HairChoice = Literal[HairStyle, "any"]
HAIR_STYLES: tuple[HairStyle, ...] = get_args(HairStyle)


class SynthOptions(Options):
    """Flags of `kinefit synth`. Two scenes of the same options, seed and version are the same."""

    seed: int = Field(0, ge=0)
    """Seed of everything random."""
    views: int = Field(4, ge=1, le=16)
    """Cameras around the scene."""
    seconds: float = Field(4.0, gt=0, le=3600)
    """Length of each video."""
    rate: float = Field(30.0, ge=1, le=1000)
    """Frames per second."""
    width: int = Field(540, ge=64, le=8192)
    """Width of the pictures."""
    height: int = Field(720, ge=64, le=8192)
    """Height of the pictures."""

    people: int = Field(1, ge=1, le=8)
    """How many people; the first is the subject."""
    children: Share = 0.15
    """Chance that a person is a child of 5 to 14 years."""
    hair: HairChoice = "layer"
    """Hair or headwear of all people (layer: thin hair close to the skin; any: the others)."""
    skirts: Share = 0.0
    """Chance that a person wears a long skirt or dress, from below the knee to the ankle."""
    motion: Path | None = Field(
        None,
        description="Motion capture beside kinefit's own motions: a .bvh, .amc (with its .asf) or "
        "AMASS .npz file, or a folder of them.",
    )
    clip: str | None = None
    """Only motions whose name contains this."""
    mix: bool = True
    """Mirror, re-time, join motions, and combine them with other upper bodies."""
    treadmill: bool = False
    """People stay in place, as on a treadmill."""
    props: int = Field(0, ge=0, le=20)
    """Boxes, posts and tables that may hide parts of people."""
    backgrounds: Path | None = None
    """Folder of your images (.jpg, .png) as backgrounds."""

    focal_min: float = Field(24.0, ge=12, le=200)
    """Shortest focal length, mm on a full frame (36 mm across)."""
    focal_max: float = Field(50.0, ge=12, le=200)
    """Longest focal length, mm."""
    distance: float = Field(1.35, ge=1, le=10)
    """Farthest camera, in distances at which a person fills the image."""
    lens: bool = False
    """Distorting lenses, as phones have them."""
    elevation: float = Field(0.0, ge=0, le=75)
    """Half of the cameras look down on people, from up to this many degrees above them."""
    handheld: bool = False
    """Cameras sway as hands do (else they stand still)."""
    shutter: Share = 0.3
    """Longest exposure as a share of the frame's time: motion blur."""
    noise: float = Field(1.0, ge=0, le=10)
    """Sensor noise, times that of an ordinary phone indoors; 0: none."""
    quality: int = Field(23, ge=0, le=51)
    """H.264 constant rate factor: 18 looks lossless, 35 is bad."""

    clock_offset: float = Field(0.0, ge=0, le=10)
    """Clocks of cameras differ by up to this, seconds (the first is right)."""
    calibration_turn: Spread = 0.0
    """Error of the calibration given: rotation, SD in degrees."""
    calibration_shift: Spread = 0.0
    """Error of the calibration given: place, SD in metres."""
    calibration_focal: float = Field(0.0, ge=0, le=0.2)
    """Error of the calibration given: focal length, SD as a share."""

    @model_validator(mode="after")
    def _consistent(self) -> SynthOptions:
        if self.focal_min > self.focal_max:
            raise ValueError("--focal-min is above --focal-max")
        if round(self.seconds * self.rate) < 1:
            raise ValueError("--seconds times --rate is less than one frame")
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

    treadmill: bool = True
    """People stay in place, as on a treadmill: they fill the image more."""
    count: int = Field(10_000, ge=1)
    """Rows, at least."""
    drawn: bool = False
    """Sample detections from the model of the detector's error, without rendering."""
    network: Literal["full", "heavy"] = "full"
    """The detector's landmark network."""
    consecutive: bool = False
    """Rows are all frames of each view, in which the detector follows people as in a video: their
    errors last as they really do. A shard is then one scene."""

    views: int = Field(3, ge=1, le=16)
    """Cameras of a scene."""
    seconds: float = Field(3.0, gt=0, le=3600)
    """Length of a scene."""
    props: int = Field(1, ge=0, le=20)
    """Most objects in a scene that may hide parts of people."""
    focal_max: float = Field(85.0, ge=12, le=200)
    """Longest focal length, mm."""
    distance: float = Field(2.5, ge=1, le=10)
    """Farthest camera, in distances at which a person fills the image."""

    @model_validator(mode="after")
    def _one_kind(self) -> PairOptions:
        if self.drawn and self.consecutive:
            raise ValueError("give --drawn or --consecutive, not both")
        if self.lens and self.consecutive:
            raise ValueError("--consecutive rows do not say how a lens distorts: leave out --lens")
        return self
