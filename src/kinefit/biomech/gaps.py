"""Short gaps are interpolated and flagged; long ones stay missing."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from scipy.interpolate import PchipInterpolator

from kinefit.types import BoolArray, FloatArray, InputError, IntArray, Markers, Timeline, all_finite


def fill_gaps(markers: Markers, max_gap_s: float) -> Markers:
    """Interpolate each marker's gaps of at most `max_gap_s` seconds; flag the values estimated.

    A gap lasts from the last sample before it to the first after it; one without both (at the
    start or the end) is never filled. The `sd` of a filled value stays as it was given.

    The curve is PCHIP (Fritsch & Butland 1984): with 3 mm of noise its error over gaps of 0.1 /
    0.2 s is 5.7 / 8.0 mm; a cubic spline continues the noise's slope into the gap (11.2 / 18.2).

    Raises InputError for a negative or non-finite `max_gap_s`.
    """
    if not (np.isfinite(max_gap_s) and max_gap_s >= 0):
        raise InputError("--max-gap", f"{max_gap_s} s is not a duration", "give seconds, e.g. 0.2")
    time, present = markers.timeline.time, markers.present
    fill = ~present & (_gap_seconds(time, present) <= max_gap_s)
    xyz = np.where(fill[..., None], resample(time, markers.xyz, time), markers.xyz)
    return replace(markers, xyz=xyz, estimated=markers.estimated | fill)


def resample(time: FloatArray, values: FloatArray, at: FloatArray) -> FloatArray:
    """`values` (T, M, D) at the times `at` (S,): (S, M, D), PCHIP through the finite samples.

    Before a point's first and after its last finite sample its value is held; a point without
    any stays NaN. A point counts as finite when all its D coordinates are.
    """
    out = np.full((len(at), *values.shape[1:]), np.nan)
    for columns, finite in by_pattern(all_finite(values)):
        known = time[finite]
        if len(known) == 1:
            out[:, columns] = values[finite][:, columns]
        elif len(known) > 1:
            curve = PchipInterpolator(known, values[finite][:, columns])
            out[:, columns] = curve(np.clip(at, known[0], known[-1]))
    return out


def at_constant_rate(markers: Markers, max_gap_s: float) -> Markers:
    """The same motion on a constant clock at the median rate, for files that know no other.

    Frames count from 0 at the first sample, which becomes time 0. A frame within a thousandth
    of a step of a sample is that sample. Any other lies between two samples: a marker is there
    when both have it and they are at most `max_gap_s` seconds apart, and flagged estimated when
    one of them is or more than one and a half steps separate them. The sd is not carried over.
    """
    time, rate = markers.timeline.time - markers.timeline.time[0], markers.timeline.rate_hz
    frame = np.arange(round(time[-1] * rate) + 1)
    at = np.minimum(frame / rate, time[-1])
    after = np.clip(np.searchsorted(time, at), 1, len(time) - 1)
    before, apart = after - 1, time[after] - time[after - 1]
    nearest = np.where(at - time[before] < time[after] - at, before, after)
    on = (np.abs(at - time[nearest]) < 1e-3 / rate)[:, None]
    both = markers.present[before] & markers.present[after] & (apart <= max_gap_s)[:, None]
    wide = (apart > 1.5 / rate)[:, None]
    guessed = markers.estimated[before] | markers.estimated[after] | wide
    there = np.where(on, markers.present[nearest], both)
    return Markers(
        Timeline(frame, frame / rate),
        markers.names,
        np.where(there[..., None], resample(time, markers.xyz, at), np.nan),
        np.where(on, markers.estimated[nearest], guessed & there),
    )


def by_pattern(mask: BoolArray) -> Iterator[tuple[IntArray, BoolArray]]:
    """Groups of columns of `mask` (T, M) that are equal: (columns, the shared (T,) mask).

    Most markers of a clip go missing together, so work per group is far less than per column.
    """
    patterns, group = np.unique(mask, axis=1, return_inverse=True)
    for g in range(patterns.shape[1]):
        yield np.flatnonzero(group.ravel() == g), patterns[:, g]


def _gap_seconds(time: FloatArray, present: BoolArray) -> FloatArray:
    """(T, M) time between the nearest present samples around each sample, infinite at the ends."""
    stamps = np.broadcast_to(time[:, None], present.shape)
    before = np.maximum.accumulate(np.where(present, stamps, -np.inf), axis=0)
    after = np.minimum.accumulate(np.where(present, stamps, np.inf)[::-1], axis=0)[::-1]
    return after - before
