"""A statistical model of MediaPipe's error, which samples detections without rendering.

For each point, the errors in the image and of the detector's own 3D, and the score, are
`bias + spread * residual`. Bias, and spread along and across the limb, depend on the limb's
direction, the visibility, the pose and the size (`Views.point`). Residuals are neither normal nor
independent: a leg that is mistaken for something else moves knee, ankle and foot together. So they
are kept as they were, whole persons of the training images, and a similar person donates its
residuals (a conditional bootstrap; Davison & Hinkley 1997, Bootstrap Methods and their
Application, section 6.2.4: resampling residuals). Swapped sides and missed people are added by
logistic regressions.

Fitted by `kinefit.synth.detector_error_fit`. Errors of successive frames are independent here; in
real videos they last for several frames.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from kinefit.fit.priors.weights import read_safetensors, read_weights
from kinefit.io.atomic import atomic_path
from kinefit.synth.detector_error_features import KNOWN, NAMES, SWAP_GROUPS, Views, twins
from kinefit.types import BoolArray, FloatArray, InputError, IntArray

# Channels of a point: x, y (sizes of the person), logit of the score, X, Y, Z (statures).
XY, SCORE, WORLD = slice(0, 2), 2, slice(3, 6)
CHANNELS = 6
MOST_LOGIT = 12.0  # scores are single precision: not resolved nearer to 0 or 1
# Candidates of whom the most similar donates its residuals. From 64 to 512 the sampled errors get
# harder to tell from real ones; among thousands of people, several still donate to each sample.
_CANDIDATES, _TOGETHER = 512, 16
_WHAT = "detector_errors"


@dataclass(frozen=True, eq=False)
class DrawnDetections:
    """Sampled detections of N people.

    xy: (N, 33, 2) pixels. score: (N, 33) 0..1. world: (N, 33, 3) metres, camera axes, from about
    the mid-hip. Corners of eyes and mouth are NaN, score 0; so is everything of missed people.
    """

    xy: FloatArray
    score: FloatArray
    world: FloatArray

    @property
    def found(self) -> BoolArray:
        """(N,) whether there is a detection."""
        return np.asarray(np.isfinite(self.xy[:, KNOWN[0], 0]))


@dataclass(frozen=True, eq=False)
class DetectorErrors:
    """The fitted numbers; J points (`error_features.NAMES`), C = 6 channels.

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
        lacking = [name for name in names if name not in arrays]
        if lacking:
            raise InputError(
                source, f"is no model of the detector's error: it lacks {lacking[0]}", hint
            )
        new = cls(**{name: np.asarray(arrays[name], np.float64) for name in names})
        for name, shape in new._shapes().items():
            if getattr(new, name).shape != shape or not np.isfinite(getattr(new, name)).all():
                raise InputError(source, f"its {name} is not {shape} finite numbers", hint)
        return new

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        probe = _probe()
        J, F, E, A = len(NAMES), probe.point.shape[-1], probe.exchange.shape[1], 12
        G, M = len(SWAP_GROUPS), max(len(self.residuals), 1)
        return {
            "bias": (J, F, CHANNELS), "spread": (J, F, CHANNELS), "least": (J, F), "most": (J, F),
            "exchange": (G, E + G), "nobody": (E,), "residuals": (M, J, CHANNELS),
            "alike": (M, A), "alike_scale": (A,),
        }  # fmt: skip

    def write(self, path: Path, about: Mapping[str, str]) -> None:
        """A safetensors file: single precision, half for residuals. about: remarks."""
        single = {
            field.name: np.ascontiguousarray(
                getattr(self, field.name), np.float16 if field.name == "residuals" else np.float32
            )
            for field in fields(self)
        }
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
    model: DetectorErrors,
    rng: np.random.Generator,
    true_xy: FloatArray,
    true_xyz_camera: FloatArray,
    visibility: NDArray[np.integer],
    K: FloatArray,
    stature: float | FloatArray,
) -> DrawnDetections:
    """Detections of N people; the same generator state gives the same bytes.

    true_xy: (N, 33, 2) pixels, true_xyz_camera: (N, 33, 3) metres: blazepose33. visibility: (N, 33)
    codes of `kinefit.synth.truth.Visibility`. K: (3, 3) or (N, 3, 3). stature: metres, one or (N,).

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
    return DrawnDetections(out[..., XY], np.nan_to_num(out[..., SCORE]), out[..., WORLD])


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
    parts = [(residual[..., XY] * axis).sum(-1) * spread[..., i] for i, axis in
             enumerate((along, across))]  # fmt: skip
    out[..., XY] = parts[0][..., None] * along + parts[1][..., None] * across
    return np.asarray(out)


def logistic(x: float | FloatArray) -> FloatArray:
    """1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-np.asarray(x))))


def _probe() -> Views:
    """One person, to count features."""
    xyz = np.ones((1, len(NAMES), 3))
    visibility = np.zeros((1, len(NAMES)), np.uint8)
    return Views(xyz[..., :2], xyz, visibility, np.eye(3)[None], np.ones(1))
