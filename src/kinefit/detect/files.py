"""Keypoints that another program has written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from kinefit.detect.protocol import Progress
from kinefit.io.people import People
from kinefit.io.pose_json import read_alphapose, read_coco, read_mmpose, read_openpose
from kinefit.io.video import Clip, probe
from kinefit.types import InputError, NobodyFound

Format = Literal["openpose", "mmpose", "alphapose", "coco"]

_READERS: dict[Format, tuple[str, Callable[[Path], People]]] = {
    "openpose": ("OpenPose", read_openpose),
    "mmpose": ("MMPose", read_mmpose),
    "alphapose": ("AlphaPose", read_alphapose),
    "coco": ("COCO", read_coco),
}


@dataclass(frozen=True)
class FileDetector:
    """A detector that reads its points: the file is the work done.

    path: file or folder, as `kinefit.io.pose_json` reads it.

    Raises InputError at once when the files cannot be used.
    """

    kind: Format
    path: Path
    _people: People = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_people", _READERS[self.kind][1](self.path))

    @property
    def names(self) -> tuple[str, ...]:
        return self._people.names

    @property
    def source(self) -> str:
        return f"{_READERS[self.kind][0]} file {self.path.name}"

    def people(
        self, clip: Clip, *, progress: Progress | None = None, checkpoint: Path | None = None
    ) -> People:
        """As `Detector.people`. Raises InputError when the files name a frame that the video does
        not have."""
        n_frames, last = probe(clip.path).n_frames, int(self._people.frame[-1])
        if last >= n_frames:
            reason = f"it has a frame {last}, but {clip.path.name} ends with frame {n_frames - 1}"
            hint = "give the keypoints of this video, with frames numbered from 0"
            raise InputError(self.path, reason, hint)
        kept = np.flatnonzero(np.isin(self._people.frame, clip.timeline().frame)).tolist()
        if not kept:
            raise NobodyFound(clip.path, len(clip.timeline()))
        points = tuple(self._people.points[i] for i in kept)
        return People(self.names, self._people.frame[kept], points, source=self.source)
