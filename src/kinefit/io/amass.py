"""AMASS: motions of SMPL bodies (Mahmood et al. 2019, ICCV; amass.is.tue.mpg.de), in and out.

    poses              (T, 3 B) rotation vectors, each in its parent's axes
    trans              (T, 3) metres
    betas              coefficients of the shape
    mocap_framerate    Hz (mocap_frame_rate in SMPL-X files)
    gender             female, male or neutral

Z is up. A file says nothing about where joints are: that takes the SMPL model of its gender and
its betas, whose licence does not let kinefit have it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.geometry.rotations import exp, log
from kinefit.io import limits
from kinefit.io.arrays import field, numbers, read_npz, save_npz
from kinefit.io.mocap import MocapClip, whole_and_even
from kinefit.types import BodyMotion, FloatArray, InputError

GENDERS = ("female", "male", "neutral")
# SMPL (24 joints), SMPL-H (52), SMPL-X (55), and the body alone (22).
_JOINT_COUNTS = (22, 24, 52, 55)
_RATES = ("mocap_framerate", "mocap_frame_rate")  # SMPL-H files, SMPL-X files
_PARTS = ("root_orient", "pose_body")  # of SMPL-X files, and all that some programs write
_MOST_RAD, _FARTHEST_M = 8 * np.pi, 2000.0  # rotations that went on counting; a mile run
_FASTEST_M_S = 15.0  # sprinters reach 12; a walk at 1.2 m/s is at 120 in centimetres
# Of joints besides the root that are turned at all. No joint turns by half a turn; fits that have
# gone astray have one or two of 21 beyond it, walking in degrees has nearly all.
_BEYOND_HALF_A_TURN = 0.15
_HINT = "check that this is the right file"

# The joints that all of them begin with: name, parent, and where it is in the T-pose of an adult of
# 1.7 m. Places are rounded to a centimetre; the person's own would take the model. Limb directions,
# and so joint angles, are right to about two degrees; sizes are not the person's.
_BODY: tuple[tuple[str, int, tuple[float, float, float]], ...] = (
    ("pelvis", -1, (0.0, 0.0, 0.0)),
    ("left_hip", 0, (0.07, -0.09, -0.01)),
    ("right_hip", 0, (-0.07, -0.09, -0.01)),
    ("spine1", 0, (0.0, 0.11, -0.03)),
    ("left_knee", 1, (0.10, -0.47, -0.01)),
    ("right_knee", 2, (-0.10, -0.47, -0.01)),
    ("spine2", 3, (0.0, 0.24, -0.03)),
    ("left_ankle", 4, (0.09, -0.87, -0.05)),
    ("right_ankle", 5, (-0.09, -0.87, -0.05)),
    ("spine3", 6, (0.0, 0.30, 0.0)),
    ("left_foot", 7, (0.12, -0.92, 0.07)),
    ("right_foot", 8, (-0.12, -0.92, 0.07)),
    ("neck", 9, (0.0, 0.51, -0.04)),
    ("left_collar", 9, (0.08, 0.42, -0.03)),
    ("right_collar", 9, (-0.08, 0.42, -0.03)),
    ("head", 12, (0.0, 0.58, 0.01)),
    ("left_shoulder", 13, (0.17, 0.45, -0.04)),
    ("right_shoulder", 14, (-0.17, 0.45, -0.04)),
    ("left_elbow", 16, (0.43, 0.44, -0.07)),
    ("right_elbow", 17, (-0.43, 0.44, -0.07)),
    ("left_wrist", 18, (0.68, 0.45, -0.07)),
    ("right_wrist", 19, (-0.68, 0.45, -0.07)),
)
_ROOT_HEIGHT = np.array([0.0, -0.22, 0.03])  # of the pelvis where `trans` is zero


def write_amass(path: str | Path, motion: BodyMotion, betas: FloatArray, gender: str) -> None:
    """Write `motion` under the names of AMASS, its axes as they are (AMASS has Z up).

    betas: (C,) coefficients of the body's shape directions. gender: one of GENDERS.

    Raises InputError for a body that is not of the SMPL family, another gender, a frame without
    a pose, and a clock that is not even: the format has one rate and no missing frames.
    """
    path = Path(path)
    if not motion.body.lower().startswith("smpl"):
        raise InputError(
            path,
            f"AMASS holds SMPL bodies, not {motion.body}",
            "write glb or bvh, which hold every body",
        )
    if gender not in GENDERS:
        raise InputError(path, f"unknown gender {gender!r}", f"use {', '.join(GENDERS)}")
    step = whole_and_even(path, motion, "AMASS")
    save_npz(
        path,
        poses=log(motion.rotations).reshape(len(motion.timeline), -1),
        trans=motion.translation,
        betas=betas,
        mocap_framerate=np.array(1 / step),
        gender=np.array(gender),
    )


@dataclass(frozen=True, eq=False)
class AmassMotion:
    """What an AMASS file says of one person: T frames of B joints of an SMPL body, Z up.

    rotvec_rad: (T, B, 3), each in its parent's axes. translation_m: (T, 3). betas: (C,) of the
    shape, none where the file has none. gender: one of GENDERS, or "not stated". notes: what was
    assumed, in sentences.
    """

    rotvec_rad: FloatArray
    translation_m: FloatArray
    betas: FloatArray
    rate_hz: float
    gender: str
    notes: tuple[str, ...] = ()


def read_amass_motion(path: Path) -> AmassMotion:
    """The parameters in an AMASS file, soft tissue (`dmpls`) and markers left out.

    Raises InputError for missing arrays, wrong shapes, numbers that are not finite, and those that
    are in other units for certain: joints turned by more than half a turn, a root that is faster
    than anybody runs. Small motions in degrees and slow ones in centimetres cannot be told.
    """
    arrays = read_npz(path, only=("poses", *_PARTS, "trans", "betas", "gender", *_RATES))
    if "poses" not in arrays and set(_PARTS) <= set(arrays):
        parts = [numbers(path, arrays, name, (None, None)) for name in _PARTS]
        if len(parts[0]) != len(parts[1]):
            reason = f"it has {len(parts[0])} frames of {_PARTS[0]}, {len(parts[1])} of {_PARTS[1]}"
            raise InputError(path, reason, "write both for every frame")
        arrays["poses"] = np.hstack(parts)
    poses = numbers(path, arrays, "poses", (None, None))
    T, columns = poses.shape
    if columns % 3 or columns // 3 not in _JOINT_COUNTS:
        hint = f"SMPL bodies have one of {', '.join(map(str, _JOINT_COUNTS))}"
        raise InputError(path, f"its poses have {columns / 3:g} joints", hint)
    trans = numbers(path, arrays, "trans", (T, 3))
    betas, notes = _betas(path, arrays)
    rate, gender = _rate(path, arrays), _gender(path, arrays)
    if not T or not all(np.isfinite(v).all() for v in (poses, trans, betas)):
        raise InputError(path, "it has no frames, or numbers that are not finite", _HINT)
    _check_units(path, poses.reshape(T, -1, 3), trans, rate)
    if T * columns > 3 * limits.POSES:
        raise InputError(path, f"it has {T} frames, too many to read", "split it")
    return AmassMotion(poses.reshape(T, -1, 3), trans, betas, rate, gender, notes)


def holds_amass(names: Collection[str]) -> bool:
    """Whether arrays of these names are those of an AMASS file."""
    return "poses" in names or set(_PARTS) <= set(names)


def _check_units(path: Path, rotvec: FloatArray, trans: FloatArray, rate_hz: float) -> None:
    """Raises InputError for rotations (T, B, 3) in degrees and a root (T, 3) in centimetres or
    millimetres, where nothing else can be meant."""
    hint = "write rotation vectors in radians, not in degrees"
    if (most := float(np.abs(rotvec).max())) > _MOST_RAD:
        raise InputError(path, f"it has a joint that is turned by {most:.4g} radians", hint)
    angle = np.linalg.norm(rotvec[:, 1:], axis=-1)
    beyond = (angle > np.pi).sum() / max(int((angle > 0).sum()), 1)
    if beyond > _BEYOND_HALF_A_TURN:
        reason = f"{100 * beyond:.0f} % of its rotations of joints are over half a turn"
        raise InputError(path, reason, hint)
    hint = "write `trans` in metres"
    if (far := float(np.ptp(trans, axis=0).max())) > _FARTHEST_M:
        raise InputError(path, f"the person moves over {far:.4g} m", hint)
    speed = np.linalg.norm(np.diff(trans, axis=0), axis=-1) * rate_hz
    if len(speed) and (usual := float(np.median(speed))) > _FASTEST_M_S:
        raise InputError(path, f"the person moves at {usual:.4g} m/s most of the time", hint)


def _betas(path: Path, arrays: Mapping[str, NDArray[Any]]) -> tuple[FloatArray, tuple[str, ...]]:
    """(C,) the shape, of the first frame where each has its own; and notes."""
    if "betas" not in arrays or not len(np.atleast_1d(arrays["betas"])):
        return np.zeros(0), ()
    if arrays["betas"].ndim != 2:
        return numbers(path, arrays, "betas", (None,)), ()
    each = numbers(path, arrays, "betas", (None, None))
    differ = (each != each[0]).any()
    note = "The file has another shape in each frame: that of the first was taken for all."
    return each[0], (note,) * bool(differ)


def read_amass(path: Path) -> MocapClip:
    """The body's joints of an AMASS file, on the skeleton of an average adult.

    Fingers and face are left out; `betas` are not used. World axes are the file's. Raises
    InputError as `read_amass_motion`.
    """
    motion, J = read_amass_motion(path), len(_BODY)
    names, parents, places = zip(*_BODY, strict=True)
    offsets = np.array(places) - np.array(places)[np.maximum(parents, 0)]
    note = f"limbs of an average adult (the file's body is {motion.gender}, its shape unused)"
    turns, root = exp(motion.rotvec_rad[:, :J]), motion.translation_m + _ROOT_HEIGHT
    rate = motion.rate_hz
    return MocapClip.posed(path, "amass", rate, names, parents, offsets, turns, root, note)


def _rate(path: Path, arrays: Mapping[str, NDArray[Any]]) -> float:
    key = next((key for key in _RATES if key in arrays), _RATES[0])
    one = arrays.get(key, np.zeros(0)).size == 1  # a number, or a list of one
    rate = float(numbers(path, {key: arrays[key].reshape(())} if one else arrays, key, ()))
    if not 0 < rate < 1e5:
        raise InputError(path, f"its frame rate is {rate} Hz", _HINT)
    return rate


def _gender(path: Path, arrays: Mapping[str, NDArray[Any]]) -> str:
    """As text, as bytes, or as the text that Python makes of bytes: files have all three."""
    if "gender" not in arrays:
        return "not stated"
    value = field(path, arrays, "gender", (), "USO").item()
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    text = text.removeprefix("b'").removesuffix("'").lower()
    if text not in GENDERS:
        raise InputError(path, f"its gender is {text[:40]!r}", f"use {', '.join(GENDERS)}")
    return text
