"""Training pairs: the detector's points and the true ones, one row per image of a person.

Rows are in shards, each made from the seed and its number alone, so that an interrupted run can go
on, and shards can be made anywhere. The names of arrays are those of published training samples of
Part Orientation Fields.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from kinefit.body.anny import load_anny
from kinefit.body.contact import FEET
from kinefit.body.model import BodyModel
from kinefit.detect.blazepose import Pose, weights
from kinefit.detect.embedded import PictureDetector
from kinefit.detect.follow import Follower, Networks
from kinefit.fit.mesh_markers import laboratory_markers
from kinefit.geometry.projection import to_camera
from kinefit.io.arrays import is_of_key, read_npz
from kinefit.io.atomic import atomic_path
from kinefit.io.processes import each
from kinefit.io.video import VideoFrame
from kinefit.pipeline.context import Progress
from kinefit.pipeline.provenance import code_version, sha256_json
from kinefit.skeletons import map_points, skeleton
from kinefit.synth.detector_errors import Landmarks, detector_errors, draw
from kinefit.synth.make import by_content
from kinefit.synth.motion_clip import Clip
from kinefit.synth.motion_library import motion_library
from kinefit.synth.placing import contacts, standing_heights
from kinefit.synth.scene import Scene, sample_scene
from kinefit.synth.scene_options import PairOptions
from kinefit.synth.scene_renderer import RenderedFrame, SceneRenderer
from kinefit.types import BoolArray, FloatArray, InputError

# Name -> shape of a row, meaning; 17 points of coco17, 33 of blazepose33. "Unit torso": from the
# middle of the hips, in lengths of the torso (mid-hip to mid-shoulder).
FIELDS: Mapping[str, tuple[tuple[int, ...], str]] = {
    "pose_2d": ((17, 2), "pixels, detected; NaN where the person was missed"),
    "projected_2d": ((17, 2), "pixels, true"),
    "ground_truth": ((17, 3), "true, camera axes, unit torso"),
    "corrupted": ((17, 3), "the detector's own 3D, camera axes, of its own unit torso"),
    "visibility": ((17,), "0..1, the detector's; 0 where the person was missed"),
    "camera_R": ((3, 3), "rotation, world (Y up) to camera"),
    "gt_scale": ((), "metres, true length of the torso"),
    "detected_33": ((33, 2), "pixels"),
    "score_33": ((33,), "0..1"),
    "world_33": ((33, 3), "metres, camera axes, from the mid-hip: the detector's own 3D"),
    "true_33": ((33, 2), "pixels; NaN for points that the body lacks"),
    "xyz_33": ((33, 3), "metres, camera axes, from the camera"),
    "sight_33": ((33,), "codes of kinefit.synth.truth.Visibility"),
    "markers_43": ((43, 3), "metres, camera axes: laboratory markers of the skeleton augmented43"),
    "K": ((3, 3), "intrinsics, pixels"),
    "size": ((2,), "width, height of the picture"),
    "stature_m": ((), "metres, standing"),
    "contact": (
        (4,),
        "1 where heels and toes (`kinefit.body.contact.FEET`) stand; NaN on a treadmill",
    ),
    "scene": ((), "number of the scene: rows of one scene share body, clothes and room"),
    "view": ((), "number of the scene's camera"),
    "time_s": ((), "seconds of the scene's clock"),
}


def unit_torso(xyz: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Points (..., 17, 3) of coco17 from the mid-hip in torso lengths, and these (...), metres;
    NaN where there is no torso."""
    hips, shoulders = (
        xyz[..., [_COCO.points.index(side + what) for side in "LR"], :].mean(axis=-2)
        for what in ("Hip", "Shoulder")
    )
    length = np.linalg.norm(shoulders - hips, axis=-1)
    length = np.where(length > 0, length, np.nan)
    return (xyz - hips[..., None, :]) / length[..., None, None], length


def read_pairs(folder: Path) -> dict[str, NDArray[Any]]:
    """All rows of a folder's shards, the arrays of `FIELDS`.

    Raises InputError when there are none, when one is damaged, and for shards of different options.
    """
    files = sorted(folder.glob("pairs_*.npz"))
    if not files:
        raise InputError(folder, "holds no pairs", "make them: kinefit synth pairs --out FOLDER")
    parts = [read_pair_shard(file) for file in files]
    if len({str(part["key"]) for part in parts}) > 1:
        raise InputError(folder, "holds pairs of different options", "delete the older ones")
    return {name: np.concatenate([part[name] for part in parts]) for name in FIELDS}


def read_pair_shard(file: Path) -> dict[str, NDArray[Any]]:
    """The arrays of `FIELDS` in one file, and its `key`; InputError for a damaged one."""
    stored, hint = read_npz(file), "delete it, make it again"
    lacking = [name for name in (*FIELDS, "key") if name not in stored]
    if lacking:
        raise InputError(file, f"is no shard of pairs: it lacks {lacking[0]}", hint)
    count = stored["pose_2d"].shape[:1]
    for name, (shape, _) in FIELDS.items():
        if stored[name].shape != (*count, *shape) or stored[name].dtype.kind not in "fiu":
            raise InputError(file, f"is no shard of pairs: its {name} has another shape", hint)
    return stored


_COCO, _BLAZE = skeleton("coco17"), skeleton("blazepose33")
_FROM_BLAZE = [_BLAZE.points.index(name) for name in _COCO.points]
_MOMENTS, _DRAWN_MOMENTS = 4, 20  # frames of each scene: set-up dominates without rendering
_ROWS = 252  # of a shard: 21 scenes
_CHUNK = 8  # frames rendered at a time: posing a mesh is quicker for several
_NOTHING = Landmarks(np.full((33, 2), np.nan), np.zeros(33), np.full((33, 3), np.nan))


@dataclass(frozen=True)
class Shard:
    """One file of rows. number: from 0. path: of the file. key: of options and code."""

    number: int
    path: Path
    key: str


def make_pairs(
    out: Path,
    options: PairOptions,
    *,
    processes: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> list[Path]:
    """Fill the folder `out` with shards of rows; existing ones are kept.

    progress: called with shards done and in all. processes: None: one per core. Raises
    ChildDied; the shards that are finished stay.
    """
    out.mkdir(parents=True, exist_ok=True)
    motion_library(options.motion)  # refuses a bad file, and caches its motions
    chosen = by_content(options)
    del chosen["options"]["count"]  # a larger count only adds shards
    key = sha256_json({**chosen, "code": code_version()})
    count = -(-options.count // (options.views * options.frames if options.consecutive else _ROWS))
    shards = [Shard(i, out / f"pairs_{i:05d}.npz", key) for i in range(count)]
    missing = [shard for shard in shards if not is_of_key(shard.path, shard.key)]
    done = count - len(missing)
    progress("shards", done, count)
    for _ in _made(missing, options, processes or os.cpu_count() or 1):
        done += 1
        progress("shards", done, count)
    return [shard.path for shard in shards]


def _made(shards: list[Shard], options: PairOptions, processes: int) -> Iterator[None]:
    if shards:
        workers = min(processes, len(shards))
        for _ in each(_make_shard, shards, workers, start=partial(_open, options)):
            yield


_maker: _Maker  # set in each worker


def _open(options: PairOptions) -> None:
    global _maker
    threadpool_limits(1)  # the workers are as many as the cores
    _maker = _Maker(options, motion_library(options.motion), load_anny())


def _make_shard(shard: Shard) -> None:
    arrays: dict[str, Any] = {**_maker.rows(shard.number), "key": np.array(shard.key)}
    with atomic_path(shard.path) as temporary:
        np.savez_compressed(temporary, **arrays)


@dataclass(frozen=True, eq=False)
class _Maker:
    """Makes scenes and detects people in them."""

    options: PairOptions
    library: Mapping[str, Clip]
    body: BodyModel

    def rows(self, shard: int) -> dict[str, NDArray[Any]]:
        """The arrays of `FIELDS` for one shard."""
        if self.options.consecutive:
            found = list(self._clip_rows(_Filmed.of(self._scene(shard), self.body)))
        else:
            wanted = _DRAWN_MOMENTS if self.options.drawn else _MOMENTS
            moments = min(wanted, self.options.frames)
            scenes = -(-_ROWS // (self.options.views * moments))
            numbers = range(shard * scenes, (shard + 1) * scenes)
            found = [row for i in numbers for row in self._moment_rows(i, moments)][:_ROWS]
        return {name: np.stack([row[name] for row in found]) for name in FIELDS}

    def _scene(self, number: int) -> Scene:
        rng = np.random.default_rng((self.options.seed, number, 1))
        props = int(rng.integers(self.options.props + 1))
        chosen = self.options.model_copy(update={"props": props})
        return sample_scene(chosen, number, self.body, self.library)

    def _moment_rows(self, number: int, moments: int) -> Iterator[dict[str, Any]]:
        scene = self._scene(number)
        rng = np.random.default_rng((self.options.seed, number, 3))
        filmed = _Filmed.of(scene, self.body)
        for frame in np.sort(rng.choice(scene.options.frames, moments, replace=False)).tolist():
            if self.options.drawn:
                for view, seen in enumerate(filmed.renderer.visibility_pass(frame)):
                    row = filmed.truth(frame, view, seen)
                    own = np.random.default_rng((*scene.seed, view, frame, 2))
                    yield row | _detected(_drawn(row, own))
            else:
                for view, seen in enumerate(filmed.renderer.render(frame, 1)[0]):
                    row = filmed.truth(frame, view, seen)
                    people = _pictures(self.options.network)(seen.picture)
                    yield row | _detected(_nearest(people, row["true_33"]))

    def _clip_rows(self, filmed: _Filmed) -> Iterator[dict[str, Any]]:
        """All frames of a view, then those of the next."""
        rate, count = self.options.rate, self.options.frames
        for view in range(self.options.views):
            rows: list[dict[str, Any]] = []

            def frames(view: int = view, rows: list[dict[str, Any]] = rows) -> Iterator[VideoFrame]:
                for first in range(0, count, _CHUNK):
                    seen = filmed.renderer.render_view(view, first, min(_CHUNK, count - first))
                    for frame, one in enumerate(seen, start=first):
                        rows.append(filmed.truth(frame, view, one))
                        yield VideoFrame(frame, frame / rate, one.picture)

            found = Follower(Networks(_model(self.options.network)), rate, 1).over(frames())
            for frame, (_, people) in enumerate(found):
                poses = [one.pose for one in people]
                yield rows[frame] | _detected(_nearest(poses, rows[frame]["true_33"]))


@dataclass(frozen=True, eq=False)
class _Filmed:
    """A scene with its renderer. Of the subject, at the times of each view's frames: contact:
    (V, T, 4) where the feet stand on the floor; markers: (V, T, 43, 3) metres, world."""

    scene: Scene
    renderer: SceneRenderer
    contact: BoolArray
    markers: FloatArray

    @classmethod
    def of(cls, scene: Scene, body: BodyModel) -> _Filmed:
        renderer, options = SceneRenderer(scene, body), scene.options
        feet = [renderer.points.keypoints.index(name) for name in FEET]
        shape = np.array(scene.people[0].shape)
        standing = standing_heights(body, shape)
        contact, markers = [], []
        for spec in scene.cameras:
            times = np.arange(options.frames) / options.rate + spec.offset_s
            contact.append(contacts(times, renderer.keypoints(times)[0][:, feet], standing))
            moves = scene.moving[0].at(times)
            markers.append(laboratory_markers(body).posed_vertices(*moves, shape))
        return cls(scene, renderer, np.stack(contact), np.stack(markers))

    def truth(self, frame: int, view: int, filmed: RenderedFrame) -> dict[str, Any]:
        """The fields of a row that need no detector."""
        scene, renderer = self.scene, self.renderer
        time = frame / scene.options.rate + scene.cameras[view].offset_s
        xyz = to_camera(filmed.camera, renderer.keypoints(np.array([time]))[0][0])
        names = renderer.points.keypoints
        seen = map_points(filmed.visibility[0][:, None].astype(np.float64), names, _BLAZE)[:, 0]
        unit, scale = unit_torso(map_points(xyz, names, _COCO))
        return {
            "projected_2d": map_points(filmed.xy[0], names, _COCO),
            "ground_truth": unit,
            "gt_scale": scale,
            "true_33": map_points(filmed.xy[0], names, _BLAZE),
            "xyz_33": map_points(xyz, names, _BLAZE),
            "sight_33": np.nan_to_num(seen).astype(np.uint8),
            "markers_43": to_camera(filmed.camera, self.markers[view, frame]),
            "camera_R": filmed.camera.R,
            "K": filmed.camera.K,
            "size": np.array(filmed.camera.size),
            "stature_m": renderer.statures[0],
            "contact": np.where(scene.options.treadmill, np.nan, self.contact[view, frame]),
            "scene": scene.number,
            "view": view,
            "time_s": time,
        }


def _model(network: str) -> bytes | None:
    return weights("pose_landmark_heavy") if network == "heavy" else None


@cache
def _pictures(network: str) -> PictureDetector:
    return PictureDetector(_model(network))


def _detected(found: Landmarks) -> dict[str, Any]:
    """The fields of a row that are the detector's."""
    return {
        "pose_2d": found.xy[_FROM_BLAZE],
        "corrupted": unit_torso(found.body[_FROM_BLAZE])[0],
        "visibility": found.score[_FROM_BLAZE],
        "detected_33": found.xy,
        "score_33": found.score,
        "world_33": found.body,
    }


def _nearest(poses: Sequence[Pose], true: FloatArray) -> Landmarks:
    """Of the people who were found the one nearest to where the subject is."""
    if not poses:
        return _NOTHING
    away = [np.nanmedian(np.linalg.norm(p.values[:, :2] - true, axis=1)) for p in poses]
    values = poses[int(np.argmin(away))].values
    return Landmarks(values[:, :2], values[:, 2], values[:, 3:])


def _drawn(true: Mapping[str, Any], rng: np.random.Generator) -> Landmarks:
    """A sampled detection of the person in a row."""
    xy, xyz, sight = (true[name][None] for name in ("true_33", "xyz_33", "sight_33"))
    one = draw(detector_errors(), rng, xy, xyz, sight, true["K"], true["stature_m"])
    return Landmarks(one.xy[0], one.score[0], one.body[0])
