"""Findings about bodies that were fitted to markers, to a picture, or frame by frame.

Each is made from the JSON file of the fit, as it was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kinefit.quality.assessment import OFF_M
from kinefit.quality.verdict import frames_words, say, some
from kinefit.types import Finding, Level

_FAR_MM = 25.0  # laboratories reach 4; beyond, names, units or the height are wrong
_STATURE_OFF_M = 0.05
_FEW, _MOST = 0.05, 0.5  # of the frames: fewer are said and not held against the result


def marker_fit_findings(report: Mapping[str, Any], height_m: float | None) -> list[Finding]:
    """Of a body through the markers of a file; height_m: the height that was given."""
    return list(_of_markers(report, height_m))


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
            found.append(_in_frames(key, pairs, len(frames), count=len(pairs), **values))
    if mended := [[one["frame"]] * 2 for one in frames if one["repaired"]]:
        found.append(say("spikes", "information", frames_words(mended)))
    return found


def _of_markers(report: Mapping[str, Any], height_m: float | None) -> Iterator[Finding]:
    rms, stature = report["rms_mm"], report["stature_m"]
    if rms is None or rms > _FAR_MM:
        yield say("markers_far", "caution", far=f"{rms:.0f} mm from" if rms else "nowhere near")
    for name, key in (("frames_far_off", "markers_off"), ("frames_without_pose", "no_pose")):
        if report[name]:
            yield _in_frames(key, report[name], report["frames"], points="markers")
    if height_m is not None and abs(stature - height_m) > _STATURE_OFF_M:
        yield say("stature", "caution", stature=stature, height=height_m)
    if report["markers_ignored"]:
        yield say("ignored", "information", names=some(report["markers_ignored"]))
    if not report["solver"]["converged"]:
        yield say("solver", "information")


def _in_frames(key: str, pairs: Sequence[Sequence[int]], total: int, **values: object) -> Finding:
    """pairs: [first, last] frames, of so many in all."""
    share = sum(last - first + 1 for first, last in pairs) / max(total, 1)
    level: Level = "refusal" if share > _MOST else "caution" if share > _FEW else "information"
    return say(key, level, frames_words(pairs), **values)
