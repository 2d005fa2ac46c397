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
from kinefit.fit.recipes.frames.frame_options import PRIORS, RigFitOptions
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome, RigTargets
from kinefit.fit.recipes.frames.rotation_repair import slerp
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import Objective, Position, RotationPrior
from kinefit.geometry import rotations as so3
from kinefit.geometry.align import align
from kinefit.geometry.robust import Huber
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData

LOSSES = ("data", *PRIORS)
Priors = Mapping[str, RotationPrior]

_ROUND = 10  # solver steps between two looks at the loss
# With a scale, which moves between rounds only: shorter ones, and none solved to the last digit.
_SCALE_ROUND, _SCALE_FALL = 5, 1e-3
_REWEIGHTED = 8  # alignments per initial pose: the weights of outliers have settled by then
_FAR = 1e4  # metres, or units of shape: no body is there
# Rotations in single precision are off by 1e-7 and are made proper; beyond 1e-3 they are none.
_ROUNDED, _IMPROPER = 1e-9, 1e-3
_REFERENCE_M2 = 1e-6  # 1.4 mm: losses below it are noise, and their ratios mean nothing


@dataclass(frozen=True, eq=False)
class History:
    """The last two usable poses before each of R frames.

    previous, before: (R, F, 3, 3) local rotations, NaN where there is none.
    ratio: (R,) time since `previous` over the time between the two.
    """

    previous: FloatArray
    before: FloatArray
    ratio: FloatArray

    @classmethod
    def none(cls, count: int, joints: int) -> History:
        nothing = np.full((count, joints, 3, 3), np.nan)
        return cls(nothing, nothing, np.full(count, np.nan))

    def at(self, rows: IntArray) -> History:
        return History(self.previous[rows], self.before[rows], self.ratio[rows])

    def extrapolated(self, gain: float) -> FloatArray:
        """(R, F, 3, 3) where the two lead, the rotation between them times `gain`; else NaN."""
        known = finite_poses(self.before) & np.isfinite(self.ratio)
        out = np.full(self.previous.shape, np.nan)
        share = 1 + gain * self.ratio[known]
        out[known] = slerp(self.before[known], self.previous[known], share[:, None])
        return out


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
class Found:
    """Where R fits ended.

    losses: name (`LOSSES`) -> (R,) square metres, of `state` and `scale` as they are.
    best_loss: (R,) the least total loss that was met, in round best_round (R,).
    history: (R, rounds + 1) total loss after each round; the same again once a row has ended.
    residual: (R, M) metres from each target, NaN where it has no weight; see `RigFit.residual`.
    stopped: R words: "converged", "patience" or "iters".
    """

    state: State
    scale: FloatArray
    losses: Mapping[str, FloatArray]
    history: FloatArray
    residual: FloatArray
    stopped: tuple[str, ...]

    @property
    def loss(self) -> FloatArray:
        """(R,) total."""
        return total_loss(self.losses)

    @property
    def best_loss(self) -> FloatArray:
        return np.asarray(self.history.min(axis=1))

    @property
    def best_round(self) -> IntArray:
        return np.asarray(self.history.argmin(axis=1))


@dataclass(frozen=True, eq=False)
class RigFit:
    """A body, the points it carries and what of it may move.

    chain: whose points are the targets; joints that are not in it stay at rest.
    free: (F,) joints that turn. Those that do not (`frozen`: hands, jaw) keep the rotations of
        the initial pose to the last bit.
    targets: with the points of the chain.
    """

    chain: Chain
    free: BoolArray
    targets: RigTargets
    options: RigFitOptions = field(default_factory=RigFitOptions)

    @classmethod
    def of(
        cls,
        chain: Chain,
        targets: RigTargets,
        options: RigFitOptions | None = None,
        frozen: tuple[str, ...] | None = None,
    ) -> RigFit:
        """The fit of `chain` to those of the targets that it carries.

        frozen: joints of the chain that keep their initial rotations. None: all that are not in
        the body's anatomy, such as fingers, jaw, eyes, and joints that only share a twist.
        Raises InvalidData when the chain does not have one of them, the root is among them, or
        it carries fewer of the targets than a frame needs.
        """
        options = options or RigFitOptions()
        if frozen is None:
            free_names = {chain.joint_names[0], *chain.body.anatomy.values()}
            frozen = tuple(name for name in chain.joint_names if name not in free_names)
        unknown = [name for name in frozen if name not in chain.joint_names]
        if unknown or chain.joint_names[0] in frozen:
            what = f"has no joint {', '.join(unknown)}" if unknown else "needs a root that turns"
            raise InvalidData(f"Body {chain.body.name} {what}.")
        shared = tuple(name for name in targets.names if name in chain.point_names)
        if len(shared) < options.min_points:
            raise InvalidData(
                f"Body {chain.body.name} has {len(shared)} of the points "
                f"{', '.join(targets.names)}; {options.min_points} are needed."
            )
        free = np.array([name not in frozen for name in chain.joint_names])
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

    def align(self, state: State, rows: IntArray) -> AlignedStart:
        """Each pose of `state` (R) brought to the points of frame `rows` (R,), without bending it.

        Poses that are not finite, and those that the points do not determine, score NaN.
        """
        safe, whole = self._sound(with_shape_each(state))
        points = safe.posed(self.chain).points[:, self.columns]
        R, scale, shift, off = self._similarity(points, rows)
        there = whole & np.isfinite(scale) & (scale > 0)
        R = np.where(there[:, None, None], R, np.eye(3))
        scale, shift = np.where(there, scale, 1.0), np.where(there[:, None], shift, 0.0)
        score = np.where(there, self._mean(off, rows), np.nan)
        return AlignedStart(self._moved(safe, R, shift / scale[:, None]), scale, whole, score)

    def fit(self, start: AlignedStart, rows: IntArray, past: History | None = None) -> Found:
        """From aligned poses (R) to the points of frames `rows` (R,); a frame may come repeatedly.

        Every start must have a score: `AlignedStart.score` is finite.
        """
        o, R = self.options, len(rows)
        past = past or History.none(R, len(self.free))
        priors = self.priors(start.state.rotations, past)
        state, scale = start.state, start.scale.copy()
        variables = Variables(self.chain, self.free)
        history = [total_loss(self._losses(state, scale, rows, priors))]
        going, idle = np.arange(R), np.zeros(R, dtype=np.int64)
        stopped = np.full(R, "iters", dtype=object)
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
        return Found(
            state=state,
            scale=scale,
            losses=self._losses(state, scale, rows, priors),
            history=np.stack(history, axis=1),
            residual=self.residual(state, scale, rows),
            stopped=tuple(stopped.tolist()),
        )

    def blended(self, start: State, past: History) -> State:
        """Free joints of `start` rotated by `temporal_init_blend` to where the past leads."""
        ahead = past.extrapolated(self.options.temporal_extrapolation)
        target = np.where(np.isfinite(ahead), ahead, past.previous)
        turn = finite_poses(target)[:, None] & self.free
        turn[:, 0] = False  # the root's direction is the alignment's
        rotations = start.rotations.copy()
        share = self.options.temporal_init_blend
        rotations[turn] = slerp(rotations[turn], target[turn], share)
        return replace(start, rotations=rotations)

    def losses(
        self, state: State, scale: FloatArray, rows: IntArray, initial: FloatArray, past: History
    ) -> dict[str, FloatArray]:
        """Every loss (R,) of R poses, from the poses themselves; see `Found.losses`."""
        return self._losses(with_shape_each(state), scale, rows, self.priors(initial, past))

    def residual(self, state: State, scale: FloatArray, rows: IntArray) -> FloatArray:
        """(R, M) metres between the points of poses and targets; NaN for targets without weight."""
        points = scale[:, None, None] * state.posed(self.chain).points[:, self.columns]
        return np.where(
            self.targets.usable[rows], so3.norm(points - self.targets.xyz[rows]), np.nan
        )

    def gate(
        self,
        losses: Mapping[str, FloatArray],
        residual: FloatArray,
        rows: IntArray,
        best: FloatArray,
    ) -> IntArray:
        """(R,) `FrameOutcome` of poses by what they themselves leave.

        losses, residual: theirs, see `losses` and `residual`. best: (R,) the least loss found.
        """
        o, total = self.options, total_loss(losses)
        reason = np.where(np.isfinite(total), FrameOutcome.OK, FrameOutcome.BAD_LOSS)
        grown = total + _REFERENCE_M2 > o.bad_loss_growth_ratio * (best + _REFERENCE_M2)
        near = self._mean(self.near(residual).astype(np.float64), rows)
        reason[grown] = FrameOutcome.LOSS_GREW
        reason[near < o.bad_near_share] = FrameOutcome.FEW_NEAR
        reason[total > o.bad_loss_threshold] = FrameOutcome.BAD_LOSS
        reason[losses["data"] > o.bad_data_loss_threshold] = FrameOutcome.BAD_DATA_LOSS
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
        options, out = self.options, {}
        moves = self.free.copy()
        moves[0] = False  # the root's direction is the points' affair
        for name in PRIORS:
            if options.weight(name) == 0:
                continue
            if name == "pose_reg":
                target = initial
            elif name == "temporal":
                target = past.previous
            else:
                gain = options.temporal_extrapolation if name == "temporal_velocity" else 1.0
                target = past.extrapolated(gain)
            known = finite_poses(target)
            sigma = np.sqrt(max(moves.sum(), 1) / (2 * options.weight(name)))
            out[name] = RotationPrior(
                np.where(known[:, None, None, None], target, np.eye(3)),
                np.where(known[:, None] & moves, sigma, np.inf),
            )
        return out

    def _losses(
        self, state: State, scale: FloatArray, rows: IntArray, priors: Priors
    ) -> dict[str, FloatArray]:
        out = {name: np.zeros(len(rows)) for name in LOSSES}
        out["data"] = self._data_loss(state, scale, rows)
        every = np.arange(len(rows))
        for name, prior in priors.items():
            out[name] = (prior.residual(state.rotations, every) ** 2).sum(axis=(1, 2)) / 2
        return out

    def _data_loss(self, state: State, scale: FloatArray, rows: IntArray) -> FloatArray:
        data = self.data_term(scale, rows)
        r = data.residual(state.posed(self.chain).points[:, self.columns], np.arange(len(rows)))
        return np.asarray((data.weight * data.kernel.rho((r * r).sum(axis=-1))).sum(axis=1) / 2)

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
        moved = self._moved(state, R, shift / larger[:, None])
        gain = self._data_loss(state, scale, rows) - self._data_loss(moved, larger, rows)
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

    def _moved(self, state: State, R: FloatArray, shift: FloatArray) -> State:
        """All points x of each pose moved to R x + shift."""
        root = self.chain.body.rest_joints(state.shape)[..., 0, :]
        rotations = state.rotations.copy()
        rotations[:, 0] = R @ rotations[:, 0]
        place = (R @ (root + state.translation)[..., None])[..., 0] + shift - root
        return replace(state, rotations=rotations, translation=place)

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


def total_loss(losses: Mapping[str, FloatArray]) -> FloatArray:
    return np.asarray(sum(losses.values()))


def with_shape_each(state: State) -> State:
    """The state with a shape for every pose."""
    if state.shape_each:
        return state
    return replace(state, shape=np.tile(state.shape, (len(state), 1)))


def finite_poses(rotations: FloatArray) -> BoolArray:
    """(R,) rows of (R, F, 3, 3) that are finite throughout."""
    return np.asarray(np.isfinite(rotations).all(axis=(1, 2, 3)))
