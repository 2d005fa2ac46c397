"""Motions of bodies as NumPy archives: kinefit's own, and the layout of AMASS for SMPL bodies.

kinefit's own file holds

    format          "kinefit body motion 1"
    body            name of the body model
    joint_names     (B,) text
    frame, time_s   (T,) frame numbers and seconds
    rotvec_rad      (T, B, 3) local rotations about the world's axes at rest, as rotation vectors
    translation_m   (T, 3) added to the whole body
    shape_names     (S,) text
    shape           (S,)

with NaN in frames without a pose. Y is up. AMASS (Mahmood et al. 2019, ICCV; amass.is.tue.mpg.de)
has `poses` (T, 3 B) rotation vectors, `trans` (T, 3) metres, `betas`, `mocap_framerate` in Hz and
`gender`, with Z up; its numbers are read and written here as they are, in the file's axes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from kinefit.geometry.rotations import exp, log
from kinefit.io.arrays import read_npz
from kinefit.io.atomic import atomic_path
from kinefit.io.text import refused_as_input
from kinefit.types import BodyMotion, FloatArray, InputError, Timeline

FORMAT = "kinefit body motion 1"
GENDERS = ("female", "male", "neutral")
_KEYS = ("format", "body", "joint_names", "frame", "time_s", "rotvec_rad", "translation_m",
         "shape_names", "shape")  # fmt: skip
_RATES = ("mocap_framerate", "mocap_frame_rate")  # SMPL-H files, SMPL-X files
_FASTEST_HZ = 1e5  # a rate beyond is a damaged file
_HINT = "check that this is the right file"


class AmassMotion(NamedTuple):
    """What an AMASS file says.

    rotations: (T, B, 3, 3) local. translation: (T, 3) metres. Both in the file's axes, Z up.
    betas: all shape coefficients of the file. gender: "female", "male" or "neutral".
    """

    timeline: Timeline
    rotations: FloatArray
    translation: FloatArray
    betas: FloatArray
    gender: str


def write_motion(path: str | Path, motion: BodyMotion) -> None:
    """Write `motion`, compressed; it comes back to rounding (1e-15 of a rotation)."""
    _save(
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
    if _text(path, arrays, "format") != FORMAT:
        raise InputError(path, f"is not a {FORMAT!r} file", "write it with this version of kinefit")
    joints, shapes = (_texts(path, arrays, key) for key in ("joint_names", "shape_names"))
    frame = _array(path, arrays, "frame", (None,), "iu").astype(np.int64)
    T, B = len(frame), len(joints)
    with refused_as_input(path):
        return BodyMotion(
            _text(path, arrays, "body"),
            Timeline(frame, _numbers(path, arrays, "time_s", (T,))),
            joints,
            exp(_angles(path, _numbers(path, arrays, "rotvec_rad", (T, B, 3)))),
            _numbers(path, arrays, "translation_m", (T, 3)),
            _numbers(path, arrays, "shape", (len(shapes),)),
            shapes,
        )


def write_amass(path: str | Path, motion: BodyMotion, betas: FloatArray, gender: str) -> None:
    """Write `motion` under the names of AMASS, its axes as they are (AMASS has Z up).

    betas: (C,) coefficients of the body's shape directions. gender: one of GENDERS.

    Raises InputError for a body that is not of the SMPL family, another gender, a frame without
    a pose, and a clock that is not even: the format has one rate and no missing frames.
    """
    path = Path(path)
    timeline = motion.timeline
    if not motion.body.lower().startswith("smpl"):
        raise InputError(path, f"AMASS holds SMPL bodies, not {motion.body}", "use write_motion")
    if gender not in GENDERS:
        raise InputError(path, f"unknown gender {gender!r}", f"use {', '.join(GENDERS)}")
    missing = np.isnan(motion.translation).any(axis=1)
    if missing.any():
        frame = timeline.frame[np.argmax(missing)]
        raise InputError(path, f"frame {frame} has no pose", "fill the gaps first")
    if len(timeline) < 2 or not timeline.is_uniform:
        raise InputError(
            path, "AMASS has one frame rate, this motion has none",
            "bring the motion to a constant rate first",
        )  # fmt: skip
    _save(
        path,
        poses=log(motion.rotations).reshape(len(timeline), -1),
        trans=motion.translation,
        betas=betas,
        mocap_framerate=np.array((len(timeline) - 1) / (timeline.time[-1] - timeline.time[0])),
        gender=np.array(gender),
    )


def read_amass(path: str | Path, joint_count: int) -> AmassMotion:
    """An AMASS file of a body with `joint_count` joints; frames from 0, the first at time 0.

    Soft-tissue coefficients (`dmpls`) and markers are left out.

    Raises InputError for missing arrays, wrong shapes and numbers that are not finite, and for
    poses of another number of joints.
    """
    path = Path(path)
    wanted = ("poses", "trans", "betas", "gender", *_RATES)
    arrays = read_npz(path, only=wanted)
    poses = _numbers(path, arrays, "poses", (None, None))
    T, columns = poses.shape
    if columns != 3 * joint_count:
        raise InputError(
            path, f"its poses have {columns / 3:g} joints, the body has {joint_count}",
            "AMASS has SMPL-H (52 joints) and SMPL-X (55): load that body",
        )  # fmt: skip
    translation = _numbers(path, arrays, "trans", (T, 3))
    betas = _numbers(path, arrays, "betas", (None,))
    rate = _rate(path, arrays)
    if not T or not all(np.isfinite(a).all() for a in (poses, translation, betas)):
        raise InputError(path, "it has no frames, or numbers that are not finite", _HINT)
    rotations = exp(_angles(path, poses.reshape(T, joint_count, 3)))
    with refused_as_input(path):
        timeline = Timeline.regular(T, rate)
    return AmassMotion(timeline, rotations, translation, betas, _gender(path, arrays))


def _save(path: Path, **arrays: Any) -> None:
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **arrays)


def _rate(path: Path, arrays: Mapping[str, NDArray[Any]]) -> float:
    key = next((key for key in _RATES if key in arrays), _RATES[0])
    rate = float(_numbers(path, arrays, key, ()))
    if not 0 < rate <= _FASTEST_HZ:
        raise InputError(path, f"its frame rate is {rate} Hz", _HINT)
    return rate


def _gender(path: Path, arrays: Mapping[str, NDArray[Any]]) -> str:
    """As text, as bytes, or as the text that Python makes of bytes: files have all three."""
    value = _array(path, arrays, "gender", (), "US").item()
    text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    text = text.removeprefix("b'").removesuffix("'").lower()
    if text not in GENDERS:
        raise InputError(path, f"its gender is {text[:40]!r}", f"use {', '.join(GENDERS)}")
    return text


def _angles(path: Path, vectors: FloatArray) -> FloatArray:
    """`vectors` unless one is so long that its direction is all that double precision keeps."""
    if (np.abs(vectors) > 1e6).any():
        raise InputError(path, "it has a rotation of more than a million radians", _HINT)
    return vectors


def _numbers(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    key: str,
    shape: Sequence[int | None],
) -> FloatArray:
    return _array(path, arrays, key, shape, "fiu").astype(np.float64)


def _text(path: Path, arrays: Mapping[str, NDArray[Any]], key: str) -> str:
    return str(_array(path, arrays, key, (), "U").item())


def _texts(path: Path, arrays: Mapping[str, NDArray[Any]], key: str) -> tuple[str, ...]:
    return tuple(_array(path, arrays, key, (None,), "U").tolist())


def _array(
    path: Path,
    arrays: Mapping[str, NDArray[Any]],
    key: str,
    shape: Sequence[int | None],
    kinds: str,
) -> NDArray[Any]:
    """The array of that name, of one of the dtype `kinds` and that shape (None: any length)."""
    if key not in arrays:
        raise InputError(path, f"it has no array {key!r}", _HINT)
    array = arrays[key]
    fits = array.ndim == len(shape) and all(
        want in (None, got) for got, want in zip(array.shape, shape, strict=True)
    )
    if array.dtype.kind not in kinds or not fits:
        wanted = "(" + ", ".join("*" if n is None else str(n) for n in shape) + ")"
        raise InputError(
            path, f"its {key!r} is {array.shape} of type {array.dtype}, expected {wanted}", _HINT
        )
    return array
