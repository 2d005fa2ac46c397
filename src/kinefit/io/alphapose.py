"""AlphaPose JSON: `alphapose-results.json`, one list of persons of all frames."""

from __future__ import annotations

from pathlib import Path

from kinefit.io.people import People, Person, collect, entries, frame_number, read_json


def read_alphapose(path: str | Path, *, skeleton: str | None = None) -> People:
    """Everybody in AlphaPose's default format (not `--format open` or `cmu`).

    The frame is the number in `image_id` ("12.jpg"; AlphaPose counts a video's frames from 0);
    frames without persons are not in the file. `idx` is the identity. Scores of its older
    COCO models exceed 1 and count as 1. `skeleton`: a table of `kinefit.skeletons`, None to
    tell it by the number of points.

    Raises InputError naming the file and frame for anything that does not fit.
    """
    path = Path(path)
    listed = entries(path, read_json(path), "the file")
    persons = [
        Person(path, frame_number(path, e.get("image_id")), e.get("keypoints"), e.get("idx"))
        for e in listed
    ]
    return collect(path, persons, (), skeleton)
