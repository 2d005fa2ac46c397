"""How many metres one unit of a detector's body is, from the subject's stature."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from kinefit.types import FloatArray, TooFewPoints, all_finite

# (T, 3) places of a named point and (T,) weights, 0 where unseen.
_Points = Callable[[str], tuple[FloatArray, FloatArray]]


class Chain(NamedTuple):
    """Segments whose summed length is a stable share of stature.

    ratio: length / stature between joint centres. sd: its standard deviation over adults,
    with 1 % (whole chain) or 2 % (parts) for where the detector puts the joints.
    """

    name: str
    trunk: bool
    legs: bool
    ratio: float
    sd: float


# ANSUR II (6,068 adults): acromial minus lateral malleolus height is 0.7795 of stature, SD 0.0097;
# women 0.7812, men 0.7787. The shoulder's centre lies 10.4 % of acromion-radiale below the acromion
# (de Leva 1996, J Biomech 29:1231-1233; 0.0199 of stature), which leaves 0.760. Multi-view bones of
# the Pose2Sim demo's subject (trunk .526, thigh .390, shank .372 m; about 1.68 m tall) give 0.767.
# A part of the chain varies three to four times as much between people (trunk 5.0 %, legs 3.4 %,
# whole 1.25 %), so parts serve only where the rest is unseen. How the whole divides follows
# MediaPipe's own hips, which lie 3 cm below the trochanters: trunk 0.40 of it in all four views.
# Rejected: torso = height / 3.4 (de Leva's men: 3.38). It fits neither ANSUR (acromion to
# trochanter 3.28) nor MediaPipe (3.2-3.4), and makes the demo's bones 3-6 % short.
CHAINS = (
    Chain("shoulders to ankles", trunk=True, legs=True, ratio=0.760, sd=0.0122),
    Chain("hips to ankles", trunk=False, legs=True, ratio=0.456, sd=0.0180),
    Chain("shoulders to hips", trunk=True, legs=False, ratio=0.304, sd=0.0164),
)

# A chain seen in fewer frames than this share gives way to a shorter one that is seen more.
_ENOUGH_FRAMES = 0.1


class BodyScale(NamedTuple):
    """metres_per_unit: multiply the body by it. sd: its standard deviation. chain: what was
    measured. frames: how many frames it was measured in.
    """

    metres_per_unit: float
    sd: float
    chain: str
    frames: int


def body_scale(
    xyz: FloatArray, names: Sequence[str], weights: FloatArray, height_m: float
) -> BodyScale:
    """Metres per unit of `xyz` for a person of stature `height_m`.

    xyz: (T, J, 3), any unit, NaN where missing. weights: (T, J) how well each point is seen;
    0 keeps it out. names: J names of `kinefit.skeletons.blazepose33`.

    The median over frames of the whole chain's length, weighted by its least seen joint, against
    the chain's share of stature. The standard deviation joins the variation between people with
    the chain's robust spread within the clip: not divided by the number of frames, because a
    detector's error in one posture and view does not average out.

    Raises TooFewPoints when no chain is seen in any frame.
    """
    seen = all_finite(xyz)
    weights, xyz = np.where(seen, weights, 0.0), np.where(seen[..., None], xyz, 0.0)

    def point(name: str) -> tuple[FloatArray, FloatArray]:
        if name not in names:
            return np.zeros_like(xyz[:, 0]), np.zeros(len(xyz))
        return xyz[:, names.index(name)], weights[:, names.index(name)]

    trunk, legs = _trunk(point), _legs(point)
    wanted = max(1.0, _ENOUGH_FRAMES * int((weights > 0).any(axis=1).sum()))
    candidates = []
    for chain in CHAINS:
        parts = [trunk] * chain.trunk + [legs] * chain.legs
        length, weight = sum(part[0] for part in parts), np.minimum.reduce([p[1] for p in parts])
        candidates.append((int((weight > 0).sum()), chain, np.asarray(length), weight))
    usable = [c for c in candidates if c[0] >= wanted] or candidates
    frames, chain, length, weight = usable[0]
    if frames == 0:
        raise TooFewPoints("shoulders, hips, knees and ankles to scale by", found=0, needed=2)
    middle = weighted_median(length, weight)
    spread = 1.4826 * weighted_median(np.abs(length - middle), weight) / middle
    metres = height_m * chain.ratio / middle
    relative_sd = float(np.hypot(chain.sd / chain.ratio, spread))
    return BodyScale(metres, metres * relative_sd, chain.name, frames)


def weighted_median(values: FloatArray, weights: FloatArray) -> float:
    """The smallest value with at least half of the weight at or below it; NaN if none weighs."""
    keep = (weights > 0) & np.isfinite(values)
    if not keep.any():
        return float("nan")
    order = np.argsort(values[keep], kind="stable")
    cumulated = np.cumsum(weights[keep][order])
    middle = np.searchsorted(cumulated, 0.5 * cumulated[-1])
    return float(values[keep][order][middle])


def _trunk(point: _Points) -> tuple[FloatArray, FloatArray]:
    """(T,) mid-shoulder to mid-hip, and (T,) weight."""
    joints = ("LShoulder", "RShoulder", "LHip", "RHip")
    points, seen = zip(*map(point, joints), strict=True)
    between = (points[0] + points[1] - points[2] - points[3]) / 2
    return np.linalg.norm(between, axis=-1), np.minimum.reduce(seen)


def _legs(point: _Points) -> tuple[FloatArray, FloatArray]:
    """(T,) thigh and shank, each the mean of the sides weighted by how well these are seen; and
    (T,) weight."""
    total: FloatArray | float = 0.0
    weights = []
    for pair in (("Hip", "Knee"), ("Knee", "Ankle")):
        sides = [[point(side + name) for name in pair] for side in "LR"]
        lengths = [np.linalg.norm(a - b, axis=-1) for (a, _), (b, _) in sides]
        seen = [np.minimum(a, b) for (_, a), (_, b) in sides]
        both = seen[0] + seen[1]
        mean = seen[0] * lengths[0] + seen[1] * lengths[1]
        total = total + mean / np.where(both > 0, both, 1.0)
        weights.append(np.maximum(*seen))
    return np.asarray(total), np.minimum(*weights)
