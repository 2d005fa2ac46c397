"""A scene's folder, and the folder of a run of its videos, as values that can be scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar
from zipfile import BadZipFile
from zlib import error as ZlibError  # noqa: N812 - a class

import numpy as np

from kinefit.evaluate.truth_at_times import Clock, WorldTransform
from kinefit.io.body_npz import read_motion
from kinefit.io.calibration import read_calibration
from kinefit.io.text import read_json
from kinefit.multiview.bundle import load_triangulation
from kinefit.multiview.triangulate import Triangulation
from kinefit.pipeline.artifacts import load_angles, load_arrays, load_markers, load_track
from kinefit.pipeline.results import INTERNAL, RIG_STEM
from kinefit.synth.truth import TRUTH, PersonTruth, SceneTruth, ViewTruth, read_manifest, read_truth
from kinefit.types import (
    BodyMotion,
    Camera,
    FloatArray,
    InputError,
    InvalidData,
    JointAngles,
    Markers,
    PoseTrack,
    Timeline,
)

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class SceneFolder:
    """A scene whose files are unchanged. videos: SHA-256 of each camera's video, by camera.
    treadmill: people walk in place, so that no point of a foot rests in the world."""

    path: Path
    truth: SceneTruth
    videos: Mapping[str, str]
    treadmill: bool = False


def read_scene(path: Path, person: int = 0) -> SceneFolder:
    """The scene in a folder, every file checked against its SHA-256.

    Raises InputError for another folder, changed files, and an unknown person.
    """
    folder = path.parent if path.name == TRUTH else path
    manifest = read_manifest(folder)
    listed, options = manifest["sha256"], manifest.get("options")
    treadmill = isinstance(options, dict) and options.get("treadmill") is True
    truth = read_truth(folder)
    _person(truth, person, path)
    files = {name: f"{name}.mp4" for name in truth.rig.names}
    videos = {n: str(listed[f]) for n, f in files.items() if f in listed}
    return SceneFolder(folder, truth, videos, treadmill)


def read_reference(path: Path, person: int = 0) -> PersonTruth:
    """A person of a scene's folder (checked) or of a truth.npz alone; raises as `read_scene`."""
    truth = read_scene(path, person).truth if path.is_dir() else read_truth(path)
    return _person(truth, person, path)


def _person(truth: SceneTruth, person: int, source: Path) -> PersonTruth:
    count = len(truth.people)
    if not 0 <= person < count:
        reason = f"{source.name} has {count}, counted from 0"
        raise InputError("--person", reason, f"give 0 to {count - 1}")
    return truth.people[person]


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
    cameras, slowmo = _cameras(folder, scene)
    names, internal = list(cameras), folder / INTERNAL
    clocks = {n: Clock.of_view(scene.truth.view(n), slowmo[n]) for n in names}
    rig = _loaded(lambda path: read_calibration(path).rig, internal / "fitted_cameras.toml")
    if len(names) > 1:
        stem, points = RIG_STEM, load_triangulation(folder / f"{RIG_STEM}_triangulated.npz")
        transform = _loaded(_transform, internal / "world.json")
        clock = _loaded(lambda path: _common_clock(clocks, points, path), internal / "moments.npz")
        posed = {camera.name: camera for camera in rig if camera.name in names}
    else:
        (stem,), points, view = cameras.values(), None, scene.truth.view(names[0])
        posed = {names[0]: next(iter(rig))}
        transform, clock = transform_of_camera(posed[names[0]], view), clocks[names[0]]
    tracks = _there({n: internal / f"track_{cameras[n]}.npz" for n in names})
    stages = _there({name: internal / f"{name}.npz" for name in ("initial", "final")})
    angles, body = internal / "angles.npz", folder / f"{stem}_body.npz"
    return RunData(
        clock=clock,
        transform=transform,
        cameras=posed,
        tracks={
            name: _as_stamped(_loaded(load_track, path), scene.truth.view(name), slowmo[name])
            for name, path in tracks.items()
        },
        markers={name: _loaded(load_markers, path) for name, path in stages.items()},
        angles=_loaded(load_angles, angles) if angles.exists() else None,
        points=points,
        body=read_motion(body) if body.exists() else None,
        masks=_there({n: folder / f"{cameras[n]}_mask.mp4" for n in names}),
    )


def _cameras(folder: Path, scene: SceneFolder) -> tuple[dict[str, str], dict[str, float]]:
    """Cameras whose videos the run was made from -> the names of their files in the run, and how
    many times slower than life they were said to play."""

    def named(path: Path) -> dict[str, tuple[str, float]]:
        inputs = read_json(path)["inputs"]
        found = {}
        for one in inputs:
            slowmo = one["part"]["slowmo"] if one["part"] else 1.0
            if not (isinstance(slowmo, float) and 0 < slowmo < np.inf):
                raise ValueError(f"a slow motion of {slowmo}")
            found[str(one["sha256"])] = str(one["name"]), slowmo
        return found

    of_hash = {sha256: camera for camera, sha256 in scene.videos.items()}
    found = _loaded(named, folder / "run.json", "give the --out folder of kinefit run")
    if not found or not found.keys() <= of_hash.keys():
        reason = f"is no run of the videos in {scene.path}"
        raise InputError(folder, reason, "give the scene of these videos")
    return (
        {of_hash[sha256]: name for sha256, (name, _) in found.items()},
        {of_hash[sha256]: pace for sha256, (_, pace) in found.items()},
    )


def _as_stamped(track: PoseTrack, view: ViewTruth, slowmo: float) -> PoseTrack:
    """A track with the time stamps of the video's file."""
    return at_times(track, view.timeline.time[0] + slowmo * track.image.timeline.time)


def at_times(track: PoseTrack, time: FloatArray) -> PoseTrack:
    """The track with other seconds (T,) of its frames."""
    image, body = track.image, track.body
    timeline = Timeline(image.timeline.frame, time)
    if body is not None:
        body = replace(body, timeline=timeline)
    return replace(track, image=replace(image, timeline=timeline), body=body)


def transform_of_camera(camera: Camera, view: ViewTruth) -> WorldTransform:
    """The transform that moves the result's `camera` onto the true one, in each frame.

    x_scene = R_true^T (R x + t - t_true).
    """
    inverse = np.swapaxes(view.R, -1, -2)
    shift = (inverse @ (camera.t - view.t)[..., None])[..., 0]
    return WorldTransform(view.time, inverse @ camera.R, shift)


def _transform(path: Path) -> WorldTransform:
    lab = read_json(path)["lab_to_world"]
    rotation, shift = np.asarray(lab["R"], np.float64), np.asarray(lab["t_m"], np.float64)
    return WorldTransform.fixed(rotation.T, -rotation.T @ shift)


def _common_clock(clocks: Mapping[str, Clock], points: Triangulation, path: Path) -> Clock:
    """The clock of the run: the median over cameras, since some offsets may be wrong.

    clocks: of each camera's video. path: of (C, T) seconds of the run's frames on these.
    """
    moments = load_arrays(path)["moments"]
    scene = [clocks[n].to_scene(own) for n, own in zip(points.cameras, moments, strict=True)]
    return Clock(points.timeline.time, np.median(scene, axis=0))


def _there(files: Mapping[str, Path]) -> dict[str, Path]:
    return {name: path for name, path in files.items() if path.exists()}


_DAMAGE = (
    *(OSError, EOFError, KeyError, ValueError, TypeError, IndexError, BadZipFile, ZlibError),
    InvalidData,
)


def _loaded(load: Callable[[Path], T], path: Path, hint: str = "make the result again") -> T:
    """The file of a stage; InputError if it is missing or damaged."""
    try:
        return load(path)
    except _DAMAGE as error:
        reason = f"lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
        raise InputError(path, f"cannot be read: {reason}", hint) from error
