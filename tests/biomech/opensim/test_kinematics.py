"""Kinematics in numpy against OpenSim's own, and both against finite differences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.biomech.opensim import linkage
from kinefit.biomech.opensim.by_opensim import ByOpensim
from kinefit.biomech.opensim.functions import pieces, straight_line
from kinefit.biomech.opensim.kinematics import Tree
from kinefit.biomech.opensim.model import BodyModel
from kinefit.biomech.opensim.osim import load_opensim
from kinefit.biomech.opensim.sets import setup_folder
from kinefit.types import FloatArray

from .conftest import chain_model

SHIPPED = ["Model_Pose2Sim_simple.osim", "Model_Pose2Sim_muscles_flex.osim"]
JOINTS = [
    "ball", "free", "pin", "slide", "coupled", "gimbal", "universal", "planar", "slider", "weld",
    "spline", "quintic", "curved coupler",
]  # fmt: skip
UNKNOWN = ["ellipsoid", "sine"]


def model_of(name: str, folder: Path) -> BodyModel:
    if name in SHIPPED:
        return BodyModel(setup_folder() / name, setup_folder() / "Markers_LSTM.xml")
    return BodyModel(chain_model(folder / "chain.osim", name))


def poses(model: BodyModel, count: int = 6) -> FloatArray:
    """Also beyond the ends of ranges, where splines are straight lines."""
    rng = np.random.default_rng(5)
    return model.tie(model.default + rng.uniform(-2.5, 2.5, (count, len(model.names))))


@pytest.mark.parametrize("name", SHIPPED + JOINTS)
def test_markers_and_bodies_are_where_opensim_has_them(tmp_path: Path, name: str) -> None:
    model = model_of(name, tmp_path)
    assert isinstance(model._kinematics, Tree)
    q, opensim = poses(model), model._by_opensim
    # Rounding: metres, and cubic polynomials of numbers near one.
    np.testing.assert_allclose(model.positions(q), opensim.positions(q), atol=1e-12)
    for ours, theirs in zip(model.body_frames(q), opensim.bodies(q), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)


@pytest.mark.parametrize("name", SHIPPED + JOINTS + UNKNOWN)
def test_the_normal_equations_are_those_of_finite_differences(tmp_path: Path, name: str) -> None:
    model = model_of(name, tmp_path)
    check_normal_equations(model, poses(model)[0])


def check_normal_equations(model: BodyModel, q: FloatArray) -> None:
    """In the pose (C,): the Jacobian told by pulls at one marker along one axis, and J^T W J."""
    rows = 3 * len(model.markers)
    unit = np.eye(rows).reshape(rows, -1, 3)
    tiled, ones = np.tile(q, (rows, 1)), np.ones((rows, len(model.markers)))
    jacobian = model.least_squares(tiled, model.free, ones, model.positions(q) - unit).gradient
    for column, i in enumerate(np.flatnonzero(model.free)):
        step = 1e-6 * np.eye(len(q))[i]
        rise = model.positions(model.tie(q + step)) - model.positions(model.tie(q - step))
        # Central differences of metres over 2e-6 rad: 1e-16 / 1e-6 of rounding, with room; those
        # of curved couplers are differences themselves.
        np.testing.assert_allclose(rise.ravel() / 2e-6, jacobian[:, column], atol=1e-7)
    rng = np.random.default_rng(1)
    weights, target = rng.uniform(0, 1, len(model.markers)), rng.normal(0, 1, (rows // 3, 3))
    found = model.least_squares(q[None], model.free, weights[None], target[None])
    off, weight = (model.positions(q) - target).ravel(), np.repeat(weights, 3)
    np.testing.assert_allclose(found.value, weight @ off**2)
    np.testing.assert_allclose(found.gradient[0], jacobian.T @ (weight * off), atol=1e-12)
    np.testing.assert_allclose(
        found.hessian[0], jacobian.T @ (weight[:, None] * jacobian), atol=1e-12
    )


@pytest.mark.parametrize("name", SHIPPED + JOINTS + UNKNOWN)
def test_sizes_on_trial_are_those_that_opensim_scales_to(tmp_path: Path, name: str) -> None:
    model = model_of(name, tmp_path)
    rng = np.random.default_rng(2)
    factors = {body: rng.uniform(0.7, 1.3, 3).tolist() for body in model.bodies}
    model.try_scale(dict.fromkeys(model.bodies, (2.0, 2.0, 2.0)))
    model.try_scale(factors)
    tried = model.positions(poses(model))
    model.scale(factors)
    np.testing.assert_allclose(tried, model._by_opensim.positions(poses(model)), atol=1e-12)
    np.testing.assert_allclose(tried, model.positions(poses(model)), atol=1e-12)


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_left_to_opensim(tmp_path: Path, name: str) -> None:
    model = model_of(name, tmp_path)
    assert isinstance(model._kinematics, ByOpensim)


def test_a_tree_that_differs_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Were a joint's axes other than those known here."""
    monkeypatch.setitem(linkage._KINDS, "PinJoint", "Y")
    assert isinstance(model_of("pin", tmp_path)._kinematics, ByOpensim)


def test_functions_are_found_exactly() -> None:
    osim = load_opensim()
    spline, broken = osim.SimmSpline(), osim.PiecewiseLinearFunction()
    for x, y in ((-1.0, 0.2), (0.0, 0.1), (0.3, 0.5), (2.0, -1.0)):
        spline.addPoint(x, y)
        broken.addPoint(x, y)
    quintic = osim.PolynomialFunction(osim.Vector.createFromMat(np.array([0.3, -1, 0, 0.5, 0, 2])))
    found = pieces([spline, quintic, broken])
    assert found is not None
    for x in np.linspace(-3, 4, 51).tolist():
        values, slopes = found(np.array([x, x, x]))
        for i, function in enumerate((spline, quintic, broken)):
            low, at, high = (function.calcValue(osim.Vector(1, x + h)) for h in (-1e-6, 0, 1e-6))
            # Rounding of a quintic at 4, and of differences of hundreds over 2e-6.
            assert values[i] == pytest.approx(at, abs=1e-11)
            assert slopes[i] == pytest.approx((high - low) / 2e-6, abs=1e-5, rel=1e-6)
    assert straight_line(osim.LinearFunction(2.0, 0.5)) == (2.0, 0.5)
    assert straight_line(osim.Constant(0.5)) == (0.0, 0.5)
    assert straight_line(spline) is None
