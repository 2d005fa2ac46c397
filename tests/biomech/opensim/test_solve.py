"""The solver: truth found again, OpenSim's own solver agreed with, missing markers without say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kinefit.biomech.opensim.model import BodyModel, load_opensim
from kinefit.biomech.opensim.solve import PRIOR, Task, cost, solve
from kinefit.types import FloatArray

STILL = ("mtp", "neck", "wrist")


def task_of(model: BodyModel, weights: FloatArray | None = None) -> Task:
    free = model.free & np.array([not n.startswith(STILL) for n in model.names])
    weights = np.ones(len(model.markers)) if weights is None else weights
    return Task(weights, free, np.zeros(len(model.names)))


def test_known_angles_are_found_again(augmented: Any) -> None:
    solution = solve(augmented.model, task_of(augmented.model), augmented.markers.xyz)
    # Steps end below 1e-4 rad, quadratically near an exact fit.
    np.testing.assert_allclose(solution.q, augmented.q, atol=1e-4)
    assert np.nanmax(solution.error) < 1e-5


@pytest.mark.parametrize("turn", [np.pi / 2, np.pi, -2.0])
def test_whichever_way_the_person_faces(augmented: Any, turn: float) -> None:
    c, s = np.cos(turn), np.sin(turn)
    about_y = np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    xyz = augmented.markers.xyz[:3] @ about_y.T + (2.0, 0.0, -1.0)
    solution = solve(augmented.model, task_of(augmented.model), xyz)
    assert np.nanmax(solution.error) < 1e-5
    joints = [i for i, x in enumerate(augmented.model.coordinates) if x.joint != "ground_pelvis"]
    np.testing.assert_allclose(solution.q[:, joints], augmented.q[:3][:, joints], atol=1e-4)


def test_a_missing_marker_has_no_say(augmented: Any) -> None:
    xyz = augmented.markers.xyz[:8].copy()
    rng = np.random.default_rng(0)
    gone = rng.random(xyz.shape[:2]) < 0.1
    xyz[gone] = np.nan
    solution = solve(augmented.model, task_of(augmented.model), xyz)
    np.testing.assert_allclose(solution.q, augmented.q[:8], atol=1e-4)
    assert (np.isnan(solution.error) == gone).all()
    # The control: at the origin instead, the same markers spoil the pose.
    wrong = solve(augmented.model, task_of(augmented.model), np.nan_to_num(xyz[:2]))
    assert np.abs(wrong.q - augmented.q[:2]).max() > 0.1


def test_a_frame_without_markers_says_that_nothing_is_known(augmented: Any) -> None:
    xyz = augmented.markers.xyz[:3].copy()
    xyz[1] = np.nan
    solution = solve(augmented.model, task_of(augmented.model), xyz)
    free = task_of(augmented.model).free
    np.testing.assert_allclose(solution.sd[1, free], PRIOR)
    assert solution.sd_if_seen[1, free].max() < 0.5


def test_the_cost_is_no_higher_than_opensims(augmented: Any) -> None:
    """Noisy markers, unequal weights: the minimum of OpenSim's own solver at 1e-8."""
    rng = np.random.default_rng(3)
    model = augmented.model
    xyz = augmented.markers.xyz[:3] + rng.normal(0, 0.01, augmented.markers.xyz[:3].shape)
    task = task_of(model, rng.choice([1.0, 5.0, 25.0], len(model.markers)))
    ours = solve(model, task, xyz)
    theirs = _opensim_poses(model, task, xyz)
    for k in range(len(xyz)):
        # 1e-6: what is left of the cost when steps are below 1e-4 rad.
        assert cost(model, task, xyz[k], ours.q[k]) <= cost(model, task, xyz[k], theirs[k]) * (
            1 + 1e-6
        )
    # Half a millirad: two solvers' tolerances in the loosest coordinate (a forearm's turn).
    np.testing.assert_allclose(ours.q, theirs, atol=5e-4)


def _opensim_poses(model: BodyModel, task: Task, xyz: FloatArray) -> FloatArray:
    opensim = load_opensim()
    system = model._osim.clone()
    for name, free in zip(model.names, task.free, strict=True):
        system.updCoordinateSet().get(name).set_locked(not free)
    state = system.initSystem()
    table = opensim.TimeSeriesTableVec3()
    weights = opensim.SetMarkerWeights()
    for name, weight in zip(model.markers, task.weights, strict=True):
        weights.cloneAndAppend(opensim.MarkerWeight(name, float(weight)))
    for k, frame in enumerate(xyz):
        row = opensim.RowVectorVec3(len(frame))
        for i, point in enumerate(frame.tolist()):
            row[i] = opensim.Vec3(*point)
        table.appendRow(float(k), row)
    table.setColumnLabels(list(model.markers))
    reference = opensim.MarkersReference(table, weights, opensim.Units("m"))
    solver = opensim.InverseKinematicsSolver(
        system, reference, opensim.SimTKArrayCoordinateReference()
    )
    solver.setAccuracy(1e-8)
    coordinates = system.getCoordinateSet()
    poses = []
    for k in range(len(xyz)):
        state.setTime(float(k))
        solver.assemble(state) if k == 0 else solver.track(state)
        poses.append([coordinates.get(i).getValue(state) for i in range(coordinates.getSize())])
    return np.array(poses)
