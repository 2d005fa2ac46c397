"""MMPose 1.x JSON: `--save-predictions` of its demos, `pred_out_dir` of its inferencer."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from kinefit.io.people import People, Person, collect, entries, frame_number, read_json


def read_mmpose(path: str | Path, *, skeleton: str | None = None) -> People:
    """Everybody in a video's or an image's predictions.

    Video: a list of `{"frame_id", "instances"}`, bare (the inferencer, frames from 0) or under
    `instance_info` (the demos, frames from 1; turned to 0). Image: the instances themselves,
    frame 0. `track_id`, where given, is the identity. `skeleton`: a table of
    `kinefit.skeletons`, None to tell it by the number of points.

    Raises InputError naming the file and frame for anything that does not fit.
    """
    path = Path(path)
    content = read_json(path)
    wrapped = isinstance(content, dict)
    listed = entries(path, content.get("instance_info") if wrapped else content, "the file")
    if not any("instances" in entry for entry in listed):
        return collect(path, _persons(path, 0, listed), [0], skeleton)
    frames = [frame_number(path, entry.get("frame_id")) for entry in listed]
    first = 1 if wrapped and min(frames) >= 1 else 0
    persons = [
        person
        for frame, entry in zip(frames, listed, strict=True)
        for person in _persons(path, frame - first, entry.get("instances"))
    ]
    return collect(path, persons, [frame - first for frame in frames], skeleton)


def _persons(path: Path, frame: int, instances: Any) -> Iterator[Person]:
    for entry in entries(path, instances, f'frame {frame}: "instances"'):
        keypoints, scores = entry.get("keypoints"), entry.get("keypoint_scores")
        yield Person(path, frame, _flat(keypoints, scores), entry.get("track_id"))


def _flat(keypoints: Any, scores: Any) -> list[Any] | None:
    """x1, y1, score1, x2, ... of point pairs and scores; None when they do not fit together."""
    if not isinstance(keypoints, list) or not isinstance(scores, list):
        return None
    pairs = all(isinstance(point, list) and len(point) == 2 for point in keypoints)
    if not pairs or len(keypoints) != len(scores):
        return None
    return list(chain.from_iterable((*p, s) for p, s in zip(keypoints, scores, strict=True)))
