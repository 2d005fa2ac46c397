"""Bodies drawn at random are people."""

from __future__ import annotations

import numpy as np
import pytest

from kinefit.body.anny import load_anny
from kinefit.synth.subjects import ADULT_STATURE, CHILD_STATURE, mass, sample_shape, stature
from kinefit.types import InvalidData

from ..body.synthetic import tube_body


@pytest.mark.parametrize("child", [False, True])
def test_statures_and_masses_are_human(child: bool) -> None:
    body, rng = load_anny(), np.random.default_rng(0)
    shapes = [sample_shape(body, rng, child=child) for _ in range(60)]
    heights = np.array([stature(body, shape) for shape in shapes])
    low, high = CHILD_STATURE if child else ADULT_STATURE
    assert low <= heights.min()
    assert heights.max() <= high
    assert np.ptp(heights) > 0.25  # they differ: the range of 98 % of adults is 0.45 m
    # Body mass index from starved to very obese; a mesh that is no person is far off.
    index = np.array([mass(body, shape) for shape in shapes]) / heights**2
    assert index.min() > 10
    assert index.max() < 55
    assert len({tuple(shape) for shape in shapes}) == len(shapes)


def test_both_sexes_and_all_weights_occur() -> None:
    body, rng = load_anny(), np.random.default_rng(1)
    shapes = np.stack([sample_shape(body, rng) for _ in range(100)])
    column = {name: shapes[:, i] for i, name in enumerate(body.shape.names)}
    for name in ("gender", "weight", "muscle"):
        assert np.quantile(column[name], 0.15) < 0.35
        assert np.quantile(column[name], 0.85) > 0.65


def test_the_seed_decides() -> None:
    body = load_anny()
    one, two, other = (sample_shape(body, np.random.default_rng(s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(one, two)
    assert (one != other).any()


def test_mass_is_volume_times_density() -> None:
    """A cube of one metre weighs 1010 kg, whatever its triangles' winding."""
    body = _Cube()
    assert mass(body, np.zeros(0)) == pytest.approx(1010.0, rel=1e-12)  # type: ignore[arg-type]
    body.faces = body.faces[:, ::-1]
    assert mass(body, np.zeros(0)) == pytest.approx(1010.0, rel=1e-12)  # type: ignore[arg-type]


class _Cube:
    corners = np.array([[x, y, z] for x in (0, 1) for y in (0, 1) for z in (0, 1)], float) + 3
    faces = np.array(
        [[0, 1, 3], [0, 3, 2], [4, 6, 7], [4, 7, 5], [0, 4, 5], [0, 5, 1],
         [2, 3, 7], [2, 7, 6], [0, 2, 6], [0, 6, 4], [1, 5, 7], [1, 7, 3]]
    )  # fmt: skip

    def rest_vertices(self, shape: np.ndarray) -> np.ndarray:
        return self.corners


def test_another_body_is_refused() -> None:
    with pytest.raises(InvalidData, match="Anny's shape parameters"):
        sample_shape(tube_body(), np.random.default_rng(0))
