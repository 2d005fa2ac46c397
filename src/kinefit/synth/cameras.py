"""Cameras around a scene: places, sway of handheld ones, calibration errors, and the sensor."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import cv2
import numpy as np
from numpy.typing import NDArray

from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import intrinsics, project
from kinefit.io.video import Picture
from kinefit.synth.look import Color
from kinefit.types import Camera, FloatArray

_FULL_FRAME_MM = 36.0  # across the longer side of the image, for focal lengths
_MARGIN = 0.06  # of the image's sides, kept free around the person
_NEAREST_M, _FARTHEST_M = 1.2, 14.0


@dataclass(frozen=True)
class Sway:
    """Motion of a handheld camera: sums of slow sines, for each of six directions.

    turn_rad, shift_m: standard deviations of rotation about and motion along each camera axis.
    hertz, phase: (6, n) nested tuples; of each direction, rotations first.
    """

    turn_rad: float
    shift_m: float
    hertz: tuple[tuple[float, ...], ...]
    phase: tuple[tuple[float, ...], ...]

    def at(self, times: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Rotation vectors and shifts (T, 3) in the camera's axes at `times` (T,) seconds."""
        angle = 2 * np.pi * np.array(self.hertz) * times[:, None, None] + np.array(self.phase)
        unit = np.sqrt(2 / len(self.hertz[0])) * np.sin(angle).sum(axis=-1)  # variance 1
        return self.turn_rad * unit[:, :3], self.shift_m * unit[:, 3:]


def sample_sway(rng: np.random.Generator) -> Sway:
    """Random sway of a steady hand: 0.2 to 1.5 degrees, 0.5 to 3 cm, up to 2 Hz."""
    hertz, phase = rng.uniform(0.15, 2.0, (6, 4)), rng.uniform(0, 2 * np.pi, (6, 4))
    return Sway(
        turn_rad=float(np.radians(rng.uniform(0.2, 1.5))),
        shift_m=float(rng.uniform(0.005, 0.03)),
        hertz=tuple(map(tuple, hertz.tolist())),
        phase=tuple(map(tuple, phase.tolist())),
    )


def moved(camera: Camera, sway: Sway | None, times: FloatArray) -> list[Camera]:
    """The camera at each of `times` (T,) seconds."""
    if sway is None:
        return [camera] * len(times)
    turn, shift = sway.at(times)
    Q = so3.exp(turn)
    return [
        replace(camera, R=q @ camera.R, t=q @ (camera.t + s)) for q, s in zip(Q, shift, strict=True)
    ]


def sample_camera(
    rng: np.random.Generator,
    name: str,
    size: tuple[int, int],
    around: FloatArray,
    azimuth: float,
    focal_mm: float,
    distance: float = 1.35,
    lens: bool = False,
    elevation: float = 0.0,
) -> Camera:
    """A camera in the direction `azimuth` (radians about Y from +Z) that sees all of `around`.

    It is at most 14 metres away, even if the image does not hold all from there.

    size: (width, height) pixels. around: (N, 3) metres, world. focal_mm: for a full frame, i.e.
    an image whose longer side is 36 mm. distance: farthest, in multiples of that at which `around`
    fills the image. lens: with a distortion as phones have it. elevation: degrees; half of the
    cameras are up to that far above the horizon of `around`.
    """
    K = intrinsics(focal_mm / _FULL_FRAME_MM * max(size), size)
    low, high = around.min(axis=0), around.max(axis=0)
    target = (low + high) / 2 + rng.normal(0, 0.05, 3)
    height, roll = rng.uniform(0.5, 2.1), np.radians(rng.normal(0, 1.5))
    distortion = rng.normal(0, [0.05, 0.02, 0.0005, 0.0005]) if lens else np.zeros(0)
    above = np.radians(max(rng.uniform(-elevation, elevation), 0)) if elevation else 0.0

    def at(distance: float) -> Camera:
        level = np.cos(above) * np.array([np.sin(azimuth), 0.0, np.cos(azimuth)])
        way = level + np.array([0.0, np.sin(above), 0.0])
        eye = np.array([target[0], height, target[2]]) + distance * way
        R = so3.exp(np.array([0.0, 0.0, roll])) @ looking(target - eye)
        return Camera(name, size, K, R, -R @ eye, distortion)

    def sees_all(camera: Camera) -> bool:
        border = _MARGIN * np.array(size)
        uv = project(camera, around)
        return bool(((uv >= border) & (uv <= np.array(size) - 1 - border)).all())

    near, far = _NEAREST_M, _FARTHEST_M
    for _ in range(20):  # to a hundredth of a millimetre
        middle = (near + far) / 2
        near, far = (near, middle) if sees_all(at(middle)) else (middle, far)
    return at(far * rng.uniform(1.0, distance))


def looking(direction: FloatArray) -> FloatArray:
    """(3, 3) rotation, world to camera, of one that looks along `direction`, upright."""
    z = so3.unit(direction)
    x = so3.unit(np.cross(z, [0.0, 1.0, 0.0]))
    return np.stack([x, np.cross(z, x), z])


def miscalibrated(
    camera: Camera, rng: np.random.Generator, turn_deg: float, shift_m: float, focal_share: float
) -> Camera:
    """`camera` with calibration errors of these standard deviations.

    turn_deg: rotation about each axis, degrees. shift_m: place along each axis, metres.
    focal_share: focal length, as a share of it.
    """
    R = so3.exp(np.radians(turn_deg) * rng.normal(size=3)) @ camera.R
    centre = camera.centre + shift_m * rng.normal(size=3)
    K = np.array(camera.K)
    K[[0, 1], [0, 1]] *= 1 + focal_share * rng.normal()
    return replace(camera, K=K, R=R, t=-R @ centre)


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
