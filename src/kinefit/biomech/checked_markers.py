"""Marker files of any laboratory, in metres and with Y up: what the file says against the person.

Laboratories record with Z up, programs write millimetres and call them metres, cameras film upside
down; nothing of that stops a fit, and every angle of the pelvis is wrong. So one check stands
before everything that is made of a marker file: how large the person is, where the head is above
the feet, and whether the motion agrees.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kinefit.geometry.rotations import unit
from kinefit.io.marker_files import read_markers
from kinefit.io.markers import UP_TO_Y, missing_note
from kinefit.skeletons.marker_names import is_known, place_of
from kinefit.types import FloatArray, InputError, Markers, all_finite, true_runs
from kinefit.types.arrays import FARTHEST_M

# Places of `kinefit.skeletons.marker_names`, and keypoints of detectors in lower case.
_TOP = ("c7", "jugular notch", "acromion", "neck", "head", "nose", "lshoulder", "rshoulder")
_PELVIS = ("asis", "psis", "sacrum", "hip", "lhip", "rhip")
_FEET = ("heel", "toe", "meta1", "meta5", "ankle_lat", "ankle_med", "lankle", "rankle", "lheel",
         "rheel", "lbigtoe", "rbigtoe", "lsmalltoe", "rsmalltoe")  # fmt: skip
_HANDS = ("wrist_lat", "wrist_med", "lwrist", "rwrist")

_PERSON_M = (0.3, 4.0)  # the markers' longest side: a crouching child, a man with his arms up
_PART_M = 0.05  # of a foot or a hand
_LIKELY_M = (0.6, 2.6)  # of a person in other units: legs alone, arms up
_FEWEST_KNOWN = 4
_FACTORS = (1e-3, 1e-2, 1e2, 1e3)
_ALONG = 0.8  # cosine: the body is along an axis
# Of the frames, and of those along any axis: who bends may be along none most of the time.
_SOMETIMES, _MOSTLY = 0.1, 0.5
_FLOOR_M = (-0.05, 0.15)  # the lowest markers of feet or hands that stand on a floor at zero
_LYING_M = (-0.03, 0.15, 0.8)  # lowest, and highest, markers of who lies on a floor at zero
_STEPS_M, _STEPS_M_S, _STANDING = 1.0, 0.3, 0.3  # way and speed; a foot's share of that speed
_STEPPING = 0.25  # of the frames on the way: running has a foot on the floor in a third
_FLIGHT_S, _GRAVITY_M_S2 = 0.12, (7.5, 12.0)

_SAY_UNITS = "say the unit of its numbers with --units m, cm or mm, or export it in metres"


def read_checked_markers(path: Path, *, up: str | None = None, units: str | None = None) -> Markers:
    """The markers of one person, from a TRC or C3D file: metres, Y up.

    up: the file's own vertical axis ("Z", "-Y", ...), units: "m", "cm" or "mm"; where one is not
    given, the file's word is checked against the person, who may lie or stand on the hands. What
    was changed or assumed is in the notes.

    Raises InputError for other files, for markers that are no person's in any likely unit, and
    where most are nowhere on earth (of a few, that is a note).
    """
    if up is not None and (up := up.upper().removeprefix("+")) not in UP_TO_Y:
        raise InputError("--up", f"{up} is no axis", f"choose one of {', '.join(UP_TO_Y)}")
    markers = read_markers(path, up=up, units=units)
    markers = _in_metres(path, markers, stated=units is not None)
    markers = _without_far(path, markers)
    return markers if up else stand_up(markers)


def _in_metres(path: Path, markers: Markers, *, stated: bool) -> Markers:
    known = [name for name in markers.names if is_known(name)]
    if len(known) < _FEWEST_KNOWN:  # of anything, anywhere
        return markers
    extent = _extent(markers.select(known))
    least = _PART_M if _person(markers) is None else _PERSON_M[0]
    if np.isnan(extent) or least < extent < _PERSON_M[1]:
        return markers
    if stated:
        note = f"In the unit that was given its markers span {extent:.3g} m, which is no person."
        return replace(markers, notes=(*markers.notes, note))
    likely = [f for f in _FACTORS if _LIKELY_M[0] < f * extent < _LIKELY_M[1]]
    if not likely:
        reason = f"its markers span {extent:.3g} m, which is no person"
        raise InputError(path, reason, _SAY_UNITS)
    factor = likely[0]
    note = (
        f"In the unit that the file states its markers span {extent:.3g} m: they were taken as "
        f"{factor * extent:.2f} m. Say the unit with --units if that is wrong."
    )
    return replace(markers, xyz=factor * markers.xyz, notes=(*markers.notes, note))


def _without_far(path: Path, markers: Markers) -> Markers:
    """`markers` (metres) without points that are farther away than any recording reaches."""
    far = np.asarray((np.abs(markers.xyz) > FARTHEST_M).any(axis=-1))
    there, where = markers.present, f"over {FARTHEST_M / 1000:.0f} km"
    if far.sum() > there.sum() / 2:
        reason = f"most of its points are {where} from the origin"
        raise InputError(path, reason, _SAY_UNITS)
    notes = missing_note(far, markers.names, markers.timeline, f"{where} away")
    xyz = np.where(far[..., None], np.nan, markers.xyz)
    return replace(markers, xyz=xyz, notes=(*markers.notes, *notes)) if notes else markers


def _extent(markers: Markers) -> float:
    """Metres between the outermost markers along one axis, median over the frames; NaN if none."""
    there = markers.present[..., None]
    low = np.where(there, markers.xyz, np.inf).min(axis=1)
    high = np.where(there, markers.xyz, -np.inf).max(axis=1)
    seen = there.any(axis=(1, 2))
    return float(np.median((high - low)[seen].max(axis=1))) if seen.any() else float("nan")


def stand_up(markers: Markers) -> Markers:
    """`markers`, turned where the person stands along another axis than Y; with a note, also where
    the person lies or is upside down and nothing was turned, and unchanged without feet or trunk.

    A body along another axis lies, or the axis is the vertical. The vertical it is where flights
    follow it, where the person walks across it on standing feet, or, for Z and for Y down, where
    the feet are on a floor at zero and lying, or standing on the hands, is not as likely.
    """
    person = _person(markers)
    if person is None:
        return markers
    axis, share, among = person.axis()
    if axis == "Y" or not share:
        return markers
    if share > _SOMETIMES and among > _MOSTLY and _is_vertical(person, axis):
        note = (
            f"The person stands along {axis} of the file's axes, not along Y: the markers were "
            f"turned so that {axis} is up. Give --up Y if the person lies."
        )
        R = np.array(UP_TO_Y[axis], float)
        sd = None if markers.sd is None else markers.sd @ np.abs(R).T
        return replace(markers, xyz=markers.xyz @ R.T, sd=sd, notes=(*markers.notes, note))
    posture = "is upside down" if axis == "-Y" else f"lies along {axis}"
    note = (
        f"The person {posture} in {100 * share:.0f} % of the frames, if Y is up as the file has "
        f"it. Give --up {axis} if {axis} is up: angles of the pelvis, and forces, depend on it."
    )
    return replace(markers, notes=(*markers.notes, note))


@dataclass(frozen=True, eq=False)
class _Person:
    """xyz: (T, M, 3) all markers. top: (T, 3) trunk or head, or the pelvis without them. pelvis:
    (T, 3), or the top without one. feet: (T, F, 3). hands: (T, H, 3), H may be 0. time: (T,)."""

    xyz: FloatArray
    top: FloatArray
    pelvis: FloatArray
    feet: FloatArray
    hands: FloatArray
    time: FloatArray

    def axis(self) -> tuple[str, float, float]:
        """Along which axis the body is, feet to head, in most frames; and in which share of all,
        and of those in which it is along any; 0 where it is along none."""
        body = unit(self.top - _mean(self.feet))
        along = np.stack([body @ np.array(R)[1] for R in UP_TO_Y.values()])
        counts = (along > _ALONG).sum(axis=1)
        best = int(counts.argmax())
        every = (np.isfinite(body[:, 0]).sum(), counts.sum())
        share, among = (float(counts[best] / max(1, count)) for count in every)
        return list(UP_TO_Y)[best], share, among


def _person(markers: Markers) -> _Person | None:
    parts: dict[tuple[str, ...], list[int]] = {p: [] for p in (_TOP, _PELVIS, _FEET, _HANDS)}
    for i, name in enumerate(markers.names):
        found = place_of(name)
        place = found.place if found else name.lower()
        for names, columns in parts.items():
            if place in names and markers.present[:, i].any():
                columns.append(i)
    top, pelvis, feet, hands = (markers.xyz[:, columns] for columns in parts.values())
    if not feet.size or not (top.size or pelvis.size):
        return None
    high, middle = (top, pelvis) if top.size and pelvis.size else (top if top.size else pelvis,) * 2
    return _Person(markers.xyz, _mean(high), _mean(middle), feet, hands, markers.timeline.time)


def _is_vertical(person: _Person, axis: str) -> bool:
    """Whether `axis`, along which the body is, is the vertical; see `stand_up`."""
    up = np.array(UP_TO_Y[axis], float)[1]
    falls = _flight(person)
    if falls is not None:
        return bool(abs(falls @ up) > _ALONG)
    if _steps(person, up):
        return True
    if axis not in ("Z", "-Y"):  # as no laboratory records: feet near zero may be by chance
        return False
    y = person.xyz[..., 1]
    if axis == "-Y":
        other = _on_floor(person.hands @ np.array([0.0, 1.0, 0.0]))  # stands on the hands
    else:
        low, high = np.nanpercentile(y, [1, 99])
        other = bool(_LYING_M[0] < low < _LYING_M[1] and high < _LYING_M[2])
    return _on_floor(person.feet @ up) and not other


def _on_floor(heights: FloatArray) -> bool:
    """Whether the lowest of (T, N) heights stand on a floor at zero."""
    if not np.isfinite(heights).any():
        return False
    level = float(np.nanpercentile(np.nanmin(heights[np.isfinite(heights).any(1)], axis=1), 10))
    return _FLOOR_M[0] < level < _FLOOR_M[1]


def _steps(person: _Person, up: FloatArray) -> bool:
    """Whether the pelvis goes across `up` while a foot stands."""
    level = np.eye(3) - np.outer(up, up)
    way = person.pelvis @ level
    if np.linalg.norm(np.nanmax(way, axis=0) - np.nanmin(way, axis=0)) < _STEPS_M:
        return False
    speed = _speed(way, person.time)
    foot = np.stack([_speed(xyz, person.time) for xyz in np.moveaxis(person.feet, 1, 0)])
    slowest = np.where(np.isfinite(foot), foot, np.inf).min(axis=0)
    going = speed > _STEPS_M_S
    return bool(going.any() and (slowest < _STANDING * speed)[going].mean() > _STEPPING)


def _flight(person: _Person) -> FloatArray | None:
    """(3,) the direction of the acceleration in the longest flight; None where there is none.

    In the air the pelvis and the upper body fall at about g, whatever the limbs do.
    """
    centre = (person.top + person.pelvis) / 2
    step = float(np.median(np.diff(person.time))) if len(person.time) > 1 else 0.0
    half = round(_FLIGHT_S / 2 / step) if step else 0
    if half < 2 or len(centre) < 2 * half + 1:
        return None
    # A parabola through each stretch of that length; time within it is exact for a steady rate.
    t = step * np.arange(-half, half + 1)
    weights = np.linalg.pinv(np.stack([np.ones_like(t), t, t**2 / 2], axis=1))[2]
    acceleration = sliding_window_view(centre, 2 * half + 1, axis=0) @ weights
    size = np.linalg.norm(acceleration, axis=-1)
    low, high = _GRAVITY_M_S2
    flying = (size > low) & (size < high)
    runs = true_runs(flying)
    longest = max(runs, key=lambda run: run[1] - run[0], default=(0, 0))
    if longest[1] - longest[0] < 2 * half:
        return None
    return np.asarray(unit(acceleration[slice(*longest)].mean(axis=0)))


def _speed(xyz: FloatArray, time: FloatArray) -> FloatArray:
    """(T,) m/s of points (T, 3), from sample to sample."""
    if len(time) < 2:
        return np.full(len(time), np.nan)
    return np.asarray(np.linalg.norm(np.gradient(xyz, time, axis=0), axis=-1))


def _mean(xyz: FloatArray) -> FloatArray:
    """(T, 3) of those of (T, N, 3) that are there."""
    there = all_finite(xyz)
    count = there.sum(axis=1)[:, None]
    total = np.where(there[..., None], xyz, 0.0).sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
