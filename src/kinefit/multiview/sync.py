"""One clock for several cameras, from the points of one person; or a plain refusal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from scipy.sparse.csgraph import connected_components

from kinefit.multiview.lags import LEAST_SD_S, PairLag, pair_lag
from kinefit.multiview.velocities import ImageMotion, image_motion, shared_joints
from kinefit.types import BoolArray, FloatArray, InputError, Keypoints2D
from kinefit.types.arrays import check_names, freeze, freeze_arrays


@dataclass(frozen=True, eq=False)
class Synchronisation:
    """The clocks of C cameras.

    names: C cameras.
    reference: index of the camera whose clock the offsets lead to.
    offset_s: (C,) seconds to add to a camera's clock to get the reference's; NaN where not
        determined.
    sd_s: (C,) standard deviation; NaN where no lag was found, else also where it is too wide.
    determined: (C,) True where two standard deviations lie within the tolerance and no lag far
        away explains the motion nearly as well. True for the reference.
    reasons: C texts, why a camera's offset is not determined; empty where it is.
    pairs: one entry for every two cameras.
    """

    names: tuple[str, ...]
    reference: int
    offset_s: FloatArray
    sd_s: FloatArray
    determined: BoolArray
    reasons: tuple[str, ...]
    pairs: tuple[PairLag, ...]

    def __post_init__(self) -> None:
        freeze(self, names=check_names("Synchronisation", self.names))
        shape = (len(self.names),)
        freeze_arrays(self, offset_s=shape, sd_s=shape)
        freeze_arrays(self, np.bool_, determined=shape)


def find_offsets(
    tracks: Sequence[Keypoints2D],
    names: Sequence[str],
    *,
    max_offset_s: float = 10.0,
    within_frames: float = 0.25,
) -> Synchronisation:
    """The clocks of cameras that saw the same person, from how the points move.

    tracks: C views of one person, any frame rates, starts and gaps; at least shoulders, hips
        and one more pair of joints in common. Their times count from the first frame of each
        camera's video.
    names: C names of the cameras.
    max_offset_s: largest offset between two clocks that is considered.
    within_frames: tolerance: two standard deviations must lie within this part of a frame interval
        (of the slower of the camera and the reference).

    All pairs of cameras are compared; then one offset per camera follows by weighted least squares
    over the pairs that have a lag. Where these contradict each other around a loop the
    pair that does is left out if it is the only one that can be, else none is believed.

    Raises InputError for fewer than two tracks, a count of names that differs, options
    that are not positive, and too few joints in common.
    """
    if len(tracks) < 2:
        raise InputError("cameras", f"{len(tracks)} given, at least 2 needed", "give more videos")
    if len(names) != len(tracks):
        reason = f"{len(names)} names for {len(tracks)} tracks"
        raise InputError("cameras", reason, "give one name per camera")
    for option, value in (("largest offset", max_offset_s), ("tolerance", within_frames)):
        if not (np.isfinite(value) and value > 0):
            raise InputError(option, f"{value} is not positive", "give a number above 0")
    joints = shared_joints(tracks)
    motions = [image_motion(t, joints) for t in tracks]
    pairs = [
        pair_lag((names[i], names[j]), motions[i], motions[j], max_offset_s)
        for i, j in combinations(range(len(tracks)), 2)
    ]
    return _one_clock(tuple(names), motions, pairs, within_frames)


def _one_clock(
    names: tuple[str, ...], motions: list[ImageMotion], pairs: list[PairLag], within_frames: float
) -> Synchronisation:
    """One offset per camera from the lags of the pairs."""
    interval = np.array([m.interval for m in motions])
    good = [p for p in pairs if not p.reason]
    members = _largest_group(names, good)
    reference = members[0]
    offset, sd = np.full((2, len(names)), np.nan)
    used, contradiction = _consistent(names, members, good, interval)
    if not contradiction and len(members) > 1:
        offset, sd, _, _ = _solve(names, members, used, interval)
        left_out = [pair for pair in good if pair not in used]
        for k, pair in enumerate(pairs):
            if pair in left_out:
                i, j = _index(names, pair)
                off = abs(pair.lag_s - float(offset[j] - offset[i]))
                reason = f"its lag contradicts those of the other pairs by {off:.3f} s"
                pairs[k] = replace(pair, reason=reason)
    tolerance = within_frames * np.fmax(interval, interval[reference])
    offset[reference], sd[reference] = 0.0, 0.0
    with np.errstate(invalid="ignore"):
        determined = (2 * sd <= tolerance) & np.isfinite(offset)
    determined[reference] = True
    reasons = tuple(
        "" if determined[c]
        else contradiction if contradiction and c in members
        else _why(names[c], pairs, sd[c], tolerance[c])
        for c in range(len(names))
    )  # fmt: skip
    offset[~determined] = np.nan
    return Synchronisation(names, reference, offset, sd, determined, reasons, tuple(pairs))


def _index(names: tuple[str, ...], pair: PairLag) -> tuple[int, int]:
    return names.index(pair.cameras[0]), names.index(pair.cameras[1])


def _largest_group(names: tuple[str, ...], pairs: Sequence[PairLag]) -> list[int]:
    """The cameras of the largest connected group; the one of the first camera where equal."""
    joined = np.eye(len(names), dtype=bool)
    for pair in pairs:
        joined[_index(names, pair)] = True
    _, group = connected_components(joined, directed=False)
    return np.flatnonzero(group == np.bincount(group).argmax()).tolist()


def _consistent(
    names: tuple[str, ...], members: list[int], good: list[PairLag], interval: FloatArray
) -> tuple[list[PairLag], str]:
    """The pairs within `members` that agree around every loop, or what contradicts what.

    Three cameras tell that one of three lags is wrong, not which; a fourth does.
    """
    inside = [p for p in good if set(_index(names, p)) <= set(members)]
    if len(members) < 2:
        return inside, ""
    _, _, closure, misfit = _solve(names, members, inside, interval)
    if not misfit:
        return inside, ""
    ways = []
    for left_out in inside:
        rest = [p for p in inside if p is not left_out]
        connected = len(_largest_group(names, rest)) == len(members)
        if connected and not _solve(names, members, rest, interval)[3]:
            ways.append(rest)
    if len(ways) == 1:
        return ways[0], ""
    a, b = inside[int(np.abs(closure).argmax())].cameras
    return inside, (
        f"the lags of the pairs contradict each other: between {a} and {b} "
        f"by {np.abs(closure).max():.3f} s"
    )


def _solve(
    names: tuple[str, ...], members: list[int], pairs: Sequence[PairLag], interval: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, bool]:
    """Weighted least squares for the offsets of connected cameras; the first of them has 0.

    Returns (C,) offsets and (C,) their deviations in seconds, (P,) what each pair is off from
    them, and whether one of these is too large.

    The lags of two pairs that share a camera are not independent: half of each variance comes
    from that camera. So the deviations do not shrink as they would by averaging over pairs.
    """
    ends = np.array([_index(names, pair) for pair in pairs])
    design = np.zeros((len(pairs), len(names)))
    np.put_along_axis(design, ends[:, :1], -1.0, axis=1)
    np.put_along_axis(design, ends[:, 1:], 1.0, axis=1)
    lag, sd = np.array([[p.lag_s, p.sd_s] for p in pairs]).T
    free = members[1:]
    solver = np.linalg.pinv(design[:, free] / sd[:, None]) / sd
    offset, spread = np.full((2, len(names)), np.nan)
    offset[members[0]], spread[members[0]] = 0.0, 0.0
    offset[free] = solver @ lag
    shared = design @ design.T / 2  # 1 for a pair with itself, +-1/2 where one camera is shared
    covariance = solver @ (shared * np.outer(sd, sd)) @ solver.T
    spread[free] = np.sqrt(np.maximum(np.diag(covariance), LEAST_SD_S**2))
    closure = lag - design[:, members] @ offset[members]
    half = interval[ends].max(axis=1) / 2
    misfit = bool((np.abs(closure) > np.maximum(3 * sd, half)).any())
    return offset, spread, closure, misfit


def _why(name: str, pairs: Sequence[PairLag], sd: float, tolerance: float) -> str:
    """Why the offset of a camera is not determined, in plain words."""
    if np.isfinite(sd):
        return (
            f"its offset is known to {2 * sd * 1000:.1f} ms only (two standard deviations); "
            f"{tolerance * 1000:.1f} ms are wanted: more motion would tell"
        )
    best = max((p for p in pairs if name in p.cameras), key=lambda p: (p.margin, p.overlap_s))
    return (
        best.reason or f"it agrees with {' and '.join(best.cameras)} only, not with the reference"
    )
