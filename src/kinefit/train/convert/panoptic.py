"""CMU's Panoptic Studio: people in a dome of cameras, for non-commercial research only.

Two data sets, with the same points, cameras and world:

MTC (Xiang et al. 2019, "Monocular Total Capture", arXiv:1812.01598): `annotation.pkl`, a dict of
`training_data` and `testing_data`, lists of {seqName, frame_str, id, body: {landmarks: 57 numbers,
"2D": {camera: {insideImg: 19, occluded: 19}}}}; `camera_data.pkl`, {seqName: {camera: {K, R, t,
distCoef}}}. Pictures are 1920 x 1080.

Panoptic (Joo et al. 2017, "Panoptic Studio", arXiv:1612.03153), in a folder per sequence:
`hdPose3d_stage1_coco19/body3DScene_00000000.json`, ..., {univTime, bodies: [{id, joints19: 19
times x, y, z, confidence}]}; `calibration_SEQUENCE.json`, {cameras: [{name, type, panel, K,
distCoef, R, t, resolution}]}, of which those of type hd are used.

Centimetres, world Y down; x_cam = R x + t; lenses are OpenCV's k1 k2 p1 p2 k3. (The readers that
came with both data sets apply p1, p2 and k3 otherwise.) Frames are those of the HD cameras, 29.97
per second.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.io.calibration.assemble import assemble
from kinefit.io.calibration.model import Axis, Content, Stated, turn_to_y_up
from kinefit.io.people import entries, read_json
from kinefit.io.restricted_pickle import read_pickle
from kinefit.pipeline.provenance import code_version
from kinefit.skeletons import map_points
from kinefit.train.convert.rows import (
    COCO,
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
from kinefit.types import Camera, FloatArray, InputError, IntArray

# The order in both data sets. A well-known converter exchanges 16 and 17: left ear, right eye.
POINTS = (
    "Neck", "Nose", "BodyCentre", "LShoulder", "LElbow", "LWrist", "LHip", "LKnee", "LAnkle",
    "RShoulder", "RElbow", "RWrist", "RHip", "RKnee", "RAnkle", "LEye", "LEar", "REye", "REar",
)  # fmt: skip
HD_RATE_HZ = 30_000 / 1001
_CM = 0.01
_UP: Axis = "-y"
_SIZE = (1920, 1080)  # of MTC, whose cameras do not state it
_LEAST = 0.1  # confidence of a point; below, and at -1, there is none
_POSES = "hdPose3d_stage1_coco19"
_SCENE = re.compile(r"body3DScene_(\d{1,9})\.json")
# 834,000 pictures with 19 flags twice and the hands' in lists of their own.
_MAX_BYTES, _MAX_STEPS = 2**30, 150_000_000
_DOWNLOADED = "take the file as it was downloaded"
LICENCE = (
    "CMU MTC and Panoptic are for non-commercial research: so is what you train on them; no "
    "weights that come with kinefit are"
)


@dataclass(frozen=True, eq=False)
class Poses:
    """People in the frames of one sequence, N of them by frame and person.

    frame, person: (N,). time_s: (N,). xyz: (N, 17, 3) metres, world Y up, points of coco17; NaN
    where missing. visible: camera -> (N, 17) as in `View`; a camera without it: unknown.
    """

    frame: IntArray
    person: IntArray
    time_s: FloatArray
    xyz: FloatArray
    visible: Mapping[str, FloatArray]

    def before(self, camera: Camera) -> View:
        """What is known of them in that camera's pictures."""
        N = len(self.frame)
        visible = self.visible.get(camera.name, np.full((N, 17), np.nan))
        found = Detections.none(N)
        return View(camera, self.xyz, self.frame, self.time_s, self.person, visible, found)


@dataclass(frozen=True, eq=False)
class MtcView:
    """One sequence of MTC before one camera."""

    sequence: str
    camera: Camera
    poses: Poses

    @property
    def view(self) -> str:
        return self.camera.name

    def identity(self) -> Mapping[str, Any]:
        return _identity(self.read())

    def read(self) -> View:
        return self.poses.before(self.camera)


@dataclass(frozen=True, eq=False)
class PanopticView:
    """One sequence of Panoptic before one camera. folder: of the sequence's poses."""

    sequence: str
    camera: Camera
    folder: Path

    @property
    def view(self) -> str:
        return self.camera.name

    def identity(self) -> Mapping[str, Any]:
        return _identity(self.read())

    def read(self) -> View:
        return _poses_once(self.folder).before(self.camera)


def convert_panoptic(
    folder: Path,
    out: Path,
    *,
    views: Sequence[str] | None = None,
    processes: int | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Conversion:
    """Training rows of MTC or Panoptic: a shard per sequence and HD camera in the folder `out`.

    folder: MTC's, with annotation.pkl; else a sequence of Panoptic or a folder of them. views:
    00_00 to 00_30; None: all. Several people in a frame are rows of their own. Both data sets
    bring no detections: `pose_2d` and `corrupted` are NaN. Shards of the same inputs and code are
    kept. processes, and what may be raised: as `rows.convert`.
    """
    _poses_once.cache_clear()  # the files may have changed since another conversion
    notes: list[str] = []
    annotation = _first(folder / "annotation.pkl", folder / "annotation" / "annotation.pkl")
    sources: list[MtcView] | list[PanopticView]
    if annotation is not None:
        data_set, sources = "CMU MTC", list(_mtc_sources(folder, annotation, views, notes))
    else:
        data_set, sources = "CMU Panoptic", list(_panoptic_sources(folder, views, notes))
    return convert(
        out, sources, data_set=data_set, code=code_version(__name__), notes=[*notes, LICENCE],
        processes=processes, progress=progress,
    )  # fmt: skip


def _identity(view: View) -> Mapping[str, Any]:
    digest = hashlib.sha256()
    for array in (view.frame, view.person, view.time_s, view.xyz, view.visible):
        digest.update(np.ascontiguousarray(array).tobytes())
    return {"camera": camera_json(view.camera), "poses": digest.hexdigest()}


def _first(*paths: Path) -> Path | None:
    """The first of the files that is there."""
    return next((path for path in paths if path.is_file()), None)


def _in_room(xyz: FloatArray) -> FloatArray:
    """Points (N, 19, 3) as stored, in coco17's order (N, 17, 3): metres, Y up.

    The world is turned by 180 degrees about its X axis, so that left stays left.
    """
    return np.asarray(_CM * map_points(xyz, POINTS, COCO) @ turn_to_y_up(_UP).T)


def _rig(path: Path, stated: Sequence[Stated]) -> list[Camera]:
    """The cameras in metres, Y up; InputError names the file and the camera."""
    why = "as the Panoptic Studio has it"
    content = Content("panoptic", stated, (), "cm", why, units_known=True, up=_UP, up_why=why)
    return list(assemble(path, content).rig)


def _chosen(cameras: Sequence[Camera], views: Sequence[str] | None) -> list[Camera]:
    names = choose_views([camera.name for camera in cameras], views)
    return [camera for camera in cameras if camera.name in names]


# MTC


def _mtc_sources(
    folder: Path, annotation: Path, views: Sequence[str] | None, notes: list[str]
) -> Iterator[MtcView]:
    path = _first(annotation.with_name("camera_data.pkl"), folder / "camera_data.pkl")
    if path is None:
        raise InputError(folder, "it has no camera_data.pkl", "copy it beside annotation.pkl")
    rigs = read_pickle(path)
    sequences = read_mtc(annotation, notes)
    for sequence, poses in sequences.items():
        if not isinstance(rigs, dict) or not isinstance(rigs.get(sequence), dict):
            raise InputError(path, f"it has no cameras of {sequence}", _DOWNLOADED)
        for camera in _chosen(mtc_cameras(path, rigs[sequence]), views):
            yield MtcView(sequence, camera, poses)


def mtc_cameras(path: Path, values: Mapping[Any, Any]) -> list[Camera]:
    """The cameras of one sequence, called 00_00 to 00_30 as the pictures are; path: for errors."""
    stated = []
    for number, one in sorted((_camera_number(path, n), one) for n, one in values.items()):
        if not isinstance(one, dict):
            raise InputError(path, f"camera {number} is not a dict", _DOWNLOADED)
        lens = one.get("distCoef")
        stated.append(
            Stated(_hd_name(number), _SIZE, one.get("K"), lens, one.get("R"), one.get("t"))
        )
    return _rig(path, stated)


def _hd_name(number: int) -> str:
    return f"00_{number:02d}"


def _camera_number(path: Path, value: Any) -> int:
    if isinstance(value, (int, np.integer)) and 0 <= value < 1000:
        return int(value)
    raise InputError(path, f"a camera is called {str(value)[:40]!r}, not 0 to 30", _DOWNLOADED)


def read_mtc(path: Path, notes: list[str] | None = None) -> dict[str, Poses]:
    """The bodies of annotation.pkl by sequence, of training and test; raises InputError.

    notes: gets a line about entries without a body (hands only).
    """
    content = read_pickle(path, max_bytes=_MAX_BYTES, max_steps=_MAX_STEPS)
    grouped: dict[str, list[_MtcBody]] = {}
    hands_only = 0
    for part in ("training_data", "testing_data"):
        listed = content.get(part) if isinstance(content, dict) else None
        for i, entry in enumerate(entries(path, listed, part)):
            if "body" in entry:
                body = _MtcBody.of(path, entry, f"{part}[{i}]")
                grouped.setdefault(body.sequence, []).append(body)
            else:
                hands_only += 1
    if not grouped:
        raise InputError(path, "no entry has a body", _DOWNLOADED)
    if hands_only and notes is not None:
        notes.append(f"{hands_only} entries without a body (hands only) left out")
    return {sequence: _gathered(bodies) for sequence, bodies in sorted(grouped.items())}


@dataclass(frozen=True, eq=False)
class _MtcBody:
    """An entry of annotation.pkl. xyz: (19, 3) as stored. visible: camera -> (19,)."""

    sequence: str
    frame: int
    person: int
    xyz: FloatArray
    visible: Mapping[str, FloatArray]

    @classmethod
    def of(cls, path: Path, entry: Mapping[str, Any], where: str) -> _MtcBody:
        body, frame, person = entry["body"], entry.get("frame_str"), entry.get("id", 0)
        if not isinstance(frame, str) or not re.fullmatch(r"\d{1,9}", frame):
            raise InputError(path, f"{where} has no frame_str of digits", _DOWNLOADED)
        if not isinstance(person, (int, np.integer)) or abs(int(person)) >= 2**31:
            raise InputError(path, f"{where} has an id that is no number", _DOWNLOADED)
        seen = body.get("2D", {}) if isinstance(body, dict) else None
        if not isinstance(body, dict) or not isinstance(seen, dict):
            raise InputError(path, f"the body of {where} is not a dict of landmarks", _DOWNLOADED)
        return cls(
            sequence=plain_name(path, entry.get("seqName"), "sequence"),
            frame=int(frame),
            person=int(person),
            xyz=number_array(
                path, _flat(body.get("landmarks")), (57,), f"landmarks of {where}"
            ).reshape(19, 3),
            visible={
                _hd_name(_camera_number(path, number)): _seen(path, flags, where)
                for number, flags in seen.items()
            },
        )


def _flat(value: Any) -> Any:
    return value.ravel() if isinstance(value, np.ndarray) else value


def _seen(path: Path, flags: Any, where: str) -> FloatArray:
    """(19,) 1 for points inside the picture that nothing hides, else 0."""
    if not isinstance(flags, dict):
        raise InputError(path, f"the 2D of {where} is not a dict of flags", _DOWNLOADED)
    inside, occluded = (
        number_array(path, _flat(flags.get(name)), (19,), f"{name} of {where}")
        for name in ("insideImg", "occluded")
    )
    return np.asarray(((inside > 0) & ~(occluded > 0)).astype(np.float64))


def _gathered(bodies: list[_MtcBody]) -> Poses:
    bodies = sorted(bodies, key=lambda body: (body.frame, body.person))
    frame = np.array([body.frame for body in bodies], np.int64)
    nothing = np.full(19, np.nan)
    cameras = sorted({name for body in bodies for name in body.visible})
    visible = {
        name: np.stack([body.visible.get(name, nothing) for body in bodies]) for name in cameras
    }
    return Poses(
        frame=frame,
        person=np.array([body.person for body in bodies], np.int64),
        time_s=frame / HD_RATE_HZ,
        xyz=_in_room(np.stack([body.xyz for body in bodies])),
        visible={n: map_points(v[..., None], POINTS, COCO)[..., 0] for n, v in visible.items()},
    )


# Panoptic


def _panoptic_sources(
    folder: Path, views: Sequence[str] | None, notes: list[str]
) -> Iterator[PanopticView]:
    for sequence in _sequence_folders(folder, notes):
        path = _calibration(sequence)
        name = plain_name(path, path.stem.removeprefix("calibration_"), "sequence")
        for camera in _chosen(read_panoptic_cameras(path), views):
            yield PanopticView(name, camera, sequence / _POSES)


def _sequence_folders(folder: Path, notes: list[str]) -> list[Path]:
    """The folder itself, or those in it that hold poses."""
    if not folder.is_dir():
        raise InputError(folder, "there is no such folder", "check the path")
    if (folder / _POSES).is_dir():
        return [folder]
    inside = [f for f in sorted(folder.iterdir()) if f.is_dir() and not f.name.startswith(".")]
    found = [f for f in inside if (f / _POSES).is_dir()]
    if not found:
        reason = f"it holds neither annotation.pkl (MTC) nor a folder {_POSES} (Panoptic)"
        hint = f"name the folder of the data set, and unpack {_POSES}.tar of each sequence"
        raise InputError(folder, reason, hint)
    if lacking := [f.name for f in inside if any(f.glob("calibration_*.json")) and f not in found]:
        notes.append(f"{len(lacking)} sequences without {_POSES} left out: {', '.join(lacking)}")
    return found


def _calibration(sequence: Path) -> Path:
    own = sequence / f"calibration_{sequence.name}.json"
    if own.is_file():
        return own
    files = sorted(sequence.glob("calibration_*.json"))
    if len(files) == 1:
        return files[0]
    reason = f"it has {len(files)} files calibration_*.json, and none is {own.name}"
    raise InputError(sequence, reason, f"download {own.name} into it")


def read_panoptic_cameras(path: Path) -> list[Camera]:
    """The HD cameras of calibration_SEQUENCE.json, in metres with Y up; raises InputError."""
    content = read_json(path)
    listed = content.get("cameras") if isinstance(content, dict) else None
    cameras = [
        camera
        for camera in entries(path, listed, '"cameras"')
        if camera.get("type", "hd" if camera.get("panel") == 0 else "") == "hd"
    ]
    if not cameras:
        raise InputError(path, "it has no camera of type hd", _DOWNLOADED)
    return _rig(
        path,
        [
            Stated(
                name=plain_name(path, camera.get("name"), "camera"),
                size=camera.get("resolution"),
                K=camera.get("K"),
                distortion=camera.get("distCoef"),
                R=camera.get("R"),
                t=camera.get("t"),
            )
            for camera in cameras
        ],
    )


@lru_cache(maxsize=1)
def _poses_once(folder: Path) -> Poses:
    """`read_panoptic` for the cameras of a sequence, one after the other."""
    return read_panoptic(folder)


def read_panoptic(folder: Path) -> Poses:
    """Everybody in a folder of body3DScene files; raises InputError naming the file.

    Times are the recording's own (univTime) where every file says one.
    """
    files = sorted((int(m[1]), f) for f in folder.iterdir() if (m := _SCENE.fullmatch(f.name)))
    if not files:
        hint = f"unpack {_POSES}.tar there"
        raise InputError(folder, "holds no files body3DScene_00000000.json", hint)
    frame: list[int] = []
    person: list[int] = []
    joints: list[FloatArray] = []
    clock: dict[int, Any] = {}
    for number, path in files:
        content = read_json(path)
        bodies = content.get("bodies") if isinstance(content, dict) else None
        for body in entries(path, bodies, '"bodies"'):
            who = body.get("id")
            if type(who) is not int or abs(who) >= 2**31:
                raise InputError(path, "a body has no id", _DOWNLOADED)
            frame.append(number)
            person.append(who)
            joints.append(
                number_array(path, body.get("joints19"), (76,), f"joints19 of body {who}")
            )
        clock[number] = content.get("univTime")
    values = np.array(joints).reshape(-1, 19, 4)
    xyz = np.where(values[..., 3:] >= _LEAST, values[..., :3], np.nan)
    frames = np.array(frame, np.int64)
    return Poses(frames, np.array(person, np.int64), _times(frames, clock), _in_room(xyz), {})


def _times(frame: IntArray, univ_time: Mapping[int, Any]) -> FloatArray:
    """(N,) seconds of frames (N,). univ_time: milliseconds, as the files say."""
    stated = univ_time.values()
    if all(type(t) in (int, float) and abs(t) < 1e12 for t in stated):  # NaN is no time either
        return np.array([univ_time[n] / 1000 for n in frame.tolist()], np.float64)
    return np.asarray(frame / HD_RATE_HZ)
