"""Clips drawn without pictures: motion on bodies, cameras anywhere, and a detector's real errors.

The errors are those of rendered clips that the real detector followed (`Sequences`): what it is
wrong by on average, given pose and view (`DetectorErrors`), plus what was left of a whole stretch
of a similar clip, so that errors last as long as they do in reality. Postures are varied beyond the
motions that there are: each joint is turned by an angle that stays, or drifts, through the clip.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from kinefit.body.contact import FEET
from kinefit.body.model import BodyModel
from kinefit.fit.mesh_markers import laboratory_markers
from kinefit.fit.priors import PriorJoints
from kinefit.fit.priors.weights import read_weights
from kinefit.fit.solver.chain import Chain
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import intrinsics
from kinefit.io.atomic import atomic_path
from kinefit.lift.inputs import POINTS
from kinefit.lift.windows import RATE_HZ
from kinefit.skeletons import map_points, skeleton
from kinefit.synth.body_points import body_points
from kinefit.synth.cameras import looking
from kinefit.synth.detector_error_fit import Sample, fit_detector_errors, swapped_sides
from kinefit.synth.detector_errors import (
    NAMES,
    DetectorErrors,
    Views,
    apply_errors,
    find_errors,
    logistic,
    scaled,
    swap_sides,
)
from kinefit.synth.motion_clip import Clip
from kinefit.synth.placing import contacts, standing_heights
from kinefit.synth.scene import moving_person
from kinefit.synth.scene_options import PairOptions
from kinefit.synth.subjects import mass, stature
from kinefit.synth.truth import Visibility
from kinefit.train.lift.sequences import Sequences, swapped
from kinefit.types import BoolArray, FloatArray, InputError, IntArray

FRAMES = 96  # of a clip: more than a window, for re-timing
_BLAZE = skeleton("blazepose33")
_COLUMNS = [_BLAZE.points.index(name) for name in POINTS]
assert POINTS == NAMES  # the error model's points are the lifter's
_SHIPPED = "detector_error_clips"
_CANDIDATES = 48  # stretches among which the most similar gives its errors
_SIZE = (1080, 1920)


@dataclass(frozen=True, eq=False)
class Donors:
    """What is left of the errors of whole clips: residual (S, FRAMES, J, 6), NaN-free; alike
    (S, A) of their middles; scale (A,)."""

    model: DetectorErrors
    residual: NDArray[np.float32]
    alike: FloatArray
    scale: FloatArray

    @classmethod
    def of(cls, rendered: Sequences) -> Donors:
        """Of clips at 30 Hz in which the person was found in every frame.

        Raises InputError where there is none of `FRAMES` frames.
        """
        views = views_of(rendered)
        sample = Sample(views, np.asarray(rendered.detected, np.float64),
                        np.zeros(len(rendered.xy), np.int64))  # fmt: skip
        model = fit_detector_errors(sample)
        groups = np.zeros((len(rendered.xy), 3), bool)
        found = sample.found
        groups[found] = swapped_sides(sample.rows(found))
        error = find_errors(views, swap_sides(sample.detected, groups))
        bias, spread = model.moments(views)
        left = scaled(error - bias, 1 / spread, views.along).astype(np.float32)
        whole = [
            (a, a + FRAMES)
            for (a, b), rate in zip(pairwise(rendered.start), rendered.rate, strict=True)
            if b - a >= FRAMES and np.isclose(rate, RATE_HZ) and found[a : a + FRAMES].all()
        ]
        if not whole:
            reason = f"no clip has {FRAMES} frames at {RATE_HZ:g} Hz with the person in all of them"
            raise InputError("PAIRS", reason, "make them with --seconds 3.2 --rate 30")
        alike = np.stack([views.alike[a:b].mean(axis=0) for a, b in whole])
        return cls(model, np.stack([left[a:b] for a, b in whole]), alike, alike.std(axis=0) + 1e-3)

    @classmethod
    def read(cls) -> Donors:
        """Those that kinefit brings along."""
        arrays, _ = read_weights(_SHIPPED)
        own = {name: arrays.pop(name) for name in ("clips", "clips_alike", "clips_scale")}
        model = DetectorErrors.of_arrays(arrays, f"{_SHIPPED}.safetensors")
        return cls(model, own["clips"].astype(np.float32), own["clips_alike"], own["clips_scale"])

    def write(self, path: Path, about: Mapping[str, str]) -> None:
        """A safetensors file for `read`: residuals in half precision. Those of single frames, which
        the model has too, are left out."""
        one = slice(0, 1)
        model = replace(
            self.model, residuals=self.model.residuals[one], alike=self.model.alike[one]
        )
        arrays = {f.name: np.asarray(getattr(model, f.name), np.float32) for f in fields(model)}
        arrays |= {
            "clips": np.asarray(self.residual, np.float16),
            "clips_alike": np.asarray(self.alike, np.float32),
            "clips_scale": np.asarray(self.scale, np.float32),
        }
        with atomic_path(path) as partial:
            partial.write_bytes(save(arrays, dict(about)))

    def like(self, rng: np.random.Generator, alike: FloatArray) -> IntArray:
        """(N,) which stretch each of N clips (N, FRAMES, A) gets its residuals from."""
        mine = alike.mean(axis=1) / self.scale
        picked = rng.integers(len(self.alike), size=(len(mine), _CANDIDATES))
        gap = ((self.alike[picked] / self.scale - mine[:, None]) ** 2).sum(axis=-1)
        return np.asarray(picked[np.arange(len(mine)), gap.argmin(axis=1)])


def views_of(data: Sequences) -> Views:
    """The frames as the error model sees them. stature: from the sum of leg and trunk."""
    K = np.repeat(data.K, data.lengths, axis=0)
    xyz = np.asarray(data.xyz, np.float64)
    seen = np.full(xyz.shape[:2], Visibility.VISIBLE, np.uint8)
    hidden = self_hidden(xyz)
    seen[hidden] = Visibility.SELF_OCCLUDED
    return views_at(np.asarray(data.xy, np.float64), xyz, seen, K, _stature_of(xyz))


def views_at(
    xy: FloatArray,
    xyz: FloatArray,
    seen: NDArray[np.uint8],
    K: FloatArray,
    tall: FloatArray | float,
) -> Views:
    """`Views` of points that are already those of `POINTS`, the error model's."""
    K = np.broadcast_to(K, (len(xy), 3, 3))
    return Views(xy, xyz, seen, K, np.broadcast_to(np.asarray(tall, np.float64), (len(xy),)))


_SHARE = 0.49 + 0.29  # of stature: leg and trunk between the points


def _stature_of(xyz: FloatArray) -> FloatArray:
    """(N,) metres from lengths of thigh, shank and trunk of points (N, 27, 3)."""
    at = {name: xyz[:, POINTS.index(name)] for name in POINTS}
    total = np.zeros(len(xyz))
    for a, b in (("Hip", "Knee"), ("Knee", "Ankle"), ("Shoulder", "Hip")):
        for side in "LR":
            total += np.linalg.norm(at[side + a] - at[side + b], axis=-1) / 2
    return np.asarray(total / _SHARE)


# Parts of the body as capsules: ends, radius in statures.
_TORSO = (("LShoulder", "RHip", 0.06), ("RShoulder", "LHip", 0.06), ("LHip", "LShoulder", 0.05),
          ("RHip", "RShoulder", 0.05))  # fmt: skip
_CAPSULES = (*_TORSO, ("LEar", "REar", 0.055), *(
    (s + a, s + b, r) for s in "LR" for a, b, r in (
        ("Hip", "Knee", 0.045), ("Knee", "Ankle", 0.03), ("Shoulder", "Elbow", 0.028),
        ("Elbow", "Wrist", 0.022), ("Heel", "BigToe", 0.022),
    )))  # fmt: skip
_SKIN = 0.06  # statures: a capsule that near in front of a point is what the point is on


def self_hidden(xyz: FloatArray) -> BoolArray:
    """(N, 27) whether the body's own capsules lie before points (N, 27, 3), camera axes."""
    tall = _stature_of(xyz)
    depth = np.linalg.norm(xyz, axis=-1)
    ray = xyz / depth[..., None]
    out = np.zeros(xyz.shape[:2], bool)
    for a, b, radius in _CAPSULES:
        start, end = (xyz[:, POINTS.index(name)] for name in (a, b))
        along, gap = _nearest_on(ray, start, end)
        hit = (gap < (radius * tall)[:, None]) & (along < depth - (_SKIN * tall)[:, None])
        hit[:, [POINTS.index(a), POINTS.index(b)]] = False
        out |= hit
    return out


def _nearest_on(
    ray: FloatArray, start: FloatArray, end: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Where rays (N, J, 3) from the origin pass nearest to segments (N, 3): metres along the ray,
    and between them."""
    axis = (end - start)[:, None]
    b = (ray * axis).sum(-1)
    c = (axis**2).sum(-1)
    d = (ray * start[:, None]).sum(-1)
    e = (axis * start[:, None]).sum(-1)
    share = np.clip((b * d - e) / np.maximum(c - b**2, 1e-9), 0, 1)
    point = start[:, None] + share[..., None] * axis
    along = (ray * point).sum(-1)
    gap = np.linalg.norm(point - along[..., None] * ray, axis=-1)
    return along, np.asarray(gap)


# Degrees, SD at most, that a joint is turned by: arms are held in every way, and little motion
# capture shows it.
_TURNED = {"Shoulder": 45.0, "Elbow": 40.0, "Hip": 25.0, "Knee": 25.0}
_TURNED_ELSE = 12.0


def varied(
    body: BodyModel, rng: np.random.Generator, rotations: FloatArray, times: FloatArray
) -> FloatArray:
    """(T, B, 3, 3) with the anatomical joints but the root turned, within their limits, each limb
    more or less: by what stays, and by half as much that drifts over seconds."""
    chain = _chain(body)
    free = chain.joint_index[1:]
    named = {body.joint_names.index(joint): name for name, joint in body.anatomy.items()}
    names = [named[joint] for joint in free]
    most = np.radians([_TURNED.get(name[1:], _TURNED_ELSE) for name in names])
    limb = [(name[0], name[1:] in ("Hip", "Knee", "Ankle")) for name in names]
    strength = {one: rng.uniform(0, 1, 2) for one in sorted(set(limb))}
    sd = most[:, None] * np.array([strength[one] for one in limb])
    stays = sd[:, :1] * rng.normal(size=(len(free), 3))
    phase = rng.uniform(0, 2 * np.pi, (len(free), 3))
    hertz = rng.uniform(0.1, 0.7, (len(free), 3))
    drift = sd[:, 1:] / 2 * np.sin(2 * np.pi * hertz * times[:, None, None] + phase)
    out = rotations.copy()
    out[:, free] = out[:, free] @ so3.exp(stays + drift)
    out[:, chain.joint_index] = PriorJoints.of(chain).within(out[:, chain.joint_index])
    return out


_chains: dict[str, Chain] = {}


def _chain(body: BodyModel) -> Chain:
    if body.name not in _chains:
        joints = list(dict.fromkeys(body.anatomy.values()))
        _chains[body.name] = Chain.of(body, joints, {"Nose": {"Nose": 1.0}})
    return _chains[body.name]


@dataclass(frozen=True, eq=False)
class Take:
    """One motion of one person before several cameras. clips: one each, FRAMES long. markers:
    (C, FRAMES, 43, 3) metres, camera axes, of the skeleton augmented43. R: (C, FRAMES, 3, 3) world
    to camera. stature_m, mass_kg: of the person. balanced: how the person moves tells the
    vertical: postures were not varied, and nothing moves the floor."""

    clips: Sequences
    markers: FloatArray
    R: FloatArray
    stature_m: float
    mass_kg: float
    balanced: bool


def draw_take(
    body: BodyModel, library: Mapping[str, Clip], donors: Donors, rng: np.random.Generator,
    options: PairOptions, cameras: int,
) -> Take:  # fmt: skip
    """One motion of one person, seen by `cameras` cameras."""
    shape, moving = moving_person(
        rng, options.model_copy(update={"treadmill": False}), body, library
    )
    times = np.arange(FRAMES) / RATE_HZ
    rotations, translation = moving.at(times)
    other = rng.random() < 0.6
    if other:
        rotations = varied(body, rng, rotations, times)
    points = body_points(body)
    fixed = body.fixed(shape)
    world = replace(points, body=fixed).keypoints_at(rotations, translation, np.zeros(0))
    feet = [points.keypoints.index(name) for name in FEET]
    stands = contacts(times, world[:, feet], standing_heights(body, shape)).astype(np.float64)
    markers = laboratory_markers(body).posed_vertices(rotations, translation, shape)
    if options.treadmill:
        still = (moving.in_place().at(times)[1] - translation)[:, None]
        world, markers = world + still, markers + still
    tall = stature(body, shape)
    world = map_points(world, points.keypoints, _BLAZE)[:, _COLUMNS]
    views, parts = [], []
    for _ in range(cameras):
        views.append(_camera(rng, world, tall))
        parts.append(_seen(rng, donors, world, stands, tall, views[-1]))
    clips = Sequences.joined(parts)
    if other:  # feet then slide, hover and sink, and nobody keeps their balance
        unknown = {n: np.full_like(getattr(clips, n), np.nan) for n in ("contact", "up")}
        clips = replace(clips, **unknown)
    filmed = [markers @ np.swapaxes(R, -1, -2) + t[:, None] for _, R, t in views]
    R = np.stack([view[1] for view in views])
    return Take(clips, np.stack(filmed), R, tall, mass(body, shape),
                not (other or options.treadmill))  # fmt: skip


_LEVEL = 0.5  # of the cameras


def _camera(
    rng: np.random.Generator, world: FloatArray, tall: float
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """K (3, 3), R (T, 3, 3) and t (T, 3) of a camera anywhere around the person, looking at them or
    near them; a third of them sway or follow. Half stand about level, as on people's tripods: how
    a body is pitched towards the camera is hardly seen, and what is usual decides."""
    T = len(world)
    focal = rng.uniform(24, 85) / 36 * max(_SIZE)
    size = _SIZE if rng.random() < 0.5 else _SIZE[::-1]
    K = intrinsics(focal, size)
    middle = np.nanmean(world, axis=(0, 1))
    reach = np.nanmax(np.linalg.norm(world - middle, axis=-1))
    level = rng.random() < _LEVEL
    pitch = np.radians(rng.normal(4, 6) if level else np.clip(rng.normal(8, 22), -60, 60))
    azimuth = rng.uniform(0, 2 * np.pi)
    way = np.array(
        [np.cos(pitch) * np.sin(azimuth), np.sin(pitch), np.cos(pitch) * np.cos(azimuth)]
    )
    far = np.clip(reach * 2 * focal / min(size) * rng.uniform(0.7, 2.5), 1.3 * reach, 15 * tall)
    eye = middle + far * way
    target = middle + rng.normal(0, 0.15, 3) * far * min(size) / focal / 2
    roll = np.radians(rng.normal(0, 2.5 if level else 6))
    R = so3.exp(np.array([0, 0, roll])) @ looking(target - eye)
    R, centre = np.tile(R, (T, 1, 1)), np.tile(eye, (T, 1))
    if rng.random() < 0.35:
        phase = rng.uniform(0, 2 * np.pi, (2, 3))
        swing = np.sin(
            2 * np.pi * rng.uniform(0.1, 0.8) * np.arange(T)[:, None, None] / RATE_HZ + phase
        )
        R = so3.exp(np.radians(rng.uniform(0, 4)) * swing[:, 0]) @ R
        centre = centre + rng.uniform(0, 0.1) * swing[:, 1]
    return K, R, -(R @ centre[..., None])[..., 0]


def _seen(
    rng: np.random.Generator, donors: Donors, world: FloatArray, stands: FloatArray, tall: float,
    camera: tuple[FloatArray, FloatArray, FloatArray],
) -> Sequences:  # fmt: skip
    K, R, t = camera
    xyz = world @ np.swapaxes(R, -1, -2) + t[:, None]
    xyz = np.where(xyz[..., 2:] > 0.1, xyz, [0.0, 0.0, 0.1])
    flat = xyz @ K.T
    xy = flat[..., :2] / flat[..., 2:]
    seen = np.full(xy.shape[:2], Visibility.VISIBLE, np.uint8)
    seen[self_hidden(xyz)] = Visibility.SELF_OCCLUDED
    views = views_at(xy, xyz, seen, K, tall)
    model = donors.model
    bias, spread = model.moments(views)
    donor = donors.like(rng, views.alike[None])[0]
    error = bias + scaled(donors.residual[donor].astype(np.float64), spread, views.along)
    groups = _lasting(rng, model, views)
    detected = swap_sides(apply_errors(views, error), groups)
    hole = _run(rng, logistic(views.exchange @ model.nobody))
    detected[hole] = np.nan
    return Sequences(
        detected=detected, xy=xy, xyz=xyz, up=R[:, :, 1], contact=stands,
        swapped=swapped(detected[..., :2], xy).astype(np.float64),
        start=np.array([0, len(xy)]), K=K[None], rate=np.array([RATE_HZ]),
    )  # fmt: skip


def _lasting(rng: np.random.Generator, model: DetectorErrors, views: Views) -> BoolArray:
    """(T, G) exchanges that last as long as one uniform number stays below the probability."""
    out = np.zeros((len(views.xy), len(model.exchange)))
    for group, weights in enumerate(model.exchange):
        p = logistic(np.column_stack([views.exchange, out]) @ weights)
        out[:, group] = _run(rng, p)
    return out > 0


_HOLD = 8  # frames, about: how long an exchange or a loss lasts


def _run(rng: np.random.Generator, p: FloatArray) -> BoolArray:
    """(T,) True with probability p (T,), in runs of about `_HOLD` frames."""
    n = len(p) // _HOLD + 2
    u = np.repeat(rng.random(n), _HOLD)[int(rng.integers(_HOLD)) :][: len(p)]
    return np.asarray(u < p)
