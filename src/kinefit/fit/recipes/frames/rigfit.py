"""Rig pose optimisation: the pose of a body that each camera saw for itself, made to fit points in
space.

Every camera offers an initial pose (of SAM 3D Body, or of anything that makes poses from one
picture), right in itself and anywhere in the room. For each frame:

1. Each is brought to the points by a weighted alignment (Umeyama 1991, re-weighted by Huber's
   kernel so that wrong points do not turn it). What is left is the camera's score; the best one
   starts the fit, and among equals the one whose picture the points reproject into best.
2. Joints, and the body's place and direction, are solved together: robust distance to the points,
   plus pulls towards the initial pose, the previous one, and where the last two lead. An
   alignment that is held still while joints move, and recomputed after, is thereby not needed.
   With a scale, the closed-form similarity takes turns with that solve: both only go down.
3. The pose that is returned is judged, itself, by its loss computed afresh.

Losses are in square metres: the weighted mean of Huber's loss over points, and weights times mean
squared angles over the joints that move. They never grow from one step to the next, for the
solver takes no such step; there is nothing like divergence to stop for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome, RigTargets
from kinefit.fit.recipes.frames.rig_terms import Pull, ScaledPoints
from kinefit.fit.recipes.frames.rotation_repair import slerp
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import Objective
from kinefit.geometry import rotations as so3
from kinefit.geometry.align import align
from kinefit.geometry.robust import Huber
from kinefit.types import BoolArray, FloatArray, InputError, IntArray, InvalidData

_ROUND = 10  # solver steps between two looks at the loss
# With a scale, which moves between rounds only: shorter ones, and none solved to the last digit.
_SCALE_ROUND, _SCALE_FALL = 5, 1e-3
_REWEIGHTED = 8  # alignments per placement: the weights of outliers have settled by then
_FAR = 1e4  # metres, or units of shape: no body is there
# Rotations in single precision are off by 1e-7 and are made proper; beyond 1e-3 they are none.
_ROUNDED, _IMPROPER = 1e-9, 1e-3
_REFERENCE_M2 = 1e-6  # 1.4 mm: losses below it are noise, and their ratios mean nothing

PRIORS = ("pose_reg", "temporal", "temporal_velocity", "temporal_accel")


@dataclass(frozen=True)
class RigFitOptions:
    """How poses are fitted to points; names as in the pipeline that this replaces.

    with_scale: the body may be scaled as a whole, frame by frame.
    huber_m: metres, from where a point's pull no longer grows.
    w_pose_reg: m^2 per rad^2, pull to the initial pose. 1e-4: half a radian in all joints
        costs as much as 7 mm in all points.
    w_temporal, w_temporal_velocity, w_temporal_accel: pulls to the previous pose, to the one that
        the last two lead to (times `temporal_extrapolation`), and to no change of velocity.
    temporal_init_blend: 0..1, how far the initial pose is turned to where the last ones lead.
    temporal_extrapolation: gain of the velocity; 0 is the previous pose itself.
    temporal_gap_s: poses further back in time say nothing.
    iters: most solver steps. patience: rounds of ten that bring less than `least_gain` of the
        loss, after which a frame is left as it is.
    min_points: finite points with weight that a frame needs.
    tie_m: metres by which two cameras' scores differ without a difference.
    bad_loss_threshold, bad_data_loss_threshold: m^2, above which a pose is not to be used.
        4e-3: with a `huber_m` of 3 cm, all points 15 cm off, or an eighth of them a metre.
    bad_near_share: least share of the weight that must be within twice `huber_m` of the body.
    bad_loss_growth_ratio: of the written pose's loss to the least that was found.
    """

    with_scale: bool = False
    huber_m: float = 0.03
    w_pose_reg: float = 1e-4
    w_temporal: float = 0.0
    w_temporal_velocity: float = 1e-4
    w_temporal_accel: float = 0.0
    temporal_init_blend: float = 0.3
    temporal_extrapolation: float = 1.0
    temporal_gap_s: float = 0.2
    iters: int = 60
    patience: int = 2
    least_gain: float = 1e-3
    min_points: int = 6
    tie_m: float = 1e-3
    bad_loss_threshold: float = 5e-3
    bad_data_loss_threshold: float = 4e-3
    bad_near_share: float = 0.6
    bad_loss_growth_ratio: float = 2.0

    def __post_init__(self) -> None:
        for name in ("huber_m", "bad_loss_threshold", "bad_data_loss_threshold"):
            self._check(name, getattr(self, name) > 0, "is not above 0")
        for name in ("temporal_extrapolation", "temporal_gap_s", "least_gain", "tie_m"):
            self._check(name, 0 <= getattr(self, name) < np.inf, "is negative or no number")
        for prior in PRIORS:
            self._check(f"w_{prior}", 0 <= self.weight(prior) < np.inf, "is negative or no number")
        for name, least in (("iters", 1), ("patience", 1), ("min_points", 3)):
            self._check(name, getattr(self, name) >= least, f"is less than {least}")
        self._check("bad_near_share", 0 <= self.bad_near_share <= 1, "is not in 0..1")
        self._check("temporal_init_blend", 0 <= self.temporal_init_blend <= 1, "is not in 0..1")
        self._check("bad_loss_growth_ratio", self.bad_loss_growth_ratio >= 1, "is below 1")

    def _check(self, name: str, holds: bool, reason: str) -> None:
        if not holds:
            flag = f"--{name.replace('_', '-')}"
            raise InputError(flag, f"{getattr(self, name)} {reason}", "leave it out")

    def weight(self, prior: str) -> float:
        """The weight of one of `PRIORS`."""
        return float(getattr(self, f"w_{prior}"))

    @property
    def looks_back(self) -> bool:
        """Whether a frame depends on those before it."""
        pulls = any(self.weight(prior) > 0 for prior in PRIORS[1:])
        return pulls or self.temporal_init_blend > 0


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
        """(R, F, 3, 3) where the two lead, the turn between them times `gain`; else NaN."""
        known = _finite(self.before) & np.isfinite(self.ratio)
        out = np.full(self.previous.shape, np.nan)
        share = 1 + gain * self.ratio[known]
        out[known] = slerp(self.before[known], self.previous[known], share[:, None])
        return out

    def target(self, gain: float) -> FloatArray:
        """`extrapolated`, or the previous pose where there is only one; NaN where there is none."""
        extrapolated = self.extrapolated(gain)
        return np.where(np.isfinite(extrapolated), extrapolated, self.previous)


@dataclass(frozen=True, eq=False)
class AlignedStart:
    """R initial poses brought to the points of their frames.

    state: with a shape for each; the rest pose where what was given is no pose.
    scale: (R,). sound: (R,) whether what was given is a pose.
    score: (R,) metres, weighted mean distance that the alignment leaves; NaN where there is no
        pose or the points do not determine how it is turned.
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

    losses: name ("data" and `PRIORS`) -> (R,) square metres, of `state` and `scale` as they are.
    best_loss: (R,) the least total loss that was met, in round best_round (R,).
    history: (R, rounds + 1) total loss after each round; the same again once a row has ended.
    residual: (R, M) metres from each target, NaN where it has no weight; see `RigFit.residual`.
    stopped: R words: "converged", "patience" or "iters".
    """

    state: State
    scale: FloatArray
    losses: Mapping[str, FloatArray]
    best_loss: FloatArray
    best_round: IntArray
    history: FloatArray
    residual: FloatArray
    stopped: tuple[str, ...]

    @property
    def loss(self) -> FloatArray:
        """(R,) total."""
        return np.asarray(sum(self.losses.values()))


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
            what = f"has no joint {', '.join(unknown)}" if unknown else "must turn as a whole"
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

    def align(self, state: State, rows: IntArray) -> AlignedStart:
        """Each pose of `state` (R) brought to the points of frame `rows` (R,), turned and moved.

        Poses that are not finite, and those that the points do not determine, score NaN.
        """
        safe, whole = self._sound(_each_shape(state))
        points = safe.posed(self.chain).points[:, self.columns]
        R, scale, shift, off = self._aligned(points, rows)
        there = whole & np.isfinite(scale) & (scale > 0)
        R = np.where(there[:, None, None], R, np.eye(3))
        scale, shift = np.where(there, scale, 1.0), np.where(there[:, None], shift, 0.0)
        weight = _shares(self.targets.weight[rows])
        mean = (weight * off).sum(axis=1)
        score = np.where(there, mean / np.maximum(weight.sum(axis=1), 1.0), np.nan)
        return AlignedStart(self._turned(safe, R, shift / scale[:, None]), scale, whole, score)

    def fit(self, start: AlignedStart, rows: IntArray, past: History | None = None) -> Found:
        """From aligned poses (R) to the points of frames `rows` (R,); a frame may come repeatedly.

        Every start must have a score: `AlignedStart.score` is finite.
        """
        past = past or History.none(len(rows), len(self.free))
        return _Descent(self, rows, start.state.rotations, past).run(start)

    def blended(self, start: State, past: History) -> State:
        """Free joints of `start` turned by `temporal_init_blend` to where the past leads."""
        target = past.target(self.options.temporal_extrapolation)
        turn = _finite(target)[:, None] & self.free
        turn[:, 0] = False  # the root's direction is the alignment's
        rotations = start.rotations.copy()
        share = np.array(self.options.temporal_init_blend)
        rotations[turn] = slerp(rotations[turn], target[turn], share[None])
        return replace(start, rotations=rotations)

    def losses(
        self, state: State, scale: FloatArray, rows: IntArray, initial: FloatArray, past: History
    ) -> dict[str, FloatArray]:
        """Every loss of R poses, from the poses themselves; see `Found.losses`."""
        return _Descent(self, rows, initial, past).losses(_each_shape(state), scale)

    def residual(self, state: State, scale: FloatArray, rows: IntArray) -> FloatArray:
        """(R, M) metres between the points of poses and targets; NaN for targets without weight."""
        points = scale[:, None, None] * state.posed(self.chain).points[:, self.columns]
        seen = self.targets.usable[rows]
        off = so3.norm(points - np.where(seen[..., None], self.targets.xyz[rows], 0.0))
        return np.where(seen, off, np.nan)

    def judged(
        self,
        losses: Mapping[str, FloatArray],
        residual: FloatArray,
        rows: IntArray,
        best: FloatArray,
    ) -> IntArray:
        """(R,) `FrameOutcome` of poses by what they themselves leave.

        losses, residual: theirs, see `losses` and `residual`. best: (R,) the least loss found.
        """
        o, total = self.options, np.asarray(sum(losses.values()))
        reason = np.where(np.isfinite(total), FrameOutcome.OK, FrameOutcome.BAD_LOSS)
        grown = total + _REFERENCE_M2 > o.bad_loss_growth_ratio * (best + _REFERENCE_M2)
        weight = _shares(self.targets.weight[rows])
        near = (weight * self.near(residual)).sum(axis=1) / np.maximum(weight.sum(axis=1), 1.0)
        reason[grown] = FrameOutcome.LOSS_GREW
        reason[near < o.bad_near_share] = FrameOutcome.FEW_NEAR
        reason[total > o.bad_loss_threshold] = FrameOutcome.BAD_LOSS
        reason[losses["data"] > o.bad_data_loss_threshold] = FrameOutcome.BAD_DATA_LOSS
        return reason.astype(np.int64)

    def near(self, residual: FloatArray) -> BoolArray:
        """(R, M) points that count as near to the body."""
        return np.asarray(np.nan_to_num(residual, nan=np.inf) <= 2 * self.options.huber_m)

    def _aligned(
        self, points: FloatArray, rows: IntArray
    ) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Rotations, scales and shifts that bring (R, M, 3) to the targets, and distances left.

        Least Huber loss, by re-weighted least squares; exact for points of equal certainty in all
        directions, which a closed form needs.
        """
        xyz, weight = self.targets.xyz[rows], self._certainty(rows)
        kernel, factor = Huber(self.options.huber_m), weight
        for _ in range(_REWEIGHTED):
            found = align(points, xyz, factor, with_scale=self.options.with_scale)
            off = so3.norm(np.where(weight[..., None] > 0, found.apply(points) - xyz, 0.0))
            off = np.nan_to_num(off, nan=0.0)
            factor = weight * kernel.weight(off * off)
        return found.R, found.scale, found.t, off

    def _sound(self, state: State) -> tuple[State, BoolArray]:
        """Poses with proper rotations, rest poses for those that are none, and which (R,) are."""
        R = state.rotations
        whole = _finite(R) & (np.abs(np.nan_to_num(state.translation, nan=np.inf)) < _FAR).all(1)
        whole &= (np.abs(np.nan_to_num(state.shape, nan=np.inf)) < _FAR).all(axis=1)
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

    def _certainty(self, rows: IntArray) -> FloatArray:
        """(R, M) weights over a frame's largest, less where a point's place is uncertain."""
        certain = (self.targets.metric[rows] ** 2).sum(axis=(-1, -2)) / 3
        return np.asarray(certain * _shares(self.targets.weight[rows]))

    def _turned(self, state: State, R: FloatArray, shift: FloatArray) -> State:
        """All points x of each pose moved to R x + shift."""
        root = self.chain.body.rest_joints(state.shape)[..., 0, :]
        rotations = state.rotations.copy()
        rotations[:, 0] = R @ rotations[:, 0]
        place = (R @ (root + state.translation)[..., None])[..., 0] + shift - root
        return replace(state, rotations=rotations, translation=place)


@dataclass(frozen=True, eq=False)
class _Descent:
    """The terms of R fits, and the way down.

    initial: (R, F, 3, 3) rotations that `pose_reg` pulls to.
    """

    work: RigFit
    rows: IntArray
    initial: FloatArray
    past: History

    def run(self, start: AlignedStart) -> Found:
        options, R = self.work.options, len(self.rows)
        state, scale = start.state, start.scale.copy()
        losses = self.losses(state, scale)
        history = [np.asarray(sum(losses.values()))]
        going, idle = np.arange(R), np.zeros(R, dtype=np.int64)
        stopped = np.full(R, "iters", dtype=object)
        step = _SCALE_ROUND if options.with_scale else _ROUND
        for left in range(options.iters, 0, -step):
            state, scale, ended = self._round(state, scale, going, min(left, step))
            now = history[-1].copy()
            part = self._of(going).losses(state.at(going), scale[going])
            now[going] = sum(part.values())
            slow = history[-1][going] - now[going] <= options.least_gain * history[-1][going]
            idle[going] = np.where(slow, idle[going] + 1, 0)
            history.append(now)
            done = slow if options.with_scale else ended
            tired = ~done & (idle[going] >= options.patience)
            stopped[going[done]], stopped[going[tired]] = "converged", "patience"
            going = going[~done & ~tired]
            if not len(going):
                break
        return self._found(state, scale, np.stack(history, axis=1), tuple(stopped.tolist()))

    def losses(self, state: State, scale: FloatArray) -> dict[str, FloatArray]:
        rows = np.arange(len(self.rows))
        points = self._points(scale)
        r = points.residual(state.posed(self.work.chain).points[:, points.point], rows)
        rho = points.kernel.rho((r * r).sum(axis=-1))
        out = {"data": np.asarray((points.weight * rho).sum(axis=1) / 2)}
        for name in PRIORS:
            pull = self._pull(name)
            out[name] = np.zeros(len(rows))
            if pull is not None:
                out[name] = (pull.residual(state.rotations, rows) ** 2).sum(axis=(1, 2)) / 2
        return out

    def _of(self, going: IntArray) -> _Descent:
        return _Descent(self.work, self.rows[going], self.initial[going], self.past.at(going))

    def _round(
        self, state: State, scale: FloatArray, going: IntArray, steps: int
    ) -> tuple[State, FloatArray, BoolArray]:
        """Some solver steps of those still going, and then their similarity."""
        work, part = self.work, self._of(going)
        pulls = tuple(p for name in PRIORS if (p := part._pull(name)) is not None)
        objective = Objective(points=(part._points(scale[going]),), poses=pulls)
        variables = Variables(work.chain, work.free)
        fall = _SCALE_FALL if work.options.with_scale else Options.least_fall
        options = Options(most_steps=steps, least_fall=fall)
        solved = minimise(objective, variables, state.at(going), options)
        here, scale = solved.state, scale.copy()
        if work.options.with_scale:
            here, scale[going] = part._rescaled(here, scale[going])
        return state.with_rows(going, here), scale, solved.converged

    def _rescaled(self, state: State, scale: FloatArray) -> tuple[State, FloatArray]:
        """The best similarity of the bodies as they are posed; kept only where it is better."""
        points = scale[:, None, None] * state.posed(self.work.chain).points[:, self.work.columns]
        R, factor, shift, _ = self.work._aligned(points, self.rows)
        usable = np.isfinite(factor) & (factor > 0)
        R = np.where(usable[:, None, None], R, np.eye(3))
        larger = scale * np.where(usable, factor, 1.0)
        shift = np.where(usable[:, None], shift, 0.0)
        moved = self.work._turned(state, R, shift / larger[:, None])
        # The priors see no root: they are what they were.
        before, after = (self.losses(s, c)["data"] for s, c in ((state, scale), (moved, larger)))
        better = np.flatnonzero(after < before)
        scale = scale.copy()
        scale[better] = larger[better]
        return state.with_rows(better, moved.at(better)), scale

    def _found(
        self, state: State, scale: FloatArray, history: FloatArray, stopped: tuple[str, ...]
    ) -> Found:
        losses = self.losses(state, scale)
        return Found(
            state=state,
            scale=scale,
            losses=losses,
            best_loss=history.min(axis=1),
            best_round=history.argmin(axis=1),
            history=history,
            residual=self.work.residual(state, scale, self.rows),
            stopped=stopped,
        )

    def _points(self, scale: FloatArray) -> ScaledPoints:
        t, rows = self.work.targets, self.rows
        weight = _shares(t.weight[rows])
        weight = weight / np.maximum(weight.sum(axis=1, keepdims=True), 1.0)
        xyz = np.where(weight[..., None] > 0, t.xyz[rows], 0.0)
        kernel = Huber(self.work.options.huber_m)
        return ScaledPoints(xyz, t.metric[rows], weight, scale, self.work.columns, kernel)

    def _pull(self, prior: str) -> Pull | None:
        """The pull of one of `PRIORS`; None where it has no weight."""
        options, past = self.work.options, self.past
        weight = options.weight(prior)
        if weight == 0:
            return None
        if prior == "pose_reg":
            target = self.initial
        elif prior == "temporal":
            target = past.previous
        else:
            gain = options.temporal_extrapolation if prior == "temporal_velocity" else 1.0
            target = past.extrapolated(gain)
        moves = self.work.free.copy()
        moves[0] = False
        known = _finite(target)
        factor = np.sqrt(2 * weight / max(moves.sum(), 1)) * (known[:, None] & moves)
        return Pull(np.where(known[:, None, None, None], target, np.eye(3)), factor)


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


def _shares(weight: FloatArray) -> FloatArray:
    """Weights (T, M) over each frame's largest: no ratio of them is too small to be divided by."""
    most = weight.max(axis=1, keepdims=True, initial=0.0)
    return np.where(most > 0, weight / np.where(most > 0, most, 1.0), 0.0)


def _each_shape(state: State) -> State:
    if state.shape_each:
        return state
    return replace(state, shape=np.tile(state.shape, (len(state), 1)))


def _finite(rotations: FloatArray) -> BoolArray:
    """(R,) rows of (R, F, 3, 3) that are finite throughout."""
    return np.asarray(np.isfinite(rotations).all(axis=(1, 2, 3)))
