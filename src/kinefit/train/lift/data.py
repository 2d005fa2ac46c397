"""Training data of lifters: `kinefit train pof-data`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from kinefit.body.anny import load_anny
from kinefit.lift.inputs import RATE_HZ
from kinefit.pipeline.config import checked
from kinefit.pipeline.context import Progress
from kinefit.synth.motion_library import motion_library
from kinefit.synth.scene_options import PairOptions
from kinefit.train.lift.drawn import FRAMES, Donors, draw_take
from kinefit.train.lift.sequences import Sequences, pack
from kinefit.types import FloatArray, InputError

RENDERED = "rendered"
_TAKES, CAMERAS = 10, 20  # of a part: 19,200 frames, 24 MB; a camera costs a 20th of a motion
_SPARE_S = 0.2  # a motion is a little longer than its clip


@dataclass(frozen=True)
class Drawing:
    """Clips drawn without pictures. parts: of 200 clips each. motion: a file of recordings."""

    parts: int
    seed: int
    motion: Path | None


def make_data(
    out: Path, pairs: Sequence[Path], drawing: Drawing, *, processes: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> None:  # fmt: skip
    """Fill `out`: `rendered` with the clips of `pairs` (folders of `kinefit synth pairs
    --consecutive`, or `kinefit train convert`), and `drawn_00000`, ... with drawn ones, which have
    the errors of these clips, or without any those that kinefit brings along; parts that are there
    are kept.

    Raises InputError where nothing is asked for.
    """
    if not (pairs or drawing.parts):
        raise InputError("PAIRS", "there are none, and no parts", "give folders, --parts, or both")
    if pairs and not (out / RENDERED / "start.npy").is_file():
        pack(pairs).write(out / RENDERED)
    motion_library(drawing.motion)  # cached for the workers
    folders = [out / f"drawn_{i:05d}" for i in range(drawing.parts)]
    missing = [i for i, folder in enumerate(folders) if not (folder / "start.npy").is_file()]
    done = drawing.parts - len(missing)
    progress("drawn", done, drawing.parts)
    if not missing:
        return
    workers = min(processes or os.cpu_count() or 1, len(missing))
    with ProcessPoolExecutor(workers, get_context("spawn"), _open, (out, drawing)) as pool:
        for _ in pool.map(_make_part, missing, [folders[i] for i in missing]):
            done += 1
            progress("drawn", done, drawing.parts)


def read_data(folder: Path, rendered_share: float = 0.3) -> tuple[Sequences, FloatArray]:
    """All clips of a folder of `make_data`, in memory, and how often each is to be drawn, (S,):
    rendered ones together `rendered_share` of the time, where there are drawn ones, too.

    Raises InputError where there are none.
    """
    if not folder.is_dir():
        raise InputError(folder, "is no folder", "make it: kinefit train pof-data")
    ready = sorted(part for part in folder.glob("drawn_*") if (part / "start.npy").is_file())
    rendered = [Sequences.read(folder / RENDERED)] if (folder / RENDERED).is_dir() else []
    parts = [*rendered, *map(Sequences.read, ready)]
    if not parts:
        raise InputError(folder, "holds no clips", "make them: kinefit train pof-data")
    whole = Sequences.joined(parts)
    real = np.arange(len(whole)) < sum(map(len, rendered))
    if real.all() or not real.any():
        return whole, np.full(len(whole), 1 / len(whole))
    return whole, np.where(real, rendered_share / real.sum(), (1 - rendered_share) / (~real).sum())


_work: tuple[Drawing, Donors]  # set in each worker


def _open(out: Path, drawing: Drawing) -> None:
    global _work
    own = (out / RENDERED).is_dir()
    _work = drawing, Donors.of(Sequences.read(out / RENDERED)) if own else Donors.read()


def _make_part(number: int, folder: Path) -> None:
    drawing, donors = _work
    body, library = load_anny(), motion_library(drawing.motion)
    takes = []
    for take in range(_TAKES):
        rng = np.random.default_rng((drawing.seed, number, take))
        seconds, treadmill = FRAMES / RATE_HZ + _SPARE_S, bool(rng.random() < 0.3)
        options = checked(
            PairOptions, {"seconds": seconds, "treadmill": treadmill, "children": 0.08}
        )
        takes.append(draw_take(body, library, donors, rng, options, CAMERAS))
    Sequences.joined(takes).write(folder)
