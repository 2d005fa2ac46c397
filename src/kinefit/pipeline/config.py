"""What a user can choose for one run: the command line, a TOML file and the API share it."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from kinefit.types import InputError, Subject

Positive = Annotated[float, Field(gt=0)]


class RunConfig(BaseModel):
    """Parameters of a single-camera run. Every field is a flag of `kinefit run`.

    Constructed through `run_config`, which turns a refused value into an InputError.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    height: Annotated[float, Field(ge=0.5, le=2.5)] = Field(
        description="Stature of the subject in metres; sets the scale of everything."
    )
    mass: Annotated[float, Field(ge=5, le=400)] = Field(
        description="Body mass of the subject in kilograms; an input of the marker augmenter."
    )

    detector: Literal["mediapipe", "rtmlib", "openpose", "mmpose", "alphapose", "coco"] = Field(
        "mediapipe", description="Source of the 2D landmarks."
    )
    detector_model: Path | None = Field(
        None, description="Model of the detector (mediapipe: .task; rtmlib: .onnx or a folder)."
    )
    keypoints: Path | None = Field(
        None, description="Keypoint file or folder, for the detectors that read files."
    )
    save_mask: bool = Field(False, description="Also write the person mask as a video.")
    overlay: bool = Field(True, description="Write the video with the skeleton drawn on it.")

    visibility_min: Annotated[float, Field(ge=0, le=1)] = Field(
        0.3, description="Landmarks less visible than this are missing."
    )
    repair_side_swaps: bool = Field(
        True, description="Undo exchanges of left and right by the detector (always reported)."
    )
    estimate_missing: bool = Field(
        False, description="Mirror missing limbs from the visible side (flagged as estimated)."
    )
    force_complete: bool = Field(
        False, description="Estimate missing clusters and hip joint centres (flagged)."
    )

    focal_px: Positive | None = Field(None, description="Focal length in pixels.")
    fov: Annotated[float, Field(ge=5, le=170)] | None = Field(
        None, description="Field of view across the longer image side in degrees."
    )
    tilt: Annotated[float, Field(gt=-90, lt=90)] | None = Field(
        None, description="Camera tilt in degrees, positive looking down; else estimated."
    )
    roll: Annotated[float, Field(gt=-90, lt=90)] | None = Field(
        None, description="Camera roll in degrees, positive clockwise; else estimated."
    )

    max_gap: Annotated[float, Field(ge=0)] = Field(
        0.25, description="Longest gap that is filled, in seconds (filled values are flagged)."
    )
    cutoff_hz: Positive = Field(6.0, description="Cut-off of the zero-phase Butterworth filter.")
    augmentation_cycles: Annotated[int, Field(ge=1, le=1000)] = Field(
        20,
        description="Perturbed passes (1 mm) averaged by the augmenter; their spread is reported.",
    )
    seed: Annotated[int, Field(ge=0)] = Field(0, description="Seed of everything random.")

    compute_all_joint_angles: bool = Field(True, description="Compute the 12 joint groups.")
    plot_all_joint_angles: bool = Field(False, description="Write a PNG per joint group.")

    camera_pof: bool = Field(
        False, description="Experimental lifting by a POF network: none comes with this version."
    )
    joint_refinement: bool = Field(
        False, description="Experimental learned refinement: none comes with this version."
    )

    @model_validator(mode="after")
    def _consistent(self) -> RunConfig:
        for name in ("camera_pof", "joint_refinement"):
            if getattr(self, name):
                raise ValueError(
                    f"{name} needs a trained network; this version has none, leave it out"
                )
        if self.focal_px is not None and self.fov is not None:
            raise ValueError("give focal_px or fov, not both")
        reads_files = self.detector not in ("mediapipe", "rtmlib")
        if reads_files != (self.keypoints is not None):
            raise ValueError(
                f"detector {self.detector!r} "
                + ("needs keypoints" if reads_files else "reads the video, not keypoints")
            )
        if self.plot_all_joint_angles and not self.compute_all_joint_angles:
            raise ValueError("plot_all_joint_angles needs compute_all_joint_angles")
        return self

    @property
    def subject(self) -> Subject:
        """Height and mass as the type that the stages take."""
        return Subject(self.height, self.mass)


def run_config(values: Mapping[str, Any], source: str = "options") -> RunConfig:
    """A RunConfig from plain values; InputError names each refused option and why."""
    try:
        return RunConfig(**values)
    except ValidationError as error:
        reasons = "; ".join(_reason(e) for e in error.errors())
        raise InputError(
            source, reasons, "see `kinefit run --help` for names, units and ranges"
        ) from error


def read_config(path: Path) -> dict[str, Any]:
    """The table of a TOML file, names with dashes or underscores; paths relative to the file.

    Raises InputError when the file is missing or is not TOML. Names and values are checked by
    `run_config`, together with the command line's.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(path, f"cannot be read ({error})", "check the path") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(path, f"is not valid TOML: {error}", "correct that line") from error
    values = {name.replace("-", "_"): value for name, value in table.items()}
    for name in ("video", "out", "keypoints", "detector_model"):
        if isinstance(values.get(name), str):
            values[name] = path.parent / values[name]
        elif name in values:
            raise InputError(path, f"`{name}` is not a path in quotes", "correct that line")
    return values


def _reason(error: Any) -> str:
    """One validation error in a line: the option first, as the user types it."""
    name = ".".join(str(part) for part in error["loc"]).replace("_", "-")
    text = error["msg"].removeprefix("Value error, ")
    return f"--{name}: {text}" if name else text
