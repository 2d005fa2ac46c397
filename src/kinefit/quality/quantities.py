"""What is measured about a result: marker by marker, segment by segment, camera by camera."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from typing import Any, Literal

import numpy as np

from kinefit.types import BoolArray, FloatArray, IntArray, Keypoints2D, Timeline, true_runs

Source = Literal["landmarks", "augmented"]


@dataclass(frozen=True, eq=False)
class View:
    """What one camera saw of the person.

    name: of the camera. image: the points that were used, T frames on the clock of the result.
    damaged: (T,) frames that could not be decoded. swaps: "legs", "arms", "body" -> (T,) frames
    in which the detector took left for right.
    """

    name: str
    image: Keypoints2D
    damaged: BoolArray | None = None
    swaps: Mapping[str, BoolArray] = field(default_factory=dict)


@dataclass(frozen=True)
class ViewQuality:
    """One camera over the clip.

    seen_pct: frames in which it saw the person. off_px, off_cm: median distance between the
    result, drawn into its picture, and what the detector saw; NaN when unknown. hidden_pct,
    outside_pct: point -> frames in which the detector guessed it, and in which it lay outside the
    picture, percent of those with the person; only points with any.
    """

    name: str
    seen_pct: float
    off_px: float
    off_cm: float
    hidden_pct: Mapping[str, float]
    outside_pct: Mapping[str, float]


@dataclass(frozen=True)
class MarkerQuality:
    """One marker over the whole clip.

    present_pct, estimated_pct: share of frames with a position, and with one that was not
        measured. longest_gap_s: longest stretch without a position, seconds.
    jumps: steps that no body makes. sd_mm: median standard deviation (NaN when unknown).
    """

    name: str
    present_pct: float
    estimated_pct: float
    longest_gap_s: float
    jumps: int
    sd_mm: float


@dataclass(frozen=True)
class SegmentQuality:
    """A bone's length: between landmarks over the frames in which both ends were measured,
    between augmented markers, which are all computed, over those in which both are present.

    mean_m: metres. cv_pct: 100 x standard deviation / mean; NaN below 10 frames.
    """

    name: str
    source: Source
    mean_m: float
    cv_pct: float
    frames: int


@dataclass(frozen=True)
class AngleQuality:
    """One angle: share of frames with a value and near gimbal lock, and its range in degrees."""

    name: str
    present_pct: float
    gimbal_pct: float
    low: float
    high: float


@dataclass(frozen=True)
class FootQuality:
    """One foot on the floor, judged without a reference.

    contact_pct: frames with heel or toe within 3 cm of its lowest level, hardly rising or sinking.
    slide_pct: share of those in which it moves faster than 0.2 m/s over the floor, NaN where it
    hardly ever stands; slide_m_s: mean speed there.
    below_pct: frames with the heel or toe more than 2 cm under the floor (height 0).
    """

    side: str
    contact_pct: float
    slide_pct: float
    slide_m_s: float
    below_pct: float


@dataclass(frozen=True)
class GaitQuality:
    """A clip that is walking.

    speed_m_s: median horizontal speed of the pelvis. forward: mean cosine between the way the
    pelvis moves and the way it faces (1 forward, -1 backward). ranges: degrees per joint flexion.
    """

    speed_m_s: float
    forward: float
    ranges: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class Quality:
    """What `assess` measured; arrays run along `timeline`.

    posed: (T,) frames with a position of most of the markers that the clip has. visibility: (T,)
    mean score of the points over the cameras that saw the person; NaN where none did. swaps:
    "legs", or "legs in CAMERA" -> (T,) frames. flags: what -> (T,) frames: `JUMP`, "right knee
    bends backwards", ...; only what there is. head_above_m: median height of the head above the
    feet; NaN when unknown.
    """

    timeline: Timeline
    posed: BoolArray
    visibility: FloatArray
    views: tuple[ViewQuality, ...]
    initial: tuple[MarkerQuality, ...]
    final: tuple[MarkerQuality, ...]
    segments: tuple[SegmentQuality, ...]
    angles: tuple[AngleQuality, ...]
    feet: tuple[FootQuality, ...]
    gait: GaitQuality | None
    swaps: Mapping[str, BoolArray]
    flags: Mapping[str, BoolArray]
    head_above_m: float

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values: NaN as null, frame sets as [first, last] pairs."""
        tables = ("views", "initial", "final", "segments", "angles", "feet", "gait")
        found: dict[str, Any] = {name: _plain(getattr(self, name)) for name in tables}
        for name in ("swaps", "flags"):
            sets = getattr(self, name)
            found[name] = {k: frame_pairs(v, self.timeline.frame) for k, v in sets.items()}
        seen = {"frame": self.timeline.frame.tolist(), "visibility": self.visibility.tolist()}
        return found | {"frames": _plain(seen)}


def frame_pairs(flags: BoolArray, frame: IntArray) -> list[list[int]]:
    """The runs of `flags` (T,) as [first, last] numbers of `frame` (T,)."""
    return [[int(frame[a]), int(frame[b - 1])] for a, b in true_runs(flags)]


def _plain(value: Any) -> Any:
    """A JSON value: floats with 4 decimals, NaN as null, dataclasses as objects."""
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 4)
    if isinstance(value, tuple | list):
        return [_plain(item) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    return {k: _plain(v) for k, v in value.items()} if isinstance(value, Mapping) else value
