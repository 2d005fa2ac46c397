"""Depth: exact when the image is, robust when a few points are not, and smoothed honestly."""

import numpy as np
import pytest

from kinefit.metric.root_depth import MIN_POINTS, fit_depth, smooth_depth


@pytest.fixture
def seen():
    """Body (50, 12, 3), rays, weights and the true depth (50,)."""
    rng = np.random.default_rng(1)
    body = rng.normal(scale=0.4, size=(50, 12, 3))
    position = np.stack([rng.normal(size=50), rng.normal(size=50), rng.uniform(3, 9, 50)], axis=-1)
    xyz = body + position[:, None]
    return body, xyz / xyz[..., 2:], np.ones(body.shape[:2]), position[:, 2]


def test_exact_image_gives_exact_depth(seen):
    body, rays, weights, truth = seen
    depth, sd = fit_depth(body, rays, weights)
    np.testing.assert_allclose(depth, truth, rtol=1e-9)
    np.testing.assert_allclose(sd, 1e-4 * truth, rtol=1e-3)  # the stated floor


def test_wild_and_missing_points_are_survived(seen):
    body, rays, weights, truth = seen
    rays, body = rays.copy(), body.copy()
    rays[:, 0, 0] += 0.5
    body[:, 1] = np.nan
    rays[:, 2] = np.nan
    depth, _ = fit_depth(body, rays, weights)
    # The Cauchy kernel at twice a vanishing median leaves next to nothing of one wild point.
    np.testing.assert_allclose(depth, truth, rtol=1e-3)


def test_stated_error_covers_the_real_one(seen):
    body, rays, weights, truth = seen
    noisy = rays.copy()
    noisy[..., :2] += np.random.default_rng(2).normal(scale=0.01, size=noisy[..., :2].shape)
    depth, sd = fit_depth(body, noisy, weights)
    z = (depth - truth) / sd
    # Independent errors are what the factor for shared ones (3) does not describe: z near 1/3.
    assert 0.2 < np.std(z) < 0.6


def test_too_few_points_are_no_depth(seen):
    body, rays, weights, _ = seen
    weights = weights.copy()
    weights[7, MIN_POINTS - 1 :] = 0
    depth, sd = fit_depth(body, rays, weights)
    assert np.isnan(depth[7])
    assert np.isnan(sd[7])
    assert np.isfinite(np.delete(depth, 7)).all()


def test_a_body_seen_at_one_point_or_turned_round_has_no_depth(seen):
    body, rays, weights, _ = seen
    one_place = np.broadcast_to(rays[:, :1], rays.shape)
    assert np.isnan(fit_depth(body, one_place, weights)[0]).all()
    assert np.isnan(fit_depth(body * [-1, -1, 1], rays, weights)[0]).all()


def test_steady_walking_is_not_touched():
    time = np.arange(100) / 30
    line = 8 - 1.3 * time
    # No acceleration, no penalty: exact but for rounding, however unsure the measurement.
    np.testing.assert_allclose(smooth_depth(time, line, np.full(100, 0.1)), line, atol=1e-6)


def test_walking_that_starts_and_stops_keeps_its_length():
    time = np.arange(300) / 60
    truth = 5 - 1.2 * np.clip(time - 1.5, 0, 2)  # starts and stops within one frame
    rng = np.random.default_rng(5)
    smooth = smooth_depth(time, truth + rng.normal(scale=0.08, size=300), np.full(300, 0.08))
    assert smooth[-1] - smooth[0] == pytest.approx(-2.4, abs=0.08)
    assert np.std(smooth - truth) < 0.035  # 80 mm measured
    # Little more path than was walked: unsmoothed it is 27 m.
    assert np.abs(np.diff(smooth)).sum() == pytest.approx(2.4, abs=0.3)


def test_zero_phase(studio):
    time = np.arange(120) / 60
    wave = 4 + 0.1 * np.sin(2 * np.pi * 0.5 * time)
    sd = np.full(120, 0.05)
    forth = smooth_depth(time, wave, sd)
    back = smooth_depth(time, wave[::-1], sd)[::-1]
    np.testing.assert_allclose(forth, back, atol=1e-9)


def test_one_wild_frame_and_gaps():
    time = np.delete(np.arange(100) / 30, slice(40, 60))  # frames that do not exist
    line = 5 + 0.2 * time
    depth = line.copy()
    depth[20] += 3.0
    depth[50] = np.nan
    smooth = smooth_depth(time, depth, np.full(len(time), 0.05))
    assert np.isnan(smooth[50])
    keep = np.arange(len(time)) != 50
    np.testing.assert_allclose(smooth[keep], line[keep], atol=0.01)


def test_sure_frames_count_for_more():
    time = np.arange(60) / 30
    depth = np.full(60, 4.0)
    depth[::2] += 0.2
    sd = np.where(np.arange(60) % 2 == 0, 0.3, 0.01)
    np.testing.assert_allclose(smooth_depth(time, depth, sd), 4.0, atol=0.01)


def test_more_frames_of_the_same_lasting_error_change_nothing():
    rng = np.random.default_rng(8)
    time = np.arange(960) / 240
    # Errors that last: white noise through a 0.1 s moving mean, 5 cm in size.
    error = np.convolve(rng.normal(size=1200), np.ones(24) / 24, "same")[120:1080]
    depth = 5 - 1.0 * time + 0.05 * error / np.std(error)
    every = slice(None, None, 8)
    fast = smooth_depth(time, depth, np.full(960, 0.05))
    slow = smooth_depth(time[every], depth[every], np.full(120, 0.05))
    # 6 mm, an eighth of the error; counting every frame as news leaves 11 mm between them.
    assert np.sqrt(np.mean((fast[every] - slow) ** 2)) < 0.006
