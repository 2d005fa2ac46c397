"""Findings about bodies that were fitted to markers, to a picture, or frame by frame.

Each is made from the JSON file of the fit, as it was written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kinefit.quality.verdict import frames_words, sentence, some
from kinefit.types import Finding, Level

_FAR_MM = 25.0  # laboratories reach 4; beyond, names, units or the height are wrong
_STATURE_OFF_M = 0.05
_SHARE = 0.05  # of the frames: fewer are said and not held against the result
_BESIDE_CM = 8.0  # in the picture: as of a body in a video
_MOST = 0.5  # of the frames


def marker_fit_findings(report: Mapping[str, Any], height_m: float | None) -> list[Finding]:
    """Of a body through the markers of a file; height_m: the height that was given."""
    found = []
    if report["rms_mm"] is None or report["rms_mm"] > _FAR_MM:
        far = "nowhere near" if report["rms_mm"] is None else f"{report['rms_mm']:.0f} mm from"
        found.append(
            Finding(
                "caution",
                f"The body is {far} its markers on average.",
                meaning="In a laboratory it is 4 mm. Positions and angles are wrong by as much.",
                action="Check the file's units, the names of its markers, and the height.",
            )
        )
    found += _frames(report, "frames_far_off", "The body is far from its markers.")
    found += _frames(report, "frames_without_pose", "There are too few markers for a pose.")
    if height_m is not None and abs(report["stature_m"] - height_m) > _STATURE_OFF_M:
        what = f"The markers are those of a person {report['stature_m']:.2f} m tall."
        meaning = f"The height that was given is {height_m:.2f} m."
        found.append(Finding("caution", what, "", meaning, "Check the height and the units."))
    if report["markers_ignored"]:
        what = f"Markers were not used: {some(report['markers_ignored'])}."
        found.append(Finding("information", what, meaning="They are not on the body of the fit."))
    return found + _solver(report["solver"]["converged"])


def picture_findings(report: Mapping[str, Any], off_cm: float) -> list[Finding]:
    """Of a body in one picture; off_cm: mean distance from the points, where the person is."""
    if report["reason"]:
        what = f"There is no body: {report['reason']}."
        return [Finding("refusal", what, action="Show a whole person, upright and well lit.")]
    found = [
        Finding(
            "information",
            "One picture does not show depth.",
            meaning="Distances along the line of sight rest on what bodies are usually like.",
        )
    ]
    if off_cm > _BESIDE_CM:
        what = f"The body lies {off_cm:.0f} cm beside the person in the picture."
        action = "Look at the picture with the body."
        found.append(Finding("caution", what, "", "Positions and angles are wrong.", action))
    if not report["orientation"]["decided"]:
        what = "Front and back could not be told apart."
        meaning = "The body may face the wrong way, with left and right exchanged."
        found.append(Finding("caution", what, "", meaning, "Look at the picture with the body."))
    return found + _solver(report["converged"])


def frame_fit_findings(report: Mapping[str, Any]) -> list[Finding]:
    """Of a body fitted frame by frame."""
    frames = report["per_frame"]

    def of_status(status: str) -> list[list[int]]:
        return [[one["frame"]] * 2 for one in frames if one["status"] == status]

    found = []
    reasons = ", ".join(report["reasons"])
    if lost := of_status("unusable"):
        what = f"{len(lost)} of {len(frames)} frames have no pose ({reasons})."
        found.append(_of_frames(lost, len(frames), what, "Values there are missing."))
    if bridged := of_status("recovered"):
        what = f"{len(bridged)} of {len(frames)} frames have a pose from their neighbours."
        found.append(_of_frames(bridged, len(frames), what, "Values there are estimates."))
    if mended := [[one["frame"]] * 2 for one in frames if one["repaired"]]:
        what = "Joints that turned in a spike were put right."
        found.append(Finding("information", what, sentence(frames_words(mended))))
    return found


def _frames(report: Mapping[str, Any], key: str, what: str) -> list[Finding]:
    pairs, meaning = report[key], "Positions and angles there are missing or wrong."
    return [_of_frames(pairs, report["frames"], what, meaning)] if pairs else []


def _of_frames(pairs: Sequence[Sequence[int]], count: int, what: str, meaning: str) -> Finding:
    """pairs: [first, last] frames of `count`."""
    share = sum(last - first + 1 for first, last in pairs) / max(count, 1)
    level: Level = "refusal" if share > _MOST else "caution" if share > _SHARE else "information"
    return Finding(level, what, sentence(frames_words(pairs)), meaning, "Leave these frames out.")


def _solver(converged: bool) -> list[Finding]:
    if converged:
        return []
    what = "The solver stopped before it had come to rest."
    return [Finding("information", what, meaning="Its last steps were small.")]
