"""Inverse kinematics of frames, each for itself: the pose that brings the model's markers to the
measured ones.

The cost is the one of OpenSim's InverseKinematicsTool (markers' weighted mean square distance,
plus weighted squares of coordinates' distances to their defaults), minimised by
Levenberg-Marquardt over the free coordinates, in all frames at once. OpenSim's solver takes a frame
at a time, with 20 coupled coordinates as constraints, and at its default accuracy of 1e-5 stops
0.10-0.26 degrees before the minimum; at 1e-8 it agrees to 0.0005 degrees.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.biomech.opensim.kinematics import LeastSquares, blocks
from kinefit.biomech.opensim.model import BodyModel
from kinefit.types import BoolArray, FloatArray, all_finite

NOISE_M = 0.01  # standard deviation of a marker per axis, for what a pose's markers determine
PRIOR = 1.0  # rad, m: standard deviation of a coordinate that no marker says anything about

_FIRST_STEPS, STEPS = 200, 40
_FIRST_GOAL = 1e-4  # m^2/rad^2: a limb that is 10 degrees off costs as much as 2 mm
# Of a cost in m^2; the first is what markers that move by 1 mm per radian would weigh.
_DAMPING, _LEAST_DAMPING = 1e-6, 1e-9
_SMALL_STEP = 1e-4  # rad, m: 0.006 degrees
_TOGETHER = 512  # frames: the slowest keep few others waiting, and 10 MB of normal equations
_LONGEST_STEP = 0.3  # rad: longer ones wind arms around their axes


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


def marker_spread(
    model: BodyModel, free: BoolArray, q: FloatArray, present: BoolArray
) -> FloatArray:
    """(T, C) standard deviation of each coordinate from markers with noise, in poses (T, C).

    free: (C,) the coordinates that are solved for. present: (T, M) the markers that are there.
    The posterior of a linear Gaussian model (Bishop 2006, Pattern Recognition and Machine
    Learning, eq. 3.54) with noise NOISE_M and prior PRIOR.
    """
    sd = np.empty(q.shape)
    for block in blocks(len(q), _TOGETHER):
        there, nowhere = present[block].astype(float), np.zeros((*present[block].shape, 3))
        precision = model.least_squares(q[block], free, there, nowhere).hessian
        precision = precision / NOISE_M**2 + np.eye(precision.shape[-1]) / PRIOR**2
        tie = model.tie_jacobian(q[block])[..., free]
        sd[block] = np.sqrt((tie @ np.linalg.inv(precision) * tie).sum(-1))
    return sd


def minimise(
    model: BodyModel, task: Task, xyz: FloatArray, start: FloatArray, steps: int = STEPS
) -> tuple[FloatArray, FloatArray]:
    """The poses (T, C) with the least cost near `start` (T, C), and their costs (T,).

    xyz: (T, M, 3) metres; NaN where missing. Coordinates stay in their ranges, those that are not
    free as they are.
    """
    q, value = start.copy(), np.zeros(len(start))
    for block in blocks(len(start), _TOGETHER):
        q[block], value[block] = _minimise(model, task, xyz[block], start[block], steps)
    return q, value


def _minimise(
    model: BodyModel, task: Task, xyz: FloatArray, start: FloatArray, steps: int
) -> tuple[FloatArray, FloatArray]:
    low, high = model.low[task.free], model.high[task.free]
    turning = model.turning[task.free]
    weights, target = _weighted(task, xyz)
    z = np.clip(start[:, task.free], low, high)
    at = _evaluated(model, task, start, z, weights, target)
    damping, growth = np.full(len(z), _DAMPING), np.full(len(z), 2.0)
    going = np.arange(len(z))
    for _ in range(steps):
        here = LeastSquares(*(part[going] for part in at))
        step = _damped_step(here, z[going], low, high, damping[going])
        longest = np.abs(step[:, turning]).max(-1, keepdims=True, initial=_LONGEST_STEP)
        step *= _LONGEST_STEP / longest
        trial = np.clip(z[going] + step, low, high)
        there = _evaluated(model, task, start[going], trial, weights[going], target[going])
        better = there.value <= here.value
        # Nielsen's rule: less damping the better the quadratic model told the gain.
        slope = 2 * here.gradient + np.einsum("tij,tj->ti", here.hessian, step)
        promised = -np.einsum("ti,ti->t", slope, step)
        gain = (here.value - there.value) / np.maximum(promised, 1e-300)
        less = np.maximum(0.1, 1 - (2 * np.clip(gain, 0.0, 1.0) - 1) ** 3)
        damping[going] *= np.where(better, less, growth[going])
        damping = np.maximum(damping, _LEAST_DAMPING)
        growth[going] = np.where(better, 2.0, 2 * growth[going])
        small = np.abs(trial - z[going]).max(-1, initial=0.0) < _SMALL_STEP
        z[going[better]] = trial[better]
        for old, new in zip(at, there, strict=True):
            old[going[better]] = new[better]
        going = going[~np.where(better, small, damping[going] > 1.0)]
        if not going.size:
            break
    return _pose(model, task, start, z), at.value


def _pose(model: BodyModel, task: Task, start: FloatArray, z: FloatArray) -> FloatArray:
    """Poses (T, C) of the free coordinates (T, F), and of the others in `start` (T, C)."""
    q = start.copy()
    q[:, task.free] = z
    return model.tie(q)


def _evaluated(
    model: BodyModel,
    task: Task,
    start: FloatArray,
    z: FloatArray,
    weights: FloatArray,
    target: FloatArray,
) -> LeastSquares:
    """The cost and its normal equations, in poses as `_pose` has them."""
    markers = model.least_squares(_pose(model, task, start, z), task.free, weights, target)
    goals, off = task.goals[task.free], z - model.default[task.free]
    return LeastSquares(
        markers.value + off**2 @ goals,
        markers.gradient + goals * off,
        markers.hessian + np.diag(goals),
    )


def _damped_step(
    at: LeastSquares, z: FloatArray, low: FloatArray, high: FloatArray, damping: FloatArray
) -> FloatArray:
    """(T, F) Levenberg-Marquardt steps."""
    # A coordinate at the end of its range that is pushed further out stays there.
    inside = ~(((z <= low) & (at.gradient > 0)) | ((z >= high) & (at.gradient < 0)))
    matrix = at.hessian * (inside[:, :, None] & inside[:, None])
    diagonal = np.arange(z.shape[1])
    matrix[:, diagonal, diagonal] += np.where(inside, damping[:, None], 1.0)
    return np.asarray(np.linalg.solve(matrix, -(at.gradient * inside)[..., None])[..., 0])


def cost(model: BodyModel, task: Task, xyz: FloatArray, q: FloatArray) -> FloatArray:
    """(T,) square metres: what `minimise` minimises, of poses (T, C) for frames (T, M, 3)."""
    weights, target = _weighted(task, xyz)
    off = ((model.positions(q) - target) ** 2).sum(-1)
    return np.asarray((weights * off).sum(-1) + (q - model.default) ** 2 @ task.goals)


def _weighted(task: Task, xyz: FloatArray) -> tuple[FloatArray, FloatArray]:
    """(T, M) weights of the markers that are there, of sum one, and (T, M, 3) positions without
    NaN."""
    weights = np.where(all_finite(xyz), task.weights, 0.0)
    total = np.maximum(weights.sum(-1, keepdims=True), np.finfo(float).tiny)
    return weights / total, np.nan_to_num(xyz)


def first_pose(
    model: BodyModel, task: Task, xyz: FloatArray, steps: int = _FIRST_STEPS
) -> FloatArray:
    """(T, C) poses to start from for frames (T, M, 3): whichever way the person faces, upright or
    lying."""
    start = aligned(model, task, xyz, model.tie(model.default))
    near = Task(task.weights, task.free, np.maximum(task.goals, _FIRST_GOAL * ~_root(model)))
    start = minimise(model, near, xyz, start, 100)[0]
    return minimise(model, task, xyz, start, steps)[0]


def aligned(model: BodyModel, task: Task, xyz: FloatArray, pose: FloatArray) -> FloatArray:
    """(T, C) one pose (C,), moved as a piece to the frames (T, M, 3).

    The root joint alone is fitted, where that does not succeed from quarter turns about each of its
    axes.
    """
    root = _root(model)
    rigid = Task(task.weights, task.free & root, 0.0 * task.goals)
    starts = [pose]
    for i in np.flatnonzero(rigid.free & model.turning):
        starts += [pose + turn * np.pi * np.eye(len(pose))[i] for turn in (0.5, 1.0, -0.5)]
    best, lowest = minimise(model, rigid, xyz, np.tile(pose, (len(xyz), 1)), 50)
    bad = np.flatnonzero(lowest > 1.05 * _rigid_cost(model, task, xyz, pose))
    for start in starts[1:] if bad.size else ():
        q, value = minimise(model, rigid, xyz[bad], np.tile(start, (len(bad), 1)), 50)
        better = value < lowest[bad] / 1.05  # as few turns as possible
        best[bad[better]], lowest[bad[better]] = q[better], value[better]
    return best


def _root(model: BodyModel) -> BoolArray:
    """(C,) True for the coordinates of the joint that carries the whole model."""
    return np.array([c.joint == model.coordinates[0].joint for c in model.coordinates])


def _rigid_cost(model: BodyModel, task: Task, xyz: FloatArray, pose: FloatArray) -> FloatArray:
    """(T,) square metres: the least cost of a pose (C,) moved as one piece to the frames (T, M, 3)
    (Kabsch 1976, Acta Cryst. A32:922)."""
    weights, target = _weighted(task, xyz)
    share = weights[..., None]
    own = model.positions(pose) - (share * model.positions(pose)).sum(1, keepdims=True)
    target = target - (share * target).sum(1, keepdims=True)
    turned = (share * own).swapaxes(1, 2) @ target
    values = np.linalg.svd(turned, compute_uv=False)
    values[:, 2] *= np.sign(np.linalg.det(turned))
    total = (share * (own**2 + target**2)).sum((1, 2))
    return np.asarray(np.maximum(total - 2 * values.sum(-1), 0.0))
