"""43 anatomical markers from the initial ones, by the OpenCap marker augmenter (LSTM, v0.3)."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import as_file, files
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort

from kinefit.biomech.gaps import resample
from kinefit.biomech.markers.initial import standard_markers
from kinefit.geometry.rotations import exp
from kinefit.io.markers import missing_note
from kinefit.skeletons import skeleton
from kinefit.types import (
    BoolArray,
    FloatArray,
    InputError,
    IntArray,
    InvalidData,
    Markers,
    MissingMarkers,
    Subject,
    Timeline,
    TooFewPoints,
)


@dataclass(frozen=True)
class _Body:
    """One of the two networks: what it takes, in order, and what it gives, in order."""

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


_TRUNK = ("Neck", "RShoulder", "LShoulder")
_LEGS = tuple(s + p for p in ("Hip", "Knee", "Ankle", "Heel", "SmallToe", "BigToe") for s in "RL")
_ARMS = tuple(s + p for p in ("Elbow", "Wrist") for s in "RL")
_NEW = skeleton("augmented43").points
_BODIES = (
    _Body("lower", (*_TRUNK, *_LEGS), _NEW[:35]),
    _Body("upper", (*_TRUNK, *_ARMS), _NEW[35:]),
)
_FINAL = (*skeleton("markers22").points, *_NEW)

NOISE_M = 0.001  # standard deviation of the perturbation of each cycle, per axis

# The networks count in frames and lag by about half of one, so slow clips suffer. Spread of the
# error about its mean, lower / upper body, four opencap clips: at 30 Hz 15.5 / 29.0 mm, the same
# brought to 60 Hz 10.1 / 17.4, to 120 Hz 9.3 / 15.4 (twice the time); at 250 Hz 9.1 / 15.3 mm.
_MIN_RATE_HZ = 60.0

# The networks start from a zero state: the first frame is 10.6 (lower) and 24.1 mm (upper) off;
# with the first pose held in front 3.6 and 7.9, with the clip reflected in front 5.3 and 11.9. On a
# synthetic standing pose the upper network needs 120 frames to settle to 1 mm.
_WARM_UP = 120

# Height and mass enter as features with a training spread of 6.6 cm and 8 kg. Beyond two of those
# they are held: a subject said to weigh 120 kg gets 30.7 mm of error instead of 33.9 (in truth
# 30.3). Lengths always scale with the true height.
_MAX_SPREADS = 2.0

OUTSIDE_TRAINING = (
    "Height or mass lies outside what the marker augmenter was trained on (1.57-1.83 m, "
    "50-83 kg): it was told the nearest it knows, and its markers are less certain."
)

_MOST_STEPS = 1_000_000  # 4.6 hours at 60 Hz, 2 GB; a pause counts for two seconds
# Across a pause of so many seconds nothing is interpolated: the networks see the pose behind it,
# after a tenth of a second, held as the first one is.
_PAUSE_S, _CHANGE_S = 2.5, 0.1
_REACH = 2.0  # statures from the middle of the body: no part of it is so far off
_FRAMES_AT_ONCE = 32_768  # cycles x frames per network call: some 150 MB inside the two networks


def augment(
    markers: Markers,
    subject: Subject,
    *,
    cycles: int = 20,
    seed: int = 0,
    draws: FloatArray | None = None,
    on_pass: Callable[[FloatArray], None] | None = None,
) -> Markers:
    """The 22 initial markers followed by the 43 of the skeleton "augmented43": 65 columns.

    (The usual "64 markers" are 21 + 43; Head, the 22nd, is no input of the networks.)

    markers: any set that `standard_markers` understands. The lower body's 35 need shoulders and
        legs, the upper body's 8 shoulders and arms, both the hips. Where an input is missing its
        outputs are NaN, in those frames only: the network itself is fed interpolated values.
        A body of which an input never appears is NaN throughout (`missing_inputs` names it).
        Points that no body reaches are missing, and told in the result's notes: one of them would
        spoil all that the networks say after it.
    cycles: passes that are averaged. Each adds its own Gaussian noise (`NOISE_M`) to the inputs
        and turns them about the vertical by its own part of a full circle, because the networks
        depend on the heading. 1 is one plain pass.
    seed: of the noise. The same input gives the same bytes on one machine (on the CPU).
    draws: (D, T, 22, 3) metres, by how much the initial markers may be off, all at once and over
        the whole clip: pass p adds draw p modulo D. Draws in pairs of opposite sign leave the
        mean where it is.
    on_pass: called with the 65 markers (T, 65, 3) of each pass, its draw included.

    The result's `sd` is that of the passes for the 43 (NaN with one pass, the input's own for the
    22). It covers heading, noise and draws, not what the networks never learnt: on four opencap
    clips, without draws, the error about its mean is 1.9-2.1 (lower) and 0.8-3 times (upper) as
    large. `estimated` is
    set for an output where one of its inputs, small toes aside, was estimated.

    The person is first turned to face +x on average over the clip, so that the result turns with
    the clip. Averaging over headings, not only over noise, lowers the spread of the error by 8
    (lower) and 6 % (upper). Passes in reversed time are not averaged in: they lower it for squats,
    rising and jumps (5-30 %) but raise it for walking (lower body 9.5 to 11.1 mm).

    Model: Uhlrich et al. 2023, PLoS Comput Biol 19:e1011462 (`kinefit/weights/augmenter.md`).

    Raises InputError for fewer than one cycle, MissingMarkers or TooFewPoints when neither body
    has all its inputs in some frame.
    """
    if cycles < 1:
        raise InputError("--augmentation-cycles", f"{cycles} is less than 1", "give 1 or more")
    initial = _within_reach(standard_markers(markers), subject)
    bodies = [body for body in _BODIES if _complete(body, initial).any()]
    if not bodies:
        absent = sorted({name for names in missing_inputs(initial).values() for name in names})
        if absent:
            hint = "name hips, shoulders, and legs or arms as Pose2Sim does (RHip, LKnee, ...)"
            raise MissingMarkers("augmentation", absent, hint)
        raise TooFewPoints("frames in which augmentation has all its markers", found=0, needed=1)
    draws = None if draws is None else np.nan_to_num(draws)
    networks = [_Network.of(body, initial, subject, cycles, seed, draws) for body in bodies]
    with ThreadPoolExecutor(len(networks)) as pool:
        for start in range(0, cycles, networks[0].at_once):
            parts = list(pool.map(lambda network: network.run(start), networks))  # noqa: B023
            for i in range(len(parts[0]) if on_pass else 0):
                moved = 0.0 if draws is None else draws[(start + i) % len(draws)]
                xyz = np.full((len(initial.timeline), len(_FINAL), 3), np.nan)
                xyz[:, : len(initial.names)] = initial.xyz + moved
                for network, part in zip(networks, parts, strict=True):
                    columns = [_FINAL.index(name) for name in network.body.outputs]
                    xyz[:, columns] = network.on_time(part[i]) + network.hip
                assert on_pass is not None
                on_pass(xyz)
    return _joined(initial, [network.result() for network in networks])


def final_names() -> tuple[str, ...]:
    """Of the 65 markers that `augment` gives, in their order."""
    return _FINAL


def missing_inputs(markers: Markers) -> dict[str, tuple[str, ...]]:
    """{"lower": names, "upper": names}: inputs of each network that no frame of `markers` has."""
    initial = standard_markers(markers)
    seen = {n for i, n in enumerate(initial.names) if initial.present[:, i].any()}
    return {b.name: tuple(n for n in (*b.inputs, "Hip") if n not in seen) for b in _BODIES}


def _complete(body: _Body, initial: Markers) -> BoolArray:
    """(T,) True where the network has all its inputs."""
    return np.asarray(initial.select((*body.inputs, "Hip")).present.all(axis=1))


def within_training(subject: Subject) -> bool:
    """Whether height and mass lie within the networks' training range; they are held to it.

    The range is two standard deviations about the training mean: 1.57-1.83 m and 50-83 kg for
    the lower body, and much the same for the upper.
    """
    mean, spread = _scaling("lower")
    features = np.array([subject.height_m, subject.mass_kg])
    return bool((np.abs(features - mean[-2:]) <= _MAX_SPREADS * spread[-2:]).all())


def _joined(initial: Markers, parts: list[Markers]) -> Markers:
    frames = len(initial.timeline)
    xyz, sd = (np.full((frames, len(_FINAL), 3), np.nan) for _ in range(2))
    estimated = np.zeros((frames, len(_FINAL)), bool)
    for part in (initial, *parts):
        columns = [_FINAL.index(name) for name in part.names]
        xyz[:, columns], estimated[:, columns] = part.xyz, part.estimated
        if part.sd is not None:
            sd[:, columns] = part.sd
    known = any(part.sd is not None for part in (initial, *parts))
    return Markers(initial.timeline, _FINAL, xyz, estimated, sd if known else None, initial.notes)


def _within_reach(initial: Markers, subject: Subject) -> Markers:
    """Without points that are farther from the middle of the body than any part of it; notes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # frames without a point have no middle
        middle = np.nanmedian(initial.xyz, axis=1, keepdims=True)
    far = np.linalg.norm(initial.xyz - middle, axis=-1) > _REACH * subject.height_m
    if not far.any():
        return initial
    what = f"over {_REACH:.0f} statures away from the body"
    notes = missing_note(far, initial.names, initial.timeline, what)
    return replace(initial, xyz=np.where(far[..., None], np.nan, initial.xyz), notes=tuple(notes))


@dataclass(eq=False)
class _Network:
    """One network at work on a clip; sums over its passes.

    clock: has no pauses (see `_Clock`). relative: (G, n, 3) metres from the mid-hip, on the
    network's times `grid`, no gaps. draws: (D, T, 22, 3) metres, or None. turns: (cycles, 3, 3).
    """

    body: _Body
    initial: Markers
    subject: Subject
    clock: _Clock
    grid: FloatArray
    hip: FloatArray
    relative: FloatArray
    draws: FloatArray | None
    turns: FloatArray
    noise: np.random.Generator
    first: FloatArray | None = None
    total: FloatArray | float = 0.0
    squares: FloatArray | float = 0.0

    @classmethod
    def of(
        cls,
        body: _Body,
        initial: Markers,
        subject: Subject,
        cycles: int,
        seed: int,
        draws: FloatArray | None,
    ) -> _Network:
        clock = _Clock.of(initial.timeline)
        grid = _grid(clock.timeline)
        names = (*body.inputs, "Hip")
        needed = initial.select(names)
        hip = needed.xyz[:, -1:]
        # Gaps are bridged relative to the hip, so that a lost limb stays with the walking body.
        relative = resample(clock.knots, (needed.xyz[:, :-1] - hip)[clock.frames], grid)
        headings = _heading(initial) + 2 * np.pi * np.arange(cycles) / cycles
        turns = exp(np.outer(headings, [0.0, 1.0, 0.0]))
        noise = np.random.default_rng([seed, _BODIES.index(body)])
        return cls(body, initial, subject, clock, grid, hip, relative, draws, turns, noise)

    @property
    def at_once(self) -> int:
        """Passes in one call of the network."""
        return max(1, _FRAMES_AT_ONCE // (_WARM_UP + len(self.grid)))

    def run(self, start: int) -> FloatArray:
        """(N, G, M, 3) metres from the mid-hip, the next passes from `start`."""
        turn = self.turns[start : start + self.at_once]
        moved = self._moved(start, len(turn))
        inputs = self.relative + moved[:, :, :-1] - moved[:, :, -1:]
        held = np.concatenate([np.repeat(inputs[:, :1], _WARM_UP, axis=1), inputs], axis=1)
        turned = held.reshape(len(turn), -1, 3) @ np.swapaxes(turn, 1, 2)
        turned = turned.reshape(held.shape)
        scale = NOISE_M if len(self.turns) > 1 else 0.0
        turned += scale * self.noise.standard_normal(turned.shape, dtype=np.float32)
        features = _features(self.body.name, turned, self.subject)
        (out,) = _session(self.body.name).run(None, {"inputs": features})
        back = (turn * self.subject.height_m).astype(np.float32)  # the networks' own precision
        shape = (len(turn), len(self.grid), len(self.body.outputs), 3)
        passes = (out[:, _WARM_UP:].reshape(len(turn), -1, 3) @ back).reshape(shape)
        passes += moved[:, :, -1:]
        # Sums of differences from one pass: no cancellation in the variance.
        self.first = passes[0].copy() if self.first is None else self.first
        off = passes - self.first
        self.total = self.total + off.sum(axis=0)
        self.squares = self.squares + np.einsum("i...,i...->...", off, off)
        return np.asarray(passes)

    def _moved(self, start: int, count: int) -> FloatArray:
        """(N, G, n + 1, 3) metres, the draws of N passes: of the inputs and of the mid-hip.

        Of these passes only: all draws of 20,000 frames would take 2 GB on the way to the grid.
        """
        if self.draws is None:
            return np.zeros((count, 1, len(self.body.inputs) + 1, 3))
        columns = [self.initial.names.index(name) for name in (*self.body.inputs, "Hip")]
        some = (self.draws[p % len(self.draws)][:, columns] for p in range(start, start + count))
        return np.stack(
            [resample(self.clock.knots, draw[self.clock.frames], self.grid) for draw in some]
        )

    def on_time(self, values: FloatArray) -> FloatArray:
        """(T, M, 3) at the frames of (G, M, 3) on the grid; NaN where an input is missing."""
        time = self.clock.timeline.time
        if not np.array_equal(self.grid, time):
            values = resample(self.grid, values, time)
        known = _complete(self.body, self.initial)[:, None, None]
        return np.where(known, values, np.nan)

    def result(self) -> Markers:
        """Mean and deviation of the passes."""
        cycles, known = len(self.turns), _complete(self.body, self.initial)[:, None]
        assert self.first is not None
        sd = None
        if cycles > 1:
            spread = np.maximum(self.squares - self.total**2 / cycles, 0.0) / (cycles - 1)
            sd = self.on_time(np.sqrt(spread))
        # Small toes are estimated from the foot in every frame of most detectors: as a reason to
        # flag they would flag everything, and they move little else.
        counted = [name for name in (*self.body.inputs, "Hip") if not name.endswith("SmallToe")]
        guessed = self.initial.select(counted).estimated.any(axis=1, keepdims=True) & known
        return Markers(
            self.initial.timeline,
            self.body.outputs,
            self.on_time(self.first + self.total / cycles) + self.hip,
            np.repeat(guessed, len(self.body.outputs), axis=1),
            sd,
        )


class _Clock(NamedTuple):
    """A recording's clock as the networks see it: each pause is as long as it takes them to settle.

    timeline: T frames. knots: (K,) seconds at which a pose is given. frames: (K,) which frame's.
    """

    timeline: Timeline
    knots: FloatArray
    frames: IntArray

    @classmethod
    def of(cls, timeline: Timeline) -> _Clock:
        step = np.diff(timeline.time)
        paused = np.flatnonzero(step > _PAUSE_S)
        if not len(paused):
            return cls(timeline, timeline.time, np.arange(len(timeline)))
        rate = np.fmax(1 / np.median(step), _MIN_RATE_HZ)
        step[paused] = _CHANGE_S + _WARM_UP / rate
        time = timeline.time[0] + np.append(0.0, np.cumsum(step))
        frames = np.insert(np.arange(len(time)), paused + 1, paused + 1)
        knots = np.insert(time, paused + 1, time[paused] + _CHANGE_S)
        return cls(Timeline(timeline.frame, time), knots, frames)


def _grid(timeline: Timeline) -> FloatArray:
    """The times the networks see: the timeline's own, or an even grid over it of 60 Hz or more.

    The grid of an even timeline has all of its times among its own.
    """
    time, rate = timeline.time, timeline.rate_hz
    if len(time) < 2 or (timeline.is_uniform and rate >= 0.99 * _MIN_RATE_HZ):
        return time
    if timeline.is_uniform:
        steps = (len(time) - 1) * int(np.ceil(_MIN_RATE_HZ / rate - 0.01))
    else:
        steps = int(np.ceil((time[-1] - time[0]) * max(rate, _MIN_RATE_HZ)))
    if steps > _MOST_STEPS:
        raise InvalidData(
            f"The times span {time[-1] - time[0]:.3g} s: too long for the augmenter. "
            "Next: check the time column, or cut the recording."
        )
    return np.linspace(time[0], time[-1], steps + 1)


def _heading(initial: Markers) -> float:
    """Angle (rad) about +y that turns the clip's mean forward direction onto +x; 0 if it has none.

    Forward is up x (left to right): a person who faces +x has the right hip at +z.
    """
    hips = initial.select(("RHip", "LHip")).xyz
    across = np.nansum(hips[:, 0] - hips[:, 1], axis=0)
    return float(np.arctan2(-across[0], across[2]))


def _features(name: str, relative: FloatArray, subject: Subject) -> np.ndarray[Any, Any]:
    """float32 (N, T, 3 n + 2): what the network takes, standardised as in training."""
    mean, spread = _scaling(name)
    body = np.array([subject.height_m, subject.mass_kg])
    limit = _MAX_SPREADS * spread[-2:]
    out = np.empty((*relative.shape[:2], len(mean)), np.float32)
    flat = relative.reshape(*relative.shape[:2], -1) / subject.height_m
    out[..., :-2] = (flat - mean[:-2]) / spread[:-2]
    out[..., -2:] = np.clip(body - mean[-2:], -limit, limit) / spread[-2:]
    return out


@cache
def _scaling(name: str) -> tuple[FloatArray, FloatArray]:
    """Training mean and spread of the features."""
    with as_file(files("kinefit") / "weights") as folder:
        mean, spread = (
            np.load(folder / f"augmenter_{name}_{k}.npy", allow_pickle=False)
            for k in ("mean", "std")
        )
    return mean, spread


@cache
def _session(name: str) -> ort.InferenceSession:
    """The network on the GPU where onnxruntime has one, else on one thread.

    One thread each: the two networks run side by side, a thread more inside one of them gains
    nothing (2.9 instead of 2.5 s for 20 x 3000 frames), and sums keep their order.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [p for p in wanted if p in ort.get_available_providers()]
    with as_file(files("kinefit") / "weights" / f"augmenter_{name}.onnx") as path:
        return ort.InferenceSession(path, options, providers=providers)
