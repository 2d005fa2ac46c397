"""OpenPose JSON: a folder of `<video>_000000000012_keypoints.json`, one file per frame.

Pose2Sim and rtmlib write the same layout with other keypoint sets.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from kinefit.io.people import People, Person, collect, entries, frame_number, read_json
from kinefit.types import InputError


def read_openpose(path: str | Path, *, skeleton: str | None = None) -> People:
    """Everybody in a folder of per-frame files, or in one such file.

    In a folder the frame is the last number in the file's name, and only `*_keypoints.json`
    count where there are any, else every `*.json`; a single file is frame 0. Persons without
    body points (hands or face only) are left out. `skeleton`: a table of `kinefit.skeletons`,
    None to tell it by the number of points.

    Raises InputError naming the file (and frame) for anything that does not fit.
    """
    path = Path(path)
    files = _frame_files(path)
    persons = (person for frame, file in files.items() for person in _persons(file, frame))
    return collect(path, persons, files, skeleton)


def _frame_files(path: Path) -> dict[int, Path]:
    """Frame number -> file."""
    if not path.is_dir():
        return {0: path}
    names = sorted(path.glob("*_keypoints.json")) or sorted(path.glob("*.json"))
    if not names:
        raise InputError(path, "the folder has no JSON file", "name OpenPose's output folder")
    files: dict[int, Path] = {}
    for name in names:
        frame = frame_number(name, name.stem)
        if frame in files:
            raise InputError(
                path,
                f"{files[frame].name} and {name.name} are both frame {frame}",
                "keep the files of one video in a folder",
            )
        files[frame] = name
    return files


def _persons(file: Path, frame: int) -> Iterator[Person]:
    content = read_json(file)
    people = content.get("people") if isinstance(content, dict) else None
    for person in entries(file, people, '"people"'):
        keypoints = person.get("pose_keypoints_2d")
        if keypoints != []:
            yield Person(file, frame, keypoints, person.get("person_id"))
