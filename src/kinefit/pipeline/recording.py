"""What of a recording is looked at and how its clock runs, in the words of the report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from kinefit.detect.frozen import frozen_stretches
from kinefit.io.video import Clip, capture_rate
from kinefit.quality.free_fall import GRAVITY_M_S2, jumps
from kinefit.quality.verdict import frames_words, say
from kinefit.types import Finding, FloatArray, Markers

_DIFFERS = 1.25  # 60 noted and 59.94 played are the same, 30 and 50 are not

_SHOWN = 6  # stretches of frozen pictures whose seconds are named
_PAUSE_S, _PAUSE_STEPS = 1.0, 5.0  # more than a second, and than a few frames of a slow film


def part_json(clip: Clip) -> dict[str, Any]:
    """start_s, end_s, every and slowmo, as run.json states them."""
    values = asdict(clip)
    del values["path"]
    return values


def part_facts(clips: Mapping[str, Clip]) -> list[tuple[str, str]]:
    """Name and value of what was looked at, where that is not all, and of how fast it plays."""
    facts = []
    one = next(iter(clips.values()), None)
    if one is not None and (one.start_s > 0 or one.end_s is not None or one.every > 1):
        end = "the end" if one.end_s is None else f"{one.end_s:g} s"
        step = "" if one.every == 1 else f", one frame of {one.every}"
        facts.append(("Part", f"{one.start_s:g} s to {end}{step}"))
    if _slow(clips):
        paces = dict.fromkeys(f"{clip.slowmo:.4g}" for clip in clips.values())
        facts.append(("Slow motion", f"plays {', '.join(paces)} times slower than life"))
    return facts


def time_notes(clips: Mapping[str, Clip]) -> list[str]:
    """What the reader of times and rates must know, in sentences."""
    if not _slow(clips):
        return []
    return [
        "Times, rates and speeds are those of life: the recording's playing time divided by the "
        "slow motion that was given. The film of the body plays as the recording does."
    ]


def time_base(clips: Mapping[str, Clip], *, declared: bool) -> Iterator[Finding]:
    """Of cameras that note another rate than their files play at, unless that was `declared`."""
    for name, clip in clips.items():
        noted = capture_rate(clip.path)
        if noted is None or (declared and clip.slowmo == 1):
            continue
        tag, captured = noted
        plays = replace(clip, every=1, slowmo=1.0).probe().rate_hz
        factor = captured / plays
        if 1 / _DIFFERS < factor / clip.slowmo < _DIFFERS:
            continue
        key = "other_pace" if declared else "undeclared_pace"
        pace = "slower" if factor > 1 else "faster"
        yield say(
            key, "caution", name=name, tag=tag, captured=captured, plays=plays, factor=factor,
            pace=pace, given=clip.slowmo,
        )  # fmt: skip


def pauses(clips: Mapping[str, Clip]) -> Iterator[Finding]:
    """Of recordings that stand still for more than a second between two frames."""
    for name, clip in clips.items():
        timeline = clip.timeline()
        step = np.diff(timeline.time)
        long = step > max(_PAUSE_S, _PAUSE_STEPS * float(np.median(step, axis=0)))
        if long.any():
            frame = timeline.frame.tolist()
            pairs = [[frame[i], frame[i + 1]] for i in np.flatnonzero(long)]
            where = f"between {frames_words(pairs)}"
            yield say("pauses", "caution", where, name=name, longest=float(step.max()))


def frozen(clips: Mapping[str, Clip], changes: Mapping[str, FloatArray]) -> Iterator[Finding]:
    """Of pictures that are repeated while time goes on; `changes` from each picture of a camera to
    the next, as `WatchedClip.changes`."""
    for name, between in changes.items():
        timeline = clips[name].timeline()
        if found := frozen_stretches(between, timeline.time):
            # Of the playing time, as --start and --end are, which the finding names.
            frame, time = timeline.frame, timeline.time * clips[name].slowmo
            pairs = [[int(frame[first]), int(frame[last])] for first, last in found]
            seconds = ", ".join(f"{time[a]:.2f}-{time[b]:.2f} s" for a, b in found[:_SHOWN])
            if len(found) > _SHOWN:
                seconds += f" and {len(found) - _SHOWN} more times"
            lost = float(sum(time[b] - time[a] for a, b in found))
            yield say("frozen", "caution", frames_words(pairs), name=name, seconds=seconds,
                      lost=lost)  # fmt: skip


def fall(clips: Mapping[str, Clip], markers: Markers) -> Iterator[Finding]:
    """Of jumps in which gravity is not that of the earth."""
    found = jumps(markers)
    if not clips or not found:
        return
    gravity = float(np.median([jump.gravity for jump in found]))
    factor = float(np.sqrt(GRAVITY_M_S2 / gravity))
    if not 1 / _DIFFERS < factor < _DIFFERS:
        frame, slowmo = markers.timeline.frame, min(clip.slowmo for clip in clips.values())
        where = frames_words([[int(frame[j.first]), int(frame[j.last])] for j in found])
        given = "" if slowmo == 1 else f", after the {slowmo:.4g} times that were given"
        pace, times = ("slower", factor) if factor > 1 else ("faster", 1 / factor)
        yield say(
            "gravity", "caution", where, gravity=gravity, factor=times, pace=pace, given=given,
            slowmo=slowmo * factor,
        )  # fmt: skip


def _slow(clips: Mapping[str, Clip]) -> bool:
    return any(clip.slowmo != 1 for clip in clips.values())
