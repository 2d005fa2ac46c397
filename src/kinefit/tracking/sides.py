"""Left and right exchanged by the detector: found in one view, and exchanged back.

A swap changes the sign of the vector from a right point to its left twin and leaves their
midpoint where it is. So each pair of points is one vector over time, a swap is a sudden change
of its sign, and the labels are right where the pairs move as a body can: a cheapest path over
"as labelled" and "swapped". A person who turns around takes these vectors through zero no faster
than a body moves, which costs nothing.

In one view the pairs are shoulders and hips, in the detector's own 3D where it has one: from the
side they are then still a shoulder's and a hip's width apart, while in the image they coincide.
What is swapped is the whole body: the detector took front for back. Measurements, and why limbs
are not exchanged by themselves: docs/measurements/side_swaps.md.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from kinefit.skeletons import Skeleton
from kinefit.types import (
    BoolArray,
    FloatArray,
    IntArray,
    InvalidData,
    Keypoints2D,
    PoseTrack,
    all_finite,
    true_runs,
)

# The pairs that give evidence, and how fast their vector can change: body sizes per second, where
# a body size is about 0.5 m standing (`_body_size`): trunk 2.5 m/s, elbows and knees 4, ends 7.
# Half of these would find more, but report a person who spins at 9 rad/s; these don't at 12.
SPEED_LIMIT = {
    "arms": {"Shoulder": 5.0, "Elbow": 8.0, "Wrist": 14.0},
    "legs": {"Hip": 5.0, "Knee": 8.0, "Ankle": 14.0, "Heel": 14.0, "BigToe": 14.0},
}
GROUPS = tuple(SPEED_LIMIT)
_LIMIT = SPEED_LIMIT["arms"] | SPEED_LIMIT["legs"]
_BODY_SIZE_M = 0.5

_TRUNK = ("Shoulder", "Hip")

_NOISE = 0.05  # body sizes by which a pair's vector may differ between frames without moving
_CHANGE = 0.1  # cost of a change of labels; a jump that only a swap explains costs up to 1
_PRIOR = 0.15  # 1/s for the claim of a swap: decides between a labelling and its opposite
# Mean over both ends of a swap of how much less of the jump is left by it than by any motion. In
# 3D .10 to .25 do the same; in the image alone, below .35, walks from the side are harmed.
_END_IN_3D, _END_IN_IMAGE = 0.2, 0.4
# A network that is between two answers gives their mean, and a trunk too narrow to be one.
_NARROW = 0.6  # of the median width


def find_side_swaps(track: PoseTrack) -> BoolArray:
    """(T,) True where the detector exchanged left and right.

    track: one view, any skeleton whose sides differ by a leading L or R. Its `body` is what is
        judged where there is one, else the image. Frames without shoulders and hips are False.

    The cheapest path through time (Viterbi). A step costs the part of each pair's change since the
    last frame that exceeds what a body can do in that time (so the frame rate doesn't matter),
    averaged over pairs by score. A swap is reported only between two plain jumps, or beside a
    single one that is twice as plain.

    Continuity cannot tell a labelling from its opposite: the one that lasts longer is taken as
    true. Labels that never jump are never reported, even if they are wrong throughout.
    """
    image, body = track.image, track.body
    time, names = image.timeline.time, image.names
    if body is None:
        pairs = _pairs(names, _in_body_sizes(image), image.score, _TRUNK)
        return _swapped_runs(pairs, time, _END_IN_IMAGE) & pairs.seen
    pairs = _pairs(names, body.xyz / _BODY_SIZE_M, image.score, _TRUNK)
    decided = _without_narrow(pairs)
    swapped = _swapped_runs(decided, time, _END_IN_3D)
    known, left = np.flatnonzero(decided.seen), np.flatnonzero(pairs.seen & ~decided.seen)
    if len(known):
        # Frames that decide nothing go with the direction of the last one that does.
        last = known[np.maximum(np.searchsorted(known, left) - 1, 0)]
        along = (pairs.vector[left] * pairs.vector[last]).sum(axis=(1, 2))
        swapped[left] = (along < 0) ^ swapped[last]
    return swapped


def undo_side_swaps(track: PoseTrack, swapped: BoolArray) -> PoseTrack:
    """`track` with left and right exchanged back where `swapped` (T,), in the image and in 3D.

    For the detector's own 3D, exchanging the labels is right and all there is to do. In 33 swapped
    frames of a real clip, against a multi-view reference, 14 limbs are off by 76.0 degrees as
    detected, 23.5 after the exchange (14.7 in frames that were never swapped), and 35.5
    when depth is mirrored too (the detector took front for back, yet saw depth rightly).

    Raises InvalidData when `swapped` has another number of frames.
    """
    if swapped.shape != (len(track.image.timeline),):
        raise InvalidData("undo_side_swaps: the swaps were found on another timeline.")
    names, image, body = track.image.names, track.image, track.body
    source = np.where(swapped[:, None], Skeleton("", names).mirror(), np.arange(len(names)))
    rows = np.arange(len(swapped))[:, None]
    image = replace(image, xy=image.xy[rows, source], score=image.score[rows, source])
    if body is not None:
        body = replace(body, xyz=body.xyz[rows, source])
    return replace(track, image=image, body=body)


def label_jumps(points: Keypoints2D) -> FloatArray:
    """(T, G, 2) in 0..1: how much of each of `GROUPS`' change since it was last seen is no motion.

    The last axis: labels kept, labels exchanged in between; 0 where the group is not seen, and
    in the first frame that shows it.
    """
    out = np.zeros((len(points.timeline), len(GROUPS), 2))
    places = _in_body_sizes(points)
    for g, joints in enumerate(SPEED_LIMIT.values()):
        pairs = _pairs(points.names, places, points.score, tuple(joints))
        seen = np.flatnonzero(pairs.seen)
        if len(seen) > 1:
            out[seen, g] = _jumps(pairs.at(seen), points.timeline.time[seen])
    return out


class _Pairs(NamedTuple):
    """Left minus right (T, P, D) in body sizes, 0 where unseen; the lowest score of the points
    (T, P); and the speed limits (P,) in body sizes per second."""

    vector: FloatArray
    weight: FloatArray
    limit: FloatArray

    @property
    def seen(self) -> BoolArray:
        """(T,)"""
        return np.asarray((self.weight > 0).any(axis=1))

    def at(self, frames: IntArray) -> _Pairs:
        return _Pairs(self.vector[frames], self.weight[frames], self.limit)


def _pairs(
    names: tuple[str, ...], places: FloatArray, score: FloatArray, joints: tuple[str, ...]
) -> _Pairs:
    """places: (T, J, D) body sizes."""
    column = {name: i for i, name in enumerate(names)}
    joints = tuple(j for j in joints if "L" + j in column and "R" + j in column)
    left, right = ([column[side + j] for j in joints] for side in "LR")
    vector = places[:, left] - places[:, right]
    weight = np.where(all_finite(vector), np.minimum(score[:, left], score[:, right]), 0.0)
    vector = np.where(weight[..., None] > 0, vector, 0.0)
    return _Pairs(vector, weight, np.array([_LIMIT[j] for j in joints]))


def _in_body_sizes(points: Keypoints2D) -> FloatArray:
    """(T, J, 2) the image over the joints' `centroid_size`."""
    joints = set(_LIMIT) - {"Heel", "BigToe"}
    columns = [i for i, n in enumerate(points.names) if n[0] in "LR" and n[1:] in joints]
    return np.asarray(points.xy / centroid_size(points.xy[:, columns])[:, None, None])


def centroid_size(xy: FloatArray) -> FloatArray:
    """(T,) pixels: root mean square distance of points (T, J, 2) from their mean.

    Whichever way sides are labelled this size is the same, and no view makes it vanish as the
    length of a torso seen from above does. NaN with fewer than 4 points.
    """
    seen = all_finite(xy)[..., None]
    count = seen.sum(axis=1)
    centre = np.where(seen, xy, 0.0).sum(axis=1) / np.maximum(count, 1)
    square = np.where(seen, (xy - centre[:, None]) ** 2, 0.0).sum(axis=(1, 2))
    size = np.sqrt(square / np.maximum(count[:, 0], 1))
    return np.where((count[:, 0] >= 4) & (size > 0), size, np.nan)


def _without_narrow(pairs: _Pairs) -> _Pairs:
    """Nothing seen where a pair is much closer together, in 3D, than it mostly is."""
    width, seen = np.linalg.norm(pairs.vector, axis=-1), pairs.weight > 0
    usual = [np.median(w[s]) if s.any() else 0.0 for w, s in zip(width.T, seen.T, strict=True)]
    narrow = (seen & (width < _NARROW * np.array(usual))).any(axis=1)
    return pairs._replace(weight=np.where(narrow[:, None], 0.0, pairs.weight))


def _swapped_runs(pairs: _Pairs, time: FloatArray, end: float) -> BoolArray:
    """(T,) True where the labels are exchanged, between jumps of at least `end` on average."""
    out = np.zeros(len(time), dtype=bool)
    seen = np.flatnonzero(pairs.seen)
    if len(seen) < 2:
        return out
    jumps = _jumps(pairs.at(seen), time[seen])
    node = np.tile([0.0, _PRIOR * float(np.median(np.diff(time[seen])))], (len(seen), 1))
    node[[0, -1], 1] += _CHANGE  # a swap that the track begins or ends with is no cheaper
    swapped = cheapest_states(node, jumps + np.array([0.0, _CHANGE])) == 1
    gain = np.append(jumps[:, 0] - jumps[:, 1], 0.0)  # 0 where the track begins and ends
    for first, behind in true_runs(swapped):
        if gain[[first, behind]].mean() >= end:
            out[seen[first:behind]] = True
    return out


def _jumps(pairs: _Pairs, time: FloatArray) -> FloatArray:
    """(T, 2) in 0..1: the part of the change since the frame before that is no motion.

    The last axis: labels kept, labels exchanged in between. 0 in the first frame.
    """
    vector, weight, limit = pairs
    now, old = vector[1:], vector[:-1]
    free = _noise(pairs) + limit * np.diff(time)[:, None]
    # The pairs that can move least in that time say most.
    share = np.minimum(weight[1:], weight[:-1]) / free
    reach = np.linalg.norm(now, axis=-1) + np.linalg.norm(old, axis=-1)
    scale = share / np.maximum(share.sum(axis=1), 1e-12)[:, None] / np.maximum(reach, 1e-12)
    cost = np.zeros((len(time), 2))
    for exchanged, change in enumerate((now - old, now + old)):
        excess = np.maximum(np.linalg.norm(change, axis=-1) - free, 0.0)
        cost[1:, exchanged] = (scale * excess).sum(axis=1)
    return cost


def _noise(pairs: _Pairs) -> float:
    """Body sizes that noise alone may move a pair's vector between frames; at least `_NOISE`.

    White noise of s per point and axis gives a median second difference of 4.1 s in the image and
    in 95 % of cases a difference below 4.9 s. Without this, 10 px of noise on bodies of at most
    100 px make 3 % of correct frames be reported; with it, none of 70,096.
    """
    weight = pairs.weight
    whole = np.minimum(np.minimum(weight[2:], weight[1:-1]), weight[:-2]) > 0
    bend = np.linalg.norm(np.diff(pairs.vector, 2, axis=0), axis=-1)[whole]
    return max(_NOISE, 1.2 * float(np.median(bend))) if len(bend) else _NOISE


def cheapest_states(node: FloatArray, edge: FloatArray) -> IntArray:
    """(..., T) the states of the cheapest path (Viterbi), S of them, S a power of two.

    node: (..., T, S) cost of each state. edge: (..., T, S) cost of going over from the frame
        before, by the exclusive or of the two states: its bits are what changes.
    """
    states = np.arange(node.shape[-1])
    source = states[:, None] ^ states  # [state here, change] -> state before
    node, edge = np.broadcast_arrays(node, edge)
    lead, (T, S) = node.shape[:-2], node.shape[-2:]
    node, edge = (each.reshape(-1, T, S).swapaxes(0, 1) for each in (node, edge))
    best, rows = node[0], np.arange(node.shape[1])
    came_from = np.zeros(node.shape, dtype=np.int64)
    for t in range(1, T):
        ways = best[:, source] + edge[t, :, None]
        came_from[t] = ways.argmin(axis=2)
        best = ways.min(axis=2) + node[t]
    path = np.empty(node.shape[:2], dtype=np.int64)
    path[-1] = best.argmin(axis=1)
    for t in range(T - 1, 0, -1):
        path[t - 1] = path[t] ^ came_from[t, rows, path[t]]
    return path.T.reshape(*lead, T)
