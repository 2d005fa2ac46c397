"""Errors between a person and the pixels: of the detector, the clocks and the calibration.

One kind of error at a time grows, level by level, on top of the usual ones. Each kind of error
has a stream of random numbers of its own, so that a level changes only its own kind.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.suite.known_subjects import NAMES, KnownSubject, heights_px, true_views
from kinefit.skeletons import Skeleton
from kinefit.synth.cameras import miscalibrated
from kinefit.types import BoolArray, CameraRig, FloatArray, all_finite

# A burst of a detector's trouble lasts this long on average: a limb passes behind another.
_BURST_S = 0.25
# What is hidden together: a limb, or the head with the trunk. Words in the names of points.
_ARM, _LEG = ("Shoulder", "Elbow", "Wrist"), ("Hip", "Knee", "Ankle", "Heel", "Toe")


@dataclass(frozen=True)
class Errors:
    """Errors of the detections and of what is known about the cameras.

    noise: standard deviation per axis as a share of the person's height in the picture. (With
        0.01, distances are 1.25 % on average: MediaPipe's reprojection residual on the demo's
        real videos is 1.2 %.)
    tail, tail_times: share of points whose noise is so many times as large.
    missing: share of points not seen, limbs at a time, in bursts.
    swapped: share of camera-frames with left and right swapped, in bursts.
    clock_s: by which the last camera's clock is wrong.
    turn_deg, shift_m: standard deviations of the calibration's errors, per axis.
    """

    noise: float = 0.01
    tail: float = 0.05
    tail_times: float = 4.0
    missing: float = 0.0
    swapped: float = 0.0
    clock_s: float = 0.0
    turn_deg: float = 0.0
    shift_m: float = 0.0


@dataclass(frozen=True)
class NoiseLevel:
    """label: in the table."""

    label: str
    errors: Errors


def noise_levels(
    field: str, values: Sequence[float], text: str, scale: float = 1.0
) -> tuple[NoiseLevel, ...]:
    """Levels that differ in one `field` of `Errors`; the {} in `text` becomes value * scale."""
    usual = Errors()
    return tuple(
        NoiseLevel(text.format(f"{scale * value:g}"), replace(usual, **{field: value}))
        for value in values
    )


NOISE_LEVELS: dict[str, tuple[NoiseLevel, ...]] = {
    "noise": noise_levels("noise", (0.0, 0.005, 0.01, 0.02, 0.04), "{} % of height", 100),
    "occlusion": noise_levels("missing", (0.1, 0.3, 0.5), "{} % hidden", 100),
    "left/right swaps": noise_levels("swapped", (0.05, 0.15, 0.3), "{} % swapped", 100),
    "clock of one camera": noise_levels("clock_s", (0.010, 0.033, 0.066), "{} ms", 1000),
    "calibration, rotation": noise_levels("turn_deg", (0.25, 0.5, 1.0), "{}°"),
    "calibration, place": noise_levels("shift_m", (0.01, 0.02, 0.04), "{} cm", 100),
}


@dataclass(frozen=True, eq=False)
class Detections:
    """The input of a triangulation, and which sides it should find swapped.

    rig: as the calibration has it. xy: (C, T, J, 2) px, NaN where not seen. score: (C, T, J).
    swapped: (C, T) where left and right are swapped.
    """

    rig: CameraRig
    xy: FloatArray
    score: FloatArray
    swapped: BoolArray


def detected(known: KnownSubject, rig: CameraRig, errors: Errors, seed: int = 0) -> Detections:
    """Views of `known` by the true `rig`, with `errors`; the same seed, the same numbers."""
    noise, tail, hiding, swapping, cameras = (
        np.random.default_rng((seed, kind)) for kind in range(5)
    )
    late = np.zeros(len(rig))
    late[-1] = errors.clock_s
    xy = true_views(known, rig, late)
    times = np.where(tail.random(xy.shape[:-1]) < errors.tail, errors.tail_times, 1.0)
    sigma = errors.noise * heights_px(known, rig)[..., None] * times
    xy = xy + sigma[..., None] * noise.standard_normal(xy.shape)
    swapped = _bursts(swapping, (len(rig),), known, errors.swapped)
    mirror = Skeleton("", NAMES).mirror()
    xy = np.where(swapped[..., None, None], xy[:, :, mirror], xy)
    xy = np.where(_hidden(hiding, len(rig), known, errors.missing)[..., None], np.nan, xy)
    given = [miscalibrated(c, cameras, errors.turn_deg, errors.shift_m, 0.0) for c in rig]
    return Detections(CameraRig(tuple(given)), xy, all_finite(xy).astype(np.float64), swapped)


def _hidden(rng: np.random.Generator, cameras: int, known: KnownSubject, share: float) -> BoolArray:
    """(C, T, J) where a point is not seen: its part of the body is not."""
    parts = np.array([_part(name) for name in NAMES])
    away = _bursts(rng, (cameras, int(parts.max()) + 1), known, share)  # (C, parts, T)
    return np.asarray(away[:, parts].swapaxes(1, 2))


def _part(name: str) -> int:
    """0: head and trunk; 1, 2: left, right arm; 3, 4: left, right leg."""
    if name[0] not in "LR":
        return 0
    limb = 1 if any(word in name for word in _ARM) else 3 if any(w in name for w in _LEG) else -1
    return 0 if limb < 0 else limb + (name[0] == "R")


def _bursts(
    rng: np.random.Generator, series: tuple[int, ...], known: KnownSubject, share: float
) -> BoolArray:
    """(*series, T) True in bursts that cover `share` of the frames on average.

    A chain of two states: bursts are over with a constant probability per frame.
    """
    T = len(known.timeline)
    over = min(1.0, 1 / (_BURST_S * known.timeline.rate_hz))
    begin = share * over / (1 - share)
    draws = rng.random((T, *series))
    out = np.zeros((T, *series), bool)
    out[0] = draws[0] < share
    for t in range(1, T):
        out[t] = np.where(out[t - 1], draws[t] >= over, draws[t] < begin)
    return np.moveaxis(out, 0, -1)
