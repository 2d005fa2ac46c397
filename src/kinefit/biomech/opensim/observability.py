"""Which coordinates the markers of a file determine, and which they would leave to chance.

A solver returns a number for every coordinate, determined or not: a knee without markers keeps
its starting value for the whole clip and the marker errors look better than ever. So it is asked
beforehand what the markers that are there can tell, and afterwards in each frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from kinefit.biomech.opensim.frame import marker_spread
from kinefit.biomech.opensim.model import BodyModel, Joint
from kinefit.biomech.opensim.sets import table
from kinefit.types import BoolArray, FloatArray

# rad or m, under frame.NOISE_M of marker noise. Random poses of Pose2Sim's model with its own
# marker sets: coordinates that markers determine have 0.03-0.28 in their best pose; pronation
# from a single wrist marker 0.8, toes 0.35-0.5, a foot without toes 0.84, all others 1.0.
LIMIT = 0.33

# Times the deviation with all markers, in the worst pose, if that is beyond LIMIT. Without its one
# keypoint, knee and elbow have 8-10 (straight limbs); without a hip of two, or an ankle above three
# keypoints of the foot, 1.2-3.7.
_LOST = 5.0
_POSES = 30
_BEND = (-0.6, 1.2)  # rad, m around the defaults: straight limbs say nothing about their twist


@dataclass(frozen=True)
class Undetermined:
    """A joint that the markers leave open.

    coordinates: those of the joint that are open.
    markers: of which any would help, as far as known; the file lacks them.
    optional: a result can do without this joint.
    """

    joint: str
    coordinates: tuple[str, ...]
    markers: tuple[str, ...]
    optional: bool

    def __str__(self) -> str:
        lack = f" (no {', '.join(self.markers)})" if self.markers else ""
        return f"{self.joint}: {', '.join(self.coordinates)}{lack}"


def undetermined(
    model: BodyModel, present: BoolArray, known_bodies: Mapping[str, str]
) -> list[Undetermined]:
    """Joints with coordinates that the markers do not determine, in the model's order.

    present: (M,) True for the model's markers that the file has and that weigh something.
    known_bodies: marker -> body of markers that files can have, also of other marker sets.

    Two ways to be open, both computed: no pose exists in which the markers tell the coordinate
    (`LIMIT`); or a body has lost its markers, and there are poses in which only those would tell
    how it moves (`_LOST`): then both of its joints are open. The second is for chains that close by
    their ends: without LKnee, the distance from hip to ankle still tells how much the knee bends,
    at an error that grows without bound as the leg straightens. A virtual joint centre between two
    bodies that are well seen is missed by neither.
    """
    bodies = {**known_bodies, **dict(zip(model.markers, model.marker_bodies, strict=True))}
    lacking = set(bodies) - {m for m, p in zip(model.markers, present, strict=True) if p}
    spreads, complete = pose_spreads(model, [present, np.ones_like(present)])
    open_ = spreads.min(0) > LIMIT
    bare = {b for b in bodies.values() if all(m in lacking for m, o in bodies.items() if o == b)}
    bare &= _ends(model, _lost(spreads, complete))
    found = []
    for joint in model.joints:
        names = [c.name for c in model.coordinates if c.joint == joint.name and not c.fixed]
        exposed = joint.parent in bare or joint.body in bare
        chosen = [n for n in names if exposed or open_[model.names.index(n)]]
        if not chosen or all(model.coordinates[model.names.index(n)].tied_to for n in chosen):
            continue
        helpful = {joint.parent, joint.body} & bare
        if not exposed:
            helpful = _helpful(model, joint, {bodies[m] for m in lacking})
        markers = tuple(sorted(m for m in lacking if bodies[m] in helpful))
        found.append(Undetermined(joint.name, tuple(chosen), markers, is_optional(joint.name)))
    return found


def _lost(present: FloatArray, complete: FloatArray) -> BoolArray:
    """(C,) True for what some pose would tell if all markers were there, and does not.

    present, complete: (P, C) deviations in P poses, with the markers that are there and with all.
    """
    lost = (present > LIMIT) & (complete <= LIMIT) & (present > _LOST * complete)
    return np.asarray(lost.any(0))


def _ends(model: BodyModel, lost: BoolArray) -> set[str]:
    """Bodies on either side of the joints that have one of the coordinates (C,) `lost`."""
    joints = {c.joint for c, gone in zip(model.coordinates, lost, strict=True) if gone}
    return {body for j in model.joints if j.name in joints for body in (j.parent, j.body)}


def _helpful(model: BodyModel, joint: Joint, lacking: set[str]) -> set[str]:
    """Of the bodies that lack markers, the nearest below the joint."""
    chains = [model.chain(body) for body in lacking]
    depths = {chain[0]: chain.index(joint.body) for chain in chains if joint.body in chain}
    return {body for body, depth in depths.items() if depth == min(depths.values())}


def is_optional(joint: str) -> bool:
    """Whether a result can do without the joint (toes, hands, head)."""
    return any(joint.startswith(start) for start in table()["joints"]["optional"])


def pose_spreads(model: BodyModel, marker_sets: Sequence[BoolArray]) -> list[FloatArray]:
    """For each set of markers (M,), (P, C) deviations of each coordinate in P random bent poses."""
    rng = np.random.default_rng(0)
    free = model.free
    low = np.maximum(model.low, model.default + _BEND[0])[free]
    high = np.minimum(model.high, model.default + _BEND[1])[free]
    q = np.tile(model.default, (_POSES, 1))
    q[:, free] = rng.uniform(np.minimum(low, high), high, (_POSES, len(low)))
    q = model.tie(q)
    return [marker_spread(model, free, q, np.tile(m, (_POSES, 1))) for m in marker_sets]
