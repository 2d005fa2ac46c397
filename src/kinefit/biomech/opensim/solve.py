"""Inverse kinematics of a clip: no frame is left in a pose that the solver got stuck in.

A solver that goes on from the pose of the frame before stays in its valley: an arm that passed
overhead unseen is on the wrong side for the rest of the clip. So each frame is also looked at from
the frame after it, where that one fits better, and frames with a marker far off are begun anew from
poses in which the joints above that marker are turned. A pose is taken only if its cost is clearly
lower.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from kinefit.biomech.opensim.frame import (
    STEPS,
    Task,
    cost,
    first_pose,
    minimise,
    reduced_jacobian,
    spread,
)
from kinefit.biomech.opensim.model import BodyModel
from kinefit.types import BoolArray, FloatArray, all_finite

_LOWER = 0.92  # of the cost: below, a pose is another one and better
# Times the cost of the frame beside it: worth a look from there. Noise gives that to one frame in
# 20 of 26 keypoints, and to one in 300 of the augmenter's markers; a limb on the wrong side has 4.
_BESIDE = 1.6
_FAR_M = 0.05  # a marker so far off may be in the wrong valley: five deviations of its noise
_FAR_TIMES = 3.0  # the frame's usual distance: in a model of another size all markers are far off
_UNUSUAL = 1.5  # times the clip's usual cost: the same
_TURN = np.pi / 2
_SHORT, _LONG = 12, 200  # steps of a try, and of the best of them
_FAILURES = 6  # frames begun anew in vain until the markers are believed to be wrong, not the poses


@dataclass(frozen=True, eq=False)
class Solution:
    """Poses of T frames.

    q: (T, C) coordinates, radians and metres.
    error: (T, M) metres from each measured marker to the model's; NaN where not measured.
    sd: (T, C) standard deviation of each coordinate if markers had NOISE_M of noise, from a
        prior of PRIOR: near PRIOR, the markers that are there say nothing about it.
    sd_if_seen: (T, C) the same as if no marker were missing in the frame.
    """

    q: FloatArray
    error: FloatArray
    sd: FloatArray
    sd_if_seen: FloatArray


def solve(
    model: BodyModel, task: Task, xyz: FloatArray, near: FloatArray | None = None
) -> Solution:
    """Solve T frames.

    near: (T, C) poses to start from, where a similar problem was solved before.
    xyz: (T, M, 3) metres, in the order of the model's markers; NaN where missing: such a marker
    has no weight in that frame. Frames without any marker keep the pose before them, with `sd`
    saying so.
    """
    if near is None:
        q = track(model, task, xyz)
    else:
        pairs = zip(xyz, near, strict=True)
        q = np.array([minimise(model, task, frame, pose) for frame, pose in pairs])
    used = task.weights > 0
    error = np.empty((len(xyz), len(model.markers)))
    sd, seen = np.empty(q.shape), np.empty(q.shape)
    for k, pose in enumerate(q):
        error[k] = np.linalg.norm(model.positions(pose) - xyz[k], axis=-1)
        present = np.isfinite(error[k]) & used
        jacobian, tie = reduced_jacobian(model, task, pose)
        sd[k] = spread(jacobian[present], tie)
        seen[k] = sd[k] if present[used].all() else spread(jacobian[used], tie)
    error[:, ~used] = np.nan
    return Solution(q, error, sd, seen)


def track(
    model: BodyModel, task: Task, xyz: FloatArray, steps: int = STEPS, *, even: bool = True
) -> FloatArray:
    """(T, C) poses of the frames, each with the least cost that is found in so many steps.

    even: the frames follow one another at a steady rate.
    """
    clip = _Clip(model, task, xyz, np.any(all_finite(xyz)[:, task.weights > 0], axis=1))
    clip.forward(steps, even)
    clip.from_both_sides()
    clip.begin_anew()
    return _unwound(model, clip.q)


@dataclass(eq=False)
class _Clip:
    model: BodyModel
    task: Task
    xyz: FloatArray
    seen: BoolArray

    def __post_init__(self) -> None:
        self.q = np.tile(self.model.tie(self.model.default), (len(self.xyz), 1))
        self.cost = np.zeros(len(self.xyz))
        self.tried: dict[tuple[int, int], tuple[float, float]] = {}  # frames -> their costs then

    def forward(self, steps: int, even: bool) -> None:
        """Every frame from the poses of the frames before, the first from many."""
        pose = before = None
        for k in range(len(self.xyz)):
            if self.seen[k]:
                if pose is None:
                    pose = first_pose(self.model, self.task, self.xyz[k])
                    pose = restarted(self.model, self.task, self.xyz[k], pose)
                # As it went on until now: 4.5 steps a frame of a walk in place of 6.3.
                start = 2 * pose - before if even and before is not None else pose
                before, pose = pose, minimise(self.model, self.task, self.xyz[k], start, steps)
            else:
                before = None
            if pose is not None:
                self._take(k, pose)

    def _take(self, k: int, pose: FloatArray) -> None:
        self.q[k] = pose
        self.cost[k] = cost(self.model, self.task, self.xyz[k], pose)

    def _try(self, k: int, beside: int) -> bool:
        """Take the pose that is found from that of the frame `beside` if it is better."""
        costs = (self.cost[k], self.cost[beside])
        if self.tried.get((k, beside)) == costs:
            return False
        self.tried[k, beside] = costs
        pose = minimise(self.model, self.task, self.xyz[k], self.q[beside], _LONG)
        if cost(self.model, self.task, self.xyz[k], pose) > _LOWER * self.cost[k]:
            return False
        self._take(k, pose)
        return True

    def from_both_sides(self) -> None:
        """Each frame also from the one after it, and then from the one before, until none gains."""
        frames = np.flatnonzero(self.seen)
        while self._sweep(frames[::-1]) | self._sweep(frames):
            pass

    def _sweep(self, frames: Iterable[int]) -> bool:
        changed, beside = False, None
        for k in frames:
            if beside is not None and self.cost[k] > _BESIDE * self.cost[beside]:
                changed |= self._try(k, beside)
            beside = k
        return changed

    def begin_anew(self) -> None:
        """Frames that fit badly are begun anew, the first of each stretch; what is found there is
        carried on to both sides."""
        done, failures = np.zeros(len(self.q), bool), 0
        while failures < _FAILURES and (suspects := self._suspects() & ~done).any():
            k = int(suspects.argmax())
            if self._restart(k):
                done[k] = True
                self.from_both_sides()
            else:
                failures += 1
                end = k + int((~np.append(suspects[k:], False)).argmax())
                done[k:end] = True

    def _suspects(self) -> BoolArray:
        """(T,) True for frames that fit worse than usual, with a marker far off."""
        usual = float(np.median(self.cost[self.seen])) if self.seen.any() else 0.0
        bad = self.seen & (self.cost > _UNUSUAL * usual)
        for k in np.flatnonzero(bad):
            bad[k] = _off(self.model, self.task, self.xyz[k], self.q[k]).max() > _FAR_M
        return bad

    def _restart(self, k: int) -> bool:
        """Whether turning joints, or beginning with the root, finds a better pose for a frame."""
        for begin in (lambda: self.q[k], lambda: first_pose(self.model, self.task, self.xyz[k])):
            pose = restarted(self.model, self.task, self.xyz[k], begin())
            value = cost(self.model, self.task, self.xyz[k], pose)
            if value < _LOWER * self.cost[k]:
                self._take(k, pose)
                return True
        return False


def restarted(model: BodyModel, task: Task, xyz: FloatArray, pose: FloatArray) -> FloatArray:
    """(C,) `pose`, or a better one for a frame (M, 3) from starts in which one of the joints above
    its worst marker is turned; again from there."""
    best = cost(model, task, xyz, pose)
    while True:
        off = _off(model, task, xyz, pose)
        usual = float(np.median(off[off > 0])) if off.any() else 0.0
        if off.max() < max(_FAR_M, _FAR_TIMES * usual):
            return pose
        tries = [
            minimise(model, task, xyz, start, _SHORT)
            for start in _with_joints_turned(model, task, pose, model.marker_bodies[off.argmax()])
        ]
        if not tries:
            return pose
        found = min(tries, key=lambda q: cost(model, task, xyz, q))
        found = minimise(model, task, xyz, found, _LONG)
        value = cost(model, task, xyz, found)
        if value > _LOWER * best:
            return pose
        pose, best = found, value


def _with_joints_turned(
    model: BodyModel, task: Task, pose: FloatArray, body: str
) -> list[FloatArray]:
    """Poses with one coordinate of the joints between the root and a body a quarter turn off."""
    chain, starts = model.chain(body)[:-1], []
    for i, coordinate in enumerate(model.coordinates):
        if not task.free[i] or coordinate.body not in chain or coordinate.motion == "translation":
            continue
        for turn in (_TURN, -_TURN):
            start = pose.copy()
            start[i] = np.clip(pose[i] + turn, coordinate.low, coordinate.high)
            if abs(start[i] - pose[i]) > _TURN / 3:
                starts.append(start)
    return starts


def _off(model: BodyModel, task: Task, xyz: FloatArray, q: FloatArray) -> FloatArray:
    """(M,) metres of each marker that counts from where it was measured; 0 for the others."""
    distance = np.linalg.norm(model.positions(q) - xyz, axis=-1)
    return np.where((task.weights > 0) & np.isfinite(distance), distance, 0.0)


def _unwound(model: BodyModel, q: FloatArray) -> FloatArray:
    """Poses (T, C) without jumps by whole turns, which are no motion."""
    q, inputs = q.copy(), {name for c in model.coordinates for name in c.tied_to}
    for i, c in enumerate(model.coordinates):
        endless = c.motion == "rotation" and np.isinf(c.low) and np.isinf(c.high)
        if endless and not c.tied_to and c.name not in inputs:
            q[:, i] = np.unwrap(q[:, i])
            q[:, i] -= 2 * np.pi * np.round(np.median(q[:, i]) / (2 * np.pi))
    return q
