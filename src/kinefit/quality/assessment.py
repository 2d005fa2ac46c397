"""How far a run can be trusted, in numbers: computed from the files that were written out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType
from typing import Any, Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from kinefit.types import (
    BoolArray,
    FloatArray,
    IntArray,
    InvalidData,
    JointAngles,
    Markers,
    PoseTrack,
    Timeline,
    all_finite,
)

# Coefficient of variation of a bone's length in percent: triangulated points stay below the
# first, and beyond the second the 3D positions are not to be used for more than a look.
LENGTH_GOOD_PCT, LENGTH_BAD_PCT = 2.0, 5.0

# A step is a jump when it differs from the median step within 0.1 s by more than both. Measured
# motion capture (36,222 frames of walking, sports and climbing at 30 Hz; drop jumps at 100 Hz)
# has one such frame in 1,000, half of them known glitches; exchanged legs make steps of 5-20 m/s.
_JUMP_SPEED, _JUMP_STEP, _JUMP_WINDOW_S = 4.0, 0.05, 0.1  # m/s, m, s

BACKWARD_DEG = -15.0  # knee flexion below it: beyond hypermobile knees (10 degrees)
_CONTACT_HEIGHT, _CONTACT_SPEED, _SKATE_SPEED = 0.05, 0.5, 0.2  # m, m/s, m/s
_BELOW_FLOOR = -0.02  # m
_VISIBLE = 0.5  # mean visibility below it: the detector mostly guesses
_FEWEST = 10  # frames below which a spread or range says nothing

# Walking: pelvis speed (m/s), hips in opposition (correlation), range of both hips (degrees), s.
_WALK_SPEED, _WALK_OPPOSED, _WALK_RANGE, _WALK_SECONDS = (0.3, 2.3), -0.5, 15.0, 1.0
# Range of motion in degrees that normal walking stays within (OpenSim's gait models and
# textbooks, with room); outside, something is wrong with the data or unusual in the person.
GAIT_RANGES = MappingProxyType({"hip": (30.0, 55.0), "knee": (45.0, 75.0), "ankle": (18.0, 40.0)})

Source = Literal["landmarks", "augmented"]
_Ends = tuple[tuple[str, ...], tuple[str, ...]]  # each end is the mean of the named markers


@dataclass(frozen=True)
class MarkerQuality:
    """One marker over the whole clip.

    present_pct, estimated_pct: share of frames with a position, and with one that was not
        measured. longest_gap_s: longest stretch without a position, seconds.
    jumps: steps that no body makes. sd_mm: median standard deviation (NaN when unknown).
    """

    name: str
    present_pct: float
    estimated_pct: float
    longest_gap_s: float
    jumps: int
    sd_mm: float


@dataclass(frozen=True)
class SegmentQuality:
    """A bone's length: between landmarks over the frames in which both ends were measured,
    between augmented markers, which are all computed, over those in which both are present.

    mean_m: metres. cv_pct: 100 x standard deviation / mean; NaN below 10 frames.
    """

    name: str
    source: Source
    mean_m: float
    cv_pct: float
    frames: int


@dataclass(frozen=True)
class AngleQuality:
    """One angle: share of frames with a value and near gimbal lock, range and noise (degrees)."""

    name: str
    present_pct: float
    gimbal_pct: float
    low: float
    high: float
    sd: float


@dataclass(frozen=True)
class FootQuality:
    """One foot on the floor, judged without a reference.

    contact_pct: frames with heel or toe within 5 cm of its lowest level, slower than 0.5 m/s.
    skate_pct: share of those in which it slides faster than 0.2 m/s; skate_m_s: mean speed there.
    below_pct: frames with the heel or toe more than 2 cm under the floor (height 0).
    """

    side: str
    contact_pct: float
    skate_pct: float
    skate_m_s: float
    below_pct: float


@dataclass(frozen=True)
class GaitQuality:
    """A clip that is walking.

    speed_m_s: median horizontal speed of the pelvis. forward: mean cosine between the way the
    pelvis moves and the way it faces (1 forward, -1 backward). ranges: degrees per joint flexion.
    """

    speed_m_s: float
    forward: float
    ranges: tuple[tuple[str, float], ...]


@dataclass(frozen=True, eq=False)
class Quality:
    """What `assess` found; arrays run along `timeline`.

    points_found: (T,) detected points; points_total: how many there could be (0 without a track).
    visibility: (T,) mean score of the detected points, NaN where there are none.
    damaged: (T,) frames that could not be decoded.
    swaps: group -> (T,) where the detector exchanged left and right.
    findings: what -> (T,) frames: "jump", "right knee bends backwards", ...
    """

    timeline: Timeline
    points_found: IntArray
    points_total: int
    visibility: FloatArray
    damaged: BoolArray
    initial: tuple[MarkerQuality, ...]
    final: tuple[MarkerQuality, ...]
    segments: tuple[SegmentQuality, ...]
    angles: tuple[AngleQuality, ...]
    feet: tuple[FootQuality, ...]
    gait: GaitQuality | None
    swaps: Mapping[str, BoolArray]
    findings: Mapping[str, BoolArray]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values: NaN as null, frame sets as [first, last] pairs."""
        frame = self.timeline.frame
        return {
            "frames": {
                "frame": frame.tolist(),
                "points_found": self.points_found.tolist(),
                "points_total": self.points_total,
                "visibility": [_plain(v) for v in self.visibility.tolist()],
                "damaged": frame_pairs(self.damaged, frame),
            },
            "swaps": {k: frame_pairs(v, frame) for k, v in self.swaps.items()},
            "findings": {k: frame_pairs(v, frame) for k, v in self.findings.items()},
            "initial_markers": _table(self.initial),
            "final_markers": _table(self.final),
            "segments": _table(self.segments),
            "angles": _table(self.angles),
            "feet": _table(self.feet),
            "gait": None if self.gait is None else _table([self.gait])[0],
        }


def assess(
    final: Markers,
    *,
    track: PoseTrack | None = None,
    initial: Markers | None = None,
    angles: JointAngles | None = None,
    swaps: Mapping[str, BoolArray] = MappingProxyType({}),
) -> Quality:
    """Judge a run by what it wrote: read the files back and pass them here.

    track: what the detector saw, before left and right were put right again. swaps: group
    ("legs", "arms", "body") -> (T,) True where they were exchanged.
    Raises InvalidData when the parts do not have the same number of frames.
    """
    count = len(final.timeline)
    image = None if track is None else track.image
    parts = {"track": image, "initial": initial, "angles": angles}
    lengths = {k: len(p.timeline) for k, p in parts.items() if p is not None}
    lengths |= {f"swaps[{k}]": len(v) for k, v in swaps.items()}
    for name, length in lengths.items():
        if length != count:
            raise InvalidData(f"Quality: {name} has {length} frames, the final markers {count}.")
    timeline = final.timeline if track is None else track.image.timeline
    damaged = np.zeros(count, bool) if track is None else np.isin(timeline.frame, track.damaged)
    feet = [_foot(final, side) for side in ("right", "left")]
    return Quality(
        timeline=timeline,
        points_found=_points_found(track, count),
        points_total=0 if track is None else len(track.image.names),
        visibility=_visibility(track, count),
        damaged=damaged,
        initial=() if initial is None else _markers(initial),
        final=_markers(final),
        segments=_segments(final),
        angles=() if angles is None else _angles(angles),
        feet=tuple(foot for foot in feet if foot is not None),
        gait=_gait(final, angles),
        swaps={k: np.asarray(v, bool) for k, v in swaps.items()},
        findings=_findings(final, track, initial, angles),
    )


def upside_down(markers: Markers) -> bool:
    """Whether the upper body is not above the feet along Y in the median frame: a video turned the
    wrong way, or a file whose vertical axis is another.
    """
    high = _heights(markers, ("Head", "Neck", "C7", "C7_study", "RShoulder", "r_shoulder_study"))
    low = _heights(markers, ("RAnkle", "LAnkle", "r_ankle_study", "L_ankle_study"))
    above = high - low
    return bool(np.isfinite(above).any() and np.nanmedian(above) < 0.1)


def body_extent(markers: Markers) -> float:
    """Metres between the outermost markers along one axis, median over the frames; NaN if none."""
    low = np.where(markers.present[..., None], markers.xyz, np.inf).min(axis=1)
    high = np.where(markers.present[..., None], markers.xyz, -np.inf).max(axis=1)
    seen = markers.present.any(axis=1)
    return float(np.median((high - low)[seen].max(axis=1))) if seen.any() else float("nan")


def _heights(markers: Markers, names: tuple[str, ...]) -> FloatArray:
    """(T,) Y of the first of `names` that the set has; NaN without any."""
    found = [
        n for n in names if n in markers.names and markers.present[:, markers.names.index(n)].any()
    ]
    if not found:
        return np.full(len(markers.timeline), np.nan)
    return np.asarray(markers.xyz[:, markers.names.index(found[0]), 1])


def frame_pairs(flags: BoolArray, frame: IntArray) -> list[list[int]]:
    """The runs of `flags` (T,) as [first, last] numbers of `frame` (T,)."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], np.asarray(flags, int), [0]])))
    return [
        [int(frame[a]), int(frame[b - 1])] for a, b in zip(edges[::2], edges[1::2], strict=True)
    ]


def jumps(markers: Markers) -> BoolArray:
    """(T, M) True where a marker arrives by a step that no body makes (see `_JUMP_SPEED`)."""
    flags = np.zeros(markers.xyz.shape[:2], bool)
    if len(markers.timeline) < 4:
        return flags
    dt = np.diff(markers.timeline.time)[:, None, None]
    step = np.diff(markers.xyz, axis=0)
    usual = _running_median(step / dt, max(2, round(_JUMP_WINDOW_S * markers.timeline.rate_hz)))
    excess = np.linalg.norm(step - usual * dt, axis=-1)
    flags[1:] = excess > np.maximum(_JUMP_STEP, _JUMP_SPEED * dt[..., 0])  # False where NaN
    return flags


def _running_median(values: FloatArray, half: int) -> FloatArray:
    """Median over `half` samples to both sides along axis 0 (T, ...), missing ones left out."""
    around = ((half, half), *[(0, 0)] * (values.ndim - 1))
    windows = sliding_window_view(
        np.pad(values, around, constant_values=np.nan), 2 * half + 1, axis=0
    )
    ordered = np.sort(windows, axis=-1)  # NaN last; nanmedian is 40 times slower here
    count = np.isfinite(windows).sum(axis=-1)
    low, high = np.maximum(count - 1, 0) // 2, np.minimum(count // 2, 2 * half)
    pick = [np.take_along_axis(ordered, i[..., None], -1)[..., 0] for i in (low, high)]
    return np.asarray((pick[0] + pick[1]) / 2)


def _points_found(track: PoseTrack | None, count: int) -> IntArray:
    if track is None:
        return np.zeros(count, np.int64)
    return np.asarray(all_finite(track.image.xy).sum(axis=1), np.int64)


def _visibility(track: PoseTrack | None, count: int) -> FloatArray:
    if track is None:
        return np.full(count, np.nan)
    return _mean(track.image.score, all_finite(track.image.xy))


def _mean(values: FloatArray, mask: BoolArray) -> FloatArray:
    """Mean along the last axis of what `mask` keeps; NaN where it keeps nothing."""
    number = mask.sum(axis=-1)
    total = np.where(mask, values, 0.0).sum(axis=-1)
    return np.where(number > 0, total / np.maximum(number, 1), np.nan)


def _percent(flags: BoolArray) -> float:
    return float(100 * np.mean(flags)) if len(flags) else float("nan")


def _median(values: FloatArray) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if len(finite) else float("nan")


def _markers(markers: Markers) -> tuple[MarkerQuality, ...]:
    present, jump = markers.present, jumps(markers)
    sd = (
        np.full(present.shape, np.nan)
        if markers.sd is None
        else np.linalg.norm(markers.sd, axis=-1)
    )
    return tuple(
        MarkerQuality(
            name=name,
            present_pct=_percent(present[:, i]),
            estimated_pct=_percent(markers.estimated[:, i] & present[:, i]),
            longest_gap_s=_longest(~present[:, i], markers.timeline),
            jumps=int(jump[:, i].sum()),
            sd_mm=1000 * _median(sd[:, i]),
        )
        for i, name in enumerate(markers.names)
    )


def _longest(flags: BoolArray, timeline: Timeline) -> float:
    """Seconds of the longest run of `flags`, each frame counted with its own length."""
    longest = max((b - a + 1 for a, b in frame_pairs(flags, np.arange(len(flags)))), default=0)
    return longest / timeline.rate_hz if longest else 0.0


def _limb_ends(side: str) -> dict[tuple[str, Source], _Ends]:
    """The segments of one side, by the landmarks' names and by the augmented markers'."""
    up, low = ("R", "r") if side == "right" else ("L", "L")
    knee, ankle = (f"{low}_knee_study", f"{low}_mknee_study"), (
        f"{low}_ankle_study", f"{low}_mankle_study",
    )  # fmt: skip
    elbow, wrist = (f"{low}_lelbow_study", f"{low}_melbow_study"), (
        f"{low}_lwrist_study", f"{low}_mwrist_study",
    )  # fmt: skip
    ends: dict[tuple[str, Source], _Ends] = {
        ("thigh", "landmarks"): ((f"{up}Hip",), (f"{up}Knee",)),
        ("thigh", "augmented"): ((f"{up}HJC_study",), knee),
        ("shank", "landmarks"): ((f"{up}Knee",), (f"{up}Ankle",)),
        ("shank", "augmented"): (knee, ankle),
        ("foot", "landmarks"): ((f"{up}Heel",), (f"{up}BigToe",)),
        ("foot", "augmented"): ((f"{low}_calc_study",), (f"{low}_toe_study",)),
        ("upper arm", "landmarks"): ((f"{up}Shoulder",), (f"{up}Elbow",)),
        # No augmented upper arm: the acromion moves against it, 9 % in measured drop jumps.
        ("forearm", "landmarks"): ((f"{up}Elbow",), (f"{up}Wrist",)),
        ("forearm", "augmented"): (elbow, wrist),
    }
    return {(f"{side} {name}", source): pair for (name, source), pair in ends.items()}


_ASIS, _PSIS = ("r.ASIS_study", "L.ASIS_study"), ("r.PSIS_study", "L.PSIS_study")
_SEGMENTS: dict[tuple[str, Source], _Ends] = {
    ("pelvis width", "landmarks"): (("RHip",), ("LHip",)),
    ("pelvis width", "augmented"): (_ASIS[:1], _ASIS[1:]),
    ("trunk", "landmarks"): (("Hip",), ("Neck",)),
    ("trunk", "augmented"): (_PSIS, ("C7_study",)),
    ("shoulder width", "landmarks"): (("RShoulder",), ("LShoulder",)),
    ("shoulder width", "augmented"): (("r_shoulder_study",), ("L_shoulder_study",)),
    **_limb_ends("right"),
    **_limb_ends("left"),
}


def _point(markers: Markers, names: Iterable[str]) -> FloatArray | None:
    """(T, 3) mean of the named markers; None when the set lacks one."""
    names = tuple(names)
    if not set(names) <= set(markers.names):
        return None
    pick = markers.index(names, needed_for="quality")
    return np.asarray(markers.xyz[:, pick].mean(axis=1))


def _first_point(markers: Markers, *choices: tuple[str, ...]) -> FloatArray | None:
    return next((p for names in choices if (p := _point(markers, names)) is not None), None)


def _segments(markers: Markers) -> tuple[SegmentQuality, ...]:
    found = []
    for (name, source), (a, b) in _SEGMENTS.items():
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
        low, high = (seen.min(), seen.max()) if len(seen) else (np.nan, np.nan)
        sd = np.nan if angles.sd is None else _median(angles.sd[:, i])
        share = (_percent(np.isfinite(column)), _percent(angles.gimbal[:, i]))
        found.append(AngleQuality(name, *share, float(low), float(high), float(sd)))
    return tuple(found)


def _foot_points(markers: Markers, side: str) -> list[FloatArray]:
    """Heel and toe of one foot, each (T, 3)."""
    up, low = ("R", "r") if side == "right" else ("L", "L")
    heel = _first_point(markers, (f"{up}Heel",), (f"{low}_calc_study",))
    toe = _first_point(markers, (f"{up}BigToe",), (f"{low}_toe_study",))
    return [p for p in (heel, toe) if p is not None and np.isfinite(p).any()]


def _foot(markers: Markers, side: str) -> FootQuality | None:
    points = _foot_points(markers, side)
    if not points or len(markers.timeline) < _FEWEST:
        return None
    contact, speed = np.zeros(len(markers.timeline), bool), []
    for point in points:
        velocity = np.gradient(point, markers.timeline.time, axis=0)
        slow = np.linalg.norm(velocity, axis=1) < _CONTACT_SPEED
        touches = slow & (point[:, 1] - np.nanmin(point[:, 1]) < _CONTACT_HEIGHT)
        contact |= touches
        speed.append(np.linalg.norm(velocity[touches][:, [0, 2]], axis=1))
    sliding = np.concatenate(speed)
    return FootQuality(
        side=side,
        contact_pct=_percent(contact),
        skate_pct=_percent(sliding > _SKATE_SPEED),
        skate_m_s=float(sliding.mean()) if len(sliding) else float("nan"),
        below_pct=_percent(_below_floor(markers, side)),
    )


def _below_floor(markers: Markers, side: str) -> BoolArray:
    flags = np.zeros(len(markers.timeline), bool)
    for point in _foot_points(markers, side):
        flags |= point[:, 1] < _BELOW_FLOOR  # False where NaN
    return flags


def _gait(markers: Markers, angles: JointAngles | None) -> GaitQuality | None:
    """Figures of walking; None when the clip is something else, or too short to tell."""
    right = _first_point(markers, ("RHip",), ("RHJC_study",), _ASIS[:1])
    left = _first_point(markers, ("LHip",), ("LHJC_study",), _ASIS[1:])
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
    return GaitQuality(float(np.median(speed)), float(np.median(cosine)), _ranges(angles))


def _ranges(angles: JointAngles) -> tuple[tuple[str, float], ...]:
    names = [f"{joint}_{side}_flex" for joint in GAIT_RANGES for side in "rl"]
    found = {n: angles.column(n) for n in names if n in angles.names}
    return tuple(
        (n, float(np.nanmax(v) - np.nanmin(v))) for n, v in found.items() if (v == v).any()
    )


def _findings(
    final: Markers, track: PoseTrack | None, initial: Markers | None, angles: JointAngles | None
) -> dict[str, BoolArray]:
    """What -> frames, for what was found at least once."""
    found = {"jump": jumps(final if initial is None else initial).any(axis=1)}
    if track is not None:
        lost = ~track.image.found
        lost[np.isin(track.image.timeline.frame, track.damaged)] = False
        found["nobody found"] = lost
        found["hardly visible"] = _visibility(track, len(lost)) < _VISIBLE  # False where NaN
    for side in ("right", "left"):
        name = f"knee_{side[0]}_flex"
        if angles is not None and name in angles.names:
            found[f"{side} knee bends backwards"] = angles.column(name) < BACKWARD_DEG
        found[f"{side} foot below the floor"] = _below_floor(final, side)
    return {name: np.asarray(flags) for name, flags in found.items() if np.any(flags)}


def _table(rows: Sequence[Any]) -> list[dict[str, Any]]:
    return [{k: _plain(v) for k, v in asdict(row).items()} for row in rows]


def _plain(value: Any) -> Any:
    """A JSON value: floats with 4 decimals, NaN as null, tuples of pairs as objects."""
    if isinstance(value, float):
        return None if np.isnan(value) else round(value, 4)
    if isinstance(value, tuple):
        return {name: _plain(number) for name, number in value}
    return value
