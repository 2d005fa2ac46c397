"""Segment sizes from motion."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kinefit.biomech.opensim.model import BodyModel
from kinefit.biomech.opensim.scaling import fit_sizes
from kinefit.biomech.opensim.sets import setup_folder
from kinefit.types import TooFewPoints

from .conftest import SIZES
from .test_solve import task_of


def generic() -> BodyModel:
    folder = setup_folder()
    return BodyModel(folder / "Model_Pose2Sim_simple.osim", folder / "Markers_LSTM.xml")


def worst(factors: dict[str, tuple[float, float, float]]) -> float:
    bodies = [b for b in SIZES if not b.startswith(("toes", "hand", "head"))]
    return max(abs(factors[b][i] / SIZES[b][i] - 1) for b in bodies for i in range(3))


def test_known_sizes_are_found_again(augmented: Any) -> None:
    sizes = fit_sizes(generic(), task_of(generic()), augmented.markers.xyz)
    # Rounds converge linearly: after six, 2 % are left of pelvis and trunk, which trade off.
    assert worst(sizes.factors) < 0.02
    assert not sizes.implausible


def test_spikes_do_not_make_a_longer_arm(augmented: Any) -> None:
    """The left elbow 0.6 m off in 15 % of the frames, as two bad cameras leave them."""
    xyz = augmented.markers.xyz.copy()
    i = augmented.markers.names.index("L_lelbow_study")
    xyz[::7, i] += (0.6, 0.0, 0.0)
    sizes = fit_sizes(generic(), task_of(generic()), xyz)
    # 0.02 % off; without the weights of `_robust`, 2.9 %.
    assert abs(sizes.factors["humerus_l"][1] / SIZES["humerus_l"][1] - 1) < 0.01


def test_no_markers_no_size() -> None:
    xyz = np.full((4, len(generic().markers), 3), np.nan)
    with pytest.raises(TooFewPoints):
        fit_sizes(generic(), task_of(generic()), xyz)
