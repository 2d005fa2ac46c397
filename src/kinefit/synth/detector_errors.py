"""A statistical model of MediaPipe's error: detections are drawn from true points, unrendered.

Of each point, the errors in the picture and of the detector's own 3D, and the score, are
`bias + spread * residual`. Bias, and spread along and across the limb, depend on the limb's
direction, on what is seen, on how the person stands and on the size (`Views.point`). Residuals are
neither normal nor independent: a leg that is mistaken for something else takes knee, ankle and
foot along. They are therefore kept as they were, one whole person of the training pictures after
the other, and a person like the one in question is picked (a conditional bootstrap; Davison &
Hinkley 1997, Bootstrap Methods and their Application, section 6.2.4: resampling residuals). On top
of that: sides exchanged, and nobody found, by logistic regressions.

Fitted by `kinefit.synth.detector_error_fit`. Errors of successive frames of a video are drawn
independently; in truth they go on for a while.
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
from kinefit.synth.detector_error_features import EXCHANGED, KNOWN, NAMES, Views, twins
from kinefit.types import BoolArray, FloatArray, InputError, IntArray

# Channels of a point: x, y (sizes of the person), logit of the score, X, Y, Z (statures).
XY, SCORE, WORLD = slice(0, 2), 2, slice(3, 6)
CHANNELS = 6
MOST_LOGIT = 12.0  # scores are single precision: nearer to 0 or 1 means nothing
# Of whom the most alike lends its residuals. From 64 to 512 the drawn errors get harder to tell
# from real ones; with thousands of people in the model, several lend to each of the drawn still.
_CANDIDATES, _TOGETHER = 512, 16
_WHAT = "detector_errors"


@dataclass(frozen=True, eq=False)
class DrawnDetections:
    """What the detector might have said of N people.

    xy: (N, 33, 2) pixels. score: (N, 33) 0..1. world: (N, 33, 3) metres, camera axes, from about
    the mid-hip. Corners of eyes and mouth are NaN, score 0; so is all where nobody was found.
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
    least, most: (J, F) of each feature in the training pictures: beyond, nothing is known.
    exchange: (G, E + G) logistic, times `Views.exchange` and the groups before, of `EXCHANGED`.
    nobody: (E,) logistic, times `Views.exchange`.
    residuals: (M, J, C) of M people; alike: (M, A) `Views.alike` of theirs; alike_scale: (A,).
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
            raise InputError(source, f"is no model of the detector's error: no {lacking[0]}", hint)
        new = cls(**{name: np.asarray(arrays[name], np.float64) for name in names})
        for name, shape in new._shapes().items():
            if getattr(new, name).shape != shape or not np.isfinite(getattr(new, name)).all():
                raise InputError(source, f"its {name} is not {shape} finite numbers", hint)
        return new

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        probe = _probe()
        J, F, E, A = len(NAMES), probe.point.shape[-1], probe.exchange.shape[1], 12
        G, M = len(EXCHANGED), max(len(self.residuals), 1)
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
        """(N, J, C) bias and spread of each channel (those of the picture along, across limbs)."""
        x = np.clip(views.point, self.least, self.most).transpose(1, 0, 2)
        bias, spread = ((x @ b).transpose(1, 0, 2) for b in (self.bias, self.spread))
        return np.asarray(bias), np.asarray(np.exp(spread))

    def lenders(self, rng: np.random.Generator, views: Views) -> IntArray:
        """(N,) whose residuals each person gets: the most alike of 512 that are picked at random.

        The nearest of a random few is a draw from the neighbourhood, of about 1/512 of all, without
        a search among all. Sixteen people at a time share their 512.
        """
        mine, theirs = views.alike / self.alike_scale, self.alike / self.alike_scale
        half_square = (theirs**2).sum(axis=1) / 2
        out = np.zeros(len(mine), np.int64)
        for at in range(0, len(mine), _TOGETHER):
            picked = rng.integers(len(theirs), size=_CANDIDATES)
            near = mine[at : at + _TOGETHER] @ theirs[picked].T - half_square[picked]
            out[at : at + _TOGETHER] = picked[near.argmax(axis=1)]
        return out

    def exchanged(self, rng: np.random.Generator, views: Views) -> BoolArray:
        """(N, G) whose legs, arms and trunk are taken for those of the other side."""
        out = np.zeros((len(views.xy), len(EXCHANGED)))
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
    """What the detector might say of N people; the same generator state gives the same bytes.

    true_xy: (N, 33, 2) pixels, true_xyz_camera: (N, 33, 3) metres: blazepose33. visibility: (N, 33)
    codes of `kinefit.synth.truth.Visibility`. K: (3, 3) or (N, 3, 3). stature: metres, one or (N,).

    Raises InvalidData: see `Views.of`.
    """
    views = Views.of(true_xy, true_xyz_camera, visibility, K, stature)
    found = rng.random(len(views.xy)) >= logistic(views.exchange @ model.nobody)
    bias, spread = model.moments(views)
    residual = model.residuals[model.lenders(rng, views)]
    error = bias + scaled(residual, spread, views.along)
    said = exchange_sides(apply_errors(views, error), model.exchanged(rng, views))
    said[~found] = np.nan
    out = np.full((len(said), 33, CHANNELS), np.nan)
    out[:, KNOWN] = said
    return DrawnDetections(out[..., XY], np.nan_to_num(out[..., SCORE]), out[..., WORLD])


@cache
def detector_errors() -> DetectorErrors:
    """The model that comes with kinefit."""
    return DetectorErrors.of_arrays(read_weights(_WHAT)[0], f"{_WHAT}.safetensors")


def read_detector_errors(path: Path) -> DetectorErrors:
    """A model that `DetectorErrors.write` left; InputError for any other file."""
    return DetectorErrors.of_arrays(read_safetensors(path)[0], path)


def apply_errors(views: Views, error: FloatArray) -> FloatArray:
    """(N, J, C) what is said: xy in pixels, score 0..1, own 3D in metres. error: its channels."""
    out = np.empty_like(error)
    out[..., XY] = views.xy + error[..., XY] * views.size[:, None, None]
    out[..., SCORE] = logistic(np.clip(error[..., SCORE], -MOST_LOGIT, MOST_LOGIT))
    out[..., WORLD] = (views.around_hips + error[..., WORLD]) * views.stature[:, None, None]
    return out


def find_errors(views: Views, said: FloatArray) -> FloatArray:
    """(N, J, C): the inverse of `apply_errors`."""
    out = np.empty_like(said)
    out[..., XY] = (said[..., XY] - views.xy) / views.size[:, None, None]
    score = np.clip(said[..., SCORE], logistic(-MOST_LOGIT), logistic(MOST_LOGIT))
    out[..., SCORE] = np.log(score / (1 - score))
    out[..., WORLD] = said[..., WORLD] / views.stature[:, None, None] - views.around_hips
    return out


def exchange_sides(said: FloatArray, groups: BoolArray) -> FloatArray:
    """(N, J, C) with left and right points of the groups (N, G) of `EXCHANGED` exchanged."""
    out = said.copy()
    for group, name in enumerate(EXCHANGED):
        left, right = twins(name)
        rows = np.flatnonzero(groups[:, group])[:, None]
        out[rows, left], out[rows, right] = said[rows, right], said[rows, left]
    return out


def scaled(residual: FloatArray, spread: FloatArray, along: FloatArray) -> FloatArray:
    """Residuals (N, J, C) times spreads: of the picture's two, along and across limbs.

    along: (N, J, 2) unit vectors. The factor is the symmetric root of the covariance, which leaves
    a residual in the picture's axes: a shift of the whole person stays one.
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
    """One person, for numbers of features."""
    xyz = np.ones((1, len(NAMES), 3))
    visibility = np.zeros((1, len(NAMES)), np.uint8)
    return Views(xyz[..., :2], xyz, visibility, np.eye(3)[None], np.ones(1))
