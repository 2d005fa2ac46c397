"""One camera's landmarks as observations of a person in the world: what a body is fitted to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from kinefit.geometry.rotations import unit
from kinefit.metric.placement import WorldMotion, place_in_world
from kinefit.types import CameraRig, FloatArray, Observations, PoseTrack, Subject

# MediaPipe's noise in one picture, of the person's height in it: 9 px in the demo's four views,
# where the person is 750 px high (triangulation's residuals).
_NOISE = 0.012
_LEAST_SCORE = 0.05  # a landmark that is hardly visible counts a twentieth, never nothing
# One standard deviation of a limb's direction in one camera's landmarks, radians.
_DIRECTION_SD = 0.25

# Limbs whose direction one camera's landmarks tell. Not the face: its depth is a guess.
LIMBS = (
    ("LShoulder", "RShoulder"),
    ("LHip", "RHip"),
    *(
        (side + a, side + b)
        for side in "LR"
        for a, b in (
            ("Shoulder", "Elbow"),
            ("Elbow", "Wrist"),
            ("Hip", "Knee"),
            ("Knee", "Ankle"),
            ("Heel", "BigToe"),
            ("Shoulder", "Hip"),
        )
    ),
)


@dataclass(frozen=True, eq=False)
class CameraFacts:
    """What was found and assumed about one camera and the person's size in it.

    scale, scale_sd: metres per unit of the detector's body, and its standard deviation.
    depth_sd: (T,) metres, standard deviation of the person's distance along the line of sight.
    focal_px: focal length, pixels. tilt_deg, roll_deg: the camera's pitch, positive looking down,
    and roll, positive clockwise as seen from behind the camera. tilt_sd_deg: of each estimated one
    of the two; 0 where both were given. notes: what was assumed rather than measured.
    """

    scale: float
    scale_sd: float
    depth_sd: FloatArray
    focal_px: float
    tilt_deg: float
    roll_deg: float
    tilt_sd_deg: float
    notes: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """The same as JSON values, NaN as null."""
        return {
            "scale": round(self.scale, 5),
            "scale_sd": round(self.scale_sd, 5),
            "depth_sd_m": [None if math.isnan(v) else round(v, 4) for v in self.depth_sd.tolist()],
            "focal_px": round(self.focal_px, 3),
            "tilt_deg": round(self.tilt_deg, 3),
            "roll_deg": round(self.roll_deg, 3),
            "tilt_sd_deg": round(self.tilt_sd_deg, 3),
            "notes": list(self.notes),
        }


def observe_camera(
    track: PoseTrack,
    subject_height_m: float,
    *,
    focal_px: float | None = None,
    fov_deg: float | None = None,
    tilt_deg: float | None = None,
    roll_deg: float | None = None,
    visibility_min: float = 0.3,
) -> tuple[Observations, CameraFacts]:
    """What one camera that stands still says of one person in the world, and of itself.

    subject_height_m: stature, metres. focal_px: focal length, pixels; or fov_deg: degrees seen
    across the longer image side. tilt_deg, roll_deg: the camera's, in (-90, 90). What is None is
    estimated or assumed, and is an unknown of the fit. visibility_min: landmarks scored below it
    are no evidence; they only help the fit to begin.

    Raises InputError for a track without 3D landmarks or contradicting options, TooFewPoints when
    no frame has enough points, and InvalidData for a height or angles out of range.
    """
    world = place_in_world(
        track, Subject(subject_height_m, _ANY_MASS_KG), focal_px=focal_px, fov_deg=fov_deg,
        tilt_deg=tilt_deg, roll_deg=roll_deg, visibility_min=visibility_min,
    )  # fmt: skip
    xy, sigma = _pixels(track, visibility_min)
    names = track.image.names
    limbs = tuple(pair for pair in LIMBS if set(pair) <= set(names))
    directions = limb_directions(world.keypoints.xyz, names, limbs)
    found = Observations(
        track.image.timeline,
        CameraRig((world.camera,)),
        names,
        xy[:, None],
        sigma[:, None],
        world.keypoints.xyz,
        limbs=limbs,
        directions=directions,
        direction_sd=np.full(directions.shape[:2], _DIRECTION_SD),
        stature_m=subject_height_m,
    )
    return found, _facts(world)


_ANY_MASS_KG = 70.0  # nothing here depends on it


def limb_directions(
    xyz: FloatArray, names: tuple[str, ...], limbs: tuple[tuple[str, str], ...]
) -> FloatArray:
    """(T, L, 3) unit vectors along `limbs` of points (T, J, 3); NaN where an end is missing."""
    a, b = ([names.index(pair[i]) for pair in limbs] for i in (0, 1))
    return np.asarray(unit(xyz[:, b] - xyz[:, a]))


def _pixels(track: PoseTrack, visibility_min: float) -> tuple[FloatArray, FloatArray]:
    """Pixels (T, J, 2) of what is seen, NaN elsewhere, and standard deviations (T, J)."""
    score = np.where(track.image.score >= visibility_min, track.image.score, 0.0)
    xy = np.where((score > 0)[..., None], track.image.xy, np.nan)
    y = xy[..., 1]
    tall = np.fmax.reduce(y, axis=1) - np.fmin.reduce(y, axis=1)
    height = float(np.median(tall[tall > 0])) if (tall > 0).any() else 1.0
    return xy, _NOISE * height / np.sqrt(np.clip(score, _LEAST_SCORE, 1))


def _facts(world: WorldMotion) -> CameraFacts:
    return CameraFacts(
        scale=world.scale,
        scale_sd=world.scale_sd,
        depth_sd=world.depth_sd,
        focal_px=float(world.camera.K[0, 0]),
        tilt_deg=world.tilt_deg,
        roll_deg=world.roll_deg,
        tilt_sd_deg=world.tilt_sd,
        notes=world.notes,
    )
