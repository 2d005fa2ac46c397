"""Recorded motion as clips: retargeted to Anny once, and cached."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.body.anny import load_anny
from kinefit.body.model import BodyModel
from kinefit.fit.recipes.retarget import RetargetBody, good_frames, retarget_all
from kinefit.geometry import rotations as so3
from kinefit.io.mocap_files import mocap_files, read_recordings
from kinefit.io.text import read_bytes
from kinefit.synth.array_cache import cached, key_of
from kinefit.synth.motion_clip import Clip, from_origin, hip_height
from kinefit.types import true_runs

_RATE_HZ = 30.0
_LEAST_S = 1.0
_CMU = "CMU Graphics Lab Motion Capture Database, mocap.cs.cmu.edu"
_READERS = ("mocap", "mocap_joints", "mocap_files", "bvh", "asf_amc", "amass")


def recorded_clips(path: Path, cache: Path | None = None, processes: int = 1) -> list[Clip]:
    """The recordings of a motion capture file or folder (`kinefit.io.mocap_files`) as clips.

    One clip per run of good frames of a second or more, from the origin, facing +Z, at about 30
    frames per second. The first call takes about two minutes of one core for 20 minutes of motion;
    the result is cached under a hash of the files and of the program.

    cache: folder for that; None: `kinefit.body.anny.cache_folder()`. processes: how many work.

    Raises InputError for a file that cannot be read.
    """
    body, files = load_anny(), mocap_files(path)
    sources = ["fit/recipes/retarget.py", *(f"io/{name}.py" for name in _READERS)]
    return cached(
        "motion",
        key_of(sources, *(part for file in files for part in _content(file))),
        lambda: _retargeted(body, path, processes),
        lambda arrays: list(_clips(body, arrays)),
        cache,
    )


def _content(file: Path) -> Iterator[bytes]:
    """The name of a recording, and its bytes with those of its skeleton."""
    skeletons = sorted(file.parent.glob("*.[aA][sS][fF]")) if file.suffix.lower() == ".amc" else []
    yield file.stem.encode()
    yield from map(read_bytes, (file, *skeletons))


def _retargeted(body: BodyModel, path: Path, processes: int) -> dict[str, Any]:
    """Rotation vectors (N, F, 3) of the free joints, roots (N, 3), and the trial of each frame."""
    rig, trials = RetargetBody.of(body), read_recordings(path, _RATE_HZ)
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
        "rate_hz": np.array([trial.rate_hz for trial in trials]),
        "source": np.array(
            [_CMU if t.format == "cmu" else f"{path.name}: {t.name}" for t in trials]
        ),
        "trial": np.repeat(np.arange(len(done)), [len(found.state) for found in done]),
        "good": np.concatenate(good),
    }


def _clips(body: BodyModel, arrays: dict[str, Any]) -> Iterator[Clip]:
    index = [body.joint_names.index(str(name)) for name in arrays["joint_names"]]
    for i, name in enumerate(arrays["names"]):
        mine, rate = np.flatnonzero(arrays["trial"] == i), float(arrays["rate_hz"][i])
        for first, last in true_runs(arrays["good"][mine]):
            rows = mine[first:last]
            if len(rows) < _LEAST_S * rate:
                continue
            rotations = np.tile(np.eye(3), (len(rows), len(body.joint_names), 1, 1))
            rotations[:, index] = so3.exp(arrays["rotvec"][rows].astype(np.float64))
            yield from_origin(
                Clip(
                    name=f"{name} from {first / rate:.1f} s",
                    source=str(arrays["source"][i]),
                    joint_names=body.joint_names,
                    times=np.arange(len(rows)) / rate,
                    rotations=rotations,
                    root_path=arrays["root"][rows].astype(np.float64),
                    hip_height_m=float(arrays["hip_height"][i]),
                )
            )
