"""Stages `angles` and `figures`: joint angles as tables, as a motion for OpenSim, as pictures."""

from __future__ import annotations

import numpy as np

from kinefit.biomech.angles import joint_angles
from kinefit.biomech.angles.intervals import with_deviations
from kinefit.biomech.refine import JointRefiner, MainRefiner
from kinefit.biomech.refine.table import seen_of
from kinefit.geometry.rotations import difference_deg
from kinefit.io.atomic import write_json
from kinefit.io.body_npz import read_motion
from kinefit.io.observations import load_observations
from kinefit.io.tables import read_angles_csv, write_angles_csv
from kinefit.pipeline.artifacts import load_angles, load_arrays, load_markers, save_angles
from kinefit.pipeline.config import POF_MODEL
from kinefit.pipeline.context import Context
from kinefit.pipeline.in_memory import angles_of, body_angles
from kinefit.pipeline.joint_angle_files import write_joint_angles
from kinefit.types import JointAngles, MissingMarkers

FOLDER = "joint_angles"


def angles(context: Context) -> None:
    """Joint angles of the final markers."""
    markers = load_markers(context.read_internal("final.npz"))
    try:
        angles = joint_angles(markers)
    except MissingMarkers:  # hips or legs out of the picture: the rest is worth having
        return
    spread = load_arrays(context.read_internal("angle_spread.npz"))
    angles = with_deviations(angles, spread, len(context.job.inputs), context.config.error_source)
    if context.config.joint_refinement or context.config.main_refiner:
        angles = _refined(context, angles)
    save_angles(context.internal("angles.npz"), angles)
    write_joint_angles(angles, markers, context.staging / FOLDER, context.job.stem)


def lifted(context: Context) -> None:
    """Joint angles of the same person in the same frames, with a network for depth."""
    observations = load_observations(context.read_internal("observations_lifted.npz"))
    try:
        found, _, _ = angles_of(observations, context.config, POF_MODEL)
    except MissingMarkers:  # as in the stage angles, which then makes nothing of it either
        return
    save_angles(context.internal("angles_lifted.npz"), found)


def _refined(context: Context, angles: JointAngles) -> JointAngles:
    """Corrected by a network; what they were is written beside the result."""
    seen = seen_of(load_markers(context.read_internal("keypoints.npz")))
    if context.config.main_refiner:
        other = load_angles(context.read_internal("angles_lifted.npz"))
        body = body_angles(read_motion(context.read_user("_body.npz")), context.config)
        found = MainRefiner().refine(angles, other, body, seen)
    else:
        found = JointRefiner().refine(angles, seen)
    moved = np.abs(difference_deg(found.degrees, angles.degrees))
    network = "main" if context.config.main_refiner else "joint"
    facts = {"network": network, "moved_deg": float(np.nanmean(moved))}
    write_json(context.internal("refinement.json"), facts)
    path = context.staging / FOLDER / f"{context.job.stem}_angles_unrefined.csv"
    write_angles_csv(path, angles)
    return found


def figures(context: Context) -> None:
    """A picture per joint group, of the table that was written."""
    name = f"{FOLDER}/{context.job.stem}_angles_all.csv"
    if name not in context.readable:
        return
    from kinefit.report.plots import plot_all  # matplotlib: half a second that only figures need

    folder = context.staging / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    plot_all(read_angles_csv(context.read(name)), folder, f"{context.job.stem}_angles")
