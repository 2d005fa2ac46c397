"""Clips whose data are damaged in every way: no crash, no half pose, no silent one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from kinefit.fit.fit_report import clip_report
from kinefit.fit.recipes.clip import fit_clip
from kinefit.types import Observations, TooFewPoints

from .clips import NAMES, MadeUp, clip

_FRAMES, _SEEDS = 12, 30


@pytest.fixture(scope="module")
def made() -> MadeUp:
    return clip(frames=_FRAMES, noise_px=2.0)


def _corrupted(data: Observations, rng: np.random.Generator) -> Observations:
    """One to three kinds of damage, in some frames, cameras and keypoints."""
    xy, sigma, xyz = data.xy.copy(), data.sigma.copy(), data.xyz.copy()
    T, C, J, _ = xy.shape

    def some(n: int, share: float) -> np.ndarray:
        return np.flatnonzero(rng.random(n) < share)

    def nothing_known() -> None:
        frames = some(T, 0.3)
        xy[frames], xyz[frames] = np.nan, np.nan

    def no_weight() -> None:
        sigma[:, some(C, 0.5)] = 0.0

    def outliers() -> None:
        wrong = rng.random((T, C, J)) < 0.5
        xy[wrong] += rng.uniform(-300, 300, (int(wrong.sum()), 2))

    def far_off() -> None:
        xy[some(T, 0.3)] += 800.0

    def one_view() -> None:
        xy[:, 1:] = np.nan

    def missing_limbs() -> None:
        limb = [NAMES.index(s + j) for s in "L" for j in ("Elbow", "Wrist", "Knee", "Ankle")]
        xy[:, :, limb], xyz[:, limb] = np.nan, np.nan

    def wild_start() -> None:
        xyz[:] += rng.normal(0, 1.0, xyz.shape)

    def nan_sigma() -> None:
        sigma[rng.random(sigma.shape) < 0.2] = np.nan

    damage = [nothing_known, no_weight, outliers, far_off, one_view, missing_limbs, wild_start,
              nan_sigma]  # fmt: skip
    for k in rng.choice(len(damage), rng.integers(1, 4), replace=False):
        damage[k]()
    return replace(data, xy=xy, sigma=sigma, xyz=xyz)


@pytest.mark.parametrize("seed", range(_SEEDS))
def test_whatever_comes_in_poses_or_reasons_come_out(made: MadeUp, seed: int) -> None:
    data = _corrupted(made.data, np.random.default_rng(seed))
    try:
        fit = fit_clip(made.body, data)
    except TooFewPoints:
        known = np.isfinite(data.xy).all(axis=-1) & (data.sigma > 0)
        assert known.any(axis=1).sum(axis=1).max() < 6  # refused only where there is nothing
        return
    lost = np.array([bool(reason) for reason in fit.reason])
    assert (np.isnan(fit.motion.rotations).all(axis=(1, 2, 3)) == lost).all()
    assert np.isfinite(fit.motion.rotations[~lost]).all()
    assert np.isfinite(fit.motion.translation[~lost]).all()
    assert np.isfinite(fit.motion.shape).all()
    # A frame is without a pose only if fewer than six keypoints were seen in it.
    seen = data.seen.any(axis=1).sum(axis=1)
    assert not lost[seen >= 6].any()


def test_sound_frames_are_right_beside_wild_ones(made: MadeUp) -> None:
    """800 px in a third of the frames: the others are where they would be."""
    xy = made.data.xy.copy()
    xy[3:7] += 800.0
    fit = fit_clip(made.body, replace(made.data, xy=xy))
    columns = [NAMES.index(name) for name in fit.names]
    off = np.linalg.norm(fit.points - made.points[:, columns], axis=-1).mean(axis=1)
    assert off[:2].max() < 0.04
    assert off[9:].max() < 0.04
    assert clip_report(made.body, fit)["frames_far_off"] == [[3, 6]]
