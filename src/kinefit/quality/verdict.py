"""How far a run can be trusted, in plain words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np

from kinefit.quality.assessment import (
    BACKWARD_DEG,
    GAIT_RANGES,
    LENGTH_BAD_PCT,
    Quality,
    frame_pairs,
)
from kinefit.skeletons import mirror_name
from kinefit.types import BoolArray, IntArray

Verdict = Literal["good", "care", "unusable"]

_USABLE_PCT = 10.0  # of frames: below it (median marker) there is nothing to work with
_WORTH_SAYING_PCT = 5.0  # of frames
_SKATING_PCT = 25.0  # of the frames on the floor
_ASYMMETRY_PCT = 10.0

# ISB's shoulder angles that mean nothing with the arm at the side, where it mostly is; the tables
# and figures mark them, and the safe reading of the same joint stands beside them.
_SINGULAR_AT_REST = ("_plane", "_axial")

# No detector sees the small toes of MediaPipe's set, and augmented markers follow from the others.
_ALWAYS_COMPUTED = ("SmallToe", "_study")


def verdict(quality: Quality, said: Sequence[str]) -> Verdict:
    """ "unusable" without data, "care" with anything in `said`, else "good".

    said: the `warnings`, and what else a reader must know. Good means that nothing suspicious was
    found, no more.
    """
    present = [m.present_pct for m in quality.final]
    if not present or not np.median(present) >= _USABLE_PCT:
        return "unusable"
    return "care" if said else "good"


def warnings(quality: Quality, *, swaps_repaired: bool = False) -> list[str]:
    """What a reader must know before using the numbers, worst first, in plain words."""
    if not any(m.present_pct > 0 for m in quality.final):
        return ["No marker has a position in any frame: there is nothing to evaluate."]
    return [
        *_warn_frames(quality, swaps_repaired),
        *_warn_markers(quality),
        *_warn_lengths(quality),
        *_warn_angles(quality),
        *_warn_feet(quality),
        *_warn_gait(quality),
    ]


def frame_text(flags: BoolArray, frame: IntArray, most: int = 6) -> str:
    """The runs of `flags` in words.

    >>> frame_text(np.array([0, 1, 1, 0, 1], bool), np.arange(40, 45))
    'frames 41-42, 44'
    >>> frame_text(np.array([0, 0, 1], bool), np.arange(3))
    'frame 2'
    """
    pairs = frame_pairs(flags, frame)
    texts = [str(a) if a == b else f"{a}-{b}" for a, b in pairs[:most]]
    more = f" and {len(pairs) - most} further stretches" if len(pairs) > most else ""
    single = len(pairs) == 1 and pairs[0][0] == pairs[0][1]
    return f"{'frame' if single else 'frames'} {', '.join(texts)}{more}"


def marker_words(name: str) -> str:
    """A marker's name as one says it.

    >>> marker_words("RBigToe"), marker_words("L_knee_study"), marker_words("Neck")
    ('right big toe', 'L_knee_study', 'neck')
    """
    if name.endswith("_study"):
        return name
    sided = mirror_name(name) != name
    stem = name[1:] if sided else name
    words = "".join(f" {c.lower()}" if c.isupper() else c for c in stem).strip()
    return f"{'right' if name[0] == 'R' else 'left'} {words}" if sided else words


def _warn_frames(q: Quality, swaps_repaired: bool) -> list[str]:
    """Whole frames: lost, damaged, sides exchanged, knees the wrong way, jumps."""
    frame, found = q.timeline.frame, q.findings
    said = []
    if "nobody found" in found:
        where = frame_text(found["nobody found"], frame)
        said.append(f"Nobody was found in {where}: values there are missing or estimated.")
    if q.damaged.any():
        where = frame_text(q.damaged, frame)
        said.append(f"The video is damaged in {where}: values there are missing or estimated.")
    for group, flags in q.swaps.items():
        if flags.any():
            who = "The whole body was" if group == "body" else f"Left and right {group} were"
            done = "; put right again" if swaps_repaired else ""
            what = "turned round" if group == "body" else "swapped"
            said.append(f"{who} {what} by the detector in {frame_text(flags, frame)}{done}.")
    for side in ("right", "left"):
        backwards = f"{side} knee bends backwards"
        if backwards in found:
            said.append(
                f"The {backwards} by more than {-BACKWARD_DEG:g}° in "
                f"{frame_text(found[backwards], frame)}: depth or sides are wrong there."
            )
    if "hardly visible" in found:
        where = frame_text(found["hardly visible"], frame)
        said.append(f"The person is hardly visible in {where}: the detector mostly guesses.")
    if "jump" in found:
        names = [marker_words(m.name) for m in q.initial or q.final if m.jumps]
        where = frame_text(found["jump"], frame)
        said.append(f"Points jump as no body can in {where} ({_some(names)}).")
    return said


def _warn_markers(q: Quality) -> list[str]:
    said = []
    for markers in (q.initial, q.final):
        known = {m.name for m in q.initial} if markers is q.final else set()
        own = [m for m in markers if m.name not in known]
        missing = {m.name: 100 - m.present_pct for m in own}
        said += _shares(missing, "missing")
        guessed = {m.name: m.estimated_pct for m in own if not m.name.endswith(_ALWAYS_COMPUTED)}
        said += _shares(guessed, "estimated, not measured,")
    return said


def _shares(share: Mapping[str, float], what: str) -> list[str]:
    """One sentence on markers of which much is `what`; they are listed worst first."""
    much = {k: v for k, v in share.items() if v >= _WORTH_SAYING_PCT}
    if not much:
        return []
    ranked = sorted(much, key=lambda name: -much[name])
    least, most = much[ranked[-1]], much[ranked[0]]
    span = f"{most:.0f}" if round(least) == round(most) else f"{least:.0f} to {most:.0f}"
    if len(ranked) == 1:
        return [f"The {marker_words(ranked[0])} is {what} in {span} % of frames."]
    names = [marker_words(name) for name in ranked]
    return [f"{len(ranked)} markers are {what} in {span} % of frames: {_some(names)}."]


def _warn_lengths(q: Quality) -> list[str]:
    said = []
    for source, of in (("landmarks", "landmarks"), ("augmented", "augmented markers")):
        loose = [s for s in q.segments if s.source == source and s.cv_pct > LENGTH_BAD_PCT]
        loose.sort(key=lambda s: -s.cv_pct)
        if loose:
            names = [f"{s.name} {s.cv_pct:.0f} %" for s in loose]
            off = max(s.cv_pct * s.mean_m / 100 for s in loose)
            said.append(
                f"Bone lengths between {of} vary, which bones do not: {_some(names)}. Positions "
                f"of these joints are uncertain by up to {1000 * off:.0f} mm."
            )
    said += _warn_asymmetry(q)
    return said


def _warn_asymmetry(q: Quality) -> list[str]:
    length = {(s.name, s.source): s.mean_m for s in q.segments}
    uneven = []
    for (name, source), right in length.items():
        left = length.get((name.replace("right", "left"), source), np.nan)
        more = 200 * abs(right - left) / (right + left)
        if name.startswith("right") and more > _ASYMMETRY_PCT:
            longer = "right" if right > left else "left"
            uneven.append(f"{name.replace('right', longer)} by {more:.0f} % ({source})")
    return [f"Longer than on the other side: {_some(uneven)}."] if uneven else []


def _warn_angles(q: Quality) -> list[str]:
    near = [
        _angle_words(a.name)
        for a in q.angles
        if a.gimbal_pct >= _WORTH_SAYING_PCT and not a.name.endswith(_SINGULAR_AT_REST)
    ]
    lost = [_angle_words(a.name) for a in q.angles if a.present_pct <= 100 - _WORTH_SAYING_PCT]
    said = []
    if near:
        said.append(
            f"Near gimbal lock in at least {_WORTH_SAYING_PCT:g} % of frames, not to be "
            f"interpreted there: {_some(near)}."
        )
    if lost:
        least = min(a.present_pct for a in q.angles)
        said.append(f"Angles without values in up to {100 - least:.0f} % of frames: {_some(lost)}.")
    return said


def _warn_feet(q: Quality) -> list[str]:
    said = [
        f"The {foot.side} foot is below the floor in {foot.below_pct:.0f} % of frames."
        for foot in q.feet
        if foot.below_pct >= _WORTH_SAYING_PCT
    ]
    sliding = [foot for foot in q.feet if foot.skate_pct > _SKATING_PCT]
    if sliding:
        who = "Both feet slide" if len(sliding) > 1 else f"The {sliding[0].side} foot slides"
        speed = 100 * max(foot.skate_m_s for foot in sliding)
        said.append(
            f"{who} while on the floor, at {speed:.0f} cm/s on average: the way through the room "
            "is unsure."
        )
    return said


def _warn_gait(q: Quality) -> list[str]:
    if q.gait is None:
        return []
    said = []
    if q.gait.forward < 0:
        said.append("Walking goes backwards, against the way the pelvis faces.")
    for name, degrees in q.gait.ranges:
        joint, side, _ = name.split("_")
        low, high = GAIT_RANGES[joint]
        if not low <= degrees <= high:
            said.append(
                f"The {'right' if side == 'r' else 'left'} {joint} flexes over {degrees:.0f}° in "
                f"walking, where {low:.0f} to {high:.0f}° are usual."
            )
    return said


def _angle_words(name: str) -> str:
    """ "hip_r_flex" -> "right hip flex"."""
    for mark, side in (("_r_", "right"), ("_l_", "left")):
        if mark in name:
            return f"{side} {name.replace(mark, ' ')}"
    return name.replace("_", " ")


def _some(names: Sequence[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
