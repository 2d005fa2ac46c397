"""Joints as anatomy sees them: frames that any body model shares, angles, and their limits.

A model's rotations count from its own rest pose: arms out (SMPL), half out and bent (Anny).
Here each joint has a frame on either side, of the segment above (proximal, P) and of the one that
it moves (distal, D), both as the body stands at rest, so that

    R_anatomical = P^T R_local D

is the same motion in every model, and identity in the fundamental standing position: arms
hanging, palms to the thighs, legs straight, feet at right angles. Axes are ISB's (Wu et al. 2002,
J Biomech 35:543; 2005, 38:981): X forward, Y up along the segment, Z to the side; of the hand, X
to the palm and Z to the thumb. A limb's frame is the trunk's, turned by the smallest rotation
that takes "down" to where the segment lies. Frames of the left side are mirror images of those
of the right (Z points left, determinant -1), so that both sides read the same numbers.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.geometry import rotations as so3
from kinefit.geometry.align import rotation_between
from kinefit.geometry.lie import log_jacobian
from kinefit.types import BodyMotion, FloatArray, IntArray, InvalidData

# X forward is the world's Z, Y is up, Z to the right is the world's -X.
_TRUNK = np.array([[0.0, 0, -1], [0, 1, 0], [1, 0, 0]])
_MIRROR = np.diag([-1.0, 1, 1])
# From the forearm's axes to the hand's: at rest the palm faces the thigh.
_TO_PALM = so3.exp(np.array([0.0, np.pi / 2, 0.0]))

SIDED = ("Clavicle", "Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Toes")
# All joints with limits, in the order of priors; `Pelvis` turns freely. Anny has no toe joint.
JOINTS = (
    *("Spine1", "Spine2", "Spine3", "Neck", "Head"),
    *(side + name for side in "LR" for name in SIDED),
)


@dataclass(frozen=True, eq=False)
class Anatomy:
    """Anatomical frames of a body's joints.

    names: J anatomical joints. index: (J,) their places in the body.
    proximal, distal: (J, 3, 3) axes of P and D in their columns, in the world of the rest pose.
    """

    names: tuple[str, ...]
    index: IntArray
    proximal: FloatArray
    distal: FloatArray

    @classmethod
    def of(cls, body: BodyModel, names: Sequence[str] | None = None) -> Anatomy:
        """Frames of the neutral shape: for `names`, or for every joint of `JOINTS` that it has.

        Raises InvalidData for a joint that the body lacks, and for one whose bone has no length.
        """
        if names is None:
            names = [name for name in JOINTS if name in body.anatomy]
        missing = [name for name in names if name not in body.anatomy or name not in JOINTS]
        if missing:
            raise InvalidData(f"Body {body.name} has no anatomical joint {', '.join(missing)}.")
        side = _SideFrames.of(body)
        pairs = [side.pair(name) for name in names]
        frames = np.array(pairs, dtype=np.float64).reshape(-1, 2, 3, 3)
        return cls(
            names=tuple(names),
            index=np.array([_joint(body, name) for name in names], dtype=np.int64),
            proximal=frames[:, 0],
            distal=frames[:, 1],
        )

    @classmethod
    def t_pose(cls, names: Sequence[str]) -> Anatomy:
        """Frames of `names` in SMPL's rest pose: arms level to the sides, palms down, legs
        straight; for any body's anatomical rotations (`local`). Joints are in this order."""
        arm = _turned(_TRUNK, np.array([-1.0, 0, 0]))
        side = _SideFrames(arm, arm, arm @ _TO_PALM, _TRUNK, _TRUNK, _TRUNK)
        frames = np.array([side.pair(name) for name in names]).reshape(-1, 2, 3, 3)
        return cls(tuple(names), np.arange(len(names)), frames[:, 0], frames[:, 1])

    def rotations(self, local: FloatArray) -> FloatArray:
        """(..., J, 3, 3) anatomical rotations of these joints' local ones, of that shape."""
        return np.asarray(np.swapaxes(self.proximal, -1, -2) @ local @ self.distal)

    def local(self, anatomical: FloatArray) -> FloatArray:
        """(..., J, 3, 3) local rotations of anatomical ones: the inverse of `rotations`."""
        return np.asarray(self.proximal @ anatomical @ np.swapaxes(self.distal, -1, -2))

    @cached_property
    def increments(self) -> FloatArray:
        """(J, 3, 3) from a local rotation's increment in its own axes to the anatomical one's."""
        handed = np.linalg.det(self.distal)[:, None, None]  # a mirrored turn goes the other way
        return np.asarray(handed * np.swapaxes(self.distal, -1, -2))


def _joint(body: BodyModel, name: str) -> int:
    return body.joint_names.index(body.anatomy[name])


@dataclass(frozen=True, eq=False)
class _SideFrames:
    """Segments' frames of the right side, from the mean of it and the mirrored left."""

    upper_arm: FloatArray
    forearm: FloatArray
    hand: FloatArray
    thigh: FloatArray
    shank: FloatArray
    foot: FloatArray

    @classmethod
    def of(cls, body: BodyModel) -> _SideFrames:
        arm = _turned(_TRUNK, _bone(body, "Shoulder", "Elbow"))
        forearm = _turned(arm, _bone(body, "Elbow", "Wrist"))
        thigh = _turned(_TRUNK, _bone(body, "Hip", "Knee"))
        foot = _beyond(body, "Ankle")
        return cls(
            upper_arm=arm,
            forearm=forearm,
            hand=_turned(forearm, _beyond(body, "Wrist")) @ _TO_PALM,
            thigh=thigh,
            shank=_turned(thigh, _bone(body, "Knee", "Ankle")),
            # Models stand on their soles at rest: Y is up, and X where the toes point.
            foot=_TRUNK if foot is None else so3.frame("YX", np.array([0.0, 1, 0]), foot),
        )

    def pair(self, name: str) -> tuple[FloatArray, FloatArray]:
        """Proximal and distal frame of an anatomical joint."""
        mirror = _MIRROR if name.startswith("L") else np.eye(3)
        proximal, distal = {
            "Shoulder": (_TRUNK, self.upper_arm), "Elbow": (self.upper_arm, self.forearm),
            "Wrist": (self.forearm @ _TO_PALM, self.hand), "Hip": (_TRUNK, self.thigh),
            "Knee": (self.thigh, self.shank), "Ankle": (self.shank, self.foot),
            "Toes": (self.foot, self.foot),
        }.get(name[1:], (_TRUNK, _TRUNK))  # fmt: skip
        if not (np.isfinite(proximal).all() and np.isfinite(distal).all()):
            raise InvalidData(f"The rest pose gives no axes for {name}: a bone has no length.")
        return mirror @ proximal, mirror @ distal


def _turned(axes: FloatArray, bone: FloatArray | None) -> FloatArray:
    """`axes` after the smallest rotation that takes -Y to `bone` (3,); as they are without one."""
    return axes if bone is None else rotation_between(-axes[:, 1], bone) @ axes


def _bone(body: BodyModel, start: str, end: str) -> FloatArray | None:
    """(3,) from joint to joint, of the right side and the mirrored left on average."""
    heads, found = body.rest_joints(body.shape.neutral), []
    for side, mirror in (("R", np.eye(3)), ("L", _MIRROR)):
        if side + start in body.anatomy and side + end in body.anatomy:
            bone = heads[_joint(body, side + end)] - heads[_joint(body, side + start)]
            found.append(mirror @ bone)
    return np.mean(found, axis=0) if found else None


def _beyond(body: BodyModel, start: str) -> FloatArray | None:
    """(3,) from a joint to the mean of all joints below it; as `_bone`."""
    heads, found = body.rest_joints(body.shape.neutral), []
    for side, mirror in (("R", np.eye(3)), ("L", _MIRROR)):
        if side + start in body.anatomy:
            top = _joint(body, side + start)
            below = {top}
            for b, parent in enumerate(body.parents):
                below |= {b} if int(parent) in below else set()
            if len(below) > 1:
                centre = heads[sorted(below - {top})].mean(axis=0)
                found.append(mirror @ (centre - heads[top]))
    return np.mean(found, axis=0) if found else None


@dataclass(frozen=True, eq=False)
class Ranges:
    """What joints may do: bounds of their angles, from `anatomy.toml`.

    names: J anatomical joints. centre: (J, 3) swing to the middle of the range, radians (y is 0).
    lower, upper: (J, 3) radians. weight: (J,) how much a violation matters.

    Angles are a swing about X and Z and a twist about Y, R = exp(swing) Ry(twist), as
    `kinefit.geometry.rotations.swing_twist` reads them, counted from the centre C of the range:

        angles = centre + swing_twist(C^T R),  C = exp(centre)

    They are zero at zero, agree with the plain ones along the arc from there through the centre,
    and end opposite the centre, where no limb gets: with arms overhead, where the plain ones of
    the shoulder end, they are regular. For hinges z is the angle of flexion.
    """

    names: tuple[str, ...]
    centre: FloatArray
    lower: FloatArray
    upper: FloatArray
    weight: FloatArray

    @classmethod
    def of(cls, names: Sequence[str]) -> Ranges:
        """The table's rows of `names`; raises InvalidData for a joint that it lacks."""
        unknown = [name for name in names if name not in JOINTS]
        if unknown:
            raise InvalidData(f"No anatomical joint {', '.join(unknown)} in the table of ranges.")
        rows = [_table()[name[1:] if name[1:] in SIDED else name] for name in names]
        bounds = np.radians([[row[axis] for axis in "xyz"] for row in rows]).reshape(-1, 3, 2)
        centre = np.radians([row.get("centre", (0, 0)) for row in rows]).reshape(-1, 2)
        return cls(
            names=tuple(names),
            centre=np.stack([centre[:, 0], np.zeros(len(rows)), centre[:, 1]], axis=-1),
            lower=bounds[..., 0],
            upper=bounds[..., 1],
            weight=np.array([row["weight"] for row in rows], dtype=np.float64),
        )

    @cached_property
    def middle(self) -> FloatArray:
        """(J, 3, 3) the rotations C."""
        return so3.exp(self.centre)

    def centred(self, anatomical: FloatArray) -> FloatArray:
        """(..., J, 3, 3) C^T R: rotations from the middle of the range."""
        return np.asarray(np.swapaxes(self.middle, -1, -2) @ anatomical)

    def angles(self, anatomical: FloatArray) -> FloatArray:
        """(..., J, 3) radians about X, Y, Z of anatomical rotations (..., J, 3, 3)."""
        return np.asarray(self.centre + so3.swing_twist(self.centred(anatomical)))

    def jacobian(self, angles: FloatArray) -> FloatArray:
        """(..., J, 3, 3) derivative of `angles` by the rotation's increment in its own axes."""
        return swing_twist_jacobian(angles - self.centre)

    def outside(self, angles: FloatArray) -> FloatArray:
        """(..., J, 3) radians beyond the bounds: positive above, negative below, else zero."""
        return np.asarray(np.maximum(angles - self.upper, 0) + np.minimum(angles - self.lower, 0))


@cache
def _table() -> dict[str, dict[str, list[float]]]:
    return tomllib.loads((files("kinefit.body") / "anatomy.toml").read_text("utf-8"))


def swing_twist_jacobian(angles: FloatArray) -> FloatArray:
    """(..., 3, 3) derivative of `swing_twist` by d in R exp(d), at its `angles` (..., 3).

    With R = S T, S = exp(s): an increment d of R turns S T to S exp(T d) T, and T d is what moves
    the swing, J_r(s) ds, plus what moves the twist, the Y axis times dt (J_r: right Jacobian of
    SO(3), the inverse of `log_jacobian`). Two equations hold the two of ds, the third dt.
    """
    swing = np.array(angles, dtype=np.float64)
    swing[..., 1] = 0.0
    twist = np.zeros_like(swing)
    twist[..., 1] = angles[..., 1]
    moved = so3.exp(twist)
    J = np.linalg.inv(log_jacobian(swing))
    a, b, c, d = J[..., 0, 0], J[..., 0, 2], J[..., 2, 0], J[..., 2, 2]
    det = (a * d - b * c)[..., None]
    out = np.empty(moved.shape)
    out[..., 0, :] = (d[..., None] * moved[..., 0, :] - b[..., None] * moved[..., 2, :]) / det
    out[..., 2, :] = (a[..., None] * moved[..., 2, :] - c[..., None] * moved[..., 0, :]) / det
    along = J[..., 1, 0, None] * out[..., 0, :] + J[..., 1, 2, None] * out[..., 2, :]
    out[..., 1, :] = moved[..., 1, :] - along
    return out


def violations(body: BodyModel, motion: BodyMotion) -> tuple[tuple[str, ...], FloatArray]:
    """How far joints are outside their range: J names and (T, J) degrees.

    Each is the largest of the joint's three angles; zero inside, NaN in frames without a pose.
    Raises InvalidData when the motion's joints are not the body's.
    """
    if motion.joint_names != body.joint_names:
        raise InvalidData(f"The motion's joints are not those of body {body.name}.")
    anatomy = Anatomy.of(body)
    ranges = Ranges.of(anatomy.names)
    local = motion.rotations[:, anatomy.index]
    known = np.asarray(np.isfinite(local).all(axis=(-1, -2)))
    angles = ranges.angles(anatomy.rotations(np.where(known[..., None, None], local, np.eye(3))))
    worst = np.degrees(np.abs(ranges.outside(angles)).max(axis=-1))
    return anatomy.names, np.where(known, worst, np.nan)
