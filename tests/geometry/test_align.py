"""Alignment recovers known motions exactly, survives missing points, and refuses to guess."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.geometry.align import align, rotation_between
from kinefit.types import InvalidData


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(3)


@pytest.fixture
def known(rng):
    """Six sets of eight points, and each moved by its own similarity."""
    source = rng.normal(size=(6, 8, 3))
    R = Rotation.random(6, rng).as_matrix()
    scale, t = rng.uniform(0.3, 3, 6), rng.normal(size=(6, 3))
    target = scale[:, None, None] * source @ np.swapaxes(R, 1, 2) + t[:, None]
    return source, target, scale, R, t


def test_similarity_is_recovered_exactly(known):
    source, target, scale, R, t = known
    found = align(source, target, with_scale=True)
    # 1e-12: rounding of an SVD of order-one numbers.
    np.testing.assert_allclose(found.scale, scale, atol=1e-12)
    np.testing.assert_allclose(found.R, R, atol=1e-12)
    np.testing.assert_allclose(found.t, t, atol=1e-12)
    np.testing.assert_allclose(found.apply(source), target, atol=1e-12)


def test_rigid_alignment_leaves_the_scale_alone(known):
    source, target, _, R, _ = known
    found = align(source, target)
    np.testing.assert_array_equal(found.scale, 1)
    np.testing.assert_allclose(found.R, R, atol=1e-12)


def test_it_is_the_least_squares_optimum(rng):
    source, target = rng.normal(size=(2, 10, 3))
    w = rng.uniform(0.1, 1, 10)

    def cost(R, t, s):
        return (w * ((s * source @ R.T + t - target) ** 2).sum(1)).sum()

    best = align(source, target, w, with_scale=True)
    least = cost(best.R, best.t, best.scale)
    for _ in range(50):
        nudge = Rotation.from_rotvec(rng.normal(scale=0.01, size=3)).as_matrix()
        t, s = best.t + rng.normal(scale=0.01, size=3), best.scale * rng.uniform(0.99, 1.01)
        assert cost(nudge @ best.R, t, s) > least


def test_a_mirrored_target_gets_a_rotation_not_a_reflection(rng):
    source = rng.normal(size=(8, 3))
    found = align(source, source * [-1, 1, 1])
    assert np.linalg.det(found.R) == pytest.approx(1)


def test_missing_and_weightless_points_do_not_count(known):
    source, target, _, R, _ = known
    target = target.copy()
    target[:, 0] = np.nan
    target[:, 1] = 99.0
    weights = np.ones(source.shape[:2])
    weights[:, 1] = 0
    found = align(source, target, weights, with_scale=True)
    np.testing.assert_allclose(found.R, R, atol=1e-12)


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_too_few_points_give_nan_in_that_set_only(known, keep):
    source, target, _, R, _ = known
    source = source.copy()
    source[2, keep:] = np.nan
    found = align(source, target, with_scale=True)
    assert np.isnan(found.R[2]).all()
    assert np.isnan(found.scale[2])
    assert np.isnan(found.t[2]).all()
    others = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(found.R[others], R[others], atol=1e-12)


def test_points_on_a_line_determine_no_rotation(rng):
    line = np.linspace(-1, 1, 5)[:, None] * [1.0, 2.0, 3.0]
    assert np.isnan(align(line, line).R).all()


def test_shapes_must_agree():
    with pytest.raises(InvalidData, match="align"):
        align(np.zeros((4, 3)), np.zeros((5, 3)))


def test_rotation_between_is_the_smallest(rng):
    a, b = rng.normal(size=(2, 100, 3))
    R = rotation_between(a, b)
    unit = [v / np.linalg.norm(v, axis=1, keepdims=True) for v in (a, b)]
    np.testing.assert_allclose((R @ unit[0][..., None])[..., 0], unit[1], atol=1e-12)
    np.testing.assert_allclose(
        R @ np.swapaxes(R, 1, 2), np.broadcast_to(np.eye(3), R.shape), atol=1e-12
    )
    angle = np.arccos((unit[0] * unit[1]).sum(1))
    np.testing.assert_allclose(Rotation.from_matrix(R).magnitude(), angle, atol=1e-7)


def test_opposite_or_zero_directions_have_no_smallest_rotation():
    assert np.isnan(rotation_between(np.array([0, 0, 1.0]), np.array([0, 0, -1.0]))).all()
    assert np.isnan(rotation_between(np.array([0, 0, 1.0]), np.zeros(3))).all()


def test_not_strict_finds_a_motion_wherever_there_is_a_point(rng):
    line = np.linspace(0, 4, 9)[:, None] * [1.0, 0, 0]
    turned = line @ Rotation.random(rng=rng).as_matrix().T + [1, 2, 3]
    found = align(line, turned, strict=False)
    assert np.linalg.det(found.R) == pytest.approx(1)
    np.testing.assert_allclose(found.apply(line), turned, atol=1e-12)
    one = np.full((3, 3), np.nan)
    one[1] = [1.0, 2, 3]
    np.testing.assert_allclose(align(one, one + 5, strict=False).apply(one)[1], one[1] + 5)
    assert np.isnan(align(one * np.nan, one, strict=False).R).all()


def test_not_strict_changes_nothing_where_the_rotation_is_known(known):
    source, target, _, R, t = known
    found = align(source, target, with_scale=True, strict=False)
    np.testing.assert_allclose(found.R, R, atol=1e-12)
    np.testing.assert_allclose(found.t, t, atol=1e-12)
