"""Whether each view belongs to the camera that it is named after, and to the others' moment.

A calibration can be perfect and its pictures exchanged: then no point fits, or points fit wrongly.
How far pairs of views are from meeting (Sampson's distance from the epipolar line; Hartley &
Zisserman, Multiple View Geometry in Computer Vision, 2nd ed., section 11.4.3) needs no
triangulation, so every other assignment of views to cameras can be tried.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from itertools import combinations, permutations
from typing import NamedTuple

import numpy as np

from kinefit.geometry.projection import undistort
from kinefit.skeletons import Skeleton
from kinefit.types import CameraRig, Finding, FloatArray, InputError, IntArray, Timeline

_FRAMES = 60  # that are looked at, spread over the clip
_ALL_ORDERS = 5  # cameras up to which all are tried; with more, exchanges of two
_FARTHEST_PX = 200.0  # what is further off says no more
# An exchange is claimed where it brings the views this much nearer, from this far off. Two
# cameras of four exchanged: 0.02 to 0.3 times the distance; views that fit, or of which one is of
# another person: 0.9 at best.
_NEARER, _OFF_PX = 0.4, 3.0
_AS_GOOD = 1.2  # orders within this factor of the best are no worse: of them the least change
_SHIFTS = 5  # frames by which a clock is tried
# A clock is called off where another frame is nearer by this on average, nearer against every
# camera, and the nearest in every part of the clip.
_SHIFT_NEARER, _PARTS = 0.9, 3
_ODD_TIMES, _ODD_PX = 4.0, 10.0  # a view that fits nothing, against the others among themselves


class _Views(NamedTuple):
    """points: (C, C, T, J, 2) on the plane z = 1, view v through the lens of camera c; NaN where
    missing. mirror: (J,) twins."""

    rig: CameraRig
    points: FloatArray
    mirror: IntArray


def check_assignment(
    rig: CameraRig,
    names: tuple[str, ...],
    xy: FloatArray,
    score: FloatArray,
    keep_names: bool = False,
) -> list[Finding]:
    """What is wrong with how views are named.

    xy: (C, T, J, 2) px and score: (C, T, J) of one person, 0 where a point is missing; on one
    clock. Raises InputError, naming the cameras, where other names would fit and these do not. Of
    two cameras that is a finding only: a pose that is off can look like it, and no third view
    tells. With `keep_names` it is one, too.
    """
    views = _views(rig, names, xy, score)
    order, distance, now = _best_order(views)
    if order is not None:
        moved = [rig.names[v] for v, c in enumerate(order) if v != c]
        homes = [f"the pictures named {rig.names[v]} are of camera {rig.names[c]}"
                 for v, c in enumerate(order) if v != c]  # fmt: skip
        reason = (
            f"the pictures of {' and '.join(moved)} are exchanged: {', '.join(homes)} "
            f"({distance:.1f} px off then, {now:.0f} px as they are named)"
        )
        hint = "exchange the names of these videos or folders, or of the cameras"
        seeing = sum(bool(np.isfinite(views.points[v, v]).any()) for v in range(len(rig)))
        if seeing > 2 and not keep_names:
            raise InputError("cameras", reason, f"{hint}; --keep-names goes on as they are named")
        seem = reason.replace("are exchanged", "seem to be exchanged", 1)
        return [
            Finding(
                "caution",
                f"{seem[0].upper()}{seem[1:]}.",
                meaning="If they are, all positions are wrong.",
                action=f"Look at a picture of each; if so, {hint}.",
            )
        ]
    return list(_odd_ones(views))


def check_clocks(
    rig: CameraRig, timeline: Timeline, names: tuple[str, ...], xy: FloatArray, score: FloatArray
) -> list[Finding]:
    """Cameras whose clock is off by whole frames, as far as the motion shows it; as above."""
    views = _views(rig, names, xy, score, whole=True)
    shifts = [_shift(views, c) for c in range(len(rig))]
    # Two cameras cannot tell whose clock it is; of more, only who is off against all the others.
    if len(rig) == 2:
        shifts[0] = 0
    found = []
    for name, shift in zip(rig.names, shifts, strict=True):
        if shift:
            seconds, at_edge = shift / timeline.rate_hz, abs(shift) == _SHIFTS
            advice = f"Add {seconds:+.4f} s to its --offsets, or give --sync."
            found.append(
                Finding(
                    "caution",
                    f"The clock of camera {name} is off by {abs(shift)} "
                    f"frame{'s' * (abs(shift) > 1)}{' or more' * at_edge} against the others.",
                    meaning="Points of what moves are displaced, and the views disagree.",
                    action="Give --sync." if at_edge else advice,
                )
            )
    return found


def _views(
    rig: CameraRig, names: Sequence[str], xy: FloatArray, score: FloatArray, whole: bool = False
) -> _Views:
    """whole: a stretch of frames in a row, not frames spread over the clip."""
    xy = np.where((score > 0)[..., None], xy, np.nan)
    both = np.flatnonzero((np.isfinite(xy[..., 0]).any(axis=2)).sum(axis=0) >= 2)
    if whole and len(both):
        middle = len(both) // 2
        rows = np.arange(both[0], both[-1] + 1)
        start = max(0, min(int(both[middle] - both[0]) - 3 * _FRAMES, len(rows) - 6 * _FRAMES))
        rows = rows[start : start + 6 * _FRAMES]
    else:
        rows = both[np.linspace(0, len(both) - 1, min(len(both), _FRAMES)).astype(int)]
    points = np.stack([[undistort(c, view[rows]) for c in rig] for view in xy])
    return _Views(rig, points, Skeleton("", tuple(names)).mirror())


def _distances(views: _Views, i: int, a: int, j: int, b: int, shift: int = 0) -> FloatArray:
    """(T',) px, the median over points, between view `i` as camera `a` and view `j` as camera
    `b`, frame t of the first against frame t + shift of the second; of the two labellings of
    sides the nearer."""
    first, second = views.rig.cameras[a], views.rig.cameras[b]
    R = second.R @ first.R.T
    x, y, z = second.t - R @ first.t
    E = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]]) @ R
    p, q = views.points[i, a], views.points[j, b]
    p = p[max(0, -shift) : len(p) - max(0, shift)]
    q = q[max(0, shift) : len(q) - max(0, -shift)]
    line = p @ E[:, :2].T + E[:, 2]
    px = (first.K[0, 0] + second.K[0, 0]) / 2
    medians = []
    for twin in (q, q[:, views.mirror]):
        back = twin @ E[:2] + E[2]
        over = (line[..., :2] ** 2).sum(axis=-1) + (back[..., :2] ** 2).sum(axis=-1)
        off = np.abs((line[..., :2] * twin).sum(axis=-1) + line[..., 2]) / np.sqrt(over)
        medians.append(_median(off * px))
    return np.fmin(*medians)


def _median(values: FloatArray) -> FloatArray:
    """(T,) over the known of (T, J); NaN where there are none."""
    known = np.isfinite(values).any(axis=-1)
    out = np.full(len(values), np.nan)
    out[known] = np.nanmedian(values[known], axis=-1)
    return out


def _pair_distance(views: _Views) -> Callable[[int, int, int, int], float]:
    """Of view i as camera a and view j as camera b: px, the median over frames; NaN where they do
    not see the person at once. Each is measured when it is asked for: of eight cameras whose views
    may be exchanged two by two, a quarter of all."""

    @cache
    def distance(i: int, a: int, j: int, b: int) -> float:
        off = _distances(views, i, a, j, b)
        return min(float(np.nanmedian(off)), _FARTHEST_PX) if np.isfinite(off).any() else np.nan

    return distance


def _best_order(views: _Views) -> tuple[tuple[int, ...] | None, float, float]:
    """The camera of each view where the names are wrong (None where they are not, or where it
    cannot be told), its distance and that of the names, px."""
    distance, count = _pair_distance(views), len(views.rig)

    def off(order: tuple[int, ...], of: tuple[int, ...]) -> float:
        """Mean over the pairs of views that the order `of` moves (all, where it moves none)."""
        moved = [v for v, c in enumerate(of) if v != c] or list(range(count))
        pairs = [(i, j) for i, j in combinations(range(count), 2) if i in moved or j in moved]
        found = np.array([distance(i, order[i], j, order[j]) for i, j in pairs])
        known = found[np.isfinite(found)]
        return float(np.mean(known)) if known.size else np.inf

    own = tuple(range(count))
    now = off(own, own)
    if not _OFF_PX / 2 < now < np.inf:
        return None, now, now
    far = {order: off(order, own) for order in _orders(count)}
    best = min(far.values())
    good = [order for order, d in far.items() if d <= min(_AS_GOOD * best, now)]
    changes = [sum(v != c for v, c in enumerate(order)) for order in good]
    least = [order for order, n in zip(good, changes, strict=True) if n == min(changes)]
    order = min(least, key=far.__getitem__)
    then, as_named = off(order, order), off(own, order)
    if as_named < _OFF_PX or then > _NEARER * as_named or len(least) > 1:
        return None, now, now
    return order, then, as_named


def _orders(count: int) -> Iterator[tuple[int, ...]]:
    own = tuple(range(count))
    if count <= _ALL_ORDERS:
        yield from permutations(own)
        return
    yield own
    for i, j in combinations(own, 2):
        yield tuple({i: j, j: i}.get(c, c) for c in own)


def _odd_ones(views: _Views) -> Iterator[Finding]:
    """A camera that agrees with none of the others, which agree with each other."""
    count = len(views.rig)
    if count < 3:
        return
    off = {}
    for i, j in combinations(range(count), 2):
        found = _distances(views, i, i, j, j)
        if np.isfinite(found).any():
            off[i, j] = float(np.nanmedian(found))
    for c, name in enumerate(views.rig.names):
        own = [d for pair, d in off.items() if c in pair]
        rest = [d for pair, d in off.items() if c not in pair]
        if own and rest and min(own) > max(_ODD_TIMES * max(rest), _ODD_PX):
            yield Finding(
                "caution",
                f"What camera {name} sees does not fit the other cameras ({min(own):.0f} px off; "
                f"these agree to {max(rest):.1f} px).",
                meaning="Its points are mostly left out.",
                action="Check its pose, its clock, and whether its pictures are of another camera "
                "or another person.",
            )


def _shift(views: _Views, camera: int) -> int:
    """Frames to add to a camera's clock; 0 where none is clearly better against every other
    camera, and in all parts of the clip."""
    others = [c for c in range(len(views.rig)) if c != camera]
    frames = views.points.shape[2]
    if frames < 4 * _SHIFTS:
        return 0
    kept = slice(_SHIFTS, frames - _SHIFTS)  # of the other camera: the same for all shifts
    far = np.full((len(others), 2 * _SHIFTS + 1, frames - 2 * _SHIFTS), np.nan)
    for k, other in enumerate(others):
        for s in range(-_SHIFTS, _SHIFTS + 1):
            off = _distances(views, other, other, camera, camera, s)
            padded = np.pad(off, (max(0, -s), max(0, s)), constant_values=np.nan)
            far[k, s + _SHIFTS] = padded[kept].clip(max=_FARTHEST_PX) ** 2
    far[:, :, ~np.isfinite(far).all(axis=(0, 1))] = np.nan
    parts = [part for part in np.array_split(far, _PARTS, axis=2) if np.isfinite(part).any()]
    if len(parts) < _PARTS:
        return 0
    mean = np.sqrt(np.nanmean(far, axis=2))  # (K, S)
    s = int(mean.mean(axis=0).argmin())
    in_each = [int(np.nanmean(part, axis=(0, 2)).argmin()) for part in parts]
    here = mean[:, _SHIFTS]
    nearer = mean[:, s].mean() < _SHIFT_NEARER * here.mean() and (mean[:, s] < here).all()
    return _SHIFTS - s if in_each == [s] * _PARTS and nearer else 0
