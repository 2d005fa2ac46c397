"""One file per frame of a rig fit, by the names of SAM 3D Body's outputs.

Whatever the body, the conventions are those of SAM 3D Body: `pred_keypoints_3d`, `pred_vertices`
and `pred_joint_coords` are metres in camera axes (x right, y down, z forward) about an origin in
the body, `pred_cam_t` moves them to their place, and `pred_global_rots` stay in the rig's axes
(Y up). The camera is the world: with `flip_axes`, and times `opt_scale`,

    flip_axes(points + pred_cam_t) opt_scale    is metres in the world of the bundle.

Of MHR all arrays are what the rig makes of the `mhr_model_params` in the same file.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from kinefit.body.mhr import MhrModel
from kinefit.body.mhr_params import BODY_SIZE, PARAMETERS, POSE_COUNT, flip_axes
from kinefit.body.mhr_pose import pose_of_parameters
from kinefit.body.model import BodyModel
from kinefit.fit.recipes.frames.frame_fit import LOSSES, FrameFit
from kinefit.fit.recipes.frames.rig_frames import as_view
from kinefit.fit.recipes.frames.rig_mhr import rig_parameters
from kinefit.fit.recipes.frames.rig_targets import FrameOutcome
from kinefit.fit.recipes.frames.rigfit import PRIORS, History
from kinefit.fit.recipes.frames.sequence import FrameReport, SequenceFit
from kinefit.geometry.rotations import log, norm
from kinefit.io.sam3d_outputs import Sam3dPerson
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray, IntArray

_CHUNK = 256  # frames judged at a time
_EXPRESSIONS = 72


@dataclass(frozen=True, eq=False)
class RigClip:
    """A clip as the parameters of MHR say it.

    found: its poses are exactly those of the parameters; losses and reasons are theirs.
    parameters: (T, 204). turned: (T, B) radians that each joint turned for it; both NaN in frames
    without a pose.
    """

    model: MhrModel
    found: SequenceFit
    parameters: FloatArray
    turned: FloatArray


def as_rig(model: MhrModel, found: SequenceFit) -> RigClip:
    """The clip in poses that the rig's parameters can say, judged anew.

    A fit turns every joint freely; the rig's elbows and knees are hinges (`rig_parameters`). A
    frame that does not come near the points this way has no pose, and its reason says so.
    """
    state, T, B = found.state, len(found.reports), len(model.body.joint_names)
    rows = np.flatnonzero(np.isfinite(found.scale))
    parameters = np.full((T, len(PARAMETERS)), np.nan)
    parameters[rows] = rig_parameters(model, found.work, state.at(rows), found.scale[rows], rows)
    identity = state.shape[rows, : len(model.rig.identity)]
    pose = pose_of_parameters(model, parameters[rows], identity)
    part = as_view(found.work.chain, pose.rotations, pose.translation, state.shape[rows])
    turned = np.full((T, B), np.nan)
    turned[rows] = norm(log(np.swapaxes(state.rotations[rows], -1, -2) @ part.rotations))
    judged, lost = _judged(replace(found, state=state.with_rows(rows, part)))
    parameters[lost], turned[lost] = np.nan, np.nan
    return RigClip(model, judged, parameters, turned)


def _judged(found: SequenceFit) -> tuple[SequenceFit, IntArray]:
    """With losses and reasons of the poses as they are, and the frames that lose theirs."""
    work, reports, lost = found.work, list(found.reports), []
    enough = work.targets.reasons(work.options.min_points) == FrameOutcome.OK
    rows = np.flatnonzero(enough & np.isfinite(found.scale))
    for part in (rows[i : i + _CHUNK] for i in range(0, len(rows), _CHUNK)):
        losses, residual = _measured(found, part)
        total = np.asarray(sum(losses.values()))
        # Against itself: what was lost on the way to the rig is not what went wrong in the fit.
        reason = work.judged(losses, residual, part, total)
        far = np.isfinite(residual) & ~work.near(residual)
        for n, t in enumerate(part):
            one = {name: float(losses[name][n]) for name in LOSSES}
            points = tuple(p for p, f in zip(work.targets.names, far[n], strict=True) if f)
            reports[t] = replace(reports[t], losses=one, loss=float(total[n]), far_points=points)
            if found.fits[t].reason == FrameOutcome.OK and reason[n] != FrameOutcome.OK:
                words = f"as parameters of the rig, {FrameOutcome(int(reason[n])).words}"
                reports[t] = replace(reports[t], status="unusable", reason=words)
                lost.append(int(t))
    return replace(_without(found, lost), reports=tuple(reports)), np.array(lost, dtype=np.int64)


def _measured(found: SequenceFit, rows: IntArray) -> tuple[dict[str, FloatArray], FloatArray]:
    """Losses (R,) by name, of priors NaN where no fit ended well, and residuals (R, M) metres."""
    poses, scale = found.state.at(rows), found.scale[rows]
    fitted = np.array([found.fits[t].reason == FrameOutcome.OK for t in rows])
    begun = np.stack([found.fits[t].initial for t in rows])
    initial = np.where(fitted[:, None, None, None], begun, poses.rotations)
    losses = found.work.losses(poses, scale, rows, initial, _past(found, rows))
    priors = {name: np.where(fitted, losses[name], np.nan) for name in PRIORS}
    return losses | priors, found.work.residual(poses, scale, rows)


def _without(found: SequenceFit, lost: list[int]) -> SequenceFit:
    """The same clip without the poses of these frames."""
    rotations, translation = found.state.rotations.copy(), found.state.translation.copy()
    scale = found.scale.copy()
    rotations[lost], translation[lost], scale[lost] = np.nan, np.nan, np.nan
    state = replace(found.state, rotations=rotations, translation=translation)
    return replace(found, state=state, scale=scale)


def _past(found: SequenceFit, rows: IntArray) -> History:
    """What the fits of these frames looked back on; frame -1 is none."""
    a, b = np.array([found.fits[t].past for t in rows]).reshape(-1, 2).T
    nothing = np.full((1, len(found.work.free), 3, 3), np.nan)
    poses = np.concatenate([np.stack([fit.rotations for fit in found.fits]), nothing])
    time = np.append(found.work.targets.timeline.time, np.nan)
    return History(poses[a], poses[b], (time[rows] - time[a]) / (time[a] - time[b]))


def frame_output(
    body: BodyModel, found: SequenceFit, t: int, rig: RigClip | None, meshes: bool
) -> Sam3dPerson:
    """Frame `t` as an output of SAM 3D Body; without a pose only its diagnostics."""
    extra = _diagnostics(found, t)
    if not np.isfinite(found.scale[t]):
        return Sam3dPerson(extra=extra)
    if rig is not None:
        extra["opt_rig_turned_rad"] = rig.turned[t]
        return replace(_of_rig(rig, t, meshes), extra=extra)
    return _of_body(body, found, t, meshes, extra)


def _of_body(
    body: BodyModel, found: SequenceFit, t: int, meshes: bool, extra: dict[str, NDArray[Any]]
) -> Sam3dPerson:
    chain, state = found.work.chain, found.state
    rotations = np.broadcast_to(np.eye(3), (len(body.joint_names), 3, 3)).copy()
    rotations[chain.joint_index] = state.rotations[t]
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
    known = [name for name in names if name in body.regressors]
    out = np.full((len(names), 3), np.nan)
    out[[names.index(name) for name in known]] = body.regress(mesh, joints, known)
    return out


def _diagnostics(found: SequenceFit, t: int) -> dict[str, NDArray[Any]]:
    """`opt_*` of the fit, and of the pose that is written: what it leaves is measured on it."""
    work, fit, report = found.work, found.fits[t], found.reports[t]
    residual = np.full(len(work.targets.names), np.nan)
    if np.isfinite(found.scale[t]):
        row = np.array([t])
        residual = work.residual(found.state.at(row), found.scale[row], row)[0]
    return fit.opt_arrays(work.targets.cameras) | {
        f"opt_{name}": np.asarray(value) for name, value in _of_report(report, fit).items()
    } | {
        "opt_residual_m": residual,
        "opt_points": np.array(work.targets.names),
        "opt_scale": np.asarray(found.scale[t]),
    }  # fmt: skip


def _of_report(report: FrameReport, fit: FrameFit) -> dict[str, Any]:
    unusable = report.status == "unusable"
    return {
        "status": report.status,
        "reason": report.reason,
        "is_unusable": unusable,
        "is_bad": fit.fitted and bool(report.reason),
        "final_loss": report.loss,
        **{f"final_{name}_loss": value for name, value in report.losses.items()},
        "frame": report.frame,
        "time": report.time,
        "repaired": np.array(report.repaired, dtype=np.str_),
        "far_points": np.array(report.far_points, dtype=np.str_),
        "smoothed": report.smoothed,
    }


def file_names(found: SequenceFit, folder: Path) -> list[Path]:
    """The file of each frame, by its number."""
    return [folder / f"{report.frame:06d}.npz" for report in found.reports]
