"""Rig pose optimisation of the Momentum Human Rig, from per-camera parameters to parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from kinefit.body.mhr import load_mhr
from kinefit.body.mhr_params import PARAMETERS
from kinefit.body.mhr_pose import pose_of_parameters
from kinefit.fit.recipes.frames.frame_options import SequenceOptions
from kinefit.fit.recipes.frames.frame_sequence import fit_sequence
from kinefit.fit.recipes.frames.rig_frames import as_view
from kinefit.fit.recipes.frames.rig_mhr import as_rig
from kinefit.fit.recipes.frames.rig_targets import RigTargets
from kinefit.fit.recipes.frames.rigfit import RigFit, rig_chain
from kinefit.geometry import rotations as so3
from kinefit.skeletons import skeleton
from kinefit.types import Timeline

pytest.importorskip("torch")

from ..body import mhr_file

T = 4
# Angles of trunk and limbs that the rig bends by: those that a camera gets wrong here.
BENDS = ("uparm_ry", "uparm_rz", "elbow_bend", "upleg_ry", "upleg_rz", "knee_bend")
BODY = [i for i, name in enumerate(PARAMETERS) if name[2:] in BENDS]
HANDS = [i for i, n in enumerate(PARAMETERS[:130]) if "index" in n or "thumb" in n]


def test_from_parameters_of_each_camera_to_parameters(tmp_path: Path) -> None:
    mhr_file.save(tmp_path / "mhr_model.pt")
    model = load_mhr(tmp_path / "mhr_model.pt")
    rng = np.random.default_rng(0)
    true = np.zeros((T, len(PARAMETERS)))
    true[:, BODY] = rng.uniform(-0.4, 0.4, len(BODY)) + 0.02 * np.arange(T)[:, None]
    true[:, HANDS] = rng.uniform(-0.3, 0.3, len(HANDS))
    pose = pose_of_parameters(model, true, np.zeros(45))
    names = skeleton("mhr46").points
    chain = rig_chain(model.body, names)
    truth = as_view(chain, pose.rotations, pose.translation, pose.shape)
    columns = [chain.column(name) for name in chain.point_names]
    xyz = truth.posed(chain).points[:, columns]

    views = {}
    for camera in ("left", "right"):
        seen = true.copy()
        seen[:, BODY] += rng.normal(0, 0.1, len(BODY))
        seen[:, 3:6] = rng.normal(0, 1.0, 3)  # in the camera's own axes
        wrong = pose_of_parameters(model, seen, np.zeros(45))
        views[camera] = as_view(chain, wrong.rotations, wrong.translation, wrong.shape)
    targets = RigTargets.of(Timeline.regular(T, 30.0), chain.point_names, tuple(views), xyz,
                            np.ones(xyz.shape[:2]))  # fmt: skip
    work = RigFit.of(chain, targets)
    held = {name for name, free in zip(chain.joint_names, work.free, strict=True) if not free}
    assert {"l_index1", "r_thumb2", "c_jaw", "l_eye", "r_lowarm_twist1_proc"} <= held
    assert not held & {"root", "l_uparm", "r_wrist", "l_lowleg", "c_spine2"}

    found = fit_sequence(work, views, SequenceOptions(smooth=0.0))
    assert [report.status for report in found.reports] == ["good"] * T
    assert so3.norm(found.points - xyz).max() < 0.005  # the pull to the cameras' poses
    best = views[found.reports[0].camera]
    np.testing.assert_array_equal(found.state.rotations[:, ~work.free][0],
                                  best.rotations[:, ~work.free][0])  # fmt: skip
    motion = found.motion
    assert np.isfinite(motion.rotations).all()
    # Elbows and knees are hinges in the rig and free here: what it cannot take is reported.
    clip = as_rig(model, found)
    assert clip.rotation_change.max() < 0.3
    assert np.isfinite(clip.parameters).all()
