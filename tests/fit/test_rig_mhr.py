"""Parameters of MHR that come to the points: derivatives, and what they are better than."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.body.mhr import MhrModel, load_mhr
from kinefit.body.mhr_params import PARAMETERS, POSE_COUNT
from kinefit.body.mhr_pose import MhrPose, pose_of_parameters
from kinefit.fit.recipes.frames.rig_frames import as_view
from kinefit.fit.recipes.frames.rig_mhr import RigCoordinates, nearest_parameters, rig_parameters
from kinefit.fit.recipes.frames.rig_targets import RigTargets
from kinefit.fit.recipes.frames.rigfit import RigFit, rig_chain
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.skeletons import skeleton
from kinefit.types import FloatArray, Timeline

pytest.importorskip("torch")

from ..body import mhr_file

T = 4
BENDS = ("uparm_ry", "uparm_rz", "elbow_bend", "upleg_ry", "upleg_rz", "knee_bend")
BODY = [i for i, name in enumerate(PARAMETERS) if name[2:] in BENDS]
FINGERS = [i for i, n in enumerate(PARAMETERS[:130]) if "index" in n or "thumb" in n]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> MhrModel:
    path: Path = tmp_path_factory.mktemp("mhr") / "mhr_model.pt"
    mhr_file.save(path)
    return load_mhr(path)


@pytest.fixture(scope="module")
def scene(model: MhrModel) -> tuple[RigFit, State, FloatArray]:
    """Points of known parameters; and a pose of free joints that is off by a tenth of a radian."""
    rng = np.random.default_rng(0)
    true = np.zeros((T, len(PARAMETERS)))
    true[:, BODY] = rng.uniform(-0.4, 0.4, (T, len(BODY)))
    true[:, FINGERS] = rng.uniform(-0.3, 0.3, len(FINGERS))
    pose: MhrPose = pose_of_parameters(model, true, np.zeros(45))
    chain = rig_chain(model.body, skeleton("mhr46").points)
    exact = as_view(chain, pose.rotations, pose.translation, pose.shape)
    columns = [chain.column(name) for name in chain.point_names]
    xyz = exact.posed(chain).points[:, columns]
    targets = RigTargets.of(
        Timeline.regular(T, 30.0), chain.point_names, ("cam",), xyz, np.ones(xyz.shape[:2])
    )
    work = RigFit.of(chain, targets)
    turns = rng.normal(0, 0.1, (T, len(chain.joint_names), 3)) * work.free[:, None]
    bent = exact.rotations @ so3.exp(turns)
    return work, State(bent, exact.translation, exact.shape, exact.offset), true


def random_parameters(count: int) -> FloatArray:
    """(N, 204) with every parameter moved."""
    parameters = np.random.default_rng(1).uniform(-1.4, 1.4, (count, len(PARAMETERS)))
    parameters[:, POSE_COUNT:] *= 0.5
    return parameters


def there_and_back(model: MhrModel, parameters: FloatArray) -> tuple[FloatArray, MhrPose, MhrPose]:
    """What is found from the poses of parameters; those poses, and the poses of what is found."""
    chain, identity = rig_chain(model.body, ("LWrist",)), np.zeros(45)
    pose = pose_of_parameters(model, parameters, identity)
    found = nearest_parameters(
        model, chain, as_view(chain, pose.rotations, pose.translation, pose.shape)
    )
    return found, pose, pose_of_parameters(model, found, identity)


def test_every_pose_that_parameters_make_is_found_again(model: MhrModel) -> None:
    _, pose, again = there_and_back(model, random_parameters(60))
    np.testing.assert_allclose(again.rotations, pose.rotations, atol=1e-8)
    np.testing.assert_allclose(again.translation, pose.translation, atol=1e-12)
    np.testing.assert_allclose(again.shape, pose.shape, atol=1e-12)


def test_parameters_that_say_it_once_come_back(model: MhrModel) -> None:
    """Without repeated angles and lengths, the parameters themselves."""
    parameters = random_parameters(30)
    flexible = [i for i, n in enumerate(PARAMETERS) if n.endswith("_flexible")]
    twice = [i for i in flexible if PARAMETERS[i].startswith(("spine0", "spine1"))]
    parameters[:, [*twice, *range(130, 136)]] = 0
    found, _, _ = there_and_back(model, parameters)
    np.testing.assert_allclose(found, parameters, atol=1e-7)


@pytest.mark.parametrize("name", ["r_elbow_bend", "l_knee_bend"])
def test_a_hinge_beyond_a_right_angle(model: MhrModel, name: str) -> None:
    parameters = np.zeros((1, 204))
    parameters[0, PARAMETERS.index(name)] = 2.6
    found, _, _ = there_and_back(model, parameters)
    np.testing.assert_allclose(found, parameters, atol=1e-7)


def test_a_pose_out_of_reach_is_met_as_well_as_it_can_be(model: MhrModel) -> None:
    rng, chain = np.random.default_rng(6), rig_chain(model.body, ("LWrist",))
    rotations = so3.exp(rng.normal(0, 0.3, (8, 126, 3)))
    state = as_view(chain, rotations, np.zeros((8, 3)), np.zeros((8, len(model.body.shape.names))))
    found = nearest_parameters(model, chain, state)

    def cost(parameters: FloatArray) -> FloatArray:
        near = pose_of_parameters(model, parameters, np.zeros(45)).rotations
        off = so3.norm(so3.log(np.swapaxes(near, -1, -2) @ rotations))
        return np.asarray((off**2).sum(axis=1))

    best = cost(found)
    assert (best > 0.1).all()  # joints without parameters cannot follow
    for _ in range(50):  # no small step is better
        step = np.zeros((8, 204))
        step[:, 3:130] = rng.normal(0, 1e-3, (8, 127))
        assert (cost(found + step) >= best).all()


def off(model: MhrModel, work: RigFit, parameters: FloatArray) -> float:
    """Metres, mean distance from the points."""
    pose = pose_of_parameters(model, parameters, np.zeros(45))
    state = as_view(work.chain, pose.rotations, pose.translation, pose.shape)
    return float(work.measure(state, np.ones(T), np.arange(T), {})[1].mean())


def test_basis_is_how_poses_move_with_parameters(
    model: MhrModel, scene: tuple[RigFit, State, FloatArray]
) -> None:
    work, fitted, true = scene
    coordinates, step = RigCoordinates.of(model, work), 1e-6
    at = true.copy()
    at[:, coordinates.columns] += np.random.default_rng(1).normal(0, 0.3, (T, coordinates.size))
    state = coordinates.posed(fitted, at)
    basis = coordinates.basis(state)
    numeric = np.empty_like(basis)
    for q, axis in enumerate(step * np.eye(coordinates.size)):
        ends = [coordinates.moved(state, np.tile(s * axis, (T, 1))) for s in (1, -1)]
        turn = [so3.log(np.swapaxes(state.rotations, -1, -2) @ end.rotations) for end in ends]
        numeric[:, :3, q] = (ends[0].translation - ends[1].translation) / (2 * step)
        numeric[:, 3:, q] = (turn[0] - turn[1]).reshape(T, -1) / (2 * step)
    assert np.abs(numeric).max() > 0.5
    np.testing.assert_allclose(basis, numeric, atol=1e-8)


def test_comes_nearer_than_the_nearest_rotations(
    model: MhrModel, scene: tuple[RigFit, State, FloatArray]
) -> None:
    work, fitted, true = scene
    nearest = nearest_parameters(model, work.chain, fitted)
    found = rig_parameters(model, work, fitted, np.ones(T), np.arange(T))
    before, after = (off(model, work, p) for p in (nearest, found))
    assert before > 0.02  # the control: a tenth of a radian in every joint is centimetres
    assert after < before / 5  # what is left is the pull to that pose
    held = np.setdiff1d(np.arange(len(PARAMETERS)), RigCoordinates.of(model, work).columns)
    assert set(FINGERS) <= set(held.tolist())
    np.testing.assert_array_equal(found[:, held], nearest[:, held])
    np.testing.assert_allclose(found[:, FINGERS], true[:, FINGERS], atol=1e-6)


def test_frames_without_points_keep_the_nearest_parameters(
    model: MhrModel, scene: tuple[RigFit, State, FloatArray]
) -> None:
    work, fitted, _ = scene
    t = work.targets
    xyz = t.xyz.copy()
    xyz[1] = np.nan
    lost = RigFit.of(work.chain, RigTargets.of(t.timeline, t.names, t.cameras, xyz, t.weight))
    nearest = nearest_parameters(model, work.chain, fitted)
    found = rig_parameters(model, lost, fitted, np.ones(T), np.arange(T))
    np.testing.assert_array_equal(found[1], nearest[1])
    assert (found[0] != nearest[0]).any()
