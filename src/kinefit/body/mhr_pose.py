"""Between the 204 parameters of the Momentum Human Rig and a body's rotations, both ways.

To rotations everything is exact: R = W E W^T with W the joint's frame at rest and E = Rz Ry Rx of
its Euler angles, which are linear in the parameters. Back, 126 joints with three angles each must
be had from 124 parameters: an elbow has one, the spine shares some, and twist joints follow their
limb. `initial_parameters` has them in closed form, nearest in angles; the nearest in rotations
are `kinefit.fit.recipes.frames.rig_mhr.nearest_parameters`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.body.mhr import MhrModel
from kinefit.body.mhr_params import LENGTH_PARAMETERS, PARAMETERS, POSE_COUNT
from kinefit.geometry.rotations import compose, decompose
from kinefit.types import FloatArray, IntArray, InvalidData


@dataclass(frozen=True, eq=False)
class MhrPose:
    """Poses of a body as its rig's parameters say them.

    rotations: (..., B, 3, 3) local, as in `BodyMotion`. translation: (..., 3) metres.
    shape: (..., S) of `MhrModel.body`. It can differ from frame to frame: SAM 3D Body gives each
        its own scales and lengths.
    """

    rotations: FloatArray
    translation: FloatArray
    shape: FloatArray


def pose_of_parameters(model: MhrModel, parameters: FloatArray, identity: FloatArray) -> MhrPose:
    """The pose that model parameters (..., 204) mean, with identity coefficients (..., I).

    The root's place and every rotation are exact, and so are all joints unless the rig has
    `MhrModel.ignored` parameters that are not zero.
    """
    shape = model.shape(parameters, identity)
    local = model.rig.joint_parameters(parameters)[..., model.kept, :]
    W = model.frames
    rotations = W @ compose(local[..., 5:2:-1], "ZYX") @ np.swapaxes(W, -1, -2)
    root = model.body.joints[0] + local[..., 0, :3]
    return MhrPose(rotations, root - model.body.rest_joints(shape)[..., 0, :], shape)


def initial_parameters(model: MhrModel, rotations: FloatArray, shape: FloatArray) -> FloatArray:
    """Parameters (T, 204) whose Euler angles are nearest to those of rotations (T, B, 3, 3).

    shape: (T, S) of `MhrModel.body`. The root's place and the six lengths are zero: the scales say
    the same as these. So are parameters that only repeat what others do (see `independent`).
    Raises InvalidData for arrays of another body.
    """
    count, size = len(model.kept), len(model.body.shape.names)
    if shape.shape[1:] != (size,) or rotations.shape[1:] != (count, 3, 3):
        raise InvalidData(
            f"MHR needs rotations (T, {count}, 3, 3) and shapes (T, {size}), "
            f"not {rotations.shape} and {shape.shape}."
        )
    out = np.zeros((len(rotations), len(PARAMETERS)))
    out[:, POSE_COUNT:] = shape[:, len(model.rig.identity) :]
    all_rows, columns = model.rig.transform[model.kept, 3:6], independent(model)
    rows, W = all_rows[..., columns], model.frames
    given = np.einsum("bcp,tp->tbc", all_rows, out)  # what scales turn, if any do
    angles = decompose(np.swapaxes(W, -1, -2) @ rotations @ W, "ZYX")[..., ::-1] - given
    wanted = _reachable(rows, angles).reshape(len(out), -1)
    out[:, columns] = wanted @ np.linalg.pinv(rows.reshape(-1, len(columns))).T
    return out


def _reachable(rows: FloatArray, angles: FloatArray) -> FloatArray:
    """Of the two triples (T, B, 3) that make a rotation the one nearer to what a joint can do.

    A hinge beyond 90 degrees about y reads as (pi, pi - y, pi) from its rotation.
    """
    other = angles * [1, -1, 1] + np.pi
    other = (other + np.pi) % (2 * np.pi) - np.pi
    beyond = np.eye(3) - rows @ np.linalg.pinv(rows)  # (B, 3, 3) out of reach
    apart = [np.linalg.norm((beyond @ a[..., None])[..., 0], axis=-1) for a in (angles, other)]
    # Both in reach: the smaller angles. 1e-6: rounding of the decomposition.
    better = (apart[1] < apart[0] - 1e-6) | (
        (apart[1] < apart[0] + 1e-6) & (np.abs(other).sum(-1) < np.abs(angles).sum(-1))
    )
    return np.where(better[..., None], other, angles)


def euler_rates(angles: FloatArray) -> FloatArray:
    """(..., 3, 3) angular velocity in the turned frame per rate of x, y, z, for Rz Ry Rx."""
    (sx, sy, _), (cx, cy, _) = (np.moveaxis(f(angles), -1, 0) for f in (np.sin, np.cos))
    out = np.zeros((*angles.shape, 3))
    out[..., 0, 0] = 1
    out[..., 1, 1], out[..., 2, 1] = cx, -sx
    out[..., 0, 2], out[..., 1, 2], out[..., 2, 2] = -sy, cy * sx, cy * cx
    return out


def independent(model: MhrModel) -> IntArray:
    """Pose parameters, less those that only do what others do; `_flexible` ones go first."""
    flat = model.rig.transform[model.kept, 3:6].reshape(-1, len(PARAMETERS))
    last = POSE_COUNT - len(LENGTH_PARAMETERS)
    angles = [p for p in range(3, last) if flat[:, p].any()]
    order = sorted(angles, key=lambda p: PARAMETERS[p].endswith("_flexible"))
    kept: list[int] = []
    basis = np.zeros((len(flat), 0))
    for p in order:
        column = flat[:, p] - basis @ (basis.T @ flat[:, p])
        length = np.linalg.norm(column)
        if length > 1e-5 * np.linalg.norm(flat[:, p]):  # float32 rounding is 1e-7
            kept.append(p)
            basis = np.concatenate([basis, column[:, None] / length], axis=1)
    return np.array(sorted(kept), dtype=np.int64)


def place_root(
    model: MhrModel, parameters: FloatArray, translation: FloatArray, shape: FloatArray
) -> None:
    """Set root_tx, root_ty, root_tz so that the root comes to where the body has it."""
    root = model.kept[0]
    wanted = model.body.rest_joints(shape)[..., 0, :] + translation - model.body.joints[0]
    have = model.rig.joint_parameters(parameters)[..., root, :3]
    columns = model.rig.transform[root, :3, :3]
    if np.linalg.matrix_rank(columns) < 3:
        raise InvalidData("The root of this rig cannot be moved by root_tx, root_ty, root_tz.")
    parameters[..., :3] = (wanted - have) @ np.linalg.inv(columns).T
