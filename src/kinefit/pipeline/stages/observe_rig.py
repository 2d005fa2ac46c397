"""Stage `observe` of a rig: from what was found in each video to one person in the world."""

from __future__ import annotations

from collections.abc import Iterable

from kinefit.io.calibration import write_calibration
from kinefit.io.video import frame_times, probe
from kinefit.multiview.bundle import save_bundle
from kinefit.multiview.observe import RigOptions, observe_rig
from kinefit.pipeline.artifacts import load_people, load_track
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.context import Context
from kinefit.pipeline.rig import rig_of
from kinefit.pipeline.stages.observe import save
from kinefit.tracking.view_people import ViewPeople
from kinefit.types import Finding, Keypoints2D
from kinefit.types.finding import Level


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
