"""From light to 8 bits: monotone, white is white, and the noise is as large as it says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.synth.cameras import Sensor, apply_sensor, sample_sensor
from kinefit.synth.look import linear

IDEAL = Sensor(1.0, (1.0, 1.0, 1.0), contrast=1.0, blur_px=0.0, vignette=0.0, noise=0.0)
SHAPE = (96, 128, 3)


def developed(light: np.ndarray, sensor: Sensor, seed: int = 0) -> np.ndarray:
    return apply_sensor(light.astype(np.float32), sensor, np.random.default_rng(seed))


def flat(value: float) -> np.ndarray:
    return np.full(SHAPE, value)


@pytest.mark.parametrize("contrast", [0.9, 1.0, 1.2])
def test_more_light_is_never_darker(contrast: float) -> None:
    ramp = np.broadcast_to(np.linspace(0, 1.5, 2000)[None, :, None], (2, 2000, 3))
    out = developed(ramp, replace(IDEAL, contrast=contrast)).astype(int)
    assert (np.diff(out, axis=1) >= 0).all()
    assert len(np.unique(out)) > 200


def test_an_ideal_sensor_writes_srgb() -> None:
    value = np.arange(256)
    light = np.broadcast_to(linear(value)[:, None, None], (256, 4, 3))
    out = developed(light, IDEAL)[:, 0, 0].astype(int)
    assert np.abs(out - value).max() <= 1  # the table's 4096 steps are one level of black


@pytest.mark.parametrize("contrast", [1.0, 1.2])
def test_white_stays_white_and_black_black(contrast: float) -> None:
    sensor = replace(IDEAL, contrast=contrast)
    assert (developed(flat(1.0), sensor) == 255).all()
    assert (developed(flat(50.0), sensor) == 255).all()
    assert (developed(flat(0.0), sensor) == 0).all()


@pytest.mark.parametrize("light", [0.1, 0.3, 0.6])
@pytest.mark.parametrize("noise", [0.5, 1.0])
def test_noise_has_its_variance(light: float, noise: float) -> None:
    out = linear(developed(flat(light), replace(IDEAL, noise=noise)).astype(np.float64))
    # Shot noise of 0.024 at full light, which grows with its root, and 0.006 of reading.
    want = noise * np.sqrt(0.024**2 * light + 0.006**2)
    # 36,864 samples: 0.4 % of chance; 2 % for 8 bits (1/12 of a level) and the curve's bend.
    assert out.std() == pytest.approx(want, rel=0.025)
    assert out.mean() == pytest.approx(light, abs=0.003)


def test_noise_differs_from_frame_to_frame_and_not_for_the_same_seed() -> None:
    sensor = replace(IDEAL, noise=1.0)
    first, again, other = (developed(flat(0.4), sensor, seed) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    a, b = (n.astype(float) - n.mean() for n in (first, other))
    # Independent noise of 36,864 values correlates by 0.005 (1 SD).
    assert abs((a * b).mean() / (a.std() * b.std())) < 0.03


def test_exposure_balance_and_vignette_are_gains() -> None:
    def level(light: float) -> int:
        return int(developed(flat(light), IDEAL)[0, 0, 0])

    assert developed(flat(0.2), replace(IDEAL, exposure=2.0))[0, 0, 0] == level(0.4)
    warm = developed(flat(0.4), replace(IDEAL, balance=(1.1, 1.0, 0.9)))[0, 0]
    np.testing.assert_array_equal(warm, [level(0.44), level(0.4), level(0.36)])
    dim = developed(flat(0.4), replace(IDEAL, vignette=0.3))
    assert dim[0, 0, 0] == pytest.approx(level(0.4 * 0.7), abs=1)
    assert dim[48, 64, 0] == pytest.approx(level(0.4), abs=1)


def test_blur_spreads_a_point_and_keeps_its_light() -> None:
    light = flat(0.0)
    light[48, 64] = 4.0
    out = linear(developed(light, replace(IDEAL, blur_px=1.0)).astype(np.float64))[..., 0]
    y, x = np.mgrid[:96, :128]
    assert out.sum() == pytest.approx(4.0, rel=0.05)  # 8 bits take off the faint rim
    assert (out * (x - 64) ** 2).sum() / out.sum() == pytest.approx(1.0, abs=0.1)
    assert (out * (y - 48) ** 2).sum() / out.sum() == pytest.approx(1.0, abs=0.1)


def test_the_light_is_not_written_to() -> None:
    light = np.full(SHAPE, 0.4, np.float32)
    apply_sensor(light, replace(IDEAL, noise=1.0, vignette=0.3), np.random.default_rng(0))
    assert (light == 0.4 * np.float32(1)).all()


def test_sampled_sensors_are_ordinary() -> None:
    rng = np.random.default_rng(0)
    sensors = [sample_sensor(rng, 1.0) for _ in range(200)]
    stops = np.log2([s.exposure for s in sensors])
    assert np.abs(stops).max() < 1.5  # 4 SD
    assert stops.std() == pytest.approx(0.35, abs=0.06)  # 200 draws: 5 % of 0.35 is 1 SD
    assert all(0.3 <= s.noise <= 1.7 for s in sensors)
    assert sample_sensor(np.random.default_rng(0), 0.0).noise == 0
