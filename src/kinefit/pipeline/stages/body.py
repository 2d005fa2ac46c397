"""Stage `fit`: one body through everything that was observed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from kinefit.body.anatomy import violations
from kinefit.body.load import load_body
from kinefit.body.model import BodyModel
from kinefit.fit.fit_report import clip_report
from kinefit.fit.priors.capsules import SOFT_M
from kinefit.fit.recipes.clip import ClipFit, ClipOptions, fit_clip
from kinefit.fit.recipes.outline import SilhouetteOptions
from kinefit.io.atomic import write_json
from kinefit.io.body_npz import write_motion
from kinefit.io.calibration import write_calibration
from kinefit.io.observations import load_observations
from kinefit.io.trc import write_trc
from kinefit.pipeline.artifacts import save_arrays, save_markers
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.context import Context
from kinefit.pipeline.stages.outlines import read_outlines
from kinefit.types import BodyMotion, BoolArray, FloatArray, Markers, Observations, all_finite


def fit(context: Context) -> None:
    """The body's motion, its keypoints, and how well it fits."""
    config = context.config
    observations = load_observations(context.read_internal("observations.npz"))
    body = load_body(config.body, config.gender, child=config.child)
    outlines = read_outlines(context, observations)
    found = fit_clip(body, observations, clip_options(config), outlines, context.progress)
    save_markers(context.internal("keypoints.npz"), keypoints_of(found, observations))
    save_arrays(context.internal("draws.npz"), {"draws": found.draws_m.astype(np.float32)})
    write_calibration(context.internal("fitted_cameras.toml"), found.rig, layout="caliscope")
    write_fit(context.new("_body"), body, found)


def clip_options(config: RunConfig) -> ClipOptions:
    """What the user chose of how a clip is fitted."""
    usual = ClipOptions()
    kind: Literal["mixture", "variational"] | None = None
    if config.pose_prior != "auto" and config.pose_prior != "none":
        kind = config.pose_prior
    return replace(
        usual,
        head=config.head,
        hold_feet=config.hold_feet,
        face_weight=config.face_weight,
        loss=config.loss,
        outlier_sd=config.outlier_sd,
        vertex_acceleration_m_s2=config.vertex_acceleration,
        joint_limits=config.joint_limits,
        pose_regularization_rad=config.pose_regularization_rad,
        pose_prior=0.0 if config.pose_prior == "none" else usual.pose_prior,
        pose_prior_kind=kind,
        silhouette=SilhouetteOptions(clothing=config.clothing),
        interpenetration_m=SOFT_M if config.interpenetration else 0.0,
    )


def write_fit(stem: Path, body: BodyModel, found: ClipFit) -> None:
    """`<stem>.npz` (motion), `<stem>.trc` (keypoints) and `<stem>.json` (how well it fits)."""
    write_motion(stem.with_name(f"{stem.name}.npz"), found.motion)
    write_trc(stem.with_name(f"{stem.name}.trc"), _keypoints(found))
    report: dict[str, Any] = clip_report(body, found, beyond_limits(body, found.motion))
    write_json(stem.with_name(f"{stem.name}.json"), report)


def keypoints_of(found: ClipFit, observations: Observations) -> Markers:
    """Keypoints of the body with their deviations; estimated where no camera saw them."""
    points = _keypoints(found)
    at = [observations.names.index(name) for name in found.names]
    seen: BoolArray = np.asarray(observations.seen[:, :, at].any(axis=1))
    if observations.covariance is not None:
        seen |= all_finite(observations.xyz[:, at])
    return Markers(points.timeline, points.names, points.xyz, ~seen, found.draws_m.std(axis=0))


def beyond_limits(body: BodyModel, motion: BodyMotion) -> dict[str, FloatArray]:
    """Joint -> (T,) degrees outside its limits."""
    joints, degrees = violations(body, motion)
    return dict(zip(joints, degrees.T, strict=True))


def _keypoints(found: ClipFit) -> Markers:
    lost = np.array([bool(reason) for reason in found.reason])
    xyz = np.where(lost[:, None, None], np.nan, found.points)
    return Markers(found.motion.timeline, found.names, xyz)
