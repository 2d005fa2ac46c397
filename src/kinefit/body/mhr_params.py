"""Where the numbers of the Momentum Human Rig (MHR) and of SAM 3D Body stand, and what they mean.

SAM 3D Body describes a pose three times over: a network regresses 519 numbers, of which 260 are
a "continuous" body pose; they stand for the 133 `body_pose_params`; and the rig takes 204 model
parameters. Names, indices and their sources are in `mhr.toml`.

Units and frames. The rig stands in its own frame: Y up, facing +Z, its left at +X, centimetres;
its root translation counts in tens of centimetres. SAM 3D Body's vertices, keypoints and joints
are metres in camera axes (x right, y down, z forward) about an origin that `pred_cam_t` moves to
the camera: `flip_axes` goes from one to the other. Its `pred_global_rots` stay in the rig's
frame. Angles are radians; three of one joint make R = Rz(z) Ry(y) Rx(x). Leading axes are free.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from importlib.resources import files

import numpy as np

from kinefit.geometry.rotations import compose, cross, decompose, unit
from kinefit.types import FloatArray, InvalidData, TooFewPoints

_TABLE = tomllib.loads((files("kinefit.body") / "mhr.toml").read_text("utf-8"))

JOINTS: tuple[str, ...] = tuple(_TABLE["joints"])
PARAMETERS: tuple[str, ...] = tuple(_TABLE["parameters"])
POSE_COUNT = 136  # of the 204; the scales follow
# What body_pose_params holds: the pose without its root, and a jaw that nothing uses.
BODY_PARAMETERS: tuple[str, ...] = (*PARAMETERS[6:POSE_COUNT], "jaw0", "jaw1", "jaw2")
LENGTH_PARAMETERS: tuple[str, ...] = PARAMETERS[130:POSE_COUNT]
SCALE_PARAMETERS: tuple[str, ...] = PARAMETERS[POSE_COUNT:]
HAND_ANGLES: tuple[str, ...] = tuple(_TABLE["hand_angles"])
ANATOMY: dict[str, str] = dict(_TABLE["anatomy"])
KEYPOINT_JOINTS: dict[str, str] = dict(_TABLE["keypoints"])

CM = 0.01  # metres
ROOT_UNIT_M = 0.1  # metres per unit of root_tx, root_ty, root_tz
HEAD_SIZE, BODY_SIZE, CONTINUOUS_SIZE = 519, 133, 260

# The 519 outputs of the network, in order. Everything follows a learned mean that the network
# adds; the face is multiplied by zero afterwards.
HEAD_LAYOUT: dict[str, slice] = {
    "global_rot_6d": slice(0, 6),
    "body_pose": slice(6, 266),
    "shape_params": slice(266, 311),
    "scale_params": slice(311, 339),
    "hand_pose_params": slice(339, 447),
    "expr_params": slice(447, 519),
}

_TRIPLES = np.array(_TABLE["triples"])
_LENGTHS = np.array(_TABLE["lengths"])
_SINGLE = np.setdiff1d(np.arange(BODY_SIZE), np.concatenate([_TRIPLES.ravel(), _LENGTHS]))
_FLIP = np.array([1.0, -1.0, -1.0])  # half a turn about X: its own inverse


def _hand_masks() -> tuple[np.ndarray, np.ndarray]:
    """Entries of hands among the 133 and among the 260."""
    first, last = _TABLE["hands"]
    body = np.zeros(BODY_SIZE, dtype=bool)
    body[first : last + 1] = True
    parts = np.repeat(body[_TRIPLES[:, 0]], 6), np.repeat(body[_SINGLE], 2), body[_LENGTHS]
    return body, np.concatenate(parts)


HAND_MASK, HAND_MASK_CONTINUOUS = _hand_masks()


def body_from_continuous(values: FloatArray) -> FloatArray:
    """(..., 133) body_pose_params from the network's (..., 260).

    Of the 260: 23 rotations as the first two columns of a matrix (made orthonormal here, the
    first leading), then 58 angles as (sine, cosine), then 6 lengths. NaN where two columns are
    parallel.
    """
    _check(values, CONTINUOUS_SIZE, "continuous pose")
    out = np.empty((*values.shape[:-1], BODY_SIZE))
    sixes = values[..., :138].reshape(*values.shape[:-1], 23, 6)
    out[..., _TRIPLES] = _angles(sixes)
    pairs = values[..., 138:254].reshape(*values.shape[:-1], 58, 2)
    out[..., _SINGLE] = np.arctan2(pairs[..., 0], pairs[..., 1])
    out[..., _LENGTHS] = values[..., 254:]
    return out


def continuous_from_body(values: FloatArray) -> FloatArray:
    """(..., 260) from body_pose_params (..., 133): a right inverse of `body_from_continuous`.

    There and back changes an angle only by what leaves its rotation alone.
    """
    _check(values, BODY_SIZE, "body pose")
    sixes = _columns(values[..., _TRIPLES])
    pairs = np.stack([np.sin(values[..., _SINGLE]), np.cos(values[..., _SINGLE])], axis=-1)
    batch = values.shape[:-1]
    parts = sixes.reshape(*batch, 138), pairs.reshape(*batch, 116), values[..., _LENGTHS]
    return np.concatenate(parts, axis=-1)


def split_head(values: FloatArray) -> dict[str, FloatArray]:
    """The network's (..., 519) by name, as `HEAD_LAYOUT` says."""
    _check(values, HEAD_SIZE, "network output")
    return {name: values[..., part] for name, part in HEAD_LAYOUT.items()}


@dataclass(frozen=True, eq=False)
class ModelParameters:
    """The 204 parameters of the rig, taken apart.

    translation: (..., 3) metres, of the root, in the rig's frame.
    global_rot: (..., 3) radians x, y, z of the root.
    body_pose: (..., 130) what body_pose_params begins with, hands included, and at the end six
        lengths (`LENGTH_PARAMETERS`): SAM 3D Body gives every frame its own bones.
    scales: (..., 68) `SCALE_PARAMETERS`.
    """

    translation: FloatArray
    global_rot: FloatArray
    body_pose: FloatArray
    scales: FloatArray


def split_parameters(values: FloatArray) -> ModelParameters:
    """The parts of (..., 204) model parameters."""
    _check(values, len(PARAMETERS), "model parameters")
    return ModelParameters(
        values[..., :3] * ROOT_UNIT_M,
        values[..., 3:6],
        values[..., 6:POSE_COUNT],
        values[..., POSE_COUNT:],
    )


def join_parameters(parts: ModelParameters) -> FloatArray:
    """(..., 204) model parameters; the inverse of `split_parameters`.

    Of a `body_pose` with 133 entries the jaw is left out, as SAM 3D Body does.
    """
    rows = (
        parts.translation / ROOT_UNIT_M,
        parts.global_rot,
        parts.body_pose[..., : POSE_COUNT - 6],
        parts.scales,
    )
    joined = np.concatenate(rows, axis=-1)
    _check(joined, len(PARAMETERS), "model parameters")
    return joined


def scales_from_coefficients(
    coefficients: FloatArray, mean: FloatArray, components: FloatArray
) -> FloatArray:
    """(..., 68) scales from scale_params (..., 28).

    mean: (68,), components: (28, 68): tables of SAM 3D Body's checkpoint, which is not free to
    pass on; they come from the user's file (`scale_mean`, `scale_comps`).
    """
    return np.asarray(mean + coefficients @ components)


def root_rotation(global_rot: FloatArray) -> FloatArray:
    """(..., 3, 3) rotation of the root in the rig's frame from `global_rot` (..., 3).

    The first six of the 519 are not this rotation: the angles are stored in reverse order of
    what is read from them.
    """
    return _rotation(global_rot)


def flip_axes(points: FloatArray) -> FloatArray:
    """(..., 3) from the rig's axes to camera axes, or back."""
    return np.asarray(points * _FLIP)


def hand_parameters(side: str) -> tuple[str, ...]:
    """Names of the 27 parameters of a hand, `side` "l" or "r", in hand_pose_params' order."""
    return tuple(f"{side}_{angle}" for angle in HAND_ANGLES)


def decode_hand(
    code: FloatArray, mean: FloatArray, components: FloatArray | None = None
) -> FloatArray:
    """(..., 27) angles (`HAND_ANGLES`) of one hand from half of hand_pose_params (..., 54).

    mean: (54,), components: (54, 54; None: identity, as in the published model) are tables of
    SAM 3D Body's checkpoint (`hand_pose_mean`, `hand_pose_comps`): take them from the user's
    file, or the mean from `solve_hand_mean`. The left hand is the first half.
    """
    _check(code, 54, "hand code")
    values = mean + (code if components is None else code @ components)
    out = np.empty((*code.shape[:-1], 27))
    sixes, triples, pairs, singles = _HAND
    out[..., triples] = _angles(values[..., sixes])
    out[..., singles] = np.arctan2(values[..., pairs[:, 0]], values[..., pairs[:, 1]])
    return out


def solve_hand_mean(codes: FloatArray, angles: FloatArray) -> FloatArray:
    """(54,) mean of the hand code from N hands whose code (N, 54) and angles (N, 27) are known.

    Least squares: what mean + code decodes to is parallel to (sin, cos) of the known angle, or
    in the line and plane of the known rotation's first two axes; each is linear in the mean.
    Raises TooFewPoints when the hands, at least three, do not determine it.
    """
    _check(codes, 54, "hand codes")
    _check(angles, 27, "hand angles")
    mean = np.empty(54)
    sixes, triples, pairs, singles = _HAND
    for six, triple in zip(sixes, triples, strict=True):
        R = _rotation(angles[:, triple])
        x, y = codes[:, six[:3]], codes[:, six[3:]]
        across = np.concatenate([R[..., 1], R[..., 2]])
        mean[six[:3]] = _solve(across, -(across * np.tile(x, (2, 1))).sum(-1), len(codes))
        mean[six[3:]] = _solve(R[..., 2], -(R[..., 2] * y).sum(-1), len(codes))
    for pair, single in zip(pairs, singles, strict=True):
        rows = np.stack([np.cos(angles[:, single]), -np.sin(angles[:, single])], axis=-1)
        mean[pair] = _solve(rows, -(rows * codes[:, pair]).sum(-1), len(codes))
    return mean


def _hand_layout() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Places of the 5 rotations in code (5, 6) and angles (5, 3), and of 12 angles alone."""
    sixes, triples, pairs, singles = [], [], [], []
    code = angle = 0
    while angle < len(HAND_ANGLES):
        if HAND_ANGLES[angle].endswith("_rx"):
            sixes.append(np.arange(code, code + 6))
            triples.append(np.arange(angle, angle + 3))
            code, angle = code + 6, angle + 3
        else:
            pairs.append(np.arange(code, code + 2))
            singles.append(angle)
            code, angle = code + 2, angle + 1
    return np.array(sixes), np.array(triples), np.array(pairs), np.array(singles)


_HAND = _hand_layout()


def _solve(rows: FloatArray, right: FloatArray, hands: int) -> FloatArray:
    solution, _, rank, _ = np.linalg.lstsq(rows, right, rcond=1e-6)
    if rank < rows.shape[1]:
        raise TooFewPoints(
            "The mean of the hand code", found=hands, needed=max(3, hands + 1),
            hint="give more hands, in different poses",
        )  # fmt: skip
    return np.asarray(solution)


def _rotation(xyz: FloatArray) -> FloatArray:
    """(..., 3, 3) = Rz Ry Rx of angles x, y, z (..., 3)."""
    return compose(xyz[..., ::-1], "ZYX")


def _columns(xyz: FloatArray) -> FloatArray:
    """(..., 6): first column of the rotation, then the second."""
    R = _rotation(xyz)
    return np.concatenate([R[..., 0], R[..., 1]], axis=-1)


def _angles(six: FloatArray) -> FloatArray:
    """(..., 3) angles x, y, z of two columns (..., 6) that need not be orthonormal."""
    x = unit(six[..., :3])
    y = six[..., 3:]
    y = unit(y - (x * y).sum(-1, keepdims=True) * x)
    # 0 y: where the second axis is NaN, all three angles are.
    return decompose(np.stack([x + 0 * y, y, cross(x, y)], axis=-1), "ZYX")[..., ::-1]


def _check(values: FloatArray, size: int, what: str) -> None:
    if values.shape[-1:] != (size,):
        raise InvalidData(f"The {what} must end in {size} numbers, not in shape {values.shape}.")
