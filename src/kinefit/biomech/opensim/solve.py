"""Inverse kinematics of a clip: no frame is left in a pose that the solver got stuck in.

Every eighth frame is solved from the pose of the first, those between from where these are, all at
once. A solver stays in the valley that it starts in: an arm that passed overhead unseen may be on
the wrong side. So each frame is also looked at from those beside it, where they fit better, and
frames with a marker far off are begun anew from poses in which the joints above that marker are
turned. A pose is taken only if its cost is clearly lower.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.biomech.opensim.frame import (
    Task,
    aligned,
    cost,
    first_pose,
    marker_spread,
    minimise,
)
from kinefit.biomech.opensim.model import BodyModel
from kinefit.geometry.rotations import wrap
from kinefit.types import BoolArray, FloatArray, IntArray, all_finite, true_runs

_LOWER = 0.92  # of the cost: below, a pose is another one and better
# Times the cost of the frame beside it: worth a look from there. Noise gives that to one frame in
# 20 of 26 keypoints, and to one in 300 of the augmenter's markers; a limb on the wrong side has 4.
_BESIDE = 1.6
_FAR_M = 0.05  # a marker so far off may be in the wrong valley: five deviations of its noise
_FAR_TIMES = 3.0  # the frame's usual distance: in a model of another size all markers are far off
_UNUSUAL = 1.5  # times the clip's usual cost: the same
_STRIDE = 8  # frames: at 30 a second a fast arm turns by a radian between two of them
_JUMP = 2.0  # rad in that time: the other set of three angles for a turn has two that are pi off
_SAME = 1.01  # times the cost: as good, at what is left of costs when steps have become small
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


def solve(model: BodyModel, task: Task, xyz: FloatArray) -> Solution:
    """Solve T frames.

    xyz: (T, M, 3) metres, in the order of the model's markers; NaN where missing: such a marker
    has no weight in that frame. Frames without any marker keep the pose before them, with `sd`
    saying so.
    """
    q = track(model, task, xyz)
    used = task.weights > 0
    error = np.linalg.norm(model.positions(q) - xyz, axis=-1)
    error[:, ~used] = np.nan
    present = np.isfinite(error)
    sd = marker_spread(model, task.free, q, present)
    lacking = ~present[:, used].all(1)
    seen = sd.copy()
    all_used = np.tile(used, (int(lacking.sum()), 1))
    seen[lacking] = marker_spread(model, task.free, q[lacking], all_used)
    return Solution(q, error, sd, seen)


def track(
    model: BodyModel, task: Task, xyz: FloatArray, start: FloatArray | None = None
) -> FloatArray:
    """(T, C) poses of the frames, each with the least cost that is found.

    start: (1, C) a pose for the first frame, of frames that are apart from each other; without, the
    frames follow one another in time.
    """
    clip = _Clip(model, task, xyz, np.any(all_finite(xyz)[:, task.weights > 0], axis=1))
    if clip.seen.any():
        clip.forward(start)
        clip.from_both_sides()
        clip.begin_anew()
        clip.fill()
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
        self.tried = np.full((2, len(self.xyz), 2), np.nan)  # from before, after: the costs then

    def forward(self, pose: FloatArray | None) -> None:
        """Some frames from the pose of the first of them; the others from where these are."""
        frames = np.flatnonzero(self.seen)
        keys = frames if pose is not None else np.union1d(frames[::_STRIDE], frames[-1:])
        first, later = keys[:1], keys[1:]
        if pose is None:
            pose = first_pose(self.model, self.task, self.xyz[first])
        self._take(first, *minimise(self.model, self.task, self.xyz[first], pose))
        self._take(first, *self._restarted(first))
        start = aligned(self.model, self.task, self.xyz[later], self.q[first[0]])
        self._take(later, *minimise(self.model, self.task, self.xyz[later], start, _LONG))
        if len(keys) < len(frames):
            self._continue(keys)
            between = np.setdiff1d(frames, keys)
            right = np.searchsorted(keys, between)
            left, right = keys[right - 1], keys[right]
            share = ((between - left) / (right - left))[:, None]
            a, b = self.q[left], self.q[right]
            self._solve(between, np.stack([a + share * (b - a), a, b]))

    def _continue(self, keys: IntArray) -> None:
        """Frames `keys` also from the poses before them, where they turn far from there: the same
        pose can have several sets of angles."""
        changed = np.ones(len(keys), bool)
        while True:
            turn = wrap(np.diff(self.q[keys], axis=0)[:, self.model.turning])
            far = (np.abs(turn) > _JUMP).any(1) & changed[:-1]
            if not far.any():
                break
            before, frames = keys[:-1][far], keys[1:][far]
            q, value = minimise(self.model, self.task, self.xyz[frames], self.q[before], _LONG)
            same = value <= _SAME * self.cost[frames]
            self._take(frames[same], q[same], value[same])
            changed = np.isin(keys, frames[same])

    def _solve(self, frames: IntArray, starts: FloatArray) -> None:
        """Solve N frames, each from the one of S starts (S, N, C) that costs least."""
        starts = self.model.tie(starts)
        costs = [cost(self.model, self.task, self.xyz[frames], start) for start in starts]
        best = starts[np.argmin(costs, axis=0), np.arange(len(frames))]
        self._take(frames, *minimise(self.model, self.task, self.xyz[frames], best))

    def _take(self, frames: IntArray, q: FloatArray, value: FloatArray) -> None:
        self.q[frames], self.cost[frames] = q, value

    def _take_better(self, frames: IntArray, q: FloatArray, value: FloatArray) -> BoolArray:
        """(N,) True for the frames whose new poses are clearly better: those are taken."""
        better = np.asarray(value <= _LOWER * self.cost[frames])
        self._take(frames[better], q[better], value[better])
        return better

    def from_both_sides(self) -> None:
        """Each frame also from the poses of those beside it that fit better, until none gains."""
        frames = np.flatnonzero(self.seen)
        earlier, later = frames[:-1], frames[1:]
        while self._from_beside(0, later, earlier) | self._from_beside(1, earlier, later):
            pass

    def _from_beside(self, side: int, frames: IntArray, beside: IntArray) -> bool:
        """Whether any of N frames (N,) gains from the poses of those `beside` it (N,)."""
        costs = np.stack([self.cost[frames], self.cost[beside]], axis=1)
        new = (self.tried[side, frames] != costs).any(1)
        worth = new & (costs[:, 0] > _BESIDE * costs[:, 1])
        frames, beside = frames[worth], beside[worth]
        self.tried[side, frames] = costs[worth]
        found = minimise(self.model, self.task, self.xyz[frames], self.q[beside], _LONG)
        return bool(self._take_better(frames, *found).any())

    def begin_anew(self) -> None:
        """Frames that fit badly are begun anew, the first of each stretch; what is found there is
        carried on to both sides."""
        done, failures = np.zeros(len(self.q), bool), 0
        while failures < _FAILURES:
            stretches = true_runs(self._suspects() & ~done)[: _FAILURES - failures]
            if not stretches:
                break
            gained = self._restart(np.array([first for first, _ in stretches]))
            for (first, stop), better in zip(stretches, gained.tolist(), strict=True):
                done[first : first + 1 if better else stop] = True
                failures += not better
            self.from_both_sides()

    def _suspects(self) -> BoolArray:
        """(T,) True for frames that fit worse than usual, with a marker far off."""
        usual = float(np.median(self.cost[self.seen]))
        bad = self.seen & (self.cost > _UNUSUAL * usual)
        bad[bad] = self._off(self.xyz[bad], self.q[bad]).max(1) > _FAR_M
        return bad

    def _restart(self, frames: IntArray) -> BoolArray:
        """(N,) True where turning joints, or beginning with the root, finds better poses."""
        gained = self._take_better(frames, *self._restarted(frames))
        left = frames[~gained]
        if left.size:
            old = self.q[left], self.cost[left]
            self.q[left] = first_pose(self.model, self.task, self.xyz[left])
            self.cost[left] = cost(self.model, self.task, self.xyz[left], self.q[left])
            found = self._restarted(left)
            self._take(left, *old)
            gained[~gained] = self._take_better(left, *found)
        return gained

    def _restarted(self, frames: IntArray) -> tuple[FloatArray, FloatArray]:
        """Poses (N, C) and costs (N,): those of N frames, or better ones from starts in which one
        of the joints above the worst marker is turned; again from there."""
        q, value, xyz = self.q[frames], self.cost[frames], self.xyz[frames]
        going = np.arange(len(frames))
        while going.size:
            going = going[self._is_far(self._off(xyz[going], q[going]))]
            starts = [self._with_joints_turned(xyz[i], q[i]) for i in going]
            owner = np.repeat(going, [len(some) for some in starts])
            if not owner.size:
                break
            tries = minimise(self.model, self.task, xyz[owner], np.concatenate(starts), _SHORT)
            order = np.lexsort((tries[1], owner))  # of each frame the best comes first
            going, first = np.unique(owner[order], return_index=True)
            start = tries[0][order[first]]
            found, costs = minimise(self.model, self.task, xyz[going], start, _LONG)
            better = costs <= _LOWER * value[going]
            going = going[better]
            q[going], value[going] = found[better], costs[better]
        return q, value

    def _off(self, xyz: FloatArray, q: FloatArray) -> FloatArray:
        """(N, M) metres of each marker that counts from where it was measured; 0 for the others."""
        distance = np.linalg.norm(self.model.positions(q) - xyz, axis=-1)
        return np.where((self.task.weights > 0) & np.isfinite(distance), distance, 0.0)

    def _is_far(self, off: FloatArray) -> BoolArray:
        """(N,) True where a marker is further off than most are, for its distances (N, M)."""
        usual = np.nan_to_num([np.median(row[row > 0]) if row.any() else 0.0 for row in off])
        return np.asarray(off.max(1) >= np.maximum(_FAR_M, _FAR_TIMES * usual))

    def _with_joints_turned(self, xyz: FloatArray, pose: FloatArray) -> FloatArray:
        """(S, C) `pose` with one coordinate of the joints between the root and the body of the
        worst marker a quarter turn off."""
        model, worst = self.model, int(self._off(xyz[None], pose[None]).argmax())
        chain, starts = model.chain(model.marker_bodies[worst])[:-1], []
        for i, coordinate in enumerate(model.coordinates):
            if coordinate.body not in chain or not (self.task.free & model.turning)[i]:
                continue
            for turn in (_TURN, -_TURN):
                start = pose.copy()
                start[i] = np.clip(pose[i] + turn, coordinate.low, coordinate.high)
                if abs(start[i] - pose[i]) > _TURN / 3:
                    starts.append(start)
        return np.array(starts).reshape(-1, len(pose))

    def fill(self) -> None:
        """Frames without markers have the pose before them."""
        before = np.maximum.accumulate(np.where(self.seen, np.arange(len(self.q)), -1))
        self.q[before >= 0] = self.q[before[before >= 0]]


def _unwound(model: BodyModel, q: FloatArray) -> FloatArray:
    """Poses (T, C) without jumps by whole turns, which are no motion."""
    q, inputs = q.copy(), {name for c in model.coordinates for name in c.tied_to}
    for i, c in enumerate(model.coordinates):
        endless = c.motion == "rotation" and np.isinf(c.low) and np.isinf(c.high)
        if endless and not c.tied_to and c.name not in inputs:
            q[:, i] = np.unwrap(q[:, i])
            q[:, i] -= 2 * np.pi * np.round(np.median(q[:, i]) / (2 * np.pi))
    return q
