"""A made-up body of tubes with SMPL's 24 joints: small, closed, symmetric in its bones, seeded."""

from __future__ import annotations

import numpy as np

from kinefit.body import BodyModel, ShapeSpace

# Joint: (parent, place at rest in metres, radius of its tube). Facing +Z, left at +X, arms out.
_TRUNK = {
    "pelvis": (None, (0, 0.95, 0), 0.13),
    "spine1": ("pelvis", (0, 1.06, -0.02), 0.12),
    "spine2": ("spine1", (0, 1.19, -0.02), 0.12),
    "spine3": ("spine2", (0, 1.25, -0.01), 0.13),
    "neck": ("spine3", (0, 1.46, -0.02), 0.06),
    "head": ("neck", (0, 1.54, 0.01), 0.09),
}
_SIDE = {
    "hip": ("pelvis", (0.09, 0.87, 0), 0.08),
    "knee": ("hip", (0.10, 0.48, 0), 0.06),
    "ankle": ("knee", (0.11, 0.08, -0.02), 0.04),
    "foot": ("ankle", (0.12, 0.03, 0.10), 0.04),
    "collar": ("spine3", (0.08, 1.40, -0.01), 0.06),
    "shoulder": ("collar", (0.18, 1.41, -0.02), 0.055),
    "elbow": ("shoulder", (0.44, 1.41, -0.03), 0.045),
    "wrist": ("elbow", (0.69, 1.41, -0.03), 0.035),
    "hand": ("wrist", (0.77, 1.40, -0.03), 0.03),
}
_EXTRAS = {
    "forearm": ("elbow", (0.56, 1.41, -0.03), 0.04),  # between elbow and wrist
    "finger": ("hand", (0.85, 1.40, -0.03), 0.01),
}
SMPL_NAMES = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2"),
    *("left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck", "left_collar"),
    *("right_collar", "head", "left_shoulder", "right_shoulder", "left_elbow", "right_elbow"),
    *("left_wrist", "right_wrist", "left_hand", "right_hand"),
)
_TIPS = {"head": (0, 0.2, 0.02), "foot": (0, 0, 0.08), "hand": (0.08, 0, 0), "finger": (0.03, 0, 0)}
_RING = 6  # vertices around a tube; two rings and two caps make a closed prism

# Keypoint: (joint whose tube carries it, place at rest); the nearest vertex of that tube.
_SURFACE = {
    "Nose": ("head", (0, 1.60, 0.12)), "LEye": ("head", (0.04, 1.66, 0.10)),
    "REye": ("head", (-0.04, 1.66, 0.10)), "LEar": ("head", (0.09, 1.60, 0)),
    "REar": ("head", (-0.09, 1.60, 0)), "Head": ("head", (0, 1.75, 0)),
    "LBigToe": ("left_foot", (0.08, 0.02, 0.19)), "LSmallToe": ("left_foot", (0.17, 0.02, 0.19)),
    "LHeel": ("left_ankle", (0.11, 0.0, -0.07)), "RBigToe": ("right_foot", (-0.08, 0.02, 0.19)),
    "RSmallToe": ("right_foot", (-0.17, 0.02, 0.19)), "RHeel": ("right_ankle", (-0.11, 0, -0.07)),
}  # fmt: skip


def tube_body(
    seed: int = 0, *, shape_count: int = 4, pose_dirs: bool = False, extras: bool = False
) -> BodyModel:
    """A body of 288 vertices; first shape direction: stature, the others: limb lengths and girth.

    pose_dirs: with random pose blend shapes of a few millimetres. extras: with four more joints
    (right and left, within the forearm and beyond the hand), so 28 joints and 336 vertices.
    """
    rng = np.random.default_rng(seed)
    names, parents, joints, radius = _tree(extras)
    B = len(names)
    tails = _tails(names, parents, joints)
    owner, radial, vertices, faces = _tubes(joints, tails, radius)
    V = len(vertices)

    near = np.tile(np.repeat([True, False], _RING), B)  # the ring beside the joint follows both
    skin_joints = np.stack([owner, np.maximum(parents[owner], 0)], axis=1)
    share = np.where(near & (owner > 0), rng.uniform(0.5, 0.7, V), 1.0)
    skin_weights = np.stack([share, 1 - share], axis=1)

    stretch = 0.03 * rng.standard_normal((shape_count, B))
    stretch[0] = 0.04
    stretch = stretch[:, [names.index(name.replace("right", "left")) for name in names]]
    joint_dirs = np.zeros((shape_count, B, 3))
    for b in range(1, B):
        bone = joints[b] - joints[parents[b]]
        joint_dirs[:, b] = joint_dirs[:, parents[b]] + stretch[:, b, None] * bone
    joint_dirs += stretch[:, :1, None] * joints[0]
    girth = 0.1 * rng.standard_normal((shape_count, 1, 1)) * radial
    along = np.where(near[:, None], 0, (tails - joints)[owner])
    vertex_dirs = joint_dirs[:, owner] + stretch[:, owner, None] * along + girth

    return BodyModel(
        name="tubes",
        joint_names=names,
        parents=parents,
        joints=joints,
        joint_dirs=joint_dirs,
        vertices=vertices,
        vertex_dirs=vertex_dirs,
        faces=faces,
        skin_joints=skin_joints,
        skin_weights=skin_weights,
        shape=ShapeSpace.unbounded(tuple(f"beta{i}" for i in range(shape_count))),
        regressors=_regressors(names, owner, vertices),
        anatomy=_anatomy(),
        pose_dirs=0.003 * rng.standard_normal((9 * (B - 1), V, 3)) if pose_dirs else None,
    )


def _tree(extras: bool) -> tuple[tuple[str, ...], np.ndarray, np.ndarray, np.ndarray]:
    """Names, parents (B,), places (B, 3) and radii (B,); in SMPL's order, parents first."""
    side = dict(_SIDE)
    if extras:
        side |= _EXTRAS
        side["wrist"] = ("forearm", *_SIDE["wrist"][1:])
    table = dict(_TRUNK)
    for name, (parent, place, radius) in side.items():
        for hand, sign in (("left", 1), ("right", -1)):
            up = parent if parent in _TRUNK else f"{hand}_{parent}"
            table[f"{hand}_{name}"] = (up, (sign * place[0], *place[1:]), radius)
    order = list(SMPL_NAMES)
    for hand in ("left", "right") if extras else ():
        order.insert(order.index(f"{hand}_wrist"), f"{hand}_forearm")
        order.append(f"{hand}_finger")
    parents = [order.index(table[n][0]) if table[n][0] else -1 for n in order]
    places = np.array([table[n][1] for n in order], dtype=float)
    return tuple(order), np.array(parents), places, np.array([table[n][2] for n in order])


def _tails(names: tuple[str, ...], parents: np.ndarray, joints: np.ndarray) -> np.ndarray:
    """(B, 3) where each tube ends: at the mean of the joint's children, or its own tip."""
    tails = np.empty_like(joints)
    for b, name in enumerate(names):
        below = np.flatnonzero(parents == b)
        part = name.split("_")[-1]
        tip = np.array(_TIPS.get(part, (0, 0, 0)), dtype=float)
        tip[0] *= -1 if name.startswith("right") else 1
        tails[b] = joints[b] + tip if part in _TIPS or not len(below) else joints[below].mean(0)
    tails[0] = joints[0] + [0, 0.08, 0]  # the mean of hips and spine is the pelvis itself
    return tails


def _tubes(
    joints: np.ndarray, tails: np.ndarray, radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Owner (V,), radial part (V, 3), place (V, 3) of each vertex, and faces (F, 3)."""
    owner, radial, vertices, faces = [], [], [], []
    angle = 2 * np.pi * np.arange(_RING) / _RING
    for b, (start, end) in enumerate(zip(joints, tails, strict=True)):
        axis = (end - start) / np.linalg.norm(end - start)
        across = np.cross(axis, [0, 0, 1.0] if abs(axis[2]) < 0.9 else [0, 1.0, 0])
        across /= np.linalg.norm(across)
        spokes = radius[b] * (
            np.cos(angle)[:, None] * across + np.sin(angle)[:, None] * np.cross(axis, across)
        )
        first = len(owner)
        for place in (start, end):
            owner += [b] * _RING
            radial += list(spokes)
            vertices += list(place + spokes)
        faces += [(first + i, first + j, first + k) for i, j, k in _PRISM]
    return np.array(owner), np.array(radial), np.array(vertices), np.array(faces)


def _prism() -> list[tuple[int, int, int]]:
    """Faces of a closed prism: ring 0.._RING-1, ring _RING..2 _RING-1 above; seen from outside."""
    faces = []
    for i in range(_RING):
        j = (i + 1) % _RING
        faces += [(i, j, _RING + j), (i, _RING + j, _RING + i)]
    for i in range(1, _RING - 1):
        faces += [(0, i + 1, i), (_RING, _RING + i, _RING + i + 1)]
    return faces


_PRISM = _prism()


def _regressors(
    names: tuple[str, ...], owner: np.ndarray, vertices: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray] | str]:
    """Keypoints of coco17, body25 and halpe26: limbs from joints, face and feet from vertices."""
    keypoints: dict[str, tuple[np.ndarray, np.ndarray] | str] = {"Hip": "pelvis", "Neck": "neck"}
    for letter, side in (("L", "left"), ("R", "right")):
        for part in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle"):
            keypoints[letter + part] = f"{side}_{part.lower()}"
    for name, (joint, place) in _SURFACE.items():
        own = np.flatnonzero(owner == names.index(joint))
        near = own[np.argsort(np.linalg.norm(vertices[own] - place, axis=1), kind="stable")[:2]]
        keypoints[name] = (near, np.array([0.7, 0.3]))
    return keypoints


def _anatomy() -> dict[str, str]:
    anatomy = {name.capitalize(): name for name in _TRUNK}
    for letter, side in (("L", "left"), ("R", "right")):
        for part in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle"):
            anatomy[letter + part] = f"{side}_{part.lower()}"
        anatomy |= {f"{letter}Clavicle": f"{side}_collar", f"{letter}Toes": f"{side}_foot"}
    return anatomy
