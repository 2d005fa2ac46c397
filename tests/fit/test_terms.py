"""Terms: every derivative against central differences, and what each residual says.

To check a new term, add a line that builds it to the table of its kind.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from kinefit.fit.solver.silhouette import MaskEdge, Silhouette
from kinefit.fit.solver.state import State
from kinefit.fit.solver.terms import (
    ConstantVelocity,
    Direction,
    PointTerm,
    PoseTerm,
    Position,
    Reprojection,
    RotationPrior,
    ShapePrior,
    ShapeTerm,
)
from kinefit.geometry import rotations as so3
from kinefit.geometry.projection import project_rig
from kinefit.types import CameraRig, FloatArray, InvalidData

from .tubes import by_rotations, motion, moved, poses, ring, slopes, tube_chain

CHAIN = tube_chain(limbs=True)
COUNT = 5
ALL = np.arange(COUNT)
# Steps of 1e-5 leave a relative 1e-10 of curvature, and 1e-16 / 1e-5 of rounding.
STEP, RELATIVE = 1e-5, 1e-6


def _clip() -> State:
    """Poses in a row, turning by up to half a radian from one to the next."""
    return motion(CHAIN, _uneven(), swing=1.0)


def _uneven() -> FloatArray:
    return np.array([0.0, 0.04, 0.05, 0.11, 0.19])


def _points(term: PointTerm) -> FloatArray:
    return poses(CHAIN, COUNT).posed(CHAIN).points[:, term.point]


def _reprojection(*, lens: bool) -> Reprojection:
    """Pixels of other poses than those at which it is evaluated, some of them missing."""
    rng = np.random.default_rng(1)
    rig, keypoint = ring(lens=lens), np.array([0, 3, 5, 9, 20])
    seen = poses(CHAIN, COUNT, seed=2).posed(CHAIN).points[:, keypoint]
    xy = np.moveaxis(project_rig(rig, seen), 0, 1)
    xy[1, 2, 3] = np.nan
    return Reprojection(rig, xy, rng.uniform(1, 9, xy.shape[:3]), keypoint)


def _behind() -> Reprojection:
    """Cameras in the middle of the body, so that points are behind them and at their plane."""
    keypoint = np.arange(20)
    inside = replace(ring().cameras[0], t=np.array([0.0, 0, 0.05]))
    xy, sigma = np.full((COUNT, 1, 20, 2), 400.0), np.full((COUNT, 1, 20), 5.0)
    return Reprojection(CameraRig((inside,)), xy, sigma, keypoint)


def _silhouette() -> Silhouette:
    """Fields of four waves, so that slopes differ from pixel to pixel; cameras with skew."""
    rng, rig = np.random.default_rng(7), ring()
    side, keypoint, C = 16, np.array([2, 7, 11]), len(rig)
    field = rng.normal(0, 3, (COUNT, C, side, side)).astype(np.float32)
    to_mask = np.tile(np.array([[9.0, 0.7, 8], [-0.4, 8, 8]]), (COUNT, C, 1, 1))
    weight, metre = np.ones((COUNT, C * 3)), rng.uniform(0.005, 0.02, (COUNT, C))
    return Silhouette(rig, keypoint, weight, to_mask, metre, 0.01, 0.03, distance=field)


def _mask_edge() -> MaskEdge:
    fields = _silhouette()
    line = np.random.default_rng(8).normal(0, 1, (*fields.metre.shape, 3, 3))
    return MaskEdge(
        fields.rig, fields.keypoint, fields.weight, fields.to_mask, fields.metre, 0.01, 0.03,
        line=line,
    )  # fmt: skip


def _position() -> Position:
    rng = np.random.default_rng(3)
    xyz = rng.normal(size=(COUNT, 4, 3))
    xyz[2, 1] = np.nan
    return Position(xyz, rng.normal(0, 50, (COUNT, 4, 3, 3)), np.array([1, 1, 7, 25]))


def _direction() -> Direction:
    unit = so3.unit(np.random.default_rng(4).normal(size=(COUNT, 2, 3)))
    unit[0, 0] = np.nan
    point = np.array([CHAIN.column(name) for name in ("LThigh", "RForearm")])
    return Direction(unit, np.full((COUNT, 2), 0.1), point)


def _pull(each: bool) -> RotationPrior:
    rng = np.random.default_rng(5)
    shape = (COUNT, len(CHAIN.joint_names)) if each else (len(CHAIN.joint_names),)
    sigma = rng.uniform(0.1, 1, shape)
    sigma[..., 4] = np.inf
    return RotationPrior(so3.exp(rng.normal(0, 0.5, (*shape, 3))), sigma)


def _spread() -> FloatArray:
    return np.random.default_rng(6).uniform(0.5, 2, 1 + len(CHAIN.joint_names))


def _cut() -> FloatArray:
    return np.array([1.0, 1, 0, 1])


POINT_TERMS: dict[str, Callable[[], PointTerm]] = {
    "reprojection": lambda: _reprojection(lens=False),
    "reprojection through lenses": lambda: _reprojection(lens=True),
    "reprojection from behind": _behind,
    "position": _position,
    "direction": _direction,
    "silhouette": _silhouette,
    "mask edge": _mask_edge,
}
POSE_TERMS: dict[str, Callable[[], PoseTerm]] = {
    "pull to one pose": lambda: _pull(each=False),
    "pull to one per frame": lambda: _pull(each=True),
}
SHAPE_TERMS: dict[str, Callable[[], ShapeTerm]] = {
    "shape prior": lambda: ShapePrior(np.ones(4), np.array([0.5, 1, 2, 3]), 0.7),
}
TIME_TERMS: dict[str, Callable[[], ConstantVelocity]] = {
    "constant velocity": lambda: ConstantVelocity(_uneven(), _spread(), np.ones(4)),
    "constant velocity with a cut": lambda: ConstantVelocity(_uneven(), _spread(), _cut()),
}


def assert_slope(J: FloatArray, numeric: FloatArray) -> None:
    assert np.abs(numeric).max() > 0.1  # else the comparison means nothing
    np.testing.assert_allclose(J, numeric, atol=RELATIVE * np.abs(numeric).max())


@pytest.mark.parametrize("name", POINT_TERMS)
def test_derivative_by_keypoints(name: str) -> None:
    term = POINT_TERMS[name]()
    points = _points(term)
    numeric = slopes(lambda d: term.residual(points + d, ALL), 3, STEP)
    assert_slope(np.broadcast_to(term.jacobian(points, ALL), numeric.shape), numeric)


@pytest.mark.parametrize("name", POSE_TERMS)
def test_derivative_by_rotations(name: str) -> None:
    term, state = POSE_TERMS[name](), poses(CHAIN, COUNT)

    def residual(d: FloatArray) -> FloatArray:
        turned = moved(CHAIN, state, np.concatenate([np.zeros(3), d]))
        return term.residual(turned.rotations, ALL)

    numeric = slopes(residual, 3 * len(CHAIN.joint_names), STEP)
    assert_slope(by_rotations(term, state.rotations), numeric)


@pytest.mark.parametrize("name", SHAPE_TERMS)
@pytest.mark.parametrize("size", [(4,), (3, 4)])
def test_derivative_by_shape(name: str, size: tuple[int, ...]) -> None:
    term, shape = SHAPE_TERMS[name](), np.random.default_rng(7).normal(size=size)
    numeric = slopes(lambda d: term.residual(shape + d), 4, STEP)
    assert_slope(term.jacobian(shape), numeric)


@pytest.mark.parametrize("name", TIME_TERMS)
def test_derivative_by_neighbouring_poses(name: str) -> None:
    term, state = TIME_TERMS[name](), _clip()
    J, F = term.jacobian(state), len(CHAIN.joint_names)
    expected = np.zeros_like(J)
    for t in range(COUNT):

        def residual(d: FloatArray, t: int = t) -> FloatArray:
            # Blocks do not act on one another, so one step turns them all.
            one = moved(CHAIN, state.at(slice(t, t + 1)), np.tile(d, 1 + F))
            return term.residual(state.with_rows(slice(t, t + 1), one))

        numeric = slopes(residual, 3, STEP)
        for a in range(term.reach + 1):
            if 0 <= t - a < len(J):
                expected[t - a, :, a] = numeric[t - a]
                numeric[t - a] = 0
        assert not numeric.any()  # nothing beyond its reach
    assert_slope(J, expected)


@pytest.mark.parametrize("name", POINT_TERMS)
def test_a_term_of_some_poses_is_those_rows_of_the_whole(name: str) -> None:
    term, rows = POINT_TERMS[name](), np.array([3, 1])
    points = _points(term)
    for method in (term.residual, term.jacobian):
        np.testing.assert_array_equal(method(points[rows], rows), method(points, ALL)[rows])


@pytest.mark.parametrize("name", POINT_TERMS)
def test_missing_data_has_weight_zero_and_finite_numbers(name: str) -> None:
    term = POINT_TERMS[name]()
    points = _points(term)
    assert np.isfinite(term.residual(points, ALL)).all()
    assert np.isfinite(term.jacobian(points, ALL)).all()
    assert set(np.unique(term.weight)) <= {0.0, 1.0}


def test_reprojection_is_pixels_over_sigma() -> None:
    term = _reprojection(lens=False)
    points = poses(CHAIN, COUNT).posed(CHAIN).points
    # Cameras without a lens: undoing it is exact, so the residual is that of plain projection.
    pixels = np.moveaxis(project_rig(term.rig, points[:, term.keypoint]), 0, 1)
    expected = ((pixels - term.xy) / term.sigma[..., None]).reshape(COUNT, -1, 2)
    seen = term.weight > 0
    assert seen.sum() == seen.size - 1
    np.testing.assert_allclose(term.residual(points[:, term.point], ALL)[seen], expected[seen],
                               atol=1e-10)  # fmt: skip


@pytest.mark.parametrize("lens", [False, True])
def test_reprojection_of_the_truth_is_nothing(lens: bool) -> None:
    rig, keypoint = ring(lens=lens), np.arange(26)
    points = poses(CHAIN, COUNT).posed(CHAIN).points
    xy = np.moveaxis(project_rig(rig, points[:, keypoint]), 0, 1)
    term = Reprojection(rig, xy, np.ones(xy.shape[:3]), keypoint)
    assert term.weight.mean() > 0.9
    r = term.residual(points[:, term.point], ALL)[term.weight > 0]
    assert np.abs(r).max() < 1e-6  # pixels: where undoing a lens by iteration stops


@pytest.mark.parametrize("depth", [-3.0, -0.5, 0.05, 0.5])
def test_a_point_behind_the_camera_is_still_drawn_to_its_pixel(depth: float) -> None:
    rig = CameraRig(ring().cameras[:1])
    camera = rig.cameras[0]
    term = Reprojection(rig, np.array([[[[300.0, 500.0]]]]), np.ones((1, 1, 1)), np.array([0]))
    point = ((np.array([0.5, 0.2, depth]) - camera.t) @ camera.R)[None, None]
    r, J = term.residual(point, ALL[:1]), term.jacobian(point, ALL[:1])
    downhill = so3.unit(-(np.swapaxes(J, -1, -2) @ r[..., None])[..., 0])
    ahead = term.residual(point + 1e-4 * downhill, ALL[:1])  # a tenth of a millimetre
    assert (ahead**2).sum() < (r**2).sum() < 1e12  # finite enough to be squared and added


def test_wrong_input_is_refused() -> None:
    rig, xy = ring(2), np.zeros((3, 2, 4, 2))
    with pytest.raises(InvalidData, match="disagree"):
        Reprojection(rig, xy, np.ones((3, 2, 5)), np.arange(4))
    with pytest.raises(InvalidData, match="sigma"):
        Reprojection(rig, xy, np.zeros((3, 2, 4)), np.arange(4))
    with pytest.raises(InvalidData, match="sigma"):
        Reprojection(rig, xy, np.full((3, 2, 4), np.nan), np.arange(4))


def test_position_counts_distances_in_deviations_of_its_covariance() -> None:
    covariance = np.array([[0.04, 0.01, 0], [0.01, 0.02, 0], [0, 0, 0.5]])
    root = np.linalg.inv(np.linalg.cholesky(covariance))
    off = np.array([0.1, -0.2, 0.3])
    term = Position(np.zeros((1, 1, 3)), root, np.array([0]))
    r = term.residual(off[None, None], ALL[:1])
    assert (r**2).sum() == pytest.approx(off @ np.linalg.inv(covariance) @ off, rel=1e-12)


def test_direction_does_not_ask_how_long_a_limb_is() -> None:
    term = _direction()
    points = _points(term)
    np.testing.assert_allclose(term.residual(3 * points, ALL), term.residual(points, ALL))


def test_pull_is_the_angle_between_in_deviations() -> None:
    state, turn = poses(CHAIN, COUNT), so3.exp(np.array([0.0, 0.3, 0]))
    sigma = np.full(len(CHAIN.joint_names), 0.1)
    sigma[2] = np.inf
    r = RotationPrior(state.rotations, sigma).residual(state.rotations @ turn, ALL)
    np.testing.assert_allclose(r[:, 0], np.tile([0, 3, 0], (COUNT, 1)), atol=1e-13)
    assert (r[:, 2] == 0).all()
