"""One file per frame of a rig fit, by the names of SAM 3D Body's outputs.

Whatever the body, the conventions are those of SAM 3D Body: `pred_keypoints_3d`, `pred_vertices`
and `pred_joint_coords` are metres in camera axes (x right, y down, z forward) about an origin in
the body, `pred_cam_t` moves them to their place, and `pred_global_rots` stay in the rig's axes
(Y up). The camera is the world: with `flip_axes`, and times `opt_scale`,

    flip_axes(points + pred_cam_t) opt_scale    is metres in the world of the bundle.

Of MHR all arrays are what the rig makes of the `mhr_model_params` in the same file.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.body.mhr_params import BODY_SIZE, POSE_COUNT, flip_axes
from kinefit.body.model import BodyModel
from kinefit.fit.recipes.frames.frame_sequence import SequenceFit
from kinefit.fit.recipes.frames.rig_mhr import RigClip
from kinefit.geometry.rotations import log
from kinefit.io.sam3d_outputs import Sam3dPerson
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray

_EXPRESSIONS = 72


def frame_output(
    body: BodyModel, found: SequenceFit, t: int, rig: RigClip | None, meshes: bool
) -> Sam3dPerson:
    """Frame `t` as an output of SAM 3D Body; without a pose only its diagnostics."""
    extra = found.opt_arrays(t)
    if not np.isfinite(found.scale[t]):
        return Sam3dPerson(extra=extra)
    if rig is not None:
        extra["opt_rig_turned_rad"] = rig.rotation_change[t]
        return replace(_of_rig(rig, t, meshes), extra=extra)
    return _of_body(body, found, t, meshes, extra)


def _of_body(
    body: BodyModel, found: SequenceFit, t: int, meshes: bool, extra: dict[str, NDArray[Any]]
) -> Sam3dPerson:
    chain, state = found.work.chain, found.state
    rotations = state.at(slice(t, t + 1)).body_rotations(chain)[0]
    shape, here = state.shape[t], np.zeros(3)
    mesh = body.posed_vertices(rotations, here, shape)
    G, joints = body.pose(rotations, here, body.rest_joints(shape))
    names = tuple(body.regressors)
    own = {
        "body": np.array(body.name),
        "joint_names": np.array(body.joint_names),
        "keypoint_names": np.array(names),
        "shape_names": np.array(body.shape.names, dtype=np.str_),
        "rotvec_rad": log(rotations),
        "translation_m": state.translation[t],
        "shape": shape,
    }
    return Sam3dPerson(
        pred_keypoints_3d=flip_axes(body.regress(mesh, joints, names)),
        pred_vertices=flip_axes(mesh).astype(np.float32) if meshes else None,
        pred_joint_coords=flip_axes(joints),
        pred_global_rots=G,
        pred_cam_t=flip_axes(state.translation[t]),
        extra=extra | own,
    )


def _of_rig(rig: RigClip, t: int, meshes: bool) -> Sam3dPerson:
    """As SAM 3D Body has it: the root's translation is zero and stands in `pred_cam_t`.

    Left out is what is of one picture (box, focal length, pixels), and `hand_pose_params` and
    `scale_params`: codes by tables of the network's checkpoint. What they say is in
    `mhr_model_params`, and of hands in `body_pose_params`, too.
    """
    model, parameters = rig.model, rig.parameters[t]
    still = parameters.copy()
    still[:3] = 0
    identity = rig.found.state.shape[t, : len(model.rig.identity)]
    G, joints, _ = model.rig.world(still)
    root = model.kept[0]
    moved = model.rig.world(parameters)[1][root] - joints[root]
    mesh = model.rig.mesh(still, identity)
    body_pose = np.zeros(BODY_SIZE)
    body_pose[: POSE_COUNT - 6] = still[6:POSE_COUNT]
    return Sam3dPerson(
        pred_keypoints_3d=flip_axes(_mhr70(model.body, mesh, joints[model.kept])),
        pred_vertices=flip_axes(mesh).astype(np.float32) if meshes else None,
        pred_joint_coords=flip_axes(joints),
        pred_global_rots=G,
        pred_cam_t=flip_axes(moved),
        global_rot=still[3:6],
        body_pose_params=body_pose,
        shape_params=identity,
        expr_params=np.zeros(_EXPRESSIONS),
        mhr_model_params=still,
    )


def _mhr70(body: BodyModel, mesh: FloatArray, joints: FloatArray) -> FloatArray:
    """(70, 3) in the order of mhr70; NaN for those that the body does not have."""
    names = skeleton("mhr70").points
    known = np.array([name in body.regressors for name in names])
    out = np.full((len(names), 3), np.nan)
    out[known] = body.regress(mesh, joints, [name for name in names if name in body.regressors])
    return out
