"""Retargeting of a made-up recording in the form of the CMU data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from kinefit.body import BodyModel
from kinefit.body.anatomy import Anatomy, Ranges
from kinefit.body.anny import load_anny
from kinefit.fit.recipes.retarget import Orientation, RetargetBody, glitches, retarget
from kinefit.fit.solver.state import State
from kinefit.geometry import rotations as so3
from kinefit.io.mocap import MocapClip
from kinefit.io.mocap_files import read_cmu, read_mocap
from kinefit.io.mocap_joints import with_kinefit_joints
from kinefit.types import BoolArray, FloatArray, InputError, TooFewPoints

from ..io.test_mocap import MIXAMO, amass, squat

T = 40
# Joint -> (parent, place at rest): a T-pose whose legs lie 20 degrees apart, metres.
_MIDDLE: Mapping[str, tuple[str | None, tuple[float, float, float]]] = {
    "pelvis": (None, (0, 0, 0)),
    "lowerback": ("pelvis", (0, 0, 0)),
    "spine": ("lowerback", (0, 0.115, -0.01)),
    "thorax": ("spine", (0, 0.23, -0.01)),
    "neck": ("thorax", (0, 0.345, -0.01)),
    "neck1": ("neck", (0, 0.435, 0)),
    "head": ("neck1", (0, 0.525, -0.01)),
    "headtop": ("head", (0, 0.615, -0.01)),
}
_LEFT: Mapping[str, tuple[str, tuple[float, float, float]]] = {
    "hip": ("pelvis", (0.094, -0.102, 0.035)),
    "knee": ("hip", (0.236, -0.492, 0.035)),
    "ankle": ("knee", (0.378, -0.882, 0.035)),
    "toe": ("ankle", (0.389, -0.912, 0.156)),
    "shoulder": ("neck", (0.2, 0.396, -0.02)),
    "elbow": ("shoulder", (0.474, 0.396, -0.02)),
    "wrist": ("elbow", (0.664, 0.396, -0.02)),
    "hand": ("wrist", (0.794, 0.396, -0.02)),
}
_AXIS = {"l": 1.0, "r": -1.0}


def _skeleton() -> tuple[list[str], list[int], FloatArray]:
    table: dict[str, tuple[str | None, tuple[float, float, float]]] = dict(_MIDDLE)
    for s, sign in _AXIS.items():
        for name, (parent, (x, y, z)) in _LEFT.items():
            own = parent if parent in _MIDDLE else s + parent
            table[s + name] = (own, (sign * x, y, z))
    names = list(table)
    parents = [-1 if p is None else names.index(p) for p, _ in table.values()]
    return names, parents, np.array([place for _, place in table.values()])


def _recording(frames: int = T) -> tuple[MocapClip, FloatArray, FloatArray]:
    """Someone who squats and bends the elbows; and knees' and elbows' flexion (T,) radians."""
    names, parents, rest = _skeleton()
    wave = (1 - np.cos(np.linspace(0, 4 * np.pi, frames))) / 2
    knee, elbow = 0.2 + 1.2 * wave, 0.3 + 1.0 * wave
    rotvec = np.zeros((frames, len(names), 3))
    for s, sign in _AXIS.items():
        rotvec[:, names.index(s + "knee")] = np.outer(knee, [0.93969, sign * 0.34202, 0])
        rotvec[:, names.index(s + "elbow")] = np.outer(elbow, [0, -sign * 0.86603, sign * 0.5])
        rotvec[:, names.index(s + "hip")] = np.outer(0.8 * wave, [-1.0, 0, 0])
        rotvec[:, names.index(s + "shoulder"), 2] = -sign * 1.2  # arms down
    rotvec[:, 0] = np.outer(np.linspace(0, 1, frames), [0, 1.0, 0])  # and turns round
    local = so3.exp(rotvec)
    turned, xyz = local.copy(), np.zeros((frames, len(names), 3))
    xyz[:, 0] = [0.3, 0.9, -0.2]
    for j, p in enumerate(parents[1:], start=1):
        turned[:, j] = turned[:, p] @ local[:, j]
        xyz[:, j] = xyz[:, p] + turned[:, p] @ (rest[j] - rest[p])
    clip = MocapClip("made up", "cmu", 30.0, tuple(names), np.array(parents), xyz, turned, rest)
    return clip, knee, elbow


@pytest.fixture(scope="module")
def anny() -> BodyModel:
    return load_anny()


@pytest.fixture(scope="module")
def rig(anny: BodyModel) -> RetargetBody:
    return RetargetBody.of(anny)


def _angles(body: BodyModel, rig: RetargetBody, state: State, names: tuple[str, ...]) -> FloatArray:
    """(T, J, 3) radians."""
    anatomy = Anatomy.of(body, names)
    column = [rig.chain.joint_names.index(body.anatomy[name]) for name in names]
    return Ranges.of(names).angles(anatomy.rotations(state.rotations[:, column]))


def test_poses_of_the_recording(anny: BodyModel, rig: RetargetBody) -> None:
    trial, knee, elbow = _recording()
    done = retarget(rig, trial)
    # Another skeleton than Anny's: what is left after its shape and offsets were fitted.
    assert np.median(done.error_m) < 0.01
    assert np.median(done.bare_m) < 0.025
    # Hinges of the data are those of the body, without a twist or a lean.
    knees = np.degrees(_angles(anny, rig, done.state, ("LKnee", "RKnee")))
    np.testing.assert_allclose(-knees[..., 2], np.degrees(knee)[:, None] * [1, 1], atol=6)
    assert np.abs(knees[..., :2]).max() < 10
    elbows = np.degrees(_angles(anny, rig, done.state, ("LElbow", "RElbow")))
    np.testing.assert_allclose(elbows[..., 2], np.degrees(elbow)[:, None] * [1, 1], atol=10)
    assert np.abs(elbows[..., 0]).max() < 15
    # It is symmetric, and so is what was made of it.
    np.testing.assert_allclose(knees[:, 0], knees[:, 1], atol=2)
    np.testing.assert_allclose(elbows[:, 0], elbows[:, 1], atol=2)


@pytest.mark.parametrize("kind", ["bvh", "amass"])
def test_recordings_of_other_programs(
    anny: BodyModel, rig: RetargetBody, tmp_path: Path, kind: str
) -> None:
    """Other skeletons, without some of the points, with elbows that flex about the vertical."""
    if kind == "bvh":
        trial = with_kinefit_joints(tmp_path, squat(MIXAMO))
    else:
        (trial,) = read_mocap(amass(tmp_path / "a.npz"))
    done = retarget(rig, trial)
    assert np.median(done.error_m) < 0.015
    wave = (1 - np.cos(np.linspace(0, 2 * np.pi, len(trial)))) / 2
    knees = np.degrees(_angles(anny, rig, done.state, ("LKnee", "RKnee")))
    elbows = np.degrees(_angles(anny, rig, done.state, ("LElbow", "RElbow")))
    # The skeleton's own zero is not the body's: its shanks lean back by 3 degrees, its elbows are
    # straight where a person's are bent a little.
    np.testing.assert_allclose(-knees[..., 2], np.outer(np.degrees(1.5 * wave), [1, 1]), atol=9)
    np.testing.assert_allclose(elbows[..., 2], np.outer(np.degrees(wave), [1, 1]), atol=12)
    assert np.abs(knees[..., :2]).max() < 10
    np.testing.assert_allclose(knees[:, 0], knees[:, 1], atol=2)
    np.testing.assert_allclose(elbows[:, 0], elbows[:, 1], atol=2)


def test_frames_without_data_have_no_pose(rig: RetargetBody) -> None:
    trial, _, _ = _recording()
    knee, head = (trial.names.index(name) for name in ("lknee", "head"))
    positions, rotations = trial.positions.copy(), trial.rotations.copy()
    positions[5, knee], rotations[9, head] = np.nan, np.nan
    trial = replace(trial, positions=positions, rotations=rotations)
    done = retarget(rig, trial)
    lost = np.isnan(done.state.rotations).any(axis=(1, 2, 3))
    assert np.flatnonzero(lost).tolist() == [5, 9]
    assert np.isfinite(done.error_m[~lost]).all()
    trial = replace(trial, positions=np.full_like(positions, np.nan))
    with pytest.raises(TooFewPoints, match="made up"):
        retarget(rig, trial)


def test_a_foot_that_the_data_twist_stays_in_its_range(anny: BodyModel, rig: RetargetBody) -> None:
    trial, _, _ = _recording()
    ankle, rotations = trial.names.index("lankle"), trial.rotations.copy()
    rotations[20:30, ankle] = rotations[20:30, ankle] @ so3.exp(np.array([0, 2.5, 0]))
    trial = replace(trial, rotations=rotations)
    done = retarget(rig, trial)
    ranges = Ranges.of(("LAnkle",))
    outside = np.degrees(ranges.outside(_angles(anny, rig, done.state, ("LAnkle",))))
    assert np.abs(outside).max() < 12  # limits are soft: 5 degrees are one standard deviation
    foot = rig.chain.joint_names.index("foot.L")
    assert np.degrees(done.rotation_error[20:30, foot]).min() > 45  # and it is told
    assert np.degrees(done.rotation_error[:20, foot]).max() < 45


def test_glitches_are_where_the_data_jump(rig: RetargetBody) -> None:
    trial, _, _ = _recording()
    assert not glitches(rig, trial).any()
    positions, rotations = trial.positions.copy(), trial.rotations.copy()
    positions[12:] += [0.5, 0, 0]
    rotations[30, trial.names.index("rwrist")] = np.eye(3)
    trial = replace(trial, positions=positions, rotations=rotations)
    found = _flagged(glitches(rig, trial))
    assert found >= {11, 12, 30}
    assert found <= {*range(10, 14), *range(28, 33)}


def _flagged(flags: BoolArray) -> set[int]:
    return set(np.flatnonzero(flags).tolist())


def test_orientation_jacobian(rig: RetargetBody) -> None:
    rng = np.random.default_rng(2)
    chain, F = rig.chain, len(rig.chain.joint_names)
    local = so3.exp(0.4 * rng.standard_normal((3, F, 3)))
    target = so3.exp(0.4 * rng.standard_normal((3, F, 3)))
    target[1, 4] = np.nan
    term = Orientation(chain, target, rng.uniform(0.1, 1, F))
    rows = np.arange(3)
    J, h = term.jacobian(local, rows), 1e-6
    assert not term.residual(local, rows)[1, 4].any()
    assert not J[1, 4].any()
    for column in rng.choice(3 * F, 12, replace=False):
        step = np.zeros((F, 3))
        step.flat[column] = h
        ahead = term.residual(local @ so3.exp(step), rows)
        behind = term.residual(local @ so3.exp(-step), rows)
        # Central differences of h 1e-6 on residuals of up to 30: 1e-6 of the derivative.
        np.testing.assert_allclose(J[..., column], (ahead - behind) / (2 * h), atol=1e-5)


def _arrays(trial: MocapClip) -> dict[str, Any]:
    quat = so3.to_quaternion(trial.rotations)[..., [3, 0, 1, 2]]
    xyz = np.where(np.isnan(trial.positions), -32768, np.round(trial.positions / 5e-4))
    return {
        "pos_i16": xyz.astype(np.int16), "pos_scale": np.float32(5e-4),
        "quat_i16": np.round(quat * 32767).astype(np.int16), "rest": trial.rest[None],
        "joints": np.array(trial.names), "trial": np.array([trial.name]),
        "start": np.array([0, len(trial)]),
    }  # fmt: skip


def test_file_is_read_as_written(tmp_path: Path) -> None:
    trial, _, _ = _recording()
    positions = trial.positions.copy()
    positions[3, 2] = np.nan
    trial = replace(trial, positions=positions)
    np.savez(tmp_path / "cmu.npz", **_arrays(trial))
    (read,) = read_cmu(tmp_path / "cmu.npz")
    assert (read.name, read.names) == (trial.name, trial.names)
    assert np.isnan(read.positions[3, 2]).all()
    np.testing.assert_allclose(
        read.positions, trial.positions, atol=2.6e-4
    )  # half a step of 0.5 mm
    # Half a step of a quaternion is 1.5e-5; an entry of the matrix changes by up to four times it.
    np.testing.assert_allclose(read.rotations, trial.rotations, atol=1e-4)


@pytest.mark.parametrize("lacking", ["pos_i16", "rest", "start", "pos_scale"])
def test_other_files_are_refused(tmp_path: Path, lacking: str) -> None:
    arrays = _arrays(_recording()[0])
    del arrays[lacking]
    np.savez(tmp_path / "cmu.npz", **arrays)
    with pytest.raises(InputError, match=lacking):
        read_cmu(tmp_path / "cmu.npz")
