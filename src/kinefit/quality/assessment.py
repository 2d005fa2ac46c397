"""How far results can be trusted, in numbers: computed from the files that were written out."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kinefit.geometry.projection import project, to_camera
from kinefit.metrics.statistics import mean_of
from kinefit.quality.quantities import (
    AngleQuality,
    FootQuality,
    GaitQuality,
    MarkerQuality,
    Quality,
    SegmentQuality,
    Source,
    View,
    ViewQuality,
)
from kinefit.skeletons.limbs import limbs
from kinefit.types import (
    BoolArray,
    Camera,
    CameraRig,
    FloatArray,
    InvalidData,
    JointAngles,
    Keypoints2D,
    Markers,
    Timeline,
    all_finite,
    true_runs,
)

# Coefficient of variation of a segment's length in percent. Markers that sit truly on a body (12
# synthetic clips: walking, squats, jumps, jumping jacks) change by up to 5.7 %, as a shoulder's
# surface slides over its joint; beyond the second figure positions are wrong.
LENGTH_GOOD_PCT, LENGTH_BAD_PCT = 2.0, 6.0

# A step is a jump when it differs from the median step within 0.1 s by more than both. Measured
# motion capture (36,222 frames of walking, sports and climbing at 30 Hz; drop jumps at 100 Hz)
# has one such frame in 1,000, half of them known glitches; exchanged legs make steps of 5-20 m/s.
# Steps are taken over a 60th of a second or one frame, so that a rate above changes nothing.
_JUMP_SPEED, _JUMP_STEP, _JUMP_WINDOW_S, _JUMP_HZ = 4.0, 0.05, 0.1, 60.0  # m/s, m, s, Hz

BACKWARD_DEG = -15.0  # knee flexion below it: beyond hypermobile knees (10 degrees)
# A heel or toe is on the floor while it is near its lowest level (5th percentile) and neither
# rises nor sinks nor swings. In optical motion capture and on 11 of 12 synthetic clips, up to 13 %
# of that time is faster than 0.2 m/s over the floor; where a fit lets feet slide, 40 to 100 % is.
_FLOOR_HEIGHT, _FLOOR_RISE, _FLOOR_SPEED, _SLIDE_SPEED = 0.03, 0.1, 0.5, 0.2  # m, then m/s
_SPEED_SPAN_S, _LEAST_CONTACT_S = 0.05, 0.2
_BELOW_FLOOR = -0.02  # m
SURE = 0.5  # visibility below it: the detector mostly guesses
_FEWEST = 10  # frames below which a spread or range says nothing
_FEWEST_POINTS = 6  # of a body in a picture, for a distance from it
OFF_M = 0.08  # metres between the drawn and the detected body beyond which they are two

# Walking: pelvis speed (m/s), hips in opposition (correlation), range of both hips (degrees), s.
_WALK_SPEED, _WALK_OPPOSED, _WALK_RANGE, _WALK_SECONDS = (0.3, 2.3), -0.5, 15.0, 1.0
# Range of motion in degrees that normal walking stays within (OpenSim's gait models, motion
# capture and textbooks, with room); outside, something is wrong with the data or unusual in the
# person. Walks filmed from the front by one camera have half of their true ranges.
GAIT_RANGES = MappingProxyType({"hip": (30.0, 55.0), "knee": (45.0, 75.0), "ankle": (18.0, 50.0)})

# Names of the frame sets of `Quality.flags`, as the report shows them.
LOST, DIM, DAMAGED, OFF = "nobody seen", "hardly visible", "video damaged", "beside the person"
JUMP, KNEE, FLOOR = "jump", "{} knee bends backwards", "{} foot below the floor"

_Ends = tuple[tuple[str, ...], tuple[str, ...]]  # each end is the mean of the named markers


def assess(
    final: Markers,
    *,
    initial: Markers | None = None,
    angles: JointAngles | None = None,
    views: Sequence[View] = (),
    rig: CameraRig | None = None,
) -> Quality:
    """Measure a result by what was written: read the files back and pass them here.

    final: all markers, T frames; initial: those of the body, where they are apart. views: what each
    camera saw. rig: the cameras in the world of the markers, with the names of `views`.
    Raises InvalidData when the parts do not have the same number of frames.
    """
    count = len(final.timeline)
    parts = {"initial": initial, "angles": angles} | {v.name: v.image for v in views}
    for name, part in parts.items():
        if part is not None and (found := len(part.timeline)) != count:
            raise InvalidData(f"Quality: {name} has {found} frames, the final markers {count}.")
    body = final if initial is None else initial
    off = {v.name: _distance(body, v.image, rig[v.name]) for v in views} if rig is not None else {}
    feet = [_foot(final, side) for side in ("right", "left")]
    one = len(views) == 1
    return Quality(
        timeline=final.timeline,
        # False without any marker.
        posed=mean_of(final.present[:, final.present.any(axis=0)], 1) > 0.5,
        visibility=mean_of(np.array([np.full(count, np.nan), *(_score(v) for v in views)]), 0),
        views=tuple(_view(v, off.get(v.name)) for v in views),
        initial=() if initial is None else _markers(initial),
        final=_markers(final),
        segments=_segments(final),
        angles=() if angles is None else _angles(angles),
        feet=tuple(foot for foot in feet if foot is not None),
        gait=_gait(final, angles),
        swaps={
            name if one else f"{name} in {v.name}": np.asarray(flags, bool)
            for v in views
            for name, flags in v.swaps.items()
            if np.any(flags)
        },
        flags=_flags(final, body, angles, views, [metres for _, metres in off.values()]),
        head_above_m=_head_above(body),
    )


def upside_down(markers: Markers) -> bool:
    """Whether the upper body is not above the feet along Y in the median frame: a video turned the
    wrong way, or a file whose vertical axis is another.
    """
    return _head_above(markers) < 0.1  # False where NaN


def _head_above(markers: Markers) -> float:
    high = _heights(markers, ("Head", "Neck", "C7", "C7_study", "RShoulder", "r_shoulder_study"))
    low = _heights(markers, ("RAnkle", "LAnkle", "r_ankle_study", "L_ankle_study"))
    return _median(high - low)


def _heights(markers: Markers, names: tuple[str, ...]) -> FloatArray:
    """(T,) Y of the first of `names` that the set has; NaN without any."""
    for name in names:
        if name in markers.names and markers.present[:, markers.names.index(name)].any():
            return np.asarray(markers.xyz[:, markers.names.index(name), 1])
    return np.full(len(markers.timeline), np.nan)


def jumps(markers: Markers) -> BoolArray:
    """(T, M) True where a marker arrives by a step that no body makes (see `_JUMP_SPEED`)."""
    flags = np.zeros(markers.xyz.shape[:2], bool)
    time = markers.timeline.time
    if len(time) < 4:
        return flags
    rate = markers.timeline.rate_hz
    span = min(max(1, round(rate / _JUMP_HZ)), len(time) - 1)
    dt = (time[span:] - time[:-span])[:, None, None]
    step = markers.xyz[span:] - markers.xyz[:-span]
    usual = _running_median(step / dt, max(2, round(_JUMP_WINDOW_S * rate)))
    excess = np.linalg.norm(step - usual * dt, axis=-1)
    flags[span:] = excess > np.maximum(_JUMP_STEP, _JUMP_SPEED * dt[..., 0])  # False where NaN
    return flags


def _running_median(values: FloatArray, half: int) -> FloatArray:
    """Median over `half` samples to both sides along axis 0 (T, ...), missing ones left out."""
    around = ((half, half), *[(0, 0)] * (values.ndim - 1))
    padded = np.pad(values, around, constant_values=np.nan)
    windows = sliding_window_view(padded, 2 * half + 1, axis=0)
    ordered = np.sort(windows, axis=-1)  # NaN last; nanmedian is 40 times slower here
    count = np.isfinite(windows).sum(axis=-1)
    ends = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, 2 * half)
    low, high = (np.take_along_axis(ordered, i[..., None], -1)[..., 0] for i in ends)
    return np.asarray((low + high) / 2)


def _score(view: View) -> FloatArray:
    """(T,) mean score of the points found; NaN where there is nobody."""
    return mean_of(np.where(all_finite(view.image.xy), view.image.score, np.nan), -1)


def _view(view: View, off: tuple[FloatArray, FloatArray] | None) -> ViewQuality:
    image = view.image
    seen = image.found
    edge = np.array(image.image_size) - 1
    outside = np.asarray(((image.xy < 0) | (image.xy > edge)).any(axis=-1))

    def shares(flags: BoolArray) -> dict[str, float]:
        found = dict(zip(image.names, flags[seen].mean(axis=0) * 100, strict=True))
        return {name: float(share) for name, share in found.items() if share > 0}

    pixels, metres = (np.full(len(seen), np.nan),) * 2 if off is None else off
    hidden, out = (shares(f) if seen.any() else {} for f in (image.score < SURE, outside))
    return ViewQuality(
        view.name, _percent(seen), _median(pixels), 100 * _median(metres), hidden, out
    )


def _distance(
    markers: Markers, image: Keypoints2D, camera: Camera
) -> tuple[FloatArray, FloatArray]:
    """(T,) mean distance between markers drawn into a picture and the points of the same name in it
    of which the detector is sure: in pixels, and in metres where the person is; NaN where few are.
    """
    names = [name for name in markers.names if name in image.names]
    xyz = markers.xyz[:, [markers.names.index(name) for name in names]]
    column = [image.names.index(name) for name in names]
    pixels = np.linalg.norm(project(camera, xyz) - image.xy[:, column], axis=-1)
    pixels = np.where(image.score[:, column] >= SURE, pixels, np.nan)
    focal = np.sqrt(camera.K[0, 0] * camera.K[1, 1])
    metres = pixels * to_camera(camera, xyz)[..., 2] / focal
    few = np.isfinite(pixels).sum(axis=1) < _FEWEST_POINTS
    pixels, metres = (np.where(few, np.nan, mean_of(v, -1)) for v in (pixels, metres))
    return pixels, metres


def _percent(flags: BoolArray) -> float:
    return float(100 * np.mean(flags)) if len(flags) else float("nan")


def _median(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _markers(markers: Markers) -> tuple[MarkerQuality, ...]:
    present, jump = markers.present, jumps(markers)
    nowhere = np.full(present.shape, np.nan)
    sd = nowhere if markers.sd is None else np.linalg.norm(markers.sd, axis=-1)
    return tuple(
        MarkerQuality(
            name=name,
            present_pct=_percent(present[:, i]),
            estimated_pct=_percent(markers.estimated[:, i] & present[:, i]),
            longest_gap_s=longest_s(~present[:, i], markers.timeline),
            jumps=int(jump[:, i].sum()),
            sd_mm=1000 * _median(sd[:, i]),
        )
        for i, name in enumerate(markers.names)
    )


def longest_s(flags: BoolArray, timeline: Timeline) -> float:
    """Seconds of the longest run of `flags`, each frame counted with its own length."""
    longest = max((b - a for a, b in true_runs(flags)), default=0)
    return longest / timeline.rate_hz if longest else 0.0


# Segments between augmented markers, as those of `skeletons.limbs` are called; {} is r or L, with
# the hip joint centre named apart. (Upper arms have none: the acromion moves against them, by 9 %
# in measured drop jumps.)
_AUGMENTED: dict[str, _Ends] = {
    "{} thigh": (("HJC_study",), ("_knee_study", "_mknee_study")),
    "{} shank": (("_knee_study", "_mknee_study"), ("_ankle_study", "_mankle_study")),
    "{} foot": (("_calc_study",), ("_toe_study",)),
    "{} forearm": (("_lelbow_study", "_melbow_study"), ("_lwrist_study", "_mwrist_study")),
}
_ASIS = ("r.ASIS_study", "L.ASIS_study")


def _segment_ends() -> dict[tuple[str, Source], _Ends]:
    """(name, between what) -> the markers whose means are its ends."""
    chosen = [*limbs("long"), *(limb for limb in limbs() if limb.name.endswith(" foot"))]
    chosen += limbs("girdle")
    found: dict[tuple[str, Source], _Ends] = {
        (limb.name, "landmarks"): ((limb.start,), (limb.end,)) for limb in chosen
    }
    for side, hip, other in (("right", "R", "r"), ("left", "L", "L")):
        for name, (a, b) in _AUGMENTED.items():
            a, b = (tuple((hip if m[0] == "H" else other) + m for m in end) for end in (a, b))
            found[name.format(side), "augmented"] = (a, b)
    found["hips", "augmented"] = (_ASIS[:1], _ASIS[1:])
    return found


def _point(markers: Markers, names: tuple[str, ...]) -> FloatArray | None:
    """(T, 3) mean of the named markers; None when the set lacks one."""
    if not set(names) <= set(markers.names):
        return None
    pick = markers.index(names, needed_for="quality")
    return np.asarray(markers.xyz[:, pick].mean(axis=1))


def first_point(markers: Markers, *choices: tuple[str, ...]) -> FloatArray | None:
    """(T, 3) mean of the first group of markers that the set has; None when it has none."""
    return next((p for names in choices if (p := _point(markers, names)) is not None), None)


def _segments(markers: Markers) -> tuple[SegmentQuality, ...]:
    found = []
    for (name, source), (a, b) in _segment_ends().items():
        start, stop = _point(markers, a), _point(markers, b)
        if start is None or stop is None:
            continue
        pick = markers.index((*a, *b), needed_for="quality")
        length = np.linalg.norm(start - stop, axis=1)
        kept = np.isfinite(length)
        if source == "landmarks":
            kept &= ~markers.estimated[:, pick].any(axis=1)
        length = length[kept]
        mean = float(length.mean()) if len(length) else float("nan")
        cv = float(100 * length.std() / mean) if len(length) >= _FEWEST and mean > 0 else np.nan
        found.append(SegmentQuality(name, source, mean, float(cv), len(length)))
    return tuple(found)


def _angles(angles: JointAngles) -> tuple[AngleQuality, ...]:
    found = []
    for i, name in enumerate(angles.names):
        column = angles.degrees[:, i]
        seen = column[np.isfinite(column)]
        low, high = (float(seen.min()), float(seen.max())) if len(seen) else (np.nan, np.nan)
        shares = _percent(np.isfinite(column)), _percent(angles.gimbal[:, i])
        found.append(AngleQuality(name, *shares, low, high))
    return tuple(found)


def _foot_points(markers: Markers, side: str) -> list[FloatArray]:
    """Heel and toe of one foot, each (T, 3)."""
    up, low = ("R", "r") if side == "right" else ("L", "L")
    heel = first_point(markers, (f"{up}Heel",), (f"{low}_calc_study",))
    toe = first_point(markers, (f"{up}BigToe",), (f"{low}_toe_study",))
    return [p for p in (heel, toe) if p is not None and np.isfinite(p).any()]


def _foot(markers: Markers, side: str) -> FootQuality | None:
    points = _foot_points(markers, side)
    if not points or len(markers.timeline) < _FEWEST:
        return None
    contact, speed = np.zeros(len(markers.timeline), bool), []
    for point in points:
        velocity = _velocity(markers.timeline, point)
        across = np.linalg.norm(velocity[:, [0, 2]], axis=1)
        slow = (across < _FLOOR_SPEED) & (np.abs(velocity[:, 1]) < _FLOOR_RISE)
        touches = slow & (point[:, 1] - np.nanpercentile(point[:, 1], 5) < _FLOOR_HEIGHT)
        contact |= touches
        speed.append(across[touches])
    sliding = np.concatenate(speed)
    enough = contact.sum() / markers.timeline.rate_hz >= _LEAST_CONTACT_S
    return FootQuality(
        side=side,
        contact_pct=_percent(contact),
        slide_pct=_percent(sliding > _SLIDE_SPEED) if enough else float("nan"),
        slide_m_s=float(sliding.mean()) if enough else float("nan"),
        below_pct=_percent(_below_floor(markers, side)),
    )


def _velocity(timeline: Timeline, point: FloatArray) -> FloatArray:
    """(T, 3) m/s over a twentieth of a second, or two frames."""
    reach = max(1, round(_SPEED_SPAN_S / 2 * timeline.rate_hz))
    row = np.arange(len(point))
    first, last = np.maximum(row - reach, 0), np.minimum(row + reach, len(point) - 1)
    duration = timeline.time[last] - timeline.time[first]
    return np.asarray((point[last] - point[first]) / duration[:, None])


def _below_floor(markers: Markers, side: str) -> BoolArray:
    flags = np.zeros(len(markers.timeline), bool)
    for point in _foot_points(markers, side):
        flags |= point[:, 1] < _BELOW_FLOOR  # False where NaN
    return flags


def _gait(markers: Markers, angles: JointAngles | None) -> GaitQuality | None:
    """Figures of walking; None when the clip is something else, or too short to tell."""
    right = first_point(markers, ("RHip",), ("RHJC_study",), _ASIS[:1])
    left = first_point(markers, ("LHip",), ("LHJC_study",), _ASIS[1:])
    hips = ("hip_r_flex", "hip_l_flex")
    if right is None or left is None or angles is None or not set(hips) <= set(angles.names):
        return None
    time = markers.timeline.time
    both = np.stack([angles.column(name) for name in hips], axis=1)
    seen = all_finite(both) & all_finite(right) & all_finite(left)
    if seen.sum() < _FEWEST or time[seen][-1] - time[seen][0] < _WALK_SECONDS:
        return None
    both = both[seen]
    if (both.max(axis=0) - both.min(axis=0)).min() < _WALK_RANGE:
        return None
    if np.asarray(np.corrcoef(both.T))[0, 1] > _WALK_OPPOSED:
        return None
    middle = ((right + left) / 2)[seen][:, [0, 2]]
    velocity = np.asarray(np.gradient(middle, time[seen], axis=0))
    speed = np.hypot(velocity[:, 0], velocity[:, 1])
    if not _WALK_SPEED[0] <= np.median(speed) <= _WALK_SPEED[1]:
        return None
    across = (right - left)[seen]
    facing = np.stack([across[:, 2], -across[:, 0]], axis=1)  # up x right, in the floor plane
    width = np.linalg.norm(facing, axis=1)
    cosine = (facing * velocity).sum(axis=1) / np.maximum(width * speed, 1e-9)
    names = [f"{joint}_{side}_flex" for joint in GAIT_RANGES for side in "rl"]
    flexion = {n: angles.column(n) for n in names if n in angles.names}
    ranges = {n: float(np.nanmax(v) - np.nanmin(v)) for n, v in flexion.items() if (v == v).any()}
    return GaitQuality(float(np.median(speed)), float(np.median(cosine)), ranges)


def _flags(
    final: Markers,
    body: Markers,
    angles: JointAngles | None,
    views: Sequence[View],
    off_m: Sequence[FloatArray],
) -> dict[str, BoolArray]:
    """What -> frames, for what was found at least once.

    Several cameras vouch for each other: two of them that see the person well are enough.
    """
    enough = min(2, len(views))

    def too_few(fine: Sequence[BoolArray]) -> BoolArray:
        return np.asarray(np.sum(fine, axis=0) < enough)

    found = {JUMP: jumps(body).any(axis=1)}
    if views:
        whole = np.ones(len(final.timeline), bool)
        damaged = too_few([whole if v.damaged is None else ~v.damaged for v in views])
        lost = too_few([v.image.found for v in views]) & ~damaged
        dim = too_few([_score(v) >= SURE for v in views]) & ~lost & ~damaged
        found |= {DAMAGED: damaged, LOST: lost, DIM: dim}
    if off_m:
        found[OFF] = mean_of(np.stack(off_m), 0) > OFF_M  # False where NaN
    for side in ("right", "left"):
        name = f"knee_{side[0]}_flex"
        if angles is not None and name in angles.names:
            found[KNEE.format(side)] = angles.column(name) < BACKWARD_DEG
        found[FLOOR.format(side)] = _below_floor(final, side)
    return {name: np.asarray(flags) for name, flags in found.items() if np.any(flags)}
