"""Sensor model, from light to 8-bit sRGB: blur, vignetting, noise, white balance, tone curve."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.io.video import Picture
from kinefit.synth.look import Color

# Noise of a phone indoors, in shares of full light: shot noise grows with the root of light.
_READ, _SHOT = 0.006, 0.012
_SPARE = 64  # pixels by which the stored noise is larger than an image, for random shifts
_STEPS = 4096  # of the table from light to 8 bits


@dataclass(frozen=True)
class Sensor:
    """exposure: brightness, 1 is right. balance: gains of red, green, blue. contrast: slope of the
    tone curve about the middle. blur_px: standard deviation of the lens's softness. vignette: share
    of light lost in the corners. noise: times that of a phone indoors.
    """

    exposure: float
    balance: Color
    contrast: float
    blur_px: float
    vignette: float
    noise: float


def sample_sensor(rng: np.random.Generator, noise: float) -> Sensor:
    """An ordinary camera: within a stop of the right exposure, a little warm or cold."""
    warm = rng.normal(0, 0.05)
    return Sensor(
        exposure=float(2 ** rng.normal(0, 0.35)),
        balance=(float(1 + warm), 1.0, float(1 - warm)),
        contrast=float(rng.uniform(0.9, 1.2)),
        blur_px=float(rng.uniform(0.3, 0.9)),
        vignette=float(rng.uniform(0, 0.35)),
        noise=float(noise * rng.uniform(0.3, 1.7)),
    )


def apply_sensor(light: NDArray[np.float32], sensor: Sensor, rng: np.random.Generator) -> Picture:
    """(H, W, 3) sRGB, 8 bits, of linear light (H, W, 3), where 1 is white."""
    height, width = light.shape[:2]
    out = cv2.GaussianBlur(light, (0, 0), sensor.blur_px) if sensor.blur_px else light.copy()
    out *= (_vignette(width, height, sensor.vignette) * sensor.exposure)[..., None]
    out *= np.array(sensor.balance, np.float32)
    if sensor.noise:
        y, x = rng.integers(_SPARE, size=2)
        grain = _grain(width + _SPARE, height + _SPARE)[y : y + height, x : x + width]
        np.maximum(out, 0, out=out)
        out += grain * np.sqrt(out * np.float32((sensor.noise * _SHOT) ** 2 * 4)
                               + np.float32((sensor.noise * _READ) ** 2))  # fmt: skip
    index = np.clip(out * np.float32(_STEPS - 1), 0, _STEPS - 1).astype(np.uint16)
    return np.asarray(_curve(sensor.contrast)[index])


@lru_cache(maxsize=8)
def _vignette(width: int, height: int, loss: float) -> NDArray[np.float32]:
    x, y = np.linspace(-1, 1, width), np.linspace(-1, 1, height)[:, None]
    return np.asarray(1 - loss * (x**2 + y**2) / 2, np.float32)


@lru_cache(maxsize=2)
def _grain(width: int, height: int) -> NDArray[np.float32]:
    """Noise of unit variance, drawn once: frames use shifted parts of it."""
    return np.random.default_rng(0).standard_normal((height, width, 3), np.float32)


@lru_cache(maxsize=32)
def _curve(contrast: float) -> NDArray[np.uint8]:
    """sRGB (IEC 61966-2-1) of `_STEPS` values of light, steeper about the middle."""
    c = np.linspace(0, 1, _STEPS)
    srgb = np.where(c <= 0.0031308, 12.92 * c, 1.055 * c ** (1 / 2.4) - 0.055)
    return np.round(255 * np.clip(0.5 + contrast * (srgb - 0.5), 0, 1)).astype(np.uint8)
