"""Motion capture files of whatever program, as clips of kinefit's joints.

    .bvh                 any skeleton whose joints have usual names
    .amc, with its .asf  Acclaim, as the CMU database
    .npz                 AMASS (SMPL, SMPL-H, SMPL-X), or the packed CMU file below

The packed CMU file (`cmu_30fps.npz`) has pos_i16 (N, J, 3) times pos_scale metres, quat_i16 (N, J,
4) w, x, y, z of the segments' world rotations, -32768 where missing, rest (trials, J, 3), joints
(J,), trial (trials,) names, start (trials + 1,), and fps.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from kinefit.geometry import rotations as so3
from kinefit.io.amass import read_amass
from kinefit.io.arrays import field, npz_names, numbers, read_npz
from kinefit.io.asf_amc import read_amc
from kinefit.io.bvh import read_bvh
from kinefit.io.mocap import MocapClip
from kinefit.io.mocap_joints import PARENT, with_kinefit_joints
from kinefit.io.text import refused_as_input
from kinefit.types import FloatArray, InputError

_SUFFIXES = (".bvh", ".amc", ".npz")
_MOST_FILES = 20_000
_MISSING = -32768
_CMU_HZ = 30.0
_HINT = "name BVH, AMC (with its ASF beside it) or AMASS .npz files"


def mocap_files(path: Path) -> list[Path]:
    """`path` itself, or the recordings in it and in its folders, in the order of their names.

    Raises InputError where there is none.
    """
    if not path.is_dir():
        if path.suffix.lower() not in _SUFFIXES:
            raise InputError(path, "is not motion capture that kinefit reads", _HINT)
        return [path]
    found: list[Path] = []
    for folder, _, names in os.walk(path):
        found += [Path(folder) / name for name in names if name.lower().endswith(_SUFFIXES)]
        if len(found) > _MOST_FILES:
            raise InputError(path, f"has over {_MOST_FILES} recordings", "name a folder in it")
    # AMASS keeps a subject's shape beside the recordings.
    found = [file for file in found if file.name not in ("shape.npz", "neutral_stagei.npz")]
    if not found:
        raise InputError(path, "has no motion capture that kinefit reads", _HINT)
    return sorted(found)


def read_recordings(path: Path, rate_hz: float) -> list[MocapClip]:
    """Everything in a file or folder as `read_mocap`, thinned to about `rate_hz`.

    In a folder recordings are called by their place in it, as AMASS's SUBJECT/ACTION.
    """
    clips = []
    for file in mocap_files(path):
        for clip in read_mocap(file):
            place = file.relative_to(path).with_suffix("").as_posix() if path.is_dir() else ""
            named = clip if clip.format == "cmu" or not place else replace(clip, name=place)
            clips.append(named.thinned(rate_hz))
    return clips


def read_mocap(path: Path) -> list[MocapClip]:
    """The recordings of one file, with the joints of `kinefit.io.mocap_joints`, Y up.

    Raises InputError, naming the file and the line, for what cannot be read or is no person.
    """
    match path.suffix.lower():
        case ".bvh":
            clip = read_bvh(path)
        case ".amc":
            clip = read_amc(path)
        case ".npz" if "pos_i16" in npz_names(path):
            return read_cmu(path)
        case ".npz":
            clip = read_amass(path)
        case _:
            raise InputError(path, "is not motion capture that kinefit reads", _HINT)
    return [with_kinefit_joints(path, clip)]


def read_cmu(path: Path) -> list[MocapClip]:
    """All recordings of the packed CMU file; raises InputError where it is not of that form."""
    arrays = read_npz(path)
    pos = numbers(path, arrays, "pos_i16", (None, None, 3))
    N, J, _ = pos.shape
    quat = numbers(path, arrays, "quat_i16", (N, J, 4))
    scale = float(numbers(path, arrays, "pos_scale", ()))
    joints, trials = (
        tuple(field(path, arrays, key, (None,), "U").tolist()) for key in ("joints", "trial")
    )
    rest = numbers(path, arrays, "rest", (len(trials), J, 3))
    start = numbers(path, arrays, "start", (len(trials) + 1,)).astype(np.int64)
    if len(joints) != J or start[0] or start[-1] != N or (np.diff(start) < 1).any():
        raise InputError(path, "its joints or starts do not fit its positions", "copy it again")
    rate = float(numbers(path, arrays, "fps", ())) if "fps" in arrays else _CMU_HZ
    positions = np.where(pos == _MISSING, np.nan, pos * scale)
    rotations = _matrix(np.where(quat == _MISSING, np.nan, quat))
    parents = _parents(joints)
    with refused_as_input(path):
        return [
            MocapClip(name, "cmu", rate, joints, parents, positions[a:b], rotations[a:b], rest[i])
            for i, (name, a, b) in enumerate(zip(trials, start[:-1], start[1:], strict=True))
        ]


def _parents(joints: tuple[str, ...]) -> NDArray[np.int64]:
    """(J,) the nearest joint above that the file has; of those it adds, its first."""
    out = []
    for name in joints:
        above = PARENT.get(name, None if name == joints[0] else joints[0])
        while above is not None and above not in joints:
            above = PARENT[above]
        out.append(-1 if above is None else joints.index(above))
    return np.array(out)


def _matrix(wxyz: FloatArray) -> FloatArray:
    """(..., 3, 3) of quaternions (..., 4) of any length."""
    q = wxyz / np.linalg.norm(wxyz, axis=-1, keepdims=True)
    vector = q[..., 1:]
    # The rotation vector, from the half angle's sine and cosine.
    sine = so3.norm(vector)
    angle = 2 * np.arctan2(sine, q[..., 0])
    return so3.exp(vector * (angle / np.where(sine > 0, sine, 1.0))[..., None])
