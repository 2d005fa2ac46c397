"""Detections over time beside the truth, on disk: what lifters are trained with.

A folder of `.npy` files that are read as they are needed (memory maps), made by `pack` from rows of
`kinefit synth pairs --consecutive`, whose sides are put right first, as in a run, or of
`kinefit train convert`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.geometry.projection import without_lens
from kinefit.io.atomic import atomic_path
from kinefit.lift.inputs import POINTS
from kinefit.lift.windows import RATE_HZ
from kinefit.skeletons import mirror_name, skeleton
from kinefit.synth.pairs import read_pairs
from kinefit.tracking.sides import find_side_swaps, undo_side_swaps
from kinefit.train.convert.rows import FIELDS, read_shard, shard_paths
from kinefit.types import (
    BoolArray,
    Camera,
    FloatArray,
    InputError,
    Keypoints2D,
    Keypoints3D,
    PoseTrack,
    Timeline,
)

_COLUMNS = [skeleton("blazepose33").points.index(name) for name in POINTS]
_PARTS = (("Shoulder", "Hip"), ("Elbow", "Wrist"), ("Knee", "Ankle"))
_SWAPPED_BY = 0.03  # of the person's extent: less is noise where both sides coincide


@dataclass(frozen=True, eq=False)
class Sequences:
    """S clips, N frames in all, at equal steps in time within a clip; points as `POINTS`.

    detected: (N, 27, 6) x, y in pixels, score, X, Y, Z of the detector's own 3D; NaN where missed.
    xy: (N, 27, 2) pixels, xyz: (N, 27, 3) metres, camera axes: the truth; NaN for points that it
    lacks. up: (N, 3) camera axes. contact: (N, 4) 0 or 1, of `FEET`; both NaN where unknown.
    swapped: (N,) 1 where arms, legs or trunk are exchanged in the detection. start: (S + 1,).
    K: (S, 3, 3). rate: (S,) Hz.
    """

    detected: FloatArray
    xy: FloatArray
    xyz: FloatArray
    up: FloatArray
    contact: FloatArray
    swapped: FloatArray
    start: NDArray[np.int64]
    K: FloatArray
    rate: FloatArray

    def __len__(self) -> int:
        return len(self.K)

    @property
    def lengths(self) -> NDArray[np.int64]:
        return np.asarray(np.diff(self.start))

    @classmethod
    def read(cls, folder: Path) -> Sequences:
        """Raises InputError where a file is missing or damaged."""
        arrays: dict[str, Any] = {}
        for name in _names():
            file = folder / f"{name}.npy"
            try:
                arrays[name] = np.load(file, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError, EOFError) as error:
                hint = "make it: kinefit train data pof"
                raise InputError(file, f"cannot be read ({error})", hint) from error
        return cls(**arrays)

    def write(self, folder: Path) -> None:
        """Single precision; `start` last, so that a folder without it is not whole."""
        folder.mkdir(parents=True, exist_ok=True)
        for name in sorted(_names(), key=lambda n: n == "start"):
            values = getattr(self, name)
            kind = np.int64 if name == "start" else np.float32
            with atomic_path(folder / f"{name}.npy") as partial, partial.open("wb") as stream:
                np.save(stream, np.asarray(values, kind))

    @classmethod
    def joined(cls, parts: Sequence[Sequences]) -> Sequences:
        """All clips of all parts, in memory."""
        whole = {n: np.concatenate([getattr(p, n) for p in parts]) for n in _names()[:6]}
        each = {n: np.concatenate([getattr(p, n) for p in parts]) for n in ("K", "rate")}
        lengths = np.concatenate([p.lengths for p in parts])
        return cls(**whole, start=np.concatenate([[0], np.cumsum(lengths)]), **each)


def _names() -> list[str]:
    return [field.name for field in fields(Sequences)]


def holds_pairs(folder: Path) -> bool:
    """Whether a folder is one of `kinefit synth pairs`."""
    return any(folder.glob("pairs_*.npz"))


def pack(folders: Sequence[Path]) -> Sequences:
    """Clips of folders of `kinefit synth pairs --consecutive`.

    Raises InputError as `read_pairs`, and for rows that are no frames of clips.
    """
    return Sequences.joined([_clips(folder, read_pairs(folder)) for folder in folders])


def pack_converted(folder: Path) -> Sequences:
    """Clips of a folder of `kinefit train convert`; raises InputError as `read_shard`."""
    shards = map(read_shard, shard_paths(folder))
    return Sequences.joined(
        [converted_clip(rows, holds_detections(shard)) for shard in shards for rows in parts(shard)]
    )


def holds_detections(rows: Mapping[str, NDArray[Any]]) -> bool:
    """Whether a detector looked at the pictures of a camera's rows."""
    return bool(np.isfinite(rows["pose_2d"]).any())


def parts(rows: Mapping[str, NDArray[Any]]) -> Iterator[dict[str, NDArray[Any]]]:
    """Of one camera's rows: of each person, those of frames that follow one another."""
    for person in np.unique(rows["person"]):
        mine = np.flatnonzero(rows["person"] == person)
        mine = mine[np.argsort(rows["frame"][mine])]
        step = np.diff(rows["frame"][mine])
        usual = np.median(step) if len(step) else 1
        for part in np.split(mine, np.flatnonzero(step != usual) + 1):
            yield {name: rows[name][part] for name in FIELDS}


def converted_clip(rows: Mapping[str, NDArray[Any]], detected: bool) -> Sequences:
    """Points that COCO lacks are missing. Where no detector looked at the camera's pictures, the
    true points stand for what it would have seen, and `Disturbance` for its errors."""
    size = (int(rows["size"][0, 0]), int(rows["size"][0, 1]))
    lens = Camera("view", size, rows["K"][0], np.eye(3), np.zeros(3), rows["distortion"][0])
    seen = rows["pose_2d" if detected else "projected_2d"].astype(np.float64)
    score = rows["visibility"] if detected else np.nan_to_num(rows["true_visibility"], nan=1.0)
    xy, true = (without_lens(lens, v.astype(np.float64)) for v in (seen, rows["projected_2d"]))
    T, time = len(xy), rows["time_s"]
    found = np.concatenate([xy, score[..., None], rows["corrupted"]], axis=-1)
    return Sequences(
        detected=_of_coco(found),
        xy=_of_coco(true),
        xyz=_of_coco(rows["xyz"].astype(np.float64)),
        up=rows["camera_R"][:, :, 1],
        contact=np.full((T, 4), np.nan),
        swapped=swapped(_of_coco(xy), _of_coco(true)).astype(np.float64),
        start=np.array([0, T]),
        K=rows["K"][:1],
        rate=np.array([1 / np.median(np.diff(time)) if T > 1 else RATE_HZ]),
    )


def _of_coco(values: FloatArray) -> FloatArray:
    """(T, J, C) of COCO's points (T, 17, C); NaN for the others."""
    out = np.full((len(values), len(POINTS), values.shape[-1]), np.nan)
    names = skeleton("coco17").points
    out[:, [POINTS.index(name) for name in names]] = values
    return out


def _clips(folder: Path, rows: Mapping[str, NDArray[Any]]) -> Sequences:
    clip = np.stack([rows["scene"], rows["view"]], axis=1)
    breaks = np.flatnonzero((np.diff(clip, axis=0) != 0).any(axis=1)) + 1
    start = np.concatenate([[0], breaks, [len(clip)]])
    step = np.diff(rows["time_s"])
    inside = np.setdiff1d(np.arange(len(step)), breaks - 1)
    if not len(inside) or (step[inside] <= 0).any() or np.ptp(step[inside]) > 1e-6:
        raise InputError(folder, "holds no clips", "make them with --consecutive")
    detected = np.concatenate(
        [rows["detected_33"], rows["score_33"][..., None], rows["world_33"]], axis=-1
    ).astype(np.float64)[:, _COLUMNS]
    for a, b in pairwise(start):
        detected[a:b] = sides_put_right(rows["time_s"][a:b], detected[a:b], rows["size"][a])
    true = rows["true_33"].astype(np.float64)[:, _COLUMNS]
    return Sequences(
        detected=detected,
        xy=true,
        xyz=rows["xyz_33"][:, _COLUMNS],
        up=rows["camera_R"][:, :, 1],
        contact=rows["contact"],
        swapped=swapped(detected[..., :2], true).astype(np.float64),
        start=start,
        K=rows["K"][start[:-1]],
        rate=np.full(len(start) - 1, 1 / step[inside[0]]),
    )


def sides_put_right(
    time: FloatArray, detected: FloatArray, size: NDArray[np.integer]
) -> FloatArray:
    """(T, 27, 6) as a run would hand it on: whole-body exchanges that motion shows are undone."""
    timeline = Timeline(np.arange(len(time)), time)
    image = Keypoints2D(
        timeline, POINTS, detected[..., :2], np.nan_to_num(detected[..., 2]),
        (int(size[0]), int(size[1])),
    )  # fmt: skip
    own = Keypoints3D(timeline, POINTS, detected[..., 3:], "camera")
    track = PoseTrack(image, own, (), "pairs")
    track = undo_side_swaps(track, find_side_swaps(track))
    assert track.body is not None
    scored = track.image.score[..., None]
    return np.concatenate([track.image.xy, scored, track.body.xyz], axis=-1)


def swapped(found: FloatArray, true: FloatArray) -> BoolArray:
    """(T,) where a part's left points (T, 27, 2) lie nearer to the right's truth, plainly."""
    extent = np.nanmax(true, axis=1) - np.nanmin(true, axis=1)
    out = np.zeros(len(found), bool)
    for part in _PARTS:
        mine = [POINTS.index(side + name) for name in part for side in "LR"]
        other = [POINTS.index(mirror_name(POINTS[i])) for i in mine]
        own = np.linalg.norm(found[:, mine] - true[:, mine], axis=-1).mean(axis=1)
        crossed = np.linalg.norm(found[:, mine] - true[:, other], axis=-1).mean(axis=1)
        with np.errstate(invalid="ignore"):
            out |= own - crossed > _SWAPPED_BY * extent.max(axis=-1)
    return out
