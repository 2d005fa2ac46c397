"""Keypoints for the marker augmenter."""

from __future__ import annotations

import numpy as np

from kinefit.fit.augmenter_inputs import augmenter_inputs
from kinefit.types import Markers

from .clips import NAMES, clip


def test_hips_lie_above_and_before_their_joints_and_knees_at_theirs() -> None:
    made = clip(frames=10)
    body, motion = made.body, made.motion
    G, joints = body.pose(motion.rotations, motion.translation, body.rest_joints(motion.shape))
    xyz = made.points.copy()
    xyz[3, NAMES.index("LKnee")] = np.nan
    found = augmenter_inputs(body, motion, Markers(motion.timeline, NAMES, xyz))

    def off(name: str) -> np.ndarray:
        joint = joints[:, body.joint_names.index(body.anatomy[name])]
        return (np.swapaxes(G[:, 0], -1, -2) @ (found.select([name]).xyz[:, 0] - joint)[..., None])[
            ..., 0
        ]

    stature = np.ptp(body.rest_vertices(motion.shape)[:, 1])
    aside = np.einsum(
        "ti,ti->t",
        made.points[:, NAMES.index("LHip")] - found.xyz[:, NAMES.index("LHip")],
        G[:, 0, :, 0],
    )
    assert np.allclose(off("LHip")[:, 1:], [0.02 * stature / 1.7, 0.03 * stature / 1.7])
    assert np.allclose(aside, 0)
    assert np.isnan(found.select(["LKnee"]).xyz[3]).all()
    assert np.allclose(np.delete(off("LKnee"), 3, axis=0), 0)
    same = [n for n in NAMES if n[1:] not in ("Hip", "Knee", "Ankle")]
    assert np.array_equal(
        found.select(same).xyz, Markers(motion.timeline, NAMES, xyz).select(same).xyz
    )
