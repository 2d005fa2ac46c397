"""How far a result can be trusted: findings in plain English, and the verdict over them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

import numpy as np

from kinefit.quality.assessment import (
    BACKWARD_DEG,
    DAMAGED,
    DIM,
    GAIT_RANGES,
    JUMP,
    LENGTH_BAD_PCT,
    LENGTH_GOOD_PCT,
    LOST,
    OFF,
    OFF_M,
    Quality,
    frame_pairs,
    longest_s,
)
from kinefit.skeletons import mirror_name
from kinefit.types import BoolArray, Finding, IntArray

Verdict = Literal["good", "caution", "unusable"]

# A fault in fewer frames than this, each stretch shorter than a blink, is smoothed over by the
# fit and the filter: information. More of it limits what the numbers can be used for.
_BRIEF_PCT, _BRIEF_S = 5.0, 0.25
_WRONG_PCT = 50.0  # of frames: with more of them wrong or missing, the rest is luck
_USABLE_PCT = 10.0  # of frames: below it (median marker) there is nothing to work with
# Half a step of walking: no phase is whole, and neither floor nor filter have enough to go by.
_SHORTEST_S, _SHORT_S = 0.25, 1.0
_UPSIDE_DOWN_M = -0.3  # head above the feet: lying down is about 0
_HIDDEN_PCT = 50.0  # of frames in which a joint is guessed
_OUTSIDE_PCT = 10.0  # of frames
_SLIDING_PCT = 25.0  # of the frames on the floor
_ASYMMETRY_PCT = 10.0

# ISB's shoulder angles that mean nothing with the arm at the side, where it mostly is; the tables
# and figures mark them, and the safe reading of the same joint stands beside them.
_SINGULAR_AT_REST = ("_plane", "_axial")

# No detector sees the small toes of MediaPipe's set, and augmented markers follow from the others.
_ALWAYS_COMPUTED = ("SmallToe", "_study")

# Points of a body that matter to its joints: faces and fingers do not.
_BODY = ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle", "Heel", "BigToe")

_LOOK = "Look at these frames in the video with the body, and leave them out if it is wrong there."


def verdict(findings: Iterable[Finding]) -> Verdict:
    """ "unusable" with any refusal, "caution" with any of these, else "good".

    Good means that nothing suspicious was found, no more.
    """
    levels = {finding.level for finding in findings}
    if "refusal" in levels:
        return "unusable"
    return "caution" if "caution" in levels else "good"


def find(quality: Quality, *, swaps_repaired: bool = True) -> list[Finding]:
    """What a reader must know before using the numbers, worst first.

    swaps_repaired: whether left and right were put right where the detector exchanged them.
    """
    if nothing := _nothing(quality):
        return [nothing]
    found = [
        *_recording(quality),
        *_frames(quality),
        *_swaps(quality, swaps_repaired),
        *_views(quality),
        *_markers(quality),
        *_lengths(quality),
        *_angles(quality),
        *_feet(quality),
        *_gait(quality),
    ]
    order = ("refusal", "caution", "information")
    return sorted(found, key=lambda finding: order.index(finding.level))


def frame_text(flags: BoolArray, frame: IntArray, most: int = 6) -> str:
    """The runs of `flags` in words.

    >>> frame_text(np.array([0, 1, 1, 0, 1], bool), np.arange(40, 45))
    'frames 41-42, 44'
    >>> frame_text(np.array([0, 0, 1], bool), np.arange(3))
    'frame 2'
    """
    return frames_words(frame_pairs(flags, frame), most)


def frames_words(pairs: Sequence[Sequence[int]], most: int = 6) -> str:
    """[first, last] frames in words.

    >>> frames_words([[3, 4], [9, 9]])
    'frames 3-4, 9'
    """
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


def length_words(cv_pct: float) -> str:
    """What to think of a segment whose length has this coefficient of variation, percent."""
    if np.isnan(cv_pct):
        return "too few frames"
    return "good" if cv_pct <= LENGTH_GOOD_PCT else "fair" if cv_pct <= LENGTH_BAD_PCT else "poor"


def _nothing(q: Quality) -> Finding | None:
    """The refusal of a result that holds next to nothing."""
    present = [m.present_pct for m in q.final]
    share = float(np.median(present)) if present else 0.0
    if share >= _USABLE_PCT:
        return None
    some = any(present)
    return Finding(
        "refusal",
        f"Most markers have a position in {share:.0f} % of the frames."
        if some
        else "No marker has a position in any frame.",
        meaning="There is nothing to evaluate.",
        action="Film one whole person, well lit, and check what the detector saw.",
    )


def _recording(q: Quality) -> list[Finding]:
    """The clip as a whole: its length, and which way is up."""
    found = []
    count = int(q.posed.sum())
    seconds = round(count / q.timeline.rate_hz, 3) if len(q.timeline) > 1 else 0.0
    if seconds < _SHORT_S:
        found.append(
            Finding(
                "refusal" if seconds < _SHORTEST_S else "caution",
                f"The result holds {seconds:.2f} s of motion ({count} frames).",
                meaning="The filter, the floor and the size of the body rest on very few frames.",
                action="Film the whole person for a second or more.",
            )
        )
    if q.head_above_m < 0.1:
        upside = q.head_above_m < _UPSIDE_DOWN_M
        found.append(
            Finding(
                "refusal" if upside else "caution",
                "The head is below the feet."
                if upside
                else "The head is hardly above the feet: the person lies, or up is wrong.",
                meaning="Where up is wrong, so are the floor, the path, and the angles of pelvis "
                "and trunk in the room.",
                action="If the person does not lie, turn the video, or say how the camera was "
                "tilted.",
            )
        )
    return found


def _frames(q: Quality) -> list[Finding]:
    """Single frames that are missing or wrong; and a refusal where most are."""
    several = len(q.views) > 1
    unseen = "Fewer than two cameras saw the person" if several else "The person was not found"
    texts: dict[str, tuple[str, str]] = {
        LOST: (f"{unseen}, and the motion was bridged.", "Values there are estimates."),
        DIM: (
            "The person is hardly visible: the detector mostly guesses.",
            "Positions there may be off by decimetres.",
        ),
        DAMAGED: ("The video is damaged.", "Values there are estimates."),
        OFF: (
            f"The body lies more than {100 * OFF_M:.0f} cm beside the person in the picture.",
            "Positions and angles there are wrong.",
        ),
        JUMP: ("There are implausible jumps.", "Speeds there are wrong, and angles may be."),
    }
    for side in ("right", "left"):
        texts[f"{side} knee bends backwards"] = (
            f"The {side} knee bends backwards by more than {-BACKWARD_DEG:g}°.",
            "Depth, or left and right, are wrong there, and with them the whole leg.",
        )
    names = [marker_words(m.name) for m in q.initial or q.final if m.jumps]
    frame, found = q.timeline.frame, []
    wrong = np.zeros(len(q.timeline), bool)
    for key, (what, meaning) in texts.items():
        flags = q.flags.get(key, wrong & False) & q.posed
        wrong |= flags & (key != JUMP)
        if flags.any():
            where = sentence(frame_text(flags, frame), names if key == JUMP else [])
            found.append(Finding(_level(flags, q), what, where, meaning, _LOOK))
    if (~q.posed).any():
        why = f"{unseen}, or too little of them." if LOST in q.flags else "There is no position."
        where = sentence(frame_text(~q.posed, frame))
        found.append(Finding("information", why, where, "Values there are missing."))
    share = 100 * wrong.sum() / max(q.posed.sum(), 1)
    if share > _WRONG_PCT:
        found.append(
            Finding(
                "refusal",
                f"{share:.0f} % of the frames are wrong.",
                meaning="The rest cannot be trusted either: it was fitted together with them.",
                action="Film one whole person, well lit, near the camera and in the picture "
                "all the time.",
            )
        )
    return found


def _level(flags: BoolArray, q: Quality) -> Literal["information", "caution"]:
    brief = 100 * flags.mean() < _BRIEF_PCT and longest_s(flags, q.timeline) < _BRIEF_S
    return "information" if brief else "caution"


def _swaps(q: Quality, repaired: bool) -> list[Finding]:
    found = []
    for group, flags in q.swaps.items():
        part, _, camera = group.partition(" in ")
        who = "The detector turned the whole body round" if part == "body" else (
            f"The detector took the left and right {part} for each other"
        )  # fmt: skip
        where = frame_text(flags, q.timeline.frame)
        found.append(
            Finding(
                "information" if repaired else "caution",
                f"{who}{f' in {camera}' if camera else ''}.",
                sentence(where),
                "This was put right again." if repaired else "Left and right are exchanged there.",
                "" if repaired else "Let it be repaired (--repair-side-swaps).",
            )
        )
    return found


def _views(q: Quality) -> list[Finding]:
    """Joints that a camera did not see; with several cameras the others do."""
    if len(q.views) != 1:
        return []
    view, found = q.views[0], []
    outside = {k: v for k, v in view.outside_pct.items() if k.endswith(_BODY)}
    if text := _shares(outside, "outside the picture", _OUTSIDE_PCT):
        meaning = "Positions there, and the angles next to them, are guesses."
        action = "Film so that the whole body stays in the picture."
        found.append(Finding("caution", text, meaning=meaning, action=action))
    hidden = {
        k: v for k, v in view.hidden_pct.items()
        if k.endswith(_BODY) and outside.get(k, 0) < _OUTSIDE_PCT
    }  # fmt: skip
    if text := _shares(hidden, "hidden from the camera", _HIDDEN_PCT):
        meaning = "Positions there, and the angles next to them, are estimates."
        action = "Rely on the side that faces the camera, or film from both sides."
        found.append(Finding("information", text, meaning=meaning, action=action))
    return found


def _markers(q: Quality) -> list[Finding]:
    """Markers with gaps of their own, beside the frames in which the whole person is missing."""
    found = []
    known = {m.name for m in q.initial}
    for markers in (q.initial, [m for m in q.final if m.name not in known]):
        whole = 100 - max((m.present_pct for m in markers), default=0)
        missing = {m.name: 100 - whole - m.present_pct for m in markers}
        guessed = {
            m.name: m.estimated_pct for m in markers if not m.name.endswith(_ALWAYS_COMPUTED)
        }
        for share, what in ((missing, "missing"), (guessed, "estimated, not measured,")):
            if text := _shares(share, what, _BRIEF_PCT):
                meaning = "Angles that need them are missing or estimated there."
                action = "Leave these angles out, or film so that the points stay in sight."
                found.append(Finding("caution", text, meaning=meaning, action=action))
    return found


def _shares(share: Mapping[str, float], what: str, least: float) -> str:
    """One sentence on markers of which much is `what`; they are listed worst first."""
    much = {k: v for k, v in share.items() if v >= least}
    if not much:
        return ""
    ranked = sorted(much, key=lambda name: -much[name])
    low, high = much[ranked[-1]], much[ranked[0]]
    span = f"{high:.0f}" if round(low) == round(high) else f"{low:.0f} to {high:.0f}"
    names = [marker_words(name) for name in ranked]
    if len(ranked) == 1:
        return f"The {names[0]} is {what} in {span} % of the frames."
    return f"{len(ranked)} points are {what} in {span} % of the frames: {some(names)}."


def _lengths(q: Quality) -> list[Finding]:
    # Shoulders come nearer to each other as the arms go up, by a tenth.
    fixed = [s for s in q.segments if s.name != "shoulder width"]
    loose = sorted((s for s in fixed if s.cv_pct > LENGTH_BAD_PCT), key=lambda s: -s.cv_pct)
    found = []
    if loose:
        others = list(dict.fromkeys(s.name for s in loose if s.name != loose[0].name))
        off = max(10 * s.cv_pct * s.mean_m for s in loose)
        found.append(
            Finding(
                "caution",
                f"Segment lengths change by up to {loose[0].cv_pct:.0f} % ({loose[0].name}).",
                f"Also: {some(others)}." if others else "",
                f"Joint positions there are uncertain by about {off:.0f} mm.",
                "Film with more cameras, or so that these joints are seen from the side.",
            )
        )
    return found + _asymmetry(q)


def _asymmetry(q: Quality) -> list[Finding]:
    length = {(s.name, s.source): s.mean_m for s in q.segments}
    uneven: dict[str, float] = {}
    for (name, source), right in length.items():
        left = length.get((name.replace("right", "left"), source), np.nan)
        more = 200 * abs(right - left) / (right + left)
        if name.startswith("right") and more > _ASYMMETRY_PCT:
            longer = name.replace("right", "right" if right > left else "left")
            uneven[longer] = max(more, uneven.get(longer, 0))
    if not uneven:
        return []
    names = [f"{name} by {more:.0f} %" for name, more in uneven.items()]
    what = f"Segments are longer than on the other side: {some(names)}."
    meaning = "Unless the person is built so, joint positions there are wrong by as much."
    action = "Measure the person, and do not compare the two sides where they agree."
    return [Finding("caution", what, meaning=meaning, action=action)]


def _angles(q: Quality) -> list[Finding]:
    found = []
    near = {
        _angle_words(a.name): a.gimbal_pct
        for a in q.angles
        if a.gimbal_pct >= _BRIEF_PCT and not a.name.endswith(_SINGULAR_AT_REST)
    }
    if near:
        what = f"Angles are near gimbal lock in up to {max(near.values()):.0f} % of the frames: "
        meaning = "These three-part angles have no meaning there; the charts are grey."
        found.append(Finding("information", f"{what}{some(list(near))}.", meaning=meaning))
    best = max((a.present_pct for a in q.angles), default=0)  # else the whole person is missing
    lost = {_angle_words(a.name): best - a.present_pct for a in q.angles}
    lost = {name: share for name, share in lost.items() if share >= _BRIEF_PCT}
    if lost:
        what = f"Angles have no value in up to {max(lost.values()):.0f} % of the frames: "
        meaning = "A marker that they need is missing there."
        action = "Film so that these joints stay in sight."
        found.append(Finding("caution", f"{what}{some(list(lost))}.", "", meaning, action))
    return found


def _feet(q: Quality) -> list[Finding]:
    found = []
    deep = [foot for foot in q.feet if foot.below_pct >= _BRIEF_PCT]
    if deep:
        who = "Both feet go" if len(deep) > 1 else f"The {deep[0].side} foot goes"
        share = max(foot.below_pct for foot in deep)
        found.append(
            Finding(
                "caution",
                f"{who} more than 2 cm below the floor in up to {share:.0f} % of the frames.",
                meaning="The floor, or the height of the person, is wrong by as much.",
                action="Check the height that was given; do not use heights above the floor.",
            )
        )
    sliding = [foot for foot in q.feet if foot.slide_pct > _SLIDING_PCT]
    if sliding:
        who = "Both feet slide" if len(sliding) > 1 else f"The {sliding[0].side} foot slides"
        speed = 100 * max(foot.slide_m_s for foot in sliding)
        found.append(
            Finding(
                "caution",
                f"{who} at {speed:.0f} cm/s while standing.",
                meaning="The path over the floor is uncertain; joint angles are less affected.",
                action="Do not use step lengths or walking speed from this recording.",
            )
        )
    return found


def _gait(q: Quality) -> list[Finding]:
    if q.gait is None:
        return []
    found = []
    if q.gait.forward < 0:
        meaning = "Unless it was filmed so, left and right or front and back are exchanged."
        what = "The person walks backwards, against the way the pelvis faces."
        found.append(Finding("caution", what, "", meaning, "Look at the video with the body."))
    unusual = []
    for joint, (low, high) in GAIT_RANGES.items():
        odd = [
            f"{'right' if name[-6] == 'r' else 'left'} {degrees:.0f}°"
            for name, degrees in q.gait.ranges
            if name.startswith(joint) and not low <= degrees <= high
        ]
        if odd:
            unusual.append(f"{joint} {', '.join(odd)} ({low:.0f} to {high:.0f}° are usual)")
    if unusual:
        found.append(
            Finding(
                "caution",
                f"The range of flexion is unusual for walking: {some(unusual)}.",
                meaning="Either the person walks so, or the angles are off.",
                action="Compare the video with the body before interpreting it.",
            )
        )
    return found


def _angle_words(name: str) -> str:
    """ "hip_r_flex" -> "right hip flex"."""
    for mark, side in (("_r_", "right"), ("_l_", "left")):
        if mark in name:
            return f"{side} {name.replace(mark, ' ')}"
    return name.replace("_", " ")


def sentence(where: str, names: Sequence[str] = ()) -> str:
    """ "frames 3-4", ["left knee"] -> "Frames 3-4 (left knee)." """
    return f"{where[:1].upper()}{where[1:]}{f' ({some(names)})' if names else ''}."


def some(names: Sequence[str], most: int = 6) -> str:
    """The first few of many names."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
