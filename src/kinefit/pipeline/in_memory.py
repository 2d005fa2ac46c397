"""From observations to joint angles without a folder, as the stages do it."""

from __future__ import annotations

from kinefit.biomech.angles import joint_angles
from kinefit.biomech.angles.intervals import with_deviations
from kinefit.biomech.filter import butterworth
from kinefit.body.load import load_body
from kinefit.fit.mesh_markers import mesh_markers
from kinefit.fit.recipes.clip import ClipFit, fit_clip
from kinefit.pipeline.config import RunConfig
from kinefit.pipeline.stages.body import clip_options, keypoints_of
from kinefit.pipeline.stages.markers import augmented, without_guesses
from kinefit.types import BodyMotion, JointAngles, Markers, Observations


def body_angles(motion: BodyMotion, config: RunConfig) -> JointAngles:
    """Joint angles of the markers that a laboratory would stick onto the fitted body."""
    body = load_body(config.body, config.gender, child=config.child)
    return joint_angles(butterworth(mesh_markers(body, motion), config.cutoff_hz))


def angles_of(
    observations: Observations, config: RunConfig, lifter: str | None
) -> tuple[JointAngles, Markers, ClipFit]:
    """What `kinefit run` would write of the angles, with deviations; the keypoints that the joints
    lie between, and the fit.

    lifter: with which `observations` were made; deviations depend on it.

    Raises as the stages fit, markers and angles do.
    """
    body = load_body(config.body, config.gender, child=config.child)
    found = fit_clip(body, observations, clip_options(config))
    keypoints = keypoints_of(found, observations)
    used = keypoints if config.estimate_missing else without_guesses(keypoints)
    markers, spread = augmented(used, found.draws_m, config)
    angles = with_deviations(joint_angles(markers), spread, len(found.rig.cameras), lifter)
    return angles, keypoints, found
