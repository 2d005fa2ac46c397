"""Inverse kinematics of one frame: the pose that brings the model's markers to the measured ones.

The cost is the one of OpenSim's InverseKinematicsTool (markers' weighted mean square distance,
plus weighted squares of coordinates' distances to their defaults), minimised by
Levenberg-Marquardt over the free coordinates with OpenSim's own Jacobian. OpenSim's solver takes
ten times as long (it carries 20 coupled coordinates as constraints), and at its default accuracy of
1e-5 stops 0.10-0.26 degrees before the minimum; at 1e-8 it agrees to 0.0005 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.biomech.opensim.model import BodyModel
from kinefit.types import BoolArray, FloatArray, IntArray, all_finite

NOISE_M = 0.01  # standard deviation of a marker per axis, for what a pose's markers determine
PRIOR = 1.0  # rad, m: standard deviation of a coordinate that no marker says anything about

_FIRST_STEPS, STEPS = 200, 40
_FIRST_GOAL = 1e-4  # m^2/rad^2: a limb that is 10 degrees off costs as much as 2 mm
# Of a cost in m^2; the first is what markers that move by 1 mm per radian would weigh.
_DAMPING, _LEAST_DAMPING = 1e-6, 1e-9
_SMALL_STEP = 1e-4  # rad, m: 0.006 degrees
_LONGEST_STEP = 0.3  # rad, m: longer ones wind arms around their axes


@dataclass(frozen=True, eq=False)
class Task:
    """What to solve for.

    weights: (M,) weight of each of the model's markers; 0: not used.
    free: (C,) True for the coordinates to solve for; the others stay at their defaults.
    goals: (C,) weight that pulls a coordinate to its default.
    """

    weights: FloatArray
    free: BoolArray
    goals: FloatArray


def spread(jacobian: FloatArray, tie: FloatArray) -> FloatArray:
    """(C,) standard deviation of each coordinate from markers with noise.

    jacobian: (N, 3, F) of the markers that are there by the F free coordinates.
    tie: (C, F) of all coordinates by the free ones.
    The posterior of a linear Gaussian model (Bishop 2006, Pattern Recognition and Machine
    Learning, eq. 3.54) with noise NOISE_M and prior PRIOR.
    """
    rows = jacobian.reshape(-1, jacobian.shape[-1])
    precision = rows.T @ rows / NOISE_M**2 + np.eye(rows.shape[1]) / PRIOR**2
    return np.asarray(np.sqrt(np.einsum("cf,fc->c", tie, np.linalg.solve(precision, tie.T))))


def minimise(
    model: BodyModel, task: Task, xyz: FloatArray, start: FloatArray, steps: int = STEPS
) -> FloatArray:
    """(C,) the pose with the least cost near `start`; coordinates stay in their ranges."""
    free = task.free
    low = np.array([c.low for c in model.coordinates])[free]
    high = np.array([c.high for c in model.coordinates])[free]
    weights, target = _weighted(task, xyz)
    there = np.flatnonzero(weights)
    weights, target = weights[there], target[there]
    goals, default = task.goals[free], model.default[free]

    def moved(z: FloatArray) -> FloatArray:
        q = model.default.copy()
        q[free] = z
        return model.tie(q)

    def value_at(z: FloatArray) -> tuple[float, FloatArray]:
        off = model.positions(moved(z), there) - target
        value = weights @ (off**2).sum(-1) + goals @ (z - default) ** 2
        return float(value), off

    z = np.clip(start[free], low, high)
    value, off = value_at(z)
    damping, growth = _DAMPING, 2.0
    for _ in range(steps):
        jacobian, _ = reduced_jacobian(model, task, moved(z), there)
        rows = jacobian.reshape(3 * len(there), -1)
        weighted = rows.T * np.repeat(weights, 3)
        gradient = weighted @ off.ravel() + goals * (z - default)
        hessian = weighted @ rows + np.diag(goals)
        # A coordinate at the end of its range that is pushed further out stays there.
        inside = ~(((z <= low) & (gradient > 0)) | ((z >= high) & (gradient < 0)))
        step = _damped_step(hessian, gradient, inside, damping)
        trial = np.clip(z + step, low, high)
        new, new_off = value_at(trial)
        promised = -(2 * gradient + hessian @ step) @ step
        if new > value:
            damping, growth = damping * growth, 2 * growth
            if damping > 1.0:
                break
            continue
        # Nielsen's rule: less damping the better the quadratic model told the gain.
        gain = (value - new) / max(promised, 1e-300)
        damping = max(damping * max(0.1, 1 - (2 * gain - 1) ** 3), _LEAST_DAMPING)
        change, growth = np.abs(trial - z).max(initial=0.0), 2.0
        z, value, off = trial, new, new_off
        if change < _SMALL_STEP:
            break
    return moved(z)


def _damped_step(
    hessian: FloatArray, gradient: FloatArray, inside: BoolArray, damping: float
) -> FloatArray:
    """(F,) Levenberg-Marquardt step of the coordinates `inside`, none longer than the longest."""
    step = np.zeros_like(gradient)
    matrix = hessian[np.ix_(inside, inside)] + damping * np.eye(int(inside.sum()))
    step[inside] = np.linalg.solve(matrix, -gradient[inside])
    longest = float(np.abs(step).max(initial=0.0))
    return np.asarray(step * min(1.0, _LONGEST_STEP / max(longest, _LONGEST_STEP)))


def cost(model: BodyModel, task: Task, xyz: FloatArray, q: FloatArray) -> float:
    """Square metres: what `minimise` minimises, at the pose (C,) `q` for one frame (M, 3)."""
    weights, target = _weighted(task, xyz)
    off = ((model.positions(q) - target) ** 2).sum(-1)
    return float(weights @ off + task.goals @ (q - model.default) ** 2)


def _weighted(task: Task, xyz: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(M,) weights of the markers that are there, of sum one, and (M, 3) positions without NaN."""
    weights = np.where(all_finite(xyz), task.weights, 0.0)
    return weights / max(weights.sum(), np.finfo(float).tiny), np.nan_to_num(xyz)


def reduced_jacobian(
    model: BodyModel, task: Task, q: FloatArray, some: IntArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Jacobian (M, 3, F) of the markers, or of N `some` of them, by the free coordinates, and all
    coordinates' (C, F) by those."""
    tie, jacobian = model.tie_jacobian(q)[:, task.free], model.jacobian(q, some)
    return jacobian[..., task.free] if model.untied else jacobian @ tie, tie


def first_pose(model: BodyModel, task: Task, xyz: FloatArray) -> FloatArray:
    """(C,) a pose to start from: whichever way the person faces, upright or lying.

    The root joint alone is fitted first, from quarter turns about each of its axes.
    """
    root = np.array([c.joint == model.coordinates[0].joint for c in model.coordinates])
    rigid = Task(task.weights, task.free & root, 0.0 * task.goals)
    starts = [model.tie(model.default)]
    turns = np.array([c.motion != "translation" for c in model.coordinates])
    for i in np.flatnonzero(rigid.free & turns):
        for turn in (0.5, 1.0, -0.5):
            start = starts[0].copy()
            start[i] += turn * np.pi
            starts.append(start)
    best, lowest, least = starts[0], np.inf, _rigid_cost(model, task, xyz)
    for start in starts:  # as few turns as possible
        fit = minimise(model, rigid, xyz, start, 50)
        value = cost(model, rigid, xyz, fit)
        if value < lowest / 1.05:
            best, lowest = fit, value
        if lowest <= 1.05 * least:
            break
    near = Task(task.weights, task.free, np.maximum(task.goals, _FIRST_GOAL * ~root))
    return minimise(model, task, xyz, minimise(model, near, xyz, best, 100), _FIRST_STEPS)


def _rigid_cost(model: BodyModel, task: Task, xyz: FloatArray) -> float:
    """Square metres: the least cost of the default pose moved as one piece (Kabsch 1976, Acta
    Cryst. A32:922)."""
    weights, target = _weighted(task, xyz)
    own = model.positions(model.tie(model.default))
    own, target = own - weights @ own, target - weights @ target
    turned = (weights[:, None] * own).T @ target
    values = np.linalg.svd(turned, compute_uv=False)
    values[2] *= np.sign(np.linalg.det(turned))
    spread_ = weights @ (own**2 + target**2).sum(-1)
    return float(max(spread_ - 2 * values.sum(), 0.0))
