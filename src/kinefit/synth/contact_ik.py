"""Contact IK: keyframed motions whose contacts hold, of feet, hips, knees, hands and backs.

Tables of angles do not fit limb lengths to the millimetre: standing feet would slide, and a seated
body would hover. So each motion is fitted (`kinefit.fit.solver`): points in contact go to where
they touched down, joints stay near the table's angles and within their limits, and body parts do
not penetrate one another. Between contacts the body is in free flight.

There is no pose prior. kinefit's mixture was learnt from people on their feet: its squared
residual is 24 for a walking pose, 97 for a squat, 99 for sitting on the floor and 126 on all
fours. It would pull all of these upright; the table's own pose is nearer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from kinefit.body.anatomy import Anatomy
from kinefit.body.model import BodyModel
from kinefit.fit.priors import Capsules, Interpenetration, Limits
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import ConstantVelocity, Objective, Position, RotationPrior
from kinefit.geometry import rotations as so3
from kinefit.synth.keyframes import KeyframeMotion
from kinefit.synth.motion_clip import Clip, hip_height
from kinefit.types import FloatArray, IntArray, InvalidData, true_runs

_GRAVITY = 9.81
# Standard deviations: of a point in contact, of the hips from where contacts put them, of joints
# from the table's angles.
_CONTACT_M, _ROOT_M = 0.002, 0.1
_JOINT_DEG = {"root": 6.0, "spine": 8.0, "upperarm": 15.0, "lowerarm": 15.0, "wrist": 15.0}
_OTHER_DEG = 8.0
# ... of how fast that changes: 10 m/s^2 is a fall, and a swinging shin reaches 100 rad/s^2.
_ROOT_M_S2, _JOINT_RAD_S2 = 10.0, 60.0
_ENTER_M = 0.02  # flesh is soft, and capsules are wider than it where belly and thighs meet
_SOFT_DEG = 1.0  # SD beyond a limit; the clips must stay within 2
# Contacts begin and end gradually, or the hips would jump when points join and leave.
_RAMP_S = 0.12
_LEAST_HELD = 0.02  # sum of contact weights below which the body is in flight
_SOLVE = Options(most_steps=30, least_fall=1e-4)
_TABLE_HIPS_M = 0.99  # hip height for which the table gives heights: that of Anny's neutral body

# Weight of a point in contact for the position of the body: limbs follow hips that rest.
_FOLLOWS = {"Palm": 0.001, "Heel": 0.05, "BigToe": 0.05, "SmallToe": 0.05}

_FOOT = ("Heel", "BigToe", "SmallToe")


@dataclass(frozen=True, eq=False)
class ContactBody:
    """A body with its contact points.

    chain: its joints and points, the last of which is the root. shape: (S,), the neutral one.
    above: point -> metres above the surface on which it rests. capsules: of its bones.
    """

    chain: Chain
    shape: FloatArray
    above: dict[str, float]
    capsules: Capsules

    @classmethod
    def of(cls, body: BodyModel) -> ContactBody:
        """Of the neutral shape."""
        shape = body.shape.neutral
        skin = _skin_points(body, shape)
        marked = replace(body, regressors={**body.regressors, **skin, "Root": "root"})
        soles = [side + name for side in "LR" for name in _FOOT]
        chain = Chain.of(
            marked,
            list(dict.fromkeys(body.anatomy.values())),
            {name: {name: 1.0} for name in (*soles, *skin, "Root")},
        )
        rest = body.rest_vertices(shape)
        height = rest[:, 1] - rest[:, 1].min()
        above = dict.fromkeys((*skin, "Root"), 0.0)
        for name in soles:
            source = body.regressor(name)
            if isinstance(source, str):
                raise InvalidData(f"Body {body.name} has no {name} on its mesh.")
            above[name] = float(source[1] @ height[source[0]])
        return cls(chain, shape, above, Capsules.of(chain))


def _skin_points(body: BodyModel, shape: FloatArray) -> dict[str, tuple[IntArray, FloatArray]]:
    """Point -> (vertex, share): the skin that touches the floor in a given pose.

    In that pose (joint angles) it is the outermost vertex near a joint in a given direction.
    """
    out = {}
    for side in "LR":
        inward = -1.0 if side == "L" else 1.0
        wanted = {
            "Seat": ({"Hip": (0, 0, 95)}, "Hip", (0, -0.05, 0), 0.16, (0, -1, 0)),
            # Leaning back by 20 degrees with the knees up: the tail bone, not the thighs.
            "Tail": ({"Hip": (0, 0, 115)}, "Hip", (0, -0.05, 0), 0.16, (0, -0.94, -0.34)),
            "Bottom": ({}, "Hip", (0.03 * inward, -0.04, -0.08), 0.12, (0, 0, -1)),
            "Knee": ({"Knee": (0, 0, -92)}, "Knee", (0, 0, 0), 0.12, (0, -1, 0)),
            "Back": ({}, "Spine3", (-0.06 * inward, -0.06, -0.1), 0.07, (0, 0, -1)),
            "Crown": ({}, "Head", (-0.02 * inward, 0.09, -0.08), 0.10, (0, 0, -1)),
            # The arm forward, palm down: the tips of half bent fingers touch.
            "Palm": (
                {"Shoulder": (0, 0, 90), "Elbow": (0, 90, 0)},
                "Wrist", (0, 0, 0.1), 0.14, (0, -1, 0),
            ),
        }  # fmt: skip
        for name, (angles, joint, off, radius, direction) in wanted.items():
            xyz, heads = _posed(body, shape, angles)
            bone = body.anatomy.get(joint, body.anatomy.get(side + joint, ""))
            centre = heads[body.joint_names.index(bone)] + np.array(off)
            near = np.flatnonzero(so3.norm(xyz - centre) < radius)
            if not len(near):
                raise InvalidData(f"Body {body.name} has no skin where {side}{name} should be.")
            vertex = near[(xyz[near] @ np.array(direction, dtype=np.float64)).argmax()]
            out[side + name] = np.array([vertex]), np.ones(1)
    return out


def _posed(
    body: BodyModel, shape: FloatArray, angles: Mapping[str, tuple[float, float, float]]
) -> tuple[FloatArray, FloatArray]:
    """Vertices (V, 3) and joints (B, 3), metres, of a pose: joint of both sides -> degrees."""
    rotations = np.tile(np.eye(3), (len(body.joint_names), 1, 1))
    if angles:
        anatomy = Anatomy.of(body, [side + name for side in "LR" for name in angles])
        turned = so3.from_swing_twist(np.radians([*angles.values()] * 2))
        rotations[anatomy.index] = anatomy.local(turned)
    still = np.zeros(3)
    heads = body.pose(rotations, still, body.rest_joints(shape))[1]
    return body.posed_vertices(rotations, still, shape), heads


def solve_contacts(rig: ContactBody, motion: KeyframeMotion) -> Clip:
    """The motion as a clip whose contacts hold.

    Raises InvalidData for a contact of an unknown point.
    """
    chain = rig.chain
    rotations = motion.rotations(chain.body)[:, chain.joint_index]
    weight = _weights(chain, motion)
    no_offset = np.zeros((len(chain.point_names), 3))
    state = State(rotations, np.zeros((len(rotations), 3)), rig.shape, no_offset)
    relative = state.posed(chain).points
    scale = hip_height(chain.body, rig.shape) / _TABLE_HIPS_M
    height = {c.point: c.height_m * scale for c in motion.contacts}
    target = np.array([height.get(n, 0.0) + rig.above[n] for n in chain.point_names])
    follow = np.array([_FOLLOWS.get(name[1:], 1.0) for name in chain.point_names])
    shift = _support(motion.times, relative, weight, follow, target)
    if motion.in_place:
        drift = (shift[-1] - shift[0]) * np.array([1.0, 0.0, 1.0])
        shift = shift - np.linspace(0, 1, len(shift))[:, None] * drift
    anchors = _anchors(relative + shift[:, None], motion, chain, target)
    start = State(rotations, shift, rig.shape, no_offset)
    objective = _objective(rig, motion, start, anchors, weight)
    found = minimise(objective, Variables.poses(chain), start, _SOLVE).state
    body = chain.body
    whole = np.tile(np.eye(3), (len(found), len(body.joint_names), 1, 1))
    whole[:, chain.joint_index] = found.rotations
    return Clip(
        name=motion.name,
        source=f"kinefit: {motion.about}",
        joint_names=body.joint_names,
        times=motion.times,
        rotations=whole,
        root_path=body.rest_joints(rig.shape)[0] + found.translation,
        hip_height_m=hip_height(body, rig.shape),
    )


def _weights(chain: Chain, motion: KeyframeMotion) -> FloatArray:
    """(T, K) contact weight of each point, 0 to 1."""
    out = np.zeros((len(motion.times), len(chain.point_names)))
    last = motion.times[-1]
    for c in motion.contacts:
        ramp = min(_RAMP_S, (c.end_s - c.start_s) / 3)
        rise = (motion.times - c.start_s) / ramp if c.start_s > 0 else np.ones(len(out))
        fall = (c.end_s - motion.times) / ramp if c.end_s < last else np.ones(len(out))
        u = np.clip(np.minimum(rise, fall), 0, 1)
        column = out[:, chain.column(c.point)]
        np.maximum(column, u * u * (3 - 2 * u), out=column)
    return out


def _support(
    times: FloatArray,
    relative: FloatArray,
    weight: FloatArray,
    follow: FloatArray,
    target: FloatArray,
) -> FloatArray:
    """(T, 3) metres: motion of the body that keeps points in contact in place.

    relative: (T, K, 3) metres, of a body whose hips do not move. weight: (T, K), of contacts.
    follow: (K,) weight of each point. target: (K,) metres, heights of points in contact.

    Each step is opposite to the mean motion of the points in contact; in flight the body keeps its
    horizontal speed, and falls.
    """
    flying = weight.sum(axis=1) < _LEAST_HELD
    held = weight * follow
    share = held / np.maximum(held.sum(axis=1), 1e-9)[:, None]
    out = np.zeros((len(times), 3))
    height = (share * (target - relative[..., 1])).sum(axis=1)
    out[:, 1] = np.interp(times, times[~flying], height[~flying])
    for first, last in true_runs(flying):
        since = times[first:last] - times[max(first - 1, 0)]
        until = times[min(last, len(times) - 1)] - times[first:last]
        out[first:last, 1] += _GRAVITY / 2 * since * until
    middle = np.minimum(share[:-1], share[1:])
    total = middle.sum(axis=1)
    step = -(middle[..., None] * np.diff(relative[..., [0, 2]], axis=0)).sum(axis=1)
    step /= np.maximum(total, 1e-9)[:, None]
    known = np.flatnonzero((total > 0.5) & ~flying[:-1] & ~flying[1:])
    index = np.arange(len(step))
    path = [np.cumsum(np.interp(index, known, step[known, i])) for i in range(2)]
    out[1:, [0, 2]] = np.stack(path, axis=-1)
    return out


def _anchors(
    points: FloatArray, motion: KeyframeMotion, chain: Chain, target: FloatArray
) -> FloatArray:
    """(T, K, 3) metres: positions of points while in contact; NaN otherwise.

    Where they have come to rest; in a cycle, whose support moves on, their mean position.
    """
    out = np.full(points.shape, np.nan)
    for c in motion.contacts:
        k = chain.column(c.point)
        rows: IntArray = np.flatnonzero((motion.times >= c.start_s) & (motion.times <= c.end_s))
        down = c.start_s + (_RAMP_S if c.start_s > 0 else 0.0)
        settled = rows if motion.cyclic else rows[motion.times[rows] >= down][:1]
        if not len(settled):
            continue
        out[rows, k] = points[settled, k].mean(axis=0)
        out[rows, k, 1] = target[k]
    return out


def _objective(
    rig: ContactBody, motion: KeyframeMotion, start: State, anchors: FloatArray, weight: FloatArray
) -> Objective:
    chain = rig.chain
    root = chain.column("Root")
    xyz = anchors.copy()
    xyz[:, root] = start.posed(chain).points[:, root]
    precision = np.tile(np.sqrt(weight)[..., None] / _CONTACT_M, 3)
    precision[:, root] = 1 / _ROOT_M
    for c in motion.contacts:
        if c.slides:
            during = (motion.times >= c.start_s) & (motion.times <= c.end_s)
            precision[during, chain.column(c.point)] *= np.array([0.0, 1.0, 0.0])
    degrees = [
        next((v for name, v in _JOINT_DEG.items() if joint.startswith(name)), _OTHER_DEG)
        for joint in chain.joint_names
    ]
    sigma = np.radians(degrees)
    change = np.array([_ROOT_M_S2, *([_JOINT_RAD_S2] * len(sigma))])
    return Objective(
        points=(Position(xyz, precision[..., None] * np.eye(3), np.arange(xyz.shape[1])),),
        poses=(
            RotationPrior(start.rotations, sigma),
            Limits(Limits.of(chain).joints, float(np.radians(_SOFT_DEG))),
            Interpenetration(rig.capsules, rig.shape, _ENTER_M, _ENTER_M),
        ),
        times=(ConstantVelocity(motion.times, change, np.ones(len(motion.times) - 1)),),
    )
