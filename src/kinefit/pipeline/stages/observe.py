"""Stage `observe`: what one camera, a rig or triangulated points say of one person."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.detect.camera_motion import camera_shift
from kinefit.detect.depth import nearest_people, with_depth
from kinefit.detect.edges import straight_edges
from kinefit.detect.masks.frame_mask import places_of
from kinefit.io.atomic import write_json
from kinefit.io.calibration import Calibration, read_calibration, write_calibration
from kinefit.io.focal_length import focal_of_file
from kinefit.io.observations import save_observations
from kinefit.io.people import of_one_set
from kinefit.io.tables import write_landmarks_csv
from kinefit.io.video import Picture
from kinefit.lift import load_lifter
from kinefit.metric import observe_camera
from kinefit.multiview.bundle import load_triangulation, save_bundle
from kinefit.multiview.observe import RigOptions, clock_offsets, observe_rig
from kinefit.multiview.people import Recorded, find_in_rig, find_in_view
from kinefit.multiview.rig_checks import fit_rig_to_videos
from kinefit.pipeline.artifacts import load_people, save_arrays, save_track
from kinefit.pipeline.config import POF_MODEL, RunConfig, ViewOptions
from kinefit.pipeline.context import Context, Job, clip_of
from kinefit.pipeline.results import INTERNAL
from kinefit.pipeline.store import Folder
from kinefit.quality.verdict import frames_words
from kinefit.tracking.sides import find_side_swaps, undo_side_swaps
from kinefit.tracking.view_people import ViewPeople
from kinefit.types import (
    CameraRig,
    Finding,
    FloatArray,
    InputError,
    Keypoints2D,
    NobodyFound,
    Observations,
    PoseTrack,
    true_runs,
)


def calibration_of(
    options: ViewOptions, image_sizes: Mapping[str, tuple[int, int]] | None = None
) -> Calibration:
    """The calibration that the options name; image_sizes: (width, height) by camera, if known."""
    if options.calibration is None:
        raise InputError("--calibration", "is missing", "give the file of the cameras")
    return read_calibration(
        options.calibration, units=options.units, up=options.world_up,
        invert_extrinsics=options.invert_extrinsics, image_sizes=image_sizes,
    )  # fmt: skip


def rig_of(
    videos: Mapping[str, Path], config: RunConfig
) -> tuple[Calibration, CameraRig, tuple[str, ...]]:
    """The calibration of `videos` (camera name -> file) as read, and the cameras in the order of
    the videos, for pictures of their size; and what may be wrong about them, in plain words.

    Raises InputError where a camera is missing: none is ever matched by order.
    """
    sizes = {name: clip_of(video, config).probe().size for name, video in videos.items()}
    calibration = calibration_of(config, sizes)
    known = calibration.rig.names
    if absent := [name for name in videos if name not in known]:
        reason = f"it has no camera {absent[0]!r}; it has {', '.join(known)}"
        hint = "name the videos as the cameras are named: cameras are never matched by order"
        raise InputError(str(config.calibration), reason, hint)
    return calibration, *fit_rig_to_videos(calibration.rig.select(tuple(videos)), sizes)


_STILLS, _STILLS_S = 7, 30.0  # pictures in which edges are looked for, and within what time
# Between each and the picture so much later the background of the demo's four videos moves by 3e-5
# widths; a hand holds a camera to a degree a second, a hundredth of a width.
_MOVES_WITHIN_S, _SWAYS, _PANS = 0.1, 0.005, 0.02  # seconds, widths per second
_MUCH_DOUBT, _WORTH_SAYING = 0.1, 0.02  # of the frames
_TILT_UNKNOWN_DEG = 10.0  # an estimate is good to 5, a camera taken as level to 20
_TILT_UNKNOWN = Finding(
    "caution",
    "The camera's tilt could not be estimated and was taken as level.",
    meaning="The angles of pelvis and trunk in the room may be 30 degrees off.",
    action="Give --tilt and --roll.",
)


def person(context: Context) -> None:
    """Who is meant, and where they are: for the masks, which need no more than that."""
    name = context.job.stem
    if context.job.kind == "rig":
        recorded = _in_rig(context)[0]
    else:
        view = view_of(context, name, f"people_{name}.npz")
        recorded = find_in_view(name, view, context.config.person, context.config.pointer)
    for camera, track in recorded.tracks().items():
        save_track(context.internal(f"who_{camera}.npz"), track)
        place = recorded.views[camera].places(recorded.chosen.places[camera])
        known = places_of(track.image) if place is None else place
        save_arrays(context.internal(f"where_{camera}.npz"), {"place": known})


def one_camera(context: Context) -> None:
    """Who is meant, sides put right, then the person in the world."""
    config, name = context.config, context.job.stem
    view = view_of(context, name, f"people_{name}.npz")
    recorded = find_in_view(name, view, config.person, config.pointer)
    track = _record(context, recorded)[name]
    swaps = find_side_swaps(track)
    if config.repair_side_swaps:
        track = undo_side_swaps(track, swaps)
    if track.body is None:
        lender = view_of(context, name, "depth.npz")
        depth = lender.track(nearest_people(track, lender.people.names, lender.points))
        if config.repair_side_swaps:  # each detector exchanges sides in frames of its own
            depth = undo_side_swaps(depth, find_side_swaps(depth))
        track = with_depth(track, depth)
    edges, speed = _stills(context, recorded, track.image)
    noted, ignored = focal_of_file(context.clip.path, track.image.image_size)
    observe = partial(
        observe_camera,
        track,
        config.stature_m,
        focal_px=config.focal_px,
        fov_deg=config.fov,
        tilt_deg=config.tilt,
        roll_deg=config.roll,
        visibility_min=config.visibility_min,
        edges=edges,
        noted=noted,
    )
    lifter = None if config.lifter is None else load_lifter(config.lifter, config.pof_signs)
    found, camera = observe(lifter=lifter)
    if config.main_refiner:
        lifted, _ = observe(lifter=load_lifter(POF_MODEL))
        save_observations(context.internal("observations_lifted.npz"), lifted)
    facts = camera.as_json()
    unknown = [_TILT_UNKNOWN] if camera.tilt_sd_deg > _TILT_UNKNOWN_DEG else []
    time = track.image.timeline.time
    save(context, found, time[None], {
        "detector": track.source,
        "lifter": config.lifter,
        "camera": facts,
        "findings": [
            one.to_json()
            for one in (
                *told_of(recorded), *_moving(speed), *others_of(recorded), *doubts_of(recorded),
                *unknown,
            )
        ],
        "notes": [*ignored, *facts.pop("notes")],
        "side_swaps": {"body": track.image.timeline.frame[swaps].tolist()},
        "people": recorded.as_json(),
    })  # fmt: skip


def _stills(
    context: Context, recorded: Recorded, image: Keypoints2D
) -> tuple[FloatArray | None, float | None]:
    """Edges of what stands still in the video, for what the options do not say of the camera; and
    how fast the background moves, in widths of the picture per second. None: not known.

    image: of who is meant, with all the points that are known of them.
    """
    config, (view,) = context.config, recorded.views.values()
    time = image.timeline.time
    moments = time[0] + np.linspace(0, min(float(time[-1] - time[0]), _STILLS_S), _STILLS)
    soon = moments[:-1] + max(_MOVES_WITHIN_S, float(np.median(np.diff(time))))
    every = np.concatenate([moments, soon.clip(max=time[-1])])
    rows = np.abs(time - every[:, None]).argmin(axis=1).tolist()
    order = np.argsort(every, kind="stable").tolist()
    stills: dict[int, Picture] = {}
    speeds = []
    for i, picture in zip(order, context.clip.pictures_at(every[order]), strict=True):
        if i < _STILLS and picture is not None:
            stills[i] = picture
        elif (before := stills.get(i - _STILLS)) is not None and picture is not None:
            row = rows[i - _STILLS]
            boxes = np.array([_box(p[:, :2]) for p in view.points[row]]).reshape(-1, 4)
            shift = camera_shift(before, picture, boxes)
            if shift is not None and (passed := float(time[rows[i]] - time[row])) > 0:
                speeds.append(shift / passed)
    speed = float(np.median(speeds)) if speeds else None
    told = config.tilt is not None and config.roll is not None
    if not stills or (told and (config.focal_px or config.fov) is not None):
        return None, speed
    people = np.array([_box(image.xy[rows[i]]) for i in sorted(stills)])
    return straight_edges([stills[i] for i in sorted(stills)], people), speed


def _box(xy: FloatArray) -> FloatArray:
    """(4,) left, top, right, bottom of the points (J, 2); NaN without any."""
    return np.concatenate([np.fmin.reduce(xy), np.fmax.reduce(xy)])


def _moving(speed: float | None) -> list[Finding]:
    """A camera that does not stand still, `speed` widths of the picture per second."""
    if speed is None or speed < _SWAYS:
        return []
    what = f"The camera moves: the background goes by at {100 * speed:.2g} % of the picture's "
    what += "width per second."
    if speed < _PANS:
        meaning = "The path over the floor and speeds are off by as much."
        return [Finding("information", what, meaning=meaning, action="Put it on a tripod.")]
    return [
        Finding(
            "caution",
            what,
            meaning="kinefit takes it as standing still: the path over the floor, speeds, heights "
            "and the vertical are wrong. Angles between body segments suffer less.",
            action="Film from a tripod, or give the part in which the camera stands still "
            "(--start, --end).",
        )
    ]


def bundle(context: Context) -> None:
    """Triangulated points with their covariances."""
    path = context.job.inputs["bundle"]
    points = load_triangulation(path)
    none = np.empty((len(points.timeline), 0, len(points.names)))
    found = Observations(
        points.timeline, CameraRig(()), points.names, np.empty((*none.shape, 2)), none,
        points.refined, points.covariance, stature_m=context.config.height,
    )  # fmt: skip
    world = {"detector": path.name, "findings": [], "notes": [], "side_swaps": {}}
    save(context, found, np.empty((0, len(points.timeline))), world)


def save(context: Context, found: Observations, moments: FloatArray, world: dict[str, Any]) -> None:
    """moments: (C, T) true seconds of each frame since the first frame of each camera's video."""
    save_observations(context.internal("observations.npz"), found)
    save_arrays(context.internal("moments.npz"), {"moments": moments})
    write_json(context.internal("world.json"), world)


def _in_rig(context: Context) -> tuple[Recorded, Calibration, CameraRig, list[str], RigOptions]:
    """Who is meant in all views together; the calibration, its cameras, what is doubtful about
    them, and how to go on."""
    config = context.config
    calibration, cameras, doubts = rig_of(context.job.inputs, config)
    options = RigOptions(
        sync=config.sync,
        offset_s=config.offset_s,
        visibility_min=config.visibility_min,
        repair_side_swaps=config.repair_side_swaps,
        triangulation=config.triangulation,
        trajectory=config.trajectory,
        max_unseen_s=config.max_unseen,
        keep_axes=config.lab_frame,
        up_known=calibration.up is not None,
        keep_names=config.keep_names,
    )
    views = _views(context)
    # Clocks first by who is the subject of each view: identity needs to know what is simultaneous.
    subjects = {name: view.subject().image for name, view in views.items()}
    offsets, _ = clock_offsets(subjects, options)
    recorded = find_in_rig(cameras, views, offsets, config.person, config.pointer)
    return recorded, calibration, cameras, list(doubts), options


def rig(context: Context) -> None:
    """One clock, one person, sides put right, points in space, a motion with constant bones."""
    recorded, calibration, cameras, doubts, options = _in_rig(context)
    options = replace(options, stature_m=context.config.stature_m)
    tracks = _record(context, recorded)
    seen = observe_rig({name: track.image for name, track in tracks.items()}, cameras, options)
    save_bundle(context.new("_triangulated.npz"), seen.points, seen.rig)
    write_calibration(context.new("_cameras.toml"), seen.rig, layout="caliscope")
    sentences = [f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in doubts]
    world = seen.as_json()
    world |= {
        "detector": next(iter(recorded.views.values())).people.source,
        "people": recorded.as_json(),
        "findings": [
            *(Finding("information", s).to_json() for s in sentences),
            *(
                one.to_json()
                for one in (*calibration.findings, *told_of(recorded), *doubts_of(recorded))
            ),
            *world["findings"],
        ],
        "notes": [*(f"Calibration: {text}" for text in calibration.assumptions), *seen.notes],
    }
    save(context, seen.observations, seen.moments, world)


def _views(context: Context) -> dict[str, ViewPeople]:
    """Those of all cameras, with the same points."""
    views = {name: view_of(context, name, f"people_{name}.npz") for name in context.job.inputs}
    people, _ = of_one_set({name: view.people for name, view in views.items()})
    views = {name: replace(view, people=people[name]) for name, view in views.items()}
    names = next((v.people.names for v in views.values() if v.people.names), ())
    return {  # files that show nobody do not say which points they have
        name: view if view.people.names else replace(view, people=replace(view.people, names=names))
        for name, view in views.items()
    }


def view_of(context: Context, name: str, file: str) -> ViewPeople:
    """Everybody in the frames of a camera that are looked at."""
    clip = context.clips[name]
    return ViewPeople(load_people(context.read_internal(file)), clip.timeline(), clip.probe().size)


def people_of(job: Job, folder: Folder) -> int:
    """How many people the finished stage `detect` of a job has found, as `observe` counts them."""
    files = [f"{INTERNAL}/people_{name}.npz" for name in job.inputs]
    options, found = tuple(type(job.config).model_fields), {n: folder.file(n) for n in files}
    context = Context(job, "observe", options, folder.path, folder.path, found)
    if job.kind == "rig":
        return len(_in_rig(context)[0].people)
    name = job.stem
    return len(find_in_view(name, view_of(context, name, f"people_{name}.npz")).people)


def told_of(recorded: Recorded) -> list[Finding]:
    """What the detector's files left open, once for all cameras."""
    views = recorded.views.values()
    notes = dict.fromkeys(n for view in views for n in view.people.notes)
    doubts = dict.fromkeys(f for view in views for f in view.people.findings)
    _, told = of_one_set({name: view.people for name, view in recorded.views.items()})
    return [*told, *doubts, *(Finding("information", note) for note in notes)]


def doubts_of(recorded: Recorded) -> list[Finding]:
    """The frames in which who is meant may be somebody else."""
    found = []
    for name, doubt in recorded.chosen.doubt.items():
        if doubt.any():
            frame = recorded.views[name].timeline.frame.tolist()
            where = frames_words([(frame[a], frame[b - 1]) for a, b in true_runs(doubt)])
            found.append(
                Finding(
                    "caution" if doubt.mean() > _MUCH_DOUBT else "information",
                    f"Two people were so close in {name} that either could be the other.",
                    f"{where.capitalize()}.",
                    "From there on it may be the other person, if they look alike.",
                    "Look at the video with the body; choose with --person-at in a frame after it.",
                )
            )
    return found


def others_of(recorded: Recorded) -> list[Finding]:
    """Frames of one camera that show somebody else and not who is meant: a track that went over
    to another person is cut there, and they would else be missed without a word."""
    ((name, view),) = recorded.views.items()
    chosen = recorded.chosen.places[name] >= 0
    found = []
    for number, person in enumerate(recorded.people, start=1):
        seen = person.places[name] >= 0
        alone = seen & ~chosen
        if number != recorded.number and alone.mean() > _WORTH_SAYING:
            frame = view.timeline.frame.tolist()
            where = frames_words([(frame[a], frame[b - 1]) for a, b in true_runs(alone)])
            found.append(
                Finding(
                    "caution" if alone.mean() > _MUCH_DOUBT else "information",
                    f"Another person is in the picture instead of person {recorded.number}.",
                    f"{where.capitalize()}.",
                    "These frames are left out: two people are never joined into one motion.",
                    f"If the other one is meant, give --person {number}.",
                )
            )
    return found


def _record(context: Context, recorded: Recorded) -> dict[str, PoseTrack]:
    """The tracks of who is meant, and their files."""
    tracks = recorded.tracks()
    if not any(track.image.found.any() for track in tracks.values()):
        frames = sum(len(track.image.timeline) for track in tracks.values())
        raise NobodyFound(context.job.source, frames)
    for name, track in tracks.items():
        save_track(context.internal(f"track_{name}.npz"), track)
        write_landmarks_csv(context.new("_raw_landmarks.csv", name), track)
        place = recorded.views[name].places(recorded.chosen.places[name])
        if place is not None:
            save_arrays(context.internal(f"place_{name}.npz"), {"place": place})
    return tracks
