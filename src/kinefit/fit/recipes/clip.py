"""One person over a clip, from one camera or many: one shape, all frames together.

Poses begin in closed form at points in space (triangulated, or one camera's landmarks in the room);
then the schedule of `sequence`, with views, limb directions and points as there are, joint limits,
and accelerations of people. Where heel or toe rest, they are held, and the poses are solved once
more. Everything is in standard deviations, of the noise that the data have or of what people do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, assert_never

import numpy as np

from kinefit.body.contact import FEET, Contacts, at_rest, find_contacts
from kinefit.body.model import BodyModel
from kinefit.fit.priors.capsules import Capsules, Interpenetration
from kinefit.fit.priors.euler_limits import EulerLimits
from kinefit.fit.priors.joints import PriorJoints
from kinefit.fit.priors.limits import AngleMagnitude, Limits
from kinefit.fit.priors.lumbar import LumbarRhythm
from kinefit.fit.priors.mixture import Mixture
from kinefit.fit.priors.variational import Variational
from kinefit.fit.recipes.frames.rotation_repair import bridge
from kinefit.fit.recipes.ground import find_ground
from kinefit.fit.recipes.image_start import FACE
from kinefit.fit.recipes.initial import from_points
from kinefit.fit.recipes.outline import SilhouetteOptions
from kinefit.fit.recipes.sequence import SequenceProblem, Smoothness
from kinefit.fit.recipes.shots import shot_changes
from kinefit.fit.recipes.silhouette import Outlines, fit_outlines
from kinefit.fit.solver.chain import Chain, PointSum
from kinefit.fit.solver.minimise import Options, information
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import (
    Direction,
    Objective,
    PointTerm,
    PoseTerm,
    Position,
    Reprojection,
    ShapePrior,
    ShapeTerm,
    Stature,
)
from kinefit.geometry import rotations as so3
from kinefit.geometry.align import rotation_between
from kinefit.geometry.kernel_name import KernelName
from kinefit.geometry.projection import project_rig
from kinefit.geometry.robust import kernel_of
from kinefit.metric.gravity import estimate_up
from kinefit.types import (
    BodyMotion,
    BoolArray,
    CameraRig,
    FloatArray,
    IntArray,
    Observations,
    Timeline,
    TooFewPoints,
    all_finite,
)

# What a frame without evidence leaves open: a body is somewhere in a room, and faces some way.
_WEAK_PRIOR_M, _WEAK_PRIOR_RAD = 10.0, np.pi
_DRAWS = 10  # and as many of opposite sign
_TOGETHER = 256  # frames whose covariances are held at once: 8 MB
_FEWEST = 6  # keypoints seen, for a frame to be evidence of a pose
_NO_POSE = "fewer than six keypoints, for longer than a gap is bridged or at an end of the clip"


@dataclass(frozen=True)
class ClipOptions:
    """How a clip is fitted.

    head: use the keypoints of the face. face_weight: how much these count against others
    (hair, buns and hats deceive detectors).
    keyframe_s, most_keyframes: frames that the shape is fitted to are this far apart, and so many.
    offset_m: one standard deviation of where a keypoint is against the body's own; 0 holds it.
    loss, outlier_sd: the robust kernel, and the standard deviations from which a keypoint's pull
    falls off.
    acceleration_m_s2, acceleration_rad_s2: one standard deviation of what people do.
    vertex_acceleration_m_s2: the same of the skin's vertices, which then stands for both others; 0:
    none.
    pose_regularization_rad: one standard deviation of joint angles from standing upright: a weak
    prior that determines what no other term does. joint_limits: whether joints are kept within the
    ranges of healthy adults (anatomy), or within Euler angles of SMPL's rest pose (euler; shoulders
    as before).
    axial_rad: the same about a limb's own axis, which keypoints of a straight limb do not show,
    where there is no mixture. (Laboratory markers of two rendered people, four cameras: 33 and 42
    mm without, 31 and 31 with.)
    pose_prior: weight of the mixture of poses where one camera is all there is: it does not see
    depth. (PA-MPJPE of the demo's four cameras, each alone: 63-71 mm without, 57-68 with 0.5,
    55-70 with 1, 51-78 with 2.)
    pose_prior_kind: the mixture or the variational prior, whatever the number of cameras; None: as
    above. Of the variational one a weight of 1 is `_VARIATIONAL`.
    interpenetration_m: one standard deviation of how deep limbs are in one another; 0: unlimited.
    (24 single views of 6 synthetic motions: capsules are 17 mm in one another without, 7 with 1 cm,
    29 in the truth of a walk; joints are 39.3 and 38.6 mm off, and it takes 1.7 times as long.)
    hold_feet, contact_m, floor_m: whether feet that stand are held, and how firmly in the plane of
    the floor and on it (shoes, and a vertical that one camera only guesses).
    max_gap_s: frames without evidence are bridged if they are no longer than this.
    silhouette: how masks are used, where there are some.
    """

    head: bool = True
    face_weight: float = 0.3
    keyframe_s: float = 0.1
    most_keyframes: int = 60
    offset_m: float = 0.02
    loss: KernelName = "cauchy"
    outlier_sd: float = 3.0
    acceleration_m_s2: float = 6.0
    acceleration_rad_s2: float = 40.0
    vertex_acceleration_m_s2: float = 0.0
    pose_regularization_rad: float = 1.5
    axial_rad: float = 0.4
    joint_limits: Literal["anatomy", "euler", "none"] = "anatomy"
    pose_prior: float = 1.0
    pose_prior_kind: Literal["mixture", "variational"] | None = None
    interpenetration_m: float = 0.0
    hold_feet: bool = True
    contact_m: float = 0.002
    floor_m: float = 0.01
    seen_contact_m: float = 0.03
    max_gap_s: float = 0.5
    silhouette: SilhouetteOptions = field(default_factory=SilhouetteOptions)
    window: int = 400
    overlap: int = 40


@dataclass(frozen=True, eq=False)
class ClipFit:
    """A body through a clip.

    motion: NaN in frames without a pose; `reason` says why ("" where there is one).
    chain, state: as they were fitted; state has a pose in every frame, also in those.
    rig: the C cameras as they were fitted, in the world of the motion.
    reprojection: (T, C, K) pixels, through the lens, from the keypoints seen to the body's, which
        have the detector's offsets; NaN elsewhere.
    off_m: (T, K) metres, the same from the points in space that the fit began with.
    contacts: which of the feet's points stand when, and where the floor is.
    sd_m: (T, K) metres, one standard deviation of the keypoints `names` on the body in the
        direction that is known least: what noise leaves open of one frame by itself, given the
        shape. What is wrong in all frames (a detector's idea of a joint, calibration, one camera's
        depth) is not in it.
    draws_m: (2 D, T, K, 3) metres, keypoints of bodies as probable as the fitted one, less its
        own, in pairs of opposite sign. Each is one error for the whole clip, for what is wrong in
        one frame (a limb's depth, the vertical) is wrong in the next; NaN in frames without a pose.
    up_sd: radians, one standard deviation of the world's up about each horizontal axis.
    steps: of the solver, over all windows. converged: whether it always came to an end.
    masks: (C,) pictures of each camera whose masks the girths come from; None: none were given.
    """

    motion: BodyMotion
    chain: Chain
    state: State
    names: tuple[str, ...]
    rig: CameraRig
    reprojection: FloatArray
    off_m: FloatArray
    contacts: Contacts
    reason: tuple[str, ...]
    sd_m: FloatArray
    draws_m: FloatArray
    up_sd: float
    steps: int
    converged: bool
    masks: IntArray | None = None

    @property
    def points(self) -> FloatArray:
        """(T, K, 3) metres, world: the keypoints `names` on the body."""
        return self.state.posed(self.chain).points[:, : len(self.names)]


def fit_clip(
    body: BodyModel,
    data: Observations,
    options: ClipOptions | None = None,
    outlines: Outlines | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ClipFit:
    """One body through the clip; see the module. outlines: masks of some frames, for girths.

    progress: called with the frames that are done and all, after each window of the solver; what
    it raises ends the fit.

    Raises TooFewPoints when no frame, or no keypoint that the body has, is seen.
    """
    options = options or ClipOptions()
    data = _known_to(body, data, options)
    seen = _evidence(data)
    if not (seen >= _FEWEST).any():
        raise TooFewPoints(
            "Keypoints to fit a body to", found=int(seen.max(initial=0)), needed=_FEWEST
        )
    work = _Work.of(clip_chain(body, data.names, data.limbs), data, options)
    start, masks = _shaped(work, seen, outlines)
    missing = seen < _FEWEST
    missing[bridge(data.timeline.time, ~missing, options.max_gap_s)[0]] = False
    one = len(data.rig) == 1
    T = len(start)
    state, steps, converged = work.posed(
        start, None, _ROUGH if one else _SOLVE, lambda frames: progress(frames // 2, T)
    )
    up_sd = data.gravity_sd
    if one:
        work, state, contacts, up_sd = _on_the_ground(work, state, missing)
    else:
        contacts = work.contacts(state, missing)
    if one or (options.hold_feet and contacts.standing.any()):
        held = contacts if options.hold_feet else None
        state, more, converged = work.posed(
            state, held, _SOLVE, lambda frames: progress((T + frames) // 2, T)
        )
        steps += more
        contacts = replace(contacts, xyz=work.feet(state))
    return _fitted(work, state, contacts, up_sd, missing, masks, steps, converged)


def _shaped(
    work: _Work, seen: IntArray, outlines: Outlines | None
) -> tuple[State, IntArray | None]:
    """The shape, from the frames with most of the keypoints `seen` (T,) and from outlines, and
    poses to begin with; and how many pictures of each camera gave outlines (None: not asked)."""
    keyframes = _keyframes(work.data.timeline, seen, work.options)
    shaped = work.problem.fit_shape(work.start(), keyframes)
    start = _between(shaped, work.data.timeline.time, keyframes)
    if outlines is None:
        return start, None
    if not outlines.usable:
        return start, np.zeros(len(work.data.rig), dtype=np.int64)
    return _with_girths(work, start, outlines)


def _fitted(
    work: _Work, state: State, contacts: Contacts, up_sd: float, missing: BoolArray,
    masks: IntArray | None, steps: int, converged: bool,
) -> ClipFit:  # fmt: skip
    """What is known of the fit, without poses in the frames (T,) that are `missing`."""
    data = work.data  # in the world that stands upright
    sd, draws = work.uncertainty(state, up_sd)
    sd[missing], draws[:, missing] = np.nan, np.nan
    known = np.flatnonzero(~missing)
    points = state.posed(work.chain).points[:, : len(data.names)]
    seen_at = np.moveaxis(project_rig(data.rig, points), 0, 1) if len(data.rig) else data.xy
    return ClipFit(
        motion=state.at(known).among(len(state), known).motion(work.chain, data.timeline),
        chain=work.chain,
        state=state,
        names=data.names,
        rig=data.rig,
        reprojection=np.linalg.norm(seen_at - data.xy, axis=-1),
        off_m=np.linalg.norm(points - data.xyz, axis=-1),
        contacts=contacts,
        reason=tuple(_NO_POSE if lost else "" for lost in missing),
        sd_m=sd,
        draws_m=draws,
        up_sd=up_sd,
        steps=steps,
        converged=converged,
        masks=masks,
    )


def _with_girths(work: _Work, start: State, outlines: Outlines) -> tuple[State, IntArray]:
    """The same poses with the shape and the offsets that outlines show, too; and how many pictures
    of each camera these are."""
    data, options = work.data.at(outlines.row), work.options
    posed, _, _ = work.posed(start, None, _ROUGH)

    def problem(dressed: BodyModel, skin: tuple[str, ...]) -> tuple[Chain, Objective]:
        inner = _Work.of(clip_chain(dressed, data.names, data.limbs, skin), data, options)
        others = Objective(
            inner.evidence, inner.poses, inner.shapes, offset_spread=options.offset_m
        )
        return inner.chain, others

    found = fit_outlines(
        work.chain.body, problem, posed.at(outlines.row), data.rig, outlines,
        work.problem.offsets, options.silhouette, _BRIEF,
    )  # fmt: skip
    if found is None:
        return start, np.zeros(len(data.rig), dtype=np.int64)
    return replace(start, shape=found.state.shape, offset=found.state.offset), found.used


def _on_the_ground(
    work: _Work, state: State, missing: BoolArray
) -> tuple[_Work, State, Contacts, float]:
    """One camera: the world set upright on its floor, the contacts there, and gravity's deviation.

    Where up is uncertain, the world's Y becomes up as the fitted body's balance and the floor under
    its feet say, with the floor at zero and the origin below the root in the first frame with a
    pose. (Balance of the landmarks themselves is 10.4 degrees off in tilt and 4.5 in roll, that of
    the body fitted to them 6.3 and 1.9: root mean square over 15 synthetic views.)
    """
    known = np.flatnonzero(~missing)
    contacts = work.contacts(state, missing)
    if not work.data.gravity_sd > 0:
        return work, state, contacts, 0.0
    balance, balance_sd = _balance_up(work, state, known)
    weight = np.array([balance_sd, work.data.gravity_sd]) ** -2.0
    up = so3.unit(weight @ np.array([balance, _UP]))
    work, state = work.moved(state, rotation_between(up, _UP), np.zeros(3))
    ground = find_ground(
        work.feet(state), contacts.probability, work.soles(state),
        work.data.rig.cameras[0].centre, float(weight.sum() ** -0.5),
    )  # fmt: skip
    Q = rotation_between(ground.up, _UP)
    first = Q @ (state.translation[known[0]] + work.chain.body.rest_joints(state.shape)[0])
    shift = np.array([-first[0], -np.nan_to_num(ground.floor), -first[2]])
    work, state = work.moved(state, Q, shift)
    contacts = replace(
        contacts, xyz=work.feet(state), anchors=ground.anchors @ Q.T + shift,
        floor=0.0 * ground.floor,
    )  # fmt: skip
    return work, state, contacts, ground.up_sd


_UP = np.array([0.0, 1.0, 0.0])


def _balance_up(work: _Work, state: State, known: IntArray) -> tuple[FloatArray, float]:
    """(3,) up in the world as it is, from how the body balances, and radians of deviation."""
    data, camera = work.data, work.data.rig.cameras[0]
    points = state.at(known).posed(work.chain).points[:, : len(data.names)] @ camera.R.T + camera.t
    stature = data.stature_m or float(np.ptp(work.chain.body.rest_vertices(state.shape)[:, 1]))
    up = estimate_up(points, data.names, data.timeline.time[known], stature)
    return camera.R.T @ up.direction, up.sd


def clip_chain(
    body: BodyModel,
    names: Sequence[str],
    limbs: Sequence[tuple[str, str]] = (),
    more: Sequence[str] = (),
) -> Chain:
    """The body's anatomical joints, the keypoints `names`, `limbs` as differences of these, and
    `more` keypoints after them."""
    points: dict[str, PointSum] = {name: {name: 1.0} for name in names}
    for foot in FEET:
        if foot in body.regressors:
            points.setdefault(foot, {foot: 1.0})
    for a, b in limbs:
        points[f"{a}>{b}"] = {b: 1.0, a: -1.0}
    points |= {name: {name: 1.0} for name in more}
    return Chain.of(body, list(body.anatomy.values()), points)


def _known_to(body: BodyModel, data: Observations, options: ClipOptions) -> Observations:
    """Only the keypoints that the body has, and of the face only if wanted, with its weight."""
    data = data.select(
        [n for n in data.names if n in body.regressors and (options.head or n not in FACE)]
    )
    factor = np.array([options.face_weight**-0.5 if n in FACE else 1.0 for n in data.names])
    return replace(data, sigma=data.sigma * factor)


def _evidence(data: Observations) -> IntArray:
    """(T,) keypoints that are seen by some camera, or known in space."""
    seen = data.seen.any(axis=1)
    if data.covariance is not None:
        known = np.isfinite(_roots(data.covariance)).all(axis=(-1, -2))
        seen |= all_finite(data.xyz) & known
    return np.asarray(seen.sum(axis=1))


def _keyframes(timeline: Timeline, seen: IntArray, options: ClipOptions) -> IntArray:
    """Frames for the shape: with most of the keypoints, some time apart, over the whole clip."""
    good = np.flatnonzero(seen >= max(_FEWEST, 0.8 * np.median(seen[seen > 0])))
    time = timeline.time[good]
    step = max(options.keyframe_s, (time[-1] - time[0]) / max(options.most_keyframes - 1, 1))
    slot = np.floor((time - time[0]) / step + 1e-9)
    return good[np.unique(slot, return_index=True)[1]]


def _between(state: State, time: FloatArray, keyframes: IntArray) -> State:
    """Frames between two keyframes that are near in time: turned from one to the other.

    They are nearer to what follows than poses from one frame's points (4 instead of 8 steps).
    """
    is_key = np.zeros(len(time), dtype=bool)
    is_key[keyframes] = True
    rows, a, b, share = bridge(time, is_key, _NEAR_S)
    share = share[:, None]
    first, last = state.at(a), state.at(b)
    way = last.translation - first.translation
    between = replace(
        first,
        rotations=so3.slerp(first.rotations, last.rotations, share),
        translation=first.translation + share * way,
    )
    return state.with_rows(rows, between)


_NEAR_S = 0.3


@dataclass(frozen=True, eq=False)
class _Work:
    """The terms of one clip, made once."""

    chain: Chain
    data: Observations
    options: ClipOptions
    poses: tuple[PoseTerm, ...]
    shapes: tuple[ShapeTerm, ...]
    joined: FloatArray  # (T - 1,)

    @classmethod
    def of(cls, chain: Chain, data: Observations, options: ClipOptions) -> _Work:
        shapes: list[ShapeTerm] = [ShapePrior(chain.shape.neutral, chain.shape.spread)]
        if data.stature_m is not None:
            shapes.append(Stature.of(chain.body, data.stature_m))
        prior = _pose_prior(chain, data, options)
        axial = np.inf if prior else options.axial_rad  # which the prior knows better
        rest = AngleMagnitude.of(chain, options.pose_regularization_rad, axial=axial)
        poses: list[PoseTerm] = [rest, *_limits(chain, options), *prior]
        if {"LHip", "RHip", "Spine1"} <= set(chain.body.anatomy):
            poses.append(LumbarRhythm.of(chain))  # no keypoint tells pelvis from spine
        joined = np.asarray(1.0 - shot_changes(data))
        return cls(chain, data, options, tuple(poses), tuple(shapes), joined)

    @cached_property
    def evidence(self) -> tuple[PointTerm, ...]:
        data, kernel = self.data, kernel_of(self.options.loss, self.options.outlier_sd)
        at = np.arange(len(data.names))
        seen = data.seen
        terms: list[PointTerm] = []
        if seen.any():
            xy = np.where(seen[..., None], data.xy, np.nan)
            terms.append(Reprojection(data.rig, xy, data.sigma, at, kernel))
        if data.covariance is not None:
            terms.append(Position(data.xyz, _roots(data.covariance), at, kernel))
        if data.limbs:
            columns = np.array([self.chain.column(f"{a}>{b}") for a, b in data.limbs])
            terms.append(Direction(data.directions, data.direction_sd, columns, kernel))
        return tuple(terms)

    def start(self) -> State:
        """Poses in closed form; where points are missing, from those before and after."""
        time, J = self.data.timeline.time, len(self.data.names)
        xyz = np.full((len(time), len(self.chain.point_names), 3), np.nan)
        for j in range(J):
            known = all_finite(self.data.xyz[:, j])
            if known.any():
                for i in range(3):
                    xyz[:, j, i] = np.interp(time, time[known], self.data.xyz[known, j, i])
        neutral, limits = self.chain.shape.neutral, self.options.joint_limits != "none"
        return from_points(self.chain, neutral, xyz, within_limits=limits)

    @cached_property
    def problem(self) -> SequenceProblem:
        data, options, time = self.data, self.options, self.data.timeline.time
        return SequenceProblem(
            chain=self.chain,
            rows=np.arange(len(time)),
            points=self.evidence,
            poses=self.poses,
            shapes=self.shapes,
            offsets=() if data.limbs else tuple(range(len(data.names))),
            offset_m=options.offset_m,
            smoothness=Smoothness(
                options.acceleration_m_s2,
                options.acceleration_rad_s2,
                time,
                self.joined,
                options.vertex_acceleration_m_s2,
            ),
            window=options.window,
            overlap=options.overlap,
            shape_steps=_BRIEF,
        )

    @cached_property
    def capsules(self) -> Capsules:
        return Capsules.of(self.chain)

    def posed(
        self, start: State, contacts: Contacts | None, options: Options,
        solved: Callable[[int], None] = lambda frames: None,
    ) -> tuple[State, int, bool]:  # fmt: skip
        """All poses with the shape as it is; and steps taken, and whether all came to an end."""
        problem = replace(self.problem, pose_steps=options, solved=solved)
        if (soft := self.options.interpenetration_m) > 0:
            apart = Interpenetration(self.capsules, start.shape, soft)
            problem = replace(problem, poses=(*problem.poses, apart))
        if contacts is None or not contacts.names:
            return problem.fit_poses(start)
        columns = np.array([self.chain.column(n) for n in contacts.names])
        firm = np.array([self.options.contact_m, self.options.floor_m, self.options.contact_m])
        if self.data.contact_names:
            firm = np.full(3, self.options.seen_contact_m)
        root = np.sqrt(contacts.probability)[..., None, None] * np.diag(1 / firm)
        return problem.fit_poses(start, Position(contacts.anchors, root, columns))

    def uncertainty(self, state: State, up_sd: float) -> tuple[FloatArray, FloatArray]:
        """(T, K) metres and (2 D, T, K, 3) metres: `sd_m` and `draws_m` of `ClipFit`."""
        objective = Objective(self.evidence, self.poses)
        variables, T, K = Variables.poses(self.chain), len(state), len(self.data.names)
        sd, draws = np.empty((T, K)), np.empty((_DRAWS, 2, T, K, 3))
        weak = np.diag(
            np.repeat([_WEAK_PRIOR_M**-2, *([_WEAK_PRIOR_RAD**-2] * len(variables.joints))], 3)
        )
        random = np.random.default_rng(0)
        pose, lean = random.standard_normal((len(weak), _DRAWS)), random.normal(0, 1, (_DRAWS, 3))
        lean = up_sd * lean * [1.0, 0.0, 1.0]
        for first in range(0, T, _TOGETHER):
            rows = np.arange(first, min(first + _TOGETHER, T))
            some = state.at(rows)
            found = information(objective, variables, some, rows) + weak
            root = np.swapaxes(np.linalg.inv(np.linalg.cholesky(found)), -1, -2)
            posed = some.posed(self.chain)
            spread = posed.jacobian[:, :K] @ root[:, None]
            both = spread @ np.swapaxes(spread, -1, -2)
            sd[rows] = np.sqrt(np.linalg.eigvalsh(both)[..., -1].clip(0))
            about = posed.points[:, :K] - posed.frames[1][:, :1]
            drawn = np.moveaxis(spread @ pose, -1, 0) + np.cross(lean[:, None, None], about)
            draws[:, :, rows] = np.stack([drawn, -drawn], axis=1)
        return sd, draws.reshape(-1, T, K, 3)

    def moved(self, state: State, Q: FloatArray, shift: FloatArray) -> tuple[_Work, State]:
        """The same in another world: x_new = Q x_old + shift."""
        moved = replace(self, data=self.data.moved(Q, shift))
        return moved, state.carried(self.chain, Q, shift)

    def contacts(self, state: State, missing: BoolArray) -> Contacts:
        """As observed, or else as the body moves."""
        data, feet, names = self.data, self.feet(state), self.feet_known
        if not data.contact_names:
            time = data.timeline.time
            return find_contacts(time, feet, names, self.soles(state), ~missing)
        probability = np.zeros(feet.shape[:2])
        for p, name in enumerate(names):
            if name in data.contact_names:
                probability[:, p] = data.contact[:, data.contact_names.index(name)]
        probability = np.where(missing[:, None], 0.0, np.nan_to_num(probability))
        return at_rest(feet, probability, names, self.soles(state))

    @property
    def feet_known(self) -> tuple[str, ...]:
        """Those of `FEET` that the body has: some have joints and no skin to put a heel on."""
        return tuple(name for name in FEET if name in self.chain.body.regressors)

    def feet(self, state: State) -> FloatArray:
        """(T, P, 3) metres: heels and toes of the body, without the detector's offsets."""
        columns = [self.chain.column(name) for name in self.feet_known]
        bare = replace(state, offset=np.zeros_like(state.offset))
        return bare.posed(self.chain).points[:, columns]

    def soles(self, state: State) -> FloatArray:
        """(P,) metres: how far heels and toes are above the soles at rest."""
        rest = State.rest(self.chain, 1)
        feet = self.feet(replace(rest, shape=state.shape))[0]
        return np.asarray(feet[:, 1] - self.chain.body.rest_vertices(state.shape)[:, 1].min())


def _limits(chain: Chain, options: ClipOptions) -> tuple[PoseTerm, ...]:
    match options.joint_limits:
        case "anatomy":
            return (Limits.of(chain),)
        case "euler":
            shoulders = [n for n in ("LShoulder", "RShoulder") if n in PriorJoints.of(chain).names]
            euler = EulerLimits.of(chain)
            return (euler, Limits.of(chain, shoulders)) if shoulders else (euler,)
        case "none":
            return ()
        case _:
            assert_never(options.joint_limits)


def _pose_prior(chain: Chain, data: Observations, options: ClipOptions) -> tuple[PoseTerm, ...]:
    """The term on whole poses; none with several cameras, unless one is asked for by its name."""
    kind = options.pose_prior_kind or ("mixture" if data.limbs else None)
    if kind is None or not options.pose_prior > 0:
        return ()
    if kind == "variational":
        return (Variational.of(chain, _VARIATIONAL * options.pose_prior),)
    return (Mixture.of(chain, options.pose_prior),)


# PA-MPJPE of the demo's four cameras, each alone, and of 12 single views of 3 synthetic motions:
# 63, 42 mm with 1; 56, 34 with 0.5; 52, 29 with 0.3; 50, 28 with 0.2. With the mixture 51 and 32.
_VARIATIONAL = 0.2


_BRIEF = Options(most_steps=15, least_fall=1e-3, negligible=1e-3)  # of the keyframes
_SOLVE = Options(most_steps=20, least_fall=3e-4, negligible=1e-3)
_ROUGH = Options(most_steps=4, least_fall=3e-3, negligible=1e-2)  # before the world is set upright


def _roots(covariance: FloatArray) -> FloatArray:
    """(..., 3, 3) L^-1 with covariance = L L^T; NaN where it is not positive."""
    out = np.full(covariance.shape, np.nan)
    good = np.asarray(np.isfinite(covariance).all(axis=(-1, -2)))
    good[good] = np.linalg.eigvalsh(covariance[good])[:, 0] > 0
    out[good] = np.linalg.inv(np.linalg.cholesky(covariance[good]))
    return out
