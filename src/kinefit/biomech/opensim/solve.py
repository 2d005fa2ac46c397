"""Inverse kinematics of a clip: no frame is left in a pose that the solver got stuck in.

The frame that its markers determine best is solved first, every eighth from there, those between
from where these are, all at once. A solver stays in the valley that it starts in: an arm that
passed overhead unseen may be on the wrong side. So each frame is also looked at from those beside
it, where they fit better, and frames with a marker far off are begun anew from poses in which the
joints above that marker are turned. A pose is taken only if its cost is clearly lower. Where
several fit (other angles for the same pose; an arm nearly straight, turned by pi around itself),
the path through the clip that turns least is taken. Without that, which of them came out depended
on the frame that a clip begins with.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from kinefit.biomech.opensim.continuity import other_angles, smoothest, three_turns
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
_LOOKS = 3  # frames of which the best is begun with: together they take hardly longer than one
_SAME = 1.01  # times the cost: as good, at what is left of costs when steps have become small
# The root of the summed squares of the markers' distances from an axis, m: with an elbow bent by
# less than 30 degrees, noise of 6 mm can have the wrist on the other side of the upper arm's axis.
_NEAR_M = 0.13
_ANOTHER = 0.35  # rad: the same pose, solved from elsewhere, differs by less
# Weight of squared distances to defaults against squared turns between frames: half a turn off for
# 20 frames costs what turning there and back does. At 0.03, elbows of straight arms are worse.
_NEARER = 0.1
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
    has no weight in that frame. Frames without any marker have the pose of the last frame before
    them that has one, those before the first such frame the model's default; `sd` says so.
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
        if start is None:
            clip.settle()
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
        """Some frames from the pose of one of them; the others from where these are."""
        frames = np.flatnonzero(self.seen)
        if pose is None:
            first = self._best_determined(frames)
            phase = int(np.searchsorted(frames, first[0])) % _STRIDE
            keys = np.union1d(frames[phase::_STRIDE], frames[[0, -1]])
        else:
            first, keys = frames[:1], frames
            self._take(first, *minimise(self.model, self.task, self.xyz[first], pose))
        later = np.setdiff1d(keys, first)
        self._take(first, *self._restarted(first))
        start = aligned(self.model, self.task, self.xyz[later], self.q[first[0]])
        self._take(later, *minimise(self.model, self.task, self.xyz[later], start, _LONG))
        if len(keys) < len(frames):
            self._same_angles(keys)
            between = np.setdiff1d(frames, keys)
            right = np.searchsorted(keys, between)
            left, right = keys[right - 1], keys[right]
            share = ((between - left) / (right - left))[:, None]
            a, b = self.q[left], self.q[right]
            self._solve(between, np.stack([a + share * (b - a), a, b]))

    def _best_determined(self, frames: IntArray) -> IntArray:
        """(1,) the frame to begin with, solved: of those whose markers weigh most, some are looked
        at; of those that fit, the one in which the markers determine the pose best."""
        there = all_finite(self.xyz[frames])
        weight = there @ self.task.weights
        most = frames[weight > (1 - 1e-9) * weight.max()]
        few = most[np.unique(np.linspace(0, len(most) - 1, _LOOKS).round().astype(int))]
        xyz = self.xyz[few]
        pose = first_pose(self.model, self.task, xyz)
        self._take(few, pose, cost(self.model, self.task, xyz, pose))
        used = all_finite(xyz) & (self.task.weights > 0)
        spread = marker_spread(self.model, self.task.free, self.q[few], used).sum(1)
        fits = self.cost[few] <= _BESIDE * self.cost[few].min()
        return np.asarray(few[[np.where(fits, spread, np.inf).argmin()]])

    def _same_angles(self, frames: IntArray) -> None:
        """Of two sets of angles for the same turn of a joint, those that jump least from one of N
        frames (N,) to the next, and in all are nearer to their defaults."""
        for three in three_turns(self.model, self.task.free):
            q, value = self.q[frames], self.cost[frames]
            other = other_angles(self.model, q, three)
            inside = (other >= self.model.low) & (other <= self.model.high)
            costs = cost(self.model, self.task, self.xyz[frames], other)
            same = inside.all(1) & (costs <= _SAME * value)
            if not same.any():
                continue
            both = np.stack([q, other])[..., three]
            off = (wrap(both - self.model.default[three]) ** 2).sum(-1)
            price = _NEARER * off / len(frames)
            price[1, ~same] = np.inf
            chosen = smoothest(both, price) == 1
            self._take(frames[chosen], other[chosen], costs[chosen])

    def settle(self) -> None:
        """Of poses that fit as well, those that turn least from frame to frame."""
        frames = np.flatnonzero(self.seen)
        self._same_angles(frames)
        weak = self._near_axis(frames)
        for i in np.flatnonzero(weak.any(0)).tolist():
            self._choose(frames, *self._half_turned(frames, i, weak[:, i]))

    def _near_axis(self, frames: IntArray) -> BoolArray:
        """(N, C) True for coordinates without an end that turn only markers near their axes."""
        model, there = self.model, all_finite(self.xyz[frames]) & (self.task.weights > 0)
        endless = self.task.free & model.turning & np.isinf(model.low) & np.isinf(model.high)
        found = np.zeros((len(frames), len(endless)), bool)
        nowhere = np.zeros((*there.shape, 3))
        hessian = model.least_squares(self.q[frames], endless, there.astype(float), nowhere).hessian
        squares = np.diagonal(hessian, axis1=1, axis2=2)
        found[:, endless] = (squares > 1e-12) & (squares < _NEAR_M**2)
        return found

    def _half_turned(
        self, frames: IntArray, i: int, weak: BoolArray
    ) -> tuple[FloatArray, FloatArray]:
        """Poses (5, N, C) and costs (5, N) of those of N frames in which coordinate `i` is `weak`
        (N,): from where it is half a turn off, and from both kinds of poses of the frames beside.

        From half a turn off, one in ten comes back to where it was.
        """
        q, at = self.q[frames], np.flatnonzero(weak)
        poses, costs = np.tile(q, (5, 1, 1)), np.full((5, len(q)), np.inf)
        xyz = self.xyz[frames[at]]
        turned = self.model.tie(q[at] + np.pi * np.eye(q.shape[1])[i])
        poses[0, at], costs[0, at] = minimise(self.model, self.task, xyz, turned, _LONG)
        sides = np.maximum(at - 1, 0), np.minimum(at + 1, len(q) - 1)
        start = np.concatenate([kind[side] for kind in (q, poses[0]) for side in sides])
        found, value = minimise(self.model, self.task, np.tile(xyz, (4, 1, 1)), start, _LONG)
        poses[1:, at], costs[1:, at] = found.reshape(4, -1, q.shape[1]), value.reshape(4, -1)
        return poses, costs

    def _choose(self, frames: IntArray, poses: FloatArray, costs: FloatArray) -> None:
        """N frames (N,) take their own poses or one of K others (K, N, C): the path that turns
        least, and in all is nearer to the defaults, of those that are not clearly worse."""
        turning = self.model.turning & self.task.free
        q, value = self.q[frames], self.cost[frames]
        far = (np.abs(wrap(poses - q)[..., turning]) > _ANOTHER).any(-1)
        poses = np.concatenate([q[None], poses])
        costs = np.concatenate([value[None], np.where(far, costs, np.inf)])
        off = (wrap(poses - self.model.default)[..., turning] ** 2).sum(-1)
        price = np.where(_LOWER * costs <= costs.min(0), _NEARER * off, np.inf)
        chosen = smoothest(poses[..., turning], price)
        new = np.flatnonzero(chosen)
        self._take(frames[new], poses[chosen[new], new], costs[chosen[new], new])

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
        """Frames without markers have the pose before them; the leading ones the default."""
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
