"""A statistical model of MediaPipe's error, which samples detections without rendering.

For each point, the errors in the image and of the detector's own 3D, and the score, are
`bias + spread * residual`. Bias, and spread along and across the limb, depend on the limb's
direction, the visibility, the pose and the size (`Views.point`). Residuals are neither normal nor
independent: a leg that is mistaken for something else moves knee, ankle and foot together. So they
are kept as they were, whole persons of the training images, and a similar person donates its
residuals (a conditional bootstrap; Davison & Hinkley 1997, Bootstrap Methods and their
Application, section 6.2.4: resampling residuals). Swapped sides and missed people are added by
logistic regressions.

Lengths in the image are in units of the person's size there: focal length times stature over the
depth of the mid-hip. A bounding box would shrink when the person squats, though the detector sees
each limb at the same resolution; this size changes only with the resolution.

Fitted by `kinefit.synth.detector_error_fit`. Errors of successive frames are independent here; in
real videos they last for several frames.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import cache, cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from kinefit.fit.priors.weights import read_safetensors, read_weights
from kinefit.io.atomic import atomic_path
from kinefit.skeletons import skeleton
from kinefit.synth.truth import Visibility
from kinefit.types import BoolArray, FloatArray, InputError, IntArray, InvalidData

BLAZE = skeleton("blazepose33").points
# The body has no corners of eyes and mouth: their errors are unknown.
_UNKNOWN = {side + name for side in "LR" for name in ("EyeInner", "EyeOuter", "Mouth")}
KNOWN: IntArray = np.array([i for i, name in enumerate(BLAZE) if name not in _UNKNOWN])
NAMES = tuple(BLAZE[i] for i in KNOWN)

# Point -> start of the limb that ends in it.
_FROM = {
    "Eye": ("Ear",), "Ear": ("Shoulder",), "Shoulder": ("Hip",), "Hip": ("Shoulder",),
    "Elbow": ("Shoulder",), "Wrist": ("Elbow",), "Pinky": ("Wrist",), "Index": ("Wrist",),
    "Thumb": ("Wrist",), "Knee": ("Hip",), "Ankle": ("Knee",), "Heel": ("Ankle",),
    "BigToe": ("Ankle",),
}  # fmt: skip
_ARM = ("Elbow", "Wrist", "Pinky", "Index", "Thumb")
_LEG = ("Knee", "Ankle", "Heel", "BigToe")
# Groups of points that a detector swaps with the other side as a whole.
SWAP_GROUPS = {"legs": _LEG, "arms": _ARM, "trunk": ("Hip", "Shoulder", "Ear", "Eye")}
_PARTS = (
    *(tuple(side + name for name in part) for part in (_ARM, _LEG) for side in "LR"),
    tuple(side + name for side in "LR" for name in ("Shoulder", "Hip")),
)
_SIZE_PX = 300.0  # whose logarithm is 0
_NEAR = 0.05  # of the size: points of both sides that lie this near in the image get mixed up


class Landmarks(NamedTuple):
    """What a detector says of one person in one picture: (J, 2) pixels, (J,) scores 0..1, (J, 3)
    metres, camera axes, from the mid-hip."""

    xy: FloatArray
    score: FloatArray
    body: FloatArray


def columns(names: Sequence[str]) -> IntArray:
    """Places of points among `NAMES`."""
    return np.array([NAMES.index(name) for name in names])


def twins(group: str) -> tuple[IntArray, IntArray]:
    """Columns of a group's left and right points."""
    left, right = (columns([side + name for name in SWAP_GROUPS[group]]) for side in "LR")
    return left, right


def _limbs() -> FloatArray:
    """(J, J) matrix from points to the vectors of the limbs that end in them."""
    out = np.eye(len(NAMES))
    for row, name in enumerate(NAMES):
        start = [name[0] + what for what in _FROM[name[1:]]] if name != "Nose" else ["LEar", "REar"]
        out[row, columns(start)] -= 1 / len(start)
    return out


@dataclass(frozen=True, eq=False)
class Views:
    """N people in images; the points are `NAMES`, J of them.

    xy: (N, J, 2) pixels. xyz: (N, J, 3) metres, camera axes. visibility: (N, J) of
    `Visibility`. K: (N, 3, 3) intrinsics. stature: (N,) metres.
    """

    xy: FloatArray
    xyz: FloatArray
    visibility: NDArray[np.uint8]
    K: FloatArray
    stature: FloatArray

    @classmethod
    def of(
        cls, xy: FloatArray, xyz: FloatArray, visibility: NDArray[np.integer], K: FloatArray,
        stature: float | FloatArray,
    ) -> Views:  # fmt: skip
        """Of arrays over the 33 points of blazepose33.

        K: (3, 3) or (N, 3, 3). stature: one number or (N,).
        Raises InvalidData for other shapes, points that are missing, or hips behind the camera.
        """
        N = len(xy)
        if xy.shape != (N, 33, 2) or xyz.shape != (N, 33, 3) or visibility.shape != (N, 33):
            shapes = f"{xy.shape}, {xyz.shape}, {visibility.shape}"
            raise InvalidData(f"Points are {shapes}; (N, 33, 2), (N, 33, 3), (N, 33) are needed.")
        new = cls(
            np.asarray(xy, np.float64)[:, KNOWN],
            np.asarray(xyz, np.float64)[:, KNOWN],
            np.asarray(visibility, np.uint8)[:, KNOWN],
            np.broadcast_to(K, (N, 3, 3)),
            np.broadcast_to(np.asarray(stature, np.float64), (N,)),
        )
        finite = np.isfinite(new.xyz).all(axis=(1, 2)) & np.isfinite(new.xy).all(axis=(1, 2))
        good = finite & (new._hips[:, 2] > 0)
        if not good.all():
            raise InvalidData(f"Row {good.argmin()}: points are missing or behind the camera.")
        return new

    def rows(self, chosen: IntArray | BoolArray) -> Views:
        """Some of the people."""
        return Views(**{field.name: getattr(self, field.name)[chosen] for field in fields(self)})

    @cached_property
    def size(self) -> FloatArray:
        """(N,) pixels: the person's size in the image."""
        return np.asarray(self.K[:, 0, 0] * self.stature / self._hips[:, 2])

    @cached_property
    def around_hips(self) -> FloatArray:
        """(N, J, 3) camera axes, from the mid-hip, in statures."""
        return np.asarray((self.xyz - self._hips[:, None]) / self.stature[:, None, None])

    @cached_property
    def along(self) -> FloatArray:
        """(N, J, 2) unit vectors of the limbs in the image."""
        return _unit(np.einsum("jk,nkc->njc", _limbs(), self.xy))

    @cached_property
    def azimuth(self) -> FloatArray:
        """(N,) radians: 0 facing the camera, pi/2 facing the image's right, +-pi away."""
        forward, _ = self._trunk
        return np.asarray(np.arctan2(forward[:, 0], -forward[:, 2]))

    @property
    def _hips(self) -> FloatArray:
        return np.asarray(self.xyz[:, columns(["LHip", "RHip"])].mean(axis=1))

    @cached_property
    def _trunk(self) -> tuple[FloatArray, FloatArray]:
        """(N, 3) unit vectors, camera axes: forward and upward of the trunk."""
        hips, shoulders = (self.xyz[:, columns(["L" + n, "R" + n])] for n in ("Hip", "Shoulder"))
        left = (hips[:, 0] - hips[:, 1]) + (shoulders[:, 0] - shoulders[:, 1])
        up = shoulders.mean(axis=1) - hips.mean(axis=1)
        return _unit(np.cross(left, up)), _unit(up)

    @cached_property
    def alike(self) -> FloatArray:
        """(N, 12) similarity for a detector: forward and up of the trunk, hidden parts, size."""
        forward, up = self._trunk
        unseen = self.visibility != Visibility.VISIBLE
        parts = [unseen[:, columns(part)].mean(axis=1) for part in _PARTS]
        return np.column_stack([forward, up, *parts, np.log(self.size / _SIZE_PX)])

    @cached_property
    def person(self) -> FloatArray:
        """(N, P): 1, `alike`, second harmonics of the heading, ray to the person, perspective."""
        forward, _ = self._trunk
        return np.column_stack([
            np.ones(len(self.xy)), self.alike,
            forward[:, 2] * forward[:, 0], forward[:, 2] ** 2,
            self._ray, self.stature / self._hips[:, 2],
        ])  # fmt: skip

    @property
    def _ray(self) -> FloatArray:
        return np.asarray(self._hips[:, :2] / self._hips[:, 2:])

    @cached_property
    def point(self) -> FloatArray:
        """(N, J, F): `person`, and each point's limb, place, visibility and nearness of its twin.

        The place times the ray is a feature because a detector's own 3D has axes along the ray.
        Points outside the image count as occluded: training images show the whole person.
        """
        limb = _unit(np.einsum("jk,nkc->njc", _limbs(), self.xyz))
        place, ray = self.around_hips, self._ray[:, None]
        seen = self.visibility
        hidden = np.stack([seen == Visibility.SELF_OCCLUDED, seen <= Visibility.OCCLUDED], axis=-1)
        return np.concatenate([
            np.broadcast_to(self.person[:, None], (*self.visibility.shape, self.person.shape[1])),
            limb, limb[..., 2:] ** 2, place, ray * place[..., :2], ray * place[..., 2:],
            hidden, self._mixed_up[..., None],
        ], axis=-1)  # fmt: skip

    @cached_property
    def _mixed_up(self) -> FloatArray:
        """(N, J) 1 where both sides' points coincide in the image, 0 where far apart; nose: 0."""
        out = np.zeros(self.visibility.shape)
        for group in SWAP_GROUPS:
            left, right = twins(group)
            gap = np.linalg.norm(self.xy[:, left] - self.xy[:, right], axis=-1)
            out[:, left] = out[:, right] = np.exp(-gap / self.size[:, None] / _NEAR)
        return out

    @cached_property
    def exchange(self) -> FloatArray:
        """(N, E) features of swapped sides and missed people."""
        near = [self._mixed_up[:, twins(group)[0]].mean(axis=1) for group in SWAP_GROUPS]
        hidden = (self.visibility <= Visibility.OCCLUDED).mean(axis=1)
        return np.column_stack([self.person, *near, hidden])


def _unit(v: FloatArray) -> FloatArray:
    return np.asarray(v / np.maximum(np.linalg.norm(v, axis=-1, keepdims=True), 1e-9))


# Channels of a point: x, y (sizes of the person), logit of the score, X, Y, Z (statures).
XY, SCORE, WORLD = slice(0, 2), 2, slice(3, 6)
CHANNELS = 6
MOST_LOGIT = 12.0  # scores are single precision: not resolved nearer to 0 or 1
# Candidates of whom the most similar donates its residuals. From 64 to 512 the sampled errors get
# harder to tell from real ones; among thousands of people, several still donate to each sample.
_CANDIDATES, _TOGETHER = 512, 16
_WHAT = "detector_errors"


@dataclass(frozen=True, eq=False)
class DetectorErrors:
    """The fitted numbers; J points (`NAMES`), C = 6 channels.

    bias, spread: (J, F, C) times `Views.point`: error, and logarithm of its scale.
    least, most: (J, F) range of each feature in the training images.
    exchange: (G, E + G) logistic, times `Views.exchange` and the groups before, of `SWAP_GROUPS`.
    nobody: (E,) logistic, times `Views.exchange`.
    residuals: (M, J, C) of M people; alike: (M, A) their `Views.alike`; alike_scale: (A,).
    """

    bias: FloatArray
    spread: FloatArray
    least: FloatArray
    most: FloatArray
    exchange: FloatArray
    nobody: FloatArray
    residuals: FloatArray
    alike: FloatArray
    alike_scale: FloatArray

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, FloatArray], source: Path | str) -> DetectorErrors:
        """Raises InputError for arrays that are missing, or do not fit together."""
        hint = "make it again: kinefit synth errors PAIRS --out FILE"
        names = [field.name for field in fields(cls)]
        if lacking := [name for name in names if name not in arrays]:
            reason = f"is no model of the detector's error: it lacks {lacking[0]}"
            raise InputError(source, reason, hint)
        new = cls(**{name: np.asarray(arrays[name], np.float64) for name in names})
        # One person, to count features.
        xyz, visibility = np.ones((1, len(NAMES), 3)), np.zeros((1, len(NAMES)), np.uint8)
        probe = Views(xyz[..., :2], xyz, visibility, np.eye(3)[None], np.ones(1))
        J, F, E, A = len(NAMES), probe.point.shape[-1], probe.exchange.shape[1], 12
        G, M = len(SWAP_GROUPS), max(len(new.residuals), 1)
        shapes = {
            "bias": (J, F, CHANNELS), "spread": (J, F, CHANNELS), "least": (J, F), "most": (J, F),
            "exchange": (G, E + G), "nobody": (E,), "residuals": (M, J, CHANNELS),
            "alike": (M, A), "alike_scale": (A,),
        }  # fmt: skip
        for name, shape in shapes.items():
            if getattr(new, name).shape != shape or not np.isfinite(getattr(new, name)).all():
                raise InputError(source, f"its {name} is not {shape} finite numbers", hint)
        return new

    def write(self, path: Path, about: Mapping[str, str]) -> None:
        """A safetensors file: single precision, half for residuals. about: remarks."""
        kinds = {field.name: np.float32 for field in fields(self)} | {"residuals": np.float16}
        single = {n: np.ascontiguousarray(getattr(self, n), kind) for n, kind in kinds.items()}
        with atomic_path(path) as partial:
            partial.write_bytes(save(single, dict(about)))

    def moments(self, views: Views) -> tuple[FloatArray, FloatArray]:
        """(N, J, C) bias and spread of each channel (in the image: along and across limbs)."""
        x = np.clip(views.point, self.least, self.most).transpose(1, 0, 2)
        bias, spread = ((x @ b).transpose(1, 0, 2) for b in (self.bias, self.spread))
        return np.asarray(bias), np.asarray(np.exp(spread))

    def donors(self, rng: np.random.Generator, views: Views) -> IntArray:
        """(N,) the person whose residuals each gets: the most similar of 512 random candidates.

        The nearest of random candidates is a sample from the nearest 1/512 of all, without a search
        among all. Sixteen people at a time share their candidates.
        """
        mine, theirs = views.alike / self.alike_scale, self.alike / self.alike_scale
        half_square = (theirs**2).sum(axis=1) / 2
        out = np.zeros(len(mine), np.int64)
        for at in range(0, len(mine), _TOGETHER):
            picked = rng.integers(len(theirs), size=_CANDIDATES)
            near = mine[at : at + _TOGETHER] @ theirs[picked].T - half_square[picked]
            out[at : at + _TOGETHER] = picked[near.argmax(axis=1)]
        return out

    def swapped(self, rng: np.random.Generator, views: Views) -> BoolArray:
        """(N, G) True where legs, arms or trunk are swapped with the other side."""
        out = np.zeros((len(views.xy), len(SWAP_GROUPS)))
        for group, weights in enumerate(self.exchange):
            p = logistic(np.column_stack([views.exchange, out]) @ weights)
            out[:, group] = rng.random(len(p)) < p
        return out > 0


def draw(
    model: DetectorErrors, rng: np.random.Generator, true_xy: FloatArray,
    true_xyz_camera: FloatArray, visibility: NDArray[np.integer], K: FloatArray,
    stature: float | FloatArray,
) -> Landmarks:  # fmt: skip
    """Detections of N people; the same generator state gives the same bytes.

    true_xy: (N, 33, 2) pixels, true_xyz_camera: (N, 33, 3) metres: blazepose33. visibility: (N, 33)
    codes of `kinefit.synth.truth.Visibility`. K: (3, 3) or (N, 3, 3). stature: metres, one or (N,).
    Their landmarks have a leading axis of N; `body` is from about the mid-hip. Corners of eyes and
    mouth are NaN, score 0; so is everything of missed people.
    Raises InvalidData: see `Views.of`.
    """
    views = Views.of(true_xy, true_xyz_camera, visibility, K, stature)
    found = rng.random(len(views.xy)) >= logistic(views.exchange @ model.nobody)
    bias, spread = model.moments(views)
    residual = model.residuals[model.donors(rng, views)]
    error = bias + scaled(residual, spread, views.along)
    detected = swap_sides(apply_errors(views, error), model.swapped(rng, views))
    detected[~found] = np.nan
    out = np.full((len(detected), 33, CHANNELS), np.nan)
    out[:, KNOWN] = detected
    return Landmarks(out[..., XY], np.nan_to_num(out[..., SCORE]), out[..., WORLD])


@cache
def detector_errors() -> DetectorErrors:
    """The model that kinefit ships."""
    return DetectorErrors.of_arrays(read_weights(_WHAT)[0], f"{_WHAT}.safetensors")


def read_detector_errors(path: Path) -> DetectorErrors:
    """A model that `DetectorErrors.write` left; InputError for any other file."""
    return DetectorErrors.of_arrays(read_safetensors(path)[0], path)


def apply_errors(views: Views, error: FloatArray) -> FloatArray:
    """(N, J, C) detections: xy in pixels, score 0..1, own 3D in metres. error: of each channel."""
    out = np.empty_like(error)
    out[..., XY] = views.xy + error[..., XY] * views.size[:, None, None]
    out[..., SCORE] = logistic(np.clip(error[..., SCORE], -MOST_LOGIT, MOST_LOGIT))
    out[..., WORLD] = (views.around_hips + error[..., WORLD]) * views.stature[:, None, None]
    return out


def find_errors(views: Views, detected: FloatArray) -> FloatArray:
    """(N, J, C): the inverse of `apply_errors`."""
    out = np.empty_like(detected)
    out[..., XY] = (detected[..., XY] - views.xy) / views.size[:, None, None]
    score = np.clip(detected[..., SCORE], logistic(-MOST_LOGIT), logistic(MOST_LOGIT))
    out[..., SCORE] = np.log(score / (1 - score))
    out[..., WORLD] = detected[..., WORLD] / views.stature[:, None, None] - views.around_hips
    return out


def swap_sides(detected: FloatArray, groups: BoolArray) -> FloatArray:
    """(N, J, C) with left and right points of the groups (N, G) of `SWAP_GROUPS` swapped."""
    out = detected.copy()
    for group, name in enumerate(SWAP_GROUPS):
        left, right = twins(name)
        rows = np.flatnonzero(groups[:, group])[:, None]
        out[rows, left], out[rows, right] = detected[rows, right], detected[rows, left]
    return out


def scaled(residual: FloatArray, spread: FloatArray, along: FloatArray) -> FloatArray:
    """Residuals (N, J, C) times spreads: of the two image channels, along and across limbs.

    along: (N, J, 2) unit vectors. The factor is the symmetric root of the covariance, so residuals
    stay in the image's axes: a shift of the whole person stays a shift.
    """
    out = residual * spread
    across = np.stack([-along[..., 1], along[..., 0]], axis=-1)
    a, b = (
        ((residual[..., XY] * axis).sum(-1) * spread[..., i])[..., None]
        for i, axis in enumerate((along, across))
    )
    out[..., XY] = a * along + b * across
    return np.asarray(out)


def logistic(x: float | FloatArray) -> FloatArray:
    """1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(x))))
