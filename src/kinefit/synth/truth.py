"""The files of a scene's folder: manifest, label images, and the ground truth `truth.npz`.

`truth.npz` holds plain arrays; `docs/synthetic.md` lists their names, shapes and units.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline

from kinefit.geometry import rotations as so3
from kinefit.io.arrays import read_npz
from kinefit.io.atomic import atomic_path
from kinefit.pipeline.provenance import sha256_file
from kinefit.skeletons import map_points, skeleton
from kinefit.types import (
    BodyMotion,
    BoolArray,
    Camera,
    CameraRig,
    FloatArray,
    InputError,
    IntArray,
    InvalidData,
    JointAngles,
    Keypoints2D,
    Keypoints3D,
    Markers,
    Timeline,
)

TRUTH, CALIBRATION, MANIFEST = "truth.npz", "calibration.toml", "scene.json"
CLAIM = ".kinefit-synth"  # marks a folder that is being filled: its files may be replaced


def read_manifest(folder: Path) -> dict[str, Any]:
    """`scene.json` of a folder whose files are all unchanged.

    Raises InputError for a folder without one, and for a file that is missing or was changed.
    """
    path = folder / MANIFEST
    try:
        manifest = json.loads(path.read_text("utf-8"))
        listed = {str(name): str(digest) for name, digest in manifest["sha256"].items()}
    except (OSError, ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        hint = "make one: kinefit synth --out FOLDER"
        raise InputError(folder, "is no folder of a synthetic scene", hint) from error
    if not {TRUTH, CALIBRATION} <= listed.keys():
        raise InputError(path, f"it lists no checksum of {TRUTH}", "make the scene again")
    for name, digest in listed.items():
        file = folder / Path(name).name
        if not file.is_file() or sha256_file(file) != digest:
            what = "was changed" if file.is_file() else "is missing"
            raise InputError(file, f"it {what} since the scene was made", "make the scene again")
    return dict(manifest)


Labels = NDArray[np.uint8]

BACKGROUND, PROP = 0, 255
PersonPart = Literal["body", "head", "hair"]
_HAIR = 129  # label of the first person's hair


def person_label(person: int, part: PersonPart = "body") -> int:
    """Label of a person's pixels; persons are counted from 0, at most 63.

    head: its skin. hair: with what is worn on the head. Body and head have the labels of files
    from before hair had its own.
    """
    return _HAIR + person if part == "hair" else 1 + 2 * person + (part == "head")


@dataclass(frozen=True, eq=False)
class LabelRuns:
    """Label images of one camera, row by row, as runs of equal labels.

    size: (width, height) pixels. first: (T + 1,) where the runs of each frame begin in the other
    two. label: (N,) uint8. length: (N,) pixels, uint32; those of a frame fill the image.
    tells_hair: whether hair has labels of its own; in older files it is part of the head.
    """

    size: tuple[int, int]
    first: IntArray
    label: Labels
    length: NDArray[np.uint32]
    tells_hair: bool = True

    def __post_init__(self) -> None:
        pixels = self.size[0] * self.size[1]
        first, end = self.first, np.append(0, np.cumsum(self.length, dtype=np.int64))
        whole = len(first) > 0 and first[0] == 0 and first[-1] == len(self.label) == len(end) - 1
        if not (whole and (np.diff(first) > 0).all() and (np.diff(end[first]) == pixels).all()):
            raise InvalidData(f"Runs of labels do not fill images of {self.size}.")

    @classmethod
    def of(
        cls, size: tuple[int, int], frames: Iterable[tuple[Labels, NDArray[np.uint32]]]
    ) -> LabelRuns:
        """From the results of `encode` for each frame."""
        parts = list(frames)
        first = np.cumsum([0, *(len(label) for label, _ in parts)])
        return cls(
            size,
            first,
            np.concatenate([np.zeros(0, np.uint8), *(label for label, _ in parts)]),
            np.concatenate([np.zeros(0, np.uint32), *(length for _, length in parts)]),
        )

    def __len__(self) -> int:
        return len(self.first) - 1

    def labels(self, frame: int) -> Labels:
        """(height, width) labels of a frame."""
        a, b = self.first[frame], self.first[frame + 1]
        return np.repeat(self.label[a:b], self.length[a:b]).reshape(self.size[::-1])

    def person(self, frame: int, person: int) -> BoolArray:
        """(height, width) True where the person is visible, head included."""
        return self._of(frame, person, "body", "head", "hair")

    def head(self, frame: int, person: int) -> BoolArray:
        """(height, width) True where the person's head is visible, hair and headwear included."""
        return self._of(frame, person, "head", "hair")

    def hair(self, frame: int, person: int) -> BoolArray:
        """(height, width) True where the person's hair or headwear is visible.

        Raises InvalidData for labels that do not tell it from the head.
        """
        if not self.tells_hair:
            raise InvalidData("These labels do not tell hair from the head: make the scene again.")
        return self._of(frame, person, "hair")

    def _of(self, frame: int, person: int, *parts: PersonPart) -> BoolArray:
        return np.isin(self.labels(frame), [person_label(person, part) for part in parts])


def encode(labels: Labels) -> tuple[Labels, NDArray[np.uint32]]:
    """The labels and lengths of the runs of one image (height, width)."""
    flat = labels.ravel()
    start = np.flatnonzero(np.diff(flat, prepend=flat[0] ^ 1))
    return flat[start], np.diff(start, append=len(flat)).astype(np.uint32)


FORMAT = "kinefit truth 2"
_WITHOUT_HAIR = "kinefit truth 1"  # labels of hair were the head's


class Visibility(IntEnum):
    """Whether a point is visible in a picture."""

    OUTSIDE = 0  # of the picture, or behind the camera
    OCCLUDED = 1  # by another person or an object
    SELF_OCCLUDED = 2  # by the person's own body
    VISIBLE = 3


@dataclass(frozen=True, eq=False)
class PersonTruth:
    """One person, on the scene's timeline, in its world (metres, Y up, the floor at Y = 0).

    points: all keypoints of the body. markers: these and the laboratory's, on the skin. angles: of
    the markers. motion: of the body. contact: (T, 4) True where `kinefit.body.contact.FEET` stand
    on the floor. stature_m, mass_kg: of the body.
    """

    points: Keypoints3D
    markers: Markers
    angles: JointAngles
    motion: BodyMotion
    contact: BoolArray
    stature_m: float
    mass_kg: float

    def keypoints(self, name: str) -> Keypoints3D:
        """The points of a skeleton; NaN for those that the body lacks."""
        target = skeleton(name)
        xyz = map_points(self.points.xyz, self.points.names, target)
        return replace(self.points, names=target.points, xyz=xyz)


@dataclass(frozen=True, eq=False)
class ViewTruth:
    """One camera.

    camera: in the first frame. R, t: (T, 3, 3), (T, 3) its pose in each frame.
    timeline: frames and time stamps of its video. time: (T,) seconds of the scene's clock at the
    middle of each exposure. xy: (P, T, K, 2) pixels of each person's points, also outside the
    image; NaN behind the camera. visibility: (P, T, K) of `Visibility`.
    masks: labels of pixels.
    """

    camera: Camera
    R: FloatArray
    t: FloatArray
    timeline: Timeline
    time: FloatArray
    xy: FloatArray
    visibility: NDArray[np.uint8]
    masks: LabelRuns

    def at(self, frame: int) -> Camera:
        """The camera in a frame."""
        return replace(self.camera, R=self.R[frame], t=self.t[frame])


@dataclass(frozen=True, eq=False)
class SceneTruth:
    """A scene: people and cameras. point_names: K points of `PersonTruth.points`."""

    people: tuple[PersonTruth, ...]
    views: tuple[ViewTruth, ...]

    @property
    def point_names(self) -> tuple[str, ...]:
        return self.people[0].points.names

    @property
    def rig(self) -> CameraRig:
        """The cameras in their first frames."""
        return CameraRig(tuple(view.camera for view in self.views))

    def view(self, name: str) -> ViewTruth:
        """The view of that camera; raises InvalidData for an unknown one."""
        for view in self.views:
            if view.camera.name == name:
                return view
        raise InvalidData(f"No camera {name!r}; there are: {', '.join(self.rig.names)}.")

    def image_points(self, camera: str, name: str, person: int = 0) -> Keypoints2D:
        """A skeleton's points in a video; the score is 1 where a point is visible, 0.5 where the
        person's own body occludes it, and 0 elsewhere."""
        view, target = self.view(camera), skeleton(name)
        score = np.array([0.0, 0.0, 0.5, 1.0])[view.visibility[person]]
        both = np.concatenate([view.xy[person], score[..., None]], axis=-1)
        xys, size = map_points(both, self.point_names, target), view.camera.size
        return Keypoints2D(view.timeline, target.points, xys[..., :2], xys[..., 2], size)


def write_truth(path: Path, truth: SceneTruth) -> None:
    """Write `truth.npz`, atomically; equal truth gives equal bytes."""
    first = truth.people[0]
    tells_hair = all(view.masks.tells_hair for view in truth.views)
    arrays: dict[str, Any] = {
        "format": np.array(FORMAT if tells_hair else _WITHOUT_HAIR),
        "frame": first.points.timeline.frame,
        "time": first.points.timeline.time,
        "point_names": np.array(first.points.names),
        "marker_names": np.array(first.markers.names),
        "angle_names": np.array(first.angles.names),
        "joint_names": np.array(first.motion.joint_names),
        "shape_names": np.array(first.motion.shape_names),
        "body": np.array(first.motion.body),
        "people": np.array(len(truth.people)),
        "cameras": np.array(truth.rig.names),
    }
    for p, person in enumerate(truth.people):
        own = {
            "xyz": person.points.xyz,
            "markers": person.markers.xyz,
            "degrees": person.angles.degrees,
            "gimbal": person.angles.gimbal,
            "rotvec": so3.log(person.motion.rotations),
            "translation": person.motion.translation,
            "shape": person.motion.shape,
            "contact": person.contact,
            "stature_m": np.array(person.stature_m),
            "mass_kg": np.array(person.mass_kg),
        }
        arrays |= {f"person{p}_{key}": value for key, value in own.items()}
    for view in truth.views:
        own = {
            "size": np.array(view.camera.size),
            "K": view.camera.K,
            "distortion": view.camera.distortion,
            "R": view.R,
            "t": view.t,
            "frame": view.timeline.frame,
            "stamp": view.timeline.time,
            "time": view.time,
            "xy": view.xy,
            "sight": view.visibility,
            "mask_first": view.masks.first,
            "mask_label": view.masks.label,
            "mask_length": view.masks.length,
        }
        arrays |= {f"{view.camera.name}_{key}": value for key, value in own.items()}
    with atomic_path(path) as temporary:
        np.savez_compressed(temporary, **arrays)


def read_truth(path: Path) -> SceneTruth:
    """Read `truth.npz`.

    path: the file, or the scene's folder. Raises InputError for anything else.
    """
    file = path / TRUTH if path.is_dir() else path
    stored = read_npz(file)
    if str(stored.get("format", "")) not in (FORMAT, _WITHOUT_HAIR):
        raise InputError(file, "is no truth file of a synthetic scene", "make one: kinefit synth")
    try:
        people = tuple(_person(stored, p) for p in range(int(stored["people"])))
        views = tuple(_view(stored, str(name)) for name in stored["cameras"])
        truth = SceneTruth(people, views)
        _check(truth)
    except (InvalidData, KeyError, TypeError, ValueError, IndexError, OverflowError) as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise InputError(file, f"is damaged: {reason}", "make the scene again") from error
    return truth


def _own(stored: dict[str, NDArray[Any]], start: str) -> dict[str, NDArray[Any]]:
    return {key.removeprefix(start): v for key, v in stored.items() if key.startswith(start)}


def _person(stored: dict[str, NDArray[Any]], p: int) -> PersonTruth:
    own = _own(stored, f"person{p}_")
    timeline = Timeline(stored["frame"], stored["time"])

    def names(key: str) -> tuple[str, ...]:
        return tuple(str(name) for name in stored[key])

    motion = BodyMotion(
        str(stored["body"]), timeline, names("joint_names"), so3.exp(own["rotvec"]),
        own["translation"], own["shape"], names("shape_names"),
    )  # fmt: skip
    return PersonTruth(
        points=Keypoints3D(timeline, names("point_names"), own["xyz"], "world"),
        markers=Markers(timeline, names("marker_names"), own["markers"]),
        angles=JointAngles(timeline, names("angle_names"), own["degrees"], own["gimbal"]),
        motion=motion,
        contact=own["contact"],
        stature_m=float(own["stature_m"]),
        mass_kg=float(own["mass_kg"]),
    )


def _view(stored: dict[str, NDArray[Any]], name: str) -> ViewTruth:
    own = _own(stored, f"{name}_")
    width, height = (int(n) for n in own["size"])
    R, t = own["R"], own["t"]
    runs = own["mask_first"], own["mask_label"], own["mask_length"]
    tells_hair = str(stored["format"]) != _WITHOUT_HAIR
    return ViewTruth(
        camera=Camera(name, (width, height), own["K"], R[0], t[0], own["distortion"]),
        R=R,
        t=t,
        timeline=Timeline(own["frame"], own["stamp"]),
        time=own["time"],
        xy=own["xy"],
        visibility=own["sight"],
        masks=LabelRuns((width, height), *runs, tells_hair=tells_hair),
    )


_CAMERA_NAME = re.compile(r"[A-Za-z0-9_-]+")  # it becomes a file name
_LONGEST_SIDE = 8192  # pixels, as in the options: a few runs could otherwise fill the memory


def _check(truth: SceneTruth) -> None:
    """Raise InvalidData for shapes that do not fit together and impossible values."""
    K = len(truth.point_names)
    for person in truth.people:
        if person.contact.shape != (len(person.points.timeline), 4):
            raise InvalidData("contact is not of shape (T, 4)")
        known = person.points.xyz, person.markers.xyz, [person.stature_m, person.mass_kg]
        if not all(np.isfinite(values).all() for values in known):
            raise InvalidData("a person's points have a value that is not a number")
    for view in truth.views:
        T, P = len(view.timeline), len(truth.people)
        wanted = {"xy": (P, T, K, 2), "visibility": (P, T, K), "R": (T, 3, 3), "t": (T, 3)}
        for name, shape in {**wanted, "time": (T,)}.items():
            if getattr(view, name).shape != shape:
                raise InvalidData(f"{view.camera.name}: {name} is not of shape {shape}.")
        if not _CAMERA_NAME.fullmatch(view.camera.name) or max(view.camera.size) > _LONGEST_SIDE:
            raise InvalidData(f"{view.camera.name} of {view.camera.size} pixels is no camera.")
        codes = view.visibility
        if codes.dtype.kind not in "iu" or codes.max(initial=0) > max(Visibility):
            raise InvalidData(f"{view.camera.name}: visibility holds other codes.")
        if not (np.isfinite(view.time).all() and (np.diff(view.time) > 0).all()):
            raise InvalidData(f"{view.camera.name}: time does not increase.")
        if len(view.masks) != T:
            raise InvalidData(f"{view.camera.name}: {len(view.masks)} masks for {T} frames.")


def interpolated(time: FloatArray, at: FloatArray, values: FloatArray) -> FloatArray:
    """Values (T, ...) at seconds `at` (T,), interpolated at `time` (N,); NaN outside.

    By cubic splines: at 30 frames a second and more, exact to a fraction of a millimetre for human
    motion.
    """
    return np.asarray(CubicSpline(at, values, axis=0, extrapolate=False)(time))
