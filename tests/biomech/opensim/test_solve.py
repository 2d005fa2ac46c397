"""The solver: truth found again, OpenSim's own solver agreed with, missing markers without say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from kinefit.biomech.opensim.frame import PRIOR, Task, cost, first_pose, minimise
from kinefit.biomech.opensim.model import BodyModel
from kinefit.biomech.opensim.observability import LIMIT
from kinefit.biomech.opensim.osim import load_opensim
from kinefit.biomech.opensim.sets import setup_folder
from kinefit.biomech.opensim.solve import solve
from kinefit.geometry.rotations import wrap
from kinefit.types import FloatArray

from .conftest import SIZES

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


@pytest.mark.parametrize("frames", [1, 6])
def test_a_beginning_without_the_left_side_is_no_start(augmented: Any, frames: int) -> None:
    """An arm that is not seen has a default whose angles may be turned to either of two sets."""
    model, rng, t = augmented.model, np.random.default_rng(1), np.linspace(0, 3, 60)
    flexion, rotation = 0.3 + 1.2 * np.sin(4 * t), 0.5 * np.sin(3 * t)
    angles = {"arm_flex": flexion, "arm_add": -0.6, "arm_rot": rotation, "elbow_flex": 0.9}
    q = np.tile(model.default, (len(t), 1))
    for i, name in enumerate(model.names):
        q[:, i] = angles.get(name[:-2], q[:, i])
    q = model.tie(q)
    xyz = model.positions(q)
    xyz += rng.normal(0, 0.008, xyz.shape)
    left = [not name.lower().startswith("r_") for name in model.markers]
    xyz[:frames, left] = np.nan
    found = solve(model, task_of(model), xyz)
    arms = [i for i, name in enumerate(model.names) if name.startswith(("arm", "elbow"))]
    # Five deviations; in the other set of angles an arm has two that are pi off.
    assert (np.abs(found.q - q) < 5 * found.sd)[frames:, arms].all()
    assert found.sd[frames:, arms].max() < 0.3


@pytest.mark.parametrize("dropped", [1, 3, 5])
def test_the_pose_does_not_depend_on_where_the_clip_begins(keypoints: Any, dropped: int) -> None:
    """Arms that are nearly straight: on either side of the upper arm's axis, the wrist fits."""
    model, rng, t = keypoints.model, np.random.default_rng(1), np.linspace(0, 3, 90)
    q = np.tile(model.default, (len(t), 1))
    for side in "rl":
        q[:, model.names.index(f"arm_add_{side}")] = -0.4
        bend = np.maximum(0.9 * np.cos(2.1 * t), 0.03)
        q[:, model.names.index(f"elbow_flex_{side}")] = bend
    xyz = model.positions(model.tie(q))
    xyz += rng.normal(0, 0.006, xyz.shape)
    still = np.array([n.startswith((*STILL, "pro_sup", "subtalar")) for n in model.names])
    task = Task(np.ones(len(model.markers)), model.free & ~still, np.zeros(len(model.names)))
    whole, part = solve(model, task, xyz), solve(model, task, xyz[dropped:])
    turn = np.abs(wrap(whole.q[dropped:] - part.q))[:, model.turning]
    known = whole.sd[dropped:, model.turning] < LIMIT
    # 0.6 degrees: steps end below 1e-4 rad, in a valley as flat as an arm's turn after hundreds of
    # them; the other pose's elbow is 0.4 rad off.
    assert turn[known].max() < 0.01


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
    # 1e-6: what is left of the cost when steps are below 1e-4 rad.
    assert (cost(model, task, xyz, ours.q) <= cost(model, task, xyz, theirs) * (1 + 1e-6)).all()
    # Half a millirad: two solvers' tolerances in the loosest coordinate (a forearm's turn).
    np.testing.assert_allclose(ours.q, theirs, atol=5e-4)


CLIPS = ["arms through full circles", "cartwheels", "arms anywhere", "everything anywhere"]


@pytest.mark.parametrize("gap", [False, True])
@pytest.mark.parametrize("kind", CLIPS)
def test_no_frame_is_stuck(augmented: Any, kind: str, gap: bool) -> None:
    """The true pose's cost is the least, up to what noise lets the others gain."""
    model, task = augmented.model, task_of(augmented.model)
    truth, xyz = wild(model, kind)
    if gap:
        xyz[12:20] = np.nan
    found = solve(model, task, xyz).q
    assert (cost(model, task, xyz, found) <= 1.1 * cost(model, task, xyz, truth)).all()
    turning = [i for i, c in enumerate(model.coordinates) if c.motion == "rotation"]
    jumps = np.abs(np.diff(found[:, turning], axis=0)).max(axis=0)
    endless = np.array([np.isinf(model.coordinates[i].high) for i in turning])
    if not gap:
        assert jumps[endless].max() < np.pi  # no whole turns between two frames


def test_frame_by_frame_alone_gets_stuck(augmented: Any) -> None:
    """The control of the test above."""
    model, task = augmented.model, task_of(augmented.model)
    truth, xyz = wild(model, "everything anywhere")
    pose, found = first_pose(model, task, xyz[:1]), []
    for k in range(len(xyz)):
        pose, value = minimise(model, task, xyz[k : k + 1], pose)
        found.append(value[0])
    assert (found / cost(model, task, xyz, truth)).max() > 2


def test_no_frame_is_worse_than_in_one_after_the_other(augmented: Any) -> None:
    """Each from the pose before it, with noise and gaps."""
    model, task, rng = augmented.model, task_of(augmented.model), np.random.default_rng(4)
    xyz = augmented.markers.xyz + rng.normal(0, 0.008, augmented.markers.xyz.shape)
    xyz[rng.random(xyz.shape[:2]) < 0.1] = np.nan
    pose, alone = first_pose(model, task, xyz[:1]), []
    for k in range(len(xyz)):
        pose, value = minimise(model, task, xyz[k : k + 1], pose)
        alone.append(value[0])
    found = cost(model, task, xyz, solve(model, task, xyz).q)
    # What is left of the cost when steps are below 1e-4 rad.
    assert (found <= np.array(alone) * (1 + 1e-4)).all()


def test_by_opensims_calls_the_same_is_found(augmented: Any) -> None:
    """For models whose joints are of other kinds."""
    folder = setup_folder()
    other = BodyModel(folder / "Model_Pose2Sim_simple.osim", folder / "Markers_LSTM.xml")
    other.scale(SIZES)
    ours = solve(other, task_of(other), augmented.markers.xyz[:6])
    other._kinematics = other._by_opensim
    theirs = solve(other, task_of(other), augmented.markers.xyz[:6])
    # The same steps, but for rounding in systems of condition 1e6.
    np.testing.assert_allclose(ours.q, theirs.q, atol=1e-7)
    np.testing.assert_allclose(ours.sd, theirs.sd, rtol=1e-6)


def test_no_frame_is_worse_than_opensims(augmented: Any) -> None:
    """Arms through full circles, quickly: OpenSim's own inverse kinematics at its accuracy."""
    model, task = augmented.model, task_of(augmented.model)
    _, xyz = wild(model, CLIPS[0])
    ours, theirs = solve(model, task, xyz[:12]).q, _opensim_poses(model, task, xyz[:12])
    xyz = xyz[:12]
    assert (cost(model, task, xyz, ours) <= 1.1 * cost(model, task, xyz, theirs)).all()


def test_a_marker_that_is_wrong_moves_no_joint_by_a_quarter_turn(augmented: Any) -> None:
    """A swapped or lost marker is far off in every pose."""
    model, task = augmented.model, task_of(augmented.model)
    xyz = augmented.markers.xyz.copy()
    i = augmented.markers.names.index("r_mwrist_study")
    xyz[5:12, i] += (0.0, 0.4, 0.0)
    found = solve(model, task, xyz).q
    knees = [k for k, n in enumerate(model.names) if n.startswith(("knee", "hip", "ankle"))]
    assert np.abs(found - augmented.q)[:, knees].max() < 0.1
    np.testing.assert_allclose(found[14:], augmented.q[14:], atol=1e-3)


def wild(model: BodyModel, kind: str) -> tuple[FloatArray, FloatArray]:
    """Poses (40, C), ten frames from one extreme to the next, and markers with 8 mm of noise."""
    rng, frames = np.random.default_rng(2), 40
    rotates = np.array([c.motion == "rotation" for c in model.coordinates])
    low = np.array([max(c.low, c.default - np.pi) for c in model.coordinates])
    high = np.array([min(c.high, c.default + np.pi) for c in model.coordinates])
    anywhere = low + (high - low) * (0.1 + 0.8 * wandering(rng, frames, len(low)))
    q = model.default + 0.6 * (wandering(rng, frames, len(low)) - 0.5) * rotates
    arms = np.array([n.startswith("arm_") for n in model.names])
    if kind == "arms through full circles":
        flexion = [i for i, n in enumerate(model.names) if n.startswith("arm_flex")]
        q[:, flexion] += np.linspace(0, 6 * np.pi, frames)[:, None]
        q[:, [i for i, n in enumerate(model.names) if n.startswith("arm_add")]] += 1.0
    elif kind == "cartwheels":
        q[:, model.names.index("pelvis_list")] += np.linspace(0, 4 * np.pi, frames)
    elif kind == "arms anywhere":
        q[:, arms] = anywhere[:, arms]
    else:
        q[:, rotates] = anywhere[:, rotates]
    q[:, ~task_of(model).free] = model.default[~task_of(model).free]
    q = np.clip(q, [c.low for c in model.coordinates], [c.high for c in model.coordinates])
    q = np.array([model.tie(pose) for pose in q])
    xyz = np.array([model.positions(pose) for pose in q])
    return q, xyz + rng.normal(0, 0.008, xyz.shape)


def wandering(rng: np.random.Generator, frames: int, count: int) -> FloatArray:
    """(T, C) smooth curves within 0..1, of a new value every ten frames."""
    at = np.arange(frames) / 10
    knots = rng.uniform(0, 1, (int(at[-1]) + 2, count))
    k, share = at.astype(int), (at % 1)[:, None]
    share = share**2 * (3 - 2 * share)
    return knots[k] * (1 - share) + knots[k + 1] * share


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
