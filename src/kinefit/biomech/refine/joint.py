"""Refining joint angles with a trained network: one run's, or two runs' together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files
from pathlib import Path

import numpy as np
import onnxruntime as ort

from kinefit.biomech.angles import GROUPS
from kinefit.biomech.refine.table import (
    CHANNELS,
    FUSED_CHANNELS,
    OFFSETS,
    REFINED,
    STATED,
    make_fused_inputs,
    make_inputs,
    near_turning,
    values_of,
    with_values,
)
from kinefit.io.text import read_bytes
from kinefit.lift.windows import (
    WINDOW,
    WindowMean,
    at_times,
    blocks,
    grid_times,
    nearest,
    unbroken,
    windows,
)
from kinefit.types import FloatArray, InputError, InvalidData, JointAngles

_MOST_BYTES = 2**27
_NEAR_S = 0.25  # further from the next frame a moment of the grid is unknown
_J = len(GROUPS)


@dataclass(frozen=True, eq=False)
class JointRefiner:
    """A network of `kinefit train refine --model joint`, which has seen how the angles of one
    camera err, and how the joints of a body go together.

    weights: an ONNX file; None: the one that kinefit brings along.

    Raises InputError for a file that is no such network.
    """

    weights: str | Path | None = None

    def refine(self, angles: JointAngles, visibility: FloatArray | None = None) -> JointAngles:
        """The same table with corrected angles, and the deviations that the network states.

        visibility: (T, 12) 0..1, how much of each of `kinefit.biomech.angles.GROUPS` was seen;
        None: all that is known. What is unknown stays so; a joint of which an angle is unknown, and
        angles near 180 degrees, where they may as well be read as their opposite, stay as they are.

        Raises InvalidData for a visibility of another shape, or out of range.
        """
        seen = _visibility(visibility, angles)
        values, sd = values_of(angles)
        return _refined(angles, [values], [sd], seen, self._corrections)

    def answers(self, inputs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Corrections and deviations (B, WINDOW, 12, 3), degrees, of windows of `make_inputs`."""
        return self._network.answers(inputs)

    def _corrections(
        self, values: Sequence[FloatArray], sd: Sequence[FloatArray], seen: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        return self.answers(make_inputs(values[0], sd[0], seen))

    @cached_property
    def _network(self) -> _Network:
        return _Network(self.weights, "refine_joint", CHANNELS)


@dataclass(frozen=True, eq=False)
class MainRefiner:
    """A network of `kinefit train refine --model main`: it weighs the angles of two runs, with and
    without a network for depth, and what a `JointRefiner` makes of each.

    weights: as of `JointRefiner`. joint: the refiner that it was trained with.
    """

    weights: str | Path | None = None
    joint: JointRefiner = JointRefiner()

    def refine(
        self, angles: JointAngles, lifted: JointAngles, body: JointAngles,
        visibility: FloatArray | None = None,
    ) -> JointAngles:  # fmt: skip
        """`angles` with what is made of all of `SOURCES`.

        lifted, body: of the same frames in the same world, with a network for depth, and of markers
        on the fitted body. visibility: see `JointRefiner.refine`.

        Raises InvalidData for tables of other frames, and a visibility of another shape.
        """
        tables = (angles, lifted, body)
        if len({len(table.timeline) for table in tables}) > 1:
            raise InvalidData("The tables of joint angles have different frames.")
        seen = _visibility(visibility, angles)
        values, sd = (list(part) for part in zip(*map(values_of, tables), strict=True))
        values[2] = values[2] + OFFSETS
        return _refined(angles, values, sd, seen, self._corrections)

    def _corrections(
        self, values: Sequence[FloatArray], sd: Sequence[FloatArray], seen: FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        return self._network.answers(fused_inputs(self.joint, values, sd, seen))

    @cached_property
    def _network(self) -> _Network:
        return _Network(self.weights, "refine_main", FUSED_CHANNELS)


def fused_inputs(
    joint: JointRefiner, values: Sequence[FloatArray], sd: Sequence[FloatArray], seen: FloatArray
) -> FloatArray:
    """What the main network sees of windows of the first three of `SOURCES` (B, WINDOW, 12, 3)."""
    tables, spreads = list(values), list(sd)
    for table, spread in zip(values[:2], sd[:2], strict=True):
        correction, left = joint.answers(make_inputs(table, spread, seen))
        tables.append(table + np.where(REFINED, correction, 0.0))
        spreads.append(left)
    return make_fused_inputs(tables, spreads, seen)


_Corrections = Callable[
    [Sequence[FloatArray], Sequence[FloatArray], FloatArray], tuple[FloatArray, FloatArray]
]


def _visibility(given: FloatArray | None, angles: JointAngles) -> FloatArray:
    shape = (len(angles.timeline), _J)
    if given is None:
        return np.ones(shape)
    if np.shape(given) != shape or not ((np.asarray(given) >= 0) & (np.asarray(given) <= 1)).all():
        raise InvalidData(f"visibility must be {shape}, each from 0 to 1; it is {np.shape(given)}.")
    return np.asarray(given, np.float64)


def _refined(
    angles: JointAngles, values: Sequence[FloatArray], sd: Sequence[FloatArray], seen: FloatArray,
    ask: _Corrections,
) -> JointAngles:  # fmt: skip
    """Corrections are asked for of windows at 30 Hz, and interpolated to the frames' own times."""
    parts = []
    for rows in unbroken(angles.timeline.time):
        some, spreads = [v[rows] for v in values], [s[rows] for s in sd]
        parts.append(_of_part(angles.timeline.time[rows], some, spreads, seen[rows], ask))
    correction, left = (np.concatenate(both) for both in zip(*parts, strict=True))
    known = np.isfinite(values[0]).all(axis=-1, keepdims=True)
    change = known & ~near_turning(values[0]) & REFINED
    out = values[0] + np.where(change, correction, 0.0)
    spread = np.where(change, np.where(STATED, left, np.nan), sd[0])
    return with_values(angles, out, spread, change.any(axis=-1))


def _of_part(
    time: FloatArray, values: Sequence[FloatArray], sd: Sequence[FloatArray], seen: FloatArray,
    ask: _Corrections,
) -> tuple[FloatArray, FloatArray]:  # fmt: skip
    grid = grid_times(time)
    at = nearest(time, grid)
    far = np.abs(time[at] - grid) > _NEAR_S
    mean = WindowMean(len(grid))
    for rows in blocks(windows(len(grid))):
        inside = np.asarray((rows >= 0) & (rows < len(grid)))
        some = np.clip(rows, 0, len(grid) - 1)
        unknown = (~inside | far[some])[..., None, None]
        tables = [np.where(unknown, np.nan, v[at[some]]) for v in values]
        correction, left = ask(tables, [v[at[some]] for v in sd], seen[at[some]])
        mean.add(rows, inside, {"correction": correction, "sd": left})
    said = mean.values()
    return at_times(time, grid, said["correction"]), at_times(time, grid, said["sd"])


class _Network:
    """An ONNX file: `inputs` (B, WINDOW, 12, C) to `correction` and `log_sd` (B, WINDOW, 12, 3)."""

    def __init__(self, weights: str | Path | None, shipped: str, channels: int) -> None:
        source = files("kinefit") / "weights" / f"{shipped}.onnx"
        content = source.read_bytes() if weights is None else read_bytes(Path(weights), _MOST_BYTES)
        name = shipped if weights is None else weights
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = 1  # the same bytes on every machine
        hint = "give an .onnx file of this version's `kinefit train refine`"
        try:
            self._session = ort.InferenceSession(content, options)
            said = self.answers(np.zeros((2, WINDOW, _J, channels)))
        except Exception as error:  # onnxruntime's errors share no base
            raise InputError(name, "is no network that can be run", hint) from error
        if any(part.shape != (2, WINDOW, _J, 3) for part in said):
            raise InputError(name, "is no refiner: its outputs are others", hint)

    def answers(self, inputs: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Corrections and deviations, degrees."""
        given = {"inputs": np.asarray(inputs, np.float32)}
        correction, log_sd = self._session.run(["correction", "log_sd"], given)
        return correction.astype(np.float64), np.exp(log_sd.astype(np.float64))
