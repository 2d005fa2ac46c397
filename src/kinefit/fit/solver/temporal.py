"""Terms that couple poses in time; a frame rate is never assumed."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.geometry.lie import log_jacobian
from kinefit.types import FloatArray


def _relative_rotations(rotations: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """From each pose to the next: rotvec (T-1, F, 3) and its derivatives by both (T-1, F, 3, 3)."""
    rotvec = so3.log(np.swapaxes(rotations[:-1], -1, -2) @ rotations[1:])
    after = log_jacobian(rotvec)
    return rotvec, -np.swapaxes(after, -1, -2), after


def _velocities(state: State, step: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """(T-1, 1+F, 3) m/s and rad/s between poses, and derivatives by the earlier and the later."""
    rotvec, before, after = _relative_rotations(state.rotations)
    moved = np.diff(state.translation, axis=0)[:, None]
    unit = np.broadcast_to(np.eye(3), (len(step), 1, 3, 3))
    dt = step[:, None, None]
    velocity = np.concatenate([moved, rotvec], axis=1) / dt
    earlier = np.concatenate([-unit, before], axis=1) / dt[..., None]
    later = np.concatenate([unit, after], axis=1) / dt[..., None]
    return velocity, earlier, later


@dataclass(frozen=True, eq=False)
class ConstantVelocity:
    """Accelerations, from three poses in a row, over their standard deviation.

    time: (T,) seconds. sigma: (1 + F,) m/s^2 of the translation, rad/s^2 of each joint.
    joined: (T - 1,) 1 where two neighbours belong together, 0 across a cut.
    """

    time: FloatArray
    sigma: FloatArray
    joined: FloatArray
    reach: int = 2

    def residual(self, state: State) -> FloatArray:
        velocity, _, _ = _velocities(state, np.diff(self.time))
        return np.diff(velocity, axis=0) * self._factor()[..., None]

    def jacobian(self, state: State) -> FloatArray:
        _, earlier, later = _velocities(state, np.diff(self.time))
        by = np.stack([-earlier[:-1], earlier[1:] - later[:-1], later[1:]], axis=2)
        return by * self._factor()[..., None, None, None]

    def _factor(self) -> FloatArray:
        """(T - 2, 1 + F)."""
        step = np.diff(self.time)
        joined = self.joined[:-1] * self.joined[1:]
        return np.asarray(2 * (joined / (step[:-1] + step[1:]))[:, None] / self.sigma)
