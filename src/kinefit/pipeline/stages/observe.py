"""Stage `observe`: what one camera, a rig or triangulated points say of one person."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.detect.depth import with_depth
from kinefit.io.atomic import write_json
from kinefit.io.calibration import Calibration, read_calibration, write_calibration
from kinefit.io.observations import save_observations
from kinefit.io.video import frame_times, probe
from kinefit.metric import observe_camera
from kinefit.multiview.bundle import load_triangulation, save_bundle
from kinefit.multiview.observe import RigOptions, observe_rig
from kinefit.multiview.rig_checks import fit_rig_to_videos
from kinefit.pipeline.artifacts import load_people, load_track, save_arrays
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.context import Context
from kinefit.tracking.sides import find_side_swaps, undo_side_swaps
from kinefit.tracking.view_people import ViewPeople
from kinefit.types import CameraRig, Finding, FloatArray, InputError, Keypoints2D, Observations
from kinefit.types.finding import Level


@dataclass(frozen=True, eq=False)
class RunRig:
    """calibration: as read. rig: the cameras in the order of the videos, for pictures of their
    size. notes: what was assumed, doubts: what may be wrong about it, in plain words.
    """

    calibration: Calibration
    rig: CameraRig
    notes: tuple[str, ...]
    doubts: tuple[str, ...]

    @property
    def up_known(self) -> bool:
        return self.calibration.up is not None


def rig_of(videos: Mapping[str, Path], config: RunConfig) -> RunRig:
    """The cameras of `videos` (camera name -> file); raises InputError where one is missing."""
    assert config.calibration is not None  # refused before
    sizes = {name: probe(video).size for name, video in videos.items()}
    calibration = read_calibration(
        config.calibration,
        units=config.units,
        up=config.world_up,
        invert_extrinsics=config.invert_extrinsics,
        image_sizes=sizes,
    )
    rig = match_cameras(calibration.rig, tuple(videos), config.calibration)
    rig, doubts = fit_rig_to_videos(rig, sizes)
    return RunRig(calibration, rig, calibration.assumptions, doubts)


def match_cameras(rig: CameraRig, names: tuple[str, ...], source: Path) -> CameraRig:
    """The cameras of these names in this order; InputError lists both sides where one is absent."""
    absent = [name for name in names if name not in rig.names]
    if absent:
        reason = f"it has no camera {absent[0]!r}; it has {', '.join(rig.names)}"
        hint = "name the videos as the cameras are named: cameras are never matched by order"
        raise InputError(source, reason, hint)
    return rig.select(names)


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
    save(context, found, (time - time[0])[None], {
        "detector": track.source,
        "camera": facts,
        "findings": [_TILT_UNKNOWN.to_json()] if camera.tilt_sd_deg > _TILT_UNKNOWN_DEG else [],
        "notes": facts.pop("notes"),
        "side_swaps": {"body": swaps.nonzero()[0].tolist()},
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
    world: dict[str, Any] = {
        "detector": path.name, "findings": [], "notes": [], "side_swaps": {},
    }  # fmt: skip
    save(context, found, np.empty((0, len(points.timeline))), world)


def save(context: Context, found: Observations, moments: FloatArray, world: dict[str, Any]) -> None:
    """moments: (C, T) seconds of each frame on each camera's own clock, since its first frame."""
    save_observations(context.internal("observations.npz"), found)
    save_arrays(context.internal("moments.npz"), {"moments": moments})
    write_json(context.internal("world.json"), world)


def rig(context: Context) -> None:
    """One clock, one person, sides put right, points in space, a motion with constant bones."""
    config = context.config
    found = rig_of(context.job.inputs, config)
    views, detector = _views(context)
    seen = observe_rig(views, found.rig, _options(config, up_known=found.up_known))
    save_bundle(context.new("_triangulated.npz"), seen.points, seen.rig)
    write_calibration(context.new("_cameras.toml"), seen.rig, layout="caliscope")
    world = seen.as_json()
    world |= {
        "detector": detector,
        "findings": [*_findings("information", found.doubts), *world["findings"]],
        "notes": [*(f"Calibration: {text}" for text in found.notes), *seen.notes],
    }
    save(context, seen.observations, seen.moments, world)


def _findings(level: Level, texts: Iterable[str]) -> list[dict[str, str]]:
    return [Finding(level, f"{t[:1].upper()}{t[1:].rstrip('.')}.").to_json() for t in texts]


def _views(context: Context) -> tuple[dict[str, Keypoints2D | ViewPeople], str]:
    """What was found in each video, and by what."""
    views: dict[str, Keypoints2D | ViewPeople] = {}
    detector = "keypoint files"
    for camera, video in context.job.inputs.items():
        if context.has_internal(f"people_{camera}.npz"):
            people = load_people(context.read_internal(f"people_{camera}.npz"))
            views[camera] = ViewPeople(people, frame_times(video), probe(video).size)
        else:
            track = load_track(context.read_internal(f"track_{camera}.npz"))
            views[camera], detector = track.image, track.source
    return views, detector


def _options(config: RunConfig, *, up_known: bool) -> RigOptions:
    return RigOptions(
        sync=config.sync,
        offset_s=config.offset_s,
        person=config.person,
        visibility_min=config.visibility_min,
        repair_side_swaps=config.repair_side_swaps,
        triangulation=config.triangulation,
        trajectory=config.trajectory,
        max_unseen_s=config.max_unseen,
        keep_axes=config.lab_frame,
        up_known=up_known,
        stature_m=config.stature_m,
    )
