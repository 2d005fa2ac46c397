"""How far a result can be trusted: findings in plain English, and the verdict over them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any, Literal

import numpy as np

from kinefit.quality.assessment import (
    BACKWARD_DEG,
    DAMAGED,
    DIM,
    FLOOR,
    GAIT_RANGES,
    JUMP,
    KNEE,
    LENGTH_BAD_PCT,
    LENGTH_GOOD_PCT,
    LOST,
    OFF,
    OFF_M,
    longest_s,
)
from kinefit.quality.quantities import Quality, frame_pairs
from kinefit.skeletons import mirror_name
from kinefit.types import BoolArray, Finding, IntArray, Level

Verdict = Literal["good", "caution", "unusable"]
VERDICT_WORDS: dict[Verdict, str] = {
    "good": "Good: nothing suspicious was found",
    "caution": "Use with caution",
    "unusable": "Not usable",
}

# A fault in fewer frames than this, each stretch shorter than a blink, is smoothed over by the
# fit and the filter: information. More of it limits what the numbers can be used for.
_BRIEF_PCT, _BRIEF_S = 5.0, 0.25
_WRONG_PCT = 50.0  # of frames: with more of them wrong or missing, the rest is luck
_USABLE_PCT = 10.0  # of frames: below it (median marker) there is nothing to work with
# Half a step of walking: no phase is whole, and neither floor nor filter have enough to go by.
_SHORTEST_S, _SHORT_S = 0.25, 1.0
_UPRIGHT_M, _UPSIDE_DOWN_M = 0.1, -0.3  # head above the feet: lying down is about 0
_HIDDEN_PCT, _OUTSIDE_PCT = 50.0, 10.0  # of frames in which a joint is guessed, or outside
_SLIDING_PCT = 25.0  # of the frames on the floor
_ASYMMETRY_PCT = 10.0

# ISB's shoulder angles that mean nothing with the arm at the side, where it mostly is; the tables
# and figures mark them, and the safe reading of the same joint stands beside them.
_SINGULAR_AT_REST = ("_plane", "_axial")

# No detector sees the small toes of MediaPipe's set, and augmented markers follow from the others.
_ALWAYS_COMPUTED = ("SmallToe", "_study")

# Points of a body that matter to its joints: faces and fingers do not.
_LEGS = ("Hip", "Knee", "Ankle", "Heel", "BigToe")
_BODY = ("Shoulder", "Elbow", "Wrist", *_LEGS)


@cache
def _texts() -> dict[str, dict[str, str]]:
    return tomllib.loads((files("kinefit.quality") / "findings.toml").read_text("utf-8"))


def say(key: str, level: Level, where: str = "", **values: object) -> Finding:
    """A finding in the words of `findings.toml`; where: "frames 3-4", made a sentence here.
    Raises KeyError for a key that is not there, or a value that its text lacks.
    """
    text = {part: words.format(**values) for part, words in _texts()[key].items()}
    place = f"{where[:1].upper()}{where[1:]}." if where else ""
    return Finding(level, text["what"], place, text["meaning"], text["action"])


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
    present = [m.present_pct for m in quality.final]
    share = float(np.median(present)) if present else 0.0
    if share < _USABLE_PCT:
        return [say("empty", "refusal", share=share)]
    checks = (_recording, _frames, _views, _markers, _lengths, _angles, _feet, _gait)
    found = [finding for check in checks for finding in check(quality)]
    found += _swaps(quality, swaps_repaired)
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


def some(names: Iterable[str], most: int = 6) -> str:
    """The first few of many names, each once."""
    each = list(dict.fromkeys(names))
    more = f" and {len(each) - most} more" if len(each) > most else ""
    return ", ".join(each[:most]) + more


def _recording(q: Quality) -> Iterator[Finding]:
    """The clip as a whole: its length, and which way is up."""
    count = int(q.posed.sum())
    seconds = round(count / q.timeline.rate_hz, 3) if len(q.timeline) > 1 else 0.0
    if seconds < _SHORT_S:
        level: Level = "refusal" if seconds < _SHORTEST_S else "caution"
        yield say("short", level, seconds=seconds, count=count)
    if q.head_above_m < _UPSIDE_DOWN_M:
        yield say("upside_down", "refusal")
    elif q.head_above_m < _UPRIGHT_M:
        yield say("lying", "caution")


def _frames(q: Quality) -> Iterator[Finding]:
    """Single frames that are missing or wrong; and a refusal where most are."""
    several = len(q.views) > 1
    unseen = "Fewer than two cameras saw the person" if several else "The person was not found"
    keys = {LOST: "bridged", DIM: "dim", DAMAGED: "damaged", OFF: "beside", JUMP: "jump"}
    keys |= {KNEE.format(side): "knee" for side in ("right", "left")}
    wrong = np.zeros(len(q.timeline), bool)
    for name, key in keys.items():
        flags = q.flags.get(name, wrong & False) & q.posed
        wrong |= flags & (name != JUMP)
        if not flags.any():
            continue
        where = frame_text(flags, q.timeline.frame)
        if name == JUMP:
            jumping = some(marker_words(m.name) for m in q.initial or q.final if m.jumps)
            where += f" ({jumping})"
        values = {"unseen": unseen, "off_cm": 100 * OFF_M, "degrees": -BACKWARD_DEG}
        brief = 100 * flags.mean() < _BRIEF_PCT and longest_s(flags, q.timeline) < _BRIEF_S
        level: Level = "information" if brief else "caution"
        yield say(key, level, where, side=name.partition(" ")[0], **values)
    if (~q.posed).any():
        where = frame_text(~q.posed, q.timeline.frame)
        yield say("missing_frames", "information", where, unseen=unseen)
    share = 100 * wrong.sum() / max(q.posed.sum(), 1)
    if share > _WRONG_PCT:
        yield say("mostly_wrong", "refusal", share=share)


def _swaps(q: Quality, repaired: bool) -> Iterator[Finding]:
    for group, flags in q.swaps.items():
        part, _, camera = group.partition(" in ")
        where = frame_text(flags, q.timeline.frame)
        key = "turned" if part == "body" else "swapped"
        level: Level = "information" if repaired else "caution"
        key += "" if repaired else "_left"
        yield say(key, level, where, part=part, camera=f" in {camera}" if camera else "")


def _views(q: Quality) -> Iterator[Finding]:
    """Joints that a camera did not see; with several cameras the others do."""
    if len(q.views) != 1:
        return
    view = q.views[0]
    outside = {k: v for k, v in view.outside_pct.items() if k.endswith(_BODY)}
    yield from _shares("outside", "caution", outside, _OUTSIDE_PCT)
    hidden = {
        k: v for k, v in view.hidden_pct.items()
        if k.endswith(_BODY) and outside.get(k, 0) < _OUTSIDE_PCT
    }  # fmt: skip
    # The far arm is hidden in every walk filmed from the side; a leg that is limits what it is for.
    legs = any(k.endswith(_LEGS) for k, v in hidden.items() if v >= _HIDDEN_PCT)
    yield from _shares("hidden", "caution" if legs else "information", hidden, _HIDDEN_PCT)


def _markers(q: Quality) -> Iterator[Finding]:
    """Markers with gaps of their own, beside the frames in which the whole person is missing."""
    known = {m.name for m in q.initial}
    others = [m for m in q.final if m.name not in known]
    if q.angles:  # what augmented markers are for: `_angles` says where these are lost
        others = [m for m in others if not m.name.endswith("_study")]
    for markers in (q.initial, others):
        whole = 100 - max((m.present_pct for m in markers), default=0)
        missing = {m.name: 100 - whole - m.present_pct for m in markers}
        yield from _shares("gaps", "caution", missing, _BRIEF_PCT)
        if len(q.views) != 1:  # of one camera, `_views` has said what is hidden from it
            measured = [m for m in markers if not m.name.endswith(_ALWAYS_COMPUTED)]
            guessed = {m.name: m.estimated_pct for m in measured}
            yield from _shares("estimated", "caution", guessed, _BRIEF_PCT)


def _shares(key: str, level: Level, share: Mapping[str, float], least: float) -> Iterator[Finding]:
    """Points with a share of frames of at least `least` percent, worst first."""
    much = sorted((name for name in share if share[name] >= least), key=lambda name: -share[name])
    if much:
        low, high = share[much[-1]], share[much[0]]
        span = f"{high:.0f}" if round(low) == round(high) else f"{low:.0f} to {high:.0f}"
        yield say(key, level, share=span, names=some(marker_words(name) for name in much))


def _lengths(q: Quality) -> Iterator[Finding]:
    # Shoulders come nearer to each other as the arms go up, by a tenth.
    fixed = [s for s in q.segments if s.name != "shoulders"]
    loose = sorted((s for s in fixed if s.cv_pct > LENGTH_BAD_PCT), key=lambda s: -s.cv_pct)
    if loose:
        worst = loose[0]
        others = some(s.name for s in loose if s.name != worst.name)
        off = max(10 * s.cv_pct * s.mean_m for s in loose)
        where = f"also: {others}" if others else ""
        yield say("lengths", "caution", where, share=worst.cv_pct, name=worst.name, off=off)
    length = {(s.name, s.source): s.mean_m for s in q.segments}
    uneven: dict[str, float] = {}
    for (name, source), right in length.items():
        left = length.get((name.replace("right", "left"), source), np.nan)
        more = 200 * abs(right - left) / (right + left)
        if name.startswith("right") and more > _ASYMMETRY_PCT:
            longer = name.replace("right", "right" if right > left else "left")
            uneven[longer] = max(more, uneven.get(longer, 0))
    if uneven:
        names = some(f"{name} by {more:.0f} %" for name, more in uneven.items())
        yield say("asymmetry", "caution", names=names)


def _angles(q: Quality) -> Iterator[Finding]:
    best = max((a.present_pct for a in q.angles), default=0)  # else the whole person is missing
    near = {a.name: a.gimbal_pct for a in q.angles if not a.name.endswith(_SINGULAR_AT_REST)}
    lost = {a.name: best - a.present_pct for a in q.angles}
    levels: tuple[Level, Level] = ("information", "caution")
    for key, level, share in zip(("gimbal", "no_angle"), levels, (near, lost), strict=True):
        much = [name for name, value in share.items() if value >= _BRIEF_PCT]
        if much:
            most = max(share[name] for name in much)
            yield say(key, level, share=most, names=some(map(_angle_words, much)))


def _feet(q: Quality) -> Iterator[Finding]:
    def who(feet: Sequence[str], one: str, both: str) -> str:
        return f"Both feet {both}" if len(feet) > 1 else f"The {feet[0]} foot {one}"

    deep = {foot.side: foot.below_pct for foot in q.feet if foot.below_pct >= _BRIEF_PCT}
    if deep:
        below = np.any([q.flags[FLOOR.format(side)] for side in deep], axis=0)
        where, subject = frame_text(below, q.timeline.frame), who([*deep], "goes", "go")
        yield say("floor", "caution", where, who=subject, share=max(deep.values()))
    sliding = {f.side: 100 * f.slide_m_s for f in q.feet if f.slide_pct > _SLIDING_PCT}
    if sliding:
        subject = who([*sliding], "slides", "slide")
        yield say("sliding", "caution", who=subject, speed=max(sliding.values()))


def _gait(q: Quality) -> Iterator[Finding]:
    if q.gait is None:
        return
    if q.gait.forward < 0:
        yield say("backwards", "caution")
    unusual = []
    for joint, (low, high) in GAIT_RANGES.items():
        odd = [
            f"{'right' if name[-6] == 'r' else 'left'} {degrees:.0f}°"
            for name, degrees in q.gait.ranges.items()
            if name.startswith(joint) and not low <= round(degrees) <= high
        ]
        if odd:
            unusual.append(f"{joint} {', '.join(odd)} ({low:.0f} to {high:.0f}° are usual)")
    if unusual:
        yield say("gait", "caution", names=", ".join(unusual))


def _angle_words(name: str) -> str:
    """ "hip_r_flex" -> "right hip flex"."""
    for mark, side in (("_r_", "right"), ("_l_", "left")):
        if mark in name:
            return f"{side} {name.replace(mark, ' ')}"
    return name.replace("_", " ")


_FAR_MM = 25.0  # laboratories reach 4; beyond, names, units or the height are wrong
_NOWHERE_MM = 250.0  # farther than a body is thick: they are on none
_STATURE_OFF_M = 0.05
_FEW, _MOST = 0.05, 0.5  # of the frames: fewer are said and not held against the result


def picture_findings(report: Mapping[str, Any], off_cm: float) -> list[Finding]:
    """Of a body in one picture; off_cm: mean distance from the points, where the person is."""
    if report["reason"]:
        return [say("no_body", "refusal", reason=report["reason"])]
    found = [say("depth", "information")]
    if off_cm > 100 * OFF_M:
        found.append(say("picture_off", "caution", off_cm=off_cm))
    if not report["orientation"]["decided"]:
        found.append(say("facing", "caution"))
    return found if report["converged"] else [*found, say("solver", "information")]


def frame_fit_findings(report: Mapping[str, Any]) -> list[Finding]:
    """Of a body fitted frame by frame."""
    frames, found = report["per_frame"], []
    values = {"of": len(frames), "reasons": ", ".join(report["reasons"])}
    for status, key in (("unusable", "frames_without_pose"), ("recovered", "frames_bridged")):
        pairs = [[one["frame"]] * 2 for one in frames if one["status"] == status]
        if pairs:
            found.append(_in_frames(key, pairs, len(frames), 1, count=len(pairs), **values))
    if mended := [[one["frame"]] * 2 for one in frames if one["repaired"]]:
        found.append(say("spikes", "information", frames_words(mended)))
    return found


def marker_fit_findings(report: Mapping[str, Any], height_m: float | None) -> Iterator[Finding]:
    """Of a body through the markers of a file; height_m: the height that was given."""
    rms, stature = report["rms_mm"], report["stature_m"]
    if rms is None or rms > _FAR_MM:
        level: Level = "caution" if rms and rms < _NOWHERE_MM else "refusal"
        yield say("markers_far", level, far=f"{rms:.0f} mm from" if rms else "nowhere near")
    for name, key in (("frames_far_off", "markers_off"), ("frames_without_pose", "no_pose")):
        if report[name]:
            frames, step = report["frames"], report["frame_step"]
            yield _in_frames(key, report[name], frames, step, points="markers")
    if height_m is not None and abs(stature - height_m) > _STATURE_OFF_M:
        yield say("stature", "caution", stature=stature, height=height_m)
    if report["markers_ignored"]:
        yield say("ignored", "information", names=some(report["markers_ignored"]))
    if not report["solver"]["converged"]:
        yield say("solver", "information")


def count_frames(pairs: Sequence[Sequence[int]], step: int = 1) -> int:
    """How many frames are in [first, last] runs whose numbers go up by `step`."""
    return sum((last - first) // step + 1 for first, last in pairs)


def _in_frames(
    key: str, pairs: Sequence[Sequence[int]], total: int, step: int = 1, **values: object
) -> Finding:
    """pairs: [first, last] frames, of so many in all, whose numbers go up by `step`."""
    share = count_frames(pairs, step) / max(total, 1)
    level: Level = "refusal" if share > _MOST else "caution" if share > _FEW else "information"
    return say(key, level, frames_words(pairs), **values)
