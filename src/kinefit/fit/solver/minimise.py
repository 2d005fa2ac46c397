"""Levenberg-Marquardt for poses: damped Gauss-Newton that only ever goes down.

Rotations are varied on their group, robust kernels by iteratively re-weighted least squares, and
derivatives are the geometric ones of `kinefit.fit.solver.chain`. With nothing shared and no term
that couples neighbours, poses are independent: each has its own damping, takes or refuses its own
step, and leaves when it is done. Otherwise all poses are one problem, block-banded over time.

A trial step is taken only when the objective is finite and lower: a step that leads to NaN is a
rejected step. Data that cannot determine anything is refused before the first one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from threadpoolctl import threadpool_limits

from kinefit.fit.solver.chain import Chain, Posed
from kinefit.fit.solver.normal import Normal
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import (
    ConstantVelocity,
    Objective,
    PointTerm,
    VertexAcceleration,
)
from kinefit.types import BoolArray, FloatArray, IntArray, InvalidData, TooFewPoints

# Poses whose derivatives are held at once: 25 keypoints with 75 columns are 45 kB a pose, and
# 128 poses stay in a 6 MB cache (128: 1.0, 32: 1.1, 1000: 1.3 of the time).
_CHUNK = 128


@dataclass(frozen=True)
class Options:
    """When a fit is done.

    most_steps: accepted or refused. least_fall: share of the objective below which an accepted
    step is the last; negligible: or this much, per pose (half squared standard deviations).
    damping: to begin with, of the normal matrix's diagonal.
    """

    most_steps: int = 50
    least_fall: float = 1e-6
    negligible: float = 1e-9
    damping: float = 1e-3


@dataclass(frozen=True, eq=False)
class Solution:
    """Where a fit ended.

    cost: (T,) objective per pose; what poses share is in `shared_cost`. steps: (T,) tried.
    converged: (T,) False where `most_steps` ran out or no step led down while the slope was left.
    """

    state: State
    cost: FloatArray
    shared_cost: float
    steps: IntArray
    converged: BoolArray

    @property
    def total(self) -> float:
        return float(self.cost.sum() + self.shared_cost)


def minimise(
    objective: Objective,
    variables: Variables,
    start: State,
    options: Options | None = None,
    rows: IntArray | None = None,
) -> Solution:
    """The nearest minimum downhill from `start`.

    rows: (T,) which poses of the terms' data those of `start` are, where they are not all; terms
    that couple neighbours always speak of the poses of `start`.

    Raises TooFewPoints when no term has data, InvalidData when the start or its objective is not
    finite.
    """
    options = options or Options()
    rows = np.arange(len(start)) if rows is None else rows
    _check(objective, variables, start, rows)
    alone = not (objective.times or objective.vertices or variables.shared_size)
    problem = _Problem(objective, variables)
    solve = _solve_each if alone else _solve_whole
    # On two cores, threads of OpenBLAS that wait for one another cost more than they bring in
    # products as small as these.
    with threadpool_limits(1, "blas"):
        return solve(problem, start, options, rows)


def cost(objective: Objective, chain: Chain, state: State) -> tuple[FloatArray, float]:
    """(T,) value of the objective per pose, and what is shared by all."""
    problem = _Problem(objective, Variables.poses(chain))
    return problem.cost(state, np.arange(len(state)))


def information(
    objective: Objective, variables: Variables, state: State, rows: IntArray | None = None
) -> FloatArray:
    """(T, N, N) curvature of the objective at each pose, by its N variables.

    Its inverse is the covariance of a pose given what its own frame and the priors say, where the
    residuals' standard deviations are true and the others' mistakes are outliers; neighbours in
    time are left out. rows: as in `minimise`.
    """
    rows = np.arange(len(state)) if rows is None else rows
    alone = replace(objective, times=(), vertices=())
    return _Problem(alone, variables).normal(state, rows).frame


def _check(objective: Objective, variables: Variables, start: State, rows: IntArray) -> None:
    for name in ("rotations", "translation", "shape", "offset"):
        if not np.isfinite(getattr(start, name)).all():
            raise InvalidData(f"The start of a fit has a {name} that is not finite.")
    if objective.vertices and (variables.shape != "fixed" or variables.offsets):
        raise InvalidData("Vertices' accelerations are for poses; shape and offsets are fixed.")
    if objective.points and not any(term.weight[rows].any() for term in objective.points):
        raise TooFewPoints("Points to fit a body to", found=0, needed=1)
    for term in objective.points:
        if not np.isfinite(term.weight).all() or (term.weight < 0).any():
            raise InvalidData(f"{type(term).__name__} has a weight that is negative or not finite.")


@dataclass(frozen=True, eq=False)
class _Problem:
    objective: Objective
    variables: Variables

    @property
    def chain(self) -> Chain:
        return self.variables.chain

    def cost(self, state: State, rows: IntArray) -> tuple[FloatArray, float]:
        """(t,) per pose of `state`, whose poses are `rows` of the data; and the shared part."""
        total = np.zeros(len(state))
        for part in _chunks(len(state)):
            piece = state.at(part)
            total[part] = self._frame_cost(piece, piece.posed(self.chain), rows[part])
        moving: tuple[ConstantVelocity | VertexAcceleration, ...]
        moving = (*self.objective.times, *self.objective.vertices)
        for term in moving:
            each = (term.residual(state) ** 2).sum(axis=(1, 2)) / 2
            total[: len(each)] += each  # by the first pose it touches
        return total, self._shared_cost(state)

    def first_cost(self, start: State, rows: IntArray) -> tuple[FloatArray, float]:
        """`cost`; raises InvalidData where it is not finite."""
        value, shared = self.cost(start, rows)
        if not (np.isfinite(value).all() and np.isfinite(shared)):
            worst = int(np.argmin(np.isfinite(value)))
            raise InvalidData(f"The objective of pose {worst} is not finite.")
        return value, shared

    def _frame_cost(self, state: State, posed: Posed, rows: IntArray) -> FloatArray:
        total = np.zeros(len(rows))
        for point_term in self.objective.points:
            r = point_term.residual(posed.points[:, point_term.point], rows)
            rho = point_term.kernel.rho((r * r).sum(axis=-1))
            total += (np.where(point_term.weight[rows] > 0, point_term.weight[rows] * rho, 0)).sum(
                1
            )
        for pose_term in self.objective.poses:
            r = pose_term.residual(state.rotations, rows)
            total += pose_term.kernel.rho((r * r).sum(axis=-1)).sum(axis=-1)
        if state.shape_each:
            for shape_term in self.objective.shapes:
                total += (shape_term.residual(state.shape) ** 2).sum(axis=-1)
        return total / 2

    def _shared_cost(self, state: State) -> float:
        total = 0.0
        if not state.shape_each:
            total += sum(float((t.residual(state.shape) ** 2).sum()) for t in self.objective.shapes)
        if self.objective.offset_spread is not None:
            total += float((state.offset**2).sum()) / self.objective.offset_spread**2
        return total * self.objective.shared_weight / 2

    def normal(self, state: State, rows: IntArray) -> Normal:
        v, T = self.variables, len(state)
        N, S = v.frame_size, v.shared_size
        H, g = np.zeros((T, N, N)), np.zeros((T, N))
        cross, shared, shared_g = np.zeros((T, N, S)), np.zeros((S, S)), np.zeros(S)
        for part in _chunks(T):
            piece = state.at(part)
            basis = None if v.coordinates is None else v.coordinates.basis(piece)
            self._add_points(piece.posed(self.chain), rows[part], basis, H[part], g[part],
                             cross[part], shared, shared_g)  # fmt: skip
            self._add_poses(piece, rows[part], basis, H[part], g[part])
            if v.shape == "each":
                self._add_shapes_each(piece, H[part], g[part])
        near = self._add_vertices(state, H, g, self._add_times(state, H, g))
        self._add_shared(state, shared, shared_g)
        normal = Normal(H, g, near, shared, shared_g, cross)
        return normal.without(*v.held(state, g, shared_g))

    def _add_points(
        self, posed: Posed, rows: IntArray, basis: FloatArray | None, H: FloatArray, g: FloatArray,
        cross: FloatArray, shared: FloatArray, shared_g: FloatArray,
    ) -> None:  # fmt: skip
        """Terms of keypoints are first summed per keypoint, to 3 x 3; then the chain is applied."""
        v, T = self.variables, len(posed.rotations)
        if not self.objective.points:
            return
        info, pull = _per_point(self.objective.points, posed.points, rows)
        used = np.flatnonzero(info.any(axis=(0, 2, 3)) | pull.any(axis=(0, 2)))
        info, pull = info[:, used], pull[:, used]
        J = posed.jacobian[:, used]
        J = J[..., v.columns] if basis is None else J @ basis[:, None]
        if v.shape == "each":
            J = np.concatenate([J, posed.shape_jacobian[:, used]], axis=-1)
        N = J.shape[-1]
        flat = J.reshape(T, 3 * len(used), N)
        weighed = (info @ J).reshape(T, 3 * len(used), N)
        flat_t = np.swapaxes(flat, -1, -2)
        H += flat_t @ weighed
        g += (flat_t @ pull.reshape(T, -1, 1))[..., 0]
        if not v.shared_size:
            return
        B = self._shared_jacobian(posed, used)
        flat_b = B.reshape(T * 3 * len(used), -1)
        weighed_b = (info @ B).reshape(T, 3 * len(used), -1)
        cross += flat_t @ weighed_b
        shared += flat_b.T @ weighed_b.reshape(T * 3 * len(used), -1)
        shared_g += flat_b.T @ pull.ravel()

    def _shared_jacobian(self, posed: Posed, used: IntArray) -> FloatArray:
        """(T, K', 3, S) of the keypoints `used` by the shared variables."""
        v, T = self.variables, len(posed.points)
        parts = []
        if v.shape == "shared":
            parts.append(posed.shape_jacobian[:, used])
        if v.offsets:
            own = np.zeros((T, len(used), 3, len(v.offsets), 3))
            place = {int(k): i for i, k in enumerate(used)}
            for n, k in enumerate(v.offsets):
                if k in place:
                    own[:, place[k], :, n] = posed.offset_jacobian[:, k]
            parts.append(own.reshape(T, len(used), 3, -1))
        return np.concatenate(parts, axis=-1)

    def _add_poses(
        self, state: State, rows: IntArray, basis: FloatArray | None, H: FloatArray, g: FloatArray
    ) -> None:
        for term in self.objective.poses:
            r, J = term.residual(state.rotations, rows), term.jacobian(state.rotations, rows)
            weight = term.kernel.weight((r * r).sum(axis=-1))[..., None, None]
            joint = getattr(term, "joint", None)  # of a JointTerm
            if joint is not None and basis is None:
                self._add_joints(joint, r, J, weight * J, H, g)
                continue
            part, J = self._by_variables(J, joint, basis)
            flat = J.reshape(len(r), -1, J.shape[-1])
            weighed = (weight * J).reshape(flat.shape)
            H[:, part, part] += np.swapaxes(flat, -1, -2) @ weighed
            g[:, part] += np.einsum("tmi,tm->ti", weighed, r.reshape(len(r), -1))

    def _add_joints(
        self, joint: IntArray, r: FloatArray, J: FloatArray, weighed: FloatArray, H: FloatArray,
        g: FloatArray,
    ) -> None:  # fmt: skip
        """Residuals that turn with one joint each: blocks of three on the diagonal."""
        first = self.variables.joint_column[joint]
        some = np.flatnonzero(first >= 0)
        at = first[some, None] + np.arange(3)
        left = np.swapaxes(weighed[:, some], -1, -2)
        H[:, at[:, :, None], at[:, None, :]] += left @ J[:, some]
        g[:, at] += (left @ r[:, some, :, None])[..., 0]

    def _by_variables(
        self, J: FloatArray, joint: IntArray | None, basis: FloatArray | None
    ) -> tuple[slice, FloatArray]:
        """Derivatives by rotations as derivatives by a slice of a pose's variables."""
        v = self.variables
        if basis is None:
            turning = v.columns[v.columns >= 3] - 3
            first = 3 * int(v.translation)
            return slice(first, first + len(turning)), J[..., turning]
        turns = basis[:, None, 3:]
        if joint is not None:
            turns = basis[:, 3:].reshape(len(J), -1, 3, v.frame_size)[:, joint]
        return slice(0, v.frame_size), J @ turns

    def _add_shapes_each(self, state: State, H: FloatArray, g: FloatArray) -> None:
        S = self.variables.shape_count
        for term in self.objective.shapes:
            r, J = term.residual(state.shape), term.jacobian(state.shape)
            H[:, -S:, -S:] += np.swapaxes(J, -1, -2) @ J
            g[:, -S:] += np.einsum("tms,tm->ts", J, r)

    def _add_times(self, state: State, H: FloatArray, g: FloatArray) -> tuple[FloatArray, ...]:
        if not self.objective.times:
            return ()
        v, T = self.variables, len(state)
        chosen = v.columns[::3] // 3  # which of the 1 + F blocks vary
        B = len(chosen)
        reach = max(term.reach for term in self.objective.times)
        near = tuple(np.zeros((max(T - r, 0), B, 3, 3)) for r in range(1, reach + 1))
        blocks = np.zeros((T, B, 3, 3))
        for term in self.objective.times:
            if term.reach >= T:
                continue
            r, J = term.residual(state)[:, chosen], term.jacobian(state)[:, chosen]
            n = len(r)
            for a in range(term.reach + 1):
                left = np.swapaxes(J[:, :, a], -1, -2)
                g[a : a + n, : 3 * B] += (left @ r[..., None])[..., 0].reshape(n, -1)
                blocks[a : a + n] += left @ J[:, :, a]
                for b in range(a + 1, term.reach + 1):
                    near[b - a - 1][a : a + n] += left @ J[:, :, b]
        for b in range(B):
            H[:, 3 * b : 3 * b + 3, 3 * b : 3 * b + 3] += blocks[:, b]
        return near

    def _add_vertices(
        self, state: State, H: FloatArray, g: FloatArray, near: tuple[FloatArray, ...]
    ) -> tuple[FloatArray, ...]:
        """With the vertices' terms `near` is of whole poses; as it is without."""
        v, T = self.variables, len(state)
        for term in self.objective.vertices:
            if term.reach >= T:
                continue
            whole = [_widened(near[r - 1] if near else None, T - r, v) for r in (1, 2)]
            r, c = term.residual(state), term.coefficients
            n = len(r)
            J = term.point_jacobian(state)[..., v.columns].reshape(T, -1, v.frame_size)
            J_t = np.swapaxes(J, -1, -2)
            share = [np.zeros(T - k) for k in range(3)]  # of the products of poses k apart
            for a in range(3):
                pull = (J_t[a : a + n] @ r.reshape(n, -1, 1))[..., 0]
                g[a : a + n] += c[:, a, None] * pull
                for b in range(a, 3):
                    share[b - a][a : a + n] += c[:, a] * c[:, b]
            H += share[0][:, None, None] * (J_t @ J)
            for k in (1, 2):
                whole[k - 1] += share[k][:, None, None] * (J_t[:-k] @ J[k:])
            near = tuple(whole)
        return near

    def _add_shared(self, state: State, shared: FloatArray, shared_g: FloatArray) -> None:
        v, weight = self.variables, self.objective.shared_weight
        if v.shape == "shared":
            S = v.shape_count
            for term in self.objective.shapes:
                r, J = term.residual(state.shape), term.jacobian(state.shape)
                shared[:S, :S] += weight * J.T @ J
                shared_g[:S] += weight * J.T @ r
        if v.offsets and self.objective.offset_spread is not None:
            weight /= self.objective.offset_spread**2
            at = np.arange(len(shared_g) - 3 * len(v.offsets), len(shared_g))
            shared[at, at] += weight
            shared_g[at] += weight * state.offset[list(v.offsets)].ravel()


def _widened(near: FloatArray | None, count: int, variables: Variables) -> FloatArray:
    """(count, N, N) from blocks of three (count, B, 3, 3), or none, or what is whole already."""
    if near is not None and near.ndim == 3:
        return near
    out = np.zeros((count, variables.frame_size, variables.frame_size))
    for b in range(0 if near is None else near.shape[1]):
        out[:, 3 * b : 3 * b + 3, 3 * b : 3 * b + 3] = near[:, b]  # type: ignore[index]
    return out


def _per_point(
    terms: tuple[PointTerm, ...], points: FloatArray, rows: IntArray
) -> tuple[FloatArray, FloatArray]:
    """Information (T, K, 3, 3) and gradient (T, K, 3) of all terms, by keypoint."""
    T, K, _ = points.shape
    info, pull = np.zeros((K, T, 3, 3)), np.zeros((K, T, 3))
    for term in terms:
        at = points[:, term.point]
        r, J = term.residual(at, rows), term.jacobian(at, rows)
        weight = term.weight[rows] * term.kernel.weight((r * r).sum(axis=-1))
        weight = np.where(term.weight[rows] > 0, weight, 0)
        left = np.swapaxes(J, -1, -2) * weight[..., None, None]
        np.add.at(info, term.point, np.moveaxis(left @ J, 1, 0))
        np.add.at(pull, term.point, np.moveaxis((left @ r[..., None])[..., 0], 1, 0))
    return np.moveaxis(info, 0, 1), np.moveaxis(pull, 0, 1)


def _chunks(count: int) -> Iterator[slice]:
    return (slice(i, min(i + _CHUNK, count)) for i in range(0, count, _CHUNK))


def _solve_each(problem: _Problem, start: State, options: Options, rows: IntArray) -> Solution:
    """Poses on their own: those still on their way are solved together."""
    state, T = start, len(start)
    going = np.arange(T)
    value, shared = problem.first_cost(start, rows)
    damping, factor = np.full(T, options.damping), np.full(T, 2.0)
    steps, converged = np.zeros(T, dtype=np.int64), np.zeros(T, dtype=bool)
    while len(going):
        here = state.at(going)
        normal = problem.normal(here, rows[going])
        dx = normal.solve_each(damping[going])
        dx = np.where(np.isfinite(dx).all(axis=1, keepdims=True), dx, 0.0)
        there = problem.variables.moved(here, dx, np.zeros(0))
        with np.errstate(over="ignore", invalid="ignore"):
            trial, _ = problem.cost(there, rows[going])
        fall = value[going] - trial
        curved = np.einsum("ti,tij,tj->t", dx, normal.frame, dx, optimize=True)
        promised = -((normal.gradient * dx).sum(axis=1) + curved / 2)
        better = np.isfinite(trial) & (fall > 0)
        small = fall <= options.least_fall * value[going] + options.negligible
        steps[going] += 1
        taken = going[better]
        state = state.with_rows(taken, there.at(np.flatnonzero(better)))
        value[taken] = trial[better]
        _adapt(damping, factor, going, better, fall / np.where(promised > 0, promised, np.inf))
        nothing = promised <= 1e-9 * np.maximum(value[going], 1e-12)
        done = (better & small) | nothing
        converged[going[done]] = True
        stuck = damping[going] > _MOST_DAMPING
        going = going[~done & ~stuck & (steps[going] < options.most_steps)]
    return Solution(state, value, shared, steps, converged)


_MOST_DAMPING = 1e12


def _adapt(
    damping: FloatArray, factor: FloatArray, rows: IntArray, better: BoolArray, gain: FloatArray
) -> None:
    """Less damping after a step that did what the model promised, more after a refused one.

    Nielsen 1999 (IMM-REP-1999-05): times max(1/3, 1 - (2 gain - 1)^3), or times 2, 4, 8, ...
    """
    gain = np.clip(gain, -1, 1)
    damping[rows] *= np.where(better, np.maximum(1 / 3, 1 - (2 * gain - 1) ** 3), factor[rows])
    factor[rows] = np.where(better, 2.0, 2 * factor[rows])
    np.maximum(damping, 1e-9, out=damping)


def _solve_whole(problem: _Problem, start: State, options: Options, rows: IntArray) -> Solution:
    """All poses at once."""
    state = start
    value, shared = problem.first_cost(state, rows)
    damping, factor = np.array([options.damping]), np.array([2.0])
    normal, steps, converged = problem.normal(state, rows), 0, False
    while steps < options.most_steps and damping[0] < _MOST_DAMPING:
        steps += 1
        before = float(value.sum() + shared)
        dx = normal.solve(float(damping[0]))
        fall, promised, better = -1.0, np.inf, False
        if dx is not None and np.isfinite(dx[0]).all():
            promised = normal.predicted(*dx)
            if promised <= 1e-9 * max(before, 1e-12):
                converged = True
                break
            there = problem.variables.moved(state, *dx)
            with np.errstate(over="ignore", invalid="ignore"):
                trial, trial_shared = problem.cost(there, rows)
            fall = before - float(trial.sum() + trial_shared)
            better = bool(np.isfinite(fall) and fall > 0)
        gain = np.array([fall / promised])
        _adapt(damping, factor, np.array([0]), np.array([better]), gain)
        if better:
            state, value, shared = there, trial, trial_shared
            if fall <= options.least_fall * before + options.negligible * len(start):
                converged = True
                break
            normal = problem.normal(state, rows)
    count = np.full(len(start), steps)
    return Solution(state, value, shared, count, np.full(len(start), converged))
