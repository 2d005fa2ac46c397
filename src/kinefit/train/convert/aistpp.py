"""AIST++: dancers before nine cameras (Li et al. 2021, "AI Choreographer", arXiv:2101.08779).

Annotations are Google's, CC BY 4.0; videos are the AIST Dance Video Database's, with terms of its
own. In the folder of annotations:

    keypoints3d/SEQUENCE.pkl    keypoints3d, keypoints3d_optim (N, 17, 3): COCO's points,
                                centimetres, world Y up; 60 frames per second
    keypoints2d/SEQUENCE.pkl    keypoints2d (9, N, 17, 3): pixels and score, of c01 to c09
    cameras/mapping.txt         SEQUENCE ENVIRONMENT
    cameras/ENVIRONMENT.json    nine cameras: matrix, rotation (vector), translation (centimetres),
                                distortions; world to camera, OpenCV
    ignore_list.txt             sequences whose reconstruction failed

SEQUENCE has cAll where the names of the videos have c01 to c09.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.detect.embedded import cores
from kinefit.geometry.projection import project
from kinefit.io.calibration.assemble import assemble
from kinefit.io.calibration.model import Content, Stated
from kinefit.io.people import entries, read_json
from kinefit.io.restricted_pickle import read_pickle
from kinefit.io.text import read_lines
from kinefit.pipeline.provenance import code_version, sha256_file
from kinefit.train.convert.rows import (
    Conversion,
    Detections,
    Progress,
    View,
    camera_json,
    choose_views,
    convert,
    number_array,
    plain_name,
)
from kinefit.train.convert.videos import detect_subject, find_videos
from kinefit.types import Camera, FloatArray, InputError

RATE_HZ = 60.0
VIEWS = tuple(f"c{i:02d}" for i in range(1, 10))
_CM = 0.01
_ALL = "cAll"
# What the data set's own code leaves out or treats apart.
_UNSYNCHRONISED = {("gBR_sBM_cAll_d04_mBR0_ch01", "c05")}
_SIZES = {("gJB_sBM_cAll_d07_mJB3_ch05", "c07"): (640, 480)}
_LAYOUT = "name the folder of the AIST++ annotations: it holds keypoints3d/ and cameras/"
_DOWNLOADED = "take the file as it was downloaded"
LICENCE = "AIST++ annotations are Google's, CC BY 4.0: name them where you publish"


@dataclass(frozen=True, eq=False)
class AistView:
    """One sequence before one camera. detected_2d: the data set's own detections; they are not
    looked at where there is a video. threads: of the detector."""

    sequence: str
    view: str
    camera: Camera
    keypoints3d: Path
    detected_2d: Path | None = None
    video: Path | None = None
    threads: int | None = None

    def identity(self) -> Mapping[str, Any]:
        files = {"keypoints3d": self.keypoints3d, **self._detections()}
        return {
            "camera": camera_json(self.camera),
            **{name: None if file is None else sha256_file(file) for name, file in files.items()},
        }

    def read(self) -> View:
        xyz = _CM * read_keypoints3d(self.keypoints3d)
        N = len(xyz)
        frame = np.arange(N)
        if self.video is not None:
            true, size = project(self.camera, xyz), self.camera.size
            found = detect_subject(self.video, true, frame, RATE_HZ, size, self.threads)
        elif self.detected_2d is not None:
            found = read_keypoints2d(self.detected_2d, VIEWS.index(self.view), N)
        else:
            found = Detections.none(N)
        unknown = np.full((N, 17), np.nan)
        return View(self.camera, xyz, frame, frame / RATE_HZ, np.zeros(N, np.int64), unknown, found)

    def _detections(self) -> dict[str, Path | None]:
        """What `pose_2d` is made of."""
        if self.video is not None:
            return {"video": self.video}
        return {"keypoints2d": self.detected_2d}


def convert_aistpp(
    folder: Path,
    out: Path,
    *,
    videos: Path | None = None,
    views: Sequence[str] | None = None,
    processes: int | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Conversion:
    """Training rows of AIST++: a shard per sequence and view in the folder `out`.

    folder: of the annotations. videos: folder of the videos (gBR_sBM_c01_d04_mBR0_ch01.mp4, ...),
    on which kinefit's detector runs; without a view's video, `pose_2d` is the data set's own and
    `corrupted` is NaN. views: c01 to c09; None: all. Shards of the same inputs, options and code
    are kept. processes, and what may be raised: as `rows.convert`.
    """
    chosen = choose_views(VIEWS, views)
    notes: list[str] = []
    films = None if videos is None else find_videos(videos)
    workers = processes or cores()
    sequences = _sequences(folder, notes)
    settings = {name: folder / "cameras" / f"{name}.json" for name in sequences.values()}
    rigs = {name: _chosen_cameras(path, chosen) for name, path in sorted(settings.items())}
    sources = [
        source
        for sequence, environment in sequences.items()
        for source in _views(folder, sequence, rigs[environment], notes)
    ]
    if films is not None:
        sources = _with_videos(videos or folder, sources, films, max(1, cores() // workers), notes)
    lacking = {s.sequence for s in sources if s.video is None and s.detected_2d is None}
    if lacking:
        notes.append(f"{len(lacking)} sequences have no file in keypoints2d: pose_2d is NaN there")
    code = code_version(__name__)
    return convert(
        out, sources, data_set="AIST++", code=code, notes=[*notes, LICENCE], processes=workers,
        progress=progress,
    )  # fmt: skip


def read_keypoints3d(path: Path) -> FloatArray:
    """(N, 17, 3) centimetres: the optimised points, the triangulated ones where there are no such.

    Raises InputError naming the file.
    """
    content = _dict(path)
    for name in ("keypoints3d_optim", "keypoints3d"):
        if name in content:
            return number_array(path, content[name], (None, 17, 3), name)
    raise InputError(path, "it has neither keypoints3d_optim nor keypoints3d", _DOWNLOADED)


def read_keypoints2d(path: Path, view: int, count: int) -> Detections:
    """What the data set's own detector found, without 3D. view: from 0. count: of the frames.

    Raises InputError naming the file; for its later form with 133 points and several people, too.
    """
    content = _dict(path)
    if "keypoints2d" not in content:
        raise InputError(path, "it has no keypoints2d", _DOWNLOADED)
    if "bboxes" in content:
        reason = "its keypoints2d are of whole bodies (133 points), which are not read"
        hint = "take keypoints2d with 17 points, or move that folder away to convert without"
        raise InputError(path, reason, hint)
    values = number_array(path, content["keypoints2d"], (len(VIEWS), count, 17, 3), "keypoints2d")
    xy, score = values[view, ..., :2].copy(), np.nan_to_num(values[view, ..., 2]).clip(0, 1)
    score[np.isnan(xy).any(axis=-1)] = 0
    xy[score == 0] = np.nan
    return Detections(xy, score, Detections.none(count).body)


def read_cameras(path: Path) -> dict[str, Camera]:
    """The cameras of an environment by name: metres, world Y up. Raises InputError."""
    stated = [
        Stated(
            name=str(camera.get("name")),
            size=camera.get("size"),
            K=camera.get("matrix"),
            distortion=camera.get("distortions"),
            R=camera.get("rotation"),
            t=camera.get("translation"),
        )
        for camera in entries(path, read_json(path), "the file")
    ]
    why = "as AIST++ has it"
    content = Content("aistpp", stated, (), "cm", why, units_known=True, up="y", up_why=why)
    return {camera.name: camera for camera in assemble(path, content).rig}


def _dict(path: Path) -> dict[Any, Any]:
    content = read_pickle(path)
    if not isinstance(content, dict):
        raise InputError(path, f"holds a {type(content).__name__}, not a dict", _DOWNLOADED)
    return content


def _sequences(folder: Path, notes: list[str]) -> dict[str, str]:
    """Name -> environment of the sequences that are there and can be used."""
    if not (folder / "keypoints3d").is_dir():
        raise InputError(folder, "it has no folder keypoints3d", _LAYOUT)
    mapping_file = folder / "cameras" / "mapping.txt"
    mapping = _mapping(mapping_file)
    there = sorted(file.stem for file in (folder / "keypoints3d").glob("[!.]*.pkl"))
    if unknown := [name for name in there if name not in mapping]:
        reason = f"it says no environment for {unknown[0]}, whose keypoints3d are there"
        raise InputError(mapping_file, reason, "take mapping.txt as it was downloaded")
    ignored = _ignored(folder / "ignore_list.txt", notes)
    used = {name: mapping[name] for name in there if name not in ignored}
    if not used:
        reason = "there is no sequence to convert in keypoints3d"
        raise InputError(folder, reason, "download and unpack keypoints3d")
    if left_out := len(there) - len(used):
        notes.append(f"{left_out} sequences of ignore_list.txt left out")
    return used


def _mapping(path: Path) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in read_lines(path):
        words = line.text.split()
        if words and len(words) != 2:
            raise line.wrong("a sequence and its environment are expected", _DOWNLOADED)
        if words:
            found[plain_name(path, words[0], "sequence")] = plain_name(path, words[1], "setting")
    return found


def _ignored(path: Path, notes: list[str]) -> set[str]:
    if not path.is_file():
        notes.append("ignore_list.txt is not there: sequences whose reconstruction failed are used")
        return set()
    if not path.stat().st_size:
        return set()
    return {line.text.strip() for line in read_lines(path)}


def _chosen_cameras(path: Path, views: Sequence[str]) -> list[Camera]:
    cameras = read_cameras(path)
    if lacking := [view for view in views if view not in cameras]:
        reason = f"it has no camera {lacking[0]}"
        raise InputError(path, reason, "name the views that there are with --views")
    return [cameras[view] for view in views]


def _views(
    folder: Path, sequence: str, cameras: Sequence[Camera], notes: list[str]
) -> Iterator[AistView]:
    keypoints3d, keypoints2d = (
        folder / name / f"{sequence}.pkl" for name in ("keypoints3d", "keypoints2d")
    )
    detected_2d = keypoints2d if keypoints2d.is_file() else None
    for camera in cameras:
        if (sequence, camera.name) in _UNSYNCHRONISED:
            notes.append(f"{sequence}: view {camera.name} left out, it is not synchronised")
            continue
        size = _SIZES.get((sequence, camera.name), camera.size)
        yield AistView(sequence, camera.name, resized(camera, size), keypoints3d, detected_2d)


def resized(camera: Camera, size: tuple[int, int]) -> Camera:
    """The same camera with its whole picture at another size, each axis scaled by itself."""
    scale = np.array([*(np.array(size) / np.array(camera.size)), 1.0])
    K = camera.K * scale[:, None]
    K[:2, 2] += (scale[:2] - 1) / 2  # pixel centres are at integers
    return replace(camera, size=size, K=K)


def _with_videos(
    folder: Path,
    sources: Sequence[AistView],
    films: Mapping[str, Path],
    threads: int,
    notes: list[str],
) -> list[AistView]:
    """The sources, each with its video where there is one."""
    names = [source.sequence.replace(_ALL, source.view) for source in sources]
    found = [
        replace(source, video=films.get(name), threads=threads)
        for source, name in zip(sources, names, strict=True)
    ]
    count = sum(source.video is not None for source in found)
    if not count:
        hint = f"name the files like the data set does: {names[0]}.mp4"
        raise InputError(folder, "holds no video of these sequences and views", hint)
    if lacking := len(found) - count:
        notes.append(f"{lacking} of {len(found)} views have no video: corrupted is NaN there")
    return found
