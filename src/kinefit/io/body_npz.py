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

from pathlib import Path

import numpy as np

from kinefit.geometry.rotations import exp, log
from kinefit.io import limits
from kinefit.io.arrays import field, npz_names, numbers, read_npz, save_npz
from kinefit.io.text import refused_as_input
from kinefit.types import BodyMotion, InputError, Timeline

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
    arrays = read_npz(path, _KEYS, limits.MOTION_BYTES)
    if "format" not in arrays and "poses" in npz_names(path):
        reason = "is a motion of AMASS, for an SMPL body that kinefit does not have"
        hint = "bring it to a body: `kinefit export motion` and `kinefit synth --motion` do"
        raise InputError(path, reason, hint)
    if field(path, arrays, "format", (), "U") != FORMAT:
        raise InputError(path, f"is not a {FORMAT!r} file", "write it with this version of kinefit")
    body = str(field(path, arrays, "body", (), "U"))
    joints, shapes = (
        field(path, arrays, key, (None,), "U").tolist() for key in ("joint_names", "shape_names")
    )
    frame = field(path, arrays, "frame", (None,), "iu").astype(np.int64)
    T, B = len(frame), len(joints)
    time = numbers(path, arrays, "time_s", (T,))
    vectors = numbers(path, arrays, "rotvec_rad", (T, B, 3))
    if (np.abs(vectors) > 1e6).any():  # its direction is all that double precision keeps
        raise InputError(path, "it has a rotation of more than a million radians", _HINT)
    place = numbers(path, arrays, "translation_m", (T, 3))
    shape = numbers(path, arrays, "shape", (len(shapes),))
    with refused_as_input(path):
        return BodyMotion(
            body, Timeline(frame, time), tuple(joints), exp(vectors), place, shape, tuple(shapes)
        )
