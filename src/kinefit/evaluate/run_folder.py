"""A scene's folder, and the folder of a run of its videos, as values that can be scored."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from zipfile import BadZipFile
from zlib import error as ZlibError  # noqa: N812 - a class

import numpy as np

from kinefit.evaluate.truth_at_times import Clock, WorldTransform
from kinefit.io.body_npz import read_motion
from kinefit.io.calibration import read_calibration
from kinefit.multiview.bundle import load_triangulation
from kinefit.multiview.triangulate import Triangulation
from kinefit.pipeline.artifacts import load_angles, load_arrays, load_markers, load_track
from kinefit.pipeline.context import INTERNAL, RIG_STEM
from kinefit.synth.truth import TRUTH, PersonTruth, SceneTruth, ViewTruth, read_manifest, read_truth
from kinefit.types import (
    BodyMotion,
    Camera,
    CameraRig,
    FloatArray,
    InputError,
    InvalidData,
    JointAngles,
    Markers,
    PoseTrack,
)


@dataclass(frozen=True, eq=False)
class SceneFolder:
    """A scene whose files are unchanged. videos: SHA-256 of each camera's video, by camera."""

    path: Path
    truth: SceneTruth
    videos: Mapping[str, str]

    def camera_of(self, sha256: str) -> str | None:
        """The camera whose video has this SHA-256; None for a video that is not of the scene."""
        return next((name for name, own in self.videos.items() if own == sha256), None)


def read_scene(path: Path) -> SceneFolder:
    """The scene in a folder, every file checked against its SHA-256.

    Raises InputError for another folder and for changed files.
    """
    folder = path.parent if path.name == TRUTH else path
    listed = read_manifest(folder)["sha256"]
    truth = read_truth(folder)
    videos = {
        name: str(listed[f"{name}.mp4"]) for name in truth.rig.names if f"{name}.mp4" in listed
    }
    return SceneFolder(folder, truth, videos)


def read_reference(path: Path, person: int = 0) -> PersonTruth:
    """A person of a scene's folder (checked) or of a truth.npz alone.

    Raises InputError for anything else, and for an unknown person.
    """
    truth = read_scene(path).truth if path.is_dir() else read_truth(path)
    check_person(truth, person, path)
    return truth.people[person]


def check_person(truth: SceneTruth, person: int, source: Path) -> None:
    """Raise InputError for a person that the scene does not have."""
    count = len(truth.people)
    if not 0 <= person < count:
        raise InputError(
            "--person", f"{source.name} has {count}, counted from 0", f"give 0 to {count - 1}"
        )


T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class RunData:
    """The results of a run; None or absent where there are none.

    clock: of everything but the tracks, which have the clocks of their videos. transform: from the
    world of markers, angles and body to the scene's. cameras: as the run has them, in its world.
    points: with their evidence, in the calibration's world. masks: files, by camera.
    """

    clock: Clock
    transform: WorldTransform
    cameras: Mapping[str, Camera]
    tracks: Mapping[str, PoseTrack]
    markers: Mapping[str, Markers] = field(default_factory=dict)
    angles: JointAngles | None = None
    points: Triangulation | None = None
    body: BodyMotion | None = None
    masks: Mapping[str, Path] = field(default_factory=dict)


def read_run(folder: Path, scene: SceneFolder) -> RunData:
    """The run in `folder`, which must be of videos of `scene`.

    Raises InputError for a folder that is no run's, a run of other videos, and damaged files.
    """
    cameras = _cameras(folder, scene)
    if len(cameras) > 1:
        return _several(folder, scene, list(cameras))
    ((camera, stem),) = cameras.items()
    return _single(folder, scene, camera, stem)


def _cameras(folder: Path, scene: SceneFolder) -> dict[str, str]:
    """Cameras whose videos the run was made from -> the names of their files in the run."""
    manifest = folder / "run.json"
    listed = _entry(manifest, _json(manifest, "give the --out folder of kinefit run"), "inputs")
    listed = listed if isinstance(listed, list) else []
    named = {str(_entry(manifest, one, "sha256")): str(_entry(manifest, one, "name"))
             for one in listed}  # fmt: skip
    found = {scene.camera_of(sha256): name for sha256, name in named.items()}
    if found and None not in found:
        return {str(camera): name for camera, name in found.items()}
    raise InputError(
        folder, f"is no run of the videos in {scene.path}", "give the scene of these videos"
    )


_DAMAGE = (OSError, EOFError, KeyError, ValueError, TypeError, BadZipFile, ZlibError)


def _single(folder: Path, scene: SceneFolder, camera: str, stem: str) -> RunData:
    internal, view = folder / INTERNAL, scene.truth.view(camera)
    track = _loaded(load_track, internal / f"track_{stem}.npz")
    (posed,) = _fitted_cameras(internal)
    return _with_results(
        folder, stem,
        RunData(
            clock=Clock.of_view(view),
            transform=transform_of_camera(posed, view),
            cameras={camera: posed},
            tracks={camera: track},
            masks=_there({camera: folder / f"{stem}_mask.mp4"}),
        ),
    )  # fmt: skip


def _fitted_cameras(internal: Path) -> CameraRig:
    return read_calibration(internal / "fitted_cameras.toml").rig


def transform_of_camera(camera: Camera, view: ViewTruth) -> WorldTransform:
    """The transform that moves the result's `camera` onto the true one, in each frame.

    x_scene = R_true^T (R x + t - t_true).
    """
    inverse = np.swapaxes(view.R, -1, -2)
    shift = (inverse @ (camera.t - view.t)[..., None])[..., 0]
    return WorldTransform(view.time, inverse @ camera.R, shift)


def _several(folder: Path, scene: SceneFolder, cameras: list[str]) -> RunData:
    internal, source = folder / INTERNAL, folder / INTERNAL / "world.json"
    lab = _entry(source, _json(source, "run it again: kinefit run"), "lab_to_world")
    stored = _loaded(load_arrays, internal / "moments.npz")
    points = load_triangulation(folder / f"{RIG_STEM}_triangulated.npz")
    rig = _fitted_cameras(internal)
    try:
        rotation, shift = np.asarray(lab["R"], np.float64), np.asarray(lab["t_m"], np.float64)
        transform = WorldTransform.fixed(rotation.T, -rotation.T @ shift)
        clock = _common_clock(scene, points, stored["moments"])
    except (InvalidData, KeyError, TypeError, ValueError, IndexError) as error:
        raise _damaged(source, error) from error
    files = {name: internal / f"track_{name}.npz" for name in cameras}
    return _with_results(
        folder, RIG_STEM,
        RunData(
            clock=clock,
            transform=transform,
            cameras={camera.name: camera for camera in rig if camera.name in cameras},
            tracks={name: _loaded(load_track, path) for name, path in _there(files).items()},
            points=points,
            masks=_there({name: folder / f"{name}_mask.mp4" for name in cameras}),
        ),
    )  # fmt: skip


def _common_clock(scene: SceneFolder, points: Triangulation, moments: FloatArray) -> Clock:
    """The clock of the run: the median over cameras, since some offsets may be wrong.

    moments: (C, T) seconds of its frames on the clock of each camera, from frame 0.
    """
    shifts = [
        scene.truth.view(name).time[0] + float(own[0] - points.timeline.time[0])
        for name, own in zip(points.cameras, moments, strict=True)
    ]
    return Clock.shifted(float(np.median(shifts)))


def _with_results(folder: Path, stem: str, run: RunData) -> RunData:
    """The run with what its later stages wrote."""
    internal = folder / INTERNAL
    stages = _there({name: internal / f"{name}.npz" for name in ("initial", "final")})
    angles, body = internal / "angles.npz", folder / f"{stem}_body.npz"
    return RunData(
        clock=run.clock,
        transform=run.transform,
        cameras=run.cameras,
        tracks=run.tracks,
        points=run.points,
        masks=run.masks,
        markers={name: _loaded(load_markers, path) for name, path in stages.items()},
        angles=_loaded(load_angles, angles) if angles.exists() else None,
        body=read_motion(body) if body.exists() else None,
    )


def _there(files: Mapping[str, Path]) -> dict[str, Path]:
    return {name: path for name, path in files.items() if path.exists()}


def _loaded(load: Callable[[Path], T], path: Path) -> T:
    """The file of a stage; InputError if it is missing or damaged."""
    try:
        return load(path)
    except (*_DAMAGE, InvalidData) as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> InputError:
    reason = f"lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
    return InputError(path, f"cannot be read: {reason}", "make the result again")


def _json(path: Path, hint: str) -> Any:
    try:
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(path.parent, f"holds no readable {path.name}", hint) from error


def _entry(path: Path, value: Any, key: str) -> Any:
    if not isinstance(value, dict) or key not in value:
        raise InputError(path, f"lacks {key!r}", "make the result again")
    return value[key]
