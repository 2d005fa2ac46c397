"""Stage `overlay`: the fitted body drawn on the video, or on all of them side by side."""

from __future__ import annotations

from kinefit.body.load import load_body
from kinefit.io.body_npz import read_motion
from kinefit.io.calibration import read_calibration
from kinefit.pipeline.artifacts import load_arrays
from kinefit.pipeline.context import Context
from kinefit.render.body_overlay import write_body_overlay


def overlay(context: Context) -> None:
    """`<stem>_overlay.mp4`."""
    config = context.config
    rig = read_calibration(context.read_internal("fitted_cameras.toml")).rig
    moments = load_arrays(context.read_internal("moments.npz"))["moments"]
    write_body_overlay(
        context.new("_overlay.mp4"),
        tuple(context.job.inputs.values()),
        rig.select(tuple(context.job.inputs)) if len(rig) > 1 else rig,
        moments,
        load_body(config.body, config.gender, child=config.child),
        read_motion(context.read_user("_body.npz")),
        context.progress,
    )
