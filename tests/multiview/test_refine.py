"""The least-squares parts of triangulation: exact against numpy, scipy and finite differences."""

import numpy as np
import pytest
from scipy.optimize import least_squares

from kinefit.geometry.projection import RigOptics, project_rig
from kinefit.geometry.robust import Huber
from kinefit.multiview.point_algebra import (
    SIX,
    full,
    in_view,
    information,
    inverse,
    leverage,
    solve,
    turned,
)
from kinefit.multiview.refine import _State, refine
from kinefit.multiview.triangulation_options import TriangulationOptions


@pytest.fixture
def random():
    return np.random.default_rng(0)


def six_of(matrices):
    return np.stack([matrices[:, i, j] for i, j in SIX])


def test_symmetric_systems_are_numpys(random):
    A = random.normal(size=(50, 3, 3))
    H, g = A @ np.swapaxes(A, 1, 2) + 0.1 * np.eye(3), random.normal(size=(50, 3))
    found = solve(six_of(H), g.T)
    np.testing.assert_allclose(found.T, np.linalg.solve(H, g[..., None])[..., 0], rtol=1e-9)
    np.testing.assert_allclose(full(inverse(six_of(H))), np.linalg.inv(H), rtol=1e-8)


def test_singular_systems_are_nan_and_leave_the_others_alone(random):
    H = np.stack([np.diag([1.0, 1, 0]), np.eye(3), np.zeros((3, 3))])
    found = solve(six_of(H), np.ones((3, 3)))
    np.testing.assert_array_equal(np.isnan(found[0]), [True, False, True])
    np.testing.assert_allclose(found[:, 1], 1)


@pytest.fixture
def scene(ring, random):
    rig = ring(4)
    points = random.uniform([-0.5, 0.2, -0.5], [0.5, 1.8, 0.5], (30, 3))
    pixels = project_rig(rig, points) + random.normal(0, 8, (4, 30, 2))
    weight = random.uniform(0.3, 1, (4, 30))
    weight[random.random((4, 30)) < 0.2] = 0
    return rig, points, pixels, weight


def test_normal_equations_are_the_jacobians(scene):
    rig, points, _, weight = scene
    weight = np.maximum(weight, 0.01)  # with a single view there is no inverse
    optics = RigOptics.of(rig)
    seen = optics.look(points.T)[2]
    du, dv = (d.transpose(0, 2, 1) for d in optics.jacobian(seen))  # (C, N, 3)
    outer = np.einsum("cni,cnj->cnij", du, du) + np.einsum("cni,cnj->cnij", dv, dv)
    expected = np.einsum("cn,cnij->nij", weight, outer)
    ux, uy, vx, vy = optics.slopes(seen)
    plane = ux * ux + vx * vx, ux * uy + vx * vy, uy * uy + vy * vy
    views, turn = in_view(*(weight * one for one in plane), seen.x, seen.y), turned(optics.R)
    found = information(turn, views)
    np.testing.assert_allclose(full(found), expected, rtol=1e-9, atol=1e-6)
    covariance = np.linalg.inv(expected)
    found = leverage(turn, views, six_of(covariance))
    by_hand = np.einsum("cn,cnij,nji->cn", weight, outer, covariance)
    np.testing.assert_allclose(found, by_hand, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(found.sum(axis=0), 3, rtol=1e-8)  # the trace of a projection


def test_gradient_of_the_robust_cost_by_finite_differences(scene):
    rig, points, pixels, weight = scene
    optics, kernel = RigOptics.of(rig), Huber(10.0)
    here = _State.at(optics, points.T, pixels, weight, kernel)
    h = 1e-6
    for axis in range(3):
        step = np.zeros((3, 1))
        step[axis] = h
        ahead, behind = (
            _State.at(optics, points.T + s, pixels, weight, kernel) for s in (step, -step)
        )
        slope = (ahead.cost - behind.cost) / (2 * h)
        # Costs of thousands, differenced over 1e-6: seven digits of the largest slope.
        np.testing.assert_allclose(
            here.gradient[axis], slope, rtol=1e-6, atol=1e-6 * np.abs(slope).max()
        )


@pytest.mark.parametrize("robust", [True, False])
def test_the_minimum_is_scipys(scene, robust):
    rig, points, pixels, weight = scene
    options = TriangulationOptions(robust_lm=robust, lm_iters=50, lm_eps=1e-9)
    found = refine(RigOptics.of(rig), pixels, weight, points.T, options)
    for n in range(0, 30, 5):
        used = weight[:, n] > 0
        if used.sum() < 2:
            continue

        def distance(x, n=n, used=used):
            residual = project_rig(rig, x) - pixels[:, n]
            size = np.linalg.norm(residual[used], axis=-1)
            loss = np.where(size <= 10, 0.5 * size**2, 10 * size - 50) if robust else 0.5 * size**2
            return np.sqrt(2 * weight[used, n] * loss)

        best = least_squares(distance, points[n], xtol=1e-14, ftol=1e-14, gtol=1e-14)
        assert (distance(found[:, n]) ** 2).sum() <= 2 * best.cost * (1 + 1e-6)


def test_points_that_cannot_be_refined_stay_where_they_are(scene):
    rig, points, pixels, weight = scene
    weight[:, 0], weight[1:, 1] = 0, 0
    start = points.T.copy()
    start[:, 2] = np.nan
    found = refine(RigOptics.of(rig), pixels, weight, start, TriangulationOptions())
    np.testing.assert_array_equal(found[:, :2], start[:, :2])
    assert np.isnan(found[:, 2]).all()
    assert np.isfinite(found[:, 3:]).all()


def test_missing_pixels_of_unused_views_do_not_spread(scene):
    rig, points, pixels, weight = scene
    optics, options = RigOptics.of(rig), TriangulationOptions()
    clean = refine(optics, pixels, weight, points.T, options)
    broken = np.where((weight == 0)[..., None], np.nan, pixels)
    np.testing.assert_array_equal(refine(optics, broken, weight, points.T, options), clean)
