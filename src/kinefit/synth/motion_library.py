"""The motions of scenes: kinefit's own, which need no data, and recordings; both cached."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from kinefit.body.anny import load_anny
from kinefit.body.model import BodyModel
from kinefit.fit.recipes.retarget import RetargetBody, good_frames, retarget_all
from kinefit.geometry import rotations as so3
from kinefit.io.arrays import read_npz
from kinefit.io.atomic import atomic_path
from kinefit.io.mocap_files import mocap_files, read_recordings
from kinefit.io.text import read_bytes
from kinefit.synth.contact_ik import ContactBody, solve_contacts
from kinefit.synth.keyframes import motion, motion_names, sampled
from kinefit.synth.motion_clip import Clip, from_origin, hip_height
from kinefit.types import InputError, InvalidData, true_runs

Result = TypeVar("Result")


def cached(
    name: str,
    key: str,
    make: Callable[[], dict[str, Any]],
    read: Callable[[dict[str, Any]], Result],
    folder: Path | None = None,
) -> Result:
    """`read` of the arrays of `make`, which runs only if they are not cached.

    name, key: of the file, NAME-KEY.npz; `key` identifies what the arrays depend on. folder: None
    is `cache_folder()`. A file that is absent or damaged is written anew.
    """
    path = (folder or cache_folder()) / f"{name}-{key}.npz"
    try:
        return read(read_npz(path))
    except (InputError, InvalidData, KeyError, ValueError, IndexError):
        arrays = make()
        with atomic_path(path) as partial, partial.open("wb") as stream:
            np.savez(stream, **arrays)
        return read(arrays)


def cache_folder() -> Path:
    """Where kinefit keeps what it can make again: KINEFIT_CACHE, or the system's usual place."""
    if named := os.environ.get("KINEFIT_CACHE"):
        return Path(named)
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData/Local")) / "kinefit"
    if sys.platform == "darwin":
        return Path.home() / "Library/Caches/kinefit"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "kinefit"


def key_of(sources: Iterable[str], *more: bytes) -> str:
    """20 hexadecimal digits: of kinefit's files `sources` ("synth/scene.py") and of other bytes."""
    digest = hashlib.sha256()
    for source in sources:
        digest.update(hashlib.sha256((files("kinefit") / source).read_bytes()).digest())
    for content in more:
        digest.update(hashlib.sha256(content).digest())
    return digest.hexdigest()[:20]


_RATE_HZ = 30.0
_LEAST_S = 1.0
_BODY = ("body/anny.py", "weights/anny.npz")
_READERS = ("mocap", "mocap_joints", "mocap_files", "bvh", "asf_amc", "amass")


def recorded_clips(path: Path, cache: Path | None = None, processes: int = 1) -> list[Clip]:
    """The recordings of a motion capture file or folder (`kinefit.io.mocap_files`) as clips.

    One clip per run of good frames of a second or more, from the origin, facing +Z, at about 30
    frames per second. The first call takes about two minutes of one core for 20 minutes of motion;
    the result is cached under a hash of the files and of the program.

    cache: folder for that; None: `cache_folder()`. processes: how many work.
    Raises InputError for a file that cannot be read.
    """
    body, files = load_anny(), mocap_files(path)
    sources = ["fit/recipes/retarget.py", *_BODY, *(f"io/{name}.py" for name in _READERS)]
    return cached(
        "motion",
        key_of(sources, *(part for file in files for part in _content(file))),
        lambda: _retarget(body, path, processes),
        lambda arrays: list(_recorded(body, arrays)),
        cache,
    )


def _content(file: Path) -> Iterator[bytes]:
    """The name of a recording, and its bytes with those of its skeleton."""
    skeletons = sorted(file.parent.glob("*.[aA][sS][fF]")) if file.suffix.lower() == ".amc" else []
    yield file.stem.encode()
    yield from map(read_bytes, (file, *skeletons))


def _retarget(body: BodyModel, path: Path, processes: int) -> dict[str, Any]:
    """Rotation vectors (N, F, 3) of the free joints, roots (N, 3), and the trial of each frame."""
    rig, trials = RetargetBody.of(body), read_recordings(path, _RATE_HZ)
    done = retarget_all(rig, trials, processes)
    good = [good_frames(rig, trial, found) for trial, found in zip(trials, done, strict=True)]
    shapes = np.stack([found.state.shape for found in done])
    heads = body.rest_joints(shapes)[:, 0]
    root = [found.state.translation + head for found, head in zip(done, heads, strict=True)]
    sources = {"cmu": "CMU Graphics Lab Motion Capture Database, mocap.cs.cmu.edu"}
    return {
        "joint_names": np.array(rig.chain.joint_names),
        # Single precision: a ten-thousandth of a degree.
        "rotvec": so3.log(np.concatenate([f.state.rotations for f in done])).astype(np.float32),
        "root": np.concatenate(root).astype(np.float32),
        "hip_height": np.array([hip_height(body, shape) for shape in shapes]),
        "names": np.array([found.name for found in done]),
        "rate_hz": np.array([trial.rate_hz for trial in trials]),
        "source": np.array([sources.get(t.format, f"{path.name}: {t.name}") for t in trials]),
        "trial": np.repeat(np.arange(len(done)), [len(found.state) for found in done]),
        "good": np.concatenate(good),
    }


def _recorded(body: BodyModel, arrays: dict[str, Any]) -> Iterator[Clip]:
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


_SOURCES = ("synth/motions.toml", "synth/keyframes.py", "synth/contact_ik.py", *_BODY)


@cache
def built_in() -> dict[str, Clip]:
    """Name -> clip of every motion in `motions.toml`, on Anny's joints.

    They are fitted in the first call, about one second each, and cached.
    """
    body = load_anny()
    return cached("motions", key_of(_SOURCES), lambda: _fitted(body), lambda a: _clips(body, a))


def _fitted(body: BodyModel) -> dict[str, Any]:
    rig, out = ContactBody.of(body), {}
    for name in motion_names():
        clip = solve_contacts(rig, sampled(name))
        out[f"{name}.times"], out[f"{name}.root"] = clip.times, clip.root_path
        out[f"{name}.turns"] = so3.log(clip.rotations[:, rig.chain.joint_index])
    return {"joints": rig.chain.joint_index, **out}


def _clips(body: BodyModel, arrays: dict[str, Any]) -> dict[str, Clip]:
    out = {}
    for name in motion_names():
        rotations = so3.exp(np.zeros((len(arrays[f"{name}.times"]), len(body.joint_names), 3)))
        rotations[:, arrays["joints"]] = so3.exp(arrays[f"{name}.turns"])
        out[name] = Clip(
            name=name,
            source=f"kinefit: {motion(name, 30.0).about}",
            joint_names=body.joint_names,
            times=arrays[f"{name}.times"],
            rotations=rotations,
            root_path=arrays[f"{name}.root"],
            hip_height_m=hip_height(body, body.shape.neutral),
        )
    return out


def motion_library(recorded: Path | None) -> dict[str, Clip]:
    """Every motion by its name: kinefit's own, and those of a motion capture file or folder.

    Raises InputError for another file.
    """
    clips = [] if recorded is None else recorded_clips(recorded, processes=os.cpu_count() or 1)
    return {**built_in(), **{clip.name: clip for clip in clips}}
