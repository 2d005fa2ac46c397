"""From one camera's landmarks to metric 3D in the room."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from kinefit.geometry.align import rotation_between
from kinefit.geometry.projection import focal_from_fov, fov_from_focal, intrinsics, rays
from kinefit.geometry.rotations import frame
from kinefit.geometry.scale import body_scale
from kinefit.io.focal_length import NotedFocal
from kinefit.metric.gravity import Up, estimate_up, floor_height
from kinefit.metric.room import Room
from kinefit.metric.root_depth import MIN_POINTS, fit_depth, smooth_depth
from kinefit.types import (
    Camera,
    FloatArray,
    InputError,
    InvalidData,
    Keypoints3D,
    PoseTrack,
    Subject,
    TooFewPoints,
    all_finite,
)

# Phones filming 16:9 see about 60 degrees across the longer side: 59.5 in the Pose2Sim demo's
# videos, 59.9 for an iPhone X, 55 for an iPhone 6; webcams and action cameras 70 to 90.
DEFAULT_FOV_DEG = 60.0
# So a focal length that is assumed is uncertain by this part, 50 to 72 degrees, and with it every
# distance. The person in it does not tell: over factors of 0.6 to 1.8 the best fit of a body lay
# anywhere (five synthetic views: 0.6, 0.9, 1, 1.15, 1.8 of the true one).
_FOCAL_SD = 0.17
# How far a detector's body leans with all its landmarks, degrees: see `kinefit.fit.recipes.clip`.
_LEAN_SD = np.radians(6.5)
# Heel and toe landmarks lie inside the foot, about this far above the sole, metres.
SOLE_BELOW_LANDMARK = 0.02
_ACROSS = ("Hip", "Shoulder")
_NO_WIDTH = 1e-3  # metres: hips or shoulders nearer than this in plan face nowhere
_NO_HEADING = 0.1  # mean of unit vectors; a person who turns once around on the spot has 0
_HIP_HEIGHT = 0.497  # of stature, standing: MediaPipe's hips (kinefit.geometry.scale) over the sole


@dataclass(frozen=True, eq=False)
class Placement:
    """One person's landmarks in the world, the camera, and how far the numbers can be trusted.

    keypoints: world axes, metres: Y up, the soles at Y = 0; X the way the person faces on average
        over the clip, Z to their right then (OpenSim's laboratory). X = Z = 0 is the floor below
        the mid-hip in the first frame. NaN in frames without enough points.
    camera: the pinhole camera in that world. focal_sd: relative standard deviation of its focal
        length; 0 where that was given. focal_from: given, room, file or assumed.
    scale, scale_sd: metres per unit of the detector's body, and standard deviation.
    depth_sd: (T,) metres, standard deviation of the person's distance along the line of sight:
        fit, scale and focal length.
    tilt_deg, roll_deg: camera's pitch, positive looking down, and roll, positive clockwise as
        seen from behind the camera.
    tilt_sd_deg: degrees, of each estimated one of the two; 0 where both were given.
    notes: what was assumed rather than measured, in plain words.
    """

    keypoints: Keypoints3D
    camera: Camera
    focal_sd: float
    focal_from: str
    scale: float
    scale_sd: float
    depth_sd: FloatArray
    tilt_deg: float
    roll_deg: float
    tilt_sd_deg: float
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """What was found and assumed, without the landmarks, as JSON values; NaN as null."""
        return {
            "focal_px": round(float(self.camera.K[0, 0]), 3),
            "focal_sd": self.focal_sd,
            "focal_from": self.focal_from,
            "scale": round(self.scale, 5),
            "scale_sd": round(self.scale_sd, 5),
            "depth_sd_m": [None if math.isnan(v) else round(v, 4) for v in self.depth_sd.tolist()],
            "tilt_deg": round(self.tilt_deg, 3),
            "roll_deg": round(self.roll_deg, 3),
            "tilt_sd_deg": round(self.tilt_sd_deg, 3),
            "notes": list(self.notes),
        }


def place_in_world(
    track: PoseTrack,
    subject: Subject,
    *,
    focal_px: float | None = None,
    fov_deg: float | None = None,
    tilt_deg: float | None = None,
    roll_deg: float | None = None,
    visibility_min: float = 0.3,
    up: Up | None = None,
    room: Room | None = None,
    noted: NotedFocal | None = None,
) -> Placement:
    """Metric motion in the room from one camera that stands still.

    focal_px: focal length in pixels; or fov_deg: degrees seen across the longer image side; with
    neither, what `room` tells, what the camera `noted` in its file, or DEFAULT_FOV_DEG. tilt_deg,
    roll_deg: the camera's, in (-90, 90); estimated where None, as `up`, camera axes, or where that
    is None from how the person balances. room: what edges tell, before all of these but what is
    given.
    visibility_min: points scored below it say nothing about camera, scale and floor. They are
    placed all the same, for later stages to judge by their score.

    The detector's body is turned to the ray on which the person is seen, its depth fitted to the
    image, its scale taken from stature. Every landmark is then put on its own ray, at the body's
    depth plus its own: the image is measured far better than the body's lateral shape.

    Raises InputError for a track without 3D landmarks or contradicting options, TooFewPoints when
    no frame has enough points, and InvalidData for angles out of range.
    """
    # Pose2Sim's demo, four views, mean error of limb directions and of 12 joints after Procrustes:
    # as detected 15.4 deg, 83 mm; turned to the ray 14.4, 83; on their own rays too 12.6, 77. One
    # scale per frame would read every bend of the spine as a step away from the camera.
    if track.body is None:
        raise InputError(
            track.source,
            "it gives image points only, and one image does not say how far each point is",
            "use the detector blazepose, which has 3D landmarks, or film with several cameras",
        )
    lens = camera_intrinsics(track, focal_px, fov_deg, room, noted)
    K, focal_sd, notes = lens.K, lens.sd, list(lens.notes)
    view = rays(K, track.image.xy)
    weights = np.where(track.image.score >= visibility_min, track.image.score, 0.0)
    weights = np.where(all_finite(view) & all_finite(track.body.xyz), weights, 0.0)
    body = _turned_to_ray(track.body.xyz, view, weights)
    depth, depth_sd = fit_depth(body, view, weights)
    if not np.isfinite(depth).any():
        best = int((weights > 0).sum(axis=1).max(initial=0))
        raise TooFewPoints("points of the person in the picture", found=best, needed=MIN_POINTS)

    timeline, names = track.image.timeline, track.image.names
    scale = body_scale(_on_rays(body, view, depth), names, weights, subject.height_m)
    metres = scale.metres_per_unit
    depth_sd = metres * depth_sd
    depth = smooth_depth(timeline.time, metres * depth, depth_sd)
    xyz = _on_rays(metres * body, view, depth)
    well_seen = np.where((weights > 0)[..., None], xyz, np.nan)
    found = _up(tilt_deg, roll_deg, notes, well_seen, track, subject, up, room)
    camera = _camera(track, subject, K, found, well_seen, xyz, notes)
    if scale.chain != "shoulders to ankles":
        notes.append(f"Scale from {scale.chain} only, because the rest was not seen.")
    # The depth fit's standard deviation joined with shares of the distance.
    depth_sd = np.sqrt(depth_sd**2 + depth**2 * (focal_sd**2 + (scale.sd / metres) ** 2))
    tilt, roll = np.degrees(tilt_and_roll(found.direction)).tolist()
    return Placement(
        keypoints=Keypoints3D(timeline, names, (xyz - camera.t) @ camera.R, "world"),
        camera=camera,
        focal_sd=focal_sd,
        focal_from=lens.source,
        scale=metres,
        scale_sd=scale.sd,
        depth_sd=np.where(np.isfinite(depth), depth_sd, np.nan),
        tilt_deg=tilt,
        roll_deg=roll,
        tilt_sd_deg=float(np.degrees(found.sd)),
        notes=tuple(notes),
    )


class Intrinsics(NamedTuple):
    """K: (3, 3). sd: relative standard deviation of its focal length, 0 where that was given.
    source: given, room, file or assumed. notes: what was assumed, in sentences."""

    K: FloatArray
    sd: float
    source: str
    notes: tuple[str, ...]


def camera_intrinsics(
    track: PoseTrack, focal_px: float | None, fov_deg: float | None, room: Room | None = None,
    noted: NotedFocal | None = None,
) -> Intrinsics:  # fmt: skip
    """From what the user gave, else what the room tells, else the file, else the default.

    Raises InputError where both are given, InvalidData where they are out of range.
    """
    size = track.image.image_size
    if focal_px is not None or fov_deg is not None:
        return Intrinsics(intrinsics(_given(size, focal_px, fov_deg), size), 0.0, "given", ())
    if room is not None and room.focal_px is not None:
        focal, sd, source = room.focal_px, room.focal_sd, "room"
        why = "is read from straight edges of the room that meet at right angles"
    elif noted is not None:
        focal, sd, source = noted.focal_px, noted.sd, "file"
        why = f"follows from what the camera noted in the file ({noted.tag})"
    else:
        focal, sd, source = focal_from_fov(np.radians(DEFAULT_FOV_DEG), size), _FOCAL_SD, "assumed"
        why = "was assumed; distances towards the camera scale with it"
    degrees = np.degrees(fov_from_focal(focal, size))
    said = f"Focal length not given: a field of view of {degrees:.1f} degrees across the longer "
    said += f"image side {why} (give or take {sd:.0%}). "
    if source == "room" and noted is not None and abs(focal / noted.focal_px - 1) > 3 * noted.sd:
        other = np.degrees(fov_from_focal(noted.focal_px, size))
        said += f"The camera noted another one in the file: {other:.1f} degrees ({noted.tag}). "
    said += "If you know better, give --fov or --focal-px."
    return Intrinsics(intrinsics(focal, size), sd, source, (said,))


def _given(size: tuple[int, int], focal_px: float | None, fov_deg: float | None) -> float:
    """Focal length in pixels from one of the two."""
    if focal_px is None:
        assert fov_deg is not None
        return focal_from_fov(np.radians(fov_deg), size)
    if fov_deg is not None:
        raise InputError("camera options", "focal length and field of view both given", "give one")
    if not (np.isfinite(focal_px) and focal_px > 0):
        raise InvalidData(f"A focal length of {focal_px} px is not positive.")
    return focal_px


def _turned_to_ray(body: FloatArray, view: FloatArray, weights: FloatArray) -> FloatArray:
    """`body` (T, J, 3) turned from the optical axis to the person's mean ray.

    A network that sees a crop cannot know where in the image it lay, so its "forward" is the
    direction in which the person is seen.
    """
    seen = np.where((weights > 0)[..., None], view, 0.0)
    centre = (weights[..., None] * seen).sum(axis=1)
    R = rotation_between(np.broadcast_to([0.0, 0.0, 1.0], centre.shape), centre)
    return np.asarray(body @ np.swapaxes(R, -1, -2))


def _on_rays(body: FloatArray, view: FloatArray, depth: FloatArray) -> FloatArray:
    """(T, J, 3) camera axes: each point on its ray at the depth of the body and its own."""
    z = depth[:, None] + body[..., 2]
    return np.asarray(view * np.where(z > 0, z, np.nan)[..., None])


def _up(
    tilt_deg: float | None,
    roll_deg: float | None,
    notes: list[str],
    xyz: FloatArray,
    track: PoseTrack,
    subject: Subject,
    lifted: Up | None,
    room: Room | None,
) -> Up:
    """Up in camera axes: given, estimated, or one angle of each."""
    for name, angle in (("tilt", tilt_deg), ("roll", roll_deg)):
        if angle is not None and not -90 < angle < 90:
            raise InvalidData(f"A camera {name} of {angle:g} degrees is not within -90..90.")
    if tilt_deg is not None and roll_deg is not None:
        return Up(_up_of(np.radians(tilt_deg), np.radians(roll_deg)), 0.0)
    time = track.image.timeline.time
    up = lifted
    if room is not None:
        up = Up(room.up, room.up_sd)
        which = "tilt and roll" if tilt_deg is roll_deg else "roll" if roll_deg is None else "tilt"
        notes.append(
            f"The camera's {which}: read from upright edges of the room (give or take "
            f"{np.degrees(room.up_sd):.0f} degrees). If you know better, give --tilt and --roll."
        )
    elif up is None:
        balance = estimate_up(xyz, track.image.names, time, subject.height_m)
        up = replace(balance, sd=float(np.hypot(balance.sd, _LEAN_SD)))
    if up.note:
        notes.append(f"Camera taken as level where its angle was not given: {up.note}.")
    tilt, roll = tilt_and_roll(up.direction)
    tilt = tilt if tilt_deg is None else np.radians(tilt_deg)
    roll = roll if roll_deg is None else np.radians(roll_deg)
    return Up(_up_of(tilt, roll), up.sd)


def _up_of(tilt: float, roll: float) -> FloatArray:
    """(3,) up in camera axes for a camera that looks down by `tilt` and is turned clockwise by
    `roll`, radians.
    """
    level = np.array([-np.sin(roll), -np.cos(roll), 0.0]) * np.cos(tilt)
    return np.asarray(level - np.array([0.0, 0.0, np.sin(tilt)]))


def tilt_and_roll(up: FloatArray) -> tuple[float, float]:
    """Tilt and roll, radians: the inverse of `_up_of`."""
    return float(np.arcsin(np.clip(-up[2], -1, 1))), float(np.arctan2(-up[0], -up[1]))


def _camera(
    track: PoseTrack,
    subject: Subject,
    K: FloatArray,
    up: Up,
    well_seen: FloatArray,
    xyz: FloatArray,
    notes: list[str],
) -> Camera:
    """The camera in the world that Placement describes."""
    R = frame("YZ", up.direction, np.array([0.0, 0.0, -1.0]))
    names, time = track.image.names, track.image.timeline.time
    hips = [names.index(n) for n in ("LHip", "RHip")]
    mid_hip = xyz[:, hips].mean(axis=1)
    mid_hip = mid_hip[all_finite(mid_hip)]
    if not len(mid_hip):
        raise TooFewPoints("the hips", found=0, needed=2)
    floor = floor_height(well_seen, names, time, up.direction) - SOLE_BELOW_LANDMARK
    if np.isnan(floor):
        floor = float(np.median(mid_hip @ up.direction)) - _HIP_HEIGHT * subject.height_m
        notes.append("No foot seen standing: the floor lies below the hips as if the person stood.")
    origin = mid_hip[0] + (floor - mid_hip[0] @ up.direction) * up.direction
    turn = turn_to_face_x(well_seen @ R, names)
    if turn is None:
        notes.append("The person faces no way more than another: X lies to the camera's right.")
    return Camera("camera", track.image.image_size, K, R if turn is None else R @ turn.T, origin)


def turn_to_face_x(xyz: FloatArray, names: tuple[str, ...]) -> FloatArray | None:
    """(3, 3) rotation about Y after which the person faces +X on average over the clip.

    xyz: (T, J, 3) world axes, Y up; the origin does not matter. Which way the hips and shoulders
    face is averaged; None when they face no way more than another. Pelvis angles are read in the
    world as tilt about Z, list about X: with the person along Z the two would exchange their
    meaning.
    """
    at = {name: xyz[:, i] for i, name in enumerate(names)}
    lines = [at[f"R{n}"] - at[f"L{n}"] for n in _ACROSS if {f"R{n}", f"L{n}"} <= set(at)]
    right = np.concatenate([np.zeros((1, 3)), *lines])
    right = right[all_finite(right)][:, [0, 2]]
    right = right / np.maximum(np.linalg.norm(right, axis=1, keepdims=True), _NO_WIDTH)
    x, z = right.mean(axis=0)  # forward is (z, -x): up cross right
    if np.hypot(x, z) < _NO_HEADING:
        return None
    forward = np.array([z, 0.0, -x]) / np.hypot(x, z)
    return np.array([forward, [0.0, 1.0, 0.0], np.cross(forward, [0.0, 1.0, 0.0])])
