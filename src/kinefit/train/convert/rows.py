"""What a training row is, and the files that hold rows: one per sequence and camera.

The names of arrays are those of `kinefit.synth.pairs`, with the same meaning; some more say where
a row comes from. A shard carries a key of its inputs, its options and the code, so that a
conversion that was stopped goes on where it was, and what is there already is not made again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from kinefit.geometry.projection import project, to_camera
from kinefit.io.arrays import read_npz, save_npz
from kinefit.io.processes import each, in_order
from kinefit.pipeline.provenance import sha256_json
from kinefit.skeletons import skeleton
from kinefit.synth.pairs import unit_torso
from kinefit.types import Camera, FloatArray, InputError, IntArray

Progress = Callable[[str, int, int], None]
"""Called with (what, done, total)."""

COCO = skeleton("coco17")

# Name -> shape of a row, kind of dtype, meaning; 17 points of coco17, NaN where unknown. "Unit
# torso": from the middle of the hips, in lengths of the torso (mid-hip to mid-shoulder).
FIELDS: Mapping[str, tuple[tuple[int, ...], str, str]] = {
    "pose_2d": ((17, 2), "f", "pixels, detected; NaN without a detection"),
    "projected_2d": ((17, 2), "f", "pixels, true, through the lens; NaN behind the camera"),
    "ground_truth": ((17, 3), "f", "true, camera axes, unit torso"),
    "corrupted": ((17, 3), "f", "the detector's own 3D, camera axes, of its own unit torso"),
    "visibility": ((17,), "f", "0..1, the detector's score; 0 without a detection"),
    "camera_R": ((3, 3), "f", "rotation, world (Y up) to camera"),
    "gt_scale": ((), "f", "metres, true length of the torso"),
    "xyz": ((17, 3), "f", "metres, true, camera axes, from the camera"),
    "true_visibility": ((17,), "f", "1 in the picture and not hidden, 0 not so, NaN unknown"),
    "K": ((3, 3), "f", "intrinsics, pixels; pixel centres at integers"),
    "distortion": ((8,), "f", "OpenCV's k1 k2 p1 p2 k3 k4 k5 k6"),
    "size": ((2,), "i", "width, height of the picture"),
    "sequence": ((), "U", "name of the recording"),
    "view": ((), "U", "name of the camera"),
    "person": ((), "i", "number of the person within the recording"),
    "frame": ((), "i", "number of the frame, the data set's own"),
    "time_s": ((), "f", "seconds, the recording's clock"),
}

_DAMAGED = "delete it and convert again"


@dataclass(frozen=True, eq=False)
class Detections:
    """What a detector says of the subject in N pictures; the points are coco17's.

    xy: (N, 17, 2) pixels, NaN where it says nothing. score: (N, 17) 0..1, 0 there. body:
    (N, 17, 3) camera axes, any unit and origin; NaN for a detector of points in the image alone.
    """

    xy: FloatArray
    score: FloatArray
    body: FloatArray

    @classmethod
    def none(cls, count: int) -> Detections:
        """Nothing, of that many pictures."""
        J = len(COCO.points)
        xy, body = np.full((count, J, 2), np.nan), np.full((count, J, 3), np.nan)
        return cls(xy, np.zeros((count, J)), body)


@dataclass(frozen=True, eq=False)
class View:
    """What is known of N people in the pictures of one camera; the points are coco17's.

    camera: its world is in metres with Y up. xyz: (N, 17, 3) metres, that world, NaN where
    missing. frame, person: (N,) numbers. time_s: (N,). visible: (N, 17) 1: seen; 0: hidden or
    outside; NaN: unknown. detected: of the same N.
    """

    camera: Camera
    xyz: FloatArray
    frame: IntArray
    time_s: FloatArray
    person: IntArray
    visible: FloatArray
    detected: Detections


class Source(Protocol):
    """One shard to be made; goes to another process as a pickle."""

    @property
    def sequence(self) -> str: ...

    @property
    def view(self) -> str: ...

    def identity(self) -> Mapping[str, Any]:
        """All that the rows depend on besides the code, as JSON."""
        ...

    def read(self) -> View:
        """The data themselves; raises InputError."""
        ...


@dataclass(frozen=True)
class Shard:
    """A file that is there. kept: it was there before. rows, dropped: how many people in pictures
    it holds, and how many were left out because a hip or shoulder is missing."""

    path: Path
    kept: bool
    rows: int
    dropped: int


@dataclass(frozen=True)
class Conversion:
    """What a conversion left: its shards, and what to know about them."""

    folder: Path
    shards: tuple[Shard, ...]
    notes: tuple[str, ...]

    @property
    def rows(self) -> int:
        return sum(shard.rows for shard in self.shards)

    @property
    def dropped(self) -> int:
        return sum(shard.dropped for shard in self.shards)

    @property
    def kept(self) -> int:
        """How many shards were there before."""
        return sum(shard.kept for shard in self.shards)


def make_rows(sequence: str, name: str, view: View) -> tuple[dict[str, NDArray[Any]], int]:
    """The arrays of `FIELDS` of what one camera saw, and how many rows were dropped because a hip
    or a shoulder is missing."""
    xyz = to_camera(view.camera, view.xyz)
    unit, length = unit_torso(xyz)
    projected = project(view.camera, view.xyz)
    lens = view.camera.distortion
    N = len(xyz)
    rows: dict[str, NDArray[Any]] = {
        "pose_2d": view.detected.xy,
        "projected_2d": projected,
        "ground_truth": unit,
        "corrupted": unit_torso(view.detected.body)[0],
        "visibility": view.detected.score,
        "camera_R": np.tile(view.camera.R, (N, 1, 1)),
        "gt_scale": length,
        "xyz": xyz,
        "true_visibility": _true_visibility(view, projected),
        "K": np.tile(view.camera.K, (N, 1, 1)),
        "distortion": np.tile(np.pad(lens, (0, 8 - len(lens))), (N, 1)),
        "size": np.tile(np.array(view.camera.size, np.int64), (N, 1)),
        "sequence": np.full(N, sequence),
        "view": np.full(N, name),
        "person": view.person,
        "frame": view.frame,
        "time_s": view.time_s,
    }
    whole = np.isfinite(length)
    return {field: rows[field][whole] for field in FIELDS}, int((~whole).sum())


def _true_visibility(view: View, projected: FloatArray) -> FloatArray:
    edge = np.array(view.camera.size) - 0.5
    inside = ((projected > -0.5) & (projected < edge)).all(axis=-1)
    known = np.isfinite(view.xyz).all(axis=-1)
    return np.where(known, np.where(inside, view.visible, 0.0), np.nan)


def convert(
    out: Path,
    sources: Sequence[Source],
    *,
    data_set: str,
    code: str,
    notes: Sequence[str] = (),
    processes: int | None = None,
    progress: Progress = lambda what, done, total: None,
) -> Conversion:
    """Make a shard of each source in the folder `out`; those of the same inputs and code stay.

    code: version of the code that reads the sources. processes: None: one per core; the bytes do
    not depend on it.

    Raises InputError where two sources would be one file, and what reading a source raises; the
    shards that are finished stay.
    """
    out.mkdir(parents=True, exist_ok=True)
    names = [shard_name(source) for source in sources]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(out, f"{twice[0]} would be made twice", "give sequences different names")
    make = partial(_make_shard, out, data_set, code)
    shards = []
    progress("shards", 0, len(sources))
    for shard in _each(make, sources, processes or os.cpu_count() or 1):
        shards.append(shard)
        progress("shards", len(shards), len(sources))
    return Conversion(out, tuple(shards), tuple(notes))


def _each(
    make: Callable[[Source], Shard], sources: Sequence[Source], processes: int
) -> Iterator[Shard]:
    workers = min(processes, len(sources))
    if workers < 2:
        yield from map(make, sources)
        return
    yield from in_order(each(make, sources, workers))


def shard_name(source: Source) -> str:
    return f"{source.sequence}.{source.view}.npz"


def _make_shard(out: Path, data_set: str, code: str, source: Source) -> Shard:
    path = out / shard_name(source)
    made_of = {"data_set": data_set, "sequence": source.sequence, "view": source.view}
    key = sha256_json({**made_of, **source.identity(), "code": code})
    if (kept := _finished(path, key)) is not None:
        return kept
    rows, dropped = make_rows(source.sequence, source.view, source.read())
    count = len(rows["frame"])
    save_npz(path, **rows, data_set=data_set, key=key, rows=count, dropped=dropped)
    return Shard(path, False, count, dropped)


def _finished(path: Path, key: str) -> Shard | None:
    """The shard, where it is there and of that key."""
    try:
        stored = read_npz(path, only=("key", "rows", "dropped"))
        if str(stored["key"]) != key:
            return None
        return Shard(path, True, int(stored["rows"]), int(stored["dropped"]))
    except (InputError, KeyError, ValueError, TypeError):
        return None


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a folder, by name; InputError where there is none."""
    files = sorted(file for file in folder.glob("*.npz") if not file.name.startswith("."))
    if not files:
        hint = "make them: kinefit train convert aistpp (or panoptic) DATA --out FOLDER"
        raise InputError(folder, "holds no shards of training rows", hint)
    return files


def read_shard(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays of `FIELDS` in one shard, and its `data_set`; raises InputError for another file.

    All shards of a large data set do not fit in memory at once.
    """
    stored = read_npz(path, only=(*FIELDS, "data_set"))
    if lacking := [name for name in (*FIELDS, "data_set") if name not in stored]:
        reason = f"is no shard of training rows: it lacks {lacking[0]}"
        raise InputError(path, reason, _DAMAGED)
    count = stored["frame"].shape[:1]
    for name, (shape, kind, _) in FIELDS.items():
        if stored[name].shape != (*count, *shape) or stored[name].dtype.kind != kind:
            raise InputError(path, f"its {name} has another shape or type", _DAMAGED)
    return stored


def plain_name(source: str | Path, name: Any, what: str) -> str:
    """A name that a file of the data set gives, fit to be part of a file's name; else InputError.

    what: it names, as "sequence".
    """
    fits = isinstance(name, str) and 0 < len(name) <= 100 and name.isprintable()
    if not fits or name.startswith(".") or any(c in '/\\:*?"<>|' for c in name):
        reason = f"it calls a {what} {str(name)[:50]!r}, which is no plain name"
        raise InputError(source, reason, "take the file as it was downloaded")
    return str(name)


def number_array(
    source: str | Path, value: Any, shape: Sequence[int | None], what: str
) -> FloatArray:
    """`value` as numbers of that shape (None: any length), NaN for infinite ones; else InputError.

    what: it is, as "joints19 of body 2".
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError, OverflowError):  # lists of different lengths
        array = np.empty(0, object)
    fits = array.dtype.kind in "fiub" and array.ndim == len(shape)
    if not fits or any(w not in (None, n) for n, w in zip(array.shape, shape, strict=True)):
        wanted = " x ".join("*" if n is None else str(n) for n in shape)
        got = " x ".join(map(str, array.shape)) if array.dtype.kind in "fiub" else "something else"
        reason = f"{what}: {wanted} numbers are expected, it has {got}"
        raise InputError(source, reason, "check that this is the right file, or copy it again")
    values = array.astype(np.float64)
    values[~np.isfinite(values)] = np.nan
    return values


def choose_views(names: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """The cameras that the user asked for, all where nothing was said; InputError for others."""
    if wanted is None:
        return list(names)
    if unknown := [name for name in wanted if name not in names]:
        given = ", ".join(names[:40])
        raise InputError("--views", f"there is no camera {unknown[0]!r}", f"choose from {given}")
    return [name for name in names if name in wanted]


def camera_json(camera: Camera) -> dict[str, Any]:
    """The camera's numbers, for `Source.identity`."""
    numbers = {n: getattr(camera, n).tolist() for n in ("K", "R", "t", "distortion")}
    return {"size": list(camera.size), **numbers}
