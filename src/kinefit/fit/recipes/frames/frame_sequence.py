"""Rig poses over a clip: spikes out, gaps interpolated, smoothed.

A frame without a pose is interpolated between good neighbours, by rotating, or is missing, with a
reason. One that went wrong is nobody's history: temporal terms, repair, smoothing and interpolation
see good frames only. What is written passes the quality gates by its own losses: where repair or
smoothing would make a good frame a bad one, the pose that its fit found is written.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from kinefit.fit.recipes.frames.frame_fits import FrameFits
from kinefit.fit.recipes.frames.frame_options import LOSSES, SequenceOptions
from kinefit.fit.recipes.frames.rig_frames import FrameStore, Progress, fit_frames
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome
from kinefit.fit.recipes.frames.rigfit import RigFit
from kinefit.fit.recipes.frames.rotation_repair import SpikeRule, bridge, repair, smooth
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.metrics.statistics import plain
from kinefit.types import BodyMotion, BoolArray, FloatArray, InvalidData

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
    fits: what each frame's own fit found.
    losses: (T, 5) m^2, in the order of `LOSSES`, computed from the poses themselves; NaN without
        a pose or without enough points, and of the priors where no fit ended well.
    residual: (T, M) metres to each target; NaN without a pose or weight.
    reason: (T,) why there is no good fit, "" where there is one.
    spikes: (T, F + 1) joints, and last the place, that were replaced. smoothed: (T,) whether
        repair and smoothing were kept.
    """

    work: RigFit
    state: State
    scale: FloatArray
    fits: FrameFits
    losses: FloatArray
    residual: FloatArray
    reason: tuple[str, ...]
    spikes: BoolArray
    smoothed: BoolArray

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

    @cached_property
    def reports(self) -> tuple[FrameReport, ...]:
        """One for each frame."""
        targets, parts = self.work.targets, (*self.work.chain.joint_names, "place")
        far = np.isfinite(self.residual) & ~self.work.near(self.residual)
        return tuple(
            FrameReport(
                frame=int(targets.timeline.frame[t]),
                time=float(targets.timeline.time[t]),
                status=self._status(t),
                reason=self.reason[t],
                camera=str(fit.camera),
                attempts=int(fit.attempts),
                finite_points=int(fit.finite),
                weighted_points=int(fit.weighted),
                loss=float(self.losses[t].sum()),
                losses=dict(zip(LOSSES, self.losses[t].tolist(), strict=True)),
                best_loss=float(fit.best_loss),
                scores_m=dict(zip(targets.cameras, fit.scores.tolist(), strict=True)),
                far_points=_chosen(targets.names, far[t]),
                repaired=_chosen(parts, self.spikes[t]),
                smoothed=bool(self.smoothed[t]),
            )
            for t, fit in enumerate(self.fits)
        )

    def _status(self, t: int) -> Status:
        if not self.there[t]:
            return "unusable"
        if not self.fits.usable[t]:
            return "recovered"
        return "good" if self.fits.attempts[t] == 1 else "retried"

    def opt_arrays(self, t: int) -> dict[str, NDArray[Any]]:
        """Diagnostics of frame `t` by the names of earlier programs, for files of named arrays.

        Losses are those of the pose in `state`: `opt_final_loss` is never of another one.
        """
        fit, report, targets = self.fits[t], self.reports[t], self.work.targets
        values: dict[str, Any] = {
            "status": report.status,
            "reason": report.reason,
            "is_unusable": report.status == "unusable",
            "is_bad": fit.fitted and bool(report.reason),
            "final_loss": report.loss,
            **{f"final_{name}_loss": value for name, value in report.losses.items()},
            "loss_history": fit.history[np.isfinite(fit.history)],
            "best_loss": fit.best_loss,
            "best_data_loss": fit.losses[0],
            "best_iter": fit.history.argmin() if fit.fitted else -1,
            "best_cam": fit.camera,
            "cameras": np.array(targets.cameras),
            "view_scores_m": fit.scores,
            "frame": report.frame,
            "time": report.time,
            "repaired": np.array(report.repaired, dtype=np.str_),
            "far_points": np.array(report.far_points, dtype=np.str_),
            "smoothed": report.smoothed,
            "points": np.array(targets.names),
            "residual_m": self.residual[t],
            "finite_points": fit.finite,
            "inlier_points": fit.weighted,
            "scale": self.scale[t],
            "attempts": fit.attempts,
            "stopped": fit.stopped,
        }
        return {f"opt_{name}": np.asarray(value) for name, value in values.items()}

    def as_json(self) -> dict[str, Any]:
        """Counts by status and reason, and every frame; NaN as null."""
        return {
            "frames": len(self.reports),
            "status": dict(Counter(r.status for r in self.reports)),
            "reasons": dict(Counter(r.reason for r in self.reports if r.reason)),
            "cameras": dict(Counter(r.camera for r in self.reports if r.camera)),
            "per_frame": [plain(vars(report)) for report in self.reports],
        }


def _chosen(names: tuple[str, ...], flags: BoolArray) -> tuple[str, ...]:
    return tuple(name for name, flag in zip(names, flags, strict=True) if flag)


def fit_sequence(
    work: RigFit,
    views: Mapping[str, State],
    options: SequenceOptions | None = None,
    *,
    store: FrameStore | None = None,
    progress: Progress | None = None,
) -> SequenceFit:
    """Poses of a clip from its targets and each camera's initial poses; see the module.

    views, store, progress: see `fit_frames`.
    """
    options = options or SequenceOptions()
    fits = fit_frames(work, views, one_shape=options.one_shape, store=store, progress=progress)
    good = np.flatnonzero(fits.usable)
    raw = work.state(fits[good]).among(len(fits), good)
    raw_scale = np.where(fits.usable, fits.scale, np.nan)
    state, scale, spikes = _post_processed(work, raw, raw_scale, options)
    losses, residual = measured(work, fits, state, scale)
    # A processed pose that the quality gates refuse gives way to the one that was found.
    outcome = work.gate(losses, residual, np.arange(len(fits)), fits.best_loss)
    reverted = np.flatnonzero(fits.usable & (outcome != FrameOutcome.OK))
    if len(reverted):
        state = state.with_rows(reverted, raw.at(reverted))
        scale[reverted] = raw_scale[reverted]
        losses, residual = measured(work, fits, state, scale)
    smoothed = np.isfinite(scale)
    smoothed[reverted] = False
    reason = tuple(FrameOutcome(outcome).words for outcome in fits.reason.tolist())
    spikes &= smoothed[:, None]
    return SequenceFit(work, state, scale, fits, losses, residual, reason, spikes, smoothed)


def _post_processed(
    work: RigFit, state: State, scale: FloatArray, options: SequenceOptions
) -> tuple[State, FloatArray, BoolArray]:
    """Poses and scales without spikes, with gaps interpolated, smoothed.

    And the spikes (T, F + 1), of the place last. The place of a body is that of its root, so that
    shapes and scales may differ.
    """
    time = work.targets.timeline.time
    rotations, shape, scale = state.rotations.copy(), state.shape.copy(), scale.copy()
    root = scale[:, None] * (state.translation + _rest_root(work, shape))
    spikes = np.zeros((len(time), len(work.free) + 1), dtype=bool)
    if options.repair:
        rotations, turned = repair(time, rotations)
        places, moved = repair(time, root[:, None], _PLACE_SPIKE)
        root, spikes = places[:, 0], np.concatenate([turned, moved], axis=1)
    frame, a, b, share = bridge(time, np.isfinite(scale), options.max_gap)
    turn = so3.norm(so3.log(np.swapaxes(rotations[a], -1, -2) @ rotations[b]))
    sure = turn.max(axis=1, initial=0.0) <= options.most_turn
    frame, a, b, share = frame[sure], a[sure], b[sure], share[sure, None]
    rotations[frame] = so3.slerp(rotations[a], rotations[b], share)
    for values in (root, shape):
        values[frame] = values[a] + share * (values[b] - values[a])
    scale[frame] = scale[a] * (scale[b] / scale[a]) ** share[:, 0]
    if options.smooth > 0:
        rotations = smooth(time, rotations, options.smooth)
        root = smooth(time, root[:, None], options.smooth)[:, 0]
    place = root / scale[:, None] - _rest_root(work, shape)
    return State(rotations, place, shape, state.offset), scale, spikes


def _rest_root(work: RigFit, shape: FloatArray) -> FloatArray:
    """(T, 3) the root at rest, NaN for a shape that is."""
    known = np.isfinite(shape).all(axis=1, keepdims=True)
    root = work.chain.body.rest_joints(np.where(known, shape, 0.0))[:, 0]
    return np.where(known, root, np.nan)


def measured(
    work: RigFit, fits: FrameFits, state: State, scale: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """`losses` and `residual` of `SequenceFit`, of the poses of a clip."""
    losses = np.full((len(fits), len(LOSSES)), np.nan)
    residual = np.full(work.targets.weight.shape, np.nan)
    enough = work.targets.reasons(work.options.min_points) == FrameOutcome.OK
    rows, time = np.flatnonzero(np.isfinite(scale)), work.targets.timeline.time
    for part in (rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)):
        poses, fitted = state.at(part), fits.usable[part]
        initial = np.where(fitted[:, None, None, None], fits.initial[part], poses.rotations)
        priors = work.priors(initial, fits.history_of(time, fits.past[part], part))
        losses[part], residual[part] = work.measure(poses, scale[part], part, priors)
        losses[part[~fitted], 1:] = np.nan
    losses[~enough] = np.nan
    return losses, residual
