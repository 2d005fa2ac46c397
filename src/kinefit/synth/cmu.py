"""The CMU recordings as clips: retargeted to Anny once, and kept in the user's cache."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.body.anny import load_anny
from kinefit.body.model import BodyModel
from kinefit.fit.contact import runs
from kinefit.fit.recipes.cmu import RetargetBody, good_frames, read_cmu, retarget_all
from kinefit.geometry import rotations as so3
from kinefit.io.arrays import MAX_BYTES
from kinefit.io.text import read_bytes
from kinefit.synth.kept import kept, key_of
from kinefit.synth.motion import Clip, from_origin, hip_height

_RATE_HZ = 30.0
_LEAST_S = 1.0
_SOURCE = "CMU Graphics Lab Motion Capture Database, mocap.cs.cmu.edu"


def cmu_clips(path: Path, cache: Path | None = None, processes: int = 1) -> list[Clip]:
    """The recordings of `cmu_30fps.npz` (see `kinefit.fit.recipes.cmu.read_cmu`) as clips.

    One clip per run of good frames of a second or more, from the origin, facing +Z. The first call
    takes about two minutes of one core; what it finds is kept under a name made of the file's and
    the program's content, so that neither can change behind it.

    cache: folder for that; None: `kinefit.body.anny.cache_folder()`. processes: how many work.

    Raises InputError for a file that cannot be read.
    """
    body = load_anny()
    return kept(
        "cmu",
        key_of(["fit/recipes/cmu.py"], read_bytes(path, MAX_BYTES)),
        lambda: _retargeted(body, path, processes),
        lambda arrays: list(_clips(body, arrays)),
        cache,
    )


def _retargeted(body: BodyModel, path: Path, processes: int) -> dict[str, Any]:
    """Rotation vectors (N, F, 3) of the free joints, roots (N, 3), and what tells frames apart."""
    rig, trials = RetargetBody.of(body), read_cmu(path)
    done = retarget_all(rig, trials, processes)
    good = [good_frames(rig, trial, found) for trial, found in zip(trials, done, strict=True)]
    shapes = np.stack([found.state.shape for found in done])
    heads = body.rest_joints(shapes)[:, 0]
    root = [found.state.translation + head for found, head in zip(done, heads, strict=True)]
    return {
        "joint_names": np.array(rig.chain.joint_names),
        # Single precision: a ten-thousandth of a degree.
        "rotvec": so3.log(np.concatenate([f.state.rotations for f in done])).astype(np.float32),
        "root": np.concatenate(root).astype(np.float32),
        "hip_height": np.array([hip_height(body, shape) for shape in shapes]),
        "names": np.array([found.name for found in done]),
        "trial": np.repeat(np.arange(len(done)), [len(found.state) for found in done]),
        "good": np.concatenate(good),
    }


def _clips(body: BodyModel, arrays: dict[str, Any]) -> Iterator[Clip]:
    index = [body.joint_names.index(str(name)) for name in arrays["joint_names"]]
    for i, name in enumerate(arrays["names"]):
        mine = np.flatnonzero(arrays["trial"] == i)
        for first, last in runs(arrays["good"][mine]):
            rows = mine[first:last]
            if len(rows) < _LEAST_S * _RATE_HZ:
                continue
            rotations = np.tile(np.eye(3), (len(rows), len(body.joint_names), 1, 1))
            rotations[:, index] = so3.exp(arrays["rotvec"][rows].astype(np.float64))
            yield from_origin(
                Clip(
                    name=f"{name} from {first / _RATE_HZ:.1f} s",
                    source=_SOURCE,
                    joint_names=body.joint_names,
                    times=np.arange(len(rows)) / _RATE_HZ,
                    rotations=rotations,
                    root_path=arrays["root"][rows].astype(np.float64),
                    hip_height_m=float(arrays["hip_height"][i]),
                )
            )
