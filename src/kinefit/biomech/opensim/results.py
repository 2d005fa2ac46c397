"""What inverse kinematics leaves: a table of marker errors, a summary, and a verdict.

The summary is computed from the files that were written, not from what was meant to be in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.io.atomic import write_text
from kinefit.io.mot import read_mot
from kinefit.io.text import TIME_DECIMALS, parse_rows, read_lines
from kinefit.types import BoolArray, FloatArray, Timeline

# OpenSim's user guide, "Getting Started with Inverse Kinematics", best practices: "maximum marker
# error should generally be less than 2-4 cm, RMS under 2 cm".
GOOD_RMS_MM, GOOD_MAX_MM = 20.0, 40.0
_LEADING = ("frame", "time_s", "in_mot", "rms_mm", "max_mm", "worst_marker")
_WORST_FRAMES = 5


def write_errors(
    path: Path, timeline: Timeline, names: Sequence[str], error: FloatArray, kept: BoolArray
) -> None:
    """Write the distance of each marker (mm, empty where not measured) in each frame.

    error: (T, M) metres. kept: (T,) True for the frames that the .mot has. rms_mm is over the
    markers of a frame, all with the same weight.
    """
    lines = [",".join((*_LEADING, *(f"{name}_mm" for name in names)))]
    for k, row in enumerate(1000.0 * error):
        clock = f"{timeline.frame[k]},{timeline.time[k]:.{TIME_DECIMALS}f},{int(kept[k])}"
        if np.isfinite(row).any():
            worst = int(np.nanargmax(row))
            rms = float(np.sqrt(np.nanmean(row**2)))
            clock += f",{rms:.2f},{row[worst]:.2f},{names[worst]}"
        else:
            clock += ",,,"
        cells = ("" if np.isnan(value) else f"{value:.2f}" for value in row)
        lines.append(",".join((clock, *cells)))
    write_text(path, "\n".join(lines) + "\n")


def summarise(errors: Path, mot: Path) -> dict[str, Any]:
    """Marker errors over the frames of the .mot, per marker and frame, and the verdict."""
    frames, names, table = _read_errors(errors)
    in_mot = np.isfinite(table[:, 0])
    kept = table[:, 0] == 1
    motion = read_mot(mot)
    values = table[kept, 1:]
    rms = np.sqrt(np.nanmean(values**2, axis=1))
    highest = np.nanmax(values, axis=1)
    order = np.argsort(rms)[::-1][:_WORST_FRAMES]
    seen = [i for i in range(len(names)) if np.isfinite(values[:, i]).any()]
    result: dict[str, Any] = {
        "frames": {"in_file": len(in_mot), "in_mot": len(motion.timeline)},
        "coordinates": list(motion.names),
        "rms_mm": _spread(rms),
        "max_mm": _spread(highest),
        "markers": {
            names[i]: {
                "mean_mm": round(float(np.nanmean(values[:, i])), 2),
                "max_mm": round(float(np.nanmax(values[:, i])), 2),
                "frames": int(np.isfinite(values[:, i]).sum()),
            }
            for i in seen
        },
        "worst_frames": [
            {
                "frame": int(frames[kept][k]),
                "rms_mm": round(float(rms[k]), 2),
                "max_mm": round(float(highest[k]), 2),
                "worst_marker": names[int(np.nanargmax(values[k]))],
            }
            for k in order
        ],
    }
    result["verdict"] = verdict(rms, highest, values, names, frames[kept])
    return result


def verdict(
    rms: FloatArray, highest: FloatArray, values: FloatArray, names: Sequence[str], frames: Any
) -> str:
    """In plain words: how the marker errors (mm) stand against OpenSim's guidance."""
    k = int(np.argmax(highest))
    where = f"{names[int(np.nanargmax(values[k]))]} in frame {frames[k]}"
    high, far = float((rms > GOOD_RMS_MM).mean()), float((highest > GOOD_MAX_MM).mean())
    mean = float(rms.mean())
    within = mean <= GOOD_RMS_MM and float(np.median(highest)) <= GOOD_MAX_MM
    word = "good" if not high and not far else "fair" if within else "poor"
    return (
        f"{word}: RMS marker error {mean:.1f} mm on average, over {GOOD_RMS_MM:.0f} mm in "
        f"{100 * high:.0f} % of frames; the largest is {highest[k]:.0f} mm ({where}), and in "
        f"{100 * far:.0f} % of frames a marker is off by more than {GOOD_MAX_MM:.0f} mm "
        "(OpenSim's guidance: RMS under 20 mm, no marker over 20-40 mm)"
    )


def _spread(values: FloatArray) -> dict[str, float]:
    return {
        "mean": round(float(values.mean()), 2),
        "median": round(float(np.median(values)), 2),
        "max": round(float(values.max()), 2),
    }


def _read_errors(path: Path) -> tuple[Any, list[str], FloatArray]:
    """Frames (T,), marker names, and (T, 1 + M): in_mot, then each marker's error in mm."""
    header, *rows = read_lines(path)
    labels = header.text.split(",")
    # The one column of text goes; the others are numbers or empty.
    drop = labels.index("worst_marker")
    numbers = [
        row._replace(text=",".join(c for i, c in enumerate(row.text.split(",")) if i != drop))
        for row in rows
        if row.text
    ]
    table = parse_rows(path, numbers, len(labels) - 1, ",")
    names = [label.removesuffix("_mm") for label in labels[len(_LEADING) :]]
    first = len(_LEADING) - 1
    return table[:, 0].astype(int), names, np.hstack((table[:, 2:3], table[:, first:]))
