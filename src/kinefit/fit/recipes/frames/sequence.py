"""Rig poses over a clip: each frame with second tries, spikes out, gaps bridged, smoothed, judged.

Each frame starts from its best camera; one that ends badly is tried again from the other cameras
and from the pose before it. What then still has no pose is bridged between good neighbours, by
turning, or is missing, with a reason. A frame that went wrong is nobody's past: temporal terms,
repair, smoothing and bridges see good frames only.

What is written is judged by its own losses: where repair or smoothing would make a good frame a
bad one, the pose that its fit found is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from kinefit import __version__
from kinefit.fit.recipes.frames.frame_fit import LOSSES, FrameFit
from kinefit.fit.recipes.frames.frame_store import FrameStore
from kinefit.fit.recipes.frames.rig_frames import Progress, fit_frames
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome
from kinefit.fit.recipes.frames.rigfit import History, RigFit
from kinefit.fit.recipes.frames.rotation_repair import (
    SpikeRule,
    bridge,
    repair_rotations,
    repair_vectors,
    slerp,
    smooth_rotations,
    smooth_vectors,
)
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.types import BodyMotion, BoolArray, FloatArray, InputError, IntArray, InvalidData

_CHUNK = 512  # frames measured at a time: 100 MB with the 126 joints of MHR

Status = Literal["good", "retried", "recovered", "unusable"]


@dataclass(frozen=True)
class SequenceOptions:
    """What happens to a clip's poses beyond the fit of each.

    one_shape: all frames have the median shape of the initial poses.
    max_gap_s: frames without a pose are bridged if their gap is no longer. 0: never.
    most_turn_rad: and no joint turns further across it: beyond, either way round may be right.
    repair: replace single rotations and places that are no part of the motion.
    joint_spike, place_spike: what such a one is, radians and metres.
    smooth_s: seconds, one deviation of the smoothing weights in time. 0: none.
    """

    one_shape: bool = True
    max_gap_s: float = 0.3
    most_turn_rad: float = 2.0
    repair: bool = True
    joint_spike: SpikeRule = field(default_factory=SpikeRule)
    place_spike: SpikeRule = field(default_factory=lambda: SpikeRule(least=0.1))
    smooth_s: float = 0.03

    def __post_init__(self) -> None:
        for name in ("max_gap_s", "smooth_s"):
            if not 0 <= getattr(self, name) < np.inf:
                flag = f"--{name.removesuffix('_s').replace('_', '-')}"
                raise InputError(flag, f"{getattr(self, name)} s is no duration", "leave it out")
        if not 0 < self.most_turn_rad < np.pi:
            raise InputError("--most-turn", f"{self.most_turn_rad} is not in 0..pi", "leave it out")


@dataclass(frozen=True)
class FrameReport:
    """One frame of a sequence, of the pose that was written.

    frame, time: of the timeline; seconds. status: "good": the first try; "retried": a later one;
    "recovered": between its neighbours; "unusable": no pose. reason: why the fit was not good, ""
    where it was. camera: whose initial pose started the fit. scores_m: what alignment leaves of
    each camera's. losses: m^2, by name, of the written pose; `loss` their sum; best_loss: the
    least that the fit met. NaN where it has no meaning. far_points: targets that are not near the
    written body. repaired: joints whose rotations (or
    "place") were spikes. smoothed: whether repair and smoothing were kept.
    """

    frame: int
    time: float
    status: Status
    reason: str
    camera: str
    attempts: int
    finite_points: int
    weighted_points: int
    loss: float
    losses: Mapping[str, float]
    best_loss: float
    scores_m: Mapping[str, float]
    far_points: tuple[str, ...]
    repaired: tuple[str, ...]
    smoothed: bool


@dataclass(frozen=True, eq=False)
class SequenceFit:
    """A clip's poses.

    state: T poses with a shape each; NaN in frames without one. scale: (T,) of the whole body.
    fits: what each frame's own fit found. reports: T.
    """

    work: RigFit
    state: State
    scale: FloatArray
    fits: tuple[FrameFit, ...]
    reports: tuple[FrameReport, ...]

    @property
    def points(self) -> FloatArray:
        """(T, M, 3) metres, world: the targets' points on the body; NaN without a pose."""
        out = np.full(self.work.targets.xyz.shape, np.nan)
        rows = np.flatnonzero(np.isfinite(self.scale))
        posed = self.state.at(rows).posed(self.work.chain).points[:, self.work.columns]
        out[rows] = self.scale[rows, None, None] * posed
        return out

    @property
    def motion(self) -> BodyMotion:
        """The clip as one body; raises InvalidData when it has several shapes or a scale."""
        there = np.isfinite(self.scale)
        shapes, chain = self.state.shape[there], self.work.chain
        one = len(shapes) > 0 and (shapes == shapes[0]).all() and (self.scale[there] == 1).all()
        if not one:
            raise InvalidData(
                "The frames have several shapes or scales. Next: fit with one shape and no scale."
            )
        B = len(chain.body.joint_names)
        rotations = np.broadcast_to(np.eye(3), (len(there), B, 3, 3)).copy()
        rotations[:, chain.joint_index] = self.state.rotations
        rotations[~there] = np.nan
        return BodyMotion(
            chain.body.name, self.work.targets.timeline, chain.body.joint_names, rotations,
            self.state.translation, shapes[0], chain.shape.names,
        )  # fmt: skip

    def as_json(self) -> dict[str, Any]:
        """Counts by status and reason, and every frame; NaN as null."""
        return {
            "frames": len(self.reports),
            "status": dict(Counter(r.status for r in self.reports)),
            "reasons": dict(Counter(r.reason for r in self.reports if r.reason)),
            "cameras": dict(Counter(r.camera for r in self.reports if r.camera)),
            "per_frame": [_plain(vars(report)) for report in self.reports],
        }

    def table(self) -> str:
        """One line per frame for reading; losses as the distance in mm that has them."""
        head = f"{'frame':>7} {'time_s':>9} {'status':<9} {'points':>6} {'tries':>5} "
        lines = [head + f"{'data_mm':>8} {'camera':<14} reason"]
        for r in self.reports:
            mm = 1e3 * np.sqrt(2 * r.losses["data"])
            lines.append(
                f"{r.frame:>7} {r.time:>9.4f} {r.status:<9} {r.weighted_points:>6} "
                f"{r.attempts:>5} {mm:>8.2f} {r.camera or '-':<14} {r.reason}".rstrip()
            )
        return "\n".join(lines) + "\n"


def fit_sequence(
    work: RigFit,
    views: Mapping[str, State],
    options: SequenceOptions | None = None,
    *,
    store: FrameStore | None = None,
    version: str = __version__,
    progress: Progress | None = None,
) -> SequenceFit:
    """Poses of a clip from its targets and each camera's initial poses; see the module.

    views, store, version, progress: see `fit_frames`.
    """
    options = options or SequenceOptions()
    fits = fit_frames(
        work, views, one_shape=options.one_shape, store=store, version=version, progress=progress
    )
    found = _Clip.of(work, fits)
    mended, spikes, recovered = _mended(work, found, options)
    written, measured, kept = _judged(work, fits, found, mended)
    reports = _reports(work, fits, measured, spikes & kept[:, None], recovered, kept)
    return SequenceFit(work, written.state(work), written.scale, tuple(fits), reports)


@dataclass(frozen=True, eq=False)
class _Clip:
    """Poses by where the root is, so that shapes and scales may differ; NaN for none.

    rotations: (T, F, 3, 3). root: (T, 3) metres, world. shape: (T, S). scale: (T,).
    """

    rotations: FloatArray
    root: FloatArray
    shape: FloatArray
    scale: FloatArray

    @classmethod
    def of(cls, work: RigFit, fits: list[FrameFit]) -> _Clip:
        good = np.array([fit.reason == FrameOutcome.OK for fit in fits], dtype=bool)
        arrays = [
            np.array([getattr(fit, name) for fit in fits]).reshape(len(fits), *shape)
            for name, shape in (
                ("rotations", (len(work.free), 3, 3)),
                ("translation", (3,)),
                ("shape", (len(work.chain.shape.names),)),
                ("scale", ()),
            )
        ]
        for array in arrays:
            array[~good] = np.nan
        rotations, translation, shape, scale = arrays
        place = translation + _rest_root(work, shape)
        return cls(rotations, scale[:, None] * place, shape, scale)

    @property
    def there(self) -> BoolArray:
        return np.asarray(np.isfinite(self.scale))

    def state(self, work: RigFit) -> State:
        translation = self.root / self.scale[:, None] - _rest_root(work, self.shape)
        offset = np.zeros((len(work.chain.point_names), 3))
        return State(self.rotations, translation, self.shape, offset)

    def where(self, keep: BoolArray, other: _Clip) -> _Clip:
        """These frames `keep` (T,), the others of `other`."""
        pairs = {
            name: np.where(
                keep.reshape(-1, *[1] * (getattr(self, name).ndim - 1)),
                getattr(self, name),
                getattr(other, name),
            )
            for name in ("rotations", "root", "shape", "scale")
        }
        return _Clip(**pairs)


def _rest_root(work: RigFit, shape: FloatArray) -> FloatArray:
    """(T, 3) the root at rest, NaN for a shape that is."""
    known = np.asarray(np.isfinite(shape).all(axis=1))
    root = work.chain.body.rest_joints(np.where(known[:, None], shape, 0.0))[:, 0]
    return np.where(known[:, None], root, np.nan)


def _mended(
    work: RigFit, found: _Clip, options: SequenceOptions
) -> tuple[_Clip, BoolArray, BoolArray]:
    """Without spikes, with gaps bridged, smoothed.

    And the spikes (T, F + 1), of the place last, and the frames recovered (T,).
    """
    time = work.targets.timeline.time
    clip, spikes = found, np.zeros((len(time), len(work.free) + 1), dtype=bool)
    if options.repair:
        rotations, turned = repair_rotations(time, found.rotations, options.joint_spike)
        root, moved = repair_vectors(time, found.root[:, None], options.place_spike)
        clip = replace(found, rotations=rotations, root=root[:, 0])
        spikes = np.concatenate([turned, moved], axis=1)
    clip, recovered = _bridged(time, clip, options)
    if options.smooth_s > 0:
        clip = replace(
            clip,
            rotations=smooth_rotations(time, clip.rotations, options.smooth_s),
            root=smooth_vectors(time, clip.root[:, None], options.smooth_s)[:, 0],
        )
    return clip, spikes, recovered


def _bridged(time: FloatArray, clip: _Clip, options: SequenceOptions) -> tuple[_Clip, BoolArray]:
    """Short gaps turned through from one side to the other, and which frames (T,) those are."""
    gap = bridge(time, clip.there, options.max_gap_s)
    a, b, share = gap.before, gap.after, gap.share[:, None]
    turn = so3.norm(so3.log(np.swapaxes(clip.rotations[a], -1, -2) @ clip.rotations[b]))
    sure = turn.max(axis=1, initial=0.0) <= options.most_turn_rad
    frame, a, b, share = gap.frame[sure], a[sure], b[sure], share[sure]
    rotations, root, shape, scale = (
        array.copy() for array in (clip.rotations, clip.root, clip.shape, clip.scale)
    )
    rotations[frame] = slerp(rotations[a], rotations[b], share)
    for array in (root, shape):
        array[frame] = array[a] + share * (array[b] - array[a])
    scale[frame] = scale[a] * (scale[b] / scale[a]) ** share[:, 0]
    recovered = np.zeros(len(time), dtype=bool)
    recovered[frame] = True
    return _Clip(rotations, root, shape, scale), recovered


def _judged(
    work: RigFit, fits: list[FrameFit], found: _Clip, mended: _Clip
) -> tuple[_Clip, _Measured, BoolArray]:
    """What is written, measured, and the frames (T,) whose mended pose is kept.

    A mended pose that its own gates refuse gives way to the one that was found.
    """
    measured = _Measured.of(work, fits, mended)
    good = np.flatnonzero(found.there)
    best = np.array([fits[t].best_loss for t in good])
    by_name = {name: measured.losses[good, i] for i, name in enumerate(LOSSES)}
    worse = work.judged(by_name, measured.residual[good], good, best) != FrameOutcome.OK
    reverted = np.zeros(len(fits), dtype=bool)
    reverted[good[worse]] = True
    written = found.where(reverted, mended)
    if reverted.any():
        measured = _Measured.of(work, fits, written)
    return written, measured, mended.there & ~reverted


@dataclass(frozen=True, eq=False)
class _Measured:
    """What poses leave, computed from themselves.

    losses: (T, 5), NaN without a pose or without enough points, and of the priors where no fit
        ended well. residual: (T, M) metres, NaN without a pose or weight.
    """

    losses: FloatArray
    residual: FloatArray

    @classmethod
    def of(cls, work: RigFit, fits: list[FrameFit], clip: _Clip) -> _Measured:
        losses = np.full((len(fits), len(LOSSES)), np.nan)
        residual = np.full(work.targets.weight.shape, np.nan)
        enough = work.targets.reasons(work.options.min_points) == FrameOutcome.OK
        rows = np.flatnonzero(clip.there & enough)
        state = clip.state(work)
        for part in (rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)):
            poses, scale = state.at(part), clip.scale[part]
            losses[part] = _losses(work, fits, poses, scale, part)
            residual[part] = work.residual(poses, scale, part)
        return cls(losses, residual)


def _losses(
    work: RigFit, fits: list[FrameFit], poses: State, scale: FloatArray, rows: IntArray
) -> FloatArray:
    """(R, 5) losses of poses of frames `rows` that have enough points."""
    fitted = np.array([fits[t].reason == FrameOutcome.OK for t in rows])
    begun = np.stack([fits[t].initial for t in rows])
    initial = np.where(fitted[:, None, None, None], begun, poses.rotations)
    found = work.losses(poses, scale, rows, initial, _past_of(work, fits, rows))
    values = np.stack([found[name] for name in LOSSES], axis=1)
    values[~fitted, 1:] = np.nan
    return values


def _past_of(work: RigFit, fits: list[FrameFit], rows: IntArray) -> History:
    """What the fits of these frames looked back on."""
    time = work.targets.timeline.time
    past = History.none(len(rows), len(work.free))
    previous, before, ratio = past.previous.copy(), past.before.copy(), past.ratio.copy()
    for n, t in enumerate(rows):
        a, b = fits[t].past
        if a >= 0:
            previous[n] = fits[a].rotations
        if b >= 0:
            before[n] = fits[b].rotations
            ratio[n] = (time[t] - time[a]) / (time[a] - time[b])
    return History(previous, before, ratio)


def _reports(
    work: RigFit, fits: list[FrameFit], measured: _Measured, spikes: BoolArray,
    recovered: BoolArray, kept: BoolArray,
) -> tuple[FrameReport, ...]:  # fmt: skip
    timeline, cameras = work.targets.timeline, work.targets.cameras
    losses = measured.losses
    far = np.isfinite(measured.residual) & ~work.near(measured.residual)
    parts = (*work.chain.joint_names, "place")
    return tuple(
        FrameReport(
            frame=int(timeline.frame[t]),
            time=float(timeline.time[t]),
            status=_status(fit, bool(recovered[t])),
            reason=fit.reason.words,
            camera=fit.camera,
            attempts=fit.attempts,
            finite_points=fit.finite,
            weighted_points=fit.weighted,
            loss=float(losses[t].sum()),
            losses=dict(zip(LOSSES, losses[t].tolist(), strict=True)),
            best_loss=fit.best_loss,
            scores_m=dict(zip(cameras, fit.scores.tolist(), strict=True)),
            far_points=tuple(n for n, f in zip(work.targets.names, far[t], strict=True) if f),
            repaired=tuple(part for part, spike in zip(parts, spikes[t], strict=True) if spike),
            smoothed=bool(kept[t]),
        )
        for t, fit in enumerate(fits)
    )


def _status(fit: FrameFit, recovered: bool) -> Status:
    if recovered:
        return "recovered"
    if fit.reason != FrameOutcome.OK:
        return "unusable"
    return "good" if fit.attempts == 1 else "retried"


def _plain(value: Any) -> Any:
    """A JSON value: NaN as null."""
    if isinstance(value, float):
        return None if np.isnan(value) else value
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return value
