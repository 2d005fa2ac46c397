"""Rig pose optimisation: the pose of a body that each camera saw for itself, fitted to points in
space.

Every camera offers an initial pose (of SAM 3D Body, or of anything that makes poses from one
picture), right in itself and anywhere in the world. For each frame:

1. Each is brought to the points by a weighted alignment (Umeyama 1991, re-weighted by Huber's
   kernel so that wrong points do not rotate it). What is left is the camera's score; the best one
   starts the fit, and among equals the one whose image the points reproject into best.
2. Joints and the body's place and direction are solved together: Huber distance to the points,
   and rotation priors on the initial pose, the previous one, and where the last two lead. With a
   scale, a closed-form similarity takes turns with that solve.
3. The pose that is returned passes quality gates, by its loss computed afresh.

Losses are in square metres: the weighted mean of Huber's loss over points, and weights times mean
squared angles over the joints that move. They never grow from one round to the next: the solver
takes no such step.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.fit.recipes.frames.frame_fits import PREVIOUS, FrameFits, History, finite_poses
from kinefit.fit.recipes.frames.frame_options import LOSSES, RigFitOptions
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome, RigTargets
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import Objective, Position, RotationPrior
from kinefit.geometry import rotations as so3
from kinefit.geometry.align import align
from kinefit.geometry.robust import Huber
from kinefit.geometry.rotations import slerp
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData

_ROUND = 10  # solver steps between two looks at the loss
# With a scale, which moves between rounds only: shorter ones, and none solved to the last digit.
_SCALE_ROUND, _SCALE_FALL = 5, 1e-3
_REWEIGHTED = 8  # alignments per initial pose: the weights of outliers have settled by then
_FAR = 1e4  # metres, or units of shape: no body is there
# Rotations in single precision are off by 1e-7 and are made proper; beyond 1e-3 they are none.
_ROUNDED, _IMPROPER = 1e-9, 1e-3
_REFERENCE_M2 = 1e-6  # 1.4 mm: losses below it are noise, and their ratios mean nothing


@dataclass(frozen=True, eq=False)
class AlignedStart:
    """R initial poses brought to the points of their frames.

    state: with a shape for each; the rest pose where what was given is no pose.
    scale: (R,). sound: (R,) whether what was given is a pose.
    score: (R,) metres, weighted mean distance that the alignment leaves; NaN where there is no
        pose or the points do not determine its direction.
    """

    state: State
    scale: FloatArray
    sound: BoolArray
    score: FloatArray

    def at(self, rows: IntArray) -> AlignedStart:
        return AlignedStart(
            self.state.at(rows), self.scale[rows], self.sound[rows], self.score[rows]
        )


@dataclass(frozen=True, eq=False)
class RigFit:
    """A body, the points it carries and what of it may move.

    chain: whose points are the targets; joints that are not in it stay at rest.
    free: (F,) joints that turn, the root among them. Those that do not (hands, jaw) keep the
        rotations of the initial pose to the last bit.
    targets: with the points of the chain.
    """

    chain: Chain
    free: BoolArray
    targets: RigTargets
    options: RigFitOptions = field(default_factory=RigFitOptions)

    @classmethod
    def of(cls, chain: Chain, targets: RigTargets, options: RigFitOptions | None = None) -> RigFit:
        """The fit of `chain` to those of the targets that it carries.

        Joints that are not in the body's anatomy do not turn: fingers, jaw, eyes, and those that
        only share a twist. Raises InvalidData when it carries fewer points than a frame needs.
        """
        options = options or RigFitOptions()
        shared = tuple(name for name in targets.names if name in chain.point_names)
        if len(shared) < options.min_points:
            raise InvalidData(
                f"Body {chain.body.name} has {len(shared)} of the points "
                f"{', '.join(targets.names)}; {options.min_points} are needed."
            )
        turning = {chain.joint_names[0], *chain.body.anatomy.values()}
        free = np.array([name in turning for name in chain.joint_names])
        return cls(chain, free, targets.only(shared), options)

    @cached_property
    def columns(self) -> IntArray:
        """(M,) places of the targets among the chain's points."""
        return np.array([self.chain.column(name) for name in self.targets.names])

    @property
    def rounds(self) -> int:
        """Most rounds of solver steps between which the loss is looked at."""
        step = _SCALE_ROUND if self.options.with_scale else _ROUND
        return -(-self.options.iters // step)

    def nothing(self, rows: IntArray) -> FrameFits:
        """Frames `rows` of the clip before any fit; the reason as far as the points alone tell."""
        t, N, F, names = self.targets, len(rows), len(self.free), self.chain.shape.names

        def unknown(*shape: int) -> FloatArray:
            return np.full((N, *shape), np.nan)

        return FrameFits(
            rotations=unknown(F, 3, 3),
            translation=unknown(3),
            shape=unknown(len(names)),
            scale=unknown(),
            initial=unknown(F, 3, 3),
            past=np.full((N, 2), -1),
            reason=t.reasons(self.options.min_points)[rows],
            camera=np.full(N, "", dtype=np.array((*t.cameras, PREVIOUS)).dtype),
            attempts=np.zeros(N, dtype=np.int64),
            losses=unknown(len(LOSSES)),
            history=unknown(self.rounds + 1),
            scores=unknown(len(t.cameras)),
            residual=unknown(len(t.names)),
            finite=t.known[rows].sum(axis=1),
            weighted=t.usable[rows].sum(axis=1),
            stopped=np.full(N, "", dtype="U9"),
        )

    def state(self, fits: FrameFits) -> State:
        """The poses of N frames."""
        offset = np.zeros((len(self.chain.point_names), 3))
        return State(fits.rotations, fits.translation, fits.shape, offset)

    def align(self, state: State, rows: IntArray) -> AlignedStart:
        """Each pose of `state` (R) brought to the points of frame `rows` (R,), without bending it.

        Poses that are not finite, and those that the points do not determine, score NaN.
        """
        safe, whole = self._sound(state.with_shape_each())
        points = safe.posed(self.chain).points[:, self.columns]
        R, scale, shift, off = self._similarity(points, rows)
        there = whole & np.isfinite(scale) & (scale > 0)
        R = np.where(there[:, None, None], R, np.eye(3))
        scale, shift = np.where(there, scale, 1.0), np.where(there[:, None], shift, 0.0)
        score = np.where(there, self._mean(off, rows), np.nan)
        moved = safe.carried(self.chain, R, shift / scale[:, None])
        return AlignedStart(moved, scale, whole, score)

    def fit(self, start: AlignedStart, rows: IntArray, past: History | None = None) -> FrameFits:
        """From aligned poses (R) to the points of frames `rows` (R,); a frame may come repeatedly.

        Every start must have a score: `AlignedStart.score` is finite. A pose that does not pass
        the quality gates has a reason.
        """
        o, R = self.options, len(rows)
        past = past or History.none(R, len(self.free))
        priors = self.priors(start.state.rotations, past)
        state, scale = start.state, start.scale.copy()
        variables = Variables(self.chain, self.free)
        history = [self.measure(state, scale, rows, priors)[0].sum(axis=1)]
        going, idle = np.arange(R), np.zeros(R, dtype=np.int64)
        stopped = np.full(R, "iters", dtype="U9")
        step, fall = (_SCALE_ROUND, _SCALE_FALL) if o.with_scale else (_ROUND, Options.least_fall)
        for left in range(o.iters, 0, -step):
            objective = Objective((self.data_term(scale, rows),), tuple(priors.values()))
            steps = Options(most_steps=min(left, step), least_fall=fall)
            solved = minimise(objective, variables, state.at(going), steps, going)
            here, now = solved.state, history[-1].copy()
            now[going] = solved.cost
            if o.with_scale:
                here, scale[going], gain = self._rescaled(here, scale[going], rows[going])
                now[going] -= gain
            state = state.with_rows(going, here)
            slow = history[-1][going] - now[going] <= o.least_gain * history[-1][going]
            idle[going] = np.where(slow, idle[going] + 1, 0)
            history.append(now)
            done = slow if o.with_scale else solved.converged
            tired = ~done & (idle[going] >= o.patience)
            stopped[going[done]], stopped[going[tired]] = "converged", "patience"
            going = going[~done & ~tired]
            if not len(going):
                break
        history += history[-1:] * (1 + self.rounds - len(history))
        losses, residual = self.measure(state, scale, rows, priors)
        return replace(
            self.nothing(rows),
            rotations=state.rotations,
            translation=state.translation,
            shape=state.shape,
            scale=scale,
            initial=start.state.rotations,
            reason=self.gate(losses, residual, rows, np.min(history, axis=0)),
            losses=losses,
            history=np.stack(history, axis=1),
            residual=residual,
            stopped=stopped,
        )

    def blended(self, start: State, past: History) -> State:
        """Free joints of `start` rotated by `temporal_init_blend` to where the past leads."""
        ahead = past.extrapolated(self.options.temporal_extrapolation)
        target = np.where(np.isfinite(ahead), ahead, past.previous)
        turn = finite_poses(target)[:, None] & self._bends
        rotations = start.rotations.copy()
        share = self.options.temporal_init_blend
        rotations[turn] = slerp(rotations[turn], target[turn], share)
        return replace(start, rotations=rotations)

    def measure(
        self, state: State, scale: FloatArray, rows: IntArray, priors: Mapping[str, RotationPrior]
    ) -> tuple[FloatArray, FloatArray]:
        """`losses` (R, 5) and `residual` (R, M) of `FrameFits`, from R poses as they are."""
        data, every = self.data_term(scale, rows), np.arange(len(rows))
        points = state.posed(self.chain).points[:, self.columns]
        r = data.residual(points, every)
        losses = np.zeros((len(rows), len(LOSSES)))
        losses[:, 0] = (data.weight * data.kernel.rho((r * r).sum(axis=-1))).sum(axis=1) / 2
        for name, prior in priors.items():
            square = prior.residual(state.rotations, every) ** 2
            losses[:, LOSSES.index(name)] = square.sum(axis=(1, 2)) / 2
        off = so3.norm(scale[:, None, None] * points - self.targets.xyz[rows])
        return losses, np.where(self.targets.usable[rows], off, np.nan)

    def gate(
        self, losses: FloatArray, residual: FloatArray, rows: IntArray, best: FloatArray
    ) -> IntArray:
        """(R,) `FrameOutcome` of poses by what they themselves leave.

        losses, residual: theirs, see `measure`. best: (R,) the least loss found.
        """
        o, total = self.options, losses.sum(axis=1)
        reason = np.where(np.isfinite(total), FrameOutcome.OK, FrameOutcome.BAD_LOSS)
        grown = total + _REFERENCE_M2 > o.bad_loss_growth_ratio * (best + _REFERENCE_M2)
        near = self._mean(self.near(residual).astype(np.float64), rows)
        reason[grown] = FrameOutcome.LOSS_GREW
        reason[near < o.bad_near_share] = FrameOutcome.FEW_NEAR
        reason[total > o.bad_loss_threshold] = FrameOutcome.BAD_LOSS
        reason[losses[:, 0] > o.bad_data_loss_threshold] = FrameOutcome.BAD_DATA_LOSS
        return reason.astype(np.int64)

    def near(self, residual: FloatArray) -> BoolArray:
        """(R, M) points that count as near to the body."""
        return np.asarray(np.nan_to_num(residual, nan=np.inf) <= 2 * self.options.huber_m)

    def data_term(self, scale: FloatArray, rows: IntArray) -> Position:
        """The points of frames `rows` (R,) as targets of bodies of these scales (R,)."""
        t, size = self.targets, scale[:, None, None]
        return Position(
            t.xyz[rows] / size,
            size[..., None] * t.metric[rows],
            self.columns,
            Huber(self.options.huber_m),
            self._share(rows),
        )

    def priors(self, initial: FloatArray, past: History) -> dict[str, RotationPrior]:
        """Those of `PRIORS` that have a weight, by name. initial: (R, F, 3, 3) of `pose_reg`."""
        o, out = self.options, {}
        targets = {
            "pose_reg": initial,
            "temporal": past.previous,
            "temporal_velocity": past.extrapolated(o.temporal_extrapolation),
            "temporal_accel": past.extrapolated(1.0),
        }
        for name, target in targets.items():
            if o.weight(name) == 0:
                continue
            known = finite_poses(target)
            sigma = np.sqrt(max(self._bends.sum(), 1) / (2 * o.weight(name)))
            out[name] = RotationPrior(
                np.where(known[:, None, None, None], target, np.eye(3)),
                np.where(known[:, None] & self._bends, sigma, np.inf),
            )
        return out

    @cached_property
    def _bends(self) -> BoolArray:
        """(F,) free joints but the root, whose direction is the points' affair."""
        return self.free & (np.arange(len(self.free)) > 0)

    def _rescaled(
        self, state: State, scale: FloatArray, rows: IntArray
    ) -> tuple[State, FloatArray, FloatArray]:
        """The best similarity of the bodies as they are posed, kept only where it is better.

        And by how much (R,). The priors see no root: they are what they were.
        """
        points = scale[:, None, None] * state.posed(self.chain).points[:, self.columns]
        R, factor, shift, _ = self._similarity(points, rows)
        usable = np.isfinite(factor) & (factor > 0)
        R = np.where(usable[:, None, None], R, np.eye(3))
        larger = scale * np.where(usable, factor, 1.0)
        shift = np.where(usable[:, None], shift, 0.0)
        moved = state.carried(self.chain, R, shift / larger[:, None])
        before, after = (
            self.measure(*poses, rows, {})[0][:, 0] for poses in ((state, scale), (moved, larger))
        )
        gain = before - after
        better = np.flatnonzero(gain > 0)
        out = scale.copy()
        out[better] = larger[better]
        return state.with_rows(better, moved.at(better)), out, np.maximum(gain, 0.0)

    def _similarity(
        self, points: FloatArray, rows: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Rotations, scales and shifts that bring (R, M, 3) to the targets, and distances left.

        Least Huber loss, by re-weighted least squares; exact for points of equal certainty in all
        directions, which a closed form needs.
        """
        xyz, weight = self.targets.xyz[rows], self._share(rows)
        weight = weight * (self.targets.metric[rows] ** 2).sum(axis=(-1, -2)) / 3
        kernel, factor = Huber(self.options.huber_m), weight
        for _ in range(_REWEIGHTED):
            found = align(points, xyz, factor, with_scale=self.options.with_scale)
            off = np.nan_to_num(np.where(weight > 0, so3.norm(found.apply(points) - xyz), 0.0))
            factor = weight * kernel.weight(off * off)
        return found.R, found.scale, found.t, off

    def _sound(self, state: State) -> tuple[State, BoolArray]:
        """Poses with proper rotations, rest poses for those that are none, and which (R,) are."""
        R = state.rotations
        whole = finite_poses(R)
        for values in (state.translation, state.shape):
            whole &= (np.abs(np.nan_to_num(values, nan=np.inf)) < _FAR).all(axis=1)
        R = np.where(whole[:, None, None, None], R, np.eye(3))
        off = np.abs(R @ np.swapaxes(R, -1, -2) - np.eye(3)).max(axis=(-1, -2))
        proper = (off < _IMPROPER) & (np.linalg.det(R) > 0)
        whole &= proper.all(axis=1)
        rounded = proper & (off > _ROUNDED)
        if rounded.any():
            U, _, Vt = np.linalg.svd(R[rounded])
            R[rounded] = U @ Vt
        lost = np.flatnonzero(~whole)
        rest = replace(State.rest(self.chain, len(lost), shape_each=True), offset=state.offset)
        return replace(state, rotations=R).with_rows(lost, rest), whole

    def _share(self, rows: IntArray) -> FloatArray:
        """(R, M) weights with a sum of one in each frame; zero where there are none."""
        weight = self.targets.weight[rows]
        # Over the largest first: no ratio of weights is too small to be divided by.
        most = weight.max(axis=1, keepdims=True, initial=0.0)
        weight = np.where(most > 0, weight / np.where(most > 0, most, 1.0), 0.0)
        return np.asarray(weight / np.maximum(weight.sum(axis=1, keepdims=True), 1.0))

    def _mean(self, values: FloatArray, rows: IntArray) -> FloatArray:
        """(R,) weighted mean of values (R, M)."""
        return np.asarray((self._share(rows) * values).sum(axis=1))


def rig_chain(body: BodyModel, points: Sequence[str]) -> Chain:
    """All joints of a body, so that those which do not move keep their rotations, and `points`
    (those of them that the body has)."""
    known = {name: {name: 1.0} for name in points if name in body.regressors}
    return Chain.of(body, body.joint_names, known)


def best_cameras(score: FloatArray, error_px: FloatArray, tie_m: float) -> IntArray:
    """(T, V) cameras of each frame from best to worst, -1 for those without a score.

    score: (T, V) metres. error_px: (T, V). Cameras whose score is within `tie_m` of the best
    come first, in the order of their reprojection errors (unknown ones last).
    """
    missing = ~np.isfinite(score)
    ranked = np.where(missing, np.inf, score)
    tied = ~missing & (ranked <= ranked.min(axis=1, keepdims=True) + tie_m)
    px = np.where(np.isfinite(error_px), error_px, np.inf)
    keys = (ranked, np.where(tied, px, np.inf), ~tied)
    order = np.lexsort(keys, axis=1)
    return np.where(np.take_along_axis(missing, order, axis=1), -1, order)
