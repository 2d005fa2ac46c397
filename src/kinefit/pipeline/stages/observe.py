"""Stage `observe`: what one camera, a rig or triangulated points say of one person."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.detect.depth import with_depth
from kinefit.io.atomic import write_json
from kinefit.io.calibration import Calibration, read_calibration, write_calibration
from kinefit.io.observations import save_observations
from kinefit.io.video import probe
from kinefit.metric import observe_camera
from kinefit.multiview.bundle import load_triangulation, save_bundle
from kinefit.multiview.observe import RigOptions, observe_rig
from kinefit.multiview.rig_checks import fit_rig_to_videos
from kinefit.pipeline.artifacts import load_people, load_track, save_arrays
from kinefit.pipeline.config import RunConfig, ViewOptions
from kinefit.pipeline.context import Context
from kinefit.tracking.sides import find_side_swaps, undo_side_swaps
from kinefit.tracking.view_people import ViewPeople
from kinefit.types import CameraRig, Finding, FloatArray, InputError, Keypoints2D, Observations


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
    sizes = {name: probe(video).size for name, video in videos.items()}
    calibration = calibration_of(config, sizes)
    known = calibration.rig.names
    if absent := [name for name in videos if name not in known]:
        reason = f"it has no camera {absent[0]!r}; it has {', '.join(known)}"
        hint = "name the videos as the cameras are named: cameras are never matched by order"
        raise InputError(str(config.calibration), reason, hint)
    return calibration, *fit_rig_to_videos(calibration.rig.select(tuple(videos)), sizes)


_TILT_UNKNOWN_DEG = 10.0  # an estimate is good to 5, a camera taken as level to 20
_TILT_UNKNOWN = Finding(
    "caution",
    "The camera's tilt could not be estimated and was taken as level.",
    meaning="The angles of pelvis and trunk in the room may be 30 degrees off.",
    action="Give --tilt and --roll.",
)


def one_camera(context: Context) -> None:
    """Sides put right, then the person in the world."""
    config = context.config
    track = load_track(context.read_internal(f"track_{context.job.stem}.npz"))
    swaps = find_side_swaps(track)
    if config.repair_side_swaps:
        track = undo_side_swaps(track, swaps)
    if track.body is None:
        depth = load_track(context.read_internal("depth.npz"))
        if config.repair_side_swaps:  # each detector exchanges sides in frames of its own
            depth = undo_side_swaps(depth, find_side_swaps(depth))
        track = with_depth(track, depth)
    found, camera = observe_camera(
        track,
        config.stature_m,
        focal_px=config.focal_px,
        fov_deg=config.fov,
        tilt_deg=config.tilt,
        roll_deg=config.roll,
        visibility_min=config.visibility_min,
    )
    facts = camera.as_json()
    time = track.image.timeline.time
    save(context, found, time[None], {
        "detector": track.source,
        "camera": facts,
        "findings": [_TILT_UNKNOWN.to_json()] if camera.tilt_sd_deg > _TILT_UNKNOWN_DEG else [],
        "notes": facts.pop("notes"),
        "side_swaps": {"body": track.image.timeline.frame[swaps].tolist()},
    })  # fmt: skip


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


def rig(context: Context) -> None:
    """One clock, one person, sides put right, points in space, a motion with constant bones."""
    config = context.config
    calibration, cameras, doubts = rig_of(context.job.inputs, config)
    views, detector = _views(context)
    options = RigOptions(
        sync=config.sync,
        offset_s=config.offset_s,
        person=config.person,
        visibility_min=config.visibility_min,
        repair_side_swaps=config.repair_side_swaps,
        triangulation=config.triangulation,
        trajectory=config.trajectory,
        max_unseen_s=config.max_unseen,
        keep_axes=config.lab_frame,
        up_known=calibration.up is not None,
        stature_m=config.stature_m,
    )
    seen = observe_rig(views, cameras, options)
    save_bundle(context.new("_triangulated.npz"), seen.points, seen.rig)
    write_calibration(context.new("_cameras.toml"), seen.rig, layout="caliscope")
    sentences = [f"{text[:1].upper()}{text[1:].rstrip('.')}." for text in doubts]
    world = seen.as_json()
    world |= {
        "detector": detector,
        "findings": [*(Finding("information", s).to_json() for s in sentences), *world["findings"]],
        "notes": [*(f"Calibration: {text}" for text in calibration.assumptions), *seen.notes],
    }
    save(context, seen.observations, seen.moments, world)


def _views(context: Context) -> tuple[dict[str, Keypoints2D | ViewPeople], str]:
    """What was found in each video, and by what."""
    views: dict[str, Keypoints2D | ViewPeople] = {}
    detector = "keypoint files"
    for camera, clip in context.clips.items():
        if context.has_internal(f"people_{camera}.npz"):
            people = load_people(context.read_internal(f"people_{camera}.npz"))
            views[camera] = ViewPeople(people, clip.timeline(), clip.probe().size)
        else:
            track = load_track(context.read_internal(f"track_{camera}.npz"))
            views[camera], detector = track.image, track.source
    return views, detector
