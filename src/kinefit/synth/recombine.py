"""New motions from others: mirrored, faster or slower, joined, with another upper body."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.fit.priors import Capsules, Interpenetration, PriorJoints
from kinefit.fit.solver.chain import Chain
from kinefit.geometry import rotations as so3
from kinefit.synth.motion_clip import Clip, moved, turn_between
from kinefit.types import FloatArray, IntArray, InvalidData

_MIRROR = np.diag([-1.0, 1.0, 1.0])
# The upper body: this joint and all its descendants.
_WAIST = "Spine1"
# Metres by which a combined body may penetrate itself deeper than either source: the accuracy of
# capsules as skin.
_DEEPER_M = 0.01
_EASE_STEPS = 8  # steps in which arms are moved out of the body


def mirrored(clip: Clip) -> Clip:
    """The motion with left and right exchanged, as in a mirror beside the body."""
    other = {".L": ".R", ".R": ".L"}
    twins = [name[:-2] + other.get(name[-2:], name[-2:]) for name in clip.joint_names]
    order = [clip.joint_names.index(name) for name in twins]
    return replace(
        clip,
        name=f"{clip.name} mirrored",
        rotations=_MIRROR @ clip.rotations[:, order] @ _MIRROR,
        root_path=clip.root_path @ _MIRROR,
    )


def retimed(clip: Clip, factor: float) -> Clip:
    """The same poses, taking `factor` times as long; raises InvalidData unless that is positive.

    Flights then contradict gravity; factors of 0.8 to 1.25 are not noticeable.
    """
    if not (np.isfinite(factor) and factor > 0):
        raise InvalidData(f"Clip {clip.name} cannot be retimed by {factor}: give a factor above 0.")
    times = clip.times[0] + (clip.times - clip.times[0]) * factor
    return replace(clip, name=f"{clip.name} x{factor:.3g}", times=times)


def spliced(lower: Clip, upper: Clip, body: BodyModel) -> Clip:
    """The hips and legs of one clip with the trunk, arms and head of another.

    As long as the shorter lasts, at `lower`'s times. Joints of the upper body are kept within their
    limits, and where arms would penetrate legs or hips deeper than in either clip, the whole upper
    body is moved towards that of `lower`, as little as needed.

    body: of these joints, whose neutral shape is tested for penetration.
    Raises InvalidData for clips of other joints than `body`'s, or that share less than two frames.
    """
    for clip in (lower, upper):
        if clip.joint_names != body.joint_names:
            raise InvalidData(f"Clip {clip.name} is not of the joints of body {body.name}.")
    lasting = min(lower.duration_s, upper.duration_s)
    times = lower.times[lower.times <= lower.times[0] + lasting]
    own, root = lower.at(times)
    theirs, _ = upper.at(times - lower.times[0] + upper.times[0])
    above = _above_waist(body)
    allowed = max(depth(body, own), depth(body, theirs)) + _DEEPER_M
    for step in range(_EASE_STEPS + 1):
        mixed = own.copy()
        mixed[:, above] = so3.slerp(theirs[:, above], own[:, above], step / _EASE_STEPS)
        mixed = _within_limits(body, mixed, above)
        if depth(body, mixed) <= allowed:
            break
    return replace(
        lower,
        name=f"{lower.name} + {upper.name}",
        source=f"{lower.source}; upper body: {upper.source}",
        times=times,
        rotations=mixed,
        root_path=root,
    )


def joined(first: Clip, second: Clip, seconds: float) -> Clip:
    """`first`, then `second` from the place and heading where `first` ends.

    The second clip begins `seconds` before the first ends; it is rotated about the vertical and
    moved so that both agree best in the middle of that time, and the clips are blended.
    Raises InvalidData for clips of other joints, or shorter than the transition.
    """
    if first.joint_names != second.joint_names:
        raise InvalidData(f"Clips {first.name} and {second.name} are of different joints.")
    if not 0 < seconds <= min(first.duration_s, second.duration_s):
        clips = f"{first.name} and {second.name}"
        raise InvalidData(f"A transition of {seconds} s does not fit into {clips}.")
    begins = first.times[-1] - seconds
    second = _aligned(first, second, seconds)
    # In the transition, times are those of the first clip.
    later = second.times[second.times > first.times[-1] + 1e-9]
    times = np.concatenate([first.times, later])
    in_first, in_second = times <= first.times[-1], times >= begins
    overlap = in_first & in_second
    n_joints = len(first.joint_names)
    rotations, root = np.empty((len(times), n_joints, 3, 3)), np.empty((len(times), 3))
    for clip, rows in ((first, in_first), (second, in_second & ~in_first)):
        rotations[rows], root[rows] = clip.at(np.clip(times[rows], clip.times[0], clip.times[-1]))
    u = np.clip((times[overlap] - begins) / seconds, 0, 1)
    share = u * u * (3 - 2 * u)
    then, then_root = second.at(times[overlap])
    rotations[overlap] = so3.slerp(rotations[overlap], then, share[:, None])
    root[overlap] += share[:, None] * (then_root - root[overlap])
    return replace(
        first,
        name=f"{first.name}, {second.name}",
        source=f"{first.source}; {second.source}",
        times=times,
        rotations=rotations,
        root_path=root,
    )


def _aligned(first: Clip, second: Clip, seconds: float) -> Clip:
    """The second clip in the first's time, place, heading and size."""
    scale = first.hip_height_m / second.hip_height_m
    begins = first.times[-1] - seconds
    out = replace(
        second,
        times=second.times - second.times[0] + begins,
        root_path=second.root_path * scale,
        hip_height_m=first.hip_height_m,
    )
    middle = np.array([begins + seconds / 2])
    here, place = first.at(middle)
    there, _ = out.at(middle)
    out = moved(out, turn_between(here[0, 0], there[0, 0]), np.zeros(3))
    shift = place[0] - out.at(middle)[1][0]
    return moved(out, 0.0, shift * np.array([1.0, 0.0, 1.0]))


@lru_cache(maxsize=4)
def _above_waist(body: BodyModel) -> IntArray:
    """Joints of the upper body."""
    above = np.zeros(len(body.joint_names), dtype=bool)
    above[body.joint_names.index(body.anatomy[_WAIST])] = True
    for b, parent in enumerate(body.parents):
        above[b] |= parent >= 0 and bool(above[parent])
    return np.flatnonzero(above)


@lru_cache(maxsize=4)
def _chain(body: BodyModel) -> tuple[Chain, Interpenetration]:
    """The anatomical joints, with one point, which a chain needs; and their capsules."""
    chain = Chain.of(body, list(dict.fromkeys(body.anatomy.values())), {"Nose": {"Nose": 1.0}})
    return chain, Interpenetration(Capsules.of(chain), body.shape.neutral, sigma=1.0, slack=0.0)


def depth(body: BodyModel, rotations: FloatArray) -> float:
    """Largest penetration of the body's capsules, metres, over poses (T, B, 3, 3)."""
    chain, capsules = _chain(body)
    return float(capsules.residual(rotations[:, chain.joint_index], slice(None)).max())


def _within_limits(body: BodyModel, rotations: FloatArray, which: IntArray) -> FloatArray:
    """(T, B, 3, 3) with the joints `which` in their ranges."""
    chain, _ = _chain(body)
    inside, out = rotations.copy(), rotations.copy()
    inside[:, chain.joint_index] = PriorJoints.of(chain).within(rotations[:, chain.joint_index])
    out[:, which] = inside[:, which]
    return out
