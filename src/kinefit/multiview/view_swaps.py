"""Left and right exchanged by the detector in some views: found by all views together, undone.

Within one view a swap is a jump (`kinefit.tracking.sides`); between views it is a contradiction:
the rays of the left knee of one camera pass by those of the others, and meet their right knee's.
Both are used. Arms and legs are first put right as wholes, the labels of all views together, by a
shortest path through time; then each pair of points by itself, against what the views agree on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from kinefit.geometry.projection import RigOptics, project_rig
from kinefit.geometry.robust import Huber
from kinefit.multiview.candidates import Rays, camera_pairs, intersect
from kinefit.multiview.triangulate import triangulate
from kinefit.multiview.triangulation_options import TriangulationOptions
from kinefit.skeletons import Skeleton
from kinefit.tracking.sides import GROUPS, SPEED_LIMIT, cheapest_states, label_jumps
from kinefit.types import BoolArray, CameraRig, FloatArray, IntArray, Keypoints2D, Timeline
from kinefit.types.arrays import freeze_arrays

# What is exchanged together, finest: a unit is a pair of joints with what hangs on them. Words
# that occur in the names of the points; the first unit with such a word is the point's.
UNITS = {
    "feet": ("Ankle", "Heel", "Toe"),
    "knees": ("Knee",),
    "hips": ("Hip",),
    "face": ("Eye", "Ear", "Mouth"),
    "hands": ("Wrist", "Thumb", "Index", "Middle", "Ring", "Pinky"),
    "elbows": ("Elbow", "Olecranon", "CubitalFossa"),
    "shoulders": ("Shoulder", "Acromion"),
}
_GROUP_OF = {"feet": "legs", "knees": "legs", "hips": "legs"}  # the others go with the arms

_EXHAUSTIVE = 5  # cameras up to which all 2^C labelings of a frame are tried
_AT_ONCE = 4000  # points whose rays are looked at together
_LEAST = 1e-12  # weight times pixels squared: no view
_ROUNDS = 3  # of agreeing and relabelling, with more cameras
_CHANGE = 0.1  # cost of a view that changes its labels; a contradicting view costs up to 1
_PRIOR = 0.05  # 1/s per view claimed as swapped: decides between a labeling and its opposite
# Cost per frame of a claim, over C^4 of C cameras. Two views contradict each other whichever of
# them is exchanged, and level cameras see a symmetric pose under either labelling: without this,
# pairs of the four cameras of 9 rendered scenes turn 36 wrong frames of arms into 394 and 315 of
# legs into 261, with it into 37 and 106. More cameras outvote one another.
_CLAIM = 1.6
# A pair is only exchanged by itself where that brings it nearer by this share of the inlier
# threshold on average: limbs that cross in a picture lie as near to either label.
_GAIN, _PAIR_CHANGE = 0.25, 0.5


@dataclass(frozen=True, eq=False)
class ViewSwaps:
    """Where each view's detector exchanged left and right.

    timeline: T frames. cameras: C names. swapped: (C, T, U) True where the labels of the unit
        (`UNITS`, in its order) are exchanged.
    """

    timeline: Timeline
    cameras: tuple[str, ...]
    swapped: BoolArray

    def __post_init__(self) -> None:
        shape = (len(self.cameras), len(self.timeline), len(UNITS))
        freeze_arrays(self, np.bool_, swapped=shape)

    def of_points(self, names: Sequence[str]) -> BoolArray:
        """(C, T, J) where each named point carries its twin's label."""
        unit = _unit_columns(names)
        return np.asarray(np.where(unit >= 0, self.swapped[:, :, np.maximum(unit, 0)], False))

    def of_camera(self, name: str) -> dict[str, BoolArray]:
        """(T,) frames per group, and per unit where it differs from its group; none empty."""
        swapped, found = self.swapped[self.cameras.index(name)], {}
        for group in GROUPS:
            units = _units_of(group)
            found[group] = swapped[:, [u for u, n in units.items() if n != "face"]].all(axis=1)
            found |= {n: swapped[:, u] & ~found[group] for u, n in units.items()}
        return {k: v for k, v in found.items() if v.any()}


def find_view_swaps(
    rig: CameraRig,
    timeline: Timeline,
    names: tuple[str, ...],
    xy: FloatArray,
    score: FloatArray,
    options: TriangulationOptions,
) -> ViewSwaps:
    """Per view, frame and limb, whether left and right are exchanged.

    xy: (C, T, J, 2) px, score: (C, T, J); as in `triangulate`. With up to five cameras all
    labelings of each frame are tried, with more each view is held against what the others agree
    on. Costs per frame: how badly the rays of arms or legs meet (0 to 1), and for every view
    that changes its labels between frames the part of its jump that the change does not explain.
    The labels of all views may be wrong together: then continuity and the shorter claim decide.
    """
    search = _Search(rig, timeline, options)
    score = np.where(score >= options.score_min, score, 0.0)
    whole = np.zeros((len(rig), len(timeline), len(UNITS)), bool)
    views = zip(rig, xy, score, strict=True)
    jumps = np.stack(
        [label_jumps(Keypoints2D(timeline, names, p, s, camera.size)) for camera, p, s in views]
    )
    for g, group in enumerate(GROUPS):
        twins = [(f"L{joint}", f"R{joint}") for joint in SPEED_LIMIT[group]]
        columns = [[names.index(n) for n in pair] for pair in twins if set(pair) <= set(names)]
        if columns:
            labels = search.labels(xy[:, :, columns], score[:, :, columns], jumps[:, :, g])
            whole[:, :, list(_units_of(group))] = labels[..., None]
    swaps = ViewSwaps(timeline, rig.names, whole)
    pairs = search.pairs(names, *undo_view_swaps(names, xy, score, swaps))
    return replace(swaps, swapped=whole ^ pairs)


def undo_view_swaps(
    names: Sequence[str], xy: FloatArray, score: FloatArray, swaps: ViewSwaps
) -> tuple[FloatArray, FloatArray]:
    """xy (C, T, J, 2) and score (C, T, J) with left and right exchanged back."""
    swapped = swaps.of_points(names)
    source = np.where(swapped, Skeleton("", tuple(names)).mirror(), np.arange(len(names)))
    return (
        np.take_along_axis(xy, source[..., None], axis=2),
        np.take_along_axis(score, source, axis=2),
    )


def _units_of(group: str) -> dict[int, str]:
    """Place and name of each unit that goes with arms or legs."""
    return {u: n for u, n in enumerate(UNITS) if _GROUP_OF.get(n, "arms") == group}


def _unit_columns(names: Sequence[str]) -> IntArray:
    """(J,) the unit of each point, -1 for points without sides."""
    mirror = Skeleton("", tuple(names)).mirror()
    found = np.full(len(names), -1)
    for j, name in enumerate(names):
        if mirror[j] != j:
            words = enumerate(UNITS.values())
            found[j] = next((u for u, w in words if any(n in name for n in w)), -1)
    return found


@dataclass(frozen=True, eq=False)
class _Search:
    """Twins are arrays xy (C, T, P, 2, 2) px of P pairs (left, right) and score (C, T, P, 2)."""

    rig: CameraRig
    timeline: Timeline
    options: TriangulationOptions

    def labels(self, xy: FloatArray, score: FloatArray, jumps: FloatArray) -> BoolArray:
        """(C, T) True where a view exchanged the twins of one group.

        jumps: (C, T, 2) how much of each view's change is no motion, labels kept or exchanged.
        """
        # Seconds from one frame to the next, by which a claim costs; 0 for a single frame.
        step = float(np.median(np.diff(self.timeline.time))) if len(self.timeline) > 1 else 0.0
        search = self._jointly if len(self.rig) <= _EXHAUSTIVE else self._view_by_view
        return search(xy, score, jumps, _PRIOR * step)

    def _jointly(
        self, xy: FloatArray, score: FloatArray, jumps: FloatArray, prior: float
    ) -> BoolArray:
        """A Viterbi search over the labelings of all views: state s exchanges view c where its
        bit c is set."""
        C = len(xy)
        states = np.arange(2**C)
        bits = states[:, None] >> np.arange(C) & 1  # (S, C)
        half = self._labeling_costs(xy, score, bits[: len(states) // 2])
        # The last view's bit is clear in the first half; exchanging every view changes nothing.
        node = np.concatenate([half, half[::-1]]).T
        node = node + (prior + _CLAIM / C**4) * bits.sum(axis=1)
        # Cost of going over with change d: each view's jump, with or without an exchange.
        change = (
            _CHANGE * bits.sum(axis=1)
            + np.einsum("sc,ct->ts", 1 - bits, jumps[..., 0])
            + np.einsum("sc,ct->ts", bits, jumps[..., 1])
        )
        path = cheapest_states(node, change)
        return np.asarray(bits[path].T == 1)

    def _labeling_costs(self, xy: FloatArray, score: FloatArray, bits: IntArray) -> FloatArray:
        """(S, T) in 0..1: how badly the views' rays meet under each labeling `bits` (S, C)."""
        C, T = xy.shape[:2]
        pixels, weight = xy.reshape(C, -1, 2), score.reshape(C, -1)
        seen = Rays.of(RigOptics.of(self.rig), pixels, weight).single()
        pairs = camera_pairs(seen.centres, self.options.max_pairs)
        options = self.options.for_images(self.rig)
        per_frame = pixels.shape[1] // T
        size = per_frame * max(1, _AT_ONCE // per_frame)
        found = [
            _meeting_costs(seen.at(slice(i, i + size)), pairs, bits, options)
            for i in range(0, T * per_frame, size)
        ]
        cost, known = (np.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
        count = known.reshape(-1, T, per_frame).sum(axis=-1)
        return np.asarray(cost.reshape(-1, T, per_frame).sum(axis=-1) / np.maximum(count, 1))

    def _view_by_view(
        self, xy: FloatArray, score: FloatArray, jumps: FloatArray, prior: float
    ) -> BoolArray:
        """Each view against what all agree on."""
        labels = np.zeros(xy.shape[:2], bool)
        for _ in range(_ROUNDS):
            gain = self._gain(*_exchanged(xy, score, labels)).mean(axis=2)
            # State 0: as the detector labels it. `gain` speaks of labels as they are now.
            loss = np.maximum(np.where(labels, -gain, gain), 0.0)
            back = np.maximum(np.where(labels, gain, -gain), 0.0)
            node = np.stack([loss, back + prior], axis=-1)
            change = jumps + np.array([0.0, _CHANGE])
            new = cheapest_states(node, change) == 1
            if (new == labels).all():
                break
            labels = new
        return labels

    def _gain(self, xy: FloatArray, score: FloatArray) -> FloatArray:
        """(C, T, P) in -1..1: how much nearer, in inlier thresholds, each pair of twins comes to
        what the views agree on when a view's labels are exchanged; 0 where that cannot be told."""
        C, T, P = xy.shape[:3]
        names = tuple(f"{side}{p}" for p in range(P) for side in "LR")
        plain = replace(self.options, adaptive=False, lm_iters=0)
        flat = xy.reshape(C, T, -1, 2), score.reshape(C, T, -1)
        found = triangulate(self.rig, self.timeline, names, *flat, plain)
        agreed = project_rig(self.rig, found.refined).reshape(xy.shape)
        cap = self.options.for_images(self.rig).inlier_thresh
        kept, crossed = (
            np.minimum(np.linalg.norm(agreed - mine, axis=-1), cap).sum(axis=-1)
            for mine in (xy, xy[..., ::-1, :])
        )
        return np.asarray(np.nan_to_num((kept - crossed) / (2 * cap)))

    def pairs(self, names: tuple[str, ...], xy: FloatArray, score: FloatArray) -> BoolArray:
        """(C, T, U) units exchanged by themselves, after arms and legs were put right as wholes.

        xy: (C, T, J, 2). score: (C, T, J).
        """
        mirror = Skeleton("", names).mirror()
        columns = np.array([(j, m) for j, m in enumerate(mirror) if j < m], np.int64).reshape(-1, 2)
        out = np.zeros((len(self.rig), len(self.timeline), len(UNITS)), bool)
        if not len(columns):
            return out
        seen = np.where(np.isfinite(xy).all(axis=-1), score, 0.0)[:, :, columns]
        gain, known = self._gain(xy[:, :, columns], seen), np.asarray((seen > 0).all(axis=-1))
        unit = _unit_columns(names)[columns[:, 0]]
        change = np.tile([0.0, _PAIR_CHANGE], (len(self.timeline), 1))
        there = np.unique(unit[unit >= 0])
        of_unit = (unit[:, None] == there).astype(float)
        mean = (gain * known) @ of_unit / np.maximum(known @ of_unit, 1)
        loss = _GAIN - np.moveaxis(mean, 1, 2)
        path = cheapest_states(np.stack([np.zeros_like(loss), loss], axis=-1), change)
        out[:, :, there] = np.moveaxis(path, 2, 1) == 1
        return out


def _meeting_costs(
    seen: Rays, pairs: IntArray, bits: IntArray, options: TriangulationOptions
) -> tuple[FloatArray, BoolArray]:
    """(S, N) how badly the rays of N points, left and right in turns, meet under each labeling
    `bits` (S, C), 0 to 1, and (S, N) whether two views see them; 0 where not.

    As `hypotheses` without a reseed, by the Huber score. A labeling only says which of two views
    are exchanged against each other: every pair meets in two ways, for each point of its first
    view, and every view is at one of two distances.
    """
    C, P, twin = len(seen.x), len(pairs), np.arange(seen.x.shape[1]) ^ 1
    seen = seen.with_exchanged(twin)
    points = intersect(seen, np.concatenate([pairs, pairs + np.array([0, C])]))
    cut, rho = options.inlier_thresh, Huber(options.huber_delta).rho
    loss = rho(np.minimum(seen.errors(points), cut) ** 2) * seen.weight[:, None]  # (2C, 2P, N)
    loss[:, np.isnan(points[0])] = np.inf
    most = float(rho(np.array(cut**2))) * seen.weight
    cost, known = np.empty((2, len(bits), len(twin)))
    first, second = pairs.T
    for s, row in enumerate(bits):
        against = row[first][:, None] ^ row  # (P, C)
        view, pair = np.arange(C) + C * against, np.arange(P) + P * (row[first] ^ row[second])
        total = loss[view, pair[:, None]].sum(axis=1) / np.maximum(most[view].sum(axis=1), _LEAST)
        of_point = np.where(row[first][:, None] == 1, total[:, twin], total)
        known[s] = seen.valid[np.arange(C) + C * row].sum(axis=0) >= 2
        cost[s] = np.where(known[s], np.minimum(of_point.min(axis=0), 1.0), 0.0)
    return cost, known == 1


def _exchanged(
    xy: FloatArray, score: FloatArray, labels: IntArray | BoolArray
) -> tuple[FloatArray, FloatArray]:
    """Twins exchanged where `labels`, broadcast to (C, T), says so."""
    flip = np.asarray(labels, dtype=bool)[:, :, None, None]
    pixels = np.where(flip[..., None], xy[..., ::-1, :], xy)
    return pixels, np.where(flip, score[..., ::-1], score)
