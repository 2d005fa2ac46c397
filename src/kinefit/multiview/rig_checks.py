"""What a reprojection error cannot say about a calibration.

A rig whose world is upside down, mirrored or in centimetres projects every point where it should;
so does one whose cameras stand underground. Gravity, a person and the videos themselves tell.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np

from kinefit.geometry.projection import meeting, project, undistort
from kinefit.geometry.scale import body_scale
from kinefit.types import (
    BoolArray,
    Camera,
    CameraRig,
    Finding,
    FloatArray,
    InputError,
    InvalidData,
    Keypoints3D,
    TooFewPoints,
    all_finite,
)

Size = tuple[int, int]

_SAME_ASPECT = 0.002
# Video is coded in blocks of 16 x 16 pixels, so a size can lose or gain up to 15 on the way.
# Where they are lost was asked of the demo (1,088 pixels in the calibration, 1,080 in the videos of
# cameras 1 and 2): 17 landmarks in the 52 frames without exchanged sides, mean error over all
# views (each at most 40 px): cut at the right 11.93 px, scaled 12.25, cut on both sides 12.37, at
# the left 13.02. That is weak evidence (camera 3, whose size fits, is 20 px off by itself, and
# moving it by 8 px gains as much), but it agrees with H.264, which crops at the right and bottom.
_BLOCK = 16

_UNDERGROUND_M, _HIGH_M = -0.1, 12.0
_UPSIDE_DOWN_DEG, _ON_ITS_SIDE_DEG = 135.0, (45.0, 135.0)
_NARROW_DEG = 5.0  # between the directions of two cameras; depth is then ten times the noise aside
_WIDEST_LEAST_DEG = 15.0
_SEEN_LEAST = 0.5
_MAJORITY = 0.5
# People differ by 1.6 % (SD) in the chain's share of stature, detectors by a few more: the demo's
# person comes out within 3 %. A board measured wrongly by a centimetre in ten is 10 %.
_SCALE_OFF = 0.08
_FEET = ("LHeel", "RHeel", "LBigToe", "RBigToe", "LSmallToe", "RSmallToe")
_FLOOR_PERCENTILE = 5.0
_UNITS = {
    1000.0: "millimetres that were read as metres",
    100.0: "centimetres that were read as metres",
    39.37: "inches that were read as metres",
    3.281: "feet that were read as metres",
    10.0: "centimetres that were read as decimetres, or a board ten times too large",
    0.1: "a board ten times too small",
    0.01: "metres that were read as centimetres",
    0.001: "metres that were read as millimetres",
}


@dataclass(frozen=True)
class CameraCheck:
    """One camera against gravity, the other cameras and its video.

    place_m: (x, y, z). height_m: above `RigReport.floor_m`. tilt_deg: positive looking down.
    roll_deg: positive clockwise seen from behind. distance_m: to the middle of what is filmed; None
    for a single camera without a person. seen: share of the person's points inside its picture.
    """

    name: str
    place_m: tuple[float, float, float]
    height_m: float
    tilt_deg: float
    roll_deg: float
    distance_m: float | None
    seen: float | None
    size: Size
    video_size: Size | None


@dataclass(frozen=True)
class PairCheck:
    """Two cameras: how far apart, and the angle between them seen from the middle."""

    cameras: tuple[str, str]
    baseline_m: float
    angle_deg: float


@dataclass(frozen=True)
class PersonCheck:
    """A triangulated person in the rig's world; None where the points do not tell.

    upright: share of frames with the head above the feet. facing: share of frames in which toes
    and nose point where left and right say the front is; near 0 in a mirrored world.
    scale: measured size / the size that the stature asks for, and its standard deviation.
    """

    upright: float | None
    facing: float | None
    scale: float | None
    scale_sd: float | None


@dataclass(frozen=True)
class RigReport:
    """Numbers and what is wrong with them.

    floor_m: height of the floor in the world: under the person's feet where there are points, else
    0, where calibrations usually have it (`floor_from` says which). middle_m: what the cameras
    look at.
    """

    cameras: tuple[CameraCheck, ...]
    pairs: tuple[PairCheck, ...]
    floor_m: float
    floor_from: str
    middle_m: tuple[float, float, float] | None
    person: PersonCheck | None
    findings: tuple[Finding, ...]

    def as_json(self) -> dict[str, Any]:
        """The report in lists, dicts, numbers and text."""
        return asdict(self)


def check_rig(
    rig: CameraRig,
    image_sizes: Mapping[str, Size],
    points: Keypoints3D | None = None,
    height_m: float | None = None,
    *,
    up_known: bool = True,
) -> RigReport:
    """What gravity, the videos and a person of stature `height_m` say about a rig.

    image_sizes: (width, height) of the videos, by camera name. points: the person as triangulated
    with this rig, world axes, names of `kinefit.skeletons`. up_known: False where Y is not known
    to be up; gravity is then left out of the findings.

    Never raises for a bad rig: the findings are the result. Raises InvalidData for points in
    camera axes.
    """
    if points is not None and points.axes != "world":
        raise InvalidData("check_rig: points must be in world axes.")
    person = None if points is None else check_person(points, height_m)
    middle = _middle(rig, points)
    floor, floor_from = _floor(points)
    cameras = tuple(_camera(c, image_sizes, points, middle, floor) for c in rig)
    pairs = () if middle is None else tuple(_pair(a, b, middle) for a, b in combinations(rig, 2))
    findings = (
        *_size_findings(rig, image_sizes),
        *(_gravity_findings(cameras) if up_known else ()),
        *_view_findings(rig, cameras, middle),
        *_pair_findings(pairs),
        *_lens_findings(rig),
        *(_person_findings(person, up_known) if person else ()),
    )
    place = None if middle is None else _triple(middle)
    return RigReport(cameras, pairs, floor, floor_from, place, person, findings)


def fit_to_video(camera: Camera, size: Size) -> tuple[Camera, str | None]:
    """The camera for a video of `size` (width, height), and what was assumed (None: nothing).

    Same aspect ratio within 0.2 %: the video is the calibrated picture, scaled; K follows, with
    pixel centres at integers. Less than 16 pixels missing or added: cut or padded at the right and
    bottom, as encoders do; pixels stay what they are.

    Raises InputError for any other size: it is another video, or a rotated one.
    """
    (w, h), (width, height) = camera.size, (int(size[0]), int(size[1]))
    if (w, h) == (width, height):
        return camera, None
    name = f"camera {camera.name}"
    stated = f"calibrated for {w} x {h} pixels, its video has {width} x {height}"
    if _same_aspect((w, h), (width, height)):
        sx, sy = width / w, height / h
        scale = np.array([[sx, 0, (sx - 1) / 2], [0, sy, (sy - 1) / 2], [0, 0, 1]])
        scaled = replace(camera, size=(width, height), K=scale @ camera.K)
        return scaled, f"{name}: {stated}: taken as scaled by {sx:.4g}"
    if abs(width - w) < _BLOCK and abs(height - h) < _BLOCK:
        change = "cut" if width * height < w * h else "padded"
        taken = f"taken as {change} at the right and bottom, as video encoders do"
        return replace(camera, size=(width, height)), f"{name}: {stated}: {taken}"
    near = abs(width - h) < _BLOCK and abs(height - w) < _BLOCK
    if near or _same_aspect((w, h), (height, width)):
        reason = f"{stated}: the video is rotated by 90 degrees against the calibration"
        hint = "turn the video (--rotate), or calibrate on pictures rotated as it is"
        raise InputError(name, reason, hint)
    reason = f"{stated}: this is another camera or another video mode"
    raise InputError(name, reason, "check which video is whose")


def _same_aspect(a: Size, b: Size) -> bool:
    """Whether a picture of size `b` can be one of size `a`, scaled."""
    return min(b) > 0 and abs(b[0] * a[1] / (b[1] * a[0]) - 1) <= _SAME_ASPECT


def fit_rig_to_videos(
    rig: CameraRig, image_sizes: Mapping[str, Size]
) -> tuple[CameraRig, tuple[str, ...]]:
    """`fit_to_video` for every camera that has a video, and what was assumed; raises InputError."""
    fitted = [
        fit_to_video(c, image_sizes[c.name]) if c.name in image_sizes else (c, None) for c in rig
    ]
    return CameraRig(tuple(c for c, _ in fitted)), tuple(note for _, note in fitted if note)


def check_person(points: Keypoints3D, height_m: float | None) -> PersonCheck:
    """Whether a person in the world is upright, not mirrored, and as tall as said."""
    head, neck = points.middle("Nose"), points.middle("LShoulder", "RShoulder")
    over_feet = np.where(np.isfinite(head), head, neck) - points.middle("LAnkle", "RAnkle")
    scale = sd = None
    if height_m is not None:
        seen = all_finite(points.xyz).astype(float)
        with suppress(TooFewPoints):
            found = body_scale(points.xyz, points.names, seen, height_m)
            scale, sd = 1 / found.metres_per_unit, found.sd / found.metres_per_unit**2
    return PersonCheck(_share(over_feet[:, 1]), _share(_faces_forward(points)), scale, sd)


def _faces_forward(points: Keypoints3D) -> FloatArray:
    """(T,) votes of both feet and the nose: how far they point to the front, which is
    up x (right - left): with X forward and Z right, Y x Z = X.

    A mirrored world exchanges the sides and leaves toes in front of heels.
    """
    at = points.middle
    across = at("RHip") - at("LHip") + at("RShoulder") - at("LShoulder")
    # Up is the body's own: in a world with another vertical this still holds.
    front = np.cross(at("LShoulder", "RShoulder") - at("LHip", "RHip"), across)
    pointers = [*(at(f"{s}BigToe") - at(f"{s}Heel") for s in "LR"), at("Nose") - at("LEar", "REar")]
    total = np.nansum([np.sign((front * p).sum(axis=1)) for p in pointers], axis=0)
    return np.where(total != 0, total, np.nan)


def _share(values: FloatArray) -> float | None:
    """Share of the known values that are positive; None where none is known."""
    known = values[np.isfinite(values)]
    return float((known > 0).mean()) if len(known) else None


def _floor(points: Keypoints3D | None) -> tuple[float, str]:
    """Height of the floor, and where that is from."""
    names = () if points is None else points.names
    feet = [n for n in _FEET if n in names] or [n for n in ("LAnkle", "RAnkle") if n in names]
    if points is not None and feet:
        heights = points.xyz[:, [names.index(n) for n in feet], 1]
        lowest = np.fmin.reduce(heights, axis=1)
        if np.isfinite(lowest).any():
            return float(np.nanpercentile(lowest, _FLOOR_PERCENTILE)), "the person's feet"
    return 0.0, "the world's origin"


def _middle(rig: CameraRig, points: Keypoints3D | None) -> FloatArray | None:
    """(3,) the person's median, else the median of where pairs of optical axes come closest."""
    if points is not None and (seen := all_finite(points.xyz)).any():
        return np.asarray(np.median(points.xyz[seen], axis=0))
    parallel = float(np.sin(np.radians(_NARROW_DEG)) ** 2)
    pairs = [meeting(a.centre, a.R[2], b.centre, b.R[2], parallel) for a, b in combinations(rig, 2)]
    known = [(p + q) / 2 for p, q in pairs if np.isfinite(p).all()]
    return np.median(known, axis=0) if known else None


def _camera(
    camera: Camera,
    image_sizes: Mapping[str, Size],
    points: Keypoints3D | None,
    middle: FloatArray | None,
    floor: float,
) -> CameraCheck:
    right, down, forward = camera.R
    video = image_sizes.get(camera.name)
    seen = points.xyz[all_finite(points.xyz)] if points is not None else np.empty((0, 3))
    return CameraCheck(
        name=camera.name,
        place_m=_triple(camera.centre),
        height_m=float(camera.centre[1] - floor),
        tilt_deg=float(np.degrees(np.arcsin(np.clip(-forward[1], -1, 1)))),
        roll_deg=float(np.degrees(np.arctan2(-right[1], -down[1]))),
        distance_m=None if middle is None else float(np.linalg.norm(middle - camera.centre)),
        seen=float(_inside(camera, seen).mean()) if len(seen) else None,
        size=camera.size,
        video_size=None if video is None else (int(video[0]), int(video[1])),
    )


def _inside(camera: Camera, xyz: FloatArray) -> BoolArray:
    """(N,) whether points are in the picture."""
    xy = project(camera, xyz)
    with np.errstate(invalid="ignore"):
        return np.asarray(((xy > -0.5) & (xy < np.array(camera.size) - 0.5)).all(axis=-1))


def _pair(a: Camera, b: Camera, middle: FloatArray) -> PairCheck:
    p, q = a.centre - middle, b.centre - middle
    cosine = p @ q / max(float(np.linalg.norm(p) * np.linalg.norm(q)), 1e-12)
    angle = float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
    return PairCheck((a.name, b.name), float(np.linalg.norm(p - q)), angle)


def _triple(values: FloatArray) -> tuple[float, float, float]:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _size_findings(rig: CameraRig, image_sizes: Mapping[str, Size]) -> Iterator[Finding]:
    """Videos without a camera, and pictures of another size than the calibration's."""
    for name in image_sizes:
        if name not in rig.names:
            has = f"The calibration has {', '.join(rig.names)}."
            yield Finding("refusal", f"No camera is called {name}.", has)
    for camera in rig:
        if camera.name in image_sizes:
            try:
                note = fit_to_video(camera, image_sizes[camera.name])[1]
            except InputError as error:
                yield Finding("refusal", f"C{str(error)[1:]}")
            else:
                if note:
                    yield Finding("information", f"C{note[1:]}.")


def _gravity_findings(cameras: tuple[CameraCheck, ...]) -> Iterator[Finding]:
    """Cameras underground, in the sky, upside down or on their sides."""
    low, high = _ON_ITS_SIDE_DEG
    rolls = np.array([abs(c.roll_deg) for c in cameras])
    if (rolls > _UPSIDE_DOWN_DEG).all():
        yield Finding(
            "refusal", "Every camera hangs upside down.",
            meaning="The world's vertical points down.", action="Turn it over (--world-up).",
        )  # fmt: skip
    elif ((rolls > low) & (rolls < high)).all():
        yield Finding(
            "caution", "Every camera is rotated by about 90 degrees about its axis.",
            meaning="Either all film in portrait with pictures left lying, or another axis is the "
            "vertical.", action="Check the vertical (--world-up).",
        )  # fmt: skip
    else:
        for c in cameras:
            if abs(c.roll_deg) > _UPSIDE_DOWN_DEG:
                where = f"Roll {c.roll_deg:.0f} degrees."
                yield Finding("caution", f"Camera {c.name} hangs upside down.", where)
    for c in cameras:
        if c.height_m < _UNDERGROUND_M:
            yield Finding(
                "caution", f"Camera {c.name} stands {-c.height_m:.2f} m below the floor.",
                meaning="The world is mirrored or upside down, or the camera's pose is wrong.",
                action="Calibrate again.",
            )  # fmt: skip
        elif c.height_m > _HIGH_M:
            what = f"Camera {c.name} stands {c.height_m:.0f} m above the floor."
            yield Finding("caution", what, action="Check the units (--units).")


def _view_findings(
    rig: CameraRig, cameras: tuple[CameraCheck, ...], middle: FloatArray | None
) -> Iterator[Finding]:
    """Cameras that look elsewhere."""
    action = "Check its pose, and whether its video is another camera's."
    for camera, check in zip(rig, cameras, strict=True):
        what = f"Camera {camera.name} looks away from "
        if check.seen is not None and check.seen < _SEEN_LEAST:
            where = f"{check.seen:.0%} of the person's points fall into its picture."
            yield Finding("caution", f"{what}the person.", where, action=action)
        elif check.seen is None and middle is not None and not _inside(camera, middle[None])[0]:
            yield Finding("caution", f"{what}where the other cameras look.", action=action)


def _pair_findings(pairs: tuple[PairCheck, ...]) -> Iterator[Finding]:
    """Pairs of cameras that see no depth."""
    angles = [min(p.angle_deg, 180 - p.angle_deg) for p in pairs]
    for p, angle in zip(pairs, angles, strict=True):
        if angle < _NARROW_DEG:
            what = f"Cameras {p.cameras[0]} and {p.cameras[1]} look along nearly one line."
            where = f"They are {p.angle_deg:.1f} degrees apart."
            yield Finding("caution", what, where, "Together they see no depth.")
    widest = max(angles, default=90.0)
    if _NARROW_DEG <= widest < _WIDEST_LEAST_DEG:
        times = 1 / np.tan(np.radians(widest / 2))
        what = f"No two cameras see from directions further apart than {widest:.0f} degrees."
        meaning = f"Depth is {times:.0f} times less certain than the rest."
        yield Finding("caution", what, meaning=meaning)


def _lens_findings(rig: CameraRig) -> Iterator[Finding]:
    """Lenses that fold back inside their picture: they were fitted without points near its rim."""
    for camera in rig:
        w, h = camera.size
        corners = np.array([[0, 0], [w - 1, 0], [0, h - 1], [w - 1, h - 1]], np.float64)
        if np.isnan(undistort(camera, corners)).any():
            what = f"The lens of camera {camera.name} is not known to the corners of its picture."
            action = "Calibrate with the board near the edges too."
            yield Finding("caution", what, meaning="Points there are left out.", action=action)


def _person_findings(person: PersonCheck, up_known: bool) -> Iterator[Finding]:
    """Upside down, mirrored, of another size."""
    if up_known and person.upright is not None and person.upright < _MAJORITY:
        what = f"The head is below the feet in {1 - person.upright:.0%} of the frames."
        meaning = "The world is upside down (--world-up), or the person is."
        yield Finding("caution", what, meaning=meaning)
    if person.facing is not None and person.facing < _MAJORITY:
        yield Finding(
            "refusal", "The world is mirrored.",
            f"Toes and nose point backwards in {1 - person.facing:.0%} of the frames.",
            "Left and right, and every angle about a vertical axis, are wrong.",
            "Calibrate again (a flat board seen from the front allows a mirrored solution), or "
            "see whether the videos are mirrored.",
        )  # fmt: skip
    if person.scale is not None and person.scale_sd is not None:
        off = abs(np.log(person.scale))
        if off > max(_SCALE_OFF, 2 * person.scale_sd / person.scale):
            yield _scale_finding(person.scale)


def _scale_finding(scale: float) -> Finding:
    for factor, words in _UNITS.items():
        if abs(np.log(scale / factor)) < 0.15:
            return Finding(
                "refusal", f"The person measures {scale:.3g} times the given height.",
                meaning=f"The calibration holds {words}.", action="Give its unit (--units).",
            )  # fmt: skip
    return Finding(
        "caution", f"The person measures {scale:.2f} times the given height.",
        meaning="All lengths are wrong by that much, or the height is.",
        action="Check the height, and the size of the squares that the calibration was given.",
    )  # fmt: skip
