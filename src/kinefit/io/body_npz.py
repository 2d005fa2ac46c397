"""Motions of bodies as NumPy archives of kinefit's own:

    format          "kinefit body motion 1"
    body            name of the body model
    joint_names     (B,) text
    frame, time_s   (T,) frame numbers and seconds
    rotvec_rad      (T, B, 3) local rotations about the world's axes at rest, as rotation vectors
    translation_m   (T, 3) added to the whole body
    shape_names     (S,) text
    shape           (S,)

with NaN in frames without a pose. Y is up.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.geometry.rotations import exp, log
from kinefit.io.arrays import field, npz_names, numbers, read_npz, save_npz
from kinefit.io.text import refused_as_input
from kinefit.types import BodyMotion, FloatArray, InputError, Timeline

FORMAT = "kinefit body motion 1"
_KEYS = ("format", "body", "joint_names", "frame", "time_s", "rotvec_rad", "translation_m",
         "shape_names", "shape")  # fmt: skip
_HINT = "check that this is the right file"


def write_motion(path: str | Path, motion: BodyMotion) -> None:
    """Write `motion`, compressed; it comes back to rounding (1e-15 of a rotation)."""
    save_npz(
        Path(path),
        format=np.array(FORMAT),
        body=np.array(motion.body),
        joint_names=np.array(motion.joint_names),
        frame=motion.timeline.frame,
        time_s=motion.timeline.time,
        rotvec_rad=log(motion.rotations),
        translation_m=motion.translation,
        shape_names=np.array(motion.shape_names, dtype=np.str_),
        shape=motion.shape,
    )


def read_motion(path: str | Path) -> BodyMotion:
    """The motion in a file of `write_motion`.

    Raises InputError for another format or version, for arrays that are missing, of the wrong
    kind or shape, and for what BodyMotion and Timeline refuse.
    """
    path = Path(path)
    arrays = read_npz(path, only=_KEYS)
    if "format" not in arrays and "poses" in npz_names(path):
        raise InputError(
            path, "is a motion of AMASS, for an SMPL body that kinefit does not have",
            "give it to `kinefit synth --motion`, which brings it to kinefit's own body",
        )  # fmt: skip
    if _text(path, arrays, "format") != FORMAT:
        raise InputError(path, f"is not a {FORMAT!r} file", "write it with this version of kinefit")
    joints, shapes = (_texts(path, arrays, key) for key in ("joint_names", "shape_names"))
    frame = field(path, arrays, "frame", (None,), "iu").astype(np.int64)
    T, B = len(frame), len(joints)
    with refused_as_input(path):
        return BodyMotion(
            _text(path, arrays, "body"),
            Timeline(frame, numbers(path, arrays, "time_s", (T,))),
            joints,
            exp(_angles(path, numbers(path, arrays, "rotvec_rad", (T, B, 3)))),
            numbers(path, arrays, "translation_m", (T, 3)),
            numbers(path, arrays, "shape", (len(shapes),)),
            shapes,
        )


def _angles(path: Path, vectors: FloatArray) -> FloatArray:
    """`vectors` unless one is so long that its direction is all that double precision keeps."""
    if (np.abs(vectors) > 1e6).any():
        raise InputError(path, "it has a rotation of more than a million radians", _HINT)
    return vectors


def _text(path: Path, arrays: Mapping[str, NDArray[Any]], key: str) -> str:
    return str(field(path, arrays, key, (), "U").item())


def _texts(path: Path, arrays: Mapping[str, NDArray[Any]], key: str) -> tuple[str, ...]:
    return tuple(field(path, arrays, key, (None,), "U").tolist())
