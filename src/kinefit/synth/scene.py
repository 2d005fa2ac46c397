"""The description of a scene: people, motions, room, light, objects and cameras.

Sampled from a seed, in plain values: `Scene.to_json` goes into the folder of its videos.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from kinefit.body.model import BodyModel
from kinefit.synth.backdrop import Room, sample_room
from kinefit.synth.body_points import body_points
from kinefit.synth.cameras import (
    Sensor,
    Sway,
    miscalibrated,
    sample_camera,
    sample_sensor,
    sample_sway,
)
from kinefit.synth.keyframes import motion_names as built_in_names
from kinefit.synth.keyframes import seat_height
from kinefit.synth.look import Look, sample_look, sample_reflectance, sample_worn
from kinefit.synth.motion_clip import Clip, MovingBody, hip_height, part
from kinefit.synth.painter import Light, Prop, sample_light, sample_prop
from kinefit.synth.placing import placed
from kinefit.synth.recombine import joined, mirrored, retimed, spliced
from kinefit.synth.scene_options import SynthOptions
from kinefit.synth.subjects import sample_shape
from kinefit.types import Camera, FloatArray, InputError

_PICTURES = (".jpg", ".jpeg", ".png")
_OWN = 0.25  # share of kinefit's own motions beside recordings
_APART_M = (1.0, 2.2)  # between people
_TABLE_HIPS_M = 0.99  # height of the hips for which `motions.toml` gives heights
_CUSHION_M = 0.01  # by which cloth and skin compress
_JOIN_S = 0.6  # transition from one motion into the next
_SAMPLES_A_SECOND = 5.0  # of the motion, when cameras are placed around it


@dataclass(frozen=True)
class MotionSpec:
    """The motion of one person: motions of the library, by name, and how they are changed.

    lower: the motion. upper: the motion whose upper body replaces its own (None: none). then: the
    motion that follows if the first is too short. mirror: whether left and right are exchanged.
    speed: times as fast. start: share of the motion at which the scene begins.
    """

    lower: str
    upper: str | None
    then: str | None
    mirror: bool
    speed: float
    start: float


@dataclass(frozen=True)
class PersonSpec:
    """A person.

    shape: the body's parameters. place: (3,) x, z metres of the middle of the path, and the
    heading about Y, radians. seat: what the person sits down on, if the motion does.
    """

    shape: tuple[float, ...]
    look: Look
    motion: MotionSpec
    place: tuple[float, float, float]
    seat: Prop | None


@dataclass(frozen=True, eq=False)
class CameraSpec:
    """A camera with its errors.

    camera: without sway. given: with the errors of the calibration. shutter_s: exposure.
    offset_s: its clock shows the scene's time minus this.
    """

    camera: Camera
    given: Camera
    sway: Sway | None
    sensor: Sensor
    shutter_s: float
    offset_s: float


@dataclass(frozen=True, eq=False)
class Scene:
    """Everything that the videos depend on. moving: the motion of each person."""

    options: SynthOptions
    number: int
    people: tuple[PersonSpec, ...]
    moving: tuple[MovingBody, ...]
    room: Room
    light: Light
    props: tuple[Prop, ...]
    cameras: tuple[CameraSpec, ...]

    @property
    def seed(self) -> tuple[int, int]:
        return self.options.seed, self.number

    def to_json(self) -> dict[str, Any]:
        """Plain values; files by name only."""
        options = self.options.model_dump(mode="json")
        options |= {k: v.name for k in ("motion", "backgrounds") if (v := getattr(self.options, k))}
        picture = self.room.picture and Path(self.room.picture).name
        own = ("sway", "sensor", "shutter_s", "offset_s")
        return {
            "options": options,
            "scene": self.number,
            "people": [asdict(person) for person in self.people],
            "room": asdict(self.room) | {"picture": picture},
            "light": asdict(self.light),
            "props": [asdict(prop) for prop in self.props],
            "cameras": {f.camera.name: {k: asdict(f)[k] for k in own} for f in self.cameras},
        }


def sample_scene(
    options: SynthOptions, number: int, body: BodyModel, library: Mapping[str, Clip]
) -> Scene:
    """The scene of that number, sampled from the options' seed and the number.

    body: Anny. library: motions by name. Raises InputError when no motion has the name asked for,
    or the folder of backgrounds holds no image.
    """
    rng = np.random.default_rng((options.seed, number))
    # Of their own, so that hair and skirts change nothing else in a scene.
    worn = rng.spawn(options.people)
    chosen = _chosen(library, options.clip)
    people, moving, around = [], [], []
    points = body_points(body)
    reach = np.linspace(0, options.seconds, max(2, round(options.seconds * _SAMPLES_A_SECOND)))
    for p in range(options.people):
        shape = sample_shape(body, rng, child=bool(rng.random() < options.children))
        motion = _sample_motion(rng, options, chosen)
        place = _sample_place(rng, p)
        look = sample_worn(worn[p], sample_look(rng), options.hair, options.skirts)
        moving.append(_moving_body(motion, library, body, shape, place, options))
        seat = _seat(rng, motion, moving[-1], hip_height(body, shape))
        people.append(PersonSpec(tuple(shape.tolist()), look, motion, place, seat))
        around.append(points.at(*moving[-1].at(reach), shape)[0].reshape(-1, 3))
    cameras = _sample_cameras(rng, options, np.concatenate(around))
    far = max(float(np.abs(f.camera.centre[[0, 2]]).max()) for f in cameras)
    picture = None
    if options.backgrounds is not None:
        pictures = pictures_in(options.backgrounds)
        picture = str(pictures[int(rng.integers(len(pictures)))])
    room = sample_room(rng, least_m=far + 0.5, picture=picture)
    return Scene(
        options=options,
        number=number,
        people=tuple(people),
        moving=tuple(moving),
        room=room,
        light=sample_light(rng),
        props=_sample_props(rng, options.props, around[0], cameras),
        cameras=cameras,
    )


def moving_person(
    rng: np.random.Generator, options: SynthOptions, body: BodyModel, library: Mapping[str, Clip]
) -> tuple[FloatArray, MovingBody]:
    """A random person's shape (S,) and motion, without a scene around them."""
    shape = sample_shape(body, rng, child=bool(rng.random() < options.children))
    motion = _sample_motion(rng, options, _chosen(library, options.clip))
    return shape, _moving_body(motion, library, body, shape, _sample_place(rng, 0), options)


def _chosen(library: Mapping[str, Clip], part: str | None) -> list[list[str]]:
    """Names of kinefit's own motions, and of recorded ones, that contain `part`."""
    names = sorted(name for name in library if part is None or part in name)
    if not names:
        known = ", ".join(sorted(library)[:30])
        raise InputError("--clip", f"no motion has {part!r} in its name", f"there are {known}")
    own = built_in_names()
    groups = [name for name in names if name in own], [name for name in names if name not in own]
    return [group for group in groups if group]


def _sample_motion(
    rng: np.random.Generator, options: SynthOptions, names: list[list[str]]
) -> MotionSpec:
    def pick() -> str:
        # Recordings rarely sit, kneel or lie; kinefit's own motions do, so they come more often.
        group = names[0] if rng.random() < _OWN else names[-1]
        return group[int(rng.integers(len(group)))]

    lower, upper, then = pick(), pick(), pick()
    if not options.mix:
        return MotionSpec(lower, None, None, mirror=False, speed=1.0, start=0.0)
    return MotionSpec(
        lower=lower,
        upper=upper if rng.random() < 0.3 and upper != lower else None,
        then=then if rng.random() < 0.3 else None,
        mirror=bool(rng.random() < 0.5),
        speed=float(rng.uniform(0.75, 1.25)),
        start=float(rng.random()),
    )


def _sample_place(rng: np.random.Generator, person: int) -> tuple[float, float, float]:
    """The first person is in the middle, the others around."""
    heading = float(rng.uniform(0, 2 * np.pi))
    if person == 0:
        return 0.0, 0.0, heading
    angle, far = rng.uniform(0, 2 * np.pi), rng.uniform(*_APART_M)
    return float(far * np.sin(angle)), float(far * np.cos(angle)), heading


def _moving_body(
    motion: MotionSpec,
    library: Mapping[str, Clip],
    body: BodyModel,
    shape: FloatArray,
    place: tuple[float, float, float],
    options: SynthOptions,
) -> MovingBody:
    """The motion on a body, from a little before the first frame to a little after the last."""
    lower, upper = library[motion.lower], motion.upper
    following = library[motion.then] if motion.then is not None else lower
    clip = lower if upper is None else spliced(lower, library[upper], body)
    margin = options.clock_offset + 2 / options.rate
    needed = options.seconds + 2 * margin
    # Small people step faster: a pendulum of half the length takes 0.7 of the time.
    slower = np.sqrt(hip_height(body, shape) / clip.hip_height_m) / motion.speed
    while clip.duration_s * slower < needed:
        clip = joined(clip, following, _JOIN_S)
        following = lower if following is not lower else clip
    start = clip.times[0] + motion.start * (clip.duration_s - needed / slower)
    clip = retimed(part(clip, start, min(start + needed / slower, clip.times[-1])), slower)
    clip = mirrored(clip) if motion.mirror else clip
    times = np.linspace(clip.times[0], clip.times[-1], round(needed * options.rate) + 1)
    rotations, translation = placed(clip, body, shape, times)
    moving = MovingBody.of(
        body, shape, times - times[0] - margin, rotations, translation, clip.name
    )
    return (moving.in_place() if options.treadmill else moving).placed_at(place)


def _seat(
    rng: np.random.Generator, motion: MotionSpec, moving: MovingBody, hips_m: float
) -> Prop | None:
    """A seat under the hips where they are lowest, for motions that only sit down and stand up."""
    height = seat_height(motion.lower)
    if height is None or motion.then is not None:
        return None
    path = moving.clip.root_path
    lowest = int(path[:, 1].argmin())
    forward = moving.clip.rotations[lowest, 0] @ [0.0, 0.0, 1.0]
    side = float(rng.uniform(0.3, 0.42))
    return Prop(
        kind="table" if rng.random() < 0.5 else "box",
        size=(side, height * hips_m / _TABLE_HIPS_M - _CUSHION_M, side),
        place=(float(path[lowest, 0]), float(path[lowest, 2])),
        yaw=float(np.arctan2(forward[0], forward[2])),
        color=sample_reflectance(rng),
    )


def _sample_cameras(
    rng: np.random.Generator, options: SynthOptions, around: FloatArray
) -> tuple[CameraSpec, ...]:
    first, out = rng.uniform(0, 2 * np.pi), []
    for c in range(options.views):
        azimuth = first + 2 * np.pi * (c + rng.uniform(-0.2, 0.2)) / options.views
        focal = rng.uniform(options.focal_min, options.focal_max)
        camera = sample_camera(
            rng, f"cam{c + 1:02d}", options.size, around, azimuth, focal,
            options.distance, options.lens, options.elevation,
        )  # fmt: skip
        given = miscalibrated(
            camera, rng, options.calibration_turn, options.calibration_shift,
            options.calibration_focal,
        )  # fmt: skip
        offset = rng.uniform(-options.clock_offset, options.clock_offset) if c else 0.0
        sway = sample_sway(rng)
        sensor = sample_sensor(rng, options.noise)
        shutter = float(rng.uniform(0, options.shutter) / options.rate)
        held = sway if options.handheld else None
        out.append(CameraSpec(camera, given, held, sensor, shutter, float(offset)))
    return tuple(out)


def pictures_in(folder: Path) -> list[Path]:
    """The images of a folder of backgrounds, by name; raises InputError when there is none."""
    found = sorted(p for p in folder.glob("*") if p.suffix.lower() in _PICTURES)
    if not found:
        raise InputError(folder, "holds no .jpg or .png", "name a folder of images")
    return found


def _sample_props(
    rng: np.random.Generator, count: int, around: FloatArray, cameras: Sequence[CameraSpec]
) -> tuple[Prop, ...]:
    """Objects between the cameras and the subject, each in front of at least one camera."""
    middle = (around.min(axis=0) + around.max(axis=0)) / 2
    out = []
    for _ in range(count):
        eye = cameras[int(rng.integers(len(cameras)))].camera.centre
        spot = middle + rng.uniform(0.15, 0.45) * (eye - middle)
        aside = rng.normal(0, 0.25, 2)
        out.append(sample_prop(rng, (float(spot[0] + aside[0]), float(spot[2] + aside[1]))))
    return tuple(out)
