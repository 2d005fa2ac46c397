"""Training data of refiners of joint angles: `kinefit train data angles`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from kinefit.biomech.refine.table import ANGLES, seen_of, values_of
from kinefit.body.anny import load_anny
from kinefit.io.arrays import is_of_key
from kinefit.io.atomic import atomic_path
from kinefit.io.processes import each
from kinefit.lift import load_lifter
from kinefit.lift.windows import grid_times, nearest
from kinefit.metric import observe_camera
from kinefit.metric.placement import tilt_and_roll
from kinefit.pipeline.config import POF_MODEL, run_config
from kinefit.pipeline.context import Progress
from kinefit.pipeline.in_memory import angles_of, body_angles
from kinefit.pipeline.provenance import code_version, sha256_json, sha256_path
from kinefit.synth.motion_library import motion_library
from kinefit.synth.pairs import read_pair_shard
from kinefit.tracking.sides import find_side_swaps, undo_side_swaps
from kinefit.train.convert.rows import read_shard, shard_paths
from kinefit.train.lift.data import Drawing, same_inputs, take_of
from kinefit.train.lift.drawn import Donors
from kinefit.train.lift.sequences import holds_detections, holds_pairs, pack
from kinefit.train.refine.clips import KINDS, AngleClips
from kinefit.train.refine.filmed import Filmed, of_converted, of_pairs, of_take
from kinefit.types import FloatArray, InputError, JointAngles, KinefitError

_HEIGHT_SD, _MASS_SD = 0.01, 0.1  # of what people say, relative
# Of the clips: told by the user, or the room, which told in 47 of 48 draws of eight real views.
_CAMERA_KNOWN = 0.7
_CYCLES = 8  # of the augmenter: less than half a run's, and a quarter less time
_MOST_TILT_DEG = 60.0
_VIEWS = 2  # of a drawn motion: fits cost more than motions


@dataclass(frozen=True)
class Shard:
    """Clips in one file. kind: of `KINDS`. source: a file of rows, or None. number: of a take."""

    path: Path
    kind: str
    source: Path | None
    number: int
    key: str


def make_angle_data(
    out: Path, folders: Sequence[Path], drawing: Drawing, *, processes: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> None:  # fmt: skip
    """Fill `out` with the clips of folders of `kinefit synth pairs --consecutive` and of `kinefit
    train convert --videos`, and with drawn ones, which have the errors of the first of these, or
    without any those that kinefit brings along. Each goes through the run twice, with and without a
    network for depth. What is there already is kept; `parts` of `drawing` are takes of two views.

    Raises InputError where nothing is asked for, a folder holds something else, or `out` clips of
    other inputs.
    """
    if not (folders or drawing.parts):
        raise InputError("PAIRS", "there are none, and no parts", "give folders, --parts, or both")
    rendered = [folder for folder in folders if holds_pairs(folder)]
    shards = list(_shards(out, folders, drawing))
    same_inputs(out, folders, drawing)
    missing = [shard for shard in shards if not is_of_key(shard.path, shard.key)]
    done = len(shards) - len(missing)
    progress("clips", done, len(shards))
    if not missing:
        return
    motion_library(drawing.motion)  # cached for the workers
    workers = min(processes or os.cpu_count() or 1, len(missing))
    for _ in each(_make_shard, missing, workers, start=partial(_open, rendered, drawing)):
        done += 1
        progress("clips", done, len(shards))


def read_angle_data(folder: Path) -> AngleClips:
    """All clips of `make_angle_data` below a folder; InputError where there is none."""
    files = sorted(folder.rglob("angles_*.npz"))
    clips = AngleClips.joined([AngleClips.none(), *map(AngleClips.read, files)])
    if not len(clips):
        raise InputError(folder, "holds no clips", "make them: kinefit train data angles")
    return clips


def _shards(out: Path, folders: Sequence[Path], drawing: Drawing) -> Iterator[Shard]:
    """One for each file of rows, then one for each take."""
    code = code_version()
    count = 0
    for folder in folders:
        kind = "rendered" if holds_pairs(folder) else "converted"
        files = sorted(folder.glob("pairs_*.npz")) if kind == "rendered" else shard_paths(folder)
        for file in files:
            if kind == "converted" and not holds_detections(read_shard(file)):
                reason = "no detector looked at its pictures"
                raise InputError(file, reason, "convert with --videos")
            key = sha256_json({"file": sha256_path(file), "seed": drawing.seed, "code": code})
            yield Shard(out / f"angles_{count:05d}.npz", kind, file, count, key)
            count += 1
    errors = [sha256_path(folder) for folder in folders if holds_pairs(folder)]
    motion = None if drawing.motion is None else sha256_path(drawing.motion)
    for take in range(drawing.parts):
        given = {"errors": errors, "motion": motion, "seed": drawing.seed, "take": take}
        key = sha256_json({**given, "code": code})
        yield Shard(out / f"angles_drawn_{take:05d}.npz", "drawn", None, take, key)


_work: tuple[Drawing, Sequence[Path], dict[str, Donors]]  # set in each worker


def _open(rendered: Sequence[Path], drawing: Drawing) -> None:
    global _work
    threadpool_limits(1)  # the workers are as many as the cores
    _work = drawing, rendered, {}


def _make_shard(shard: Shard) -> None:
    rng = np.random.default_rng((_work[0].seed, KINDS.index(shard.kind), shard.number))
    clips = [AngleClips.none()]
    for filmed in _filmed(shard, rng):
        try:
            clips.append(angle_clip(filmed, rng, shard.kind))
        except KinefitError:  # of whom a run makes nothing, nothing is learned
            continue
    arrays: dict[str, Any] = {**AngleClips.joined(clips).arrays(), "key": np.array(shard.key)}
    with atomic_path(shard.path) as temporary:
        np.savez_compressed(temporary, **arrays)


def _filmed(shard: Shard, rng: np.random.Generator) -> Iterator[Filmed]:
    drawing, rendered, kept = _work
    if shard.source is None:
        if not kept:  # the errors of the rendered clips, read once by each worker
            kept["errors"] = Donors.of(pack(rendered)) if rendered else Donors.read()
        library = motion_library(drawing.motion)
        return of_take(take_of(rng, load_anny(), library, kept["errors"], _VIEWS))
    if shard.kind == "rendered":
        return of_pairs(read_pair_shard(shard.source))
    return of_converted(read_shard(shard.source))


def angle_clip(filmed: Filmed, rng: np.random.Generator, kind: str) -> AngleClips:
    """What runs say of a clip, beside the truth; raises as they do."""
    known = rng.random() < _CAMERA_KNOWN or not filmed.balanced
    focal_px, tilt, roll = _camera_of(filmed) if known else (None, None, None)
    height, mass = filmed.stature_m, filmed.mass_kg
    height *= 1 + _HEIGHT_SD * rng.normal()
    mass *= 1 + _MASS_SD * rng.normal()
    config = run_config(
        {"height": height, "mass": mass, "export": "", "augmentation_cycles": _CYCLES}
    )
    track = undo_side_swaps(filmed.track, find_side_swaps(filmed.track))
    tables = {}
    for name, model in (("given", None), ("lifted", POF_MODEL)):
        lifter = None if model is None else load_lifter(model)
        observed, _ = observe_camera(
            track, height, focal_px=focal_px, tilt_deg=tilt, roll_deg=roll, lifter=lifter
        )
        tables[name] = angles_of(observed, config, model)
    angles, keypoints, fit = tables["given"]
    time = angles.timeline.time
    rows = nearest(time, grid_times(time))
    columns: dict[str, FloatArray] = {}
    for name, (found, _, _) in tables.items():
        columns[name], columns[f"{name}_sd"] = (v[rows] for v in values_of(found))
    return AngleClips(
        **columns,
        body=values_of(body_angles(fit.motion, config))[0][rows],
        true=_truth(filmed.angles(fit.rig.cameras[0].R), angles)[rows],
        seen=seen_of(keypoints)[rows],
        swapped=filmed.swapped[rows],
        length=np.array([len(rows)]),
        kind=np.array([KINDS.index(kind)]),
    )


def _camera_of(filmed: Filmed) -> tuple[float, float | None, float | None]:
    """Focal length in pixels; tilt and roll in degrees, but of cameras that look steeply."""
    tilt, roll = np.degrees(tilt_and_roll(filmed.R[0][:, 1])).tolist()
    steep = max(abs(tilt), abs(roll)) > _MOST_TILT_DEG
    return float(filmed.K[0, 0]), *((None, None) if steep else (tilt, roll))


def _truth(true: JointAngles, found: JointAngles) -> FloatArray:
    """(T, 12, 3) of the truth, NaN near a singularity of either."""
    values, _ = values_of(true)
    for i, name in enumerate(ANGLES):
        locked = [a.gimbal[:, a.names.index(name)] for a in (true, found) if name in a.names]
        values.reshape(len(values), -1)[np.logical_or.reduce(locked), i] = np.nan
    return values
