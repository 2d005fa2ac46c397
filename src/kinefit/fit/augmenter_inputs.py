"""The keypoints of a fitted body where the marker augmenter was trained to find them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.types import BodyMotion, FloatArray, Markers

# The augmenter takes a hip 2 cm above and 3 cm before the joint's centre, of a person of 1.70 m
# (found on measured motion, see tests/biomech/markers; its own output agrees: the joint centres
# that it returns are 2.7 cm below and 3.4 cm behind the hips it was given). Detectors put hips 4 cm
# lower, which it reads as 13 degrees of hip flexion. Knees and ankles it takes at the joints;
# detectors' ankles are 2 cm higher.
# Hip, knee and ankle flexion of 15 synthetic views, error and error about each clip's mean: with
# detectors' keypoints 10.3 and 6.1 degrees, with hips moved 8.3 and 5.9, ankles and knees too 8.6
# and 5.9 (ankles alone 6.7 to 6.3).
_HIP_UP, _HIP_AHEAD = 0.02 / 1.70, 0.03 / 1.70
_AT_JOINT = ("Knee", "Ankle")


def augmenter_inputs(body: BodyModel, motion: BodyMotion, keypoints: Markers) -> Markers:
    """`keypoints` of `motion` with hips, knees and ankles as the augmenter was trained on.

    keypoints: on the same timeline; a point that is missing stays so, one that the body has no
    joint for stays where it is. Hips keep their distance from the plane of symmetry.
    """
    heads = body.rest_joints(motion.shape)
    G, joints = body.pose(motion.rotations, motion.translation, heads)
    stature = float(np.ptp(body.rest_vertices(motion.shape)[:, 1]))
    xyz = keypoints.xyz.copy()
    for side in "LR":
        for name in ("Hip", *_AT_JOINT):
            if side + name not in keypoints.names or side + name not in body.anatomy:
                continue
            k = keypoints.names.index(side + name)
            joint = joints[:, body.joint_names.index(body.anatomy[side + name])]
            moved = joint if name != "Hip" else _hip(G[:, 0], joint, xyz[:, k], stature)
            xyz[:, k] = np.where(np.isfinite(xyz[:, k]), moved, np.nan)
    return replace(keypoints, xyz=xyz)


def _hip(pelvis: FloatArray, joint: FloatArray, keypoint: FloatArray, stature: float) -> FloatArray:
    """(T, 3) from the joint (T, 3), with the keypoint's own place to the side.

    pelvis: (T, 3, 3) world rotation of the root; at rest X is left, Y up, Z ahead.
    """
    aside = ((keypoint - joint) * pelvis[..., 0]).sum(axis=-1)
    by = np.stack(
        [aside, np.full(len(aside), stature * _HIP_UP), np.full(len(aside), stature * _HIP_AHEAD)],
        axis=-1,
    )
    return np.asarray(joint + (pelvis @ by[..., None])[..., 0])
