"""The project's own detector on a data set's video, matched to the frames that are annotated."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from kinefit.detect.embedded import BlazePoseDetector
from kinefit.io.video import Clip
from kinefit.skeletons import skeleton
from kinefit.train.convert.rows import COCO, Detections
from kinefit.types import FloatArray, InputError, IntArray, NobodyFound
from kinefit.types.arrays import extent

SUFFIXES = (".mp4", ".mov", ".avi", ".mkv", ".webm")
_FROM_BLAZE = [skeleton("blazepose33").points.index(name) for name in COCO.points]
_EARLY = 1e-6  # of a frame: times are rounded to floating point
_NEAR = 0.5  # of the person's longer side in the picture: whoever is further off is someone else
_SAME_SHAPE = 0.01


def find_videos(folder: Path) -> dict[str, Path]:
    """The videos of a folder, not of those below, by their names without suffix.

    Raises InputError when there is none, or two of one name.
    """
    if not folder.is_dir():
        raise InputError(folder, "there is no such folder", "name the folder that holds the videos")
    found: dict[str, Path] = {}
    for file in sorted(folder.iterdir()):
        if file.suffix.lower() in SUFFIXES and not file.name.startswith("."):
            if file.stem in found:
                reason = f"{found[file.stem].name} and {file.name} are of one name"
                raise InputError(folder, reason, "keep one of them")
            found[file.stem] = file
    if not found:
        raise InputError(folder, "holds no videos", f"give a folder of {', '.join(SUFFIXES)} files")
    return found


def detect_subject(
    video: Path,
    true: FloatArray,
    frame: IntArray,
    rate_hz: float,
    size: tuple[int, int],
    threads: int | None = None,
) -> Detections:
    """What the detector says of the person who is at `true` (N, 17, 2), pixels.

    frame: (N,) on a clock of `rate_hz`; the picture of a frame is the last one that had been shown
    when it ended, as `ffmpeg -vf fps=RATE:round=down` makes them. size: of the picture to which
    the pixels belong; a video of another size but the same shape is scaled to it.

    Raises InputError for a video that cannot be read and one of another shape.
    """
    clip = Clip(video)
    scale = _scale(video, clip.probe().size, size)
    found = Detections.none(len(frame))
    try:
        people = BlazePoseDetector(threads=threads).people(clip)
    except NobodyFound:
        return found
    timeline = clip.timeline()
    last = len(timeline.time) - 1  # interlaced video may give pictures that no packet announces
    time = timeline.time[np.minimum(np.searchsorted(timeline.frame, people.frame), last)]
    for row, at in enumerate(shown(frame, time, rate_hz)):
        xy = (people.points[at][:, _FROM_BLAZE, :2] + 0.5) * scale - 0.5
        who = nearest(xy, true[row]) if at >= 0 else None
        if who is None or people.body is None:
            continue
        found.xy[row] = xy[who]
        found.score[row] = people.points[at][who, _FROM_BLAZE, 2]
        found.body[row] = people.body[at][who, _FROM_BLAZE]
    found.score[np.isnan(found.xy).any(axis=-1)] = 0
    return found


def shown(frame: IntArray, time: FloatArray, rate_hz: float) -> IntArray:
    """(N,) which of the pictures with times (F,), seconds, belongs to each frame (N,) of a clock of
    `rate_hz`; -1 where the video is over before."""
    ends = np.floor(time * rate_hz + _EARLY)
    at = np.searchsorted(ends, frame, side="right") - 1
    return np.asarray(np.where(frame <= ends[-1], at, -1))


def nearest(people: FloatArray, true: FloatArray) -> int | None:
    """Which of the people (P, J, 2) is the one at `true` (J, 2); None when nobody is near."""
    away = np.linalg.norm(people - true, axis=-1)[:, np.isfinite(true).all(axis=-1)]
    if not away.size:
        return None
    away = np.median(np.where(np.isnan(away), np.inf, away), axis=1)
    best = int(np.argmin(away))
    return best if away[best] < _NEAR * extent(true).max() else None


def _scale(video: Path, own: tuple[int, int], size: tuple[int, int]) -> FloatArray:
    """(2,) from the video's pixels to those of a picture of `size`."""
    scale: FloatArray = np.array(size, np.float64) / np.array(own)
    if abs(scale[0] / scale[1] - 1) > _SAME_SHAPE:
        reason = f"it is {own[0]} x {own[1]}, its camera was calibrated for {size[0]} x {size[1]}"
        raise InputError(video, reason, "take the video as it was published, not cropped")
    return scale
