"""Stage `observe`: what one camera, a rig or triangulated points say of one person."""

from __future__ import annotations

from typing import Any

import numpy as np

from kinefit.detect.depth import with_depth
from kinefit.io.atomic import write_json
from kinefit.io.observations import save_observations
from kinefit.metric import observe_camera
from kinefit.multiview.bundle import load_triangulation
from kinefit.pipeline.artifacts import load_track, save_arrays
from kinefit.pipeline.context import Context
from kinefit.tracking.sides import find_side_swaps, undo_side_swaps
from kinefit.types import CameraRig, Finding, FloatArray, Observations

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
