"""What follows detection: from the detector's points to markers and joint angles.

Each function does one stage's work: it reads what the stages before wrote and returns its files.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from kinefit.biomech.angles import GROUPS, group_names, joint_angles, to_opensim
from kinefit.biomech.filter import butterworth
from kinefit.biomech.gaps import at_constant_rate, fill_gaps
from kinefit.biomech.markers import augment, estimate_missing, force_complete, initial_markers
from kinefit.detect.depth import with_depth
from kinefit.io.atomic import write_json
from kinefit.io.c3d import MAX_FRAMES, write_c3d
from kinefit.io.mot import write_mot
from kinefit.io.tables import write_angles_csv, write_uncertainty_csv
from kinefit.io.trc import write_trc
from kinefit.metric import WorldMotion, place_in_world
from kinefit.pipeline.artifacts import load_markers, load_track, save_angles, save_markers
from kinefit.pipeline.run import Run
from kinefit.tracking.sides import SideSwaps, find_side_swaps, undo_side_swaps
from kinefit.types import JointAngles, Markers, MissingMarkers, PoseTrack, TooFewPoints

_TILT_UNKNOWN_DEG = 10.0  # an estimate is good to 5, a camera taken as level to 20
_TILT_UNKNOWN = (
    "The camera's tilt could not be estimated and was taken as level: pelvis and trunk "
    "angles in the room may be 30 degrees off. Give --tilt and --roll."
)


def initial(run: Run) -> list[Path]:
    """The 22 markers in the room: sides put right, metric scale, floor."""
    config = run.config
    track, swaps, world = in_the_room(run)
    markers = initial_markers(
        world.keypoints, track.image.score, visibility_min=config.visibility_min
    )
    if config.estimate_missing:
        markers = estimate_missing(markers)
    stored, facts = run.folder.internal("initial.npz"), run.folder.internal("world.json")
    save_markers(stored, markers)
    write_json(facts, world_facts(world, swaps, track.source))
    write_trc(run.file("_initial.trc"), markers)
    return [stored, facts, run.file("_initial.trc")]


def in_the_room(run: Run) -> tuple[PoseTrack, SideSwaps, WorldMotion]:
    """What was detected, sides put right, which were not, and the person in the room."""
    config = run.config
    track, swaps = observed(run)
    world = place_in_world(
        track,
        config.subject,
        focal_px=config.focal_px,
        fov_deg=config.fov,
        tilt_deg=config.tilt,
        roll_deg=config.roll,
        visibility_min=config.visibility_min,
    )
    return track, swaps, world


def observed(run: Run) -> tuple[PoseTrack, SideSwaps]:
    """What was detected with its depth, sides put right, and which were not."""
    config = run.config
    track = load_track(run.folder.internal("track.npz"))
    swaps = find_side_swaps(track.image)
    if config.repair_side_swaps:
        track = undo_side_swaps(track, swaps)
    if track.body is None:
        depth = load_track(run.folder.internal("depth.npz"))
        if config.repair_side_swaps:  # each detector exchanges sides in frames of its own
            depth = undo_side_swaps(depth, find_side_swaps(depth.image))
        track = with_depth(track, depth)
    return track, swaps


def final(run: Run) -> list[Path]:
    """All markers: gaps filled, low-passed, augmented; C3D on a constant clock."""
    config = run.config
    markers = load_markers(run.folder.internal("initial.npz"))
    markers = butterworth(fill_gaps(markers, config.max_gap), config.cutoff_hz)
    markers = augment(markers, config.subject, cycles=config.augmentation_cycles, seed=config.seed)
    if config.force_complete:
        markers = force_complete(markers)
    stored = run.folder.internal("final.npz")
    save_markers(stored, markers)
    write_trc(run.file("_final.trc"), markers)
    write_uncertainty_csv(run.file("_final_uncertainty.csv"), markers)
    written = [stored, run.file("_final.trc"), run.file("_final_uncertainty.csv")]
    even = at_constant_rate(markers, config.max_gap)  # a C3D file has one clock, from frame 1 on
    if len(even.timeline) <= MAX_FRAMES:
        write_c3d(run.file("_final.c3d"), even)
        written.append(run.file("_final.c3d"))
    return written


def angles(run: Run) -> list[Path]:
    """Joint angles as tables, and as a motion for OpenSim."""
    markers = load_markers(run.folder.internal("final.npz"))
    try:
        angles = joint_angles(markers)
    except MissingMarkers:  # hips or legs out of the picture: the rest is worth having
        return []
    save_angles(run.folder.internal("angles.npz"), angles)
    folder = run.folder.path
    tables = write_joint_angles(angles, markers, folder / "joint_angles", run.stem)
    return [run.folder.internal("angles.npz"), *tables]


def write_joint_angles(
    angles: JointAngles, markers: Markers, folder: Path, stem: str
) -> list[Path]:
    """`<stem>_angles_<group>.csv` per joint group, `<stem>_angles_all.csv`, and `<stem>.mot`.

    The motion holds consecutive frames and coordinates without a missing value, since OpenSim
    reads none: as much of both as there is. Without any it is left out.
    """
    files = []
    for group in GROUPS:
        if names := [name for name in group_names(group) if name in angles.names]:
            files.append(folder / f"{stem}_angles_{group}.csv")
            write_angles_csv(files[-1], angles, names)
    files.append(folder / f"{stem}_angles_all.csv")
    write_angles_csv(files[-1], angles)
    try:
        motion = to_opensim(angles, markers).largest_complete()
    except TooFewPoints:
        return files
    files.append(folder / f"{stem}.mot")
    write_mot(files[-1], motion, stem)
    return files


def _camera_words(world: WorldMotion) -> list[str]:
    """Camera and scale in words."""
    return [
        f"Camera: focal length {world.camera.K[0, 0]:.0f} px, tilted down by "
        f"{world.tilt_deg:.1f}°, rolled by {world.roll_deg:.1f}° "
        f"(standard deviation {world.tilt_sd:.1f}°).",
        f"Scale: {world.scale:.3f} times the detector's own body, "
        f"standard deviation {100 * world.scale_sd / world.scale:.1f} %.",
    ]


def world_facts(world: WorldMotion, swaps: SideSwaps, detector: str) -> dict[str, Any]:
    """What the lift assumed and found, as JSON values, for the report and `run.json`."""
    return {
        "detector": detector,
        "camera": {
            "focal_px": round(float(world.camera.K[0, 0]), 3),
            "tilt_deg": round(world.tilt_deg, 3),
            "roll_deg": round(world.roll_deg, 3),
            "tilt_sd_deg": round(world.tilt_sd, 3),
            "R": world.camera.R.tolist(),
            "t_m": world.camera.t.tolist(),
        },
        "doubts": [_TILT_UNKNOWN] if world.tilt_sd > _TILT_UNKNOWN_DEG else [],
        "scale": round(world.scale, 5),
        "scale_sd": round(world.scale_sd, 5),
        "depth_sd_m": [None if math.isnan(v) else round(v, 4) for v in world.depth_sd.tolist()],
        "notes": [*_camera_words(world), *world.notes],
        "side_swaps": {name: swaps.of(name).nonzero()[0].tolist() for name in swaps.groups},
    }
