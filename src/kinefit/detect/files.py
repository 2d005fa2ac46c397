"""Keypoints that another program has written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np

from kinefit.detect.protocol import Progress
from kinefit.io.people import SHARE_HIGH, SHARE_LOW, People, taken_for_shares
from kinefit.io.pose_json import read_alphapose, read_coco, read_mmpose, read_openpose
from kinefit.io.video import Clip, probe
from kinefit.types import FloatArray, InputError, NobodyFound

Format = Literal["openpose", "mmpose", "alphapose", "coco"]

_READERS: dict[Format, tuple[str, Callable[[Path, str | None], People]]] = {
    "openpose": ("OpenPose", read_openpose),
    "mmpose": ("MMPose", read_mmpose),
    "alphapose": ("AlphaPose", read_alphapose),
    "coco": ("COCO", read_coco),
}


@dataclass(frozen=True)
class FileDetector:
    """A detector that reads its points: the file is the work done.

    path: file or folder, as `kinefit.io.pose_json` reads it. keypoint_set: whose points they are,
    as `kinefit.io.people.collect` takes it.

    Raises InputError at once when the files cannot be used; files that show nobody can.
    """

    kind: Format
    path: Path
    keypoint_set: str | None = None
    _people: People = field(init=False)

    def __post_init__(self) -> None:
        try:
            people = _READERS[self.kind][1](self.path, self.keypoint_set)
        except NobodyFound:
            people = People((), np.empty(0, np.int64), ())
        object.__setattr__(self, "_people", people)

    @property
    def names(self) -> tuple[str, ...]:
        return self._people.names

    @property
    def source(self) -> str:
        return f"{_READERS[self.kind][0]} file {self.path.name}"

    def people(
        self, clip: Clip, *, progress: Progress | None = None, checkpoint: Path | None = None
    ) -> People:
        """As `Detector.people`. Raises InputError when the files name frames that the video does
        not have."""
        first, notes = self._first(clip.path)
        frame, looked_at = self._people.frame - first, clip.timeline().frame
        kept = np.flatnonzero(np.isin(frame, looked_at)).tolist()
        if not kept:
            raise NobodyFound(self.path, len(looked_at))
        points, findings = [self._people.points[i] for i in kept], self._people.findings
        if (scale := self._scale(points, clip)) is not None:
            points = [found * [*scale, 1] for found in points]
            findings += (taken_for_shares(),)
        return People(
            self.names, frame[kept], tuple(points), source=self.source,
            notes=(*self._people.notes, *notes), findings=findings, guess=self._people.guess,
        )  # fmt: skip

    def _scale(self, points: list[FloatArray], clip: Clip) -> tuple[int, int] | None:
        """Width and height of the picture where all coordinates are shares of it, else None."""
        known = np.concatenate([found[..., :2].reshape(-1, 2) for found in points])
        low, high = np.nanmin(known, initial=np.inf), np.nanmax(known, initial=-np.inf)
        if low < -SHARE_HIGH or not -SHARE_HIGH <= high <= SHARE_HIGH:  # pixels, or nobody
            return None
        if low < SHARE_LOW:
            reason = "its coordinates are neither pixels nor shares of the picture (-1 to 1)"
            raise InputError(self.path, reason, "write pixels (OpenPose: --keypoint_scale 0)")
        return clip.probe().size

    def _first(self, video: Path) -> tuple[int, tuple[str, ...]]:
        """The number by which the files call the video's first frame, and how that was told.

        Some programs count from 1, and pictures cut from a longer recording from anywhere: told
        only where the numbers do not fit the video otherwise.
        """
        frame, count = self._people.frame, probe(video).n_frames
        if not len(frame) or frame[-1] < count:
            return 0, ()
        first, last = int(frame[0]), int(frame[-1])
        from_one = last == count and first >= 1
        if not from_one and last - first + 1 != count:
            reason = f"it has a frame {last}, but {video.name} ends with frame {count - 1}"
            hint = "give the keypoints of this video, with frames numbered from 0"
            raise InputError(self.path, reason, hint)
        first = 1 if from_one else first
        note = f"Frames of {self.path.name} are numbered from {first}: that is the video's first."
        return first, (note,)
