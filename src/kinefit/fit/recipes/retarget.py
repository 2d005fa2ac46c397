"""Motion capture on a body of kinefit: retargeting.

The data (`kinefit.io.mocap`) are joint centres of a motion capture skeleton and the orientation
of its segments. Its joints are not Anny's: hips, shoulders and spine lie elsewhere, and its rest
pose is another. So each of its joints becomes a point of Anny's with an own offset, one for the
trial; and each of its segments is tied to one of Anny's by the rotation that makes their
anatomical axes agree. Positions then say where limbs are, orientations how they are twisted.

World axes are Y up; frames are the data's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from kinefit.body.anatomy import Anatomy
from kinefit.body.attached_points import AttachedPoint, with_attached_points
from kinefit.body.model import BodyModel
from kinefit.fit.priors.limits import Limits
from kinefit.fit.recipes.sequence import SequenceProblem
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options
from kinefit.fit.solver.state import State
from kinefit.fit.solver.terms import Position, ShapePrior
from kinefit.geometry import rotations as so3
from kinefit.geometry.align import rotation_between
from kinefit.geometry.lie import log_jacobian
from kinefit.geometry.robust import L2, Huber, Kernel
from kinefit.io.mocap import MocapClip
from kinefit.io.processes import each, in_order
from kinefit.types import BoolArray, FloatArray, IntArray, TooFewPoints


@dataclass(frozen=True)
class _Point:
    """A joint of the data on Anny: which of its joints is near, what carries it, and how well.

    near: joints whose mean it is. carrier: the joint that moves it. sigma: metres.
    free: whether its definition differs, so that an offset is fitted.
    """

    near: tuple[str, ...]
    carrier: str
    sigma: float
    free: bool


def _sided(side: str) -> dict[str, _Point]:
    s, S = side.lower(), side
    return {
        f"{s}hip": _Point((f"upperleg01.{S}",), "root", 0.015, True),
        f"{s}knee": _Point((f"lowerleg01.{S}",), f"upperleg01.{S}", 0.010, False),
        f"{s}ankle": _Point((f"foot.{S}",), f"lowerleg01.{S}", 0.010, False),
        f"{s}toe": _Point((f"toe2-1.{S}", f"toe3-1.{S}"), f"foot.{S}", 0.015, True),
        f"{s}shoulder": _Point((f"upperarm01.{S}",), f"clavicle.{S}", 0.015, True),
        f"{s}elbow": _Point((f"lowerarm01.{S}",), f"upperarm01.{S}", 0.010, False),
        f"{s}wrist": _Point((f"wrist.{S}",), f"lowerarm01.{S}", 0.010, False),
        f"{s}hand": _Point((f"finger3-1.{S}",), f"wrist.{S}", 0.030, True),
    }


# Where the data's joints lie between Anny's, by their heights in both rest poses.
POINTS: Mapping[str, _Point] = {
    "pelvis": _Point(("spine04",), "root", 0.020, True),
    "spine": _Point(("spine03", "spine02"), "spine05", 0.030, True),
    "thorax": _Point(("spine02", "spine01"), "spine03", 0.030, True),
    "neck": _Point(("spine01", "clavicle.L", "clavicle.R"), "spine01", 0.030, True),
    "neck1": _Point(("neck01",), "spine01", 0.030, True),
    "head": _Point(("head", "neck01"), "neck01", 0.030, True),
    "headtop": _Point(("head",), "head", 0.030, True),
    **_sided("L"),
    **_sided("R"),
}

# Segment of the trunk -> Anny's joint, how far it leans forward in the data when people walk
# upright (median of 65 walking trials, degrees), and how well the two agree (degrees).
_TRUNK = {
    "root": ("pelvis", 1.8, 8.0),
    "spine05": ("lowerback", 6.6, 12.0),
    "spine03": ("spine", 6.1, 12.0),
    "spine01": ("thorax", 2.0, 8.0),
    "neck01": ("neck1", 7.0, 15.0),
    "head": ("head", 15.6, 10.0),
}
# The same of limbs: Anny's joint, the anatomical joint whose distal frame it is, the data's
# segment that says how it is twisted, agreement. The forearm turns with the wrist's segment:
# the data have pronation there.
_LIMBS = {
    "upperleg01": ("Hip", "hip", 10.0),
    "lowerleg01": ("Knee", "knee", 12.0),
    "foot": ("Ankle", "ankle", 6.0),
    "upperarm01": ("Shoulder", "shoulder", 12.0),
    "lowerarm01": ("Elbow", "wrist", 15.0),
    "wrist": ("Wrist", "hand", 25.0),
}
# Where the data's limb segments begin, and their ends.
_START = {
    "Hip": "hip", "Knee": "knee", "Ankle": "ankle",
    "Shoulder": "shoulder", "Elbow": "elbow", "Wrist": "wrist",
}  # fmt: skip
_END = {
    "hip": "knee", "knee": "ankle", "ankle": "toe",
    "shoulder": "elbow", "elbow": "wrist", "wrist": "hand",
}  # fmt: skip
_CLAVICLE_DEGREES = 10.0  # to the thorax: the data's shoulder girdle does not move

# Axes of the right side in a T-pose: knees flex about the way to the right, elbows about the
# vertical, thumbs and toes point forward, palms look down.
_RIGHT, _UP, _FORWARD = np.array([-1.0, 0, 0]), np.array([0, 1.0, 0]), np.array([0, 0, 1.0])
# The CMU's elbows flex forward and up by 30 degrees, about this to 0.01 degree.
_CMU_ELBOW = np.array([0.0, 0.86603, -0.5])
_MIRROR = np.diag([-1.0, 1.0, 1.0])


def _limb_frame(name: str, bone: FloatArray, above: FloatArray, elbow: FloatArray) -> FloatArray:
    """(3, 3) anatomical axes of the right side's segment at rest in the data; see `Anatomy`.

    bone, above: (3,) unit vectors along the segment and the one above it, at rest. elbow: (3,)
    axis of flexion in a T-pose; arms that are not held out to the side at rest are taken there
    by the shortest turn. The foot's axis is the shank's.
    """
    if name in ("Hip", "Knee"):
        return so3.frame("YZ", -bone, _RIGHT)
    if name == "Ankle":
        return so3.frame("ZX", _RIGHT - (_RIGHT @ above) * above, _FORWARD)
    lowered = rotation_between(_RIGHT, bone)
    if name == "Shoulder":
        return so3.frame("YZ", -bone, lowered @ elbow)
    return so3.frame("YX", -bone, lowered @ (_FORWARD if name == "Elbow" else -_UP))


@dataclass(frozen=True, eq=False)
class RetargetBody:
    """Anny as the data see it.

    chain: its free joints, and the data's joints as points. segment: (F,) which of the data's
    segments says how a joint is turned. sigma: (F,) radians, how well. points: K of the data's
    joints. placed: (K,) metres, one standard deviation. free: places of points with an offset.
    """

    chain: Chain
    segment: tuple[str, ...]
    sigma: FloatArray
    placed: FloatArray
    free: tuple[int, ...]

    @classmethod
    def of(cls, body: BodyModel) -> RetargetBody:
        marks = {
            name: AttachedPoint.at_joints(body, dict.fromkeys(p.near, 1 / len(p.near)), p.carrier)
            for name, p in POINTS.items()
        }
        joints = list(dict.fromkeys(body.anatomy.values()))
        chain = Chain.of(
            with_attached_points(body, marks), joints, {name: {name: 1.0} for name in POINTS}
        )
        segment, sigma = zip(*(_segment_of(name) for name in chain.joint_names), strict=True)
        return cls(
            chain=chain,
            segment=segment,
            sigma=np.radians(sigma),
            placed=np.array([p.sigma for p in POINTS.values()]),
            free=tuple(k for k, p in enumerate(POINTS.values()) if p.free),
        )


def _segment_of(joint: str) -> tuple[str, float]:
    """The data's segment of one of Anny's joints, and their agreement in degrees."""
    if joint in _TRUNK:
        return _TRUNK[joint][0], _TRUNK[joint][2]
    name, side = joint.split(".")
    if name == "clavicle":
        return "thorax", _CLAVICLE_DEGREES
    return side.lower() + _LIMBS[name][1], _LIMBS[name][2]


def _ties(rig: RetargetBody, trial: MocapClip) -> FloatArray:
    """(F, 3, 3) from Anny's rest pose to the data's, of each free joint's segment."""
    anatomy = Anatomy.of(rig.chain.body)
    distal = dict(zip(anatomy.names, anatomy.distal, strict=True))
    of_cmu = trial.format in ("cmu", "asf")
    elbow = _CMU_ELBOW if of_cmu else _UP
    out = []
    for joint in rig.chain.joint_names:
        if joint in _TRUNK or joint.startswith("clavicle"):
            lean = _TRUNK[joint if joint in _TRUNK else "spine01"][1] if of_cmu else 0.0
            out.append(so3.exp(np.array([-np.radians(lean), 0.0, 0.0])))
            continue
        name, side = joint.split(".")
        limb = _LIMBS[name][0]
        mirror = _MIRROR if side == "L" else np.eye(3)
        bone, above = (mirror @ b for b in _bones(trial, side.lower(), _START[limb]))
        at_rest = mirror @ _limb_frame(limb, bone, above, elbow)
        out.append(at_rest @ distal[side + limb].T)
    return np.stack(out)


def _bones(trial: MocapClip, side: str, start: str) -> tuple[FloatArray, FloatArray]:
    """(3,) unit vectors along a limb's segment at rest and along the one above it; where the
    skeleton ends before, both are the one above."""

    def bone(start: str) -> FloatArray:
        ends = (trial.names.index(side + name) for name in (_END[start], start))
        end, begin = (trial.rest[j] for j in ends)
        return so3.unit(end - begin)

    above = next((a for a, end in _END.items() if end == start), start)
    complete = side + _END[start] in trial.names and np.isfinite(bone(start)).all()
    return bone(start if complete else above), bone(above)


@dataclass(frozen=True, eq=False)
class Orientation:
    """Joints' world orientations towards given ones, in standard deviations (a `PoseTerm`).

    target: (T, F, 3, 3), NaN where unknown. sigma: (F,) radians.
    """

    chain: Chain
    target: FloatArray
    sigma: FloatArray
    kernel: Kernel = field(default_factory=L2)

    def residual(self, rotations: FloatArray, rows: IntArray | slice) -> FloatArray:
        return self._rotvec(self._world(rotations), rows) / self.sigma[:, None]

    def jacobian(self, rotations: FloatArray, rows: IntArray | slice) -> FloatArray:
        G = self._world(rotations)
        T, F = G.shape[:2]
        after = log_jacobian(self._rotvec(G, rows)) / self.sigma[:, None, None]
        joint, child = np.nonzero(self.chain.below)
        # An increment of joint j in its own axes is G_b^T G_j of it in those of joint b below.
        own = np.swapaxes(G[:, child], -1, -2) @ G[:, joint]
        out = np.zeros((T, F, 3, F, 3))
        known = self._known(rows)[:, child, None, None]
        out[:, child, :, joint] = np.moveaxis(np.where(known, after[:, child] @ own, 0.0), 1, 0)
        return out.reshape(T, F, 3, 3 * F)

    def angles(self, rotations: FloatArray, rows: IntArray | slice) -> FloatArray:
        """(t, F) radians from the orientations of local `rotations` to the targets `rows`."""
        return so3.norm(self._rotvec(self._world(rotations), rows))

    def _known(self, rows: IntArray | slice) -> BoolArray:
        return np.asarray(np.isfinite(self.target[rows]).all(axis=(-1, -2)))

    def _rotvec(self, world: FloatArray, rows: IntArray | slice) -> FloatArray:
        target = np.where(self._known(rows)[..., None, None], self.target[rows], world)
        return so3.log(np.swapaxes(target, -1, -2) @ world)

    def _world(self, rotations: FloatArray) -> FloatArray:
        G = rotations.copy()
        for level in self.chain.levels[1:]:
            G[:, level] = G[:, self.chain.parents[level]] @ rotations[:, level]
        return G


@dataclass(frozen=True, eq=False)
class Retargeted:
    """A recording on Anny: T poses of the rig's chain; NaN in frames that lack data.

    state: poses, shape and offsets. error_m: (T, K) from the data's joints, K that it has, to
    Anny's points, with their offsets, metres. bare_m: (T, K) the same without.
    rotation_error: (T, F) radians between each joint's orientation and what the data say.
    """

    name: str
    state: State
    error_m: FloatArray
    bare_m: FloatArray
    rotation_error: FloatArray


# How many frames the evidence of many counts as, for shape and offsets: what is wrong with the
# positions is the same in all of them.
_EFFECTIVE_FRAMES = 4
_OFFSET_M = 0.03
_SOLVE = Options(most_steps=30, least_fall=1e-4)


def retarget(rig: RetargetBody, trial: MocapClip, frames: int = 60) -> Retargeted:
    """A recording on Anny: shape and offsets from up to `frames` of it, then each frame.

    Frames are fitted one by one: orientations leave nothing open that could flip between them.
    Raises TooFewPoints for a recording without a whole frame.
    """
    chain, nowhere = rig.chain, np.full((len(trial), 3), np.nan)
    place = dict(zip(trial.names, np.moveaxis(trial.positions, 1, 0), strict=True))
    xyz = np.stack([place.get(name, nowhere) for name in chain.point_names], axis=1)
    has = np.isfinite(xyz).any(axis=(0, 2))  # a skeleton may lack some of the points
    segments = [trial.names.index(name) for name in rig.segment]
    world = trial.rotations[:, segments] @ _ties(rig, trial)
    known = np.isfinite(xyz[:, has]).all(axis=(1, 2)) & np.isfinite(world).all(axis=(1, 2, 3))
    whole = np.flatnonzero(known & has.any())
    if not len(whole):
        raise TooFewPoints(
            f"Frames of {trial.name} to retarget", found=0, needed=1, hint="leave it out"
        )
    root = np.eye(3) / rig.placed[:, None, None]
    # Segments of the data flip now and then, feet and hands most.
    orientation = Orientation(chain, world, rig.sigma, Huber(3.0))
    problem = SequenceProblem(
        chain=chain,
        rows=whole,
        points=(Position(xyz, root, np.arange(len(root)), Huber(3.0)),),
        poses=(orientation, Limits.of(chain)),
        shapes=(ShapePrior(chain.shape.neutral, chain.shape.spread),),
        offsets=rig.free,
        offset_m=_OFFSET_M,
        effective_frames=_EFFECTIVE_FRAMES,
        shape_steps=_SOLVE,
        pose_steps=_SOLVE,
    )
    start = _start(chain, xyz[whole], world[whole])
    keyframes = np.unique(np.linspace(0, len(whole) - 1, min(frames, len(whole))).astype(np.int64))
    found, _, _ = problem.fit_poses(problem.fit_shape(start, keyframes))
    state = found.among(len(trial), whole)
    bare = replace(state, offset=np.zeros_like(found.offset))
    rotation_error = np.full((len(trial), len(rig.segment)), np.nan)
    rotation_error[whole] = orientation.angles(found.rotations, whole)
    error, bare_error = (so3.norm(s.posed(chain).points - xyz)[:, has] for s in (state, bare))
    return Retargeted(trial.name, state, error, bare_error, rotation_error)


def _start(chain: Chain, xyz: FloatArray, world: FloatArray) -> State:
    """Poses with orientations (N, F, 3, 3) as the data have them, in the place of the hips."""
    rotations = world.copy()
    rotations[:, 1:] = np.swapaxes(world[:, chain.parents[1:]], -1, -2) @ world[:, 1:]
    state = replace(State.rest(chain, len(world)), rotations=rotations)
    hips = [chain.column("lhip"), chain.column("rhip")]
    shift = xyz[:, hips] - state.posed(chain).points[:, hips]
    return replace(state, translation=shift.mean(axis=1))


# What no one does between two frames, a thirtieth of a second or so apart: 1,800 degrees a second
# of a segment, and changes of speed by 3 m/s of the pelvis and by 9 m/s of any joint.
_MOST_TURN = np.radians(1800)
_MOST_PELVIS_M_S, _MOST_JOINT_M_S = 3.0, 9.0


def glitches(rig: RetargetBody, trial: MocapClip) -> BoolArray:
    """(T,) True where the data jump: frames around a step that is too far."""
    T = len(trial)
    turned = trial.rotations[:, [trial.names.index(name) for name in set(rig.segment)]]
    turn = trial.rate_hz * so3.norm(so3.log(np.swapaxes(turned[:-1], -1, -2) @ turned[1:]))
    change = trial.rate_hz * so3.norm(np.diff(trial.positions, n=2, axis=0))
    most = np.where(np.array(trial.names) == "pelvis", _MOST_PELVIS_M_S, _MOST_JOINT_M_S)
    out = np.zeros(T, dtype=bool)
    for jumped in (turn > _MOST_TURN, change > most):
        steps = np.flatnonzero(jumped.any(axis=1))
        for k in range(T - len(jumped) + 1):
            out[steps + k] = True
    return out


_REACHED_M = 0.03  # a frame's mean error; ten times the usual one
_TURNED_DEG = 45.0  # between a joint and the data, where these break the limits of motion


def good_frames(rig: RetargetBody, trial: MocapClip, done: Retargeted) -> BoolArray:
    """(T,) False where the data jump, are missing or break the limits of motion, or where the fit
    does not reach them."""
    reached = done.error_m.mean(axis=1) < _REACHED_M
    within = np.degrees(done.rotation_error.max(axis=1)) < _TURNED_DEG
    return np.asarray(reached & within & ~glitches(rig, trial))


def retarget_all(
    rig: RetargetBody, trials: Sequence[MocapClip], processes: int = 1
) -> list[Retargeted]:
    """`retarget` of each, in as many processes; in the order of `trials`."""
    work = partial(retarget, rig)
    if processes == 1:
        return [work(trial) for trial in trials]
    return list(in_order(each(work, trials, processes)))
