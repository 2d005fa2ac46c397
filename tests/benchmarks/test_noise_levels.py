"""Errors of made-up detections: as large as they say, one kind at a time, from a seed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.suite.known_subjects import (
    NAMES,
    KnownSubject,
    SubjectSpec,
    heights_px,
    known_subject,
    ring,
    true_views,
)
from benchmarks.suite.noise_levels import NOISE_LEVELS, Detections, Errors, detected
from kinefit.skeletons import Skeleton
from kinefit.types import CameraRig, FloatArray

NOTHING = Errors(noise=0.0, tail=0.0)


@pytest.fixture(scope="module")
def known() -> KnownSubject:
    return known_subject(SubjectSpec("walk", 1), 2.0)


@pytest.fixture(scope="module")
def rig(known: KnownSubject) -> CameraRig:
    return ring(known, 4)


@pytest.fixture(scope="module")
def truth(known: KnownSubject, rig: CameraRig) -> FloatArray:
    return true_views(known, rig, np.zeros(len(rig)))


def offsets(found: Detections, truth: FloatArray) -> FloatArray:
    return found.xy - truth


def test_ring_sees_the_whole_person(known: KnownSubject, rig: CameraRig, truth: FloatArray) -> None:
    width, height = rig.cameras[0].size
    assert ((truth >= 0) & (truth <= (width - 1, height - 1))).all()
    # Big enough to matter: the demo's person is 750 px high in 1,920.
    assert (heights_px(known, rig) > 300).all()


def test_without_errors_detections_are_exact(
    known: KnownSubject, rig: CameraRig, truth: FloatArray
) -> None:
    found = detected(known, rig, NOTHING)
    assert np.array_equal(found.xy, truth)
    assert (found.score == 1).all()
    assert not found.swapped.any()
    for given, real in zip(found.rig, rig, strict=True):
        assert np.array_equal(given.R, real.R)
        # By way of the camera's place: a few roundings of metres.
        np.testing.assert_allclose(given.t, real.t, atol=1e-12)


def test_noise_has_the_stated_size(known: KnownSubject, rig: CameraRig, truth: FloatArray) -> None:
    error = offsets(detected(known, rig, Errors(noise=0.01, tail=0.0)), truth)
    share = error / heights_px(known, rig)[..., None, None]
    # 10,560 numbers: their spread is known to 0.7 %, three of which are allowed.
    assert share.std() == pytest.approx(0.01, rel=0.021)


def test_tail_is_four_times_as_wide_in_a_twentieth(
    known: KnownSubject, rig: CameraRig, truth: FloatArray
) -> None:
    plain = offsets(detected(known, rig, Errors(tail=0.0)), truth)
    tailed = offsets(detected(known, rig, Errors()), truth)
    ratio = np.linalg.norm(tailed, axis=-1) / np.linalg.norm(plain, axis=-1)
    assert set(np.round(ratio, 6).ravel().tolist()) == {1.0, 4.0}
    # A share of 5,280 draws: one standard deviation is 0.003.
    assert (ratio > 2).mean() == pytest.approx(0.05, abs=0.009)


def test_missing_points_come_in_bursts_of_limbs(known: KnownSubject, rig: CameraRig) -> None:
    # Long: a burst lasts 7.5 frames, so two seconds hold few of them.
    hidden = np.isnan(detected(known, rig, replace(NOTHING, missing=0.3)).xy[..., 0])
    legs = [NAMES.index(name) for name in ("LKnee", "LAnkle", "LHeel", "LBigToe")]
    assert (hidden[:, :, legs] == hidden[:, :, legs[:1]]).all()
    assert (hidden[:, :, legs[0]] != hidden[:, :, NAMES.index("RKnee")]).any()
    changes = (hidden[:, 1:] != hidden[:, :-1]).mean()
    # Independent frames would change in 2 x 0.3 x 0.7 = 42 % of them, bursts in 2 x 0.3 / 7.5.
    assert changes < 0.15
    # 20 series of 60 frames, 8 independent looks each: a standard deviation of 3.6 %.
    assert hidden.mean() == pytest.approx(0.3, abs=0.11)


def test_swaps_exchange_sides_and_nothing_else(
    known: KnownSubject, rig: CameraRig, truth: FloatArray
) -> None:
    found = detected(known, rig, replace(NOTHING, swapped=0.3))
    assert 0.1 < found.swapped.mean() < 0.5
    mirror = Skeleton("", NAMES).mirror()
    assert np.array_equal(found.xy[found.swapped], truth[:, :, mirror][found.swapped])
    assert np.array_equal(found.xy[~found.swapped], truth[~found.swapped])


def test_a_wrong_clock_is_one_camera_s(
    known: KnownSubject, rig: CameraRig, truth: FloatArray
) -> None:
    step = 1 / known.timeline.rate_hz
    found = detected(known, rig, replace(NOTHING, clock_s=step))
    assert np.array_equal(found.xy[:-1], truth[:-1])
    # One frame late is the next frame, but for the rounding of times: 1e-6 px.
    assert np.abs(found.xy[-1, :-1] - truth[-1, 1:]).max() < 1e-6


def test_calibration_errors_leave_pixels_alone(
    known: KnownSubject, rig: CameraRig, truth: FloatArray
) -> None:
    found = detected(known, rig, replace(NOTHING, turn_deg=0.5, shift_m=0.02))
    assert np.array_equal(found.xy, truth)
    moved = [np.linalg.norm(a.centre - b.centre) for a, b in zip(found.rig, rig, strict=True)]
    assert 0.005 < np.mean(moved) < 0.08  # three axes of 2 cm


def test_same_seed_same_bytes_other_seed_others(known: KnownSubject, rig: CameraRig) -> None:
    errors = Errors(missing=0.2, swapped=0.1, turn_deg=0.2)
    first, again, other = (detected(known, rig, errors, seed) for seed in (0, 0, 1))
    assert first.xy.tobytes() == again.xy.tobytes()
    assert first.xy.tobytes() != other.xy.tobytes()


def test_rungs_differ_in_one_thing() -> None:
    usual = Errors()
    for name, levels in NOISE_LEVELS.items():
        changed = {
            field
            for level in levels
            for field in vars(usual)
            if getattr(level.errors, field) != getattr(usual, field)
        }
        assert len(changed) == 1, name
        assert len({level.label for level in levels}) == len(levels)
