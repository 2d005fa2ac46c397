"""Training data of lifters: `kinefit train data pof`."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from kinefit.body.anny import load_anny
from kinefit.body.model import BodyModel
from kinefit.io.atomic import write_json
from kinefit.io.processes import each
from kinefit.lift.windows import RATE_HZ
from kinefit.pipeline.config import checked
from kinefit.pipeline.context import Progress
from kinefit.pipeline.provenance import sha256_path
from kinefit.synth.motion_clip import Clip
from kinefit.synth.motion_library import motion_library
from kinefit.synth.scene_options import PairOptions
from kinefit.train.lift.drawn import FRAMES, Donors, Take, draw_take
from kinefit.train.lift.sequences import Sequences, holds_pairs, pack, pack_converted
from kinefit.types import FloatArray, InputError

RENDERED, INPUTS = "rendered", "inputs.json"
_TAKES, CAMERAS = 20, 10  # of a part: 19,200 frames, 24 MB; motions cost as much as their views
_SPARE_S = 0.2  # a motion is a little longer than its clip


@dataclass(frozen=True)
class Drawing:
    """Clips drawn without pictures. parts: of 200 clips each. motion: a file of recordings."""

    parts: int
    seed: int
    motion: Path | None


def make_data(
    out: Path, folders: Sequence[Path], drawing: Drawing, *, processes: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> None:  # fmt: skip
    """Fill `out`: `rendered` with the clips of folders of `kinefit synth pairs --consecutive`,
    `converted_00000`, ... with those of folders of `kinefit train convert`, and `drawn_00000`, ...
    with drawn ones, which have the errors of the rendered clips, or without any those that kinefit
    brings along. What is there already is kept.

    Raises InputError where nothing is asked for, and where `out` holds clips of other inputs.
    """
    if not (folders or drawing.parts):
        raise InputError("PAIRS", "there are none, and no parts", "give folders, --parts, or both")
    same_inputs(out, folders, drawing)
    rendered = [folder for folder in folders if holds_pairs(folder)]
    if rendered:
        _write_once(out / RENDERED, lambda: pack(rendered))
    for i, folder in enumerate(f for f in folders if not holds_pairs(f)):
        _write_once(out / f"converted_{i:05d}", partial(pack_converted, folder))
    motion_library(drawing.motion)  # cached for the workers
    parts = [out / f"drawn_{i:05d}" for i in range(drawing.parts)]
    missing = [i for i, part in enumerate(parts) if not _is_whole(part)]
    done = drawing.parts - len(missing)
    progress("drawn", done, drawing.parts)
    if not missing:
        return
    workers = min(processes or os.cpu_count() or 1, len(missing))
    todo = [(i, parts[i]) for i in missing]
    for _ in each(_make_part, todo, workers, start=partial(_open, out, drawing)):
        done += 1
        progress("drawn", done, drawing.parts)


def _is_whole(folder: Path) -> bool:
    return (folder / "start.npy").is_file()  # which is written last


def _write_once(folder: Path, make: Callable[[], Sequences]) -> None:
    if not _is_whole(folder):
        make().write(folder)


def same_inputs(out: Path, folders: Sequence[Path], drawing: Drawing) -> None:
    """Writes down what the clips of `out` are made from; InputError where it was something else."""
    motion = None if drawing.motion is None else sha256_path(drawing.motion)
    made_of = {
        "folders": [sha256_path(folder) for folder in folders],
        "seed": drawing.seed, "motion": motion,
    }  # fmt: skip
    path = out / INPUTS
    if not path.is_file():
        out.mkdir(parents=True, exist_ok=True)
        write_json(path, made_of)
    elif json.loads(path.read_text("utf-8")) != made_of:
        raise InputError(out, "holds clips of other inputs, seed or motion", "name a new folder")


def read_data(folder: Path, made_share: float = 0.3) -> tuple[Sequences, FloatArray]:
    """All clips of a folder of `make_data`, in memory, and how often each is to be drawn, (S,): in
    proportion to its frames; rendered and converted ones together `made_share` of the time, where
    there are drawn ones, too.

    Raises InputError where there are none.
    """
    made = [*folder.glob(RENDERED), *sorted(folder.glob("converted_*"))]
    drawn = sorted(folder.glob("drawn_*"))
    made, drawn = ([part for part in parts if _is_whole(part)] for parts in (made, drawn))
    if not (made or drawn):
        raise InputError(folder, "holds no clips", "make them: kinefit train data pof")
    some = [Sequences.read(part) for part in made]
    whole = Sequences.joined([*some, *map(Sequences.read, drawn)])
    share = whole.lengths.astype(np.float64)
    first = sum(map(len, some))
    if made and drawn:
        share[:first] *= made_share / share[:first].sum()
        share[first:] *= (1 - made_share) / share[first:].sum()
    return whole, share / share.sum()


_work: tuple[Drawing, Donors]  # set in each worker


def _open(out: Path, drawing: Drawing) -> None:
    global _work
    threadpool_limits(1)  # else threads of all workers wait for one another: eight times the time
    own = (out / RENDERED).is_dir()
    _work = drawing, Donors.of(Sequences.read(out / RENDERED)) if own else Donors.read()


def _make_part(part: tuple[int, Path]) -> None:
    number, folder = part
    drawing, donors = _work
    body, library = load_anny(), motion_library(drawing.motion)
    takes = []
    for take in range(_TAKES):
        rng = np.random.default_rng((drawing.seed, number, take))
        takes.append(take_of(rng, body, library, donors, CAMERAS).clips)
    Sequences.joined(takes).write(folder)


def take_of(
    rng: np.random.Generator, body: BodyModel, library: Mapping[str, Clip], donors: Donors,
    cameras: int,
) -> Take:  # fmt: skip
    """A motion of the kinds that lifters and refiners learn from."""
    seconds, treadmill = FRAMES / RATE_HZ + _SPARE_S, bool(rng.random() < 0.3)
    options = checked(PairOptions, {"seconds": seconds, "treadmill": treadmill, "children": 0.08})
    return draw_take(body, library, donors, rng, options, cameras)
