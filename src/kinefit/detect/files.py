"""Keypoints that another program has written, laid over the frames of the video."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from kinefit.detect.overlap import ahead, behind
from kinefit.detect.protocol import FrameResult, FrameSink, Progress
from kinefit.io.people import People
from kinefit.io.pose_json import read_alphapose, read_coco, read_mmpose, read_openpose
from kinefit.io.video import frame_times, frames, probe
from kinefit.tracking.image_subject import subject_in_view
from kinefit.types import InputError, IntArray, Keypoints2D, NobodyFound, PoseTrack, Timeline

Format = Literal["openpose", "mmpose", "alphapose", "coco"]

_READERS: dict[Format, tuple[str, Callable[[Path], People]]] = {
    "openpose": ("OpenPose", read_openpose),
    "mmpose": ("MMPose", read_mmpose),
    "alphapose": ("AlphaPose", read_alphapose),
    "coco": ("COCO", read_coco),
}


class FileDetector:
    """A detector that reads its points: the file is the work done, the video gives the times.

    path: file or folder, as `kinefit.io.pose_json` reads it.

    Raises InputError at once when the files cannot be used.
    """

    def __init__(self, kind: Format, path: Path) -> None:
        program, read = _READERS[kind]
        self._path, self._people = path, read(path)
        self.names = self._people.names
        self.source = f"{program} file {path.name}"

    def track(
        self,
        video: Path,
        *,
        on_frame: FrameSink | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
    ) -> PoseTrack:
        """As `Detector.track`, the subject as `subject_in_view` says; `checkpoint` is ignored.

        Raises InputError too when the files name a frame that the video does not have.
        """
        people = self.people(video)
        return track_from_people(
            video, people, subject(video, people), self.source, on_frame, progress
        )

    def people(self, video: Path, *, progress: Progress | None = None) -> People:
        """As `PeopleDetector.people`; nothing is worked out, so `progress` is ignored.

        Raises InputError when the files name a frame that the video does not have.
        """
        n_frames, last = probe(video).n_frames, int(self._people.frame[-1])
        if last >= n_frames:
            reason = f"it has a frame {last}, but {video.name} ends with frame {n_frames - 1}"
            hint = "give the keypoints of this video, with frames numbered from 0"
            raise InputError(self._path, reason, hint)
        return self._people


def subject(video: Path, people: People) -> IntArray:
    """(F,) the places of the subject among `people`, who are all of one video."""
    return subject_in_view(people.points, frame_times(video)[people.frame])


def track_from_people(
    video: Path,
    people: People,
    chosen: IntArray,
    source: str,
    on_frame: FrameSink | None = None,
    progress: Progress | None = None,
) -> PoseTrack:
    """One person among `people` as a track over all frames of `video`.

    chosen: (F,) the person's place in each frame of `people`, -1 where they are not there.
    NaN there, in frames that `people` lacks and in those that cannot be decoded. Raises InputError
    when nobody is left.
    """
    info = probe(video)
    pose = {
        int(frame): points[place]
        for frame, points, place in zip(people.frame, people.points, chosen, strict=True)
        if place >= 0
    }
    nothing = np.full((len(people.names), 3), np.nan)
    rows: list[tuple[float, bool, np.ndarray]] = []
    with behind(on_frame) as put, ahead(frames(video)) as decoded:
        for frame in decoded:
            damaged = frame.rgb is None
            points = nothing if damaged else pose.get(frame.index, nothing)
            rows.append((frame.time, damaged, points))
            xy, score = points[:, :2], np.nan_to_num(points[:, 2])
            put(FrameResult(frame.index, frame.time, frame.rgb, xy, score, None))
            if progress:
                progress(frame.index + 1, info.n_frames)
    time, lost, points = (np.array(column) for column in zip(*rows, strict=True))
    if not np.isfinite(points).any():
        raise NobodyFound(video, len(time))
    timeline = Timeline(np.arange(len(time)), time)
    image = Keypoints2D(timeline, people.names, points[..., :2], points[..., 2], info.size)
    return PoseTrack(image, None, tuple(np.flatnonzero(lost).tolist()), source)
