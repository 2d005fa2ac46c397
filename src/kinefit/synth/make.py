"""The files of scenes: videos, calibration, truth and manifest.

Worker processes render some consecutive frames at a time, for all cameras; the caller's process
writes the videos. The result does not depend on the number of processes.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kinefit import __version__
from kinefit.biomech.angles import joint_angles
from kinefit.body.anny import load_anny
from kinefit.body.contact import FEET
from kinefit.body.model import BodyModel
from kinefit.io.atomic import PARTIAL, remove_partial, write_json
from kinefit.io.calibration import write_calibration
from kinefit.io.processes import each, in_order
from kinefit.io.video import VideoWriter
from kinefit.pipeline.context import Progress
from kinefit.pipeline.provenance import code_version, sha256_file, sha256_json, sha256_path
from kinefit.synth.body_points import body_points
from kinefit.synth.motion_library import motion_library
from kinefit.synth.placing import contacts, standing_heights
from kinefit.synth.scene import CameraSpec, Scene, pictures_in, sample_scene
from kinefit.synth.scene_options import SynthOptions
from kinefit.synth.scene_renderer import NO_PICTURE, RenderedFrame, SceneRenderer
from kinefit.synth.subjects import mass, stature
from kinefit.synth.truth import (
    CALIBRATION,
    CLAIM,
    MANIFEST,
    TRUTH,
    LabelRuns,
    PersonTruth,
    SceneTruth,
    ViewTruth,
    read_manifest,
    write_truth,
)
from kinefit.types import BodyMotion, CameraRig, InputError, Keypoints3D, Markers, Timeline

_CHUNK = 8  # frames rendered at a time: posing a mesh is quicker for several


def make_scenes(
    out: Path,
    options: SynthOptions,
    count: int = 1,
    *,
    processes: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> list[Path]:
    """Render `count` scenes: into `out`, or its folders scene_00000, ... if there are several.

    Existing scenes of the same options and code are kept. Several scenes are rendered at the same
    time, one in each process. Returns the folders. Raises InputError as `make_scene` and
    `sample_scene` do, and ChildDied.
    """
    processes = processes or os.cpu_count() or 1
    body, library = load_anny(), motion_library(options.motion)
    folders = [out] if count == 1 else [out / f"scene_{i:05d}" for i in range(count)]
    missing = [i for i, folder in enumerate(folders) if not _is_made(folder, options, i)]
    scenes = (sample_scene(options, i, body, library) for i in missing)
    if len(missing) <= 1 or processes == 1:
        for done, (i, scene) in enumerate(zip(missing, scenes, strict=True)):
            per_frame = progress if count == 1 else lambda stage, done, total: None
            make_scene(scene, folders[i], processes=processes, progress=per_frame)
            if count > 1:
                progress("film", count - len(missing) + done + 1, count)
    else:
        todo = zip(scenes, map(folders.__getitem__, missing), strict=True)
        for done, _ in enumerate(each(_make_one, todo, min(processes, len(missing)))):
            progress("film", count - len(missing) + done + 1, count)
    return folders


def _make_one(scene_and_folder: tuple[Scene, Path]) -> None:
    make_scene(*scene_and_folder, processes=1)


def make_scene(
    scene: Scene,
    out: Path,
    *,
    processes: int | None = None,
    progress: Progress = lambda stage, done, total: None,
) -> None:
    """Render `scene` into the folder `out`: a video per camera, the calibration with its errors,
    the truth, and last `scene.json`: how it was made, and the SHA-256 of every file.

    processes: that render; None: one per core. Raises InputError when the folder holds a file that
    is not of this scene.
    """
    _refuse_foreign(scene, out)
    out.mkdir(parents=True, exist_ok=True)
    (out / CLAIM).touch()
    remove_partial(out)
    body, options, videos = load_anny(), scene.options, _videos(scene)
    frames = _rendered(scene, body, processes or os.cpu_count() or 1)
    rows: list[list[RenderedFrame]] = []
    with ExitStack() as opened:
        writers = [
            opened.enter_context(
                VideoWriter(out / file, options.size, rate_hz=options.rate, quality=options.quality)
            )
            for file in videos
        ]
        for k, row in enumerate(frames):
            for writer, frame in zip(writers, row, strict=True):
                writer.add(frame.picture, k / options.rate)
            rows.append([replace(frame, picture=NO_PICTURE) for frame in row])
            progress("film", k + 1, options.frames)
    truth = SceneTruth(
        tuple(_person_truth(scene, body, p) for p in range(len(scene.people))),
        tuple(_view_truth(scene, f, [row[c] for row in rows]) for c, f in enumerate(scene.cameras)),
    )
    write_truth(out / TRUTH, truth)
    given = CameraRig(tuple(f.given for f in scene.cameras))
    write_calibration(out / CALIBRATION, given, "aniposelib")
    listed = {name: sha256_file(out / name) for name in (*videos, CALIBRATION, TRUTH)}
    about = {"kinefit": __version__, "key": scene_key(options, scene.number)}
    write_json(out / MANIFEST, {**about, **scene.to_json(), "sha256": listed})
    (out / CLAIM).unlink()


def _videos(scene: Scene) -> list[str]:
    return [f"{spec.camera.name}.mp4" for spec in scene.cameras]


def _refuse_foreign(scene: Scene, out: Path) -> None:
    """InputError for files of another origin: another program's, or a user's own."""
    found = {p.name for p in out.iterdir()} if out.is_dir() else set()
    made = {*_videos(scene), CALIBRATION, TRUTH, MANIFEST, CLAIM}
    ours = made if {MANIFEST, CLAIM} & found else set()
    foreign = sorted(n for n in found if n not in ours and not n.startswith(PARTIAL))
    if foreign:
        reason = f"it holds {foreign[0]}, which is not a file of this scene"
        raise InputError(out, reason, "name a new folder")


def scene_key(options: SynthOptions, number: int) -> str:
    """SHA-256 of everything that a scene's files depend on."""
    return sha256_json({**by_content(options), "scene": number, "code": code_version()})


def by_content(options: SynthOptions) -> dict[str, Any]:
    """The options as plain values, with SHA-256 of the files that they name instead of paths.

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
    """Whether the folder holds this scene, complete."""
    with suppress(InputError):
        return bool(read_manifest(folder).get("key") == scene_key(options, number))
    return False


def _rendered(scene: Scene, body: BodyModel, processes: int) -> Iterator[list[RenderedFrame]]:
    """All frames in order: a list of the cameras' images for each."""
    count = scene.options.frames
    chunks = [(first, min(_CHUNK, count - first)) for first in range(0, count, _CHUNK)]
    if processes == 1 or len(chunks) == 1:
        renderer = SceneRenderer(scene, body)
        for first, count in chunks:
            yield from renderer.render(first, count)
        return
    start = partial(_open_renderer, scene)
    # Only a few ahead of the writer: images are large.
    rendered = each(_render, chunks, min(processes, len(chunks)), start=start, ahead=processes)
    for rows in in_order(rendered):
        yield from rows


_renderer: SceneRenderer  # set in each worker


def _open_renderer(scene: Scene) -> None:
    global _renderer
    _renderer = SceneRenderer(scene, load_anny())


def _render(first_and_count: tuple[int, int]) -> list[list[RenderedFrame]]:
    return _renderer.render(*first_and_count)


def _person_truth(scene: Scene, body: BodyModel, p: int) -> PersonTruth:
    """The person at the times of the first camera's frames."""
    options, shape = scene.options, np.array(scene.people[p].shape)
    timeline = Timeline.regular(options.frames, options.rate)
    rotations, translation = scene.moving[p].at(timeline.time)
    points = body_points(body)
    keypoints, marks = points.at(rotations, translation, shape)
    feet = [points.keypoints.index(name) for name in FEET]
    names = (*points.keypoints, *points.markers)
    markers = Markers(timeline, names, np.concatenate([keypoints, marks], axis=1))
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


def _view_truth(scene: Scene, spec: CameraSpec, frames: Sequence[RenderedFrame]) -> ViewTruth:
    timeline = Timeline.regular(len(frames), scene.options.rate)
    return ViewTruth(
        camera=frames[0].camera,
        R=np.stack([frame.camera.R for frame in frames]),
        t=np.stack([frame.camera.t for frame in frames]),
        timeline=timeline,
        time=timeline.time + spec.offset_s,
        xy=np.stack([frame.xy for frame in frames], axis=1),
        visibility=np.stack([frame.visibility for frame in frames], axis=1),
        masks=LabelRuns.of(spec.camera.size, (frame.runs for frame in frames)),
    )
