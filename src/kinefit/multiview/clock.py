"""The points of several cameras at the same moments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from kinefit.types import FloatArray, InputError, IntArray, Keypoints2D, Timeline, all_finite

# Stamps rounded to milliseconds, and counted from a first one that is rounded too, are off by up to
# 1 ms. It costs little: a foot at 4 m/s moves 4 mm in that time, a body 1.
_SAME_MOMENT_S = 1.1e-3
_LONGEST_STEP = 1.75  # frame intervals between two samples that may be interpolated: no lost frame


class CommonPoints(NamedTuple):
    """What all cameras see at the same moments.

    timeline: T moments on the common clock; `frame` counts in the camera whose frames they are.
    xy: (T, C, J, 2) pixels of each camera, NaN where it has nothing.
    score: (T, C, J) in 0..1, 0 where xy is NaN.
    names: J points that every track has, in the order of the first.
    """

    timeline: Timeline
    xy: FloatArray
    score: FloatArray
    names: tuple[str, ...]


def on_common_clock(
    tracks: Sequence[Keypoints2D], offsets_s: Sequence[float] | FloatArray
) -> CommonPoints:
    """The points of all cameras at the frames of the camera with the highest rate.

    tracks: their times count from the first frame of each camera's video, wherever they begin:
        videos of one take are cut at the same moment, whatever the first stamp in the file is.
    offsets_s: (C,) seconds to add to each camera's clock, as `find_offsets` gives them.

    The frames are those of the fastest camera (the longest recording of those within 1 %), from the
    first to the last moment that at least two cameras recorded. A camera's sample within 1.1 ms
    of such a moment is taken as it is, to the last bit. Else the value is a straight line between
    the samples on both sides, and the score the lower of theirs; where they are further apart than
    1.75 of the camera's frame intervals, or one has no point, there is none.

    Straight lines, because samples are noisy: half-way between frames of CMU motion (31 trials,
    30 Hz, bodies of 500 px) they are 0.25, 0.75 and 2.13 px off (root mean square) with noise of 0,
    1 and 3 px; a cubic (Catmull-Rom) 0.07, 0.80 and 2.40; the frame before 3.7, 3.9 and 4.8.

    Raises InputError for fewer than two tracks, a track of fewer than two frames, offsets that are
    not C finite numbers, tracks without a common point, and recordings that do not overlap.
    """
    offset = _checked(tracks, offsets_s)
    names = tuple(n for n in tracks[0].names if all(n in t.names for t in tracks))
    if not names:
        reason = "their tracks have no point in common"
        raise InputError("cameras", reason, "use one detector for all")
    clocks = [t.timeline.time + o for t, o in zip(tracks, offset, strict=True)]
    rates = np.array([t.timeline.rate_hz for t in tracks])
    lasts = np.array([c[-1] - c[0] for c in clocks])
    fastest = int(np.argmax(np.where(rates > 0.99 * rates.max(), lasts, -1.0)))
    frames = _shared(clocks, fastest)
    moments = clocks[fastest][frames]
    parts = (_at(t, c, moments, names) for t, c in zip(tracks, clocks, strict=True))
    xy, score = (np.stack(views, axis=1) for views in zip(*parts, strict=True))
    timeline = Timeline(tracks[fastest].timeline.frame[frames], moments)
    return CommonPoints(timeline, xy, score, names)


def _checked(tracks: Sequence[Keypoints2D], offsets_s: Sequence[float] | FloatArray) -> FloatArray:
    offset = np.asarray(offsets_s, dtype=np.float64)
    if len(tracks) < 2:
        raise InputError("cameras", f"{len(tracks)} given, at least 2 needed", "give more videos")
    if offset.shape != (len(tracks),):
        reason = f"{offset.size} given for {len(tracks)} cameras"
        raise InputError("offsets", reason, "give one per camera")
    for c, (track, value) in enumerate(zip(tracks, offset, strict=True), start=1):
        if not np.isfinite(value):
            hint = "give it, or leave the camera out"
            raise InputError(f"offset of camera {c}", "it is not known", hint)
        if len(track.timeline) < 2:
            reason = f"its track has {len(track.timeline)} frames"
            raise InputError(f"camera {c}", reason, "leave it out")
    return offset


def _shared(clocks: list[FloatArray], fastest: int) -> IntArray:
    """Frames of the fastest camera between the first and last moment that two cameras share."""
    now = clocks[fastest]
    margin = _SAME_MOMENT_S
    recording = sum(((now >= c[0] - margin) & (now <= c[-1] + margin)).astype(int) for c in clocks)
    both = np.flatnonzero(np.asarray(recording) >= 2)
    if not len(both):
        spans = "; ".join(f"{c[0]:.2f} to {c[-1]:.2f} s" for c in clocks)
        reason = f"their recordings do not overlap ({spans})"
        raise InputError("cameras", reason, "check the offsets, and --start and --end if given")
    return np.arange(both[0], both[-1] + 1)


def _at(
    track: Keypoints2D, clock: FloatArray, moments: FloatArray, names: tuple[str, ...]
) -> tuple[FloatArray, FloatArray]:
    """xy (T, J, 2) and score (T, J) of one track at `moments` (T,)."""
    column = [track.names.index(n) for n in names]
    xy, score = track.xy[:, column], track.score[:, column]
    after = np.clip(np.searchsorted(clock, moments), 1, len(clock) - 1)
    before = after - 1
    gap = clock[after] - clock[before]
    share = (moments - clock[before]) / gap
    nearest = np.where(share < 0.5, before, after)
    same = np.abs(moments - clock[nearest]) <= _SAME_MOMENT_S
    longest = _LONGEST_STEP * float(np.median(np.diff(clock)))
    between = (share >= 0) & (share <= 1) & (gap <= longest)
    w = share[:, None, None]
    mixed = (1 - w) * xy[before] + w * xy[after]
    mixed = np.where(between[:, None, None], mixed, np.nan)
    lower = np.where(between[:, None], np.minimum(score[before], score[after]), 0.0)
    points = np.where(same[:, None, None], xy[nearest], mixed)
    scores = np.where(same[:, None], score[nearest], lower)
    return points, np.where(all_finite(points), scores, 0.0)
