"""Subjects with known ground truth before computed cameras: points in 3D and in the image."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from kinefit.biomech.angles import joint_angles
from kinefit.body.anny import load_anny
from kinefit.body.model import BodyModel
from kinefit.geometry.projection import project, to_camera
from kinefit.skeletons import map_points, skeleton
from kinefit.synth.body_points import body_points
from kinefit.synth.cameras import sample_camera
from kinefit.synth.contact_ik import ContactBody, solve_contacts
from kinefit.synth.keyframes import motion
from kinefit.synth.motion_clip import Clip, MovingBody
from kinefit.synth.placing import placed
from kinefit.synth.subjects import mass, sample_shape, stature
from kinefit.types import CameraRig, FloatArray, JointAngles, Markers, Subject, Timeline

# What detectors find and Pose2Sim, too, triangulates: its Halpe-26 without eyes and ears.
NAMES = skeleton("markers22").points
RATE_HZ = 30.0
_PICTURE = (1920, 1080)
_FOCAL_MM = 35.0
_START_S = 0.4  # into the motion: cameras whose clocks are off must find it going on


@dataclass(frozen=True)
class SubjectSpec:
    """seed: of the body. child: of 5 to 14 years. clip: of kinefit's motions."""

    clip: str
    seed: int
    child: bool = False


@dataclass(frozen=True, eq=False)
class KnownSubject:
    """A body in motion, known exactly at any time.

    shape: (S,). moving: where the body is. timeline: T frames, the scene's clock.
    stature_m, mass_kg: of the body.
    """

    body: BodyModel
    shape: FloatArray
    moving: MovingBody
    timeline: Timeline
    stature_m: float
    mass_kg: float

    @property
    def subject(self) -> Subject:
        return Subject(self.stature_m, self.mass_kg)

    def points(self, times: FloatArray) -> FloatArray:
        """(T, 22, 3) metres, world: `NAMES` at `times` (T,) seconds."""
        found = body_points(self.body)
        keypoints, _ = found.at(*self.moving.at(times), self.shape)
        return map_points(keypoints, found.keypoints, skeleton("markers22"))

    @cached_property
    def truth(self) -> FloatArray:
        """(T, 22, 3) metres: `points` on the timeline."""
        return self.points(self.timeline.time)

    def markers(self) -> Markers:
        """The 22 and the laboratory's, on the timeline."""
        found = body_points(self.body)
        _, marks = found.at(*self.moving.at(self.timeline.time), self.shape)
        xyz = np.concatenate([self.truth, marks], axis=1)
        return Markers(self.timeline, (*NAMES, *found.markers), xyz)

    def angles(self) -> JointAngles:
        """Of the laboratory's markers."""
        return joint_angles(self.markers())


@lru_cache(maxsize=16)
def known_subject(spec: SubjectSpec, length_s: float, rate_hz: float = RATE_HZ) -> KnownSubject:
    """The subject, for `length_s` seconds or as long as the motion lasts."""
    body = load_anny()
    shape = sample_shape(body, np.random.default_rng(spec.seed), child=spec.child)
    clip = _clip(spec.clip)
    grid = np.linspace(clip.times[0], clip.times[-1], round(clip.duration_s * 60) + 1)
    moving = MovingBody.of(
        body, shape, grid - _START_S, *placed(clip, body, shape, grid), spec.clip
    )
    last = clip.duration_s - 2 * _START_S
    count = int(min(length_s, last) * rate_hz)
    timeline = Timeline.regular(count, rate_hz)
    return KnownSubject(body, shape, moving, timeline, stature(body, shape), mass(body, shape))


@lru_cache(maxsize=32)
def _clip(name: str) -> Clip:
    return solve_contacts(ContactBody.of(load_anny()), motion(name, RATE_HZ))


def ring(known: KnownSubject, count: int, seed: int = 0) -> CameraRig:
    """`count` cameras all around, uneven, as phones on tripods: distorting lenses, 35 mm.

    Those of a larger ring are not those of a smaller one: each is spread evenly.
    """
    rng = np.random.default_rng((seed, count))
    around = known.truth[::5].reshape(-1, 3)
    # Two that face each other see one outline and no depth: they stand a quarter of a turn apart.
    turn = np.pi / 2 if count == 2 else 2 * np.pi / count
    azimuths = [turn * (c + rng.uniform(-0.15, 0.15)) + 0.4 for c in range(count)]
    return CameraRig(
        tuple(
            sample_camera(rng, f"cam{c + 1:02d}", _PICTURE, around, azimuth, _FOCAL_MM, lens=True)
            for c, azimuth in enumerate(azimuths)
        )
    )


def heights_px(known: KnownSubject, rig: CameraRig) -> FloatArray:
    """(C, T) pixels: the person's stature at the distance of the hips, whatever the pose."""
    hips = known.truth[:, NAMES.index("Hip")]
    depth = np.stack([to_camera(camera, hips)[:, 2] for camera in rig])
    focal = np.array([camera.K[1, 1] for camera in rig])
    return np.asarray(known.stature_m * focal[:, None] / depth)


def true_views(known: KnownSubject, rig: CameraRig, late_s: FloatArray) -> FloatArray:
    """(C, T, 22, 2) pixels; `late_s` (C,): how much later than it says each camera filmed."""
    time = known.timeline.time
    at = {late: known.points(time + late) for late in np.unique(late_s) if late}
    views = zip(rig, late_s.tolist(), strict=True)
    return np.stack([project(c, at.get(late, known.truth)) for c, late in views])
