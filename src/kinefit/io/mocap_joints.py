"""The joints of any program's skeleton under kinefit's names, its rest pose standing, facing +Z.

Names differ between programs ("LeftForeArm", "lradius", "L_Elbow"), and one name means two places
("LeftShoulder" is the clavicle in MotionBuilder and the joint of the arm in SMPL). So limbs are
found by lists of names in which the unambiguous come first, and the trunk by its place in the tree.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from os.path import commonprefix
from pathlib import Path

import numpy as np

from kinefit.geometry import rotations as so3
from kinefit.io.mocap import MocapClip
from kinefit.types import FloatArray, InputError, IntArray, all_finite

# kinefit's joint -> its parent; a segment begins at each and has its name.
_MIDDLE: Mapping[str, str | None] = {
    "pelvis": None, "lowerback": "pelvis", "spine": "lowerback", "thorax": "spine",
    "neck": "thorax", "neck1": "neck", "head": "neck1", "headtop": "head",
}  # fmt: skip
_SIDED: Mapping[str, str] = {
    "hip": "pelvis", "knee": "hip", "ankle": "knee", "toe": "ankle",
    "collar": "thorax", "shoulder": "collar", "elbow": "shoulder", "wrist": "elbow",
    "hand": "wrist",
}  # fmt: skip
PARENT: Mapping[str, str | None] = {
    **_MIDDLE,
    **{
        side + name: parent if parent in _MIDDLE else side + parent
        for side in "lr"
        for name, parent in _SIDED.items()
    },
}
JOINTS = tuple(PARENT)

# What programs call the joint, without the side; the first that a file has is taken, and each
# joint of the file once, in the order of this table.
_ALIASES: Mapping[str, tuple[str, ...]] = {
    "ankle": ("ankle", "foot"),
    "toe": ("toebase", "toes", "toe", "toe0", "ball", "foot"),
    "knee": ("knee", "lowleg", "lowerleg", "shin", "calf", "tibia", "leg"),
    "hip": ("femur", "thigh", "upleg", "upperleg", "hip"),
    "wrist": ("wrist", "hand"),
    "hand": ("hand", "middle1", "handmiddle1", "fingers", "fingerbase"),
    "elbow": ("radius", "forearm", "lowerarm", "lowarm", "elbow"),
    "shoulder": ("humerus", "upperarm", "uparm", "shldr", "arm", "shoulder"),
    "collar": ("collar", "clavicle", "shoulder"),
}
_NEEDED = ("hip", "knee", "ankle", "shoulder", "elbow", "wrist")
_SIDES = {"l": ("left", "l"), "r": ("right", "r")}

# Heights of joints of the trunk at rest in shares of that of the shoulders over the pelvis, in the
# CMU's skeletons (123 trials); a joint of another skeleton is taken for the nearest.
_HEIGHT = {"spine": 0.28, "thorax": 0.56}
_NEAR = 0.14  # half of what is between them

_UPRIGHT_DEG, _LEG_DEG = 30.0, 45.0  # of a pose that is called standing
_STRAIGHT_DEG = 25.0  # mean of trunk and legs in the straightest frame
_SQUARE_DEG = 10.0  # a skeleton that faces an axis but for this is not quite symmetrical


def with_kinefit_joints(source: Path, clip: MocapClip) -> MocapClip:
    """`clip` with the joints `JOINTS`, Y up, the rest pose standing and facing +Z, left at +X.

    Joints that the skeleton lacks have no position. The rotations of the trunk's are those of the
    nearest segments; the wrist's is the forearm's with the twist of the hand, the hand's its own.
    Where the file's rest pose is not a standing one (all angles zero: in some files a person with
    all bones along one axis), the frame in which the person stands straightest becomes it.

    Raises InputError where limbs cannot be told by name, and where nobody ever stands.
    """
    place = _found(source, clip)
    clip = _y_up(clip, place)
    clip = _standing(source, clip, place)
    index = np.array([place.get(name, -1) for name in JOINTS])
    lacking = index[:, None] < 0
    rotations = clip.rotations[:, _segments(clip, place)]
    if clip.format not in ("cmu", "asf"):  # those have a segment for the forearm's twist
        for side in "lr":
            elbow, wrist = (JOINTS.index(side + name) for name in ("elbow", "wrist"))
            bone = so3.unit(clip.rest[index[wrist]] - clip.rest[index[elbow]])
            rotations[:, JOINTS.index(side + "hand")] = rotations[:, wrist]
            rotations[:, wrist] = _twisted(rotations[:, elbow], rotations[:, wrist], bone)
    return replace(
        clip,
        names=JOINTS,
        parents=np.array([-1 if p is None else JOINTS.index(p) for p in PARENT.values()]),
        positions=np.where(lacking, np.nan, clip.positions[:, index]),
        rotations=rotations,
        rest=np.where(lacking, np.nan, clip.rest[index]),
    )


def _found(source: Path, clip: MocapClip) -> dict[str, int]:
    """kinefit's joint -> joint of the file, of those that it has."""
    bare = _bare(clip.names)
    place: dict[str, int] = {}
    for joint, aliases in _ALIASES.items():
        for side, words in _SIDES.items():
            taken = set(place.values())
            spelled = (s for a in aliases for w in words for s in (w + a, a + w))
            found = next((bare[s] for s in spelled if bare.get(s, -1) not in {-1, *taken}), None)
            if found is not None:
                place[side + joint] = found
    if "head" in bare:
        place["head"] = bare["head"]
    missing = [s + n for n in _NEEDED for s in "lr" if s + n not in place]
    if "head" not in place:
        missing.append("head")
    if missing:
        called = f"(they are called {', '.join(clip.names[:12])}, ...)"
        reason = f"its joints do not say which are {', '.join(missing)} {called}"
        hint = "name them as MotionBuilder, Mixamo, SMPL or the CMU database does: LeftUpLeg, ..."
        raise InputError(source, reason, hint)
    return place | _middle(clip, place)


def _bare(names: Sequence[str]) -> dict[str, int]:
    """Names in small letters and digits alone, without a namespace or what all begin with."""
    plain = [re.sub(r"[^a-z0-9]", "", name.rpartition(":")[2].lower()) for name in names]
    prefix = commonprefix([p for p in plain if p])  # noqa: RUF071 - of words, not of paths
    shared = len(prefix) if len(prefix) >= 3 and len(plain) > 1 else 0
    return {name[shared:]: i for i, name in reversed(list(enumerate(plain)))}


def _middle(clip: MocapClip, place: Mapping[str, int]) -> dict[str, int]:
    """Pelvis, spine, neck and the top of the head, by the tree and by heights at rest."""
    pelvis = _common(clip.parents, place["lhip"], place["rhip"])
    found = {"pelvis": pelvis}
    trunk, neck = _trunk(clip, place, pelvis)
    up = _trunk_direction(clip.rest, place)
    height = (clip.rest - clip.rest[pelvis]) @ up
    shoulders = (height[place["lshoulder"]] + height[place["rshoulder"]]) / 2
    for name, share in _HEIGHT.items():
        off = [abs(height[j] / shoulders - share) for j in trunk]
        if off and min(off) < _NEAR:
            found[name] = trunk[int(np.argmin(off))]
    if neck:
        found["neck1"] = neck[-1]
    if len(neck) > 1:
        found["neck"] = neck[0]
    tops = [j for j, p in enumerate(clip.parents) if p == place["head"]]
    if tops:
        found["headtop"] = max(tops, key=lambda j: height[j])
    return found


def _trunk(clip: MocapClip, place: Mapping[str, int], pelvis: int) -> tuple[list[int], list[int]]:
    """Joints from above the pelvis to where the arms branch off, and from there to the head."""
    chest = _common(clip.parents, place["lshoulder"], place["rshoulder"])
    spine = [j for j in _chain(clip.parents, chest) if j not in _chain(clip.parents, pelvis)]
    to_head = _chain(clip.parents, place["head"])[:-1]
    return spine, [j for j in to_head if j not in _chain(clip.parents, chest)]


def _chain(parents: IntArray, joint: int) -> list[int]:
    """Joints from the root to `joint`."""
    chain = [joint]
    while parents[chain[-1]] >= 0:
        chain.append(int(parents[chain[-1]]))
    return chain[::-1]


def _common(parents: IntArray, a: int, b: int) -> int:
    """The last joint that the chains to both have in common, above both."""
    other = set(_chain(parents, b)[:-1])
    return next((j for j in reversed(_chain(parents, a)[:-1]) if j in other), 0)


def _segments(clip: MocapClip, place: Mapping[str, int]) -> IntArray:
    """Per joint of `JOINTS`, the file's segment that says how it is turned."""
    spine, neck = _trunk(clip, place, place["pelvis"])
    spine = spine or [place["pelvis"]]
    trunk = {
        "lowerback": spine[0],
        "spine": spine[len(spine) // 2],
        "thorax": spine[-1],
        "neck": (neck or [spine[-1]])[0],
        "neck1": (neck or [place["head"]])[-1],
        "headtop": place["head"],
    }
    out: dict[str, int] = {}
    for name, parent in PARENT.items():
        out[name] = trunk.get(name, place.get(name, out.get(parent or "", 0)))
    return np.array(list(out.values()))


def _twisted(forearm: FloatArray, hand: FloatArray, bone: FloatArray) -> FloatArray:
    """(T, 3, 3) the forearm, turned about itself as far as the hand is.

    The twist of a rotation about an axis is the part of its quaternion along it.
    """
    quaternion = so3.to_quaternion(np.swapaxes(forearm, -1, -2) @ hand)
    angle = 2 * np.arctan2(quaternion[..., :3] @ bone, quaternion[..., 3])
    return np.asarray(forearm @ so3.exp(so3.wrap(angle)[:, None] * bone))


def _y_up(clip: MocapClip, place: Mapping[str, int]) -> MocapClip:
    """Y is up, or Z: along whichever people's trunks point more in the recording."""
    trunk = _trunk_direction(clip.positions, place)
    trunk = trunk[all_finite(trunk)]
    if len(trunk) and trunk[:, 2].mean() > trunk[:, 1].mean():
        turn = so3.exp(np.array([-np.pi / 2, 0.0, 0.0]))
        return replace(clip, positions=clip.positions @ turn.T, rotations=turn @ clip.rotations)
    return clip


def _trunk_direction(xyz: FloatArray, place: Mapping[str, int]) -> FloatArray:
    """(..., 3) unit vectors from the middle of the hips to that of the shoulders."""
    left, right = (xyz[..., [place[side + n] for n in ("hip", "shoulder")], :] for side in "lr")
    return so3.unit(np.diff(left + right, axis=-2)[..., 0, :])


def _standing(source: Path, clip: MocapClip, place: Mapping[str, int]) -> MocapClip:
    """With a rest pose that stands upright and faces +Z."""
    trunk = _trunk_direction(clip.rest, place)
    axis = np.zeros(3)
    axis[np.abs(trunk).argmax()] = np.sign(trunk[np.abs(trunk).argmax()])
    turn = _facing(clip.rest, place, axis)
    off = _off_upright(clip.rest @ turn.T, place)
    if off[0] < _UPRIGHT_DEG and off[1:].max() < _LEG_DEG:
        return clip.at_rest(clip.rest @ turn.T, np.broadcast_to(turn, clip.rotations.shape[1:]))
    known = np.isfinite(clip.rotations).all(axis=(1, 2, 3))
    whole = all_finite(clip.positions).all(axis=1) & known
    frames = np.flatnonzero(whole)
    mean = _off_upright(clip.positions[frames], place).mean(axis=0) if len(frames) else np.inf
    if np.min(mean) > _STRAIGHT_DEG:
        reason = "neither its rest pose nor any frame shows the person standing"
        hint = "add a recording that begins with the person standing still"
        raise InputError(source, reason, hint)
    best = frames[int(np.argmin(mean))]
    posed = clip.positions[best] - clip.positions[best, place["pelvis"]]
    turn = _facing(posed, place, np.array([0.0, 1.0, 0.0]))
    note = f"the rest pose is that of frame {best}, in which the person stands straightest"
    found = clip.at_rest(posed @ turn.T, turn @ clip.rotations[best])
    return replace(found, notes=(*clip.notes, note))


def _facing(xyz: FloatArray, place: Mapping[str, int], up: FloatArray) -> FloatArray:
    """(3, 3) the rotation that turns `up` to Y and the left hip's side to +X."""
    across = xyz[place["lhip"]] - xyz[place["rhip"]]
    axes = so3.frame("YX", up, across)  # columns: X, Y, Z of the person
    if not np.isfinite(axes).all():
        return np.eye(3)  # hips above each other: no standing pose
    nearest = np.rint(axes)
    square = np.abs(np.linalg.det(nearest) - 1) < 1e-9
    if square and np.degrees(so3.norm(so3.log(axes.T @ nearest))) < _SQUARE_DEG:
        axes = nearest
    return np.asarray(axes.T)


def _off_upright(xyz: FloatArray, place: Mapping[str, int]) -> FloatArray:
    """(5, ...) degrees of trunk, thighs and shanks (J, 3) or (T, J, 3) from the vertical."""
    bones = [_trunk_direction(xyz, place)]
    for side in "lr":
        for upper, lower in (("hip", "knee"), ("knee", "ankle")):
            bone = xyz[..., place[side + upper], :] - xyz[..., place[side + lower], :]
            bones.append(so3.unit(bone))
    return np.degrees(np.arccos(np.clip(np.stack(bones)[..., 1], -1, 1)))
