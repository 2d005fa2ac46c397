"""JSON of 2D pose programs: OpenPose, AlphaPose, MMPose 1.x and COCO's results and data sets.

Which skeleton it is, the number of points and anatomy tell, or `keypoint_set`, as `collect` takes
it; who is who in different frames, no file is asked.
Every reader raises InputError naming the file and frame for anything that does not fit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from kinefit.io.people import People, Person, collect, entries, frame_number, read_json
from kinefit.types import InputError


def read_openpose(path: str | Path, keypoint_set: str | None = None) -> People:
    """Everybody in a folder of `<video>_000000000012_keypoints.json`, or in one such file.

    Pose2Sim and rtmlib write the same layout with other keypoint sets. In a folder the frame is
    the last number in the file's name, and only `*_keypoints.json` count where there are any,
    else every `*.json`; a single file is frame 0. Persons without body points (hands or face
    only) are left out.
    """
    path, files = Path(path), {0: Path(path)}
    if path.is_dir():
        names = sorted(path.glob("*_keypoints.json")) or sorted(path.glob("*.json"))
        if not names:
            raise InputError(path, "the folder has no JSON file", "name OpenPose's output folder")
        files = numbered(path, names)
    persons = (person for frame, file in files.items() for person in _of_openpose(file, frame))
    return collect(path, persons, files, keypoint_set)


def numbered(folder: Path, names: Iterable[Path]) -> dict[int, Path]:
    """Frame number -> file, by the last number in its name; InputError where two have one."""
    files: dict[int, Path] = {}
    for name in names:
        frame = frame_number(name, name.name)
        if frame in files:
            reason = f"{files[frame].name} and {name.name} are both frame {frame}"
            raise InputError(folder, reason, "keep the files of one video in a folder")
        files[frame] = name
    return files


def _of_openpose(file: Path, frame: int) -> Iterator[Person]:
    content = read_json(file)
    people = content.get("people") if isinstance(content, dict) else None
    for person in entries(file, people, '"people"', _whose(content)):
        keypoints = person.get("pose_keypoints_2d")
        if keypoints != []:
            yield Person(file, frame, keypoints)


def _whose(content: Any) -> str:
    """The next thing to do with a file in a layout that was not expected."""
    first = content[0] if isinstance(content, list) and content else content
    layouts = (
        ("people", "OpenPose's: --detector openpose, of the folder with a file per frame"),
        ("instance_info", "MMPose's: --detector mmpose"),
        ("instances", "MMPose's: --detector mmpose"),
        ("annotations", "a COCO data set: --detector coco"),
        ("image_id", "AlphaPose's or COCO's results: --detector alphapose or coco"),
    )
    for key, whose in layouts:
        if isinstance(first, dict) and key in first:
            return f"it looks like {whose}"
    return "check the format, and --detector"


def read_alphapose(path: str | Path, keypoint_set: str | None = None) -> People:
    """Everybody in AlphaPose's default `alphapose-results.json` (not `--format open` or `cmu`).

    The frame is the number in `image_id` ("12.jpg"; AlphaPose counts a video's frames from 0);
    frames without persons are not in the file. Scores of its older
    COCO models exceed 1 and count as 1.
    """
    path = Path(path)
    return collect(path, _results(path, read_json(path)), (), keypoint_set)


def read_coco(path: str | Path, keypoint_set: str | None = None) -> People:
    """Everybody in a list of results, or in the `annotations` of a data set.

    Results: `keypoints` hold scores, and the frame is `image_id` (a number, or a file name
    with one). Data set: `keypoints` hold visibility flags, which become scores 0 (not
    labelled), 0.5 (hidden) and 1 (visible); the frame is the number in the image's
    `file_name`, and images without persons are frames too.
    """
    path = Path(path)
    content = read_json(path)
    if isinstance(content, dict):
        return _data_set(path, content, keypoint_set)
    return collect(path, _results(path, content), (), keypoint_set)


def _results(path: Path, content: Any) -> list[Person]:
    return [
        Person(path, frame_number(path, _image_of(path, e)), e.get("keypoints"))
        for e in entries(path, content, "the file", _whose(content))
    ]


def _image_of(path: Path, entry: dict[str, Any]) -> Any:
    if "image_id" not in entry:
        hint = "give results of COCO's layout (image_id, keypoints); YOLO's own has other names"
        raise InputError(path, "an entry has no image_id", hint)
    return entry["image_id"]


def _data_set(path: Path, content: dict[str, Any], keypoint_set: str | None) -> People:
    frames: dict[int | str, int] = {}
    for image in entries(path, content.get("images"), '"images"', _whose(content)):
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
            persons.append(Person(path, frame, scored))
    return collect(path, persons, frames.values(), keypoint_set)


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


def read_mmpose(path: str | Path, keypoint_set: str | None = None) -> People:
    """Everybody in what MMPose's `--save-predictions` or its inferencer's `pred_out_dir` holds.

    Video: a list of `{"frame_id", "instances"}`, bare (the inferencer, frames from 0) or under
    `instance_info` (the demos, frames from 1; turned to 0). Image: the instances themselves,
    frame 0; of a folder of images, one file for each, numbered in its name.
    """
    path = Path(path)
    if path.is_dir():
        return _of_pictures(path, keypoint_set)
    content = read_json(path)
    wrapped = isinstance(content, dict)
    inner = content.get("instance_info") if wrapped else content
    listed = entries(path, inner, "the file", _whose(content))
    if listed and "image_id" in listed[0]:
        raise InputError(path, "is not MMPose's", _whose(content))
    if not any("instances" in entry for entry in listed):
        return collect(path, _instances(path, 0, listed), [0], keypoint_set)
    frames = [frame_number(path, entry.get("frame_id")) for entry in listed]
    first = 1 if wrapped and min(frames) >= 1 else 0
    persons = [
        person
        for frame, entry in zip(frames, listed, strict=True)
        for person in _instances(path, frame - first, entry.get("instances"))
    ]
    return collect(path, persons, [frame - first for frame in frames], keypoint_set)


def _of_pictures(folder: Path, keypoint_set: str | None) -> People:
    """Of the inferencer's files for the pictures of a folder."""
    names = sorted(folder.glob("*.json"))
    if not names:
        raise InputError(folder, "the folder has no JSON file", "name MMPose's output")
    if len(names) == 1:  # of a video
        return read_mmpose(names[0], keypoint_set)
    files = numbered(folder, names)
    persons = (
        person
        for frame, file in files.items()
        for person in _instances(file, frame, read_json(file))
    )
    return collect(folder, persons, files, keypoint_set)


def _instances(path: Path, frame: int, instances: Any) -> Iterator[Person]:
    for entry in entries(path, instances, f'frame {frame}: "instances"'):
        keypoints, scores = entry.get("keypoints"), entry.get("keypoint_scores")
        yield Person(path, frame, _flat(keypoints, scores))


def _flat(keypoints: Any, scores: Any) -> list[Any] | None:
    """x1, y1, score1, x2, ... of point pairs and scores; None when they do not fit together."""
    if not isinstance(keypoints, list) or not isinstance(scores, list):
        return None
    pairs = all(isinstance(point, list) and len(point) == 2 for point in keypoints)
    if not pairs or len(keypoints) != len(scores):
        return None
    return list(chain.from_iterable((*p, s) for p, s in zip(keypoints, scores, strict=True)))
