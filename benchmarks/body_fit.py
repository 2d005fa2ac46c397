"""The body fit against the same objective minimised by L-BFGS with autograd, and by scipy.

    python -m benchmarks.body_fit [--budget 120] [--long]

One made-up clip of 100 frames: Anny, four views with noise and outliers, Geman-McClure's kernel, a
pull to the rest pose, a prior of the shape, one shape for the clip, and accelerations. Everybody
begins at the same state and minimises the same function, checked by its value there:

    mesh      torch L-BFGS (strong Wolfe), autograd through Anny's own torch model, all vertices,
              as SMPLify-X does it
    chain     the same, autograd through no more than the joints and keypoints needed
    scipy     scipy.optimize.least_squares, finite differences with the sparsity given
    kinefit   the solver of kinefit.fit

Each may take `--budget` seconds. What they reached is told by the same function, and when they came
within 1 % of what kinefit reached; where the mesh did not, by the calls that the chain needed.
`--long`: and the cost per frame of whole clips from 100 to 10,000 frames, and the memory of 20,000,
each in a process of its own. torch has one or two threads, whichever is faster. Needs the packages
torch, roma and anny, which kinefit itself does not.
"""

from __future__ import annotations

import argparse
import contextlib
import cProfile
import json
import pstats
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import roma
import torch
from scipy import sparse
from scipy.optimize import least_squares

from benchmarks.inputs import camera_at
from benchmarks.suite.speed_cases import peak_memory
from kinefit.body.anny import ANATOMY, MEASURES, PHENOTYPES, AnnyShape, load_anny
from kinefit.fit.recipes.clip import fit_clip
from kinefit.fit.recipes.initial import from_points
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import Options, cost, minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import (
    ConstantVelocity,
    Objective,
    Reprojection,
    RotationPrior,
    ShapePrior,
)
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project_rig
from kinefit.geometry.robust import GemanMcClure
from kinefit.types import CameraRig, FloatArray, Observations, Timeline

FRAMES, RATE, NOISE_PX, WRONG = 100, 30.0, 3.0, 0.1
KERNEL_SD = 10.0  # standard deviations at which an outlier's pull has fallen to a quarter
PULL_RAD, ACCELERATION = 1.0, (6.0, 40.0)  # m/s^2 of the body, rad/s^2 of joints
TARGET = 50.0
# From Anny's axes (Z up, facing -Y) to kinefit's.
TURN = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])
NAMES = (
    *("Nose", "LEye", "REye", "LEar", "REar"),
    *(side + part for part in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "BigToe",
                               "SmallToe", "Heel") for side in "LR"),
)  # fmt: skip


# --- the clip ------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Problem:
    """What all minimise, where they begin, and what is true."""

    chain: Chain
    rig: CameraRig
    time: FloatArray
    xy: FloatArray  # (T, C, K, 2)
    objective: Objective
    start: State
    truth: State

    def value(self, state: State) -> float:
        each, shared = cost(self.objective, self.chain, state)
        return float(each.sum() + shared)

    def error_mm(self, state: State) -> float:
        found, true = (s.posed(self.chain).points for s in (state, self.truth))
        return float(1000 * so3.norm(found - true).mean())


def ring(count: int = 4) -> CameraRig:
    """Full-HD cameras 4 m around the body."""
    cameras = []
    for i in range(count):
        angle = 2 * np.pi * i / count + 0.3 * np.sin(2.0 * i)
        centre = np.array([4 * np.sin(angle), 1.2, 4 * np.cos(angle)])
        cameras.append(camera_at(f"cam{i}", centre, np.array([0, 0.9, 0]), 1300))
    return CameraRig(tuple(cameras))


def motion(chain: Chain, time_s: FloatArray) -> State:
    """Every joint swings by 20 degrees at 0.2 to 0.6 Hz; the body drifts in a circle."""
    rng = np.random.default_rng(0)
    F = len(chain.joint_names)
    tempo, phase = rng.uniform(0.2, 0.6, (F, 3)), rng.uniform(0, 2 * np.pi, (F, 3))
    angle = 0.35 * np.sin(2 * np.pi * tempo * time_s[:, None, None] + phase)
    place = 0.3 * np.stack([np.sin(time_s), 0 * time_s, np.cos(time_s)], axis=-1)
    space = chain.shape
    # Adults: under 25 years height and age can hardly be told apart.
    shape = space.neutral + 0.5 * space.spread * rng.normal(size=len(space.names))
    shape[PHENOTYPES.index("age")] = 0.75
    return State(so3.exp(angle), place, np.clip(shape, space.lower + 0.05, space.upper - 0.05),
                 np.zeros((len(NAMES), 3)))  # fmt: skip


def problem(frames: int = FRAMES) -> Problem:
    body = load_anny()
    chain = Chain.of(body, tuple(ANATOMY.values()), {name: {name: 1.0} for name in NAMES})
    rng, rig, K = np.random.default_rng(1), ring(), len(NAMES)
    time_s = np.arange(frames) / RATE
    truth = motion(chain, time_s)
    points = truth.posed(chain).points
    xy = np.moveaxis(project_rig(rig, points), 0, 1)
    xy = xy + rng.normal(0, NOISE_PX, xy.shape)
    wrong = rng.random(xy.shape[:3]) < WRONG
    xy[wrong] = rng.uniform([0, 0], [1920, 1080], (int(wrong.sum()), 2))
    F = len(chain.joint_names)
    objective = Objective(
        points=(
            Reprojection(rig, xy, np.full(xy.shape[:3], NOISE_PX), np.arange(K),
                         GemanMcClure(KERNEL_SD)),
        ),
        poses=(RotationPrior(np.broadcast_to(np.eye(3), (F, 3, 3)), np.full(F, PULL_RAD)),),
        shapes=(ShapePrior(chain.shape.neutral, chain.shape.spread),),
        times=(_smoothness(time_s, F),),
    )  # fmt: skip
    seen = points + rng.normal(0, 0.02, points.shape)  # as if triangulated
    start = from_points(chain, chain.shape.neutral, seen)
    return Problem(chain, rig, time_s, xy, objective, start, truth)


def _smoothness(time_s: FloatArray, F: int) -> ConstantVelocity:
    sigma = np.array([ACCELERATION[0], *([ACCELERATION[1]] * F)])
    return ConstantVelocity(time_s, sigma, np.ones(len(time_s) - 1))


# --- L-BFGS with autograd ------------------------------------------------------------------------


class OutOfTime(Exception):
    """The budget is spent."""


@dataclass(eq=False)
class Trace:
    """Best values against time, and the variables of the best."""

    budget: float
    began: float = field(default_factory=time.perf_counter)
    calls: int = 0
    history: list[tuple[float, int, float]] = field(default_factory=list)  # seconds, calls, value
    best: Any = None
    seconds: float = 0.0  # until the last call

    def see(self, value: float, variables: Callable[[], Any]) -> None:
        self.calls += 1
        self.seconds = time.perf_counter() - self.began
        if np.isfinite(value) and (not self.history or value < self.history[-1][2]):
            self.history.append((self.seconds, self.calls, value))
            self.best = variables()
        if self.seconds > self.budget:
            raise OutOfTime

    def reached(self, value: float) -> tuple[float, float]:
        """Seconds and calls until `value`; infinite where it never was."""
        return next(((t, n) for t, n, v in self.history if v <= value), (np.inf, np.inf))


class TorchObjective:
    """The problem's objective of rotation vectors, translations and shape, in torch."""

    def __init__(self, task: Problem, dtype: torch.dtype) -> None:
        def tensor(array: FloatArray) -> torch.Tensor:
            return torch.tensor(np.array(array), dtype=dtype)

        self.tensor = tensor
        (views,), (prior,) = task.objective.points, task.objective.shapes
        assert isinstance(views, Reprojection)
        assert isinstance(prior, ShapePrior)
        self.R = tensor(np.stack([c.R for c in task.rig]))
        self.t = tensor(np.stack([c.t for c in task.rig]))
        self.K = tensor(np.stack([c.K for c in task.rig]))
        self.xy = tensor(task.xy)
        self.neutral, self.spread = tensor(prior.neutral), tensor(prior.spread)
        self.dt = 1 / RATE
        F = len(task.chain.joint_names)
        self.sigma = tensor(np.array([ACCELERATION[0], *([ACCELERATION[1]] * F)]))[:, None]

    def __call__(
        self, points: torch.Tensor, R: torch.Tensor, place: torch.Tensor, shape: torch.Tensor
    ) -> torch.Tensor:
        """points (T, K, 3) world, R (T, F, 3, 3) local, place (T, 3), shape (S,)."""
        local = torch.einsum("cij,tkj->tcki", self.R, points) + self.t[:, None]
        uv = local[..., :2] / local[..., 2:]
        pixels = torch.einsum("cij,tckj->tcki", self.K[:, :2, :2], uv) + self.K[:, None, :2, 2]
        s = ((pixels - self.xy) / NOISE_PX).square().sum(-1)
        data = (s * KERNEL_SD**2 / (KERNEL_SD**2 + s)).sum()
        pull = (roma.rotmat_to_rotvec(R) / PULL_RAD).square().sum()
        prior = ((shape - self.neutral) / self.spread).square().sum()
        turned = roma.rotmat_to_rotvec(R[:-1].transpose(-1, -2) @ R[1:])
        velocity = torch.cat([(place[1:] - place[:-1])[:, None], turned], dim=1) / self.dt
        smooth = ((velocity[1:] - velocity[:-1]) / self.dt / self.sigma).square().sum()
        return (data + pull + prior + smooth) / 2


class Mesh:
    """Anny's own torch model: the whole mesh is posed, keypoints are regressed from it."""

    def __init__(self, task: Problem, dtype: torch.dtype) -> None:
        import anny

        labels = [label for group in MEASURES.values() for label in group]
        self.model = anny.Anny(local_changes=labels, skinning_method="lbs").to(dtype)
        self.chain, self.dtype = task.chain, dtype
        body = task.chain.body
        weights = np.zeros((len(NAMES), len(body.vertices)))
        for k, name in enumerate(NAMES):
            index, share = body.regressors[name]
            weights[k, index] = share
        self.weights = torch.tensor(weights, dtype=dtype)
        self.turn = torch.tensor(TURN, dtype=dtype)

    def shape_arguments(self, shape: torch.Tensor) -> dict[str, dict[str, torch.Tensor]]:
        n = len(PHENOTYPES)
        groups = zip(MEASURES.values(), range(n, len(shape)), strict=True)
        return {
            "phenotype_kwargs": {p: shape[i : i + 1] for i, p in enumerate(PHENOTYPES)},
            "local_changes_kwargs": {a: shape[i : i + 1] for group, i in groups for a in group},
        }

    def orientations(self, shape: FloatArray) -> FloatArray:
        """(F, 3, 3) of the free bones at rest, in kinefit's axes."""
        with torch.no_grad():
            rest = self.model(**self.shape_arguments(torch.tensor(shape, dtype=self.dtype)))
        found = rest["rest_bone_poses"][0, self.chain.joint_index, :3, :3].double().numpy()
        return TURN @ found

    def variables(self, state: State) -> list[FloatArray]:
        """Rotation vectors in the bones' own axes, the root joint's place, the shape."""
        Q = self.orientations(state.shape)
        Q[0] = TURN  # the root's pose is that of the world
        R = np.swapaxes(Q, -1, -2) @ state.rotations @ Q
        place = state.posed(self.chain).frames[1][:, 0] @ TURN
        return [so3.log(R), place, state.shape]

    def state(self, variables: list[FloatArray]) -> State:
        rotvec, place, shape = variables
        Q = self.orientations(shape)
        Q[0] = TURN
        R = Q @ so3.exp(rotvec) @ np.swapaxes(Q, -1, -2)
        head = self.chain.body.rest_joints(shape)[0]
        return State(R, place @ TURN.T - head, shape, np.zeros((len(NAMES), 3)))

    def __call__(self, R: torch.Tensor, place: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
        T, B = len(R), len(self.chain.body.joint_names)
        pose = torch.eye(4, dtype=self.dtype).repeat(T, B, 1, 1)
        pose[:, self.chain.joint_index, :3, :3] = R
        pose[:, 0, :3, 3] = place
        posed = self.model(pose_parameters=pose, pose_parameterization="local-bone",
                           **self.shape_arguments(shape))  # fmt: skip
        return self.weights @ posed["vertices"] @ self.turn.T


class Bones:
    """The chain of kinefit in torch: no more than the free joints and the keypoints' moments."""

    def __init__(self, task: Problem, dtype: torch.dtype) -> None:
        chain, space = task.chain, task.chain.shape
        assert isinstance(space, AnnyShape)

        def tensor(array: Any) -> torch.Tensor:
            return torch.tensor(np.asarray(array), dtype=dtype)

        self.chain, self.dtype = chain, dtype
        self.heads, self.head_dirs = tensor(chain.heads), tensor(chain.head_dirs)
        self.moments, self.moment_dirs = tensor(chain.pair_moment), tensor(chain.pair_dirs)
        self.weight = tensor(chain.pair_weight)[:, None]
        self.joint = torch.tensor(chain.pair_joint)
        self.sums = tensor(chain.sums.toarray())
        self.corners = tensor(space.corners)
        self.anchors = [tensor(a) for a in space.anchors]

    def coefficients(self, shape: torch.Tensor) -> torch.Tensor:
        product = torch.ones(1, dtype=self.dtype)
        for i, anchors in enumerate(self.anchors):
            value = shape[i].clamp(anchors[0], anchors[-1])
            k = int((torch.searchsorted(anchors, value.detach()) - 1).clamp(0, len(anchors) - 2))
            share = (value - anchors[k]) / (anchors[k + 1] - anchors[k])
            ends = torch.eye(len(anchors), dtype=self.dtype)[[k, k + 1]]
            weights = (1 - share) * ends[0] + share * ends[1]
            product = (product[:, None] * weights).reshape(-1)
        local = shape[len(self.anchors) :]
        pairs = torch.stack([local.clamp(min=0), (-local).clamp(min=0)], dim=-1)
        return torch.cat([product @ self.corners, pairs.reshape(-1)])

    def variables(self, state: State) -> list[FloatArray]:
        return [so3.log(state.rotations), state.translation, state.shape]

    def state(self, variables: list[FloatArray]) -> State:
        rotvec, place, shape = variables
        return State(so3.exp(rotvec), place, shape, np.zeros((len(NAMES), 3)))

    def __call__(self, R: torch.Tensor, place: torch.Tensor, shape: torch.Tensor) -> torch.Tensor:
        k = self.coefficients(shape)
        heads = self.heads + torch.tensordot(k, self.head_dirs, 1)
        moments = self.moments + torch.tensordot(k, self.moment_dirs, 1)
        G: list[torch.Tensor] = [R[:, 0]]
        c: list[torch.Tensor] = [heads[0] + place]
        for b in range(1, len(heads)):
            p = int(self.chain.parents[b])
            G.append(G[p] @ R[:, b])
            c.append(c[p] + G[p] @ (heads[b] - heads[p]))
        world, joints = torch.stack(G, 1), torch.stack(c, 1)
        moved = (world[:, self.joint] @ moments[..., None])[..., 0]
        return self.sums @ (moved + self.weight * joints[:, self.joint])


def run_lbfgs(task: Problem, body: Mesh | Bones, dtype: torch.dtype, trace: Trace) -> State:
    """As SMPLify-X: 30 iterations a call, strong Wolfe, until a call brings next to nothing."""
    objective = TorchObjective(task, dtype)
    variables = [torch.tensor(v, dtype=dtype, requires_grad=True)
                 for v in body.variables(task.start)]  # fmt: skip
    optimizer = torch.optim.LBFGS(variables, lr=1.0, max_iter=30, line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        R = roma.rotvec_to_rotmat(variables[0])
        loss = objective(body(R, *variables[1:]), R, *variables[1:])
        loss.backward()
        trace.see(loss.item(), lambda: [v.detach().double().numpy().copy() for v in variables])
        return loss

    before, now = np.inf, np.finfo(float).max
    with contextlib.suppress(OutOfTime):
        while before - now > 1e-7 * now:
            optimizer.step(closure)
            before, now = now, trace.history[-1][2]
    return body.state(trace.best)


# --- scipy ---------------------------------------------------------------------------------------


def run_scipy(task: Problem, trace: Trace) -> State:
    """least_squares with residuals whose squares are the kernels' costs."""
    chain, T = task.chain, len(task.time)
    v, N = Variables.poses(chain, "shared"), 3 + 3 * len(chain.joint_names)
    rows = np.arange(T)
    (views,), (pull,), (prior,), (smooth,) = (
        task.objective.points, task.objective.poses, task.objective.shapes, task.objective.times,
    )  # fmt: skip

    def state(x: FloatArray) -> State:
        step = v.step(x[: T * N].reshape(T, N), x[T * N :])
        moved = task.start.moved(step, chain.shape)
        return replace(moved, shape=task.start.shape + x[T * N :])  # no bounds here

    def residuals(x: FloatArray) -> FloatArray:
        here = state(x)
        r = views.residual(here.posed(chain).points[:, views.point], rows)
        s = (r * r).sum(axis=-1)
        r = r * np.sqrt(views.weight * views.kernel.rho(s) / np.maximum(s, 1e-12))[..., None]
        parts = (r, pull.residual(here.rotations, rows), prior.residual(here.shape),
                 smooth.residual(here))  # fmt: skip
        return np.concatenate([part.ravel() for part in parts])

    def watched(x: FloatArray) -> FloatArray:
        r = residuals(x)
        trace.see(float(r @ r) / 2, x.copy)
        return r

    with contextlib.suppress(OutOfTime):
        least_squares(watched, np.zeros(T * N + v.shared_size), jac_sparsity=_sparsity(task),
                      method="trf", tr_solver="lsmr", x_scale="jac", ftol=1e-6)  # fmt: skip
    return state(trace.best)


def _sparsity(task: Problem) -> sparse.csr_array:
    """Which residual hangs on which variable; in the order of `run_scipy`."""
    T, F, S = len(task.time), len(task.chain.joint_names), len(task.chain.shape.names)
    N, M = 3 + 3 * F, 2 * task.objective.points[0].weight.shape[1]
    frame = sparse.identity(T)
    data = sparse.hstack([sparse.kron(frame, np.ones((M, N))), np.ones((T * M, S))])
    turning = np.kron(np.hstack([np.zeros((F, 1)), np.eye(F)]), np.ones((3, 3)))
    pull = sparse.hstack([sparse.kron(frame, turning), sparse.csr_array((T * 3 * F, S))])
    prior = sparse.hstack([sparse.csr_array((S, T * N)), sparse.identity(S)])
    three = sparse.diags([1.0, 1.0, 1.0], [0, 1, 2], shape=(T - 2, T))
    block = np.kron(np.eye(1 + F), np.ones((3, 3)))
    smooth = sparse.hstack([sparse.kron(three, block), sparse.csr_array(((T - 2) * N, S))])
    return sparse.csr_array(sparse.vstack([data, pull, prior, smooth]))


# --- kinefit -------------------------------------------------------------------------------------


def run_kinefit(task: Problem, most_steps: int = 100) -> tuple[float, State, int]:
    """Seconds, state and steps."""
    began = time.perf_counter()
    found = minimise(task.objective, Variables.poses(task.chain, "shared"), task.start,
                     Options(most_steps))  # fmt: skip
    return time.perf_counter() - began, found.state, int(found.steps.max())


PARTS = {
    "normal": "normal equations, of which",
    "_add_points": "  keypoints",
    "_add_poses": "  poses",
    "_add_times": "  neighbours in time",
    "solve": "solution of the band",
    "factor": "  factor",
    "predicted": "what a step promises",
    "cost": "value of trial steps",
}


def where_the_time_goes(task: Problem) -> None:
    profile = cProfile.Profile()
    profile.enable()
    run_kinefit(task)
    profile.disable()
    stats = pstats.Stats(profile)
    total = stats.total_tt
    print(f"\nwhere kinefit's time goes ({total:.2f} s under the profiler)")
    for name, what in PARTS.items():
        spent = max(
            entry[3]
            for (path, _, function), entry in stats.stats.items()
            if function == name and "kinefit/fit/" in path.replace("\\", "/")
        )
        print(f"  {what:28s} {100 * spent / total:5.1f} %")


# --- whole clips ---------------------------------------------------------------------------------


def clip_data(frames: int) -> Observations:
    task = problem(frames)
    xyz = task.truth.posed(task.chain).points
    xyz = xyz + np.random.default_rng(2).normal(0, 0.02, xyz.shape)
    return Observations(Timeline.regular(frames, RATE), task.rig, NAMES, task.xy,
                    np.full(task.xy.shape[:3], NOISE_PX), xyz)  # fmt: skip


def whole_clip(frames: int) -> None:
    """Fit a clip of so many frames; print seconds, of a processor too, and memory, GiB."""
    data = clip_data(frames)
    before = peak_memory() / 2**30
    began, spent = time.perf_counter(), time.process_time()
    fit_clip(load_anny(), data)
    seconds, cpu = time.perf_counter() - began, time.process_time() - spent
    most = peak_memory() / 2**30
    row = {"frames": frames, "seconds": seconds, "cpu": cpu, "before": before, "most": most}
    print(json.dumps(row))


def long_clips(lengths: list[int]) -> list[dict[str, float]]:
    print("\nwhole clips (kinefit.fit.recipes.clip), a process each")
    rows = []
    for frames in lengths:
        command = [sys.executable, "-m", "benchmarks.body_fit", "--clip", str(frames)]
        answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        row = json.loads(answer.splitlines()[-1])
        rows.append(row)
        per_frame = 1000 * row["cpu"] / frames
        print(
            f"  {frames:6d} frames {row['seconds']:8.2f} s, {per_frame:6.2f} ms of a processor per "
            f"frame, {row['most']:.2f} GiB at the most, {row['before']:.2f} before"
        )
    return rows


# --- all -----------------------------------------------------------------------------------------


def compare(budget: float, runs: int) -> dict[str, float]:
    """Print the table; seconds until within 1 % of what kinefit reached, by name."""
    task = problem()
    whole, own, steps = min((run_kinefit(task) for _ in range(runs)), key=lambda r: r[0])
    goal = 1.01 * task.value(own)
    few = next(n for n in range(1, steps + 1) if task.value(run_kinefit(task, n)[1]) <= goal)
    first = min(run_kinefit(task, few)[0] for _ in range(runs))
    print(
        f"{FRAMES} frames, {len(task.rig)} views, {len(NAMES)} keypoints; the objective is "
        f"{task.value(task.start):.0f} at the start, {task.value(task.truth):.0f} at the truth"
    )
    print(
        f"{'':24s}{'objective':>10s}{'error mm':>9s}{'seconds':>9s}{'calls':>7s}{'ms/call':>9s}"
        f"{'to the end':>12s}{'within 1 %':>12s}"
    )
    _row("kinefit", task, own, whole, steps, "", f"{first:.2f} s")
    seconds, calls = {"kinefit": first, "kinefit, to the end": whole}, np.inf
    for name, make, dtype in RIVALS:
        state, trace = _run(task, make, dtype, budget)
        near, after = trace.reached(goal)
        sign = " "
        if make is Bones:
            calls = min(calls, after)
        elif make is Mesh and not np.isfinite(near):
            near, sign = calls * trace.seconds / trace.calls, "~"  # with the chain's calls
        if not np.isfinite(near):
            near, sign = trace.seconds, ">"
        end = ">" if trace.seconds > budget else ""
        _row(name, task, state, trace.seconds, trace.calls, f"{end}{trace.seconds / whole:.0f} x",
             f"{sign}{near:.1f} s, {near / first:.0f} x")  # fmt: skip
        seconds[name] = near
    print("~: in the calls that L-BFGS needed through the chain, each as long as it took here")
    where_the_time_goes(task)
    return seconds


def _row(
    name: str, task: Problem, state: State, seconds: float, calls: int, end: str, near: str
) -> None:
    print(f"{name:24s}{task.value(state):10.1f}{task.error_mm(state):9.2f}{seconds:9.2f}{calls:7d}"
          f"{1000 * seconds / calls:9.0f}{end:>12s}   {near}", flush=True)  # fmt: skip


def _run(task: Problem, make: Any, dtype: torch.dtype, budget: float) -> tuple[State, Trace]:
    if make is None:
        trace = Trace(budget)
        state = run_scipy(task, trace)
    else:
        body = make(task, dtype)
        torch.set_num_threads(_faster(task, body, dtype))
        trace = Trace(budget)  # without the model's own preparation
        state = run_lbfgs(task, body, dtype, trace)
    # The same function is minimised: it has the same value at the start (the mesh is stored in
    # single precision).
    close = 1e-3 if dtype == torch.float32 else 1e-6
    np.testing.assert_allclose(trace.history[0][2], task.value(task.start), rtol=close)
    return state, trace


def _faster(task: Problem, body: Mesh | Bones, dtype: torch.dtype) -> int:
    """Threads with which a value and its gradient take less time: on a busy machine one."""
    objective = TorchObjective(task, dtype)
    variables = [torch.tensor(v, dtype=dtype, requires_grad=True)
                 for v in body.variables(task.start)]  # fmt: skip
    seconds = {}
    for threads in (1, 2):
        torch.set_num_threads(threads)
        times = []
        for _ in range(3):
            began = time.perf_counter()
            R = roma.rotvec_to_rotmat(variables[0])
            objective(body(R, *variables[1:]), R, *variables[1:]).backward()
            times.append(time.perf_counter() - began)
        seconds[threads] = min(times)
    return min(seconds, key=lambda n: seconds[n])


RIVALS: list[tuple[str, Any, torch.dtype]] = [
    ("L-BFGS, chain, float32", Bones, torch.float32),
    ("L-BFGS, chain, float64", Bones, torch.float64),
    ("L-BFGS, mesh, float32", Mesh, torch.float32),
    ("L-BFGS, mesh, float64", Mesh, torch.float64),
    ("scipy least_squares", None, torch.float64),
]


def main() -> int:
    """Print the comparisons; exit status 1 when the target is missed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--budget", type=float, default=120.0, help="seconds for each rival")
    parser.add_argument("--runs", type=int, default=3, help="of kinefit; the fastest counts")
    parser.add_argument("--long", action="store_true", help="and clips of up to 20,000 frames")
    parser.add_argument("--clip", type=int, default=0, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.clip:
        whole_clip(arguments.clip)
        return 0
    seconds = compare(arguments.budget, arguments.runs)
    ratio = min(seconds["L-BFGS, mesh, float32"], seconds["L-BFGS, mesh, float64"])
    ratio /= seconds["kinefit"]
    if arguments.long:
        seconds["clips"] = long_clips([100, 1000, 10_000, 20_000])
    print(json.dumps(seconds))
    print(f"{ratio:.0f} x as fast as L-BFGS through the mesh; target {TARGET:.0f} x")
    return 0 if ratio >= TARGET else 1


if __name__ == "__main__":
    sys.exit(main())
