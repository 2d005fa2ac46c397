"""Points of one person over time, in an image or in space."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from kinefit.types.arrays import (
    BoolArray,
    FloatArray,
    all_finite,
    check_names,
    freeze,
    freeze_arrays,
)
from kinefit.types.errors import InvalidData
from kinefit.types.timeline import Timeline


@dataclass(frozen=True, eq=False)
class Keypoints2D:
    """One person's points in one video.

    timeline: T frames.
    names: J point names as in `kinefit.skeletons`.
    xy: (T, J, 2) pixels of the upright image (after rotation metadata), x right, y down,
        pixel centres at integers; NaN where nothing was detected. May lie outside the image.
    score: (T, J) in 0..1, the detector's own visibility or confidence; 0 where xy is NaN.
    image_size: (width, height) pixels.
    """

    timeline: Timeline
    names: tuple[str, ...]
    xy: FloatArray
    score: FloatArray
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        names = check_names("Keypoints2D", self.names)
        count = (len(self.timeline), len(names))
        freeze_arrays(self, xy=(*count, 2))
        score = np.array(self.score, dtype=np.float64)
        if score.shape == count:  # a wrong shape is reported below
            score[~all_finite(self.xy) | ~np.isfinite(score)] = 0.0
        freeze(self, names=names, score=score)
        freeze_arrays(self, score=count)
        if score.size and (score.min() < 0 or score.max() > 1):
            raise InvalidData("Keypoints2D.score must lie in 0..1.")
        width, height = (int(n) for n in self.image_size)
        if width <= 0 or height <= 0:
            raise InvalidData(f"Keypoints2D.image_size must be positive, got {self.image_size}.")
        freeze(self, image_size=(width, height))

    @property
    def found(self) -> BoolArray:
        """(T,) True where at least one point was detected."""
        return np.asarray(all_finite(self.xy).any(axis=-1))


@dataclass(frozen=True, eq=False)
class Keypoints3D:
    """One person's points in space.

    timeline, names: as in Keypoints2D.
    xyz: (T, J, 3) metres; NaN where missing.
    axes: "camera" (x right, y down, z forward; the origin is stated by the producer) or
        "world" (right-handed, Y up).
    """

    timeline: Timeline
    names: tuple[str, ...]
    xyz: FloatArray
    axes: Literal["camera", "world"]

    def __post_init__(self) -> None:
        names = check_names("Keypoints3D", self.names)
        freeze(self, names=names)
        freeze_arrays(self, xyz=(len(self.timeline), len(names), 3))
        if self.axes not in ("camera", "world"):
            raise InvalidData(f"Keypoints3D.axes must be 'camera' or 'world', got {self.axes!r}.")

    def middle(self, *names: str) -> FloatArray:
        """(T, 3) the mean of these points; NaN where one is missing, or unknown by name."""
        if not set(names) <= set(self.names):
            return np.full((len(self.timeline), 3), np.nan)
        return np.asarray(self.xyz[:, [self.names.index(n) for n in names]].mean(axis=1))


@dataclass(frozen=True, eq=False)
class PoseTrack:
    """What a detector says about one person in one video.

    image: points in pixels.
    body: the detector's own 3D (same names and timeline), metres, camera axes, origin at the
        mid-hip; None when the detector gives 2D only.
    damaged: frame indices that could not be decoded; their points are NaN.
    source: name and version of the detector, for provenance.
    """

    image: Keypoints2D
    body: Keypoints3D | None
    damaged: tuple[int, ...]
    source: str

    def __post_init__(self) -> None:
        if self.body is not None and (
            self.body.names != self.image.names or self.body.timeline != self.image.timeline
        ):
            raise InvalidData(
                "PoseTrack.body must share the names and timeline of PoseTrack.image."
            )
        freeze(self, damaged=tuple(int(f) for f in self.damaged))
