"""The path through a clip that turns least, and the other angles for a pose."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from kinefit.biomech.opensim.continuity import other_angles, smoothest, three_turns
from kinefit.geometry.rotations import wrap


def test_other_angles_are_the_same_pose(augmented: Any) -> None:
    model = augmented.model
    joints = three_turns(model, model.free)
    names = {model.coordinates[three[0]].joint for three in joints}
    assert {"ground_pelvis", "hip_r", "acromial_r", "acromial_l"} <= names
    for three in joints:
        other = other_angles(model, augmented.q, three)
        assert np.abs(wrap(other - augmented.q))[:, three[[0, 2]]].min() > 3.0
        assert np.abs(other - model.default)[:, three].max() <= np.pi
        # Rounding, and the axes of OpenSim's files, which are printed with seven digits.
        places = model.positions(other) - model.positions(augmented.q)
        np.testing.assert_allclose(places, 0.0, atol=1e-6)


def test_the_smoothest_path_is_the_least_of_all() -> None:
    rng = np.random.default_rng(0)
    poses, price = rng.uniform(-9, 9, (3, 6, 2)), rng.uniform(0, 3, (3, 6))
    price[1, 2] = np.inf

    def total(path: tuple[int, ...]) -> float:
        k = np.arange(6)
        turns = wrap(np.diff(poses[path, k], axis=0))
        return float((turns**2).sum() + price[path, k].sum())

    best = min(product(range(3), repeat=6), key=total)
    assert smoothest(poses, price).tolist() == list(best)
