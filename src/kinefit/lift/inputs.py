"""What a lifter looks at: one person's points over time, free of place, size and frame rate.

A window is `WINDOW` frames at `RATE_HZ`, whatever the video's rate. Each frame has axes of its own,
the *ray's*: z along the ray to the trunk, away from the camera, x and y as the camera's, turned the
smallest way. A network that sees only those cannot confuse where a person stands with how they
stand; where the ray points in the camera is an input of its own (Li et al. 2022, "CLIFF",
arXiv:2208.00571). Lengths in the image are divided by the person's size there, those of the
detector's own 3D by their size in it: each the root mean square distance of twelve joints from
their middle, the median over the window.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from kinefit.geometry.align import rotation_between
from kinefit.geometry.projection import rays
from kinefit.geometry.rotations import unit
from kinefit.skeletons import mirror_name, skeleton
from kinefit.skeletons.limbs import LIMBS as FIELDS
from kinefit.skeletons.limbs import Limb, limbs
from kinefit.types import FloatArray, all_finite

_UNKNOWN = ("EyeInner", "EyeOuter", "Mouth")  # corners that no body model has: no truth to learn
POINTS = tuple(n for n in skeleton("blazepose33").points if n[1:] not in _UNKNOWN)
MIRROR = np.array([POINTS.index(mirror_name(name)) for name in POINTS])
_FEET = ("left foot", "right foot")
LIMBS: tuple[Limb, ...] = (*FIELDS, *(limb for limb in limbs("foot") if limb.name in _FEET))
"""The 14 part orientation fields, and left and right foot from heel to toe."""
POINT_CHANNELS, PERSON_CHANNELS = 8, 4

_SIZED = [POINTS.index(s + n) for n in ("Shoulder", "Elbow", "Wrist", "Hip", "Knee", "Ankle")
          for s in "LR"]  # fmt: skip
_TRUNK = [POINTS.index(s + n) for n in ("Shoulder", "Hip") for s in "LR"]
_TINY = 1e-6
_AHEAD = np.array([0.0, 0.0, 1.0])


class Inputs(NamedTuple):
    """Windows for a network, and what turns its answers back into the camera's axes.

    points: (..., T, 27, 8): x, y, score, own X, Y, Z, then 1 where x, y and where X, Y, Z are
        known; 0 where not. person: (..., T, 4): logarithm of the size in the image (radians), the
        ray's x / z and y / z in the camera, 1 where the person was found.
    rotation: (..., T, 3, 3) from the camera's axes to the ray's. size: (...) of the person, as
        tangents of angles.
    """

    points: FloatArray
    person: FloatArray
    rotation: FloatArray
    size: FloatArray


def make_inputs(xy: FloatArray, score: FloatArray, own: FloatArray, K: FloatArray) -> Inputs:
    """Of windows of detections, points as `POINTS`.

    xy: (..., T, 27, 2) pixels without lens distortion; score: (..., T, 27) 0..1; own: (..., T, 27,
    3) the detector's 3D, its z along the ray, any unit and origin: NaN where unknown.
    K: (3, 3), or (..., 3, 3) of each window.
    """
    ray, rotation, flat, size = seen_along_ray(xy, K)
    own = about_trunk(own) / person_size(own)[..., None, None, None]
    in_image, in_space = np.asarray(all_finite(flat)), np.asarray(all_finite(own))
    points = np.concatenate([
        np.where(in_image[..., None], flat, 0.0),
        np.where(in_image, score, 0.0)[..., None],
        np.where(in_space[..., None], own, 0.0),
        in_image[..., None], in_space[..., None],
    ], axis=-1)  # fmt: skip
    found = np.asarray(in_image.any(axis=-1))
    person = np.concatenate([
        np.broadcast_to(np.log(size)[..., None, None], (*ray.shape[:-1], 1)),
        ray[..., :2], found[..., None],
    ], axis=-1)  # fmt: skip
    return Inputs(points, person, rotation, size)


def seen_along_ray(
    xy: FloatArray, K: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Of windows of pixels (..., T, 27, 2): the ray (..., T, 3), scaled to z = 1, the rotation to
    its axes (..., T, 3, 3), the points there in person sizes (..., T, 27, 2), and that size (...).
    """
    view = rays(K, xy) if K.ndim == 2 else _rays_of(K, xy)
    ray = _filled(_nanmean(unit(view[..., _TRUNK, :]), -2))
    ray = ray / np.maximum(ray[..., 2:], _TINY)
    rotation = rotation_between(ray, np.broadcast_to(_AHEAD, ray.shape))
    turned = view @ np.swapaxes(rotation, -1, -2)
    with np.errstate(invalid="ignore"):
        flat = turned[..., :2] / np.where(turned[..., 2:] > _TINY, turned[..., 2:], np.nan)
    size = person_size(flat)
    return ray, rotation, flat / size[..., None, None, None], size


def _rays_of(K: FloatArray, xy: FloatArray) -> FloatArray:
    """As `rays`, with intrinsics (..., 3, 3) of each window."""
    one = np.ones((*xy.shape[:-1], 1))
    back = np.swapaxes(np.linalg.inv(K), -1, -2)[..., None, :, :]
    return np.asarray(np.concatenate([xy, one], axis=-1) @ back)


def _nanmean(values: FloatArray, axis: int) -> FloatArray:
    """Mean of what is known; NaN where nothing is, without a warning."""
    known = np.isfinite(values)
    count = known.sum(axis=axis)
    total = np.where(known, values, 0.0).sum(axis=axis)
    return np.asarray(total / np.where(count > 0, count, np.nan))


def _filled(ray: FloatArray) -> FloatArray:
    """Rays (..., T, 3) with the missing ones between their neighbours; straight
    ahead where all are missing."""
    out = np.array(ray)
    rows = out.reshape(-1, *out.shape[-2:])
    known = all_finite(rows)
    frames = np.arange(rows.shape[1])
    for i in np.flatnonzero(~known.all(axis=1)):
        good = frames[known[i]]
        for c in range(3):
            rows[i, :, c] = np.interp(frames, good, rows[i, good, c]) if len(good) else _AHEAD[c]
    return rows.reshape(out.shape)


def about_trunk(points: FloatArray) -> FloatArray:
    """Points (..., 27, D) from the middle of shoulders and hips; NaN where those are unknown."""
    return np.asarray(points - _nanmean(points[..., _TRUNK, :], -2)[..., None, :])


def person_size(points: FloatArray) -> FloatArray:
    """(...) of windows (..., T, 27, D): see the module; 1 where nothing is known."""
    some = points[..., _SIZED, :]
    off = some - _nanmean(some, -2)[..., None, :]
    square = _nanmean((off**2).sum(axis=-1), -1)
    known = np.isfinite(square)
    # The median of what is known, by sorting the unknown to the end.
    ordered = np.sort(np.where(known, square, np.inf), axis=-1)
    count = known.sum(axis=-1)
    middle = np.take_along_axis(ordered, np.maximum(count - 1, 0)[..., None] // 2, -1)[..., 0]
    return np.asarray(np.sqrt(np.maximum(np.where(count > 0, middle, 1.0), _TINY**2)))
