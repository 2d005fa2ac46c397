"""The last step of a rig fit to MHR: from free joints to the rig's own parameters.

A fit turns every joint by three angles; the rig's elbows and knees are hinges, and its helper
joints share a twist. The nearest parameters to a fitted pose miss the points by centimetres where
a limb was turned in a way that the rig cannot. So the parameters themselves are brought to the
points from there: the same losses, with a pull to the pose that was fitted; Levenberg-Marquardt.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.body.mhr import MhrModel
from kinefit.body.mhr_params import LENGTH_PARAMETERS, PARAMETERS, POSE_COUNT
from kinefit.body.mhr_pose import parameters_of_pose, pose_of_parameters
from kinefit.fit.recipes.frames.rig_frames import as_view
from kinefit.fit.recipes.frames.rigfit import History, RigFit
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.geometry.robust import Huber
from kinefit.types import FloatArray, IntArray

_CHUNK = 64  # frames at a time: about 50 MB of Jacobians
_STEPS = 30
_LEAST_FALL = 1e-4  # share of its loss that a frame's last step gains
_DAMPING, _MOST_DAMPING = 1e-3, 1e6


def rig_parameters(
    model: MhrModel, work: RigFit, state: State, scale: FloatArray, rows: IntArray
) -> FloatArray:
    """(R, 204) parameters near the poses `state` (R) that come nearest to the points.

    scale: (R,) of the whole body. rows: (R,) frames. Moves what moves a joint that is free in
    `work`; fingers and jaw keep the nearest parameters, and `_flexible` ones, which repeat others
    or are locked by the rig's limits, what they had. In frames without enough points all do.
    """
    if not len(rows):
        return np.zeros((0, len(PARAMETERS)))
    found = parameters_of_pose(model, state.rotations, state.translation, state.shape).parameters
    enough = np.flatnonzero(work.targets.reasons(work.options.min_points)[rows] == 0)
    for part in (enough[i : i + _CHUNK] for i in range(0, len(enough), _CHUNK)):
        one = _Descent(model, work, state.at(part), scale[part], rows[part])
        found[part] = one.run(found[part])
    return found


@dataclass(frozen=True, eq=False)
class _Descent:
    """R frames. fitted: their poses, which pull. scale: (R,). rows: (R,)."""

    model: MhrModel
    work: RigFit
    fitted: State
    scale: FloatArray
    rows: IntArray

    def run(self, parameters: FloatArray) -> FloatArray:
        columns, R = _columns(self.model, self.work), len(self.rows)
        loss, damping = self._loss(self._state(parameters)), np.full(R, _DAMPING)
        going = np.ones(R, dtype=bool)
        for _ in range(_STEPS):
            normal, slope = self._normal(parameters, columns)
            size = np.einsum("tqq->tq", normal)
            # A floor: what moves nothing that is seen stays where it is.
            size = np.maximum(size, 1e-6 * size.max(axis=1, keepdims=True))
            damped = normal + (damping[:, None] * size)[..., None] * np.eye(len(columns))
            trial = parameters.copy()
            trial[:, columns] -= np.linalg.solve(damped, slope[..., None])[..., 0]
            new = self._loss(self._state(trial))
            better = going & (new < loss)
            going &= ~(better & (loss - new <= _LEAST_FALL * loss)) & (damping < _MOST_DAMPING)
            parameters = np.where(better[:, None], trial, parameters)
            loss = np.where(better, new, loss)
            damping = np.where(better, damping / 5, damping * 10)
            if not going.any():
                break
        return parameters

    def _state(self, parameters: FloatArray) -> State:
        count = len(self.model.rig.identity)
        pose = pose_of_parameters(self.model, parameters, self.fitted.shape[:, :count])
        return as_view(self.work.chain, pose.rotations, pose.translation, self.fitted.shape)

    def _loss(self, state: State) -> FloatArray:
        """(R,) of the points, and of the pull."""
        past = History.none(len(self.rows), len(self.work.free))
        initial = self.fitted.rotations
        losses = self.work.losses(state, self.scale, self.rows, initial, past)
        return np.asarray(sum(losses.values()))

    def _normal(self, parameters: FloatArray, columns: IntArray) -> tuple[FloatArray, FloatArray]:
        """Gauss-Newton matrix (R, Q, Q) and slope (R, Q) of the loss by `columns`."""
        state = self._state(parameters)
        turns = self._turns(parameters, columns)  # (R, B, 3, Q)
        normal, slope = self._of_points(state, turns, columns)
        moves = np.flatnonzero(self.work.free)[1:]  # the root's direction is the points'
        factor = 2 * self.work.options.w_pose_reg / max(len(moves), 1)
        off = so3.log(
            np.swapaxes(self.fitted.rotations[:, moves], -1, -2) @ state.rotations[:, moves]
        )
        by = turns[:, moves].reshape(len(off), -1, len(columns))
        normal += factor * np.swapaxes(by, -1, -2) @ by
        slope += factor * (np.swapaxes(by, -1, -2) @ off.reshape(len(off), -1, 1))[..., 0]
        return normal, slope

    def _of_points(
        self, state: State, turns: FloatArray, columns: IntArray
    ) -> tuple[FloatArray, FloatArray]:
        work, R = self.work, len(self.rows)
        posed, t = state.posed(work.chain), work.targets
        weight = t.weight[self.rows] / t.weight[self.rows].sum(axis=1, keepdims=True)
        xyz = np.where(weight[..., None] > 0, t.xyz[self.rows], 0.0)
        metric = t.metric[self.rows]
        r = metric @ (self.scale[:, None, None] * posed.points[:, work.columns] - xyz)[..., None]
        J = posed.jacobian[:, work.columns]  # (R, M, 3, 3 + 3 B)
        by = J[..., 3:] @ turns.reshape(R, 1, -1, len(columns))
        by += J[..., :3] @ _moves(self.model, columns)
        by = self.scale[:, None, None, None] * metric @ by
        w = weight * Huber(work.options.huber_m).weight((r * r).sum(axis=(-1, -2)))
        flat = (w[..., None, None] * by).reshape(R, -1, len(columns))
        normal = np.swapaxes(flat, -1, -2) @ by.reshape(R, -1, len(columns))
        return normal, (np.swapaxes(flat, -1, -2) @ r.reshape(R, -1, 1))[..., 0]

    def _turns(self, parameters: FloatArray, columns: IntArray) -> FloatArray:
        """(R, B, 3, Q) rotation of each joint, in its own axes at rest, by each parameter."""
        rows = self.model.rig.transform[self.model.kept, 3:6]
        rates = _rates(np.einsum("bcp,tp->tbc", rows, parameters))
        return np.asarray(self.model.frames @ rates @ rows[..., columns])


def _columns(model: MhrModel, work: RigFit) -> IntArray:
    """The parameters that are moved: place, and angles of joints that are free."""
    turned = np.asarray(model.rig.transform[model.kept, 3:6][work.free].any(axis=(0, 1)))
    angles = range(3, POSE_COUNT - len(LENGTH_PARAMETERS))
    return np.array(
        [0, 1, 2, *(p for p in angles if turned[p] and not PARAMETERS[p].endswith("_flexible"))]
    )


def _moves(model: MhrModel, columns: IntArray) -> FloatArray:
    """(3, Q) metres that the whole body moves by each parameter."""
    return np.asarray(model.rig.transform[model.kept[0], :3][:, columns])


def _rates(angles: FloatArray) -> FloatArray:
    """(..., 3, 3) turn in the turned axes per rate of x, y, z (..., 3), for Rz Ry Rx."""
    Rx, Ry = (so3.exp(angles[..., i, None] * np.eye(3)[i]) for i in (0, 1))
    x = np.broadcast_to(np.eye(3)[0], angles.shape)
    return np.stack([x, Rx[..., 1, :], (Ry @ Rx)[..., 2, :]], axis=-1)
