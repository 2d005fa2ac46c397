"""One camera's landmarks as observations of a person in the world: what a body is fitted to."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import numpy as np

from kinefit.body.contact import FEET, point_speed, standing_probability
from kinefit.geometry.align import rotation_between
from kinefit.geometry.rotations import exp, unit
from kinefit.io.focal_length import NotedFocal
from kinefit.lift import Lifted, Lifter
from kinefit.lift.reconstruct import COCO, reconstruct
from kinefit.lift.windows import RATE_HZ
from kinefit.metric.gravity import Up
from kinefit.metric.placement import Placement, camera_intrinsics, place_in_world
from kinefit.metric.room import Room, camera_of_room
from kinefit.skeletons.limbs import LIMBS as FIELDS
from kinefit.types import (
    CameraRig,
    FloatArray,
    Observations,
    PoseTrack,
    Subject,
    TooFewPoints,
)

# MediaPipe's noise in one picture, of the person's height in it: 9 px in the demo's four views,
# where the person is 750 px high (triangulation's residuals).
_NOISE = 0.012
_LEAST_SCORE = 0.05  # a landmark that is hardly visible counts a twentieth, never nothing


class _Depth(NamedTuple):
    """How a limb's depth is seen: z of its unit vector is seen as slope x z + offset, with an
    error of `sd`; z points away from the camera."""

    slope: float
    offset: float
    sd: float


# Limbs whose direction one camera's landmarks tell, and how: MediaPipe flattens people. Not the
# face: its depth is a guess. Measured with the network "full" on 43 views of 11 synthetic scenes,
# frames with exchanged sides left out, both sides together. A foot's depth is all but a guess, too
# (seen at .28 of what it is, pointing at the camera whichever way it points). With a table of its
# own for "heavy", limbs are 7.6 and 8.1 degrees off on held-out renders, with this one 7.8 and 7.7.
_DEPTHS = {
    ("Shoulder", "Shoulder"): _Depth(1.0, -0.02, 0.10),
    ("Hip", "Hip"): _Depth(1.03, -0.03, 0.10),
    ("Shoulder", "Elbow"): _Depth(0.66, 0.0, 0.175),
    ("Elbow", "Wrist"): _Depth(0.63, -0.09, 0.27),
    ("Hip", "Knee"): _Depth(0.78, 0.06, 0.17),
    ("Knee", "Ankle"): _Depth(0.59, 0.195, 0.135),
    ("Heel", "BigToe"): _Depth(0.28, -0.34, 0.24),
    ("Shoulder", "Hip"): _Depth(0.64, 0.12, 0.125),
}
LIMBS = (("LShoulder", "RShoulder"), ("LHip", "RHip"),
         *((side + a, side + b) for side in "LR" for a, b in _DEPTHS if a != b))  # fmt: skip
# Times the deviations of a lifter's directions and points. Of 17 held-out rendered clips, fitted:
# directions of limbs 8.3, 8.1, 8.1 degrees with a spread of 1, 2, 3; of six, knees 13, 11 degrees
# with a sigma of 1, 0.5: the fit's other terms are balanced for what points were taken to be.
_LIFTED_SPREAD, _LIFTED_SIGMA = 2.0, 0.5
_SPREAD = 1.5  # times these deviations: the errors of neighbouring limbs and frames go together
_STEEPEST = 0.99  # |z|: noise on a slope of less than one takes it beyond one
# Radians: how well a user knows a camera's angles; and the least that estimated ones are doubted,
# because the fit looks again, at the same balance in a better body: it must not count twice.
_GIVEN_UP_SD, _GUESSED_UP_SD = np.radians(0.5), np.radians(12.0)


def observe_camera(
    track: PoseTrack,
    subject_height_m: float,
    *,
    focal_px: float | None = None,
    fov_deg: float | None = None,
    tilt_deg: float | None = None,
    roll_deg: float | None = None,
    visibility_min: float = 0.3,
    lifter: Lifter | None = None,
    edges: FloatArray | None = None,
    noted: NotedFocal | None = None,
) -> tuple[Observations, Placement]:
    """What one camera that stands still says of one person in the world, and of itself.

    subject_height_m: stature, metres. focal_px: focal length, pixels; or fov_deg: degrees seen
    across the longer image side. tilt_deg, roll_deg: the camera's, in (-90, 90). What is None is
    estimated or assumed, and is an unknown of the fit. visibility_min: landmarks scored below it
    are no evidence; they only help the fit to begin. edges: (S, 4) pixels, ends of straight edges
    of the surroundings, which may tell the camera's angles and focal length: see
    `kinefit.metric.room`. noted: the focal length that the camera noted in its file. lifter: gives
    directions, gravity where edges do not, and better 2D points (of the detector that comes with
    kinefit); without it they are the detector's own and what follows from its motion. Contacts are
    always the latter: of 17 held-out rendered clips, knees are 10.2 degrees off with the network's
    and 10.0 without.

    With the observations comes the placement of the landmarks: what was found and assumed.

    Raises InputError for a track without 3D landmarks or contradicting options, TooFewPoints when
    no frame has enough points, and InvalidData for a height or angles out of range.
    """
    place = partial(
        place_in_world, track, Subject(subject_height_m, _ANY_MASS_KG), focal_px=focal_px,
        fov_deg=fov_deg, tilt_deg=tilt_deg, roll_deg=roll_deg, visibility_min=visibility_min,
        noted=noted,
    )  # fmt: skip
    # What edges tell goes before what the file notes: they are asked without it, and with it only
    # where they leave the focal length open.
    room = None if edges is None else _room(edges, place(noted=None))
    if edges is not None and noted is not None and (room is None or room.focal_px is None):
        room = _room(edges, place())
    lifted, up = None, None
    if lifter is not None:
        lifted = lifter.lift(track, camera_intrinsics(track, focal_px, fov_deg, room, noted).K)
        up = _lifted_up(lifted, track)
    world = place(up=up, room=room)
    xy, sigma = _pixels(track, visibility_min)
    names = track.image.names
    camera = world.camera
    feet = tuple(name for name in FEET if name in names)
    contact, start = _contact(track, world, visibility_min, feet), world.keypoints.xyz
    if lifted is None:
        limbs = tuple(pair for pair in LIMBS if set(pair) <= set(names))
        local = world.keypoints.xyz @ camera.R.T + camera.t
        directions, sd = _directions(local, names, limbs)
    else:
        if up is not None:
            seen = start @ camera.R.T + camera.t
            lifted = _turned(lifted, up.direction, camera.R[:, 1], seen)
        limbs, directions, sd = _lifted_directions(lifted, track)
        if _is_learned(track) and lifted.shift is not None and lifted.sigma is not None:
            xy = xy + lifted.shift
            sigma = np.where(np.isnan(lifted.sigma), sigma, _LIFTED_SIGMA * lifted.sigma)
        start = _reconstructed(lifted, world, xy, sigma, subject_height_m)
    given = tilt_deg is not None or roll_deg is not None
    least = 0.0 if up or room else _GUESSED_UP_SD
    found = Observations(
        track.image.timeline,
        CameraRig((camera,)),
        names,
        xy[:, None],
        sigma[:, None],
        start,
        limbs=limbs,
        directions=directions @ camera.R,
        direction_sd=sd,
        contact_names=feet,
        contact=contact,
        gravity_sd=_GIVEN_UP_SD if given else max(np.radians(world.tilt_sd_deg), least),
        focal_sd=world.focal_sd,
        stature_m=subject_height_m,
    )
    return found, world


def _room(edges: FloatArray, first: Placement) -> Room | None:
    """What edges tell beyond a placement without them."""
    camera = first.camera
    up_sd = max(np.radians(first.tilt_sd_deg), _GIVEN_UP_SD)
    return camera_of_room(edges, camera.size, camera.K, camera.R[:, 1], up_sd, first.focal_sd)


def _is_learned(track: PoseTrack) -> bool:
    """Whether the points are of the detector whose errors a lifter has learned to correct."""
    return track.source.startswith("BlazePose")


def _lifted_up(lifted: Lifted, track: PoseTrack) -> Up | None:
    """The mean of the frames' answers, for a camera that stands still. Their errors go together:
    the mean of many is hardly better than one."""
    if lifted.up is None or lifted.up_sd is None:
        return None
    rows = track.image.found
    weight = lifted.up_sd[rows] ** -2.0
    mean = (weight[:, None] * lifted.up[rows]).sum(axis=0)
    return Up(unit(mean), float(weight.mean() ** -0.5))


_OVERHEAD = 0.1  # sine of the angle between ray and gravity: pitch means nothing there


def _turned(lifted: Lifted, own: FloatArray, up: FloatArray, xyz: FloatArray) -> Lifted:
    """Directions pitched by half of what the network's gravity `own` (3,) is pitched from `up`.

    It is wrong about a body and about gravity together; a roll would show in the picture. xyz: (T,
    J, 3) metres, camera axes. (Held-out renders, uneven ground and soccer: 9.8 and 10.3 degrees
    without, 9.3 and 9.5 with half, 9.4 and 9.8 with all of it, 9.4 and 10.1 with the roll, too. Two
    real people in four views: 12.6, 12.9, 13.6, 14.0. Half is chosen by the renders.)
    """
    ray = unit(np.nanmean(xyz, axis=(0, 1)))
    level = np.cross(ray, up)
    if np.linalg.norm(level) < _OVERHEAD:
        return lifted
    more = np.arcsin(np.clip(own @ ray, -1, 1)) - np.arcsin(np.clip(up @ ray, -1, 1))
    R = exp(0.5 * more * unit(level))
    return replace(lifted, directions=lifted.directions @ R.T)


# The joint of COCO that a point goes with, beside its own; others stay where they are.
_CARRIED_BY = {
    "Heel": "Ankle", "BigToe": "Ankle", "SmallToe": "Ankle", "Pinky": "Wrist", "Index": "Wrist",
    "Thumb": "Wrist",
}  # fmt: skip
_STRAY = 1.0  # statures: a joint that far from the landmark is no place to begin at


def _reconstructed(
    lifted: Lifted, world: Placement, xy: FloatArray, sigma: FloatArray, stature_m: float
) -> FloatArray:
    """(T, J, 3) metres, world: where a fit begins. The placed landmarks, with COCO's joints about
    the mid-hip as directions and pixels have them together, and hands and feet moved with them.

    The mid-hip stays where it was placed, which is smooth over time. (Of six held-out rendered
    clips: limbs .03 degrees better than from the landmarks, a fifth less time.)
    """
    names, xyz, camera = world.keypoints.names, world.keypoints.xyz, world.camera
    if not set(COCO) <= set(names):
        return xyz
    at = [names.index(name) for name in COCO]
    try:
        found = reconstruct(
            lifted.directions[:, : len(FIELDS)], lifted.sd[:, : len(FIELDS)], xy[:, at],
            sigma[:, at], camera.K, stature_m=stature_m,
        )  # fmt: skip
    except TooFewPoints:
        return xyz
    moved = found.xyz @ camera.R - xyz[:, at]
    hips = [COCO.index(name) for name in ("LHip", "RHip")]
    moved -= moved[:, hips].mean(axis=1, keepdims=True)
    shift = np.zeros_like(xyz)
    for j, name in enumerate(names):
        carrier = name if name in COCO else name[:1] + _CARRIED_BY.get(name[1:], "")
        if carrier in COCO:
            shift[:, j] = moved[:, COCO.index(carrier)]
    near = np.linalg.norm(shift, axis=-1, keepdims=True) < _STRAY * stature_m
    return np.where(near, xyz + np.nan_to_num(shift), xyz)


def _lifted_directions(
    lifted: Lifted, track: PoseTrack
) -> tuple[tuple[tuple[str, str], ...], FloatArray, FloatArray]:
    """Limbs as pairs of names, directions (T, L, 3) in camera axes, and radians (T, L)."""
    names = track.image.names
    some = [i for i, limb in enumerate(lifted.limbs) if {limb.start, limb.end} <= set(names)]
    limbs = tuple((lifted.limbs[i].start, lifted.limbs[i].end) for i in some)
    found = track.image.found[:, None, None]
    # Frames between those of the network say nothing that these have not said.
    rate = track.image.timeline.rate_hz
    often = max(rate / RATE_HZ, 1.0) ** 0.5 if np.isfinite(rate) else 1.0
    sd = _LIFTED_SPREAD * often * lifted.sd[:, some]
    return limbs, np.where(found, lifted.directions[:, some], np.nan), sd


_ANY_MASS_KG = 70.0  # nothing here depends on it


def limb_directions(
    xyz: FloatArray, names: tuple[str, ...], limbs: tuple[tuple[str, str], ...]
) -> FloatArray:
    """(T, L, 3) unit vectors along `limbs` of points (T, J, 3); NaN where an end is missing."""
    a, b = ([names.index(pair[i]) for pair in limbs] for i in (0, 1))
    return np.asarray(unit(xyz[:, b] - xyz[:, a]))


def _directions(
    local: FloatArray, names: tuple[str, ...], limbs: tuple[tuple[str, str], ...]
) -> tuple[FloatArray, FloatArray]:
    """(T, L, 3) directions in camera axes, and (T, L) radians, with the detector's depth undone.

    local: (T, J, 3) metres, camera axes. Depth is along the ray to the mid-hip.
    """
    ray = local[:, [names.index("LHip"), names.index("RHip")]].mean(axis=1)
    turn = rotation_between(ray, np.array([0.0, 0.0, 1.0]))
    seen = limb_directions(local, names, limbs) @ np.swapaxes(turn, -1, -2)
    slope, offset, sd = np.array([_DEPTHS[a[1:], b[1:]] for a, b in limbs]).reshape(-1, 3).T
    z = np.clip((seen[..., 2] - offset) / slope, -_STEEPEST, _STEEPEST)[..., None]
    across = seen[..., :2] / np.linalg.norm(seen[..., :2], axis=-1, keepdims=True)
    turned = np.concatenate([across * np.sqrt(1 - z**2), z], axis=-1)
    return turned @ turn, np.broadcast_to(_SPREAD * sd / slope, seen.shape[:2])


def _contact(
    track: PoseTrack, world: Placement, visibility_min: float, feet: tuple[str, ...]
) -> FloatArray:
    """(T, P) probability that points of the feet stand, from how they move in the picture.

    What moves across the line of sight is seen well, and its size at the person's depth follows
    from stature, whatever the focal length is.
    """
    names, image = list(track.image.names), track.image
    at = [names.index(name) for name in feet]
    seen = image.score[:, at] >= visibility_min
    place = np.where(seen[..., None], image.xy[:, at], np.nan)
    depth = (world.keypoints.xyz @ world.camera.R.T + world.camera.t)[..., 2]
    hip = depth[:, [names.index("LHip"), names.index("RHip")]].mean(axis=1)
    metres = hip / world.camera.K[0, 0]
    speed = point_speed(image.timeline.time, place) * metres[:, None]
    return standing_probability(image.timeline.time, speed)


def _pixels(track: PoseTrack, visibility_min: float) -> tuple[FloatArray, FloatArray]:
    """Pixels (T, J, 2) of what is seen, NaN elsewhere, and standard deviations (T, J)."""
    score = np.where(track.image.score >= visibility_min, track.image.score, 0.0)
    xy = np.where((score > 0)[..., None], track.image.xy, np.nan)
    y = xy[..., 1]
    tall = np.fmax.reduce(y, axis=1) - np.fmin.reduce(y, axis=1)
    height = float(np.median(tall[tall > 0])) if (tall > 0).any() else 1.0
    return xy, _NOISE * height / np.sqrt(np.clip(score, _LEAST_SCORE, 1))
