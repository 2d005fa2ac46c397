"""`kinefit train pof`: from a folder of data to an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kinefit.pipeline.provenance import sha256_json
from kinefit.train.lift.batches import Disturbance
from kinefit.train.lift.data import INPUTS, read_data
from kinefit.train.lift.export import export
from kinefit.train.lift.loop import Lifting
from kinefit.train.lift.registry import NETWORKS
from kinefit.train.loop import Training, after_minutes, train, trained
from kinefit.types import InputError


def train_pof(
    data: Path, held_out: Path, out: Path, *, model: str, steps: int, batch: int, seed: int,
    minutes: float | None, progress: Callable[[int, Mapping[str, float]], None],
) -> Path:  # fmt: skip
    """Train, or go on, and export; the ONNX file in `out`.

    Raises InputError for an unknown model and for data that are not there, InvalidData where `out`
    was begun with other settings.
    """
    if model not in NETWORKS:
        known = ", ".join(NETWORKS)
        raise InputError("--model", f"there is no model {model!r}", f"choose of {known}")
    until = after_minutes(minutes)
    how = Training(model=model, steps=steps, batch=batch, seed=seed)
    clips, shares = read_data(data)
    judged_on, _ = read_data(held_out)
    task = Lifting(model, clips, judged_on, Disturbance(), shares)
    scores = train(
        out, task, how, progress=progress,
        made_of=sha256_json([_inputs(data), len(clips), _inputs(held_out), len(judged_on)]),
        until=until,
    )  # fmt: skip
    file = out / f"lift_{model.replace('-', '_')}.onnx"
    about = {name: f"{value:.4f}" for name, value in scores.items()}
    export(trained(out, task, how), file, {"model": model, **about})
    return file


def _inputs(folder: Path) -> str:
    """What the clips of a folder were made from."""
    file = folder / INPUTS
    return file.read_text("utf-8") if file.is_file() else ""
