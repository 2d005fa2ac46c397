"""Windows for training: what is done to them is done, and to nothing else."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from kinefit.biomech.angles import GROUPS
from kinefit.biomech.refine.table import MIRROR_SIGNS, OFFSETS, REFINED, TWIN
from kinefit.geometry.rotations import difference_deg
from kinefit.lift.windows import WINDOW
from kinefit.train.refine.batches import (
    NONE,
    Disturbance,
    Windows,
    draw,
    target_of,
    with_mirrored,
)

from .made_up import clips

DATA = clips(4)
ALL = np.arange(4)


def drawn(how: Disturbance, seed: int = 0) -> Windows:
    return draw(DATA, np.random.default_rng(seed), ALL, how)


def test_undisturbed_the_target_is_the_error() -> None:
    window = drawn(NONE)
    target = target_of(window, window.given)
    assert target.shape == (4, WINDOW, 12, 3)
    assert np.isnan(target[..., ~REFINED]).all()
    assert np.nanmean(target) == pytest.approx(-6, abs=0.1)  # of 3,000 times noise of 0.5
    assert np.nanmean(difference_deg(window.true, window.body)) == pytest.approx(-6, abs=0.1)


def test_the_truth_is_said_as_the_augmenter_s_markers_would() -> None:
    window = drawn(NONE)
    rows = DATA.true[:WINDOW] + OFFSETS
    assert any(np.allclose(window.true[0], DATA.true[i : i + WINDOW] + OFFSETS)
               for i in range(96 - WINDOW + 1))  # fmt: skip
    assert rows.shape == window.true[0].shape


def test_a_short_clip_is_unknown_where_it_ends() -> None:
    data = clips(1, 40)
    window = draw(data, np.random.default_rng(0), np.array([0]), NONE)
    assert np.isfinite(window.given[0, :40]).all()
    assert np.isnan(window.given[0, 40:]).all()
    assert np.isnan(target_of(window, window.given)[0, 40:]).all()


def test_exact_angles_are_nearly_true_and_say_so() -> None:
    window = drawn(replace(NONE, exact=1.0))
    off = np.abs(difference_deg(window.given, window.true))
    assert np.median(off) < 2.5
    assert window.given_sd.max() < 4


def test_far_angles_are_far_in_all_tables_and_not_in_the_truth() -> None:
    plain, window = drawn(NONE), drawn(replace(NONE, far=1.0))
    moved = np.abs(difference_deg(window.given, plain.given))
    assert np.array_equal(window.true, plain.true)
    assert moved.max() > 15
    assert moved.max() <= 70
    other = np.abs(difference_deg(window.lifted, plain.lifted))
    assert np.allclose(moved, other)
    joints = (moved.max(axis=(1, 3)) > 1).sum(axis=1)
    assert (joints < 8).all()


def test_exchanged_sides_are_those_of_the_legs_or_all() -> None:
    plain, window = drawn(NONE, 3), drawn(replace(NONE, swap=1.0), 3)
    for b in range(4):
        changed = np.flatnonzero((window.given[b] != plain.given[b]).any(axis=(1, 2)))
        if not len(changed):
            continue
        t = changed[len(changed) // 2]
        joints = {GROUPS[j] for j in np.flatnonzero(
            (window.given[b, t] != plain.given[b, t]).any(axis=1))}  # fmt: skip
        assert {"hip_r", "hip_l", "knee_r"} <= joints
        assert not {"pelvis", "trunk"} & joints
        assert np.array_equal(window.given[b, t, 1], plain.given[b, t, 2])
    assert np.array_equal(window.true, plain.true)


def test_missing_joints_are_missing_and_unseen() -> None:
    window = drawn(replace(NONE, missing=1.0))
    lost = np.isnan(window.given).all(axis=-1)
    assert 0.1 < lost.mean() < 0.95
    assert not window.seen[lost].any()
    assert np.array_equal(lost, np.isnan(window.lifted).any(axis=-1))


def test_errors_are_made_larger_and_smaller() -> None:
    window = drawn(replace(NONE, strength=(2.0, 2.0)))
    off = difference_deg(window.given, window.true)
    assert off.mean() == pytest.approx(12, abs=0.2)


def test_the_mirror_image_has_the_mirror_image_s_target() -> None:
    window = with_mirrored(drawn(NONE))
    for field in fields(Windows):
        assert len(getattr(window, field.name)) == 8
    target = target_of(window, window.given)
    image = target[:4][..., TWIN, :] * MIRROR_SIGNS
    assert np.allclose(target[4:], image, equal_nan=True)
