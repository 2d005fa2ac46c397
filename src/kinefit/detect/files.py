"""Keypoints that another program has written, laid over the frames of the video."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np

from kinefit.detect.overlap import ahead, behind
from kinefit.detect.protocol import Detector, FrameResult, FrameSink, Progress
from kinefit.io.people import People
from kinefit.io.pose_json import read_alphapose, read_coco, read_mmpose, read_openpose
from kinefit.io.video import Clip, probe
from kinefit.tracking.image_subject import subject_in_view
from kinefit.types import InputError, IntArray, Keypoints2D, NobodyFound, PoseTrack, Timeline

Format = Literal["openpose", "mmpose", "alphapose", "coco"]

_READERS: dict[Format, tuple[str, Callable[[Path], People]]] = {
    "openpose": ("OpenPose", read_openpose),
    "mmpose": ("MMPose", read_mmpose),
    "alphapose": ("AlphaPose", read_alphapose),
    "coco": ("COCO", read_coco),
}


class PeopleDetector(Detector):
    """A detector that finds everybody in the picture.

    With several cameras, who the subject is comes out of all of them together
    (`kinefit.tracking.identity`); `track_from_people` then makes each video's track.

    looks: whether `people` looks at the video, so that `progress` is of that.
    """

    looks = True

    @abstractmethod
    def people(self, clip: Clip, *, progress: Progress | None = None) -> People:
        """Everybody in every frame of `clip`; frame numbers are the video's.

        Raises InputError when the video or another input cannot be used.
        """

    def track(
        self,
        clip: Clip,
        *,
        on_frame: FrameSink | None = None,
        progress: Progress | None = None,
        checkpoint: Path | None = None,
    ) -> PoseTrack:
        """As `Detector.track`, the subject as `subject_in_view` says; `checkpoint` is ignored.

        The subject is known when the whole video has been seen, so that `on_frame` gets the
        frames from a second pass over it.
        """
        people = self.people(clip, progress=progress)
        timeline = clip.timeline()
        rows = np.searchsorted(timeline.frame, people.frame)
        chosen = subject_in_view(people.points, timeline.time[rows])
        second = None if self.looks else progress
        return track_from_people(clip, people, chosen, self.source, on_frame, second)


class FileDetector(PeopleDetector):
    """A detector that reads its points: the file is the work done, the video gives the times.

    path: file or folder, as `kinefit.io.pose_json` reads it.

    Raises InputError at once when the files cannot be used.
    """

    looks = False

    def __init__(self, kind: Format, path: Path) -> None:
        program, read = _READERS[kind]
        self._path, self._people, self._source = path, read(path), f"{program} file {path.name}"

    @property
    def names(self) -> tuple[str, ...]:
        return self._people.names

    @property
    def source(self) -> str:
        return self._source

    def people(self, clip: Clip, *, progress: Progress | None = None) -> People:
        """Raises InputError when the files name a frame that the video does not have."""
        n_frames, last = probe(clip.path).n_frames, int(self._people.frame[-1])
        if last >= n_frames:
            reason = f"it has a frame {last}, but {clip.path.name} ends with frame {n_frames - 1}"
            hint = "give the keypoints of this video, with frames numbered from 0"
            raise InputError(self._path, reason, hint)
        kept = np.flatnonzero(np.isin(self._people.frame, clip.timeline().frame))
        if not len(kept):
            raise NobodyFound(clip.path, len(clip.timeline()))
        points = tuple(self._people.points[i] for i in kept)
        return People(self._people.names, self._people.frame[kept], points)


def track_from_people(
    clip: Clip,
    people: People,
    chosen: IntArray,
    source: str,
    on_frame: FrameSink | None = None,
    progress: Progress | None = None,
) -> PoseTrack:
    """One person among `people` as a track over all frames of `clip`.

    chosen: (F,) the person's place in each frame of `people`, -1 where they are not there.
    NaN there, in frames that `people` lacks and in those that cannot be decoded. Raises InputError
    when nobody is left.
    """
    info = clip.probe()
    pose = {
        int(frame): points[place]
        for frame, points, place in zip(people.frame, people.points, chosen, strict=True)
        if place >= 0
    }
    nothing = np.full((len(people.names), 3), np.nan)
    rows: list[tuple[int, float, bool, np.ndarray]] = []
    with behind(on_frame) as put, ahead(clip.frames()) as decoded:
        for frame in decoded:
            damaged = frame.rgb is None
            points = nothing if damaged else pose.get(frame.index, nothing)
            rows.append((frame.index, frame.time, damaged, points))
            xy, score = points[:, :2], np.nan_to_num(points[:, 2])
            put(FrameResult(frame.index, frame.time, frame.rgb, xy, score, None))
            if progress:
                progress(len(rows), info.n_frames)
    number, time, lost, points = (np.array(column) for column in zip(*rows, strict=True))
    if not np.isfinite(points).any():
        raise NobodyFound(clip.path, len(time))
    timeline = Timeline(number, time)
    image = Keypoints2D(timeline, people.names, points[..., :2], points[..., 2], info.size)
    return PoseTrack(image, None, tuple(number[lost].tolist()), source)
