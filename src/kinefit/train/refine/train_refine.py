"""`kinefit train refine`: from folders of data to an ONNX file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from kinefit.biomech.refine import JointRefiner
from kinefit.biomech.refine.table import CHANNELS, FUSED_CHANNELS
from kinefit.lift.windows import WINDOW
from kinefit.pipeline.provenance import sha256_json
from kinefit.train.export import export
from kinefit.train.loop import Training, after_minutes, train, trained
from kinefit.train.refine.data import read_angle_data
from kinefit.train.refine.tasks import Fusing, Refining
from kinefit.types import InputError

_MODELS = {"joint": CHANNELS, "main": FUSED_CHANNELS}


def train_refine(
    data: Path, held_out: Path, out: Path, *, model: str, joint: Path | None, steps: int,
    batch: int, rate: float, seed: int, minutes: float | None,
    progress: Callable[[int, Mapping[str, float]], None],
) -> Path:  # fmt: skip
    """Train, or go on, and export; the ONNX file in `out`.

    joint: of the model "main", whose refinements it weighs; None: the one that comes with kinefit.

    Raises InputError for an unknown model and for data that are not there, InvalidData where `out`
    was begun with other settings.
    """
    if model not in _MODELS:
        known = ", ".join(_MODELS)
        raise InputError("--model", f"there is no model {model!r}", f"choose of {known}")
    until = after_minutes(minutes)
    clips, judged_on = read_angle_data(data), read_angle_data(held_out)
    if model == "joint":
        task: Refining = Refining(clips, judged_on)
    else:
        task = Fusing(clips, judged_on, joint=JointRefiner(joint))
    how = Training(model, steps, batch, rate, _WARM_UP, seed=seed, check=_CHECK, patience=_PATIENCE)
    scores = train(
        out, task, how, progress=progress,
        made_of=sha256_json([clips.fingerprint(), judged_on.fingerprint()]),
        until=until,
    )  # fmt: skip
    file = out / f"refine_{model}.onnx"
    about = {"model": model, **{name: f"{value:.4f}" for name, value in scores.items()}}
    inputs = {"inputs": (WINDOW, len(clips.given[0]), _MODELS[model])}
    export(trained(out, task, how), file, inputs, ("correction", "log_sd"), about)
    return file


_WARM_UP = 100
_CHECK, _PATIENCE = 200, 10  # steps; a check takes as long as some twenty of them
