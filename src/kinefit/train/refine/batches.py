"""Windows for training refiners: cut, disturbed in the ways in which angles are wrong, mirrored."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from kinefit.biomech.angles import GROUPS
from kinefit.biomech.refine.table import OFFSETS, REFINED, mirrored, near_turning, twins
from kinefit.geometry.rotations import difference_deg
from kinefit.lift.windows import WINDOW
from kinefit.train.lift.batches import edges
from kinefit.train.refine.clips import AngleClips
from kinefit.types import BoolArray, FloatArray, IntArray

_J = len(GROUPS)
_LEGS = np.array([i for i, g in enumerate(GROUPS) if g[:-2] in ("hip", "knee", "ankle")])
_SIDED = np.array([i for i, g in enumerate(GROUPS) if g[-2:] in ("_r", "_l")])


@dataclass(eq=False)
class Windows:
    """B windows: arrays of `AngleClips`, (B, T, 12, 3), (B, T, 12). true, body: as the augmenter's
    markers would say it."""

    given: FloatArray
    given_sd: FloatArray
    lifted: FloatArray
    lifted_sd: FloatArray
    body: FloatArray
    true: FloatArray
    seen: FloatArray


@dataclass(frozen=True)
class Disturbance:
    """What is done to windows, each a probability but where said; `NONE` for evaluation.

    speed: range of re-timing. strength: range of what errors are multiplied by. bias: SD in
    degrees of what is added to each angle for the whole window. far: of one to three joints on
    average, an angle moved by 15 to 70 degrees for a stretch. swap: a stretch with left and right
    exchanged, of the legs or all. exact: the truth but for 2 degrees, and deviations to match, as
    several cameras give it. no_sd: without deviations. missing: of each joint, for a stretch. edge:
    a window that begins or ends beyond the clip.
    """

    speed: tuple[float, float] = (0.7, 1.18)
    strength: tuple[float, float] = (0.6, 1.4)
    bias: float = 2.0
    far: float = 0.5
    swap: float = 0.08
    exact: float = 0.12
    no_sd: float = 0.15
    missing: float = 0.03
    edge: float = 0.15


NONE = Disturbance((1, 1), (1, 1), 0, 0, 0, 0, 0, 0, 0)
_EXACT_DEG = 2.0
_TABLES = ("given", "lifted", "body", "true")


def draw(data: AngleClips, rng: np.random.Generator, clips: IntArray, how: Disturbance) -> Windows:
    """One window of each of `clips` (B,), disturbed; NaN beyond the clip."""
    B = len(clips)
    speed = rng.uniform(*how.speed, B)
    spare = np.maximum(data.length[clips] - 1 - speed * (WINDOW - 1), 0)
    at = (rng.random(B) * spare)[:, None] + speed[:, None] * np.arange(WINDOW)
    last = data.length[clips][:, None] - 1
    there = (np.rint(at) <= last) & ~edges(rng, B, how.edge)
    rows = data.start[clips][:, None] + np.minimum(np.rint(at).astype(np.int64), last)
    found = Windows(**{f.name: np.array(getattr(data, f.name)[rows]) for f in fields(Windows)})
    for name in _TABLES:
        getattr(found, name)[~there] = np.nan
    found.true += OFFSETS
    found.body += OFFSETS
    _disturb(rng, found, how)
    return found


def target_of(window: Windows, given: FloatArray) -> FloatArray:
    """(B, T, 12, 3) degrees from `given` to the truth; NaN where unknown, near a turn, or not to be
    refined."""
    off = difference_deg(window.true, given)
    unlearned = near_turning(given) | near_turning(window.true) | ~REFINED
    return np.where(unlearned, np.nan, off)


def with_mirrored(window: Windows) -> Windows:
    """(2 B) windows: these, then as in a mirror."""
    out = {}
    for field in fields(Windows):
        values = getattr(window, field.name)
        other = twins(values, field.name == "seen")
        if field.name in _TABLES:
            other = mirrored(values)
        out[field.name] = np.concatenate([values, other])
    return Windows(**out)


def _stretch(rng: np.random.Generator, shape: tuple[int, ...], p: float) -> BoolArray:
    """(*shape, T) True in one run of 3 frames to all, with probability p."""
    long = rng.integers(3, 2 * WINDOW, shape)[..., None]
    start = rng.integers(-WINDOW // 2, WINDOW, shape)[..., None]
    t = np.arange(WINDOW)
    return np.asarray((t >= start) & (t < start + long) & (rng.random(shape) < p)[..., None])


def _disturb(rng: np.random.Generator, window: Windows, how: Disturbance) -> None:
    """Changes the tables and their deviations in place, alike where errors are common."""
    B = len(window.true)
    strength = rng.uniform(*how.strength, (B, 1, 1, 1))
    bias = how.bias * rng.normal(size=(B, 1, _J, 3))
    exact = (rng.random(B) < how.exact)[:, None, None, None]
    exact_bias = _EXACT_DEG * rng.normal(size=(B, 1, _J, 3))
    far = _far(rng, B, how.far)
    swap = _stretch(rng, (B,), how.swap)
    legs = rng.random(B) < 0.5
    missing = _stretch(rng, (B, _J), how.missing).transpose(0, 2, 1)
    no_sd = rng.random(B) < how.no_sd
    spreads = window.given_sd, window.lifted_sd, np.zeros_like(window.given_sd)
    for table, sd in zip((window.given, window.lifted, window.body), spreads, strict=True):
        error = difference_deg(table, window.true)
        known = np.isfinite(error)
        table[...] = np.where(known, window.true + strength * error + bias, table)
        table[...] = np.where(exact & known, window.true + exact_bias, table) + far
        sd[...] = np.where(exact, _EXACT_DEG * rng.uniform(0.8, 1.5, (B, 1, 1, 1)), sd)
        for part, which in ((_LEGS, legs), (_SIDED, ~legs)):
            b, t = np.nonzero(swap & which[:, None])
            crossed = twins(table[b, t])
            table[b[:, None], t[:, None], part] = crossed[:, part]
        table[missing] = np.nan
        sd[no_sd] = np.nan
    window.seen[missing] = 0.0


def _far(rng: np.random.Generator, B: int, p: float) -> FloatArray:
    """(B, T, 12, 3) degrees: see `Disturbance.far`."""
    chosen = (rng.random((B, _J)) < rng.integers(1, 4, (B, 1)) / _J)[..., None]
    axis = rng.integers(0, 3, (B, _J))[..., None] == np.arange(3)
    size = rng.uniform(15, 70, (B, _J, 3)) * rng.choice([-1, 1], (B, _J, 3)) * chosen * axis
    return np.asarray(_stretch(rng, (B,), p)[..., None, None] * size[:, None])
