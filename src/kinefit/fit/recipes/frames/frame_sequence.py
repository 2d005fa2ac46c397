"""Rig poses over a clip: each frame with second tries, spikes out, gaps interpolated, smoothed.

Each frame starts from its best camera; one that ends badly is tried again from the other cameras
and from the pose before it. What then still has no pose is interpolated between good neighbours,
by rotating, or is missing, with a reason. A frame that went wrong is nobody's history: temporal
terms, repair, smoothing and interpolation see good frames only.

What is written passes the quality gates by its own losses: where repair or smoothing would make a
good frame a bad one, the pose that its fit found is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from kinefit import __version__
from kinefit.fit.recipes.frames.frame_fits import FrameFits
from kinefit.fit.recipes.frames.frame_options import SequenceOptions
from kinefit.fit.recipes.frames.frame_store import FrameStore
from kinefit.fit.recipes.frames.rig_frames import Progress, fit_frames
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome
from kinefit.fit.recipes.frames.rigfit import LOSSES, RigFit
from kinefit.fit.recipes.frames.rotation_repair import (
    SpikeRule,
    bridge,
    repair,
    slerp,
    smooth,
)
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.types import BodyMotion, BoolArray, FloatArray, IntArray, InvalidData

_CHUNK = 512  # frames measured at a time: 100 MB with the 126 joints of MHR
_PLACE_SPIKE = SpikeRule(least=0.1)

Status = Literal["good", "retried", "recovered", "unusable"]


@dataclass(frozen=True)
class FrameReport:
    """One frame of a sequence, of the pose that was written.

    frame, time: of the timeline; seconds. status: "good": the first try; "retried": a later one;
    "recovered": between its neighbours; "unusable": no pose. reason: why the fit was not good, ""
    where it was. camera: whose initial pose started the fit. scores_m: what alignment leaves of
    each camera's. losses: m^2, by name, of the written pose; `loss` their sum; best_loss: the
    least that the fit met. NaN where it has no meaning. far_points: targets that are not near the
    written body. repaired: joints whose rotations (or "place") were spikes. smoothed: whether
    repair and smoothing were kept.
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
    fits: FrameFits
    reports: tuple[FrameReport, ...]

    @property
    def there(self) -> BoolArray:
        """(T,) frames with a pose."""
        return np.asarray(np.isfinite(self.scale))

    @property
    def points(self) -> FloatArray:
        """(T, M, 3) metres, world: the targets' points on the body; NaN without a pose."""
        posed = self.state.posed(self.work.chain).points[:, self.work.columns]
        return np.asarray(self.scale[:, None, None] * posed)

    @property
    def motion(self) -> BodyMotion:
        """The clip as one body; raises InvalidData when it has several shapes or a scale."""
        shapes = self.state.shape[self.there]
        if not (
            len(shapes) and (shapes == shapes[0]).all() and (self.scale[self.there] == 1).all()
        ):
            raise InvalidData(
                "The frames have several shapes or scales. Next: fit with one shape and no scale."
            )
        one = replace(self.state, shape=shapes[0])
        return one.motion(self.work.chain, self.work.targets.timeline)

    def as_json(self) -> dict[str, Any]:
        """Counts by status and reason, and every frame; NaN as null."""
        return {
            "frames": len(self.reports),
            "status": dict(Counter(r.status for r in self.reports)),
            "reasons": dict(Counter(r.reason for r in self.reports if r.reason)),
            "cameras": dict(Counter(r.camera for r in self.reports if r.camera)),
            "per_frame": [_plain(vars(report)) for report in self.reports],
        }


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
    processed, spikes, recovered = _post_processed(work, found, options)
    written, measured, kept = _gated(work, fits, found, processed)
    reports = _reports(work, fits, measured, spikes & kept[:, None], recovered, kept)
    return SequenceFit(work, written.state(work), written.scale, fits, reports)


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
    def of(cls, work: RigFit, fits: FrameFits) -> _Clip:
        rotations, translation, shape, scale = (
            np.where(fits.usable.reshape(-1, *[1] * (a.ndim - 1)), a, np.nan)
            for a in (fits.rotations, fits.translation, fits.shape, fits.scale)
        )
        root = scale[:, None] * (translation + _rest_root(work, shape))
        return cls(rotations, root, shape, scale)

    @property
    def there(self) -> BoolArray:
        return np.asarray(np.isfinite(self.scale))

    def state(self, work: RigFit) -> State:
        translation = self.root / self.scale[:, None] - _rest_root(work, self.shape)
        offset = np.zeros((len(work.chain.point_names), 3))
        return State(self.rotations, translation, self.shape, offset)

    def where(self, keep: BoolArray, other: _Clip) -> _Clip:
        """These frames `keep` (T,), the others of `other`."""
        return _Clip(**{
            name: np.where(keep.reshape(-1, *[1] * (mine.ndim - 1)), mine, getattr(other, name))
            for name, mine in vars(self).items()
        })  # fmt: skip


def _rest_root(work: RigFit, shape: FloatArray) -> FloatArray:
    """(T, 3) the root at rest, NaN for a shape that is."""
    known = np.asarray(np.isfinite(shape).all(axis=1))
    root = work.chain.body.rest_joints(np.where(known[:, None], shape, 0.0))[:, 0]
    return np.where(known[:, None], root, np.nan)


def _post_processed(
    work: RigFit, clip: _Clip, options: SequenceOptions
) -> tuple[_Clip, BoolArray, BoolArray]:
    """Without spikes, with gaps interpolated, smoothed.

    And the spikes (T, F + 1), of the place last, and the frames recovered (T,).
    """
    time = work.targets.timeline.time
    spikes = np.zeros((len(time), len(work.free) + 1), dtype=bool)
    if options.repair:
        rotations, turned = repair(time, clip.rotations)
        root, moved = repair(time, clip.root[:, None], _PLACE_SPIKE)
        clip = replace(clip, rotations=rotations, root=root[:, 0])
        spikes = np.concatenate([turned, moved], axis=1)
    clip, recovered = _interpolated(time, clip, options)
    if options.smooth > 0:
        clip = replace(
            clip,
            rotations=smooth(time, clip.rotations, options.smooth),
            root=smooth(time, clip.root[:, None], options.smooth)[:, 0],
        )
    return clip, spikes, recovered


def _interpolated(
    time: FloatArray, clip: _Clip, options: SequenceOptions
) -> tuple[_Clip, BoolArray]:
    """Short gaps turned through from one side to the other, and which frames (T,) those are."""
    gap = bridge(time, clip.there, options.max_gap)
    turn = so3.norm(
        so3.log(np.swapaxes(clip.rotations[gap.before], -1, -2) @ clip.rotations[gap.after])
    )
    sure = turn.max(axis=1, initial=0.0) <= options.most_turn
    frame, a, b = gap.frame[sure], gap.before[sure], gap.after[sure]
    share = gap.share[sure, None]
    out = {name: values.copy() for name, values in vars(clip).items()}
    out["rotations"][frame] = slerp(clip.rotations[a], clip.rotations[b], share)
    for name in ("root", "shape"):
        first, last = getattr(clip, name)[a], getattr(clip, name)[b]
        out[name][frame] = first + share * (last - first)
    out["scale"][frame] = clip.scale[a] * (clip.scale[b] / clip.scale[a]) ** share[:, 0]
    recovered = np.zeros(len(time), dtype=bool)
    recovered[frame] = True
    return _Clip(**out), recovered


def _gated(
    work: RigFit, fits: FrameFits, found: _Clip, processed: _Clip
) -> tuple[_Clip, Measured, BoolArray]:
    """What is written, measured, and the frames (T,) whose processed pose is kept.

    A processed pose that the quality gates refuse gives way to the one that was found.
    """
    measured = Measured.of(work, fits, processed.state(work), processed.scale)
    bad = measured.gate(work, fits.best_loss) != FrameOutcome.OK
    reverted = found.there & bad
    written = found.where(reverted, processed)
    if reverted.any():
        measured = Measured.of(work, fits, written.state(work), written.scale)
    return written, measured, processed.there & ~reverted


@dataclass(frozen=True, eq=False)
class Measured:
    """What the poses of a clip leave, computed from themselves.

    losses: (T, 5), NaN without a pose or without enough points, and of the priors where no fit
        ended well. residual: (T, M) metres, NaN without a pose or weight.
    """

    losses: FloatArray
    residual: FloatArray

    @classmethod
    def of(cls, work: RigFit, fits: FrameFits, state: State, scale: FloatArray) -> Measured:
        losses = np.full((len(fits), len(LOSSES)), np.nan)
        residual = np.full(work.targets.weight.shape, np.nan)
        enough = work.targets.reasons(work.options.min_points) == FrameOutcome.OK
        rows, time = np.flatnonzero(np.isfinite(scale) & enough), work.targets.timeline.time
        for part in (rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)):
            poses, fitted = state.at(part), fits.usable[part]
            initial = np.where(fitted[:, None, None, None], fits.initial[part], poses.rotations)
            history = fits.history_of(time, fits.past[part], part)
            named = work.losses(poses, scale[part], part, initial, history)
            losses[part] = np.stack([named[name] for name in LOSSES], axis=1)
            losses[part[~fitted], 1:] = np.nan
            residual[part] = work.residual(poses, scale[part], part)
        return cls(losses, residual)

    def gate(self, work: RigFit, best: FloatArray) -> IntArray:
        """(T,) `FrameOutcome` of the poses; best: (T,) the least loss that is known of each."""
        named = dict(zip(LOSSES, self.losses.T, strict=True))
        rows = np.arange(len(best))
        return work.gate(named, self.residual, rows, best)

    def far_points(self, work: RigFit, t: int) -> tuple[str, ...]:
        """The targets that are not near the body of frame `t`."""
        far = np.isfinite(self.residual[t]) & ~work.near(self.residual[t])
        return tuple(name for name, is_far in zip(work.targets.names, far, strict=True) if is_far)


def _reports(
    work: RigFit, fits: FrameFits, measured: Measured, spikes: BoolArray,
    recovered: BoolArray, kept: BoolArray,
) -> tuple[FrameReport, ...]:  # fmt: skip
    timeline, cameras = work.targets.timeline, work.targets.cameras
    parts = (*work.chain.joint_names, "place")
    return tuple(
        FrameReport(
            frame=int(timeline.frame[t]),
            time=float(timeline.time[t]),
            status=_status(fit, bool(recovered[t])),
            reason=FrameOutcome(int(fit.reason)).words,
            camera=str(fit.camera),
            attempts=int(fit.attempts),
            finite_points=int(fit.finite),
            weighted_points=int(fit.weighted),
            loss=float(measured.losses[t].sum()),
            losses=dict(zip(LOSSES, measured.losses[t].tolist(), strict=True)),
            best_loss=float(fit.best_loss),
            scores_m=dict(zip(cameras, fit.scores.tolist(), strict=True)),
            far_points=measured.far_points(work, t),
            repaired=tuple(part for part, spike in zip(parts, spikes[t], strict=True) if spike),
            smoothed=bool(kept[t]),
        )
        for t, fit in enumerate(fits)
    )


def _status(fit: FrameFits, recovered: bool) -> Status:
    if recovered:
        return "recovered"
    if not fit.usable:
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
