"""Between the 204 parameters of the Momentum Human Rig and a body's rotations, both ways.

To rotations everything is exact: R = W E W^T with W the joint's frame at rest and E = Rz Ry Rx of
its Euler angles, which are linear in the parameters. Back, 126 joints with three angles each must
be had from 124 parameters: an elbow has one, the spine shares some, and twist joints follow their
limb. Where parameters for a pose exist they are found to rounding; else the nearest in the least
squares of what every joint's rotation is off, by Gauss-Newton.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.body.mhr import MhrModel
from kinefit.body.mhr_params import LENGTH_PARAMETERS, PARAMETERS, POSE_COUNT
from kinefit.geometry.rotations import compose, decompose, log
from kinefit.types import FloatArray, IntArray, InvalidData, all_finite

_CHUNK = 256  # frames at a time: about 100 MB of Jacobians
_STEPS = 30
# Radians: a step after which a frame is left alone. Where the rig can take the pose, steps shrink
# quadratically and the last one leaves rounding.
_SETTLED = 1e-7
_DAMPING = 1e-9  # of the normal matrix: parameters that move no joint stay where they are


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


@dataclass(frozen=True, eq=False)
class MhrFit:
    """Parameters for poses of a body.

    parameters: (..., 204). NaN where the pose is.
    residual: (..., B) radians by which each joint's local rotation is missed; rounding where the
        rig can take the pose.
    """

    parameters: FloatArray
    residual: FloatArray


def pose_of_parameters(model: MhrModel, parameters: FloatArray, identity: FloatArray) -> MhrPose:
    """The pose that model parameters (..., 204) mean, with identity coefficients (..., I).

    The root's place and every rotation are exact, and so are all joints unless the rig has
    `MhrModel.ignored` parameters that are not zero.
    """
    shape = model.shape(parameters, identity)
    local = model.rig.joint_parameters(parameters)[..., model.kept, :]
    rotations = _in_world_axes(model, compose(local[..., 5:2:-1], "ZYX"))
    root = model.body.joints[0] + local[..., 0, :3]
    return MhrPose(rotations, root - model.body.rest_joints(shape)[..., 0, :], shape)


def parameters_of_pose(
    model: MhrModel, rotations: FloatArray, translation: FloatArray, shape: FloatArray
) -> MhrFit:
    """Model parameters whose pose is nearest to local rotations (..., B, 3, 3).

    translation: (..., 3) metres. shape: (S,) or (..., S) of `MhrModel.body`.

    The six lengths are zero: the scales say the same. Parameters that only repeat what others do
    (the `_flexible` angles of the spine's lower joints) are zero, too.
    """
    count, size = len(model.kept), len(model.body.shape.names)
    if shape.shape[-1:] != (size,):
        raise InvalidData(f"MHR's shape has {size} numbers, not {shape.shape}.")
    if rotations.shape[-3:] != (count, 3, 3) or translation.shape != (*rotations.shape[:-3], 3):
        raise InvalidData(
            f"MHR needs rotations (..., {count}, 3, 3) and translations (..., 3), "
            f"not {rotations.shape} and {translation.shape}."
        )
    batch = rotations.shape[:-3]
    parameters = np.zeros((*batch, len(PARAMETERS)))
    parameters[..., POSE_COUNT:] = shape[..., len(model.rig.identity) :]
    turns = _in_joint_axes(model, rotations).reshape(-1, count, 3, 3)
    flat = parameters.reshape(-1, len(PARAMETERS))
    residual = np.full((len(flat), count), np.nan)
    known = np.flatnonzero(all_finite(turns.reshape(len(flat), -1)))
    solver = _Solver.of(model)
    for start in range(0, len(known), _CHUNK):
        rows = known[start : start + _CHUNK]
        flat[rows], residual[rows] = solver.solve(turns[rows], flat[rows])
    lost = np.setdiff1d(np.arange(len(flat)), known)
    flat[lost] = np.nan
    parameters = flat.reshape(parameters.shape)
    _place_root(model, parameters, translation, np.broadcast_to(shape, (*batch, shape.shape[-1])))
    return MhrFit(parameters, residual.reshape(*batch, count))


@dataclass(frozen=True, eq=False)
class _Solver:
    """Euler angles (B, 3) are `all_rows` @ parameters; those of `columns` are to be found."""

    all_rows: FloatArray
    rows: FloatArray
    columns: IntArray

    @classmethod
    def of(cls, model: MhrModel) -> _Solver:
        all_rows = model.rig.transform[model.kept, 3:6]
        columns = _independent(all_rows)
        return cls(all_rows, all_rows[..., columns], columns)

    def solve(self, turns: FloatArray, start: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Parameters (T, 204) and residuals (T, B) for joint rotations (T, B, 3, 3)."""
        given = np.einsum("bcp,tp->tbc", self.all_rows, start)  # what scales turn, if any do
        flat = self.rows.reshape(-1, len(self.columns))
        wanted = self._reachable(decompose(turns, "ZYX")[..., ::-1] - given)
        found = wanted.reshape(len(turns), -1) @ np.linalg.pinv(flat).T
        moving = np.arange(len(turns))
        for _ in range(_STEPS):
            step = self._step(turns[moving], given[moving], found[moving])
            found[moving] += step
            moving = moving[np.abs(step).max(axis=1) > _SETTLED]
            if not len(moving):
                break
        out = start.copy()
        out[:, self.columns] = found
        miss = self._miss(turns, given + np.einsum("bcp,tp->tbc", self.rows, found))
        return out, np.linalg.norm(miss, axis=-1)

    def _reachable(self, angles: FloatArray) -> FloatArray:
        """Of the two triples (T, B, 3) that make a rotation the one nearer to what a joint can do.

        A hinge beyond 90 degrees about y reads as (pi, pi - y, pi) from its rotation.
        """
        other = np.stack(
            [angles[..., 0] + np.pi, np.pi - angles[..., 1], angles[..., 2] + np.pi], axis=-1
        )
        other = (other + np.pi) % (2 * np.pi) - np.pi
        beyond = np.eye(3) - self.rows @ np.linalg.pinv(self.rows)  # (B, 3, 3) out of reach
        apart = [np.linalg.norm((beyond @ a[..., None])[..., 0], axis=-1) for a in (angles, other)]
        # Both in reach: the smaller angles. 1e-6: rounding of the decomposition.
        better = (apart[1] < apart[0] - 1e-6) | (
            (apart[1] < apart[0] + 1e-6) & (np.abs(other).sum(-1) < np.abs(angles).sum(-1))
        )
        return np.where(better[..., None], other, angles)

    def _step(self, turns: FloatArray, given: FloatArray, found: FloatArray) -> FloatArray:
        """(T, Q) Gauss-Newton step, shortened where it would not bring the rotations nearer."""
        angles = given + np.einsum("bcp,tp->tbc", self.rows, found)
        miss = self._miss(turns, angles)
        J = (euler_rates(angles) @ self.rows).reshape(len(turns), -1, len(self.columns))
        normal = np.swapaxes(J, -1, -2) @ J
        size = np.einsum("tqq->t", normal)[:, None, None] / len(self.columns)
        normal += _DAMPING * size * np.eye(len(self.columns))
        right = np.swapaxes(J, -1, -2) @ miss.reshape(len(turns), -1, 1)
        step = np.linalg.solve(normal, right)[..., 0]
        before = (miss**2).sum(axis=(-1, -2))
        for _ in range(8):
            moved = self._miss(turns, angles + np.einsum("bcp,tp->tbc", self.rows, step))
            worse = (moved**2).sum(axis=(-1, -2)) > before
            if not worse.any():
                break
            step = np.where(worse[:, None], step / 4, step)
        return np.where(worse[:, None], 0.0, step)

    @staticmethod
    def _miss(turns: FloatArray, angles: FloatArray) -> FloatArray:
        """(T, B, 3) rotation vector, in the joint, from where the angles are to the target."""
        return log(np.swapaxes(compose(angles[..., ::-1], "ZYX"), -1, -2) @ turns)


def euler_rates(angles: FloatArray) -> FloatArray:
    """(..., 3, 3) angular velocity in the turned frame per rate of x, y, z, for Rz Ry Rx."""
    (sx, sy, _), (cx, cy, _) = (
        np.moveaxis(np.sin(angles), -1, 0),
        np.moveaxis(np.cos(angles), -1, 0),
    )
    out = np.zeros((*angles.shape, 3))
    out[..., 0, 0] = 1
    out[..., 1, 1], out[..., 2, 1] = cx, -sx
    out[..., 0, 2], out[..., 1, 2], out[..., 2, 2] = -sy, cy * sx, cy * cx
    return out


def _independent(rows: FloatArray) -> IntArray:
    """Pose parameters, less those that only do what others do; `_flexible` ones go first."""
    flat = rows.reshape(-1, rows.shape[-1])
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


def _place_root(
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


def _in_world_axes(model: MhrModel, turns: FloatArray) -> FloatArray:
    W = model.frames
    return np.asarray(W @ turns @ np.swapaxes(W, -1, -2))


def _in_joint_axes(model: MhrModel, rotations: FloatArray) -> FloatArray:
    W = model.frames
    return np.asarray(np.swapaxes(W, -1, -2) @ rotations @ W)
