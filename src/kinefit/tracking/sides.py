"""Left and right exchanged by the detector: found in one view, and exchanged back.

A swap changes the sign of the vector from a right point to its left twin and leaves their
midpoint where it is. So each pair of points is one vector over time, a swap is a sudden change
of its sign, and the labels are right where the pairs move as a body can: a cheapest path over
"as labelled" and "swapped". A person who turns around, or whose legs cross in side view, takes
these vectors through zero no faster than a body moves, which costs nothing.

The vectors are the detector's own 3D where it has one: from the side, shoulders and hips are
then still a shoulder's and a hip's width apart, while in the image they coincide. Measurements:
docs/measurements/side_swaps.md.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
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
    Timeline,
    all_finite,
)
from kinefit.types.arrays import freeze, frozen_array

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


class _Part(NamedTuple):
    """Points that one view swaps together.

    evidence: the pairs that tell. root: what they hang on, if they are judged as seen from there.
    against: the part that comes first. more: other points that are exchanged with them.
    """

    evidence: tuple[str, ...]
    root: str | None = None
    against: str | None = None
    more: tuple[str, ...] = ()


# A detector that takes front for back swaps everything; one that takes the far leg for the near
# one swaps a leg below the hips, whose own depths stay right. So arms and legs are judged, and
# exchanged, as they hang on shoulders and hips. The face moves with the trunk.
_PARTS = {
    "shoulders": _Part(("Shoulder", "Hip")),
    "hips": _Part(("Hip",), against="shoulders"),
    "arms": _Part(("Elbow", "Wrist"), "Shoulder", "shoulders", ("Pinky", "Index", "Thumb")),
    "legs": _Part(("Knee", "Ankle"), "Hip", "hips", ("Heel", "BigToe", "SmallToe")),
}
PARTS = tuple(_PARTS)

_NOISE = 0.05  # body sizes by which a pair's vector may differ between frames without moving
_CHANGE = 0.1  # cost of a change of labels; a jump that only a swap explains costs up to 1
# Cost per second of the claim that the trunk is swapped, or another part against it: decides
# between a labelling and its opposite. What leaves its trunk does so for parts of a second.
_PRIOR, _PRIOR_ALONE = 0.15, 0.4
# Each end of a swap must be a jump, of which no motion explains this much more than a swap does:
# where limbs cross, labels may change at no cost, and either side of the crossing may be the
# swapped one. In 3D .10 to .20 do the same; in the image alone, below .25, walks from the side
# are harmed.
_END_IN_3D, _END_IN_IMAGE = 0.15, 0.25
# A network that is between two answers gives their mean, and a trunk too narrow to be one.
_NARROW = 0.6  # of the median width


@dataclass(frozen=True, eq=False)
class SideSwaps:
    """Where the detector exchanged left and right.

    timeline: T frames of the track.
    swapped: (T, 4) True where the labels of a part are exchanged, in the order of `PARTS`:
        shoulders and face, hips, arms (elbows to fingers), legs (knees to toes).
    """

    timeline: Timeline
    swapped: BoolArray

    def __post_init__(self) -> None:
        shape = (len(self.timeline), len(PARTS))
        freeze(self, swapped=frozen_array("SideSwaps", "swapped", self.swapped, shape, np.bool_))

    def of(self, part: str) -> BoolArray:
        """(T,) True where `part` is swapped; KeyError for an unknown part."""
        if part not in PARTS:
            raise KeyError(f"no part {part!r}; there are: {', '.join(PARTS)}")
        return np.asarray(self.swapped[:, PARTS.index(part)])


def find_side_swaps(track: PoseTrack) -> SideSwaps:
    """The frames in which the detector exchanged left and right, per part of the body.

    track: one view, any skeleton whose sides differ by a leading L or R. Its `body` is what is
        judged where there is one, else the image. A part is never reported in frames where none
        of its pairs is seen.

    Shoulders and hips come first, then the other parts against them: for each the cheapest path
    through time (Viterbi). A step costs the part of each pair's change since the last frame that
    exceeds what a body can do in that time (so the frame rate doesn't matter), averaged over pairs
    by score and by how little they can move. A swap is reported only between two plain jumps; of
    the trunk also after or before a single one that is twice as plain.

    Continuity cannot tell a labelling from its opposite: the one that lasts longer is taken as
    true. Labels that never jump are never reported, even if they are wrong throughout.
    """
    image, body = track.image, track.body
    time, names, score = image.timeline.time, image.names, image.score
    if body is None:
        places, end = _in_body_sizes(image), _END_IN_IMAGE
    else:
        places, end = body.xyz / _BODY_SIZE_M, _END_IN_3D
    swapped: dict[str | None, BoolArray] = {None: np.zeros(len(time), dtype=bool)}
    for part, (evidence, root, against, _) in _PARTS.items():
        first = swapped[against]
        pairs = _pairs(names, places, score, evidence, root).exchanged(first)
        if against is None:
            alone = _trunk_swaps(pairs, time, end, in_3d=body is not None)
        else:
            alone = _swapped_runs(pairs, time, _PRIOR_ALONE, end)
        swapped[part] = (first ^ alone) & pairs.seen
    return SideSwaps(image.timeline, np.stack([swapped[p] for p in PARTS], axis=1))


def undo_side_swaps(track: PoseTrack, swaps: SideSwaps) -> PoseTrack:
    """`track` with left and right exchanged back where `swaps` says so, in the image and in 3D.

    In 3D, arms and legs are exchanged as they hang on shoulders and hips, which may stay. Depth
    is not mirrored where everything is exchanged: in 33 swapped frames of a real clip, against a
    multi-view reference, 14 limbs are off by 76.0 degrees as detected, 23.5 after the exchange
    (14.7 in frames that were never swapped), and 35.5 when depth is mirrored too.

    Raises InvalidData when `swaps` was found on another timeline.
    """
    if swaps.timeline != track.image.timeline:
        raise InvalidData("undo_side_swaps: the swaps were found on another timeline.")
    names, own = track.image.names, np.arange(len(track.image.names))
    part = [_part_of(name) for name in names]
    roots = [n[0] + (_PARTS[p].root or n[1:]) for n, p in zip(names, part, strict=True)]
    root = np.array([names.index(r) if r in names else j for j, r in enumerate(roots)])
    swapped, twin = np.stack([swaps.of(p) for p in part], axis=1), Skeleton("", names).mirror()
    source = np.where(swapped, twin, own)

    def read(values: FloatArray, column: IntArray) -> FloatArray:
        return np.take_along_axis(values, column[..., None], axis=1)

    image = replace(
        track.image,
        xy=read(track.image.xy, source),
        score=np.take_along_axis(track.image.score, source, axis=1),
    )
    body = track.body
    if body is not None:
        base = np.where(swapped[:, root], twin[root], root)
        moved = read(body.xyz, base) - read(body.xyz, root[source])  # 0 unless only one is swapped
        body = replace(body, xyz=read(body.xyz, source) + moved)
    return replace(track, image=image, body=body)


def _part_of(name: str) -> str:
    """The part that a point moves with: the last that has it, else (the face) the trunk."""
    having = [p for p, part in _PARTS.items() if name[1:] in (*part.evidence, *part.more)]
    return having[-1] if having else "shoulders"


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

    def exchanged(self, frames: BoolArray) -> _Pairs:
        return self._replace(vector=np.where(frames[:, None, None], -1.0, 1.0) * self.vector)

    def without(self, frames: BoolArray) -> _Pairs:
        return self._replace(weight=np.where(frames[:, None], 0.0, self.weight))


def _pairs(
    names: tuple[str, ...],
    places: FloatArray,
    score: FloatArray,
    joints: tuple[str, ...],
    root: str | None = None,
) -> _Pairs:
    """places: (T, J, D) body sizes. With a root: the pairs as seen from it; none without it."""
    column = {name: i for i, name in enumerate(names)}
    needed = ("",) if root is None else ("", root)
    joints = tuple(j for j in joints if all(s + (n or j) in column for n in needed for s in "LR"))
    left, right = ([column[side + j] for j in joints] for side in "LR")
    vector = places[:, left] - places[:, right]
    weight = np.minimum(score[:, left], score[:, right])
    if root is not None and joints:
        at = [column[side + root] for side in "LR"]
        vector = vector - (places[:, at[:1]] - places[:, at[1:]])
        weight = np.minimum(weight, score[:, at].min(axis=1, keepdims=True))
    weight = np.where(all_finite(vector), weight, 0.0)
    vector = np.where(weight[..., None] > 0, vector, 0.0)
    return _Pairs(vector, weight, np.array([_LIMIT[j] for j in joints]))


def _in_body_sizes(points: Keypoints2D) -> FloatArray:
    """(T, J, 2) the image over the root mean square distance of the joints from their centroid.

    Whichever way sides are labelled this size is the same, and no view makes it vanish as the
    length of a torso seen from above does. NaN with fewer than 4 joints.
    """
    joints = set(_LIMIT) - {"Heel", "BigToe"}
    xy = points.xy[:, [i for i, n in enumerate(points.names) if n[0] in "LR" and n[1:] in joints]]
    seen = all_finite(xy)[..., None]
    count = seen.sum(axis=1)
    centre = np.where(seen, xy, 0.0).sum(axis=1) / np.maximum(count, 1)
    square = np.where(seen, (xy - centre[:, None]) ** 2, 0.0).sum(axis=(1, 2))
    size = np.sqrt(square / np.maximum(count[:, 0], 1))
    size = np.where((count[:, 0] >= 4) & (size > 0), size, np.nan)
    return np.asarray(points.xy / size[:, None, None])


def _trunk_swaps(pairs: _Pairs, time: FloatArray, end: float, in_3d: bool) -> BoolArray:
    """(T,) True where shoulders and hips are exchanged.

    In 3D, frames in which they are much closer together than they mostly are decide nothing: they
    go with the direction of the last one that does.
    """
    if not in_3d:
        return _swapped_runs(pairs, time, _PRIOR, end, one_end=True)
    width, seen = np.linalg.norm(pairs.vector, axis=-1), pairs.weight > 0
    usual = [np.median(w[s]) if s.any() else 0.0 for w, s in zip(width.T, seen.T, strict=True)]
    plain = pairs.without((seen & (width < _NARROW * np.array(usual))).any(axis=1))
    out = _swapped_runs(plain, time, _PRIOR, end, one_end=True)
    known, left = np.flatnonzero(plain.seen), np.flatnonzero(pairs.seen & ~plain.seen)
    if len(known):
        last = known[np.maximum(np.searchsorted(known, left) - 1, 0)]
        along = (pairs.vector[left] * pairs.vector[last]).sum(axis=(1, 2))
        out[left] = (along < 0) ^ out[last]
    return out


def _swapped_runs(
    pairs: _Pairs, time: FloatArray, prior: float, end: float, one_end: bool = False
) -> BoolArray:
    """(T,) True where the labels of the pairs are exchanged, between two jumps of at least `end`.

    prior: cost per second of saying so. one_end: of one jump twice as plain where the other end is
    not known: in a gap, or where the track begins or ends.
    """
    out = np.zeros(len(time), dtype=bool)
    seen = np.flatnonzero(pairs.seen)
    if len(seen) < 2:
        return out
    jumps = _jumps(pairs.at(seen), time[seen])
    cost = prior * float(np.median(np.diff(time[seen])))
    node = np.tile([0.0, cost], (len(seen), 1))
    if one_end:  # swaps that a track begins or ends with are no cheaper than others
        node[[0, -1], 1] += _CHANGE
    swapped = cheapest_states(node, jumps + np.array([0.0, _CHANGE])) == 1
    gain = jumps[:, 0] - jumps[:, 1]
    borders = np.flatnonzero(np.diff(swapped, prepend=False, append=False))
    for first, behind in borders.reshape(-1, 2):
        ends = [gain[t] if 0 < t < len(seen) else 0.0 for t in (first, behind)]
        if (np.mean(ends) if one_end else min(ends)) >= end:
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
    """(T,) the states of the cheapest path (Viterbi), S of them, S a power of two.

    node: (T, S) cost of each state. edge: (T, S) cost of going over from the frame before, by the
        exclusive or of the two states: its bits are what changes.
    """
    states = np.arange(node.shape[1])
    source = states[:, None] ^ states  # [state here, change] -> state before
    best = node[0]
    came_from = np.zeros(node.shape, dtype=np.int64)
    for t in range(1, len(node)):
        ways = best[source] + edge[t]
        came_from[t] = ways.argmin(axis=1)
        best = ways.min(axis=1) + node[t]
    path = np.empty(len(node), dtype=np.int64)
    path[-1] = best.argmin()
    for t in range(len(node) - 1, 0, -1):
        path[t - 1] = path[t] ^ came_from[t, path[t]]
    return path
