"""COCO keypoint JSON: a list of results, or a data set with images and annotations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kinefit.io.people import People, Person, collect, entries, frame_number, read_json
from kinefit.types import InputError


def read_coco(path: str | Path, *, skeleton: str | None = None) -> People:
    """Everybody in a results list, or in the `annotations` of a data set.

    Results: `keypoints` hold scores, and the frame is `image_id` (a number, or a file name
    with one). Data set: `keypoints` hold visibility flags, which become scores 0 (not
    labelled), 0.5 (hidden) and 1 (visible); the frame is the number in the image's
    `file_name`, and images without persons are frames too. `track_id`, where given, is the
    identity. `skeleton`: a table of `kinefit.skeletons`, None to tell it by the number of
    points.

    Raises InputError naming the file and frame for anything that does not fit.
    """
    path = Path(path)
    content = read_json(path)
    if isinstance(content, dict):
        return _data_set(path, content, skeleton)
    persons = [
        Person(path, frame_number(path, e.get("image_id")), e.get("keypoints"), e.get("track_id"))
        for e in entries(path, content, "the file")
    ]
    return collect(path, persons, (), skeleton)


def _data_set(path: Path, content: dict[str, Any], skeleton: str | None) -> People:
    frames: dict[int | str, int] = {}
    for image in entries(path, content.get("images"), '"images"'):
        if type(image.get("id")) not in (int, str):
            raise InputError(path, "an image has no id", "export the data set again")
        frames[image["id"]] = frame_number(path, image.get("file_name"))
    if len(set(frames.values())) != len(frames):
        raise InputError(path, "two images have one frame number", "keep one video per file")
    persons = []
    for entry in entries(path, content.get("annotations"), '"annotations"'):
        image_id = entry.get("image_id")
        if type(image_id) not in (int, str) or image_id not in frames:
            raise InputError(path, f"no image {str(image_id)[:40]!r}", "export the data set again")
        if "keypoints" in entry:  # other objects of the data set have none
            frame = frames[image_id]
            scored = _scored(path, frame, entry["keypoints"])
            persons.append(Person(path, frame, scored, entry.get("track_id")))
    return collect(path, persons, frames.values(), skeleton)


def _scored(path: Path, frame: int, keypoints: Any) -> Any:
    """`keypoints` with flags 0, 1, 2 as scores 0, 0.5, 1; other garbage is left to `collect`."""
    if not isinstance(keypoints, list):
        return keypoints
    scored = list(keypoints)
    for i, flag in enumerate(keypoints[2::3]):
        if type(flag) not in (int, float) or flag not in (0, 1, 2):
            raise InputError(path, f"frame {frame}: visibility {str(flag)[:40]}", "use 0, 1 or 2")
        scored[3 * i + 2] = flag / 2
    return scored
